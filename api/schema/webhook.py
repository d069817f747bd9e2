"""Webhooks as clients see them: endpoints, never with their secrets, and the log of what was sent.

What is sent, and when it is tried again, is `api.reaching`'s to say.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import strawberry
from strawberry.types import Info

from api import ids
from api.context import Context
from api.faults import Fault
from api.limits import DELIVERIES_KEPT_DAYS
from api.schema.alert_kind import AlertKind
from api.schema.fields import computed
from api.schema.owner import Owner
from api.schema.paging import PageInfo, cursor, page_size, position
from api.schema.scalars import DateTime
from persistence import deliveries, webhooks
from persistence.deliveries import Channel, Delivery, State, Try
from persistence.webhooks import Endpoint, Reason

SCOPE = "billing:read"
PAGE_SIZE = 50

First = Annotated[int, strawberry.argument(description="How many to give, 1 to 100.")]
After = Annotated[str | None, strawberry.argument(description="The cursor to go on behind.")]
OfEndpoint = Annotated[
    strawberry.ID | None,
    strawberry.argument(description="Only to this endpoint; null: to all, deleted ones too."),
]


@strawberry.enum(description="Why an endpoint is off.")
class WebhookDisabledReason(Enum):
    ASKED = strawberry.enum_value(Reason.ASKED.value, description="Somebody switched it off.")
    GONE = strawberry.enum_value(Reason.GONE.value, description="It answered 410.")
    FAILING = strawberry.enum_value(
        Reason.FAILING.value, description="For five days each try failed."
    )


@strawberry.enum(description="Where a delivery stands.")
class WebhookDeliveryStatus(Enum):
    PENDING = strawberry.enum_value(
        State.PENDING.value, description="It is on its way, or tried again at `nextTryAt`."
    )
    DELIVERED = strawberry.enum_value(
        State.DELIVERED.value, description="It was answered with a status of 200 to 299."
    )
    FAILED = strawberry.enum_value(State.FAILED.value, description="The last try failed as well.")
    STOPPED = strawberry.enum_value(
        State.STOPPED.value, description="Its endpoint was off when it was due, or is deleted."
    )


OfStatus = Annotated[
    WebhookDeliveryStatus | None, strawberry.argument(description="Only these; null: all.")
]


@strawberry.type(description="Where alerts of a tenant are posted to.")
class WebhookEndpoint:
    id: strawberry.ID = strawberry.field(description="Its id.")
    url: str = strawberry.field(description="Where it is.")
    description: str = strawberry.field(description="What people call it.")
    kinds: list[AlertKind] = strawberry.field(
        description="Alerts that go there; empty: all, those of later versions too."
    )
    enabled: bool = strawberry.field(description="Whether anything goes there.")
    disabled_at: DateTime | None = strawberry.field(
        description="Since when nothing does; null: it is on."
    )
    disabled_reason: WebhookDisabledReason | None = strawberry.field(
        description="Why nothing does; null: it is on."
    )
    failing_since: DateTime | None = strawberry.field(
        description="Since when each try failed; null: the latest did not. After five days it is "
        "switched off."
    )
    old_secret_signs_until: DateTime | None = strawberry.field(
        description="Until when the secret before signs beside the one it has; null: it has one."
    )
    created_at: DateTime = strawberry.field(description="When it was added.")

    @classmethod
    def from_row(cls, endpoint: Endpoint, now: int) -> WebhookEndpoint:
        reason, until = endpoint.disabled_reason, endpoint.secret_until
        return cls(
            id=strawberry.ID(ids.encode(webhooks.PREFIX, endpoint.endpoint_id)),
            url=endpoint.url,
            description=endpoint.description,
            kinds=[AlertKind(kind.value) for kind in endpoint.kinds],
            enabled=endpoint.disabled_at is None,
            disabled_at=_instant(endpoint.disabled_at),
            disabled_reason=None if reason is None else WebhookDisabledReason(reason.value),
            failing_since=_instant(endpoint.failing_since),
            old_secret_signs_until=_instant(until if until is not None and now < until else None),
            created_at=DateTime(endpoint.created_at),
        )


@strawberry.type(description="One try to deliver.")
class WebhookTry:
    at: DateTime = strawberry.field(description="When it was over.")
    milliseconds: int = strawberry.field(description="How long it took.")
    status: int | None = strawberry.field(
        description="The status that was answered; null: nothing was."
    )
    why: str | None = strawberry.field(description="Why it failed; null: it did not.")
    answer: str = strawberry.field(
        description="The beginning of what was answered, some 300 characters."
    )

    @classmethod
    def of(cls, found: Try) -> WebhookTry:
        return cls(
            at=DateTime(found.at),
            milliseconds=found.ms,
            status=found.status,
            why=found.why or None,
            answer=found.answer,
        )


@strawberry.type(
    description="One event on its way to one endpoint. It is sent at least once, under the same "
    "`event` and with the same body at each try."
)
class WebhookDelivery:
    id: strawberry.ID = strawberry.field(description="Its id.")
    event: str = strawberry.field(
        description="What it is sent under as `webhook-id`: of an alert the alert's id."
    )
    type: str = strawberry.field(description="What it is, such as `alert.threshold`.")
    endpoint: strawberry.ID = strawberry.field(description="The endpoint's id, if deleted too.")
    url: str = strawberry.field(description="Where it goes, as of the latest try.")
    status: WebhookDeliveryStatus = strawberry.field(description="Where it stands.")
    tries: list[WebhookTry] = strawberry.field(
        description="What came of it, oldest first; the latest twenty."
    )
    next_try_at: DateTime | None = strawberry.field(
        description="When it is tried next; null: it is over."
    )
    body: str = strawberry.field(description="What is sent: JSON.")
    created_at: DateTime = strawberry.field(description="When it began.")
    ended_at: DateTime | None = strawberry.field(description="When it was over; null: it is not.")

    @classmethod
    def from_row(cls, delivery: Delivery) -> WebhookDelivery:
        return cls(
            id=strawberry.ID(ids.encode(deliveries.PREFIX, delivery.delivery_id)),
            event=delivery.event,
            type=delivery.kind,
            endpoint=strawberry.ID(ids.encode(webhooks.PREFIX, delivery.target_id)),
            url=delivery.address,
            status=WebhookDeliveryStatus(delivery.state.value),
            tries=[WebhookTry.of(each) for each in delivery.tries],
            next_try_at=_instant(delivery.due_at),
            body=delivery.body.decode(),
            created_at=DateTime(delivery.created_at),
            ended_at=_instant(delivery.ended_at),
        )


@strawberry.type(description="A delivery and its place in the log.")
class WebhookDeliveryEdge:
    cursor: str = strawberry.field(description="Pass it as `after` to go on behind this one.")
    node: WebhookDelivery = strawberry.field(description="The delivery.")


@strawberry.type(description="A page of the log, newest first.")
class WebhookDeliveryConnection:
    edges: list[WebhookDeliveryEdge] = strawberry.field(
        description="The deliveries with their places."
    )
    page_info: PageInfo = strawberry.field(description="Where the page ends.")

    @computed("The deliveries alone.")
    def nodes(self) -> list[WebhookDelivery]:
        return [edge.node for edge in self.edges]


@strawberry.type
class TenantWebhooks(Owner):
    """The fields of a tenant that say where its alerts are posted to, and what came of that."""

    @computed("Where its alerts are posted to, the oldest first.")
    async def webhook_endpoints(self, info: Info[Context, None]) -> list[WebhookEndpoint]:
        context = info.context
        context.require(SCOPE)

        async def load(keys: list[int]) -> list[list[Endpoint]]:
            return await webhooks.of_tenants(context.door, keys)

        found = await context.loader("webhook endpoints", load).load(self.record.tenant_id)
        return [WebhookEndpoint.from_row(each, context.now) for each in found]

    @computed(
        "What was posted and what came of it, newest first; what is over for "
        f"{DELIVERIES_KEPT_DAYS} days is gone."
    )
    async def webhook_deliveries(
        self,
        info: Info[Context, None],
        first: First = PAGE_SIZE,
        after: After = None,
        endpoint: OfEndpoint = None,
        status: OfStatus = None,
    ) -> WebhookDeliveryConnection:
        context = info.context
        context.require(SCOPE)
        size, target = page_size(first), None
        if endpoint is not None:
            target = ids.decode(webhooks.PREFIX, endpoint)
            if target is None:
                raise Fault("BAD_USER_INPUT", "`endpoint` is no endpoint's id")
        state = None if status is None else State[status.name]
        asked = deliveries.Asked(
            tenant_id=self.record.tenant_id,
            channel=Channel.WEBHOOK,
            target_id=target,
            state=state,
            before=deliveries.NEWEST if after is None else position(after, int)[0],
        )

        async def load(keys: list[deliveries.Asked]) -> list[list[Delivery]]:
            return await deliveries.pages(context.door, keys, limit=size + 1)

        loader = context.loader(("webhook deliveries", size, target, state), load)
        found = await loader.load(asked)
        edges = [
            WebhookDeliveryEdge(
                cursor=cursor([each.delivery_id]), node=WebhookDelivery.from_row(each)
            )
            for each in found[:size]
        ]
        ends = PageInfo(
            has_next_page=len(found) > size, end_cursor=edges[-1].cursor if edges else None
        )
        return WebhookDeliveryConnection(edges=edges, page_info=ends)


def _instant(at: int | None) -> DateTime | None:
    return None if at is None else DateTime(at)
