"""Alerts as clients read them: the list, its words, its filter and its place in the feed."""

from __future__ import annotations

from typing import Any

import pytest

from api.schema.alert import AlertCause, AlertEvent, AlertKind, AlertMeasure
from api.schema.position import parse_position, position_of
from domain import watch
from persistence.alerts import Alert
from persistence.tenants import TenantRecord
from tests.api.conftest import TENANT_CREATE, Ask, Json

UNIT = 1_000_000

ADJUST = """mutation ($input: AdjustmentCreateInput!) { adjustmentCreate(input: $input) {
  adjustment { id } userErrors { message } } }"""
LIST = """query ($first: Int!, $after: String, $kinds: [AlertKind!]) { tenant(key: "shop") {
  alerts(first: $first, after: $after, kinds: $kinds) {
    position
    edges { cursor }
    nodes { id kind balance measure threshold value at cause causeId acknowledgedAt
      remaining { value currency formatted } base { value } }
    pageInfo { hasNextPage endCursor } } } }"""


@pytest.fixture
async def low(ask: Ask) -> list[str]:
    """A tenant of 1,000 visitors whom three adjustments move; their ids."""
    await ask(TENANT_CREATE, input={"key": "shop", "plan": "omnichannel-idr"})
    return [await adjust(ask, amount) for amount in ("-600.001", "-399.999", "-1")]


async def adjust(ask: Ask, amount: str, balance: str = "visitors") -> str:
    asked = {"tenant": "shop", "balance": balance, "amount": amount, "reason": "r"}
    answer = await ask(ADJUST, input=asked | {"idempotencyKey": f"{balance} {amount}"})
    made: str = answer["data"]["adjustmentCreate"]["adjustment"]["id"]
    return made


async def listed(ask: Ask, first: int = 10, **given: Any) -> Json:
    asked = {"after": None, "kinds": None, **given}
    found: Json = (await ask(LIST, first=first, **asked))["data"]["tenant"]["alerts"]
    return found


async def test_what_was_raised_is_listed_newest_first(ask: Ask, low: list[str]) -> None:
    """AL-1, AL-3: exact, and never shown as a percentage that is not below its threshold."""
    owed, zero, below = (await listed(ask))["nodes"]
    at = below.pop("at")
    assert at.endswith("Z")
    assert below.pop("id").startswith("alt_")
    assert below == {
        "kind": "THRESHOLD", "balance": "visitors", "measure": "PERCENT", "threshold": "40",
        "value": "39.9999", "cause": "ADJUSTMENT", "causeId": low[0], "acknowledgedAt": None,
        "remaining": {"value": "399.999", "currency": None, "formatted": "399,999"},
        "base": {"value": "1000"},
    }  # fmt: skip
    assert (zero["kind"], zero["threshold"], zero["value"]) == ("EXHAUSTED", "0", "0")
    assert zero["causeId"] == low[1]
    assert (owed["kind"], owed["measure"], owed["value"]) == ("OVERDRAWN", "WHOLE", "-1")


async def test_pages_and_kinds(ask: Ask, low: list[str]) -> None:
    everything = await listed(ask)
    first = await listed(ask, 2)
    assert first["nodes"] == everything["nodes"][:2]
    assert first["pageInfo"]["hasNextPage"]
    rest = await listed(ask, 2, after=first["pageInfo"]["endCursor"])
    assert rest["nodes"] == everything["nodes"][2:]
    assert not rest["pageInfo"]["hasNextPage"]
    assert rest["edges"][-1]["cursor"] == rest["pageInfo"]["endCursor"]
    only = await listed(ask, kinds=["EXHAUSTED", "RECOVERED"])
    assert [node["kind"] for node in only["nodes"]] == ["EXHAUSTED"]
    refused: list[Json] = [{"kinds": []}, {"after": "nowhere"}, {"first": 101}]
    for wrong in refused:
        answer = await ask(LIST, **{"first": 5, "after": None, "kinds": None, **wrong})
        (error,) = answer["errors"]
        assert error["extensions"]["code"] == "BAD_USER_INPUT", wrong


async def test_the_position_is_that_of_the_figures(ask: Ask, low: list[str]) -> None:
    """Whoever watches behind it misses nothing: it moves with every commit."""
    before = (await listed(ask))["position"]
    assert parse_position(before) == before
    await adjust(ask, "5", "whatsapp")
    assert (await listed(ask))["position"] != before


async def test_money_is_shown_as_money(ask: Ask, low: list[str]) -> None:
    """Nothing was there to take a percentage of."""
    await adjust(ask, "-7", "whatsapp")
    owed, zero = (await listed(ask, 2))["nodes"]
    assert (zero["value"], zero["base"], zero["threshold"]) == (None, None, "0")
    assert owed["remaining"] == {"value": "-7", "currency": "IDR", "formatted": "-Rp\xa07"}


def test_an_event_says_what_the_alert_says() -> None:
    alert = Alert(
        alert_id=5, tenant_id=1, version=9, line=0, kind=watch.AlertKind.THRESHOLD,
        balance="whatsapp", currency="IDR", measure=watch.Measure.PERCENT, threshold=40 * UNIT,
        remaining=1, base=3, at=7, cause=watch.AlertCause.FACT, cause_id="00ff", action=None,
        acknowledged_at=8,
    )  # fmt: skip
    record = TenantRecord(
        tenant_id=1, key="shop", name="Shop", zones='[[null, "UTC"]]',
        currency="IDR", country="ID", locale="id", plan="p", status="active",
        since=None, created_at=0,
    )  # fmt: skip
    position = position_of("epoch", 9)
    event = AlertEvent.of(alert, record, position=position, recovered=False)
    assert (event.position, event.recovered, event.kind) == (position, False, AlertKind.THRESHOLD)
    assert (event.value, event.threshold, event.cause_id) == ("33.333333", "40", "fct_00ff")
    assert event.remaining is not None
    assert event.remaining.locale == "id"


def test_every_stored_word_has_one_for_people() -> None:
    for stored, told in (
        (watch.AlertKind, AlertKind), (watch.AlertCause, AlertCause), (watch.Measure, AlertMeasure)
    ):  # fmt: skip
        assert {each.name: each.value for each in stored if each is not watch.Measure.NONE} == {
            each.name: told(each.value).value for each in told
        }
