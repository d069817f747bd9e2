"""Time zones: the rule book's examples, the odd days of the world, and what holds everywhere."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.periods import (
    DAY,
    HOUR,
    MINUTE,
    Period,
    Unit,
    Zone,
    buckets,
    date_number,
    date_of,
    instant,
    iso,
    moment,
    month_label,
    month_name,
    period,
    zone,
)

ZONES = [
    "Asia/Jakarta", "Asia/Kolkata", "Asia/Kathmandu", "Europe/London", "America/New_York",
    "America/Bogota", "America/Sao_Paulo", "America/St_Johns", "America/Havana", "Africa/Cairo",
    "Africa/Casablanca", "Asia/Gaza", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham",
    "Pacific/Kiritimati", "Pacific/Kwajalein", "America/Juneau", "Asia/Manila", "UTC",
]  # fmt: skip
UNITS: list[Unit] = ["hour", "day", "week", "month"]

#: Days on which the clocks or calendars of some of these zones moved.
ODD_DAYS = [
    "1844-12-31", "1867-10-18", "1969-09-30", "1986-01-01", "1993-08-21", "1994-12-31",
    "2009-11-01", "2010-11-07", "2011-12-30", "2018-11-04", "2024-04-26", "2026-03-08",
    "2026-03-29", "2026-04-05", "2026-10-04", "2026-10-25", "2026-11-01", "2087-11-02",
]  # fmt: skip

#: 1840 to 2100: local mean times, wars, and the rules as they go on.
instants = st.one_of(
    st.integers(-4_102_444_800_000_000, 4_102_444_800_000_000),
    st.builds(
        lambda written, past: date_number(date.fromisoformat(written)) * DAY + past,
        st.sampled_from(ODD_DAYS),
        st.integers(-2 * DAY, 2 * DAY),
    ),
)
zones = st.sampled_from([zone(name) for name in ZONES])


def at(written: str) -> int:
    return instant(datetime.fromisoformat(written))


def day(written: str) -> int:
    return date_number(date.fromisoformat(written))


def label(written: str) -> int:
    year, month = written.split("-")
    return month_label(int(year), int(month))


def test_an_instant_is_written_in_utc() -> None:
    assert iso(at("2026-11-01T00:00+07:00")) == "2026-10-31T17:00:00Z"
    assert iso(at("2026-11-01T00:00:00.000120Z")) == "2026-11-01T00:00:00.000120Z"
    assert iso(0) == "1970-01-01T00:00:00Z"
    assert iso(-1) == "1969-12-31T23:59:59.999999Z"
    assert moment(at("2026-11-01T00:00Z")) == datetime(2026, 11, 1, tzinfo=UTC)


def test_a_datetime_without_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="has no offset"):
        instant(datetime(2026, 11, 1))


def test_dates_and_months_have_numbers_and_names() -> None:
    assert (day("1970-01-01"), day("1969-12-31"), day("2026-11-21")) == (0, -1, 20_778)
    assert date_of(20_778) == date(2026, 11, 21)
    assert month_name(label("2026-11")) == "2026-11"
    assert month_name(label("2026-12") + 1) == "2027-01"
    with pytest.raises(ValueError, match="not a month"):
        month_label(2026, 13)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("Asia/Jakata", "did you mean Asia/Jakarta"),
        ("asia/jakarta", "did you mean Asia/Jakarta"),
        ("Jakarta", "Asia/Jakarta"),
        ("", "write an IANA name"),
        ("America", "is not a time zone"),
        ("../../etc/passwd", "is not a time zone"),
        ("localtime", "is not a time zone"),
        ("x" * 10_000, "write an IANA name"),
    ],
)
def test_an_unknown_zone_is_refused_with_names_like_it(wrong: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint) as refused:
        zone(wrong)
    assert len(str(refused.value)) < 200


def test_a_zone_is_made_once() -> None:
    assert zone("Asia/Jakarta") is zone("Asia/Jakarta")
    assert zone("Asia/Jakarta").name_at(0) == "Asia/Jakarta"


def test_a_period_is_two_instants() -> None:
    """TZ-1: Asia/Jakarta's November 2026 is [2026-10-31T17:00Z, 2026-11-30T17:00Z)."""
    jakarta = zone("Asia/Jakarta")
    start, end = at("2026-10-31T17:00Z"), at("2026-11-30T17:00Z")
    november = Period(label("2026-11"), start, end)
    assert jakarta.month_bounds(label("2026-11")) == (start, end)
    assert period(jakarta, start) == period(jakarta, end - 1) == november
    assert period(jakarta, start - 1).label == label("2026-10")
    assert period(jakarta, end).start == end
    assert period(jakarta, start) is period(jakarta, end - 1)


@pytest.mark.parametrize(
    ("name", "month", "hours"),
    [
        ("Europe/London", "2026-03", 743),
        ("Europe/London", "2026-10", 745),
        ("America/New_York", "2026-03", 743),
        ("America/New_York", "2026-11", 721),
        ("Asia/Jakarta", "2026-11", 720),
    ],
)
def test_months_of_a_clock_change(name: str, month: str, hours: int) -> None:
    """TZ-2: 743 and 745 hours in London, 743 and 721 in New York."""
    start, end = zone(name).month_bounds(label(month))
    assert end - start == hours * HOUR
    assert len(buckets(zone(name), "hour", start, end)) == hours


@pytest.mark.parametrize(
    ("name", "date", "hours", "count"),
    [
        ("Australia/Lord_Howe", "2026-04-05", 24.5, 25),
        ("Australia/Lord_Howe", "2026-10-04", 23.5, 24),
        ("Europe/London", "2026-03-29", 23, 23),
        ("Europe/London", "2026-10-25", 25, 25),
        ("America/Havana", "2024-11-03", 25, 25),
        ("Asia/Kathmandu", "1986-01-01", 23.75, 24),
        ("Pacific/Apia", "2011-12-30", 0, 0),
        ("Pacific/Kwajalein", "1993-08-21", 0, 0),
    ],
)
def test_days_of_a_clock_change(name: str, date: str, hours: float, count: int) -> None:
    """TZ-2: days of 23 and 25 hours, Lord Howe 23.5 and 24.5; a skipped day is empty."""
    start, end = zone(name).day_bounds(day(date))
    assert end - start == round(hours * HOUR)
    assert len(buckets(zone(name), "hour", start, end)) == count


def test_an_hour_is_cut_where_the_clock_moves_by_half_of_one() -> None:
    """TZ-2: Lord Howe's 01:30 to 02:00 comes twice, and the second is a bucket of its own."""
    howe = zone("Australia/Lord_Howe")
    before, change, after = (at(f"2026-04-04T{time}Z") for time in ("14:00", "15:00", "15:30"))
    assert buckets(howe, "hour", before, after + HOUR) == [
        (before, change),
        (change, after),
        (after, after + HOUR),
    ]
    assert howe.hour_start(change - 1) == before
    assert howe.hour_start(change) == howe.hour_start(after - 1) == change
    assert howe.next_hour(change) == after


def test_a_repeated_hour_is_two_buckets() -> None:
    """TZ-2: New York's 01:00 to 02:00 of 1 November 2026, first at -4, then at -5."""
    york = zone("America/New_York")
    first = at("2026-11-01T01:00-04:00")
    assert york.offset(first) == -4 * HOUR
    assert york.offset(first + HOUR) == -5 * HOUR
    assert buckets(york, "hour", first, first + 2 * HOUR) == [
        (first, first + HOUR),
        (first + HOUR, first + 2 * HOUR),
    ]


@pytest.mark.parametrize(
    ("name", "date", "start"),
    [
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T01:00-02:00"),
        ("Africa/Cairo", "2024-04-26", "2024-04-26T01:00+03:00"),
        ("Asia/Kathmandu", "1986-01-01", "1986-01-01T00:15+05:45"),
        ("Pacific/Apia", "2011-12-30", "2011-12-31T00:00+14:00"),
        ("Pacific/Apia", "2011-12-31", "2011-12-31T00:00+14:00"),
    ],
)
def test_a_midnight_that_does_not_exist(name: str, date: str, start: str) -> None:
    """TZ-2: it is the first instant after it."""
    first, _ = zone(name).day_bounds(day(date))
    assert first == at(start)
    assert zone(name).day_start(first) == first
    assert zone(name).date(first - 1) < day(date)


def test_the_day_before_a_skipped_one_is_followed_by_the_day_after() -> None:
    apia = zone("Pacific/Apia")
    start, end = at("2011-12-29T00:00-10:00"), at("2012-01-01T00:00+14:00")
    assert apia.next_day(start) == at("2011-12-31T00:00+14:00")
    assert len(buckets(apia, "day", start, end)) == 2


@pytest.mark.parametrize(
    ("name", "start"), [("Asia/Kolkata", "18:30"), ("Asia/Kathmandu", "18:15")]
)
def test_days_that_start_between_hours(name: str, start: str) -> None:
    """TZ-2: days start at 18:30Z in Kolkata and 18:15Z in Kathmandu."""
    first = at(f"2026-11-20T{start}Z")
    assert zone(name).day_bounds(day("2026-11-21")) == (first, first + DAY)
    assert zone(name).day_start(first + DAY - 1) == first
    assert zone(name).hour_start(first + 59 * MINUTE) == first
    assert zone(name).next_hour(first) == first + HOUR


def test_a_day_does_not_go_back() -> None:
    """TZ-2: St John's left 1 November 2009 after a minute, for the last hour of October."""
    johns = zone("America/St_Johns")
    start = at("2009-11-01T00:00-02:30")
    assert johns.day_bounds(day("2009-11-01")) == (start, start + 25 * HOUR)
    assert johns.month_bounds(label("2009-11"))[0] == start
    assert johns.date(start + 30 * MINUTE) == day("2009-11-01")
    assert [end - start for start, end in buckets(johns, "hour", start, start + 2 * HOUR)] == [
        MINUTE,
        59 * MINUTE,
        HOUR,
    ]


def test_weeks_start_on_monday_and_buckets_are_clipped() -> None:
    jakarta = zone("Asia/Jakarta")
    start, monday, end = (
        at(f"{written}+07:00")
        for written in ("2026-11-21T10:20", "2026-11-23T00:00", "2026-11-24T08:00")
    )
    assert buckets(jakarta, "week", start, end) == [(start, monday), (monday, end)]
    assert buckets(jakarta, "month", start, end) == [(start, end)]
    assert buckets(jakarta, "day", start, start) == []
    assert buckets(jakarta, "day", end, start) == []


@pytest.mark.parametrize("name", ZONES)
def test_an_instant_at_the_edge_of_the_calendar_has_an_hour_and_a_date(name: str) -> None:
    for us in (at("0001-01-04T00:00Z"), at("9999-12-27T00:00Z")):
        assert zone(name).hour_start(us) <= us < zone(name).next_hour(us)
        assert zone(name).day_start(us) <= us < zone(name).next_day(us)


@settings(deadline=None)
@given(zones, instants)
def test_the_offset_is_that_of_the_zone(place: Zone, us: int) -> None:
    """The oracle is zoneinfo itself, asked about this one instant."""
    offset = moment(us).astimezone(ZoneInfo(place.name_at(us))).utcoffset()
    assert offset == timedelta(microseconds=place.offset(us))


@settings(deadline=None)
@given(zones, st.sampled_from(UNITS), instants, st.integers(0, 40 * DAY))
def test_buckets_leave_no_gap_and_no_overlap(
    place: Zone, unit: Unit, start: int, length: int
) -> None:
    """TZ-2: in every unit and zone; days, weeks and months are cut where hours are."""
    found = buckets(place, unit, start, start + length)
    cuts = [start, *(end for _, end in found)]
    assert found == list(pairwise(cuts))
    assert cuts[-1] == start + length
    assert cuts == sorted(set(cuts))
    for cut in cuts[1:-1]:
        assert place.hour_start(cut) == cut
        assert unit == "hour" or place.day_start(cut) == cut


@settings(deadline=None)
@given(zones, instants)
def test_an_hour_has_one_start(place: Zone, us: int) -> None:
    start, end = place.hour_start(us), place.next_hour(us)
    assert start <= us < end <= start + HOUR
    assert (place.hour_start(start), place.next_hour(start)) == (start, end)
    assert (place.hour_start(end - 1), place.hour_start(end)) == (start, end)
    assert place.day_start(us) <= start


@settings(deadline=None)
@given(zones, instants)
def test_a_day_is_bounded_where_its_date_begins_and_ends(place: Zone, us: int) -> None:
    date = place.date(us)
    start, end = place.day_bounds(date)
    assert (place.day_start(us), place.next_day(us)) == (start, end)
    assert start <= us < end
    assert place.date(start) == place.date(end - 1) == date
    assert place.date(start - 1) < date < place.date(end)


@settings(deadline=None)
@given(zones, instants)
def test_a_month_is_bounded_where_its_label_begins_and_ends(place: Zone, us: int) -> None:
    """TZ-1: and the next one starts where it ends."""
    month = period(place, us)
    assert month == Period(place.month(us), *place.month_bounds(place.month(us)))
    assert month.start <= us < month.end
    assert place.month(month.start) == place.month(month.end - 1) == month.label
    assert place.month(month.start - 1) == month.label - 1
    assert period(place, month.end).start == month.end == place.next_month(us)


@settings(deadline=None)
@given(zones, instants, st.integers(0, 3 * DAY))
def test_dates_never_go_back(place: Zone, us: int, later: int) -> None:
    assert place.date(us) <= place.date(us + later)
