"""The status of an invoice by its tenant's clock, with every edge (IN-2)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.invoice_status import InvoiceStatus, changes_at, status
from domain.invoices import INVOICES, Invoice, issued
from domain.money import MICRO
from domain.periods import DAY, HOUR, Zone, date_number, instant, zone, zones
from tests.domain.test_invoices import rupiahs

JAKARTA = zone("Asia/Jakarta")
TOTAL = 100 * MICRO


def at(written: str) -> int:
    return instant(datetime.fromisoformat(written).replace(tzinfo=UTC))


def day(written: str) -> int:
    return date_number(date.fromisoformat(written))


def made(on: str = "2026-11-01", terms: int = 14) -> Invoice:
    return issued(rupiahs("100"), INVOICES, 1, day(on), terms)


@pytest.mark.parametrize(
    ("now", "found"),
    [
        ("2026-10-31T17:00:00", "posted"),  # its own day begins in Jakarta
        ("2026-11-14T16:59:59.999999", "posted"),
        ("2026-11-14T17:00:00", "unpaid"),  # 15 November begins, on which it is due
        ("2026-11-15T00:00:00", "unpaid"),  # in UTC too
        ("2026-11-15T16:59:59.999999", "unpaid"),
        ("2026-11-15T17:00:00", "overdue"),
        ("2030-01-01T00:00:00", "overdue"),
    ],
)
def test_time_alone_takes_it_from_posted_to_overdue(now: str, found: str) -> None:
    """IN-2: on the due day it is unpaid, from its first local instant to its last."""
    assert status(made(), TOTAL, JAKARTA, at(now)) == found
    assert status(made(), 1, JAKARTA, at(now)) == found  # part paid: the same
    assert status(made(), 0, JAKARTA, at(now)) == "paid"
    assert status(made(), TOTAL, JAKARTA, at(now), void=True) == "void"
    assert status(made(), 0, JAKARTA, at(now), void=True) == "void"
    assert status(rupiahs("100"), TOTAL, JAKARTA, at(now)) == "draft"


def test_without_terms_it_is_unpaid_from_its_issue() -> None:
    """IN-2: never posted, and overdue from the next local day."""
    own = made(terms=0)
    start, end = JAKARTA.day_bounds(day("2026-11-01"))
    assert [status(own, TOTAL, JAKARTA, now) for now in (start, end - 1, end)] == [
        "unpaid", "unpaid", "overdue",
    ]  # fmt: skip


def test_an_invoice_of_nothing_is_issued_as_paid() -> None:
    """IN-2: and a draft of nothing is a draft."""
    free = rupiahs("0")
    assert status(free, 0, JAKARTA, 0) is InvoiceStatus.DRAFT
    own = issued(free, INVOICES, 1, day("2026-11-01"), 0)
    assert status(own, own.total, JAKARTA, at("2026-11-01T00:00:00")) is InvoiceStatus.PAID
    assert changes_at(own, own.total, JAKARTA, 0) is None


def test_what_was_paid_and_is_owed_again_is_overdue_at_once() -> None:
    """IN-2: the status follows the balance, both ways."""
    late = at("2026-12-01T00:00:00")
    balances = (TOTAL, 0, 1)
    assert [status(made(), balance, JAKARTA, late) for balance in balances] == [
        "overdue", "paid", "overdue",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "due", "starts", "hours"),
    [
        ("Europe/London", "2026-03-29", "2026-03-29T00:00:00", 23),
        ("Europe/London", "2026-10-25", "2026-10-24T23:00:00", 25),
        ("Australia/Lord_Howe", "2026-10-04", "2026-10-03T13:30:00", 23.5),
        ("America/Santiago", "2026-09-06", "2026-09-06T04:00:00", 23),  # no midnight
        ("Asia/Kathmandu", "2026-03-29", "2026-03-28T18:15:00", 24),
    ],
)
def test_the_due_day_is_as_long_as_it_is_where_the_tenant_is(
    name: str, due: str, starts: str, hours: float
) -> None:
    """IN-2, TZ-2: 23 or 25 hours where clocks change, and from the first instant there is."""
    own, there = made(due, 0), zone(name)
    start, end = at(starts), at(starts) + int(hours * HOUR)
    own = replace(own, issued_on=day(due) - 3)
    assert [status(own, 1, there, now) for now in (start - 1, start, end - 1, end)] == [
        "posted", "unpaid", "unpaid", "overdue",
    ]  # fmt: skip
    assert [changes_at(own, 1, there, now) for now in (start - 1, start, end - 1, end)] == [
        start, end, end, None,
    ]  # fmt: skip


def test_a_due_day_that_never_was_is_over_at_once() -> None:
    """IN-2, TZ-2: Samoa had no 30 December 2011: posted on the 29th, overdue on the 31st."""
    own, apia = made("2011-12-16"), zone("Pacific/Apia")
    assert own.due_on == day("2011-12-30")
    midnight = at("2011-12-30T10:00:00")
    assert [status(own, 1, apia, now) for now in (midnight - 1, midnight)] == ["posted", "overdue"]
    assert changes_at(own, 1, apia, midnight - 1) == midnight
    assert changes_at(own, 1, apia, midnight) is None


def test_a_tenant_that_moves_is_asked_by_its_new_clock() -> None:
    """IN-2, TZ-3: from December in Bogota 1 December ends twelve hours later than in Jakarta."""
    own = made("2026-11-17")
    assert own.due_on == day("2026-12-01")
    moved = zones(((None, "Asia/Jakarta"), (at("2026-11-30T17:00:00"), "America/Bogota")))
    assert status(own, 1, moved, at("2026-11-30T16:59:59")) == "posted"
    assert status(own, 1, moved, at("2026-11-30T17:00:00")) == "unpaid"
    assert status(own, 1, moved, at("2026-12-02T04:59:59")) == "unpaid"
    assert status(own, 1, moved, at("2026-12-02T05:00:00")) == "overdue"
    assert status(own, 1, JAKARTA, at("2026-12-01T17:00:00")) == "overdue"


def test_a_credit_note_has_no_status() -> None:
    with pytest.raises(ValueError, match="credit_note has no status"):
        status(replace(made(), kind="credit_note"), 1, JAKARTA, 0)


ZONES = st.sampled_from(
    ["UTC", "Asia/Jakarta", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe"]
).map(zone)


@settings(max_examples=100, deadline=None)
@given(
    ZONES,
    st.integers(14_000, 23_000),
    st.integers(0, 40),
    st.integers(-20 * DAY, 60 * DAY),
    st.integers(0, 2),
    st.booleans(),
)
def test_it_changes_just_when_it_is_said_to(
    there: Zone, on: int, terms: int, later: int, balance: int, void: bool
) -> None:
    """IN-2: by time alone it goes forward: posted, unpaid, overdue; at no other instant."""
    own = issued(rupiahs("100"), INVOICES, 1, on, terms)
    now = on * DAY + later
    before = status(own, balance, there, now, void=void)
    then = changes_at(own, balance, there, now, void=void)
    order = ["posted", "unpaid", "overdue"]
    if then is None:
        assert before in {"void", "paid", "overdue"}
        assert status(own, balance, there, now + 100 * DAY, void=void) is before
    else:
        assert then > now
        assert status(own, balance, there, then - 1) is before
        assert order.index(status(own, balance, there, then)) > order.index(before)
