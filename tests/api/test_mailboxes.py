"""Mailboxes over HTTP: set, changed, listed and removed; who may, and what is no address."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from api.limits import MAILBOXES_MAX
from tests.api.conftest import TENANT_CREATE, Ask, Json

KeyOf = Callable[..., Awaitable[str]]

FIELDS = "id email locale kinds quietFrom quietUntil urgentAnyway createdAt lastSentAt lastError"
SET = f"""mutation ($input: MailboxSetInput!) {{ mailboxSet(input: $input) {{
  mailbox {{ {FIELDS} }} userErrors {{ field code message }} }} }}"""
REMOVE = """mutation ($input: MailboxRemoveInput!) { mailboxRemove(input: $input) {
  id userErrors { field code message } } }"""
LIST = f'{{ tenant(key: "shop") {{ mailboxes {{ {FIELDS} }} }} }}'
AUDIT = """{ tenant(key: "shop") { audit { nodes { what subject before after } } } }"""

USUAL = [
    "THRESHOLD", "EXHAUSTED", "OVERDRAWN", "REFILL_SUCCEEDED", "REFILL_FAILED", "REFILL_OFF",
    "REFILL_CAP", "TOPPED_UP", "RUNNING_OUT", "INVOICE_ISSUED", "INVOICE_PAID", "INVOICE_OVERDUE",
    "SUBSCRIPTION_ENDING",
]  # fmt: skip


@pytest.fixture
async def shop(ask: Ask) -> Ask:
    await ask(TENANT_CREATE, input={"key": "shop", "plan": "omnichannel-idr"})
    return ask


async def put(ask: Ask, *, key: str | None = None, **given: Any) -> Json:
    asked = {"tenant": "shop", "email": "ana@shop.example", **given}
    answer = await (ask(SET, input=asked) if key is None else ask(SET, key=key, input=asked))
    found: Json = (answer["data"] or {}).get("mailboxSet") or answer
    return found


async def listed(ask: Ask) -> list[Json]:
    found: list[Json] = (await ask(LIST))["data"]["tenant"]["mailboxes"]
    return found


async def test_what_is_not_said_is_usual_and_what_is_said_again_is_all_of_it(
    shop: Ask, key_of: KeyOf
) -> None:
    """By the tenant's own key; one address is one mailbox, and each change stands in the audit."""
    key = await key_of("shop", "billing:write", "billing:read")
    first = await put(shop, key=key, email=" Ana.O'Hara+x@SHOP.Example ")
    assert first["userErrors"] == []
    created = first["mailbox"]["createdAt"]
    assert first["mailbox"] == {
        "id": first["mailbox"]["id"], "email": "Ana.O'Hara+x@shop.example", "locale": "id",
        "kinds": USUAL, "quietFrom": None, "quietUntil": None, "urgentAnyway": True,
        "createdAt": created, "lastSentAt": None, "lastError": None,
    }  # fmt: skip
    wanted = {
        "email": "Ana.O'Hara+x@shop.example", "locale": "es-MX", "quietFrom": "22:00",
        "quietUntil": "07:00", "urgentAnyway": False,
    }  # fmt: skip
    second = await put(shop, key=key, kinds=["OVERDRAWN", "EXHAUSTED", "OVERDRAWN"], **wanted)
    assert second["mailbox"] == {
        **first["mailbox"], **wanted, "kinds": ["EXHAUSTED", "OVERDRAWN"]
    }  # fmt: skip
    third = await put(shop, key=key, kinds=["EXHAUSTED", "OVERDRAWN"], **wanted)
    assert await listed(shop) == [third["mailbox"]] == [second["mailbox"]]
    rows = (await shop(AUDIT))["data"]["tenant"]["audit"]["nodes"]
    changes = [row for row in rows if row["what"] == "mailboxSet"]
    assert [row["subject"] for row in changes] == [[first["mailbox"]["id"]]] * 2
    assert '"22:00"' in str(changes[0]["after"]).replace("'", '"')
    assert changes[1]["before"] is None


async def test_a_language_without_letters_becomes_english(shop: Ask) -> None:
    await shop(TENANT_CREATE, input={"key": "alpha", "plan": "omnichannel-idr", "locale": "de"})
    answer = await put(shop, tenant="alpha")
    assert answer["mailbox"]["locale"] == "en"


WRONG_ADDRESSES = [
    "", "ana", "@shop.example", "ana@", "ana@shop", "ana@shop.example, eve@evil.example",
    "ana@shop.example;eve@evil.example", "ana@shop.example\nBcc: eve@evil.example",
    "ana@shop.example\r\n", "Ana <ana@shop.example>", '"ana b"@shop.example',
    "ana b@shop.example", "ana@-shop.example", "ana@shop-.example", "ana@shop..example",
    ".ana@shop.example", "ana.@shop.example", "an..a@shop.example", "ana@192.168.0.1",
    "ana@[127.0.0.1]", "ana(x)@shop.example", "añá@shop.example", "ana@shöp.example",
    "ana@shop.example.", f"{'a' * 65}@shop.example", f"ana@{'a' * 64}.example",
    f"ana@{'a.' * 126}example", "ana\u0000@shop.example", "ana@shop.example\u2028",
    "ana@eve@shop.example", "ana%@ @x.y", "\tana@shop.example",
]  # fmt: skip


async def test_what_is_no_address_is_refused(shop: Ask) -> None:
    """One, plain, in ASCII: nothing that could become a second one, or a header."""
    for email in WRONG_ADDRESSES:
        answer = await put(shop, email=email)
        assert answer["mailbox"] is None, email
        assert [(each["field"], each["code"]) for each in answer["userErrors"]] == [
            ("email", "INVALID_EMAIL")
        ], email
    assert await listed(shop) == []


WRONG: list[tuple[Json, str]] = [
    ({"locale": "de"}, "locale"),
    ({"locale": "xx-y"}, "locale"),
    ({"locale": "en" * 40}, "locale"),
    ({"kinds": []}, "kinds"),
    ({"quietFrom": "22:00"}, "quietUntil"),
    ({"quietUntil": "07:00"}, "quietFrom"),
    ({"quietFrom": "24:00", "quietUntil": "07:00"}, "quietFrom"),
    ({"quietFrom": "22:00", "quietUntil": "7"}, "quietUntil"),
    ({"quietFrom": "07:00", "quietUntil": "07:00"}, "quietUntil"),
]


async def test_what_is_wrong_is_told(shop: Ask) -> None:
    for given, field in WRONG:
        answer = await put(shop, **given)
        assert answer["mailbox"] is None, given
        assert [(each["field"], each["code"]) for each in answer["userErrors"]] == [
            (field, "INVALID")
        ], given


async def test_there_are_so_many_at_most(shop: Ask) -> None:
    """One that is there is changed all the same."""
    for n in range(MAILBOXES_MAX):
        assert (await put(shop, email=f"a{n}@shop.example"))["userErrors"] == []
    answer = await put(shop)
    assert [each["code"] for each in answer["userErrors"]] == ["TOO_MANY"]
    assert (await put(shop, email="a3@shop.example", locale="en"))["userErrors"] == []
    found = await listed(shop)
    assert [each["email"] for each in found] == [
        f"a{n}@shop.example" for n in range(MAILBOXES_MAX)
    ]  # fmt: skip
    assert found[3]["locale"] == "en"


async def test_of_two_at_once_one_is_too_many(shop: Ask) -> None:
    for n in range(MAILBOXES_MAX - 1):
        await put(shop, email=f"a{n}@shop.example")
    both = await asyncio.gather(put(shop), put(shop, email="ben@shop.example"))
    assert sorted(len(each["userErrors"]) for each in both) == [0, 1]
    assert len(await listed(shop)) == MAILBOXES_MAX


async def test_nobody_sets_or_removes_another_tenants(
    shop: Ask, tenants: list[str], key_of: KeyOf
) -> None:
    mailbox = (await put(shop))["mailbox"]
    other = await key_of("one", "billing:write", "billing:read")
    for tenant in ("shop", "nobody", "one"):
        asked = {"tenant": tenant, "id": mailbox["id"]}
        answer = await shop(REMOVE, key=other, input=asked)
        field = "id" if tenant == "one" else "tenant"
        (error,) = answer["data"]["mailboxRemove"]["userErrors"]
        assert (error["field"], error["code"]) == (field, "NOT_FOUND")
    refused = await put(shop, key=other, email="eve@evil.example")
    assert [each["code"] for each in refused["userErrors"]] == ["NOT_FOUND"]
    reader = await key_of("shop", "billing:read")
    assert (await put(shop, key=reader))["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert await listed(shop) == [mailbox]
    gone = await shop(REMOVE, input={"tenant": "shop", "id": mailbox["id"]})
    assert gone["data"]["mailboxRemove"] == {"id": mailbox["id"], "userErrors": []}
    assert await listed(shop) == []
    again = await shop(REMOVE, input={"tenant": "shop", "id": mailbox["id"]})
    assert [each["code"] for each in again["data"]["mailboxRemove"]["userErrors"]] == ["NOT_FOUND"]
    rows = (await shop(AUDIT))["data"]["tenant"]["audit"]["nodes"]
    (row,) = [row for row in rows if row["what"] == "mailboxRemove"]
    assert row["subject"] == [mailbox["id"]]
