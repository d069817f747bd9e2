"""What an operator's monitoring sees of facts: how many came, and what became of them (EV-7)."""

from __future__ import annotations

from collections import Counter

from tests.wire.client import JSON
from tests.wire.conftest import House
from tests.wire.spelling import event


async def counted(house: House) -> Counter[str]:
    """Facts by status, from the process's own page."""
    found: Counter[str] = Counter()
    for line in (await house.client.get("/metrics")).text.splitlines():
        if line.startswith("kuota_facts_total{"):
            status, _, value = line.partition('status="')[2].partition('"} ')
            found[status] = int(float(value))
    return found


async def test_facts_are_counted_by_what_became_of_them(house: House) -> None:
    one = event()
    unrated = event({"type": "email.sent"})
    before = await counted(house)

    body = b"[" + b",".join([one, one, unrated, b"{}"]) + b"]"
    answer = await house.client.post("/v1/events", content=body, headers={"content-type": JSON})

    assert answer.status_code == 200
    statuses = Counter(result["status"] for result in answer.json()["results"])
    assert await counted(house) - before == statuses
    assert "tenant" not in "".join(
        line for line in (await house.client.get("/metrics")).text.splitlines() if "{" in line
    )
