"""Schedules of reports as clients see them: what is mailed to whom, again and again, and when."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import strawberry
from strawberry.types import Info

from api import ids
from api.context import Context
from api.limits import REPORT_RECIPIENTS_MAX, REPORT_SCHEDULES_MAX
from api.operations import (
    report_schedule_create,
    report_schedule_delete,
    report_schedule_update,
)
from api.operations.report_schedule_create import SCOPE, ReportScheduleCreate
from api.operations.report_schedule_delete import ReportScheduleDelete
from api.operations.report_schedule_update import ReportScheduleUpdate
from api.reports import spec as specs
from api.reports.spec import BILLING_SCOPE, Spec
from api.schema.export import Export
from api.schema.fields import computed, mutation
from api.schema.metric import UsageFilter
from api.schema.owner import Owner
from api.schema.payload import Payload, attempt
from api.schema.report import Reported, ReportFormat, ReportKind, reported, spec_of
from api.schema.scalars import DateTime
from api.schema.usage_chart import ChartInput
from domain.report_schedules import Rhythm, following
from persistence import exports, report_schedules
from persistence.exports import ExportRecord
from persistence.report_schedules import PREFIX, Schedule
from persistence.tenants import TenantRecord

Input = strawberry.argument(description="What to do.")


@strawberry.enum(description="How often a report is made, and of which days.")
class ReportRhythm(Enum):
    DAILY = strawberry.enum_value(Rhythm.DAILY.value, description="Every day, of the day before.")
    WEEKLY = strawberry.enum_value(
        Rhythm.WEEKLY.value, description="Every Monday, of the week before, from Monday on."
    )
    MONTHLY = strawberry.enum_value(
        Rhythm.MONTHLY.value, description="On the first of every month, of the month before."
    )


@strawberry.type(description="A report that is made again and again, each time of other days.")
class ScheduledReport(Reported):
    pass


@strawberry.type(description="A report that is mailed again and again.")
class ReportSchedule:
    id: strawberry.ID = strawberry.field(description="Opaque; names the schedule.")
    report: ScheduledReport = strawberry.field(description="What is mailed, and to whom.")
    rhythm: ReportRhythm = strawberry.field(description="How often, and of which days.")
    hour: int = strawberry.field(
        description="At which hour it is made, 0 to 23 by the tenant's clock. One that the clock "
        "skips is reached as soon as it is past it, one that comes twice when it comes first."
    )
    active: bool = strawberry.field(description="Whether it is made; false: it is paused.")
    created_at: DateTime = strawberry.field(description="When it was created.")
    created_by: str = strawberry.field(
        description="Who created it: `user ` with the id of a person, or `key ` with its prefix."
    )
    changed_by: str = strawberry.field(
        description="Who changed it last, or created it, as `createdBy` says it: it is made as "
        "long as they may have its report."
    )
    last_error: str | None = strawberry.field(
        description="Why the last one that was due was not begun, or why it was paused; null: it "
        "was begun, or none was due."
    )
    record: strawberry.Private[Schedule]
    tenant: strawberry.Private[TenantRecord]

    @computed("When the next one is due; null: it is paused.")
    def next_at(self, info: Info[Context, None]) -> DateTime | None:
        of = self.record
        if not of.active:
            return None
        found = following(self.tenant.zone, of.rhythm, of.hour, info.context.now)
        return DateTime(found.due_at)

    @computed("The last one that was begun; null: none was. Needs what its report needs.")
    async def last_export(self, info: Info[Context, None]) -> Export | None:
        context, of = info.context, self.record
        if of.last_export is None:
            return None

        async def load(asked: list[tuple[int, int]]) -> list[ExportRecord | None]:
            found = await exports.by_ids(context.door, asked)
            return [found.get(each) for each in asked]

        found = await context.loader("export", load).load((of.tenant_id, of.last_export))
        if found is not None and found.money:
            context.require(BILLING_SCOPE)
        return None if found is None else Export.from_record(found, self.tenant)

    @classmethod
    def from_record(cls, record: Schedule, tenant: TenantRecord) -> ReportSchedule:
        return cls(
            record=record,
            tenant=tenant,
            id=strawberry.ID(ids.encode(PREFIX, record.schedule_id)),
            report=ScheduledReport(**reported(specs.read(record.spec))),
            rhythm=ReportRhythm(record.rhythm.value),
            hour=record.hour,
            active=record.active,
            created_at=DateTime(record.created_at),
            created_by=record.created_by,
            changed_by=record.changed_by,
            last_error=record.last_error,
        )


@strawberry.type
class TenantReportSchedules(Owner):
    """The fields of a tenant that show what is mailed again and again."""

    @computed("Its reports that are mailed again and again, oldest first.")
    async def report_schedules(self, info: Info[Context, None]) -> list[ReportSchedule]:
        context = info.context
        context.require(SCOPE)

        async def load(tenants: list[int]) -> list[list[Schedule]]:
            return await report_schedules.of_tenants(context.door, tenants)

        found = await context.loader("report schedules", load).load(self.record.tenant_id)
        return [ReportSchedule.from_record(each, self.record) for each in found]

    @computed("One of them by its id, paused or not; null: the tenant has none of it.")
    async def report_schedule(
        self,
        info: Info[Context, None],
        id: Annotated[strawberry.ID, strawberry.argument(description="The schedule's id.")],
    ) -> ReportSchedule | None:
        context = info.context
        context.require(SCOPE)
        number = ids.decode(PREFIX, str(id))
        if number is None:
            return None

        async def load(asked: list[tuple[int, int]]) -> list[Schedule | None]:
            found = await report_schedules.by_ids(context.door, asked)
            return [found.get(each) for each in asked]

        found = await context.loader("report schedule", load).load((self.record.tenant_id, number))
        return None if found is None else ReportSchedule.from_record(found, self.record)


@strawberry.input(description="A report that is made again and again, of the days then over.")
class ScheduledReportInput:
    kind: ReportKind = strawberry.field(description="What it lists.")
    format: ReportFormat = strawberry.field(description="What it is written as.")
    filter: UsageFilter | None = strawberry.field(
        default=None, description="What to list of, as `ReportInput.filter`."
    )
    costs: bool = strawberry.field(
        default=True, description="Whether to show what it cost, which needs `billing:read`."
    )
    locale: str | None = strawberry.field(
        default=None,
        description="A language tag such as `id` or `es-CO`, of pictures and letters; letters are "
        "in `en`, `id` or `es`. Default: the tenant's.",
    )
    chart: ChartInput | None = strawberry.field(
        default=None, description="What the picture shows; of `USAGE_CHART` alone."
    )
    recipients: list[str] = strawberry.field(
        description="Addresses it is mailed to, each in a letter of its own; 1 to "
        f"{REPORT_RECIPIENTS_MAX}."
    )

    def spec(self) -> Spec:
        """What it asks for."""
        return spec_of(
            kind=self.kind, format=self.format, filter=self.filter, costs=self.costs,
            locale=self.locale, chart=self.chart, recipients=self.recipients,
        )  # fmt: skip


@strawberry.input(
    description="A report that somebody wants again and again. A tenant has at most "
    f"{REPORT_SCHEDULES_MAX}."
)
class ReportScheduleCreateInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    report: ScheduledReportInput = strawberry.field(description="What is mailed, and to whom.")
    rhythm: ReportRhythm = strawberry.field(description="How often, and of which days.")
    hour: int = strawberry.field(
        default=7, description="At which hour it is made, 0 to 23 by the tenant's clock."
    )
    active: bool = strawberry.field(default=True, description="Whether it is made from now on.")
    idempotency_key: str = strawberry.field(
        description="A name of your own for this schedule: sent again, no other one is created."
    )


@strawberry.input(description="What changes of a schedule; what is left out, or null, stays.")
class ReportScheduleUpdateInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    id: strawberry.ID = strawberry.field(description="The schedule's id.")
    report: ScheduledReportInput | None = strawberry.field(
        default=None, description="What is mailed, and to whom: all of it."
    )
    rhythm: ReportRhythm | None = strawberry.field(
        default=None, description="How often, and of which days."
    )
    hour: int | None = strawberry.field(
        default=None, description="At which hour it is made, 0 to 23 by the tenant's clock."
    )
    active: bool | None = strawberry.field(
        default=None,
        description="False pauses it; what is due meanwhile is not made when it goes on.",
    )


@strawberry.input(description="A schedule that shall make nothing any more.")
class ReportScheduleDeleteInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    id: strawberry.ID = strawberry.field(description="The schedule's id.")


@strawberry.type(description="The answer of `reportScheduleCreate`.")
class ReportScheduleCreatePayload(Payload):
    schedule: ReportSchedule | None = strawberry.field(
        description="The schedule as it stands now; the earlier one where its `idempotencyKey` "
        "came before."
    )


@strawberry.type(description="The answer of `reportScheduleUpdate`.")
class ReportScheduleUpdatePayload(Payload):
    schedule: ReportSchedule | None = strawberry.field(description="The schedule as it now is.")


@strawberry.type(description="The answer of `reportScheduleDelete`.")
class ReportScheduleDeletePayload(Payload):
    id: strawberry.ID | None = strawberry.field(description="The schedule that is no more.")


@strawberry.type
class ReportScheduleMutations:
    """The mutations that have reports mailed again and again."""

    @mutation(
        "Have a report made and mailed every day, week or month, of the days then over. Each is an "
        "export of its own and made once, whatever clocks do; of those that were missed the latest "
        "is made. With the scopes `usage:read` and `billing:write`, and `billing:read` where it "
        "shows costs: of whoever created or last changed it they are asked whenever it is due, and "
        "without them it is paused and says so in `lastError`. `UNKNOWN_PERSON` where they could "
        "not be asked. `NO_MAIL_SERVER` where nobody mails letters. Once per `idempotencyKey`."
    )
    async def report_schedule_create(
        self, info: Info[Context, None], input: Annotated[ReportScheduleCreateInput, Input]
    ) -> ReportScheduleCreatePayload:
        context = info.context
        caller = context.caller()
        request = ReportScheduleCreate(
            tenant=input.tenant,
            spec=input.report.spec(),
            rhythm=Rhythm[input.rhythm.name],
            hour=input.hour,
            active=input.active,
            idempotency_key=input.idempotency_key,
        )
        done, errors = await attempt(
            report_schedule_create.run(
                context.door, caller, request, mails=context.mails, now=context.now
            )
        )
        made = None if done is None else ReportSchedule.from_record(done[1], done[0])
        return ReportScheduleCreatePayload(schedule=made, user_errors=errors)

    @mutation(
        "Change what is mailed again and again, to whom or when, or pause it. Of days that were "
        "told by another hour or report nothing is told again; letters that wait do not go to an "
        "address that is named no more, nor of a schedule that is paused. With the scope "
        "`billing:write` and those that its report needs, before and after; it is made for as long "
        "as whoever changed it last has them."
    )
    async def report_schedule_update(
        self, info: Info[Context, None], input: Annotated[ReportScheduleUpdateInput, Input]
    ) -> ReportScheduleUpdatePayload:
        context = info.context
        caller = context.caller()
        request = ReportScheduleUpdate(
            tenant=input.tenant,
            id=str(input.id),
            spec=None if input.report is None else input.report.spec(),
            rhythm=None if input.rhythm is None else Rhythm[input.rhythm.name],
            hour=input.hour,
            active=input.active,
        )
        done, errors = await attempt(
            report_schedule_update.run(
                context.door, caller, request, mails=context.mails, now=context.now
            )
        )
        found = None if done is None else ReportSchedule.from_record(done[1], done[0])
        return ReportScheduleUpdatePayload(schedule=found, user_errors=errors)

    @mutation(
        "Have a report not made any more, and letters that wait not sent; files that were made "
        "stay. With the scope `billing:write` and those that its report needs."
    )
    async def report_schedule_delete(
        self, info: Info[Context, None], input: Annotated[ReportScheduleDeleteInput, Input]
    ) -> ReportScheduleDeletePayload:
        context = info.context
        request = ReportScheduleDelete(tenant=input.tenant, id=str(input.id))
        record, errors = await attempt(
            report_schedule_delete.run(context.door, context.caller(), request, now=context.now)
        )
        return ReportScheduleDeletePayload(
            id=None if record is None else input.id, user_errors=errors
        )
