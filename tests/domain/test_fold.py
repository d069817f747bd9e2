"""The fold: what a fact does in all, and where it is marked."""

from __future__ import annotations

from typing import Any

import pytest

from domain.facts import Direction, Flag, Status, Type
from domain.fold import fold
from domain.money import micros
from domain.periods import DAY, HOUR, MINUTE, month_label
from domain.rollup import CONVERSATIONS, COST, MESSAGES_FREE, MESSAGES_IN, MESSAGES_OUT, VISITORS
from tests.domain.spine import ANA, BEN, UNIT, Tenant, at, fact, received

TEN = at("2026-10-05 10:00")


def usage(tenant: Tenant, column: int) -> int:
    return sum(values[column] for changes in tenant.commits for values in changes.usage.values())


def test_a_day() -> None:
    """CO-1, PR-9, BA-10: what a few facts do to everything at once."""
    tenant = Tenant()

    tenant.commit([
        received(TEN), fact(TEN + 5 * MINUTE), fact(TEN + 2 * HOUR, category="marketing"),
        fact(TEN + DAY, category="utility"),
    ])  # fmt: skip

    assert tenant.remaining("conversations") == 999 * UNIT
    assert tenant.remaining("visitors") == 999 * UNIT
    assert tenant.remaining("whatsapp") == -micros("942.98")
    columns = (CONVERSATIONS, VISITORS, MESSAGES_IN, MESSAGES_OUT, MESSAGES_FREE, COST)
    assert [usage(tenant, column) for column in columns] == [1, 1, 1, 3, 0, micros("942.98")]
    assert tenant.accounts() == {
        "allowance": -2000 * UNIT, "usage": 2 * UNIT + micros("942.98"), "lot/1": 999 * UNIT,
        "lot/2": 999 * UNIT, "lot/3": -micros("942.98"),
    }  # fmt: skip


def test_periods_are_noted_once_with_their_two_instants() -> None:
    """TZ-1: Asia/Jakarta's November 2026."""
    tenant = Tenant()
    tenant.commit([received(at("2026-11-30 23:59")), received(at("2026-12-01 00:00"))])
    tenant.commit([received(at("2026-11-02 00:00"), BEN)])

    first, second = (sorted(changes.periods) for changes in tenant.commits)

    assert (first, second) == ([month_label(2026, 11), month_label(2026, 12)], [])
    november = tenant.commits[0].periods[month_label(2026, 11)]
    assert (november.start, november.end) == (at("2026-11-01 00:00"), at("2026-12-01 00:00"))


def test_further_statuses_of_a_message_charge_nothing() -> None:
    """EV-5: a second status is a no-op, marked late only if it came before in fact order."""
    tenant = Tenant()
    tenant.send(fact(TEN, category="marketing", message="m"))
    later = fact(TEN + 1, Type.MESSAGE_READ, category="marketing", message="m")
    earlier = fact(TEN - 1, Type.MESSAGE_READ, category="marketing", message="m")
    changes = fold(
        tenant.terms, tenant.state, [later, earlier], {later.key: TEN, earlier.key: TEN}, TEN + 2
    )

    assert [outcome.flags for outcome in changes.outcomes] == [
        Flag.REPEATED, Flag.REPEATED | Flag.LATE
    ]  # fmt: skip
    assert [outcome.parts for outcome in changes.outcomes] == [(), ()]
    assert (changes.usage, changes.contacts, changes.transfers) == ({}, [], [])


CALL = {"answered": True, "seconds": 60}

# EV-7: what is chargeable and has no row is unrated; the rest is accepted without charge.
CHARGEABLE: list[tuple[Type, dict[str, Any], Status]] = [
    (Type.MESSAGE_SENT, {"category": "marketing"}, Status.ACCEPTED),
    (Type.MESSAGE_FAILED, {"category": "marketing"}, Status.ACCEPTED),
    (Type.MESSAGE_DELIVERED, {"category": "newsletter"}, Status.UNRATED),
    (Type.MESSAGE_DELIVERED, {"number_id": 3}, Status.UNRATED),
    (Type.CALL_ENDED, CALL, Status.ACCEPTED),
    (Type.CALL_ENDED, CALL | {"direction": Direction.OUT}, Status.UNRATED),
    (Type.CALL_ENDED, {"direction": Direction.OUT}, Status.ACCEPTED),
    (Type.SESSION_ENDED, {}, Status.UNRATED),
    (Type.EMAIL_SENT, {}, Status.UNRATED),
    (Type.USAGE_RECORDED, {"meter": "storage"}, Status.UNRATED),
]


@pytest.mark.parametrize(("type", "more", "status"), CHARGEABLE)
def test_what_is_chargeable(type: Type, more: dict[str, Any], status: Status) -> None:
    """EV-7: never free by omission."""
    tenant = Tenant()
    outcome = tenant.send(fact(TEN, type, **more))
    assert (outcome.status, outcome.parts) == (status, ())
    assert tenant.accounts() == {}


def test_a_visit_that_no_row_speaks_of_is_unrated() -> None:
    """EV-7: the plan has visitors, the book begins in July 2025."""
    tenant = Tenant()
    first, again = tenant.commit([received(at("2025-06-30 10:00")) for _ in range(2)])
    assert (first.status, again.status) == (Status.UNRATED, Status.ACCEPTED)
    assert first.flags & Flag.VISITOR


def test_an_inbound_call_moves_the_window_from_its_start() -> None:
    """WI-1: answered or not; a call of the business does not."""
    tenant = Tenant()
    tenant.commit([
        fact(TEN, Type.CALL_ENDED, ANA, answered=True, seconds=600),
        fact(TEN, Type.CALL_ENDED, BEN, answered=True, seconds=600, direction=Direction.OUT),
    ])  # fmt: skip
    (ana,) = tenant.state.contacts[(1, ANA)]
    assert (ana.service_opened_at, ana.service_ends_at) == (
        TEN - 10 * MINUTE, TEN - 10 * MINUTE + DAY,
    )  # fmt: skip
    assert (1, BEN) not in tenant.state.contacts


def test_what_is_free_and_what_is_covered() -> None:
    """FI-4: a window frees a template, a paid conversation covers what it was paid for."""
    tenant = Tenant()
    when = at("2026-09-07 10:00")
    tenant.commit([
        received(when), fact(when + 1), fact(when + 2), fact(when + 3, category="utility"),
    ])  # fmt: skip
    assert usage(tenant, MESSAGES_FREE) == 1


def test_a_late_fact_is_marked_where_something_later_was_touched() -> None:
    """EV-9: by contact and number; what shares nothing commutes."""
    tenant = Tenant()
    tenant.commit([received(TEN), received(TEN, BEN)])

    outcomes = tenant.commit([
        fact(TEN - 2, contact="6281100000099"), fact(TEN - 1), fact(TEN, contact=BEN),
        fact(TEN + 1, contact=BEN),
    ])  # fmt: skip

    assert [outcome.flags & Flag.LATE for outcome in outcomes] == [0, Flag.LATE, 0, 0]
    assert tenant.state.unsettled_from == TEN - 1


def test_a_fact_between_those_that_used_a_lot_up_is_late() -> None:
    """EV-9: what counts is the latest fact that had a share, not the one that took the last."""
    tenant = Tenant()
    tenant.commit([fact(TEN - HOUR, contact=f"62812{n:08d}") for n in range(998)])
    contacts = ["6281100000031", "6281100000032", "6281100000033", "6281100000034"]
    moments = [TEN + 60, TEN, TEN + 30, TEN + 90]

    outcomes = tenant.commit(
        [fact(when, contact=who) for when, who in zip(moments, contacts, strict=True)]
    )

    assert [bool(outcome.flags & Flag.LATE) for outcome in outcomes] == [False, True, True, False]


def test_facts_of_one_instant_that_use_a_lot_up_are_settled() -> None:
    """EV-4, EV-9: which of them had the last of it, their names decide and not their arrival."""
    tenant = Tenant()
    tenant.commit([received(TEN, contact=f"62812{n:08d}") for n in range(1_000)])
    assert tenant.state.unsettled_from == TEN, "the last one may not be the last in order"
    other = Tenant()
    other.commit([received(TEN + n, contact=f"62812{n:08d}") for n in range(1_001)])
    assert other.state.unsettled_from is None
    other.commit([received(TEN + 999, contact="6281300000001")])
    assert other.state.unsettled_from == TEN + 999
