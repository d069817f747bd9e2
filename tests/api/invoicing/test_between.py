"""What is done around a closing: refunds, invoicing off and on, agreements dated back (IN-7)."""

from __future__ import annotations

import pytest

from api import ids
from domain.problems import Problem
from persistence import terms
from tests.api.invoicing.office import Office, names
from tests.api.invoicing.test_closing import office, tenant

__all__ = ["office"]


async def left(office: Office, shop: str) -> int:
    return (await office.world.figures(shop, "whatsapp")).total.remaining


async def refund(office: Office, shop: str) -> None:
    """Give the latest charge back."""
    charge = (await office.world.charges(shop))[0]
    name = ids.encode_charge(*charge.cursor)
    await office.world.refund(shop, key=f"refund-{next(names)}", charge=name)


@pytest.mark.parametrize("day", ["2026-11-02", "2026-11-05"])
async def test_a_refund_of_what_an_invoice_asks_for_is_nobody_s_to_lose(
    office: Office, day: str
) -> None:
    """BA-8, IN-8: before the closing or after it, it comes back for good."""
    shop = await tenant(office)
    await office.subscribe(shop, "2026-10-16")
    await office.at(shop, "2026-10-20 10:00")
    await office.send(shop, "wa", "2026-10-20 10:00", times=3)
    await office.at(shop, f"{day} 10:00")
    await refund(office, shop)
    await office.at(shop, "2026-11-06 00:00")
    assert await left(office, shop) == 586_330_000
    number = next(each.number for each in await office.invoices(shop) if each.period)
    assert (await office.lines(shop, number))[0] == (
        "usage: WhatsApp balance: marketing, ID: 3 message 1758.99 -> 1759"
    )
    await office.at(shop, "2026-12-05 00:00")
    assert await left(office, shop) == 586_330_000
    assert (await office.verify(shop)).wrong == 0


async def test_who_is_invoiced_again_has_no_month_left_out(office: Office) -> None:
    """IN-7: off in November and on in December, November is invoiced all the same."""
    shop = await tenant(office)
    await office.subscribe(shop, "2026-10-16")
    await office.at(shop, "2026-11-12 10:00")
    await office.profile(shop, invoicing=False)
    await office.at(shop, "2026-12-05 10:00")
    assert [each.period and each.period % 12 + 1 for each in await office.invoices(shop)] == [
        None, 10,
    ]  # fmt: skip
    await office.profile(shop, invoicing=True)
    await office.quiet()
    assert (await office.invoices(shop))[-1].period == 2026 * 12 + 10


async def test_what_is_agreed_for_closed_months_is_asked_for_at_once(office: Office) -> None:
    """IN-1: agreed in November from 10 October on, when October is closed."""
    shop = await tenant(office)
    await office.at(shop, "2026-11-05 10:00")
    await office.close(shop, 2026, 10)
    await office.at(shop, "2026-11-10 10:00")
    await office.subscribe(shop, "2026-10-16")
    await office.quiet()
    (first,) = await office.invoices(shop)
    assert await office.lines(shop, first.number) == [
        "recurring: Seats from 16 October 2026 (16 of 31 days): 10 seat 1548387.096774 -> 1548387",
        "recurring: Seats: 10 seat 3000000 -> 3000000",
    ]
    await office.at(shop, "2026-12-04 00:00")
    assert await office.lines(shop, (await office.invoices(shop))[-1].number) == [
        "recurring: Seats: 10 seat 3000000 -> 3000000"
    ]


async def test_a_top_up_is_taxed_by_the_country_that_was_agreed(office: Office) -> None:
    """IN-6: as every other invoice of the tenant."""
    shop = await tenant(office, "omnichannel-idr")
    await office.profile(shop, country="SG")
    world, tenant_id = office.world, office.world.tenants[shop].tenant_id
    async with world.door.tenant_tx(tenant_id) as connection:
        (own,) = await terms.by_ids(connection, world.catalogue, [tenant_id])
    assert (own.country, own.tax_country) == ("ID", "SG")


async def test_who_closes_second_is_told(office: Office) -> None:
    """EV-3: also where both began before the first had ended."""
    shop = await tenant(office)
    await office.at(shop, "2026-11-05 10:00")
    await office.close(shop, 2026, 10)
    with pytest.raises(Problem) as told:
        await office.close(shop, 2026, 10)
    assert told.value.code == "ALREADY_CLOSED"
