"""Create a tenant: check every setting, take what is not said from its plan, keep it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from api.limits import NAME_LENGTH_MAX
from api.operations.checks import checked_plan, checked_text, checked_zone
from domain.money import DISPLAY_DIGITS
from domain.problems import Problem
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.tenants import TenantRecord, create_tenant

KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
COUNTRY = re.compile(r"[A-Z]{2}")
LOCALE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantCreate:
    """What is asked for; None takes the plan's."""

    key: str
    name: str | None
    timezone: str | None
    currency: str | None
    country: str | None
    locale: str | None
    plan: str
    since: int | None  #: facts before this instant are refused; None: any past is accepted


async def run(door: Door, catalogue: Catalogue, request: TenantCreate, *, now: int) -> TenantRecord:
    """The new tenant; a Problem names the field that was wrong, and nothing was kept."""
    if not KEY.fullmatch(request.key):
        raise Problem(
            "INVALID_KEY",
            "a key has 1 to 64 lower-case letters, digits, hyphens and underscores, "
            "and begins with a letter or digit",
            "key",
        )
    plan = checked_plan(catalogue, request.plan)
    currency = request.currency or plan.currency
    if currency not in DISPLAY_DIGITS:
        raise Problem(
            "UNKNOWN_CURRENCY",
            f"{currency[:20]!r} is no currency we know: write an ISO 4217 code such as IDR",
            "currency",
        )
    if currency != plan.currency:
        raise Problem(
            "CURRENCY_MISMATCH",
            f"the plan {plan.key} is in {plan.currency}: write that, or choose another plan",
            "currency",
        )
    country = request.country or plan.country
    if not COUNTRY.fullmatch(country):
        raise Problem("INVALID_COUNTRY", "write a country's two capital letters, as ID", "country")
    locale = request.locale or plan.locale
    if not LOCALE.fullmatch(locale):
        raise Problem("INVALID_LOCALE", "write a language tag such as id or en-GB", "locale")
    return await create_tenant(
        door,
        key=request.key,
        name=checked_text(request.name or request.key, "name", NAME_LENGTH_MAX),
        timezone=checked_zone(request.timezone or plan.timezone),
        currency=currency,
        country=country,
        locale=locale,
        plan=plan.key,
        balances=plan.balances,
        since=request.since,
        now=now,
    )
