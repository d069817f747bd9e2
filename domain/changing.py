"""Changing what a tenant agreed to: another plan, an allowance of its own, the end of it (BA-12),
and another zone, of the tenant or of a number (TZ-3).

Owns when a change takes effect and what an upgrade adds at once. Nothing that was granted is taken
back. What is agreed at an instant is `standing`'s to say; storage is its caller's.
"""

from __future__ import annotations

from typing import NamedTuple

from domain.fold import ACTION
from domain.ledger import ALLOWANCE_PRIORITY, GRANT, Ledger
from domain.lots import LotSource
from domain.periods import Period, Zone, period, zones
from domain.plans import Plan
from domain.problems import Problem
from domain.standing import Holding, Own, Standing
from domain.state import Changes, State
from domain.terms import Terms
from domain.watch import AlertCause


class Decided(NamedTuple):
    """What was decided, and what it adds to the present period."""

    standing: Standing
    since: int  #: from when on it holds; what it adds is there at once
    targets: dict[str, int]  #: by balance, what the present period is to have been granted


def change_plan(standing: Standing, to: Plan | None, now: int) -> Decided:
    """Put a tenant on another plan; None ends its subscription.

    More of some allowance and less of none is an upgrade and holds at once. Everything else, and
    the end, holds from the next period on. What was to come later no longer does.
    """
    present = standing.holding(now)
    holding = Holding(now, present.plan, False) if to is None else Holding(now, to)
    _check_units(standing, holding.plan)
    if standing.since is not None and now < standing.since:
        # Nothing was granted or rated: it begins with the other plan.
        holding = holding._replace(since=min(now, _span(standing, standing.since).start))
        return Decided(standing.change(holding), holding.since, {})
    span = _span(standing, now)
    keys = {balance.key for plan in (present.plan, holding.plan) for balance in plan.balances}
    before = {key: standing.under(present, key, span) for key in keys}
    after = {key: standing.under(holding, key, span) for key in keys}
    more = {key: after[key] for key in keys if after[key] > before[key]}
    if not more or any(after[key] < before[key] for key in keys):
        holding, more = holding._replace(since=span.end), {}
    return Decided(standing.change(holding), holding.since, more)


def set_allowance(
    standing: Standing, key: str, amount: int | None, since: int, now: int
) -> Decided:
    """Give a tenant an allowance of its own from the first period at or after `since`.

    From a `since` that has come, more than the present period's is there at once; the present and
    former periods never change otherwise. None: the plan's allowance again.
    """
    span = _span(standing, now)
    first = _span(standing, since)
    month = first.label if first.start == since else first.label + 1
    begun = standing.since is None or standing.since <= now
    if begun:
        month = max(month, span.label + 1)
    starts_at, _ = standing.zone.month_bounds(month)
    changed = standing.allow(key, Own(month, amount))
    if not begun or now < since:
        return Decided(changed, starts_at, {})
    holding = standing.holding(now)
    present = standing.under(holding, key, span)
    own = changed.allow(key, Own(span.label, amount))
    target = own.under(holding, key, span)
    return Decided(changed, starts_at, {key: target} if target > present else {})


def change_zone(present: Zone, to: str, after: int) -> Zone:
    """Exchange a zone for another at its first month start after an instant (TZ-3).

    Nothing changes of a month that has begun by `after`, be it that facts came from ahead of the
    clock. What was to come at that start or later no longer does, so that the zone that holds until
    then may be kept. ValueError for a name that is no zone.
    """
    starts_at = present.next_month(after)
    kept = tuple(each for each in present.changes if each[0] is None or each[0] < starts_at)
    return zones(kept if kept[-1][1] == to else (*kept, (starts_at, to)))


def book(terms: Terms, after: Terms, state: State, targets: dict[str, int], now: int) -> Changes:
    """Book what an upgrade adds: by balance, what the present period lacks, as a lot from now on.

    `terms` are those until now, `after` those from now on.
    """
    changes = Changes(after, state, ACTION)
    ledger = Ledger(terms, state, changes, now)
    ledger.advance()
    span = ledger.span
    lacking: dict[int, int] = {}
    for key, target in targets.items():
        balance_id = terms.balance_ids[key]
        if balance_id in terms.balances:
            ledger.lots(balance_id, now)  # what the period began with is granted first
        granted = sum(
            lot.amount
            for lot in state.lots.get(balance_id, ())
            if lot.source is LotSource.ALLOWANCE and lot.ends_at == span.end
        )
        if target > granted:
            lacking[balance_id] = target - granted
    ledger.terms = after
    for balance_id, amount in lacking.items():
        lot = ledger.new_lot(
            balance_id, LotSource.ALLOWANCE, amount, now, span.end,
            month=None, priority=ALLOWANCE_PRIORITY,
        )  # fmt: skip
        ledger.move(balance_id, "allowance", lot.lot_id, amount, GRANT)
    ledger.close(AlertCause.PLAN)
    return changes


def _span(standing: Standing, at: int) -> Period:
    return period(standing.zone, at)


def _check_units(standing: Standing, plan: Plan) -> None:
    """A balance keeps its unit for ever: its lots are counted in it."""
    for holding in standing.holdings:
        for balance in holding.plan.balances:
            for other in plan.balances:
                if other.key == balance.key and other.unit != balance.unit:
                    raise Problem(
                        "UNIT_MISMATCH",
                        f"{plan.key} counts {balance.key} in {other.unit}, the tenant has it in "
                        f"{balance.unit}: choose a plan that does so too",
                        "plan",
                    )
