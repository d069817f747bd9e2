"""What a business reads of its invoices: each document as it was issued, in each language (IN-4).

A seat is Rp 300,000, a marketing message Rp 586.33, a visitor beyond 3 is Rp 600; PPN is 12 % of
11/12. What the pages say stands in `goldens`, as a reader of PDF finds it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from api.documents.lines import lines_csv
from api.operations import billing_set, issuer_publish
from api.operations.billing_set import BillingSet
from api.paying.port import Standing
from domain.invoices import Invoice
from domain.money import micros
from domain.money import text as spelt
from persistence.invoices import Kind
from tests.api.documents.test_printing import text
from tests.api.invoicing.office import Office
from tests.api.invoicing.shops import Shop, offices
from tests.api.invoicing.test_stories import mixed
from tests.api.paying.test_collecting import bought
from tests.api.paying.till import Till
from tests.conftest import Database
from tests.scenarios.world import OPERATOR

Json = dict[str, Any]
GOLDENS = Path(__file__).parent / "goldens"

ISSUER: Json = {
    "issuer": "kuota", "name": "PT Kuota Pesan Nusantara",
    "lines": ["Jl. Jenderal Sudirman Kav. 52-53", "Jakarta 12190"], "country": "ID",
    "tax_id": "01.234.567.8-901.000", "email": "billing@kuota.example",
    "pay": "Transfer to BCA 123-456-7890.",
}  # fmt: skip
PARTY: Json = {
    "name": "PT Toko Maju", "lines": ["Jl. Asia Afrika 8", "Bandung 40111"],
    "tax_id": "02.111.222.3-444.000", "email": "finance@toko.example", "reference": "PO 4711",
}  # fmt: skip

#: Net, tax and total of each document, by hand.
SUMS = {
    # 10 x 300,000 x 16/31 = 1,548,387.096774, and 50,000: 1,598,387 x 11 % = 175,822.57
    "start": ("1598387", "175823", "1774210"),
    # 3 x 586.33 = 1,758.99, 2 x 600, 3,000,000: 3,002,959 x 11 % = 330,325.49
    "period": ("3002959", "330325", "3333284"),
    # 500 visitors for 300,000
    "top_up": ("300000", "33000", "333000"),
    # A seat of November, 300,000, and 759 of the messages: 300,759 x 11 % = 33,083.49
    "credit_note": ("300759", "33083", "333842"),
    # November's two messages: 1,172.66, and December: 3,001,173 x 11 % = 330,129.03
    "draft": ("3001173", "330129", "3331302"),
}


@pytest.mark.parametrize("locale", ["en", "id", "es"])
async def test_every_document_says_what_was_issued(
    database: Database, redis_url: str, locale: str
) -> None:
    """IN-2, IN-4, IN-5, IN-6, IN-8: pages, lines and sums; the same bytes each time."""
    async with offices(database, redis_url, plan()) as office:
        documents = await story(office, locale)
    for name, invoice in documents.items():
        assert (spelt(invoice.net), spelt(invoice.tax), spelt(invoice.total)) == SUMS[name], name
        assert text(invoice) == golden(f"{name}.{locale}.txt"), name
        lines_come_to(invoice)
    period = lines_csv(documents["period"]).decode()
    assert period.replace("\r\n", "\n") == golden("period.csv") + "\n"


def lines_come_to(invoice: Invoice) -> None:
    """The file of the lines comes to what the document says before tax."""
    rows = list(csv.DictReader(io.StringIO(lines_csv(invoice).decode())))
    asked = [micros(row["amount"], signed=True) for row in rows]
    assert sum(asked) == invoice.net == invoice.total - invoice.tax
    assert [micros(row["exact"], signed=True) for row in rows] == [
        line.exact for line in invoice.lines
    ]
    assert {row["number"] for row in rows} == {invoice.number or ""}


def golden(name: str) -> str:
    return (GOLDENS / name).read_text("utf-8").rstrip("\n")


def plan() -> Json:
    """Marketing after the month, 3 visitors a month, and 500 more for Rp 300,000."""
    found = mixed()
    found["balances"][1]["top_up"] = {"pack": "500", "price": "300000", "minimum": "300000"}
    return found


async def story(office: Office, locale: str) -> Mapping[str, Invoice]:
    """From 16 October to 4 December; gives the documents that it was issued, and a draft."""
    shop = await Shop.opened(
        office, "2026-10-16 08:00", name="toko-maju", plan="mixed-idr", locale=locale
    )
    world, till = office.world, Till.of(office.world)
    published = await issuer_publish.run(world.door, world.catalogue, ISSUER, now=world.clock.now())
    assert not published.problems
    await say(shop, issuer="kuota")
    setup = {"key": "onboarding", "name": "Onboarding", "price": "50000"}
    await shop.subscribe("2026-10-16", setup=[setup])
    await world.top_up(shop.name, "notices", 1_000_000_000, key="notices")
    await shop.send("2026-10-20 10:00", times=3)
    await shop.visitors("2026-10-20 11:00", people=5)
    await shop.send("2026-10-20 12:00", times=2, category="utility")
    await shop.at("2026-11-04 00:00")
    await shop.at("2026-11-10 10:00")
    number = await bought(till, shop.name)
    await till.paying.soon(world.tenants[shop.name].tenant_id, number)
    ((_, (payment,)),) = await till.purchases(shop.name)
    await till.sandbox.decide(payment.payment_key, Standing.PAID)
    await till.quiet()
    await shop.credit("INV-2026-000002", (4, "300000"), (3, "759"))
    await say(shop, issue="review")
    await shop.send("2026-11-20 10:00", times=2)
    await shop.at("2026-12-04 00:00")
    await shop.verified()
    found = {}
    for each in await shop.documents():
        if each.kind is Kind.CREDIT_NOTE:
            name = "credit_note"
        elif each.issued_at is None:
            name = "draft"
        else:
            name = each.origin.name.lower()
        found[name] = each.invoice
    assert found.keys() == SUMS.keys()
    return found


async def say(shop: Shop, **agreed: Any) -> None:
    """What it says of itself for its invoices, and what is agreed with it."""
    world = shop.office.world
    request = BillingSet(
        tenant=shop.name, party=PARTY, agreed=agreed, idempotency_key=f"say-{sorted(agreed)}"
    )
    await billing_set.run(
        world.door, world.catalogue, world.show, OPERATOR, request, now=world.clock.now()
    )
