"""A mail room of the tests: reports that are done, schedules, and who mails them, beside a world.

Owns what tests of mailed reports need: a real server of mail is the office's. Checks nothing
itself. Time is where a test puts it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.message import EmailMessage
from itertools import count
from typing import Any

from msgspec import structs

from api import auth, ids, tokens
from api.metrics import Metrics
from api.operations import (
    report_schedule_create,
    report_schedule_delete,
    report_schedule_update,
)
from api.operations.report_schedule_create import ReportScheduleCreate
from api.operations.report_schedule_delete import ReportScheduleDelete
from api.operations.report_schedule_update import ReportScheduleUpdate
from api.reaching.smtp import Server
from api.reports import spec as specs
from api.reports.mailing import Mailing
from api.reports.scheduling import Scheduling
from api.reports.spec import Format, Kind, Spec
from api.rights import Principal, Role
from api.tasks import Tasks
from domain.periods import date_of, instant
from domain.report_schedules import Rhythm
from persistence import access, credentials, exports, people, report_letters, tasks
from persistence.exports import ExportRecord, State
from persistence.report_letters import ReportLetter
from persistence.report_schedules import PREFIX, Schedule
from tests.api.reaching.office import PUBLIC_URL, Office
from tests.scenarios.world import OPERATOR, World

names = count(1)


def local(text: str, offset: str = "+07:00") -> int:
    """An instant by the clocks of Jakarta, or of elsewhere."""
    return instant(datetime.fromisoformat(f"{text}:00{offset}"))


#: Visitors of last week, as a schedule would have them.
VISITORS = Spec(
    kind=Kind.VISITORS, format=Format.CSV, start=local("2026-11-16 00:00"),
    end=local("2026-11-23 00:00"), costs=False, locale="en",
    recipients=("ana@shop.example",),
)  # fmt: skip

#: What a schedule of the tests has made, unless a test says otherwise.
SCHEDULED = structs.replace(VISITORS, start=0, end=0)


@dataclass(slots=True)
class MailRoom:
    """What mails reports and begins them, in one process of a world."""

    world: World
    office: Office
    mailing: Mailing
    tasks: Tasks

    @classmethod
    def of(cls, world: World, office: Office, **more: Any) -> MailRoom:
        """`more` are other kinds of tasks that the process does."""
        now = world.clock.now
        mailing = Mailing(
            world.door, now, Server.of(office.url), public_url=PUBLIC_URL,
            sender="Kuota <reports@kuota.example>",
        )  # fmt: skip
        handlers = {
            tasks.REPORT_SCHEDULE: Scheduling(world.door, now).handle,
            tasks.REPORT_LETTER: mailing.handle,
            **more,
        }
        return cls(world, office, mailing, Tasks(world.door, now, Metrics(), handlers))

    async def quiet(self) -> None:
        """Do what is due until nothing is."""
        await self.tasks.quiet()

    async def on(self, by: int) -> None:
        """Let time pass, and do what is due then."""
        self.world.clock.at += by
        await self.quiet()

    async def asked(self, tenant: str, spec: Spec, *, key: str | None = None) -> ExportRecord:
        """A report that somebody wants; nobody makes it yet."""
        tenant_id = self.world.tenants[tenant].tenant_id
        async with self.world.door.tenant_tx(tenant_id) as connection:
            return await exports.begin(
                connection, tenant_id, key or f"asked-{next(names)}", year=None, kinds=(),
                total=0, at=self.world.clock.at, spec=specs.spelt(spec),
                money=specs.BILLING_SCOPE in specs.scopes(spec),
            )  # fmt: skip

    async def made(
        self, export: ExportRecord, *parts: bytes, rows: int = 3, final: bool = False
    ) -> ExportRecord:
        """The same, done: its file is there, and its letters are on their way."""
        now, size = self.world.clock.at, sum(map(len, parts))
        done = replace(
            export, state=State.DONE, done=rows, total=rows, size=size, finished_at=now,
            progress=replace(export.progress, final=final),
        )  # fmt: skip
        async with self.world.door.tenant_tx(export.tenant_id) as connection:
            pieces = [(exports.WHOLE, place, part) for place, part in enumerate(parts, 1)]
            assert await exports.go_on(connection, done, pieces)
            await report_letters.begin(connection, done, now, final=final)
        return done

    async def report(
        self, tenant: str, *recipients: str, file: bytes = b"day,visitors\r\n",
        final: bool = False, **more: Any,
    ) -> ExportRecord:  # fmt: skip
        """A report that is done and named some recipients, or the one there usually is."""
        changed = {"recipients": recipients} if recipients else {}
        spec = structs.replace(VISITORS, **changed, **more)
        return await self.made(await self.asked(tenant, spec), file, final=final)

    async def schedule(
        self,
        tenant: str,
        rhythm: Rhythm = Rhythm.DAILY,
        hour: int = 7,
        *,
        principal: Principal = OPERATOR,
        key: str | None = None,
        active: bool = True,
        mails: bool = True,
        **changed: Any,
    ) -> Schedule:
        """Have visitors mailed again and again; `changed` is what is otherwise of the report."""
        request = ReportScheduleCreate(
            tenant=tenant, spec=structs.replace(SCHEDULED, **changed), rhythm=rhythm, hour=hour,
            active=active, idempotency_key=f"schedule-{next(names)}" if key is None else key,
        )  # fmt: skip
        _, made = await report_schedule_create.run(
            self.world.door, principal, request, mails=mails, now=self.world.clock.at
        )
        return made

    async def change(
        self, tenant: str, schedule: Schedule, *, principal: Principal = OPERATOR, **changed: Any
    ) -> Schedule:
        request = ReportScheduleUpdate(tenant=tenant, id=name_of(schedule), **changed)
        _, found = await report_schedule_update.run(
            self.world.door, principal, request, mails=True, now=self.world.clock.at
        )
        return found

    async def delete(
        self, tenant: str, schedule: Schedule, *, principal: Principal = OPERATOR
    ) -> None:
        request = ReportScheduleDelete(tenant=tenant, id=name_of(schedule))
        await report_schedule_delete.run(
            self.world.door, principal, request, now=self.world.clock.at
        )

    async def exports(self, tenant: str) -> list[ExportRecord]:
        """A tenant's exports, oldest first."""
        asked = (self.world.tenants[tenant].tenant_id, exports.NEWEST)
        (found,) = await exports.pages(self.world.door, [asked], limit=1_000)
        return found[::-1]

    async def stretches(self, tenant: str) -> list[str]:
        """The days that its scheduled reports tell, oldest first, as `FIRST LAST`."""
        zone, told = self.world.tenants[tenant].zone, []
        for export in await self.exports(tenant):
            assert export.spec is not None
            spec = specs.read(export.spec)
            ends = (zone.date(at) for at in (spec.start, spec.end - 1))
            told.append(" ".join(date_of(each).isoformat() for each in ends))
        return told

    async def finish(self, tenant: str) -> None:
        """Make what is begun of a tenant."""
        for export in await self.exports(tenant):
            if export.state is State.WAITING:
                await self.made(export, b"day,visitors\r\n")
                key = str(export.export_id)
                async with self.world.door.tenant_tx(export.tenant_id) as connection:
                    await tasks.drop(connection, export.tenant_id, tasks.EXPORT, key)

    async def letters(self, export: ExportRecord) -> list[ReportLetter]:
        """What became of the letters of a report."""
        name = (export.tenant_id, export.export_id)
        return (await report_letters.of_exports(self.world.door, [name])).get(name, [])

    async def left(self, tenant: str) -> list[tuple[str, int]]:
        """What is still to be done for a tenant: kind and when, soonest first."""
        rows = await self.rows(
            tenant, "select kind, due_at from tasks where tenant_id = $1 order by due_at, key"
        )
        return [(row["kind"], row["due_at"]) for row in rows]

    async def person(
        self, role: Role, *rights: str, tenant: str = "shop", now: int = 0
    ) -> Principal:
        """Somebody new of a tenant, or the operator's, with rights beyond those of the role."""
        tenant_id = None if role is Role.OPERATOR else self.world.tenants[tenant].tenant_id
        user = await people.create_user(
            self.world.door, tenant_id, issuer=None, subject=None, name="Ana",
            email=f"u{next(names)}@shop.example", role=role, catalogue=self.world.catalogue,
            now=now,
        )  # fmt: skip
        if rights:
            await access.grant(self.world.door, user, rights, by="test", now=now)
        found = await people.find_user(self.world.door, user.user_id, tenant_id)
        assert found is not None
        return tokens.principal_of(found, 1 << 62)

    async def key(
        self, tenant: str | None, *scopes: str, expires_at: int | None = None
    ) -> Principal:
        """A new key of a tenant, or the operator's."""
        tenant_id = None if tenant is None else self.world.tenants[tenant].tenant_id
        secret = auth.new_secret()
        await credentials.create_key(
            self.world.door, tenant_id, name="of a test", prefix=secret.prefix,
            digest=secret.digest, scopes=scopes, expires_at=expires_at, now=0,
        )  # fmt: skip
        found = await credentials.find_by_prefix(self.world.door, secret.prefix)
        assert found is not None
        return auth.principal_of(found)

    async def rows(self, tenant: str, statement: str) -> Sequence[Any]:
        """Rows of a tenant, which the statement knows as $1."""
        return await self.world.rows(tenant, statement)


def attached(letter: EmailMessage) -> list[tuple[str, str, bytes]]:
    """The files of a letter: name, media type and bytes."""
    return [
        (part.get_filename() or "", part.get_content_type(), bytes(part.get_payload(decode=True)))
        for part in letter.iter_attachments()
    ]


def name_of(schedule: Schedule) -> str:
    """A schedule's id, as clients see it."""
    return ids.encode(PREFIX, schedule.schedule_id)


async def together(*rooms: MailRoom) -> None:
    """Several processes do what is due, at once."""
    await asyncio.gather(*(room.quiet() for room in rooms))
