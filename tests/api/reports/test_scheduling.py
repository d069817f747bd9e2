"""Reports on a schedule: each stretch of days once, at the tenant's hour, whatever happens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from api.errors import Fault
from api.limits import REPORT_RECIPIENTS_MAX, REPORT_SCHEDULES_MAX
from api.reports import spec as specs
from api.reports.spec import Kind
from api.rights import Role
from domain.periods import DAY, HOUR, MINUTE, iso
from domain.problems import Problem
from domain.report_schedules import Rhythm
from persistence import report_schedules, tasks
from persistence.exports import State as ExportState
from persistence.report_letters import State
from persistence.report_schedules import Schedule
from tests.api.reaching.office import Office, plain
from tests.api.reports.mailroom import SCHEDULED, MailRoom, local, name_of, together
from tests.conftest import Database
from tests.persistence.test_due import FragileDoor
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


async def test_yesterday_is_mailed_every_morning(room: MailRoom) -> None:
    schedule = await room.schedule(SHOP)
    assert await room.left(SHOP) == [("report_schedule", SEVEN)]
    room.world.clock.at = SEVEN - 1
    await room.quiet()
    assert await room.exports(SHOP) == []
    await room.on(1)
    (export,) = await room.exports(SHOP)
    assert export.key == f"kuota-schedule/{schedule.schedule_id}/2026-11-24"
    await room.finish(SHOP)
    await room.quiet()
    assert await room.stretches(SHOP) == ["2026-11-24 2026-11-24"]
    assert room.office.to == [[ANA]]
    (letter,) = room.office.read
    assert letter["Subject"] == "shop: Visitors, November 24, 2026"
    assert f"can change or delete its schedule, {name_of(schedule)}." in plain(letter).replace(
        "\n", " "
    )
    assert (await now_of(room, schedule)).last_export == export.export_id
    assert await room.left(SHOP) == [("report_schedule", SEVEN + DAY)]
    await room.on(DAY)
    assert (await room.stretches(SHOP))[1:] == ["2026-11-25 2026-11-25"]


@pytest.mark.parametrize(
    ("rhythm", "due", "told"),
    [
        (Rhythm.WEEKLY, "2026-11-30 07:00", "2026-11-23 2026-11-29"),
        (Rhythm.MONTHLY, "2026-12-01 07:00", "2026-11-01 2026-11-30"),
    ],
)
async def test_a_week_and_a_month_are_mailed_when_they_are_over(
    room: MailRoom, rhythm: Rhythm, due: str, told: str
) -> None:
    await room.schedule(SHOP, rhythm)
    assert await room.left(SHOP) == [("report_schedule", local(due))]
    room.world.clock.at = local(due)
    await room.quiet()
    assert await room.stretches(SHOP) == [told]


async def test_months_of_any_length_follow_each_other(room: MailRoom) -> None:
    """28 to 31 days, over new year; each is due on the first."""
    await room.schedule(SHOP, Rhythm.MONTHLY, 0)
    for _ in range(4):
        ((_, due_at),) = await room.left(SHOP)
        room.world.clock.at = due_at
        await room.quiet()
        await room.finish(SHOP)
        await room.quiet()
    assert await room.stretches(SHOP) == [
        "2026-11-01 2026-11-30", "2026-12-01 2026-12-31", "2027-01-01 2027-01-31",
        "2027-02-01 2027-02-28",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("since", "dues"),
    [
        ("2026-03-28 12:00", ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"]),
        ("2026-10-24 12:00", ["2026-10-25T00:00:00Z", "2026-10-26T01:00:00Z"]),
    ],
)
async def test_clocks_that_change_skip_no_report_and_repeat_none(
    room: MailRoom, since: str, dues: list[str]
) -> None:
    """Berlin at two: the hour that is skipped in March comes twice in October."""
    room.world.clock.at = local(since, "+01:00")
    await room.world.tenant("laden", timezone="Europe/Berlin", plan="omnichannel-idr")
    await room.schedule("laden", hour=2)
    met = []
    for _ in dues:
        ((_, due_at),) = await room.left("laden")
        met.append(iso(due_at))
        for _ in range(4):  # all around the hour that is odd
            room.world.clock.at = due_at
            await room.quiet()
            due_at += HOUR // 2
        await room.finish("laden")
        await room.quiet()
    assert met == dues
    assert len(await room.stretches("laden")) == len(set(await room.stretches("laden"))) == 2


async def test_of_those_that_were_missed_the_latest_is_made(room: MailRoom) -> None:
    await room.schedule(SHOP)
    room.world.clock.at = SEVEN + 10 * DAY + 3 * HOUR
    await room.quiet()
    assert await room.stretches(SHOP) == ["2026-12-04 2026-12-04"]
    assert ("report_schedule", SEVEN + 11 * DAY) in await room.left(SHOP)


async def test_two_processes_begin_one_report(room: MailRoom) -> None:
    for _ in range(3):
        await room.schedule(SHOP)
    room.world.clock.at = SEVEN
    await together(room, MailRoom.of(room.world, room.office))
    found = await room.exports(SHOP)
    assert len(found) == len({each.key for each in found}) == 3


async def test_whoever_took_a_schedule_twice_begins_one_report(room: MailRoom) -> None:
    """A lease that ended: both are at it, and the later one finds it made."""
    await room.schedule(SHOP)
    room.world.clock.at = SEVEN
    taken = [
        await tasks.take(room.world.door, tasks.REPORT_SCHEDULE, SEVEN, lease=0, limit=9)
        for _ in range(2)
    ]
    for (task,) in taken:
        await room.tasks._handlers[tasks.REPORT_SCHEDULE](task)
        assert len(await room.exports(SHOP)) == (task.tries > 1)
    assert ("report_schedule", SEVEN + DAY) in await room.left(SHOP)


async def test_a_connection_that_is_lost_anywhere_leaves_one_report(
    database: Database, redis_url: str
) -> None:
    async with (
        World.open(database.app_url, redis_url, door=FragileDoor) as world,
        Office.open() as office,
    ):
        room, door = MailRoom.of(world, office), world.door
        assert isinstance(door, FragileDoor)
        for n in range(1, 15):
            world.clock.at = NOON
            await world.tenant(f"shop-{n}")
            await room.schedule(f"shop-{n}")
            world.clock.at = SEVEN
            door.breaks_after = n
            await room.quiet()
            door.breaks_after = None
            await room.on(3 * MINUTE)
            assert await room.stretches(f"shop-{n}") == ["2026-11-24 2026-11-24"]
            due = [at for kind, at in await room.left(f"shop-{n}") if kind == "report_schedule"]
            assert due == [SEVEN + DAY]


async def test_a_schedule_that_is_paused_makes_nothing_and_makes_up_for_nothing(
    room: MailRoom,
) -> None:
    schedule = await room.schedule(SHOP)
    await room.change(SHOP, schedule, active=False)
    assert await room.left(SHOP) == []
    await room.on(3 * DAY)
    schedule = await room.change(SHOP, await now_of(room, schedule), active=True)
    await room.quiet()
    assert await room.exports(SHOP) == []
    assert await room.left(SHOP) == [("report_schedule", SEVEN + 3 * DAY)]
    room.world.clock.at = SEVEN + 3 * DAY
    await room.quiet()
    assert await room.stretches(SHOP) == ["2026-11-27 2026-11-27"]


async def test_one_that_begins_paused_waits(room: MailRoom) -> None:
    schedule = await room.schedule(SHOP, active=False)
    assert await room.left(SHOP) == []
    await room.change(SHOP, schedule, active=True)
    assert await room.left(SHOP) == [("report_schedule", SEVEN)]


async def test_a_schedule_that_is_deleted_makes_nothing(room: MailRoom) -> None:
    schedule = await room.schedule(SHOP)
    await room.delete(SHOP, schedule)
    await room.on(3 * DAY)
    assert await room.exports(SHOP) == []
    assert await room.left(SHOP) == []
    with pytest.raises(Problem, match="the tenant has no schedule"):
        await room.delete(SHOP, schedule)


@pytest.mark.parametrize("ends", ["deleted", "paused", "named no more"])
async def test_letters_on_their_way_stop_with_what_they_come_from(
    room: MailRoom, ends: str
) -> None:
    schedule = await room.schedule(SHOP, recipients=(ANA, BEN))
    room.world.clock.at = SEVEN
    await room.quiet()
    room.office.answers += ["451 later"] * 2
    await room.finish(SHOP)
    await room.quiet()
    if ends == "deleted":
        await room.delete(SHOP, schedule)
    elif ends == "paused":
        await room.change(SHOP, schedule, active=False)
    else:
        spec = specs.read(schedule.spec)
        await room.change(SHOP, schedule, spec=_with(spec, recipients=(BEN,)))
    await room.on(MINUTE)
    (export,) = await room.exports(SHOP)
    states = [letter.state for letter in await room.letters(export)]
    if ends == "named no more":
        assert states == [State.STOPPED, State.SENT]
        assert room.office.to == [[BEN]]
    else:
        assert states == [State.STOPPED, State.STOPPED]
        assert room.office.letters == []


def _with(spec: specs.Spec, **changed: Any) -> specs.Spec:
    return structs.replace(spec, **changed)


async def test_another_hour_tells_no_day_twice(room: MailRoom) -> None:
    schedule = await room.schedule(SHOP)
    room.world.clock.at = SEVEN
    await room.quiet()
    await room.on(HOUR)
    await room.change(SHOP, await now_of(room, schedule), hour=9)
    await room.on(3 * HOUR)
    assert await room.stretches(SHOP) == ["2026-11-24 2026-11-24"]
    due = [at for kind, at in await room.left(SHOP) if kind == "report_schedule"]
    assert due == [SEVEN + DAY + 2 * HOUR]


async def test_another_report_loses_nothing_that_is_due(room: MailRoom) -> None:
    """It was due, nobody had come to it, and somebody adds a recipient."""
    schedule = await room.schedule(SHOP)
    room.world.clock.at = SEVEN + MINUTE
    await room.change(SHOP, schedule, spec=_with(SCHEDULED, recipients=(ANA, BEN)))
    await room.quiet()
    await room.finish(SHOP)
    await room.quiet()
    assert sorted(room.office.to) == [[ANA], [BEN]]


async def test_the_same_again_changes_nothing(room: MailRoom) -> None:
    schedule = await room.schedule(SHOP)
    before = await now_of(room, schedule)
    assert await room.change(SHOP, schedule, spec=SCHEDULED, hour=7, active=True) == before
    rows = await room.rows(SHOP, "select what from audit where tenant_id = $1 order by audit_id")
    assert [row["what"] for row in rows][-1] == "reportScheduleCreate"


async def test_who_did_what_is_in_the_audit(room: MailRoom) -> None:
    schedule = await room.schedule(SHOP)
    await room.change(SHOP, schedule, hour=9)
    await room.delete(SHOP, schedule)
    rows = await room.rows(
        SHOP,
        "select what, before::text, after::text from audit where tenant_id = $1 "
        "and what like 'reportSchedule%' order by audit_id",
    )
    assert [row["what"] for row in rows] == [
        "reportScheduleCreate", "reportScheduleUpdate", "reportScheduleDelete"
    ]  # fmt: skip
    for text in (rows[0]["after"], rows[1]["before"], rows[2]["before"]):
        assert '"kind": "VISITORS"' in text
        assert ANA in text
    assert '"hour": 9' in rows[1]["after"]


async def test_a_tenant_that_is_suspended_still_gets_its_reports(room: MailRoom) -> None:
    """It may send nothing; what it has done it may read."""
    await room.schedule(SHOP)
    await room.rows(SHOP, "update tenants set status = 'suspended' where tenant_id = $1")
    room.world.clock.at = SEVEN
    await room.quiet()
    await room.finish(SHOP)
    await room.quiet()
    assert room.office.to == [[ANA]]


async def test_a_tenant_that_moves_is_told_each_day_once(room: MailRoom) -> None:
    """From Jakarta to Tokyo: two hours earlier from the day on that begins there."""
    await room.schedule(SHOP)
    room.world.clock.at = SEVEN
    await room.quiet()
    await room.finish(SHOP)
    await room.world.change_zone(SHOP, "Asia/Tokyo", key="moves")
    for _ in range(8 * 24):
        await room.on(HOUR)
        await room.finish(SHOP)
    found = [each.key.rpartition("/")[2] for each in await room.exports(SHOP)]
    assert found == [f"2026-11-{day}" for day in range(24, 31)] + ["2026-12-01", "2026-12-02"]


async def test_a_report_waits_for_others_of_its_tenant(room: MailRoom) -> None:
    """There is a bound of those that are not finished; what is beyond it is made a little later."""
    for _ in range(4):
        await room.schedule(SHOP)
    room.world.clock.at = SEVEN
    await room.quiet()
    assert len(await room.exports(SHOP)) == 3
    await room.finish(SHOP)
    await room.on(MINUTE)
    assert await room.stretches(SHOP) == ["2026-11-24 2026-11-24"] * 4


async def test_the_rights_of_a_report_are_asked_when_its_schedule_is_made(room: MailRoom) -> None:
    """PE-1: its costs need the billing grant; whoever has none changes none that shows them."""
    admin = await room.person(Role.ADMIN, "billing:write")
    boss = await room.person(Role.SUPER_ADMIN)
    plain_one = await room.schedule(SHOP, principal=admin)
    with pytest.raises(Fault, match="Ask a super-admin for billing access"):
        await room.schedule(SHOP, principal=admin, kind=Kind.BROADCASTS, costs=True)
    with pytest.raises(Fault, match="Ask a super-admin for billing access"):
        await room.schedule(SHOP, principal=admin, kind=Kind.LEDGER)
    costly = await room.schedule(SHOP, principal=boss, kind=Kind.BROADCASTS, costs=True)
    for change in ({"active": False}, {"hour": 3}, {"spec": SCHEDULED}):
        with pytest.raises(Fault, match="billing access"):
            await room.change(SHOP, costly, principal=admin, **change)
    costs = _with(SCHEDULED, kind=Kind.BROADCASTS, costs=True)
    with pytest.raises(Fault, match="billing access"):
        await room.change(SHOP, plain_one, principal=admin, spec=costs)
    with pytest.raises(Fault, match="billing access"):
        await room.delete(SHOP, costly, principal=admin)
    await room.change(SHOP, plain_one, principal=boss, active=False)
    await room.delete(SHOP, costly, principal=boss)
    with pytest.raises(Fault, match="usage:read"):
        await room.schedule(SHOP, principal=replace(admin, scopes=frozenset({"events:write"})))


async def test_schedules_of_another_tenant_do_not_exist(room: MailRoom) -> None:
    await room.world.tenant("rival")
    mine = await room.schedule(SHOP)
    rival = await room.person(Role.SUPER_ADMIN, tenant="rival")
    for tenant, why in ((SHOP, "there is no tenant"), ("rival", "the tenant has no schedule")):
        with pytest.raises(Problem, match=why):
            await room.change(tenant, mine, principal=rival, active=False)
        with pytest.raises(Problem, match=why):
            await room.delete(tenant, mine, principal=rival)
    with pytest.raises(Problem, match="there is no tenant"):
        await room.schedule(SHOP, principal=rival)
    numbers = [room.world.tenants[each].tenant_id for each in (SHOP, "rival")]
    found = await report_schedules.of_tenants(room.world.door, numbers)
    assert [len(each) for each in found] == [1, 0]


NOT_SCHEDULED = [
    ({"recipients": ()}, "INVALID", "name who is to have the report"),
    ({"recipients": (ANA, "ana")}, "INVALID_EMAIL", "is no e-mail address"),
    (
        {"recipients": tuple(f"a{n}@shop.example" for n in range(REPORT_RECIPIENTS_MAX + 1))},
        "TOO_MANY", "at most 20 addresses",
    ),
    ({"hour": 24}, "INVALID", "hour is 0 to 23"),
    ({"hour": -1}, "INVALID", "hour is 0 to 23"),
    ({"mails": False}, "NO_MAIL_SERVER", "reports are not mailed here: ask the operator"),
    ({"key": ""}, "INVALID", "1 to 255 characters"),
]  # fmt: skip


async def test_what_cannot_be_is_said(room: MailRoom, subtests: pytest.Subtests) -> None:
    for asked, code, why in NOT_SCHEDULED:
        with subtests.test(asked=asked):
            with pytest.raises(Problem, match=why) as told:
                await room.schedule(SHOP, **asked)
            assert told.value.code == code


async def test_the_address_that_is_wrong_is_named(room: MailRoom) -> None:
    with pytest.raises(Problem) as told:
        await room.schedule(SHOP, recipients=(ANA, "ana"))
    assert told.value.field == "report.recipients[1]"


async def test_an_address_that_is_named_twice_has_one_letter(room: MailRoom) -> None:
    schedule = await room.schedule(SHOP, recipients=(ANA, BEN, "ana@SHOP.example"))
    assert specs.read(schedule.spec).recipients == (ANA, BEN)


async def test_a_tenant_has_a_bound_of_schedules(room: MailRoom) -> None:
    made = [await room.schedule(SHOP) for _ in range(REPORT_SCHEDULES_MAX)]
    with pytest.raises(Problem, match="at most 20 schedules"):
        await room.schedule(SHOP)
    await room.delete(SHOP, made[0])
    await room.schedule(SHOP)


async def test_a_key_makes_one_schedule_for_ever(room: MailRoom) -> None:
    first = await room.schedule(SHOP, key="mine")
    await room.change(SHOP, first, hour=9)
    again = await room.schedule(SHOP, key="mine")
    assert (again.schedule_id, again.hour) == (first.schedule_id, 9)
    with pytest.raises(Problem, match="another request"):
        await room.schedule(SHOP, key="mine", hour=8)
    await room.delete(SHOP, first)
    with pytest.raises(Problem, match="was deleted"):
        await room.schedule(SHOP, key="mine")
    await room.quiet()
    assert await room.left(SHOP) == []


async def test_a_report_that_cannot_be_made_keeps_no_later_one(room: MailRoom) -> None:
    """It failed and is told in its export; the next morning is another one."""
    await room.schedule(SHOP)
    room.world.clock.at = SEVEN
    await room.quiet()
    await room.rows(
        SHOP, f"update exports set state = {int(ExportState.FAILED)} where tenant_id = $1"
    )
    await room.on(DAY)
    assert await room.stretches(SHOP) == ["2026-11-24 2026-11-24", "2026-11-25 2026-11-25"]


async def test_an_operator_may_stop_any(room: MailRoom) -> None:
    """With a key, or the grant to top up."""
    for operator in (OPERATOR, await room.person(Role.OPERATOR, "billing:write")):
        schedule = await room.schedule(SHOP, kind=Kind.LEDGER)
        await room.delete(SHOP, schedule, principal=operator)
