"""Subscriptions: what a tenant pays regularly, from which day to which, and its changes (IN-1).

Owns what was agreed, as values dated by local day: the terms of any day as they were known on any
other, the last day served, and when its coming is to be said. Does not own what a period's invoice
asks for (recurring), the allowances of a plan (changing, BA-12), days of a zone (periods), storage.

A change names the day it counts from and the day it was agreed on. Of two that name one thing the
later day holds from there on; of one day, the later agreed. So changes give the same in whatever
order they are read. Days are local dates of the tenant, months labels, amounts millionths.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final, NamedTuple, assert_never

from domain.documents import KEY, DocumentError, Table, nearest
from domain.fees import TOTAL_MAX, Component, Fees, Term, read_term
from domain.money import MICRO, text
from domain.periods import date_number, date_of, month_label
from domain.problems import Problem

#: Days before the last one from which its coming is said, where a tenant set nothing else.
NOTICE_DAYS: Final = 30


class SubscriptionError(DocumentError):
    """A subscription that was refused, with every problem found in it."""


@dataclass(frozen=True, slots=True)
class SetQuantity:
    """Another quantity of a component."""

    component: str
    quantity: int


@dataclass(frozen=True, slots=True)
class SwitchPlan:
    """The fees of another plan; components of the same key keep their quantity."""

    fees: Fees


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is asked for until it is resumed."""


@dataclass(frozen=True, slots=True)
class Resume:
    """All is asked for again."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """It ends."""

    last_day: int | None  #: served; None: the last one of the month, or of the commitment


@dataclass(frozen=True, slots=True)
class Renew:
    """It goes on: a cancellation is withdrawn, a commitment renewed."""


Deed = SetQuantity | SwitchPlan | Pause | Resume | Cancel | Renew


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something else was agreed."""

    key: str  #: its own: the same one is the same change
    day: int  #: it counts from, itself included
    agreed_on: int  #: the tenant's local day then
    agreed_at: int  #: the instant; with `key` the order of what was agreed
    deed: Deed


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What was agreed with a tenant, from its first day on."""

    key: str
    fees: Fees  #: of its first day
    start: int
    term: Term
    quantities: Mapping[str, int] = field(default_factory=dict)
    #: by component, of its first day, where they are not the fees' own
    changes: tuple[Change, ...] = ()  #: in any order


class Terms(NamedTuple):
    """What holds on one day."""

    fees: Fees
    quantities: tuple[int, ...]  #: of each component of the fees

    @property
    def rate(self) -> int:
        """What a whole period of it costs, in 10^-12 of the currency."""
        pairs = zip(self.fees.components, self.quantities, strict=True)
        return sum(component.price * quantity for component, quantity in pairs)

    def quantity(self, key: str) -> int:
        """How much of a component; 0 where the fees have none."""
        pairs = zip(self.fees.components, self.quantities, strict=True)
        return sum(quantity for component, quantity in pairs if component.key == key)


class Ending(NamedTuple):
    """The last day served, and from which day on its coming is said."""

    last_day: int
    say_on: int


def month_of(day: int) -> int:
    """The label of the month a local date falls in."""
    at = date_of(day)
    return month_label(at.year, at.month)


def days_of(month: int) -> tuple[int, int]:
    """The first and the last day of a month: dates, however long they are (TZ-3)."""
    year, place = divmod(month, 12)
    first = date_number(date(year, place + 1, 1))
    return first, first + monthrange(year, place + 1)[1] - 1


def known(subscription: Subscription, day: int | None) -> tuple[Change, ...]:
    """What was agreed by the end of a day, None: ever, in the order in which it counts."""
    return tuple(sorted(
        (each for each in subscription.changes if day is None or each.agreed_on <= day),
        key=lambda each: (each.day, each.agreed_at, each.key),
    ))  # fmt: skip


def terms(subscription: Subscription, day: int, changes: tuple[Change, ...]) -> Terms | None:
    """What holds on a day by these changes (`known`'s); None: it is paused.

    Whether it has begun and not ended is not asked.
    """
    fees, paused = subscription.fees, False
    quantities = {each.key: each.quantity for each in fees.components}
    quantities |= subscription.quantities
    for change in changes:
        if change.day > day:
            break
        match change.deed:
            case SetQuantity(component, quantity):
                if component in quantities:
                    quantities[component] = quantity
            case SwitchPlan(other):
                fees = other
                quantities = {
                    each.key: quantities.get(each.key, each.quantity) for each in fees.components
                }
            case Pause():
                paused = True
            case Resume():
                paused = False
            case Cancel() | Renew():
                pass
            case _ as never:
                assert_never(never)
    if paused:
        return None
    return Terms(fees, tuple(quantities[each.key] for each in fees.components))


def term_end(subscription: Subscription, day: int) -> int:
    """The last day of the month, or of the commitment, that a day falls in."""
    months = subscription.term.months
    if not months:
        return days_of(month_of(day))[1]
    place = 1
    while (last := _anniversary(subscription.start, place * months) - 1) < day:
        place += 1
    return last


def last_day(subscription: Subscription, changes: tuple[Change, ...]) -> int | None:
    """The last day served by these changes; None: it goes on. What was agreed last holds."""
    said = max(
        (each for each in changes if isinstance(each.deed, Cancel | Renew)),
        key=lambda each: (each.agreed_at, each.key),
        default=None,
    )
    if said is None:
        by_itself = subscription.term.months and not subscription.term.renews
        return term_end(subscription, subscription.start) if by_itself else None
    if not isinstance(said.deed, Cancel):
        return None
    day = said.deed.last_day
    return term_end(subscription, said.day) if day is None else day


def ending(subscription: Subscription, notice_days: int = NOTICE_DAYS) -> Ending | None:
    """When it ends, and the day from whose start SUBSCRIPTION_ENDING is said; None: it goes on.

    It is said once for each last day: that many days before, or on the day that made it known.
    """
    last = last_day(subscription, known(subscription, None))
    if last is None:
        return None
    agreed = [subscription.start] + [
        each.agreed_on for each in subscription.changes if isinstance(each.deed, Cancel | Renew)
    ]
    since = next(
        day for day in sorted(agreed)
        if all(
            last_day(subscription, known(subscription, later)) == last
            for later in agreed if later >= day
        )
    )  # fmt: skip
    return Ending(last, max(last - notice_days, since))


def parse_subscription(
    document: Mapping[str, object], known_fees: Mapping[str, Fees]
) -> Subscription:
    """Read what is agreed on a first day, or raise SubscriptionError with every problem."""
    top = Table(document)
    key = top.text("subscription", 'name it in lower case, as "main"', KEY)
    fees = known_fees.get(top.choice("fees", known_fees))
    start = top.date("start")
    term = read_term(top, None if fees is None else fees.term)
    quantities = _read_quantities(top, fees) if top.has("quantities") else {}
    top.close()
    if top.problems or fees is None:
        raise SubscriptionError(f"subscription {key}", top.problems)
    return Subscription(key=key, fees=fees, start=start, term=term, quantities=quantities)


def _read_quantities(top: Table, fees: Fees | None) -> dict[str, int]:
    table = top.table("quantities", 'write { seats = "10" }')
    components = {each.key: each for each in fees.components} if fees is not None else {}
    found: dict[str, int] = {}
    for name in table.fields():
        quantity = table.amount(name)
        component = components.get(name)
        if component is not None:
            found[name] = quantity
            if component.price * quantity > TOTAL_MAX * MICRO:
                table.problem(name, f"{text(quantity)} cost more than a period may", "write less")
        elif fees is not None:
            right = nearest(name, components) if components else "leave it out"
            table.problem(name, f"is no component of {fees.plan}", right)
    return found


def agreed(subscription: Subscription, change: Change) -> Subscription:
    """The subscription with one more change, or the Problem why it cannot be agreed.

    The same change again is no change.
    """
    for each in subscription.changes:
        if each.key == change.key:
            if replace(each, agreed_at=0, agreed_on=0) == replace(change, agreed_at=0, agreed_on=0):
                return subscription
            message = f"{change.key} was agreed before, as something else: use another key"
            raise Problem("IDEMPOTENCY_KEY_REUSED", message, "key")
    changed = replace(subscription, changes=(*subscription.changes, change))
    _check(subscription, change)
    return changed


def _check(subscription: Subscription, change: Change) -> None:
    before = known(subscription, None)
    last = last_day(subscription, before)
    if change.day < subscription.start:
        message = f"it begins on {date_of(subscription.start)}: nothing changes before"
        raise Problem("BEFORE_START", message, "day")
    if last is not None and max(change.day, change.agreed_on) > last:
        message = f"it ended on {date_of(last)}: agree on a new one"
        raise Problem("ENDED", message, "day")
    present = terms(subscription, change.day, before)
    match change.deed:
        case SetQuantity(key, quantity):
            fees = _fees_on(subscription, change.day, before)
            component = next((each for each in fees.components if each.key == key), None)
            if component is None:
                keys = [each.key for each in fees.components]
                right = nearest(key, keys) if keys else "it has none"
                raise Problem(
                    "UNKNOWN_COMPONENT", f"{fees.plan} has no {key}: {right}", "component"
                )
            _check_quantity(component, quantity)
        case SwitchPlan(other):
            if other.currency != subscription.fees.currency:
                message = f"{other.plan} asks in {other.currency}, not {subscription.fees.currency}"
                raise Problem("CURRENCY_MISMATCH", message, "plan")
        case Pause():
            if present is None:
                message = f"it is paused on {date_of(change.day)} already"
                raise Problem("PAUSED", message, "day")
        case Resume():
            if present is not None:
                message = f"it is not paused on {date_of(change.day)}"
                raise Problem("NOT_PAUSED", message, "day")
        case Cancel():
            _check_last_day(subscription, change)
        case Renew():
            if last is None:
                raise Problem("NOT_ENDING", "it goes on already", None)
        case _ as never:
            assert_never(never)


def _check_quantity(component: Component, quantity: int) -> None:
    if quantity < 0:
        message = f"{text(quantity)} is less than none: write 0 or more"
        raise Problem("INVALID", message, "quantity")
    if component.price * quantity > TOTAL_MAX * MICRO:
        message = f"{text(quantity)} of {component.key} cost more than a period may"
        raise Problem("TOO_MUCH", message, "quantity")


def _check_last_day(subscription: Subscription, change: Change) -> None:
    day = last_day(subscription, (change,))
    assert day is not None
    if day < max(change.agreed_on, subscription.start):
        message = f"{date_of(day)} has passed, or it has not begun by then: choose a later day"
        raise Problem("INVALID", message, "lastDay")
    committed = term_end(subscription, day)
    if subscription.term.months and day != committed:
        message = f"it is agreed until {date_of(committed)}: end it then, or at the end of its term"
        raise Problem("COMMITTED", message, "lastDay")


def _fees_on(subscription: Subscription, day: int, changes: tuple[Change, ...]) -> Fees:
    """The fees in force, also of a day on which it is paused."""
    fees = subscription.fees
    for change in changes:
        if change.day <= day and isinstance(change.deed, SwitchPlan):
            fees = change.deed.fees
    return fees


def _anniversary(start: int, months: int) -> int:
    """The same day of the month so many months later, or the last that month has."""
    day = date_of(start)
    first, last = days_of(month_label(day.year, day.month) + months)
    return min(first + day.day - 1, last)
