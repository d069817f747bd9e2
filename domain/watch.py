"""Watching: which movement brings a balance to a threshold or its refill minimum, and what follows.

Owns thresholds and what they are compared with (AL-1), crossings (AL-2, AL-3), and the room above
the next one, so that a charge far from any costs a subtraction. `ledger` says what moved and when
to look, `refill_policy` what is refilled. An alert and a refill are acts, done once on live
figures: nothing here takes one back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from domain.lots import LotSource
from domain.money import MICRO
from domain.periods import Period, month_name
from domain.plans import BalancePlan
from domain.refill_policy import IDLE, Refill, decide, price_of

if TYPE_CHECKING:
    from domain.state import Changes, State
    from domain.terms import Terms

#: All of a base, in millionths of a percent.
ALL = 100 * MICRO

#: More than a balance may ever hold.
ENDLESS = 1 << 63


class AlertKind(IntEnum):
    """What an alert says; stored, a number never changes meaning."""

    THRESHOLD = 1  #: a threshold above zero was passed
    EXHAUSTED = 2  #: nothing is left of the base
    RECOVERED = 3  #: it is back at the threshold or above zero, or not watched for that any more
    OVERDRAWN = 4  #: the balance as a whole owes more than its credit limit
    REFILL_STARTED = 5  #: it reached its refill minimum, and its refill is to be paid
    REFILL_SUCCEEDED = 6
    REFILL_FAILED = 7
    REFILL_OFF = 8  #: it is not refilled any more, for the last one could not be paid
    REFILL_CAP = 9  #: it would be refilled, and a cap of its policy forbids that
    TOPPED_UP = 10  #: what the tenant bought was paid
    RUNNING_OUT = 11  #: it is forecast to be used up soon
    INVOICE_ISSUED = 12
    INVOICE_PAID = 13  #: nothing is left to pay of it
    INVOICE_OVERDUE = 14  #: its due day is over, and something is left to pay
    SUBSCRIPTION_ENDING = 15  #: its last day served is near


#: What says that a threshold is passed; RECOVERED says that it no longer is.
PASSING = frozenset(
    {AlertKind.THRESHOLD, AlertKind.EXHAUSTED, AlertKind.OVERDRAWN, AlertKind.RUNNING_OUT}
)


class Measure(IntEnum):
    """What a threshold is compared with; stored."""

    NONE = 0  #: there is no threshold: it is of no balance
    PERCENT = 1  #: what remains of the base's lots, in millionths of a percent of the base
    UNITS = 2  #: the same in micros of the balance's unit
    WHOLE = 3  #: what remains of all lots, and the credit limit, in micros
    DAYS = 4  #: how long it is forecast to last, in millionths of a day


class AlertCause(IntEnum):
    """What moved the balance; stored."""

    FACT = 1
    RATED = 2  #: a fact was rated that had come before its rate (EV-7)
    TOP_UP = 3
    ADJUSTMENT = 4
    REFUND = 5
    PLAN = 6  #: another plan or allowance added something at once
    TIME = 7  #: a lot began or ended
    RESET = 8  #: a period began
    SETTLED = 9  #: what a settling posted, its net
    PAID_OFF = 10
    THRESHOLDS = 11  #: other thresholds were set
    REFILLS = 12  #: another refill policy was set, or may charge again
    PAYMENT = 13  #: what became of a payment
    FORECAST = 14
    INVOICE = 15  #: what became of an invoice
    SUBSCRIPTION = 16  #: what was agreed of a subscription, or its last day


#: What moves nothing out of a balance: where nothing was ever there it says nothing.
OF_ITSELF = frozenset({AlertCause.RESET, AlertCause.THRESHOLDS, AlertCause.REFILLS})


class Threshold(NamedTuple):
    """A line that a balance is watched for; 0 is reached at 0, any other is passed below it."""

    measure: Measure
    value: int


#: Of every balance, until a tenant says otherwise.
DEFAULTS = (Threshold(Measure.PERCENT, 40 * MICRO), Threshold(Measure.PERCENT, 0))

#: Below it a balance is overdrawn; nobody sets it.
OWED = Threshold(Measure.WHOLE, 0)

#: A balance that is below one of its thresholds.
Mark: TypeAlias = tuple[int, Threshold]


class Alert(NamedTuple):
    """What is raised of one threshold of one balance."""

    balance_id: int
    kind: AlertKind
    measure: Measure
    threshold: int
    remaining: int  #: micros: of the base's lots, of a WHOLE threshold of all lots
    base: int  #: micros; 0: there is none
    at: int  #: when what moved the balance took place
    cause: AlertCause
    cause_id: str  #: of one movement the same: a fact's key, an action's, or what time or we did

    @property
    def mark(self) -> Mark:
        return self.balance_id, Threshold(self.measure, self.threshold)


class Held(NamedTuple):
    """What thresholds are compared with, in micros."""

    remains: int  #: of the base's lots
    base: int
    whole: int  #: of all lots


class Part(Protocol):
    """What is asked of a lot."""

    @property
    def source(self) -> LotSource: ...
    @property
    def month(self) -> int | None: ...
    @property
    def amount(self) -> int: ...
    @property
    def remaining(self) -> int: ...
    @property
    def starts_at(self) -> int: ...
    @property
    def ends_at(self) -> int | None: ...
    @property
    def used_before(self) -> int: ...
    @property
    def moved_before(self) -> int: ...


def held(
    balance: BalancePlan, lots: Iterable[Part], allowance: int, period: Period, at: int
) -> Held:
    """What a balance holds at an instant of a period, beside its base (AL-1).

    `allowance` is the period's, which holds where no lot of it is stored yet (TZ-7). What was
    carried in counts as the period opened: what ended since is in the base and not in what remains.
    """
    granted = left = opening = topped_up = rest = 0
    for lot in lots:
        ends_at = lot.ends_at
        if lot.starts_at > at or (ends_at is not None and ends_at <= period.start):
            continue
        remains = lot.remaining if ends_at is None or at < ends_at else 0
        if lot.source is LotSource.ALLOWANCE:
            granted += lot.amount
            left += remains
            if lot.month == period.label:
                allowance = 0
            continue
        rest += remains
        if lot.starts_at < period.start:
            opening += lot.amount - lot.used_before - lot.moved_before
        elif lot.source in (LotSource.TOP_UP, LotSource.PROMOTION):
            topped_up += lot.amount
    granted, left = granted + allowance, left + allowance
    bought = max(opening, 0) + topped_up
    if balance.alert_base == "all":
        return Held(left + rest, granted + bought, left + rest)
    return Held(left, granted, left + rest) if granted else Held(rest, bought, rest)


def level(threshold: Threshold, base: int) -> int | None:
    """The least that remains without the threshold being passed; None: nothing can be said.

    Whole micros, so that the comparison is exact: a percentage has a level between two of them only
    where neither of the two is at it.
    """
    measure, value = threshold
    if value == 0:
        return 1
    if measure is Measure.UNITS:
        return value
    return -(-value * base // ALL) if base > 0 else None


def fold(marks: set[Mark], alerts: Iterable[Alert]) -> None:
    """Bring marks to what they are behind alerts, given in order."""
    for alert in alerts:
        if alert.kind == AlertKind.RECOVERED:
            marks.discard(alert.mark)
        elif alert.kind in PASSING:
            marks.add(alert.mark)


class Watch:
    """The watch over one tenant's balances while a commit changes them.

    `state.room` has what may be taken of a balance before anything can happen: who takes less only
    subtracts. Whatever else moves a balance says so, and then it is looked at.
    """

    __slots__ = ("_changes", "_span", "_state", "moved")

    def __init__(self, state: State, changes: Changes, span: Period) -> None:
        self._state = state
        self._changes = changes
        self._span = span  #: the present one
        self.moved: set[int] = set()  #: balances that have to be looked at

    def touch(self, balance_id: int) -> None:
        """Have a balance looked at: something of it changed that was not simply taken."""
        self._state.room.pop(balance_id, None)
        self.moved.add(balance_id)

    def edge(self, terms: Terms, at: int) -> None:
        """Look at what time did at an instant: lots began or ended, or the period did."""
        state = self._state
        if state.below is None:
            return
        for balance_id, lots in state.lots.items():
            if any(at in (lot.starts_at, lot.ends_at) for lot in lots):
                self.touch(balance_id)
        for balance_id, refilling in state.refilling.items():
            if refilling.capped_until == at:
                self.touch(balance_id)
        if at != self._span.start:
            self.look(terms, at, at, AlertCause.TIME, f"time/{at}")
            return
        for balance_id in (*state.lots, *(balance_id for balance_id, _ in state.below)):
            self.touch(balance_id)
        name = f"period/{month_name(self._span.label)}"
        self.look(terms, at, at, AlertCause.RESET, name)

    def look(self, terms: Terms, at: int, now: int, cause: AlertCause, cause_id: str) -> None:
        """Raise what a movement of an instant `at` brings about, as figures stand at `now`.

        One dated in a period that has ended raises nothing (TZ-7): the next one finds what it did.
        """
        moved, below = sorted(self.moved), self._state.below
        self.moved.clear()
        if below is None:
            self._state.room.update(dict.fromkeys(moved, ENDLESS))
        elif at >= self._span.start:
            for balance_id in moved:
                self._look(terms, balance_id, below, at, now, cause, cause_id)

    def _look(
        self,
        terms: Terms,
        balance_id: int,
        below: set[Mark],
        at: int,
        now: int,
        cause: AlertCause,
        cause_id: str,
    ) -> None:
        """Compare one balance with its thresholds, and note how far the next one is (AL-2, AL-3).

        A reset decides afresh: what is still below is told once more. What was passed and is not
        watched for any more is told to be over.
        """
        balance = terms.at(now).balances[balance_id]
        allowance = terms.allowance(balance_id, self._span)
        if terms.since is not None and now < terms.since:
            allowance = 0
        lots = self._state.lots.get(balance_id, ())
        found = held(balance, lots, allowance, self._span, now)
        reset = cause is AlertCause.RESET
        room, refills = self._refill(terms, balance, balance_id, found, at, now, cause, cause_id)
        anything = found.base or found.whole or _marked(below, balance_id)
        if cause in OF_ITSELF and not anything:
            self._changes.alerts += refills  # of thresholds nothing: nothing was ever there
            return
        lower, raised = list[Alert](), list[Alert]()
        thresholds = terms.thresholds.get(balance_id, DEFAULTS)
        for threshold, least in _levels(thresholds, found.base, balance.credit_limit):
            whole = threshold.measure is Measure.WHOLE
            amount = found.whole if whole else found.remains
            passed, mark = amount < least, (balance_id, threshold)
            if not passed:
                room = min(room, amount - least + 1)
            if passed is not (mark in below) or (passed and reset):
                (lower if passed else raised).append(
                    Alert(
                        balance_id, _kind(threshold) if passed else AlertKind.RECOVERED,
                        *threshold, amount, found.base, at, cause, cause_id,
                    )
                )  # fmt: skip
        self._state.room[balance_id] = room
        alerts = [*lower, *reversed(raised), *(
            Alert(
                balance_id, AlertKind.RECOVERED, *threshold, found.remains, found.base, at, cause,
                cause_id,
            )
            for threshold in _left(below, balance_id, thresholds)
        ), *refills]  # fmt: skip
        fold(below, alerts)
        self._changes.alerts += alerts

    def _refill(
        self,
        terms: Terms,
        balance: BalancePlan,
        balance_id: int,
        found: Held,
        at: int,
        now: int,
        cause: AlertCause,
        cause_id: str,
    ) -> tuple[int, list[Alert]]:
        """Decide whether a balance is refilled (RF-1); gives how far it is from that, and alerts.

        One whose refill is in flight, or that a cap forbids, waits for what is said of that.
        """
        policy, known = terms.refills.get(balance_id), self._state.refilling
        refilling = known.get(balance_id, IDLE)
        waits = refilling.in_flight or now < refilling.capped_until
        if policy is None or not policy.enabled or terms.suspended or waits:
            return ENDLESS, []
        if found.whole > policy.minimum:
            return found.whole - policy.minimum, []
        amount, known[balance_id] = decide(
            policy, refilling, found.whole, lambda amount: price_of(balance, amount),
            terms.zone, now,
        )  # fmt: skip
        kind = AlertKind.REFILL_CAP
        if amount:
            kind = AlertKind.REFILL_STARTED
            price = known[balance_id].price
            self._changes.refills.append(
                Refill(balance_id, amount, price, policy.minimum, now, cause_id)
            )
        return ENDLESS, [
            Alert(
                balance_id, kind, Measure.WHOLE, policy.minimum, found.whole, found.base, at, cause,
                cause_id,
            )
        ]  # fmt: skip


def _levels(
    thresholds: Sequence[Threshold], base: int, credit_limit: int
) -> list[tuple[Threshold, int]]:
    """Thresholds with their levels, in the order in which a debit passes them."""
    known = [(each, least) for each in thresholds if (least := level(each, base)) is not None]
    known.sort(key=lambda each: -each[1])
    return [*known, (OWED, -credit_limit)]


def _left(below: set[Mark], balance_id: int, thresholds: Sequence[Threshold]) -> list[Threshold]:
    """Passed thresholds of a balance that it is not watched for any more, lowest first."""
    known = {*thresholds, OWED}
    return sorted(
        each
        for of, each in below
        if of == balance_id and each not in known and each.measure is not Measure.DAYS
    )


def _kind(threshold: Threshold) -> AlertKind:
    if threshold.measure is Measure.WHOLE:
        return AlertKind.OVERDRAWN
    return AlertKind.THRESHOLD if threshold.value else AlertKind.EXHAUSTED


def _marked(below: set[Mark], balance_id: int) -> bool:
    return any(mark[0] == balance_id for mark in below)
