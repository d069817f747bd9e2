"""Statements of account: every movement once, with the running balance (IN-2)."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.periods import DAY, HOUR, Zone, date_number, zone
from domain.statements import Entry, EntryKind, statement

JAKARTA = zone("Asia/Jakarta")
FIRST = date_number(date(2026, 11, 1))
START = JAKARTA.day_bounds(FIRST)[0]


def entry(at: int, kind: EntryKind, reference: str, amount: int) -> Entry:
    return Entry(at=at, kind=kind, reference=reference, amount=amount)


def test_a_month_told_movement_by_movement() -> None:
    """IN-2: opening, invoices, credit notes, payments and refunds, closing."""
    found = statement(
        [
            entry(START - 1, EntryKind.INVOICE, "INV-1", 100),
            entry(START, EntryKind.INVOICE, "INV-2", 50),
            entry(START + DAY, EntryKind.PAYMENT, "p-1", 170),
            entry(START + 2 * DAY - 1, EntryKind.CREDIT_NOTE, "CN-1", 30),
            entry(START + 2 * DAY, EntryKind.REFUND, "p-1", 40),
            entry(START + 29 * DAY, EntryKind.INVOICE, "INV-3", 7),
            entry(START + 30 * DAY - 1, EntryKind.VOID, "INV-3", 7),
            entry(START + 30 * DAY, EntryKind.INVOICE, "INV-4", 1),
        ],
        JAKARTA,
        FIRST,
        FIRST + 29,
    )
    assert (found.opening, found.closing) == (100, -10)
    assert [(each.day - FIRST, each.entry.reference, each.balance) for each in found.lines] == [
        (0, "INV-2", 150),
        (1, "p-1", -20),
        (1, "CN-1", -50),
        (2, "p-1", -10),
        (29, "INV-3", -3),
        (29, "INV-3", -10),
    ]


def test_what_happened_at_one_instant_keeps_its_order() -> None:
    rows = [entry(START, EntryKind.INVOICE, "A", 5), entry(START, EntryKind.PAYMENT, "p", 5)]
    found = statement(rows, JAKARTA, FIRST, FIRST)
    assert [each.balance for each in found.lines] == [5, 0]
    late = statement([*rows, entry(START - 1, EntryKind.REFUND, "q", 1)], JAKARTA, FIRST, FIRST)
    assert (late.opening, [each.balance for each in late.lines]) == (1, [6, 1])


def test_without_movements_it_closes_as_it_opens() -> None:
    assert statement([], JAKARTA, FIRST, FIRST).closing == 0
    found = statement([entry(0, EntryKind.PAYMENT, "p", 5)], JAKARTA, FIRST, FIRST)
    assert (found.opening, found.lines, found.closing) == (-5, (), -5)
    with pytest.raises(ValueError, match="is before day"):
        statement([], JAKARTA, FIRST, FIRST - 1)


def test_each_kind_moves_what_is_to_be_paid_its_way() -> None:
    """IN-2: balance = total - payments - credit notes; what went back is to be paid again."""
    assert {kind.value: kind.sign for kind in EntryKind} == {
        "invoice": 1, "credit_note": -1, "payment": -1, "refund": 1, "taken_back": 1, "void": -1,
    }  # fmt: skip


ENTRIES = st.lists(
    st.builds(
        entry,
        st.integers(START - 40 * DAY, START + 400 * DAY).map(lambda at: at - at % HOUR),
        st.sampled_from(EntryKind),
        st.text("ab", max_size=3),
        st.integers(0, 10**12),
    ),
    max_size=15,
)
ZONES = st.sampled_from(["Asia/Jakarta", "Europe/London", "Pacific/Apia"]).map(zone)


@settings(max_examples=100, deadline=None)
@given(ENTRIES, ZONES, st.integers(0, 200), st.integers(0, 200), st.integers(0, 200))
def test_one_statement_begins_where_another_ended(
    entries: list[Entry], there: Zone, first: int, more: int, rest: int
) -> None:
    """IN-2: two in a row are one, line by line, and what moved is the difference."""
    middle, last = FIRST + first + more, FIRST + first + more + 1 + rest
    one = statement(entries, there, FIRST + first, middle)
    two = statement(entries, there, middle + 1, last)
    both = statement(entries, there, FIRST + first, last)
    assert one.closing == two.opening
    assert (one.opening, two.closing) == (both.opening, both.closing)
    assert (*one.lines, *two.lines) == both.lines
    moved = sum(each.entry.kind.sign * each.entry.amount for each in both.lines)
    assert both.opening + moved == both.closing
    assert all(FIRST + first <= each.day <= last for each in both.lines)
