"""A year of a business: its invoices, account, books and usage agree (IN-2, IN-8, FI-2).

One seat for Rp 100,000, in advance; marketing at Rp 586.33 is billed after its month, utility at
Rp 356.65 is paid before; the fourth and fifth visitor of a month are overage, Rp 600 each. PPN is
11 % of what is asked for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from domain.money import micros, text
from domain.periods import month_label
from domain.usage_lines import Share, charged
from persistence import charges, closed_usage, usage
from persistence.usage import Measure, Selection
from tests.api.invoicing.office import Office
from tests.api.invoicing.shops import Shop, offices, seats
from tests.api.invoicing.test_stories import mixed
from tests.conftest import Database


class Month(NamedTuple):
    """A month, and what it comes to by hand."""

    sent: int  #: marketing messages charged in it
    visitors: int
    exact: str  #: what those messages cost
    asked: str  #: the same, as it is asked for
    overage: str
    total: str  #: with 100,000 for the seat, and 11 % of all


#: The two messages of July that came after its close are August's: 8 and 2.
YEAR = (
    Month(1, 2, "586.33", "586", "0", "111650"),  # 100,586 + 11,064.46
    Month(2, 2, "1172.66", "1173", "0", "112302"),  # 101,173 + 11,129.03
    Month(3, 5, "1758.99", "1759", "1200", "114284"),  # 102,959 + 11,325.49
    Month(4, 2, "2345.32", "2345", "0", "113603"),  # 102,345 + 11,257.95
    Month(5, 2, "2931.65", "2932", "0", "114255"),  # 102,932 + 11,322.52
    Month(6, 5, "3517.98", "3518", "1200", "116237"),  # 104,718 + 11,518.98
    Month(7, 2, "4104.31", "4104", "0", "115555"),  # 104,104 + 11,451.44
    Month(10, 2, "5863.3", "5863", "0", "117508"),  # 105,863 + 11,644.93
    Month(9, 5, "5276.97", "5277", "1200", "118189"),  # 106,477 + 11,712.47
    Month(10, 2, "5863.3", "5863", "0", "117508"),
    Month(11, 2, "6449.63", "6450", "0", "118160"),  # 106,450 + 11,709.5
    Month(12, 5, "7035.96", "7036", "1200", "120142"),  # 108,236 + 11,905.96
)

SERIES = Selection(measures=(Measure.COST, Measure.MESSAGES_OUT, Measure.VISITORS))


@pytest.fixture
async def shop(database: Database, redis_url: str) -> AsyncIterator[Shop]:
    async with offices(database, redis_url, mixed()) as office:
        yield await year(office)


async def year(office: Office) -> Shop:
    """The year as it went by; the clock stands in January after it."""
    shop = await Shop.opened(office, "2026-01-01 08:00", plan="mixed-idr")
    await shop.subscribe("2026-01-01", seats("100000", "1"))
    await office.world.top_up(shop.name, "notices", 5_000_000_000, key="notices")
    for place, month in enumerate(YEAR, 1):
        of = f"2026-{place:02}"
        await shop.visitors(f"{of}-05 09:00", month.visitors)
        await shop.send(f"{of}-05 10:00", place)
        await shop.send(f"{of}-06 10:00", 2, category="utility")
        await shop.at(f"{of}-10 10:00")
        if place > 1:
            await shop.pay("100000")
        if place == 4:  # half a seat of March's invoice, and 11 % of it: 55,500
            await shop.credit("I-2026-000004", (4, "50000"))
        if place == 7:  # June's is made void, and issued again
            await shop.void("I-2026-000007")
            await shop.issue_again(2026, 6)
        if place == 8:
            await shop.send("2026-07-20 10:00", 2, told="adjusted")
    await shop.at("2027-01-04 00:00")
    return shop


async def test_each_month_is_asked_for_by_its_figures_and_all_of_it_agrees(shop: Shop) -> None:
    await months_are_as_worked_out(shop)
    await what_is_asked_given_back_and_paid_is_the_balance(shop)
    await what_is_billed_and_covered_is_what_was_charged(shop)
    await shop.verified()


async def months_are_as_worked_out(shop: Shop) -> None:
    """IN-5, IN-6: every line to the last digit, every total by its tax."""
    periods = {
        each.period: each
        for each in await shop.documents()
        if each.period is not None and each.kind.name == "INVOICE" and each.voided_at is None
    }
    for place, month in enumerate(YEAR, 1):
        found = periods[month_label(2026, place)]
        lines = {each.kind.value: each for each in found.invoice.lines if each.kind != "covered"}
        assert (lines["usage"].quantity, text(lines["usage"].exact)) == (
            str(month.sent), month.exact,
        )  # fmt: skip
        assert text(lines["usage"].amount) == month.asked
        assert ("overage" in lines) == (month.overage != "0")
        assert month.overage == "0" or text(lines["overage"].amount) == month.overage
        assert text(lines["recurring"].amount) == "100000"
        assert text(found.invoice.total) == month.total


async def what_is_asked_given_back_and_paid_is_the_balance(shop: Shop) -> None:
    """IN-2, IN-4: 111,000 and the twelve months 1,500,393, less 55,500 and 11 x 100,000."""
    documents = await shop.documents()
    of = {
        kind: sum(
            each.invoice.total for each in documents
            if each.invoice.kind == kind and each.voided_at is None
        )
        for kind in ("invoice", "credit_note")
    }  # fmt: skip
    account = await shop.books.account(shop.name)
    paid = sum(each.amount for each in account.payments)
    assert (text(of["invoice"]), text(of["credit_note"]), text(paid)) == (
        "1500393", "55500", "1100000",
    )  # fmt: skip
    assert text(of["invoice"] - of["credit_note"] - paid) == await shop.balance() == "344893"


async def what_is_billed_and_covered_is_what_was_charged(shop: Shop) -> None:
    """FI-2, IN-8: 80 x 586.33 + 24 x 356.65 = 55,466, by lines, by the series and by charges."""
    world, record = shop.office.world, shop.office.world.tenants[shop.name]
    zone, tenant_id = record.zone, record.tenant_id
    whole = 0
    for place, month in enumerate(YEAR, 1):
        label = month_label(2026, place)
        async with world.door.tenant_tx(tenant_id) as connection:
            closed = await closed_usage.find(connection, tenant_id, label)
        assert closed is not None
        shares = charged(closed.lines)
        cost = sum(shares["whatsapp"].values()) + sum(shares["notices"].values())
        assert cost == micros(month.exact) + 2 * micros("356.65")
        assert sum(shares["visitors"].values()) == micros(str(month.visitors))
        asked = usage.Asked(tenant_id=tenant_id, days=(zone.month_bounds(label),))
        (days,) = await usage.sums(world.door, SERIES, [asked])
        series = [sum(each.values[n] for each in days) for n in range(3)]
        assert series == [cost, month.sent + 2, month.visitors]
        whole += cost
    assert text(whole) == "55466"
    (found,) = await charges.pages(world.door, [charges.Asked(tenant_id=tenant_id)], limit=500)
    of_money = [each for each in found if each.currency is not None]
    assert sum(-each.amount if each.cursor.reversal else each.amount for each in of_money) == whole
    # Of 24 notices 5,000 was there before; the rest is owed, and on none of its invoices
    assert await shop.left("notices") == "-3559.6"
    async with world.door.tenant_tx(tenant_id) as connection:
        last = await closed_usage.find(connection, tenant_id, month_label(2026, 12))
    assert last is not None
    assert charged(last.lines)["notices"] == {Share.OWED: micros("713.3")}
