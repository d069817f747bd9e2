"""Checks that several operations share: texts people write, zones, plans, and tenants they name."""

from __future__ import annotations

import re

from api.rights import Principal
from domain.periods import zone
from domain.plans import Plan
from domain.problems import Problem
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.tenants import TenantRecord, find_by_keys

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


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
