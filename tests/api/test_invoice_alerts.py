"""Alerts of invoices over HTTP and in the feed: what is raised, and what a banner shows of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from api.core import Core
from api.operations.accounting import unmoved
from api.operations.acting import Done, Scene, given
from domain import billing_alerts
from domain.money import MICRO
from domain.periods import DAY, zone
from domain.watch import Alert, AlertKind
from persistence.actions import ActionKind
from tests.api.conftest import Ask, Json
from tests.api.sockets import until
from tests.api.test_invoices import Hands, app, clock, issued, tenants
from tests.api.test_streams import Feed, shown
from tests.scenarios.world import OPERATOR

__all__ = ["app", "clock", "tenants"]  # fixtures

KeyOf = Callable[..., Awaitable[str]]
FIELDS = """kind balance measure threshold value remaining { value currency } base { value }
  cause causeId subscription lastDay banner howToTopUp { selfService } acknowledgedAt
  invoice { number status balance { value } }"""
ALERTS = f"""query ($kinds: [AlertKind!]) {{ tenant(key: "one") {{
  alerts(kinds: $kinds) {{ position nodes {{ id {FIELDS} }} }} }} }}"""
RAISED = f"""subscription ($after: StreamPosition, $kinds: [AlertKind!]) {{
  alertRaised(tenant: "one", after: $after, kinds: $kinds) {{ recovered {FIELDS} }} }}"""
BANNER = 'query ($locale: String) { tenant(key: "one") { banner(locale: $locale) } }'
SEEN = """mutation ($id: ID!) { alertAcknowledge(input: {tenant: "one", id: $id}) {
  alert { acknowledgedAt } userErrors { message } } }"""
SUBSCRIBE = """mutation ($input: SubscriptionCreateInput!) { subscriptionCreate(input: $input) {
  userErrors { message } } }"""
CANCEL = """mutation ($input: SubscriptionCancelInput!) { subscriptionCancel(input: $input) {
  userErrors { message } } }"""
RENEW = """mutation ($input: SubscriptionRenewInput!) { subscriptionRenew(input: $input) {
  userErrors { message } } }"""
PAY = """mutation ($input: PaymentRecordInput!) { paymentRecord(input: $input) {
  userErrors { message } } }"""

TOTAL = 1_110_000 * MICRO


@pytest.fixture
def core(app: Starlette) -> Core:
    found: Core = app.state.core
    return found


async def tell(core: Core, name: str, raised: Alert) -> None:
    """Raise an alert in a commit of its own."""

    async def act(scene: Scene) -> Done:
        changes = await unmoved(scene)
        changes.alerts.append(raised)
        return Done(changes=changes, body={})

    with core.context(OPERATOR, name).acting():
        await given(
            core.door, core.catalogue, core.engines.show, ActionKind.DUNNING_SET, "one", name, b"",
            act, now=core.clock.now(),
        )  # fmt: skip


async def raised_of(ask: Ask, **more: Any) -> Json:
    found: Json = (await ask(ALERTS, **more))["data"]["tenant"]["alerts"]
    return found


async def banner(ask: Ask, locale: str | None = None) -> str | None:
    found: str | None = (await ask(BANNER, locale=locale))["data"]["tenant"]["banner"]
    return None if found is None else found.replace("\u00a0", " ")


async def test_an_invoice_is_told_to_who_watches(
    app: Starlette,
    client: httpx2.AsyncClient,
    ask: Ask,
    tenants: list[str],
) -> None:
    """Once, with the invoice as it is; of no balance, so nothing of one is there."""
    feed = Feed(app, client)
    before = await raised_of(ask)
    watching, stop = await feed.follow(RAISED, after=before["position"])
    invoice = await issued(ask)
    event = shown(await watching.next())
    stop()
    assert event.pop("recovered") is True
    (listed,) = (await raised_of(ask, kinds=["INVOICE_ISSUED"]))["nodes"]
    assert {**event, "id": listed["id"]} == listed
    assert event.pop("banner").replace("\u00a0", " ") == (
        f"Faktur {invoice['number']} telah diterbitkan: Rp 1.110.000, jatuh tempo 4 Desember 2026."
    )
    assert event == {
        "kind": "INVOICE_ISSUED", "balance": None, "measure": None, "threshold": None,
        "value": None, "remaining": {"value": "1110000", "currency": "IDR"},
        "base": {"value": "1110000"}, "cause": "INVOICE", "causeId": invoice["number"],
        "subscription": None, "lastDay": None, "howToTopUp": None, "acknowledgedAt": None,
        "invoice": {
            "number": invoice["number"], "status": "POSTED", "balance": {"value": "1110000"},
        },
    }  # fmt: skip
    assert (await raised_of(ask, kinds=["INVOICE_PAID"]))["nodes"] == []


async def test_a_banner_shows_an_overdue_invoice_until_it_is_paid_or_seen(
    ask: Ask,
    tenants: list[str],
    core: Core,
    clock: Hands,
) -> None:
    """As it is just now, in each language; what is issued is no banner."""
    invoice = await issued(ask)
    number = invoice["number"]
    assert await banner(ask) is None
    local = zone("Asia/Jakarta")
    clock.at = local.day_bounds(local.date(clock.at) + 14)[1]

    async def overdue() -> bool:
        await core.engines.tasks.quiet()
        return await banner(ask) is not None

    await until(overdue)
    assert await banner(ask, "en") == (
        f"Invoice {number} is overdue: IDR 1,110,000 was due on 4 December 2026, a day ago."
    )
    clock.at += 9 * DAY
    assert await banner(ask, "es") == (
        f"La factura {number} está vencida: 1.110.000 IDR vencía el 4 de diciembre de 2026, hace "
        "10 días."
    )

    async def seen() -> bool:
        await core.engines.tasks.quiet()
        for each in (await raised_of(ask, kinds=["INVOICE_OVERDUE"]))["nodes"]:
            answer = await ask(SEEN, id=each["id"])
            assert answer["data"]["alertAcknowledge"]["userErrors"] == []
        return await banner(ask) is None

    await until(seen)
    overdue_again = billing_alerts.invoice(
        AlertKind.INVOICE_OVERDUE, number, TOTAL, TOTAL, clock.at
    )
    await tell(core, "again", overdue_again)
    shown_now = await banner(ask)
    assert shown_now is not None
    assert shown_now.endswith("10 hari yang lalu.")
    given_ = {"tenant": "one", "amount": "1110000", "receivedOn": "2026-12-13",
              "method": "BANK_TRANSFER", "idempotencyKey": "p"}  # fmt: skip
    paid = await ask(PAY, input=given_)
    assert paid["data"]["paymentRecord"]["userErrors"] == []
    assert await banner(ask) is None


async def test_a_banner_shows_a_subscription_that_ends(
    ask: Ask,
    tenants: list[str],
    core: Core,
    clock: Hands,
) -> None:
    """Until it has ended; one that goes on after all is no news."""
    given_ = {
        "tenant": "one", "key": "growth", "name": "Growth", "idempotencyKey": "s",
        "components": [{"key": "a", "name": "A", "unit": "seat", "price": "1"}],
    }  # fmt: skip
    made = await ask(SUBSCRIBE, input=given_)
    assert made["data"]["subscriptionCreate"]["userErrors"] == []
    cancelled = {"tenant": "one", "subscription": "growth", "lastDay": "2026-11-30"}
    cancelled["idempotencyKey"] = "c"
    made = await ask(CANCEL, input=cancelled)
    assert made["data"]["subscriptionCancel"]["userErrors"] == []

    async def ending() -> bool:
        await core.engines.tasks.quiet()
        return bool((await raised_of(ask, kinds=["SUBSCRIPTION_ENDING"]))["nodes"])

    await until(ending)
    (alert,) = (await raised_of(ask, kinds=["SUBSCRIPTION_ENDING"]))["nodes"]
    assert [alert[name] for name in ("kind", "cause", "causeId", "subscription", "lastDay")] == [
        "SUBSCRIPTION_ENDING", "SUBSCRIPTION", "growth", "growth", "2026-11-30",
    ]  # fmt: skip
    assert [alert[name] for name in ("remaining", "base", "invoice", "balance", "measure")] == [
        None
    ] * 5
    words = "Langganan growth akan berakhir: hari terakhirnya 30 November 2026."
    assert (alert["banner"], await banner(ask)) == (words, words)
    renewed = {"tenant": "one", "subscription": "growth", "idempotencyKey": "r"}
    made = await ask(RENEW, input=renewed)
    assert made["data"]["subscriptionRenew"]["userErrors"] == []
    assert await banner(ask) is None
    clock.at += 11 * DAY
    assert await banner(ask) is None
