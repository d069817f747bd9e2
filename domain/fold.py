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
from domain.facts import REACHED, Direction, Fact, Flag, Status, Type
from domain.ledger import Ledger
from domain.periods import SECOND
from domain.rate import Rated, rate_message, rate_visit
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
        elif kind in REACHED:
            market = self.terms.book.market(
                number.channel_name, fact.address, number.zone.day(fact.at).date
            )
            flags, parts = self._reached(fact, number, market)
            if not parts:
                status = Status.UNRATED
        else:
            flags = self._called(fact, number) if kind is Type.CALL_ENDED else Flag.NONE
            if self._chargeable(fact, number):
                status = Status.UNRATED
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
        if rule is not None and fact.group is None:
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

    def _called(self, fact: Fact, number: NumberTerms) -> int:
        """An inbound call moves the service window from its start on, answered or not (WI-1)."""
        rule = self.terms.book.windows.get(number.channel_name)
        if rule is None or fact.direction is not Direction.IN:
            return Flag.NONE
        contact = self._touch(fact, fact.party)
        opened = meter.receive(contact, fact.at - fact.seconds * SECOND, rule, entry=False)
        return opened | self._late(fact.at, contact)

    def _chargeable(self, fact: Fact, number: NumberTerms) -> bool:
        """Whether the fact costs something by its kind, so that it is unrated without a row (EV-7).

        Calls, sessions, mails and recorded usage are counted here, whatever they cost.
        """
        kind = fact.type
        if kind is Type.MESSAGE_FAILED:
            return False
        day = number.zone.day(fact.at)
        book = self.terms.book
        if kind is Type.MESSAGE_SENT:
            channel = number.channel_name
            market = book.market(channel, fact.address, day.date)
            rows = (
                book.row(basis, channel, fact.category, "out", market, day.date) for basis in Basis
            )
            return any(row is not None and row.charged_on == "sent" for row in rows)
        usage = self._usage(fact)
        if kind is Type.CALL_ENDED:
            usage[SECONDS] += fact.seconds if fact.answered else 0
            return fact.answered and (
                fact.direction is Direction.OUT
                or any(book.prices(basis, number.channel_name, "*", "in") for basis in OF_CALLS)
            )
        if kind is Type.SESSION_ENDED:
            usage[SESSIONS] += 1
            usage[SECONDS] += fact.seconds
        elif kind is Type.EMAIL_SENT:
            usage[EMAILS] += fact.quantity // draw.UNIT
        return True

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

    def _usage(self, fact: Fact) -> list[int]:
        """The rollup a fact adds to: its local hour and dimensions."""
        dimensions: Dimensions = (
            fact.number_id, fact.direction, fact.country, fact.category, fact.agent,
            fact.broadcast,
        )  # fmt: skip
        key = (self.terms.zone.hour_start(fact.at), dimensions)
        known = self.changes.usage.get(key)
        if known is None:
            known = self.changes.usage[key] = [0] * len(USAGE)
        return known
