"""Replay a refill policy over what was recorded of a balance: what it would have charged (RF-1)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from api.limits import DRY_RUN_COMMITS_MAX, DRY_RUN_LINES_MAX
from api.operations.refill_policy_set import RefillPolicyError, checked
from domain.dry_run import DryRun, Movement, Pot, dry_run, movements, untouched
from domain.periods import Interval, iso
from domain.plans import BalancePlan
from domain.problems import Problem
from domain.refill_policy import RefillPolicy, price_of
from domain.terms import Terms
from domain.top_ups import carried_until
from persistence.door import Door
from persistence.dry_run import Recorded, TooMuchError, recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class RefillDryRun:
    terms: Terms  #: those in force
    balance_id: int
    policy: RefillPolicy
    span: Interval


async def run(door: Door, request: RefillDryRun, *, now: int) -> DryRun:
    """What the policy would have charged; what has not happened by now is not looked at.

    RefillPolicyError has every problem of the policy; a Problem says what else is wrong.
    """
    own, balance_id = request.terms, request.balance_id
    balance = own.balances[balance_id]
    problems = checked(request.policy, balance, own, now)
    if problems:
        raise RefillPolicyError(problems)
    start, end = request.span[0], min(request.span[1], now)
    if start >= end:
        raise Problem("INVALID", f"the range begins at {iso(start)}: nothing happened yet", "range")
    try:
        found = await recorded(
            door, own.tenant_id, balance_id, start, end,
            commits_max=DRY_RUN_COMMITS_MAX, lines_max=DRY_RUN_LINES_MAX,
        )  # fmt: skip
    except TooMuchError:
        raise Problem(
            "TOO_MUCH",
            f"too much was recorded since {iso(start)}: a dry run reads {DRY_RUN_LINES_MAX:,} lines"
            f" of a balance and {DRY_RUN_COMMITS_MAX:,} commits until now; take a later start or a"
            " shorter range",
            "range",
        ) from None
    # So that whoever else is served meanwhile goes on.
    return await asyncio.to_thread(_replayed, request, balance, found, start, end)


def _replayed(
    request: RefillDryRun, balance: BalancePlan, found: Recorded, start: int, end: int
) -> DryRun:
    own = request.terms
    moved, owed = movements(found.lots, found.lines, start, promotions=balance.promotion_pays_off)
    granted: list[Movement] = untouched(own, request.balance_id, found.months, start, end)
    pot = Pot(
        zone=own.zone,
        ends=lambda at: carried_until(own, balance.carry, at),
        of_units=balance.kind == "unit",
        price=lambda amount: price_of(balance, amount),
    )
    return dry_run(request.policy, pot, [*granted, *moved], start, end, owed=owed)
