"""Traffic of several tenants, clients that do not give up, and the figures it all leaves.

Owns two kinds of traffic: `loose` facts share nothing, so their figures depend on no order; `told`
facts are conversations, to be sent in their order. What they must come to is the tests' to say.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import httpx2

from tests.wire.client import JSON, LOOK_SECONDS, Json, ask, open_tenant

Event = dict[str, Any]

START = datetime(2026, 10, 5, tzinfo=UTC)
#: What a marketing message costs on `omnichannel-idr`.
MARKETING = Decimal("586.33")
#: What a served process takes for the time when it starts.
CLOCK = "2026-11-10T00:00:00Z"
#: The last instants of the two months that have facts.
MONTHS = ("2026-10-31T16:59:59.999999Z", CLOCK)
TRY_AGAIN = frozenset({429, 503})


def address(tenant: str) -> str:
    """The tenant's number: told from the digits its key ends in."""
    return f"+62800{int(tenant.rpartition('-')[2]):06d}"


async def open_tenants(client: httpx2.AsyncClient, tenants: Iterable[str], **given: Any) -> None:
    for tenant in tenants:
        await open_tenant(client, tenant, [("whatsapp", address(tenant))], **given)


def loose(tenant: str, count: int) -> list[Event]:
    """Facts that share nothing: every other one a visitor's, the rest marketing messages."""
    return [
        _event(tenant, n, n, START + timedelta(minutes=n % 997), "marketing" if n % 2 else None)
        for n in range(count)
    ]


def told(tenant: str, count: int) -> list[Event]:
    """Conversations of a month and the next: few contacts, all categories, windows that end."""
    order = random.Random(tenant)
    at = START
    events = []
    for n in range(count):
        at += timedelta(seconds=order.randrange(1, 2 * 30 * 86_400 // count))
        category = order.choice([None, None, "service", "service", "marketing", "utility"])
        events.append(_event(tenant, n, order.randrange(max(1, count // 12)), at, category))
    return events


def _event(tenant: str, n: int, contact: int, at: datetime, category: str | None) -> Event:
    data = {
        "channel": "whatsapp",
        "number": address(tenant),
        "contact": f"+62811{contact:06d}",
        "message_id": f"m-{n}",
    }
    if category is not None:
        data["category"] = category
        if category != "service":
            data["template"] = f"t_{category}"
    return {
        "specversion": "1.0",
        "id": f"m-{n}",
        "source": "wire",
        "type": "message.received" if category is None else "message.delivered",
        "time": at.isoformat(timespec="microseconds"),
        "subject": tenant,
        "data": data,
    }


def batches(events: Sequence[Event], size: int) -> list[list[Event]]:
    return [list(events[start : start + size]) for start in range(0, len(events), size)]


@dataclass(slots=True)
class Tally:
    """What clients were told."""

    statuses: Counter[str] = field(default_factory=Counter)
    unavailable: int = 0  #: 503s, each of them followed by another try
    lost: int = 0  #: connections that ended without an answer
    put_off: asyncio.Event = field(default_factory=asyncio.Event)  #: once there was a 503
    _awaited: list[tuple[int, asyncio.Event]] = field(default_factory=list)

    @property
    def answered(self) -> int:
        return self.statuses.total()

    def add(self, results: Iterable[Json]) -> None:
        self.statuses.update(result["status"] for result in results)
        for count, event in self._awaited:
            if self.answered >= count:
                event.set()

    async def reached(self, count: int) -> None:
        """Wait until so many facts were answered."""
        if self.answered < count:
            event = asyncio.Event()
            self._awaited.append((count, event))
            await event.wait()


async def send(
    client: httpx2.AsyncClient, events: Sequence[Event], tally: Tally, *, again: bool = True
) -> list[Json]:
    """Send one batch until it is answered; whatever else comes must say to try again.

    With `again` false a connection that ends without an answer ends the sending as well.
    """
    body = json.dumps(events).encode()
    while True:
        try:
            response = await client.post("/v1/events", content=body, headers={"content-type": JSON})
        except httpx2.TransportError:
            tally.lost += 1
            if not again:
                raise
            await asyncio.sleep(LOOK_SECONDS)
            continue
        if response.status_code in TRY_AGAIN:
            assert response.json()["code"] == "SERVICE_UNAVAILABLE", response.text
            assert int(response.headers["retry-after"]) > 0
            tally.unavailable += 1
            tally.put_off.set()
            await asyncio.sleep(LOOK_SECONDS)
            continue
        assert response.status_code == 200, response.text
        results: list[Json] = response.json()["results"]
        assert [result["id"] for result in results] == [event["id"] for event in events]
        tally.add(results)
        return results


FIGURES = """query($key: String!, $month0: DateTime!, $month1: DateTime!, $range: RangeInput!) {
  tenant(key: $key) {
    now: balances { ...figures } month0: balances(at: $month0) { ...figures }
    month1: balances(at: $month1) { ...figures }
    usageSeries(metrics: [CONVERSATIONS, VISITORS, MESSAGES_IN, MESSAGES_OUT, COST],
        range: $range, bucket: DAY, groupBy: [CATEGORY]) {
      metric key { dimension value } points { value } }
  } }
fragment figures on Balance {
  key opening { value } granted { value } toppedUp { value } adjusted { value } used { value }
  lapsed { value } remaining { value } available { value }
  lots { source amount { value } used { value } lapsed { value } remaining { value } } }"""

CHARGES = """query($key: String!, $after: String) { tenant(key: $key) {
    charges(first: 100, after: $after) {
        nodes { factId at balance category market rule revision reversal units amount { value }
            flags lots { amount { value } } }
        pageInfo { hasNextPage endCursor } } } }"""


async def figures(client: httpx2.AsyncClient, tenant: str) -> Json:
    """Everything the API says of a tenant's money and usage but for versions and instants."""
    found: Json = (
        await ask(
            client, FIGURES, key=tenant, month0=MONTHS[0], month1=MONTHS[1],
            range={"dates": {"from": "2026-10-01", "until": "2026-11-30"}},
        )
    )["tenant"]  # fmt: skip
    found["charges"] = []
    after = None
    while True:
        page = (await ask(client, CHARGES, key=tenant, after=after))["tenant"]["charges"]
        found["charges"] += page["nodes"]
        if not page["pageInfo"]["hasNextPage"]:
            return found
        after = page["pageInfo"]["endCursor"]


async def check_loose(client: httpx2.AsyncClient, tenants: Iterable[str], count: int) -> None:
    """Each of `count` loose facts of every tenant was counted and charged exactly once."""
    out = count // 2
    cost, visitors = MARKETING * out, count - out
    for tenant in tenants:
        found = await figures(client, tenant)
        assert {
            balance["key"]: (
                Decimal(balance["used"]["value"]),
                Decimal(balance["remaining"]["value"]),
            )
            for balance in found["month0"]
        } == {
            "conversations": (0, 1000),
            "visitors": (visitors, 1000 - visitors),
            "whatsapp": (cost, -cost),
        }, tenant
        assert totals(found) == {
            "CONVERSATIONS": out, "VISITORS": visitors, "MESSAGES_IN": visitors,
            "MESSAGES_OUT": out, "COST": cost,
        }, tenant  # fmt: skip
        assert len({charge["factId"] for charge in found["charges"]}) == count
        assert len(found["charges"]) == count


def totals(found: Json) -> dict[str, Decimal]:
    """What `figures` found in its series, added up over categories and days."""
    added: dict[str, Decimal] = {}
    for series in found["usageSeries"]:
        for point in series["points"]:
            before = added.get(series["metric"], Decimal(0))
            added[series["metric"]] = before + Decimal(point["value"] or 0)
    return added


async def check_ledger(owner_url: str, tenants: Sequence[str], facts: int) -> None:
    """Each of the tenants' facts stands once in every place, and their versions have no gap."""
    connection = await asyncpg.connect(owner_url)
    try:
        row = await connection.fetchrow(LEDGER, tenants)
    finally:
        await connection.close()
    assert row is not None
    assert dict(row) == {"facts": facts, "keys": facts, "told": facts, "gaps": 0, "wrong": 0}


LEDGER = """
with asked as (select tenant_id from tenants where key = any ($1::text[]))
select (select count(*) from facts join asked using (tenant_id)) as facts,
    (select count(*) from fact_keys join asked using (tenant_id)) as keys,
    (select sum(facts)::bigint from commits join asked using (tenant_id)) as told,
    (select count(*) from tenant_head h join asked using (tenant_id) where h.version <> (
        select count(*) from commits c where c.tenant_id = h.tenant_id)) as gaps,
    (select count(*) from facts f join asked using (tenant_id) where not exists (
        select from fact_keys k where k.tenant_id = f.tenant_id and k.key = f.key
            and k.at = f.at and k.version = f.version)) as wrong"""
