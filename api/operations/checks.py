"""Checks that several operations share: texts people write, zones, plans, and tenants they name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass

from api.rights import Principal
from domain.periods import zone
from domain.plans import Plan
from domain.problems import Problem
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.tenants import TenantRecord, find_by_keys

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
#: What no row can have: the database knows no text with a zero in it, UTF-8 no half of a character.
UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")


def check_storable(request: object) -> None:
    """Every text of a request can be stored; `request` is a dataclass, with others in it or not."""
    for path, text in _texts(request, ""):
        if UNSTORABLE.search(text):
            raise Problem("INVALID", f"{path} has a character that no text has", path)


def _texts(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Texts with their paths as clients write them: groups within a request have no name there."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Sequence):
        for place, each in enumerate(value):
            yield from _texts(each, f"{path}[{place}]")
    else:
        for name, each in _named(value):
            grouped = not path and (isinstance(each, Mapping) or is_dataclass(each))
            own = "" if grouped else camel_of(name)
            yield from _texts(each, f"{path}.{own}" if path else own)


def _named(value: object) -> list[tuple[str, object]]:
    if isinstance(value, Mapping):
        return list(value.items())
    if is_dataclass(value):
        return [(each.name, getattr(value, each.name)) for each in fields(value)]
    return []


def camel_of(path: str) -> str:
    """A path of a document as clients write it: `fail_open[0].amount` is `failOpen[0].amount`."""
    first, *rest = path.split("_")
    return first + "".join(word[0].upper() + word[1:] for word in rest)


def checked_text(text: str, field: str, most: int) -> str:
    """A text of 1 to `most` printable characters, without blanks around it."""
    text = text.strip()
    if not 0 < len(text) <= most:
        raise Problem("INVALID_TEXT", f"{field} has 1 to {most} characters", field)
    if UNPRINTABLE.search(text):
        raise Problem("INVALID_TEXT", f"{field} has control characters: leave them out", field)
    return text


def checked_zone(name: str) -> str:
    """The name of a time zone that exists."""
    try:
        zone(name)
    except ValueError as error:
        raise Problem("UNKNOWN_TIMEZONE", str(error), "timezone") from None
    return name


def checked_plan(catalogue: Catalogue, key: str) -> Plan:
    """The plan of a key that exists."""
    plan = catalogue.plans.get(key)
    if plan is None:
        known = ", ".join(sorted(catalogue.plans))
        raise Problem("UNKNOWN_PLAN", f"there is no plan {key[:64]!r}: known are {known}", "plan")
    return plan


async def find_tenant(door: Door, principal: Principal, key: str) -> TenantRecord:
    """The tenant of a key, as `principal` sees it: another's does not exist."""
    found = await find_by_keys(door, [key]) if principal.sees(key) else {}
    if key not in found:
        raise Problem("NOT_FOUND", f"there is no tenant {key[:64]!r}", "tenant")
    return found[key]
