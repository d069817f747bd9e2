"""What goes wrong around payments: squatters, providers that are away or take long, doubts.

Money is never charged twice or lost, whatever happens between two lines (RF-2, BA-7, BA-8).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from api.operations import payment_method_set, purchase_create, tenant_status_set
from api.operations.payment_method_set import PaymentMethodSet
from api.operations.purchase_create import PurchaseCreate
from api.operations.refill_policy_set import RefillPolicyError
from api.operations.tenant_status_set import TenantStatusSet
from api.paying.asking import Asking
from api.paying.midtrans import Midtrans
from api.paying.port import Answer, AwayError, Charge, Standing
from api.paying.sandbox import Sandbox
from api.paying.work import LeaseLostError
from domain.periods import DAY, HOUR, MINUTE, SECOND
from domain.problems import Problem
from persistence import purchases, tasks
from tests.api.paying.midtrans_server import SERVER_KEY, midtrans_server
from tests.api.paying.test_collecting import bought, tenant, till, use
from tests.api.paying.till import Till, names, summary
from tests.conftest import Database, on
from tests.domain.spine import UNIT, at
from tests.scenarios.world import OPERATOR

__all__ = ["till"]


class Far(Sandbox):
    """The sandbox behind a road that may be closed, or long."""

    def __init__(self, near: Sandbox) -> None:
        self.__dict__ = near.__dict__
        self.closed = False
        self.on_the_way: Callable[[], Awaitable[None]] | None = None

    async def charge(self, charge: Charge) -> Answer:
        if self.closed:
            raise AwayError("the road is closed")
        answer = await super().charge(charge)
        if self.on_the_way is not None:
            await self.on_the_way()
        return answer

    async def look(self, key: str) -> Answer:
        if self.closed:
            raise AwayError("the road is closed")
        return await super().look(key)


def far(till: Till) -> Far:
    """The till's sandbox, made far."""
    road = Far(till.sandbox)
    till.use({road.name: road})
    return road


async def status(till: Till, key: str, word: str) -> None:
    world = till.world
    request = TenantStatusSet(tenant=key, status=word, reason="a test")
    await tenant_status_set.run(
        world.door, world.catalogue, world.show, request, now=world.clock.now()
    )


async def test_nobody_takes_the_key_of_a_payment(till: Till) -> None:
    """BA-7: under `payment/` and `taken_back/` payments are credited, and taken back."""
    key, world = await tenant(till), till.world
    for ours in ("payment/x", "taken_back/x"):
        request = PurchaseCreate(
            tenant=key, balance="visitors", amount=500 * UNIT, idempotency_key=ours
        )
        with pytest.raises(Problem, match="what we do by ourselves"):
            await purchase_create.run(
                world.door, world.catalogue, world.show, OPERATOR, request, set(), payable=True,
                now=world.clock.now(),
            )  # fmt: skip


async def test_an_answer_that_comes_after_midnight_is_of_after_midnight(till: Till) -> None:
    """TZ-4, AL-2: the month turns while the provider thinks; what was paid lives in the new one."""
    key, world, jobs = await tenant(till), till.world, till.world.jobs()
    world.clock.at = at("2026-11-30 23:59:50")
    await jobs.advance_due()
    await use(till, key, 990)

    async def think() -> None:
        world.clock.at += 15 * SECOND
        await jobs.advance_due()

    far(till).on_the_way = think
    await till.quiet()
    assert (await till.told(key))[-2:] == ["RECOVERED", "REFILL_SUCCEEDED"]
    assert await till.remaining(key, "visitors") == 1_500  # December's allowance beside it
    told = await till.told(key)
    world.clock.at += 5 * SECOND
    await jobs.advance_due()
    assert await till.told(key) == told


async def test_what_never_came_to_the_provider_is_judged_anew(till: Till) -> None:
    """RF-2: nobody is charged whose policy was switched off, or who was suspended, meanwhile."""
    key = await tenant(till)
    road = far(till)
    road.closed = True
    await use(till, key, 990)
    await till.quiet()
    await till.policy(key, "visitors", 20, 500, enabled=False)
    await status(till, key, "suspended")
    till.world.clock.at += 3 * DAY
    road.closed = False
    await till.quiet()
    assert await till.collected(key) == 0
    await status(till, key, "active")
    till.world.clock.at += 2 * HOUR
    await till.quiet()
    assert summary(await till.purchases(key)) == [("FAILED", ["DECLINED"])]
    assert await till.collected(key) == 0


async def test_a_refill_is_never_asked_for_on_a_page(till: Till) -> None:
    """Its card was removed before the provider had heard of it."""
    key, world = await tenant(till), till.world
    road = far(till)
    road.closed = True
    await use(till, key, 990)
    await till.quiet()
    request = PaymentMethodSet(
        tenant=key, provider=None, token=None, label=None, idempotency_key="no card"
    )
    await payment_method_set.run(
        world.door, world.catalogue, world.show, OPERATOR, request, till.paying.tokens, {"sandbox"},
        now=world.clock.now(),
    )  # fmt: skip
    road.closed = False
    world.clock.at += HOUR
    await till.quiet()
    ((_, (payment,)),) = await till.purchases(key)
    assert (payment.state.name, payment.pay_url) == ("DECLINED", None)
    assert payment.reason == "there is no payment method"


async def test_while_a_provider_is_away_the_payment_says_so(till: Till) -> None:
    key = await tenant(till)
    road = far(till)
    road.closed = True
    await use(till, key, 990)
    for _ in range(30):
        await till.quiet()
        till.world.clock.at += HOUR
    ((_, (payment,)),) = await till.purchases(key)
    assert payment.reason == "the provider does not answer: the road is closed"
    road.closed = False
    await till.quiet()
    assert summary(await till.purchases(key)) == [("PAID", ["PAID"])]
    assert await till.collected(key) == 1


async def test_a_second_card_on_the_page_is_found_without_a_notice(till: Till) -> None:
    """BA-7: the first card was declined, and the page stands open."""
    async with midtrans_server() as server:
        midtrans = Midtrans(SERVER_KEY, server.url, till.world.clock.now)
        till.use({"midtrans": midtrans})
        key = f"t{next(names)}"
        record = await till.world.tenant(key)
        await till.paying.soon(record.tenant_id, await bought(till, key))
        ((_, (payment,)),) = await till.purchases(key)
        server.choose(payment.payment_key, "deny", way="credit_card")
        till.world.clock.at += MINUTE
        await till.quiet()
        assert summary(await till.purchases(key)) == [("FAILED", ["DECLINED"])]
        server.choose(payment.payment_key, "capture", way="credit_card")
        till.world.clock.at += 2 * HOUR
        await till.quiet()
        assert summary(await till.purchases(key)) == [("PAID", ["PAID"])]
        assert await till.remaining(key, "visitors") == 1_500
        await midtrans.close()


async def test_one_refill_is_never_more_than_can_be_charged(till: Till) -> None:
    """RF-1: several amounts in one charge; a minimum far above the amount is refused."""
    key = await tenant(till)
    with pytest.raises(RefillPolicyError, match="minimum is so far above amount"):
        await till.policy(key, "visitors", 99_000_000_000, 500)


async def test_who_waited_too_long_for_the_lock_asks_nobody(till: Till) -> None:
    """RF-2: one try was declined by somebody else meanwhile, and the next one stands."""
    key = await tenant(till, "declines")
    await use(till, key, 990)
    now = till.world.clock.now()
    (first,) = await tasks.take(till.world.door, tasks.PAYMENT, now, lease=0, limit=8)
    async with till.world.door.tenant_tx(first.tenant_id) as connection:
        payment = await purchases.find_payment(connection, first.tenant_id, first.key)
        assert payment is not None
        purchase = await purchases.find(connection, first.tenant_id, payment.purchase_id)
        assert purchase is not None
    late = Asking(till.paying._tools, first, purchase, payment)
    (second,) = await tasks.take(till.world.door, tasks.PAYMENT, now, lease=MINUTE, limit=8)
    await till.paying.handle(second)
    with pytest.raises(LeaseLostError):
        await late.follow()
    kept = await till.sandbox.find(first.key)
    assert kept is not None
    assert kept.asked == 1


async def test_one_doubtful_look_takes_nothing_back(till: Till, database: Database) -> None:
    """BA-8: a provider that calls a paid payment expired is asked once more before it counts."""
    key = f"t{next(names)}"
    record = await till.world.tenant(key)
    await till.paying.soon(record.tenant_id, await bought(till, key))
    ((_, (payment,)),) = await till.purchases(key)
    await till.sandbox.decide(payment.payment_key, Standing.PAID)
    await till.quiet()
    for said, remaining in (("expired", 1_500), ("paid", 1_500), ("expired", 1_500)):
        await on(database.owner_url, f"update sandbox_payments set standing = '{said}'")
        await till.paying.hurry(payment.payment_key)
        await till.quiet()
        assert await till.remaining(key, "visitors") == remaining
    till.world.clock.at += HOUR
    await till.quiet()
    assert await till.remaining(key, "visitors") == 1_000
    assert summary(await till.purchases(key)) == [("TAKEN_BACK", ["TAKEN_BACK"])]
    # What is paid once more after that is for people to say.
    await on(database.owner_url, "update sandbox_payments set standing = 'paid'")
    await till.paying.hurry(payment.payment_key)
    await till.quiet()
    ((_, (payment,)),) = await till.purchases(key)
    assert payment.reason.startswith("paid once more after it was taken back")
    assert await till.remaining(key, "visitors") == 1_000


async def test_when_one_try_is_paid_the_other_is_given_up(till: Till, database: Database) -> None:
    """RF-2: the first is paid late, while the second waits at the bank."""
    key = await tenant(till, "pending")
    await use(till, key, 990)
    await till.quiet()
    for hours in (25, 2):
        till.world.clock.at += hours * HOUR
        await till.quiet()
    ((_, (first, second)),) = await till.purchases(key)
    assert (first.state.name, second.state.name) == ("EXPIRED", "PENDING")
    await on(
        database.owner_url,
        "update sandbox_payments set standing = 'paid', collected = 1"
        f" where payment_key = '{first.payment_key}'",
    )
    await till.paying.hurry(first.payment_key)
    await till.quiet()
    assert summary(await till.purchases(key)) == [("PAID", ["PAID", "EXPIRED"])]
    kept = await till.sandbox.find(second.payment_key)
    assert kept is not None
    assert kept.standing == Standing.EXPIRED


async def test_without_its_provider_a_payment_waits_and_says_so(till: Till) -> None:
    key = await tenant(till, "pending")
    await use(till, key, 990)
    await till.quiet()
    near = till.sandbox
    till.use({})
    till.world.clock.at += HOUR
    await till.quiet()
    ((_, (payment,)),) = await till.purchases(key)
    assert payment.reason == "sandbox is not set up here any more"
    till.use({near.name: near})
    await till.sandbox.decide(payment.payment_key, Standing.PAID)
    till.world.clock.at += HOUR
    await till.quiet()
    assert summary(await till.purchases(key)) == [("PAID", ["PAID"])]
