"""Entitling: what a subscription means for the allowances of the plan it comes with (BA-12).

Owns which periods are granted something: those on whose first day the subscription serves and is
not paused, and what that becomes in another zone. Does not own what a plan allows (standing), what
another plan adds at once (changing), what was agreed of the subscription, and storage. Usage goes
on whatever is granted.
"""

from __future__ import annotations

from typing import NamedTuple

from domain.changing import change_plan
from domain.periods import Zone, period
from domain.plans import Plan
from domain.standing import Holding, Standing
from domain.subscriptions import Subscription, days_of, known, last_day, month_of, terms


class Entitled(NamedTuple):
    """What was decided, as it is to be kept, and what it adds to the present period."""

    holdings: tuple[Holding, ...]  #: in the order in which they were decided
    targets: dict[str, int]  #: by balance, what the present period is to have been granted


def serves(subscription: Subscription, day: int) -> bool:
    """Whether a local day is served: it has begun, has not ended, and is not paused."""
    changes = known(subscription, None)
    last = last_day(subscription, changes)
    if day < subscription.start or (last is not None and day > last):
        return False
    return terms(subscription, day, changes) is not None


def entitle(
    standing: Standing, subscription: Subscription, now: int, *, to: Plan | None = None
) -> Entitled:
    """What holds from an instant on, by all that is agreed of a subscription until then.

    `to` is the plan it is to have: more than the present one allows is there at once where today is
    served, as with any change of plan. None: the plan stays, and what was to be granted of it is
    decided anew. What was to come later no longer does.
    """
    found: list[Holding] = []
    targets: dict[str, int] = {}
    months = _months(standing, subscription, now)
    if to is not None:
        decided = change_plan(standing, to, now)  # refuses what does not fit, whenever it begins
        present = standing.holding(now)
        same = present.plan.key == to.key and present.grants
        if serves(subscription, standing.zone.date(now)) and not same:
            standing, targets = decided.standing, decided.targets
            found.append(standing.holding(decided.since))
    for month in months:
        since, _ = standing.zone.month_bounds(month)
        holding = Holding(
            since,
            standing.holding(since).plan if to is None else to,
            serves(subscription, days_of(month)[0]),
        )
        if not _stands(standing, holding):
            standing = standing.change(holding)
            found.append(holding)
    return Entitled(tuple(found), targets)


def _stands(standing: Standing, holding: Holding) -> bool:
    """Whether that is what holds from there on, for good."""
    _, plan, grants = standing.holding(holding.since)
    last = standing.holdings[-1].since <= holding.since
    return last and (plan.key, grants) == (holding.plan.key, holding.grants)


def _months(standing: Standing, subscription: Subscription, now: int) -> list[int]:
    """The months from whose start on something else may be granted; the first is always there."""
    next_month = period(standing.zone, now).label + 1
    last = last_day(subscription, known(subscription, None))
    days = [each.day for each in subscription.changes]
    if last is not None:
        days.append(last + 1)
    first = max(next_month, _from(subscription.start))
    return sorted({first, *(month for day in days if (month := _from(day)) > first)})


def _from(day: int) -> int:
    """The first month that begins on a day or later."""
    month = month_of(day)
    return month if days_of(month)[0] == day else month + 1


def redated(standing: Standing, zone: Zone, now: int) -> tuple[Holding, ...]:
    """What is to be decided anew where a tenant gets another zone (TZ-3).

    What was to hold from the start of a period on would miss it where that comes sooner; all that
    was to come behind is decided again, for deciding drops it.
    """
    found: list[Holding] = []
    for holding in standing.holdings:
        if holding.since <= now:
            continue
        month = standing.zone.month(holding.since)
        start, _ = zone.month_bounds(month)
        if start < holding.since == standing.zone.month_bounds(month)[0]:
            found.append(holding._replace(since=start))
        elif found:
            found.append(holding)
    return tuple(found)
