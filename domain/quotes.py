"""Quotes: what facts that did not happen would be charged (OC-6).

Owns what a quote says and how it is summed from outcomes. The charging itself is the fold's, on a
state that is thrown away afterwards: a quote and a charge cannot disagree. Amounts are micros.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from domain.explain import Why, Window, why
from domain.facts import Fact, Status
from domain.figures import figures
from domain.fold import advance, fold
from domain.lots import Lot, LotSource
from domain.reading import reading_of
from domain.state import Changes, Outcome, Part, State
from domain.terms import Terms


@dataclass(slots=True, kw_only=True)
class Line:
    """What messages of one market and category cost by one rule from one balance."""

    market: str
    category: str
    rule: str
    balance: str
    reason: Why
    price: int | None  #: 10^-12 of the currency; None where units pay, or nothing is charged
    count: int = 0  #: messages; one that several balances pay stands in a line of each
    units: int = 0
    amount: int = 0  #: of the balance's unit


@dataclass(slots=True)
class Unrated:
    """Messages that no rate covers."""

    market: str
    category: str
    count: int = 0


@dataclass(frozen=True, slots=True)
class Leg:
    """What one lot would pay."""

    lot_id: int | None  #: None: it does not exist yet
    source: LotSource
    month: int | None
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one balance would pay, and whether it can."""

    balance: str
    amount: int
    legs: tuple[Leg, ...]  #: in the order they pay
    before: int  #: available without these facts
    after: int  #: available after them; negative where they take more than there is

    @property
    def shortfall(self) -> int:
        """What is missing for these facts; 0 where the balance suffices."""
        return max(-self.after, 0) if self.amount else 0


class Quote:
    """A running sum over outcomes; `state` is used up by it."""

    def __init__(
        self, terms: Terms, state: State, now: int, held: Mapping[str, int] | None = None
    ) -> None:
        """`held` is what open holds have of balances, by key: a send may not use it."""
        self._held = held or {}
        self.lines: dict[tuple[object, ...], Line] = {}
        self.unrated: dict[tuple[str, str], Unrated] = {}
        terms = terms.at(now)
        self._terms, self._state, self._now = terms, state, now
        self._keys = {number: key for key, number in terms.balance_ids.items()}
        # In the order of their versions: of two rows with one name the last published is meant.
        books = [view.book for _, view in terms.views] or [terms.book]
        self._rows = {terms.rule_ids[row.rule]: row for book in books for row in book.rows}
        self._last_lot = state.last_lot
        self._taken: dict[int, dict[int, int]] = {}
        self._latest = advance(terms, state, now)
        self._before = self._available()

    def add(self, facts: Iterable[Fact]) -> Changes:
        """Charge facts after those that were added before."""
        self._latest = fold(self._terms, self._state, facts, {}, self._now)
        for outcome in self._latest.outcomes:
            if outcome.status is Status.UNRATED:
                self._miss(outcome)
            for part in outcome.parts:
                self._sum(outcome, part)
        return self._latest

    def shares(self) -> list[Share]:
        """What each balance that a line names would pay, in the plan's order."""
        after = self._available()
        named = {line.balance for line in self.lines.values()}
        found = []
        for key in after:
            if key not in named:
                continue
            balance_id = self._terms.balance_ids[key]
            taken = self._taken.get(balance_id, {})
            legs = tuple(
                self._leg(lot, taken[lot.lot_id])
                for lot in self._state.lots.get(balance_id, ())
                if lot.lot_id in taken
            )
            found.append(
                Share(
                    balance=key,
                    amount=sum(taken.values()),
                    legs=legs,
                    before=self._before.get(key, 0),
                    after=after[key],
                )
            )
        return found

    def _miss(self, outcome: Outcome) -> None:
        place = (outcome.market, outcome.fact.category)
        self.unrated.setdefault(place, Unrated(*place)).count += 1

    def _sum(self, outcome: Outcome, part: Part) -> None:
        row = self._rows[part.rule_id]
        reason = why(row, part.amount, part.units, outcome.flags, self._inside(outcome.fact))
        place = (outcome.market, outcome.fact.category, part.rule_id, part.balance_id, reason)
        line = self.lines.get(place)
        if line is None:
            priced = part.amount and self._terms.balances[part.balance_id].kind == "money"
            line = self.lines[place] = Line(
                market=outcome.market,
                category=outcome.fact.category,
                rule=row.rule,
                balance=self._keys[part.balance_id],
                reason=reason,
                price=row.price if priced else None,
            )
        line.count += 1
        line.units += part.units
        line.amount += part.amount
        taken = self._taken.setdefault(part.balance_id, {})
        for lot, amount in part.legs:
            taken[lot.lot_id] = taken.get(lot.lot_id, 0) + amount

    def _inside(self, fact: Fact) -> list[Window]:
        """The windows around a fact, which stand after it as they stood for it."""
        contact = self._state.contact(fact.channel, fact.party, fact.number_id)
        service, entry = contact.in_service(fact.at), contact.in_entry(fact.at)
        return [Window.SERVICE] * service + [Window.ENTRY] * entry

    def _leg(self, lot: Lot, amount: int) -> Leg:
        stored = lot.lot_id <= self._last_lot
        return Leg(lot.lot_id if stored else None, lot.source, lot.month, amount)

    def _available(self) -> dict[str, int]:
        """What a send may use of each balance, in the plans' order."""
        reading = reading_of(self._latest, self._now)
        return {
            balance.key: figures(
                balance,
                reading.period,
                reading.at,
                reading.pots[balance.key].lots,
                since=self._terms.since,
                held=self._held.get(balance.key, 0),
                next_due=reading.next_due,
            ).available
            for balance in self._terms.standing.balances(reading.period, reading.at)
        }
