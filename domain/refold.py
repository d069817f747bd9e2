"""Folding again: facts and deeds of one tenant in fact order, and what they come to (EV-4).

Owns the order, and the cutting of it where time alone changes something: each stretch is folded as
if it had arrived then. What was posted is not looked at; `settle` compares. Storage is the
caller's, who brings inputs page by page with the contacts they speak of.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from domain.contacts import Contact
from domain.deeds import Charge, Deed, Past
from domain.facts import Direction, Fact, Type
from domain.fold import advance, fold
from domain.ledger import ADJUST, INVOICED, OVERAGE, PAY_OFF, REFUND, TAKE_BACK, WRITTEN_OFF
from domain.lots import Lot
from domain.periods import Zone
from domain.state import Changes, Outcome, State
from domain.terms import Terms
from domain.unpaid import leave


@dataclass(frozen=True, slots=True)
class Adjusted:
    """A fact of a closed period; it takes part when it came (EV-3)."""

    fact: Fact
    at: int


Input: TypeAlias = Fact | Deed | Adjusted

#: What one fact is sorted by.
Place: TypeAlias = tuple[int, int, str, str]

#: A balance, its two accounts, the cause of what moved between them, and the local day of what is
#: asked for by the day: what moved without being used (0: of no day).
Movement: TypeAlias = tuple[int, str, str, int, int]

#: The causes of that.
BY_DAY = frozenset({PAY_OFF, REFUND, ADJUST, TAKE_BACK, INVOICED, OVERAGE, WRITTEN_OFF})


def movement(zone: Zone, at: int, balance_id: int, debit: str, credit: str, cause: int) -> Movement:
    """What a line of the ledger, dated at an instant, is added to."""
    return (balance_id, debit, credit, cause, zone.day_start(at) if cause in BY_DAY else 0)


def place(one: Input) -> Place:
    """The place of an input: time, rank, source, id (EV-4)."""
    if isinstance(one, Deed):
        return (one.at, 0, "", one.key)
    if isinstance(one, Adjusted):
        return (one.at, 2, one.fact.source, one.fact.id)
    return (one.at, rank(one.type, one.direction), one.source, one.id)


def renamed(account: str, numbers: Mapping[int, int]) -> str:
    """An account, by the new number of its lot."""
    if not account.startswith("lot/"):
        return account
    lot_id = int(account[4:])
    return f"lot/{numbers.get(lot_id, lot_id)}"


def rank(kind: Type, direction: Direction) -> int:
    """Of one instant, what contacts did comes before the rest."""
    inbound = kind is Type.MESSAGE_RECEIVED or (
        kind is Type.CALL_ENDED and direction is Direction.IN
    )
    return 1 if inbound else 2


class Refold:
    """One tenant's log, folded from an opening state on.

    Of lots that were there before, `state` has the numbers by origin; others get new ones.
    """

    def __init__(self, terms: Terms, state: State, refunded: Collection[Charge] = ()) -> None:
        """`refunded` are the charges that some deed gives back."""
        self.terms = terms
        self.state = state
        self.past = Past(legs=dict.fromkeys(refunded, ()))
        self.moved: dict[Movement, int] = {}
        self.lot_days: dict[tuple[int, int], list[int]] = {}  #: used and moved, by lot and day
        self.lots: dict[int, Lot] = {}  #: every lot that was made or touched
        self.contacts: dict[int, Contact] = {}  #: touched since they were last taken
        self.present: int | None = None  #: what is ahead of it is taken at this instant

    def take(self, inputs: Iterable[Input], repeated: Mapping[bytes, int]) -> list[Outcome]:
        """Fold the next inputs, given in order; gives what became of their facts.

        `repeated` has the keys of facts whose message another fact charges, and when.
        """
        outcomes: list[Outcome] = []
        run: list[Fact | Adjusted] = []
        for one in inputs:
            at = self._now(one.at)
            if run and self._day(run[0]) != self._day(one):
                # What a fact lets be paid off is dated on its own day.
                outcomes += self._fold(run, repeated)
                run = []
            due = self.state.next_due
            if due is None or at >= due:
                outcomes += self._fold(run, repeated)
                run = []
                self.advance(at)
            if isinstance(one, Deed):
                outcomes += self._fold(run, repeated)
                run = []
                self._do(one)
            else:
                run.append(one)
        return outcomes + self._fold(run, repeated)

    def advance(self, now: int) -> None:
        """Bring everything to an instant: nothing more comes before it."""
        self._note(advance(self.terms, self.state, now))

    def leave(self, since: int, end: int) -> None:
        """Take out of the lots what periods that end from `since` to `end` leave unpaid (IN-8)."""
        self._note(leave(self.terms.at(end - 1), self.state, since, end))

    def number(self, last: int, made: Iterable[Lot] = ()) -> dict[int, int]:
        """Number lots that nobody has posted yet after `last`; gives their numbers by the old.

        Those in `made` were posted since the numbers in `state` were read: they keep theirs.
        """
        known = set(self.state.lot_ids.values())
        posted = {(lot.balance_id, lot.origin): lot.lot_id for lot in made}
        numbers: dict[int, int] = {}
        for lot in [lot for lot_id, lot in self.lots.items() if lot_id not in known]:
            number = posted.get((lot.balance_id, lot.origin))
            if number is None:
                number = last = last + 1
            days = [place for place in self.lot_days if place[0] == lot.lot_id]
            for lot_id, day in days:
                self.lot_days[number, day] = self.lot_days.pop((lot_id, day))
            del self.lots[lot.lot_id]
            numbers[lot.lot_id] = number
            lot.lot_id = number
            self.lots[number] = lot
        moved, self.moved = self.moved, {}
        for (balance_id, debit, credit, *rest), amount in moved.items():
            cause, day = rest
            accounts = renamed(debit, numbers), renamed(credit, numbers)
            self.moved[(balance_id, *accounts, cause, day)] = amount
        return numbers

    def _fold(self, run: list[Fact | Adjusted], repeated: Mapping[bytes, int]) -> list[Outcome]:
        if not run:
            return []
        facts = [one.fact if isinstance(one, Adjusted) else one for one in run]
        # A call that was there when its period was closed, and ended after it, is none of them.
        self.state.adjusted = {one.fact.key for one in run if isinstance(one, Adjusted)}
        changes = fold(self.terms, self.state, facts, repeated, self._now(run[-1].at))
        self._note(changes)
        legs = self.past.legs
        if legs:
            for outcome in changes.outcomes:
                for part, paid in enumerate(outcome.parts):
                    if (outcome.fact.key, part) in legs:
                        legs[outcome.fact.key, part] = [
                            (leg.lot.lot_id, leg.taken) for leg in paid.legs
                        ]
        return changes.outcomes

    def _day(self, one: Input) -> int:
        return self.terms.zone.day(self._now(one.at)).start

    def _now(self, at: int) -> int:
        return at if self.present is None else min(at, self.present)

    def _do(self, deed: Deed) -> None:
        self.state.action = deed.key
        self._note(deed.do(self.terms.at(deed.at), self.state, self.past))
        self.state.action = ""

    def _note(self, changes: Changes) -> None:
        self.past.note(changes.transfers)
        self.lots.update(changes.lots)
        for at, balance_id, debit, credit, amount, cause in changes.transfers:
            moved = movement(self.terms.zone, at, balance_id, debit, credit, cause)
            self.moved[moved] = self.moved.get(moved, 0) + amount
        for key, (used, shifted) in changes.lot_days.items():
            days = self.lot_days.setdefault(key, [0, 0])
            days[0] += used
            days[1] += shifted
        for contact in changes.contacts:
            contact.dirty = False
            self.contacts[id(contact)] = contact
