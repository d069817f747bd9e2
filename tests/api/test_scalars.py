"""Scalars: what is written exactly is taken, anything else is refused and never guessed."""

from __future__ import annotations

from decimal import Decimal as PythonDecimal
from typing import Any

import pytest
from graphql import GraphQLError, parse_value

from api.schema.amount import shown
from api.schema.paging import cursor, position
from api.schema.scalars import (
    SCALARS,
    BigInt,
    Date,
    DateTime,
    Decimal,
    parse_event_literal,
)
from tests.api.conftest import Ask


def parsed(scalar: object, value: object) -> object:
    parse = SCALARS[scalar].parse_value
    assert parse is not None
    return parse(value)


def written(scalar: object, value: object) -> object:
    serialize = SCALARS[scalar].serialize
    assert serialize is not None
    return serialize(value)


TAKEN: list[tuple[object, str, object]] = [
    (Decimal, "0", "0"),
    (Decimal, "586.33", "586.33"),
    (Decimal, "-1.000001", "-1.000001"),
    (Decimal, "999999999999.999999", "999999999999.999999"),
    (DateTime, "1970-01-01T00:00:00Z", 0),
    (DateTime, "1970-01-01t00:00:00z", 0),
    (DateTime, "2026-11-01T00:00:00+07:00", 1_793_466_000_000_000),
    (DateTime, "1970-01-01T00:00:00.0000019Z", 1),
    (DateTime, "1969-12-31T23:59:59.5-00:00", -500_000),
    (Date, "1970-01-02", 1),
    (Date, "2024-02-29", 19_782),
    (BigInt, "9223372036854775807", 9_223_372_036_854_775_807),
    (BigInt, "-1", -1),
]


@pytest.mark.parametrize(("scalar", "text", "value"), TAKEN)
def test_what_is_taken(scalar: object, text: str, value: object) -> None:
    assert parsed(scalar, text) == value


REFUSED: list[tuple[object, Any]] = [
    *((Decimal, value) for value in (1, 1.5, True, None, [], {}, PythonDecimal("1.5"))),
    *((Decimal, text) for text in ("", " 1", "1 ", "NaN", "Infinity", "-Infinity", "1e3", "1E+2")),
    *((Decimal, text) for text in ("1_000", "1,000", ".5", "5.", "+", "--1", "0x10", "١", "1\n")),
    (Decimal, "1.0000001"),
    (Decimal, "1000000000000"),
    (Decimal, "9" * 10_000),
    *((DateTime, value) for value in (0, 1.5, None, True, "", "now", "2026-10-31")),
    (DateTime, "2026-10-31T17:00:00"),  # no offset
    (DateTime, "2026-10-31 17:00:00Z"),
    (DateTime, "2026-10-31T17:00Z"),
    (DateTime, "20261031T170000Z"),
    (DateTime, "2026-02-30T00:00:00Z"),
    (DateTime, "2026-10-31T24:00:00Z"),
    (DateTime, "2026-10-31T23:59:60Z"),
    (DateTime, "0001-01-01T00:00:00+14:00"),
    (DateTime, "0000-01-01T00:00:00Z"),
    (DateTime, "2026-10-31T17:00:00+25:00"),
    (DateTime, "٢٠٢٦-10-31T17:00:00Z"),
    *((Date, value) for value in (1, None, "", "2026-02-30", "2026-W01-1", "20261031", "31.10.")),
    *((BigInt, value) for value in (1, None, "", "1.0", "01", "1e3", "9223372036854775808", "٣")),
]


@pytest.mark.parametrize(("scalar", "value"), REFUSED)
def test_what_is_refused(scalar: object, value: object) -> None:
    with pytest.raises(GraphQLError) as refused:
        parsed(scalar, value)
    assert len(str(refused.value)) < 200


def test_how_they_are_written() -> None:
    assert written(DateTime, 1_793_466_000_000_000) == "2026-10-31T17:00:00Z"
    assert written(DateTime, 1) == "1970-01-01T00:00:00.000001Z"
    assert written(Date, 19_782) == "2024-02-29"
    assert written(BigInt, 2**40) == "1099511627776"


def test_literals_of_events_keep_their_digits() -> None:
    literal = '{a: 1.10, b: [1, null, true, "x", $v], c: {d: 12345678901234567890.5}}'
    assert parse_event_literal(parse_value(literal), {"v": "w"}) == {
        "a": PythonDecimal("1.10"),
        "b": [1, None, True, "x", "w"],
        "c": {"d": PythonDecimal("12345678901234567890.5")},
    }
    for bad in ("[1]", '"x"', "5", "{a: ENUM}"):
        with pytest.raises(GraphQLError):
            parse_event_literal(parse_value(bad))


async def test_a_bad_decimal_is_bad_input(ask: Ask) -> None:
    for value in ("NaN", "1e3", 1, 1.5, True, [], {}, "1.0000001"):
        top_up = {"tenant": "one", "balance": "x", "amount": value, "idempotencyKey": "k"}
        answer = await ask(
            "mutation($i: TopUpCreateInput!) { topUpCreate(input: $i) { __typename } }", i=top_up
        )
        (error,) = answer["errors"]
        assert error["extensions"]["code"] == "BAD_USER_INPUT", value
        assert "data" not in answer


AMOUNTS = [
    (586_330000, "IDR", "id", False, "Rp\u00a0586"),
    (1_500000, "IDR", "id", True, "Rp\u00a01"),
    (-1_500000, "IDR", "en", True, "-IDR\u00a02"),
    (1_990001, "USD", "en", False, "$1.99"),
    (1_234_567_500000, None, "id", False, "1.234.567,5"),
    (1, None, "en", False, "0.000001"),
    (16_952_064000, "CLP", "es-CL", False, "$16.952"),
]


@pytest.mark.parametrize(("micros", "currency", "locale", "down", "words"), AMOUNTS)
def test_amounts_in_words(
    micros: int, currency: str | None, locale: str, down: bool, words: str
) -> None:
    """IN-5: our own table of digits; what remains is rounded down."""
    assert shown(micros, currency, locale, down) == words


def test_cursors_come_back_as_they_went() -> None:
    assert position(cursor([5, "a", True]), int, str, bool) == [5, "a", True]
    for text in ("", "?", "WzEs", cursor(["1"]), cursor([2**63]), cursor([1, 2]), "A" * 1000):
        with pytest.raises(Exception, match="after"):
            position(text, int)
    with pytest.raises(Exception, match="after"):
        position(cursor(["a\0"]), str)
