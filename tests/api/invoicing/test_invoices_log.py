"""Subscriptions, closings, invoices and payments in a tenant's log (EV-8, IN-3, IN-4)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from persistence import accounts, subscriptions
from tests.api.account.books import Books
from tests.api.invoicing.office import Office
from tests.conftest import Database
from tests.persistence.test_log_file import TENANT, elsewhere, exported, imported, other, same
from tests.scenarios.world import World

__all__ = ["elsewhere", "other"]

JOURNAL = """
select at, kind, reference, receivable, cash, revenue, tax, rounding
from journal where tenant_id = $1 order by entry_id"""
CLOSED = "select period, body::text from closed_usage where tenant_id = $1 order by period"


@pytest.fixture
async def office(database: Database, redis_url: str) -> AsyncIterator[Office]:
    async with World.open(database.app_url, redis_url) as world:
        await world.tenant(TENANT, plan="postpaid-idr")
        world.clock.at = Office.of(world).local(TENANT, "2026-08-16 08:00")
        await world.number(TENANT, "wa", "whatsapp", "+62 811 1000 0000")
        yield Office.of(world)


async def test_a_year_of_invoices_comes_back_as_it_was(
    office: Office, other: World, elsewhere: Database, tmp_path: Path
) -> None:
    """The same numbers and words, the same account to the last digit; nobody is asked again."""
    world, books = office.world, Books(office.world)
    start = {"key": "start", "name": "Start", "price": "9"}
    await office.subscribe(TENANT, "2026-08-16", setup=[start])
    await office.at(TENANT, "2026-08-20 10:00")
    await office.send(TENANT, "wa", "2026-08-20 10:00", times=3)
    await office.at(TENANT, "2026-09-04 00:00")
    await office.send(TENANT, "wa", "2026-09-04 00:00", times=2)
    first, second = [each.number for each in await office.invoices(TENANT)]
    await books.pay(TENANT, "1000000", first)
    await books.credit(TENANT, second, (1, "500000"))
    await office.at(TENANT, "2026-10-04 00:00")
    (third,) = [each.number for each in await office.invoices(TENANT)][-1:]
    await books.void(TENANT, third)
    await office.at(TENANT, "2026-11-04 00:00")
    path = await exported(world, tmp_path / "amber.log")

    done = await imported(elsewhere, path)

    assert done.differences == {}
    await same(world, other)
    other.clock.at = world.clock.at
    here = await office.invoices(TENANT)
    office_there = Office.of(other)
    there = await office_there.invoices(TENANT)
    assert [each.invoice for each in there] == [each.invoice for each in here]
    assert [(each.paid, each.credited, each.balance) for each in there] == [
        (each.paid, each.credited, each.balance) for each in here
    ]
    assert await rows(other, JOURNAL) == await rows(world, JOURNAL)
    assert await rows(other, CLOSED) == await rows(world, CLOSED)
    assert await kept(other) == await kept(world)
    assert await books_of(other) == await books_of(world)
    assert (await office_there.verify(TENANT)).wrong == 0
    await office_there.quiet()
    assert len(await office_there.invoices(TENANT)) == len(here)


async def rows(world: World, query: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in await world.rows(TENANT, query)]


async def kept(world: World) -> list[object]:
    tenant_id = world.tenants[TENANT].tenant_id
    async with world.door.tenant_tx(tenant_id) as connection:
        return [each.subscription for each in await subscriptions.of_tenant(connection, tenant_id)]


async def books_of(world: World) -> object:
    tenant_id = world.tenants[TENANT].tenant_id
    async with world.door.tenant_tx(tenant_id) as connection:
        return await accounts.load(connection, tenant_id)
