"""Exports as clients see them: a year of documents or a report as a file, and how far it is."""

from __future__ import annotations

from enum import Enum
from functools import partial
from typing import Annotated

import strawberry
from strawberry.types import Info

from api import ids
from api.context import Context
from api.documents.files import safe
from api.faults import Fault
from api.limits import (
    DELIVERIES_KEPT_DAYS,
    EXPORTS_KEPT_DAYS,
    EXPORTS_KEPT_MAX,
    EXPORTS_UNFINISHED_MAX,
)
from api.links import Link, expiry
from api.operations import export_create
from api.operations.export_create import PREFIX, SCOPE, ExportCreate, ReportCreate
from api.reports.spec import USAGE_SCOPE, file_name, read
from api.schema.download import Download, download_of
from api.schema.fields import computed, mutation
from api.schema.owner import Owner
from api.schema.paging import PageInfo, cursor, page_size, position
from api.schema.payload import Payload, attempt
from api.schema.range import interval
from api.schema.report import Report, ReportInput, spec_of
from api.schema.report_letter import ReportLetter, letters_of
from api.schema.scalars import BigInt, DateTime
from domain.problems import Problem
from persistence import exports
from persistence.exports import NEWEST, ExportRecord, State
from persistence.tenants import TenantRecord

PAGE_SIZE = 50

First = Annotated[int, strawberry.argument(description="How many to give, 1 to 100.")]
After = Annotated[str | None, strawberry.argument(description="The cursor to go on behind.")]


@strawberry.enum(description="What is put into an export.")
class ExportKind(Enum):
    INVOICES = strawberry.enum_value(
        exports.INVOICES,
        description="Every invoice and credit note that was issued, each as its files; all their "
        "lines as `lines.csv`; and what each came to and was paid as `index.csv`.",
    )


@strawberry.enum(description="What became of an export.")
class ExportState(Enum):
    WAITING = strawberry.enum_value(State.WAITING.value, description="Nobody has begun it yet.")
    RUNNING = strawberry.enum_value(State.RUNNING.value, description="It is being made.")
    DONE = strawberry.enum_value(State.DONE.value, description="It is there to be downloaded.")
    FAILED = strawberry.enum_value(
        State.FAILED.value, description="It could not be made: `error` says why."
    )
    GONE = strawberry.enum_value(
        State.GONE.value,
        description=f"It was there for {EXPORTS_KEPT_DAYS} days and was removed: make a new one.",
    )


@strawberry.type(
    description="A file that is made in the background: a local year of a tenant's documents as "
    "one zip, or a report."
)
class Export:
    id: strawberry.ID = strawberry.field(description="Opaque; names the export.")
    state: ExportState = strawberry.field(description="What became of it.")
    year: int | None = strawberry.field(
        description="The year of its documents, by the tenant's clock; null: it is a report."
    )
    kinds: list[ExportKind] = strawberry.field(
        description="What is in it of a year; empty of a report."
    )
    report: Report | None = strawberry.field(
        description="What it lists; null: it is of a year's documents."
    )
    error: str | None = strawberry.field(
        description="Why it is `FAILED`, and what would be right; null: it is not."
    )
    done: int = strawberry.field(
        description="How many documents, or rows of a report, are in it by now."
    )
    total: int = strawberry.field(
        description="How many there are to be; of a report about, until it is done."
    )
    created_at: DateTime = strawberry.field(description="When it was asked for.")
    finished_at: DateTime | None = strawberry.field(
        description="When it was done, or given up; null: not yet."
    )
    record: strawberry.Private[ExportRecord]
    tenant: strawberry.Private[TenantRecord]

    @computed("How large the file is, in bytes; null: it is not there.")
    def size(self) -> BigInt | None:
        return BigInt(self.record.size) if self.record.state is State.DONE else None

    @computed("A link to the file, made anew each time it is asked for; null: it is not there.")
    def download(self, info: Info[Context, None]) -> Download | None:
        of = self.record
        if of.state is not State.DONE:
            return None
        link = Link(
            object="export", of=str(self.id), tenant_id=of.tenant_id, since=0, until=0,
            format="zip" if of.spec is None else read(of.spec).format.value,
            name=_name(of, self.tenant), expires_at=expiry(info.context.now),
        )  # fmt: skip
        return download_of(info.context, link)

    @computed("The instant the figures of a report are of; null: it is not done, or is no report.")
    def as_of(self) -> DateTime | None:
        as_of = self.record.progress.as_of
        return None if as_of is None else DateTime(as_of)

    @computed(
        "Whether figures of a report may still change: a part of its range was not closed when it "
        "was made, or it is of broadcasts, charges or purchases, which later days change; null: it "
        "is not done, or is no report."
    )
    def estimate(self) -> bool | None:
        final = self.record.progress.final
        return None if final is None else not final

    @computed(
        "The letters it is mailed in, as its recipients were named; none before it is done, nor of "
        f"one that names nobody. One that is over for {DELIVERIES_KEPT_DAYS} days is gone."
    )
    async def letters(self, info: Info[Context, None]) -> list[ReportLetter]:
        return await letters_of(info.context, self.record)

    @classmethod
    def from_record(cls, record: ExportRecord, tenant: TenantRecord) -> Export:
        return cls(
            record=record,
            tenant=tenant,
            id=strawberry.ID(ids.encode(PREFIX, record.export_id)),
            state=ExportState(record.state.value),
            year=record.year,
            kinds=[ExportKind(kind) for kind in record.kinds],
            report=Report.read(record.spec),
            error=record.error,
            done=record.done,
            total=record.total,
            created_at=DateTime(record.created_at),
            finished_at=None if record.finished_at is None else DateTime(record.finished_at),
        )


def _name(record: ExportRecord, tenant: TenantRecord) -> str:
    """What its file is called."""
    if record.spec is None:
        return f"{safe(f'invoices-{tenant.key}-{record.year}')}.zip"
    return file_name(read(record.spec), tenant.key, tenant.zone)


@strawberry.type(description="An export and its place in the list.")
class ExportEdge:
    cursor: str = strawberry.field(description="Pass it as `after` to go on behind this one.")
    node: Export = strawberry.field(description="The export.")


@strawberry.type(description="A page of exports, newest first.")
class ExportConnection:
    edges: list[ExportEdge] = strawberry.field(description="The exports with their places.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")

    @computed("The exports alone.")
    def nodes(self) -> list[Export]:
        return [edge.node for edge in self.edges]


@strawberry.type
class TenantExports(Owner):
    """The fields of a tenant that say what was put in one file."""

    @computed(
        "Its exports, whatever became of them, newest first. Who has `usage:read` alone sees the "
        "reports that say of nothing what it costs."
    )
    async def exports(
        self, info: Info[Context, None], first: First = PAGE_SIZE, after: After = None
    ) -> ExportConnection:
        context = info.context
        money = _sees_money(context)
        size = page_size(first)

        async def load(asked: list[tuple[int, int]]) -> list[list[ExportRecord]]:
            return await exports.pages(context.door, asked, limit=size + 1, money=money)

        before = NEWEST if after is None else _place(after)
        found = await context.loader(("exports", size), load).load((self.record.tenant_id, before))
        edges = [
            ExportEdge(
                cursor=cursor([ids.encode(PREFIX, each.export_id)]),
                node=Export.from_record(each, self.record),
            )
            for each in found[:size]
        ]
        ends = PageInfo(
            has_next_page=len(found) > size, end_cursor=edges[-1].cursor if edges else None
        )
        return ExportConnection(edges=edges, page_info=ends)

    @computed("An export by its id; null: the tenant has none of it.")
    async def export(
        self,
        info: Info[Context, None],
        id: Annotated[strawberry.ID, strawberry.argument(description="The export's id.")],
    ) -> Export | None:
        context = info.context
        _sees_money(context)
        number = ids.decode(PREFIX, str(id))
        if number is None:
            return None

        async def load(asked: list[tuple[int, int]]) -> list[ExportRecord | None]:
            found = await exports.by_ids(context.door, asked)
            return [found.get(each) for each in asked]

        found = await context.loader("export", load).load((self.record.tenant_id, number))
        if found is not None and found.money:
            context.require(SCOPE)
        return None if found is None else Export.from_record(found, self.record)


def _sees_money(context: Context) -> bool:
    """Whether somebody may see what anything costs; FORBIDDEN for who may not even see usage."""
    if not context.caller().may(USAGE_SCOPE):
        context.require(SCOPE)
    return context.caller().may(SCOPE)


def _place(after: str) -> int:
    (word,) = position(after, str)
    number = ids.decode(PREFIX, word)
    if number is None:
        raise Fault("BAD_USER_INPUT", "`after` is not a cursor: pass an `endCursor` as it came")
    return number


@strawberry.input(
    description="A local year of documents, or a report, that somebody wants in one file: write "
    f"`year` or `report`. Of a tenant at most {EXPORTS_UNFINISHED_MAX} that say costs, and as many "
    "that do not, are made at a time."
)
class ExportCreateInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    year: int | None = strawberry.field(
        default=None,
        description="By the tenant's clock, at the latest the current one: that as far as it is.",
    )
    kinds: list[ExportKind] | None = strawberry.field(
        default=None, description="What of the year is put into it; default: `INVOICES`."
    )
    report: ReportInput | None = strawberry.field(default=None, description="What it lists.")
    idempotency_key: str = strawberry.field(
        description="A name of your own for this export: sent again, no other one is made. A range "
        "with a name means other days tomorrow and is another request then: what asks for a new "
        "report each day puts the day into the key."
    )


@strawberry.type(description="The answer of `exportCreate`.")
class ExportCreatePayload(Payload):
    export: Export | None = strawberry.field(
        description="The export as it stands now; the earlier one where its `idempotencyKey` came "
        "before. Ask for it again by its id, every few seconds, until it is `DONE` or `FAILED`."
    )


@strawberry.type
class ExportMutations:
    """The mutation that exports documents."""

    @mutation(
        "Have a local year of a tenant's invoices and credit notes made into one zip file, or a "
        f"report, in the background: it is there for {EXPORTS_KEPT_DAYS} days, or until the tenant "
        f"has {EXPORTS_KEPT_MAX} newer ones; of what says costs and of what does not so many each, "
        "and none goes that is still to be mailed. The same documents give the same bytes; a "
        "report is of the instant at which it is begun. With the scope `billing:read`, a report "
        "without costs with `usage:read`, one that is mailed with `billing:write` too, by "
        "operators and the tenant itself. Once per `idempotencyKey`. "
        "Ask for it by its id, every few seconds, until it is `DONE` or `FAILED`."
    )
    async def export_create(
        self,
        info: Info[Context, None],
        input: Annotated[ExportCreateInput, strawberry.argument(description="What to do.")],
    ) -> ExportCreatePayload:
        done, errors = await attempt(_begun(info.context, input))
        made = None if done is None else Export.from_record(done[1], done[0])
        return ExportCreatePayload(export=made, user_errors=errors)


async def _begun(context: Context, input: ExportCreateInput) -> tuple[TenantRecord, ExportRecord]:
    """Begin what is asked for, whichever of the two it is."""
    door, caller, kinds, report = context.door, context.caller(), input.kinds, input.report
    if input.year is not None and report is None:
        request = ExportCreate(
            tenant=input.tenant,
            year=input.year,
            kinds=(exports.INVOICES,) if kinds is None else tuple(map(_stored, kinds)),
            idempotency_key=input.idempotency_key,
        )
        return await export_create.run(door, caller, request, now=context.now)
    if report is None or input.year is not None or kinds is not None:
        message = "write `year`, with `kinds` if you like, or `report` alone"
        raise Problem("INVALID", message, "report")
    spec = spec_of(
        kind=report.kind, format=report.format, filter=report.filter, costs=report.costs,
        locale=report.locale, chart=report.chart, recipients=report.recipients,
        range=report.range,
    )  # fmt: skip
    wanted = ReportCreate(
        tenant=input.tenant, spec=spec, range=partial(interval, report.range),
        idempotency_key=input.idempotency_key,
    )  # fmt: skip
    return await export_create.run_report(
        door, caller, wanted, mails=context.mails, now=context.now,
        catalogue=context.catalogue,
    )  # fmt: skip


def _stored(kind: ExportKind) -> str:
    return kind.name.lower()
