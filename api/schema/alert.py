"""Alerts as clients see them: what was raised of a tenant, newest first or as it comes.

Owns their words and the list. What raises one is `domain.watch`'s; the stream is `subscription`'s.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

import strawberry
from strawberry.types import Info

from api import ids
from api.context import Context
from api.faults import Fault
from api.operations import alert_acknowledge
from api.operations.acting import IDS
from api.operations.alert_acknowledge import PREFIX, AlertAcknowledge
from api.schema.alert_kind import AlertCause, AlertKind, AlertMeasure
from api.schema.amount import Amount
from api.schema.banner import LOW, Said, banner_of
from api.schema.billing_banner import banner_of_billing
from api.schema.fields import computed, mutation
from api.schema.how_to_top_up import HowToTopUp, sold
from api.schema.invoice import Invoice, invoice_by_id
from api.schema.notice_words import Locale
from api.schema.owner import Owner
from api.schema.paging import PageInfo, cursor, page_size, position
from api.schema.payload import Payload, attempt
from api.schema.position import StreamPosition, position_of
from api.schema.scalars import Date, DateTime, Decimal
from domain import watch
from domain.money import text
from domain.watch import ALL
from persistence import alerts
from persistence.actions import ActionKind
from persistence.alerts import Alert as AlertRecord
from persistence.alerts import Page
from persistence.tenants import TenantRecord

SCOPE = "billing:read"
PAGE_SIZE = 50

First = Annotated[int, strawberry.argument(description="How many to give, 1 to 100.")]
After = Annotated[str | None, strawberry.argument(description="The cursor to go on behind.")]


Kinds = Annotated[
    list[AlertKind] | None, strawberry.argument(description="Only these; default: all.")
]


@strawberry.type
class Raised:
    """What an alert says, wherever it is shown."""

    id: strawberry.ID = strawberry.field(description="Opaque; names the alert.")
    kind: AlertKind = strawberry.field(description="What it says.")
    balance: str | None = strawberry.field(
        description="The balance's key; null: it is of no balance."
    )
    measure: AlertMeasure | None = strawberry.field(
        description="What `threshold` and `value` are; null: there is no threshold."
    )
    threshold: Decimal | None = strawberry.field(
        description="The threshold it speaks of: a percentage, or units or money of the balance."
    )
    value: Decimal | None = strawberry.field(
        description="What it was when it was raised, as `threshold` is measured; a percentage "
        "rounded down to six decimals, null where there is nothing to take it of."
    )
    remaining: Amount | None = strawberry.field(
        description="What was left, exactly: of what is measured; of an invoice what was left to "
        "pay. Null: it is of no amount."
    )
    base: Amount | None = strawberry.field(
        description="What percentages are of, or the total of the invoice; null: there is nothing."
    )
    at: DateTime = strawberry.field(description="When what raised it took place.")
    cause: AlertCause = strawberry.field(description="What moved the balance, or raised it.")
    cause_id: str = strawberry.field(
        description="Opaque: alerts that one movement raised have the same; of a top-up, an "
        "adjustment or a refund its id, of an invoice its number."
    )
    subscription: str | None = strawberry.field(
        description="The key of the subscription that it is of; null: it is of none."
    )
    last_day: Date | None = strawberry.field(
        description="The last local day that the subscription serves, as it was agreed then; null: "
        "it is of none."
    )
    acknowledged_at: DateTime | None = strawberry.field(
        description="When somebody said that it was seen; null: nobody did."
    )
    alert: strawberry.Private[AlertRecord]
    record: strawberry.Private[TenantRecord]

    @computed(
        "What a chat panel shows of it, with the figures it was raised by, in `en`, `id` or `es`."
    )
    def banner(self, info: Info[Context, None], locale: Locale = None) -> str:
        alert = self.alert
        if alert.balance is None:
            return banner_of_billing(self.record, alert, locale)
        said = Said.of(alert, alert.remaining, alert.base)
        return banner_of(info.context, self.record, alert.balance, said, locale)

    @computed("How the balance is topped up; null: it is not low any more, or it is of none.")
    def how_to_top_up(self, info: Info[Context, None]) -> HowToTopUp | None:
        alert = self.alert
        if alert.balance is None or alert.kind not in LOW:
            return None
        plan, balance = sold(info.context, self.record, alert.balance)
        return HowToTopUp.of(plan, balance, self.record.locale)

    @computed("The invoice that it is of, as it is now; null: it is of none.")
    async def invoice(self, info: Info[Context, None]) -> Invoice | None:
        return await invoice_by_id(info.context, self.record, self.alert.invoice_id)

    @classmethod
    def of_record(cls, alert: AlertRecord, record: TenantRecord, **more: Any) -> Self:
        locale = record.locale
        measured = alert.measure is not watch.Measure.NONE
        ends = alert.kind is watch.AlertKind.SUBSCRIPTION_ENDING
        return cls(
            alert=alert,
            record=record,
            id=strawberry.ID(ids.encode(PREFIX, alert.alert_id)),
            kind=AlertKind(alert.kind),
            balance=alert.balance,
            measure=AlertMeasure(alert.measure) if measured else None,
            threshold=Decimal(text(alert.threshold)) if measured else None,
            value=value_of(alert),
            remaining=remaining_of(alert, locale),
            base=base_of(alert, locale),
            subscription=alert.cause_id if ends else None,
            last_day=Date(alert.base) if ends else None,
            at=DateTime(alert.at),
            cause=AlertCause(alert.cause),
            cause_id=cause_of(alert),
            acknowledged_at=(
                None if alert.acknowledged_at is None else DateTime(alert.acknowledged_at)
            ),
            **more,
        )


def value_of(alert: AlertRecord) -> Decimal | None:
    """What the threshold was compared with; never a percentage that is not below it."""
    if alert.measure is watch.Measure.NONE:
        return None
    if alert.measure is watch.Measure.DAYS:
        return Decimal(text(alert.base))
    if alert.measure is not watch.Measure.PERCENT:
        return Decimal(text(alert.remaining))
    return Decimal(text(alert.remaining * ALL // alert.base)) if alert.base else None


def remaining_of(alert: AlertRecord, locale: str) -> Amount | None:
    """What was left, of what is an amount."""
    if alert.kind is watch.AlertKind.SUBSCRIPTION_ENDING:
        return None
    return Amount.of(alert.remaining, alert.currency, locale, down=alert.balance is not None)


def base_of(alert: AlertRecord, locale: str) -> Amount | None:
    """What percentages are of, where they are said of something; the total of an invoice."""
    of_days = alert.measure is watch.Measure.DAYS
    if not alert.base or of_days or alert.kind is watch.AlertKind.SUBSCRIPTION_ENDING:
        return None
    return Amount.of(alert.base, alert.currency, locale)


def cause_of(alert: AlertRecord) -> str:
    """The id of an action that has one; else what no other movement has."""
    if alert.action is not None:
        kind, number = alert.action
        return ids.encode(IDS.get(ActionKind(kind), "act"), number)
    if alert.cause in (watch.AlertCause.FACT, watch.AlertCause.RATED):
        return f"fct_{alert.cause_id}"
    return alert.cause_id


@strawberry.type(
    description="Something that somebody should know of a balance, an invoice or a subscription, "
    "raised once."
)
class Alert(Raised):
    pass


@strawberry.type(description="An alert as it comes to who watches: once, in order.")
class AlertEvent(Raised):
    position: StreamPosition = strawberry.field(description="Where this event stands in the feed.")
    recovered: bool = strawberry.field(
        description="Whether nothing was missed since `after`; false: read `Tenant.alerts` again."
    )

    @classmethod
    def of(
        cls,
        alert: AlertRecord,
        record: TenantRecord,
        *,
        position: StreamPosition,
        recovered: bool,
    ) -> AlertEvent:
        """An alert of a tenant, at a position of its feed."""
        return cls.of_record(alert, record, position=position, recovered=recovered)


@strawberry.type(description="An alert and its place in the list.")
class AlertEdge:
    cursor: str = strawberry.field(description="Pass it as `after` to go on behind this one.")
    node: Alert = strawberry.field(description="The alert.")


@strawberry.type(description="A page of alerts, newest first.")
class AlertConnection:
    edges: list[AlertEdge] = strawberry.field(description="The alerts with their places.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")
    position: StreamPosition = strawberry.field(
        description="Where the feed stood when this was read: watch with `after` this, and nothing "
        "is missed."
    )

    @computed("The alerts alone.")
    def nodes(self) -> list[Alert]:
        return [edge.node for edge in self.edges]


@strawberry.type
class TenantAlerts(Owner):
    """The field of a tenant that lists what was raised."""

    @computed("What was raised of its balances, invoices and subscriptions, newest first.")
    async def alerts(
        self,
        info: Info[Context, None],
        first: First = PAGE_SIZE,
        after: After = None,
        kinds: Kinds = None,
    ) -> AlertConnection:
        context = info.context
        context.require(SCOPE)
        size = page_size(first)
        if kinds is not None and not kinds:
            raise Fault("BAD_USER_INPUT", "`kinds` is empty: name some, or leave it out")
        wanted = None if kinds is None else tuple(watch.AlertKind[kind.name] for kind in kinds)
        before = alerts.NEWEST if after is None else _place(after)
        asked = alerts.Asked(tenant_id=self.record.tenant_id, kinds=wanted, before=before)

        async def load(keys: list[alerts.Asked]) -> list[Page]:
            return await alerts.pages(context.door, keys, limit=size + 1)

        epoch = context.door.epoch  # from before it is read: one that is over asks for more
        page = await context.loader(("alerts", size, wanted), load).load(asked)
        edges = [
            AlertEdge(
                cursor=cursor([each.version, each.line]),
                node=Alert.of_record(each, self.record),
            )
            for each in page.alerts[:size]
        ]
        ends = PageInfo(
            has_next_page=len(page.alerts) > size,
            end_cursor=edges[-1].cursor if edges else None,
        )
        stands = position_of(epoch, page.version)
        return AlertConnection(edges=edges, page_info=ends, position=stands)


@strawberry.input(description="An alert that was seen.")
class AlertAcknowledgeInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    id: strawberry.ID = strawberry.field(description="The alert's id.")


@strawberry.type(description="The answer of `alertAcknowledge`.")
class AlertAcknowledgePayload(Payload):
    alert: Alert | None = strawberry.field(
        description="The alert; seen for the first time by whoever said so first."
    )


@strawberry.type
class AlertMutations:
    """The mutation that says that an alert was seen."""

    @mutation(
        "Say that an alert was seen. The first who says so stays, in the audit; said again, it "
        "answers the same. With the scopes `billing:read` and `billing:write`."
    )
    async def alert_acknowledge(
        self,
        info: Info[Context, None],
        input: Annotated[AlertAcknowledgeInput, strawberry.argument(description="What to do.")],
    ) -> AlertAcknowledgePayload:
        context = info.context
        request = AlertAcknowledge(tenant=input.tenant, id=str(input.id))
        done, errors = await attempt(
            alert_acknowledge.run(context.door, context.caller(), request, now=context.now)
        )
        found = None
        if done is not None:
            tenant, alert = done
            found = Alert.of_record(alert, tenant)
        return AlertAcknowledgePayload(alert=found, user_errors=errors)


def _place(after: str) -> tuple[int, int]:
    version, line = position(after, int, int)
    return version, line
