"""Verifying: honest books are right, and what a hand changes is found and named (EV-9, BA-10)."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest

from api.operations import period_close
from api.operations import settle as settle_operation
from api.operations.period_close import PeriodClose
from api.settling import Cause, Settling
from api.verifying import TooLargeError, Verified, Verifying
from domain.periods import HOUR, MINUTE, iso
from persistence import verifying as tables
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.servers import Servers
from tests.conftest import Database, numbers, on
from tests.persistence.traffic import NOW, TENANTS, arrive, arrive_held, settle_in, traffic
from tests.scenarios.world import World

TENANT = TENANTS[0]


@pytest.fixture
async def world(database: Database, servers: Servers) -> AsyncIterator[World]:
    assert servers.addresses.redis_url is not None
    async with World.open(database.app_url, servers.addresses.redis_url) as world:
        await settle_in(world)
        yield world


async def verify(world: World, tenant: str) -> Verified:
    verifying = Verifying(world.door, world.catalogue, world.clock.now)
    return await verifying.verify(world.tenants[tenant].tenant_id)


async def settle(world: World, tenant: str) -> None:
    settling = Settling(world.door, world.catalogue, world.clock.now, world.show)
    await settling.settle(world.tenants[tenant].tenant_id, Cause.DEMAND)


def told_of(verified: Verified) -> list[str]:
    return [str(finding) for finding in verified.findings]


@pytest.mark.parametrize("seed", range(2))
async def test_honest_books_are_right(world: World, seed: int) -> None:
    """EV-4: what is not settled yet is no error; settled, the log comes to the books."""
    await arrive(world, seed, 240, 7)
    for tenant in TENANTS:
        verified = await verify(world, tenant)
        assert told_of(verified) == []
        assert verified.unsettled_from is not None
    for tenant in TENANTS:
        await settle(world, tenant)
        verified = await verify(world, tenant)
        assert told_of(verified) == []
        assert verified.unsettled_from is None
        assert verified.unsettled == verified.unproven == {}
        assert verified.facts > 10


@pytest.mark.parametrize("seed", range(2))
async def test_closed_periods_are_right(world: World, database: Database, seed: int) -> None:
    """EV-3: what a closing left standing and what came after it add up to the books."""
    await arrive(world, seed, 300, 7)
    settling = Settling(world.door, world.catalogue, world.clock.now, world.show)
    amber = world.tenants[TENANT].tenant_id
    may = 2026 * 12 + 4
    request = PeriodClose(tenant=TENANT, period=may, idempotency_key="may")
    await period_close.run(world.door, settling, request, now=NOW)
    verified = await verify(world, TENANT)
    assert told_of(verified) == []

    late = [event for event in traffic(seed + 100, 120) if isinstance(event, dict)]
    for event in late:
        world.clock.at += MINUTE
        await world.send([{**event, "source": "late", "subject": TENANT}])
    adjusted = await world.row(
        TENANT, "select count(*) as n from facts where tenant_id = $1 and status = 3"
    )
    assert adjusted["n"] > 3
    verified = await verify(world, TENANT)
    assert told_of(verified) == []
    await settle(world, TENANT)
    verified = await verify(world, TENANT)
    assert (told_of(verified), verified.unsettled) == ([], {})
    assert verified.facts > 100

    await on(
        database.owner_url,
        f"update lots set used = used + 1 where tenant_id = {amber} and month = {may}",
        f"update periods set closed_at = null where tenant_id = {amber} and month = {may}",
    )
    findings = told_of(await verify(world, TENANT))
    assert "periods 2026-05: closed_at is never, should be when a commit closed it" in findings
    assert any(finding.startswith("lots conversations allowance/2026-05") for finding in findings)


async def test_a_settling_that_somebody_asked_for_by_name_is_right(world: World) -> None:
    """BA-7, EV-9: its action stands beside what it posted; the next one found nothing."""
    await arrive(world, 0, 100, 7)
    settling = Settling(world.door, world.catalogue, world.clock.now, world.show)
    found = []
    for key in ("first", "second"):
        request = settle_operation.Settle(tenant=TENANT, idempotency_key=key)
        done = await settle_operation.run(world.door, settling, request, now=NOW)
        found.append(done.settlement_id is not None)
        assert told_of(await verify(world, TENANT)) == []
    assert found == [True, False]


#: What a row of a table is called; of a fact that is gone only its key is left.
_FACT = (
    "encode(t.key, 'hex') || '|' || (select source || '/' || id from facts f"
    " where f.tenant_id = t.tenant_id and f.at = t.at and f.key = t.key)"
)
NAMES = {
    "facts": _FACT,
    "charges": _FACT,
    "revisions": _FACT,
    "transfers": "version || '/' || line || '|commits version ' || version",
    "alerts": "'alerts ' || version || '/' || line || '|commits version ' || version",
    "lots": "origin || ' (lot ' || lot_id || ')'",
    "lot_days": "'(lot ' || lot_id || ') on the day'",
    "counters": "name || ' of'",
    "contacts": "replace(party, chr(31), 'group ') || ' on'",
    "messages": "encode(message, 'hex')",
    "usage_hour": "to_char(moment(bucket) at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
    "usage_day": "to_char(moment(bucket) at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
    "broadcast_recipients": "replace(party, chr(31), 'group ') || ' of ' || broadcast",
    "broadcasts": "'broadcasts ' || broadcast",
    "user_activity": "agent || ' at '",
    "commits": "'version ' || version",
    "fact_keys": _FACT,
    "actions": "idempotency_key",
    "holds": "encode(hold_id, 'hex')",
    "hold_shares": "encode(hold_id, 'hex')",
    "periods": "to_char(make_date(month / 12, month % 12 + 1, 1), 'YYYY-MM')",
    "settlements": "'version ' || version",
    "tenant_head": "'amber'",
}


@dataclass(frozen=True)
class Hand:
    """What a hand does to one row; without `set` the row is deleted."""

    table: str
    set: str = ""
    where: str = "true"
    insert: str = ""  #: a row like it is added with these values instead, as JSON
    says: str = ""  #: what names the row; default: its name

    def __str__(self) -> str:
        return f"{self.table}: {self.set or self.insert or 'deleted'}"


def of(table: str, *changes: str, where: str = "true") -> list[Hand]:
    return [Hand(table, change, where) for change in changes]


HANDS = [
    *of("facts", "amount = amount + 1", "units = units + 1", "lot_id = lot_id + 1",
        "rule_id = rule_id + 1", "balance_id = balance_id % 3 + 1", where="lot_id is not null"),
    *of("facts", "at = at + 1", "version = version + 1", "arrived_at = arrived_at + 1",
        "number_id = number_id % 2 + 1", "type = 9", "status = 3 - status", "flags = flags # 4",
        "flags = flags # 8", "source = source || 'x'", "id = id || 'x'", "party = party || '1'",
        "category = 'else'", "market = 'XX'", "country = 'XX'",
        "data = replace(data, '{', '{\"x\":1,')", "data = 'x'", "key = '\\x00'",
        "number_id = 99", ""),
    *of("charges", "amount = amount + 1", "units = units + 1", "taken[1] = taken[1] + 1",
        "lots[1] = lots[1] + 1", "booked_at = booked_at + 1", "revision = revision + 7",
        "hold_id = '\\x01'", "flags = flags # 16", "version = 100000", "version = 1", ""),
    *of("revisions", "flags = flags # 2", "status = 3 - status", "version = version - 1",
        "revision = 9", ""),
    *of("transfers", "amount = amount + 1", "cause = 3 - cause", "debit = 'elsewhere'",
        "credit = 'lot/77'", "at = at + 1", "version = version + 1000", "balance_id = 9", ""),
    *of("alerts", "kind = kind % 4 + 1", "threshold = threshold + 1", "remaining = remaining - 1",
        "base = base + 1", "at = at + 1", "cause = cause + 1", "cause_id = cause_id || 'x'",
        "balance_id = 9", "measure = 2", "version = version + 1000", "line = line + 5", ""),
    *of("lots", "amount = amount + 1", "used = used + 1", "moved = moved + 1",
        "lapsed = lapsed + 1", "starts_at = starts_at + 1", "balance_id = 9",
        "priority = 7", "source = 4", "drawn_at = null", where="used > 0"),
    Hand("lots", where="used > 0", says="lots lot"),
    *of("lots", "ends_at = ends_at + 1", where="ends_at is not null"),
    *of("lots", "created_at = created_at + 1", where="origin like 'action/%'"),
    *of("lot_days", "used = used + 1", "moved = moved + 1", "day = day + 99 * 86400000000", "",
        where="used > 0"),
    *of("counters", "value = value + 1", "month = month + 1", "name = 'else'", "",
        where="value > 0"),
    *of("contacts", "last_at = last_at + 1", "conversation_paid = not conversation_paid",
        "service_ends_at = coalesce(service_ends_at, 0) + 1", "visited = visited || 1",
        "conversation_opened_at = 7", "entry_at = 5", "category_windows = '{1,2,3}'",
        "party = party || '0'", ""),
    *of("messages", "charged_by = '\\x00'", "charged_at = charged_at + 1", "message = '\\x00'", ""),
    *(hand for table in ("usage_hour", "usage_day") for hand in of(
        table, "cost = cost + 1", "initial_units = initial_units + 1",
        "top_up_units = top_up_units + 1", "initial_cost = initial_cost + 1",
        "messages_out = messages_out + 1", "visitors = visitors - 1",
        "bucket = bucket + 3600000000", "country = 'XX'", "", where="messages_out > 0")),
    *of("broadcast_recipients", "states = states # 8", "party = party || '0'",
        "channel = channel + 1", "broadcast = broadcast || 'x'", ""),
    *of("broadcasts", "first_at = first_at - 1", "last_at = last_at + 1",
        "recipients = recipients + 1", "delivered = delivered - 1", "read = read + 1",
        "failed = failed + 1", "broadcast = broadcast || 'x'", ""),
    *of("user_activity", "first_at = first_at - 1", "last_at = last_at + 1", "agent = 'else'",
        "quarter = quarter + 900000000", ""),
    *of("commits", "at = at + 1", "cause = cause + 1", "facts = facts + 1", "digest = '\\x00'",
        "version = version + 10000", ""),
    *of("fact_keys", "content = '\\x00'", "at = at + 1", "version = version + 1",
        "key = '\\x00'", ""),
    *of("actions", "body = jsonb_set(body, '{amount}', '7')", "at = at + 1",
        "version = version + 1", "content = '\\x00'", "kind = 2", "subject = 'x'",
        "body = '{}'", "digest = '\\x00'", ""),
    *of("periods", "starts_at = starts_at + 1", "ends_at = ends_at - 1", ""),
    *of("settlements", "facts = facts + 1", "differences = '{\"whatsapp\": 1}'",
        "version = version - 1", ""),
    *of("tenant_head", "version = version + 1", "version = version - 1", "digest = '\\x00'",
        "last_lot = 0", "next_due = null", "next_due = next_due + 40 * 86400000000",
        "alerted = alerted - 1", "below = '[]'"),
    *of("holds", "ended = ended + 1", "back = '[]'", "sent = '[[\"left:whatsapp\",1]]'",
        "sent_at = 7", "share = '[]'", "total = '[]'", "shares = shares + 1",
        "varied = not varied", "expires_at = expires_at + 1", "lasts_until = lasts_until + 1",
        "ended_at = coalesce(ended_at, 0) + 1", "ended_by = 3", "revision = revision + 1",
        "version = version + 1", "digest = '\\x00'", ""),
    Hand("holds", "hold_id = '\\x0102'", says="holds 0102"),
    Hand("hold_shares", "hold_id = '\\x0102'", says="of 0102"),
    Hand("hold_shares", "recipient = '\\x0102'", says="0102 of"),
    *of("hold_shares", "share = '[]'", "sent_at = coalesce(sent_at, 0) + 1",
        "ended_at = coalesce(ended_at, 0) + 1", "ended_by = 3", "digest = '\\x00'"),
    *of("hold_shares", "", where="ended_at is not null"),
    Hand("facts", insert='{"key": "\\\\x0102", "id": "inserted"}'),
    Hand("charges", insert='{"part": 7}'),
    Hand("revisions", insert='{"revision": 7}'),
    Hand("transfers", insert='{"line": 99}'),
    Hand("alerts", insert='{"line": 99, "alert_id": 9999}'),
    Hand("lots", insert='{"lot_id": 99, "origin": "inserted", "used": 1}', says="inserted"),
    Hand("lot_days", insert='{"day": 86400000000}', where="used > 0"),
    Hand("counters", insert='{"name": "inserted", "value": 5}', says="counters inserted"),
    Hand("contacts", insert='{"party": "inserted"}', says="inserted on"),
    Hand("messages", insert='{"message": "\\\\x0102"}', says="messages 0102"),
    Hand("usage_hour", insert='{"category": "inserted"}', where="messages_out > 0"),
    Hand("usage_day", insert='{"category": "inserted"}', where="messages_out > 0"),
    Hand("broadcast_recipients", insert='{"party": "inserted"}', says="inserted of"),
    Hand("broadcasts", insert='{"broadcast": "inserted"}', says="broadcasts inserted"),
    Hand("user_activity", insert='{"agent": "inserted"}', says="inserted at"),
    Hand("commits", insert='{"version": 99999}', says="commits version 99999"),
    Hand("fact_keys", insert='{"key": "\\\\x0102"}', says="facts 0102"),
    Hand("actions", insert='{"idempotency_key": "inserted", "action_id": 9999}'),
    Hand("holds", insert='{"hold_id": "\\\\x0102"}', says="holds 0102"),
    Hand("hold_shares", insert='{"recipient": "\\\\x0102"}', says="0102 of"),
    Hand("settlements", insert='{"settlement_id": 9999, "version": 2}', says="settlements 9999"),
]  # fmt: skip


@pytest.fixture(scope="module")
async def honest(servers: Servers, template: str) -> AsyncIterator[Database]:
    """A database with the settled books of a random life, that nobody is connected to."""
    addresses = servers.addresses
    assert addresses.owner_url is not None
    assert addresses.redis_url is not None
    assert addresses.app_url is not None
    name = f"honest_{next(numbers)}"
    await on(addresses.owner_url, f"create database {name} template {template} strategy file_copy")
    known = Database(
        name=name,
        owner_url=addresses.owner_url.replace("/kuota?", f"/{name}?"),
        app_url=addresses.app_url.replace("/kuota?", f"/{name}?"),
    )
    async with World.open(known.app_url, addresses.redis_url) as world:
        await settle_in(world)
        await arrive(world, 5, 250, 3)
        await arrive_held(world)
        for tenant in TENANTS:
            await settle(world, tenant)
    yield known
    await on(addresses.owner_url, f"drop database if exists {name} with (force)")


async def lay(hand: Hand, owner: asyncpg.Connection, seed: int) -> str:
    """Do it to a row that chance picks; gives the name of the row."""
    rows = await owner.fetch(
        f"select tableoid, ctid, {NAMES[hand.table]} as name from {hand.table} t"
        f" where tenant_id = 1 and {hand.where}"
    )
    row = random.Random(seed).choice(rows)
    place = f"tableoid = {row['tableoid']} and ctid = '({row['ctid'][0]},{row['ctid'][1]})'"
    if hand.insert:
        done = await owner.execute(
            f"insert into {hand.table} overriding system value"
            f" select (jsonb_populate_record(t, '{hand.insert}')).*"
            f" from {hand.table} t where {place}"
        )
    elif hand.set:
        done = await owner.execute(f"update {hand.table} set {hand.set} where {place}")
    else:
        done = await owner.execute(f"delete from {hand.table} where {place}")
    assert done.endswith(" 1"), done
    return str(row["name"])


@pytest.fixture(scope="module")
async def owner(honest: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(honest.owner_url)
    yield connection
    await connection.close()


@pytest.fixture(scope="module")
async def verifying(honest: Database) -> AsyncIterator[Verifying]:
    async with Door.open(honest.app_url) as door:
        async with door.system_tx("the catalogue of a test") as connection:
            catalogue = await Catalogue.load(connection)
        yield Verifying(door, catalogue, lambda: NOW)


@pytest.mark.parametrize("hand", HANDS, ids=str)
async def test_what_a_hand_changes_is_found(
    verifying: Verifying, owner: asyncpg.Connection, hand: Hand
) -> None:
    """BA-10: of every table, whatever is changed, the row is named."""
    await owner.execute(f"create temp table saved as select * from {hand.table}")
    try:
        name = await lay(hand, owner, 3)
        verified = await verifying.verify(1)
    finally:
        await owner.execute(
            f"delete from {hand.table}; insert into {hand.table} overriding system value"
            " select * from saved;"
            " drop table saved"
        )
    assert verified.wrong
    names = [hand.says] if hand.says else name.split("|")
    assert any(each in finding for each in names for finding in told_of(verified)), told_of(
        verified
    )


async def test_facts_that_come_in_between_are_not_there(world: World) -> None:
    """The books are read as they were at one version, whatever is committed meanwhile."""
    await arrive(world, 1, 200, 7)
    amber = world.tenants[TENANT].tenant_id
    verifying = Verifying(world.door, world.catalogue, world.clock.now, page_facts=20)
    before = await world.row(TENANT, "select version from tenant_head where tenant_id = $1")
    sent = 0

    async def told(rows: int) -> None:
        nonlocal sent
        sent += 1
        event = {
            "id": f"between {sent}", "source": "between", "type": "message.delivered",
            "time": iso(NOW - sent * HOUR), "subject": TENANT,
            "data": {"number": "+62800000001", "contact": f"+62811{sent:08d}"},
        }  # fmt: skip
        (result,) = await world.send([event])
        assert result["status"] == "accepted"
        await world.top_up(TENANT, "visitors", 1_000_000, key=f"between {sent}")

    verified = await verifying.verify(amber, told=told)

    assert sent > 2
    assert told_of(verified) == []
    assert verified.version == before["version"]
    after = await verifying.verify(amber)
    assert told_of(after) == []
    assert (after.version, after.facts) == (verified.version + 2 * sent, verified.facts + sent)


async def test_nothing_is_written(world: World) -> None:
    """What verifying did by mistake would be refused: its transaction can only read."""
    await arrive(world, 1, 30, 7)
    amber = world.tenants[TENANT].tenant_id
    async with world.door.tenant_tx(amber) as connection:
        await tables.begin(connection)
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.execute("update lots set used = 0 where tenant_id = $1", amber)


async def test_a_large_log_is_refused_where_it_is_asked_to_be(world: World) -> None:
    await arrive(world, 1, 30, 7)
    verifying = Verifying(world.door, world.catalogue, world.clock.now)
    with pytest.raises(TooLargeError):
        await verifying.verify(world.tenants[TENANT].tenant_id, facts_max=3)


async def test_the_catalogue_is_what_was_published(world: World, database: Database) -> None:
    verifying = Verifying(world.door, world.catalogue, world.clock.now)
    assert await verifying.catalogue() == []
    await on(
        database.owner_url,
        "update books set body = jsonb_set(body, '{currency}', '\"XXX\"')"
        " where book = 'omnichannel-idr' and version = 1",
        "update plans set body = body || '{\"seats\": 1000}' where plan = 'college-small'",
    )
    assert await verifying.catalogue() == [
        "books omnichannel-idr version 1", "plans college-small version 1",
    ]  # fmt: skip
