"""Time alone: what lapses, begins, is granted and paid off, whenever somebody looks.

Lines are written as (instant, debit, credit, whole units, cause), in the order they are booked.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.figures import Figures, LotUse, figures
from domain.fold import TIME
from domain.ledger import GRANT, LAPSE, PAY_OFF, USE
from domain.lots import Lot, LotSource
from domain.periods import (
    DAY,
    HOUR,
    MINUTE,
    Period,
    instant,
    iso,
    month_label,
    period,
)
from domain.state import Changes
from domain.terms import Terms
from tests.domain.spine import UNIT, Tenant, at, fact, received, sample, terms_of

OCTOBER, NOVEMBER = month_label(2026, 10), month_label(2026, 11)
TEN = at("2026-10-05 10:00")
TWENTIETH = at("2026-10-20 00:00")
MONTH_END = at("2026-11-01 00:00")
NEXT_END = at("2026-12-01 00:00")

Line = tuple[int, str, str, int, int]


def lines(changes: Changes) -> list[Line]:
    return [(t.at, t.debit, t.credit, t.amount // UNIT, t.cause) for t in changes.transfers]


def stood(lot: Lot) -> tuple[LotSource, int | None, int, int, int, int]:
    """A lot as (source, month, amount, used, moved, lapsed) in whole units."""
    sums = (lot.amount, lot.used, lot.moved, lot.lapsed)
    amount, used, moved, lapsed = (each // UNIT for each in sums)
    return lot.source, lot.month, amount, used, moved, lapsed


# --- What happens at an instant ------------------------------------------------------------------


@pytest.mark.parametrize("late", [0, 3 * HOUR])
def test_a_month_ends(late: int) -> None:
    """BA-3, TZ-4: what was left lapses, what the plan allows is granted, at the first instant."""
    tenant = Tenant()
    tenant.send(fact(TEN))
    assert tenant.state.next_due == MONTH_END

    changes = tenant.advance(MONTH_END + late)

    assert changes.cause == TIME
    assert lines(changes) == [
        (MONTH_END, "lot/1", "lapsed", 999, LAPSE),
        (MONTH_END, "allowance", "lot/2", 1000, GRANT),
        (MONTH_END, "allowance", "lot/3", 1000, GRANT),
    ]
    assert [stood(lot) for lot in tenant.lots("conversations")] == [
        (LotSource.ALLOWANCE, OCTOBER, 1000, 1, 0, 999),
        (LotSource.ALLOWANCE, NOVEMBER, 1000, 0, 0, 0),
    ]
    assert [stood(lot) for lot in tenant.lots("visitors")] == [
        (LotSource.ALLOWANCE, NOVEMBER, 1000, 0, 0, 0)
    ]
    assert tenant.lots("whatsapp") == []
    assert list(changes.periods) == [NOVEMBER]
    assert tenant.state.next_due == NEXT_END
    assert (changes.outcomes, changes.contacts, changes.usage) == ([], [], {})
    check_sums(tenant)


def test_at_a_periods_first_instant_it_lapses_grants_and_pays_off() -> None:
    """BA-5: in that order, whatever begins at that very instant."""
    tenant = Tenant()
    tenant.send(fact(TEN, category="marketing"))
    tenant.top_up("visitors", "3", starts_at=TEN)
    tenant.top_up("whatsapp", "1000", starts_at=MONTH_END, now=TEN)

    changes = tenant.advance(MONTH_END)

    assert [(t.cause, t.balance_id) for t in changes.transfers] == [
        (LAPSE, 2), (GRANT, 1), (GRANT, 2), (PAY_OFF, 3),
    ]  # fmt: skip
    assert tenant.remaining("whatsapp") == 1000 * UNIT - 586_330_000
    check_sums(tenant)


# TZ-2: a tenant's month is its own, of 743, 745 or 721 hours where clocks change.
MONTHS = [
    ("Asia/Jakarta", "2026-10-05T00:00Z", "2026-10-31T17:00:00Z", "2026-11-30T17:00:00Z", 720),
    ("Europe/London", "2026-02-05T00:00Z", "2026-03-01T00:00:00Z", "2026-03-31T23:00:00Z", 743),
    ("Europe/London", "2026-09-05T00:00Z", "2026-09-30T23:00:00Z", "2026-11-01T00:00:00Z", 745),
    ("America/New_York", "2026-10-05T00:00Z", "2026-11-01T04:00:00Z", "2026-12-01T05:00:00Z", 721),
    ("America/Bogota", "2026-10-05T00:00Z", "2026-11-01T05:00:00Z", "2026-12-01T05:00:00Z", 720),
]


@pytest.mark.parametrize(("timezone", "when", "start", "end", "hours"), MONTHS)
def test_months_are_the_tenants(timezone: str, when: str, start: str, end: str, hours: int) -> None:
    """TZ-1, TZ-2: due at the local midnight, by both instants of the period."""
    tenant = Tenant(terms_of(timezone=timezone))
    tenant.send(received(instant(datetime.fromisoformat(when))))
    due = tenant.state.next_due
    assert due is not None
    assert iso(due) == start
    assert tenant.advance(due - 1).empty

    tenant.advance(due)

    granted = tenant.lots("visitors")[-1]
    assert granted.ends_at is not None
    assert (iso(granted.starts_at), iso(granted.ends_at)) == (start, end)
    assert (granted.ends_at - granted.starts_at) // HOUR == hours
    assert tenant.state.next_due == granted.ends_at


def test_a_top_up_that_starts_later_begins_without_a_line() -> None:
    """TZ-4: nothing is booked, and yet there is more to use: a watcher must hear of it."""
    tenant = Tenant()
    tenant.send(fact(TEN))
    tenant.top_up("conversations", "7", starts_at=TWENTIETH, now=TEN)
    assert tenant.state.next_due == TWENTIETH

    changes = tenant.advance(TWENTIETH)

    (top_up,) = tenant.lots("conversations", LotSource.TOP_UP)
    assert top_up in changes.lots.values()
    assert [line for line in lines(changes) if line[1:3] != ("allowance", "lot/3")] == []
    assert not changes.empty
    assert tenant.state.next_due == MONTH_END


def test_a_top_up_that_starts_later_pays_off_what_is_owed() -> None:
    """BA-5: at its start, though nobody looks before the month is over."""
    prompt, late = Tenant(), Tenant()
    for tenant in (prompt, late):
        tenant.commit([received(TEN, f"62812{n:08d}") for n in range(1002)])
        tenant.top_up("visitors", "5", starts_at=TWENTIETH, now=TEN)
        assert tenant.remaining("visitors") == 3 * UNIT
    prompt.advance(TWENTIETH)
    prompt.advance(MONTH_END)

    changes = late.advance(NEXT_END - 1)

    assert [line for line in lines(changes) if line[3] < 1000] == [
        (TWENTIETH, "lot/3", "lot/2", 2, PAY_OFF),
        (MONTH_END, "lot/3", "lapsed", 3, LAPSE),
    ]
    assert [stood(lot) for lot in prompt.lots("visitors")] == [
        stood(lot) for lot in late.lots("visitors")
    ]
    check_sums(late)


def test_a_top_up_that_expires_within_the_month() -> None:
    """BA-4: what is left of it lapses at its end, that instant outside."""
    tenant = Tenant()
    tenant.top_up("whatsapp", "1000", starts_at=TEN, ends_at=TWENTIETH)
    tenant.send(fact(TEN + 1, category="marketing"))
    assert tenant.state.next_due == TWENTIETH
    assert tenant.advance(TWENTIETH - 1).empty

    changes = tenant.advance(TWENTIETH)

    assert [(t.at, t.debit, t.credit, t.amount) for t in changes.transfers if t.cause == LAPSE] == [
        (TWENTIETH, "lot/1", "lapsed", 413_670_000)
    ]
    assert tenant.state.next_due == MONTH_END
    check_sums(tenant)


def test_twice_changes_nothing() -> None:
    """BA-3: neither by the job, nor by a commit of another process whose clock is behind."""
    tenant = Tenant()
    tenant.send(fact(TEN))
    tenant.top_up("whatsapp", "5", starts_at=TWENTIETH, now=TEN)
    tenant.advance(MONTH_END + HOUR)
    before = picture(tenant)

    again = tenant.advance(MONTH_END + HOUR)
    tenant.state.next_due = TWENTIETH
    behind = tenant.advance(MONTH_END + HOUR)

    assert again.empty
    assert lines(behind) == []
    assert picture(tenant) == before


def test_years_without_a_look() -> None:
    """TZ-4: what ended has lapsed; of the periods since, the present one alone is granted."""
    tenant = Tenant()
    tenant.send(fact(TEN))
    start = at("2031-03-01 00:00")

    changes = tenant.advance(start + 9 * DAY)

    assert lines(changes) == [
        (MONTH_END, "lot/1", "lapsed", 999, LAPSE),
        (start, "allowance", "lot/2", 1000, GRANT),
        (start, "allowance", "lot/3", 1000, GRANT),
    ]
    assert tenant.state.next_due == at("2031-04-01 00:00")


SINCE = at("2026-11-10 00:00")


def test_a_tenant_that_begins_later_is_granted_nothing_before() -> None:
    """TZ-7: its plan, with its allowances, holds from `since` on; the first one is whole."""
    tenant = Tenant(terms_of(since=SINCE))
    tenant.top_up("conversations", "5", starts_at=TEN)
    assert tenant.state.next_due == MONTH_END

    quiet = tenant.advance(MONTH_END)
    assert (lines(quiet), tenant.state.next_due) == ([], SINCE)
    changes = tenant.advance(SINCE + HOUR)

    assert lines(changes) == [
        (SINCE, "allowance", "lot/2", 1000, GRANT),
        (SINCE, "allowance", "lot/3", 1000, GRANT),
    ]
    granted = tenant.lots("conversations", LotSource.ALLOWANCE)
    assert [(lot.starts_at, lot.ends_at) for lot in granted] == [(SINCE, NEXT_END)]
    assert tenant.state.next_due == NEXT_END


def test_a_unit_overdraft_ends_with_its_period() -> None:
    """BA-11: no line is booked for it, and yet the balance is another one."""
    tenant = Tenant()
    tenant.commit([received(TEN, f"62812{n:08d}") for n in range(1001)])

    changes = tenant.advance(MONTH_END)

    (overdraft,) = tenant.lots("visitors", LotSource.OVERDRAFT)
    assert overdraft in changes.lots.values()
    assert overdraft.remaining == -UNIT
    assert shown(tenant, "visitors", MONTH_END).total.remaining == 1000 * UNIT
    check_sums(tenant)


def test_what_owes_money_owes_it_in_the_next_period() -> None:
    """BA-11, BA-9: carried over; a watcher hears that what was used is opening now."""
    tenant = Tenant(without_allowances())
    tenant.send(fact(TEN, category="marketing"))

    changes = tenant.advance(MONTH_END)

    assert lines(changes) == []
    assert not changes.empty
    total = shown(tenant, "whatsapp", MONTH_END).total
    assert (total.opening, total.used, total.remaining) == (-586_330_000, 0, -586_330_000)


def without_allowances() -> Terms:
    balances = [each | {"allowance": "0"} for each in sample("plan-omnichannel-idr")["balances"]]
    return terms_of(balances=balances)


def test_what_changes_nothing_is_no_commit() -> None:
    """A tenant without a lot, and a top-up that was used up before it ended."""
    asleep, spent = Tenant(without_allowances()), Tenant()
    asleep.advance(TEN)
    spent.send(fact(TEN))
    spent.top_up("whatsapp", "586.33", starts_at=TEN, ends_at=TWENTIETH)
    spent.send(fact(TEN + 1, category="marketing"))
    spent.advance(TEN + 2)
    spent.send(received(TEN + 3))

    assert asleep.advance(MONTH_END).empty
    assert spent.advance(TWENTIETH).empty
    assert (asleep.state.next_due, spent.state.next_due) == (NEXT_END, MONTH_END)


def test_a_tenant_nothing_ever_happened_to_is_not_due() -> None:
    """An allowance holds without being stored: the first commit says when it is due."""
    tenant = Tenant()

    assert tenant.advance(TEN).empty
    assert tenant.state.next_due == MONTH_END


def test_facts_come_after_what_time_did() -> None:
    """BA-5: lapse, grant and pay off, then the first fact, in one commit as in two."""
    split, together = Tenant(), Tenant()
    for tenant in (split, together):
        tenant.send(fact(TEN, category="marketing"))
        tenant.top_up("whatsapp", "700", starts_at=MONTH_END, now=TEN)
    split.advance(MONTH_END)
    for tenant in (split, together):
        tenant.send(fact(MONTH_END + MINUTE, category="marketing", contact="6281100000099"))

    assert picture(split) == picture(together)
    assert [t.cause for t in together.commits[-1].transfers] == [
        GRANT, GRANT, PAY_OFF, USE, USE,
    ]  # fmt: skip


# --- Whenever the job runs -----------------------------------------------------------------------

#: When something arrives, and what it does to a tenant.
Step = tuple[int, Callable[[Tenant], object]]


def script(seed: int, count: int) -> list[Step]:
    """Facts, some late or ahead, and top-ups, some of the future, in the order they arrive."""
    chance = random.Random(seed)
    now, steps = at("2026-08-20 00:00"), list[Step]()
    contacts = [f"62812{n:08d}" for n in range(60)]
    for _ in range(count):
        now += chance.choice((MINUTE, HOUR, DAY, 4 * DAY))
        if chance.random() < 0.2:
            start = now + chance.choice((-3 * DAY, 0, HOUR, DAY, 9 * DAY, 40 * DAY))
            step = partial(
                Tenant.top_up,
                balance=chance.choice(("conversations", "visitors", "whatsapp", "whatsapp")),
                amount=chance.choice(("1", "3", "700", "1500.5")),
                starts_at=start,
                ends_at=chance.choice((None, None, start + HOUR, start + 12 * DAY)),
                now=now,
            )
        else:
            when = now + chance.choice((0, 0, 0, 0, 4 * MINUTE, -HOUR, -2 * DAY, -35 * DAY))
            who = chance.choice(contacts)
            one = received(when, who)
            if chance.random() < 0.6:
                category = chance.choice(("service", "utility", "marketing"))
                one = fact(when, contact=who, category=category)
            step = partial(Tenant.send, one=one, now=now)
        steps.append((now, step))
    return steps


def tell(steps: list[Step], looks: list[int], *, prompt: bool = False) -> Tenant:
    """Run a script while the job looks at some instants, or whenever something is due."""
    terms = terms_of("college-small", balances=SMALL)
    tenant = Tenant(terms)
    for now, step in steps:
        if prompt:
            until(tenant, now)
        for look in [each for each in looks if each <= now]:
            looks.remove(look)
            if tenant.state.next_due is not None and tenant.state.next_due <= look:
                tenant.advance(look)
        step(tenant)
    return tenant


SMALL = [
    each | ({"allowance": "3", "carry": "always"} if each["kind"] == "unit" else {})
    for each in sample("plan-college-small")["balances"]
]


def until(tenant: Tenant, now: int) -> None:
    """Let the job run at every instant at which something is due, to `now`."""
    while tenant.state.next_due is not None and tenant.state.next_due <= now:
        tenant.advance(tenant.state.next_due)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 10**6), st.integers(1, 60), st.lists(st.integers(0, 100 * 24), max_size=8)
)  # fmt: skip
def test_figures_do_not_depend_on_when_the_job_ran(seed: int, count: int, looks: list[int]) -> None:
    """TZ-4: at once, at some time or at the very end: the same charges and the same figures."""
    steps = script(seed, count)
    begun, ended = steps[0][0], steps[-1][0] + 45 * DAY
    tenants = [
        tell(steps, [], prompt=True),
        tell(steps, sorted(begun + look * HOUR for look in looks)),
        tell(steps, []),
    ]
    until(tenants[0], ended)
    for tenant in tenants[1:]:
        tenant.advance(ended)

    prompt, *others = tenants
    instants = sample_of_instants(prompt, begun - 40 * DAY, ended)
    for tenant in others:
        assert said(tenant) == said(prompt)
        for balance in ("conversations", "visitors", "whatsapp"):
            for when in instants:
                one, other = (shown(each, balance, when) for each in (prompt, tenant))
                assert comparable(one) == comparable(other), (balance, iso(when))
    for tenant in tenants:
        check_sums(tenant)


def said(tenant: Tenant) -> list[Any]:
    """What every fact was answered with, and what of it is to be settled."""
    return [
        (outcome.fact.key, outcome.status, outcome.flags, tenant.said(outcome))
        for changes in tenant.commits
        for outcome in changes.outcomes
    ]


def sample_of_instants(tenant: Tenant, start: int, end: int) -> list[int]:
    """Every edge of a lot and a period with the instants around it, and some in between."""
    edges = {
        edge
        for lots in tenant.state.lots.values()
        for lot in lots
        for edge in (lot.starts_at, lot.ends_at)
        if edge is not None and start < edge < end
    }
    return sorted({at for edge in edges for at in (edge - 1, edge, edge + HOUR)} | {end})


# --- Figures of what was committed ---------------------------------------------------------------


def shown(tenant: Tenant, balance: str, when: int) -> Figures:
    """A balance's figures at an instant, from its lots, its facts and its ledger lines."""
    terms = tenant.terms
    span = period(terms.zone, when)
    uses = [use(tenant, lot, span, when) for lot in tenant.lots(balance)]
    overlapping = [
        each
        for each in uses
        if each.starts_at < span.end and (each.ends_at is None or each.ends_at > span.start)
    ]
    return figures(terms.plan.balance(balance), span, when, overlapping, since=terms.since)


def use(tenant: Tenant, lot: Lot, span: Period, when: int) -> LotUse:
    taken = [
        (outcome.fact.at, leg.taken)
        for changes in tenant.commits
        for outcome in changes.outcomes
        for part in outcome.parts
        for leg in part.legs
        if leg.lot.lot_id == lot.lot_id and outcome.fact.at < when
    ]
    account = f"lot/{lot.lot_id}"
    moved = [
        (t.at, t.amount if t.debit == account else -t.amount)
        for changes in tenant.commits
        for t in changes.transfers
        if t.cause == PAY_OFF and account in (t.debit, t.credit) and t.at <= when
    ]
    return LotUse(
        lot_id=lot.lot_id,
        source=lot.source,
        priority=lot.priority,
        month=lot.month,
        amount=lot.amount,
        starts_at=lot.starts_at,
        ends_at=lot.ends_at,
        created_at=lot.created_at,
        used_before=sum(amount for happened, amount in taken if happened < span.start),
        used=sum(amount for happened, amount in taken if happened >= span.start),
        moved_before=sum(amount for happened, amount in moved if happened < span.start),
        moved=sum(amount for happened, amount in moved if happened >= span.start),
    )


def comparable(found: Figures) -> Any:
    """Figures without the numbers lots got: who is granted earlier has a smaller one."""
    lots = sorted(
        (lot.source, lot.month or 0, lot.amount, lot.starts_at, lot.used_ever, lot.used, lot.left)
        for lot in found.lots
    )
    return found.initial, found.top_up, found.available, lots


def picture(tenant: Tenant) -> Any:
    """Everything the ledger knows, whatever commits it came in."""
    lots = [
        tuple(getattr(lot, name) for name in lot.__slots__)
        for lots in tenant.state.lots.values()
        for lot in lots
    ]
    days: dict[tuple[int, int], tuple[int, int]] = {}
    for changes in tenant.commits:
        for key, (used, moved) in changes.lot_days.items():
            before = days.get(key, (0, 0))
            days[key] = (before[0] + used, before[1] + moved)
    return sorted(lots, key=lambda lot: lot[6]), days, tenant.accounts(), tenant.state.next_due


def check_sums(tenant: Tenant) -> None:
    """BA-9, BA-10: ledger lines add up to what is left of each lot, days to what was taken."""
    accounts = tenant.accounts()
    assert sum(accounts.values()) == 0
    days: dict[int, list[int]] = {}
    for changes in tenant.commits:
        for (lot_id, _), (used, moved) in changes.lot_days.items():
            known = days.setdefault(lot_id, [0, 0])
            known[0] += used
            known[1] += moved
    for lots in tenant.state.lots.values():
        for lot in lots:
            assert accounts[f"lot/{lot.lot_id}"] == lot.remaining
            assert days.get(lot.lot_id, [0, 0]) == [lot.used, lot.moved]
