"""Folding again: whatever the arrival, in fact order it comes to the same (EV-4, EV-9)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import merge
from typing import Any

import pytest

from domain.deeds import Adjustment, ChargeRefund, Deed, Past, TakeBack, TopUp, TopUpRefund
from domain.facts import Fact, Type
from domain.fold import fold
from domain.lots import LotSource
from domain.periods import DAY, HOUR, MINUTE
from domain.refold import Input, Movement, Refold, movement, place
from domain.settle import Books, Posted, compare, corrections
from domain.state import Charged, Outcome
from tests.domain.spine import UNIT, Tenant, at, fact, new_state, received, sample, terms_of

START = at("2026-10-28 09:00")
CONTACTS = [f"62811000000{n}" for n in range(10, 16)]


@dataclass
class Life:
    """A tenant whose inputs arrived in some order, and what was posted of them."""

    tenant: Tenant
    posted: dict[bytes, Posted]
    past: Past

    def take(self, one: Input, now: int) -> None:
        state = self.tenant.state
        if isinstance(one, Deed):
            state.action = one.key
            changes = one.do(self.tenant.terms.at(now), state, self.past)
            self.past.note(changes.transfers)
            self.tenant.commits.append(changes)
            return
        changes = fold(self.tenant.terms, state, [one], {}, now)
        for contact in changes.contacts:
            contact.dirty = False
        self.tenant.commits.append(changes)
        self.past.note(changes.transfers)
        (outcome,) = changes.outcomes
        for n, part in enumerate(outcome.parts):
            legs = [(leg.lot.lot_id, leg.taken) for leg in part.legs]
            self.past.legs[one.key, n] = legs
        self.posted[one.key] = posted(outcome)

    def books(self) -> Books:
        moved: dict[Movement, int] = {}
        days: dict[tuple[int, int], list[int]] = {}
        for changes in self.tenant.commits:
            for when, balance, debit, credit, amount, cause in changes.transfers:
                zone = self.tenant.terms.zone
                key = movement(zone, when, balance, debit, credit, cause)
                moved[key] = moved.get(key, 0) + amount
            for place_of, (used, shifted) in changes.lot_days.items():
                known = days.setdefault(place_of, [0, 0])
                known[0] += used
                known[1] += shifted
        lots = {lot.lot_id: lot for each in self.tenant.state.lots.values() for lot in each}
        return Books(lots=lots, moved=moved, lot_days={k: (a, b) for k, (a, b) in days.items()})


def posted(outcome: Outcome) -> Posted:
    return Posted(
        outcome.status,
        outcome.flags,
        0,
        tuple(
            Charged(*part[:4], tuple((leg.lot.lot_id, leg.taken) for leg in part.legs))
            for part in outcome.parts
        ),
    )


def inputs(rnd: random.Random, count: int) -> list[Input]:
    """Facts and deeds of some days around a month's end."""
    made: list[Input] = []
    bought: list[TopUp] = []
    when = START
    for n in range(count):
        when += rnd.randrange(MINUTE, 6 * HOUR)
        kind = rnd.random()
        if kind < 0.06:
            bought.append(
                TopUp(
                    at=when, key=f"t{n}", accepted_at=when, balance_id=rnd.choice([1, 3]),
                    amount=rnd.randrange(1, 6) * UNIT * 200, source=LotSource.TOP_UP,
                    starts_at=when, ends_at=rnd.choice([None, when + 9 * DAY]),
                )
            )  # fmt: skip
            made.append(bought[-1])
        elif kind < 0.09 and bought:
            top_up = bought.pop(rnd.randrange(len(bought)))
            back = {"at": when, "key": f"b{n}", "accepted_at": when, "top_up": top_up.key}
            if rnd.random() < 0.5:
                made.append(TakeBack(**back))
            else:
                made.append(TopUpRefund(**back, amount=3 * UNIT))
        elif kind < 0.15 and (charged := [one for one in made if isinstance(one, Fact)]):
            made.append(
                ChargeRefund(
                    at=when, key=f"c{n}", accepted_at=when, balance_id=3,
                    charge=(rnd.choice(charged[-8:]).key, 0), amount=50 * UNIT,
                )
            )  # fmt: skip
        elif kind < 0.21:
            amount = rnd.choice([-3, -400, 5, 900]) * UNIT
            made.append(
                Adjustment(
                    at=when, key=f"a{n}", accepted_at=when, balance_id=rnd.choice([1, 3]),
                    amount=amount, ends_at=None,
                )
            )  # fmt: skip
        elif kind < 0.5:
            made.append(received(when, rnd.choice(CONTACTS), number_id=rnd.choice([1, 1, 2])))
        else:
            category = rnd.choice(["service", "marketing", "utility"])
            made.append(
                fact(
                    when, Type.MESSAGE_DELIVERED, rnd.choice(CONTACTS), category=category,
                    number_id=rnd.choice([1, 1, 2]),
                )
            )  # fmt: skip
    return made


def lived(world: Sequence[Input], order: Sequence[int]) -> Life:
    """A life in which inputs arrived in `order`; deeds always take place at their own time."""
    life = Life(Tenant(terms_of(balances=few())), {}, Past())
    now = START
    for n in order:
        now = max(now, world[n].at)
        life.take(world[n], now)
    return life


def few() -> list[dict[str, Any]]:
    """The plan's balances with allowances that run out."""
    balances: list[dict[str, Any]] = sample("plan-omnichannel-idr")["balances"]
    small = {"conversations": "4", "visitors": "3", "whatsapp": "900"}
    return [each | {"allowance": small.get(each["balance"], "0")} for each in balances]


def again(life: Life, world: Sequence[Input]) -> tuple[Refold, list[Outcome]]:
    state = new_state()
    state.lot_ids = {
        (lot.balance_id, lot.origin): lot.lot_id
        for lots in life.tenant.state.lots.values()
        for lot in lots
    }
    state.last_lot = 1_000
    refunded = {one.charge for one in world if isinstance(one, ChargeRefund)}
    refold = Refold(life.tenant.terms, state, refunded)
    outcomes = refold.take(merge(sorted(world, key=place)), {})
    end = life.tenant.state
    now = max(each.at for each in world)
    refold.advance(now)
    assert end.next_due is not None
    return refold, outcomes


@pytest.mark.parametrize("seed", range(30))
def test_what_came_in_order_is_as_it_is_folded_again(seed: int) -> None:
    """EV-4: nothing is to be corrected where inputs came in fact order."""
    world = inputs(random.Random(seed), 60)
    life = lived(world, range(len(world)))

    refold, outcomes = again(life, world)

    for outcome in outcomes:
        assert compare(life.posted[outcome.fact.key], outcome) is None
    assert corrections(refold, life.books()).none


@pytest.mark.parametrize("seed", range(30))
def test_two_arrivals_come_to_the_same(seed: int) -> None:
    """EV-4: the order that facts came in is not to be seen in what they come to."""
    rnd = random.Random(seed)
    world = inputs(rnd, 60)
    deeds = {n for n, one in enumerate(world) if isinstance(one, Deed)}
    order = sorted(
        range(len(world)),
        key=lambda n: world[n].at + (0 if n in deeds else rnd.randrange(0, 2 * DAY)),
    )
    first, second = lived(world, range(len(world))), lived(world, order)

    one, outcomes = again(first, world)
    other, others = again(second, world)

    assert figures(one, outcomes) == figures(other, others)


def figures(refold: Refold, outcomes: Sequence[Outcome]) -> object:
    return (
        [
            (
                outcome.fact.key, outcome.status, outcome.flags,
                [
                    (*part[:4], [(leg.lot.origin, leg.taken) for leg in part.legs])
                    for part in outcome.parts
                ],
            )
            for outcome in outcomes
        ],
        sorted(
            (lot.balance_id, lot.origin, lot.amount, lot.used, lot.moved, lot.lapsed)
            for lot in refold.lots.values()
        ),
    )  # fmt: skip
