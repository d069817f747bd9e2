"""What happens with unpaid invoices, through GraphQL, and what senders are told of it (OC-1)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import pytest

from domain.periods import DAY, iso
from persistence import dunning, load
from persistence.door import Door
from persistence.tenants import find_by_keys
from tests.api.conftest import Json
from tests.api.senders import OCTOBER, WHATSAPP, Shop, contact, shops
from tests.conftest import Database
from tests.persistence.test_dunning import issued

DUNNING = """steps { days action prepaid } isDefault holds prepaid since owed { value currency }
  invoices { number balance { value } overdueSince nextStep { at action } }"""
SHOWN = f'{{ tenant(key: "shop") {{ dunning {{ {DUNNING} }} }} }}'
REMIND = {"days": 3, "action": "REMIND", "prepaid": False}
BLOCK = {"days": 5, "action": "BLOCK_ALL", "prepaid": True}
NOTHING: Json = {"holds": "NONE", "prepaid": "NONE", "since": None, "owed": None, "invoices": []}
#: The due day is 8 October; overdue from the 9th of Jakarta on, two days before the clock's.
OVER = "2026-10-08T17:00:00Z"


@pytest.fixture
async def shop(database: Database, redis_url: str) -> AsyncIterator[Shop]:
    async with shops(database, redis_url) as shop:
        await shop.opened("omnichannel-idr", ("whatsapp", WHATSAPP))
        await shop.top_up("9000")
        yield shop


async def put(shop: Shop, steps: list[Json] | None, **more: Any) -> Json:
    shop.keys += 1
    given = {"tenant": "shop", "steps": steps, "idempotencyKey": f"d{shop.keys}"} | more
    return await shop.mutate("dunningSet", f"dunning {{ {DUNNING} }}", **given)


async def shown(shop: Shop) -> Json:
    found: Json = (await shop.graphql(SHOWN))["tenant"]["dunning"]
    return found


async def test_steps_are_everybodys_until_a_tenant_has_its_own(shop: Shop) -> None:
    everybodys = {
        "isDefault": True, **NOTHING,
        "steps": [{"days": n, "action": "REMIND", "prepaid": False} for n in (3, 7, 14)],
    }  # fmt: skip
    assert await shown(shop) == everybodys
    own = {"isDefault": False, **NOTHING, "steps": [REMIND, BLOCK]}
    assert await put(shop, [BLOCK, REMIND]) == {"dunning": own, "userErrors": []}
    assert await shown(shop) == own
    assert (await put(shop, []))["dunning"] == {**own, "steps": []}
    assert (await put(shop, None))["dunning"] == everybodys


@pytest.mark.parametrize(
    ("steps", "errors"),
    [
        (
            [{"days": 0, "action": "REMIND"}, REMIND, REMIND],
            [("steps[0].days", "INVALID"), ("steps[2]", "INVALID")],
        ),
        ([REMIND | {"prepaid": True}], [("steps[0].prepaid", "INVALID")]),
    ],
)
async def test_every_problem_is_told(
    shop: Shop, steps: list[Json], errors: list[tuple[str, str]]
) -> None:
    answer = await put(shop, steps)
    assert answer["dunning"] is None
    assert [(each["field"], each["code"]) for each in answer["userErrors"]] == errors
    assert (await put(shop, [], tenant="none"))["userErrors"][0]["code"] == "NOT_FOUND"


async def test_who_asks_is_told_which_invoice_to_pay(shop: Shop, database: Database) -> None:
    """OC-1: over HTTP and GraphQL alike; usage that happened is taken all the same."""
    await put(shop, [{"days": 1, "action": "BLOCK_MARKETING", "prepaid": True}, BLOCK])
    async with Door.open(database.app_url) as door:
        tenant = (await find_by_keys(door, ["shop"]))["shop"]
        bill = await issued(
            door, tenant, 1_000, due_on=date(2026, 10, 8), at=OCTOBER - 5 * DAY, tasked=False
        )
        async with door.tenant_tx(tenant.tenant_id) as connection:
            await load.lock(connection, [tenant.tenant_id], wait=True)
            await dunning.keep_steps(
                connection, tenant.tenant_id, bill.invoice_id, ["overdue", "block_marketing/1"],
                OCTOBER,
            )  # fmt: skip
            await dunning.lift(connection, tenant.tenant_id, OCTOBER)
    found = await shown(shop)
    assert {name: found[name] for name in NOTHING} == {
        "holds": "MARKETING", "prepaid": "MARKETING", "since": iso(OCTOBER),
        "owed": {"value": "1000", "currency": "IDR"},
        "invoices": [{
            "number": bill.number, "balance": {"value": "1000"}, "overdueSince": OVER,
            "nextStep": {"at": "2026-10-12T17:00:00Z", "action": "BLOCK_ALL"},
        }],
    }  # fmt: skip
    words = f"invoice {bill.number} is overdue: pay IDR 1,000 to send again"
    assert await shop.authorize(category="marketing") == {
        "granted": False, "reason": "unpaid_invoice", "message": words
    }  # fmt: skip
    asked = {"tenant": "shop", "number": WHATSAPP, "contact": contact(1), "category": "marketing"}
    wanted = "granted refusal { reason message balance }"
    assert await shop.mutate("authorize", wanted, idempotencyKey="a", **asked) == {
        "granted": False, "userErrors": [],
        "refusal": {"reason": "UNPAID_INVOICE", "message": words, "balance": None},
    }  # fmt: skip
    await shop.granted(category="utility")
    charged = await shop.delivered(1, category="marketing", template="t")
    assert charged["status"] == "accepted"
