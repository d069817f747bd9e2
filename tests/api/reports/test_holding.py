"""Whose schedules are, what they may at the time, and how much of a tenant's room reports take."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from api import ids
from api.errors import Fault
from api.limits import EXPORTS_UNFINISHED_MAX
from api.operations import export_create, report_checks
from api.operations.acting import check_key
from api.operations.export_create import ReportCreate
from api.reports import spec as specs
from api.reports.scheduling import Scheduling
from api.reports.spec import Kind
from api.rights import Principal, Role
from domain.periods import DAY, HOUR, SECOND
from domain.problems import Problem
from persistence import access, credentials, people, report_schedules, tasks
from persistence.exports import ExportRecord
from persistence.exports import State as ExportState
from persistence.report_letters import State
from persistence.report_schedules import Schedule
from tests.api.reaching.office import Office
from tests.api.reports.mailroom import SCHEDULED, VISITORS, MailRoom, local, names
from tests.conftest import Database
from tests.scenarios.world import OPERATOR, World

SHOP = "shop"
ANA, BEN = "ana@shop.example", "ben@shop.example"
NOON = local("2026-11-24 12:00")  # a Tuesday
SEVEN = local("2026-11-25 07:00")


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with Office.open() as office:
        yield office


@pytest.fixture
async def world(database: Database, redis_url: str) -> AsyncIterator[World]:
    async with World.open(database.app_url, redis_url) as world:
        world.clock.at = NOON
        await world.tenant(SHOP)
        yield world


@pytest.fixture
async def room(world: World, office: Office) -> MailRoom:
    return MailRoom.of(world, office)


async def now_of(room: MailRoom, schedule: Schedule) -> Schedule:
    """A schedule as it is kept."""
    async with room.world.door.tenant_tx(schedule.tenant_id) as connection:
        found = await report_schedules.find(connection, schedule.tenant_id, schedule.schedule_id)
    assert found is not None
    return found


def changed_in(spec: specs.Spec, **changed: Any) -> specs.Spec:
    return structs.replace(spec, **changed)


async def test_whoever_only_reads_has_nothing_mailed(room: MailRoom) -> None:
    """Letters go out in the tenant's name: that needs what mailboxes need, of keys too."""
    boss = await room.person(Role.SUPER_ADMIN)
    schedule = await room.schedule(SHOP, principal=boss)
    readers = (
        await room.person(Role.AGENT),
        await room.person(Role.ADMIN, "billing:read"),
        await room.key(SHOP, "usage:read", "billing:read"),
        await room.key(None, "usage:read", "billing:read"),
    )
    for reader in readers:
        why = "billing:write" if reader.role is None else "Ask a super-admin for billing access"
        with pytest.raises(Fault, match=why):
            await room.schedule(SHOP, principal=reader)
        with pytest.raises(Fault, match=why):
            await room.change(SHOP, schedule, principal=reader, active=False)
        with pytest.raises(Fault, match=why):
            await room.delete(SHOP, schedule, principal=reader)
        with pytest.raises(Fault, match=why):
            await wanted(room, reader, recipients=(ANA,))
        await wanted(room, reader, recipients=())
        await room.finish(SHOP)
    await room.change(SHOP, schedule, principal=boss, active=False)
    await room.delete(SHOP, schedule, principal=await room.key(SHOP, "usage:read", "billing:write"))
    await wanted(room, boss, recipients=(ANA,))


async def wanted(
    room: MailRoom, principal: Principal, *, key: str | None = None, **changed: Any
) -> ExportRecord:
    """A report that somebody asks for once."""
    request = ReportCreate(
        tenant=SHOP, spec=changed_in(SCHEDULED, **changed),
        idempotency_key=key or f"once-{next(names)}",
        range=lambda zone, now: (VISITORS.start, VISITORS.end),
    )  # fmt: skip
    _, export = await export_create.run_report(
        room.world.door, principal, request, mails=True, now=room.world.clock.at
    )
    return export


def number_of(who: Principal) -> int:
    number = ids.decode("usr", who.name.removeprefix("user "))
    assert number is not None
    return number


async def user_of(room: MailRoom, who: Principal) -> people.UserRecord:
    found = await people.find_user(room.world.door, number_of(who), None)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "lost", ["left", "demoted", "grant revoked", "key revoked", "key ended", "operator left"]
)
async def test_a_right_that_is_lost_pauses_what_it_had_mailed(room: MailRoom, lost: str) -> None:
    """Whoever left is sent no ledger, nor has it sent; somebody else takes it over."""
    door, now = room.world.door, room.world.clock.at
    if lost.startswith("key"):
        holder = await room.key(
            SHOP, "usage:read", "billing:read", "billing:write", expires_at=NOON + HOUR
        )
    elif lost == "grant revoked":
        holder = await room.person(Role.ADMIN, "billing:read", "billing:write")
    elif lost == "operator left":
        holder = await room.person(Role.OPERATOR, "billing:write")
    else:
        holder = await room.person(Role.SUPER_ADMIN)
    schedule = await room.schedule(SHOP, principal=holder, kind=Kind.LEDGER, hour=12)
    assert schedule.changed_by == holder.name
    if lost == "grant revoked":
        await access.revoke(
            door, await user_of(room, holder), ["billing:read"], by="test", now=now
        )  # fmt: skip
    elif lost == "key revoked":
        assert holder.key_id is not None
        await credentials.revoke_key(door, holder.key_id, holder.tenant_id, now=now)
    elif lost != "key ended":
        await people.update_user(
            door, await user_of(room, holder), name=None, email=None,
            role="agent" if lost == "demoted" else None,
            active=None if lost == "demoted" else False, catalogue=room.world.catalogue,
            keep_super_admin=False, now=now,
        )  # fmt: skip
    await room.on(DAY)
    assert await room.exports(SHOP) == []
    paused = await now_of(room, schedule)
    assert (paused.active, await room.left(SHOP)) == (False, [])
    assert paused.last_error is not None
    assert holder.name in paused.last_error
    assert "somebody who may have it can switch it on again" in paused.last_error
    (traced,) = await room.rows(
        SHOP, "select after::text from audit where tenant_id = $1 and what = 'reportScheduleUpdate'"
    )
    assert '"active": false' in traced["after"]
    boss = await room.person(Role.SUPER_ADMIN)
    again = await room.change(SHOP, paused, principal=boss, active=True)
    assert (again.changed_by, again.created_by) == (boss.name, holder.name)
    assert again.last_error is None
    await room.on(DAY)
    assert await room.stretches(SHOP) == ["2026-11-25 2026-11-25"]


async def test_a_right_that_is_kept_goes_on(room: MailRoom) -> None:
    """A person's, a key's, an operator's; the same again takes nobody's schedule over."""
    holders = (
        await room.person(Role.SUPER_ADMIN),
        await room.key(SHOP, "usage:read", "billing:write", expires_at=NOON + 9 * DAY),
        await room.person(Role.OPERATOR, "billing:write"),
    )
    made = [await room.schedule(SHOP, principal=each) for each in holders]
    await room.change(SHOP, made[1], principal=holders[0], hour=7)
    assert (await now_of(room, made[1])).changed_by == holders[1].name
    room.world.clock.at = SEVEN
    await room.quiet()
    assert len(await room.exports(SHOP)) == len(holders)


async def test_who_could_not_be_asked_again_schedules_nothing(room: MailRoom) -> None:
    """People that only an issuer knows, by what their tokens say."""
    boss = await room.person(Role.SUPER_ADMIN)
    unknown = replace(boss, name=f"user {boss.name.removeprefix('user ')} of https://id.example")
    with pytest.raises(Problem, match="only your issuer knows you") as told:
        await room.schedule(SHOP, principal=unknown)
    assert told.value.code == "UNKNOWN_PERSON"
    schedule = await room.schedule(SHOP, principal=boss)
    with pytest.raises(Problem, match="only your issuer knows you"):
        await room.change(SHOP, schedule, principal=unknown, hour=9)
    await room.delete(SHOP, schedule, principal=unknown)


async def test_whoever_takes_it_over_meanwhile_is_asked(room: MailRoom) -> None:
    """Between the look at one's rights and the report it became another's."""
    gone, boss = await room.person(Role.SUPER_ADMIN), await room.person(Role.SUPER_ADMIN)
    schedule = await room.schedule(SHOP, principal=gone)
    await people.update_user(
        room.world.door, await user_of(room, gone), name=None, email=None, role=None, active=False,
        keep_super_admin=False, now=NOON,
    )  # fmt: skip
    room.world.clock.at = SEVEN
    scheduling = Scheduling(room.world.door, room.world.clock.now)
    (task,) = await tasks.take(room.world.door, tasks.REPORT_SCHEDULE, SEVEN, lease=HOUR, limit=9)
    spec = changed_in(specs.read(schedule.spec), recipients=(BEN,))
    await room.change(SHOP, schedule, principal=boss, spec=spec)
    async with room.world.door.tenant_tx(schedule.tenant_id) as connection:
        assert not await scheduling._handle(connection, task, gone.name, frozenset())
    await scheduling.handle(task)
    assert len(await room.exports(SHOP)) == 1


async def test_the_letters_of_a_day_are_bounded_whoever_begins_them(
    room: MailRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Schedules too, and reports that are being made; what is refused says so and comes later."""
    monkeypatch.setattr(report_checks, "REPORT_LETTERS_OF_DAY_MAX", 5)
    made = [await room.schedule(SHOP, recipients=(ANA, BEN), hour=9 + n // 2) for n in range(4)]
    room.world.clock.at = SEVEN + 2 * HOUR
    await room.quiet()
    await room.on(HOUR)
    assert len(await room.exports(SHOP)) == 2
    found = [await now_of(room, each) for each in made]
    assert [each.last_export is None for each in found] == [False, False, True, True]
    for each in found[2:]:
        assert each.last_error is not None
        assert "4 letters with reports went in the last 24 hours or are to go, of at most 5" in (
            each.last_error
        )
    with pytest.raises(Problem, match="of at most 5") as told:
        await wanted(room, OPERATOR, recipients=(ANA, BEN))
    assert (told.value.code, told.value.field) == ("TOO_MANY", "report.recipients")
    await wanted(room, OPERATOR, recipients=())
    await room.finish(SHOP)
    monkeypatch.setattr(report_checks, "REPORT_LETTERS_OF_DAY_MAX", 8)
    await room.on(HOUR)
    found = [await now_of(room, each) for each in made]
    assert [each.last_error for each in found] == [None] * 4
    assert len(await room.exports(SHOP)) == 5


async def test_a_file_whose_letters_wait_stays(
    room: MailRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server of mail is away, and more reports are made than files are kept."""
    monkeypatch.setattr(export_create, "EXPORTS_KEPT_MAX", 2)
    monkeypatch.setattr(report_checks, "WAITING_MAX", 4)
    room.office.answers += ["451 later"] * 4
    made = []
    for _ in range(4):
        made.append(await wanted(room, OPERATOR, recipients=(ANA,)))
        await room.finish(SHOP)
        await room.quiet()
        room.world.clock.at += SECOND
    with pytest.raises(Problem, match="letters with 4 reports wait"):
        await wanted(room, OPERATOR, recipients=(ANA,))
    await wanted(room, OPERATOR, recipients=())
    assert [each.state for each in await room.exports(SHOP)][:4] == [ExportState.DONE] * 4
    await room.finish(SHOP)
    await room.on(HOUR)
    assert [[one.state for one in await room.letters(each)] for each in made] == [[State.SENT]] * 4
    await wanted(room, OPERATOR, recipients=())
    states = [each.state for each in await room.exports(SHOP)]
    assert states == [ExportState.GONE] * 4 + [ExportState.DONE, ExportState.WAITING]


async def test_reports_without_costs_push_out_none_with_costs(
    room: MailRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither their files nor their turn: whoever has `usage:read` alone may ask for the former."""
    monkeypatch.setattr(export_create, "EXPORTS_KEPT_MAX", 4)
    agent, boss = await room.person(Role.AGENT), await room.person(Role.SUPER_ADMIN)
    ledger = await wanted(room, boss, recipients=(), kind=Kind.LEDGER)
    await room.finish(SHOP)
    for _ in range(3):
        await wanted(room, agent, recipients=())
        await room.finish(SHOP)
        room.world.clock.at += SECOND
    for _ in range(EXPORTS_UNFINISHED_MAX):
        await wanted(room, agent, recipients=())
    with pytest.raises(Problem, match="at most 3 exports of a tenant are made at a time"):
        await wanted(room, agent, recipients=())
    await wanted(room, boss, recipients=(), kind=Kind.LEDGER)
    kept = [each.export_id for each in await room.exports(SHOP) if each.state is ExportState.DONE]
    assert kept[0] == ledger.export_id


async def test_a_key_that_schedules_make_is_nobodys(room: MailRoom) -> None:
    """Of an export; of a schedule, and of anything else, `report/` and all may be."""
    with pytest.raises(Problem, match="does not begin with kuota-schedule/") as told:
        await wanted(room, OPERATOR, recipients=(), key="kuota-schedule/1/2026-11-24")
    assert told.value.field == "idempotencyKey"
    await wanted(room, OPERATOR, recipients=(), key="report/2026-11")
    await room.schedule(SHOP, key="report/1/2026-11-01")
    await room.schedule(SHOP, key="kuota-schedule/1")
    check_key("report/2026-11")
