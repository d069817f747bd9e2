"""OC-1, OC-3: what a tenant says of sending itself, and whether it is served, through GraphQL."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from starlette.applications import Starlette

from api.core import Core
from api.schema.tenant import TenantStatus
from domain.sending import Cap, Sending
from domain.terms import Terms
from persistence import terms
from tests.api.conftest import TENANT_CREATE, Ask, Json
from tests.conftest import Database

KeyOf = Callable[..., Awaitable[str]]

SENDING = """holdSeconds sentSeconds callSeconds recipientsMax
  caps { balance day { value currency } month { value currency } }
  failOpen { balance amount { value currency } }"""
SET = f"""mutation ($input: SendingSetInput!) {{ sendingSet(input: $input) {{
  sending {{ {SENDING} }} userErrors {{ field message code }} }} }}"""
STATUS = """mutation ($input: TenantStatusSetInput!) { tenantStatusSet(input: $input) {
  tenant { key status } userErrors { field message code } } }"""
SHOWN = f'{{ tenant(key: "one") {{ status sending {{ {SENDING} }} }} }}'
PLAN_CHANGE = """mutation ($input: PlanChangeInput!) { planChange(input: $input) {
  planChange { plan } userErrors { message } } }"""

DEFAULT = {
    "holdSeconds": 600, "sentSeconds": 86_400, "callSeconds": 60, "recipientsMax": 100_000,
    "caps": [], "failOpen": [],
}  # fmt: skip


async def put(ask: Ask, **fields: Any) -> Json:
    given = {"tenant": "one", "reason": "agreed"} | fields
    answer: Json = (await ask(SET, input=given))["data"]["sendingSet"]
    return answer


async def shown(ask: Ask) -> Json:
    answer: Json = (await ask(SHOWN))["data"]["tenant"]
    return answer


async def audit(database: Database, *what: str) -> list[tuple[str, Json, Json]]:
    owner = await asyncpg.connect(database.owner_url)
    try:
        rows = await owner.fetch(
            "select what, before, after from audit where what = any ($1) order by audit_id", what
        )
    finally:
        await owner.close()
    return [(row["what"], json.loads(row["before"]), json.loads(row["after"])) for row in rows]


async def terms_of(core: Core) -> Terms:
    """What the database has of tenant one."""
    (own,) = await terms.by_keys(core.door, core.catalogue, ["one"])
    return own


async def test_a_tenants_own_fields(ask: Ask, tenants: list[str], database: Database) -> None:
    """A field left out stays, null takes it away, a list replaces the one there was."""
    assert (await shown(ask))["sending"] == DEFAULT

    first = await put(
        ask, holdSeconds=10, recipientsMax=1,
        caps=[
            {"balance": "whatsapp", "day": "1000000.5"},
            {"balance": "conversations", "day": "5", "month": "100"},
        ],
        failOpen=[{"balance": "whatsapp", "amount": "50000"}],
    )  # fmt: skip
    assert first == {
        "sending": DEFAULT | {
            "holdSeconds": 10, "recipientsMax": 1,
            "caps": [
                {"balance": "conversations", "day": {"value": "5", "currency": None},
                 "month": {"value": "100", "currency": None}},
                {"balance": "whatsapp", "day": {"value": "1000000.5", "currency": "IDR"},
                 "month": None},
            ],
            "failOpen": [{"balance": "whatsapp", "amount": {"value": "50000", "currency": "IDR"}}],
        },
        "userErrors": [],
    }  # fmt: skip
    assert (await shown(ask))["sending"] == first["sending"]

    second = await put(
        ask, holdSeconds=None, sentSeconds=604_800, failOpen=[],
        caps=[{"balance": "whatsapp", "month": "0", "day": None}],
    )  # fmt: skip
    assert second["sending"] == DEFAULT | {
        "sentSeconds": 604_800, "recipientsMax": 1,
        "caps": [{"balance": "whatsapp", "day": None, "month": {"value": "0", "currency": "IDR"}}],
    }  # fmt: skip
    assert await put(ask, sentSeconds=604_800) == second
    last = await put(ask, sentSeconds=None, recipientsMax=None, caps=None, failOpen=None)
    assert last["sending"] == DEFAULT

    said = await audit(database, "sendingSet")
    assert len(said) == 3, "what changes nothing leaves no row"
    assert said[1] == (
        "sendingSet",
        {
            "holdSeconds": 10, "recipientsMax": 1,
            "caps": [{"balance": "conversations", "day": "5", "month": "100"},
                     {"balance": "whatsapp", "day": "1000000.5"}],
            "failOpen": [{"balance": "whatsapp", "amount": "50000"}],
        },
        {
            "sentSeconds": 604_800, "recipientsMax": 1, "failOpen": [],
            "caps": [{"balance": "whatsapp", "month": "0"}], "reason": "agreed",
        },
    )  # fmt: skip
    assert said[2][2] == {"reason": "agreed"}


async def test_every_process_reads_the_terms_again(
    ask: Ask, app: Starlette, tenants: list[str]
) -> None:
    """Both changes are settings of the tenant: who knew its terms asks for them anew."""
    core: Core = app.state.core
    before = await terms_of(core)
    assert (before.sending, before.suspended, before.blocked) == (Sending(), False, False)

    await put(ask, callSeconds=3_600, caps=[{"balance": "whatsapp", "day": "2"}])
    for status, suspended, blocked in (("SUSPENDED", True, False), ("BLOCKED", False, True)):
        await ask(STATUS, input={"tenant": "one", "status": status, "reason": "unpaid"})
        after = await terms_of(core)
        assert (after.suspended, after.blocked) == (suspended, blocked)

    assert after.settings == before.settings + 3
    assert after.sending == Sending(call_seconds=3_600, caps={"whatsapp": Cap(day=2_000_000)})


MOST = "write an amount above 0, at most 100000000000"


REFUSED = [
    ({"holdSeconds": 9}, [("holdSeconds", "9 does not fit; write a whole number from 10 to "
                           "86400, without quotes")]),
    ({"sentSeconds": 604_801, "callSeconds": 0, "recipientsMax": 100_001}, [
        ("sentSeconds", "604801 does not fit; write a whole number from 60 to 604800, "
         "without quotes"),
        ("callSeconds", "0 does not fit; write a whole number from 1 to 3600, without quotes"),
        ("recipientsMax", "100001 does not fit; write a whole number from 1 to 100000, "
         "without quotes"),
    ]),
    ({"caps": [{"balance": "whatsap", "day": "1"}]},
     [("caps[0].balance", "'whatsap' is no balance of the plan; did you mean 'whatsapp'?")]),
    ({"caps": [{"balance": "\ud800", "day": "1"}]},
     [("caps[0].balance", "'\\ud800' does not fit; name a balance of the plan")]),
    ({"caps": [{"balance": "whatsapp"}]},
     [("caps[0]", 'caps nothing; add day = "1000000", or month')]),
    ({"caps": [{"balance": "whatsapp", "day": "-1"}]},
     [("caps[0].day", "'-1' has a sign: write it without one; write a decimal in quotes, as "
       '"1000" or "0.5"')]),
    ({"failOpen": [{"balance": "whatsapp", "amount": "0"}]},
     [("failOpen[0].amount", f"0 does not fit; {MOST}")]),
    ({"failOpen": [{"balance": "whatsapp", "amount": "100000000000.1"}]},
     [("failOpen[0].amount", f"100000000000.1 does not fit; {MOST}")]),
    ({"reason": " "}, [("reason", "reason has 1 to 1000 characters")]),
    ({"reason": "a\0b"}, [("reason", "reason has control characters: leave them out")]),
    ({"tenant": "none"}, [("tenant", "there is no tenant 'none'")]),
]  # fmt: skip


async def test_what_is_refused_changes_nothing(
    ask: Ask, tenants: list[str], database: Database, subtests: pytest.Subtests
) -> None:
    """Every problem at once, by its field of the input, in words to act on."""
    for fields, errors in REFUSED:
        with subtests.test(fields=fields):
            answer = await put(ask, **fields)

            assert answer["sending"] is None
            assert [(each["field"], each["message"]) for each in answer["userErrors"]] == errors
            assert (await shown(ask))["sending"] == DEFAULT
            assert await audit(database, "sendingSet") == []


async def test_a_balance_of_any_plan_that_was_agreed(ask: Ask) -> None:
    """What the tenant's plans have may be named, and nothing else."""
    await ask(TENANT_CREATE, input={"key": "one", "plan": "whatsapp-idr"})
    caps = [{"balance": "visitors", "day": "1"}]
    answer = await put(ask, caps=caps)
    assert [each["field"] for each in answer["userErrors"]] == ["caps[0].balance"]
    wanted = {"tenant": "one", "plan": "omnichannel-idr", "idempotencyKey": "1"}
    assert (await ask(PLAN_CHANGE, input=wanted))["data"]["planChange"]["userErrors"] == []

    answer = await put(ask, caps=caps)

    assert answer["sending"]["caps"][0]["day"] == {"value": "1", "currency": None}


async def test_a_status_is_set_for_a_reason(
    ask: Ask, tenants: list[str], database: Database
) -> None:
    for status in ("BLOCKED", "SUSPENDED", "SUSPENDED", "ACTIVE"):
        wanted = {"tenant": "one", "status": status, "reason": f"now {status}"}
        answer = (await ask(STATUS, input=wanted))["data"]["tenantStatusSet"]
        assert answer == {"tenant": {"key": "one", "status": status}, "userErrors": []}
        assert (await shown(ask))["status"] == status

    assert await audit(database, "tenantStatusSet") == [
        ("tenantStatusSet", {"status": before}, {"status": after, "reason": f"now {after.upper()}"})
        for before, after in (
            ("active", "blocked"), ("blocked", "suspended"), ("suspended", "active"),
        )
    ]  # fmt: skip
    for wrong, field in (({"tenant": "none"}, "tenant"), ({"reason": ""}, "reason")):
        wanted = {"tenant": "one", "status": "BLOCKED", "reason": "x"} | wrong
        answer = (await ask(STATUS, input=wanted))["data"]["tenantStatusSet"]
        assert answer["tenant"] is None
        assert [each["field"] for each in answer["userErrors"]] == [field]
    assert {each.name.lower() for each in TenantStatus} == {"active", "suspended", "blocked"}


async def test_only_operators_decide(ask: Ask, tenants: list[str], key_of: KeyOf) -> None:
    """A tenant sees what holds, with billing:read; it sets neither."""
    adjusts, tops_up = await key_of(None, "billing:adjust"), await key_of(None, "billing:write")
    own = await key_of("one", "billing:read", "billing:write", "billing:adjust")
    said = {"tenant": "one", "reason": "x"}
    for query, wanted in ((SET, said), (STATUS, said | {"status": "ACTIVE"})):
        assert "errors" not in await ask(query, key=adjusts, input=wanted)
        for key in (tops_up, own):
            answer = await ask(query, key=key, input=wanted)
            assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"

    assert (await ask(SHOWN, key=own))["data"]["tenant"]["sending"] == DEFAULT
    blind = await ask(SHOWN, key=await key_of("one", "usage:read"))
    assert blind["errors"][0]["extensions"]["code"] == "FORBIDDEN"
