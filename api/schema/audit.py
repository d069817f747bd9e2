"""The audit as clients see it: a tenant's, everybody's for operators, and a file of it."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import msgspec
import strawberry
from strawberry.scalars import JSON
from strawberry.types import Info

from api.auditing import Format, id_of, subjects
from api.context import Context
from api.faults import Fault
from api.operations import audit_export_create
from api.operations.audit_export_create import SCOPE, AuditExportCreate
from api.operations.checks import UNPRINTABLE
from api.schema.fields import computed, mutation
from api.schema.owner import Owner
from api.schema.paging import PageInfo, cursor, page_size, position
from api.schema.payload import Payload, attempt
from api.schema.range import RangeInput, check_instant, interval
from api.schema.scalars import DateTime
from persistence import audit
from persistence.audit import LAST, Asked, AuditRecord

PAGE_SIZE = 50

First = Annotated[int, strawberry.argument(description="How many to give, 1 to 100.")]
After = Annotated[str | None, strawberry.argument(description="The cursor to go on behind.")]
By = Annotated[
    str | None, strawberry.argument(description="Only what this one changed, as `actor` has it.")
]
What = Annotated[
    str | None, strawberry.argument(description="Only this, a mutation's name: `topUpCreate`.")
]
Since = Annotated[
    DateTime | None, strawberry.argument(description="Only from this instant on; null: from ever.")
]
Until = Annotated[
    DateTime | None, strawberry.argument(description="Only before this instant; null: up to now.")
]


@strawberry.enum(description="What changed something.")
class AuditActorKind(Enum):
    PERSON = strawberry.enum_value("person", description="Somebody who signed in.")
    KEY = strawberry.enum_value("key", description="Who holds an API key, or the operator's key.")
    COMMAND = strawberry.enum_value(
        "command", description="A command on a machine that reaches the database."
    )
    JOB = strawberry.enum_value("job", description="This installation itself, in its own time.")


@strawberry.type(
    description="One write: who, from where, what, and what it changed. It is kept by the "
    "transaction that wrote, and nobody changes it. Facts are their own trace and are not here."
)
class AuditEntry:
    id: strawberry.ID = strawberry.field(description="Its id.")
    at: DateTime = strawberry.field(description="When it was done.")
    tenant: str | None = strawberry.field(
        description="The tenant's key; null: it is of the whole installation."
    )
    actor: str = strawberry.field(
        description="Who did it: `key abcd2345`, a user, `operator`, `command`, `job settle`."
    )
    actor_kind: AuditActorKind = strawberry.field(description="What that is.")
    address: str | None = strawberry.field(
        description="The other end of its connection: a client, or the proxy before it."
    )
    request_id: str | None = strawberry.field(
        description="The request it came with, as in its answer and in the log."
    )
    what: str = strawberry.field(description="The mutation, such as `topUpCreate`.")
    subject: list[str] = strawberry.field(description="What it speaks of: ids, or names.")
    before: JSON | None = strawberry.field(
        description="What it changed, as it was; null: there was nothing."
    )
    after: JSON | None = strawberry.field(description="What it changed, as it is since.")

    @classmethod
    def from_row(cls, record: AuditRecord) -> AuditEntry:
        return cls(
            id=strawberry.ID(id_of(record)),
            at=DateTime(record.at),
            tenant=record.tenant,
            actor=record.actor,
            actor_kind=AuditActorKind(record.actor_kind),
            address=record.address,
            request_id=record.request_id,
            what=record.what,
            subject=subjects(record),
            before=_json(record.before),
            after=_json(record.after),
        )


def _json(text: str | None) -> JSON | None:
    return None if text is None else JSON(msgspec.json.decode(text))


@strawberry.type(description="An entry of the audit and its place in the list.")
class AuditEdge:
    cursor: str = strawberry.field(description="Pass it as `after` to go on behind this entry.")
    node: AuditEntry = strawberry.field(description="The entry.")


@strawberry.type(description="A page of the audit, newest first.")
class AuditConnection:
    edges: list[AuditEdge] = strawberry.field(description="The entries with their places.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")

    @computed("The entries alone.")
    def nodes(self) -> list[AuditEntry]:
        return [edge.node for edge in self.edges]

    @classmethod
    def from_rows(cls, records: list[AuditRecord], size: int) -> AuditConnection:
        """A page of `size` out of at most one row more, which says that there is more."""
        edges = [
            AuditEdge(cursor=cursor([each.at, each.audit_id]), node=AuditEntry.from_row(each))
            for each in records[:size]
        ]
        return cls(
            edges=edges,
            page_info=PageInfo(
                has_next_page=len(records) > size, end_cursor=edges[-1].cursor if edges else None
            ),
        )


def _asked(
    after: str | None, actor: str | None, what: str | None, since: int | None, until: int | None
) -> Asked | None:
    """What is asked; None where nothing can be found, because no row says that."""
    if UNPRINTABLE.search((actor or "") + (what or "")):
        return None
    ahead_of = LAST
    if after is not None:
        at, number = position(after, int, int)
        ahead_of = (at, number)
    if until is not None:
        ahead_of = min(ahead_of, (check_instant(until, "until"), 0))
    asked = Asked(ahead_of=ahead_of, actor=actor, what=what)
    if since is None:
        return asked
    behind = (check_instant(since, "since"), 0)
    return Asked(behind=behind, ahead_of=ahead_of, actor=actor, what=what)


@strawberry.type
class TenantAudit(Owner):
    """The field of a tenant that says who changed what of it."""

    @computed("Who changed what of this tenant, newest first. Needs `audit:read`.")
    async def audit(
        self,
        info: Info[Context, None],
        first: First = PAGE_SIZE,
        after: After = None,
        actor: By = None,
        what: What = None,
        since: Since = None,
        until: Until = None,
    ) -> AuditConnection:
        context = info.context
        context.require(SCOPE)
        size = page_size(first)
        asked = _asked(after, actor, what, since, until)
        if asked is None:
            return AuditConnection.from_rows([], size)

        async def load(tenants: list[int]) -> list[list[AuditRecord]]:
            return await audit.of_tenants(context.door, tenants, asked, limit=size + 1)

        loader = context.loader(("audit", asked, size), load)
        return AuditConnection.from_rows(await loader.load(self.record.tenant_id), size)


@strawberry.type
class AuditQueries:
    """The root field of operators."""

    @computed(
        "Who changed what, of all tenants and of the installation itself, newest first. For "
        "operators; needs `audit:read`."
    )
    async def audit(
        self,
        info: Info[Context, None],
        first: First = PAGE_SIZE,
        after: After = None,
        actor: By = None,
        what: What = None,
        since: Since = None,
        until: Until = None,
    ) -> AuditConnection:
        context = info.context
        if not context.caller().is_operator:
            raise Fault("FORBIDDEN", "only an operator reads everybody's audit: ask your tenant's")
        context.require(SCOPE)
        size = page_size(first)
        asked = _asked(after, actor, what, since, until)
        if asked is None:
            return AuditConnection.from_rows([], size)
        return AuditConnection.from_rows(
            await audit.of_all(context.door, asked, limit=size + 1), size
        )


@strawberry.enum(description="How an export is written.")
class AuditExportFormat(Enum):
    CSV = strawberry.enum_value(
        "csv", description="A table; a cell that a spreadsheet would run begins with `'`."
    )
    JSONL = strawberry.enum_value("jsonl", description="An object a line.")


@strawberry.input(description="Which part of the audit is wanted as a file.")
class AuditExportCreateInput:
    tenant: str | None = strawberry.field(
        default=None, description="The tenant's key; null: everything there is, for operators."
    )
    range: RangeInput = strawberry.field(
        description="The range, its days the tenant's; without a tenant UTC's."
    )
    format: AuditExportFormat = strawberry.field(
        default=AuditExportFormat.CSV, description="How it is written."
    )


@strawberry.type(description="The answer of `auditExportCreate`.")
class AuditExportCreatePayload(Payload):
    url: str | None = strawberry.field(
        description="Where the file is got, by whoever has this address: absolute where the "
        "installation knows its own, otherwise a path of this server. Needs no other credential."
    )
    expires_at: DateTime | None = strawberry.field(
        description="From when on the address is not taken."
    )


@strawberry.type
class AuditMutations:
    """The mutation that exports."""

    @mutation(
        "Get a signed address of five minutes under which a part of the audit is downloaded. "
        "Needs `audit:read`. This leaves an entry too."
    )
    async def audit_export_create(
        self,
        info: Info[Context, None],
        input: Annotated[AuditExportCreateInput, strawberry.argument(description="What to do.")],
    ) -> AuditExportCreatePayload:
        context = info.context
        request = AuditExportCreate(
            tenant=input.tenant,
            span=lambda zone: interval(input.range, zone, context.now),
            format=Format[input.format.name],
        )
        export, errors = await attempt(
            audit_export_create.run(
                context.door, context.signing, context.caller(), request, now=context.now
            )
        )
        return AuditExportCreatePayload(
            url=None if export is None else f"{context.public_url}{export.path}",
            expires_at=None if export is None else DateTime(export.expires_at),
            user_errors=errors,
        )
