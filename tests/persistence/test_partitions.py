"""Month partitions: made ahead, found again, and never in the way of facts already kept."""

from __future__ import annotations

from datetime import UTC, datetime

import asyncpg

from domain.periods import instant
from persistence import partitions
from tests.conftest import Database

NOVEMBER = instant(datetime(2031, 11, 21, tzinfo=UTC))
APRIL = instant(datetime(2032, 4, 2, tzinfo=UTC))


async def test_months_are_made_ahead_once(database: Database) -> None:
    conn = await asyncpg.connect(database.owner_url)
    made = await partitions.ensure(conn, NOVEMBER)
    assert made == [
        f"{table}_{month}"
        for table in ("facts", "charges", "revisions")
        for month in ("2031_11", "2031_12", "2032_01", "2032_02")
    ]
    assert await partitions.ensure(conn, NOVEMBER) == []
    await conn.close()


async def test_a_month_whose_facts_are_kept_elsewhere_is_left_there(database: Database) -> None:
    conn = await asyncpg.connect(database.owner_url)
    await conn.execute(
        """insert into facts (tenant_id, at, key, version, arrived_at, number_id, type, status,
        flags, source, id, party, data) values (1, $1, 'k', 1, $1, 1, 1, 1, 0, 's', 'i', 'p', '{}')
        """,
        APRIL,
    )
    assert "facts_2032_04" not in await partitions.ensure(conn, APRIL)
    assert await conn.fetchval("select tableoid::regclass::text from facts") == "facts_default"
    await conn.close()


async def test_partitions_are_out_of_the_apps_reach(database: Database) -> None:
    """A grant on a partition would go round the policy of its table."""
    conn = await asyncpg.connect(database.owner_url)
    await partitions.ensure(conn, NOVEMBER)
    reachable = await conn.fetch(
        """select c.relname from pg_class c where c.relispartition and c.relkind = 'r'
        and (has_table_privilege('kuota_app', c.oid, 'select, insert, update, delete')
            or has_table_privilege('kuota_system', c.oid, 'select, insert, update, delete'))"""
    )
    assert reachable == []
    await conn.close()
