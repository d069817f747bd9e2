"""Sums of usage from the rollups."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.schema.metric import Metric
from domain.facts import Channel, Direction
from domain.periods import DAY, HOUR, month_label, zone
from domain.rollup import USAGE
from persistence import usage
from persistence.door import Door
from persistence.usage import Asked, Dimension, Measure, Selection, Sum, Total, sums, totals
from tests.persistence.rows import TENANT, Rows, rows_of

START, END = zone("Asia/Jakarta").month_bounds(month_label(2026, 11))
BOTH = ("usage_hour", "usage_day")


@pytest.fixture
async def rows(owner_url: str) -> AsyncIterator[Rows]:
    async with rows_of(owner_url) as rows:
        await rows.tenant()
        yield rows


@pytest.fixture
async def door(app_url: str) -> AsyncIterator[Door]:
    async with Door.open(app_url, size=1) as door:
        yield door


def sent(*group_by: Dimension, **only: tuple[str, ...]) -> Selection:
    return Selection(
        measures=(Measure.MESSAGES_OUT,),
        group_by=group_by,
        only=tuple((Dimension[name.upper()], values) for name, values in only.items()),
    )


async def answer(
    door: Door, selection: Selection, *, hours: bool = False
) -> dict[tuple[str, ...], int]:
    """All of November, by the values grouped by."""
    stretch = ((START, END),)
    asked = Asked(tenant_id=TENANT, **({"hours": stretch} if hours else {"days": stretch}))
    (found,) = await sums(door, selection, [asked])
    assert len({(each.bucket, each.key) for each in found}) == len(found)
    return {each.key: each.values[0] for each in found}


async def test_hours_and_days_are_read_where_asked(rows: Rows, door: Door) -> None:
    """FI-3: a day cut by the range comes from its hours, whole days from days; ends are outside."""
    for hour in (START, START + 5 * HOUR, START + DAY):
        await rows.usage(hour, messages_out=1, visitors=2)
    for day in (START, START + DAY, START + 2 * DAY, START + 3 * DAY):
        await rows.usage(day, tables=("usage_day",), messages_out=10, visitors=20)

    (found,) = await sums(
        door,
        Selection(measures=(Measure.MESSAGES_OUT, Measure.VISITORS)),
        [
            Asked(
                tenant_id=TENANT,
                hours=((START + HOUR, START + DAY), (START + 3 * DAY, START + 3 * DAY + HOUR)),
                days=((START + DAY, START + 3 * DAY),),
            )
        ],
    )

    assert sorted(found, key=lambda each: each.bucket) == [
        Sum(START + 5 * HOUR, (), (1, 2)),
        Sum(START + DAY, (), (10, 20)),
        Sum(START + 2 * DAY, (), (10, 20)),
    ]


async def test_split_by_every_dimension(rows: Rows, door: Door) -> None:
    """FI-4: number, channel, country, direction, category, user, broadcast."""
    await rows.number(8, channel=Channel.SMS, address="628110002")
    await rows.usage(START, messages_out=1, agent="ani", tables=BOTH)
    await rows.usage(
        START, messages_out=2, number_id=8, country="", category="utility", broadcast="promo",
        direction=Direction.NONE, tables=BOTH,
    )  # fmt: skip
    await rows.usage(START, messages_out=4, country="SG", direction=Direction.IN, tables=BOTH)

    assert [await answer(door, sent(each)) for each in Dimension] == [
        {("628110001",): 5, ("628110002",): 2},
        {("whatsapp",): 5, ("sms",): 2},
        {("ID",): 1, ("",): 2, ("SG",): 4},
        {("out",): 1, ("",): 2, ("in",): 4},
        {("marketing",): 5, ("utility",): 2},
        {("ani",): 1, ("",): 6},
        {("",): 5, ("promo",): 2},
    ]
    assert await answer(door, sent(Dimension.CHANNEL, Dimension.COUNTRY), hours=True) == {
        ("whatsapp", "ID"): 1, ("sms", ""): 2, ("whatsapp", "SG"): 4
    }  # fmt: skip


async def test_filters_narrow(rows: Rows, door: Door) -> None:
    await rows.number(8, channel=Channel.SMS, address="628110002")
    await rows.usage(START, messages_out=1, agent="ani", tables=BOTH)
    await rows.usage(START, messages_out=2, number_id=8, category="utility", tables=BOTH)
    await rows.usage(START, messages_out=4, country="SG", broadcast="promo", tables=BOTH)
    await rows.usage(START, messages_in=9, direction=Direction.IN, tables=BOTH)

    async def out(**only: tuple[str, ...]) -> int:
        return (await answer(door, sent(**only))).get((), 0)

    assert await out() == 7
    assert await out(channel=("sms",)) == 2
    assert await out(number=("628110001", "unheard-of")) == 5
    assert await out(country=("SG", "ID"), category=("marketing",)) == 5
    assert await out(user=("ani",)) == 1
    assert await out(broadcast=("promo",)) == 4
    assert await out(direction=("in",)) == 0
    assert await out(channel=("sms",), country=("SG",)) == 0
    assert await out(country=()) == 0


async def test_every_measure_is_of_its_columns(rows: Rows, door: Door) -> None:
    """FI-4 and FI-5: what is apart adds up to what is together."""
    columns: dict[str, Any] = {name: n for n, name in enumerate(USAGE, 1)}
    await rows.usage(START, **columns)

    (found,) = await sums(
        door,
        Selection(measures=tuple(Measure)),
        [Asked(tenant_id=TENANT, hours=((START, END),))],
    )

    values = dict(zip(Measure, found[0].values, strict=True))
    assert (found[0].bucket, found[0].key, len(found)) == (START, (), 1)
    assert values == {
        **dict.fromkeys(Measure, 0),
        **{
            measure: columns[measure.sql.removeprefix("u.")]
            for measure in Measure
            if measure.sql.removeprefix("u.") in columns
        },
        Measure.CONVERSATIONS_BUSINESS: columns["conversations"],
        Measure.MESSAGES_MARKETING: columns["messages_out"] - columns["messages_free"],
        Measure.COST_TOP_UP: columns["cost"] - columns["initial_cost"],
    }
    direct = [measure for measure in Measure if measure.sql.removeprefix("u.") in columns]
    assert len(direct) == len(USAGE)


@pytest.mark.parametrize(
    ("category", "conversation", "card"),
    [
        ("", "SERVICE", "SERVICE"),
        ("service", "SERVICE", "SERVICE"),
        ("marketing", "BUSINESS", "MARKETING"),
        ("utility", "BUSINESS", "UTILITY"),
        ("authentication", "BUSINESS", "AUTHENTICATION"),
        ("authentication_international", "BUSINESS", "AUTHENTICATION"),
        ("of_next_year", "BUSINESS", "SERVICE"),
    ],
)
async def test_a_message_is_on_one_card(
    rows: Rows, door: Door, category: str, conversation: str, card: str
) -> None:
    """FI-4: the five add up to what was delivered, and a conversation is of its first message."""
    await rows.usage(START, category=category, messages_out=7, messages_free=3, conversations=2)
    measures = tuple(
        measure for measure in Measure if measure.name.startswith(("MESSAGES_", "CONVERSATIONS"))
    )

    (found,) = await totals(
        door,
        Selection(measures=measures),
        [Asked(tenant_id=TENANT, hours=((START, END),))],
    )

    values = {
        measure.name: value
        for measure, value in zip(measures, found[0].values, strict=True)
        if value
    }
    assert values == {
        "CONVERSATIONS": 2, f"CONVERSATIONS_{conversation}": 2, "MESSAGES_OUT": 7,
        f"MESSAGES_{card}": 4, "MESSAGES_FREE": 3,
    }  # fmt: skip


def test_what_is_money_has_millionths() -> None:
    of_money = {measure for measure in Measure if measure.is_money}
    assert of_money == {Measure.COST, Measure.COST_INITIAL, Measure.COST_TOP_UP}
    assert {measure for measure in Measure if measure.in_micros} == of_money | {
        Measure.UNITS, Measure.UNITS_INITIAL, Measure.UNITS_TOP_UP
    }  # fmt: skip


def test_metrics_are_measures() -> None:
    assert [metric.name for metric in Metric] == [measure.name for measure in Measure]
    assert all(str(metric.value) == metric.name.lower() for metric in Metric)


async def test_totals_are_sums_without_buckets(rows: Rows, door: Door) -> None:
    """However many hours and days, what comes is a row for each combination that occurs."""
    await rows.tenant(2)
    for hour in range(3):
        await rows.usage(START + hour * HOUR, messages_out=1, category="utility")
    for day in range(1, 5):
        await rows.usage(START + day * DAY, tables=("usage_day",), messages_out=10, visitors=1)
    await rows.usage(START, messages_out=1000, tenant_id=2)
    asked = [
        Asked(
            tenant_id=TENANT,
            hours=((START, START + 2 * HOUR),),
            days=((START + DAY, START + 3 * DAY), (START + 4 * DAY, END)),
        ),
        Asked(tenant_id=2, days=((START, END),)),
        Asked(tenant_id=2, hours=((START, END),)),
    ]
    measures = (Measure.MESSAGES_OUT, Measure.VISITORS)

    assert await totals(door, Selection(measures=measures), asked) == [
        [Total((), (32, 3))], [], [Total((), (1000, 0))]
    ]  # fmt: skip
    mine, nothing, other = await totals(
        door,
        Selection(measures=measures, group_by=(Dimension.CATEGORY, Dimension.CHANNEL)),
        asked,
    )
    assert sorted(mine, key=lambda each: each.key) == [
        Total(("marketing", "whatsapp"), (30, 3)), Total(("utility", "whatsapp"), (2, 0))
    ]  # fmt: skip
    assert (nothing, other) == ([], [Total(("marketing", "whatsapp"), (1000, 0))])
    only = Selection(measures=measures, only=((Dimension.CATEGORY, ("utility",)),))
    assert await totals(door, only, asked[:1]) == [[Total((), (2, 0))]]


async def test_many_tenants_in_one_statement(rows: Rows, door: Door) -> None:
    """Each gets its own stretches, and nobody another's rows."""
    await rows.tenant(2)
    await rows.usage(START, messages_out=1)
    await rows.usage(START, messages_out=5, tenant_id=2)
    await rows.usage(START + HOUR, messages_out=7, tenant_id=2)

    found = await sums(
        door,
        sent(),
        [
            Asked(tenant_id=2, hours=((START + HOUR, END),)),
            Asked(tenant_id=TENANT, hours=((START, END),)),
            Asked(tenant_id=2, hours=((START, START + HOUR),)),
        ],
    )

    assert found == [
        [Sum(START + HOUR, (), (7,))], [Sum(START, (), (1,))], [Sum(START, (), (5,))]
    ]  # fmt: skip


async def test_more_than_can_be_drawn_is_refused(
    rows: Rows, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "SUMS_MAX", 1)
    for category in ("a", "b"):
        await rows.usage(START, category=category, messages_out=1)

    assert await answer(door, sent(), hours=True) == {(): 2}
    with pytest.raises(OverflowError):
        await answer(door, sent(Dimension.CATEGORY), hours=True)
    with pytest.raises(OverflowError):
        await totals(
            door, sent(Dimension.CATEGORY), [Asked(tenant_id=TENANT, hours=((START, END),))]
        )


async def test_what_is_no_channel_or_direction_is_refused(door: Door) -> None:
    with pytest.raises(KeyError):
        await answer(door, sent(channel=("pigeon",)))
    with pytest.raises(KeyError):
        await answer(door, sent(direction=("sideways",)))


def test_a_selection_sums_something() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Selection(measures=())
