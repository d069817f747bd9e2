"""Quiet hours: when something may go that is due at an instant, also where clocks are changed."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.periods import DAY, HOUR, MINUTE, Zone, instant, iso, zone, zones
from domain.quiet_hours import QuietHours, goes_at, minute_of, written
from tests.domain.test_periods import ZONES

LONDON, LORD_HOWE, JAKARTA = "Europe/London", "Australia/Lord_Howe", "Asia/Jakarta"

#: Zone, quiet hours, when it is due, when it goes.
TABLE = [
    # Over midnight, half-open.
    (JAKARTA, "22:00-07:00", "2026-11-22T14:59:59.999999Z", "2026-11-22T14:59:59.999999Z"),
    (JAKARTA, "22:00-07:00", "2026-11-22T15:00:00Z", "2026-11-23T00:00:00Z"),
    (JAKARTA, "22:00-07:00", "2026-11-22T23:59:59.999999Z", "2026-11-23T00:00:00Z"),
    (JAKARTA, "22:00-07:00", "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z"),
    # Within a day, up to midnight, all but a minute.
    (JAKARTA, "12:00-13:30", "2026-11-22T05:00:00Z", "2026-11-22T06:30:00Z"),
    (JAKARTA, "12:00-13:30", "2026-11-22T04:59:00Z", "2026-11-22T04:59:00Z"),
    (JAKARTA, "20:00-00:00", "2026-11-22T13:00:00Z", "2026-11-22T17:00:00Z"),
    (JAKARTA, "09:01-09:00", "2026-11-22T02:01:00Z", "2026-11-23T02:00:00Z"),
    # London, 29 March 2026: 01:00 becomes 02:00. The night is an hour shorter.
    (LONDON, "22:00-07:00", "2026-03-28T22:00:00Z", "2026-03-29T06:00:00Z"),
    # The end is skipped: it is over when clocks are changed.
    (LONDON, "22:00-01:30", "2026-03-28T23:00:00Z", "2026-03-29T01:00:00Z"),
    # All of it is skipped: there is none.
    (LONDON, "01:00-02:00", "2026-03-29T00:59:59.999999Z", "2026-03-29T00:59:59.999999Z"),
    (LONDON, "01:00-02:00", "2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z"),
    # Its beginning is skipped: it is quiet from the change on.
    (LONDON, "01:30-03:00", "2026-03-29T00:59:59.999999Z", "2026-03-29T00:59:59.999999Z"),
    (LONDON, "01:30-03:00", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"),
    # London, 25 October 2026: 02:00 becomes 01:00. The night is an hour longer.
    (LONDON, "22:00-07:00", "2026-10-24T21:00:00Z", "2026-10-25T07:00:00Z"),
    # The end comes twice, and so does what is before it.
    (LONDON, "22:00-01:30", "2026-10-24T23:00:00Z", "2026-10-25T00:30:00Z"),
    (LONDON, "22:00-01:30", "2026-10-25T00:45:00Z", "2026-10-25T00:45:00Z"),
    (LONDON, "22:00-01:30", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"),
    (LONDON, "22:00-02:00", "2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z"),
    # Lord Howe, 4 October 2026: 02:00 becomes 02:30.
    (LORD_HOWE, "22:00-07:00", "2026-10-03T12:00:00Z", "2026-10-03T20:00:00Z"),
    (LORD_HOWE, "22:00-02:15", "2026-10-03T14:00:00Z", "2026-10-03T15:30:00Z"),
    (LORD_HOWE, "02:15-03:00", "2026-10-03T15:30:00Z", "2026-10-03T16:00:00Z"),
    # Lord Howe, 5 April 2026: 02:00 becomes 01:30.
    (LORD_HOWE, "22:00-07:00", "2026-04-04T11:00:00Z", "2026-04-04T20:30:00Z"),
    (LORD_HOWE, "22:00-01:45", "2026-04-04T14:00:00Z", "2026-04-04T14:45:00Z"),
    (LORD_HOWE, "22:00-01:45", "2026-04-04T15:00:00Z", "2026-04-04T15:15:00Z"),
]  # fmt: skip


def at(text: str) -> int:
    return instant(datetime.fromisoformat(text))


def hours(text: str) -> QuietHours:
    start, end = text.split("-")
    return QuietHours(minute_of(start), minute_of(end))


@pytest.mark.parametrize(("where", "quiet", "due_at", "goes"), TABLE)
def test_when_it_goes(where: str, quiet: str, due_at: str, goes: str) -> None:
    found = goes_at(hours(quiet), zone(where), at(due_at))
    assert iso(found) == iso(at(goes))


def test_a_zone_that_is_exchanged_counts_as_it_is_in_force_then() -> None:
    """Due in Jakarta's night, which goes on as Bogota's afternoon."""
    change = at("2026-11-30T17:00:00Z")
    both = zones(((None, JAKARTA), (change, "America/Bogota")))
    assert goes_at(hours("22:00-07:00"), both, at("2026-11-30T16:00:00Z")) == change


def test_without_quiet_hours_it_goes_at_once() -> None:
    assert goes_at(None, zone(LONDON), at("2026-11-22T03:00:00Z")) == at("2026-11-22T03:00:00Z")


@pytest.mark.parametrize("text", ["24:00", "7:00", "07:60", "07:00 ", "", "٠٧:00", "07:00\n"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write one from 00:00 to 23:59"):
        minute_of(text)


def test_hours_that_end_when_they_begin_are_refused() -> None:
    with pytest.raises(ValueError, match="leave both out"):
        hours("07:00-07:00")


def shows(where: Zone, us: int) -> int:
    """The minute of the day that a clock shows."""
    return (us + where.offset(us)) % DAY // MINUTE


@given(
    st.sampled_from(ZONES),
    st.integers(0, 1439),
    st.integers(0, 1439),
    st.integers(at("2009-01-01T00:00:00Z"), at("2029-01-01T00:00:00Z")),
)
def test_it_goes_at_the_first_instant_that_is_not_quiet(
    name: str, start: int, end: int, due_at: int
) -> None:
    if start == end:
        return
    where, quiet = zone(name), QuietHours(start, end)

    def silent(us: int) -> bool:
        minute = shows(where, us)
        return start <= minute < end if start < end else minute >= start or minute < end

    found = goes_at(quiet, where, due_at)
    assert found >= due_at
    assert not silent(found)
    assert found - due_at < DAY + 3 * HOUR
    before = range(due_at, found, 7 * MINUTE)
    assert all(silent(us) for us in before)
    assert found == due_at or silent(found - 1)


@given(st.integers(0, 1439))
def test_what_is_written_is_read(minute: int) -> None:
    assert minute_of(written(minute)) == minute
