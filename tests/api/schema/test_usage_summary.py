"""Summaries of usage through the schema, by figures worked by hand from rows written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from domain.facts import Direction
from domain.lots import LotSource
from domain.periods import DAY, HOUR, iso
from domain.ranges import DefaultRanges
from persistence.usage import Measure
from tests.api.schema.conftest import JAKARTA, NOON, START, Ask
from tests.persistence.rows import VISITORS, WHATSAPP, Rows

TODAY = JAKARTA.day_start(NOON)
BOTH = ("usage_hour", "usage_day")
READS = frozenset({"usage:read"})

CARDS = (
    "cards { marketing { value } utility { value } authentication { value } service { value } "
    "free { value } delivered { value } }"
)


def values(figures: dict[str, Any]) -> dict[str, str]:
    return {name: figure["value"] for name, figure in figures.items()}


async def test_a_delivered_message_is_on_one_card(rows: Rows, ask: Ask) -> None:
    """FI-4: free ones of any category on the free card, the others on their category's."""
    for category, out, free in (
        ("marketing", 7, 0), ("utility", 5, 2), ("authentication", 3, 1), ("service", 11, 11),
        ("authentication_international", 4, 0), ("", 6, 1),
    ):  # fmt: skip
        await rows.usage(
            TODAY, tables=("usage_day",), category=category, messages_out=out, messages_free=free
        )
    await rows.usage(TODAY, tables=("usage_day",), direction=Direction.IN, messages_in=9)

    found = await ask(
        "usageSummary(range: {preset: TODAY}) { "
        + CARDS
        + " metrics(only: [MESSAGES_OUT, MESSAGES_IN]) "
        "{ metric value currency previous toDate change } }"
    )

    summary = found["usageSummary"]
    cards = values(summary["cards"])
    assert cards == {
        "marketing": "7", "utility": "3", "authentication": "6", "service": "5", "free": "15",
        "delivered": "36",
    }  # fmt: skip
    nothing = {"currency": None, "previous": None, "toDate": None, "change": None}
    assert summary["metrics"] == [
        {"metric": "MESSAGES_OUT", "value": "36"} | nothing,
        {"metric": "MESSAGES_IN", "value": "9"} | nothing,
    ]


async def test_conversations_are_of_the_message_that_opened_them(rows: Rows, ask: Ask) -> None:
    """FI-4: service is user-initiated, all others business-initiated; categories without any are
    not there, but those of the range before are."""
    yesterday = TODAY - DAY
    for day, category, opened in (
        (TODAY, "service", 4), (TODAY, "marketing", 3), (TODAY, "utility", 0), (TODAY, "", 1),
        (yesterday, "authentication", 2), (yesterday, "marketing", 6),
    ):  # fmt: skip
        await rows.usage(day, tables=BOTH, category=category, conversations=opened, messages_out=1)

    figure = "{ value previous toDate change }"
    found = await ask(
        "usageSummary(range: {preset: TODAY}, compare: true) { previous { start end reach } "
        f"conversations {{ total {figure} service {figure} businessInitiated {figure} "
        "byCategory { category value previous change } } }"
    )

    summary = found["usageSummary"]
    assert summary["previous"] == {
        "start": iso(yesterday), "end": iso(TODAY), "reach": iso(yesterday + 12 * HOUR),
    }  # fmt: skip
    conversations = summary["conversations"]
    assert conversations["total"] == {
        "value": "8", "previous": "8", "toDate": "8", "change": "0",
    }  # fmt: skip
    assert conversations["service"]["value"] == "5"
    assert conversations["service"]["change"] is None
    assert conversations["businessInitiated"] == {
        "value": "3", "previous": "8", "toDate": "8", "change": "-62.5",
    }  # fmt: skip
    assert [tuple(each.values()) for each in conversations["byCategory"]] == [
        ("", "1", "0", None),
        ("authentication", "0", "2", "-100"),
        ("marketing", "3", "6", "-50"),
        ("service", "4", "0", None),
    ]


async def test_costs_are_initial_and_top_up_apart_and_together(rows: Rows, ask: Ask) -> None:
    """FI-5, FI-2: exact to the last millionth, in the tenant's currency; compared by now."""
    for at, cost, initial in (
        (TODAY, 10_000_001, 4_000_000), (TODAY - DAY, 4_000_000, 4_000_000),
    ):  # fmt: skip
        await rows.usage(at, tables=BOTH, cost=cost, initial_cost=initial)

    found = await ask(
        "usageSummary(range: {preset: TODAY}, compare: true) { costs { "
        "total { amount { value currency formatted } previous { value } toDate { value } change } "
        "initial { amount { value } change } topUp { amount { value } change } } "
        "metrics(only: [COST_TOP_UP]) { value currency } }"
    )

    summary = found["usageSummary"]
    costs = summary["costs"]
    assert costs["total"]["amount"]["value"] == "10.000001"
    assert costs["total"]["amount"]["currency"] == "IDR"
    assert costs["total"]["previous"] == costs["total"]["toDate"] == {"value": "4"}
    assert costs["total"]["change"] == "150.000025"
    assert costs["initial"] == {"amount": {"value": "4"}, "change": "0"}
    assert costs["topUp"] == {"amount": {"value": "6.000001"}, "change": None}
    assert summary["metrics"] == [{"value": "6.000001", "currency": "IDR"}]


async def test_a_summary_has_no_longest_range(rows: Rows, ask: Ask) -> None:
    """TZ-6: of a decade as of a day; the same range in a chart is refused with how long it is."""
    for day in range(0, 3600, 400):
        await rows.usage(JAKARTA.day_start(TODAY - day * DAY), tables=("usage_day",), emails=1)

    summary = "usageSummary(range: %s) { start end complete estimate asOf metrics { value } }"
    wide = '{dates: {from: "2016-11-10", until: "2026-11-10"}}'
    found = (await ask(summary % wide))["usageSummary"]

    emails = [m.name for m in Measure if not m.is_money].index(Measure.EMAILS.name)
    assert found["metrics"][emails]["value"] == "9"
    assert (found["end"], found["asOf"]) == (iso(TODAY + DAY), iso(NOON))
    assert (found["complete"], found["estimate"]) == (False, True)
    refused = await ask(f"usageSeries(metrics: [EMAILS], range: {wide}) {{ metric }}")
    assert "3653 local days: a chart has at most 92" in refused["refused"]


async def test_a_summary_of_hours_reads_them_and_cuts_none(rows: Rows, ask: Ask) -> None:
    """TZ-6: half an hour is refused with the whole ones around it."""
    await rows.usage(TODAY + 9 * HOUR, visitors=2)
    await rows.usage(TODAY + 10 * HOUR, visitors=4)
    query = (
        'usageSummary(range: {instants: {start: "%s", end: "%s"}}) '
        "{ metrics(only: [VISITORS]) { value } complete }"
    )
    found = await ask(query % (iso(TODAY + 9 * HOUR), iso(TODAY + 10 * HOUR)))
    refused = await ask(query % (iso(TODAY + 9 * HOUR), iso(TODAY + 10 * HOUR + HOUR // 2)))

    assert found["usageSummary"] == {"metrics": [{"value": "2"}], "complete": True}
    assert f"{iso(TODAY + 9 * HOUR)} to {iso(TODAY + 11 * HOUR)}" in refused["refused"]


async def test_what_balances_paid_is_told_by_where_it_came_from(rows: Rows, ask: Ask) -> None:
    """FI-5: allowance lots are initial, top-ups, promotions and overdrafts are not."""
    for lot_id, source, balance in (
        (1, LotSource.ALLOWANCE, VISITORS), (2, LotSource.TOP_UP, VISITORS),
        (3, LotSource.PROMOTION, VISITORS), (4, LotSource.OVERDRAFT, WHATSAPP),
    ):  # fmt: skip
        await rows.lot(lot_id, source, 1000, starts_at=START, balance_id=balance)
        await rows.lot_day(lot_id, TODAY - DAY, used=10**lot_id, moved=5)
        await rows.lot_day(lot_id, TODAY, used=1)
        await rows.lot_day(lot_id, TODAY + DAY, used=7)

    found = await ask(
        'usageSummary(range: {dates: {from: "2026-11-09", until: "2026-11-10"}}) { balances '
        "{ key name unit initial { value currency } topUp { value } used { value } } }"
    )

    balances = found["usageSummary"]["balances"]
    assert [
        (b["key"], b["unit"], b["initial"]["value"], b["topUp"]["value"], b["used"]["value"])
        for b in balances
    ] == [
        ("conversations", "conversation", "0", "0", "0"),
        ("visitors", "visitor", "11", "1102", "1113"),
        ("whatsapp", "IDR", "0", "10001", "10001"),
    ]
    assert [balance["initial"]["currency"] for balance in balances] == [None, None, "IDR"]
    assert balances[1]["name"] == "Monthly unique visitors"


async def test_balances_are_of_whole_days_and_not_narrowed(ask: Ask) -> None:
    """FI-2: a figure of another range, or of other messages, would agree with nothing."""
    cut = await ask(
        f'usageSummary(range: {{instants: {{start: "{iso(TODAY + HOUR)}", '
        f'end: "{iso(TODAY + DAY)}"}}}}) {{ balances {{ key }} }}'
    )
    narrowed = await ask(
        'usageSummary(range: {preset: TODAY}, filter: {channels: ["whatsapp"]}) '
        "{ balances { key } }"
    )
    assert f"write {iso(TODAY)} to {iso(TODAY + DAY)}" in cut["refused"]
    assert "without it" in narrowed["refused"]


async def test_a_summary_is_narrowed_as_a_series_is(rows: Rows, ask: Ask) -> None:
    """FI-2, FI-4: by every dimension; a name that is none is refused with those there are."""
    await rows.usage(TODAY, tables=("usage_day",), messages_out=1, agent="ana", broadcast="b")
    await rows.usage(TODAY, tables=("usage_day",), messages_out=2, agent="budi", country="SG")
    for given, expected in (
        ('users: ["ana"]', "1"), ('countries: ["SG", "MY"]', "2"), ("categories: []", "0"),
        ('broadcasts: [""]', "2"), ('numbers: ["+62 811 0001"], directions: ["out"]', "3"),
    ):  # fmt: skip
        found = await ask(
            f"usageSummary(range: {{preset: TODAY}}, filter: {{{given}}}) "
            "{ metrics(only: [MESSAGES_OUT]) { value } }"
        )
        assert found["usageSummary"]["metrics"] == [{"value": expected}], given
    refused = await ask(
        'usageSummary(range: {preset: TODAY}, filter: {channels: ["pigeon"]}) { complete }'
    )
    assert "'pigeon'" in refused["refused"]


REFUSED = ["costs { total { change } }", "balances { key }", "metrics(only: [COST]) { value }"]


@pytest.mark.parametrize("field", REFUSED)
async def test_money_in_a_summary_needs_billing_access(ask: Ask, field: str) -> None:
    """PE-1: asking for it without is refused, not asking is fine."""
    query = "usageSummary(range: {preset: TODAY}) { complete %s }"
    refused = await ask(query % field, scopes=READS)
    granted = await ask(query % field, scopes=READS | {"billing:read"})
    others = await ask(query % f"metrics {{ metric }} {CARDS}", scopes=READS)
    nobody = await ask(query % "", scopes=frozenset({"billing:read"}))

    assert "billing:read" in refused["refused"]
    assert granted["usageSummary"]["complete"] is False
    metrics = {each["metric"] for each in others["usageSummary"]["metrics"]}
    assert metrics == {m.name for m in Measure if not m.is_money}
    assert "usage:read" in nobody["refused"]


async def test_default_ranges_are_given_by_the_plan(ask: Ask) -> None:
    """TZ-6: the sample's are usage of the last 7 days and users of today."""
    found = await ask("usageRanges { usage users chartDays }")
    default = DefaultRanges()
    shown = found["usageRanges"]
    assert (shown["usage"], shown["users"]) == (default.usage.name, default.users.name)
    assert shown == {"usage": "LAST_7_DAYS", "users": "TODAY", "chartDays": 92}
