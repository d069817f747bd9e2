"""Invoices paid over HTTP: who may begin, the page, and what the invoice says then (IN-2, BA-7)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from api.core import Core
from tests.api.conftest import Ask, Json
from tests.api.sockets import until

KeyOf = Callable[..., Awaitable[str]]

CREATE = """mutation ($input: InvoiceCreateInput!) { invoiceCreate(input: $input) {
  invoice { id } userErrors { code message } } }"""
ISSUE = """mutation ($input: InvoiceIssueInput!) { invoiceIssue(input: $input) {
  invoice { id number total { value } } userErrors { code message } } }"""
PAY = """mutation ($input: InvoicePayInput!) { invoicePay(input: $input) {
  payment { id status payUrl reason amount { value currency } invoice { number }
    payments { key status } }
  userErrors { field code message } } }"""
ONE = """query ($tenant: String!, $id: ID!) { tenant(key: $tenant) {
  invoicePayment(id: $id) { status payUrl invoice { status balance { value } } }
  purchase(id: $id) { id } purchases { nodes { id } } } }"""


@pytest.fixture
def core(app: Starlette) -> Core:
    found: Core = app.state.core
    return found


@pytest.fixture
async def invoice(ask: Ask, tenants: list[str]) -> Json:
    """What the tenant `one` is asked for."""
    line = {"description": "Training", "quantity": "1", "unit": "day", "price": "250000"}
    drawn = await ask(CREATE, input={"tenant": "one", "lines": [line], "idempotencyKey": "d"})
    draft = drawn["data"]["invoiceCreate"]["invoice"]["id"]
    done = await ask(ISSUE, input={"tenant": "one", "invoice": draft, "idempotencyKey": "i"})
    found: Json = done["data"]["invoiceIssue"]["invoice"]
    return found


async def pay(ask: Ask, *, key: str | None = None, **given: Any) -> Json:
    asked = {"tenant": "one", "idempotencyKey": "pay", **given}
    answer = await (ask(PAY, input=asked) if key is None else ask(PAY, key=key, input=asked))
    found: Json = (answer["data"] or {}).get("invoicePay") or answer
    return found


async def test_a_tenant_pays_its_invoice(
    ask: Ask, key_of: KeyOf, client: httpx2.AsyncClient, core: Core, invoice: Json
) -> None:
    """IN-2: by its number or its id, at a page; whoever asks again is given the same one."""
    key = await key_of("one", "billing:write", "billing:read")
    first = await pay(ask, key=key, invoice=invoice["number"])
    assert first["userErrors"] == []
    payment = first["payment"]
    assert (payment["status"], payment["invoice"]["number"]) == ("OPEN", invoice["number"])
    assert payment["amount"] == {"value": invoice["total"]["value"], "currency": "IDR"}
    again = await pay(ask, key=key, invoice=invoice["id"], idempotencyKey="another")
    assert again == first
    page = await client.get(payment["payUrl"])
    assert f"Invoice {invoice['number']}" in page.text
    assert (await client.post(payment["payUrl"], data={"do": "pay"})).status_code == 200

    async def paid() -> bool:
        await core.engines.tasks.quiet()
        found = await ask(ONE, key=key, tenant="one", id=payment["id"])
        return bool(found["data"]["tenant"]["invoicePayment"]["status"] == "PAID")

    await until(paid)
    found = (await ask(ONE, key=key, tenant="one", id=payment["id"]))["data"]["tenant"]
    assert found == {
        "invoicePayment": {
            "status": "PAID", "payUrl": None,
            "invoice": {"status": "PAID", "balance": {"value": "0"}},
        },
        "purchase": None,
        "purchases": {"nodes": []},
    }  # fmt: skip
    done = await pay(ask, key=key, invoice=invoice["number"], idempotencyKey="late")
    assert [each["code"] for each in done["userErrors"]] == ["NOTHING_TO_PAY"]


async def test_nobody_pays_for_another(ask: Ask, key_of: KeyOf, invoice: Json) -> None:
    """Another tenant's invoices, and what collects them, do not exist."""
    begun = (await pay(ask, invoice=invoice["number"]))["payment"]["id"]
    other = await key_of("two", "billing:write", "billing:read")
    assert (await pay(ask, key=other, invoice=invoice["number"]))["userErrors"][0]["code"] == (
        "NOT_FOUND"
    )
    for name in (invoice["number"], invoice["id"]):
        refused = await pay(ask, key=other, tenant="two", invoice=name)
        assert (refused["payment"], refused["userErrors"][0]["code"]) == (None, "NOT_FOUND")
    found = await ask(ONE, key=other, tenant="two", id=begun)
    assert found["data"]["tenant"]["invoicePayment"] is None
    reads = await pay(ask, key=await key_of("one", "billing:read"), invoice=invoice["number"])
    assert reads["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_payers_are_sent_back_to_named_pages_alone(ask: Ask, invoice: Json) -> None:
    refused = await pay(ask, invoice=invoice["number"], returnUrl="https://evil.example/")
    assert refused["userErrors"][0]["code"] == "ORIGIN_NOT_ALLOWED"
