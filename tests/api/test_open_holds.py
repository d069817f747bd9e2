"""What is set aside, as clients see it: in balances, in the feed, and as a list (BA-2, OC-2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx2
import msgspec
import pytest
from starlette.applications import Starlette

from domain.holds import Hold, number_of, spelt, times
from domain.periods import DAY, MINUTE, iso
from persistence import held, keys
from persistence.held import Item
from persistence.valkey import client, run
from tests.api.conftest import Ask
from tests.api.test_streams import Feed, Somebody, shown

BALANCES = """query($tenant: String!, $at: DateTime) { tenant(key: $tenant) {
  balances(at: $at) { key held { value } available { value } remaining { value } } } }"""
WATCHED = """subscription { balanceChanged(tenant: "one") {
  cause balances { key held { value } available { value } } } }"""
HOLDS = """query($first: Int, $after: String) { tenant(key: "one") {
  holds(first: $first, after: $after) {
    edges { cursor } pageInfo { hasNextPage endCursor }
    nodes { id grantedAt expiresAt recipients amounts { balance amount { value currency } } } } } }
"""
LASTS = 10 * MINUTE


class Desk:
    """Whoever grants holds, in the served process's own Valkey."""

    def __init__(self, app: Starlette) -> None:
        self.core = app.state.core
        self.granted: list[tuple[str, Hold]] = []

    async def id_of(self, tenant: str) -> int:
        async with self.core.door.system_tx("a test looks up its tenant") as connection:
            found = await connection.fetchval(
                "select tenant_id from tenants where key = $1", tenant
            )
        return int(found)

    async def grant(
        self, *amounts: str, tenant: str = "one", money: int = 300_000_000, shares: int = 1
    ) -> list[Hold]:
        """A hold for each key, of money for so many recipients; who watches is told."""
        tenant_id, now = await self.id_of(tenant), self.core.clock.now()
        if not await self.core.valkey.exists(keys.balances(tenant_id)):
            await self.core.engines.rebuild.tenants([tenant_id])
        key = (await self.core.engines.live.holds.keys([tenant_id]))[tenant_id]
        share = (("count:free:0:24317", 1), ("left:whatsapp", money))
        made = [
            Hold(number_of(name), now, now + LASTS + n, now + DAY, shares, share,
                 times(share, shares), False)
            for n, name in enumerate(amounts)
        ]  # fmt: skip
        items = []
        for hold in made:
            answer = msgspec.msgpack.encode((spelt(hold, key), 1, "more"))
            items.append(Item(hold, answer, hold.total, (), None, True))
            self.granted.append((spelt(hold, key), hold))
        calls = [
            held.authorize_call(tenant_id, self.core.door.epoch, now, items),
            held.tell_call(tenant_id, now),
        ]
        answer, _ = await run(self.core.valkey, calls)
        if held.decided(answer).status == "stale":  # as whoever authorises, it has them made anew
            await self.core.engines.rebuild.tenants([tenant_id])
            answer, _ = await run(self.core.valkey, calls)
        assert held.decided(answer).results == [1] * len(made)
        return made

    async def end(self, *holds: Hold) -> None:
        tenant_id, now = await self.id_of("one"), self.core.clock.now()
        ended = [held.Ended(hold, 1, (), ()) for hold in holds]
        await run(self.core.valkey, [held.end_call(tenant_id, now, ended)])


@pytest.fixture
async def desk(app: Starlette, tenants: list[str]) -> Desk:
    return Desk(app)


def money(balances: Sequence[dict[str, Any]]) -> tuple[str, str]:
    """What is held and available of the balance in money."""
    (found,) = [each for each in balances if each["key"] == "whatsapp"]
    return found["held"]["value"], found["available"]["value"]


async def asked(ask: Ask, at: str | None = None, tenant: str = "one") -> tuple[str, str]:
    answer = await ask(BALANCES, tenant=tenant, at=at)
    return money(answer["data"]["tenant"]["balances"])


async def test_a_balance_shows_what_is_held_and_available(ask: Ask, desk: Desk) -> None:
    """BA-2: of the present alone; a look back and another tenant have none of it."""
    nothing, available = await asked(ask)
    before = iso(desk.core.clock.now())
    (first, _) = await desk.grant("a", "b", shares=2)

    assert (nothing, await asked(ask)) == ("0", ("1200", str(int(available) - 1_200)))
    assert (await asked(ask, before))[0] == "0"
    assert (await asked(ask, iso(desk.core.clock.now() + MINUTE)))[0] == "1200"
    assert (await asked(ask, iso(desk.core.clock.now() + 40 * DAY)))[0] == "0"
    assert await asked(ask, tenant="two") == ("0", available)
    await desk.end(first)
    assert (await asked(ask))[0] == "600"
    desk.core.clock.offset += LASTS + MINUTE
    assert await asked(ask) == ("0", available)


async def test_a_valkey_that_is_away_holds_nothing(ask: Ask, desk: Desk) -> None:
    """No failure, and one attempt for all who ask within a moment."""
    await desk.grant("a")
    holds = desk.core.engines.live.holds
    there = holds._valkey
    async with client("redis://127.0.0.1:1") as away:
        holds._valkey = away
        assert (await asked(ask))[0] == "0"
        answer = (await ask(HOLDS))["data"]["tenant"]["holds"]
        assert answer["nodes"] == []
        holds._valkey = there
        assert (await asked(ask))[0] == "0", "it rests"
        holds._rest_until = 0.0
        assert (await asked(ask))[0] == "300"


async def test_a_watcher_is_told_of_holds(
    app: Starlette, client: httpx2.AsyncClient, desk: Desk
) -> None:
    """When something is set aside, given back, and when a hold expires by itself."""
    follower, _ = await Feed(app, client).follow(WATCHED)
    first = shown(await follower.next())
    assert (first["cause"], money(first["balances"])[0]) == ("SNAPSHOT", "0")
    one, _ = await desk.grant("a", "b")
    assert await told(follower, "600") == "HELD"
    await desk.end(one)
    assert await told(follower, "300") == "HELD"
    desk.core.clock.offset += LASTS + MINUTE
    assert await told(follower, "0") == "HELD"


async def told(follower: Somebody, amount: str) -> str:
    """The cause of the next event that has so much held."""
    while True:
        event = shown(await follower.next())
        if money(event["balances"])[0] == amount:
            return str(event["cause"])


async def test_open_holds_are_listed(ask: Ask, desk: Desk) -> None:
    """Those that end first first; their sum is what balances show as held."""
    await desk.grant("a", "b", "c", shares=3)
    found: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        page = (await ask(HOLDS, first=2, after=after))["data"]["tenant"]["holds"]
        found += page["nodes"]
        assert page["pageInfo"]["endCursor"] == page["edges"][-1]["cursor"]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert found == [
        {
            "id": name,
            "grantedAt": iso(hold.granted_at),
            "expiresAt": iso(hold.expires_at),
            "recipients": 3,
            "amounts": [{"balance": "whatsapp", "amount": {"value": "900", "currency": "IDR"}}],
        }
        for name, hold in desk.granted
    ]
    assert (await asked(ask))[0] == "2700"
    assert (await ask(HOLDS, after="nonsense"))["errors"][0]["extensions"]["code"] == (
        "BAD_USER_INPUT"
    )
    desk.core.clock.offset += LASTS + MINUTE
    assert (await ask(HOLDS))["data"]["tenant"]["holds"]["nodes"] == []
