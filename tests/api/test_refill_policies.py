"""Refill policies, payment methods and dry runs over HTTP (RF-1, RF-2, BA-6, AL-6)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest

from domain.periods import DAY, iso
from persistence import refills
from persistence.door import Door
from tests.api.conftest import TENANT_CREATE, Ask, Json
from tests.api.senders import WHATSAPP, Shop, Steered, contact, shops
from tests.api.sockets import greet, hear, opened, say, subscribe, until
from tests.conftest import Database, ServedFactory
from tests.persistence.rows import rows_of

KeyOf = Callable[..., Awaitable[str]]

POLICY = """balance enabled minimum { value currency } amount { value currency }
  price { value currency } dayCap { value } monthCap { value } createdAt"""
SET = f"""mutation ($input: RefillPolicySetInput!) {{ refillPolicySet(input: $input) {{
  policy {{ {POLICY} }} userErrors {{ field code message }} }} }}"""
METHOD = """mutation ($input: PaymentMethodSetInput!) { paymentMethodSet(input: $input) {
  paymentMethod { provider label createdAt } userErrors { field code message } } }"""
ADJUST = """mutation ($input: AdjustmentCreateInput!) { adjustmentCreate(input: $input) {
  userErrors { message } } }"""
TOP_UP = """mutation ($input: TopUpCreateInput!) { topUpCreate(input: $input) {
  userErrors { message } } }"""
SHOWN = """query ($balance: String!, $tenant: String!) { tenant(key: $tenant) {
  paymentMethod { provider label }
  balance(key: $balance) { remaining { value } refillPolicy {
    enabled isDefault minimum { value } amount { value } price { value currency }
    dayCap { value } monthCap { value } offSince offReason inFlight { value } nextTryAt } } } }"""


@pytest.fixture
async def shop(ask: Ask) -> Ask:
    """A tenant of 1,000 visitors that tops up itself, and one that does not."""
    await ask(TENANT_CREATE, input={"key": "shop", "plan": "omnichannel-idr"})
    await ask(TENANT_CREATE, input={"key": "centre", "plan": "contact-center-usd"})
    return ask


async def put(ask: Ask, *, key: str | None = None, **given: Any) -> Json:
    asked = {"tenant": "shop", "balance": "visitors", "enabled": True, "idempotencyKey": "k"}
    keyed = {} if key is None else {"key": key}
    answer = await ask(SET, input=asked | given, **keyed)
    found: Json = (answer["data"] or {}).get("refillPolicySet") or answer
    return found


async def charge_by(ask: Ask, script: str | None, tenant: str = "shop", **given: Any) -> Json:
    asked: Json = {"tenant": tenant, "idempotencyKey": f"by {script}"}
    if script is not None:
        asked |= {"provider": "sandbox", "token": f"sandbox:{script}", "label": "Visa 4242"}
    found: Json = (await ask(METHOD, input=asked | given))["data"]["paymentMethodSet"]
    return found


async def take(ask: Ask, amount: str, balance: str = "visitors") -> None:
    asked = {"tenant": "shop", "balance": balance, "amount": amount, "reason": "r"}
    answer = await ask(ADJUST, input=asked | {"idempotencyKey": f"{balance} {amount}"})
    assert answer["data"]["adjustmentCreate"]["userErrors"] == []


async def shown(ask: Ask, balance: str = "visitors", tenant: str = "shop") -> Json:
    found: Json = (await ask(SHOWN, balance=balance, tenant=tenant))["data"]["tenant"]
    return found


def codes(found: Json) -> list[tuple[str | None, str]]:
    return [(each["field"], each["code"]) for each in found["userErrors"]]


async def test_a_tenant_has_its_balance_refilled(shop: Ask, key_of: KeyOf) -> None:
    """RF-1: set with its own key; the same key gives the same answer, whatever is so by then."""
    own = await key_of("shop", "billing:write", "billing:read")
    assert (await shown(shop))["balance"]["refillPolicy"] is None
    assert codes(await charge_by(shop, "pending")) == []
    given = {"minimum": "100", "amount": "1000", "monthCap": "3000000"}
    first = await put(shop, key=own, **given)
    assert first["userErrors"] == []
    created = first["policy"].pop("createdAt")
    assert first["policy"] == {
        "balance": "visitors", "enabled": True, "minimum": {"value": "100", "currency": None},
        "amount": {"value": "1000", "currency": None},
        "price": {"value": "600000", "currency": "IDR"}, "dayCap": None,
        "monthCap": {"value": "3000000"},
    }  # fmt: skip
    found = await shown(shop)
    assert found["balance"]["refillPolicy"] == {
        "enabled": True, "isDefault": False, "minimum": {"value": "100"},
        "amount": {"value": "1000"}, "price": {"value": "600000", "currency": "IDR"},
        "dayCap": None, "monthCap": {"value": "3000000"}, "offSince": None, "offReason": None,
        "inFlight": None, "nextTryAt": None,
    }  # fmt: skip
    await take(shop, "-900")
    found = await shown(shop)
    assert found["balance"]["refillPolicy"]["inFlight"] == {"value": "1000"}
    again = await put(shop, key=own, **given)
    assert again["policy"].pop("createdAt") == created
    assert again == first
    reused = await put(shop, key=own, **given | {"minimum": "101"})
    assert codes(reused) == [("idempotencyKey", "IDEMPOTENCY_KEY_REUSED")]
    # What is left out stays as it is.
    off = await put(shop, key=own, enabled=False, monthCap=None, idempotencyKey="off")
    assert (off["policy"]["minimum"]["value"], off["policy"]["monthCap"]) == ("100", None)


async def test_one_that_is_at_its_minimum_is_refilled_at_once(shop: Ask) -> None:
    """RF-1, AL-4: setting it is a movement; as many packs as it takes, in one charge."""
    await charge_by(shop, "succeeds")
    await take(shop, "-1500")
    assert (await put(shop, minimum="0", amount="500", idempotencyKey="a"))["userErrors"] == []

    async def paid() -> bool:
        left = (await shown(shop))["balance"]["remaining"]["value"]
        return bool(left == "500")

    await until(paid)
    policy = (await shown(shop))["balance"]["refillPolicy"]
    assert (policy["enabled"], policy["inFlight"]) == (True, None)


WRONG: list[tuple[Json, list[tuple[str, str]]]] = [
    ({"balance": "visitor"}, [("balance", "NOT_FOUND")]),
    ({"minimum": "1"}, [("amount", "MISSING")]),
    ({}, [("minimum", "MISSING"), ("amount", "MISSING")]),
    # Whole packs, and what a top-up costs at least (BA-6).
    ({"minimum": "1", "amount": "750"}, [("amount", "NOT_WHOLE_PACKS")]),
    ({"balance": "conversations", "minimum": "1", "amount": "1999"}, [("amount", "BELOW_MINIMUM")]),
    ({"minimum": "1", "amount": "0"}, [("amount", "INVALID")]),
    # Below the credit limit nothing is let through that could bring it there.
    ({"minimum": "-1", "amount": "500"}, [("minimum", "INVALID")]),
    ({"minimum": "1", "amount": "500", "dayCap": "299999"}, [("dayCap", "INVALID")]),
    (
        {"minimum": "-1", "amount": "750", "dayCap": "1", "monthCap": "-1"},
        [("minimum", "INVALID"), ("amount", "NOT_WHOLE_PACKS"), ("dayCap", "INVALID"),
         ("monthCap", "INVALID")],
    ),
]  # fmt: skip


async def test_what_is_wrong_is_told_at_once(shop: Ask, subtests: pytest.Subtests) -> None:
    await charge_by(shop, "succeeds")
    for given, expected in WRONG:
        with subtests.test(given=given):
            wrong = await put(shop, **given)
            assert wrong["policy"] is None
            assert codes(wrong) == expected
            policy = (await shown(shop))["balance"]["refillPolicy"]
            assert policy is None


async def test_enabling_needs_a_payment_method(shop: Ask) -> None:
    """Nobody is to find out on the day that it runs low."""
    wrong = await put(shop, minimum="-1", amount="500")
    assert codes(wrong) == [("minimum", "INVALID"), ("enabled", "PAYMENT_METHOD_MISSING")]
    assert "paymentMethodSet" in wrong["userErrors"][1]["message"]
    assert codes(await put(shop, minimum="1", amount="500", enabled=False)) == []
    await charge_by(shop, "succeeds")
    assert codes(await put(shop, idempotencyKey="on")) == []
    await charge_by(shop, None)
    assert codes(await put(shop, idempotencyKey="on again")) == [
        ("enabled", "PAYMENT_METHOD_MISSING")
    ]


async def test_a_plan_without_self_service_is_an_operators(shop: Ask, key_of: KeyOf) -> None:
    """AL-6: what the plan suggests is shown, and charges nothing; switching off is the tenant's."""
    own = await key_of("centre", "billing:write", "billing:read")
    await charge_by(shop, "pending", "centre")
    found = (await shown(shop, "email", "centre"))["balance"]["refillPolicy"]
    assert (found["enabled"], found["isDefault"], found["minimum"], found["price"]) == (
        False, True, {"value": "5"}, {"value": "20", "currency": "USD"},
    )  # fmt: skip
    given = {"tenant": "centre", "balance": "email"}
    refused = await put(shop, key=own, **given)
    assert codes(refused) == [("balance", "NOT_SELF_SERVICE")]
    made = await put(shop, **given, idempotencyKey="operator")
    assert (made["policy"]["amount"], made["policy"]["minimum"]) == (
        {"value": "20", "currency": "USD"}, {"value": "5", "currency": "USD"},
    )  # fmt: skip
    off = await put(shop, key=own, **given, enabled=False, idempotencyKey="off")
    assert off["policy"]["enabled"] is False


async def test_nobody_sets_anothers(shop: Ask, tenants: list[str], key_of: KeyOf) -> None:
    other = await key_of("one", "billing:write", "billing:read")
    reader = await key_of("shop", "billing:read")
    for tenant in ("shop", "nobody"):
        assert codes(await put(shop, key=other, tenant=tenant)) == [("tenant", "NOT_FOUND")]
        given = {"tenant": tenant, "idempotencyKey": "x"}
        answer = await shop(METHOD, key=other, input=given)
        assert codes(answer["data"]["paymentMethodSet"]) == [("tenant", "NOT_FOUND")]
    refused = await put(shop, key=reader)
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_a_token_is_sealed_and_shown_to_nobody(
    shop: Ask, database: Database, key_of: KeyOf
) -> None:
    """The label is; the same key gives the same, another token under it is another request."""
    own = await key_of("shop", "billing:write", "billing:read")
    given = {"provider": "sandbox", "token": "sandbox:succeeds", "label": " Visa 4242 "}
    asked = {"tenant": "shop", "idempotencyKey": "m"}
    first = (await shop(METHOD, key=own, input=asked | given))["data"]["paymentMethodSet"]
    assert (first["userErrors"], first["paymentMethod"]["label"]) == ([], "Visa 4242")
    again = (await shop(METHOD, key=own, input=asked | given))["data"]["paymentMethodSet"]
    assert again == first
    other = given | {"token": "sandbox:declines"}
    reused = (await shop(METHOD, key=own, input=asked | other))["data"]["paymentMethodSet"]
    assert codes(reused) == [("idempotencyKey", "IDEMPOTENCY_KEY_REUSED")]
    assert (await shown(shop))["paymentMethod"] == {"provider": "sandbox", "label": "Visa 4242"}
    async with rows_of(database.owner_url) as rows:
        tables = await rows.connection.fetch(
            "select relname as name from pg_class where relkind = 'r'"
            " and relnamespace = 'public'::regnamespace"
        )
        for table in tables:
            found = await rows.connection.fetch(
                f"select 1 from {table['name']} t where t::text like '%sandbox:succeeds%'"
            )
            assert found == [], table["name"]
    gone = await charge_by(shop, None)
    assert (gone["paymentMethod"], gone["userErrors"]) == (None, [])
    assert (await shown(shop))["paymentMethod"] is None


NO_METHODS = [
    ({"provider": "bank"}, ("provider", "UNKNOWN_PROVIDER")),
    ({"provider": None}, ("provider", "UNKNOWN_PROVIDER")),
    ({"token": ""}, ("token", "INVALID")),
    ({"token": "x" * 501}, ("token", "INVALID")),
    ({"token": "a\nb"}, ("token", "INVALID")),
    ({"token": None}, ("token", "INVALID")),
    ({"label": "  "}, ("label", "INVALID_TEXT")),
    ({"label": None}, ("label", "INVALID_TEXT")),
]


async def test_a_method_that_is_none(shop: Ask, subtests: pytest.Subtests) -> None:
    for given, expected in NO_METHODS:
        with subtests.test(given=given):
            assert codes(await charge_by(shop, "succeeds", **given)) == [expected]
            assert (await shown(shop))["paymentMethod"] is None


async def test_why_it_is_off_is_shown(shop: Ask, database: Database) -> None:
    """RF-2: off after the last decline, and it says so until it is set again."""
    await charge_by(shop, "succeeds")
    await put(shop, minimum="10", amount="500", dayCap="300000")
    async with Door.open(database.app_url) as door, rows_of(database.owner_url) as rows:
        tenant_id = await rows.connection.fetchval("select tenant_id from tenants where key='shop'")
        async with door.tenant_tx(tenant_id) as connection:
            await refills.switch_off(connection, tenant_id, "visitors", 'it said "no"', 7 * 10**6)
            await refills.switch_off(connection, tenant_id, "whatsapp", "of nothing", 8 * 10**6)
    policy = (await shown(shop))["balance"]["refillPolicy"]
    assert (policy["enabled"], policy["offSince"], policy["offReason"], policy["dayCap"]) == (
        False, "1970-01-01T00:00:07Z", 'it said "no"', {"value": "300000"},
    )  # fmt: skip
    assert (await shown(shop, "whatsapp"))["balance"]["refillPolicy"] is None
    await put(shop, idempotencyKey="on")
    policy = (await shown(shop))["balance"]["refillPolicy"]
    assert (policy["enabled"], policy["offSince"], policy["offReason"]) == (True, None, None)


@pytest.fixture
async def sender(database: Database, redis_url: str) -> AsyncIterator[Shop]:
    async with shops(database, redis_url) as shop:
        await shop.opened("omnichannel-idr", ("whatsapp", WHATSAPP))
        await shop.do(
            "paymentMethodSet", tenant="shop", provider="sandbox", token="sandbox:pending",
            label="a card", idempotencyKey="m",
        )  # fmt: skip
        yield shop


async def refilled(shop: Shop, *, key: str, **given: Any) -> None:
    asked = {"tenant": "shop", "balance": "whatsapp", "enabled": True, "idempotencyKey": key}
    await shop.do("refillPolicySet", **asked | given)


async def test_a_refused_send_says_that_a_refill_is_on_its_way(sender: Shop) -> None:
    """OC-1: true while it is in flight, of the balance that does not suffice, on both ways in."""
    send = {"category": "marketing"}
    assert (await sender.authorize(**send))["refillPending"] is False
    await refilled(sender, key="a", minimum="0", amount="100")
    answer = await sender.authorize(**send)
    assert (answer["reason"], answer["refillPending"]) == ("insufficient_balance", True)
    given = {"tenant": "shop", "number": WHATSAPP, "contact": contact(1), "idempotencyKey": "g"}
    found = await sender.mutate("authorize", "refusal { refillPending }", **given, **send)
    assert found["refusal"] == {"refillPending": True}
    await sender.do(
        "sendingSet", tenant="shop", reason="r", caps=[{"balance": "whatsapp", "day": "0"}]
    )
    answer = await sender.authorize(**send)
    assert (answer["reason"], answer["refillPending"]) == ("limit_reached", False)


async def test_none_while_suspended_and_at_once_when_served_again(sender: Shop) -> None:
    """RF-2: nothing is charged for a tenant that is not served."""
    see = """{ tenant(key: "shop") { balance(key: "whatsapp") {
      refillPolicy { inFlight { value } } } } }"""

    async def in_flight() -> Json | None:
        found: Json = (await sender.graphql(see))["tenant"]["balance"]["refillPolicy"]
        value: Json | None = found["inFlight"]
        return value

    async def status(name: str) -> None:
        await sender.do("tenantStatusSet", tenant="shop", status=name, reason="r")

    await status("SUSPENDED")
    await refilled(sender, key="a", minimum="0", amount="100")
    await status("SUSPENDED")
    assert await in_flight() is None
    await status("ACTIVE")
    assert await in_flight() == {"value": "100"}
    await status("BLOCKED")
    await status("ACTIVE")
    assert await in_flight() == {"value": "100"}


DRY_RUN = """query ($minimum: Decimal, $amount: Decimal, $dayCap: Decimal, $monthCap: Decimal,
  $range: RangeInput, $locale: String) { tenant(key: "shop") { balance(key: "visitors") {
  refillDryRun(minimum: $minimum, amount: $amount, dayCap: $dayCap, monthCap: $monthCap,
    range: $range) { times total { value currency } charges { at amount { value } price { value } }
    cappedAt lowest { value } lowestAt sentence(locale: $locale) } } } }"""


async def dry_run(shop: Shop, **given: Any) -> Json:
    variables = {"minimum": "0", "amount": "500", "locale": "en"} | given
    found = await shop.client.post("/graphql", json={"query": DRY_RUN, "variables": variables})
    answer: Json = found.json()
    if "errors" in answer:
        return dict(answer["errors"][0])
    shown: Json = answer["data"]["tenant"]["balance"]["refillDryRun"]
    return shown | {"sentence": shown["sentence"].replace("\u00a0", " ")}


async def used(shop: Shop, *days: tuple[int, int]) -> None:
    """So many visitors taken away on days after 10 October 2026."""
    begin = shop.clock.at
    for day, amount in days:
        shop.clock.at = begin + day * DAY
        await shop.take(amount, "visitors")
    shop.clock.at = begin + 30 * DAY


async def test_a_dry_run_says_what_last_month_would_have_charged(sender: Shop) -> None:
    """RF-1, RF-2: in amounts and in words; without an effect."""
    before = sender.clock.at
    await used(sender, (1, 1000), (2, 700), (3, 300), (4, 100))
    found = await dry_run(sender)
    assert found.pop("charges") == [
        {"at": iso(before + day * DAY), "amount": {"value": str(amount)},
         "price": {"value": str(amount * 600)}}
        for day, amount in ((1, 500), (2, 500), (3, 500))
    ]  # fmt: skip
    assert found == {
        "times": 3, "total": {"value": "900000", "currency": "IDR"}, "cappedAt": [],
        "lowest": {"value": "-200"}, "lowestAt": iso(before + 2 * DAY),
        "sentence": "It would have charged 3 times last month, IDR 900,000 in all before tax.",
    }  # fmt: skip
    words = {
        "id": "Tagihan akan terjadi 3 kali bulan lalu, seluruhnya Rp 900.000 sebelum pajak.",
        "es-MX": "Se habría cobrado 3 veces el mes pasado, IDR 900,000 en total antes de"
        " impuestos.",
    }
    for locale, sentence in words.items():
        assert (await dry_run(sender, locale=locale))["sentence"] == sentence
    capped = await dry_run(sender, monthCap="300000", range={"dates": OCTOBER_12})
    assert (capped["times"], capped["cappedAt"]) == (1, [iso(before + 2 * DAY)])
    assert capped["sentence"] == (
        "It would have charged once from 2026-10-12 to 2026-10-12: IDR 300,000 before tax."
        " A cap would have kept a refill back once."
    )
    capped = await dry_run(sender, monthCap="300000")
    assert (capped["times"], capped["cappedAt"]) == (1, [iso(before + 2 * DAY)])
    assert capped["sentence"].endswith(" A cap would have kept a refill back once.")
    never = await dry_run(sender, minimum="0", range={"preset": "YESTERDAY"})
    assert never["times"] == 0
    assert never["sentence"].startswith(
        "Monthly unique visitors would not have been refilled from "
    )


OCTOBER_12 = {"from": "2026-10-12", "until": "2026-10-12"}


NO_DRY_RUNS = [
    ({"minimum": None}, "the plan says no minimum for visitors"),
    (
        {"amount": "750", "minimum": "-1"},
        "minimum is 0 to 100,000,000,000; visitors is sold in",
    ),
    ({"dayCap": "1"}, "dayCap is 300000, which one refill costs before tax, or more"),
    ({"range": {"preset": "TODAY"}}, None),
    ({"range": {"dates": {"from": "2199-01-01", "until": "2199-01-02"}}}, "nothing happened"),
    ({"locale": "fr"}, "there are no sentences in 'fr'"),
]


async def test_a_dry_run_that_cannot_be(sender: Shop, subtests: pytest.Subtests) -> None:
    for given, words in NO_DRY_RUNS:
        with subtests.test(given=given):
            found = await dry_run(sender, **given)
            if words is None:
                assert found["times"] == 0
                continue
            assert found["extensions"]["code"] == "BAD_USER_INPUT"
            assert words in found["message"]


async def test_a_watcher_is_shown_the_policy_that_was_set(served: ServedFactory) -> None:
    """Behind the edit every event has it, whatever was worked out before."""
    server = await served()
    query = """subscription { balanceChanged(tenant: "shop", keys: ["visitors"]) {
      balances { remaining { value } refillPolicy { minimum { value } enabled } } } }"""
    async with httpx2.AsyncClient(base_url=server.url, headers=server.headers) as client:
        shop = Shop(client, Steered())
        await shop.opened("omnichannel-idr")
        async with opened(server.url) as socket:
            await greet(socket)
            await say(socket, subscribe("1", query))

            async def shown(remaining: str) -> Json | None:
                while True:
                    (balance,) = (await hear(socket))["payload"]["data"]["balanceChanged"][
                        "balances"
                    ]
                    if balance["remaining"]["value"] == remaining:
                        policy: Json | None = balance["refillPolicy"]
                        return policy

            assert await shown("1000") is None
            await shop.take(1, "visitors")
            assert await shown("999") is None
            await shop.do(
                "refillPolicySet", tenant="shop", balance="visitors", enabled=False, minimum="7",
                amount="500", idempotencyKey="a",
            )  # fmt: skip
            await shop.take(2, "visitors")
            assert await shown("997") == {"minimum": {"value": "7"}, "enabled": False}
