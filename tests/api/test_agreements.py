"""Changing what was agreed with a tenant, as operators do it through GraphQL (BA-12, BA-7)."""

from __future__ import annotations

from typing import Any

from tests.api.conftest import TENANT_CREATE, Ask

PLAN_CHANGE = """mutation ($input: PlanChangeInput!) { planChange(input: $input) {
  planChange { plan grants since } userErrors { code field } } }"""
ALLOWANCE_SET = """mutation ($input: AllowanceSetInput!) { allowanceSet(input: $input) {
  allowance { balance amount { value currency } since } userErrors { code field } } }"""
BALANCES = """query ($tenant: String!, $at: DateTime) { tenant(key: $tenant) { plan
  balances(at: $at) { key granted { value } } } }"""


async def granted(ask: Ask, key: str, at: str | None = None) -> dict[str, str]:
    answer = await ask(BALANCES, tenant=key, at=at)
    return {each["key"]: each["granted"]["value"] for each in answer["data"]["tenant"]["balances"]}


async def change(ask: Ask, key: str, plan: str | None, once: str) -> Any:
    given = {"tenant": key, "plan": plan, "idempotencyKey": once}
    return (await ask(PLAN_CHANGE, input=given))["data"]["planChange"]


async def test_an_own_allowance_is_there_at_once_and_stays(ask: Ask) -> None:
    """BA-12, BA-7: more than the plan's; the same key changes nothing, other content is refused."""
    await ask(TENANT_CREATE, input={"key": "own", "plan": "omnichannel-idr"})
    given = {
        "tenant": "own", "balance": "visitors", "amount": "1500.5", "since": "2020-01-01",
        "idempotencyKey": "a",
    }  # fmt: skip

    first = (await ask(ALLOWANCE_SET, input=given))["data"]["allowanceSet"]
    again = (await ask(ALLOWANCE_SET, input=given))["data"]["allowanceSet"]
    other = (await ask(ALLOWANCE_SET, input=given | {"amount": "9"}))["data"]["allowanceSet"]

    assert first["allowance"]["amount"] == {"value": "1500.5", "currency": None}
    assert again == first
    assert other["userErrors"] == [{"code": "IDEMPOTENCY_KEY_REUSED", "field": "idempotencyKey"}]
    assert (await granted(ask, "own"))["visitors"] == "1500.5"
    assert (await granted(ask, "own", "2100-01-10T00:00:00Z"))["visitors"] == "1500.5"
    assert (await granted(ask, "own", "2020-01-10T00:00:00Z"))["visitors"] == "1000"


async def test_a_subscription_ends_and_another_plan_begins(ask: Ask) -> None:
    """BA-12: the end at the next period; then another plan at once, with what it brings."""
    await ask(TENANT_CREATE, input={"key": "ends", "plan": "omnichannel-mcc-idr"})

    ended = await change(ask, "ends", None, "a")
    assert ended["planChange"]["grants"] is False
    at = ended["planChange"]["since"]
    assert set((await granted(ask, "ends", at)).values()) == {"0"}
    assert (await granted(ask, "ends"))["visitors"] == "1000"

    await change(ask, "ends", "omnichannel-idr", "b")
    assert (await granted(ask, "ends", at))["visitors"] == "1000"


async def test_what_is_not_said_is_not_meant(ask: Ask) -> None:
    """BA-12: null ends a subscription, a missing field does not."""
    await ask(TENANT_CREATE, input={"key": "unsaid", "plan": "omnichannel-idr"})

    answer = await ask(PLAN_CHANGE, input={"tenant": "unsaid", "idempotencyKey": "a"})

    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert (await granted(ask, "unsaid", "2100-01-10T00:00:00Z"))["visitors"] == "1000"


async def test_half_a_character_names_nothing(ask: Ask) -> None:
    """What no byte can spell is refused with its place."""
    await ask(TENANT_CREATE, input={"key": "half", "plan": "omnichannel-idr"})

    assert (await change(ask, "half", "\ud800", "a"))["userErrors"] == [
        {"code": "INVALID", "field": "plan"}
    ]
    given = {
        "tenant": "half", "balance": "\ud800", "amount": "1", "since": "2026-10-01",
        "idempotencyKey": "a",
    }  # fmt: skip
    answer = await ask(ALLOWANCE_SET, input=given)
    assert answer["data"]["allowanceSet"]["userErrors"] == [{"code": "INVALID", "field": "balance"}]
