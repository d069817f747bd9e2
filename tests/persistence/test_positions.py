"""Positions in free counts and tiers, from rows written by hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from domain.facts import Channel, Flag
from domain.periods import DAY, HOUR, month_label, zone
from persistence.door import Door
from persistence.explanations import Place
from persistence.positions import Count, positions
from tests.persistence.rows import CONVERSATIONS, NUMBER, TENANT, UNIT, WHATSAPP, Rows, rows_of

JAKARTA = zone("Asia/Jakarta")
NOVEMBER = month_label(2026, 11)
START, END = JAKARTA.month_bounds(NOVEMBER)
FIRST, SECOND, OTHER = 1, 2, 3  # rules

FREE = Count(
    tenant_id=TENANT, number_id=NUMBER, rules=(FIRST, SECOND), month=NOVEMBER,
    charged=False, kind=None, opening=False, entry=3 * DAY,
)  # fmt: skip
TIERS = replace(
    FREE, number_id=0, charged=True,
    kind=(Channel.WHATSAPP, "ID", "marketing"),
)  # fmt: skip


@pytest.fixture
async def rows(owner_url: str) -> AsyncIterator[Rows]:
    async with rows_of(owner_url) as rows:
        await rows.tenant()
        yield rows


@pytest.fixture
async def door(app_url: str) -> AsyncIterator[Door]:
    async with Door.open(app_url, size=2) as door:
        yield door


async def numbers(door: Door, count: Count, *facts: tuple[int, bytes]) -> list[int | None]:
    """The positions of facts, in whole units."""
    asked = [(count, Place(TENANT, at, key)) for at, key in facts]
    found = await positions(door, asked)
    return [found[one][1] // UNIT if one in found else None for one in asked]


async def test_a_free_count_is_counted_in_fact_order(rows: Rows, door: Door) -> None:
    """PR-4, TZ-5: the month at the number, free ones of the count's rules, ties by key."""
    for key, at, rule in (
        (b"b", START, FIRST),
        (b"a", START, SECOND),
        (b"c", START - 1, FIRST),
        (b"d", START + 1, OTHER),
        (b"e", START + 2, FIRST),
        (b"f", END, FIRST),
    ):
        await rows.fact(key, at, amount=0, rule_id=rule)
    await rows.fact(b"g", START + 1, amount=5, lot_id=1, rule_id=FIRST)
    december = replace(FREE, month=NOVEMBER + 1)

    assert await numbers(door, FREE, (START, b"a"), (START, b"b"), (START + 2, b"e")) == [1, 2, 3]
    assert await numbers(door, FREE, (START + 1, b"d"), (START + 1, b"g")) == [None, None]
    assert await numbers(door, december, (END, b"f")) == [1]


async def test_what_a_free_entry_window_lets_pass_is_not_counted(rows: Rows, door: Door) -> None:
    """PR-4, WI-2: from the answer that opened it to its end, of that contact alone."""
    await rows.fact(b"a", START, amount=0, rule_id=FIRST, flags=Flag.ENTRY_OPENED)
    await rows.fact(b"b", START + 3 * DAY - 1, amount=0, rule_id=FIRST)
    await rows.fact(b"c", START + 3 * DAY, amount=0, rule_id=FIRST)
    await rows.fact(b"d", START + 1, amount=0, rule_id=FIRST, party="6281100020")

    assert await numbers(
        door, FREE, (START, b"a"), (START + 1, b"d"), (START + 3 * DAY - 1, b"b"),
        (START + 3 * DAY, b"c"),
    ) == [None, 1, None, 2]  # fmt: skip


async def test_tiers_count_what_money_paid(rows: Rows, door: Door) -> None:
    """PR-7: charged units of the market and category, on all numbers; reversals do not count."""
    await rows.number(8, address="628110002")
    await rows.fact(b"a", START, amount=5, lot_id=1, rule_id=FIRST, balance_id=WHATSAPP)
    await rows.fact(b"b", START + 1, amount=0, rule_id=FIRST, balance_id=WHATSAPP)
    await rows.fact(b"c", START + 2, amount=1, lot_id=2, rule_id=FIRST, balance_id=CONVERSATIONS)
    await rows.fact(b"d", START + 3, flags=Flag.FURTHER)
    await rows.charge(b"d", START + 3, 0, {1: 2, 2: 3}, rule_id=SECOND, balance_id=WHATSAPP)
    await rows.fact(b"e", START + 4, amount=5, lot_id=1, rule_id=SECOND, balance_id=WHATSAPP)
    facts = [(START + n, key) for n, key in enumerate((b"a", b"b", b"c", b"d", b"e"))]

    assert await numbers(door, TIERS, *facts) == [1, None, None, 2, 3]
    assert await numbers(door, replace(TIERS, charged=None), *facts) == [1, 2, None, 3, 4]

    await rows.charge(
        b"d", START + 3, 0, {1: 2, 2: 3}, rule_id=SECOND, balance_id=WHATSAPP, reversal=True
    )
    await rows.charge(b"a", START, 0, {1: 5}, rule_id=FIRST, balance_id=WHATSAPP, reversal=True)
    assert await numbers(door, TIERS, *facts) == [None, None, None, None, 1]


async def test_many_counts_in_one_statement(rows: Rows, door: Door) -> None:
    await rows.fact(b"a", START, amount=0, rule_id=FIRST)
    await rows.fact(b"b", START + 1, amount=0, rule_id=OTHER)
    other = replace(FREE, rules=(OTHER,))

    found = await positions(
        door, [(FREE, Place(TENANT, START, b"a")), (other, Place(TENANT, START + 1, b"b"))]
    )
    assert set(found.values()) == {(UNIT, UNIT)}
    assert len(found) == 2


async def test_a_month_is_that_of_the_zone_the_number_has_then(rows: Rows, door: Door) -> None:
    """TZ-3, PR-4: from Jakarta to Bogota the number's November ends twelve hours later."""
    await rows.connection.execute(
        "update numbers set zones = $1",
        json.dumps([[None, "Asia/Jakarta"], [START, "America/Bogota"]]),
    )
    moments = [START - 1, START, END, END + 12 * HOUR - 1, END + 12 * HOUR]
    for n, at in enumerate(moments):
        await rows.fact(b"%d" % n, at, amount=0, rule_id=FIRST)
    facts = [(at, b"%d" % n) for n, at in enumerate(moments)]

    assert await numbers(door, FREE, *facts) == [None, 1, 2, 3, None]
    december = replace(FREE, month=NOVEMBER + 1)
    assert await numbers(door, december, *facts) == [None, None, None, None, 1]
    assert await numbers(door, replace(FREE, number_id=0), *facts) == [None, 1, 2, 3, None]
