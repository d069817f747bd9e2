"""The ledger of one commit: lots granted, drawn, paid off and lapsed, and its double-entry lines.

Owns lazily granted allowances (TZ-7, BA-3), overdrafts (BA-11), paying off (BA-5), what time alone
changes, and what a commit's transfers say (BA-10); it tells the watch what moved. It is the purse
that rating asks. Which fact costs what is decided in `fold` and `rate`; storage, the clock and the
lock are its caller's.
"""

from __future__ import annotations

from typing import NamedTuple

from domain import draw
from domain.draw import Leg
from domain.lots import Lot, LotSource
from domain.periods import Period, month_name, period
from domain.state import Changes, Counter, State, Transfer
from domain.terms import Terms
from domain.watch import AlertCause, Watch

#: Priorities of lots in drawing order (BA-1): what ends soonest by nature goes first.
ALLOWANCE_PRIORITY = 10
TOP_UP_PRIORITY = 20
OVERDRAFT_PRIORITY = 90

#: What pays off the negative part of its balance (BA-5); promotions where the plan says so.
CREDITS = frozenset({LotSource.ALLOWANCE, LotSource.TOP_UP, LotSource.ADJUSTMENT})

#: Stored causes of transfers; a number never changes meaning.
GRANT, USE, LAPSE, PAY_OFF, TOP_UP = 1, 2, 3, 4, 5
REFUND, ADJUST, TAKE_BACK = 6, 7, 8
INVOICED, OVERAGE, WRITTEN_OFF = 9, 10, 11

#: A lasting overdraft belongs to no month; 0 keeps it unique in its balance.
NO_MONTH = 0


class Moved(NamedTuple):
    """What a lot received by an action, in micros; negative: what it gave."""

    lot: Lot
    amount: int


class Ledger:
    """The figures of one tenant while a commit changes them."""

    def __init__(self, terms: Terms, state: State, changes: Changes, now: int) -> None:
        self.terms = terms
        self.state = state
        self.changes = changes
        self.now = now  #: what is booked is booked at this instant
        self.span = period(terms.zone, now)
        if state.period is None:
            state.period = self.span
        self.watch = Watch(state, changes, self.span)
        self._used: dict[int, int] = {}
        #: The latest start or end of a lot, or movement of what was not used: what is older may
        #: have come too late for it (EV-9).
        self.turned_at = max(
            (
                edge
                for lots in state.lots.values()
                for lot in lots
                for edge in (lot.starts_at, lot.ends_at)
                if edge is not None and edge <= now
            ),
            default=0,
        )
        self.turned_at = max(self.turned_at, state.moved_at)

    def is_money(self, balance_id: int) -> bool:
        """Whether a balance holds money rather than product units."""
        return self.terms.balances[balance_id].kind == "money"

    def paid_at(self, at: int) -> int:
        """The instant whose lots pay for what happened at `at`: its own (TZ-4)."""
        return at

    def use(self, legs: tuple[Leg, ...], at: int) -> None:
        """Note what lots paid for something that happened at `at`."""
        day = self.terms.zone.day(at).start
        span = self.span
        for lot, taken in legs:
            if day < span.start:
                lot.used_before += taken
            elif day < span.end:
                lot.used_within += taken
            lot_id = lot.lot_id
            self.changes.lots[lot_id] = lot
            self._used[lot_id] = self._used.get(lot_id, 0) + taken
            entry = self.changes.lot_days.get((lot_id, day))
            if entry is None:
                self.changes.lot_days[(lot_id, day)] = [taken, 0]
            else:
                entry[0] += taken

    def lots(self, balance_id: int, at: int) -> list[Lot]:
        """The balance's lots in drawing order, the allowance of `at`'s period granted (TZ-7)."""
        known = self.state.lots.get(balance_id)
        if known is None:
            known = self.state.lots[balance_id] = []
        month = self.terms.zone.day(at).month
        allowance = self.terms.allowances.get((balance_id, month))
        if allowance is None:
            allowance = self.terms.allowance(balance_id, period(self.terms.zone, at))
        if not allowance:
            return known
        for lot in known:
            if lot.month == month and lot.source is LotSource.ALLOWANCE:
                return known
        span = self._period(at)
        starts_at = max(span.start, self.terms.since or span.start)
        lot = self.new_lot(
            balance_id, LotSource.ALLOWANCE, allowance, starts_at, span.end,
            origin=f"allowance/{month_name(span.label)}", month=span.label,
            priority=ALLOWANCE_PRIORITY,
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
            origin="overdraft" if lasting else f"overdraft/{month_name(month)}",
        )  # fmt: skip

    def counter(self, name: str, number_id: int, month: int) -> Counter:
        """A free count, marked as changed: who asks for it is about to use it."""
        key = (name, number_id, month)
        counter = self.state.counters.get(key)
        if counter is None:
            counter = self.state.counters[key] = Counter(name, number_id, month)
        self.changes.counters[key] = counter
        return counter

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
        origin: str | None = None,
    ) -> Lot:
        """Open a lot; the caller books where its amount came from.

        `origin` names it within its balance, None: the action under way. Folded again, it is the
        lot it was.
        """
        if origin is None:
            origin = f"action/{self.state.action}"
        lot_id = self.state.lot_ids.get((balance_id, origin))
        if lot_id is None:
            lot_id = self.state.last_lot = self.state.last_lot + 1
        lot = Lot(
            lot_id=lot_id,
            balance_id=balance_id,
            source=source,
            priority=priority,
            month=month,
            amount=amount,
            starts_at=starts_at,
            ends_at=ends_at,
            created_at=self.now,
            origin=origin,
        )
        lots = self.state.lots.setdefault(balance_id, [])
        lots.append(lot)
        self.state.lots[balance_id] = draw.order(lots)
        self.changes.lots[lot.lot_id] = lot
        self.watch.touch(balance_id)
        return lot

    def move(
        self, balance_id: int, debit: str | int, credit: str | int, amount: int, cause: int
    ) -> None:
        """Write one ledger line; an account is a lot's number or the name of a counter-account."""
        if amount < 0:
            debit, credit, amount = credit, debit, -amount
        if amount:
            self.changes.transfers.append(
                Transfer(self.now, balance_id, _account(debit), _account(credit), amount, cause)
            )

    def shift(
        self, balance_id: int, debit: Lot | str, credit: Lot | str, amount: int, cause: int
    ) -> None:
        """Move `amount` between lots, or a lot and a counter-account, without using it."""
        source, target = (
            side.lot_id if isinstance(side, Lot) else side for side in (debit, credit)
        )
        self.move(balance_id, source, target, amount, cause)
        self.state.moved_at = max(self.state.moved_at, self.now)
        for side, moved in ((debit, amount), (credit, -amount)):
            if isinstance(side, Lot):
                side.moved += moved
                self._moved(side, moved)

    def withdraw(self, balance_id: int, amount: int, account: str, cause: int) -> list[Moved]:
        """Move `amount` out of the lots in drawing order, without using it; the rest is owed."""
        moves: list[Moved] = []
        for lot in tuple(self.lots(balance_id, self.now)):
            taken = min(draw.have(lot, self.now), amount)
            if taken:
                self.shift(balance_id, lot, account, taken, cause)
                moves.append(Moved(lot, -taken))
                amount -= taken
        if amount:
            overdraft = self.overdraft(balance_id, self.now)
            self.shift(balance_id, overdraft, account, amount, cause)
            moves.append(Moved(overdraft, -amount))
        return moves

    def _moved(self, lot: Lot, moved: int) -> None:
        """Note what was moved from a lot at the ledger's instant (negative: to it)."""
        day = self.terms.zone.day_start(self.now)
        self.changes.lots[lot.lot_id] = lot
        self.watch.touch(lot.balance_id)
        if day < self.span.start:
            lot.moved_before += moved
        else:
            lot.moved_within += moved
        self.changes.lot_days.setdefault((lot.lot_id, day), [0, 0])[1] += moved

    def pay_off(self, balance_id: int) -> None:
        """Let what a balance holds fill what it owes (BA-5)."""
        lots = self.state.lots[balance_id]
        overdrafts = [lot for lot in lots if lot.source is LotSource.OVERDRAFT]
        if not any(lot.remaining < 0 for lot in overdrafts):
            return
        promotions = self.terms.balances[balance_id].promotion_pays_off
        for credit in lots:
            if credit.source not in CREDITS and not (
                promotions and credit.source is LotSource.PROMOTION
            ):
                continue
            for lot, amount in draw.pay_off(credit, overdrafts, self.now):
                self.move(balance_id, credit.lot_id, lot.lot_id, amount, PAY_OFF)
                self._moved(credit, amount)
                self._moved(lot, -amount)

    def advance(self) -> None:
        """Book what time changed since the last commit, each thing at its own instant (TZ-4).

        At an instant: lapse, grant, pay off (BA-5). Late, or in several steps, it books the same.
        Of the periods that nobody looked at, only those are granted whose allowances fill what is
        owed: the others' would lapse untouched, and are shown without being stored.
        """
        now, due = self.now, self.state.next_due
        if due is None or now < due:
            return
        edges = self._edges() | self._starts_while_owing(due)
        for edge in sorted(edge for edge in edges if due <= edge <= now):
            self.now = edge
            if edge <= self.state.latest_at:
                self.state.unsettle(edge)  # a fact from ahead of time had its share before
            self._lapse()
            if self.now >= self.span.start:
                self._grant()
            else:
                self._grant_what_owes()
            for balance_id in self.state.lots:
                self.pay_off(balance_id)
            self._note()
            self.watch.edge(self.terms, edge)
        self.now = now

    def close(self, cause: AlertCause = AlertCause.PAID_OFF) -> None:
        """Close the commit: usage, pay-offs and lapses as one ledger line each, and what is due.

        `cause` is what was done, of an action: it stands before the facts of its instant, and those
        ahead of it had come (EV-4).
        """
        if self.state.action:
            if self.now <= self.state.latest_at:
                self.state.unsettle(self.now)
            self.state.latest_at = max(self.state.latest_at, self.now)
        for lots in self.state.lots.values():
            for lot in lots:
                used = self._used.get(lot.lot_id, 0)
                self.move(lot.balance_id, lot.lot_id, "usage", used, USE)
        for balance_id in {lot.balance_id for lot in self.changes.lots.values()}:
            self.pay_off(balance_id)
        self._lapse()
        self.look(self.now, cause, self.state.action or f"paid_off/{self.now}")
        self.state.next_due = min(edge for edge in self._edges() if edge > self.now)

    def look(self, at: int, cause: AlertCause, cause_id: str) -> None:
        """Raise the alerts that a movement of an instant brings about, if anything moved."""
        if self.watch.moved:
            self.watch.look(self.terms, at, self.now, cause, cause_id)

    def _lapse(self) -> None:
        """Bring what lapsed of every lot to what it must be."""
        for lots in self.state.lots.values():
            for lot in lots:
                lapsed = draw.lapse(lot, self.now)
                if lapsed:
                    self.changes.lots[lot.lot_id] = lot
                    self.move(lot.balance_id, lot.lot_id, "lapsed", lapsed, LAPSE)

    def _grant(self) -> None:
        """Grant what the plan allows for the period, from the tenant's beginning on (TZ-7)."""
        if self.terms.since is None or self.terms.since <= self.now:
            for balance_id in self.terms.balances:
                self.lots(balance_id, self.now)

    def _grant_what_owes(self) -> None:
        """Grant a former period's allowances where they fill a lasting overdraft."""
        if self.terms.since is None or self.terms.since <= self.now:
            for balance_id in self._owing():
                self.lots(balance_id, self.now)

    def _owing(self) -> list[int]:
        """Balances whose overdraft is not paid off and outlives its period."""
        return [
            balance_id
            for balance_id, lots in self.state.lots.items()
            if any(lot.month == NO_MONTH and lot.remaining < 0 for lot in lots)
        ]

    def _starts_while_owing(self, due: int) -> set[int]:
        """The beginnings of the periods from `due` to the present one, if something is owed."""
        starts: set[int] = set()
        if self._owing():
            before = self.span.start
            while before >= due:
                starts.add(before)
                before = period(self.terms.zone, before - 1).start
        return starts

    def _note(self) -> None:
        """Mark what changes at this instant without a line: a watcher must hear of it as well."""
        for lots in self.state.lots.values():
            for lot in lots:
                noted = lot.remaining or self.now <= self.state.latest_at
                if noted and self.now in (lot.starts_at, lot.ends_at):
                    self.changes.lots[lot.lot_id] = lot
        if self.now == self.span.start and any(self.state.lots.values()):
            self._period(self.now)  # what was used is now opening, whatever the balance

    def _edges(self) -> set[int]:
        """The instants at which time alone may change a figure, to the end of the period."""
        edges = {self.span.start, self.span.end}
        if self.terms.since is not None:
            edges.add(self.terms.since)
        for lots in self.state.lots.values():
            for lot in lots:
                edges.add(lot.starts_at)
                if lot.ends_at is not None:
                    edges.add(lot.ends_at)
        edges |= {refilling.capped_until for refilling in self.state.refilling.values()}
        return edges

    def _period(self, at: int) -> Period:
        """The tenant's period of an instant, noted to be stored when it is new (TZ-1)."""
        found = period(self.terms.zone, at)
        if found.label not in self.state.periods:
            self.state.periods.add(found.label)
            self.changes.periods[found.label] = found
        return found


def _account(account: str | int) -> str:
    return f"lot/{account}" if isinstance(account, int) else account
