"""What the demo shows of a balance that runs low: the alert, the refill, its receipt.

Owns what is set for that, and how it is told. Everything told comes back from the API: alerts over
a subscription, the receipt by a query.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from contextlib import aclosing
from decimal import Decimal
from typing import Any

import httpx2

from api.cli import feed
from api.cli.businesses import SHOP
from api.cli.founding import ask, mutation
from api.cli.terminal import Failure, result

BALANCE = "whatsapp"
#: Below what is there when it begins: a handful of messages.
WARN, REFILL = 1_000, 3_000
#: What a refill adds, in rupiah.
AMOUNT = 500_000

STANDS = """
{ tenant(key: "%s") { balance(key: "%s") { remaining { value } } alerts(first: 1) { position } } }
"""
ALERTS = """
subscription ($tenant: String!, $after: StreamPosition) {
  alertRaised(tenant: $tenant, after: $after) {
    position id kind balance at banner(locale: "en") remaining { value } } }
"""
RECEIPT = """
{ tenant(key: "%s") { purchases(first: 1) { nodes {
    status balance amount { value } total { value }
    receipt { number net { formatted } tax { formatted } total { formatted } downloadUrl } } } } }
"""


class News:
    """What happened, as it is told: at once, or under the table that is drawn on a terminal."""

    def __init__(self, *, as_json: bool) -> None:
        self.lines: list[str] = []
        self._as_json = as_json
        self._drawn = sys.stdout.isatty() and not as_json

    def tell(self, line: str, shown: Mapping[str, object]) -> None:
        """Say something: a line for people, a mapping for programs."""
        self.lines.append(line)
        if not self._drawn:
            result(f"{line}\n", shown, as_json=self._as_json)


async def follow(client: httpx2.AsyncClient, url: str, key: str, news: News) -> None:
    """Let the shop's balance run low, and tell what is raised of it, without end."""
    answer = await read(client, STANDS % (SHOP.key, BALANCE))
    stands = answer["tenant"]
    left = math.floor(Decimal(stands["balance"]["remaining"]["value"]))
    await ask(
        client,
        [
            mutation(
                "paymentMethodSet", tenant=SHOP.key, provider="sandbox",
                token="sandbox:succeeds", label="The demo's card", idempotencyKey="demo-card",
            ),
            mutation(
                "thresholdSet", tenant=SHOP.key, balance=BALANCE, percents=[],
                units=[str(left - WARN)], idempotencyKey="demo-threshold",
            ),
            mutation(
                "refillPolicySet", tenant=SHOP.key, balance=BALANCE, enabled=True,
                minimum=str(left - REFILL), amount=str(AMOUNT), idempotencyKey="demo-refill",
            ),
        ],
    )  # fmt: skip
    variables = {"tenant": SHOP.key, "after": stands["alerts"]["position"]}
    async with aclosing(feed.follow(url, key, ALERTS, variables)) as events:
        async for data in events:
            alert = data["alertRaised"]
            line = f"alert    {alert['at']} {alert['kind']} {alert['banner']}"
            news.tell(line, {"event": "alert", **alert})
            if alert["kind"] == "REFILL_SUCCEEDED":
                await _tell_receipt(client, url, news)


async def _tell_receipt(client: httpx2.AsyncClient, url: str, news: News) -> None:
    answer = await read(client, RECEIPT % SHOP.key)
    (purchase,) = answer["tenant"]["purchases"]["nodes"]
    receipt = purchase["receipt"]
    page = receipt["downloadUrl"]
    told = page if page.startswith("http") else f"{url}{page}"
    line = (
        f"receipt  {receipt['number']}: {receipt['net']['formatted']} + tax"
        f" {receipt['tax']['formatted']} = {receipt['total']['formatted']}  {told}"
    )
    news.tell(line, {"event": "receipt", **purchase, "page": told})


async def read(client: httpx2.AsyncClient, query: str, **variables: str) -> dict[str, Any]:
    """The answer to a query, or Failure."""
    response = await client.post("/graphql", json={"query": query, "variables": variables})
    answer = response.json()
    if response.status_code != 200 or "errors" in answer:
        raise Failure(f"what the demo shows cannot be read back: {response.text}")
    data: dict[str, Any] = answer["data"]
    return data
