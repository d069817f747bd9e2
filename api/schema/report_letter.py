"""The letters that a report is mailed in, as clients see them: to whom, and what became of each."""

from __future__ import annotations

from enum import Enum

import strawberry

from api.context import Context
from api.schema.scalars import DateTime
from persistence import report_letters
from persistence.exports import ExportRecord
from persistence.report_letters import ReportLetter as Record
from persistence.report_letters import State


@strawberry.enum(description="What became of a letter.")
class ReportLetterState(Enum):
    WAITING = strawberry.enum_value(
        State.WAITING.value,
        description="It is on its way: tried for the first time, or again after the server of "
        "mail could not take it.",
    )
    SENT = strawberry.enum_value(State.SENT.value, description="A server of mail took it.")
    FAILED = strawberry.enum_value(
        State.FAILED.value,
        description="It was refused, tried for more than a day, or its file was removed.",
    )
    STOPPED = strawberry.enum_value(
        State.STOPPED.value,
        description="Before it went its schedule was deleted, paused, or named the address no "
        "more.",
    )


@strawberry.type(description="A report on its way to one address.")
class ReportLetter:
    email: str = strawberry.field(description="The address.")
    state: ReportLetterState = strawberry.field(description="What became of the letter.")
    sent_at: DateTime | None = strawberry.field(
        description="When a server of mail took it; null: none did."
    )
    error: str | None = strawberry.field(
        description="Why the last try came to nothing, in that server's words; null: it did not, "
        "or there was none."
    )

    @classmethod
    def from_record(cls, record: Record) -> ReportLetter:
        sent_at = record.sent_at
        return cls(
            email=record.email,
            state=ReportLetterState(record.state.value),
            sent_at=None if sent_at is None else DateTime(sent_at),
            error=record.error,
        )


async def letters_of(context: Context, export: ExportRecord) -> list[ReportLetter]:
    """The letters of an export, as its addresses were named; none before it is done."""

    async def load(asked: list[tuple[int, int]]) -> list[list[Record]]:
        found = await report_letters.of_exports(context.door, asked)
        return [found.get(each, []) for each in asked]

    name = (export.tenant_id, export.export_id)
    found = await context.loader("report letters", load).load(name)
    return [ReportLetter.from_record(each) for each in found]
