"""`simulate` as clients ask for it: what it says, who may, and how much one query reads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx2
import pytest

from api.operations import simulate
from api.schema import simulation
from tests.api.conftest import NUMBER_CREATE, TENANT_CREATE, Ask
from tests.conftest import OPERATOR_KEY

SIMULATE = """
query ($input: SimulateInput!) {
  simulate(input: $input) {
    start end asOf plans books settled facts count unrated chargedUnrated
    charged { value currency formatted } simulated { value } difference { value }
    rows {
      month number channel market category count units free chargedFree unrated chargedUnrated
      charged { value } simulated { value } difference { value }
      balances { balance charged { value } simulated { value } }
    }
    balances {
      key unit difference { value }
      charged { total { value } allowance { value } bought { value } beyond { value } }
      simulated { total { value } allowance { value } bought { value } beyond { value } }
    }
  }
}
"""
SEPTEMBER = {"dates": {"from": "2026-09-01", "until": "2026-09-30"}}
Keys = Callable[..., Awaitable[str]]


@pytest.fixture
async def traffic(ask: Ask, tenants: list[str], client: httpx2.AsyncClient) -> None:
    """A contact of `one` writes in September; a utility template answers inside its window."""
    number = {"tenant": "one", "channel": "whatsapp", "address": "+62 800 0000 01"}
    await ask(NUMBER_CREATE, input=number)
    data = {"number": "+62800000001", "contact": "+628110000001"}
    answered = {**data, "category": "utility", "template": "x"}
    events = [
        {"id": str(n), "source": "x", "subject": "one", "time": f"2026-09-10T0{n}:00:00Z", **rest}
        for n, rest in enumerate((
            {"type": "message.received", "data": data},
            {"type": "message.delivered", "data": answered},
            {"type": "message.read", "data": data},
        ))
    ]  # fmt: skip
    headers = {"authorization": f"Bearer {OPERATOR_KEY}"}
    answer = await client.post("/v1/events", json=events, headers=headers)
    assert [each["status"] for each in answer.json()["results"]] == ["accepted"] * 3


async def test_september_under_octobers_rules(ask: Ask, traffic: None, key_of: Keys) -> None:
    """Per month, number, market and category, beside what was charged."""
    key = await key_of("one", "billing:read")
    wanted = {"tenant": "one", "range": SEPTEMBER, "asOf": "2026-10-01"}
    answer = await ask(SIMULATE, key=key, input=wanted)
    found = answer["data"]["simulate"]
    assert (found["start"], found["end"]) == ("2026-08-31T17:00:00Z", "2026-09-30T17:00:00Z")
    assert (found["asOf"], found["settled"], found["facts"]) == ("2026-10-01", True, 3)
    assert (found["plans"], found["books"]) == (["omnichannel-idr"], ["omnichannel-idr"])
    assert found["charged"] == {"value": "0", "currency": "IDR", "formatted": "Rp\xa00"}
    assert found["simulated"] == found["difference"] == {"value": "356.65"}
    rows = {row["category"]: row for row in found["rows"]}
    assert rows["utility"] == {
        "month": "2026-09", "number": "62800000001", "channel": "whatsapp", "market": "ID",
        "category": "utility", "count": 1, "units": "1", "free": 0, "chargedFree": 1,
        "unrated": 0, "chargedUnrated": 0, "charged": {"value": "0"},
        "simulated": {"value": "356.65"}, "difference": {"value": "356.65"},
        "balances": [
            {"balance": "whatsapp", "charged": {"value": "0"}, "simulated": {"value": "356.65"}}
        ],
    }  # fmt: skip
    assert (rows["visitor"]["market"], rows["visitor"]["charged"]) == ("none", {"value": "0"})
    one = {"value": "1"}
    drawn = {
        "total": one, "allowance": one, "bought": {"value": "0"}, "beyond": {"value": "0"},
    }  # fmt: skip
    balances = {balance["key"]: balance for balance in found["balances"]}
    assert balances["visitors"]["charged"] == balances["visitors"]["simulated"] == drawn
    assert balances["whatsapp"]["simulated"] == {
        "total": {"value": "356.65"}, "allowance": None, "bought": None, "beyond": None,
    }  # fmt: skip


async def test_a_tenant_names_its_own_books_and_plans_and_an_operator_any(
    ask: Ask, traffic: None, key_of: Keys
) -> None:
    """What others pay is none of a tenant's business."""
    wanted = {"tenant": "one", "range": SEPTEMBER}
    for key, more, code in (
        (await key_of("one", "usage:read"), {}, "FORBIDDEN"),
        (await key_of("two", "billing:read"), {}, "NOT_FOUND"),
        (await key_of("one", "billing:read"), {"book": "college-small"}, "BAD_USER_INPUT"),
        (await key_of("one", "billing:read"), {"plan": "college-small"}, "BAD_USER_INPUT"),
        (await key_of("one", "billing:read"), {"document": "book = 1"}, "FORBIDDEN"),
        (OPERATOR_KEY, {"document": "book = 1"}, "BAD_USER_INPUT"),
    ):
        answer = await ask(SIMULATE, key=key, input={**wanted, **more})
        assert [error["extensions"]["code"] for error in answer["errors"]] == [code], more
    key = await key_of("one", "billing:read")
    for who, more in (
        (key, {"book": "omnichannel-idr", "plan": "omnichannel-idr"}),
        (OPERATOR_KEY, {"book": "college-small", "plan": "omnichannel-mcc-idr"}),
    ):
        answer = await ask(SIMULATE, key=who, input={**wanted, **more})
        assert answer["data"]["simulate"]["books"] == [more["book"]]


async def test_other_currencies_and_too_much_work_are_refused(
    ask: Ask, traffic: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is folded; the command has no limit."""
    tenant = {"key": "usd", "plan": "service-usd"}
    await ask(TENANT_CREATE, input=tenant)
    answer = await ask(SIMULATE, input={"tenant": "usd", "book": "omnichannel-idr"})
    assert "is in IDR, the tenant pays in USD" in answer["errors"][0]["message"]

    monkeypatch.setattr(simulation, "SIMULATE_FACTS_MAX", 2)
    answer = await ask(SIMULATE, input={"tenant": "one", "range": SEPTEMBER})
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert "there are 3 facts to read, a query reads at most 2" in answer["errors"][0]["message"]
    assert "python -m api simulate" in answer["errors"][0]["message"]

    monkeypatch.setattr(simulate, "SIMULATIONS_MAX", 0)
    answer = await ask(SIMULATE, input={"tenant": "one", "range": SEPTEMBER})
    assert answer["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
