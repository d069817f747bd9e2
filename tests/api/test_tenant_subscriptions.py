"""Subscriptions as operators agree on them and tenants see them, through GraphQL (IN-1, BA-12)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from starlette.applications import Starlette

from api.app import create_app
from api.settings import Clock, Settings
from tests.api.conftest import TENANT_CREATE, Ask
from tests.conftest import OPERATOR_KEY, Database
from tests.domain.spine import at

SUBSCRIPTION = """id key name plan start lastDay status endingSaidFrom
  term { months renews endsOn } monthlyTotal { value formatted(locale: "en") }
  components { key name unit quantity price { value } total { value currency } }
  setupFees { key name price { value } billed }
  changes { kind day component quantity lastDay words(locale: "en") }"""
PAYLOAD = f"subscription {{ {SUBSCRIPTION} }} userErrors {{ field code message }}"
READ = f"""query ($tenant: String!) {{ tenant(key: $tenant) {{
  subscription {{ key status }} subscriptions {{ {SUBSCRIPTION} }} }} }}"""
NODE = "query ($id: ID!) { node(id: $id) { id ... on TenantSubscription { key } } }"
GROWTH = {
    "tenant": "acme", "name": "Growth", "plan": "omnichannel-idr", "start": "2026-11-01",
    "term": {"months": 12},
    "components": [
        {"key": "base", "name": "Base", "unit": "plan", "price": "2000000"},
        {"key": "seats", "name": "Seats", "unit": "seat", "price": "300000.5", "quantity": "5"},
    ],
    "setup": [{"key": "onboarding", "name": "Onboarding", "price": "500000"}],
}  # fmt: skip


class Stands(Clock):
    """A clock that stands where a test puts it."""

    at = at("2026-11-16 10:00")

    def now(self) -> int:
        return self.at


@pytest.fixture
def clock() -> Stands:
    return Stands()


@pytest.fixture
async def app(database: Database, redis_url: str, clock: Stands) -> AsyncIterator[Starlette]:
    settings = Settings(
        database_url=database.app_url, redis_url=redis_url, operator_key=OPERATOR_KEY
    )
    app = create_app(settings, clock)
    async with app.router.lifespan_context(app):
        yield app


async def do(ask: Ask, field: str, once: str, **given: Any) -> dict[str, Any]:
    """Ask for a mutation; what it answers."""
    kind = field[0].upper() + field[1:]
    text = f"mutation ($input: {kind}Input!) {{ {field}(input: $input) {{ {PAYLOAD} }} }}"
    answer = await ask(text, input={"tenant": "acme", "idempotencyKey": once, **given})
    assert "errors" not in answer, answer
    payload: dict[str, Any] = answer["data"][field]
    return payload


async def test_a_subscription_from_its_first_day_to_its_end(
    ask: Ask, clock: Stands, key_of: Callable[..., Awaitable[str]]
) -> None:
    await ask(TENANT_CREATE, input={"key": "acme", "plan": "whatsapp-idr"})
    made = (await do(ask, "subscriptionCreate", "a", **GROWTH))["subscription"]
    assert made["components"][1] == {
        "key": "seats", "name": "Seats", "unit": "seat", "quantity": "5",
        "price": {"value": "300000.5"}, "total": {"value": "1500002.5", "currency": "IDR"},
    }  # fmt: skip
    assert made["monthlyTotal"] == {"value": "3500002.5", "formatted": "IDR\u00a03,500,003"}
    assert made["setupFees"] == [
        {"key": "onboarding", "name": "Onboarding", "price": {"value": "500000"}, "billed": False}
    ]
    assert made["term"] == {"months": 12, "renews": True, "endsOn": "2027-10-31"}
    named = [made[name] for name in ("key", "name", "plan", "start", "lastDay", "status")]
    assert named == ["main", "Growth", "omnichannel-idr", "2026-11-01", None, "ACTIVE"]

    await do(ask, "subscriptionQuantitySet", "b", component="seats", quantity="6.5")
    await do(ask, "subscriptionPause", "c", **{"from": "2026-12-01"})
    await do(ask, "subscriptionResume", "d", **{"from": "2027-01-01"})
    small = {"name": "Small", "components": GROWTH["components"][1:]}  # type: ignore[index]
    await do(ask, "subscriptionPlanSwitch", "e", plan="whatsapp-idr", **small)
    ended = (await do(ask, "subscriptionCancel", "f"))["subscription"]

    assert (ended["lastDay"], ended["endingSaidFrom"]) == ("2027-10-31", "2027-10-01")
    assert (ended["name"], ended["plan"]) == ("Small", "whatsapp-idr")
    assert [(each["kind"], each["words"]) for each in ended["changes"]] == [
        ("QUANTITY", "Seats: 6.5 from 16 November 2026 on."),
        ("PAUSE", "Paused from 1 December 2026 on."),
        ("RESUME", "Resumed from 1 January 2027 on."),
        ("PLAN", "Small from 16 November 2026 on."),
        ("CANCEL", "Cancelled: 31 October 2027 is its last day."),
    ]
    assert [ended["changes"][0][name] for name in ("day", "component", "quantity")] == [
        "2026-11-16", "seats", "6.5"
    ]  # fmt: skip
    renewed = (await do(ask, "subscriptionRenew", "g"))["subscription"]
    assert (renewed["lastDay"], renewed["changes"][-1]["words"]) == (
        None, "Renewed: it goes on.",
    )  # fmt: skip
    await do(ask, "subscriptionCreate", "h", **GROWTH | {"key": "extra", "plan": None})
    await do(ask, "subscriptionCancel", "i", subscription="extra", lastDay="2027-10-31")
    clock.at = at("2026-12-05 10:00")
    own = await key_of("acme", "billing:read")
    seen = (await ask(READ, key=own, tenant="acme"))["data"]["tenant"]
    assert seen["subscription"] == {"key": "main", "status": "PAUSED"}
    assert [each["status"] for each in seen["subscriptions"]] == ["PAUSED", "ACTIVE"]
    for who in (own, OPERATOR_KEY):
        found = (await ask(NODE, key=who, id=made["id"]))["data"]["node"]
        assert found == {"id": made["id"], "key": "main"}
    await ask(TENANT_CREATE, input={"key": "other", "plan": "whatsapp-idr"})
    other = await key_of("other", "billing:read")
    assert (await ask(NODE, key=other, id=made["id"]))["data"]["node"] is None
    clock.at = at("2027-11-01 00:00")
    seen = (await ask(READ, tenant="acme"))["data"]["tenant"]
    assert [each["status"] for each in seen["subscriptions"]] == ["ACTIVE", "ENDED"]


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("id", ["Seats: 6,5 mulai 16 November 2026.",
                "Dibatalkan: 30 November 2026 adalah hari terakhirnya."]),
        ("es", ["Seats: 6,5 a partir del 16 de noviembre de 2026.",
                "Cancelada: el 30 de noviembre de 2026 es su último día."]),
    ],
)  # fmt: skip
async def test_what_was_agreed_is_said_in_other_languages(
    ask: Ask, locale: str, words: list[str]
) -> None:
    await ask(TENANT_CREATE, input={"key": "acme", "plan": "whatsapp-idr"})
    await do(ask, "subscriptionCreate", "a", **GROWTH | {"term": None})
    await do(ask, "subscriptionQuantitySet", "b", component="seats", quantity="6.5")
    await do(ask, "subscriptionCancel", "c")
    answer = await ask(
        """query ($locale: String) { tenant(key: "acme") { subscription {
          changes { words(locale: $locale) } } } }""",
        locale=locale,
    )
    changes = answer["data"]["tenant"]["subscription"]["changes"]
    assert [each["words"] for each in changes] == words


async def test_what_is_wrong_is_told_by_its_field(ask: Ask) -> None:
    await ask(TENANT_CREATE, input={"key": "acme", "plan": "whatsapp-idr"})
    wrong = {"key": "\ud800", "name": "", "components": [], "term": {"months": 0}}
    answer = await do(ask, "subscriptionCreate", "a", **wrong)
    assert answer["subscription"] is None
    assert [(each["field"], each["code"]) for each in answer["userErrors"]] == [
        ("name", "INVALID"), ("key", "INVALID"), ("term.months", "INVALID")
    ]  # fmt: skip
    answer = await do(ask, "subscriptionRenew", "b")
    assert answer["userErrors"] == [
        {
            "field": "subscription", "code": "NOT_FOUND",
            "message": "the tenant has no subscription 'main': it has none",
        }
    ]  # fmt: skip
    answer = await do(ask, "subscriptionRenew", "b", subscription="\ud800")
    assert [each["field"] for each in answer["userErrors"]] == ["subscription"]
