"""The demo's traffic: the same for a seed, in business hours, and taken by the real way in."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import pytest

from api.cli.businesses import BUSINESSES, SHOP
from api.cli.traffic import Business, Endless, Event, month, month_start
from domain.money import micros
from domain.periods import moment, zone
from tests.conftest import Database
from tests.scenarios.world import World

NOVEMBER = datetime.fromisoformat("2026-11-08T12:00:00Z")
NOW = int(NOVEMBER.timestamp()) * 1_000_000
DAY = 24 * 3600 * 1_000_000


def at(event: Event) -> int:
    return int(datetime.fromisoformat(event["time"]).timestamp() * 1_000_000)


def test_a_seed_is_a_month() -> None:
    first = month(BUSINESSES, 1, NOW)
    assert first == month(BUSINESSES, 1, NOW)
    assert first != month(BUSINESSES, 2, NOW)
    # What happened does not change because it is looked at later.
    later = month(BUSINESSES, 1, NOW + DAY)
    assert [event for event in later if at(event) < NOW] == first
    assert len(first) < len(later)


def test_the_month_is_in_order_and_every_fact_has_a_key_of_its_own() -> None:
    events = month(BUSINESSES, 1, NOW)
    times = [at(event) for event in events]
    assert times == sorted(times)
    assert max(times) < NOW
    keys = {(event["subject"], event["source"], event["id"]) for event in events}
    assert len(keys) == len(events)
    assert {event["subject"] for event in events} == {business.key for business in BUSINESSES}


@pytest.mark.parametrize("business", BUSINESSES, ids=lambda business: business.key)
def test_a_business_keeps_local_hours(business: Business) -> None:
    local = zone(business.timezone)
    events = month([business], 1, NOW)
    assert min(at(event) for event in events) >= month_start(business, NOW)
    hours = [(at(event) - local.day_start(at(event))) // 3_600_000_000 for event in events]
    assert min(hours) >= min(scene.opens for scene in business.scenes)
    # One Monday is busier than two Sundays.
    days = Counter(moment(at(event) + local.offset(at(event))).weekday() for event in events)
    assert days[0] > days[6]


def test_what_never_ends_is_the_same_for_a_seed_however_it_is_taken() -> None:
    whole = Endless(BUSINESSES, 1).take(300, NOW)
    pieces = Endless(BUSINESSES, 1)
    taken = [event for place in range(0, 300, 50) for event in pieces.take(50, NOW + place)]
    assert taken == whole
    assert len({event["id"] for event in whole}) == 300
    assert Endless(BUSINESSES, 2).take(300, NOW) != whole
    ids = {event["id"] for event in month(BUSINESSES, 1, NOW)}
    assert not ids & {event["id"] for event in whole}


async def test_the_real_way_in_takes_all_of_it(database: Database, redis_url: str) -> None:
    """EV-7: the sample plans charge all of it; nothing is refused, and no money runs out."""
    events = month(BUSINESSES, 1, NOW) + Endless(BUSINESSES, 1).take(400, NOW)
    async with World.open(database.app_url, redis_url) as world:
        world.clock.at = NOW + 1_000
        for business in BUSINESSES:
            plan = world.catalogue.plans[business.plan]
            await world.tenant(
                business.key,
                plan=business.plan,
                timezone=business.timezone,
                currency=plan.currency,
            )
            assert plan.timezone == business.timezone
            for channel, address in business.numbers:
                await world.number(business.key, address, channel, address)
            for balance, amount in business.top_ups:
                await world.top_up(
                    business.key,
                    balance,
                    micros(amount),
                    key=balance,
                    starts_at=month_start(business, NOW),
                )
        results = []
        for place in range(0, len(events), 5_000):
            results += await world.send(events[place : place + 5_000])
        wrong = [result for result in results if result["status"] not in ("accepted", "unrated")]
        assert wrong == []
        unrated = Counter(
            event["type"]
            for event, result in zip(events, results, strict=True)
            if result["status"] == "unrated"
        )
        assert unrated == {}
        for business in BUSINESSES:
            for balance, _ in business.top_ups:
                figures = await world.figures(business.key, balance)
                assert figures.total.remaining > 0, f"{business.key} {balance}"
        assert (await world.figures(SHOP.key, "whatsapp")).total.used > 0
