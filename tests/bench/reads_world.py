"""The tenants of the reads bench: furnished as a dashboard shows them, with facts of 90 days.

Owns the dashboard's query, a plan with eight balances, and how facts are spread; measures nothing
but how long the facts took.
"""

import asyncio
import json
import random
import shutil
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx2

from persistence.catalogue import SAMPLES, load_samples
from tests.bench.served import Served, operate
from tests.bench.wire import Wire, post

FEW, MANY = "few", "many"
NUMBERS = {FEW: "+628110000001", MANY: "+628110000002"}
PLAN = "dashboard-idr"
DAYS = 89  #: of facts, the present one not counted
BATCH = 1_000
SENDERS = 4
CONTACTS = 2_000
INVOICES = 24
#: More balances than any sample plan has; what nothing is taken of is shown all the same.
OTHER_BALANCES = ("seconds", "segments", "mails", "sessions", "tokens")

DASHBOARD = """
query Dashboard($tenant: String!) { tenant(key: $tenant) {
  key name timezone
  balances {
    key name kind unit granted { value } used { value formatted } percentUsed
    remaining { value formatted } available { value }
  }
  subscriptions {
    id key name status start lastDay monthlyTotal { value formatted currency }
    components { key name unit quantity price { value } total { value formatted } }
  }
  invoices(first: 20) {
    edges { cursor node {
      id number status issuedOn dueOn currency total { value formatted } balance { value }
    } }
    pageInfo { hasNextPage endCursor }
  }
  usageSeries(metrics: [CONVERSATIONS, MESSAGES_OUT, COST], range: {preset: LAST_90_DAYS}) {
    metric currency points { start value }
  }
} }"""


async def furnish(served: Served) -> None:
    """Both tenants, all but their facts."""
    await publish(served)
    headers = {"authorization": f"Bearer {served.key}"}
    with httpx2.Client(base_url=served.url, headers=headers, timeout=30) as http:
        for key in (FEW, MANY):
            open_tenant(http, key)


async def publish(served: Served) -> None:
    """A plan with eight balances, out of a sample's."""
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder))
        owner = await asyncpg.connect(served.owner_url)
        await load_samples(owner, folder=Path(folder))
        await owner.close()
    await asyncio.sleep(2.5)  # until the process has looked again


def _write(folder: Path) -> None:
    for name in ("book-omnichannel-idr", "whatsapp-markets", "taxes"):
        shutil.copy(SAMPLES / f"{name}.toml", folder)
    plan = (SAMPLES / "plan-omnichannel-idr.toml").read_text()
    plan = plan.replace('plan = "omnichannel-idr"', f'plan = "{PLAN}"')
    for each in OTHER_BALANCES:
        plan += (
            f'\n[[balances]]\nbalance = "{each}"\nname = "The {each}"\nkind = "unit"\n'
            f'unit = "{each[:-1]}"\nallowance = "5000"\ncarry = "none"\n'
        )
    (folder / f"plan-{PLAN}.toml").write_text(plan)


def open_tenant(http: httpx2.Client, key: str) -> None:
    operate(http, "tenantCreate", "tenant { id }", {
        "key": key, "name": f"Tenant with {key} facts", "timezone": "Asia/Jakarta",
        "currency": "IDR", "country": "ID", "locale": "id-ID", "plan": PLAN,
    })  # fmt: skip
    operate(http, "numberCreate", "number { id }", {
        "tenant": key, "channel": "whatsapp", "address": NUMBERS[key],
    })  # fmt: skip
    since = (datetime.now(UTC) - timedelta(days=120)).isoformat()
    operate(http, "topUpCreate", "topUp { id }", {
        "tenant": key, "balance": "whatsapp", "amount": "9000000000", "startsAt": since,
        "source": "TOP_UP", "idempotencyKey": "much",
    })  # fmt: skip
    for n in range(3):
        operate(http, "subscriptionCreate", "subscription { id }", {
            "tenant": key, "key": f"part-{n}", "name": f"Part {n} of the platform",
            "idempotencyKey": f"part-{n}",
            "components": [
                {"key": f"seats-{i}", "name": f"Seats of team {i}", "unit": "seat",
                 "price": f"{150_000 + 10_000 * i}", "quantity": f"{5 + n + i}"}
                for i in range(4)
            ],
        })  # fmt: skip
    for n in range(INVOICES):
        invoice = created(http, {
            "tenant": key, "idempotencyKey": f"draft-{n}",
            "lines": [{"description": f"Work {n}", "quantity": f"{n + 1}", "unit": "hour",
                       "price": "250000"}],
        })  # fmt: skip
        operate(http, "invoiceIssue", "invoice { id }", {
            "tenant": key, "invoice": invoice, "idempotencyKey": f"issue-{n}",
        })  # fmt: skip


def created(http: httpx2.Client, given: dict[str, Any]) -> str:
    """The id of a draft."""
    query = (
        "mutation($input: InvoiceCreateInput!) { invoiceCreate(input: $input) {"
        " invoice { id } userErrors { message } } }"
    )
    answer = http.post("/graphql", json={"query": query, "variables": {"input": given}}).json()
    return str(answer["data"]["invoiceCreate"]["invoice"]["id"])


async def send_facts(served: Served, key: str, count: int) -> float:
    """Facts over 90 days, in order of their times; gives the seconds they took."""
    requests = [
        post("/v1/events", served.key, "application/cloudevents-batch+json", body)
        for body in bodies(key, count)
    ]
    waiting = iter(requests)
    began = time.perf_counter()

    async def sender(wire: Wire) -> None:
        for each in waiting:
            status, answer = await wire.send(each)
            assert status == 200, answer[:600]
            assert answer.count(b'"status":"accepted"') == BATCH, answer[:600]

    wires = [await Wire.connect("127.0.0.1", served.port) for _ in range(SENDERS)]
    await asyncio.gather(*map(sender, wires))
    took = time.perf_counter() - began
    for wire in wires:
        wire.close()
    return took


def bodies(key: str, count: int) -> list[bytes]:
    """Facts in batches: a third comes in, the rest goes out as templates or service."""
    picks = random.Random(f"reads/{key}")
    now = datetime.now(UTC)
    step = timedelta(days=DAYS) / count
    found, batch = [], []
    for n in range(count):
        at = now - timedelta(days=DAYS) + n * step
        data = {"number": NUMBERS[key], "contact": f"+62812{picks.randrange(CONTACTS):07}"}
        kind = "received" if n % 3 == 0 else "delivered"
        if n % 3 == 1:
            category = ("marketing", "utility", "authentication")[n // 3 % 3]
            data |= {"category": category, "template": f"{category}_1"}
        batch.append({
            "id": f"{key}-{n}", "source": "bench", "type": f"message.{kind}", "subject": key,
            "time": at.isoformat(), "data": data,
        })  # fmt: skip
        if len(batch) == BATCH:
            found.append(json.dumps(batch).encode())
            batch = []
    return found
