"""Receipts on a real database: numbers without gaps, each payment its own once (IN-3, IN-4).

And what a tenant's log has of what was bought.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from api.exporting import export
from api.importing import Importing
from api.log_file import LogFile, Writer
from api.operations import purchase_create
from api.operations.purchase_create import PurchaseCreate
from domain.money import MICRO
from domain.periods import HOUR
from domain.problems import Problem
from domain.receipts import Buyer, Receipt, ReceiptLine, Seller, TaxLine
from persistence import purchases, receipts
from persistence.door import Door
from persistence.purchases import Purchase
from persistence.servers import Servers
from persistence.tenants import find_by_keys
from tests.persistence.test_alerts import ACME, TEN, begin, verified
from tests.persistence.test_log_file import fresh
from tests.scenarios.world import OPERATOR, World

AT = 1_795_150_800_000_000
ONE, TWO = 71, 72

SNAPSHOT = Receipt(
    seller=Seller(name="Plan", contact=None),
    buyer=Buyer(key="shop", name="The Shop", country="ID"),
    lines=(
        ReceiptLine(
            balance="visitors", name="Visitors", unit="visitor", of_money=False, units=500,
            packs=1, pack=500, price="300000", net=300_000, amount=300_000,
        ),
    ),
    taxes=(TaxLine(name="PPN", rate="12", base="11/12", inclusive=False, amount=33_000),),
    total=333_000, currency="IDR", paid_at=AT, zone="Asia/Jakarta", provider="sandbox",
    reference=None, expires_at=None,
)  # fmt: skip


class GivenUpError(Exception):
    pass


@pytest.fixture
async def door(app_url: str) -> AsyncIterator[Door]:
    async with Door.open(app_url) as door:
        yield door


async def issue(
    door: Door, key: str, *, tenant: int = ONE, year: int = 2026, given_up: bool = False
) -> str:
    async with door.tenant_tx(tenant) as connection:
        number = await receipts.issue(connection, tenant, key, SNAPSHOT, AT, year)
        if given_up:
            raise GivenUpError
    return number


async def test_a_hundred_at_once_are_numbered_without_a_gap(door: Door) -> None:
    """IN-3: of two tenants, and some of them are given up at the last moment."""
    tries = [
        issue(door, f"p{n}", tenant=ONE if n % 2 else TWO, given_up=n % 7 == 3)
        for n in range(117)
    ]  # fmt: skip
    found = await asyncio.gather(*tries, return_exceptions=True)
    numbers = [each for each in found if isinstance(each, str)]
    assert len(numbers) == 100
    assert sorted(numbers) == [f"R-2026-{n:06d}" for n in range(1, 101)]
    assert all(isinstance(each, str | GivenUpError) for each in found)


async def test_what_is_given_up_takes_no_number(door: Door) -> None:
    """IN-3: the next one has it; and each year begins with 1."""
    assert await issue(door, "a") == "R-2026-000001"
    for _ in range(3):
        with pytest.raises(GivenUpError):
            await issue(door, "b", given_up=True)
    assert await issue(door, "b") == "R-2026-000002"
    assert await issue(door, "c", year=2027) == "R-2027-000001"
    assert await issue(door, "d") == "R-2026-000003"


async def test_a_payment_has_one_receipt(door: Door) -> None:
    """IN-3: issued twice it is the first one, whatever came between."""
    assert await issue(door, "a") == "R-2026-000001"
    assert await issue(door, "b") == "R-2026-000002"
    assert await issue(door, "a") == "R-2026-000001"
    assert await issue(door, "a", year=2027) == "R-2026-000001"
    assert await issue(door, "c") == "R-2026-000003"


async def test_two_who_issue_one_at_once_take_one_number(door: Door) -> None:
    """IN-3: who comes second is told so or gives all of it up; no number is lost."""
    found = await asyncio.gather(*(issue(door, "a") for _ in range(8)), return_exceptions=True)
    for each in found:
        assert each == "R-2026-000001" or isinstance(each, asyncpg.UniqueViolationError)
    assert await issue(door, "b") == "R-2026-000002"


async def test_it_is_read_as_it_was_issued(door: Door) -> None:
    """IN-4: of each payment that is asked for, in order; of another tenant there is none."""
    await issue(door, "a")
    await issue(door, "b", tenant=TWO)
    asked = [(ONE, "b"), (ONE, "a"), (TWO, "b"), (TWO, "a"), (ONE, "a")]
    none, first, second, nothing, again = await receipts.of_payments(door, asked)
    assert none is None
    assert nothing is None
    assert first == again
    assert first is not None
    assert second is not None
    assert (first.number, second.number) == ("R-2026-000001", "R-2026-000002")
    assert (first.receipt, first.issued_at) == (SNAPSHOT, AT)
    async with door.tenant_tx(TWO) as connection:
        assert await receipts.find(connection, ONE, "a") is None


async def test_nobody_changes_one(door: Door) -> None:
    """IN-4: the application may not, whatever it asks."""
    await issue(door, "a")
    for statement in (
        "update receipts set body = '{}'", "update receipts set number = 9",
        "delete from receipts", "delete from receipt_series",
    ):  # fmt: skip
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with door.tenant_tx(ONE) as connection:
                await connection.execute(statement)
    async with door.tenant_tx(ONE) as connection:
        found = await receipts.find(connection, ONE, "a")
    assert found is not None
    assert found.receipt == SNAPSHOT


async def bought(world: World) -> Purchase:
    request = PurchaseCreate(
        tenant=ACME, balance="whatsapp", amount=500 * MICRO, idempotency_key="k"
    )
    _, found = await purchase_create.run(
        world.door, world.catalogue, world.show, OPERATOR, request, frozenset(), payable=True,
        now=world.clock.at,
    )  # fmt: skip
    return found


async def test_a_copy_knows_that_somebody_bought_and_collects_nothing(
    app_url: str, redis_url: str, servers: Servers, template: str, tmp_path: Path
) -> None:
    """BA-7: the log has the action, so that its key buys nothing there; figures are the same."""
    path = tmp_path / "acme.log"
    async with World.open(app_url, redis_url) as world:
        world.clock.at = TEN
        await begin(world, ACME)
        found = await bought(world)
        assert await bought(world) == found
        await verified(world)
        with path.open("wb") as file:
            await export(world.door, world.catalogue, ACME, Writer(file), world.clock.now)
    assert servers.addresses.redis_url is not None
    async with (
        fresh(servers, template) as elsewhere,
        World.open(elsewhere.app_url, servers.addresses.redis_url) as other,
    ):
        importing = Importing(other.door, elsewhere.owner_url, LogFile.checked(path), TEN + HOUR)
        assert (await importing.run()).differences == {}
        other.tenants[ACME] = (await find_by_keys(other.door, [ACME]))[ACME]
        other.clock.at = TEN + HOUR
        with pytest.raises(Problem, match="made in another database") as caught:
            await bought(other)
        assert (caught.value.code, caught.value.field) == ("NOT_FOUND", "idempotencyKey")
        asked = [(other.tenants[ACME].tenant_id, purchases.NEWEST)]
        assert await purchases.pages(other.door, asked, limit=9) == [[]]
        await verified(other)
