"""The fold: facts of one tenant in, what changes out. What calls meter, rate, draw and watch.

Owns the order of work on a fact and lateness; the ledger of the commit is `ledger`'s. Does
not own storage, the clock or the lock: it is called under it, with the instant.

Facts are taken in the order given, which is arrival; what is defined in fact order is marked LATE
where arrival may differ from it, and settled later (EV-9). A fact that no rate covers is metered
and counted all the same; when its rate has come, it is rated and no more (EV-7).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from domain import meter
from domain.capture import judge
from domain.categories import forget_category
from domain.closed import NOT_OPENED, Adjusting, adjusted_at, mark
from domain.contacts import Contact
from domain.counted import prices_calls, rate_counted
from domain.facts import REACHED, Direction, Fact, Flag, Status, Type
from domain.ledger import Ledger
from domain.purse import UNRATED, Purse, Rated
from domain.rate import is_charged_when_sent, rate_message, rate_visit
from domain.rollup import add_usage, bucket, rated_later, usage_of
from domain.state import Changes, Outcome, Part, Revision, State
from domain.terms import NumberTerms, Terms
from domain.watch import AlertCause

#: Stored causes of commits; a number never changes meaning.
FACTS, ACTION, TIME, RATED, SETTLED, CLOSED, RESTORED = range(1, 8)

RECEIVED = Type.MESSAGE_RECEIVED

#: Messages that may be charged.
MESSAGES = REACHED | {Type.MESSAGE_SENT}

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
    work = Fold(terms, state, FACTS, now)
    work.ledger.advance()
    for fact in facts:
        work.terms = terms.at(fact.began)  # the plan and the book of its own time
        work.fact(fact, repeated.get(fact.key))
    work.ledger.close()
    return work.changes


def rate_kept(
    terms: Terms, state: State, kept: Iterable[tuple[Fact, int, int]], now: int
) -> Changes:
    """Rate facts that were kept without a rate, given in fact order (EV-7).

    Each comes with the flags and the number of its latest revision. Nothing it did when it came is
    done again; what still has no rate is left as it is.
    """
    work = Fold(terms, state, RATED, now)
    work.ledger.advance()
    for fact, flags, revision in kept:
        work.terms = terms.at(fact.began)
        work.kept(fact, flags, revision)
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

    def __init__(self, terms: Terms, state: State, cause: int, now: int) -> None:
        self.terms = terms
        self.state = state
        self.changes = Changes(terms, state, cause)
        self.ledger = Ledger(terms, state, self.changes, now)
        self.moved = self.ledger.watch.moved  #: balances that the watch has to look at

    def fact(self, fact: Fact, charged_at: int | None) -> None:
        """Take one fact: meter, rate, draw, and note what came of it.

        `charged_at` is when another fact charged its message, None where none did.
        """
        number = self.terms.numbers[fact.number_id]
        kind = fact.type
        status, market, parts = Status.ACCEPTED, "", NOTHING
        at = None
        if fact.at > self.state.latest_at:
            self.state.latest_at = fact.at
        if charged_at is not None:
            flags = Flag.REPEATED | (Flag.LATE if fact.at < charged_at else Flag.NONE)
            if fact.at == charged_at:
                self.state.unsettle(fact.at)  # which of the two charges, their names decide
        elif self.state.is_closed(fact):
            at = adjusted_at(fact, self.state.closed_until or 0)
            status, flags, market, parts = self._adjusted(fact, number, at)
            self.state.unsettle(at)  # of one request all came at one instant
        elif kind is RECEIVED:
            flags, parts = self._received(fact, number)
            if flags & Flag.VISITOR and not parts:
                status = Status.UNRATED
        elif self._charges_message(fact):
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
        if fact.hold is not None:
            flags |= judge(
                self.terms, self.changes, fact, flags, parts, self.ledger.now,
                charged=self._charges_message(fact),
            )  # fmt: skip
        if flags & Flag.LATE:
            self.state.unsettle(fact.at)
        self._roll_up(fact, at, usage_of(fact, status, flags, parts, self.ledger.is_money))
        self.changes.outcomes.append(Outcome(fact, status, flags, market, parts))
        if self.moved:
            self.ledger.look(fact.began if at is None else at, AlertCause.FACT, fact.key.hex())

    def kept(self, fact: Fact, flags: int, revision: int) -> None:
        """Rate a fact that was taken before: draw and roll up what being rated adds to it.

        It is late where a later fact of its contact was rated by the windows as they were without
        it, or had used up what it draws from.
        """
        number, at = self.terms.numbers[fact.number_id], fact.began
        closed_until = self.state.closed_until
        if closed_until is not None and at < closed_until:
            self._kept_closed(fact, number, flags, revision, adjusted_at(fact, closed_until))
            return
        contact = None
        if fact.type is RECEIVED:
            rated = self._rate_visit(fact, number)
        elif fact.type in MESSAGES:
            contact = self.state.contact(fact.channel, fact.party, fact.number_id)
            rated = self._rate_again(fact, number, contact, flags)
        else:
            rated = self._rate_units(fact, number, self._market(fact, number, at))
        if not rated.parts:
            return
        added = self._book(at, rated) | Flag.FURTHER
        if contact is not None:
            self._touched(contact)
            self._reckon(fact, contact, rated)
            added |= Flag.LATE if fact.at < contact.last_at else Flag.NONE
        if added & Flag.LATE:
            self.state.unsettle(fact.at)
        revised = Revision(fact, revision + 1, Status.ACCEPTED, flags | added, rated.parts)
        self._revise(revised, flags, None)

    def _kept_closed(
        self, fact: Fact, number: NumberTerms, flags: int, revision: int, at: int
    ) -> None:
        """Rate a kept fact whose period was closed meanwhile: what is open at `at` pays."""
        if flags & Flag.VISITOR:  # what is marked is the visit itself
            for row in self.state.contacts[(fact.channel, fact.address)]:
                row.visited = [each for each in row.visited if each != mark(self.terms, fact)]
        _, added, _, parts = self._adjusted(fact, number, at)
        if parts:
            self.state.unsettle(at)
            added |= flags & ~NOT_OPENED | Flag.FURTHER
            self._revise(Revision(fact, revision + 1, Status.ADJUSTED, added, parts), flags, at)

    def _revise(self, revised: Revision, flags: int, at: int | None) -> None:
        """Note a revision of an unrated fact, and roll up what being rated adds to it."""
        fact, is_money = revised.fact, self.ledger.is_money
        counted, before = rated_later, None
        if at is None:
            counted, before = usage_of, usage_of(fact, Status.UNRATED, flags, NOTHING, is_money)
        after = counted(fact, revised.status, revised.flags, revised.parts, is_money)
        self._roll_up(fact, at, after, before)
        self.changes.revisions.append(revised)
        self.ledger.look(fact.began if at is None else at, AlertCause.RATED, fact.key.hex())

    def _received(self, fact: Fact, number: NumberTerms) -> tuple[int, tuple[Part, ...]]:
        """An inbound message: it moves the service window, and may be a visit."""
        terms, at = self.terms, fact.at
        contact = self._touch(fact, fact.party)
        rule = terms.book.windows.get(number.channel_name)
        flags = Flag.NONE
        if rule is not None:
            flags = meter.receive(contact, at, rule, entry=fact.entry)
        flags |= self._late(at, contact)
        if terms.plan.visitors is None:
            return flags, NOTHING
        row = contact if fact.address == fact.party else self._touch(fact, fact.address)
        month = terms.zone.day(at).month
        rows = self.state.contacts[(fact.channel, fact.address)]
        if not meter.visit(rows, row, month):
            if any(at <= each.last_at for each in rows if each is not contact):
                self.state.unsettle(at)  # it may have come first, to another number
            return flags, NOTHING
        rated = self._rate_visit(fact, number)
        return flags | Flag.VISITOR | self._book(at, rated), rated.parts

    def _adjusted(
        self, fact: Fact, number: NumberTerms, at: int
    ) -> tuple[Status, int, str, tuple[Part, ...]]:
        """A fact of a closed period: rated by its own time, paid at `at`; nothing else changes."""
        began, kind, fact.arrived_at = fact.began, fact.type, at
        book, channel = self.terms.book, number.channel_name
        purse = Adjusting(self.ledger, at)
        known = self.state.closing.get(fact.key)
        contact = known or Contact(fact.channel, fact.party, fact.number_id)
        market, flags, rated, chargeable = "", Flag.NONE, UNRATED, True
        if kind is RECEIVED:
            rows, month = self.state.contacts[(fact.channel, fact.address)], mark(self.terms, fact)
            visited = [*contact.visited, *(-each for row in rows for each in row.visited)]
            chargeable = self.terms.plan.visitors is not None and -month not in visited
            if chargeable:
                flags = Flag.VISITOR
                self._touch(fact, fact.address).visited.append(month)
                rated = self._rate_visit(fact, number, purse)
        elif self._charges_message(fact):
            market = self._market(fact, number, began)
            rule = book.windows.get(channel)
            opened = Flag.NONE
            if rule is not None and fact.group is None and kind in REACHED:
                opened = meter.reach(contact, began, rule)
            rated = rate_message(self.terms, number, fact, contact, opened, market, purse)
        elif kind is Type.CALL_ENDED or kind in COUNTED:
            market = self._market(fact, number, began)
            chargeable = kind is not Type.CALL_ENDED or (
                fact.answered
                and (fact.direction is not Direction.IN or prices_calls(book, channel))
            )
            if chargeable:
                rated = self._rate_units(fact, number, market, purse)
        else:
            chargeable = False
        status = Status.ADJUSTED if rated.parts or not chargeable else Status.UNRATED
        flags |= self._book(at, rated._replace(at_boundary=False)) & ~NOT_OPENED
        return status, flags, market, rated.parts

    def _charges_message(self, fact: Fact) -> bool:
        """Whether it is a status that charges its message (EV-5)."""
        if fact.type is Type.MESSAGE_SENT:
            return is_charged_when_sent(self.terms, fact)
        return fact.type in REACHED

    def _rate_visit(self, fact: Fact, number: NumberTerms, purse: Purse | None = None) -> Rated:
        chain = self.terms.plan.visitors
        if chain is None:
            return UNRATED
        date = number.zone.day(fact.at).date
        purse = purse or self.ledger
        return rate_visit(self.terms, chain, number.channel_name, fact.at, date, purse)

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
        rated = rate_message(terms, number, fact, contact, flags, market, self.ledger)
        self._reckon(fact, contact, rated)
        return flags | self._late(at, contact) | self._book(at, rated), rated.parts

    def _reckon(self, fact: Fact, contact: Contact, rated: Rated) -> None:
        """Note the conversation that a rated message opened and paid: it covers others."""
        if rated.flags & Flag.CONVERSATION_PAID and contact.conversation_opened_at == fact.at:
            contact.conversation_paid = True

    def _rate_again(self, fact: Fact, number: NumberTerms, contact: Contact, flags: int) -> Rated:
        """Rate a kept message by what it opened and by its contact's windows as they now stand."""
        opened = flags & (Flag.CONVERSATION_OPENED | Flag.ENTRY_OPENED)
        if fact.at < contact.last_at:
            opened &= ~Flag.ENTRY_OPENED  # it would close what was opened after it
        if flags & Flag.CATEGORY_OPENED:
            forget_category(contact, fact)
        market = self._market(fact, number, fact.at)
        return rate_message(self.terms, number, fact, contact, opened, market, self.ledger)

    def _called(self, fact: Fact, number: NumberTerms) -> tuple[Status, int, str, tuple[Part, ...]]:
        """A call: its start decides on row, lots and period (VO-1), and moves the window (WI-1).

        An inbound one moves the service window, answered or not; one that was not answered costs
        nothing, and an inbound one only where the book has a row for it (EV-7).
        """
        at = fact.began
        flags = Flag.NONE
        rule = self.terms.book.windows.get(number.channel_name)
        if rule is not None and fact.direction is Direction.IN:
            contact = self._touch(fact, fact.party)
            flags = meter.receive(contact, at, rule, entry=False) | self._late(fact.at, contact)
        if not fact.answered:
            return Status.ACCEPTED, flags, "", NOTHING
        market = self._market(fact, number, at)
        rated = self._rate_units(fact, number, market)
        inbound = fact.direction is Direction.IN
        book, channel = self.terms.book, number.channel_name
        if not rated.parts and inbound and not prices_calls(book, channel):
            return Status.ACCEPTED, flags, market, NOTHING
        status = Status.ACCEPTED if rated.parts else Status.UNRATED
        return status, flags | self._book(at, rated), market, rated.parts

    def _counted(
        self, fact: Fact, number: NumberTerms, market: str
    ) -> tuple[int, tuple[Part, ...]]:
        """A session, a mail or recorded usage: so many units of its row (MT-1)."""
        rated = self._rate_units(fact, number, market)
        return self._book(fact.at, rated), rated.parts

    def _rate_units(
        self, fact: Fact, number: NumberTerms, market: str, purse: Purse | None = None
    ) -> Rated:
        category = fact.meter if fact.type is Type.USAGE_RECORDED else fact.category
        call = fact.type is Type.CALL_ENDED
        direction = "in" if call and fact.direction is Direction.IN else "out"
        return rate_counted(
            self.terms, number, fact, category, direction, market, fact.began,
            purse or self.ledger,
        )  # fmt: skip

    def _market(self, fact: Fact, number: NumberTerms, at: int) -> str:
        """The market of a fact's contact on the local day of an instant (PR-6)."""
        date = number.zone.day(at).date
        return self.terms.book.market(number.channel_name, fact.address, date)

    def _touch(self, fact: Fact, party: str) -> Contact:
        return self._touched(self.state.contact(fact.channel, party, fact.number_id))

    def _touched(self, contact: Contact) -> Contact:
        if not contact.dirty:
            contact.dirty = True
            self.changes.contacts.append(contact)
        return contact

    def _late(self, at: int, contact: Contact) -> int:
        """LATE where a later fact already moved what this one shares (EV-9)."""
        if at <= contact.last_at:
            if at < contact.last_at:
                return Flag.LATE
            self.state.unsettle(at)  # of one instant rank and name decide: nobody remembers those
        contact.last_at = at
        return Flag.NONE

    def _book(self, at: int, rated: Rated) -> int:
        """Note what lots paid; gives the flags that adds."""
        room = self.state.room
        for part in rated.parts:
            if part.legs:
                self.ledger.use(part.legs, at)
                balance_id = part.balance_id
                left = room[balance_id] = room.get(balance_id, 0) - part.amount
                if left <= 0:  # near a threshold, or nobody has looked yet
                    self.moved.add(balance_id)
        if rated.parts and at < self.ledger.turned_at:
            self.state.unsettle(at)
        if rated.flags & Flag.OVERDRAWN:
            # At once, or what the next fact finds would depend on how facts are split into commits.
            self.ledger.pay_off(rated.parts[-1].balance_id)
        flags = rated.flags | Flag.LATE if rated.at_boundary else rated.flags
        return flags | Flag.COVERED if rated.covered else flags

    def _roll_up(
        self,
        fact: Fact,
        at: int | None,
        after: list[int] | None,
        before: list[int] | None = None,
    ) -> None:
        """Add what a fact counts for, less what it did before, to its hour or to that of `at`."""
        if after is not None:
            add_usage(self.changes.usage, bucket(self.terms, fact, at), after, before)
