"""Changing zones, as operators do it through GraphQL (TZ-3, BA-7)."""

from __future__ import annotations

from typing import Any

from domain.periods import iso, month_name, period, zone
from tests.api.conftest import NUMBER_CREATE, TENANT_CREATE, Ask, Json

TIMEZONE_CHANGE = """mutation ($input: TimezoneChangeInput!) { timezoneChange(input: $input) {
  tenant { key timezone timezoneChange { timezone startsAt } } timezone startsAt
  userErrors { code field message } } }"""
NUMBER_TIMEZONE_CHANGE = """mutation ($input: NumberTimezoneChangeInput!) {
  numberTimezoneChange(input: $input) {
    number { timezone timezoneChange { timezone startsAt } } timezone startsAt
    userErrors { code field } } }"""
PERIOD = """query ($at: DateTime) { tenant(key: "moves") {
  period(at: $at) { label start end } numbers { timezone } balances(at: $at) { key } } }"""


async def change(ask: Ask, timezone: str, once: str, **other: Any) -> Json:
    given = {"tenant": "moves", "timezone": timezone, "idempotencyKey": once} | other
    found: Json = (await ask(TIMEZONE_CHANGE, input=given))["data"]["timezoneChange"]
    return found


async def test_a_tenant_moves_with_its_next_period(ask: Ask) -> None:
    """TZ-3, BA-7: the period ends in the new zone; the same key gives what it gave."""
    await ask(TENANT_CREATE, input={"key": "moves", "plan": "omnichannel-idr"})
    number = {"tenant": "moves", "channel": "whatsapp", "address": "+62 800 0000 0001"}
    await ask(NUMBER_CREATE, input=number)

    agreed = await change(ask, "America/Bogota", "a")

    starts_at = agreed["startsAt"]
    coming = {"timezone": "America/Bogota", "startsAt": starts_at}
    assert agreed == coming | {
        "tenant": {"key": "moves", "timezone": "Asia/Jakarta", "timezoneChange": coming},
        "userErrors": [],
    }
    assert await change(ask, "America/Bogota", "a") == agreed
    other = await change(ask, "Asia/Jakarta", "a")
    assert [each["code"] for each in other["userErrors"]] == ["IDEMPOTENCY_KEY_REUSED"]
    found = (await ask(PERIOD, at=starts_at))["data"]["tenant"]
    jakarta, bogota = zone("Asia/Jakarta"), zone("America/Bogota")
    at = next(at for at in STARTS if iso(at) == starts_at)
    span = period(jakarta, at)
    assert found["period"] == {
        "label": month_name(span.label), "start": starts_at,
        "end": iso(bogota.month_bounds(span.label)[1]),
    }  # fmt: skip
    assert found["numbers"] == [{"timezone": "Asia/Jakarta"}]

    kept = await change(ask, "Asia/Jakarta", "b")
    assert (kept["startsAt"], kept["tenant"]["timezoneChange"]) == (None, None)
    assert await change(ask, "Asia/Jakarta", "c") == kept


#: The starts of Jakarta's months, by the real clock.
STARTS = [zone("Asia/Jakarta").month_bounds(label)[0] for label in range(2026 * 12, 2060 * 12)]


async def test_a_number_moves_alone(ask: Ask) -> None:
    """TZ-3: with its next month; its tenant stays where it is."""
    await ask(TENANT_CREATE, input={"key": "moves", "plan": "omnichannel-idr"})
    number = {"tenant": "moves", "channel": "whatsapp", "address": "+62 800 0000 0001"}
    made = (await ask(NUMBER_CREATE, input=number | {"timezone": "Asia/Jayapura"}))["data"]
    given = {"timezone": "America/Bogota", "idempotencyKey": "a"}
    given["number"] = (await ask(ID_OF))["data"]["tenant"]["numbers"][0]["id"]

    first, again = [
        (await ask(NUMBER_TIMEZONE_CHANGE, input=given))["data"]["numberTimezoneChange"]
        for _ in range(2)
    ]

    coming = {"timezone": "America/Bogota", "startsAt": first["startsAt"]}
    assert made["numberCreate"]["number"]["timezone"] == "Asia/Jayapura"
    assert first == again == coming | {
        "number": {"timezone": "Asia/Jayapura", "timezoneChange": coming}, "userErrors": []
    }  # fmt: skip
    assert first["startsAt"].endswith("T15:00:00Z")
    assert (await ask(ID_OF))["data"]["tenant"]["timezoneChange"] is None


ID_OF = '{ tenant(key: "moves") { timezoneChange { timezone } numbers { id } } }'


async def test_what_is_no_zone_and_who_is_not_there_are_refused(
    ask: Ask, key_of: Any, tenants: list[str]
) -> None:
    """TZ-3: nothing is kept of a refusal, and it is an operator's to decide."""
    wrong = (await change(ask, "America/Bogot", "a", tenant="one"))["userErrors"]
    nobody = (await change(ask, "America/Bogota", "a"))["userErrors"]
    secret = await key_of("one", "billing:write")
    given = {"tenant": "one", "timezone": "UTC", "idempotencyKey": "a"}
    forbidden = await ask(TIMEZONE_CHANGE, key=secret, input=given)
    given = {"number": "num_nothing", "timezone": "UTC", "idempotencyKey": "a"}
    unknown = (await ask(NUMBER_TIMEZONE_CHANGE, input=given))["data"]["numberTimezoneChange"]

    assert [(each["code"], each["field"]) for each in wrong] == [("UNKNOWN_TIMEZONE", "timezone")]
    assert "did you mean America/Bogota" in wrong[0]["message"]
    assert [(each["code"], each["field"]) for each in nobody] == [("NOT_FOUND", "tenant")]
    assert forbidden["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert unknown["userErrors"] == [{"code": "NOT_FOUND", "field": "number"}]
    kept = await change(ask, "America/Bogota", "a", tenant="one")
    assert kept["userErrors"] == []
