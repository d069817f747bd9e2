"""Counted things: segments, seconds, mails, sessions and whatever a meter names (SM-1, VO-1, MT-1).

Owns how many units a fact is, which rows price them, and how a chain of balances shares them: unit
balances pay whole units, money pays the rest at the row's price. Messages that conversations may
cover are `rate`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from domain.books import Basis, FreeCount, Increments, Row, Tier
from domain.draw import UNIT
from domain.facts import Fact
from domain.plans import Chain
from domain.terms import Terms

#: Bases of what is counted; of several that a chain names the first step's holds.
COUNTED = (Basis.PER_SEGMENT, Basis.PER_MINUTE, Basis.PER_UNIT)

#: Tariffs remembered for one tenant, some 400 bytes each: a month of categories in few markets.
TARIFFS_MAX = 128

#: Seconds of what a row per minute prices.
MINUTE_SECONDS = 60


class TierPrice(NamedTuple):
    """One tier of a schedule; a row without tiers is one that has no end."""

    rule_id: int
    price: int | None  #: picos; None is "no rate"
    tier: Tier | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitTariff:
    """How counted units of one kind are charged on one date."""

    basis: Basis
    charged_on: str
    increments: Increments | None
    free_count: FreeCount | None
    schedule: tuple[TierPrice, ...]
    count: str  #: the name of the month's count of charged units that tiers go by
    payers: tuple[tuple[int, bool], ...]  #: balance, and whether it holds units

    @property
    def divisor(self) -> int:
        """Units that one price is for."""
        return MINUTE_SECONDS if self.basis is Basis.PER_MINUTE else 1


class Share(NamedTuple):
    """A number of units that one tier prices."""

    price: TierPrice
    units: int  #: micros


def unit_tariff(
    terms: Terms,
    channel: str,
    category: str,
    direction: str,
    market: str,
    date: int,
    *,
    meter: bool = False,
) -> UnitTariff | None:
    """The tariff of what is counted; None where no chain pays it or no row speaks of it.

    Of recorded usage `category` is the meter, which a row must name itself (MT-1).
    """
    key = (channel, category, direction, market, date, meter)
    try:
        return terms.tariffs[key]  # type: ignore[return-value]
    except KeyError:
        pass
    if len(terms.tariffs) >= TARIFFS_MAX:
        terms.tariffs.clear()
    found = terms.tariffs[key] = _find(terms, channel, category, direction, market, date, meter)
    return found


def counted(chain: Chain) -> bool:
    """Whether a chain pays by what is counted, rather than by message or conversation."""
    return chain.steps[0].basis in COUNTED


def _find(
    terms: Terms, channel: str, category: str, direction: str, market: str, date: int, meter: bool
) -> UnitTariff | None:
    chain = terms.plan.chain(channel, category, direction)
    if chain is None or not counted(chain):
        return None
    basis = Basis.PER_UNIT if meter else chain.steps[0].basis
    rows = terms.book.schedule(basis, channel, category, direction, market, date)
    payers = [terms.balance_ids[step.balance] for step in chain.steps if step.basis is basis]
    if not rows or not payers or (meter and rows[0].category != category):
        return None
    return UnitTariff(
        basis=basis,
        charged_on=rows[0].charged_on,
        increments=rows[0].increments,
        free_count=rows[0].free_count,
        schedule=schedule_of(terms, rows),
        count=count_name(channel, market, category),
        payers=tuple((balance, terms.balances[balance].kind == "unit") for balance in payers),
    )


def schedule_of(terms: Terms, rows: Iterable[Row]) -> tuple[TierPrice, ...]:
    """The tiers of rows that answer for the same."""
    return tuple(TierPrice(terms.rule_ids[row.rule], row.price, row.tier) for row in rows)


def count_name(channel: str, market: str, category: str) -> str:
    """The count tiers go by: authentication and its international kind share one (PR-7)."""
    return f"tier/{channel}/{market}/{category.removesuffix('_international')}"


def units_of(fact: Fact, tariff: UnitTariff) -> int:
    """How many units a fact is, in micros; 0 is nothing to charge."""
    if tariff.basis is Basis.PER_SEGMENT:
        return max(fact.segments, 1) * UNIT
    if tariff.basis is Basis.PER_MINUTE:
        return billed_seconds(fact.seconds, tariff.increments) * UNIT
    return fact.quantity


def billed_seconds(seconds: int, increments: Increments | None) -> int:
    """What of an answered call is billed: the first seconds whole, then step by step (VO-1)."""
    if increments is None:
        return seconds
    over = max(seconds - increments.first, 0)
    return increments.first + -(-over // increments.step) * increments.step


def shares(schedule: tuple[TierPrice, ...], before: int, units: int) -> Iterator[Share]:
    """How the next `units` fall into tiers after `before` charged ones; micros, marginal (PR-7)."""
    for price in schedule:
        top = None if price.tier is None or price.tier.up_to is None else price.tier.up_to * UNIT
        if top is not None and before >= top:
            continue
        taken = units if top is None else min(units, top - before)
        yield Share(price, taken)
        before += taken
        units -= taken
        if not units:
            return
