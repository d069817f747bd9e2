"""The list of charges: every one once, newest first, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from domain.facts import GROUP_MARK, Channel, Flag, Status
from domain.lots import LotSource
from persistence import charges
from persistence.charges import Asked, ChargeLeg, ChargeRecord
from persistence.door import Door
from tests.persistence.rows import TENANT, UNIT, WHATSAPP, Rows, rows_of

AT = 1_790_000_000_000_000


@pytest.fixture
async def rows(owner_url: str) -> AsyncIterator[Rows]:
    async with rows_of(owner_url) as rows:
        await rows.tenant()
        await rows.lot(1, LotSource.ALLOWANCE, 9, starts_at=0, ends_at=AT, month=24_000)
        await rows.lot(2, LotSource.TOP_UP, 9, starts_at=0)
        yield rows


@pytest.fixture
async def door(app_url: str) -> AsyncIterator[Door]:
    async with Door.open(app_url, size=1) as door:
        yield door


async def page(door: Door, tenant_id: int, *, limit: int, **wanted: Any) -> list[ChargeRecord]:
    """One tenant's page."""
    (found,) = await charges.pages(door, [Asked(tenant_id=tenant_id, **wanted)], limit=limit)
    return found


def named(found: list[ChargeRecord]) -> list[tuple[str, int, int, bool]]:
    return [
        (each.fact_id, each.cursor.part, each.cursor.revision, each.cursor.reversal)
        for each in found
    ]


async def every_kind(rows: Rows) -> None:
    """Facts without a charge, with one inside, with several beside, and one rated anew."""
    await rows.fact(b"\x01", AT + 1, lot_id=1, amount=1)
    await rows.fact(b"\x02", AT + 1, lot_id=2, amount=3, balance_id=WHATSAPP)
    await rows.fact(b"\x03", AT + 2, amount=0)
    await rows.fact(b"\x04", AT + 3, status=Status.UNRATED)
    await rows.fact(b"\x05", AT + 4, flags=Flag.FURTHER)
    await rows.charge(b"\x05", AT + 4, 0, {1: 2, 2: 1})
    await rows.charge(b"\x05", AT + 4, 1, {2: 5}, balance_id=WHATSAPP)
    await rows.fact(b"\x06", AT + 5, lot_id=1, amount=1)
    await rows.charge(b"\x06", AT + 5, 0, {1: 1}, reversal=True)
    await rows.charge(b"\x06", AT + 5, 0, {2: 1}, revision=1)


EVERY = [
    ("fact-06", 0, 1, False),
    ("fact-06", 0, 0, True),
    ("fact-06", 0, 0, False),
    ("fact-05", 1, 0, False),
    ("fact-05", 0, 0, False),
    ("fact-03", 0, 0, False),
    ("fact-02", 0, 0, False),
    ("fact-01", 0, 0, False),
]


async def test_every_charge_once_newest_first(rows: Rows, door: Door) -> None:
    """EV-9: reversals and revisions beside what they correct; facts without a charge are absent."""
    await every_kind(rows)

    assert named(await page(door, TENANT, limit=100)) == EVERY


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_pages_join_without_a_gap_or_a_repeat(rows: Rows, door: Door, size: int) -> None:
    await every_kind(rows)
    found: list[ChargeRecord] = []

    after = charges.FIRST_PAGE
    while some := await page(door, TENANT, after=after, limit=size):
        assert len(some) <= size
        found += some
        after = some[-1].cursor

    assert named(found) == EVERY


async def test_a_page_is_not_moved_by_what_comes_meanwhile(rows: Rows, door: Door) -> None:
    await every_kind(rows)
    first = await page(door, TENANT, limit=3)
    await rows.fact(b"\x07", AT + 9, lot_id=1, amount=1)

    assert named(await page(door, TENANT, after=first[-1].cursor, limit=9)) == EVERY[3:]


async def test_filters_by_time_and_balance(rows: Rows, door: Door) -> None:
    """The range is half open."""
    await every_kind(rows)

    by_time = await page(door, TENANT, limit=9, start=AT + 1, end=AT + 4)
    by_balance = await page(door, TENANT, limit=9, balance="whatsapp")

    assert named(by_time) == EVERY[5:]
    assert named(by_balance) == [("fact-05", 1, 0, False), ("fact-02", 0, 0, False)]
    assert await page(door, TENANT, limit=9, balance="no-such-balance") == []


async def test_a_charge_says_all_that_is_known(rows: Rows, door: Door) -> None:
    """BA-1: each leg is recorded."""
    await rows.add("rules", rule="book@2026-10-01/marketing")
    rule = await rows.connection.fetchval(
        "select rule_id from rules where rule = 'book@2026-10-01/marketing'"
    )
    await rows.fact(b"\x01", AT, flags=Flag.FURTHER, party=f"{GROUP_MARK}team")
    await rows.charge(b"\x01", AT, 0, {2: 1, 1: 2}, balance_id=WHATSAPP, rule_id=rule)

    (found,) = await page(door, TENANT, limit=9)

    assert found == ChargeRecord(
        cursor=found.cursor, booked_at=AT + 9, fact_id="fact-01", source="test", type=3,
        channel=Channel.WHATSAPP, number="628110001", party=f"{GROUP_MARK}team",
        category="marketing", market="ID", country="ID", balance="whatsapp", currency="IDR",
        rule="book@2026-10-01/marketing", units=UNIT, amount=3 * UNIT, flags=Flag.FURTHER,
        status=Status.ACCEPTED,
        legs=(
            ChargeLeg(2, LotSource.TOP_UP, None, UNIT),
            ChargeLeg(1, LotSource.ALLOWANCE, 24_000, 2 * UNIT),
        ),
    )  # fmt: skip


async def test_other_tenants_have_their_own_list(rows: Rows, door: Door) -> None:
    await rows.tenant(2)
    await rows.lot(1, LotSource.TOP_UP, 9, starts_at=0, tenant_id=2)
    await rows.fact(b"\x01", AT, lot_id=1, amount=1, tenant_id=2)

    assert await page(door, TENANT, limit=9) == []
    assert len(await page(door, 2, limit=9)) == 1


async def test_a_page_reads_no_more_than_a_page(rows: Rows, door: Door) -> None:
    """The two branches walk their primary keys: no sort of a tenant's whole history."""
    await rows.connection.execute(
        "insert into facts (tenant_id, at, key, version, arrived_at, number_id, units, amount, "
        "type, status, balance_id, flags, lot_id, source, id, party, data) "
        "select $1, n, int8send(n), 1, n, 7, 1, 1, 3, 1, 1, 0, 2, 't', n::text, 'p', '{}' "
        "from generate_series(1, 5000) n",
        TENANT,
    )
    await rows.connection.execute("analyze facts")
    async with door.tenant_tx(TENANT) as connection:
        await connection.execute("set local plan_cache_mode = force_generic_plan")
        await connection.execute(f"prepare pages as {charges.PAGES}")
        plan = await connection.fetch(
            "explain (analyze, costs off, timing off, summary off) execute pages "
            f"('{{{TENANT}}}', '{{0}}', '{{9000}}', '{{4000}}', array['\\xff'::bytea], '{{0}}',"
            " '{0}', '{f}', '{null}', 10)"
        )
    text = "\n".join(row[0] for row in plan)

    assert "Seq Scan on facts" not in text
    assert "facts_default_pkey" in text
