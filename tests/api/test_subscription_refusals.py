"""What cannot be agreed of a subscription: every refusal with its field and its words (IN-1)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.operations.subscription_create import AskedFees
from domain.documents import DocumentError
from domain.problems import Problem
from persistence.subscriptions import DeedKind
from tests.api.subscribing import BASE, ONBOARDING, SEATS, Agreements, fees
from tests.conftest import Database
from tests.domain.spine import at
from tests.scenarios.world import World

CANCEL, RENEW, PAUSE, RESUME, QUANTITY, PLAN = (
    DeedKind.CANCEL, DeedKind.RENEW, DeedKind.PAUSE, DeedKind.RESUME, DeedKind.QUANTITY,
    DeedKind.PLAN,
)  # fmt: skip


@pytest.fixture
async def desk(database: Database, redis_url: str) -> AsyncIterator[Agreements]:
    async with World.open(database.app_url, redis_url) as world:
        world.clock.at = at("2026-11-10 10:00")
        await world.tenant("acme", plan="whatsapp-idr")
        yield Agreements(world)


async def refused(agreeing: Any) -> list[tuple[str | None, str]]:
    try:
        await agreeing
    except DocumentError as error:
        return [(each.path or None, f"{each.wrong}; {each.right}") for each in error.problems]
    except Problem as problem:
        return [(problem.field, f"{problem.code}: {problem.message}")]
    raise AssertionError("it was agreed")


async def test_what_cannot_be_subscribed_to(desk: Agreements) -> None:
    await desk.create("acme", key="first", plan="omnichannel-idr")
    long = "x" * 301
    table: list[tuple[dict[str, Any], list[tuple[str | None, str]]]] = [
        ({"key": "first"}, [
            ("key", "ALREADY_EXISTS: the tenant has a subscription first: use another key"),
        ]),
        ({"plan": "none"}, [
            ("plan", "UNKNOWN_PLAN: there is no plan 'none': known are "),
        ]),
        ({"plan": "service-usd"}, [
            ("plan", "CURRENCY_MISMATCH: the plan service-usd is in USD, the tenant in IDR: choose "
             "a plan in that"),
        ]),
        ({"plan": "omnichannel-idr"}, [
            ("plan", "HAS_PLAN: its subscription first comes with the plan omnichannel-idr: switch "
             "that, or leave the plan out here"),
        ]),
        ({"start": "2024-11-10"}, [
            ("start", "INVALID: 2024-11-10 is not from 2025-11-09 to 2036-11-17"),
        ]),
        ({"start": "2036-11-18"}, [
            ("start", "INVALID: 2036-11-18 is not from 2025-11-09 to 2036-11-17"),
        ]),
        ({"months": 0}, [
            ("term.months", "0 does not fit; write a whole number from 1 to 120, without quotes"),
        ]),
        ({"asked": AskedFees(name="Nothing", components=[])}, [
            (None, "it asks for nothing; give it a component or a set-up fee"),
        ]),
        ({"asked": fees(BASE, BASE)}, [
            ("components[1].key", "'base' is there before; write it once"),
        ]),
        ({"asked": fees(*[BASE] * 51)}, [("components", "51 are too many; write 50 at most")]),
        ({"asked": fees(BASE, setup=[ONBOARDING, ONBOARDING])}, [
            ("setup[1].key", "'onboarding' is there before; write it once"),
        ]),
        ({"asked": fees(BASE | {"price": "100000000001"})}, [
            ("components[0].price", "comes to 100000000001 a period; write less"),
        ]),
        # All of what is wrong, at once.
        ({"key": "A B", "months": 121, "asked": fees(
            {"key": "Seats", "name": "", "unit": "a seat", "price": "-1", "quantity": "1e3"},
            name=long, setup=[{"key": "", "name": "x", "price": "0.0000001"}],
        )}, [
            ("name", f"{repr(long)[:57]}... does not fit; say the name that people see"),
            ("components[0].key", "'Seats' does not fit; name it in lower case, as \"seats\""),
            ("components[0].name", "'' does not fit; say the name that people see"),
            ("components[0].unit", "'a seat' does not fit; name the unit, as \"seat\""),
            ("components[0].price", "'-1' has a sign: write it without one; "),
            ("components[0].quantity", "'1e3' "),
            ("setup[0].key", "'' does not fit; name it in lower case, as \"onboarding\""),
            ("setup[0].price", "'0.0000001' "),
            ("key", "'A B' does not fit; name it in lower case, as \"main\""),
            ("term.months", "121 does not fit; write a whole number from 1 to 120, without quotes"),
        ]),
    ]  # fmt: skip
    for asked, expected in table:
        found = await refused(desk.create("acme", **({"key": "second", "plan": None} | asked)))
        assert [field for field, _ in found] == [field for field, _ in expected], found
        for (_, words), (_, begin) in zip(found, expected, strict=True):
            assert words.startswith(begin), (words, begin)
    rows = await desk.world.rows("acme", "select subscription from subscriptions "
                                 "where tenant_id = $1")  # fmt: skip
    assert [row["subscription"] for row in rows] == ["first"]


async def test_what_cannot_be_agreed_later(desk: Agreements) -> None:
    await desk.create("acme", key="later", start="2026-12-15", plan=None)
    await desk.create("acme", key="year", months=12, start="2026-11-01", plan=None)
    await desk.create("acme", key="paused", plan=None)
    await desk.change("acme", PAUSE, subscription="paused")
    await desk.create("acme", key="over", plan=None, start="2026-10-01")
    await desk.change("acme", CANCEL, subscription="over", last_day="2026-11-10")
    desk.world.clock.at = at("2026-11-11 00:00")
    await desk.create("acme", asked=fees(SEATS))
    seats: dict[str, Any] = {"component": "seats", "quantity": "1"}
    table: list[tuple[DeedKind, dict[str, Any], str | None, str]] = [
        (QUANTITY, seats | {"subscription": "mian"}, "subscription",
         "NOT_FOUND: the tenant has no subscription 'mian': did you mean 'main'?"),
        (QUANTITY, seats | {"component": "seat"}, "component",
         "UNKNOWN_COMPONENT: omnichannel-idr has no seat: did you mean 'seats'?"),
        (QUANTITY, seats | {"quantity": "-1"}, "quantity",
         "INVALID: -1 is less than none: write 0 or more"),
        (QUANTITY, seats | {"quantity": "1000000"}, "quantity",
         "TOO_MUCH: 1000000 of seats cost more than a period may"),
        (QUANTITY, seats | {"quantity": "100000000001"}, "quantity",
         "TOO_MUCH: quantity is at most 100000000000"),
        (QUANTITY, seats | {"since": "2026-11-10"}, "from",
         "BEFORE_START: it begins on 2026-11-11: nothing changes before"),
        (QUANTITY, seats | {"since": "2025-11-09"}, "from",
         "INVALID: 2025-11-09 is not from 2025-11-10 to 2036-11-18"),
        (QUANTITY, seats | {"subscription": "over"}, "from",
         "ENDED: it ended on 2026-11-10: agree on a new one"),
        (PAUSE, {"subscription": "paused"}, "from",
         "PAUSED: it is paused on 2026-11-11 already"),
        (PAUSE, {"subscription": "later", "since": "2026-12-14"}, "from",
         "BEFORE_START: it begins on 2026-12-15: nothing changes before"),
        (RESUME, {}, "from", "NOT_PAUSED: it is not paused on 2026-11-11"),
        (RENEW, {}, None, "NOT_ENDING: it goes on already"),
        (RENEW, {"subscription": "over"}, None,
         "ENDED: it ended on 2026-11-10: agree on a new one"),
        (CANCEL, {"last_day": "2026-11-10"}, "lastDay",
         "INVALID: 2026-11-10 has passed, or it has not begun by then: choose a later day"),
        (CANCEL, {"last_day": "2036-11-19"}, "lastDay",
         "INVALID: 2036-11-19 is not from 2025-11-10 to 2036-11-18"),
        (CANCEL, {"subscription": "later", "last_day": "2026-12-14"}, "lastDay",
         "INVALID: 2026-12-14 has passed, or it has not begun by then: choose a later day"),
        (CANCEL, {"subscription": "year", "last_day": "2026-12-31"}, "lastDay",
         "COMMITTED: it is agreed until 2027-10-31: end it then, or at the end of its term"),
        (PLAN, {"fees": fees(BASE | {"unit": "A"})}, "components[0].unit",
         "'A' does not fit; name the unit, as \"seat\""),
        (PLAN, {"fees": fees(BASE), "plan": "none"}, "plan",
         "UNKNOWN_PLAN: there is no plan 'none': known are "),
        (PLAN, {"subscription": "paused", "fees": fees(BASE), "plan": "omnichannel-idr"}, "plan",
         "HAS_PLAN: its subscription main comes with the plan omnichannel-idr: switch that, or "),
    ]  # fmt: skip
    for kind, asked, field, words in table:
        ((found_field, found),) = await refused(desk.change("acme", kind, **asked))
        assert (found_field, found[: len(words)]) == (field, words)
    rows = await desk.world.rows("acme", "select change from subscription_changes "
                                 "where tenant_id = $1")  # fmt: skip
    assert len(rows) == 2


async def test_the_same_key_agrees_once(desk: Agreements) -> None:
    """BA-7: the same request gives the first answer, another one is refused; so are our keys."""
    first = await desk.create("acme", once="a")
    assert (await desk.create("acme", once="a")).action_id == first.action_id
    assert await refused(desk.create("acme", once="a", key="other")) == [
        ("idempotencyKey", "IDEMPOTENCY_KEY_REUSED: this key came before with another request; use "
         "a new key for a new one"),
    ]  # fmt: skip
    for _ in range(2):
        await desk.change("acme", QUANTITY, component="seats", quantity="7", once="b")
    assert len((await desk.kept("acme")).subscription.changes) == 1
    ((field, _),) = await refused(desk.change("acme", PAUSE, once="ending/main/2026-12-31"))
    assert field == "idempotencyKey"
