"""`estimate` as clients ask for it: who may, what it says, and that it is no mutation (OC-6)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.api.conftest import NUMBER_CREATE, Ask

ESTIMATE = """
query ($input: EstimateInput!) {
  estimate(input: $input) {
    version count repeated refusedCount refused { recipient reason message }
    lines {
      market category count units reason price cost { value currency formatted } balance rule
    }
    unrated { market category count reason }
    balances {
      key unit cost { value } lots { lot source amount { value } }
      availableBefore { value } availableAfter { value } shortfall { value }
    }
    suffices
  }
}
"""


async def test_an_estimate_says_what_each_balance_would_pay(
    ask: Ask, tenants: list[str], key_of: Callable[..., Awaitable[str]]
) -> None:
    """OC-6: cost per market and category, and which lots would pay."""
    number = {"tenant": "one", "channel": "whatsapp", "address": "+62 800 0000 01"}
    await ask(NUMBER_CREATE, input=number)
    key = await key_of("one", "send:authorize")
    wanted = {
        "tenant": "one", "number": "+62 800 0000 01", "channel": "whatsapp",
        "category": "marketing", "template": True, "at": None,
        "recipients": ["+62 811 000 0001", "628110000001", "+62 811 000 0002", "0811"],
    }  # fmt: skip
    answer = await ask(ESTIMATE, key=key, input=wanted)
    found = answer["data"]["estimate"]
    assert found["version"] == "0"
    assert (found["count"], found["repeated"], found["refusedCount"]) == (2, 1, 1)
    assert [(each["recipient"], each["reason"]) for each in found["refused"]] == [
        ("0811", "invalid_contact")
    ]
    (line,) = found["lines"]
    assert {name: line[name] for name in ("market", "category", "count", "units", "reason")} == {
        "market": "ID", "category": "marketing", "count": 2, "units": "2", "reason": "CHARGED",
    }  # fmt: skip
    assert line["price"] == "586.33"
    assert line["cost"] == {"value": "1172.66", "currency": "IDR", "formatted": "Rp\xa01.173"}
    (balance,) = found["balances"]
    assert balance["lots"] == [{"lot": None, "source": "OVERDRAFT", "amount": {"value": "1172.66"}}]
    assert balance["shortfall"] == {"value": "1172.66"}
    assert (found["unrated"], found["suffices"]) == ([], False)

    free_text = {**wanted, "category": None, "template": False}
    answer = await ask(ESTIMATE, key=key, input=free_text)
    (balance,) = answer["data"]["estimate"]["balances"]
    assert balance["key"] == "conversations"
    assert [leg["source"] for leg in balance["lots"]] == ["ALLOWANCE"]
    assert balance["availableAfter"] == {"value": "998"}
    assert answer["data"]["estimate"]["suffices"] is True


async def test_who_may_not_ask_and_what_is_wrong_are_told(
    ask: Ask, tenants: list[str], key_of: Callable[..., Awaitable[str]]
) -> None:
    wanted = {"tenant": "one", "number": "1", "channel": "whatsapp", "recipients": ["1"]}
    for key, tenant, code in (
        (await key_of("one", "usage:read"), "one", "FORBIDDEN"),
        (await key_of("one", "billing:read"), "two", "NOT_FOUND"),
        (await key_of("one", "billing:read"), "one", "BAD_USER_INPUT"),
    ):
        answer = await ask(ESTIMATE, key=key, input={**wanted, "tenant": tenant})
        assert [error["extensions"]["code"] for error in answer["errors"]] == [code]
