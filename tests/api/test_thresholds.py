"""Thresholds, acknowledging and banners over HTTP, and what a watcher is told of an edit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from tests.api.conftest import TENANT_CREATE, Ask, Json
from tests.api.test_alert_stream import Low, feed, told
from tests.conftest import Database

__all__ = ["feed"]
KeyOf = Callable[..., Awaitable[str]]

SET = """mutation ($input: ThresholdSetInput!) { thresholdSet(input: $input) {
  thresholds { balance percents units isDefault createdAt }
  userErrors { field code message } } }"""
SEE = """mutation ($input: AlertAcknowledgeInput!) { alertAcknowledge(input: $input) {
  alert { id kind acknowledgedAt } userErrors { field code message } } }"""
ADJUST = """mutation ($input: AdjustmentCreateInput!) { adjustmentCreate(input: $input) {
  userErrors { message } } }"""
THRESHOLDS = """{ tenant(key: "shop") { thresholds {
  balance percent units isDefault level { value currency } } } }"""
SHOWN = """query ($locale: String) { tenant(key: "shop") { banner(locale: $locale)
  alerts(first: 9) { nodes { id kind balance threshold cause causeId acknowledgedAt
    banner(locale: $locale)
    howToTopUp { selfService supportContact minimum { value } pack { value }
      price { value currency } } } } } }"""


@pytest.fixture
async def shop(ask: Ask) -> Ask:
    """A tenant of 1,000 conversations and 1,000 visitors."""
    await ask(TENANT_CREATE, input={"key": "shop", "plan": "omnichannel-idr"})
    return ask


async def put(ask: Ask, *, key: str | None = None, **given: Any) -> Json:
    asked = {"tenant": "shop", "balance": "visitors", "idempotencyKey": "k", **given}
    answer = await (ask(SET, input=asked) if key is None else ask(SET, key=key, input=asked))
    found: Json = (answer["data"] or {}).get("thresholdSet") or answer
    return found


async def take(ask: Ask, amount: str, balance: str = "visitors") -> None:
    asked = {"tenant": "shop", "balance": balance, "amount": amount, "reason": "r"}
    await ask(ADJUST, input=asked | {"idempotencyKey": f"{balance} {amount}"})


async def shown(ask: Ask, locale: str | None = "en") -> Json:
    answer = await ask(SHOWN, locale=locale)
    found: Json = answer["data"]["tenant"]
    return found


async def listed(ask: Ask, balance: str = "visitors") -> list[tuple[Any, ...]]:
    found = (await ask(THRESHOLDS))["data"]["tenant"]["thresholds"]
    return [
        (each["percent"], each["units"], each["level"] and each["level"]["value"],
         each["isDefault"])
        for each in found if each["balance"] == balance
    ]  # fmt: skip


async def test_a_tenant_sets_its_own(shop: Ask, key_of: KeyOf) -> None:
    """AL-1, AL-4: with its own key; what they come to, and back to what every balance has."""
    assert await listed(shop) == [("40", None, "400", True), ("0", None, "0", True)]
    assert await listed(shop, "whatsapp") == [("40", None, None, True), ("0", None, "0", True)]
    key = await key_of("shop", "billing:write")
    first = await put(shop, key=key, percents=["20", "50.5"], units=["450"])
    assert first["userErrors"] == []
    created = first["thresholds"].pop("createdAt")
    assert first["thresholds"] == {
        "balance": "visitors", "percents": ["50.5", "20"], "units": ["450"], "isDefault": False
    }  # fmt: skip
    assert await listed(shop) == [
        ("50.5", None, "505", False), (None, "450", "450", False), ("20", None, "200", False),
        ("0", None, "0", True),
    ]  # fmt: skip
    again = await put(shop, key=key, percents=["20", "50.5"], units=["450"])
    assert again["thresholds"]["createdAt"] == created
    reused = await put(shop, percents=["20"])
    assert [each["code"] for each in reused["userErrors"]] == ["IDEMPOTENCY_KEY_REUSED"]
    none = await put(shop, idempotencyKey="none", percents=["0"])
    assert none["thresholds"]["percents"] == []
    assert await listed(shop) == [("0", None, "0", True)]
    default = await put(shop, idempotencyKey="default", percents=None, units=[])
    assert (default["thresholds"]["percents"], default["thresholds"]["isDefault"]) == (
        ["40"], True
    )  # fmt: skip
    assert await listed(shop) == [("40", None, "400", True), ("0", None, "0", True)]


async def test_what_is_wrong_is_told_at_once(shop: Ask) -> None:
    wrong = await put(shop, balance="visitor", percents=["100.5", "5", "5"], units=["-1"])
    assert wrong["thresholds"] is None
    assert [(each["field"], each["code"]) for each in wrong["userErrors"]] == [
        ("balance", "NOT_FOUND"), ("percents[0]", "INVALID"), ("percents[2]", "INVALID"),
        ("units[0]", "INVALID"),
    ]  # fmt: skip
    assert wrong["userErrors"][0]["message"].endswith("did you mean 'visitors'?")
    assert wrong["userErrors"][1]["message"] == "100.5 is out of bounds; write 0 to 100 %"


async def test_nobody_sets_or_sees_another_tenants(
    shop: Ask, tenants: list[str], key_of: KeyOf
) -> None:
    """Other tenants do not exist, nor do their alerts; who only reads sets nothing."""
    await take(shop, "-700")
    (alert,) = (await shown(shop))["alerts"]["nodes"]
    other = await key_of("one", "billing:write", "billing:read")
    reader = await key_of("shop", "billing:read")
    for given in ({"tenant": "shop"}, {"tenant": "nobody"}):
        refused = await put(shop, key=other, **given)
        assert [each["code"] for each in refused["userErrors"]] == ["NOT_FOUND"]
        answer = await shop(SEE, key=other, input={**given, "id": alert["id"]})
        (error,) = answer["data"]["alertAcknowledge"]["userErrors"]
        assert (error["code"], error["field"]) == ("NOT_FOUND", "tenant")
    for id in (alert["id"], "alt_none", "x"):
        answer = await shop(SEE, key=other, input={"tenant": "one", "id": id})
        (error,) = answer["data"]["alertAcknowledge"]["userErrors"]
        assert (error["code"], error["field"]) == ("NOT_FOUND", "id")
    for query in (SET, SEE):
        given = {"tenant": "shop", "balance": "visitors", "idempotencyKey": "k"}
        if query is SEE:
            given = {"tenant": "shop", "id": alert["id"]}
        (error,) = (await shop(query, key=reader, input=given))["errors"]
        assert error["extensions"]["code"] == "FORBIDDEN"
    assert (await shown(shop))["alerts"]["nodes"][0]["acknowledgedAt"] is None


async def test_the_first_who_saw_it_stays(shop: Ask, key_of: KeyOf, database: Database) -> None:
    """AL-5: who did stands in the audit, once."""
    await take(shop, "-700")
    (alert,) = (await shown(shop))["alerts"]["nodes"]
    key = await key_of("shop", "billing:write", "billing:read")
    given = {"tenant": "shop", "id": alert["id"]}
    at_once = await asyncio.gather(*(shop(SEE, key=key, input=given) for _ in range(5)))
    first, *others = (each["data"]["alertAcknowledge"] for each in at_once)
    again = (await shop(SEE, input=given))["data"]["alertAcknowledge"]
    assert [first] * 5 == [*others, again]
    assert first["alert"]["acknowledgedAt"].endswith("Z")
    (same,) = (await shown(shop))["alerts"]["nodes"]
    assert same["acknowledgedAt"] == first["alert"]["acknowledgedAt"]
    owner = await asyncpg.connect(database.owner_url)
    rows = await owner.fetch("select actor, subject from audit where what = 'alertAcknowledge'")
    await owner.close()
    assert [row["actor"].split()[0] for row in rows] == ["key"]


async def test_the_banner_is_the_worst_that_nobody_saw(shop: Ask) -> None:
    """AL-6: as it is just now, in the reader's language, until it is acknowledged."""
    assert (await shown(shop))["banner"] is None
    await take(shop, "-700")
    await take(shop, "-620", "conversations")
    how = "Top up at least IDR\u00a0300,000."
    visitors = f"Monthly unique visitors: 30\u00a0% left, 300 of 1,000. {how}"
    assert (await shown(shop))["banner"].startswith(("Conversations: 38", "Monthly"))
    await put(shop, percents=["40", "35"])
    assert (await shown(shop))["banner"] == visitors
    await take(shop, "-1")
    assert "299 of 1,000" in (await shown(shop))["banner"]
    told = (await shown(shop, "es"))["banner"]
    assert told.startswith("Monthly unique visitors: queda el 29,9\u00a0%, 299 de 1.000. Recargue")
    assert (await shown(shop, None))["banner"].startswith("Monthly unique visitors: tersisa 29,9%")
    answer = await shop(SHOWN, locale="fr")
    assert "write en, id or es" in answer["errors"][0]["message"]

    newest, *_ = (await shown(shop))["alerts"]["nodes"]
    assert (newest["threshold"], newest["cause"]) == ("35", "THRESHOLDS")
    assert newest["causeId"].startswith("act_")
    assert newest["banner"] == visitors
    assert newest["howToTopUp"] == {
        "selfService": True, "supportContact": "billing@omnichannel.example",
        "minimum": {"value": "300000"}, "pack": {"value": "500"},
        "price": {"value": "300000", "currency": "IDR"},
    }  # fmt: skip
    await shop(SEE, input={"tenant": "shop", "id": newest["id"]})
    assert (await shown(shop))["banner"].startswith("Conversations: 38\u00a0% left")
    # The next line is news again; when all is well there is nothing.
    await take(shop, "-299")
    assert (await shown(shop))["banner"].startswith("Monthly unique visitors: used up")
    await take(shop, "2000")
    assert (await shown(shop))["banner"] == (
        "Monthly unique visitors: used up, nothing is left of 1,000. "
        f"Beside it 2,000 is left of what was added. {how}"
    )
    for node in (await shown(shop))["alerts"]["nodes"]:
        await shop(SEE, input={"tenant": "shop", "id": node["id"]})
    assert (await shown(shop))["banner"] is None
    await put(shop, idempotencyKey="zero", percents=["0"])
    newest, *_ = (await shown(shop))["alerts"]["nodes"]
    assert (newest["kind"], newest["howToTopUp"]) == ("RECOVERED", None)
    assert newest["banner"] == "Monthly unique visitors: no longer watched for 40\u00a0%, 0 left."


async def test_an_edit_is_told_to_who_watches(feed: Low, ask: Ask) -> None:
    """AL-4: once, in order, as any alert; of two at one balance."""
    somebody = await feed.alerts()
    put_it = {"tenant": "low", "balance": "visitors", "idempotencyKey": "e"}
    for _ in range(2):
        answer = await ask(SET, input=put_it | {"percents": ["60", "50", "10"]})
        assert answer["data"]["thresholdSet"]["userErrors"] == []
    found = await told(somebody, 2)
    assert [(each["kind"], each["threshold"]) for each in found] == [
        ("THRESHOLD", "60"), ("THRESHOLD", "50")
    ]  # fmt: skip
    assert len({each["causeId"] for each in found}) == 1
    await ask(SET, input=put_it | {"idempotencyKey": "f", "percents": ["50"]})
    (gone,) = await told(somebody, 1)
    assert (gone["kind"], gone["threshold"], gone["value"]) == ("RECOVERED", "60", "40")
