"""Verifying by GraphQL: for operators, of what can be read while somebody waits."""

from __future__ import annotations

import pytest

from api.schema import verification
from tests.api.conftest import NUMBER_CREATE, TENANT_CREATE, Ask
from tests.conftest import on

VERIFICATION = """query ($tenant: String!) { verification(tenant: $tenant) {
  version facts wrong findings { table row column found right } unsettledFrom
  unsettled { table count } } }"""
TOP_UP = """mutation { topUpCreate(input: {
  tenant: "proven", balance: "whatsapp", amount: "10000000", idempotencyKey: "a"
}) { userErrors { code message } } }"""
RIGHT = {
    "version": "1", "facts": 0, "wrong": 0, "findings": [], "unsettledFrom": None,
    "unsettled": [],
}  # fmt: skip


async def test_an_operator_is_told_what_is_wrong(
    ask: Ask, owner_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask(TENANT_CREATE, input={"key": "proven", "plan": "omnichannel-idr"})
    number = {"tenant": "proven", "channel": "whatsapp", "address": "+62 800 0000 0001"}
    await ask(NUMBER_CREATE, input=number)
    assert (await ask(TOP_UP))["data"]["topUpCreate"]["userErrors"] == []

    assert (await ask(VERIFICATION, tenant="proven"))["data"]["verification"] == RIGHT
    assert (await ask(VERIFICATION, tenant="nobody"))["data"]["verification"] is None

    await on(owner_url, "update lots set amount = amount + 1 where origin = 'action/a'")
    found = (await ask(VERIFICATION, tenant="proven"))["data"]["verification"]
    assert found["wrong"] == 2
    lot = found["findings"][0]["row"]
    assert lot.startswith("whatsapp action/a (lot ")
    assert found["findings"] == [
        {
            "table": "lots", "row": lot, "column": "what remains", "found": "10000000.000001",
            "right": "10000000 by its transfers",
        },
        {
            "table": "lots", "row": lot, "column": "amount", "found": "10000000.000001",
            "right": "10000000",
        },
    ]  # fmt: skip
    monkeypatch.setattr(verification, "VERIFY_FACTS_MAX", -1)
    (error,) = (await ask(VERIFICATION, tenant="proven"))["errors"]
    assert error["message"] == (
        "the tenant has 0 facts, and a query reads at most -1; run python -m api verify proven"
    )
