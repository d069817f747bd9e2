"""A file of charges, and a bare COPY of the rows that they stand in.

Owns the times and rows of both; the tenant and its facts are `reads_world`'s.
"""

import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

import asyncpg
import httpx2

from api.reports.making import render
from api.reports.spec import Format, Kind, Spec
from domain.periods import DAY
from persistence.door import Door
from persistence.tenants import find_by_key
from tests.bench.served import Served

TURNS = 3
CREATE = """mutation($input: ExportCreateInput!) { exportCreate(input: $input) {
  export { id } userErrors { message } } }"""
STATE = """query($tenant: String!, $id: ID!) { tenant(key: $tenant) {
  export(id: $id) { state size } } }"""
PATIENCE_SECONDS = 120.0

#: The rows of charges are those of facts: a first charge stands in the fact's own.
BARE = "select * from facts where tenant_id = $1"


async def exported(served: Served, key: str) -> float:
    """Rows a second of a file as a share of a bare COPY's, in turns."""
    told = json.loads((served.data / "servers.json").read_text())["addresses"]
    now = time.time_ns() // 1_000
    spec = Spec(kind=Kind.CHARGES, format=Format.CSV, start=now - 91 * DAY, end=now)
    ours: list[float] = []
    theirs: list[float] = []
    rows = size = 0
    owner = await asyncpg.connect(told["owner_url"])
    with tempfile.TemporaryDirectory() as folder:
        async with Door.open(told["app_url"]) as door:
            tenant = await find_by_key(door, key)
            assert tenant is not None
            for _ in range(TURNS):
                began = time.perf_counter()
                file = await render(door, tenant, spec, Path(folder, "ours"), now)
                ours.append(file.rows / (time.perf_counter() - began))
                rows, size = file.rows, file.size
                began = time.perf_counter()
                copied = await owner.copy_from_query(
                    BARE, tenant.tenant_id, output=Path(folder, "theirs"), format="csv"
                )
                theirs.append(int(copied.split()[-1]) / (time.perf_counter() - began))
    await owner.close()
    assert rows, "the tenant was charged"
    print(
        f"{'charges as CSV':28}{statistics.median(ours):11,.0f} rows/s  {rows:,} rows,"
        f" {size / 1e6:.1f} MB"
    )
    print(f"{'bare COPY of their facts':28}{statistics.median(theirs):11,.0f} rows/s")
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


async def whole_way(served: Served, key: str) -> None:
    """How long it takes from asking the server for a file until it is there."""
    headers = {"authorization": f"Bearer {served.key}"}
    report = {"kind": "CHARGES", "format": "CSV", "range": {"preset": "LAST_90_DAYS"}}
    given = {"tenant": key, "report": report, "idempotencyKey": "bench"}
    async with httpx2.AsyncClient(base_url=served.url, headers=headers, timeout=30) as http:

        async def ask(query: str, **variables: object) -> dict[str, dict[str, dict[str, str]]]:
            body = {"query": query, "variables": variables}
            answer = (await http.post("/graphql", json=body)).json()
            assert "errors" not in answer, answer
            return dict(answer["data"])

        began = time.perf_counter()
        created = (await ask(CREATE, input=given))["exportCreate"]
        assert created["export"], created
        state = {"state": "WAITING", "size": ""}
        while state["state"] in ("WAITING", "RUNNING"):
            assert time.perf_counter() < began + PATIENCE_SECONDS, state
            await asyncio.sleep(0.05)
            found = await ask(STATE, tenant=key, id=created["export"]["id"])
            state = found["tenant"]["export"]  # type: ignore[assignment]
        took = time.perf_counter() - began
        assert state["state"] == "DONE", state
    print(f"{'asked for until it is there':28}{took:11.2f} s, {int(state['size']) / 1e6:.1f} MB")
