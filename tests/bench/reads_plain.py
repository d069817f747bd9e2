"""The reference of the reads bench: the dashboard's answer from one statement, and nothing else.

An ASGI application on uvicorn with the settings of `api.serve`, and tables that hold each figure as
it is shown; the series alone come from the rollup that ours reads. Run as
`python -m tests.bench.reads_plain PORT DATABASE-URL`.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx2
import uvicorn
import uvloop

from api import serve
from persistence.door import READERS_MAX
from tests.bench.served import ROOT, Served

#: As anybody would keep what a dashboard shows: a row a thing, each figure a column.
TABLES = """
create schema bare;
create table bare.tenants (key text primary key, tenant_id bigint, name text, timezone text);
create table bare.balances (
    tenant_id bigint, place int, key text, name text, kind text, unit text, granted text,
    used text, used_formatted text, percent_used text, remaining text, remaining_formatted text,
    available text, primary key (tenant_id, place));
create table bare.subscriptions (
    tenant_id bigint, place int, id text, key text, name text, status text, start text,
    last_day text, monthly text, monthly_formatted text, currency text,
    primary key (tenant_id, place));
create table bare.components (
    tenant_id bigint, subscription int, place int, key text, name text, unit text, quantity text,
    price text, total text, total_formatted text, primary key (tenant_id, subscription, place));
create table bare.invoices (
    tenant_id bigint, place int, cursor text, id text, number text, status text, issued_on text,
    due_on text, currency text, total text, total_formatted text, balance text,
    primary key (tenant_id, place));
"""

STATEMENT = r"""
with asked as (select * from bare.tenants where key = $1),
days as (
    select u.bucket, sum(u.conversations) as conversations, sum(u.messages_out) as messages_out,
        trim_scale(sum(u.cost) / 1000000) as cost
    from usage_day u
    where u.tenant_id = (select tenant_id from asked) and u.bucket >= $2 and u.bucket < $3
    group by u.bucket),
points as (
    select '{"start":"' || to_char(to_timestamp(s.bucket / 1000000) at time zone 'UTC',
            'YYYY-MM-DD"T"HH24:MI:SS"Z"') || '","value":"' as start, s.bucket,
        coalesce(d.conversations, 0) as conversations, coalesce(d.messages_out, 0) as messages_out,
        coalesce(d.cost, 0) as cost
    from generate_series($2::bigint, $3::bigint - 1, 86400000000) s (bucket)
    left join days d using (bucket))
select '{"data":{"tenant":{"key":' || to_json(t.key) || ',"name":' || to_json(t.name)
    || ',"timezone":' || to_json(t.timezone) || ',"balances":[' || (
        select string_agg('{"key":' || to_json(b.key) || ',"name":' || to_json(b.name)
            || ',"kind":"' || b.kind || '","unit":' || to_json(b.unit)
            || ',"granted":{"value":"' || b.granted || '"},"used":{"value":"' || b.used
            || '","formatted":' || to_json(b.used_formatted) || '},"percentUsed":'
            || coalesce('"' || b.percent_used || '"', 'null') || ',"remaining":{"value":"'
            || b.remaining || '","formatted":' || to_json(b.remaining_formatted)
            || '},"available":{"value":"' || b.available || '"}}', ',' order by b.place)
        from bare.balances b where b.tenant_id = t.tenant_id)
    || '],"subscriptions":[' || (
        select string_agg('{"id":"' || s.id || '","key":' || to_json(s.key) || ',"name":'
            || to_json(s.name) || ',"status":"' || s.status || '","start":"' || s.start
            || '","lastDay":' || coalesce('"' || s.last_day || '"', 'null')
            || ',"monthlyTotal":{"value":"' || s.monthly || '","formatted":'
            || to_json(s.monthly_formatted) || ',"currency":"' || s.currency
            || '"},"components":[' || (
                select string_agg('{"key":' || to_json(c.key) || ',"name":' || to_json(c.name)
                    || ',"unit":' || to_json(c.unit) || ',"quantity":"' || c.quantity
                    || '","price":{"value":"' || c.price || '"},"total":{"value":"' || c.total
                    || '","formatted":' || to_json(c.total_formatted) || '}}', ','
                    order by c.place)
                from bare.components c
                where c.tenant_id = s.tenant_id and c.subscription = s.place) || ']}', ','
            order by s.place)
        from bare.subscriptions s where s.tenant_id = t.tenant_id)
    || '],"invoices":{"edges":[' || (
        select string_agg('{"cursor":"' || i.cursor || '","node":{"id":"' || i.id
            || '","number":' || to_json(i.number) || ',"status":"' || i.status
            || '","issuedOn":"' || i.issued_on || '","dueOn":"' || i.due_on || '","currency":"'
            || i.currency || '","total":{"value":"' || i.total || '","formatted":'
            || to_json(i.total_formatted) || '},"balance":{"value":"' || i.balance || '"}}}', ','
            order by i.place) || '],"pageInfo":{"hasNextPage":true,"endCursor":"'
            || max(i.cursor) filter (where i.place = 19) || '"}'
        from bare.invoices i where i.tenant_id = t.tenant_id and i.place < 20)
    || '},"usageSeries":[{"metric":"CONVERSATIONS","currency":null,"points":['
    || (select string_agg(start || conversations || '"}', ',' order by bucket) from points)
    || ']},{"metric":"MESSAGES_OUT","currency":null,"points":['
    || (select string_agg(start || messages_out || '"}', ',' order by bucket) from points)
    || ']},{"metric":"COST","currency":"IDR","points":['
    || (select string_agg(start || cost || '"}', ',' order by bucket) from points)
    || ']}]}}}'
from asked t"""

#: 90 local days of Jakarta that end with the present one.
DAY, EAST = 86_400_000_000, 7 * 3_600_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bare:
    """A running reference."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Endpoint:
    """An ASGI application."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        tenant = json.loads((await receive())["body"])["variables"]["tenant"]
        end = (time.time_ns() // 1_000 + EAST) // DAY * DAY - EAST + DAY
        async with self._pool.acquire() as connection:
            said = await connection.fetchval(STATEMENT, tenant, end - 90 * DAY, end)
        content = said.encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})


@contextmanager
def bare(served: Served, key: str, answer: dict[str, Any]) -> Iterator[Bare]:
    """The reference, whose tables hold what ours answered of a tenant."""
    asyncio.run(fill(served, key, answer["data"]["tenant"]))
    with serve.listen("127.0.0.1", 0) as free:
        port = int(serve.address_of(free).rpartition(":")[2])
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.reads_plain", str(port), served.owner_url], cwd=ROOT
    )
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until and process.poll() is None:
            try:
                said = {"variables": {"tenant": key}}
                assert httpx2.post(f"http://127.0.0.1:{port}/", json=said).status_code == 200
                break
            except httpx2.TransportError:
                time.sleep(0.05)
        yield Bare(port=port, pid=process.pid)
    finally:
        process.kill()
        process.wait()


async def fill(served: Served, key: str, said: dict[str, Any]) -> None:
    """Have the tables hold what was said."""
    connection = await asyncpg.connect(served.owner_url)
    await connection.execute(TABLES)
    tenant = await connection.fetchval("select tenant_id from tenants where key = $1", key)
    rows: dict[str, list[tuple[Any, ...]]] = {
        "tenants": [(key, tenant, said["name"], said["timezone"])],
        "balances": [
            (tenant, n, b["key"], b["name"], b["kind"], b["unit"], b["granted"]["value"],
             *b["used"].values(), b["percentUsed"], *b["remaining"].values(),
             b["available"]["value"])
            for n, b in enumerate(said["balances"])
        ],
        "subscriptions": [
            (tenant, n, s["id"], s["key"], s["name"], s["status"], s["start"], s["lastDay"],
             *s["monthlyTotal"].values())
            for n, s in enumerate(said["subscriptions"])
        ],
        "components": [
            (tenant, n, i, c["key"], c["name"], c["unit"], c["quantity"], c["price"]["value"],
             *c["total"].values())
            for n, s in enumerate(said["subscriptions"])
            for i, c in enumerate(s["components"])
        ],
        "invoices": [
            (tenant, n, e["cursor"], i["id"], i["number"], i["status"], i["issuedOn"], i["dueOn"],
             i["currency"], *i["total"].values(), i["balance"]["value"])
            for n, e in enumerate(said["invoices"]["edges"])
            for i in (e["node"],)
        ],
    }  # fmt: skip
    for table, records in rows.items():
        await connection.copy_records_to_table(table, schema_name="bare", records=records)
    await connection.execute("analyze")
    await connection.close()


async def run(port: int, url: str) -> None:
    listening = serve.listen("127.0.0.1", port)
    # What is left out is the driver's reset of each connection: ours does without it too.
    pool = await asyncpg.create_pool(
        url, min_size=READERS_MAX, max_size=READERS_MAX, reset=_keep,
        server_settings={"plan_cache_mode": "force_generic_plan", "jit": "off"},
    )  # fmt: skip
    config = uvicorn.Config(
        Endpoint(pool), http="httptools", ws="none", lifespan="off", access_log=False,
        server_header=False, log_config=None, backlog=serve.BACKLOG,
        timeout_keep_alive=serve.KEEP_ALIVE_SECONDS,
    )  # fmt: skip
    await serve.Server(config, lambda: None, drain).serve(sockets=[listening])


async def _keep(connection: Any) -> None:
    """Nothing of a connection outlives its statement."""


async def drain() -> None:
    """Nobody is told to come back."""


def main() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(int(sys.argv[1]), sys.argv[2]))


if __name__ == "__main__":
    main()
