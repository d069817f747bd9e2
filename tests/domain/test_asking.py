"""Asking before a send: what is set aside, why it is refused, and how long a decision stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.asking import Ask, Cap, Decision, Reason, clone, decide
from domain.contacts import Contact
from domain.facts import Channel, Direction, Fact, Type
from domain.holds import Vector
from domain.money import micros
from domain.sums import Bounds, Sums, UncountedError, count_field
from domain.terms import Terms
from tests.domain.spine import (
    ANA,
    BEN,
    UNIT,
    Tenant,
    at,
    fact,
    number,
    received,
    sample_book,
    terms_of,
)  # fmt: skip

NOON = at("2026-10-05 12:00")
OMNI = terms_of()
VOICE = number(4, Channel.VOICE, "Asia/Jakarta")
CALLS = terms_of("contact-center-usd", book=sample_book("contact-center-usd"))
CALLS = replace(CALLS, numbers={**CALLS.numbers, 4: VOICE})
MONEY, CREDITS = "left:whatsapp", "left:conversations"


def free_count(terms: Terms) -> str:
    """The field of the free count of service messages in October 2026, at number 1."""
    (name,) = terms.book.limits
    return count_field(name, 1, terms.numbers[1].zone.month(NOON))


def call(seconds: int, contact: str = "12025550100") -> Fact:
    """A call out that would begin at noon."""
    return fact(
        NOON + seconds * UNIT, Type.CALL_ENDED, contact, number_id=4, channel=Channel.VOICE,
        direction=Direction.OUT, seconds=seconds, answered=True, category="", country="US",
    )  # fmt: skip


def ask(
    facts: Sequence[Fact],
    left: Mapping[str, str],
    *,
    terms: Terms = OMNI,
    counts: Mapping[str, int] | None = None,
    contacts: Mapping[str, Contact] | None = None,
    held: Mapping[str, int] | None = None,
    **more: Any,
) -> tuple[Decision, Sums]:
    """Decide by what is left, in decimals; a count that is not named is 0."""
    sums = Sums({f"left:{key}": micros(amount, signed=True) for key, amount in left.items()},
                dict(counts or {}), dict(held or {}))  # fmt: skip
    question = Ask(
        terms=terms, keys={n: key for key, n in terms.balance_ids.items()},
        number=terms.numbers[facts[0].number_id], facts=facts, contacts=contacts or {}, **more,
    )  # fmt: skip
    return decided(question, sums), sums


def decided(question: Ask, sums: Sums) -> Decision:
    """Decide; counts that nobody looked up are 0."""
    while True:
        try:
            return decide(question, sums)
        except UncountedError as missing:
            sums.counts[count_field(*missing.key)] = 0


def wrote(contact: str = ANA, before: int = 60 * UNIT) -> dict[str, Contact]:
    """A contact whose service window is open."""
    tenant = Tenant()
    tenant.send(received(NOON - before, contact))
    (row,) = tenant.state.contacts[Channel.WHATSAPP, contact]
    return {contact: row}


def marketing(contact: str = ANA) -> Fact:
    return fact(NOON, contact=contact, category="marketing")


def service(contact: str = ANA) -> Fact:
    return fact(NOON, contact=contact)


# What is left, what is asked; what is set aside, or why not.
DECISIONS: list[tuple[str, dict[str, str], Fact, dict[str, Contact], Vector | Reason]] = [
    ("a template is money", {"whatsapp": "600"}, marketing(), {}, ((MONEY, micros("586.33")),)),
    ("to the last millionth", {"whatsapp": "586.33"}, marketing(), {}, ((MONEY, 586_330_000),)),
    ("and not below", {"whatsapp": "586.329999"}, marketing(), {}, Reason.INSUFFICIENT_BALANCE),
    ("free text opens a conversation", {"conversations": "1", "whatsapp": "0"}, service(),
     wrote(), ((CREDITS, UNIT),)),
    ("part of a unit pays nothing", {"conversations": "0.5", "whatsapp": "0"}, service(), wrote(),
     ((free_count(OMNI), 1),)),
    ("nobody wrote", {"conversations": "1"}, service(), {}, Reason.WINDOW_CLOSED),
    ("no rate", {"whatsapp": "600"}, fact(NOON, category="newsletter"), {}, Reason.UNRATED),
]  # fmt: skip


@pytest.mark.parametrize(("words", "left", "one", "contacts", "expected"), DECISIONS)
def test_what_is_set_aside(
    words: str,
    left: dict[str, str],
    one: Fact,
    contacts: dict[str, Contact],
    expected: Vector | Reason,
) -> None:
    """OC-1, PR-9: what the charge would take, or the first reason that speaks against it."""
    decision, sums = ask([one], left, contacts=contacts)
    if isinstance(expected, Reason):
        assert decision.refusal is not None
        assert decision.refusal.reason is expected
        assert decision.total == ()
        assert not any(sums.held.values())
    else:
        assert (decision.refusal, decision.total) == (None, expected)
        assert sums.held == dict(expected)


def test_reasons_come_in_their_order() -> None:
    """OC-1: suspended, blocked, window closed, unrated, limit reached, insufficient."""
    unpaid = fact(NOON, category="service")
    cap = Cap("whatsapp", "day", micros("100"), micros("100"))
    steps: list[tuple[Terms, Fact, Reason]] = [
        (replace(OMNI, suspended=True, blocked=True), unpaid, Reason.TENANT_SUSPENDED),
        (replace(OMNI, blocked=True), unpaid, Reason.BLOCKED),
        (OMNI, unpaid, Reason.WINDOW_CLOSED),
        (OMNI, fact(NOON, category="newsletter"), Reason.UNRATED),
    ]
    for terms, one, reason in steps:
        decision, _ = ask([one], {"whatsapp": "0"}, terms=terms, caps=(cap,))
        assert decision.refusal is not None
        assert decision.refusal.reason is reason
    for left, reason in (("1000", Reason.LIMIT_REACHED), ("0", Reason.LIMIT_REACHED)):
        decision, _ = ask([marketing()], {"whatsapp": left}, caps=(cap,))
        assert decision.refusal is not None
        assert decision.refusal.reason is reason
    decision, _ = ask([marketing()], {"whatsapp": "0"})
    assert decision.refusal is not None
    assert decision.refusal.reason is Reason.INSUFFICIENT_BALANCE


def test_a_refusal_says_what_the_whole_chain_lacks() -> None:
    """OC-1: required, available and shortfall in the unit of the chain's last balance."""
    decision, _ = ask(
        [marketing(f"62811{n:07d}") for n in range(8)], {"whatsapp": "1000", "conversations": "3"}
    )
    refusal = decision.refusal
    assert refusal is not None
    assert (refusal.balance, refusal.recipient) == ("whatsapp", 1)
    assert refusal.required == 8 * micros("586.33")
    assert refusal.available == micros("1000")
    assert refusal.shortfall == micros("3690.64")


def test_what_others_hold_is_not_there() -> None:
    """OC-2, BA-2: of 137 conversations and 130 held, seven more are granted."""
    sums = Sums({CREDITS: 7 * UNIT, MONEY: 0}, {}, {CREDITS: 130 * UNIT})
    terms = terms_of("omnichannel-mcc-idr")
    found = []
    for n in range(20):
        contact = f"62811{n:07d}"
        question = Ask(
            terms=terms, keys={n: key for key, n in terms.balance_ids.items()},
            number=terms.numbers[1], facts=[marketing(contact)], contacts={},
        )  # fmt: skip
        found.append(decided(question, sums).refusal is None)
    assert found == [True] * 7 + [False] * 13
    assert sums.left[CREDITS] == 0
    assert sums.held[CREDITS] == 137 * UNIT


def test_two_who_ask_for_one_contact_hold_twice() -> None:
    """OC-8: each is judged by the windows as they are; one of the two will be free."""
    contacts = wrote()
    decision, _ = ask([service()], {"conversations": "5"}, contacts=contacts)
    again, _ = ask([service()], {"conversations": "4"}, contacts=contacts)
    assert decision.total == again.total == ((CREDITS, UNIT),)
    assert contacts[ANA].conversation_opened_at is None


def test_a_free_count_is_held_too() -> None:
    """OC-8: with 999 used and one free hold open, the next is priced."""
    name, contacts = free_count(OMNI), {**wrote(), **wrote(BEN)}
    left = {"conversations": "0", "whatsapp": "1000"}
    first, sums = ask([service()], left, counts={name: 999}, contacts=contacts)
    assert (first.total, sums.counts[name]) == (((name, 1),), 1_000)
    second, _ = ask([service(BEN)], left, counts={name: 1_000}, contacts=contacts)
    assert second.total == ((MONEY, micros("356.65")),)


def test_a_broadcast_is_all_or_nothing_or_its_longest_prefix() -> None:
    """OC-5: five of which three can be paid."""
    facts = [marketing(f"62811{n:07d}") for n in range(5)]
    left = {"whatsapp": "1800"}
    whole, sums = ask(facts, left)
    assert whole.refusal is not None
    assert whole.refusal.recipient == 3
    assert sums.left[MONEY] == micros("1800")
    part, sums = ask(facts, left, partial=True)
    assert part.refusal is None
    assert len(part.shares) == 3
    assert part.total == ((MONEY, micros("1758.99")),)
    assert sums.left[MONEY] == micros("41.01")
    none, _ = ask(facts, {"whatsapp": "586"}, partial=True)
    assert none.refusal is not None
    assert none.refusal.recipient == 0


def test_a_group_of_eight_is_paid_for_eight() -> None:
    """PR-8: 8 x 356.65 = 2,853.20 is granted, against 2,853.19 it is refused."""
    facts = [
        fact(NOON, contact=f"62811{n:07d}", party="\x1fg", category="utility") for n in range(8)
    ]
    enough, _ = ask(facts, {"whatsapp": "2853.20"})
    assert enough.total == ((MONEY, micros("2853.20")),)
    less, _ = ask(facts, {"whatsapp": "2853.19"})
    assert less.refusal is not None
    assert (less.refusal.required, less.refusal.shortfall) == (micros("2853.20"), micros("0.01"))


def test_a_call_goes_on_in_the_place_of_its_hold() -> None:
    """OC-1: what the call has set aside counts as there, and only the difference is taken."""
    first, sums = ask([call(60)], {"voice_outbound": "0.02"}, terms=CALLS)
    assert first.refusal is None
    (field, amount), = first.total  # fmt: skip
    longer, after = ask(
        [call(120)], {"voice_outbound": "0.02"}, terms=CALLS, before=first.total,
        held={field: amount},
    )  # fmt: skip
    if longer.refusal is None:
        assert dict(longer.total)[field] == 2 * amount
    else:
        assert longer.refusal.reason is Reason.INSUFFICIENT_BALANCE
        assert after.held[field] == amount
    assert sums.held[field] == amount


def test_a_cap_counts_what_was_used_and_what_is_held() -> None:
    """OC-1: 500 of 2,000 are left of the day's cap; 400 of them are held."""
    cap = Cap("whatsapp", "day", micros("2000"), micros("1000"))
    held = {MONEY: micros("413.67")}
    fits, _ = ask([marketing()], {"whatsapp": "9000"}, caps=(cap,), held=held)
    assert fits.refusal is None
    over, _ = ask(
        [marketing()], {"whatsapp": "9000"}, caps=(cap,), held={MONEY: micros("413.670001")}
    )
    assert over.refusal is not None
    assert over.refusal.reason is Reason.LIMIT_REACHED
    assert over.refusal.available == micros("586.329999")


def test_a_prefix_ends_at_a_cap() -> None:
    """OC-5: five could be paid, and the day's cap has room for two."""
    facts = [marketing(f"62811{n:07d}") for n in range(5)]
    cap = Cap("whatsapp", "day", micros("2000"), micros("1200"))
    part, sums = ask(facts, {"whatsapp": "9000"}, caps=(cap,), partial=True)
    assert part.total == ((MONEY, micros("1172.66")),)
    assert sums.held == {MONEY: micros("1172.66")}
    none, _ = ask(facts, {"whatsapp": "9000"}, caps=(cap._replace(left=1),), partial=True)
    assert none.refusal is not None
    assert none.refusal.reason is Reason.LIMIT_REACHED
    less, _ = ask(facts, {"whatsapp": "600"}, caps=(cap,), partial=True)
    assert less.total == ((MONEY, micros("586.33")),)


def test_asking_changes_no_window() -> None:
    """OC-6: a clone is judged; what stands, stands."""
    (row,) = wrote().values()
    copied = clone(row, service())
    assert all(
        getattr(copied, name) == getattr(row, name)
        for name in ("service_ends_at", "service_opened_at", "conversation_opened_at")
    )
    copied.category_windows.append(1)
    assert row.category_windows == []


# Whatever may be asked, in a few kinds.
KINDS: dict[str, tuple[Terms, Sequence[Fact]]] = {
    "a template": (OMNI, [marketing()]),
    "three templates": (OMNI, [marketing(f"62811{n:07d}") for n in range(3)]),
    "free text": (OMNI, [service()]),
    "free text to three": (OMNI, [service(c) for c in (ANA, BEN, "6281100000012")]),
    "a call": (CALLS, [call(150)]),
}
WROTE = {**wrote(), **wrote(BEN), **wrote("6281100000012")}
LITTLE = st.sampled_from([
    "0", "0.5", "1", "2", "3", "59", "60", "149", "150", "356.65", "586.33", "1000", "1758.99",
    "5000", "-3",
])  # fmt: skip


@st.composite
def situations(draw: st.DrawFn) -> tuple[str, dict[str, str], int, bool]:
    kind = draw(st.sampled_from(sorted(KINDS)))
    terms, _ = KINDS[kind]
    left = {key: draw(LITTLE) for key in terms.balance_ids}
    counted = draw(st.sampled_from([0, 1, 997, 998, 999, 1_000, 1_001]))
    return kind, left, counted, draw(st.booleans())


def in_situation(situation: tuple[str, dict[str, str], int, bool]) -> tuple[Decision, Sums]:
    kind, left, counted, partial = situation
    terms, facts = KINDS[kind]
    counts = {free_count(OMNI): counted} if terms is OMNI else {}
    return ask(facts, left, terms=terms, counts=counts, contacts=WROTE, partial=partial)


def fits(bounds: Sequence[Bounds], sums: Sums) -> bool:
    """Whether every bound holds, as the script compares them."""
    for name, low, high in bounds:
        value = sums.left.get(name, sums.counts.get(name, 0))
        if (low is not None and value < low) or (high is not None and value > high):
            return False
    return True


def before(situation: tuple[str, dict[str, str], int, bool], sums: Sums) -> Sums:
    """The sums as they were before a decision."""
    _, left, counted, _ = situation
    counts = dict.fromkeys(sums.counts, 0)
    if free_count(OMNI) in counts:
        counts[free_count(OMNI)] = counted
    return Sums({f"left:{k}": micros(v, signed=True) for k, v in left.items()}, counts)


def said(decision: Decision) -> object:
    """What whoever asked is told, apart from how much there was."""
    refusal = decision.refusal
    if refusal is not None:
        return refusal.reason
    return decision.total, decision.charges, decision.shares


@settings(max_examples=400, deadline=None)
@given(situations(), situations())
def test_a_decision_stands_within_its_bounds(
    one: tuple[str, dict[str, str], int, bool], other: tuple[str, dict[str, str], int, bool]
) -> None:
    """OC-2: whatever moved meanwhile, where the bounds hold the same would be decided again."""
    other = (one[0], other[1], other[2], one[3])
    first, sums = in_situation(one)
    assert fits(first.bounds, before(one, sums))
    second, later = in_situation(other)
    missing = {name: 0 for name in sums.counts if name not in later.counts}
    there = before(other, later)
    there.counts.update(missing)
    if fits(first.bounds, there):
        assert said(second) == said(first)


@settings(max_examples=200, deadline=None)
@given(situations())
def test_what_is_set_aside_is_what_would_be_charged(
    situation: tuple[str, dict[str, str], int, bool],
) -> None:
    """OC-1: the shares add up to the total, and no balance is taken below its credit limit."""
    kind, left, _, _ = situation
    terms, _ = KINDS[kind]
    decision, sums = in_situation(situation)
    charged: dict[str, int] = {}
    for share in decision.shares:
        for name, amount in share:
            charged[name] = charged.get(name, 0) + amount
    assert tuple(sorted(charged.items())) == decision.total
    paid = sum(amount for name, amount in decision.total if name.startswith("left:"))
    assert paid == sum(charge.amount for charge in decision.charges)
    for name, amount in decision.total:
        if name.startswith("left:"):
            assert sums.left[name] == micros(left[name[5:]], signed=True) - amount
            assert sums.left[name] >= -terms.balances[terms.balance_ids[name[5:]]].credit_limit
