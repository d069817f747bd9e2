"""Windows, conversations and visits, without any money."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.books import WindowRule
from domain.contacts import Contact
from domain.facts import Flag
from domain.meter import reach, receive, visit
from domain.periods import DAY, HOUR

RULE = WindowRule(customer_service=24 * HOUR, conversation=24 * HOUR, free_entry=72 * HOUR)
T = 1_800_000_000_000_000

NONE, SERVICE, CONVERSATION, ENTRY = (
    Flag.NONE, Flag.SERVICE_OPENED, Flag.CONVERSATION_OPENED, Flag.ENTRY_OPENED,
)  # fmt: skip


def contact() -> Contact:
    return Contact(1, "6281100000010", 1)


# WI-1: when the contact wrote, in order of arrival: (hours, whether it opens), and then the window.
INBOUND = [
    ("the first opens", [(0, True)], (0, 24)),
    ("a further one moves the end", [(0, True), (3, False)], (0, 27)),
    ("at exactly 24 hours it was closed", [(0, True), (24, True)], (24, 48)),
    ("just inside it is not", [(0, True), (23.99, False)], (0, 47.99)),
    ("never back", [(0, True), (3, False), (1, False)], (0, 27)),
    ("a late one reaches the window known", [(10, True), (0, False)], (0, 34)),
    ("a late one in a window of its own, over since", [(30, True), (0, True)], (30, 54)),
    ("a late one that ends as the next begins", [(24, True), (0, True)], (24, 48)),
]


@pytest.mark.parametrize(
    ("inbound", "window"), [row[1:] for row in INBOUND], ids=[row[0] for row in INBOUND]
)
def test_the_service_window(inbound: list[tuple[float, bool]], window: tuple[float, float]) -> None:
    """WI-1: opens when the contact writes, lasts 24 h from the last time, its end outside."""
    one = contact()
    for hours, opens in inbound:
        opened = receive(one, T + int(hours * HOUR), RULE, entry=False)
        assert opened == (SERVICE if opens else NONE)
    opened_at, ends_at = (T + int(hours * HOUR) for hours in window)
    assert (one.service_opened_at, one.service_ends_at) == (opened_at, ends_at)
    assert one.in_service(opened_at)
    assert not one.in_service(opened_at - 1)
    assert one.in_service(ends_at - 1)
    assert not one.in_service(ends_at)


@given(st.lists(st.integers(0, 200), min_size=1, max_size=12), st.integers(0, 60))
def test_the_present_window_does_not_depend_on_the_order(hours: list[int], later: int) -> None:
    """WI-1, EV-4: after all messages, it is open if one of them is less than 24 h old."""
    one = contact()
    for hour in hours:
        receive(one, T + hour * HOUR, RULE, entry=False)
    now = max(hours) + later
    assert one.in_service(T + now * HOUR) == any(now - 24 < hour for hour in hours)


# CO-1: when the business's messages reached the contact, and the conversation known at the end.
OUTBOUND = [
    ("the first opens", [(0, True)], 0),
    ("not moved by later ones", [(0, True), (23, False)], 0),
    ("at exactly 24 hours a second", [(0, True), (23, False), (24, True)], 24),
    ("a late one inside", [(0, True), (10, False), (5, False)], 0),
    ("a late one that overlaps the one counted", [(10, True), (0, False)], 10),
    ("a late one whose conversation was over", [(30, True), (0, True)], 30),
    ("a late one that ends as the next begins", [(24, True), (0, True)], 24),
]


@pytest.mark.parametrize(
    ("outbound", "opened_at"), [row[1:] for row in OUTBOUND], ids=[row[0] for row in OUTBOUND]
)
def test_the_conversation(outbound: list[tuple[float, bool]], opened_at: float) -> None:
    """CO-1: opens at the first delivered message with none open, for 24 h from there."""
    one = contact()
    for hours, opens in outbound:
        opened = reach(one, T + int(hours * HOUR), RULE)
        assert opened == (CONVERSATION if opens else NONE)
    start = T + int(opened_at * HOUR)
    assert one.conversation_opened_at == start
    assert one.in_conversation(start)
    assert one.in_conversation(start + 24 * HOUR - 1)
    assert not one.in_conversation(start + 24 * HOUR)


def test_inbound_alone_opens_no_conversation() -> None:
    """CO-1: the contact may write as often as it likes."""
    one = contact()
    for hour in range(0, 100, 7):
        receive(one, T + hour * HOUR, RULE, entry=hour == 0)
    assert one.conversation_opened_at is None


@given(st.lists(st.integers(0, 400), min_size=1, max_size=20))
def test_conversations_in_order_are_counted_by_a_plain_loop(hours: list[int]) -> None:
    """CO-1: in fact order, a message opens one if the last one opened is 24 h old."""
    one, last, expected = contact(), -1000, []
    for hour in sorted(hours):
        expected.append(hour >= last + 24)
        if expected[-1]:
            last = hour

    opened = [bool(reach(one, T + hour * HOUR, RULE) & CONVERSATION) for hour in sorted(hours)]

    assert opened == expected


def test_a_new_conversation_is_unpaid() -> None:
    """PR-9: what paid for the last one does not cover the next."""
    one = contact()
    reach(one, T, RULE)
    one.conversation_paid = True
    reach(one, T + 23 * HOUR, RULE)
    assert one.conversation_paid
    reach(one, T + 24 * HOUR, RULE)
    assert not one.conversation_paid


# WI-2: (hours, "ad" or "in" for what the contact wrote, "out" for an answer, what that opens), and
# the free-entry window at the end.
ENTRIES = [
    ("the answer opens it", [(0, "ad", SERVICE), (2, "out", CONVERSATION | ENTRY)], (2, 74)),
    ("no ad, none", [(0, "in", SERVICE), (2, "out", CONVERSATION)], None),
    ("an answer just before 24 h", [(0, "ad", SERVICE), (23.9, "out", CONVERSATION | ENTRY)],
     (23.9, 95.9)),
    ("at exactly 24 h it is too late", [(0, "ad", SERVICE), (24, "out", CONVERSATION)], None),
    ("and stays so", [(0, "ad", SERVICE), (24, "out", CONVERSATION), (25, "out", NONE)], None),
    ("the first answer only", [(0, "ad", SERVICE), (2, "out", CONVERSATION | ENTRY),
     (3, "out", NONE)], (2, 74)),
    ("a further ad inside changes nothing", [(0, "ad", SERVICE),
     (2, "out", CONVERSATION | ENTRY), (20, "ad", NONE), (21, "out", NONE),
     (75, "out", CONVERSATION)], (2, 74)),
    ("an ad after it opens another", [(0, "ad", SERVICE), (2, "out", CONVERSATION | ENTRY),
     (74, "ad", SERVICE), (75, "out", CONVERSATION | ENTRY)], (75, 147)),
    ("the later of two ads counts", [(0, "ad", SERVICE), (20, "ad", NONE),
     (30, "out", CONVERSATION | ENTRY)], (30, 102)),
    ("in whichever order they come", [(20, "ad", SERVICE), (0, "ad", NONE),
     (30, "out", CONVERSATION | ENTRY)], (30, 102)),
    ("a message before the ad is no answer to it", [(5, "ad", SERVICE), (0, "out", CONVERSATION),
     (6, "out", ENTRY)], (6, 78)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "window"), [row[1:] for row in ENTRIES], ids=[row[0] for row in ENTRIES]
)
def test_the_free_entry_window(
    steps: Sequence[tuple[float, str, int]], window: tuple[float, float] | None
) -> None:
    """WI-2: opened by the answer to an ad within 24 h, for 72 h."""
    one = contact()
    for hours, what, opens in steps:
        when = T + int(hours * HOUR)
        if what == "out":
            assert reach(one, when, RULE) == opens
        else:
            assert receive(one, when, RULE, entry=what == "ad") == opens
    if window is None:
        assert one.entry_opened_at is None
        return
    opened_at, ends_at = (T + int(hours * HOUR) for hours in window)
    assert (one.entry_opened_at, one.entry_ends_at) == (opened_at, ends_at)
    assert one.in_entry(opened_at)
    assert not one.in_entry(ends_at)


def test_a_contact_counts_once_in_a_month_on_all_numbers() -> None:
    """VI-1, VI-2: rows of one channel share what was counted; months do not."""
    here, there = contact(), Contact(1, "6281100000010", 2)
    rows = [here, there]

    counted = [
        visit(rows, here, 100), visit(rows, there, 100), visit(rows, there, 101),
        visit(rows, here, 101), visit(rows, here, 99),
    ]  # fmt: skip

    assert counted == [Flag.VISITOR, NONE, Flag.VISITOR, NONE, Flag.VISITOR]
    assert (here.visited, there.visited) == ([100, 99], [101])


def test_windows_are_as_long_as_the_book_says() -> None:
    """WI-1, WI-2, CO-1: lengths are data."""
    rule = WindowRule(customer_service=2 * HOUR, conversation=3 * HOUR, free_entry=DAY)
    one = contact()
    receive(one, T, rule, entry=True)
    reach(one, T + HOUR, rule)
    assert (one.service_ends_at, one.conversation_ends_at, one.entry_ends_at) == (
        T + 2 * HOUR, T + 4 * HOUR, T + HOUR + DAY,
    )  # fmt: skip
