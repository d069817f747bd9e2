"""Server-sent events of a served process: changes come, widgets watch, and ends are clean."""

from __future__ import annotations

import asyncio
import json
import signal
from hashlib import sha256
from pathlib import Path

from tests.api.events import asked
from tests.conftest import ServedFactory, said
from tests.wire.client import Json, connected, open_tenant, operate, until
from tests.wire.conftest import House

WATCH = """subscription Watch { balanceChanged(tenant: "watched", keys: ["whatsapp"]) {
  cause recovered balances { toppedUp { value } } } }"""
OTHER = 'subscription Other { usageChanged(tenant: "watched") { live { visitors } } }'
SHOP = "https://shop.example"


def named(text: str) -> str:
    return "sha256:" + sha256(text.encode()).hexdigest()


async def test_a_change_comes_as_an_event_to_all_who_watch(house: House) -> None:
    query = WATCH.replace("watched", "two")
    async with (
        asked(house.server.url, query) as one,
        asked(house.server.url, query, method="GET") as other,
    ):
        for response in (one, other):
            change = (await response.next())["data"]["balanceChanged"]
            assert (change["cause"], change["recovered"]) == ("SNAPSHOT", True)
        await operate(
            house.client, "topUpCreate", "topUp { id }", tenant="two", balance="whatsapp",
            amount="1000000", asOffered=False, idempotencyKey="events",
        )  # fmt: skip
        for response in (one, other):
            event = await response.next()
            assert event["data"]["balanceChanged"]["cause"] == "ACTION"
            assert event["extensions"]["cost"] > 0
        assert one.text.split("event: next")[2] == other.text.split("event: next")[2]
    page = (await house.client.get("/metrics")).text
    assert "\nkuota_event_streams " in page


async def test_a_widget_watches_its_documents_from_its_pages(
    served: ServedFactory, tmp_path: Path
) -> None:
    documents = tmp_path / "documents.json"
    documents.write_text(json.dumps({named(each): each for each in (WATCH, OTHER)}), "utf-8")
    server = await served(KUOTA_DOCUMENTS=str(documents))
    async with connected(server) as client:
        await open_tenant(client, "watched", [])
        made = await operate(
            client, "widgetTokenCreate", "token", tenant="watched", documents=[named(WATCH)],
            origins=[SHOP], scopes=["billing:read", "usage:read"],
        )  # fmt: skip
    mine = {"authorization": f"Bearer {made['token']}", "origin": SHOP}
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": named(WATCH)[7:]}}
    for method, members in (
        ("POST", {"documentId": named(WATCH)}), ("GET", {"extensions": extensions}),
    ):  # fmt: skip
        async with asked(server.url, method=method, headers=mine, **members) as response:
            assert (await response.next())["data"]["balanceChanged"]["recovered"]
            assert response.headers["access-control-allow-origin"] == SHOP
    refused: list[tuple[Json, dict[str, str], str]] = [
        ({"query": WATCH}, mine, "WIDGET_DOCUMENT"),
        ({"documentId": named(OTHER)}, mine, "WIDGET_DOCUMENT"),
        ({"documentId": named(WATCH)}, mine | {"origin": "https://b.example"}, "WIDGET_ORIGIN"),
    ]
    for body, headers, reason in refused:
        async with asked(server.url, headers=headers, **body) as response:
            assert response.status == 403
            (error,) = (await response.json())["errors"]
            assert error["extensions"]["reason"] == reason


async def test_a_server_that_ends_lets_its_watchers_go(served: ServedFactory) -> None:
    """No task is left to be cancelled, and nothing is an error."""
    server = await served(KUOTA_DRAIN_SECONDS="0", KUOTA_LOG_LEVEL="info")
    async with connected(server) as client:
        await open_tenant(client, "watched", [])

        async def watched(count: int) -> None:
            async def open_now() -> str:
                page = (await client.get("/metrics")).text
                return page.partition("\nkuota_event_streams ")[2].split()[0]

            await until(open_now, lambda found: float(found) == count)

        async with asked(server.url, WATCH) as left:
            assert await left.next()
            await watched(1)
        await watched(0)
        async with asked(server.url, WATCH) as kept, asked(server.url, WATCH) as unread:
            assert await kept.next()
            await watched(2)
            server.process.send_signal(signal.SIGTERM)
            # No `complete`: it is not over, and the client comes back.
            (end,) = await kept.rest()
            assert end.startswith(": 1012 ")
            assert unread.status == 200
            assert await asyncio.wait_for(server.process.wait(), 20) == 0
    words = said(server.errors)
    assert "Traceback" not in words
    assert " ERROR " not in words
    ends = [line for line in words.splitlines() if "event stream ended" in line]
    assert sorted("1006" in line for line in ends) == [False, False, True]
