"""What a fact counts as: what lots paid by their source, and what a late rate adds."""

from __future__ import annotations

import pytest

from domain.draw import UNIT, Leg
from domain.facts import Flag, Status
from domain.lots import Lot, LotSource
from domain.rollup import USAGE, rated_later, usage_of
from domain.state import Charged, Part
from tests.domain.spine import at, fact

TEN = at("2026-10-05 10:00")
CONVERSATIONS, WHATSAPP = 1, 3


def is_money(balance_id: int) -> bool:
    return balance_id == WHATSAPP


def lot(source: LotSource) -> Lot:
    return Lot(
        lot_id=source.value, balance_id=CONVERSATIONS, source=source, priority=0, month=None,
        amount=UNIT, starts_at=0, ends_at=None, created_at=0, origin=source.name,
    )  # fmt: skip


def part(balance_id: int, *legs: tuple[LotSource, int], units: int = UNIT) -> Part:
    taken = tuple(Leg(lot(source), amount) for source, amount in legs)
    return Part(balance_id, 1, units, sum(leg.taken for leg in taken), taken)


def counted(values: list[int] | None) -> dict[str, int]:
    assert values is not None
    return {name: value for name, value in zip(USAGE, values, strict=True) if value}


@pytest.mark.parametrize("source", LotSource)
def test_an_allowance_is_initial_and_all_else_is_top_up(source: LotSource) -> None:
    """FI-5: promotions, adjustments and what nothing covered are top-up."""
    mine = source is LotSource.ALLOWANCE
    message = fact(TEN)

    of_units = usage_of(message, 1, 0, [part(CONVERSATIONS, (source, 7))], is_money)
    of_money = usage_of(message, 1, 0, [part(WHATSAPP, (source, 7))], is_money)

    assert counted(of_units).items() >= {"initial_units" if mine else "top_up_units": 7}.items()
    assert counted(of_units).get("cost") is None
    assert counted(of_money).get("initial_cost", 0) == 7 * mine
    assert counted(of_money)["cost"] == 7
    assert not {"initial_units", "top_up_units"} & counted(of_money).keys()


def test_a_charge_may_be_of_both() -> None:
    """BA-1: the allowance first, then the rest; each balance in its own unit."""
    parts = [
        part(CONVERSATIONS, (LotSource.ALLOWANCE, 3), (LotSource.TOP_UP, 4)),
        part(WHATSAPP, (LotSource.ALLOWANCE, 50), (LotSource.OVERDRAFT, 20), units=0),
    ]
    paid = {
        "messages_out": 1, "units": UNIT, "cost": 70, "initial_units": 3, "top_up_units": 4,
        "initial_cost": 50,
    }  # fmt: skip
    assert counted(usage_of(fact(TEN), 1, 0, parts, is_money)) == paid
    # As the books have it, a leg names its lot by number.
    posted = [
        Charged(
            each.balance_id, each.rule_id, each.units, each.amount,
            tuple((leg.lot.lot_id, leg.taken) for leg in each.legs),
        )
        for each in parts
    ]  # fmt: skip
    initial = {LotSource.ALLOWANCE.value}.__contains__
    assert counted(usage_of(fact(TEN), 1, 0, posted, is_money, initial)) == paid


def test_a_message_is_free_only_where_no_part_of_it_is_paid() -> None:
    """FI-4: a first tier may cost nothing, and the rest of the same message be paid."""
    nothing = part(WHATSAPP)
    paid = part(WHATSAPP, (LotSource.TOP_UP, 70))

    assert "messages_free" in counted(usage_of(fact(TEN), 1, 0, [nothing, nothing], is_money))
    for parts in ([nothing, paid], [paid, nothing]):
        assert "messages_free" not in counted(usage_of(fact(TEN), 1, 0, parts, is_money))


def test_a_late_rate_adds_what_is_paid_and_no_more() -> None:
    """EV-3, EV-7: the message and its conversation were counted when it came, on its card."""
    parts = [part(WHATSAPP, (LotSource.TOP_UP, 70))]
    for flags in (Flag.CONVERSATION_OPENED, Flag.NONE):
        added = rated_later(fact(TEN), Status.ADJUSTED, flags, parts, is_money)
        assert counted(added) == {"units": UNIT, "cost": 70}
        free = rated_later(fact(TEN), Status.ADJUSTED, flags, [part(WHATSAPP)], is_money)
        assert counted(free) == {}
    assert rated_later(fact(TEN), Status.ADJUSTED, Flag.REPEATED, parts, is_money) is None
