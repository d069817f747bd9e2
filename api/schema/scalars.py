"""Scalars: how instants, dates, decimals and large numbers look on the wire.

Inside, an instant is int microseconds, a date int days, and a decimal its fixed-point text; the
types here say which is meant. Anything not written exactly as described is refused, never guessed.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal as PythonDecimal
from functools import lru_cache
from typing import Any, NewType

from graphql import (
    BooleanValueNode,
    FloatValueNode,
    GraphQLError,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    StringValueNode,
    ValueNode,
    VariableNode,
)
from strawberry.types.scalar import ScalarDefinition, scalar

from domain.money import micros
from domain.periods import date_number, date_of, instant, iso, moment

Decimal = NewType("Decimal", str)
DateTime = NewType("DateTime", int)
Date = NewType("Date", int)
BigInt = NewType("BigInt", int)
CloudEvent = NewType("CloudEvent", dict[str, Any])

INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)
DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
WHOLE = re.compile(r"-?(?:0|[1-9]\d{0,18})", re.ASCII)
BIGINT_MAX = 2**63 - 1


def parse_decimal(value: object) -> Decimal:
    if not isinstance(value, str):
        raise GraphQLError(f'{shown(value)} is not a string: write decimals in quotes, as "586.33"')
    try:
        micros(value, signed=True)
    except ValueError as error:
        raise GraphQLError(str(error)) from None
    return Decimal(value)


def parse_instant(value: object) -> DateTime:
    form = INSTANT.fullmatch(value) if isinstance(value, str) else None
    if form is None:
        raise GraphQLError(
            f"{shown(value)} is not an instant: write date, time and offset, "
            'as "2026-10-31T17:00:00Z" or "2026-11-01T00:00:00+07:00"'
        )
    # Finer than a microsecond is cut, as everywhere.
    text = f"{form[1]}.{(form[2] or '0')[:6]:0<6}{form[3]}".upper().replace("Z", "+00:00")
    try:
        at = instant(datetime.fromisoformat(text))
        moment(at)  # an offset can lead out of the calendar's years
        return DateTime(at)
    except (ValueError, OverflowError):
        raise GraphQLError(f"{shown(value)} is no instant of any calendar") from None


def parse_date(value: object) -> Date:
    if not isinstance(value, str) or not DAY.fullmatch(value):
        raise GraphQLError(f'{shown(value)} is not a date: write it as "2026-10-31"')
    try:
        return Date(date_number(date.fromisoformat(value)))
    except ValueError:
        raise GraphQLError(f"{shown(value)} is no day of the calendar") from None


def parse_bigint(value: object) -> BigInt:
    if isinstance(value, str) and WHOLE.fullmatch(value) and abs(int(value)) <= BIGINT_MAX:
        return BigInt(int(value))
    raise GraphQLError(f'{shown(value)} is not a whole number in quotes, as "1000000"')


def parse_event(value: object) -> CloudEvent:
    if not isinstance(value, dict):
        raise GraphQLError(f"{shown(value)} is not an object: write a CloudEvent")
    return CloudEvent(value)


def parse_event_literal(node: ValueNode, variables: dict[str, Any] | None = None, /) -> CloudEvent:
    return parse_event(python_value(node, variables or {}))


def python_value(node: ValueNode, variables: dict[str, Any]) -> object:
    """A literal as JSON would give it, its numbers with all their digits."""
    match node:
        case ObjectValueNode():
            return {f.name.value: python_value(f.value, variables) for f in node.fields}
        case ListValueNode():
            return [python_value(item, variables) for item in node.values]
        case StringValueNode() | BooleanValueNode():
            return node.value
        case IntValueNode():
            return int(node.value)
        case FloatValueNode():
            return PythonDecimal(node.value)
        case NullValueNode():
            return None
        case VariableNode():
            return variables.get(node.name.value)
    raise GraphQLError("enum values have no place in an event: write a string")


def shown(value: object) -> str:
    """A wrong value as an answer repeats it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"


SCALARS: dict[object, ScalarDefinition] = {
    Decimal: scalar(
        name="Decimal",
        description="A decimal number as a string in fixed point, such as `586.33`: at most 12 "
        "digits before the point and 6 after it, no exponent, no separators.",
        serialize=str,
        parse_value=parse_decimal,
    ),
    DateTime: scalar(
        name="DateTime",
        description="An instant, RFC 3339. An offset is required when sent "
        "(`2026-11-01T00:00:00+07:00`); answers are in UTC (`2026-10-31T17:00:00Z`).",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=lru_cache(maxsize=8192)(iso),  # the days of charts are the same again and again
        parse_value=parse_instant,
    ),
    Date: scalar(
        name="Date",
        description="A day of the calendar, such as `2026-10-31`.",
        serialize=lambda number: date_of(number).isoformat(),
        parse_value=parse_date,
    ),
    BigInt: scalar(
        name="BigInt",
        description="A whole number of up to 64 bits, as a string: `Int` ends at 32 bits.",
        serialize=str,
        parse_value=parse_bigint,
    ),
    CloudEvent: scalar(
        name="CloudEvent",
        description="A CloudEvents 1.0 object in JSON, as `POST /v1/events` takes it.",
        specified_by_url="https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md",
        serialize=lambda event: event,
        parse_value=parse_event,
        parse_literal=parse_event_literal,
    ),
}
