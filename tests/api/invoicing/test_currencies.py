"""Months in currencies that show no decimals, two, or three, closed and invoiced (IN-5, IN-6)."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from domain.money import DISPLAY_DIGITS, text
from tests.api.invoicing.shops import Shop, offices, seats
from tests.api.invoicing.test_stories import POSTPAID
from tests.conftest import Database

Json = dict[str, Any]


def book(currency: str, price: str) -> Json:
    """A message costs so much, wherever it goes."""
    return {
        "book": f"book-{currency.lower()}", "about": "messages", "currency": currency,
        "rows": [
            {
                "row": "marketing", "valid_from": "2026-01-01", "channel": "whatsapp",
                "category": "marketing", "direction": "out", "market": "*",
                "basis": "per_message", "charged_on": "delivered", "price": price,
            },
            {
                "row": "visitor", "valid_from": "2026-01-01", "channel": "*",
                "category": "visitor", "direction": "in", "market": "*",
                "basis": "per_visitor", "price": "n/a",
            },
        ],
    }  # fmt: skip


def plan(currency: str, overage: str) -> Json:
    """The sample plan in another currency: two visitors a month, the third has a price."""
    changed = deepcopy(POSTPAID) | {
        "plan": f"plan-{currency.lower()}", "book": f"book-{currency.lower()}",
        "currency": currency,
    }  # fmt: skip
    money, visitors = changed["balances"]
    money["currency"] = currency
    visitors |= {"allowance": "2", "overage_price": overage}
    messages, people = changed["chains"]
    changed["chains"] = [messages | {"categories": ["marketing"]}, people]
    return changed


@pytest.mark.parametrize(
    ("currency", "price", "overage", "seat", "lines", "total"),
    [
        # 7 x 17.6584 = 123.6088; 2 x 10.25 = 20.5 and away from zero 21; 10 x 100.5 x 15/31 =
        # 486.290323. Taxes are 11 % of 124 + 21 + 1,005 = 1,150: 126.5, and away from zero 127
        ("CLP", "17.6584", "10.25", "100.5",
         ["123.6088 -> 124", "20.5 -> 21", "1005 -> 1005"], "1150 + 127 = 1277"),
        # 7 x 0.123456789012 = 0.864197523084, of which a charge has 0.123457; 2 x 0.0025 = 0.005
        # and away from zero 0.01. 11 % of 0.86 + 0.01 + 10.10 = 10.97: 1.2067
        ("USD", "0.123456789012", "0.0025", "1.01",
         ["0.864199 -> 0.86", "0.005 -> 0.01", "10.1 -> 10.1"], "10.97 + 1.21 = 12.18"),
        # 7 x 0.0105 = 0.0735 and away from zero 0.074; 2 x 0.00025 = 0.0005 and 0.001. 11 % of
        # 0.074 + 0.001 + 10.005 = 10.08: 1.1088
        ("KWD", "0.0105", "0.00025", "1.0005",
         ["0.0735 -> 0.074", "0.0005 -> 0.001", "10.005 -> 10.005"], "10.08 + 1.109 = 11.189"),
        # 7 x 3.5 = 24.5 and 25; 2 x 0.3 = 0.6 and 1. 11 % of 25 + 1 + 1,000 = 1,026: 112.86
        ("JPY", "3.5", "0.3", "100",
         ["24.5 -> 25", "0.6 -> 1", "1000 -> 1000"], "1026 + 113 = 1139"),
    ],
)  # fmt: skip
async def test_a_month_in_a_currency(
    database: Database, redis_url: str, currency: str, price: str, overage: str, seat: str,
    lines: list[str], total: str,
) -> None:  # fmt: skip
    """IN-5: exact beside rounded once, to what the currency shows; the rest is in the journal."""
    books = (book(currency, price),)
    async with offices(database, redis_url, plan(currency, overage), books=books) as office:
        shop = await Shop.opened(
            office, "2026-10-17 08:00", plan=f"plan-{currency.lower()}", currency=currency
        )
        await shop.subscribe("2026-10-17", seats(seat))
        await shop.send("2026-10-20 10:00", times=7)
        await shop.visitors("2026-10-20 11:00", people=4)
        await shop.at("2026-11-04 00:00")
        *found, summed = await shop.bill("I-2026-000002")
        assert [each.rpartition(": ")[2] for each in found if "covered" not in each] == [
            lines[1], lines[0], lines[2],
        ]  # fmt: skip
        assert summed == total
        await agrees(shop)


async def agrees(shop: Shop) -> None:
    """Nothing is finer than what is shown; what lines were rounded by is in the journal."""
    rounding = 0
    for each in await shop.documents():
        invoice = each.invoice
        digits, asked = DISPLAY_DIGITS[invoice.currency], [line.amount for line in invoice.lines]
        for amount in (invoice.net, invoice.tax, invoice.total, *asked):
            assert len(text(amount).partition(".")[2]) <= digits
        assert sum(asked) + invoice.tax == invoice.total
        rounding += invoice.rounding
    (entered,) = await shop.office.world.rows(
        shop.name, "select sum(rounding)::bigint as rounding from journal where tenant_id = $1"
    )
    assert entered["rounding"] == rounding != 0
    # It pays all of it, in what the currency shows
    await shop.pay(await shop.balance())
    assert await shop.balance() == "0"
    await shop.verified()
