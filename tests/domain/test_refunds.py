"""What people do to balances: prices of top-ups, adjustments, refunds, payments taken back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.adjustments import adjust
from domain.figures import figures
from domain.ledger import ADJUST, PAY_OFF, REFUND, TAKE_BACK
from domain.lots import Lot, LotSource
from domain.money import micros
from domain.periods import DAY, HOUR, period
from domain.plans import Carry, PlanError, parse_plan
from domain.problems import Problem
from domain.reading import reading_of
from domain.refunds import Refunded, refund_charge, refund_top_up, take_back
from domain.state import Part
from domain.terms import Terms
from domain.top_ups import price_of
from tests.domain.spine import ANA, BOOKS, UNIT, Tenant, at, fact, received, sample, terms_of
from tests.domain.test_ledger import check_ledger

TEN = at("2026-10-05 10:00")
NEXT = at("2026-11-03 10:00")
PLAN = terms_of().plan

# BA-6: (balance, amount, price in rupiah or why not); units are whole packs, minimums on the price.
SOLD = [
    ("visitors", "500", "300000"),
    ("visitors", "1000", "600000"),
    ("visitors", "750", "NOT_WHOLE_PACKS"),
    ("visitors", "499", "NOT_WHOLE_PACKS"),
    ("visitors", "500.5", "NOT_WHOLE_PACKS"),
    ("conversations", "2000", "1000000"),
    ("conversations", "2001", "1000500"),
    ("conversations", "1999", "BELOW_MINIMUM"),
    ("conversations", "2000.5", "NOT_WHOLE_PACKS"),
    ("whatsapp", "1000.5", "1000.5"),
    ("whatsapp", "0.000001", "0.000001"),
]


@pytest.mark.parametrize(("balance", "amount", "answer"), SOLD)
def test_what_a_top_up_costs(balance: str, amount: str, answer: str) -> None:
    """BA-6: price = packs x pack price, before tax."""
    if answer[0].isdigit():
        assert price_of(PLAN.balance(balance), micros(amount)) == micros(answer)
        return
    with pytest.raises(Problem) as refused:
        price_of(PLAN.balance(balance), micros(amount))
    assert refused.value.code == answer


def test_the_refusal_says_what_would_be_right() -> None:
    """BA-6: with the packs around it, or the price it misses."""
    with pytest.raises(Problem, match="packs of 500: write 500 or 1000"):
        price_of(PLAN.balance("visitors"), micros("750"))
    with pytest.raises(Problem, match="1999 costs 999500, and a top-up costs at least 1000000"):
        price_of(PLAN.balance("conversations"), micros("1999"))


def test_what_the_plan_does_not_sell_has_no_price() -> None:
    assert price_of(replace(PLAN.balance("visitors"), top_up=None), 1) is None


def test_a_plan_says_what_a_lapsed_share_becomes() -> None:
    """BA-8: a setting of each balance."""
    document = sample("plan-omnichannel-idr")
    first, second, _ = document["balances"]
    first["refund_lapsed"], second["refund_lapsed"] = "forfeit", "new_lot"
    plan = parse_plan(document, BOOKS["omnichannel-idr"])
    assert [each.refund_lapsed for each in plan.balances] == ["forfeit", "new_lot", "new_lot"]
    first["refund_lapsed"] = "keep"
    with pytest.raises(PlanError, match=r"balances\[0\]\.refund_lapsed"):
        parse_plan(document, BOOKS["omnichannel-idr"])


class Books:
    """What was done to one tenant, as the tables would keep it."""

    def __init__(self, terms: Terms | None = None) -> None:
        self.tenant = Tenant(terms)
        self.refunded: dict[int, int] = {}  #: by place of the charge
        self.returned: dict[int, int] = {}  #: by lot of a top-up
        self.taken: set[int] = set()

    @property
    def charges(self) -> list[Part]:
        return [
            part
            for changes in self.tenant.commits
            for outcome in changes.outcomes
            for part in outcome.parts
            if part.legs
        ]

    def lots(self, balance: str, source: LotSource = LotSource.TOP_UP) -> list[Lot]:
        return self.tenant.lots(balance, source)

    def adjust(self, balance: str, amount: str, now: int) -> dict[int, int]:
        tenant = self.tenant
        moves, changes = adjust(
            tenant.terms, tenant.state, tenant.terms.balance_ids[balance],
            micros(amount, signed=True), None, now,
        )  # fmt: skip
        tenant.commits.append(changes)
        return {lot.lot_id: amount for lot, amount in moves}

    def refund(self, place: int, now: int, amount: int | None = None) -> Refunded:
        part = self.charges[place]
        done = refund_charge(
            self.tenant.terms, self.tenant.state, part.balance_id,
            [(leg.lot.lot_id, leg.taken) for leg in part.legs],
            before=self.refunded.get(place, 0), amount=amount, paid_off=self.paid_off(), now=now,
        )  # fmt: skip
        self.refunded[place] = self.refunded.get(place, 0) + done.amount
        self.tenant.commits.append(done.changes)
        return done

    def paid_off(self) -> dict[int, list[tuple[int, int]]]:
        """As the statement in `persistence.actions` adds them up."""
        sums: dict[tuple[int, int], int] = {}
        for changes in self.tenant.commits:
            for line in changes.transfers:
                if not line.debit.startswith("lot/") or not line.credit.startswith("lot/"):
                    continue
                debit, credit = int(line.debit[4:]), int(line.credit[4:])
                key = (credit, debit) if line.cause == PAY_OFF else (debit, credit)
                paid = line.amount if line.cause == PAY_OFF else -line.amount
                sums[key] = sums.pop(key, 0) + paid  # the latest last
        found: dict[int, list[tuple[int, int]]] = {}
        for (overdraft, lot), paid in reversed(sums.items()):
            if paid > 0:
                found.setdefault(overdraft, []).append((lot, paid))
        return found

    def give_back(self, lot: Lot, now: int, amount: int | None = None) -> Refunded:
        done = refund_top_up(self.tenant.terms, self.tenant.state, lot, amount, now)
        self.returned[lot.lot_id] = self.returned.get(lot.lot_id, 0) + done.amount
        self.tenant.commits.append(done.changes)
        return done

    def take_back(self, lot: Lot, now: int) -> Refunded:
        returned = self.returned.get(lot.lot_id, 0)
        done = take_back(self.tenant.terms, self.tenant.state, lot, returned, now)
        self.taken.add(lot.lot_id)
        self.tenant.commits.append(done.changes)
        return done

    def causes(self) -> list[tuple[str, str, int, int]]:
        return [
            (line.debit, line.credit, line.amount // UNIT, line.cause)
            for line in self.tenant.commits[-1].transfers
        ]


def stood(lots: list[Lot]) -> list[tuple[int, int, int, int]]:
    """Lots as (used, moved, lapsed, remaining) in whole units."""
    found = []
    for lot in lots:
        sums = (lot.used, lot.moved, lot.lapsed, lot.remaining)
        assert not any(each % UNIT for each in sums)
        found.append(tuple(each // UNIT for each in sums))
    return found  # type: ignore[return-value]


def test_an_adjustment_pays_off_what_is_owed_and_then_pays() -> None:
    """BA-5, BA-8: a lot of its own."""
    books = Books()
    books.tenant.send(fact(TEN, category="marketing"))
    moves = books.adjust("whatsapp", "1000", TEN + HOUR)

    (lot,) = books.lots("whatsapp", LotSource.ADJUSTMENT)
    assert moves == {lot.lot_id: 1000 * UNIT}
    assert (lot.amount, lot.moved) == (1000 * UNIT, micros("586.33"))
    assert books.tenant.remaining("whatsapp") == micros("413.67")
    assert [cause for *_, cause in books.causes()] == [ADJUST, PAY_OFF]
    check_ledger(books.tenant)


def test_an_adjustment_takes_in_drawing_order_and_the_rest_is_owed() -> None:
    """BA-1, BA-8: the allowance first, then what was bought."""
    books = Books()
    books.tenant.top_up("visitors", "500", starts_at=TEN)
    books.adjust("visitors", "-1200", TEN)
    assert stood(books.lots("visitors", LotSource.ALLOWANCE)) == [(0, 1000, 0, 0)]
    assert stood(books.lots("visitors")) == [(0, 200, 0, 300)]
    books.adjust("visitors", "-301", TEN + 1)
    assert stood(books.lots("visitors", LotSource.OVERDRAFT)) == [(0, 1, 0, -1)]
    assert books.tenant.remaining("visitors") == -UNIT
    check_ledger(books.tenant)


def test_a_refund_goes_back_leg_by_leg() -> None:
    """BA-8: to the lots that paid, the last one first; never more than was charged."""
    books = Books()
    books.tenant.top_up("whatsapp", "100", starts_at=TEN)
    books.tenant.top_up("whatsapp", "300.5", starts_at=TEN + 1)
    books.tenant.send(fact(TEN + HOUR, category="marketing"))
    first, second = books.lots("whatsapp")
    (owed,) = books.lots("whatsapp", LotSource.OVERDRAFT)

    books.refund(0, TEN + DAY, micros("200"))
    assert (owed.remaining, second.remaining, first.remaining) == (0, micros("14.17"), 0)
    books.refund(0, TEN + 2 * DAY)
    assert (owed.remaining, second.remaining, first.remaining) == (0, micros("300.5"), 100 * UNIT)
    assert {cause for *_, cause in books.causes()} == {REFUND}
    with pytest.raises(Problem) as refused:
        books.refund(0, TEN + 3 * DAY, 1)
    assert refused.value.code == "NOTHING_LEFT"
    # Usage happened: it stays.
    assert sum(lot.used for lot in books.tenant.lots("whatsapp")) == micros("586.33")
    check_ledger(books.tenant)


def test_more_than_was_charged_is_refused() -> None:
    """BA-8: and nothing moves."""
    books = Books()
    books.tenant.send(fact(TEN))
    for before, amount in ((0, UNIT + 1), (UNIT // 2, UNIT // 2 + 1)):
        books.refunded[0] = before
        with pytest.raises(Problem) as refused:
            books.refund(0, TEN, amount)
        assert refused.value.code == "TOO_MUCH"
    assert len(books.tenant.commits) == 1
    assert stood(books.lots("conversations", LotSource.ALLOWANCE)) == [(1, 0, 0, 999)]


@pytest.mark.parametrize(("policy", "kept"), [("new_lot", 1), ("forfeit", 0)])
def test_a_lapsed_lots_share(policy: str, kept: int) -> None:
    """BA-8: a lot for the rest of the period, or nothing: the plan says which."""
    terms = terms_of()
    key = terms.balance_ids["conversations"]
    terms.balances[key] = replace(terms.balances[key], refund_lapsed=policy)  # type: ignore[arg-type]
    books = Books(terms)
    books.tenant.send(fact(TEN))

    done = books.refund(0, NEXT)

    lots = books.lots("conversations", LotSource.ADJUSTMENT)
    assert (done.forfeited, len(lots)) == ((1 - kept) * UNIT, kept)
    assert [(lot.amount, lot.starts_at, lot.ends_at) for lot in lots] == [
        (UNIT, NEXT, at("2026-12-01 00:00"))
    ][:kept]
    october, *_ = books.lots("conversations", LotSource.ALLOWANCE)
    assert stood([october]) == [(1, 0, 999, 0)]
    check_ledger(books.tenant)


def test_what_was_owed_and_paid_off_goes_back_to_who_paid_it() -> None:
    """BA-5, BA-8: an overdraft never holds anything."""
    books = Books()
    books.tenant.send(fact(TEN, category="marketing"))
    books.tenant.top_up("whatsapp", "1000", starts_at=TEN + HOUR)
    (bought,) = books.lots("whatsapp")
    (owed,) = books.lots("whatsapp", LotSource.OVERDRAFT)
    assert bought.remaining == micros("413.67")

    books.refund(0, TEN + DAY)

    assert (owed.remaining, bought.remaining, bought.moved) == (0, 1000 * UNIT, 0)
    assert books.paid_off() == {}
    check_ledger(books.tenant)


def test_a_top_up_is_refunded_as_far_as_it_is_left() -> None:
    """BA-8: at most what is left of its lot."""
    books = Books()
    books.tenant.top_up("whatsapp", "1000", starts_at=TEN)
    books.tenant.send(fact(TEN + HOUR, category="marketing"))
    (bought,) = books.lots("whatsapp")
    with pytest.raises(Problem, match=r"at most 413\.67 can be refunded"):
        books.give_back(bought, TEN + DAY, micros("413.68"))
    books.give_back(bought, TEN + DAY, micros("13.67"))
    assert books.give_back(bought, TEN + DAY).amount == 400 * UNIT
    with pytest.raises(Problem, match="nothing is left"):
        books.give_back(bought, TEN + DAY)
    assert books.tenant.remaining("whatsapp") == 0
    check_ledger(books.tenant)


def test_a_payment_taken_back_takes_the_whole_lot() -> None:
    """BA-8: what was spent of it becomes overdraft; what was refunded before is not asked again."""
    books = Books()
    books.tenant.top_up("whatsapp", "1000", starts_at=TEN)
    books.tenant.send(fact(TEN + HOUR, category="marketing"))
    (bought,) = books.lots("whatsapp")
    books.give_back(bought, TEN + DAY, 100 * UNIT)

    assert books.take_back(bought, TEN + 2 * DAY).amount == 900 * UNIT

    (owed,) = books.lots("whatsapp", LotSource.OVERDRAFT)
    assert (bought.remaining, owed.remaining) == (0, -micros("586.33"))
    assert {cause for *_, cause in books.causes()} == {TAKE_BACK}
    check_ledger(books.tenant)


def test_what_lapsed_of_a_payment_taken_back_is_owed_by_nobody() -> None:
    """BA-8: and a late fact finds nothing in it."""
    books = Books()
    books.tenant.commit([received(TEN, f"62812{n:08d}") for n in range(1001)])
    books.tenant.top_up("visitors", "500", starts_at=TEN + 1)
    books.tenant.advance(NEXT)
    (bought,) = books.lots("visitors")
    assert stood([bought]) == [(0, 1, 499, 0)]

    books.take_back(bought, NEXT)

    assert stood([bought]) == [(0, 500, 0, 0)]
    # What the month allows fills what is owed at once (BA-5).
    assert stood(books.lots("visitors", LotSource.OVERDRAFT)) == [(1, -1, 0, 0), (0, 0, 0, 0)]
    assert books.tenant.remaining("visitors") == 999 * UNIT
    books.tenant.send(received(TEN + HOUR, ANA), now=NEXT + 1)
    assert stood([bought]) == [(0, 500, 0, 0)]
    check_ledger(books.tenant)


KINDS = ("facts", "facts", "top up", "adjust", "refund", "give back", "take back")


def steps(seed: int, count: int) -> Iterator[tuple[str, int, random.Random]]:
    chance = random.Random(seed)
    now = at("2026-09-25 00:00")
    for _ in range(count):
        now += chance.choice((0, HOUR, DAY, 5 * DAY))
        yield chance.choice(KINDS), now, chance


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(5, 40), st.sampled_from(["new_lot", "forfeit"]))
def test_whatever_people_do_the_sums_agree(seed: int, count: int, policy: Any) -> None:
    """BA-9, BA-10: lines add up to lots, figures to what remains; nothing but debts is negative."""
    terms = terms_of("college-small")
    for key, plan in terms.balances.items():
        terms.balances[key] = replace(
            plan, refund_lapsed=policy, allowance=plan.allowance and 4 * UNIT,
            carry=Carry(kind="periods", periods=1) if plan.key == "conversations" else plan.carry,
        )  # fmt: skip
    books = Books(terms)
    tenant = books.tenant
    for kind, now, chance in steps(seed, count):
        balance = chance.choice(("conversations", "visitors", "whatsapp"))
        tenant.advance(now)  # what a refusal leaves behind in memory, a process forgets
        made = len(tenant.commits)
        try:
            act(books, kind, balance, now, chance)
        except Problem:
            assert len(tenant.commits) == made, "a refusal moves nothing"
            continue
        if len(tenant.commits) > made:
            check_ledger(tenant)
            check_figures(tenant, now)
    for place, part in enumerate(books.charges):
        assert 0 <= books.refunded.get(place, 0) <= part.amount


def act(books: Books, kind: str, balance: str, now: int, chance: random.Random) -> None:
    if kind == "facts":
        contacts = [f"62812{chance.randrange(30):08d}" for _ in range(chance.randint(1, 9))]
        category = chance.choice(("service", "marketing"))
        late = chance.choice((0, 0, DAY, 20 * DAY))
        books.tenant.commit(
            [
                fact(now - late, contact=one, category=category)
                if chance.random() < 0.6
                else received(now - late, one)
                for one in contacts
            ],
            now=now,
        )
    elif kind == "top up":
        amount = str(chance.randint(1, 5) if balance != "whatsapp" else chance.randint(1, 3000))
        books.tenant.top_up(balance, amount, starts_at=now - chance.choice((0, DAY)), now=now)
    elif kind == "adjust":
        books.adjust(balance, str(chance.choice((-900, -3, -1, 2, 700))), now)
    elif kind == "refund" and books.charges:
        place = chance.randrange(len(books.charges))
        books.refund(place, now, chance.choice((None, UNIT, 300_000)))
    elif kind in ("give back", "take back"):
        lots = [lot for lot in books.lots(balance) if lot.lot_id not in books.taken]
        if lots and kind == "take back":
            books.take_back(chance.choice(lots), now)
        elif lots:
            books.give_back(chance.choice(lots), now, chance.choice((None, UNIT)))


def check_figures(tenant: Tenant, now: int) -> None:
    """BA-9 for every balance, by what a watcher is told of the commit."""
    reading = reading_of(tenant.commits[-1], now)
    span = period(tenant.terms.zone, now)
    for key, pot in reading.pots.items():
        plan = tenant.terms.balances[tenant.terms.balance_ids[key]]
        total = figures(plan, span, now, pot.lots).total
        came = total.opening + total.granted + total.adjusted
        assert total.remaining == came - total.used - total.lapsed
        shown = sum(lot.left for lot in pot.lots if not lot.ended(now))
        untouched = plan.allowance and not any(
            lot.source is LotSource.ALLOWANCE and lot.month == span.label for lot in pot.lots
        )
        assert total.remaining == shown + (plan.allowance if untouched else 0)
