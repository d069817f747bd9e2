"""PR-5 end to end: operators set the day, facts and estimates are charged by it, answers name it.

The tenant is of Singapore and its number stands in Auckland, where a day begins five hours earlier.
Its book has rates of Indonesia, local and international, and by a version of this test such rates
of a region that Singapore itself belongs to.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from tests.api.conftest import NUMBER_CREATE, TENANT_CREATE, Ask
from tests.conftest import OPERATOR_KEY

RATE_SET = """mutation ($input: InternationalRateSetInput!) { internationalRateSet(input: $input) {
  internationalRate { market from } userErrors { code field message } } }"""
RATES = """query ($tenant: String!) { tenant(key: $tenant) { internationalRates { market from }
  charges(first: 1) { nodes { rule explanation { sentence } } } } }"""
ESTIMATE = """query ($input: EstimateInput!) { estimate(input: $input) {
  lines { market count rule price } unrated { market count } } }"""
PUBLISH = """mutation ($input: PriceBookPublishInput!) { priceBookPublish(input: $input) {
  userErrors { message } } }"""

LIST = """book,valid_from,currency,market,category,unit_price
whatsapp-idr,2026-11-01,IDR,rest_of_asia_pacific,authentication,400
whatsapp-idr,2026-11-01,IDR,rest_of_asia_pacific,authentication_international,2000
"""
JAKARTA, SINGAPORE, MANILA = "+62 811 1000 0010", "+65 9123 4567", "+63 917 123 4567"
NUMBER = "+64 21 123 4567"
LOCAL, ABROAD = "authentication@2025-07-01", "authentication-international@2025-07-01"

Deliver = Callable[..., Awaitable[list[tuple[str, str]]]]


@pytest.fixture
async def deliver(ask: Ask, client: httpx2.AsyncClient) -> Deliver:
    """`await deliver(at, contact)`: a delivered one-time code; gives its charges by rule."""
    await ask(TENANT_CREATE, input={
        "key": "shop", "plan": "whatsapp-idr", "country": "SG", "timezone": "Asia/Singapore",
    })  # fmt: skip
    await ask(NUMBER_CREATE, input={
        "tenant": "shop", "channel": "whatsapp", "address": NUMBER, "timezone": "Pacific/Auckland",
    })  # fmt: skip
    published = await ask(PUBLISH, input={"document": LIST, "format": "CSV"})
    assert published["data"]["priceBookPublish"]["userErrors"] == []
    sent = 0

    async def send(at: str, contact: str) -> list[tuple[str, str]]:
        nonlocal sent
        sent += 1
        event = {
            "specversion": "1.0", "id": str(sent), "source": "test", "type": "message.delivered",
            "subject": "shop", "time": at,
            "data": {"number": NUMBER, "contact": contact, "template": "code",
                     "category": "authentication"},
        }  # fmt: skip
        answer = await client.post(
            "/v1/events",
            content=json.dumps([event]),
            headers={
                "authorization": f"Bearer {OPERATOR_KEY}", "content-type": "application/json",
            },
        )  # fmt: skip
        (result,) = answer.json()["results"]
        assert result["status"] == "accepted", result
        return [
            (charge["amount"], "@".join(reversed(charge["rule"].split("@")[1].split("/"))))
            for charge in result["charges"]
        ]

    return send


async def agree(ask: Ask, market: str, day: str | None, **more: Any) -> Any:
    wanted = {"tenant": "shop", "market": market, "from": day, "idempotencyKey": f"{market} {day}"}
    return (await ask(RATE_SET, input=wanted | more))["data"]["internationalRateSet"]


async def rates(ask: Ask, tenant: str = "shop") -> list[tuple[str, str]]:
    found = (await ask(RATES, tenant=tenant))["data"]["tenant"]["internationalRates"]
    return [(each["market"], each["from"]) for each in found]


async def test_without_a_day_the_local_rate_is_paid(deliver: Deliver) -> None:
    """PR-5: no date, the local rate, though the country has an international one."""
    assert await deliver("2026-11-10T12:00:00Z", JAKARTA) == [("356.65", LOCAL)]
    assert await deliver("2026-11-10T12:00:00Z", MANILA) == [
        ("400", "authentication-rest_of_asia_pacific@2026-11-01")
    ]


async def test_the_day_comes_at_the_number_s_midnight(ask: Ask, deliver: Deliver) -> None:
    """PR-5, TZ-5, PR-2: before its first instant, at it, and after it; and the explanation."""
    agreed = await agree(ask, "ID", "2026-11-10")

    assert agreed["internationalRate"] == {"market": "ID", "from": "2026-11-10"}
    assert await rates(ask) == [("ID", "2026-11-10")]
    assert await deliver("2026-11-09T23:59:59.999999+13:00", JAKARTA) == [("356.65", LOCAL)]
    assert await deliver("2026-11-10T00:00:00+13:00", JAKARTA) == [("1940.13", ABROAD)]
    assert await deliver("2026-11-11T09:00:00+13:00", JAKARTA) == [("1940.13", ABROAD)]
    (charge,) = (await ask(RATES, tenant="shop"))["data"]["tenant"]["charges"]["nodes"]
    assert charge["rule"] == "whatsapp-idr@2025-07-01/authentication-international"
    assert charge["rule"] in charge["explanation"]["sentence"]
    assert "IDR 1,940.13" in charge["explanation"]["sentence"]
    # What comes late goes by the day it was sent.
    assert await deliver("2026-11-08T09:00:00+13:00", JAKARTA) == [("356.65", LOCAL)]


async def test_at_home_and_in_other_markets_the_local_rate_is_paid(
    ask: Ask, deliver: Deliver
) -> None:
    """PR-5: the tenant's country is another, be it of the same market; each market has its day."""
    await agree(ask, "rest_of_asia_pacific", "2026-11-10")

    assert await deliver("2026-11-12T12:00:00Z", SINGAPORE) == [
        ("400", "authentication-rest_of_asia_pacific@2026-11-01")
    ]
    assert await deliver("2026-11-12T12:00:00Z", MANILA) == [
        ("2000", "authentication_international-rest_of_asia_pacific@2026-11-01")
    ]
    assert await deliver("2026-11-12T12:00:00Z", JAKARTA) == [("356.65", LOCAL)]


async def test_an_estimate_says_the_row_of_its_instant(ask: Ask, deliver: Deliver) -> None:
    """OC-6, PR-5: by recipients and by counts, before the day and on it."""
    assert await deliver("2026-11-10T12:00:00Z", JAKARTA) == [("356.65", LOCAL)]
    await agree(ask, "ID", "2027-01-10")

    for at, price, row in (
        ("2027-01-09T23:59:59+13:00", "356.65", "authentication"),
        ("2027-01-10T00:00:00+13:00", "1940.13", "authentication-international"),
    ):
        for who in ({"recipients": [JAKARTA]}, {"counts": [{"market": "ID", "count": 1}]}):
            wanted = {
                "tenant": "shop", "number": NUMBER, "channel": "whatsapp", "template": True,
                "category": "authentication", "at": at,
            }  # fmt: skip
            answer = await ask(ESTIMATE, input=wanted | who)
            assert answer["data"]["estimate"] == {
                "lines": [{"market": "ID", "count": 1, "price": price,
                           "rule": f"whatsapp-idr@2025-07-01/{row}"}],
                "unrated": [],
            }  # fmt: skip


async def test_a_day_changes_nothing_that_was_charged(ask: Ask, deliver: Deliver) -> None:
    """PR-5: it lies behind what was taken in, and stays where it has come."""
    assert await deliver("2026-11-10T12:00:00+13:00", JAKARTA) == [("356.65", LOCAL)]

    early = await agree(ask, "ID", "2026-11-10")
    assert [(e["code"], e["field"]) for e in early["userErrors"]] == [("ALREADY_CHARGED", "from")]
    assert early["internationalRate"] is None
    assert await rates(ask) == []
    assert (await agree(ask, "ID", "2026-11-11"))["userErrors"] == []
    assert await deliver("2026-11-11T12:00:00+13:00", JAKARTA) == [("1940.13", ABROAD)]
    for day in (None, "2026-11-10", "2026-11-12", "2027-01-01"):
        refused = await agree(ask, "ID", day, idempotencyKey=f"again {day}")
        assert [error["code"] for error in refused["userErrors"]] == ["ALREADY_CHARGED"], day
    assert await rates(ask) == [("ID", "2026-11-11")]


async def test_a_day_that_has_not_come_is_moved_and_withdrawn(ask: Ask, deliver: Deliver) -> None:
    """PR-5, BA-7: the last decided holds; the same key changes nothing, and no other content."""
    await deliver("2026-11-10T12:00:00Z", JAKARTA)
    for day in ("2099-01-01", "2098-01-01"):
        assert (await agree(ask, "ID", day))["userErrors"] == []
    assert await rates(ask) == [("ID", "2098-01-01")]
    again = await agree(ask, "ID", "2099-01-01")
    assert again["internationalRate"] == {"market": "ID", "from": "2099-01-01"}
    reused = await agree(ask, "ID", None, idempotencyKey="ID 2099-01-01")
    assert [error["code"] for error in reused["userErrors"]] == ["IDEMPOTENCY_KEY_REUSED"]
    assert await rates(ask) == [("ID", "2098-01-01")]

    withdrawn = await agree(ask, "ID", None)

    assert withdrawn["internationalRate"] == {"market": "ID", "from": None}
    assert await rates(ask) == []


async def test_markets_that_are_none_and_the_own_one_are_refused(ask: Ask) -> None:
    """PR-5: with the name that may be meant, or those there are."""
    await ask(TENANT_CREATE, input={"key": "shop", "plan": "whatsapp-idr"})
    for market, code, said in (
        ("id", "UNKNOWN_MARKET", "did you mean ID?"),
        ("rest_of_afrika", "UNKNOWN_MARKET", "did you mean rest_of_africa?"),
        ("\x00", "INVALID", "character"),
        ("*", "UNKNOWN_MARKET", "known are AE, AR, "),
        ("\ud800", "INVALID", "character"),
        ("ID", "OWN_COUNTRY", "the tenant is of ID itself"),
    ):
        (error,) = (await agree(ask, market, "2026-11-10", idempotencyKey="a"))["userErrors"]
        assert (error["code"], error["field"]) == (code, "market")
        assert said in error["message"]
    (error,) = (await agree(ask, "IN", "1969-12-31"))["userErrors"]
    assert (error["code"], error["field"]) == ("INVALID", "from")
    assert await rates(ask) == []


async def test_who_may_not_and_what_is_not_said(
    ask: Ask, tenants: list[str], key_of: Callable[..., Awaitable[str]]
) -> None:
    """PE-1: operators set days, the billing grant shows them; null withdraws, nothing does not."""
    wanted = {"tenant": "one", "market": "IN", "idempotencyKey": "a"}
    own = await key_of("one", "billing:read", "billing:write")
    for key, given, code in (
        (own, {"from": None}, "FORBIDDEN"),
        (OPERATOR_KEY, {}, "BAD_USER_INPUT"),
    ):
        answer = await ask(RATE_SET, key=key, input=wanted | given)
        assert [error["extensions"]["code"] for error in answer["errors"]] == [code]
    shown = '{ tenant(key: "one") { internationalRates { market from } } }'
    assert (await ask(shown, key=own))["data"]["tenant"]["internationalRates"] == []
    answer = await ask(shown, key=await key_of("one", "usage:read"))
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]
