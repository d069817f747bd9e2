"""Forecasts as clients read them: on a clock that stands, behind eleven days of office hours."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette

from api.app import create_app
from api.forecasting import Forecasting
from api.schema.forecast import ForecastConfidence, ForecastOutlook
from api.settings import Settings
from domain.forecast import Confidence, Outlook
from domain.forecast_words import COUNTED, FORECASTS
from domain.periods import DAY, HOUR, iso
from domain.sentences import OF_NOTICES, Language, Words, needs, say
from tests.api.conftest import TENANT_CREATE, Ask, Json
from tests.api.furnished import NOON, Noon
from tests.conftest import OPERATOR_KEY, Database

RECORD = """mutation ($input: UsageRecordInput!) { usageRecord(input: $input) {
  results { status } userErrors { message } } }"""
NUMBER_CREATE = """mutation ($input: NumberCreateInput!) { numberCreate(input: $input) {
  userErrors { message } } }"""
TOP_UP = """mutation ($input: TopUpCreateInput!) { topUpCreate(input: $input) {
  userErrors { message } } }"""
SET = """mutation ($input: ThresholdSetInput!) { thresholdSet(input: $input) {
  thresholds { percents isDefault runningOutDays } userErrors { field message } } }"""
POLICY = """mutation ($input: RefillPolicySetInput!) { refillPolicySet(input: $input) {
  userErrors { field message } } }"""
FORECAST = """query ($at: DateTime, $locale: String) { tenant(key: "shop") { balances(at: $at) {
  key forecast { outlook runsOutAt earliest latest daysLeft until endsWithLot confidence basisDays
    refillsAt runningOutDays enoughFor { count unit category market }
    sentence(locale: $locale) } } } }"""
#: Of ten messages a day, from eight to five.
OPEN = range(8, 18)
DAYS = 11
PRICE = 586.33


@pytest.fixture
async def app(database: Database, redis_url: str) -> AsyncIterator[Starlette]:
    settings = Settings(
        database_url=database.app_url, redis_url=redis_url, operator_key=OPERATOR_KEY
    )
    app = create_app(settings, Noon())
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def shop(ask: Ask) -> Ask:
    """A tenant that sends ten marketing templates a day; on Friday, at noon, four are sent."""
    await ask(TENANT_CREATE, input={"key": "shop", "plan": "omnichannel-idr"})
    address = "+6281110000001"
    number = {"tenant": "shop", "channel": "whatsapp", "address": address}
    await ask(NUMBER_CREATE, input=number)
    midnight = NOON - 12 * HOUR
    instants = [
        at for day in range(DAYS, -1, -1) for hour in OPEN
        if (at := midnight - day * DAY + hour * HOUR) < NOON
    ]  # fmt: skip
    events = [
        {"id": f"m{n}", "source": "crm", "type": "message.delivered", "subject": "shop",
         "time": iso(at), "data": {"number": address, "contact": f"+62811{n:08d}",
                                   "category": "marketing", "template": "sale"}}
        for n, at in enumerate(instants)
    ]  # fmt: skip
    for place in range(0, len(events), 50):
        answer = await ask(RECORD, input={"events": events[place : place + 50]})
        assert {each["status"] for each in answer["data"]["usageRecord"]["results"]} == {"ACCEPTED"}
    # What was owed is paid off, and 23 messages are left.
    amount = f"{(len(events) + 23) * PRICE:.2f}"
    asked = {"tenant": "shop", "balance": "whatsapp", "amount": amount, "idempotencyKey": "t"}
    answer = await ask(TOP_UP, input=asked | {"asOffered": False})
    assert answer["data"]["topUpCreate"]["userErrors"] == [], answer
    return ask


async def told(ask: Ask, key: str = "whatsapp", **given: Any) -> Json:
    answer = await ask(FORECAST, **{"at": None, "locale": "en", **given})
    assert "errors" not in answer, answer
    found: Json = next(
        each["forecast"] for each in answer["data"]["tenant"]["balances"] if each["key"] == key
    )
    return found


async def test_a_balance_says_when_it_runs_out_and_what_it_is_enough_for(shop: Ask) -> None:
    """23 messages at ten a day, six of them this afternoon: it is over in two days, by daylight."""
    found = await told(shop)
    assert found["outlook"] == "RUNS_OUT"
    assert found["runsOutAt"].startswith("2026-11-22T0")  # at 15:00 in Jakarta, an hour or two off
    assert found["earliest"] <= found["runsOutAt"] <= found["latest"]
    assert 1.9 < float(found["daysLeft"]) < 2.3
    assert (found["confidence"], found["basisDays"]) == ("POOR", DAYS)
    assert (found["endsWithLot"], found["refillsAt"], found["runningOutDays"]) == (False, None, 3)
    assert found["enoughFor"] == {
        "count": "23", "unit": "message", "category": "marketing", "market": "ID"
    }  # fmt: skip
    name = r"WhatsApp balance"
    assert re.fullmatch(
        name + r" runs out Sunday 1\d:00 \(between \w+ \d\d:00 and \w+( \d+ \w+)? \d\d:00\); "
        r"enough for 23 marketing messages to Indonesia\.", found["sentence"],
    )  # fmt: skip
    spoken = {tag: (await told(shop, locale=tag))["sentence"] for tag in ("id", "es-MX")}
    assert re.search(r"habis Minggu pukul 1\d\.00 .*23 pesan marketing ke Indo", spoken["id"])
    assert re.search(
        r"el domingo a las 1\d:00 .*23 mensajes de marketing a Indonesia\.", spoken["es-MX"]
    )


async def test_where_there_is_no_figure_it_says_why(shop: Ask) -> None:
    """An allowance nobody used; and nothing is forecast of another time than now."""
    found = await told(shop, "visitors")
    assert (found["outlook"], found["runsOutAt"], found["basisDays"]) == ("UNUSED", None, 0)
    assert found["enoughFor"] == {
        "count": "1000", "unit": "visitor", "category": None, "market": None
    }  # fmt: skip
    assert found["sentence"] == (
        "Monthly unique visitors was not used for 7 days, so no end is in sight; enough for 1,000 "
        "visitors."
    )
    assert await told(shop, at=iso(NOON - 2 * DAY)) is None


async def test_days_are_set_beside_thresholds(shop: Ask) -> None:
    """And leave what is watched for as it is of every balance."""
    asked = {"tenant": "shop", "balance": "whatsapp", "idempotencyKey": "k"}
    answer = await shop(SET, input=asked | {"runningOutDays": 9})
    assert answer["data"]["thresholdSet"]["thresholds"] == {
        "percents": ["40"], "isDefault": True, "runningOutDays": 9
    }  # fmt: skip
    assert (await told(shop))["runningOutDays"] == 9
    wrong = await shop(SET, input=asked | {"runningOutDays": 61, "idempotencyKey": "k2"})
    (error,) = wrong["data"]["thresholdSet"]["userErrors"]
    assert error["field"] == "runningOutDays"
    assert error["message"] == "61 is out of bounds; write 1 to 60 days, or 0: it is never told"
    none = await shop(SET, input=asked | {"percents": ["0"], "idempotencyKey": "k3"})
    assert none["data"]["thresholdSet"]["thresholds"] == {
        "percents": [], "isDefault": False, "runningOutDays": 3
    }  # fmt: skip


async def test_it_says_when_it_is_refilled_before(shop: Ask) -> None:
    """RF-1: at its minimum, which is before nothing is left."""
    asked = {
        "tenant": "shop", "balance": "whatsapp", "idempotencyKey": "p", "enabled": True,
        "minimum": f"{13 * PRICE:.2f}", "amount": "2000000",
    }  # fmt: skip
    method = """mutation { paymentMethodSet(input: {tenant: "shop", idempotencyKey: "m",
      provider: "sandbox", token: "sandbox:succeeds", label: "Visa"}) {
      userErrors { message } } }"""
    assert (await shop(method))["data"]["paymentMethodSet"]["userErrors"] == []
    answer = await shop(POLICY, input=asked)
    assert answer["data"]["refillPolicySet"]["userErrors"] == [], answer
    found = await told(shop)
    assert "2026-11-21T0" in found["refillsAt"] < found["runsOutAt"]
    assert "; it is refilled before, Saturday 1" in found["sentence"]


async def test_what_runs_out_is_told_and_stands_in_the_banner(shop: Ask, app: Starlette) -> None:
    """AL-6: with the day it was forecast for, the days it lasts, and how to top up."""
    core = app.state.core
    engines = core.engines
    await Forecasting(core.door, engines.catalogue, core.clock.now, engines.show).step()
    answer = await shop("""{ tenant(key: "shop") { banner(locale: "en")
      alerts(first: 1) { nodes { kind measure threshold value cause base { value }
        remaining { formatted } banner(locale: "id") howToTopUp { selfService } } } } }""")
    assert "errors" not in answer, answer
    found = answer["data"]["tenant"]
    (alert,) = found["alerts"]["nodes"]
    assert (alert["kind"], alert["measure"], alert["threshold"], alert["cause"]) == (
        "RUNNING_OUT", "DAYS", "3", "FORECAST"
    )  # fmt: skip
    assert 1.9 < float(alert["value"]) < 2.3
    assert alert["base"] is None
    assert alert["howToTopUp"] is not None
    assert re.match(
        r"WhatsApp balance is forecast to run out Sunday 22 November 1\d:00: IDR 13,485 left\. \w+",
        found["banner"].replace("\u00a0", " "),
    )
    assert re.match(
        r"WhatsApp balance diperkirakan habis Minggu 22 November pukul 1\d\.00: tersisa Rp",
        alert["banner"],
    )


@pytest.mark.parametrize(("name", "words"), FORECASTS.items(), ids=FORECASTS)
def test_they_are_told_in_every_language(name: str, words: Words) -> None:
    assert set(words) == OF_NOTICES
    assert len({frozenset(needs(template)) for template in words.values()}) == 1
    filled = dict.fromkeys(needs(words["en"]), "X")
    said = {say(words, language, **filled) for language in Language}
    assert len(said) == len(Language) or name == "what"  # which has no words of its own


def test_every_word_has_its_place() -> None:
    assert {each.value for each in Outlook} <= set(FORECASTS)
    assert [each.name for each in Outlook] == [each.name for each in ForecastOutlook]
    assert [each.name for each in Confidence] == [each.name for each in ForecastConfidence]
    assert all(set(one) == set(several) == OF_NOTICES for one, several in COUNTED.values())
