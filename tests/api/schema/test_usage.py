"""Usage of a tenant through the schema, from rows written by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import pairwise

from domain.facts import Channel
from domain.periods import DAY, HOUR, date_number, instant, iso
from tests.api.schema.conftest import JAKARTA, NOON, START, Ask
from tests.persistence.rows import Rows


async def test_series_have_every_bucket(rows: Rows, ask: Ask) -> None:
    """FI-3: empty buckets are there with 0, future ones are null, the running one is not over."""
    today = JAKARTA.day_start(NOON)
    await rows.usage(
        today - DAY, tables=("usage_day",), messages_out=3, cost=1_250_000, units=2_000_000
    )
    await rows.usage(today, tables=("usage_day",), messages_out=4)

    found = await ask(
        "usageSeries(metrics: [MESSAGES_OUT, COST, UNITS], range: {dates: "
        '{from: "2026-11-08", until: "2026-11-11"}}) '
        "{ metric currency key { value } points { start end value complete } "
        "compact { starts values } }"
    )

    out, cost, units = found["usageSeries"]
    assert (out["metric"], out["currency"], out["key"]) == ("MESSAGES_OUT", None, [])
    starts = [today - 2 * DAY, today - DAY, today, today + DAY]
    assert out["points"] == [
        {"start": iso(start), "end": iso(start + DAY), "value": value, "complete": complete}
        for start, value, complete in zip(
            starts, ["0", "3", "4", None], [True, True, False, False], strict=True
        )
    ]
    assert out["compact"] == {
        "starts": [iso(start) for start in starts], "values": ["0", "3", "4", None]
    }  # fmt: skip
    assert (cost["currency"], cost["compact"]["values"][1]) == ("IDR", "1.25")
    assert (units["currency"], units["compact"]["values"][1]) == (None, "2")


async def test_what_came_before_its_bucket_began_is_in_it(rows: Rows, ask: Ask) -> None:
    """FI-2: clocks of senders may be minutes ahead: no total has what no bucket has."""
    tomorrow = JAKARTA.day_start(NOON) + DAY
    for tables, bucket in (("usage_day", tomorrow), ("usage_hour", tomorrow)):
        await rows.usage(bucket, tables=(tables,), messages_out=2, agent="ana")
        await rows.usage(bucket - DAY, tables=(tables,), messages_out=1, agent="ben")
    days = '{dates: {from: "2026-11-10", until: "2026-11-12"}}'
    fields = "total points { value complete } compact { values } key { value }"
    for split in ("", ", groupBy: [USER]"):
        found = await ask(
            f"usageSeries(metrics: [MESSAGES_OUT], range: {days}{split}) {{ {fields} }} "
            f"usageSummary(range: {days}) {{ metrics(only: [MESSAGES_OUT]) {{ value }} }}"
        )
        lines = [each["compact"]["values"] for each in found["usageSeries"]]
        assert lines == ([["0", "2", None], ["1", None, None]] if split else [["1", "2", None]])
        for each in found["usageSeries"]:
            points = [point["value"] for point in each["points"]]
            assert points == each["compact"]["values"]
            assert each["total"] == str(sum(int(value) for value in points if value))
            assert [point["complete"] for point in each["points"]] == [False] * 3
        assert found["usageSummary"]["metrics"] == [{"value": "3"}]


async def test_series_split_and_narrowed(rows: Rows, ask: Ask) -> None:
    """FI-4: one series a combination that occurs; numbers in whatever spelling."""
    await rows.number(8, channel=Channel.SMS, address="628110002")
    day = JAKARTA.day_start(NOON)
    await rows.usage(day, tables=("usage_day",), messages_out=1)
    await rows.usage(day, tables=("usage_day",), messages_out=2, category="utility")
    await rows.usage(day, tables=("usage_day",), messages_out=4, number_id=8)

    found = await ask(
        "usageSeries(metrics: [MESSAGES_OUT], range: {preset: TODAY}, "
        'filter: {numbers: ["+62 811 0001"]}, groupBy: [CHANNEL, CATEGORY]) '
        "{ key { dimension value } compact { values } }"
        "none: usageSeries(metrics: [MESSAGES_OUT], range: {preset: YESTERDAY}, "
        "groupBy: [USER]) { metric }"
    )

    assert [
        ([key["value"] for key in each["key"]], each["compact"]["values"])
        for each in found["usageSeries"]
    ] == [(["whatsapp", "marketing"], ["1"]), (["whatsapp", "utility"], ["2"])]
    assert found["none"] == []


CUT: list[tuple[str, dict[int, str]]] = [
    ("HOUR", {0: "1", 12: "2", 13: "4"}),
    ("DAY", {0: "7", 1: "50", 2: "8"}),
    ("MONTH", {0: "65"}),
]


async def test_a_range_that_cuts_days_reads_their_hours(rows: Rows, ask: Ask) -> None:
    """FI-3, TZ-6: whatever the bucket, a range of instants counts what is in it, no more."""
    first, last = START + 10 * HOUR, START + 2 * DAY + 3 * HOUR
    for at, sent in (
        (first - HOUR, 100), (first, 1), (first + 12 * HOUR, 2), (first + 13 * HOUR, 4),
        (last - HOUR, 8), (last, 200),
    ):  # fmt: skip
        await rows.usage(at, messages_out=sent)
    await rows.usage(START + DAY + HOUR, messages_out=50)
    for day, sent in ((START, 107), (START + DAY, 50), (START + 2 * DAY, 208)):
        await rows.usage(day, tables=("usage_day",), messages_out=sent)

    for bucket, expected in CUT:
        found = await ask(
            f"usageSeries(metrics: [MESSAGES_OUT], bucket: {bucket}, range: {{instants: {{start: "
            f'"{iso(first)}", end: "{iso(last)}"}}}}) {{ compact {{ starts values }} }}'
        )

        (series,) = found["usageSeries"]
        values = series["compact"]["values"]
        assert {place: values[place] for place in expected} == expected
        assert sum(map(int, values)) == 65
        assert series["compact"]["starts"][0] == iso(first)


async def test_series_of_daylight_saving(rows: Rows, ask: Ask) -> None:
    """TZ-2: the day London's clocks go back has 25 hours, and a repeated hour is two buckets."""
    await rows.connection.execute("update tenants set zones = '[[null, \"Europe/London\"]]'")
    await rows.usage(instant(datetime(2026, 10, 25, 1, tzinfo=UTC)), visitors=5)

    found = await ask(
        "usageSeries(metrics: [VISITORS], bucket: HOUR, range: {dates: "
        '{from: "2026-10-25", until: "2026-10-25"}}) { compact { starts values } }'
    )

    compact = found["usageSeries"][0]["compact"]
    assert compact["values"] == ["0", "0", "5"] + ["0"] * 22
    assert compact["starts"][1:3] == ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"]


PRESETS = [
    ("TODAY", "2026-11-10", 1),
    ("YESTERDAY", "2026-11-09", 1),
    ("THIS_WEEK", "2026-11-09", 7),
    ("LAST_7_DAYS", "2026-11-04", 7),
    ("THIS_MONTH", "2026-11-01", 30),
    ("LAST_30_DAYS", "2026-10-12", 30),
    ("LAST_90_DAYS", "2026-08-13", 90),
]


async def test_ranges_with_names(ask: Ask) -> None:
    """TZ-6: in the tenant's zone; weeks from Monday; the last n days end with today."""
    for preset, first, days in PRESETS:
        found = await ask(
            f"usageSeries(metrics: [VISITORS], range: {{preset: {preset}}}) "
            "{ compact { starts } }"
        )
        starts = found["usageSeries"][0]["compact"]["starts"]
        midnight = JAKARTA.day_bounds(date_number(date.fromisoformat(first)))[0]
        assert (starts[0], len(starts)) == (iso(midnight), days), preset


MOVED = '[[null, "Asia/Jakarta"], [%d, "America/Bogota"]]'


async def test_series_over_a_change_of_zone(rows: Rows, ask: Ask) -> None:
    """TZ-3, FI-3: from Jakarta to Bogota 1 November has 36 hours, and no bucket is missing."""
    await rows.connection.execute("update tenants set zones = $1", MOVED % START)
    for bucket, table in ((START - DAY, "usage_day"), (START, "usage_day"), (START, "usage_hour")):
        await rows.usage(bucket, tables=(table,), visitors=1)
    await rows.usage(START + 35 * HOUR, tables=("usage_hour",), visitors=4)
    await rows.usage(START + 36 * HOUR, tables=("usage_day",), visitors=8)

    found = await ask(
        "days: usageSeries(metrics: [VISITORS], bucket: DAY, range: {dates: "
        '{from: "2026-10-31", until: "2026-11-02"}}) { points { start end value } }'
        "hours: usageSeries(metrics: [VISITORS], bucket: HOUR, range: {dates: "
        '{from: "2026-11-01", until: "2026-11-01"}}) { points { start end } compact { values } }'
        "months: usageSeries(metrics: [VISITORS], bucket: MONTH, range: {dates: "
        '{from: "2026-10-31", until: "2026-11-02"}}) { points { start end value } }'
    )

    edges = [START - DAY, START, START + 36 * HOUR, START + 60 * HOUR]
    spans = [{"start": iso(a), "end": iso(b)} for a, b in pairwise(edges)]
    days = found["days"][0]["points"]
    assert days == [span | {"value": v} for span, v in zip(spans, "118", strict=True)]
    hours = found["hours"][0]
    assert hours["compact"]["values"] == ["1"] + ["0"] * 34 + ["4"]
    assert all(a["end"] == b["start"] for a, b in pairwise(hours["points"]))
    assert [(point["start"], point["value"]) for point in found["months"][0]["points"]] == [
        (iso(START - DAY), "1"), (iso(START), "9"),
    ]  # fmt: skip
