"""Months of businesses as they are invoiced, to the last digit (IN-1 to IN-8).

Each story is one business in Jakarta, unless it says otherwise: Rp 300,000 a seat, in advance; a
marketing message Rp 586.33; PPN is 12 % of 11/12, which is 11 %. A month is closed 72 hours after
its end. Every figure is worked out beside it by hand.
"""

from __future__ import annotations

import logging
import tomllib
from collections.abc import AsyncIterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

import persistence
from api.operations.subscription_create import AskedFees
from persistence.catalogue import written
from persistence.subscriptions import DeedKind
from tests.api.invoicing.office import Office
from tests.api.invoicing.shops import Shop, offices, seats
from tests.conftest import Database

Json = dict[str, Any]
SAMPLES = Path(persistence.__file__).parent / "samples"
POSTPAID: Json = written(tomllib.loads((SAMPLES / "plan-postpaid-idr.toml").read_text("utf-8")))


def scale() -> Json:
    """The sample plan with 2,500 visitors a month, where it has 1,000."""
    plan = deepcopy(POSTPAID) | {"plan": "scale-idr", "name": "Scale"}
    plan["balances"][1]["allowance"] = "2500"
    return plan


def mixed() -> Json:
    """Marketing is billed after the month, utility is paid before; a visitor beyond 3 is Rp 600."""
    plan = deepcopy(POSTPAID) | {"plan": "mixed-idr", "name": "Mixed"}
    plan["balances"][1]["allowance"] = "3"
    plan["balances"].append(
        {
            "balance": "notices", "name": "Notices", "kind": "money", "currency": "IDR",
            "allowance": "0", "carry": "always",
        }
    )  # fmt: skip
    messages, visitors = plan["chains"]
    plan["chains"] = [
        messages | {"categories": ["marketing"]},
        messages
        | {"categories": ["utility"], "steps": [{"balance": "notices", "basis": "per_message"}]},
        visitors,
    ]
    return plan


@pytest.fixture
async def office(
    database: Database, redis_url: str, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Office]:
    async with offices(database, redis_url, scale(), mixed()) as office:
        yield office
        said = caplog.get_records("call")
        assert [each.getMessage() for each in said if each.levelno >= logging.ERROR] == []


async def test_whoever_signs_up_on_the_31st_is_asked_for_days(office: Office) -> None:
    """IN-1, TZ-1: half past midnight of the 31st, when it is the 30th in UTC; three months."""
    shop = await Shop.opened(office, "2027-01-31 00:30")
    onboarding = {"key": "onboarding", "name": "Onboarding", "price": "500000"}
    await shop.subscribe("2027-01-31", setup=[onboarding], months=3, renews=False)
    # 10 x 300,000 x 1/31 = 96,774.193548; 11 % of 596,774 = 65,645.14
    assert await shop.bill("I-2027-000001") == [
        "setup: Onboarding: 1: 500000 -> 500000",
        "recurring: Seats from 31 January 2027 (1 of 31 days): 10 seat: 96774.193548 -> 96774",
        "596774 + 65645 = 662419",
    ]
    assert await shop.dates("I-2027-000001") == ("2027-01-31", "2027-02-14")
    # February and March have all their days, 28 and 31: 10 x 300,000
    await shop.at("2027-02-03 23:59")
    assert len(await shop.bills()) == 1
    await shop.at("2027-02-04 00:00")
    assert await shop.bill("I-2027-000002") == [
        "recurring: Seats: 10 seat: 3000000 -> 3000000", "3000000 + 330000 = 3330000",
    ]  # fmt: skip
    await shop.at("2027-03-04 00:00")
    assert (await shop.bill("I-2027-000003"))[-1] == "3000000 + 330000 = 3330000"
    # Three months from 31 January end before 30 April: the 29th is served. It is said 30 days ahead
    await shop.at("2027-03-30 00:00")
    assert "SUBSCRIPTION_ENDING main" in await shop.raised()
    # April: 3,000,000 x 29/30
    await shop.at("2027-04-04 00:00")
    assert await shop.bill("I-2027-000004") == [
        "recurring: Seats from 1 April 2027 to 29 April 2027 (29 of 30 days): 10 seat: "
        "2900000 -> 2900000",
        "2900000 + 319000 = 3219000",
    ]
    # What was sent in April is in arrears: 2 x 586.33 = 1,172.66; 11 % of 1,173 = 129.03
    await shop.send("2027-04-20 10:00", times=2)
    await shop.at("2027-05-04 00:00")
    assert await shop.bill("I-2027-000005") == [
        "usage: WhatsApp balance: marketing, ID: 2 message: 1172.66 -> 1173", "1173 + 129 = 1302",
    ]  # fmt: skip
    # Nothing is asked for May, and there is no sixth invoice
    await shop.at("2027-06-04 00:00")
    assert await shop.bills() == [
        "I-2027-000001 overdue 662419 662419",
        "I-2027-000002 overdue 3330000 3330000",
        "I-2027-000003 overdue 3330000 3330000",
        "I-2027-000004 overdue 3219000 3219000",
        "I-2027-000005 overdue 1302 1302",
    ]
    # 662,419 + 2 x 3,330,000 + 3,219,000 + 1,302
    assert await shop.balance() == "10542721"
    await shop.verified()


async def test_more_seats_count_from_their_day_and_fewer_from_the_next_month(
    office: Office,
) -> None:
    """IN-1: one more on 16 November is 15/30 of 300,000 = 150,000."""
    shop = await Shop.opened(office, "2026-11-01 08:00")
    await shop.subscribe("2026-11-01")
    assert (await shop.bill("I-2026-000001"))[-1] == "3000000 + 330000 = 3330000"
    await shop.at("2026-11-16 10:00")
    await shop.seats("11")
    await shop.at("2026-11-20 10:00")
    await shop.seats("9")
    # December: 9 x 300,000, and the one seat for 15 days; 11 % of 2,850,000
    await shop.at("2026-12-04 00:00")
    assert await shop.bill("I-2026-000002") == [
        "adjustment: Seats, 1 more from 16 November 2026 (15 of 30 days): 1 seat: 150000 -> 150000",
        "recurring: Seats: 9 seat: 2700000 -> 2700000",
        "2850000 + 313500 = 3163500",
    ]
    # Three more on the 10th: 3 x 300,000 x 22/31 = 638,709.677419. To 10 and then to 11 is less.
    await shop.at("2026-12-10 09:00")
    await shop.seats("12")
    await shop.at("2026-12-20 09:00")
    await shop.seats("10")
    await shop.at("2026-12-21 09:00")
    await shop.seats("11")
    # 638,710 + 11 x 300,000 = 3,938,710; 11 % = 433,258.1
    await shop.at("2027-01-04 00:00")
    assert await shop.bill("I-2027-000001") == [
        "adjustment: Seats, 3 more from 10 December 2026 (22 of 31 days): 3 seat: "
        "638709.677419 -> 638710",
        "recurring: Seats: 11 seat: 3300000 -> 3300000",
        "3938710 + 433258 = 4371968",
    ]
    await shop.at("2027-02-04 00:00")
    assert (await shop.bill("I-2027-000002"))[-1] == "3300000 + 363000 = 3663000"
    # 3,330,000 + 3,163,500 + 4,371,968 + 3,663,000
    assert await shop.balance() == "14528468"
    await shop.verified()


async def test_an_upgrade_is_there_at_once_and_a_downgrade_waits(office: Office) -> None:
    """BA-12, IN-1: 1,500 visitors more on 16 November, and 15/30 of what it costs more."""
    shop = await Shop.opened(office, "2026-11-01 08:00")
    await shop.subscribe("2026-11-01", plan="postpaid-idr")
    await shop.at("2026-11-10 10:00")
    await shop.visitors("2026-11-10 10:00", people=40)
    assert await shop.left("visitors") == "960"
    await shop.at("2026-11-16 10:00")
    dearer = AskedFees(name="Scale", components=[seats("600000")])
    await shop.change(DeedKind.PLAN, fees=dearer, plan="scale-idr")
    assert await shop.left("visitors") == "2460"  # 960 + 2,500 - 1,000
    # 10 x (600,000 - 300,000) x 15/30 = 1,500,000; then 10 x 600,000
    await shop.at("2026-12-04 00:00")
    assert await shop.bill("I-2026-000002") == [
        "covered: Monthly unique visitors: 40 visitor: 0 -> 0",
        "adjustment: Growth > Scale from 16 November 2026 (15 of 30 days): 1: 1500000 -> 1500000",
        "recurring: Seats: 10 seat: 6000000 -> 6000000",
        "7500000 + 825000 = 8325000",
    ]
    assert await shop.left("visitors") == "2500"
    await shop.at("2026-12-10 10:00")
    cheaper = AskedFees(name="Growth", components=[seats("300000")])
    await shop.change(DeedKind.PLAN, fees=cheaper, plan="postpaid-idr")
    assert await shop.left("visitors") == "2500"
    await shop.at("2027-01-04 00:00")
    assert await shop.bill("I-2027-000001") == [
        "recurring: Seats: 10 seat: 3000000 -> 3000000", "3000000 + 330000 = 3330000",
    ]  # fmt: skip
    assert await shop.left("visitors") == "1000"
    await shop.verified()


async def test_usage_that_comes_after_the_close_is_asked_for_once_by_the_next(
    office: Office,
) -> None:
    """EV-3, IN-7, IN-8: adjusted, in what is open by then."""
    shop = await Shop.opened(office, "2026-10-01 08:00")
    await shop.subscribe("2026-10-01")
    await shop.at("2026-10-20 10:00")
    await shop.send("2026-10-20 10:00")
    # 586.33 is 586; 3,000,586 x 11 % = 330,064.46
    await shop.at("2026-11-04 00:00")
    october = await shop.bill("I-2026-000002")
    assert october == [
        "usage: WhatsApp balance: marketing, ID: 1 message: 586.33 -> 586",
        "recurring: Seats: 10 seat: 3000000 -> 3000000",
        "3000586 + 330064 = 3330650",
    ]
    assert await shop.left("whatsapp") == "0"
    await shop.at("2026-11-05 10:00")
    await shop.send("2026-10-20 11:00", times=2, told="adjusted")
    await shop.send("2026-11-05 10:00")
    assert await shop.left("whatsapp") == "-1758.99"
    # November: 3 x 586.33 = 1,758.99, two of them October's; 3,001,759 x 11 % = 330,193.49
    await shop.at("2026-12-04 00:00")
    assert await shop.bill("I-2026-000003") == [
        "usage: WhatsApp balance: marketing, ID: 3 message: 1758.99 -> 1759",
        "recurring: Seats: 10 seat: 3000000 -> 3000000",
        "3001759 + 330193 = 3331952",
    ]
    await shop.at("2027-01-04 00:00")
    assert (await shop.bill("I-2027-000001"))[:-1] == [
        "recurring: Seats: 10 seat: 3000000 -> 3000000"
    ]
    assert await shop.bill("I-2026-000002") == october
    await shop.verified()


async def test_what_is_paid_given_back_and_made_void(office: Office) -> None:
    """IN-2, IN-3, IN-4: a part payment is no status, what is too much pays the next invoice."""
    shop = await Shop.opened(office, "2026-10-01 08:00")
    await shop.subscribe("2026-10-01")
    assert await shop.bills() == ["I-2026-000001 posted 3330000 3330000"]
    await shop.at("2026-10-05 10:00")
    await shop.pay("1000000")
    assert await shop.bills() == ["I-2026-000001 posted 3330000 2330000"]
    await shop.at("2026-10-15 00:00")  # 14 days after the 1st
    assert await shop.bills() == ["I-2026-000001 unpaid 3330000 2330000"]
    await shop.at("2026-10-16 00:00")
    assert await shop.bills() == ["I-2026-000001 overdue 3330000 2330000"]
    assert (await shop.raised())[-1] == "INVOICE_OVERDUE I-2026-000001"
    # 5,000,000 - 2,330,000 is 2,670,000 too much
    await shop.at("2026-10-20 10:00")
    await shop.pay("5000000")
    assert await shop.bills() == ["I-2026-000001 paid 3330000 0"]
    assert await shop.balance() == "-2670000"
    # which is taken from 3,330,000
    await shop.at("2026-11-04 00:00")
    assert (await shop.bills())[-1] == "I-2026-000002 posted 3330000 660000"
    assert await shop.balance() == "660000"
    # A seat of October is given back, 300,000 with its tax 333,000, and pays November
    await shop.at("2026-11-05 10:00")
    await shop.credit("I-2026-000001", (0, "300000"))
    assert await shop.bill("C-2026-000001") == [
        "credit: Seats: 1 part: 300000 -> 300000", "300000 + 33000 = 333000",
    ]  # fmt: skip
    assert await shop.bills() == [
        "I-2026-000001 paid 3330000 0", "I-2026-000002 posted 3330000 327000",
    ]  # fmt: skip
    await shop.pay("327000", "I-2026-000002")
    assert (await shop.bills())[-1] == "I-2026-000002 paid 3330000 0"
    assert await shop.balance() == "0"
    # November's invoice is made void and issued again, under the next number
    await shop.at("2026-12-04 00:00")
    before = await shop.bill("I-2026-000003")
    await shop.void("I-2026-000003")
    assert await shop.balance() == "0"
    await shop.at("2026-12-05 10:00")
    await shop.issue_again(2026, 11)
    assert (await shop.bills())[-2:] == [
        "I-2026-000003 void 3330000 0", "I-2026-000004 posted 3330000 3330000",
    ]  # fmt: skip
    assert await shop.bill("I-2026-000004") == before
    assert await shop.dates("I-2026-000004") == ("2026-12-05", "2026-12-19")
    # The next one asks for January, not for December again
    await shop.at("2027-01-04 00:00")
    assert await shop.bill("I-2027-000001") == [
        "recurring: Seats: 10 seat: 3000000 -> 3000000", "3000000 + 330000 = 3330000",
    ]  # fmt: skip
    assert await shop.balance() == "6660000"
    await shop.verified()


async def test_another_zone_ends_its_month_where_the_next_one_begins(office: Office) -> None:
    """TZ-3, IN-2: from Jakarta to Bogota, November 2026 is 2026-10-31T17:00Z to 12-01T05:00Z."""
    shop = await Shop.opened(office, "2026-10-01 08:00")
    await office.profile(shop.name, terms_days=31)
    await shop.subscribe("2026-10-01")
    assert await shop.dates("I-2026-000001") == ("2026-10-01", "2026-11-01")
    await shop.at("2026-10-10 10:00")
    await office.world.change_zone(shop.name, "America/Bogota", key="to-bogota")
    # The first day of November begins in Jakarta and ends in Bogota, after 36 hours
    for moment, called in (
        ("2026-10-31T16:59Z", "posted"), ("2026-10-31T17:00Z", "unpaid"),
        ("2026-11-02T04:59Z", "unpaid"), ("2026-11-02T05:00Z", "overdue"),
    ):  # fmt: skip
        await shop.until(moment)
        assert await shop.bills() == [f"I-2026-000001 {called} 3330000 3330000"]
        overdue = "INVOICE_OVERDUE I-2026-000001" in await shop.raised()
        assert overdue == (called == "overdue")
    # 72 hours after October; in Bogota it is noon of the 3rd
    await shop.until("2026-11-03T17:00Z")
    assert await shop.dates("I-2026-000002") == ("2026-11-03", "2026-12-04")
    # In Jakarta it is noon of 1 December, and still November here
    await shop.until("2026-12-01T04:59Z")
    await shop.send("2026-11-30 23:59")
    # 72 hours after the end of November, which is not that of Jakarta
    await shop.until("2026-12-04T04:59Z")
    assert (await shop.bills())[1:] == ["I-2026-000002 posted 3330000 3330000"]
    await shop.until("2026-12-04T05:00Z")
    assert (await shop.bills())[1] == "I-2026-000002 unpaid 3330000 3330000"
    assert await shop.bill("I-2026-000003") == [
        "usage: WhatsApp balance: marketing, ID: 1 message: 586.33 -> 586",
        "recurring: Seats: 10 seat: 3000000 -> 3000000",
        "3000586 + 330064 = 3330650",
    ]
    issued = await shop.said("I-2026-000003")
    assert (issued.zone, issued.period) == ("America/Bogota", (20_758, 20_787))  # 1 to 30
    assert await shop.dates("I-2026-000003") == ("2026-12-04", "2027-01-04")
    # December is of Bogota alone: 2026-12-01T05:00Z to 2027-01-01T05:00Z
    await shop.until("2027-01-04T04:59Z")
    assert len(await shop.bills()) == 3
    await shop.until("2027-01-04T05:00Z")
    assert (await shop.bills())[-1] == "I-2027-000001 posted 3330000 3330000"
    await shop.verified()


async def test_what_is_overdue_blocks_and_a_payment_lifts_it(office: Office) -> None:
    """IN-2, OC-1: marketing after three days, all of it after seven; usage is charged all along."""
    shop = await Shop.opened(office, "2026-11-01 08:00")
    await shop.dun(
        {"days": 1, "action": "remind"}, {"days": 3, "action": "block_marketing", "prepaid": True},
        {"days": 7, "action": "block_all"},
    )  # fmt: skip
    await shop.subscribe("2026-11-01")  # due on 15 November
    for day in ("15", "16", "17"):
        await shop.at(f"2026-11-{day} 00:00")
        assert await shop.dunned() is None
    await shop.at("2026-11-18 00:00")
    dunned = await shop.dunned()
    assert dunned is not None
    assert (dunned.refuses("marketing"), dunned.refuses("utility")) == (True, False)
    assert dunned.words == "invoice I-2026-000001 is overdue: pay IDR 3,330,000 to send again"
    await shop.send("2026-11-18 00:00")
    assert await shop.left("whatsapp") == "-586.33"
    # A part payment changes what is left to pay, and nothing else
    await shop.at("2026-11-20 10:00")
    await shop.pay("3000000")
    dunned = await shop.dunned()
    assert dunned is not None
    assert dunned.words.endswith("pay IDR 330,000 to send again")
    await shop.at("2026-11-22 00:00")
    dunned = await shop.dunned()
    assert dunned is not None
    assert (dunned.refuses("utility"), dunned.spares_prepaid("utility")) == (False, True)
    await shop.pay("330000")
    assert await shop.dunned() is None
    await shop.at("2026-12-03 00:00")
    assert await shop.raised() == [
        "INVOICE_ISSUED I-2026-000001",
        "INVOICE_OVERDUE I-2026-000001",  # on the 16th, with its reminder
        "INVOICE_OVERDUE I-2026-000001",
        "INVOICE_OVERDUE I-2026-000001",
        "INVOICE_PAID I-2026-000001",
    ]
    await shop.verified()


async def test_whoever_cancels_has_a_last_invoice_and_is_granted_nothing_more(
    office: Office,
) -> None:
    """IN-1, BA-12, BA-11: what is used after the end is charged all the same."""
    shop = await Shop.opened(office, "2026-11-01 08:00", plan="mixed-idr")
    await shop.subscribe("2026-11-01", plan="mixed-idr")
    await shop.visitors("2026-12-10 10:00", people=2)
    await shop.change(DeedKind.CANCEL)  # at the end of its month
    assert (await shop.raised())[-1] == "SUBSCRIPTION_ENDING main"
    assert await shop.granted("visitors") == "3"
    # December's last: nothing in advance, what was sent in arrears. 5 x 586.33 = 2,931.65
    await shop.send("2026-12-11 10:00", times=5)
    await shop.at("2027-01-02 09:00")
    assert (await shop.granted("visitors"), await shop.left("visitors")) == ("0", "0")
    await shop.visitors("2027-01-02 10:00", people=2)
    assert await shop.left("visitors") == "-2"
    # 11 % of 2,932 = 322.52
    await shop.at("2027-01-04 00:00")
    assert await shop.bill("I-2027-000001") == [
        "covered: Monthly unique visitors: 2 visitor: 0 -> 0",
        "usage: WhatsApp balance: marketing, ID: 5 message: 2931.65 -> 2932",
        "2932 + 323 = 3255",
    ]
    # The two of January had no allowance: 2 x 600, and 11 % = 132
    await shop.at("2027-02-04 00:00")
    assert await shop.bill("I-2027-000002") == [
        "overage: Monthly unique visitors: 2 visitor: 1200 -> 1200", "1200 + 132 = 1332",
    ]  # fmt: skip
    assert (await shop.granted("visitors"), await shop.left("visitors")) == ("0", "0")
    await shop.at("2027-03-04 00:00")
    assert len(await shop.bills()) == 4  # November's, December's, and these two
    await shop.verified()


async def test_each_way_that_usage_is_paid_on_one_invoice(office: Office) -> None:
    """IN-8, BA-5, BA-11: covered, asked for, overage; a prepaid overdraft is never invoiced."""
    shop = await Shop.opened(office, "2026-11-01 08:00", plan="mixed-idr")
    await shop.subscribe("2026-11-01", seats("100000", "1"))
    # Rp 1,000 is there before: it pays 1,000 of 3 x 586.33 = 1,758.99
    await office.world.top_up(shop.name, "whatsapp", 1_000_000_000, key="before")
    await shop.at("2026-11-10 10:00")
    await shop.send("2026-11-10 10:00", times=3)
    # 5 visitors of 3; 4 notices at 356.65 = 1,426.60, of which 1,000 is there
    await shop.visitors("2026-11-10 11:00", people=5)
    await office.world.top_up(shop.name, "notices", 1_000_000_000, key="notices")
    await shop.send("2026-11-10 12:00", times=4, category="utility")
    assert (await shop.left("whatsapp"), await shop.left("notices")) == ("-758.99", "-426.6")
    # 759 + 1,200 + 100,000 = 101,959; 11 % = 11,215.49
    await shop.at("2026-12-04 00:00")
    assert await shop.bill("I-2026-000002") == [
        "covered: Notices: utility, ID: 2 message: 1000 -> 0",
        "covered: Monthly unique visitors: 3 visitor: 0 -> 0",
        "overage: Monthly unique visitors: 2 visitor: 1200 -> 1200",
        "covered: WhatsApp balance: marketing, ID: 1 message: 1000 -> 0",
        "usage: WhatsApp balance: marketing, ID: 2 message: 758.99 -> 759",
        "recurring: Seats: 1 seat: 100000 -> 100000",
        "101959 + 11215 = 113174",
    ]
    # What was asked for is gone from the books, what is owed before it is paid for stays
    assert (await shop.left("whatsapp"), await shop.left("notices")) == ("0", "-426.6")
    # Rp 500 pays off 426.60; what was paid off in December is no usage, and no line
    await shop.at("2026-12-10 10:00")
    await office.world.top_up(shop.name, "notices", 500_000_000, key="paid-off")
    assert await shop.left("notices") == "73.4"
    await shop.at("2027-01-04 00:00")
    assert await shop.bill("I-2027-000001") == [
        "recurring: Seats: 1 seat: 100000 -> 100000", "100000 + 11000 = 111000",
    ]  # fmt: skip
    await shop.verified()


async def test_a_pause_waits_for_the_next_month_and_a_resumption_does_not(office: Office) -> None:
    """IN-1: nothing is set up twice, and a month that asks for nothing has no invoice."""
    shop = await Shop.opened(office, "2026-11-01 08:00")
    onboarding = {"key": "onboarding", "name": "Onboarding", "price": "500000"}
    await shop.subscribe("2026-11-01", setup=[onboarding])
    assert (await shop.bill("I-2026-000001"))[-1] == "3500000 + 385000 = 3885000"
    await shop.at("2026-11-10 10:00")
    await shop.change(DeedKind.PAUSE)
    await shop.at("2026-12-04 00:00")
    assert len(await shop.bills()) == 1
    await shop.at("2026-12-16 10:00")
    await shop.change(DeedKind.RESUME)
    # 3,000,000 x 16/31 = 1,548,387.096774; 11 % of 4,548,387 = 500,322.57
    await shop.at("2027-01-04 00:00")
    assert await shop.bill("I-2027-000001") == [
        "recurring: Seats from 16 December 2026 (16 of 31 days): 10 seat: "
        "1548387.096774 -> 1548387",
        "recurring: Seats: 10 seat: 3000000 -> 3000000",
        "4548387 + 500323 = 5048710",
    ]
    await shop.verified()


async def test_months_in_which_nothing_happens_leave_nothing_to_correct(office: Office) -> None:
    """EV-9, BA-12: what was granted and lapsed by itself stays as it is when the next is closed."""
    shop = await Shop.opened(office, "2026-01-01 08:00")
    await shop.subscribe("2026-01-01")
    for month in range(2, 7):
        await shop.at(f"2026-{month:02}-04 00:00")
    await shop.visitors("2026-06-10 10:00", people=2)
    await shop.at("2026-08-04 00:00")
    assert (await shop.granted("visitors"), await shop.left("visitors")) == ("1000", "1000")
    query = "select * from settlements where tenant_id = $1"
    assert await office.world.rows(shop.name, query) == []
    await shop.verified()
