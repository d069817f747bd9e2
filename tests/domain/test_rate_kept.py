"""Rating what was kept unrated: as if its rate had been there, and nothing of it twice (EV-7)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.book_documents import parse_book
from domain.books import Book
from domain.facts import Channel, Direction, Fact, Flag, Status, Type
from domain.fold import RATED, rate_kept
from domain.money import micros
from domain.periods import DAY, HOUR, MINUTE, month_label
from domain.rollup import SECONDS, UNITS, USAGE
from domain.state import Changes, Outcome
from domain.terms import Terms
from tests.domain import test_units
from tests.domain.spine import ANA, BEN, UNIT, Tenant, at, fact, received, sample, terms_of

START = at("2026-09-29 10:00")
PLANS = ("college-small", "omnichannel-idr", "omnichannel-mcc-idr", "whatsapp-idr")
CATEGORIES = ("service", "marketing", "utility", "authentication", "visitor")


def without(document: dict[str, Any], *categories: str) -> Book:
    """A book that lacks all rows of some categories; a row of any category stays."""
    rows = [row for row in document["rows"] if row["category"].split("_")[0] not in categories]
    return parse_book(document | {"rows": rows}, 1, sample("whatsapp-markets"))


@cache
def pair(plan: str, *missing: str) -> tuple[Terms, Terms]:
    """A tenant's terms, and those it would have if its book lacked some categories."""
    document = sample(f"book-{sample(f'plan-{plan}')['book']}")
    whole = terms_of(plan, book=without(document))
    return whole, replace(whole, book=without(document, *missing), tariffs={}, views=[])


class Later(Tenant):
    """A tenant whose unrated facts are rated, each before the next one comes."""

    def __init__(self, now: Terms, later: Terms) -> None:
        super().__init__(now)
        self.later = later
        self.rated = 0

    def send(self, one: Fact, *, now: int | None = None) -> Outcome:
        outcome = super().send(one, now=now)
        if outcome.status is not Status.UNRATED:
            return outcome
        changes = self.rate([(one, outcome.flags, 0)], now or one.at)
        for each in changes.revisions:
            assert (each.fact, each.revision) == (one, 1)
            outcome = Outcome(one, each.status, each.flags, outcome.market, each.parts)
        self.rated += len(changes.revisions)
        return outcome

    def rate(self, kept: list[tuple[Fact, int, int]], now: int) -> Changes:
        changes = rate_kept(self.later, self.state, kept, now)
        assert changes.cause == RATED
        assert changes.outcomes == []
        for contact in changes.contacts:
            contact.dirty = False
        self.commits.append(changes)
        return changes


def said(outcome: Outcome) -> list[Any]:
    """What a fact was charged and how, without the flag that says where its charges stand."""
    parts = [(*part[:4], [(leg.lot.lot_id, leg.taken) for leg in part.legs]) for part in outcome[4]]
    return [outcome.status, outcome.flags & ~Flag.FURTHER, parts]


def slots(one: object) -> dict[str, Any]:
    return {name: getattr(one, name) for name in type(one).__slots__}  # type: ignore[attr-defined]


def figures(tenant: Tenant) -> dict[str, Any]:
    """Every figure of a tenant."""
    state = tenant.state
    usage: Counter[Any] = Counter()
    days: Counter[Any] = Counter()
    for changes in tenant.commits:
        for place, values in changes.usage.items():
            for name, value in zip(USAGE, values, strict=True):
                usage[(*place, name)] += value
        for lot_day, (used, moved) in changes.lot_days.items():
            days[(*lot_day, "used")] += used
            days[(*lot_day, "moved")] += moved
    return {
        "lots": [slots(lot) for lots in state.lots.values() for lot in lots],
        "counters": {key: slots(counter) for key, counter in state.counters.items()},
        "contacts": [slots(row) for rows in state.contacts.values() for row in rows],
        "accounts": {account: sum for account, sum in tenant.accounts().items() if sum},
        "usage": +usage,
        "days": +days,
        "head": (state.last_lot, state.next_due, state.unsettled_from),
    }


messages = st.tuples(
    st.sampled_from([MINUTE, HOUR, 11 * HOUR, DAY, 3 * DAY]),
    st.sampled_from([Type.MESSAGE_RECEIVED, *[Type.MESSAGE_DELIVERED] * 3]),
    st.sampled_from([ANA, BEN, "6591234567"]),
    st.sampled_from(CATEGORIES[:-1]),
    st.booleans(),
)


@given(
    st.sampled_from(PLANS), st.sets(st.sampled_from(CATEGORIES), min_size=1, max_size=3),
    st.lists(messages, max_size=25),
)  # fmt: skip
def test_a_message_is_rated_as_if_its_rate_had_been_there(
    plan: str, missing: set[str], sent: list[tuple[int, Type, str, str, bool]]
) -> None:
    """EV-7: windows, visits, lots, free counts and rollups, whatever the row that was missing."""
    whole, holed = pair(plan, *sorted(missing))
    once, later = Tenant(whole), Later(holed, whole)
    when = START
    for step, kind, contact, category, entry in sent:
        when += step
        if kind is Type.MESSAGE_RECEIVED:
            one = received(when, contact, entry=entry)
        else:
            one = fact(when, contact=contact, category=category)
        assert said(later.send(one)) == said(once.send(one))
    assert figures(later) == figures(once)


counted = st.tuples(
    st.sampled_from([MINUTE, HOUR, DAY]),
    st.sampled_from(["voice", "voice in", "sms", "email", "tokens", "bot"]),
    st.integers(0, 200),
)


def unit_fact(when: int, what: str, size: int) -> Fact:
    """A fact of what is counted, `size` long or large."""
    places = {channel: place for place, channel in enumerate(test_units.CHANNELS, 1)}
    match what.split():
        case ["voice", *inbound]:
            return fact(
                when, Type.CALL_ENDED, channel=Channel.VOICE, number_id=places[Channel.VOICE],
                seconds=size, answered=size > 0, category="",
                direction=Direction.IN if inbound else Direction.OUT,
            )  # fmt: skip
        case ["sms"]:
            return fact(
                when, channel=Channel.SMS, number_id=places[Channel.SMS], segments=1 + size % 4
            )
        case ["email"]:
            return fact(
                when, Type.EMAIL_SENT, channel=Channel.EMAIL, number_id=places[Channel.EMAIL],
                quantity=size * UNIT, category="",
            )  # fmt: skip
        case ["tokens"]:
            return fact(
                when, Type.USAGE_RECORDED, channel=Channel.BOT, number_id=places[Channel.BOT],
                quantity=size * UNIT, meter="tokens", category="",
            )  # fmt: skip
    return fact(
        when, Type.SESSION_ENDED, channel=Channel.BOT, number_id=places[Channel.BOT], seconds=size,
        category="",
    )  # fmt: skip


@given(
    st.sets(st.sampled_from(["call", "sms", "mail", "tokens", "session"]), min_size=1),
    st.lists(counted, max_size=25),
)
def test_what_is_counted_is_rated_as_if_its_rate_had_been_there(
    missing: set[str], sent: list[tuple[int, str, int]]
) -> None:
    """EV-7, VO-1, MT-1: billed seconds take the place of those that were noted without a rate."""
    whole = test_units.terms_of()
    rows = [row for row in test_units.BOOK["rows"] if row["row"] not in missing]
    book = parse_book(test_units.BOOK | {"rows": rows}, 1, sample("whatsapp-markets"))
    once, later = Tenant(whole), Later(replace(whole, book=book, tariffs={}, views=[]), whole)
    when = START
    for step, what, size in sent:
        when += step
        one = unit_fact(when, what, size)
        assert said(later.send(one)) == said(once.send(one))
    assert figures(later) == figures(once)


def kept(tenant: Tenant, facts: list[Fact]) -> list[tuple[Fact, int, int]]:
    """Facts that are kept unrated in one commit."""
    outcomes = tenant.commit(facts)
    assert {outcome.status for outcome in outcomes} == {Status.UNRATED}
    return [(each.fact, each.flags, 0) for each in outcomes]


def test_many_at_once_draw_in_turn() -> None:
    """EV-7, BA-1: in fact order, each from what those before it left."""
    whole, holed = pair("omnichannel-idr", "marketing")
    later = Later(holed, whole)
    contacts = [f"62811{n:08d}" for n in range(3)]
    facts = kept(later, [fact(START, contact=each, category="marketing") for each in contacts])
    assert later.remaining("whatsapp") == 0

    changes = later.rate(facts, START + DAY)

    assert [(each.revision, each.flags) for each in changes.revisions] == [
        (1, Flag.CONVERSATION_OPENED | Flag.OVERDRAWN | Flag.FURTHER)
    ] * 3
    assert later.remaining("whatsapp") == -3 * micros("586.33")
    assert later.state.unsettled_from is None


def test_a_rate_of_its_own_time_is_taken() -> None:
    """TZ-4: the lots and the period of the fact, however much later its rate comes."""
    whole, holed = pair("college-small", "visitor")
    later = Later(holed, whole)
    facts = kept(later, [received(START)])

    later.rate(facts, START + 40 * DAY)

    used = {lot.month: lot.used for lot in later.lots("visitors")}
    assert used[month_label(2026, 9)] == UNIT
    assert sum(used.values()) == UNIT


def test_what_still_has_no_rate_is_left() -> None:
    """EV-7: no revision, no line, no rollup; there is nothing to commit."""
    whole, holed = pair("omnichannel-idr", "marketing", "utility")
    later = Later(holed, replace(holed, tariffs={}))
    facts = kept(later, [fact(START, category="marketing"), fact(START + 1, category="utility")])

    changes = later.rate(facts, START + 2)

    assert changes.empty
    assert (changes.revisions, changes.usage, changes.transfers) == ([], {}, [])
    later.later = replace(whole, book=without(sample("book-omnichannel-idr"), "utility"))
    (rated,) = later.rate(facts, START + 3).revisions
    assert rated.fact is facts[0][0]


@pytest.mark.parametrize(("gap", "late"), [(0, False), (MINUTE, True), (-MINUTE, False)])
def test_a_message_with_later_ones_of_its_contact_is_late(gap: int, late: bool) -> None:
    """EV-9: what came after it was rated by the windows as they were without its charge."""
    whole, holed = pair("omnichannel-idr", "service")
    later = Later(holed, whole)
    facts = kept(later, [fact(START)])
    later.commit([fact(START + gap, category="marketing")])

    (rated,) = later.rate(facts, START + DAY).revisions

    assert bool(rated.flags & Flag.LATE) is late
    assert later.state.unsettled_from == (min(START, START + gap) if late or gap <= 0 else None)


def test_a_conversation_that_was_opened_unpaid_is_paid_and_covers_what_comes() -> None:
    """PR-9, CO-4: nothing is opened twice, and the next message is inside a paid one."""
    whole, holed = pair("omnichannel-idr", "service")
    later = Later(holed, whole)
    facts = kept(later, [fact(START)])

    (rated,) = later.rate(facts, START + 1).revisions
    later.terms = whole
    outcome = later.send(fact(START + HOUR))

    assert rated.flags & Flag.CONVERSATION_PAID
    assert later.remaining("conversations") == 999 * UNIT
    assert (outcome.status, later.said(outcome)) == (Status.ACCEPTED, [("conversations", 0)])


def test_a_lot_that_was_used_up_since_makes_it_late() -> None:
    """EV-9: in fact order it would have drawn what a later fact has drawn."""
    whole, holed = pair("college-small", "visitor")
    later = Later(holed, whole)
    facts = kept(later, [received(START, ANA)])
    later.terms = whole
    limit = later.remaining("visitors") // UNIT
    visitors = [received(START + 1 + n, f"62812{n:08d}") for n in range(limit or 60)]
    later.commit(visitors)

    (rated,) = later.rate(facts, START + DAY).revisions

    assert rated.flags & Flag.LATE
    assert rated.flags & Flag.OVERDRAWN
    assert later.state.unsettled_from == START


def test_the_seconds_of_a_call_are_those_that_are_billed() -> None:
    """VO-1: 31 seconds were noted, 36 are billed."""
    whole = test_units.terms_of()
    rows = [row for row in test_units.BOOK["rows"] if row["row"] != "call"]
    book = parse_book(test_units.BOOK | {"rows": rows}, 1, sample("whatsapp-markets"))
    later = Later(replace(whole, book=book, tariffs={}, views=[]), whole)
    facts = kept(later, [unit_fact(START, "voice", 31)])

    changes = later.rate(facts, START)

    (values,) = changes.usage.values()
    assert (values[SECONDS], values[UNITS]) == (5, 36 * UNIT)
