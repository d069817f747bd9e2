"""`usageRecord` is the same door as `/v1/events`: one result an event, in order."""

from __future__ import annotations

import json
from typing import Any

import httpx2

from tests.api.conftest import NUMBER_CREATE, Ask
from tests.conftest import OPERATOR_KEY

RECORD = """
mutation ($events: [CloudEvent!]!) {
  usageRecord(input: {events: $events}) {
    results { id status reason path charges { balance units amount currency rule } }
    userErrors { code }
  }
}
"""


def sent(number: str, **change: Any) -> dict[str, Any]:
    """A marketing template that was delivered, or something like it."""
    data = {"number": "6281110000001", "contact": "+62 812 2000 0001", "category": "marketing",
            "template": "hello", **change.pop("data", {})}  # fmt: skip
    event = {"id": number, "source": "test", "type": "message.delivered", "subject": "one",
             "time": "2026-11-10T10:00:00+07:00", "data": data}  # fmt: skip
    return event | change


JUNK: list[Any] = [
    {},
    {"id": "x"},
    sent("no-time", time=None),
    sent("no-offset", time="2026-11-10T10:00:00"),
    sent("nul", data={"contact": "\0"}),
    sent("half", data={"contact": "\ud800"}),
    sent("half-id\ud800"),
    sent("deep", data={"x": [[[[[[[[[[1]]]]]]]]]]}),
    sent("numbers", data={"x": 1e300, "y": 12345678901234567890123}),
    sent("unknown", subject="nobody"),
    sent("unknown-type", type="message.thought"),
    sent("long" * 3_000),
]


async def test_a_bad_event_never_rejects_the_others(ask: Ask, tenants: list[str]) -> None:
    """EV-2: each is answered for itself, with a reason and never an error of the whole."""
    number = {"tenant": "one", "channel": "whatsapp", "address": "+6281110000001"}
    await ask(NUMBER_CREATE, input=number)
    events = [sent("first"), *JUNK, sent("last", data={"contact": "6281220000002"})]
    answer = await ask(RECORD, events=events)
    assert "errors" not in answer, answer
    results = answer["data"]["usageRecord"]["results"]
    assert len(results) == len(events)
    for result in (results[0], results[-1]):
        assert result["status"] == "ACCEPTED"
        (charge,) = result["charges"]
        assert charge["rule"].endswith("/marketing")
        assert (charge["balance"], charge["currency"]) == ("whatsapp", "IDR")
    for event, result in zip(events[1:-1], results[1:-1], strict=True):
        if result["status"] == "REFUSED":
            assert result["reason"], event
        else:
            assert event["id"] in ("deep", "numbers")


async def test_both_doors_know_what_came_through_the_other(
    ask: Ask, client: httpx2.AsyncClient, tenants: list[str]
) -> None:
    """EV-1: a duplicate by value, whatever carried it, decimals with all their digits."""
    number = {"tenant": "one", "channel": "whatsapp", "address": "+6281110000001"}
    await ask(NUMBER_CREATE, input=number)
    exact = '{"x": 0.1234567890123456789, "y": 1.0}'
    body = json.dumps(sent("same", data={"more": "HERE"})).replace('"HERE"', exact)
    headers = {"authorization": f"Bearer {OPERATOR_KEY}", "content-type": "application/json"}
    first = await client.post("/v1/events", content=body, headers=headers)
    assert first.json()["results"][0]["status"] == "accepted"
    query = json.dumps({"query": RECORD, "variables": {"events": ["HERE"]}})
    again = await client.post("/graphql", content=query.replace('"HERE"', body), headers=headers)
    (result,) = again.json()["data"]["usageRecord"]["results"]
    assert result["status"] == "DUPLICATE"
    assert result["charges"][0]["amount"] == first.json()["results"][0]["charges"][0]["amount"]
    other = query.replace('"HERE"', body.replace("0.1234567890123456789", "0.1234567890123456788"))
    conflict = await client.post("/graphql", content=other, headers=headers)
    assert conflict.json()["data"]["usageRecord"]["results"][0]["status"] == "CONFLICT"
