"""Subscriptions of tenants as clients see them: what is paid regularly, since when, until when.

Owns the types and the fields of a tenant; what is agreed on is `tenant_subscription_changes`'.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from functools import cached_property

import strawberry
from strawberry.types import Info

from api import ids
from api.context import Context
from api.schema.amount import Amount, locale_of, shown
from api.schema.fields import computed
from api.schema.node import Node
from api.schema.notice_words import Locale, told_in
from api.schema.owner import Owner
from api.schema.scalars import Date, DateTime, Decimal
from domain.entitling import serves
from domain.money import MICRO, text
from domain.periods import date_of
from domain.recurring import PieceKind
from domain.sentences import Words, say
from domain.subscription_words import CHANGES, DAYS, LAST_DAYS
from domain.subscriptions import (
    Cancel,
    Change,
    Pause,
    SetQuantity,
    Subscription,
    SwitchPlan,
    Terms,
    ending,
    known,
    last_day,
    term_end,
    terms,
)
from persistence import invoices, subscriptions
from persistence.invoices import Asked
from persistence.subscriptions import KINDS, DeedKind, Kept
from persistence.tenants import TenantRecord, find_by_ids

SCOPE = "billing:read"
PREFIX = "sub"


@strawberry.enum(description="Whether a subscription serves.")
class SubscriptionStatus(Enum):
    UPCOMING = strawberry.enum_value("upcoming", description="Its first day has not come.")
    ACTIVE = strawberry.enum_value("active", description="It serves.")
    PAUSED = strawberry.enum_value(
        "paused", description="From the next month on nothing is asked for, until it is resumed."
    )
    ENDED = strawberry.enum_value("ended", description="Its last day is over.")


@strawberry.enum(description="What was agreed since a subscription's first day.")
class SubscriptionChangeKind(Enum):
    QUANTITY = strawberry.enum_value(
        DeedKind.QUANTITY.value, description="Another quantity of a component."
    )
    PLAN = strawberry.enum_value(DeedKind.PLAN.value, description="Other fees, of another plan.")
    PAUSE = strawberry.enum_value(DeedKind.PAUSE.value, description="It is paused.")
    RESUME = strawberry.enum_value(DeedKind.RESUME.value, description="It is resumed.")
    CANCEL = strawberry.enum_value(DeedKind.CANCEL.value, description="It ends.")
    RENEW = strawberry.enum_value(DeedKind.RENEW.value, description="It goes on after all.")


@strawberry.type(description="How long a subscription is agreed for, again and again.")
class SubscriptionTerm:
    months: int = strawberry.field(description="Months of a commitment.")
    renews: bool = strawberry.field(description="Whether another one follows by itself.")
    ends_on: Date = strawberry.field(description="The last day of the present one.")


@strawberry.type(description="What a subscription pays each month, in advance.")
class SubscriptionComponent:
    key: str = strawberry.field(description="The name programs use.")
    name: str = strawberry.field(description="The name people see.")
    unit: str = strawberry.field(description="What is counted, such as `seat`.")
    quantity: Decimal = strawberry.field(description="How much of it.")
    price: Amount = strawberry.field(description="Of one, for a whole month, before tax.")
    total: Amount = strawberry.field(description="Quantity x price.")


@strawberry.type(description="A fee that a subscription is asked for once.")
class SubscriptionSetupFee:
    key: str = strawberry.field(description="The name programs use.")
    name: str = strawberry.field(description="The name people see.")
    price: Amount = strawberry.field(description="Before tax.")
    billed: bool = strawberry.field(description="Whether an invoice or a draft has it.")


@strawberry.type(description="Something that was agreed since a subscription's first day.")
class SubscriptionChange:
    change: strawberry.Private[Change]
    of: strawberry.Private[TenantSubscription]
    kind: SubscriptionChangeKind = strawberry.field(description="What was agreed.")
    day: Date = strawberry.field(description="The local day it counts from.")
    agreed_at: DateTime = strawberry.field(description="When it was agreed.")
    component: str | None = strawberry.field(
        description="The key of the component whose quantity changes; null for other kinds."
    )
    quantity: Decimal | None = strawberry.field(
        description="How much of it there is from then on; null for other kinds."
    )
    last_day: Date | None = strawberry.field(
        description="The last day served, of a cancellation; null for other kinds."
    )

    @computed("What was agreed, as a sentence.")
    def words(self, locale: Locale = None) -> str:
        of = self.of
        tag, language = told_in(of.record, locale)

        def written(patterns: Words, number: int) -> str:
            from babel.dates import format_date

            return format_date(date_of(number), patterns[language], locale=locale_of(tag))

        deed, name, quantity = self.change.deed, "", ""
        match deed:
            case SetQuantity(key, count):
                name = next((each.name for each in of.components_known if each.key == key), key)
                quantity = shown(count, None, tag, False)
            case SwitchPlan(fees):
                name = fees.name
            case _:
                pass
        last = "" if self.last_day is None else written(LAST_DAYS, self.last_day)
        return say(
            CHANGES[self.kind.name.lower()], language, name=name, quantity=quantity,
            day=written(DAYS, self.change.day), last=last,
        )  # fmt: skip


@strawberry.type(description="What a tenant pays regularly.")
class TenantSubscription(Node):
    record: strawberry.Private[TenantRecord]
    kept: strawberry.Private[Kept]
    today: strawberry.Private[int]
    key: str = strawberry.field(description="The name programs use; it never changes.")
    name: str = strawberry.field(description="The name people see: of what it now pays for.")
    plan: str | None = strawberry.field(
        description="The key of the plan whose allowances come with it; null: none do."
    )
    start: Date = strawberry.field(description="The first local day it serves.")
    last_day: Date | None = strawberry.field(
        description="The last local day it serves, as is agreed just now; null: it goes on."
    )
    status: SubscriptionStatus = strawberry.field(description="Whether it serves today.")
    ending_said_from: Date | None = strawberry.field(
        description="The local day from whose start the coming of its end is told; null: it goes "
        "on."
    )
    created_at: DateTime = strawberry.field(description="When it was agreed.")

    @classmethod
    def of(cls, record: TenantRecord, kept: Kept, now: int) -> TenantSubscription:
        subscription = kept.subscription
        today = record.zone.date(now)
        changes = known(subscription, None)
        last, coming = last_day(subscription, changes), ending(subscription)
        return cls(
            id=strawberry.ID(ids.encode(PREFIX, kept.subscription_id)),
            record=record,
            kept=kept,
            today=today,
            key=subscription.key,
            name=_held(subscription, today).fees.name,
            plan=kept.plan,
            start=Date(subscription.start),
            last_day=None if last is None else Date(last),
            status=_status(subscription, today),
            ending_said_from=None if coming is None else Date(coming.say_on),
            created_at=DateTime(kept.created_at),
        )

    @cached_property
    def held(self) -> Terms:
        """What is agreed for today, also of a day on which it is paused or does not serve."""
        return _held(self.kept.subscription, self.today)

    @property
    def components_known(self) -> list[SubscriptionComponent]:
        """Components of the present fees."""
        return [
            SubscriptionComponent(
                key=each.key,
                name=each.name,
                unit=each.unit,
                quantity=Decimal(text(quantity)),
                price=self._amount(each.price),
                total=self._amount((each.price * quantity + MICRO // 2) // MICRO),
            )
            for each, quantity in zip(self.held.fees.components, self.held.quantities, strict=True)
        ]

    def _amount(self, micros: int) -> Amount:
        return Amount.of(micros, self.kept.subscription.fees.currency, self.record.locale)

    @computed("How long it is agreed for; null: from month to month.")
    def term(self) -> SubscriptionTerm | None:
        subscription = self.kept.subscription
        term = subscription.term
        if not term.months:
            return None
        ends_on = term_end(subscription, max(self.today, subscription.start))
        if self.last_day is not None:
            ends_on = min(ends_on, self.last_day)
        return SubscriptionTerm(months=term.months, renews=term.renews, ends_on=Date(ends_on))

    @computed("What it pays each month, as it is agreed for today.")
    def components(self) -> list[SubscriptionComponent]:
        return self.components_known

    @computed("What it is asked for once.")
    async def setup_fees(self, info: Info[Context, None]) -> list[SubscriptionSetupFee]:
        context = info.context

        async def load(tenant_ids: list[int]) -> list[dict[str, Asked]]:
            return await _asked(context, tenant_ids)

        found = await context.loader("asked", load).load(self.record.tenant_id)
        before = found.get(self.key)
        billed = {
            piece.key
            for ask in (() if before is None else before.asks)
            for piece in ask.pieces
            if piece.kind is PieceKind.SETUP
        }
        return [
            SubscriptionSetupFee(
                key=fee.key,
                name=fee.name,
                price=self._amount(fee.price),
                billed=fee.key in billed,
            )
            for fee in self.held.fees.setup
        ]

    @computed("What its components come to for a whole month, before tax.")
    def monthly_total(self) -> Amount:
        return self._amount((self.held.rate + MICRO // 2) // MICRO)

    @computed("What was agreed since its first day, in the order in which it was.")
    def changes(self) -> list[SubscriptionChange]:
        subscription = self.kept.subscription
        ordered = sorted(subscription.changes, key=lambda each: (each.agreed_at, each.key))
        return [_change(self, change) for change in ordered]


@strawberry.type
class TenantSubscriptions(Owner):
    """The fields of a tenant that say what it pays regularly."""

    @computed(
        "What it pays regularly: of several that have begun the one its plan comes with, else the "
        "oldest; else the next that begins; null: nothing."
    )
    async def subscription(self, info: Info[Context, None]) -> TenantSubscription | None:
        found = [
            each for each in await self._all(info.context)
            if each.status is not SubscriptionStatus.ENDED
        ]  # fmt: skip
        return min(found, key=_rank, default=None)

    @computed("Everything it pays or paid regularly, oldest first.")
    async def subscriptions(self, info: Info[Context, None]) -> list[TenantSubscription]:
        return await self._all(info.context)

    async def _all(self, context: Context) -> list[TenantSubscription]:
        context.require(SCOPE)

        async def load(tenant_ids: list[int]) -> list[list[Kept]]:
            return await subscriptions.of_tenants(context.figures, tenant_ids)

        found = await context.loader("subscriptions", load).load(self.record.tenant_id)
        return [TenantSubscription.of(self.record, kept, context.now) for kept in found]


async def subscription_by_id(context: Context, number: int) -> TenantSubscription | None:
    """A subscription by its number, as the caller sees it."""
    caller = context.require(SCOPE)
    tenant_id = caller.tenant_id
    if tenant_id is None:
        tenant_id = await subscriptions.whose(context.door, number)
    if tenant_id is None:
        return None
    kept = (await subscriptions.by_ids(context.door, [tenant_id], [number])).get(number)
    record = (await find_by_ids(context.door, [tenant_id])).get(tenant_id)
    if kept is None or record is None:
        return None
    return TenantSubscription.of(record, kept, context.now)


async def _asked(context: Context, tenant_ids: Sequence[int]) -> list[dict[str, Asked]]:
    async with context.figures.tenant_tx(*tenant_ids) as connection:
        return [await invoices.asked(connection, each) for each in tenant_ids]


def _rank(of: TenantSubscription) -> tuple[bool, bool, int, int]:
    upcoming = of.status is SubscriptionStatus.UPCOMING
    return upcoming, of.plan is None, of.start if upcoming else 0, of.kept.subscription_id


def _held(subscription: Subscription, today: int) -> Terms:
    changes = known(subscription, None)
    last = last_day(subscription, changes)
    day = max(today, subscription.start)
    if last is not None:
        day = max(min(day, last), subscription.start)
    unpaused = tuple(each for each in changes if not isinstance(each.deed, Pause))
    found = terms(subscription, day, unpaused)
    assert found is not None
    return found


def _status(subscription: Subscription, today: int) -> SubscriptionStatus:
    last = last_day(subscription, known(subscription, None))
    if last is not None and today > last:
        return SubscriptionStatus.ENDED
    if today < subscription.start:
        return SubscriptionStatus.UPCOMING
    return SubscriptionStatus.ACTIVE if serves(subscription, today) else SubscriptionStatus.PAUSED


def _change(of: TenantSubscription, change: Change) -> SubscriptionChange:
    deed = change.deed
    last = last_day(of.kept.subscription, (change,)) if isinstance(deed, Cancel) else None
    quantity = deed if isinstance(deed, SetQuantity) else None
    return SubscriptionChange(
        change=change,
        of=of,
        kind=SubscriptionChangeKind(KINDS[type(deed)].value),
        day=Date(change.day),
        agreed_at=DateTime(change.agreed_at),
        component=None if quantity is None else quantity.component,
        quantity=None if quantity is None else Decimal(text(quantity.quantity)),
        last_day=None if last is None else Date(last),
    )
