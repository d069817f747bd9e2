"""Series compared with the range before, by figures worked by hand from rows written by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from domain.periods import DAY, HOUR, instant, iso
from tests.api.schema.conftest import JAKARTA, NOON, Ask
from tests.persistence.rows import Rows

TODAY = JAKARTA.day_start(NOON)  # 10 November 2026; NOON is 12:00 of it, 05:00Z
BOTH = ("usage_hour", "usage_day")

COMPARED = (
    "currency total compact { values } key { value } asOf "
    "previous { start end total toDate change points { start value complete } "
    "compact { values } }"
)


async def hours(rows: Rows, day: int, **given: dict[int, int]) -> None:
    """Usage by the hours of a day, and the day they add up to."""
    for name, by_hour in given.items():
        for hour, value in by_hour.items():
            sums: dict[str, Any] = {name: value}
            await rows.usage(day + hour * HOUR, category=f"{name}-{hour}", **sums)
        sums = {name: sum(by_hour.values())}
        await rows.usage(day, tables=("usage_day",), category=name, **sums)


async def test_today_so_far_is_compared_with_as_much_of_yesterday(rows: Rows, ask: Ask) -> None:
    """FI-3, TZ-6: at 11:30 the hour from 11:00 counts whole, what came later yesterday does not."""
    await hours(rows, TODAY - DAY, visitors={0: 10, 11: 6, 12: 100})
    await hours(rows, TODAY, visitors={3: 11, 11: 3})

    found = await ask(
        f"usageSeries(metrics: [VISITORS], range: {{preset: TODAY}}, compare: true) {{{COMPARED}}}",
        now=NOON - HOUR // 2,
    )

    (series,) = found["usageSeries"]
    assert (series["total"], series["asOf"]) == ("14", iso(NOON - HOUR // 2))
    assert series["previous"] == {
        "start": iso(TODAY - DAY),
        "end": iso(TODAY),
        "total": "116",
        "toDate": "16",
        "change": "-12.5",
        "points": [{"start": iso(TODAY - DAY), "value": "116", "complete": True}],
        "compact": {"values": ["116"]},
    }


async def test_this_month_is_compared_with_the_same_days_of_the_last(rows: Rows, ask: Ask) -> None:
    """FI-3: 10 November at noon with 10 October at noon; October's 31 days all have a point."""
    october, _ = JAKARTA.month_bounds(JAKARTA.month(NOON) - 1)
    november, _ = JAKARTA.month_bounds(JAKARTA.month(NOON))
    await hours(rows, october, cost={5: 1_000_000})
    await hours(rows, october + 9 * DAY, cost={11: 2_000_000, 12: 4_000_000})
    await hours(rows, october + 30 * DAY, cost={5: 8_000_000})
    await hours(rows, november + DAY, cost={5: 3_500_000})
    await hours(rows, TODAY, cost={5: 500_000})

    found = await ask(
        f"usageSeries(metrics: [COST], range: {{preset: THIS_MONTH}}, compare: true) {{{COMPARED}}}"
    )

    (series,) = found["usageSeries"]
    previous = series["previous"]
    assert (series["total"], series["currency"]) == ("4", "IDR")
    assert (previous["total"], previous["toDate"], previous["change"]) == ("15", "3", "33.333333")
    values = previous["compact"]["values"]
    assert (len(values), values[0], values[9], values[30]) == (31, "1", "6", "8")
    assert (previous["start"], previous["end"]) == (iso(october), iso(november))
    assert series["compact"]["values"][10:] == [None] * 20


async def test_a_range_that_is_over_is_compared_whole(rows: Rows, ask: Ask) -> None:
    """FI-3: two days of dates with the two days before, also where those cut nothing in hours."""
    await rows.usage(TODAY - 4 * DAY, tables=("usage_day",), emails=4)
    await rows.usage(TODAY - 3 * DAY, tables=("usage_day",), emails=4)
    await rows.usage(TODAY - 2 * DAY, tables=("usage_day",), emails=9)

    found = await ask(
        'usageSeries(metrics: [EMAILS, SEGMENTS], range: {dates: {from: "2026-11-08", until: '
        f'"2026-11-09"}}}}, compare: true) {{{COMPARED}}}'
    )

    emails, segments = found["usageSeries"]
    assert emails["total"] == "9"
    assert emails["previous"]["toDate"] == emails["previous"]["total"] == "8"
    assert emails["previous"]["change"] == "12.5"
    assert (segments["previous"]["total"], segments["previous"]["change"]) == ("0", None)


async def test_what_is_in_one_of_the_two_ranges_only_is_in_both(rows: Rows, ask: Ask) -> None:
    """FI-3: a country that is gone has fallen by all of it, a new one has nothing before it."""
    await rows.usage(TODAY - DAY, tables=BOTH, messages_out=5, country="ID")
    await rows.usage(TODAY, tables=BOTH, messages_out=2, country="SG")

    query = (
        "usageSeries(metrics: [MESSAGES_OUT], range: {preset: TODAY}, groupBy: [COUNTRY]%s) "
        "{ key { value } total previous { total change } }"
    )
    found = await ask(query % ", compare: true")
    alone = await ask(query % "")

    assert found["usageSeries"] == [
        {
            "key": [{"value": "ID"}],
            "total": "0",
            "previous": {"total": "5", "change": "-100"},
        },
        {"key": [{"value": "SG"}], "total": "2", "previous": {"total": "0", "change": None}},
    ]
    assert alone["usageSeries"] == [{"key": [{"value": "SG"}], "total": "2", "previous": None}]


async def test_hours_of_a_day_of_25_are_compared_with_those_of_a_day_of_24(
    rows: Rows, ask: Ask
) -> None:
    """TZ-2, TZ-6: the day London's clocks go back, at noon: 13 hours of it, and of 24 October."""
    await rows.connection.execute("update tenants set zones = '[[null, \"Europe/London\"]]'")
    midnight = instant(datetime(2026, 10, 24, 23, tzinfo=UTC))
    await hours(rows, midnight - DAY, visitors={12: 1, 13: 2})
    await hours(rows, midnight, visitors={12: 4, 24: 8})

    found = await ask(
        "usageSeries(metrics: [VISITORS], bucket: HOUR, range: {preset: TODAY}, compare: true) "
        f"{{{COMPARED}}}",
        now=midnight + 13 * HOUR,
    )

    (series,) = found["usageSeries"]
    assert len(series["compact"]["values"]) == 25
    assert series["compact"]["values"][13:] == [*[None] * 11, "8"]
    assert len(series["previous"]["compact"]["values"]) == 24
    assert (series["previous"]["total"], series["previous"]["toDate"]) == ("3", "1")


async def test_instants_are_compared_with_as_long_a_time_before(rows: Rows, ask: Ask) -> None:
    """FI-3: from 08:00 to 10:00 beside from 06:00 to 08:00, whatever days they are of."""
    await hours(rows, TODAY, seconds={6: 30, 7: 30, 8: 45, 10: 1000})

    found = await ask(
        f'usageSeries(metrics: [SECONDS_BILLED], range: {{instants: {{start: "'
        f'{iso(TODAY + 8 * HOUR)}", end: "{iso(TODAY + 10 * HOUR)}"}}}}, compare: true) '
        f"{{{COMPARED}}}"
    )

    (series,) = found["usageSeries"]
    assert (series["total"], series["previous"]["total"]) == ("45", "60")
    assert series["previous"]["start"] == iso(TODAY + 6 * HOUR)
    assert series["previous"]["change"] == "-25"


async def test_a_range_to_come_has_nothing_to_compare(rows: Rows, ask: Ask) -> None:
    """FI-3: its buckets are null, and nothing of the range before it had come by then."""
    await rows.usage(TODAY, tables=BOTH, visitors=5)

    found = await ask(
        'usageSeries(metrics: [VISITORS], range: {dates: {from: "2026-11-11", until: '
        f'"2026-11-11"}}}}, compare: true) {{{COMPARED}}}'
    )

    (series,) = found["usageSeries"]
    assert series["compact"]["values"] == [None]
    previous = series["previous"]
    assert (previous["total"], previous["toDate"], previous["change"]) == ("5", "0", None)


async def test_a_series_is_an_estimate_until_its_periods_are_closed(rows: Rows, ask: Ask) -> None:
    """FI-1: what reaches beyond what is closed may change, what is before is final."""
    november, _ = JAKARTA.month_bounds(JAKARTA.month(NOON))
    query = (
        'usageSeries(metrics: [VISITORS], range: {dates: {from: "2026-10-30", until: "%s"}}) '
        "{ estimate asOf }"
    )
    open_ = await ask(query % "2026-10-31")
    await rows.connection.execute("update tenant_head set closed_until = $1", november)
    closed = await ask(query % "2026-10-31")
    over = await ask(query % "2026-11-01")

    assert [each["usageSeries"] for each in (open_, closed, over)] == [
        [{"estimate": estimate, "asOf": iso(NOON)}] for estimate in (True, False, True)
    ]


async def test_costs_need_billing_access_whether_they_are_apart_or_together(ask: Ask) -> None:
    """PE-1: every metric that is money is refused, none of the others."""
    query = "usageSeries(metrics: [%s], range: {preset: TODAY}) { metric }"
    reads = frozenset({"usage:read"})
    for metric in ("COST", "COST_INITIAL", "COST_TOP_UP", "UNITS, COST"):
        found = await ask(query % metric, scopes=reads)
        assert "billing:read" in found["refused"], metric
    found = await ask(query % "UNITS_INITIAL, UNITS_TOP_UP, MESSAGES_FREE", scopes=reads)
    assert len(found["usageSeries"]) == 3


async def test_nothing_is_compared_with_a_time_before_1970(rows: Rows, ask: Ask) -> None:
    """However long the range is, whoever asks is told; the first that has one before it has it."""
    asked = "usageSummary(range: {%s}, compare: true) { previous { start end } }"
    for words in (
        'dates: {from: "1970-01-01", until: "9998-12-31"}',
        'dates: {from: "1970-01-01", until: "1970-01-01"}',
        'dates: {from: "1990-01-01", until: "2026-12-31"}',
        'instants: {start: "1970-01-01T00:00:00Z", end: "9998-12-31T00:00:00Z"}',
        'instants: {start: "1970-01-01T01:00:00Z", end: "1970-01-01T19:00:00Z"}',
    ):
        found = await ask(asked % words)
        assert "would begin before 1970" in found.get("refused", ""), (words, found)
    found = await ask(asked % 'dates: {from: "1970-01-02", until: "1970-01-02"}')
    assert found["usageSummary"]["previous"] == {
        "start": "1969-12-31T17:00:00Z",
        "end": "1970-01-01T17:00:00Z",
    }
    instants = 'instants: {start: "1970-01-01T05:00:00Z", end: "1970-01-01T10:00:00Z"}'
    found = await ask(asked % instants)
    assert found["usageSummary"]["previous"]["start"] == "1970-01-01T00:00:00Z"
