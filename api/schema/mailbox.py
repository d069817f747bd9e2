"""Mailboxes: where a tenant's alerts are mailed to, and the mutations that say so."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry.types import Info

from api import ids
from api.context import Context
from api.limits import MAILBOXES_MAX
from api.operations import mailbox_remove, mailbox_set
from api.operations.mailbox_remove import PREFIX, MailboxRemove
from api.operations.mailbox_set import MailboxSet
from api.schema.alert_kind import AlertKind
from api.schema.fields import computed, mutation
from api.schema.owner import Owner
from api.schema.payload import Payload, attempt
from api.schema.scalars import DateTime
from domain import watch
from domain.quiet_hours import written
from persistence import mailboxes

SCOPE = "billing:read"

Input = strawberry.argument(description="What to do.")


@strawberry.type(description="An address to which alerts of a tenant are mailed.")
class Mailbox:
    id: strawberry.ID = strawberry.field(description="Opaque; names the mailbox.")
    email: str = strawberry.field(description="The address.")
    locale: str = strawberry.field(description="The language tag of its letters.")
    kinds: list[AlertKind] = strawberry.field(description="Which alerts go there.")
    quiet_from: str | None = strawberry.field(
        description="From when on letters wait, such as `22:00` in the tenant's zone; null: they "
        "never do."
    )
    quiet_until: str | None = strawberry.field(
        description="When they go, together; before `quietFrom`: on the next day."
    )
    urgent_anyway: bool = strawberry.field(
        description="Whether `EXHAUSTED`, `OVERDRAWN`, `REFILL_FAILED` and `REFILL_OFF` do not "
        "wait."
    )
    created_at: DateTime = strawberry.field(description="When it was set for the first time.")
    last_sent_at: DateTime | None = strawberry.field(
        description="When a server of mail last took a letter to it; null: none did."
    )
    last_error: str | None = strawberry.field(
        description="Why the latest letter was not taken, in that server's words; null: it was, "
        "or none was sent yet: without `KUOTA_SMTP_URL` letters wait."
    )

    @classmethod
    def from_record(cls, record: mailboxes.Mailbox) -> Mailbox:
        quiet, sent_at = record.quiet, record.last_sent_at
        return cls(
            id=strawberry.ID(ids.encode(PREFIX, record.mailbox_id)),
            email=record.email,
            locale=record.locale,
            kinds=[AlertKind(kind) for kind in record.kinds],
            quiet_from=None if quiet is None else written(quiet.start),
            quiet_until=None if quiet is None else written(quiet.end),
            urgent_anyway=record.urgent_anyway,
            created_at=DateTime(record.created_at),
            last_sent_at=None if sent_at is None else DateTime(sent_at),
            last_error=record.last_error,
        )


@strawberry.input(
    description="An address that alerts are mailed to. Of one that is there already it replaces "
    "everything: what is left out returns to its default. A tenant has at most "
    f"{MAILBOXES_MAX}."
)
class MailboxSetInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    email: str = strawberry.field(description="One address, such as `ana@example.com`.")
    locale: str | None = strawberry.field(
        default=None,
        description="The language tag of its letters, in `en`, `id` or `es`; default: the "
        "tenant's, or `en` where there are no sentences in that.",
    )
    kinds: list[AlertKind] | None = strawberry.field(
        default=None,
        description="Which alerts go there; default: all but `RECOVERED` and `REFILL_STARTED`.",
    )
    quiet_from: str | None = strawberry.field(
        default=None,
        description="From when on letters wait, such as `22:00` in the tenant's zone; default: "
        "they never do.",
    )
    quiet_until: str | None = strawberry.field(
        default=None, description="When those that waited go, as one; `07:00` is no longer quiet."
    )
    urgent_anyway: bool = strawberry.field(
        default=True,
        description="Whether `EXHAUSTED`, `OVERDRAWN`, `REFILL_FAILED` and `REFILL_OFF` do not "
        "wait.",
    )


@strawberry.input(description="A mailbox that shall get nothing any more.")
class MailboxRemoveInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    id: strawberry.ID = strawberry.field(description="The mailbox's id.")


@strawberry.type(description="The answer of `mailboxSet`.")
class MailboxSetPayload(Payload):
    mailbox: Mailbox | None = strawberry.field(description="The mailbox as it now is.")


@strawberry.type(description="The answer of `mailboxRemove`.")
class MailboxRemovePayload(Payload):
    id: strawberry.ID | None = strawberry.field(description="The mailbox that is no more.")


@strawberry.type
class TenantMailboxes(Owner):
    """The field of a tenant that lists where its alerts are mailed to."""

    @computed("Where its alerts are mailed to, oldest first.")
    async def mailboxes(self, info: Info[Context, None]) -> list[Mailbox]:
        context = info.context
        context.require(SCOPE)

        async def load(tenants: list[int]) -> list[list[mailboxes.Mailbox]]:
            return await mailboxes.of_tenants(context.door, tenants)

        found = await context.loader("mailboxes", load).load(self.record.tenant_id)
        return [Mailbox.from_record(each) for each in found]


@strawberry.type
class MailboxMutations:
    """The mutations that say where alerts are mailed to."""

    @mutation(
        "Have alerts mailed to an address, or change what goes there and when. The same again "
        "changes nothing. With the scope `billing:write`, by operators and the tenant itself."
    )
    async def mailbox_set(
        self, info: Info[Context, None], input: Annotated[MailboxSetInput, Input]
    ) -> MailboxSetPayload:
        context, kinds = info.context, input.kinds
        request = MailboxSet(
            tenant=input.tenant,
            email=input.email,
            locale=input.locale,
            kinds=None if kinds is None else tuple(watch.AlertKind[kind.name] for kind in kinds),
            quiet_from=input.quiet_from,
            quiet_until=input.quiet_until,
            urgent_anyway=input.urgent_anyway,
        )
        record, errors = await attempt(
            mailbox_set.run(context.door, context.caller(), request, now=context.now)
        )
        found = None if record is None else Mailbox.from_record(record)
        return MailboxSetPayload(mailbox=found, user_errors=errors)

    @mutation(
        "Have nothing mailed to an address any more; what is on its way there is not sent. With "
        "the scope `billing:write`, by operators and the tenant itself."
    )
    async def mailbox_remove(
        self, info: Info[Context, None], input: Annotated[MailboxRemoveInput, Input]
    ) -> MailboxRemovePayload:
        context = info.context
        request = MailboxRemove(tenant=input.tenant, id=str(input.id))
        record, errors = await attempt(
            mailbox_remove.run(context.door, context.caller(), request, now=context.now)
        )
        return MailboxRemovePayload(id=None if record is None else input.id, user_errors=errors)
