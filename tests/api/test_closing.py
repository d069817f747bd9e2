"""Closing a period as operators and finance see it (EV-3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from domain.periods import MINUTE, instant, iso
from tests.api.conftest import NUMBER_CREATE, TENANT_CREATE, Ask, Json

KeyOf = Callable[..., Awaitable[str]]

CLOSE = """mutation ($input: PeriodCloseInput!) { periodClose(input: $input) {
  period closedUntil corrected userErrors { code field message } } }"""
STANDS = """{ tenant(key: "shut") { closedUntil
  balances(at: "%s") { key estimate used { value } }
  charges(first: 5) { nodes { factId status balance amount { value }
    explanation { sentence } } } } }"""
RECORD = """mutation ($input: UsageRecordInput!) { usageRecord(input: $input) {
  results { status reason } userErrors { message } } }"""


def last_month() -> tuple[str, int]:
    """A month that is over in Jakarta, and its end."""
    now = datetime.now(UTC)
    year, month = (now.year, now.month - 1) if now.month > 1 else (now.year - 1, 12)
    first = datetime.fromisoformat(f"{now.year:04d}-{now.month:02d}-01T00:00:00+07:00")
    if first > now:
        pytest.skip("the month is hours old: its first facts would be ahead of the clock")
    return f"{year:04d}-{month:02d}", instant(first)


@pytest.fixture
async def tenant(ask: Ask) -> str:
    await ask(TENANT_CREATE, input={"key": "shut", "plan": "omnichannel-idr"})
    number = {"tenant": "shut", "channel": "whatsapp", "address": "+62 800 0000 0001"}
    await ask(NUMBER_CREATE, input=number)
    return "shut"


async def send(ask: Ask, id: str, at: int) -> str:
    data = {"number": "+6280000000001", "contact": "+62 811 1000 0001", "category": "service"}
    event: Json = {
        "id": id, "source": "crm", "type": "message.delivered", "subject": "shut", "time": iso(at),
        "data": data,
    }  # fmt: skip
    answer = await ask(RECORD, input={"events": [event]})
    (result,) = answer["data"]["usageRecord"]["results"]
    status: str = result["status"]
    return status


async def test_a_closed_period_stays_and_what_comes_late_is_adjusted(ask: Ask, tenant: str) -> None:
    """EV-3: closed once, final since; a late fact of it is paid by the open period."""
    month, end = last_month()
    assert await send(ask, "in time", end - 60 * MINUTE) == "ACCEPTED"
    close = {"tenant": tenant, "period": month, "idempotencyKey": "k"}

    answer = (await ask(CLOSE, input=close))["data"]["periodClose"]

    assert answer == {
        "period": month, "closedUntil": iso(end), "corrected": "0", "userErrors": []
    }  # fmt: skip
    assert (await ask(CLOSE, input=close))["data"]["periodClose"] == answer
    assert await send(ask, "late", end - 3_000 * MINUTE) == "ADJUSTED"
    answer = await ask(STANDS % iso(end - MINUTE))
    assert "data" in answer, answer
    stands = answer["data"]["tenant"]
    assert stands["closedUntil"] == iso(end)
    (conversations,) = (each for each in stands["balances"] if each["key"] == "conversations")
    assert (conversations["estimate"], conversations["used"]["value"]) == (False, "1")
    charges = {each["factId"]: each for each in stands["charges"]["nodes"]}
    assert charges["late"]["status"] == "ADJUSTED"
    said = charges["late"]["explanation"]["sentence"]
    assert said.startswith(f"Adjustment for {month}: ")
    assert charges["in time"]["status"] != "ADJUSTED"


NOT_CLOSED = [
    ({"period": "2199-12"}, "PERIOD_OPEN"),
    ({"period": "9999-12"}, "INVALID"),
    ({"period": "2026-13"}, "INVALID"),
    ({"period": "last month"}, "INVALID"),
    ({"tenant": "nobody"}, "NOT_FOUND"),
    ({"idempotencyKey": ""}, "INVALID"),
]


async def test_what_cannot_be_closed_is_said(
    ask: Ask, tenant: str, subtests: pytest.Subtests
) -> None:
    for change, code in NOT_CLOSED:
        with subtests.test(change=change):
            month, _ = last_month()
            close = {"tenant": tenant, "period": month, "idempotencyKey": "k"} | change
            answer = (await ask(CLOSE, input=close))["data"]["periodClose"]
            (error,) = answer["userErrors"]
            assert error["code"] == code, error
            assert answer["closedUntil"] is None


async def test_closing_is_for_operators(ask: Ask, tenant: str, key_of: KeyOf) -> None:
    key = await key_of("shut", "billing:read", "usage:read")
    month, _ = last_month()
    close = {"tenant": tenant, "period": month, "idempotencyKey": "k"}
    answer = await ask(CLOSE, key=key, input=close)
    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
