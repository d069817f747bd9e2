"""Two processes that authorise for one tenant: nothing is granted twice, and nothing is lost.

OC-2, OC-3, OC-5, OC-7: one of them is killed in the middle, a broadcast is very broad, and a month
ends while holds are open.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx2
import pytest

from tests.conftest import Database, Served, ServedFactory
from tests.wire.client import Json, ask, connected, open_tenant, operate, until

pytestmark = pytest.mark.slow

NUMBER = "+6281110000001"
OCTOBER = "2026-10-10T10:00:00+07:00"
#: Five minutes before the month ends, and two minutes after it, in Jakarta.
LATE_IN_JANUARY, FEBRUARY = "2027-01-31T23:55:00+07:00", "2027-02-01T00:02:00+07:00"
UNITS = 137
AT_ONCE = 500
MANY = 100_000

FIGURES = """{ tenant(key: "shop") { balances {
    key used { value } held { value } available { value } } } }"""
LOTS = """
select l.month, l.used from lots l join balances b using (tenant_id, balance_id)
where b.key = 'conversations' and l.source = 1 order by l.month"""
ROWS = "select count(*) from holds"


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(database.owner_url)
    yield connection
    await connection.close()


def contact(n: int) -> str:
    return f"+62812{n:08d}"


async def opened(client: httpx2.AsyncClient, *, take: int) -> None:
    await open_tenant(client, "shop", [("whatsapp", NUMBER)], plan="omnichannel-mcc-idr")
    await operate(
        client, "adjustmentCreate", "adjustment { id }", tenant="shop", balance="conversations",
        amount=f"-{take}", reason="of a test", idempotencyKey="less",
    )  # fmt: skip


async def figures(client: httpx2.AsyncClient) -> tuple[str, str, str]:
    found = (await ask(client, FIGURES))["tenant"]["balances"]
    (own,) = (each for each in found if each["key"] == "conversations")
    return own["used"]["value"], own["held"]["value"], own["available"]["value"]


def send(n: int) -> Json:
    return {
        "tenant": "shop", "key": f"send-{n}", "number": NUMBER, "contact": contact(n),
        "category": "utility",
    }  # fmt: skip


def told(n: int, hold: str, at: str, kind: str = "delivered", **data: Any) -> Json:
    return {
        "id": f"{kind}-{n}", "source": "crm", "type": f"message.{kind}", "subject": "shop",
        "time": at, "data": {
            "number": NUMBER, "contact": contact(n), "category": "utility", "template": "t",
            "message_id": f"m-{n}", "hold": hold, **data,
        },
    }  # fmt: skip


class Crowd:
    """Who asks for so many sends at once, and asks again what nobody answered."""

    def __init__(self) -> None:
        self.answers: dict[int, Json] = {}
        self.lost: set[int] = set()

    async def ask(self, server: Served, sends: list[int]) -> None:
        """Ask one by one, eight at a time, until the process is gone."""
        waiting = iter(sends)

        async def sender(client: httpx2.AsyncClient) -> None:
            for n in waiting:
                try:
                    answer = await client.post("/v1/authorize", json=send(n))
                except httpx2.TransportError:
                    self.lost.add(n)
                    continue
                assert answer.status_code == 200, answer.text
                self.answers[n] = answer.json()

        async with connected(server) as client:
            await asyncio.gather(*(sender(client) for _ in range(8)))

    @property
    def holds(self) -> list[str]:
        return [answer["hold"] for answer in self.answers.values() if answer["granted"]]


async def test_five_hundred_at_two_processes_of_whom_one_is_killed(
    served: ServedFactory, owner: asyncpg.Connection[Any]
) -> None:
    """OC-2, OC-3: 137 units are granted 137 times, and a key that is asked again is one hold."""
    killed, other = await served(KUOTA_CLOCK=OCTOBER), await served(KUOTA_CLOCK=OCTOBER)
    async with connected(other) as client:
        await opened(client, take=1_000 - UNITS)
        crowd = Crowd()

        async def killer() -> None:
            # So late that some were granted by it, and so early that there is more to grant.
            await until(lambda: owner.fetchval(ROWS), lambda rows: rows >= UNITS // 3)
            await killed.kill()

        sends = list(range(AT_ONCE))
        await asyncio.gather(crowd.ask(killed, sends[::2]), crowd.ask(other, sends[1::2]), killer())
        assert crowd.lost
        before = dict(crowd.answers)
        await crowd.ask(other, sorted(crowd.lost))
        assert crowd.answers.keys() == set(sends)
        # What was promised stands: asked again, it is the same hold.
        await crowd.ask(other, [n for n, answer in before.items() if answer["granted"]])
        assert all(crowd.answers[n] == answer for n, answer in before.items() if answer["granted"])
        assert len(crowd.holds) == len({*crowd.holds}) == UNITS
        assert {answer["reason"] for answer in crowd.answers.values() if not answer["granted"]} == {
            "insufficient_balance"
        }
        assert await figures(client) == ("0", str(UNITS), "0")
        assert await owner.fetchval(ROWS) == UNITS

        facts = [
            told(n, answer["hold"], OCTOBER)
            for n, answer in crowd.answers.items() if answer["granted"]
        ]  # fmt: skip
        results = (await client.post("/v1/events", json=facts)).json()["results"]
        assert [each["charges"][0]["amount"] for each in results] == ["1"] * UNITS
        await until(lambda: figures(client), lambda found: found == (str(UNITS), "0", "0"))


async def test_a_broadcast_to_a_hundred_thousand_is_one_hold(
    served: ServedFactory, owner: asyncpg.Connection[Any]
) -> None:
    """OC-3, OC-5: all or nothing; who is reached ends a share, and a release the rest."""
    server = await served(KUOTA_CLOCK=OCTOBER, KUOTA_RATE_LIMIT="0")
    async with connected(server) as client:
        await opened(client, take=999)
        body = send(0) | {"recipients": [contact(n) for n in range(MANY)]}
        del body["contact"]
        answer = (await client.post("/v1/authorize", json=body)).json()
        assert (answer["reason"], answer["required"], answer["shortfall"]) == (
            "insufficient_balance", str(MANY), str(MANY - 1),
        )  # fmt: skip
        await operate(
            client, "topUpCreate", "topUp { id }", tenant="shop", balance="conversations",
            amount=str(MANY), idempotencyKey="more", asOffered=False,
        )  # fmt: skip

        async def asked() -> Json:
            found: Json = (await client.post("/v1/authorize", json=body)).json()
            return found

        # A top-up is shown behind its commit, and to ask is dear.
        await until(lambda: figures(client), lambda found: found[2] == str(MANY + 1))
        answer = await until(asked, lambda found: found["granted"])
        assert (answer["recipients"], answer["price"]) == (MANY, str(MANY))
        assert await figures(client) == ("0", str(MANY), "1")
        assert await owner.fetchval(ROWS) == 1

        facts = [told(n, answer["hold"], OCTOBER) for n in range(100)]
        results = (await client.post("/v1/events", json=facts)).json()["results"]
        assert {each["charges"][0]["amount"] for each in results} == {"1"}
        wanted = ("100", str(MANY - 100), "1")
        await until(lambda: figures(client), lambda found: found == wanted)

        released = await operate(
            client, "holdRelease", "released amounts { amount { value } }", tenant="shop",
            hold=answer["hold"],
        )  # fmt: skip
        assert released["released"]
        assert [each["amount"]["value"] for each in released["amounts"]] == [str(MANY - 100)]
        wanted = ("100", "0", str(MANY - 99))
        await until(lambda: figures(client), lambda found: found == wanted)
        assert await owner.fetchval(ROWS) == 1


async def test_the_month_ends_with_holds_open(
    served: ServedFactory, owner: asyncpg.Connection[Any]
) -> None:
    """OC-7: held on 31 January at 23:55, delivered on 1 February at 00:02: February pays."""
    january = await served(KUOTA_CLOCK=LATE_IN_JANUARY)
    async with connected(january) as client:
        await opened(client, take=900)
        answers = [(await client.post("/v1/authorize", json=send(n))).json() for n in range(3)]
        assert await figures(client) == ("0", "3", "97")
    await january.stop()

    server = await served(KUOTA_CLOCK=FEBRUARY)
    async with connected(server) as client:
        found = await until(lambda: figures(client), lambda found: found[1] == "3")
        assert found == ("0", "3", "997"), "the holds are of the new period's available"
        fact = told(0, answers[0]["hold"], FEBRUARY)
        (result,) = (await client.post("/v1/events", json=[fact])).json()["results"]
        assert [each["amount"] for each in result["charges"]] == ["1"]
        await until(lambda: figures(client), lambda found: found == ("1", "2", "997"))
        lots = await owner.fetch(LOTS)
        assert [row["used"] for row in lots][-1] == 1_000_000
        assert sum(row["used"] for row in lots) == 1_000_000
        assert [await owner.fetchval("select flags & 3584 from facts")] == [0]
