"""The fold: facts of one tenant in, what changes out. The only caller of meter, rate and draw.

Owns the order of work on a fact, lateness and rollups; the ledger of the commit is `ledger`'s. Does
not own storage, the clock or the lock: it is called under it, with the instant.

Facts are taken in the order given, which is arrival; what is defined in fact order is marked LATE
where arrival may differ from it, and settled later (EV-9).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from domain import draw, meter
from domain.books import Basis
from domain.contacts import Contact
from domain.counted import rate_counted
from domain.facts import REACHED, Direction, Fact, Flag, Status, Type
from domain.ledger import Ledger
from domain.periods import SECOND
from domain.purse import Rated
from domain.rate import is_charged_when_sent, rate_message, rate_visit
from domain.state import (
    CONVERSATIONS,
    COST,
    EMAILS,
    MESSAGES_FREE,
    MESSAGES_IN,
    MESSAGES_OUT,
    SECONDS,
    SEGMENTS,
    SESSIONS,
    UNITS,
    USAGE,
    VISITORS,
    Changes,
    Dimensions,
    Outcome,
    Part,
    State,
)
from domain.terms import NumberTerms, Terms

#: Stored causes of commits; a number never changes meaning.
FACTS, ACTION, TIME = 1, 2, 3

RECEIVED = Type.MESSAGE_RECEIVED

#: What an inbound call may be priced by; a visitor is no call.
OF_CALLS = tuple(basis for basis in Basis if basis is not Basis.PER_VISITOR)

#: What is charged by the units it counts.
COUNTED = frozenset({Type.SESSION_ENDED, Type.EMAIL_SENT, Type.USAGE_RECORDED})

NOTHING: tuple[Part, ...] = ()


def fold(
    terms: Terms,
    state: State,
    facts: Iterable[Fact],
    repeated: Mapping[bytes, int],
    now: int,
) -> Changes:
    """Fold facts into a tenant's state.

    `repeated` has the keys of facts whose message another fact has charged, and when (EV-5).
    """
    work = Fold(terms, state, now)
    work.ledger.advance()
    for fact in facts:
        began = fact.at - fact.seconds * SECOND if fact.type is Type.CALL_ENDED else fact.at
        work.terms = terms.at(began)  # the plan and the book of its own time
        work.fact(fact, repeated.get(fact.key))
    work.ledger.close()
    return work.changes


def advance(terms: Terms, state: State, now: int) -> Changes:
    """Bring a tenant to `now` without any fact: what lapses, begins, is granted and paid off."""
    changes = Changes(terms, state, TIME)
    ledger = Ledger(terms, state, changes, now)
    ledger.advance()
    ledger.close()
    return changes


class Fold:
    """One tenant's commit in the making."""

    def __init__(self, terms: Terms, state: State, now: int) -> None:
        self.terms = terms
        self.state = state
        self.changes = Changes(terms, state, FACTS)
        self.ledger = Ledger(terms, state, self.changes, now)

    def fact(self, fact: Fact, charged_at: int | None) -> None:
        """Take one fact: meter, rate, draw, and note what came of it.

        `charged_at` is when another fact charged its message, None where none did.
        """
        number = self.terms.numbers[fact.number_id]
        kind = fact.type
        status, market, parts = Status.ACCEPTED, "", NOTHING
        if charged_at is not None:
            flags = Flag.REPEATED | (Flag.LATE if fact.at < charged_at else Flag.NONE)
        elif kind is RECEIVED:
            flags, parts = self._received(fact, number)
            if flags & Flag.VISITOR and not parts:
                status = Status.UNRATED
        elif kind in REACHED or (
            kind is Type.MESSAGE_SENT and is_charged_when_sent(self.terms, fact)
        ):
            market = self._market(fact, number, fact.at)
            flags, parts = self._reached(fact, number, market)
            if not parts:
                status = Status.UNRATED
        elif kind is Type.CALL_ENDED:
            status, flags, market, parts = self._called(fact, number)
        elif kind in COUNTED:
            market = self._market(fact, number, fact.at)
            flags, parts = self._counted(fact, number, market)
            if not parts:
                status = Status.UNRATED
        else:
            flags = Flag.NONE
        if parts and (len(parts) > 1 or len(parts[0].legs) > 1):
            flags |= Flag.FURTHER
        if flags & Flag.LATE:
            before = self.state.unsettled_from
            self.state.unsettled_from = fact.at if before is None else min(before, fact.at)
        self.changes.outcomes.append(Outcome(fact, status, flags, market, parts))

    def _received(self, fact: Fact, number: NumberTerms) -> tuple[int, tuple[Part, ...]]:
        """An inbound message: it moves the service window, and may be a visit."""
        terms, at = self.terms, fact.at
        contact = self._touch(fact, fact.party)
        rule = terms.book.windows.get(number.channel_name)
        flags = Flag.NONE
        if rule is not None:
            flags = meter.receive(contact, at, rule, entry=fact.entry)
        flags |= self._late(at, contact)
        usage = self._usage(fact)
        usage[MESSAGES_IN] += 1
        usage[SEGMENTS] += fact.segments
        chain = terms.plan.visitors
        if chain is None:
            return flags, NOTHING
        row = contact if fact.address == fact.party else self._touch(fact, fact.address)
        month = terms.zone.day(at).month
        if not meter.visit(self.state.contacts[(fact.channel, fact.address)], row, month):
            return flags, NOTHING
        usage[VISITORS] += 1
        date = number.zone.day(at).date
        rated = rate_visit(terms, chain, number.channel_name, at, date, self.ledger)
        return flags | Flag.VISITOR | self._book(at, rated, usage), rated.parts

    def _reached(
        self, fact: Fact, number: NumberTerms, market: str
    ) -> tuple[int, tuple[Part, ...]]:
        """A message that reached its contact: it may open a conversation, and is charged."""
        terms, at = self.terms, fact.at
        contact = self._touch(fact, fact.party)
        rule = terms.book.windows.get(number.channel_name)
        flags = Flag.NONE
        if rule is not None and fact.group is None and fact.type in REACHED:
            flags = meter.reach(contact, at, rule)
        usage = self._usage(fact)
        usage[MESSAGES_OUT] += 1
        usage[SEGMENTS] += fact.segments
        if flags & Flag.CONVERSATION_OPENED:
            usage[CONVERSATIONS] += 1
        rated = rate_message(terms, number, fact, contact, flags, market, self.ledger)
        if rated.flags & Flag.CONVERSATION_PAID and contact.conversation_opened_at == at:
            contact.conversation_paid = True
        elif rated.parts and not rated.parts[0].amount and not rated.covered:
            usage[MESSAGES_FREE] += 1
        return flags | self._late(at, contact) | self._book(at, rated, usage), rated.parts

    def _called(self, fact: Fact, number: NumberTerms) -> tuple[Status, int, str, tuple[Part, ...]]:
        """A call: its start decides on row, lots and period (VO-1), and moves the window (WI-1).

        An inbound one moves the service window, answered or not; one that was not answered costs
        nothing, and an inbound one only where the book has a row for it (EV-7).
        """
        at = fact.at - fact.seconds * SECOND
        flags = Flag.NONE
        rule = self.terms.book.windows.get(number.channel_name)
        if rule is not None and fact.direction is Direction.IN:
            contact = self._touch(fact, fact.party)
            flags = meter.receive(contact, at, rule, entry=False) | self._late(fact.at, contact)
        usage = self._usage(fact, at)
        if not fact.answered:
            return Status.ACCEPTED, flags, "", NOTHING
        direction = "in" if fact.direction is Direction.IN else "out"
        market = self._market(fact, number, at)
        rated = rate_counted(
            self.terms, number, fact, fact.category, direction, market, at, self.ledger
        )
        usage[SECONDS] += (rated.parts and self._seconds(rated)) or fact.seconds
        if not rated.parts and direction == "in" and not self._prices_calls(number):
            return Status.ACCEPTED, flags, market, NOTHING
        status = Status.ACCEPTED if rated.parts else Status.UNRATED
        return status, flags | self._book(at, rated, usage), market, rated.parts

    def _prices_calls(self, number: NumberTerms) -> bool:
        """Whether the book speaks of inbound calls on a number's channel."""
        book, channel = self.terms.book, number.channel_name
        return any(book.prices(basis, channel, "*", "in") for basis in OF_CALLS)

    def _counted(
        self, fact: Fact, number: NumberTerms, market: str
    ) -> tuple[int, tuple[Part, ...]]:
        """A session, a mail or recorded usage: so many units of its row (MT-1)."""
        kind, usage = fact.type, self._usage(fact)
        category = fact.meter if kind is Type.USAGE_RECORDED else fact.category
        rated = rate_counted(
            self.terms, number, fact, category, "out", market, fact.at, self.ledger
        )
        if kind is Type.SESSION_ENDED:
            usage[SESSIONS] += 1
            usage[SECONDS] += fact.seconds
        elif kind is Type.EMAIL_SENT:
            usage[EMAILS] += fact.quantity // draw.UNIT
        return self._book(fact.at, rated, usage), rated.parts

    def _market(self, fact: Fact, number: NumberTerms, at: int) -> str:
        """The market of a fact's contact on the local day of an instant (PR-6)."""
        date = number.zone.day(at).date
        return self.terms.book.market(number.channel_name, fact.address, date)

    def _seconds(self, rated: Rated) -> int:
        """The seconds that were billed."""
        return sum(part.units for part in rated.parts) // draw.UNIT

    def _touch(self, fact: Fact, party: str) -> Contact:
        contact = self.state.contact(fact.channel, party, fact.number_id)
        if not contact.dirty:
            contact.dirty = True
            self.changes.contacts.append(contact)
        return contact

    def _late(self, at: int, contact: Contact) -> int:
        """LATE where a later fact already moved what this one shares (EV-9)."""
        if at < contact.last_at:
            return Flag.LATE
        contact.last_at = at
        return Flag.NONE

    def _book(self, at: int, rated: Rated, usage: list[int]) -> int:
        """Note what lots paid, and roll it up; gives the flags that adds."""
        for part in rated.parts:
            if part.legs:
                usage[UNITS] += part.units
                if self.ledger.is_money(part.balance_id):
                    usage[COST] += part.amount
                self.ledger.use(part.legs, at)
        if rated.flags & Flag.OVERDRAWN:
            # At once, or what the next fact finds would depend on how facts are split into commits.
            self.ledger.pay_off(rated.parts[-1].balance_id)
        return rated.flags | Flag.LATE if rated.at_boundary else rated.flags

    def _usage(self, fact: Fact, at: int | None = None) -> list[int]:
        """The rollup a fact adds to: the local hour of its instant, or of `at`, and dimensions."""
        dimensions: Dimensions = (
            fact.number_id, fact.direction, fact.country, fact.category, fact.agent,
            fact.broadcast,
        )  # fmt: skip
        key = (self.terms.zone.hour_start(fact.at if at is None else at), dimensions)
        known = self.changes.usage.get(key)
        if known is None:
            known = self.changes.usage[key] = [0] * len(USAGE)
        return known
