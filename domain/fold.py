"""The fold: facts of one tenant in, what changes out. The only caller of meter, rate and draw.

Owns the order of work on a fact, lazily granted allowances, rollups and the ledger lines of a
commit. Does not own storage, the clock or the lock: it is called under it, with the instant.

Facts are taken in the order given, which is arrival; what is defined in fact order is marked LATE
where arrival may differ from it, and settled later (EV-9).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from domain import draw, meter
from domain.books import Basis
from domain.contacts import Contact
from domain.facts import REACHED, Direction, Fact, Flag, Status, Type
from domain.lots import Lot, LotSource
from domain.periods import SECOND, Period, period
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
    Counter,
    Dimensions,
    Outcome,
    Part,
    State,
    Transfer,
)
from domain.tariffs import tariff
from domain.terms import NumberTerms, Terms

#: Priorities of lots in drawing order (BA-1): what ends soonest by nature goes first.
ALLOWANCE_PRIORITY = 10
TOP_UP_PRIORITY = 20
OVERDRAFT_PRIORITY = 90

#: What pays off the negative part of its balance (BA-5).
CREDITS = frozenset({LotSource.TOP_UP, LotSource.ADJUSTMENT})

#: Stored causes of transfers and commits; a number never changes meaning.
GRANT, USE, LAPSE, PAY_OFF, TOP_UP = 1, 2, 3, 4, 5
FACTS, ACTION = 1, 2

RECEIVED = Type.MESSAGE_RECEIVED

#: What an inbound call may be priced by; a visitor is no call.
OF_CALLS = tuple(basis for basis in Basis if basis is not Basis.PER_VISITOR)

NOTHING: tuple[Part, ...] = ()

#: A lasting overdraft belongs to no month; 0 keeps it unique in its balance.
NO_MONTH = 0


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
    work = Fold(terms, state, now, FACTS)
    for fact in facts:
        work.fact(fact, repeated.get(fact.key))
    return work.finish()


class Fold:
    """One tenant's commit in the making."""

    def __init__(self, terms: Terms, state: State, now: int, cause: int) -> None:
        self.terms = terms
        self.state = state
        self.now = now
        self.changes = Changes(terms, state, cause)
        self._used: dict[int, int] = {}

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
        rated = rate_visit(terms, chain, number.channel_name, at, date, self)
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
        rated = rate_message(terms, number, fact, contact, flags, market, self)
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
            found = tariff(self.terms, channel, fact.category, market, day.date)
            return found is not None and found.charged_on == "sent"
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
        changes = self.changes
        for part in rated.parts:
            if not part.legs:
                continue
            usage[UNITS] += part.units
            if self._is_money(part.balance_id):
                usage[COST] += part.amount
            day = self.terms.zone.day(at).start
            for lot, taken in part.legs:
                lot_id = lot.lot_id
                changes.lots[lot_id] = lot
                self._used[lot_id] = self._used.get(lot_id, 0) + taken
                entry = changes.lot_days.get((lot_id, day))
                if entry is None:
                    changes.lot_days[(lot_id, day)] = [taken, 0]
                else:
                    entry[0] += taken
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

    def _is_money(self, balance_id: int) -> bool:
        return self.terms.balances[balance_id].kind == "money"

    def _period(self, at: int) -> Period:
        """The tenant's period of an instant, noted to be stored when it is new (TZ-1)."""
        found = period(self.terms.zone, at)
        if found.label not in self.state.periods:
            self.state.periods.add(found.label)
            self.changes.periods[found.label] = found
        return found

    # What rating asks of the figures.

    def lots(self, balance_id: int, at: int) -> list[Lot]:
        """The balance's lots in drawing order, the allowance of `at`'s period granted (TZ-7)."""
        known = self.state.lots.get(balance_id)
        if known is None:
            known = self.state.lots[balance_id] = []
        allowance = self.terms.balances[balance_id].allowance
        if not allowance:
            return known
        month = self.terms.zone.day(at).month
        for lot in known:
            if lot.month == month and lot.source is LotSource.ALLOWANCE:
                return known
        span = self._period(at)
        starts_at = max(span.start, self.terms.since or span.start)
        lot = self.new_lot(
            balance_id, LotSource.ALLOWANCE, allowance, starts_at, span.end,
            month=span.label, priority=ALLOWANCE_PRIORITY,
        )  # fmt: skip
        self.move(balance_id, "allowance", lot.lot_id, allowance, GRANT)
        return self.state.lots[balance_id]

    def overdraft(self, balance_id: int, at: int) -> Lot:
        """The pot for usage nothing covered: a period's for units, a lasting one for money."""
        plan = self.terms.balances[balance_id]
        span = self._period(at)
        month = span.label if plan.kind == "unit" else NO_MONTH
        for lot in self.state.lots.get(balance_id, ()):
            if lot.source is LotSource.OVERDRAFT and lot.month == month:
                return lot
        lasting = month == NO_MONTH
        return self.new_lot(
            balance_id, LotSource.OVERDRAFT, 0, 0 if lasting else span.start,
            None if lasting else span.end, month=month, priority=OVERDRAFT_PRIORITY,
        )  # fmt: skip

    def counter(self, name: str, number_id: int, month: int) -> Counter:
        """A free count, marked as changed: who asks for it is about to use it."""
        key = (name, number_id, month)
        counter = self.state.counters.get(key)
        if counter is None:
            counter = self.state.counters[key] = Counter(name, number_id, month)
        self.changes.counters[key] = counter
        return counter

    # The ledger.

    def new_lot(
        self,
        balance_id: int,
        source: LotSource,
        amount: int,
        starts_at: int,
        ends_at: int | None,
        *,
        month: int | None,
        priority: int,
    ) -> Lot:
        """Open a lot; the caller books where its amount came from."""
        self.state.last_lot += 1
        lot = Lot(
            lot_id=self.state.last_lot,
            balance_id=balance_id,
            source=source,
            priority=priority,
            month=month,
            amount=amount,
            starts_at=starts_at,
            ends_at=ends_at,
            created_at=self.now,
        )
        lots = self.state.lots.setdefault(balance_id, [])
        lots.append(lot)
        self.state.lots[balance_id] = draw.order(lots)
        self.changes.lots[lot.lot_id] = lot
        return lot

    def move(
        self, balance_id: int, debit: str | int, credit: str | int, amount: int, cause: int
    ) -> None:
        """Write one ledger line; an account is a lot's number or the name of a counter-account."""
        if amount < 0:
            debit, credit, amount = credit, debit, -amount
        if amount:
            self.changes.transfers.append(
                Transfer(balance_id, _account(debit), _account(credit), amount, cause)
            )

    def _pay_off(self, balance_id: int) -> None:
        """Let what a balance holds fill what it owes; promotions and allowances do not."""
        day = self.terms.zone.day_start(self.now)
        lots = self.state.lots[balance_id]
        overdrafts = [lot for lot in lots if lot.source is LotSource.OVERDRAFT]
        if not any(lot.remaining < 0 for lot in overdrafts):
            return
        for credit in lots:
            if credit.source not in CREDITS:
                continue
            for lot, amount in draw.pay_off(credit, overdrafts, self.now):
                self.move(balance_id, credit.lot_id, lot.lot_id, amount, PAY_OFF)
                for side, moved in ((credit, amount), (lot, -amount)):
                    self.changes.lots[side.lot_id] = side
                    self.changes.lot_days.setdefault((side.lot_id, day), [0, 0])[1] += moved

    def finish(self) -> Changes:
        """Close the commit: usage, pay-offs and lapses as one ledger line each, and what is due."""
        for lots in self.state.lots.values():
            for lot in lots:
                used = self._used.get(lot.lot_id, 0)
                self.move(lot.balance_id, lot.lot_id, "usage", used, USE)
        for balance_id in {lot.balance_id for lot in self.changes.lots.values()}:
            self._pay_off(balance_id)
        for lots in self.state.lots.values():
            for lot in lots:
                lapsed = draw.lapse(lot, self.now)
                if lapsed:
                    self.changes.lots[lot.lot_id] = lot
                    self.move(lot.balance_id, lot.lot_id, "lapsed", lapsed, LAPSE)
        due = period(self.terms.zone, self.now).end
        for lots in self.state.lots.values():
            for lot in lots:
                for boundary in (lot.starts_at, lot.ends_at):
                    if boundary is not None and self.now < boundary < due:
                        due = boundary
        self.state.next_due = due
        return self.changes


def _account(account: str | int) -> str:
    return f"lot/{account}" if isinstance(account, int) else account
