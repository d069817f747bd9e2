"""What the demo shows of a business that is invoiced: a year of it, a payment, a credit note.

Owns who asks, what was agreed, and how it is told. Nothing here closes a month: the demo's server
does, one after the other, as it would after each month; what came of it is read back from the API.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, TypeVar

import httpx2

from api.cli.businesses import CAFE
from api.cli.founding import Word, ask, mutation
from api.cli.low import News
from api.cli.low import read as asked
from api.cli.operating import operate_on
from api.cli.terminal import Failure
from api.cli.traffic import Event, month
from api.invoicing.scheduling import due_at
from api.operations import issuer_publish
from api.settings import Clock
from domain.periods import date_of, iso, month_name, zone
from persistence.catalogue import written
from persistence.door import Door

T = TypeVar("T")

#: Who asks, as `book publish` takes it. SAMPLE DATA of 2026-11-22: nobody is called so.
ISSUER = """
issuer = "default"
sample = true
dated = 2026-11-22
name = "PT Contoh Pesan Nusantara"
lines = ["Jl. Contoh 12", "Jakarta 10110"]
country = "ID"
tax_id = "00.000.000.0-000.000"
email = "billing@example.com"
terms_days = 14
pay = "Bank Contoh, account 000-000-0000, in the name of PT Contoh Pesan Nusantara."
"""
#: Who is asked.
BUYER = {
    "name": "PT Kopi Demo",
    "lines": ["Jl. Contoh 34", "Bandung 40115"],
    "taxId": "00.000.000.1-000.000",
    "email": "keuangan@example.com",
    "reference": "PO-0042",
}
FEES = {
    "name": "Growth",
    "components": [
        {"key": "platform", "name": "Platform", "unit": "month", "price": "750000"},
        {"key": "seats", "name": "Seats", "unit": "seat", "price": "150000", "quantity": "5"},
    ],
    "setup": [{"key": "onboarding", "name": "Onboarding", "price": "1500000"}],
}
#: Months that may be over since the one in whose middle it begins, that one included.
MONTHS_MAX = 11
FIRST_DAY = 15
#: Paid in when it began; it covers what is used as long as it lasts.
PAID_IN = "150000"
#: Of the last invoices nothing is paid yet.
UNPAID = 2
#: What is given back: one seat of a month.
SEAT = "150000"

LOOK_SECONDS = 0.5
INVOICES = """
{ tenant(key: "%s") { invoices(first: 20) { nodes {
    number month issuedOn dueOn status total { value formatted } balance { value formatted }
    lines(first: 12) { kind unit description amount { value } } } } } }
"""
DONE = """
{ tenant(key: "%s") {
    account { payments(first: 1) { nodes { amount { formatted } invoices { number } } } }
    invoice(number: "%s") {
      balance { formatted } creditNotes { number note total { value formatted } } } } }
"""


def publish(url: str | None) -> None:
    """Have invoices issued in the name of somebody, before anything is served."""

    async def act(door: Door) -> None:
        document = dict(written(tomllib.loads(ISSUER)))
        done = await issuer_publish.run(door, None, document, now=Clock().now())
        if done.problems:
            raise Failure(f"the demo's issuer: {done.problems[0]}")

    operate_on(url, act)


def past(seed: int, now: int, months: int) -> list[Event]:
    """What the business did in the months that are to be closed."""
    local = zone(CAFE.timezone)
    first, last = _months(now, months)
    since, _ = local.day_bounds(_first_day(now, months))
    found: list[Event] = []
    for label in range(first, last + 1):
        found += month([CAFE], seed, local.month_bounds(label)[1] - 1)
    return [event for event in found if event["time"] >= iso(since)]


async def agree(client: httpx2.AsyncClient, now: int, months: int) -> None:
    """Subscribe the business to fees since so many months, and so have them invoiced."""
    start = _first_day(now, months)
    since, _ = zone(CAFE.timezone).day_bounds(start)
    await ask(
        client,
        [
            mutation("billingSet", tenant=CAFE.key, idempotencyKey="demo-billing", **BUYER),
            mutation(
                "topUpCreate", tenant=CAFE.key, balance="whatsapp", amount=PAID_IN,
                startsAt=iso(since), note="the demo's",
                idempotencyKey="demo-whatsapp",
            ),
            mutation(
                "subscriptionCreate", tenant=CAFE.key, start=str(date_of(start)),
                idempotencyKey="demo-subscription", **FEES,
            ),
        ],
    )  # fmt: skip


async def follow(client: httpx2.AsyncClient, now: int, news: News) -> None:
    """Tell of each invoice as it is issued, then pay most of them and give something back."""
    last = month_name(_months(now, 1)[1])
    found: list[dict[str, Any]] = []
    while not any(each["month"] == last for each in found):
        before = len(found)
        found = await _patient(lambda: _invoices(client))
        for invoice in found[before:]:
            news.tell(_line(invoice), {"event": "invoice", **invoice})
        await asyncio.sleep(LOOK_SECONDS)
    paid, back = found[:-UNPAID], found[-UNPAID]
    (line,) = (
        place for place, each in enumerate(back["lines"])
        if (each["kind"], each["unit"]) == ("RECURRING", "seat")
    )  # fmt: skip
    given = [
        mutation(
            "paymentRecord", tenant=CAFE.key, method=Word("BANK_TRANSFER"),
            amount=str(sum(Decimal(each["balance"]["value"]) for each in paid)),
            invoices=[each["number"] for each in paid],
            receivedOn=str(date_of(zone(CAFE.timezone).date(now))), reference="TRF-2211",
            idempotencyKey="demo-paid",
        ),
        mutation(
            "creditNoteCreate", tenant=CAFE.key, invoice=back["number"],
            lines=[{"line": line, "amount": SEAT}], reason="One seat was not used",
            idempotencyKey="demo-seat",
        ),
    ]  # fmt: skip
    await _patient(lambda: ask(client, given))
    answer = await _patient(lambda: asked(client, DONE % (CAFE.key, back["number"])))
    tenant = answer["tenant"]
    (payment,), (note,) = tenant["account"]["payments"]["nodes"], tenant["invoice"]["creditNotes"]
    numbers = [each["number"] for each in payment["invoices"]]
    news.tell(
        f"payment  {payment['amount']['formatted']} pays {numbers[0]} to {numbers[-1]}",
        {"event": "payment", **payment},
    )
    news.tell(
        f"credit   {note['number']} of {back['number']}: {note['total']['formatted']}"
        f" given back, {tenant['invoice']['balance']['formatted']} left to pay",
        {"event": "credit", "of": back["number"], **note},
    )
    await asyncio.Event().wait()


async def _patient(call: Callable[[], Awaitable[T]]) -> T:
    """What a call gives once the server answers; whether it ever does is the panel's to say."""
    while True:
        try:
            return await call()
        except httpx2.TransportError:
            await asyncio.sleep(LOOK_SECONDS)


def _months(now: int, months: int) -> tuple[int, int]:
    """The first and the last of so many months, which are due to be closed."""
    local = zone(CAFE.timezone)
    last = local.month(now) - 1
    if now < due_at(local, last):
        last -= 1
    return last - months + 1, last


def _first_day(now: int, months: int) -> int:
    """The local day on which the subscription begins."""
    local = zone(CAFE.timezone)
    return local.date(local.month_bounds(_months(now, months)[0])[0]) + FIRST_DAY - 1


async def _invoices(client: httpx2.AsyncClient) -> list[dict[str, Any]]:
    """All of the business, in the order of their issue."""
    answer = await asked(client, INVOICES % CAFE.key)
    nodes: list[dict[str, Any]] = answer["tenant"]["invoices"]["nodes"]
    return sorted(nodes, key=lambda each: str(each["number"]))


def _line(invoice: dict[str, Any]) -> str:
    what = f"of {invoice['month']}" if invoice["month"] else "of its start"
    return (
        f"invoice  {invoice['number']} {what}: {invoice['total']['formatted']},"
        f" due {invoice['dueOn']}"
    )
