"""Refills in a tenant's log: elsewhere they are the top-ups they became, charging nobody (EV-8)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.paying.port import Standing
from domain.periods import DAY, HOUR
from persistence import payment_methods
from persistence.refills import IMPORTED
from tests.api.paying.owed import owe
from tests.api.paying.till import Till
from tests.conftest import Database
from tests.domain.spine import UNIT
from tests.persistence.test_log_file import (
    TENANT,
    elsewhere,
    exported,
    imported,
    other,
    same,
    wrong,
)
from tests.persistence.traffic import NOW, START
from tests.scenarios.world import World

__all__ = ["elsewhere", "other"]


@pytest.fixture
async def till(database: Database, redis_url: str) -> AsyncIterator[Till]:
    async with World.open(database.app_url, redis_url) as world:
        world.clock.at = START
        await world.tenant(TENANT)
        yield Till.of(world)


async def use(till: Till, units: int, name: str) -> None:
    till.world.clock.at += DAY
    await till.world.adjust(TENANT, "visitors", -units * UNIT, key=name)
    await till.quiet()


async def test_refills_come_back_as_the_top_ups_they_became(
    till: Till, other: World, elsewhere: Database, tmp_path: Path
) -> None:
    """EV-8: the same figures and alerts; policies come back disabled, and say why."""
    world = till.world
    await till.method(TENANT, "succeeds", key="card")
    await till.policy(TENANT, "visitors", 20, 500, month_cap=900_000)
    await use(till, 985, "a")
    await use(till, 700, "b")
    await till.method(TENANT, "pending", key="another card")
    await use(till, 600, "c")
    assert [each.state.name for each, _ in await till.purchases(TENANT)] == [
        "PAID", "PAID", "OPEN"
    ]  # fmt: skip
    await till.method(TENANT, "declines", key="a third card")
    await till.policy(TENANT, "conversations", 1_000, 2_000)
    for hours in (0, 1, 4, 24):
        world.clock.at += hours * HOUR
        await till.quiet()
    assert (await till.told(TENANT))[-2:] == ["REFILL_FAILED", "REFILL_OFF"]
    world.clock.at = NOW
    assert await wrong(world) == ([], 0, ())
    path = await exported(world, tmp_path / "amber.log")
    assert b"sandbox:" not in path.read_bytes()

    done = await imported(elsewhere, path)

    assert done.differences == {}
    await same(world, other)
    assert await wrong(other) == ([], 0, ())
    tenant = other.tenants[TENANT]
    policies = tenant.own_refills
    assert policies.keys() == {"visitors", "conversations"}
    own = policies["visitors"]
    assert (own.policy.minimum, own.policy.month_cap) == (20 * UNIT, 900_000 * UNIT)
    for each in policies.values():
        assert (each.policy.enabled, each.off_reason) == (False, IMPORTED)
    async with other.door.tenant_tx(tenant.tenant_id) as connection:
        assert await payment_methods.find(connection, tenant.tenant_id) is None
    assert await other.rows(TENANT, "select 1 from purchases where tenant_id = $1") == []
    assert await other.rows(TENANT, "select 1 from tasks where tenant_id = $1") == []
    head = await other.row(TENANT, "select refilling from tenant_head where tenant_id = $1")
    assert head["refilling"] == "[]"
    await same_books(till, other)
    other.clock.at = NOW + DAY
    await other.adjust(TENANT, "visitors", -9 * UNIT, key="later")
    assert await other.rows(TENANT, "select 1 from purchases where tenant_id = $1") == []


async def same_books(till: Till, other: World) -> None:
    """Invoices, account and journal are in the other database what they are in the first."""
    here, there = await till.books(TENANT), await Till.of(other).books(TENANT)
    assert [each.invoice for each in there.documents] == [each.invoice for each in here.documents]
    assert (there.bills, there.account) == (here.bills, here.account)
    assert there.entries == here.entries
    assert await Till.of(other).told_of_invoices(TENANT) == await till.told_of_invoices(TENANT)


async def test_what_was_bought_paid_and_taken_back_comes_back_with_its_documents(
    till: Till, other: World, elsewhere: Database, tmp_path: Path
) -> None:
    """EV-8, IN-4: under their numbers, of which none is given once more; nothing is collected."""
    world = till.world
    await till.method(TENANT, "succeeds", key="card")
    await till.policy(TENANT, "visitors", 20, 500)
    await use(till, 985, "a")
    await use(till, 500, "b")
    invoice = await owe(till, TENANT, "250000")
    for standing in (Standing.TAKEN_BACK, Standing.PAID):
        number = await till.pay_invoice(TENANT, invoice.number)
        _, payment = await till.collecting(TENANT, number)
        for said in dict.fromkeys((Standing.PAID, standing)):
            world.clock.at += HOUR
            await till.sandbox.decide(payment.payment_key, said)
            await till.quiet()
    (_, (refill,)), *_ = await till.purchases(TENANT)
    await till.sandbox.decide(refill.payment_key, Standing.TAKEN_BACK)
    await till.quiet()
    world.clock.at = NOW
    path = await exported(world, tmp_path / "amber.log")

    done = await imported(elsewhere, path)

    assert done.differences == {}
    await same(world, other)
    await same_books(till, other)
    assert [each[1:] for each in (await till.books(TENANT)).bills] == [
        ("333000", "0"), ("333000", "0"), ("250000", "0"), ("333000", "0"),
    ]  # fmt: skip
    assert await other.rows(TENANT, "select 1 from purchases where tenant_id = $1") == []
    other.clock.at = NOW + DAY
    later = await owe(Till.of(other), TENANT, "10")
    assert later.number == "I-2026-000004"
