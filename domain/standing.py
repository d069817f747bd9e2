"""Standing: the plan a tenant is on at each instant, and what each of its periods is allowed.

Owns dated plans and a tenant's own allowances (BA-12). Does not own lots: what was granted stays
granted, whatever is decided later. A plan holds from an instant, an allowance of the tenant's own
from a month on, for another zone moves where that begins (TZ-3). An allowance is that of its
period's first instant; what an upgrade adds within a period is a lot of its own (`changing`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from domain.draw import UNIT
from domain.periods import Period, Zone
from domain.plans import BalancePlan, Plan

#: From when on a tenant's first plan holds (TZ-7).
BEGINNING = -(2**63)

#: Periods whose balances are remembered.
KNOWN_MAX = 16


class Holding(NamedTuple):
    """A plan from an instant on."""

    since: int
    plan: Plan
    grants: bool = True  #: False after a subscription's end: usage goes on, nothing is granted


class Own(NamedTuple):
    """A tenant's own allowance from a period on."""

    month: int  #: label of the first one
    amount: int | None  #: micros a period; None: the plan's again


@dataclass(frozen=True, slots=True)
class Standing:
    """What a tenant agreed to, by instants."""

    zone: Zone
    since: int | None  #: the tenant's own beginning (TZ-7)
    holdings: tuple[Holding, ...]  #: by instant; the first holds from the BEGINNING on
    own: Mapping[str, Sequence[Own]] = field(default_factory=dict)  #: as decided, by balance
    #: Balances that were asked for: each showing asks for those of its period.
    _known: dict[tuple[Period, int], tuple[BalancePlan, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def holding(self, at: int) -> Holding:
        """The plan in force at an instant."""
        for holding in reversed(self.holdings):
            if holding.since <= at:
                return holding
        return self.holdings[0]

    def allowance(self, key: str, period: Period) -> int:
        """What a balance is granted at the period's start; 0 before the tenant's beginning."""
        return self.under(self.holding(period.start), key, period)

    def under(self, holding: Holding, key: str, period: Period) -> int:
        """What a period would be granted under one of the tenant's plans."""
        balance = _find(holding.plan, key)
        if balance is None or not holding.grants:
            return 0
        amount: int | None = None
        latest = BEGINNING
        for own in self.own.get(key, ()):
            if latest <= own.month <= period.label:
                amount, latest = own.amount, own.month
        return self.first(holding, balance.allowance if amount is None else amount, period)

    def first(self, holding: Holding, amount: int, period: Period) -> int:
        """The share of `amount` that a period is allowed: less where the tenant begins in it.

        By days, where its plan says so: those left, the first included, rounded up to whole units.
        """
        if self.since is None or self.since <= period.start:
            return amount
        if self.since >= period.end:
            return 0
        if holding.plan.first_period == "full":
            return amount
        end = self.zone.date(period.end - 1) + 1
        left, days = end - self.zone.date(self.since), end - self.zone.date(period.start)
        return -(-amount * left // (days * UNIT)) * UNIT

    def balances(self, period: Period, at: int) -> tuple[BalancePlan, ...]:
        """Every balance known at an instant with the period's allowance, in the plans' order.

        Those of the plan in force come first, then what former plans left behind.
        """
        place = period, self.holding(at).since
        known = self._known.get(place)
        if known is None:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            known = self._known[place] = self._balances(period, at)
        return known

    def _balances(self, period: Period, at: int) -> tuple[BalancePlan, ...]:
        found: dict[str, BalancePlan] = {}
        for holding in (self.holding(at), *reversed(self.holdings)):
            if holding.since <= at or holding is self.holdings[0]:
                for balance in holding.plan.balances:
                    found.setdefault(balance.key, balance)
        return tuple(
            replace(balance, allowance=self.allowance(balance.key, period))
            for balance in found.values()
        )

    def change(self, holding: Holding) -> Standing:
        """With another plan from an instant on; what was to come after that no longer comes."""
        kept = tuple(each for each in self.holdings if each.since < holding.since)
        return replace(self, holdings=(*kept, holding))

    def allow(self, key: str, own: Own) -> Standing:
        """With another allowance of a balance; of two from one period the later decided holds."""
        return replace(self, own={**self.own, key: (*self.own.get(key, ()), own)})


def _find(plan: Plan, key: str) -> BalancePlan | None:
    try:
        return plan.balance(key)
    except KeyError:
        return None
