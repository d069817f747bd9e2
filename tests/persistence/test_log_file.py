"""A tenant's log, exported and imported into another database, comes to the same there (EV-8)."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from api import ids
from api.exporting import export
from api.importing import Imported, Importing, ImportRefusedError
from api.log_file import LogFile, LogFileError, Writer
from api.operations import (
    period_close,
    price_book_publish,
    sending_set,
    settle,
    tenant_status_set,
)
from api.operations.period_close import PeriodClose
from api.operations.price_book_publish import PriceBookPublish
from api.operations.sending_set import SendingSet
from api.operations.settle import Settle
from api.operations.tenant_status_set import TenantStatusSet
from api.settling import Settling
from api.verifying import Verifying
from domain.periods import DAY, HOUR, instant
from domain.problems import Problem
from domain.verify import Finding
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.servers import Servers
from persistence.tenants import find_by_keys
from tests.conftest import Database, named, numbers, on
from tests.persistence.test_settling import BOOKS
from tests.persistence.traffic import NOW, START, TopUp, traffic
from tests.scenarios.world import Json, World

TENANT = "amber"
MAY = 2026 * 12 + 4
ACTIONS = """
select idempotency_key, kind, at, content,
    split_part(coalesce(subject, ''), '/', 1) as subject,
    body - 'tenant_id' - 'version' - 'lot_id' - 'number_id' - 'top_up' - 'charge' - 'moves'
        - 'settlement_id' - 'purchase_id' - case kind when 9 then 'corrected' else '' end as body,
    (select array_agg(l.origin || ' ' || (move ->> 3) order by place)
        from jsonb_array_elements(body -> 'moves') with ordinality m (move, place)
        join lots l on l.tenant_id = a.tenant_id and l.lot_id = (move ->> 0)::integer) as moves
from actions a where tenant_id = $1 order by action_id"""
TERMS = """
select name, zones, changes, currency, country, locale, plan, status, sending, since, created_at,
    (select array_agg(key || unit order by balance_id) from balances b
        where b.tenant_id = t.tenant_id) as balances,
    (select array_agg(channel || address || zones::text || created_at order by channel, address)
        from numbers n where n.tenant_id = t.tenant_id) as numbers
from tenants t where tenant_id = $1"""
FACTS = """
select source, id, at, arrived_at, type, party, category, country, data from facts
where tenant_id = $1 order by source, id"""
CONFLICTS = """
select source, id, at, arrived_at, content, data from conflicts
where tenant_id = $1 order by source, id, content"""
PUBLISHED = "select book, version, digest, published_at from books where $1 > 0 order by 1, 2"
# In the order in which they were raised, whatever commits they are of.
ALERTS = """
select row_number() over (order by version, line) as place, balance_id, kind, measure, threshold,
    remaining, base, at, cause, cause_id, acknowledged_at,
    (select below from tenant_head h where h.tenant_id = a.tenant_id) as below
from alerts a where tenant_id = $1 order by place"""
ALL = {
    **BOOKS, "actions": ACTIONS, "terms": TERMS, "facts": FACTS, "conflicts": CONFLICTS,
    "alerts": ALERTS,
}  # fmt: skip


@pytest.fixture
async def world(database: Database, servers: Servers) -> AsyncIterator[World]:
    assert servers.addresses.redis_url is not None
    async with World.open(database.app_url, servers.addresses.redis_url) as world:
        await begin(world)
        yield world


async def begin(world: World) -> None:
    """A tenant with three numbers."""
    world.clock.at = START
    await world.tenant(TENANT, country="SG", plan="college-small")
    await world.number(TENANT, "wa", "whatsapp", "+62 800 0000 01")
    await world.number(TENANT, "wa2", "whatsapp", "+62 800 0000 02", "Asia/Jayapura")
    await world.number(TENANT, "ig", "instagram", "shop")


@pytest.fixture
async def elsewhere(servers: Servers, template: str) -> AsyncIterator[Database]:
    """Another database, which was migrated and is empty."""
    async with fresh(servers, template) as database:
        yield database


@asynccontextmanager
async def fresh(servers: Servers, template: str) -> AsyncIterator[Database]:
    addresses = servers.addresses
    assert addresses.owner_url is not None
    name = f"elsewhere_{next(numbers)}"
    await on(addresses.owner_url, f"create database {name} template {template} strategy file_copy")
    yield Database(
        name=name,
        owner_url=named(addresses.owner_url, name),
        app_url=named(addresses.app_url, name),
    )
    await on(addresses.owner_url, f"drop database if exists {name} with (force)")


@pytest.fixture
async def other(elsewhere: Database, servers: Servers) -> AsyncIterator[World]:
    assert servers.addresses.redis_url is not None
    async with World.open(elsewhere.app_url, servers.addresses.redis_url) as world:
        yield world


@dataclass(slots=True)
class Life:
    """What happens to one tenant, a step at a time, the same for the same seed."""

    world: World
    chance: random.Random
    bought: list[str]

    async def step(self, step: Json | TopUp, n: int) -> None:
        world, chance = self.world, self.chance
        if isinstance(step, TopUp):
            step = replace(step, tenant=TENANT, starts_at=min(step.starts_at, world.clock.at))
            action = await world.top_up(
                TENANT, step.balance, step.amount, key=step.key, source=step.source,
                starts_at=step.starts_at,
            )  # fmt: skip
            if step.source == "TOP_UP":
                self.bought.append(ids.encode("top", action.action_id))
            return
        at = instant(datetime.fromisoformat(step["time"]))
        world.clock.at = max(world.clock.at, at)
        (result,) = await world.send([{**step, "subject": TENANT}])
        assert result["status"] != "refused", result
        if chance.random() < 0.08:
            await self.correct(n)

    async def correct(self, n: int) -> None:
        """Give some of a charge or a top-up back, or adjust a balance."""
        world, chance = self.world, self.chance
        kind = chance.choice(("charge", "top_up", "adjust", "taken"))
        charged = [each for each in await world.charges(TENANT) if each.amount > 1_000_000]
        what: dict[str, Any] = {}
        if kind == "charge" and charged:
            what = {"charge": ids.encode_charge(*chance.choice(charged).cursor)}
            if chance.random() < 0.5:
                what["amount"] = 1_000_000
        elif kind in ("top_up", "taken") and self.bought:
            top_up = self.bought.pop(chance.randrange(len(self.bought)))
            what = {"top_up": top_up, "taken_back": kind == "taken"}
        if what:
            # There may be nothing left to refund, or settling took the charge back.
            with suppress(Problem):
                await world.refund(TENANT, key=f"refund {n}", **what)
        else:
            amount = chance.choice((-2_000_000, 3_000_000))
            balance = chance.choice(("conversations", "visitors", "whatsapp"))
            await world.adjust(TENANT, balance, amount, key=f"adjust {n}")


async def live(world: World, seed: int, events: int, *, closing: bool = True) -> None:
    """A random life: late facts, repeated ones, corrections, and every kind of agreement."""
    life = Life(world, random.Random(seed), [])
    settling = Settling(world.door, world.catalogue, world.clock.now, world.show)
    for n, step in enumerate(traffic(seed, events)):
        await life.step(step, n)
        if n == 1:
            await world.pay_abroad(TENANT, "ID", since=START // DAY + 8, key="abroad")
        if n == events // 4:
            await world.change_zone(TENANT, "America/Bogota", key="zone")
            await world.change_number_zone(TENANT, "wa2", "Asia/Kolkata", key="number's zone")
        if n == events // 3:
            await world.allow(TENANT, "visitors", 40_000_000, since=START // DAY, key="allowance")
            await publish(world)
        if n == events // 2:
            await world.change_plan(TENANT, "omnichannel-idr", key="plan")
        if n == events * 3 // 5:
            await decide(world)
        if n == events * 2 // 3:
            request = Settle(tenant=TENANT, idempotency_key="settle")
            await settle.run(world.door, settling, request, now=world.clock.now())
        if closing and n == events * 3 // 4:
            close = PeriodClose(tenant=TENANT, period=MAY, idempotency_key="close")
            await period_close.run(world.door, settling, close, now=world.clock.now())
        if n == events * 5 // 6:
            await world.change_plan(TENANT, None, key="end")
    world.clock.at = NOW


async def decide(world: World) -> None:
    """What the tenant says of sending itself, and that it owes something."""
    fields = {"hold_seconds": 60, "caps": [{"balance": "whatsapp", "day": "5"}], "fail_open": []}
    said = SendingSet(tenant=TENANT, fields=fields, reason="asked")
    now = world.clock.now()
    assert (await sending_set.run(world.door, world.catalogue, said, now=now)).problems == ()
    blocked = TenantStatusSet(tenant=TENANT, status="blocked", reason="unpaid")
    await tenant_status_set.run(world.door, world.catalogue, world.show, blocked, now=now)


async def publish(world: World) -> None:
    """The next version of the tenant's book."""
    async with world.door.system_tx("the catalogue of a test") as connection:
        body = await connection.fetchval("select body from books where book = 'college-small'")
    document = json.loads(body)
    document["rows"] = [
        {**document["rows"][0], "row": "later", "valid_from": "2026-12-01"}
    ]  # fmt: skip
    request = PriceBookPublish(document=json.dumps(document), format="JSON")
    done = await price_book_publish.run(world.door, world.catalogue, request, now=world.clock.now())
    assert done.problems == (), done.problems


async def exported(world: World, path: Path) -> Path:
    with path.open("wb") as file:
        await export(world.door, world.catalogue, TENANT, Writer(file), world.clock.now)
    return path


async def imported(
    database: Database, path: Path, told: Callable[[int], None] = lambda lines: None
) -> Imported:
    async with Door.open(database.app_url) as door:
        file = LogFile.checked(path)
        return await Importing(door, database.owner_url, file, NOW + HOUR, told).run()


async def everything(world: World) -> dict[str, list[tuple[Any, ...]]]:
    return {
        name: [tuple(row) for row in await world.rows(TENANT, query)] for name, query in ALL.items()
    }


async def same(world: World, other: World) -> None:
    """The tenant is in the other database what it is in the first."""
    other.tenants[TENANT] = (await find_by_keys(other.door, [TENANT]))[TENANT]
    one, two = await everything(world), await everything(other)
    for name in ALL:
        assert one[name] == two[name], name


async def wrong(world: World) -> tuple[list[str], int, Sequence[Finding]]:
    """What verifying has against the catalogue, and how much against the tenant's books."""
    async with world.door.system_tx("the catalogue of a test") as connection:
        catalogue = await Catalogue.load(connection)
    verifying = Verifying(world.door, catalogue, lambda: NOW)
    verified = await verifying.verify(world.tenants[TENANT].tenant_id)
    return await verifying.catalogue(), verified.wrong, tuple(verified.findings)


@pytest.mark.parametrize("seed", [1, 2])
async def test_an_imported_log_comes_to_the_same(
    world: World, other: World, elsewhere: Database, tmp_path: Path, seed: int
) -> None:
    """EV-8: a whole life, moved to an empty database, gives the same to the last digit."""
    await live(world, seed, 120)
    seen = "update alerts set acknowledged_at = at + 1 where tenant_id = $1 and line = 0"
    assert len(await world.rows(TENANT, f"{seen} returning kind")) > 2
    path = await exported(world, tmp_path / "amber.log")

    done = await imported(elsewhere, path)

    assert done.differences == {}
    await same(world, other)
    assert "facts/3" in LogFile.checked(path).footer.figures, "none was adjusted"
    kinds = await world.rows(TENANT, "select distinct kind from actions where tenant_id = $1")
    assert {row["kind"] for row in kinds} >= {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
    assert await world.rows(TENANT, CONFLICTS)
    assert await other.rows(TENANT, PUBLISHED) == await world.rows(TENANT, PUBLISHED)
    again = await imported(elsewhere, path)
    assert (again.finished_before, again.facts) == (True, 0)
    await same(world, other)
    told = await other.rows(TENANT, "select what from audit where tenant_id = $1")
    assert [row["what"] for row in told] == ["logImport"], "one row tells of all that came"


async def test_what_was_imported_is_exported_as_it_was(
    world: World, other: World, elsewhere: Database, tmp_path: Path
) -> None:
    """EV-8: from a copy the same log comes, with the same figures, and it goes on living."""
    await live(world, 3, 60, closing=False)
    path = await exported(world, tmp_path / "amber.log")
    await imported(elsewhere, path)
    other.tenants[TENANT] = (await find_by_keys(other.door, [TENANT]))[TENANT]
    other.clock.at = NOW

    copy = await exported(other, tmp_path / "copy.log")

    def inputs(path: Path) -> list[Json]:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        return [{k: v for k, v in line.items() if k != "version"} for line in lines[1:-1]]

    first, second = LogFile.checked(path), LogFile.checked(copy)
    assert second.footer.figures == first.footer.figures
    assert await wrong(other) == ([], 0, ())
    assert sorted(inputs(copy), key=str) == sorted(inputs(path), key=str)
    other.clock.at = NOW + HOUR
    assert await other.top_up(TENANT, "whatsapp", 5_000_000, key="later")


async def test_an_import_that_broke_off_is_taken_up(
    world: World, other: World, elsewhere: Database, tmp_path: Path
) -> None:
    """EV-8: wherever it ends, the same file brings the rest, and nothing comes twice."""
    await live(world, 1, 60)
    path = await exported(world, tmp_path / "amber.log")
    steps = iter((0, 1, 2, 5, 9, 14))

    class KilledError(Exception):
        """As a process is, between two commits."""

    def dying() -> Callable[[int], None]:
        left = next(steps)

        def told(lines: int) -> None:
            nonlocal left
            if not left:
                raise KilledError
            left -= 1

        return told

    for _ in range(6):
        with pytest.raises(KilledError):
            await imported(elsewhere, path, dying())
    done = await imported(elsewhere, path)

    assert done.differences == {}
    assert done.passed_over
    await same(world, other)


def cut(lines: list[bytes]) -> bytes:
    return b"".join(lines[:-1])


def cut_within(lines: list[bytes]) -> bytes:
    return b"".join(lines)[:-40]


def changed(lines: list[bytes]) -> bytes:
    place = next(n for n, line in enumerate(lines) if b'"line":"fact"' in line)
    lines[place] = lines[place].replace(b'"source":"traffic"', b'"source":"trafic."')
    return b"".join(lines)


def without_a_line(lines: list[bytes]) -> bytes:
    return b"".join(lines[:-3] + lines[-2:])


def backwards(lines: list[bytes]) -> bytes:
    facts = [n for n, line in enumerate(lines) if b'"line":"fact"' in line]
    lines[facts[0]], lines[facts[-1]] = lines[facts[-1]], lines[facts[0]]
    return b"".join(lines)


def misplaced(lines: list[bytes]) -> bytes:
    number = next(line for line in lines if b'"line":"number"' in line)
    lines.remove(number)
    return b"".join([*lines[:-1], number, lines[-1]])


def of_the_future(lines: list[bytes]) -> bytes:
    header = json.loads(lines[0]) | {"version": 9, "novelty": 1}
    return b"".join([json.dumps(header).encode() + b"\n", *lines[1:]])


def more(lines: list[bytes]) -> bytes:
    return b"".join([*lines, lines[-1]])


def facts_alone(lines: list[bytes]) -> bytes:
    return b'{"id": "1", "source": "crm"}\n'


def zipped_and_cut(lines: list[bytes]) -> bytes:
    return gzip.compress(b"".join(lines))[:-20]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (cut, "without its last line"),
        (cut_within, "it was cut"),
        (changed, "checksum"),
        (without_a_line, "checksum"),
        (backwards, "it came before the line that stands before it"),
        (misplaced, "does not come so late"),
        (of_the_future, "version 9"),
        (more, "more stands behind"),
        (facts_alone, "replay"),
        (zipped_and_cut, "cannot be read"),
    ],
)
async def test_a_spoiled_file_is_refused_before_anything_is_done(
    log: list[bytes], elsewhere: Database, tmp_path: Path,
    spoil: Callable[[list[bytes]], bytes], why: str,
) -> None:  # fmt: skip
    """EV-8: what is not whole is not begun."""
    path = tmp_path / "spoiled.log"
    path.write_bytes(spoil(list(log)))
    with pytest.raises(LogFileError, match=why):
        LogFile.checked(path)


@pytest.fixture(scope="module")
async def log(
    servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory
) -> list[bytes]:
    """The lines of a small log."""
    async with fresh(servers, template) as database:
        assert servers.addresses.redis_url is not None
        async with World.open(database.app_url, servers.addresses.redis_url) as world:
            await begin(world)
            await live(world, 2, 12)
            path = await exported(world, tmp_path_factory.mktemp("log") / "amber.log")
    return path.read_bytes().splitlines(keepends=True)


async def test_another_tenant_of_the_key_stays_as_it_is(
    world: World, log: list[bytes], database: Database, tmp_path: Path
) -> None:
    """EV-8: a log is no way to change a tenant that lives, nor to bring two logs together."""
    path = tmp_path / "amber.log"
    path.write_bytes(b"".join(log))
    before = await everything(world)
    with pytest.raises(ImportRefusedError, match="was created here"):
        await imported(database, path)
    assert await everything(world) == before


async def test_others_keep_the_books_they_are_charged_by(
    other: World, log: list[bytes], elsewhere: Database, tmp_path: Path
) -> None:
    """EV-8: an import that would need another book than tenants here have is refused whole."""
    await other.tenant("birch", plan="college-small")
    path = tmp_path / "amber.log"
    path.write_bytes(b"".join(log))
    with pytest.raises(ImportRefusedError, match="book college-small"):
        await imported(elsewhere, path)
    assert await find_by_keys(other.door, [TENANT]) == {}


async def test_time_goes_on_meanwhile_where_a_process_serves(
    world: World, other: World, elsewhere: Database, tmp_path: Path
) -> None:
    """EV-8, TZ-4: jobs that bring the tenant to the present half way change nothing."""
    await live(world, 1, 60)
    path = await exported(world, tmp_path / "amber.log")
    steps = 0

    class HalfWayError(Exception):
        """The first import ends here."""

    def told(lines: int) -> None:
        nonlocal steps
        steps += 1
        if steps == 14:
            raise HalfWayError

    with pytest.raises(HalfWayError):
        await imported(elsewhere, path, told)
    other.clock.at = NOW + 40 * DAY
    while await other.jobs().advance_due():
        pass
    done = await imported(elsewhere, path)

    assert done.differences == {}
    await same(world, other)


async def test_what_differs_is_named(
    other: World, log: list[bytes], elsewhere: Database, tmp_path: Path
) -> None:
    """EV-8: what comes to the tenant from elsewhere meanwhile is never called the same."""
    path = tmp_path / "amber.log"
    path.write_bytes(b"".join(log))

    class BegunError(Exception):
        """The first import ends when there is a tenant."""

    def told(lines: int) -> None:
        raise BegunError

    with pytest.raises(BegunError):
        await imported(elsewhere, path, told)
    other.clock.at = NOW
    more = next(json.loads(line)["fact"] for line in log if b'"line":"fact"' in line)
    (result,) = await other.send([{**more, "id": "of another"}])
    assert result["status"] in ("accepted", "unrated")
    done = await imported(elsewhere, path)

    assert "terms" not in done.differences
    there, here = done.differences["facts/1"]
    assert there is not None
    assert here is not None
    assert here.rows == there.rows + 1
    assert not (await imported(elsewhere, path)).finished_before
