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
from domain.periods import Period, period
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
        """Take one fact: meter, rate, draw, and note what came of it."""
        number = self.terms.numbers[fact.number_id]
        status, flags, market = Status.ACCEPTED, Flag.NONE, ""
        parts: tuple[Part, ...] = ()
        usage: list[int] | None = None
        if charged_at is not None:
            flags = Flag.REPEATED | (Flag.LATE if fact.at < charged_at else Flag.NONE)
        elif fact.type is Type.MESSAGE_RECEIVED:
            flags, parts, usage = self._received(fact, number)
        elif fact.type in REACHED:
            status, flags, market, parts, usage = self._reached(fact, number)
        elif fact.type is Type.MESSAGE_SENT:
            status = self._sent(fact, number)
        elif fact.type is not Type.MESSAGE_FAILED:
            status, usage = self._other(fact)
        if len(parts) > 1 or (parts and len(parts[0].legs) > 1):
            flags |= Flag.FURTHER
        if flags & Flag.LATE:
            before = self.state.unsettled_from
            self.state.unsettled_from = fact.at if before is None else min(before, fact.at)
        if usage is not None:
            self._roll_up(fact, usage, parts)
        self.changes.outcomes.append(Outcome(fact, status, flags, market, parts))

    def _received(self, fact: Fact, number: NumberTerms) -> tuple[int, tuple[Part, ...], list[int]]:
        flags = Flag.NONE
        parts: tuple[Part, ...] = ()
        rule = self.terms.book.windows.get(number.channel.name.lower())
        contact = self._touch(fact, fact.party)
        if rule is not None:
            flags |= meter.receive(contact, fact.at, rule, entry=fact.entry)
        flags |= self._late(fact, contact)
        usage = [0] * len(USAGE)
        usage[MESSAGES_IN] = 1
        chain = self.terms.plan.visitors
        if chain is not None:
            row = contact if fact.address == fact.party else self._touch(fact, fact.address)
            month = self._period(fact.at).label
            rows = self.state.contacts[(fact.channel, fact.address)]
            if meter.visit(rows, row, month):
                rated = rate_visit(self.terms, chain, fact, number.zone.date(fact.at), self)
                usage[VISITORS] = 1
                flags |= Flag.VISITOR | self._book(fact, rated)
                parts = rated.parts
        return flags, parts, usage

    def _reached(
        self, fact: Fact, number: NumberTerms
    ) -> tuple[Status, int, str, tuple[Part, ...], list[int]]:
        terms = self.terms
        flags = Flag.NONE
        channel = number.channel.name.lower()
        contact = self._touch(fact, fact.party)
        rule = terms.book.windows.get(channel)
        if rule is not None and fact.group is None:
            flags |= meter.reach(contact, fact.at, rule)
        market = terms.book.market(channel, fact.address, number.zone.date(fact.at))
        rated = rate_message(terms, number, fact, contact, flags, market, self)
        flags |= self._late(fact, contact) | self._book(fact, rated)
        if rated.flags & Flag.CONVERSATION_PAID and contact.conversation_opened_at == fact.at:
            contact.conversation_paid = True
        usage = [0] * len(USAGE)
        usage[MESSAGES_OUT] = 1
        if flags & Flag.CONVERSATION_OPENED:
            usage[CONVERSATIONS] = 1
        if rated.parts and not any(part.amount for part in rated.parts):
            covered = contact.in_conversation(fact.at) and contact.conversation_paid
            usage[MESSAGES_FREE] = 0 if covered else 1
        status = Status.ACCEPTED if rated.parts else Status.UNRATED
        return status, flags, market, rated.parts, usage

    def _sent(self, fact: Fact, number: NumberTerms) -> Status:
        """A message on its way is charged only where its row says so; no such row is rated yet."""
        channel = number.channel.name.lower()
        date = number.zone.date(fact.at)
        market = self.terms.book.market(channel, fact.address, date)
        row = self.terms.book.row(Basis.PER_MESSAGE, channel, fact.category, "out", market, date)
        charged = row is not None and row.charged_on == "sent"
        return Status.UNRATED if charged else Status.ACCEPTED

    def _other(self, fact: Fact) -> tuple[Status, list[int]]:
        """Calls, sessions, mails and recorded usage: counted, and unrated without a row (EV-7)."""
        usage = [0] * len(USAGE)
        chargeable = True
        if fact.type is Type.CALL_ENDED:
            chargeable = fact.answered and (
                fact.direction is Direction.OUT or self._has_inbound_row(fact)
            )
            usage[SECONDS] = fact.seconds if fact.answered else 0
        elif fact.type is Type.SESSION_ENDED:
            usage[SESSIONS], usage[SECONDS] = 1, fact.seconds
        elif fact.type is Type.EMAIL_SENT:
            usage[EMAILS] = fact.quantity // draw.UNIT
        return (Status.UNRATED if chargeable else Status.ACCEPTED), usage

    def _has_inbound_row(self, fact: Fact) -> bool:
        channel = fact.channel.name.lower()
        return any(row.channel == channel and row.direction == "in" for row in self.terms.book.rows)

    def _touch(self, fact: Fact, party: str) -> Contact:
        contact = self.state.contact(fact.channel, party, fact.number_id)
        if not contact.dirty:
            contact.dirty = True
            self.changes.contacts.append(contact)
        return contact

    def _late(self, fact: Fact, contact: Contact) -> int:
        """LATE where a later fact already moved what this one shares (EV-9)."""
        if fact.at < contact.last_at:
            return Flag.LATE
        contact.last_at = fact.at
        return Flag.NONE

    def _book(self, fact: Fact, rated: Rated) -> int:
        """Note the legs of a fact's charges; gives the flags they add."""
        day = self.terms.zone.day_start(fact.at)
        for part in rated.parts:
            for lot, taken in part.legs:
                self._note_use(lot, day, taken)
        return rated.flags | (Flag.LATE if rated.at_boundary else Flag.NONE)

    def _note_use(self, lot: Lot, day: int, taken: int) -> None:
        lot_id = lot.lot_id
        self.changes.lots[lot_id] = lot
        self._used[lot_id] = self._used.get(lot_id, 0) + taken
        entry = self.changes.lot_days.get((lot_id, day))
        if entry is None:
            self.changes.lot_days[(lot_id, day)] = [taken, 0]
        else:
            entry[0] += taken

    def _roll_up(self, fact: Fact, usage: list[int], parts: tuple[Part, ...]) -> None:
        usage[SEGMENTS] += fact.segments
        for part in parts:
            usage[UNITS] += part.units if part.amount else 0
            if part.legs and self._is_money(part.balance_id):
                usage[COST] += part.amount
        dimensions: Dimensions = (
            fact.number_id, fact.direction, fact.country, fact.category, fact.agent,
            fact.broadcast,
        )  # fmt: skip
        key = (self.terms.zone.hour_start(fact.at), dimensions)
        known = self.changes.usage.get(key)
        if known is None:
            self.changes.usage[key] = usage
        else:
            for place, value in enumerate(usage):
                if value:
                    known[place] += value

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
        known = self.state.lots.setdefault(balance_id, [])
        allowance = self.terms.balances[balance_id].allowance
        if allowance:
            span = self._period(at)
            for lot in known:
                if lot.month == span.label and lot.source is LotSource.ALLOWANCE:
                    return known
            lot = self.new_lot(
                balance_id, LotSource.ALLOWANCE, allowance, span.start, span.end,
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
