"""Refills and purchases collected through a real database and the sandbox (RF-1 to RF-3, BA-7)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from api.paying.port import Standing
from domain.offers import quote
from domain.periods import DAY, HOUR, MINUTE
from persistence import load, purchases, tasks, terms
from persistence.purchases import PurchaseKind
from tests.api.paying.till import Till, names, summary
from tests.conftest import Database, on
from tests.domain.spine import UNIT, at
from tests.scenarios.world import World

NOON = at("2026-11-10 12:00")


@pytest.fixture
async def till(database: Database, redis_url: str) -> AsyncIterator[Till]:
    async with World.open(database.app_url, redis_url) as world:
        world.clock.at = NOON
        yield Till.of(world)


async def tenant(till: Till, script: str = "succeeds", **policy: int) -> str:
    """A tenant whose visitors are refilled by 500 at 20 or below, of 1,000 a month."""
    key = f"t{next(names)}"
    await till.world.tenant(key)
    if script:
        await till.method(key, script)
    await till.policy(key, "visitors", **({"minimum": 20, "amount": 500} | policy))
    return key


async def use(till: Till, key: str, units: int) -> None:
    """Take visitors away by hand, in one movement."""
    await till.world.adjust(key, "visitors", -units * UNIT, key=f"use-{next(names)}")


async def test_a_balance_that_reaches_its_minimum_is_refilled(till: Till) -> None:
    """RF-1, RF-3: started, succeeded, a receipt; Rp 300,000 and 12 % of 11/12 of it."""
    key = await tenant(till)
    await use(till, key, 979)
    assert await till.told(key) == ["THRESHOLD"]
    await use(till, key, 1)
    ((purchase, (payment,)),) = await till.purchases(key)
    assert (purchase.net, purchase.tax, purchase.total) == (
        300_000 * UNIT, 33_000 * UNIT, 333_000 * UNIT
    )  # fmt: skip
    assert payment.asked_at is None
    await till.quiet()
    assert await till.told(key) == [
        "THRESHOLD", "REFILL_STARTED", "REFILL_SUCCEEDED"
    ]  # fmt: skip
    assert await till.remaining(key, "visitors") == 520
    assert await till.collected(key) == 1
    (number,) = await till.receipts(key)
    assert number is not None
    assert number.startswith("R-2026-")


async def test_at_most_one_is_in_flight_and_the_next_begins_with_its_payment(till: Till) -> None:
    """RF-2: while the bank thinks, nothing else is charged."""
    key = await tenant(till, "late")
    await use(till, key, 980)
    await till.quiet()
    await use(till, key, 700)
    await till.quiet()
    assert summary(await till.purchases(key)) == [("OPEN", ["PENDING"])]
    till.world.clock.at += 2 * HOUR
    await till.quiet()
    assert summary(await till.purchases(key)) == [("PAID", ["PAID"]), ("OPEN", ["PENDING"])]
    assert (await till.purchases(key))[1][0].amount == 500 * UNIT
    till.world.clock.at += 2 * HOUR
    await till.quiet()
    assert await till.remaining(key, "visitors") == 320
    assert await till.collected(key) == 2


async def test_four_tries_then_off(till: Till) -> None:
    """RF-2: at once, 1 h, 4 h and 24 h after each decline, each under a key of its own."""
    key = await tenant(till, "declines")
    await use(till, key, 990)
    await till.quiet()
    for tries, after in enumerate((HOUR, 4 * HOUR, 24 * HOUR), start=1):
        till.world.clock.at += after - 1
        await till.quiet()
        assert await till.asked(key) == tries
        till.world.clock.at += 1
        await till.quiet()
        assert await till.asked(key) == tries + 1
    ((purchase, payments),) = await till.purchases(key)
    assert summary([(purchase, payments)]) == [("FAILED", ["DECLINED"] * 4)]
    assert len({payment.payment_key for payment in payments}) == 4
    assert (await till.told(key))[-3:] == ["REFILL_STARTED", "REFILL_FAILED", "REFILL_OFF"]
    await use(till, key, 50)
    till.world.clock.at += DAY
    await till.quiet()
    assert len(await till.purchases(key)) == 1
    assert await till.collected(key) == 0


async def test_a_new_card_is_charged_by_the_next_try(till: Till) -> None:
    key = await tenant(till, "declines")
    await use(till, key, 990)
    await till.quiet()
    await till.method(key, "succeeds")
    till.world.clock.at += HOUR
    await till.quiet()
    assert summary(await till.purchases(key)) == [("PAID", ["DECLINED", "PAID"])]
    assert await till.remaining(key, "visitors") == 510


async def test_without_a_method_it_is_off_at_once(till: Till) -> None:
    key = await tenant(till)
    async with till.world.door.tenant_tx(till.world.tenants[key].tenant_id) as connection:
        await connection.execute("delete from payment_methods")
    await use(till, key, 990)
    await till.quiet()
    assert (await till.told(key))[-2:] == ["REFILL_FAILED", "REFILL_OFF"]
    ((_, (payment,)),) = await till.purchases(key)
    assert payment.reason == "there is no payment method"


async def test_switched_off_while_it_waits_nothing_is_charged(till: Till) -> None:
    key = await tenant(till, "declines")
    await use(till, key, 990)
    await till.quiet()
    await till.policy(key, "visitors", 20, 500, enabled=False)
    await till.method(key, "succeeds")
    till.world.clock.at += HOUR
    await till.quiet()
    assert summary(await till.purchases(key)) == [("FAILED", ["DECLINED", "DECLINED"])]
    assert (await till.told(key))[-1] == "REFILL_FAILED"
    assert await till.collected(key) == 0


@pytest.mark.parametrize("script", ["twice", "out_of_order", "away"])
async def test_notices_and_lost_answers_credit_once(till: Till, script: str) -> None:
    """BA-7, RF-2: the same key while the outcome is unknown, and one credit whatever is posted."""
    key = await tenant(till, script)
    await use(till, key, 990)
    for _ in range(4):
        await till.quiet()
        till.world.clock.at += 5 * MINUTE
    assert summary(await till.purchases(key)) == [("PAID", ["PAID"])]
    assert await till.remaining(key, "visitors") == 510
    assert await till.collected(key) == 1


async def bought(till: Till, key: str, balance: str = "visitors", amount: int = 500) -> int:
    """What a tenant buys by itself; gives the purchase's number."""
    world, now = till.world, till.world.clock.now()
    tenant_id = world.tenants[key].tenant_id
    async with world.door.tenant_tx(tenant_id) as connection:
        await load.lock(connection, [tenant_id], wait=True)
        (own,) = await terms.by_ids(connection, world.catalogue, [tenant_id])
        priced = quote(
            own.plan, own.balances[own.balance_ids[balance]], amount * UNIT, own.country,
            own.zone.date(now), own.taxes,
        )  # fmt: skip
        return await purchases.begin(
            connection, own, PurchaseKind.BOUGHT, own.balance_ids[balance], priced, "", now=now
        )


async def test_what_is_bought_is_paid_on_a_page_and_credited_when_it_is(till: Till) -> None:
    """BA-6, BA-7."""
    key = f"t{next(names)}"
    record = await till.world.tenant(key)
    number = await bought(till, key)
    await till.paying.soon(record.tenant_id, number)
    ((_, (payment,)),) = await till.purchases(key)
    assert payment.pay_url is not None
    assert payment.pay_url.endswith(payment.payment_key)
    assert await till.remaining(key, "visitors") == 1_000
    await till.sandbox.decide(payment.payment_key, Standing.PAID)
    await till.quiet()
    assert await till.remaining(key, "visitors") == 1_500
    assert await till.told(key) == ["TOPPED_UP"]
    assert summary(await till.purchases(key)) == [("PAID", ["PAID"])]


async def test_what_nobody_pays_ends_and_a_payment_that_comes_later_still_credits(
    till: Till, database: Database
) -> None:
    key = f"t{next(names)}"
    await till.world.tenant(key)
    await bought(till, key)
    await till.quiet()
    for _ in range(26):
        till.world.clock.at += HOUR
        await till.quiet()
    ((_, (payment,)),) = await till.purchases(key)
    assert summary(await till.purchases(key)) == [("EXPIRED", ["EXPIRED"])]
    assert await till.told(key) == []
    await on(
        database.owner_url,
        "update sandbox_payments set standing = 'paid', collected = 1, expires_at = null",
    )
    await till.paying.hurry(payment.payment_key)
    await till.quiet()
    assert summary(await till.purchases(key)) == [("PAID", ["PAID"])]
    assert await till.remaining(key, "visitors") == 1_500


async def test_a_payment_that_was_taken_back_takes_its_lot_with_it(till: Till) -> None:
    """BA-8: what was spent of it is owed."""
    key = await tenant(till)
    await use(till, key, 990)
    await till.quiet()
    await use(till, key, 100)
    ((_, (payment,)),) = await till.purchases(key)
    assert await till.remaining(key, "visitors") == 410
    await till.sandbox.decide(payment.payment_key, Standing.TAKEN_BACK)
    await till.quiet()
    # Who took it back is not charged again at once.
    assert summary(await till.purchases(key)) == [("TAKEN_BACK", ["TAKEN_BACK"])]
    assert await till.remaining(key, "visitors") == -90
    assert (await till.told(key)).count("REFILL_OFF") == 1
    # Told once more, it leaves alone what was set since.
    await till.policy(key, "visitors", 0, 500)
    await till.paying.hurry(payment.payment_key)
    await till.quiet()
    assert (await till.told(key)).count("REFILL_OFF") == 1


async def test_a_payment_of_another_total_credits_nothing_and_says_so(
    till: Till, database: Database
) -> None:
    key = f"t{next(names)}"
    await till.world.tenant(key)
    await bought(till, key)
    await till.quiet()
    ((_, (payment,)),) = await till.purchases(key)
    await on(database.owner_url, "update sandbox_payments set total = total - 1")
    await till.sandbox.decide(payment.payment_key, Standing.PAID)
    await till.quiet()
    ((purchase, (payment,)),) = await till.purchases(key)
    assert (purchase.state.name, payment.state.name) == ("OPEN", "PENDING")
    assert payment.reason == "332999.999999 was collected, and 333000 asked for"
    assert await till.remaining(key, "visitors") == 1_000


async def test_a_notice_of_nobody_s_payment_leaves_nothing(till: Till) -> None:
    await till.paying.hurry("kuota-of-nobody")
    async with till.world.door.system_tx("a test") as connection:
        assert await connection.fetchval("select count(*) from tasks where kind = 'payment'") == 0


async def test_who_lost_the_lease_keeps_nothing(till: Till) -> None:
    """Two at once on one payment: one credits, the other finds that it is done."""
    key = await tenant(till)
    await use(till, key, 990)
    now = till.world.clock.now()
    (first,) = await tasks.take(till.world.door, tasks.PAYMENT, now, lease=0, limit=8)
    (second,) = await tasks.take(till.world.door, tasks.PAYMENT, now, lease=MINUTE, limit=8)
    await till.paying.handle(second)
    await till.paying.handle(first)
    assert await till.remaining(key, "visitors") == 510
    assert await till.collected(key) == 1
    assert (await till.told(key)).count("REFILL_SUCCEEDED") == 1
