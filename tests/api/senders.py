"""A shop that asks before it sends: an application on a clock that is moved, and its tenants.

Owns no expectation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from api.app import create_app
from api.settings import Clock, Settings
from domain.periods import iso
from tests.api.conftest import NUMBER_CREATE, TENANT_CREATE, Json
from tests.conftest import OPERATOR_KEY, Database

#: 10 October 2026, 10:00 in Jakarta: service messages are charged one by one (PR-4).
OCTOBER = 1_791_601_200_000_000
SECOND = 1_000_000

WHATSAPP, SMS, MAIL, VOICE = "+6281110000001", "+12025550100", "box@shop.example", "+12025550101"


class Steered(Clock):
    """A clock that stands until it is moved."""

    def __init__(self, at: int = OCTOBER) -> None:
        super().__init__()
        self.at = at

    def now(self) -> int:
        return self.at


def contact(number: int) -> str:
    return f"+62812{number:08d}"


class Shop:
    """A client with the operator's key, for a tenant `shop` of the plan that was wanted."""

    def __init__(self, client: httpx2.AsyncClient, clock: Steered) -> None:
        self.client = client
        self.clock = clock
        self.keys = 0
        self.events = 0

    async def graphql(self, query: str, **variables: Any) -> Json:
        answer = await self.client.post("/graphql", json={"query": query, "variables": variables})
        body: Json = answer.json()
        assert "errors" not in body, body
        data: Json = body["data"]
        return data

    async def mutate(self, mutation: str, wanted: str, **given: Any) -> Json:
        kind = f"{mutation[0].upper()}{mutation[1:]}Input"
        query = (
            f"mutation ($input: {kind}!) {{ {mutation}(input: $input)"
            f" {{ {wanted} userErrors {{ field code message }} }} }}"
        )
        answer: Json = (await self.graphql(query, input=given))[mutation]
        return answer

    async def do(self, mutation: str, **given: Any) -> None:
        answer = await self.mutate(mutation, "__typename", **given)
        assert answer["userErrors"] == [], answer

    async def opened(self, plan: str, *numbers: tuple[str, str]) -> None:
        """The tenant with its numbers, and another that has none."""
        for key in ("shop", "other"):
            await self.graphql(TENANT_CREATE, input={"key": key, "plan": plan})
        for channel, address in numbers:
            given = {"tenant": "shop", "channel": channel, "address": address}
            answer = await self.graphql(NUMBER_CREATE, input=given)
            assert answer["numberCreate"]["userErrors"] == []

    async def top_up(self, amount: str, balance: str = "whatsapp") -> None:
        self.keys += 1
        await self.do(
            "topUpCreate", tenant="shop", balance=balance, amount=amount,
            idempotencyKey=f"top-up-{self.keys}", asOffered=False,
        )  # fmt: skip

    async def take(self, amount: int, balance: str = "conversations") -> None:
        """Take something of a balance away."""
        self.keys += 1
        await self.do(
            "adjustmentCreate", tenant="shop", balance=balance, amount=f"-{amount}",
            reason="of a test", idempotencyKey=f"adjustment-{self.keys}",
        )  # fmt: skip

    def send(self, **fields: Any) -> Json:
        """A send with a key of its own."""
        self.keys += 1
        sent = {"tenant": "shop", "key": f"send-{self.keys}", "number": WHATSAPP} | fields
        if not {"contact", "recipients", "group"} & sent.keys():
            sent["contact"] = contact(1)
        return sent

    async def post(self, body: Json | list[Json]) -> httpx2.Response:
        return await self.client.post("/v1/authorize", json=body)

    async def authorize(self, **fields: Any) -> Json:
        """What a single send is answered."""
        answer = await self.post(self.send(**fields))
        assert answer.status_code == 200, answer.text
        body: Json = answer.json()
        return body

    async def granted(self, **fields: Any) -> Json:
        answer = await self.authorize(**fields)
        assert answer["granted"], answer
        return answer

    async def many(self, sends: list[Json]) -> list[Json]:
        answer = await self.post(sends)
        assert answer.status_code == 200, answer.text
        results: list[Json] = answer.json()["results"]
        assert len(results) == len(sends)
        return results

    async def record(self, *events: tuple[str, Json]) -> list[Json]:
        """Facts of now, by type and data: their results."""
        items = []
        for kind, data in events:
            self.events += 1
            items.append({
                "id": str(self.events), "source": "crm", "type": kind, "subject": "shop",
                "time": iso(self.clock.at), "data": {"number": WHATSAPP} | data,
            })  # fmt: skip
        answer = await self.client.post("/v1/events", json=items)
        results: list[Json] = answer.json()["results"]
        assert all(each["status"] in ("accepted", "unrated") for each in results), results
        return results

    async def wrote(self, *numbers: int) -> None:
        """Contacts write to the shop: their windows are open."""
        await self.record(*(("message.received", {"contact": contact(each)}) for each in numbers))

    async def delivered(self, number: int, **data: Any) -> Json:
        (result,) = await self.record(("message.delivered", {"contact": contact(number)} | data))
        return result

    async def figures(self, balance: str = "whatsapp") -> tuple[str, str, str]:
        """What was used of a balance, what is held and what is available."""
        query = (
            'query ($key: String!) { tenant(key: "shop") { balance(key: $key)'
            " { used { value } held { value } available { value } } } }"
        )
        found = (await self.graphql(query, key=balance))["tenant"]["balance"]
        return tuple(found[name]["value"] for name in ("used", "held", "available"))


@asynccontextmanager
async def shops(database: Database, redis_url: str) -> AsyncIterator[Shop]:
    """A shop whose application has begun."""
    settings = Settings(
        database_url=database.app_url, redis_url=redis_url, operator_key=OPERATOR_KEY
    )
    clock = Steered()
    app = create_app(settings, clock)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app), base_url="http://kuota",
            headers={"authorization": f"Bearer {OPERATOR_KEY}"},
        ) as client,
    ):  # fmt: skip
        yield Shop(client, clock)
