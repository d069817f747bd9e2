"""Traffic of several tenants, clients that do not give up, and the figures it all leaves.

Owns two kinds of traffic: `loose` facts share nothing, so their figures depend on no order; `told`
facts are conversations, to be sent in their order. What they must come to is the tests' to say.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx2

from tests.wire.client import JSON, Json, ask, open_tenant, pause

Event = dict[str, Any]

START = datetime(2026, 10, 5, tzinfo=UTC)
MONTHS = ("2026-10-31T16:59:59.999999Z", "2026-11-20T00:00:00Z")
#: What a marketing message costs on `omnichannel-idr`, in millionths.
MARKETING = 586_330_000
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
    """Conversations over five weeks: few contacts, all categories, windows that open and end."""
    order = random.Random(tenant)
    at = START
    events = []
    for n in range(count):
        at += timedelta(seconds=order.randrange(1, 2 * 35 * 86_400 // count))
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

    @property
    def answered(self) -> int:
        return self.statuses.total()


async def send(client: httpx2.AsyncClient, events: Sequence[Event], tally: Tally) -> list[Json]:
    """Send one batch until it is answered; whatever else comes must say to try again."""
    body = json.dumps(events).encode()
    while True:
        try:
            response = await client.post(
                "/v1/events", content=body, headers={"content-type": JSON}
            )
        except httpx2.TransportError:
            tally.lost += 1
            await pause()
            continue
        if response.status_code in TRY_AGAIN:
            assert response.json()["code"] == "SERVICE_UNAVAILABLE", response.text
            assert int(response.headers["retry-after"]) > 0
            tally.unavailable += 1
            await pause()
            continue
        assert response.status_code == 200, response.text
        results: list[Json] = response.json()["results"]
        assert [result["id"] for result in results] == [event["id"] for event in events]
        tally.statuses.update(result["status"] for result in results)
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
    half = count // 2
    cost = f"{half * MARKETING / 1e6:.2f}"
    for tenant in tenants:
        found = await figures(client, tenant)
        balances = {
            balance["key"]: (balance["used"]["value"], balance["remaining"]["value"])
            for balance in found["month0"]
        }
        assert balances["visitors"] == (str(count - half), str(1000 - count + half)), tenant
        assert balances["conversations"][0] == "0"
        assert float(balances["whatsapp"][0]) == -float(balances["whatsapp"][1]) == float(cost)
        series: Counter[str] = Counter()
        for line in found["usageSeries"]:
            for point in line["points"]:
                series[line["metric"]] += float(point["value"] or 0)
        assert series == {
            "CONVERSATIONS": half, "VISITORS": count - half, "MESSAGES_IN": count - half,
            "MESSAGES_OUT": half, "COST": pytest_approx(cost),
        }  # fmt: skip


async def check_ledger(owner_url: str, facts: int) -> None:
    """Each fact stands once in every place, and no tenant's versions have a gap."""
    connection = await asyncpg.connect(owner_url)
    try:
        row = await connection.fetchrow(LEDGER)
    finally:
        await connection.close()
    assert row is not None
    assert dict(row) == {"facts": facts, "keys": facts, "told": facts, "gaps": 0, "wrong": 0}


LEDGER = """
select (select count(*) from facts) as facts,
    (select count(*) from fact_keys) as keys,
    (select coalesce(sum(facts), 0) from commits) as told,
    (select count(*) from tenant_head h where h.version <> (
        select count(*) from commits c where c.tenant_id = h.tenant_id)) as gaps,
    (select count(*) from facts f where not exists (select from fact_keys k
        where k.tenant_id = f.tenant_id and k.key = f.key and k.at = f.at
            and k.version = f.version)) as wrong"""
