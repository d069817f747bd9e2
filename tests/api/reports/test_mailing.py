"""Reports by mail: one letter to each recipient, each sent once, against a real server of mail."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from email.message import EmailMessage

import pytest
from msgspec import structs

from api import ids
from api.limits import DELIVERIES_KEPT_DAYS, EXPORTS_KEPT_DAYS, REPORT_LETTERS_OF_DAY_MAX
from api.operations.report_checks import check_letters
from api.reaching.smtp import AWAY
from api.reports.letter import FILE_BYTES_MAX
from api.reports.mailing import GONE
from api.reports.spec import Format, Kind
from domain.periods import DAY, HOUR, MINUTE
from domain.problems import Problem
from domain.report_words import LABELS, PHRASES, TITLES
from domain.sentences import Language, needs
from persistence import exports, report_letters, tasks
from persistence.report_letters import State
from tests.api.reaching.office import Office, plain, rich
from tests.api.reports.mailroom import VISITORS, MailRoom, attached, local, together
from tests.conftest import Database
from tests.persistence.test_due import FragileDoor
from tests.scenarios.world import World

SHOP = "shop"
ANA, BEN, EVA = "ana@shop.example", "ben@shop.example", "eva@agency.example"
NOON = local("2026-11-23 12:00")
WAITS = [MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 6 * HOUR, 24 * HOUR]


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


def subjects(room: MailRoom) -> list[str]:
    return [str(each["Subject"]) for each in room.office.read]


def lines(letter: EmailMessage) -> list[str]:
    return [line.strip() for line in plain(letter).splitlines() if line.strip()]


async def test_a_report_that_is_done_is_a_letter_to_each_recipient(room: MailRoom) -> None:
    file = b"\xef\xbb\xbfday,visitors\r\n2026-11-16,3\r\n"
    export = await room.report(SHOP, ANA, BEN, file=file)
    assert [each.state for each in await room.letters(export)] == [State.WAITING] * 2
    await room.quiet()
    assert sorted(room.office.to) == [[ANA], [BEN]]
    assert set(subjects(room)) == {"shop: Visitors, November 16, 2026 to November 22, 2026"}
    assert len({each["Message-ID"] for each in room.office.read}) == 2
    for letter in room.office.read:
        assert attached(letter) == [
            ("visitors-shop-2026-11-16-2026-11-22.csv", "text/csv", file)
        ]  # fmt: skip
    told = await room.letters(export)
    assert [(each.email, each.state, each.sent_at, each.error) for each in told] == [
        (ANA, State.SENT, NOON, None), (BEN, State.SENT, NOON, None)
    ]  # fmt: skip
    assert await room.left(SHOP) == []
    await room.quiet()
    assert len(room.office.letters) == 2


async def test_a_letter_says_of_what_days_as_of_when_and_how_sure(room: MailRoom) -> None:
    export = await room.report(SHOP, file=b"x" * 12_345)
    await room.quiet()
    (letter,) = room.office.read
    name = ids.encode("exp", export.export_id)
    assert lines(letter) == [
        "Visitors, November 16, 2026 to November 22, 2026",
        "The report is attached to this letter as visitors-shop-2026-11-16-2026-11-22.csv.",
        "Report: Visitors",
        "Period: November 16, 2026 to November 22, 2026 (Asia/Jakarta)",
        "As of: 2026-11-23 12:00 (Asia/Jakarta, UTC+07:00)",
        "Figures: estimated until the period is closed",
        "Rows: 3",
        "File: visitors-shop-2026-11-16-2026-11-22.csv (12.3 KB)",
        f"Export: {name}",
        "--",
        f"Sent to {ANA}, because somebody of shop had this report mailed there.",
    ]
    for line in lines(letter)[:2]:
        assert line in rich(letter)
    assert letter["From"] == "Kuota <reports@kuota.example>"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter["Message-ID"] == f"<{name}.1@kuota.example>"


async def test_a_letter_says_of_its_file_whether_it_is_final(room: MailRoom) -> None:
    """It is what was found with the rows, whatever is closed until it is mailed."""
    for end, final in (("2026-11-01 00:00", True), ("2026-11-02 00:00", False)):
        await room.report(SHOP, start=local("2026-10-01 00:00"), end=local(end), final=final)
    await room.rows(
        SHOP,
        f"update tenant_head set closed_until = {local('2026-12-01 00:00')} where tenant_id = $1",
    )
    await room.quiet()
    told = {str(each["Subject"]): plain(each) for each in room.office.read}
    assert "Figures: final" in told["shop: Visitors, October 1, 2026 to October 31, 2026"]
    assert "estimated" in told["shop: Visitors, October 1, 2026 to November 1, 2026"]


@pytest.mark.parametrize(
    ("locale", "subject", "figure"),
    [
        ("en", "shop: Visitors, November 16, 2026", "As of: 2026-11-23 12:00"),
        ("id", "shop: Pengunjung, 16 November 2026", "Per: 2026-11-23 12:00"),
        ("es-AR", "shop: Visitantes, 16 de noviembre de 2026", "A fecha de: 2026-11-23 12:00"),
        ("", "shop: Pengunjung, 16 November 2026", "Per: 2026-11-23 12:00"),
        ("fr", "shop: Pengunjung, 16 November 2026", "Per: 2026-11-23 12:00"),
    ],
)
async def test_a_letter_is_in_the_reports_language_else_the_tenants(
    room: MailRoom, locale: str, subject: str, figure: str
) -> None:
    """One day is named once."""
    await room.report(SHOP, locale=locale, end=local("2026-11-17 00:00"))
    await room.quiet()
    (letter,) = room.office.read
    assert letter["Subject"] == subject
    assert figure in plain(letter)


async def test_hours_are_told_by_the_tenants_clock(room: MailRoom) -> None:
    await room.report(SHOP, start=local("2026-11-16 09:00"), end=local("2026-11-16 17:00"))
    await room.quiet()
    (letter,) = room.office.read
    assert "2026-11-16 09:00 (Asia/Jakarta, UTC+07:00) to 2026-11-16 17:00" in plain(letter)


@pytest.mark.parametrize("form", [Format.XLSX, Format.PARQUET, Format.PDF, Format.SVG, Format.PNG])
async def test_a_file_arrives_as_it_was_made_whatever_it_is(room: MailRoom, form: Format) -> None:
    kind = Kind.VISITORS if form in (Format.XLSX, Format.PARQUET) else Kind.USAGE_CHART
    file = os.urandom(100_001)
    await room.report(SHOP, file=file, format=form, kind=kind)
    await room.quiet()
    (found,) = attached(room.office.read[0])
    assert found[0].endswith(f"2026-11-16-2026-11-22.{form.value}")
    assert found[2] == file
    assert all(len(line) <= 76 for line in room.office.letters[0].split(b"\r\n")[-200:])


async def test_a_file_that_is_just_small_enough_goes_and_a_larger_one_does_not(
    room: MailRoom,
) -> None:
    """Of several parts; the larger one is told how to be had."""
    whole = [os.urandom(FILE_BYTES_MAX // 2)] * 2
    await room.made(await room.asked(SHOP, VISITORS), *whole)
    await room.quiet()
    (letter,) = room.office.read
    assert attached(letter)[0][2] == b"".join(whole)
    room.office.letters.clear()
    large = await room.made(await room.asked(SHOP, VISITORS), *whole, b"x")
    await room.quiet()
    (letter,) = room.office.read
    assert attached(letter) == []
    name = ids.encode("exp", large.export_id)
    assert lines(letter)[1] == (
        "The report has 8.3 MB, which is too large for a letter. Until 2026-11-30 12:00 "
        f"(Asia/Jakarta, UTC+07:00), whoever may read it can download it as export {name}."
    )
    assert lines(letter)[2] == "https://kuota.example"


async def test_an_address_that_is_refused_keeps_no_other_from_its_letter(room: MailRoom) -> None:
    room.office.refuses[BEN] = "550 5.1.1 nobody of that name"
    export = await room.report(SHOP, ANA, BEN, EVA)
    await room.quiet()
    assert sorted(room.office.to) == [[ANA], [EVA]]
    told = await room.letters(export)
    assert [(each.state, each.error) for each in told] == [
        (State.SENT, None), (State.FAILED, "550 5.1.1 nobody of that name"), (State.SENT, None)
    ]  # fmt: skip
    assert await room.left(SHOP) == []


@pytest.mark.parametrize("answer", ["451 4.7.1 greylisted", "421 4.3.2 shutting down"])
async def test_not_now_is_tried_again_by_the_schedule_of_letters(
    room: MailRoom, answer: str
) -> None:
    """The file is kept for longer than that takes; behind the last try it is given up."""
    room.office.answers += [answer] * 7
    export = await room.report(SHOP)
    await room.quiet()
    for n, wait in enumerate(WAITS, 1):
        due_at = room.world.clock.at + wait
        assert await room.left(SHOP) == [("report_letter", due_at)]
        await room.on(wait - 1)
        assert room.office.seen.count("DATA") == n
        await room.on(1)
        assert room.office.seen.count("DATA") == n + 1
    assert room.office.letters == []
    assert await room.left(SHOP) == []
    (letter,) = await room.letters(export)
    assert (letter.state, letter.error, letter.tried) == (State.FAILED, answer, 7)


async def test_what_was_not_taken_at_first_goes_later_as_it_was(room: MailRoom) -> None:
    room.office.answers.append("451 later")
    export = await room.report(SHOP)
    await room.quiet()
    (letter,) = await room.letters(export)
    assert (letter.state, letter.error, letter.sent_at) == (State.WAITING, "451 later", None)
    await room.on(MINUTE)
    (letter,) = await room.letters(export)
    assert (letter.state, letter.error, letter.sent_at) == (State.SENT, None, NOON + MINUTE)


async def test_a_server_that_is_away_is_asked_again(world: World) -> None:
    async with Office.open() as office:
        room = MailRoom.of(world, office)
    export = await room.report(SHOP)
    await room.quiet()
    (letter,) = await room.letters(export)
    assert (letter.state, letter.error) == (State.WAITING, AWAY)
    async with Office.open() as office:
        room = MailRoom.of(world, office)
        await room.on(MINUTE)
        assert office.to == [[ANA]]


async def test_a_server_that_dies_may_get_the_same_letter_twice(room: MailRoom) -> None:
    """It took it and was gone before it said so: the same bytes under the same Message-ID."""
    room.office.dies = True
    await room.report(SHOP, file=os.urandom(10_000))
    await room.quiet()
    await room.on(MINUTE)
    first, second = room.office.letters
    assert first == second
    assert await room.left(SHOP) == []


async def test_a_process_that_dies_behind_the_servers_word_is_followed_by_one_that_repeats_it(
    room: MailRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = await room.report(SHOP, file=os.urandom(10_000))

    async def gone(*_: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(room.mailing, "_note", gone)
    with pytest.raises(asyncio.CancelledError):
        await room.quiet()
    assert len(room.office.letters) == 1
    another = MailRoom.of(room.world, room.office)
    await another.on(3 * MINUTE)  # its lease ends
    first, second = room.office.letters
    assert first == second
    assert [each.state for each in await room.letters(export)] == [State.SENT]
    assert await room.left(SHOP) == []


@pytest.mark.parametrize(("behind_the_word", "most"), [(False, 14), (True, 7)])
async def test_a_connection_that_is_lost_anywhere_loses_no_letter(
    database: Database, redis_url: str, behind_the_word: bool, most: int
) -> None:
    """Behind any statement, before the letter goes or behind the server's word."""
    async with (
        World.open(database.app_url, redis_url, door=FragileDoor) as world,
        Office.open() as office,
    ):
        room, door = MailRoom.of(world, office), world.door
        assert isinstance(door, FragileDoor)
        world.clock.at = NOON
        twice = 0
        for n in range(1, most + 1):
            await world.tenant(f"shop-{n}")
            export = await room.report(f"shop-{n}")
            office.letters.clear()
            door.breaks_after = None if behind_the_word else n

            def lose(n: int = n) -> None:
                door.breaks_after = n if behind_the_word else None

            office.taken = lose
            await room.quiet()
            office.taken = lambda: None
            door.breaks_after = None
            await room.on(3 * MINUTE)
            assert len(set(office.letters)) == 1, n
            assert [each.state for each in await room.letters(export)] == [State.SENT]
            assert await room.left(f"shop-{n}") == []
            twice += len(office.letters) > 1
        assert bool(twice) == behind_the_word


async def test_two_processes_send_each_letter_once(room: MailRoom) -> None:
    for _ in range(3):
        await room.report(SHOP, ANA, BEN, EVA)
    await together(room, MailRoom.of(room.world, room.office))
    assert len(room.office.letters) == 9
    assert len({each["Message-ID"] for each in room.office.read}) == 9


async def test_whoever_lost_its_lease_sends_and_notes_nothing(room: MailRoom) -> None:
    export = await room.report(SHOP)
    (mine,) = await tasks.take(room.world.door, tasks.REPORT_LETTER, NOON, lease=0, limit=9)
    (theirs,) = await tasks.take(room.world.door, tasks.REPORT_LETTER, NOON, lease=0, limit=9)
    await room.mailing.handle(mine)
    assert room.office.letters == []
    await room.mailing.handle(theirs)
    assert len(room.office.letters) == 1
    assert [each.state for each in await room.letters(export)] == [State.SENT]


async def test_a_letter_that_takes_longer_than_its_lease_is_noted_all_the_same(
    room: MailRoom,
) -> None:
    export = await room.report(SHOP)
    (mine,) = await tasks.take(room.world.door, tasks.REPORT_LETTER, NOON, lease=0, limit=9)

    def late() -> None:
        room.world.clock.at += 3 * MINUTE

    room.office.taken = late
    await room.mailing.handle(mine)
    # Nobody had taken it meanwhile: what was sent is noted, late or not.
    assert [each.state for each in await room.letters(export)] == [State.SENT]
    assert await room.left(SHOP) == []


async def test_a_letter_whose_file_was_removed_is_given_up_and_says_so(room: MailRoom) -> None:
    room.office.answers.append("451 later")
    export = await room.report(SHOP)
    await room.quiet()
    await exports.clear(room.world.door, NOON + 1, limit=100)
    await room.on(MINUTE)
    assert room.office.letters == []
    (letter,) = await room.letters(export)
    assert (letter.state, letter.error) == (State.FAILED, GONE)
    assert await room.left(SHOP) == []


async def test_a_report_that_names_nobody_is_not_mailed(room: MailRoom) -> None:
    export = await room.made(await room.asked(SHOP, structs.replace(VISITORS, recipients=())), b"x")
    assert await room.letters(export) == []
    assert await room.left(SHOP) == []


async def test_a_report_of_another_tenant_is_nobodys_letter(room: MailRoom) -> None:
    await room.world.tenant("rival")
    mine, theirs = await room.report(SHOP), await room.report("rival", BEN)
    await room.quiet()
    assert sorted(room.office.to) == [[ANA], [BEN]]
    for tenant, export in ((SHOP, mine), ("rival", theirs)):
        rows = await room.rows(tenant, "select export_id from report_letters where true or $1 > 0")
        assert [row["export_id"] for row in rows] == [export.export_id]


async def test_what_people_call_a_tenant_breaks_no_header_and_no_page(room: MailRoom) -> None:
    await room.world.tenant("odd")
    await room.rows("odd", "update tenants set name = E'Toko é\\n漢 <b>' where tenant_id = $1")
    await room.report("odd")
    await room.quiet()
    (letter,) = room.office.read
    assert str(letter["Subject"]).startswith("Toko é 漢 <b>: Visitors")
    assert "漢 &lt;b&gt; had this report" in rich(letter)


def test_every_word_of_a_report_is_there_in_every_language() -> None:
    for table in (TITLES, LABELS, PHRASES):
        for words in table.values():
            assert set(words) == {each.value for each in Language}
            assert len({frozenset(needs(each)) for each in words.values()}) == 1
    assert set(TITLES) == {each.value for each in Kind}


def test_a_file_is_kept_for_longer_than_letters_are_tried() -> None:
    assert sum(WAITS) < EXPORTS_KEPT_DAYS * DAY


async def test_letters_that_are_long_over_are_cleared_away_and_no_others(
    room: MailRoom, world: World
) -> None:
    """As long as deliveries are: what went since then, what never went since it began."""
    await world.tenant("rival")
    room.office.answers += ["550 no such address"]
    refused = await room.report(SHOP, ANA)
    await room.quiet()
    world.clock.at += DAY
    await room.report("rival", BEN, EVA)
    await room.quiet()
    room.office.answers += ["451 later"]
    late = await room.report(SHOP, ANA, BEN)
    await room.quiet()
    began = world.clock.at
    assert [each.state for each in await room.letters(late)] == [State.WAITING, State.SENT]
    jobs = world.jobs()

    async def left(tenant: str) -> list[tuple[int, int]]:
        rows = await room.rows(
            tenant, "select state, place from report_letters where tenant_id = $1 order by 1, 2"
        )
        return [tuple(row) for row in rows]

    kept = DELIVERIES_KEPT_DAYS * DAY
    world.clock.at = NOON + kept
    assert not await jobs.clear_letters()
    assert len(await left(SHOP)) == 3
    world.clock.at = NOON + kept + MINUTE
    assert not await jobs.clear_letters()
    assert await room.letters(refused) == []
    assert (await left(SHOP), await left("rival")) == ([(1, 1), (2, 2)], [(2, 1), (2, 2)])
    # What goes now is over from now on, however long ago it began; what waits is not over.
    world.clock.at = began + kept + MINUTE
    assert not await jobs.clear_letters()
    assert (await left(SHOP), await left("rival")) == ([(1, 1)], [])
    await room.quiet()
    (letter,) = await room.letters(late)
    assert (letter.state, letter.sent_at) == (State.SENT, world.clock.at)
    world.clock.at += kept
    assert not await jobs.clear_letters()
    assert await left(SHOP) == [(2, 1)]
    world.clock.at += MINUTE
    assert not await jobs.clear_letters()
    assert await left(SHOP) == []


async def test_old_letters_are_cleared_away_piece_by_piece_by_index(
    room: MailRoom, world: World
) -> None:
    """However many are waiting or not yet old: those are not looked at."""
    await room.rows(
        SHOP,
        "insert into report_letters (tenant_id, export_id, place, email, final, state, created_at, "
        f"sent_at) select $1, n, 1, 'x@shop.example', false, 1 + n % 4, {NOON} + n, "
        f"case when n % 4 = 1 then {NOON} + n + 5 end from generate_series(0, 39) n",
    )
    door = world.door
    assert await report_letters.clear(door, NOON + 6, limit=2) == 2
    # Over before it are 2, 3, 6 and 7 of those that never went, and none of those that did.
    rows = await room.rows(
        SHOP, "select export_id from report_letters where tenant_id = $1 order by export_id limit 6"
    )
    assert [row["export_id"] for row in rows] == [0, 1, 4, 5, 6, 7]
    assert await report_letters.clear(door, NOON + 8, limit=9) == 3  # 1 went at 6
    async with door.system_tx("a plan") as connection:
        await connection.execute("set local enable_seqscan = off")
        plan = "\n".join(
            row[0] for row in await connection.fetch(f"explain {report_letters.CLEAR}", 0, 1)
        )
    assert "report_letters_over" in plan, plan


async def test_a_tenant_has_a_bound_of_letters_in_a_day(room: MailRoom) -> None:
    """Whoever may read a report may not have everybody written to with it."""
    await room.rows(
        SHOP,
        "insert into report_letters (tenant_id, export_id, place, email, final, state, created_at) "
        f"select $1, n, 1, 'x@shop.example', false, 2, {NOON} "
        f"from generate_series(1, {REPORT_LETTERS_OF_DAY_MAX - 1}) n",
    )
    tenant_id = room.world.tenants[SHOP].tenant_id
    async with room.world.door.tenant_tx(tenant_id) as connection:
        await check_letters(connection, tenant_id, (ANA,), NOON + 1)
        await check_letters(connection, tenant_id, (), NOON + 1)
        with pytest.raises(Problem, match="799 letters with reports went in the last 24 hours"):
            await check_letters(connection, tenant_id, (ANA, BEN), NOON + 1)
        await check_letters(connection, tenant_id, (ANA, BEN), NOON + DAY)
