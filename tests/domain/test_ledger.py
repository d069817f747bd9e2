"""The ledger: lots granted, lapsed, topped up and paid off, and sums that always agree."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.facts import Fact, Flag
from domain.ledger import GRANT, LAPSE, PAY_OFF, USE
from domain.lots import LotSource
from domain.money import micros
from domain.periods import DAY, HOUR, month_label
from domain.plans import Carry
from domain.top_ups import carried_until
from tests.domain.spine import ANA, BEN, UNIT, Tenant, at, fact, received, terms_of

TEN = at("2026-10-05 10:00")


def check_ledger(tenant: Tenant) -> None:
    """BA-10: the lines of each lot add up to what remains of it; days to what it gave."""
    sums = tenant.accounts()
    days: dict[int, list[int]] = {}
    for changes in tenant.commits:
        for (lot_id, _), (used, moved) in changes.lot_days.items():
            known = days.setdefault(lot_id, [0, 0])
            known[0] += used
            known[1] += moved
    used = 0
    for lots in tenant.state.lots.values():
        for lot in lots:
            assert sums[f"lot/{lot.lot_id}"] == lot.remaining
            assert days.get(lot.lot_id, [0, 0]) == [lot.used, lot.moved]
            assert lot.remaining >= 0 or lot.source is LotSource.OVERDRAFT
            used += lot.used
    assert sums["usage"] == used
    assert sum(sums.values()) == 0
    legs = [
        leg.taken
        for changes in tenant.commits
        for outcome in changes.outcomes
        for part in outcome.parts
        for leg in part.legs
    ]
    assert sum(legs) == used


def test_a_late_job_changes_nothing() -> None:
    """TZ-4: the lot is the one of the fact's time, whatever the clock shows."""
    facts = [
        fact(at("2026-10-31 23:59"), contact=ANA), fact(at("2026-11-01 00:01"), contact=BEN),
    ]  # fmt: skip
    prompt, late = Tenant(), Tenant()
    for one in facts:
        prompt.send(one)
    late.commit(facts, now=at("2026-11-01 03:00"))
    prompt.send(received(at("2026-11-01 03:00")))

    assert [(lot.month, lot.used, lot.lapsed) for lot in prompt.lots("conversations")] == [
        (lot.month, lot.used, lot.lapsed) for lot in late.lots("conversations")
    ]


def test_an_allowance_lapses_with_its_period_and_a_late_fact_still_draws_from_it() -> None:
    """BA-3: recorded once; what a late fact takes is no longer lapsed."""
    tenant = Tenant()
    tenant.send(fact(TEN))
    tenant.send(fact(at("2026-11-02 10:00")))
    october, november = tenant.lots("conversations")
    assert (october.used, october.lapsed, october.remaining) == (UNIT, 999 * UNIT, 0)

    tenant.send(fact(TEN, contact=BEN), now=at("2026-11-03 10:00"))
    tenant.send(fact(TEN, contact="6281100000099"), now=at("2026-11-03 11:00"))

    assert (october.used, october.lapsed, october.remaining) == (3 * UNIT, 997 * UNIT, 0)
    assert november.used == UNIT
    lapses = [t.amount for c in tenant.commits for t in c.transfers if t.cause == LAPSE]
    assert lapses == [999 * UNIT, UNIT, UNIT]
    check_ledger(tenant)


def test_allowances_are_granted_once_a_period() -> None:
    """BA-3, TZ-7: from the beginning of time, at the first fact that asks."""
    tenant = Tenant()
    for when in ("2025-08-17 10:00", "2026-10-05 10:00", "2025-08-18 10:00", "2026-10-31 23:59"):
        tenant.send(received(at(when), "6281100000099"), now=at("2026-11-01 10:00"))

    lots = tenant.lots("visitors", LotSource.ALLOWANCE)
    assert [lot.month for lot in lots] == [month_label(2025, 8), month_label(2026, 10)]
    assert [lot.amount for lot in lots] == [1000 * UNIT] * 2
    grants = [t for c in tenant.commits for t in c.transfers if t.cause == GRANT]
    assert len(grants) == 2


def test_the_first_allowance_starts_with_the_tenant() -> None:
    """TZ-7, BA-12: since the fifth, and whole."""
    tenant = Tenant(terms_of(since=TEN))
    tenant.send(received(TEN))
    (lot,) = tenant.lots("visitors")
    assert (lot.starts_at, lot.amount) == (TEN, 1000 * UNIT)


def test_a_thousand_and_one_visitors() -> None:
    """BA-11: remaining -1; a top-up of 500 then leaves 499."""
    tenant = Tenant()
    tenant.commit([received(TEN, f"62812{n:08d}") for n in range(1001)])
    assert tenant.remaining("visitors") == -UNIT

    tenant.top_up("visitors", "500", starts_at=TEN + 1)

    assert tenant.remaining("visitors") == 499 * UNIT
    (lot,) = tenant.lots("visitors", LotSource.TOP_UP)
    assert (lot.used, lot.moved, lot.remaining) == (0, UNIT, 499 * UNIT)
    moved = [t.amount for c in tenant.commits for t in c.transfers if t.cause == PAY_OFF]
    assert moved == [UNIT]
    check_ledger(tenant)


# BA-4: where a top-up of 5 October ends.
CARRIED = [
    (Carry(kind="none", periods=0), "2026-11-01 00:00"),
    (Carry(kind="periods", periods=1), "2026-12-01 00:00"),
    (Carry(kind="periods", periods=3), "2027-02-01 00:00"),
    (Carry(kind="always", periods=0), None),
]


@pytest.mark.parametrize(("carry", "end"), CARRIED)
def test_how_long_a_top_up_lives(carry: Carry, end: str | None) -> None:
    """BA-4: none, n periods, always."""
    assert carried_until(terms_of(), carry, TEN) == (None if end is None else at(end))


def random_facts(seed: int, count: int) -> list[Fact]:
    """Facts of two months around the change of rules, some of them late."""
    chance = random.Random(seed)
    start = at("2026-05-20 00:00")
    contacts = [f"62812{n:08d}" for n in range(40)]
    facts: list[Fact] = []
    for n in range(count):
        when = start + n * HOUR - chance.choice((0, 0, 0, 0, HOUR, DAY, 20 * DAY))
        contact = chance.choice(contacts)
        number = chance.choice((1, 1, 2))
        if chance.random() < 0.4:
            facts.append(received(when, contact, number_id=number, entry=chance.random() < 0.1))
        else:
            category = chance.choice(("service", "service", "service", "utility", "marketing"))
            facts.append(fact(when, contact=contact, category=category, number_id=number))
    return facts


@given(
    st.integers(0, 10**6), st.integers(1, 120), st.lists(st.integers(0, 120), max_size=6),
    st.lists(
        st.tuples(
            st.sampled_from(["conversations", "visitors", "whatsapp"]), st.integers(1, 3_000),
            st.integers(0, 120), st.integers(0, 10 * DAY),
        ),
        max_size=4,
    ),
)  # fmt: skip
def test_the_split_into_commits_changes_nothing(
    seed: int, count: int, cuts: list[int], top_ups: list[tuple[str, int, int, int]]
) -> None:
    """EV-4, BA-10: the same facts in few commits or many leave the same lots and the same sums."""
    facts = random_facts(seed, count)
    now = max(each.at for each in facts) + 40 * DAY
    acted = {place: (balance, amount, back) for balance, amount, place, back in top_ups}

    def run(edges: set[int]) -> Tenant:
        tenant = Tenant(terms_of("college-small"))
        batch: list[Fact] = []
        for place, one in enumerate(facts):
            if batch and (place in edges or place in acted):
                tenant.commit(batch, now=now)
                batch = []
            if place in acted:
                balance, amount, back = acted[place]
                tenant.top_up(balance, str(amount), starts_at=one.at - back, now=now)
            batch.append(one)
        tenant.commit(batch, now=now)
        check_ledger(tenant)
        return tenant

    def lots(tenant: Tenant) -> list[tuple[Any, ...]]:
        return [
            tuple(getattr(lot, name) for name in lot.__slots__)
            for balance in sorted(tenant.state.lots)
            for lot in tenant.state.lots[balance]
        ]

    def outcomes(tenant: Tenant) -> list[tuple[Any, ...]]:
        return [
            (outcome.fact.key, outcome.status, outcome.flags, outcome.market, tenant.said(outcome))
            for changes in tenant.commits
            for outcome in changes.outcomes
        ]

    few, many = run(set(cuts)), run(set(range(count)))

    assert outcomes(few) == outcomes(many)
    assert lots(few) == lots(many)
    assert few.accounts() == many.accounts()
    # A larger commit may take more to be late than is; nothing late is taken for in time.
    late = [one.fact.at for each in few.commits for one in each.outcomes if one.flags & Flag.LATE]
    for tenant in (few, many):
        from_then = tenant.state.unsettled_from
        assert not late or (from_then is not None and from_then <= min(late))
    assert {key: c.value for key, c in few.state.counters.items()} == {
        key: c.value for key, c in many.state.counters.items()
    }


def test_what_is_owed_is_paid_off_before_the_next_fact() -> None:
    """BA-5: usage before a top-up's start is owed and paid off by it, in one commit or in two."""
    facts = [
        fact(TEN - HOUR, contact=ANA, category="marketing"),
        fact(TEN + HOUR, contact=BEN, category="marketing"),
    ]  # fmt: skip
    figures = []
    for split in (True, False):
        tenant = Tenant()
        tenant.top_up("whatsapp", "700", starts_at=TEN)
        for batch in [[one] for one in facts] if split else [facts]:
            tenant.commit(batch, now=TEN + DAY)
        figures.append([(lot.used, lot.moved, lot.remaining) for lot in tenant.lots("whatsapp")])
        check_ledger(tenant)

    assert figures[0] == figures[1]
    assert figures[0] == [
        (micros("113.67"), micros("586.33"), 0),
        (2 * micros("586.33") - micros("113.67"), -micros("586.33"), -micros("472.66")),
    ]


def test_usage_is_one_line_of_a_lot_in_a_commit() -> None:
    """BA-10: every movement is double-entry; a commit writes few of them."""
    tenant = Tenant()
    tenant.commit([fact(TEN + n, contact=f"62812{n:08d}") for n in range(30)])
    (changes,) = tenant.commits
    assert [(t.debit, t.credit, t.amount, t.cause) for t in changes.transfers] == [
        ("allowance", "lot/1", 1000 * UNIT, GRANT), ("lot/1", "usage", 30 * UNIT, USE),
    ]  # fmt: skip
