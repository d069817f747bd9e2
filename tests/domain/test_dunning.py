"""Dunning: steps by local days, each once, and which sends wait for what is unpaid (OC-1, TZ-3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.asking import Reason
from domain.dunning import (
    DEFAULT,
    OVERDUE,
    STEPS_MAX,
    Bill,
    Block,
    Deed,
    Dunned,
    DunningError,
    Policy,
    Step,
    ahead,
    blocks,
    due,
    falls_at,
    holds,
    parse_dunning,
    written,
)
from domain.facts import Fact
from domain.money import MICRO, micros
from domain.periods import DAY, date_number, iso, zone, zones
from domain.sums import Sums
from domain.terms import Terms
from tests.domain.spine import BEN, at, fact
from tests.domain.test_asking import NOON, OMNI, ask, fits, marketing, said, service, wrote

JAKARTA = zone("Asia/Jakarta")
DUE_ON = date_number(date(2026, 11, 14))
STRICT: Policy = (
    Step(3, Deed.REMIND),
    Step(10, Deed.BLOCK_MARKETING, prepaid=True),
    Step(10, Deed.REMIND),
    Step(20, Deed.BLOCK_ALL),
)


def bill(done: Mapping[str, int] | None = None, **more: Any) -> Bill:
    given = {"number": "INV-2026-000001", "due_on": DUE_ON, "balance": 300 * MICRO,
             "total": 500 * MICRO, "currency": "IDR", "done": done or {}}  # fmt: skip
    return Bill(**{**given, **more})


def days(*names: str) -> dict[str, int]:
    """Steps that were done, at instants that do not matter."""
    return {name: n for n, name in enumerate(names, 1)}


# Steps


def test_default_steps_remind_and_block_nothing() -> None:
    assert [(step.days, step.deed) for step in DEFAULT] == [
        (3, Deed.REMIND), (7, Deed.REMIND), (14, Deed.REMIND)
    ]  # fmt: skip
    done = days(OVERDUE, *(step.name for step in DEFAULT))
    assert holds(DEFAULT, [bill(done)]) is None


def test_a_step_begins_with_a_local_day() -> None:
    """IN-2: overdue is what the due day left unpaid; a step of one day is of that instant."""
    found = {days: iso(falls_at(DUE_ON, days, JAKARTA)) for days in (0, 1, 3, 20)}
    assert found == {
        0: "2026-11-14T17:00:00Z", 1: "2026-11-14T17:00:00Z",
        3: "2026-11-16T17:00:00Z", 20: "2026-12-03T17:00:00Z",
    }  # fmt: skip


#: What was done before, the local instant, what is due then, and the next instant.
DUE: list[tuple[str, tuple[str, ...], str, tuple[str, ...], str | None]] = [
    ("the due day is not over", (), "2026-11-14 23:59", (), "2026-11-15 00:00"),
    ("it is over", (), "2026-11-15 00:00", (OVERDUE,), "2026-11-17 00:00"),
    ("nothing more on that day", (OVERDUE,), "2026-11-16 23:59", (), "2026-11-17 00:00"),
    ("the first reminder", (OVERDUE,), "2026-11-17 00:00", ("remind/3",), "2026-11-24 00:00"),
    ("two of one day", (OVERDUE, "remind/3"), "2026-11-24 08:00",
     ("block_marketing/10", "remind/10"), "2026-12-04 00:00"),
    ("all that was missed is one", (), "2027-01-01 00:00",
     (OVERDUE, "remind/3", "block_marketing/10", "remind/10", "block_all/20"), None),
    ("a reminder from before what was done is past", (OVERDUE, "block_marketing/10"),
     "2026-11-25 00:00", (), "2026-12-04 00:00"),
    ("a block from before it is not", (OVERDUE, "block_all/20"), "2026-12-05 00:00",
     ("block_marketing/10",), None),
    ("all was done", (OVERDUE, "remind/3", "block_marketing/10", "remind/10", "block_all/20"),
     "2027-01-01 00:00", (), None),
]  # fmt: skip


@pytest.mark.parametrize(("words", "done", "now", "steps", "following"), DUE)
def test_what_is_due(
    words: str, done: tuple[str, ...], now: str, steps: tuple[str, ...], following: str | None
) -> None:
    found = due(STRICT, bill(days(*done)), JAKARTA, at(now))
    assert found.steps == steps
    assert found.at == (None if following is None else at(following))


def test_nothing_is_due_of_what_is_paid() -> None:
    paid = bill(days(OVERDUE, "block_all/20"), balance=0)
    found = due(STRICT, paid, JAKARTA, at("2027-01-01 00:00"))
    assert (found.steps, found.at, blocks(STRICT, paid)) == ((), None, [])
    assert holds(STRICT, [paid]) is None


def test_another_zone_moves_steps() -> None:
    """TZ-3: days are those of the zone in force; Bogota's begin twelve hours later."""
    cut = at("2026-11-16 12:00")
    moved = zones(((None, "Asia/Jakarta"), (cut, "America/Bogota")))
    assert due(STRICT, bill(days(OVERDUE)), moved, cut).at == at("2026-11-17 12:00")
    assert falls_at(DUE_ON, 0, moved) == falls_at(DUE_ON, 0, JAKARTA)


def test_a_day_that_a_zone_skipped_has_its_step_with_the_next() -> None:
    """TZ-3: Samoa had no 30 December 2011."""
    apia = zone("Pacific/Apia")
    skipped = date_number(date(2011, 12, 30))
    assert falls_at(skipped - 3, 3, apia) == falls_at(skipped - 3, 4, apia)


STEP = st.builds(
    Step, st.integers(1, 40), st.sampled_from(list(Deed)), st.just(False)
)  # fmt: skip


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    steps = draw(st.lists(STEP, max_size=6, unique_by=lambda step: step.name))
    return tuple(
        sorted(
            replace(step, prepaid=step.deed is not Deed.REMIND and draw(st.booleans()))
            for step in steps
        )
    )


@settings(max_examples=200, deadline=None)
@given(policies(), st.lists(st.integers(0, 12 * DAY), max_size=20))
def test_each_step_is_done_once_however_time_goes(policy: Policy, jumps: Sequence[int]) -> None:
    """Looked at whenever, every block is done once, and no reminder after a later one."""
    known, now, done = bill(), falls_at(DUE_ON, 0, JAKARTA) - DAY, dict[str, int]()
    for jump in [*jumps, 400 * DAY]:
        now += jump
        found = due(policy, known, JAKARTA, now)
        assert not set(found.steps) & set(done)
        assert found.at is None or found.at > now
        for name in found.steps:
            done[name] = now
        known = replace(known, done=done)
        held = holds(policy, [known])
        strongest = max((step.deed.value for step in blocks(policy, known)), default=None)
        assert (held is None) == (strongest is None)
    assert OVERDUE in done
    assert {step.name for step in policy if step.deed is not Deed.REMIND} <= set(done)
    assert ahead(policy, known, JAKARTA) == []


@settings(max_examples=100, deadline=None)
@given(policies())
def test_whoever_looks_at_each_instant_does_each_step_on_its_day(policy: Policy) -> None:
    known, now = bill(), falls_at(DUE_ON, 0, JAKARTA) - DAY
    while (found := due(policy, known, JAKARTA, now)).at is not None:
        now = found.at
        steps = due(policy, known, JAKARTA, now).steps
        known = replace(known, done={**known.done, **dict.fromkeys(steps, now)})
    when = {step.name: falls_at(DUE_ON, step.days, JAKARTA) for step in policy}
    assert known.done == {OVERDUE: falls_at(DUE_ON, 0, JAKARTA), **when}


# What holds


def test_the_strongest_of_all_invoices_holds() -> None:
    """Each by its own steps; the one that is due the longest is named, and all are asked for."""
    first = bill({OVERDUE: 1, "block_marketing/10": 5})
    second = bill({"block_marketing/10": 7, "block_all/20": 9}, number="INV-2", due_on=DUE_ON - 9,
                  balance=2 * MICRO)  # fmt: skip
    third = bill({OVERDUE: 3}, number="INV-3")
    found = holds(STRICT, [first, second, third])
    assert found == Dunned(
        credit=Block.ALL, prepaid=Block.MARKETING, since=5, number="INV-2", invoices=2,
        owed=302 * MICRO, currency="IDR",
    )  # fmt: skip
    assert found.words == "invoice INV-2 and 1 more are overdue: pay IDR 302 to send again"
    rest = holds(STRICT, [first, replace(second, balance=0), third])
    assert rest is not None
    assert (rest.credit, rest.prepaid, rest.number) == (
        Block.MARKETING, Block.MARKETING, "INV-2026-000001"
    )  # fmt: skip
    assert holds(STRICT, [third]) is None


def test_a_block_that_the_policy_does_not_have_does_not_hold() -> None:
    done = bill(days(OVERDUE, "block_marketing/10", "block_all/20"))
    later = tuple(replace(step, days=30) for step in STRICT if step.deed is Deed.BLOCK_ALL)
    assert holds(later, [done]) is None
    softer = holds(tuple(replace(step, prepaid=False) for step in STRICT), [done])
    assert softer is not None
    assert (softer.credit, softer.prepaid) == (Block.ALL, Block.NONE)


@pytest.mark.parametrize(
    ("currency", "owed", "words"),
    [
        ("IDR", "1200000.000001", "IDR 1,200,001"),
        ("USD", "1234.5", "USD 1,234.50"),
        ("KWD", "0.0001", "KWD 0.001"),
    ],
)
def test_what_is_to_be_paid_is_said_as_people_pay(currency: str, owed: str, words: str) -> None:
    one = bill(days("block_all/20"), currency=currency, balance=micros(owed))
    found = holds(STRICT, [one])
    assert found is not None
    assert found.words == f"invoice INV-2026-000001 is overdue: pay {words} to send again"


# Documents


def test_a_policy_reads_back() -> None:
    assert parse_dunning(written(STRICT)) == tuple(sorted(STRICT))
    assert parse_dunning({"steps": []}) == ()
    assert parse_dunning(written(DEFAULT)) == DEFAULT


@settings(max_examples=100, deadline=None)
@given(policies())
def test_whatever_is_written_reads_back(policy: Policy) -> None:
    assert parse_dunning(written(policy)) == policy


PROBLEMS: list[tuple[object, list[tuple[str, str]]]] = [
    ("no", [("steps", "'no' is not a list of tables")]),
    ([{"days": 0, "action": "remind"}], [("steps[0].days", "0 does not fit")]),
    ([{"days": 366, "action": "remind"}], [("steps[0].days", "366 does not fit")]),
    ([{"days": 1, "action": "shout"}], [("steps[0].action", "'shout' is not known")]),
    ([{"days": 1}, {"action": "remind", "day": 2}],
     [("steps[0].action", "is missing"), ("steps[1].days", "is missing"),
      ("steps[1].day", "is not a known field")]),
    ([{"days": 1, "action": "remind", "prepaid": True}],
     [("steps[0].prepaid", "a reminder refuses nothing")]),
    ([{"days": 1, "action": "remind"}] * 2, [("steps[1]", "remind after 1 days is there before")]),
    ([{"days": n, "action": "remind"} for n in range(1, STEPS_MAX + 2)],
     [("steps", f"has {STEPS_MAX + 1} steps")]),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "problems"), PROBLEMS)
def test_every_problem_of_a_policy_is_told(steps: object, problems: list[tuple[str, str]]) -> None:
    with pytest.raises(DunningError) as refused:
        parse_dunning({"steps": steps})
    assert [(each.path, each.wrong) for each in refused.value.problems] == problems


# Sends


def dunned(credit: Block, prepaid: Block = Block.NONE) -> Dunned:
    return Dunned(
        credit=credit, prepaid=prepaid, since=0, number="INV-1", invoices=1, owed=MICRO,
        currency="IDR",
    )  # fmt: skip


def with_credit(amount: str, held: Dunned | None) -> Terms:
    """A tenant whose whatsapp may go below zero."""
    limits = {"whatsapp": micros(amount)}
    balances = {
        number: replace(own, credit_limit=limits.get(own.key, 0))
        for number, own in OMNI.balances.items()
    }
    return replace(OMNI, balances=balances, dunned=held, tariffs={})


GRANTED = "granted"
UTILITY = fact(NOON, category="utility")
#: What is left of whatsapp, its credit, what holds, what is sent, and what is said.
SENDS: list[tuple[str, str, str, Dunned | None, Fact, str]] = [
    ("nothing holds", "0", "600", None, marketing(), GRANTED),
    ("credit is not given", "0", "600", dunned(Block.MARKETING), marketing(), "unpaid_invoice"),
    ("what is prepaid goes on", "586.33", "600", dunned(Block.ALL), marketing(), GRANTED),
    ("to the last millionth", "586.329999", "600", dunned(Block.ALL), marketing(),
     "unpaid_invoice"),
    ("unless it is refused too", "9999", "600", dunned(Block.ALL, Block.ALL), marketing(),
     "unpaid_invoice"),
    ("marketing alone", "9999", "0", dunned(Block.ALL, Block.MARKETING), marketing(),
     "unpaid_invoice"),
    ("other sends are not marketing", "-1", "9999", dunned(Block.MARKETING, Block.MARKETING),
     UTILITY, GRANTED),
    ("a unit that was granted goes on", "0", "600", dunned(Block.ALL), service(), GRANTED),
    ("credit would not do either", "0", "100", dunned(Block.ALL), marketing(),
     "insufficient_balance"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "left", "credit", "held", "one", "expected"), SENDS)
def test_which_sends_wait_for_an_invoice(
    words: str, left: str, credit: str, held: Dunned | None, one: Fact, expected: str
) -> None:
    """OC-1: credit limits count as none where sends are blocked, and prepaid sends go on."""
    there = {"whatsapp": left, "conversations": "1"}
    decision, sums = ask([one], there, terms=with_credit(credit, held), contacts=wrote())
    refusal = decision.refusal
    assert (GRANTED if refusal is None else refusal.reason.value) == expected
    if refusal is not None:
        assert not any(sums.held.values())
    if refusal is not None and refusal.reason is Reason.UNPAID_INVOICE:
        assert refusal.message == "invoice INV-1 is overdue: pay IDR 1 to send again"
        assert refusal.shortfall is None


def test_unpaid_invoices_come_behind_a_blocked_tenant() -> None:
    """OC-1: and before windows and rates, where nothing is sent whatever pays for it."""
    held = dunned(Block.ALL, Block.ALL)
    steps = [
        (replace(OMNI, blocked=True, dunned=held), service(), Reason.BLOCKED),
        (replace(OMNI, dunned=held), service(), Reason.UNPAID_INVOICE),
        (replace(OMNI, dunned=held), fact(NOON, category="newsletter"), Reason.UNPAID_INVOICE),
        (replace(OMNI, dunned=dunned(Block.ALL)), service(), Reason.WINDOW_CLOSED),
    ]
    for terms, one, reason in steps:
        decision, _ = ask([one], {"whatsapp": "0"}, terms=terms)
        assert decision.refusal is not None
        assert decision.refusal.reason is reason


def test_a_broadcast_is_granted_as_far_as_it_is_prepaid() -> None:
    """OC-5: the longest beginning of the list that needs no credit."""
    terms = with_credit("9999", dunned(Block.ALL))
    both = [marketing(), marketing(BEN)]
    decision, _ = ask(both, {"whatsapp": "600"}, terms=terms, partial=True)
    assert (decision.refusal, len(decision.shares)) == (None, 1)
    decision, _ = ask(both, {"whatsapp": "600"}, terms=terms)
    assert decision.refusal is not None
    assert decision.refusal.reason is Reason.UNPAID_INVOICE


LEFT = st.sampled_from(["-600", "-1", "0", "586.33", "586.329999", "1172.66", "9999"])
CREDIT = st.sampled_from(["0", "1", "586.33", "1200", "9999"])
HELD = st.builds(dunned, st.sampled_from(Block), st.sampled_from(Block))


@settings(max_examples=300, deadline=None)
@given(LEFT, LEFT, CREDIT, HELD, st.booleans(), st.integers(1, 3))
def test_a_dunned_decision_is_the_one_without_credit(
    left: str, other: str, credit: str, held: Dunned, partial: bool, count: int
) -> None:
    """OC-1, OC-2: what is granted is what would be without credit; it stands within its bounds."""
    facts = [marketing(f"628111000{n:04}") for n in range(count)]
    terms = with_credit(credit, held)

    def told(terms: Terms, left: str) -> Any:
        return ask(facts, {"whatsapp": left}, terms=terms, partial=partial)[0]

    found = told(terms, left)
    if held.refuses("marketing"):
        assert found.refusal.reason is Reason.UNPAID_INVOICE
        return
    plain = told(with_credit(credit, None), left)
    if not held.spares_prepaid("marketing"):
        assert said(found) == said(plain)
        return
    prepaid = told(with_credit("0", None), left)
    if prepaid.refusal is None:
        assert said(found) == said(prepaid)
    elif plain.refusal is None:
        assert found.refusal.reason is Reason.UNPAID_INVOICE
    else:
        assert found.refusal.reason is Reason.INSUFFICIENT_BALANCE
    if fits(found.bounds, Sums({"left:whatsapp": micros(other, signed=True)}, {})):
        assert said(told(terms, other)) == said(found)
