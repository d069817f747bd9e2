"""Usage lines: who is asked for what, and that nothing is lost between the lines (IN-5, IN-8)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.book_documents import parse_book
from domain.books import Basis, Book
from domain.invoices import LineKind, rounding_of
from domain.lots import LotSource
from domain.money import MICRO, charge, micros, picos, shown
from domain.plans import BalancePlan, Carry
from domain.usage_lines import (
    Drawn,
    Overdraft,
    Price,
    Share,
    UsageLine,
    charged,
    prices_of,
    to_lines,
    usage_lines,
)

RULE = "bazaar@2026-10-01/marketing"
ALLOWANCE, TOP_UP, OVERDRAFT = LotSource.ALLOWANCE, LotSource.TOP_UP, LotSource.OVERDRAFT


def balance(key: str = "main", *, credit: str = "0", currency: str = "CLP") -> BalancePlan:
    """A money balance; with credit it is postpaid."""
    return BalancePlan(
        key=key, name=key, kind="money", unit=currency, currency=currency, allowance=0,
        carry=Carry(kind="always", periods=0), credit_limit=micros(credit), overage_price=None,
        top_up=None,
    )  # fmt: skip


def units(key: str = "visitors", *, overage: str | None = None) -> BalancePlan:
    return BalancePlan(
        key=key, name=key, kind="unit", unit="visitor", currency=None, allowance=0,
        carry=Carry(kind="none", periods=0), credit_limit=0,
        overage_price=None if overage is None else picos(overage), top_up=None,
    )  # fmt: skip


def drawn(
    taken: str,
    source: LotSource = TOP_UP,
    *,
    key: str = "main",
    count: int = 1,
    rule: str = RULE,
    category: str | None = "marketing",
    market: str | None = "CL",
    lot_id: int | None = None,
    quantity: str | None = None,
) -> Drawn:
    """`count` charges that a lot paid; each is one unit unless a quantity is given."""
    return Drawn(
        balance=key, category=category, market=market, rule=rule,
        lot_id=source.value if lot_id is None else lot_id, source=source,
        units=count * MICRO if quantity is None else micros(quantity),
        taken=micros(taken), charges=count,
    )  # fmt: skip


def overdraft(
    used: str, *, before: str = "0", moved: str = "0", key: str = "main", lot_id: int = 5
) -> Overdraft:
    return Overdraft(
        balance=key, lot_id=lot_id, before=micros(before, signed=True), used=micros(used),
        moved=micros(moved, signed=True),
    )  # fmt: skip


def price(written: str, basis: Basis = Basis.PER_MESSAGE, published: int = 1) -> Price:
    return Price(basis, picos(written), published)


def told(lines: tuple[UsageLine, ...]) -> list[tuple[str, int, int, int]]:
    """Share, quantity, charged and exact, in whole units where they are whole."""
    return [(line.share.value, line.quantity, line.charged, line.exact) for line in lines]


@pytest.mark.parametrize(
    ("currency", "each", "exact", "asked", "rounding"),
    [
        ("CLP", "17.6584", "16952.064", "16952", "-0.064"),
        ("USD", "0.0613", "58.848", "58.85", "0.002"),
        ("KWD", "0.0011255", "1.08096", "1.081", "0.00004"),
        ("IDR", "0.5005", "480.48", "480", "-0.48"),
        ("COP", "0.053125", "51", "51", "0"),
    ],
)
def test_a_line_is_rounded_once(
    currency: str, each: str, exact: str, asked: str, rounding: str
) -> None:
    """IN-5: 960 x CLP 17.6584 = 16,952.064 is 16,952, and the difference is told."""
    amount = charge(picos(each), MICRO) * 960
    lines = usage_lines(
        [replace(drawn("0", OVERDRAFT, count=960), taken=amount)],
        [replace(overdraft("0"), used=amount)],
        {"main": balance(credit="1", currency=currency)},
        {RULE: [price(each)]},
    )

    (line,) = to_lines(lines, currency, (20_000, 20_030))
    assert (line.kind, line.quantity, line.unit, line.price) == (
        LineKind.USAGE, "960", "message", each
    )  # fmt: skip
    assert (line.exact, line.amount) == (micros(exact), micros(asked))
    assert rounding_of([line]) == micros(rounding, signed=True)
    assert line.description == "main: marketing, CL"
    assert (line.rule, line.period) == (RULE, (20_000, 20_030))


def test_what_lots_paid_is_covered() -> None:
    """IN-8: paid by allowance and top-up it is one line, with nothing to pay."""
    lines = usage_lines(
        [drawn("200", ALLOWANCE, count=2), drawn("300", TOP_UP, count=3)],
        [], {"main": balance()}, {RULE: [price("100")]},
    )  # fmt: skip

    assert told(lines) == [("covered", 5 * MICRO, 500 * MICRO, 500 * MICRO)]
    (line,) = to_lines(lines, "CLP", None)
    assert (line.kind, line.amount, line.price) == (LineKind.COVERED, 0, "100")


@pytest.mark.parametrize(
    ("plan", "shares"),
    [
        (balance(credit="1000"), [("covered", 1, 150, 150), ("asked", 4, 350, 350)]),
        (balance(), [("covered", 1, 150, 150), ("owed", 4, 350, 0)]),
    ],
)
def test_a_charge_that_two_ways_paid_is_counted_where_it_is_owed(
    plan: BalancePlan, shares: list[tuple[str, int, int, int]]
) -> None:
    """IN-8, BA-5: a postpaid balance asks for its negative part, a prepaid overdraft is none."""
    lines = usage_lines(
        [drawn("150", TOP_UP, count=1), drawn("350", OVERDRAFT, count=4)],
        [overdraft("350")], {"main": plan}, {RULE: [price("100")]},
    )  # fmt: skip

    assert told(lines) == [(share, *(MICRO * each for each in rest)) for share, *rest in shares]
    assert [line.invoiced for line in lines] == [True, plan.credit_limit > 0]


@pytest.mark.parametrize(
    ("before", "moved", "asked", "covered", "besides"),
    [
        ("0", "0", 300, 0, 0),
        ("0", "-100", 200, 100, 0),  # a top-up came, or a charge was refunded
        ("0", "-300", 0, 300, 0),
        ("50", "-50", 300, 0, 0),  # what was owed before is paid off first
        ("50", "0", 300, 0, 50),
        ("0", "20", 300, 0, 20),  # a payment was taken back
        ("50", "-350", 0, 300, 0),
    ],
)
def test_what_is_asked_is_what_is_owed_at_the_end(
    before: str, moved: str, asked: int, covered: int, besides: int
) -> None:
    """IN-8: the negative part, no more and no less; what was paid off meanwhile is covered."""
    lines = usage_lines(
        [drawn("300", OVERDRAFT, count=3)], [overdraft("300", before=before, moved=moved)],
        {"main": balance(credit="1")}, {RULE: [price("100")]},
    )  # fmt: skip

    found = {line.share: line for line in lines}
    exact = {share: line.exact // MICRO for share, line in found.items()}
    expected = {Share.ASKED: asked, Share.COVERED: covered, Share.BEFORE: besides}
    assert exact == {share: amount for share, amount in expected.items() if amount}
    # Of some of the three nobody can say which were paid off.
    price_of = None if asked and covered else picos("100")
    assert {line.price for line in lines if line.share is not Share.BEFORE} == {price_of}


def test_a_prepaid_balance_is_asked_for_nothing_from_before() -> None:
    """BA-5: a prepaid overdraft is never invoiced, whatever it is from."""
    plans = {"main": balance(), "visitors": units()}
    pots = [overdraft("0", before="70"), overdraft("0", key="visitors", lot_id=6)]

    assert usage_lines([], pots, plans, {}) == ()


@pytest.mark.parametrize(
    ("overage", "share", "exact", "amount"),
    [("700", Share.OVERAGE, "700", "700"), ("0.4", Share.OVERAGE, "0.4", "0"),
     (None, Share.WRITTEN_OFF, "0", None)],
)  # fmt: skip
def test_units_beyond_are_overage(
    overage: str | None, share: Share, exact: str, amount: str | None
) -> None:
    """BA-11: 1,001 visitors of 1,000: one at the plan's price, or written off."""
    lines = usage_lines(
        [drawn("1000", ALLOWANCE, key="visitors"), drawn("1", OVERDRAFT, key="visitors")],
        [overdraft("1", key="visitors")], {"visitors": units(overage=overage)}, {},
    )  # fmt: skip

    assert [line.share for line in lines] == [Share.COVERED, share]
    assert [line.charged for line in lines] == [1000 * MICRO, MICRO]
    assert lines[1].exact == micros(exact)
    listed = to_lines(lines, "CLP", None)
    assert [(line.quantity, line.unit, line.price) for line in listed] == [
        ("1000", "visitor", None), ("1", "visitor", overage)
    ][: len(listed)]  # fmt: skip
    assert [line.amount for line in listed[1:]] == ([] if amount is None else [micros(amount)])


def test_units_topped_up_later_are_no_overage() -> None:
    """BA-11: a top-up of 500 pays off the one that was too many."""
    lines = usage_lines(
        [drawn("1", OVERDRAFT, key="visitors")], [overdraft("1", key="visitors", moved="-1")],
        {"visitors": units(overage="700")}, {},
    )  # fmt: skip

    assert told(lines) == [("covered", MICRO, MICRO, 0)]


def test_each_kind_has_its_line() -> None:
    """IN-5: a line is one (balance, category, market, price, book version)."""
    older = "bazaar@2026-01-01/marketing"
    one = drawn("5")
    kinds = [
        one, replace(one, market="ID"), replace(one, category="utility"), replace(one, rule=older),
        replace(one, balance="texts"), replace(one, market=None), replace(one, category=None),
    ]  # fmt: skip
    given = [replace(kind, source=source) for kind in kinds for source in (ALLOWANCE, TOP_UP)]

    lines = usage_lines(given, [], {"main": balance(), "texts": balance("texts")}, {})

    assert len(lines) == len(kinds)
    assert {line.charged for line in lines} == {10 * MICRO}
    keys = [(line.balance, line.category or "", line.market or "", line.rule) for line in lines]
    assert keys == sorted(keys)


@pytest.mark.parametrize(
    ("seconds", "quantity", "unit", "shown_price"),
    [("36", "0.6", "minute", "0.1"), ("40", "40", "second", None), ("60", "1", "minute", "0.1")],
)
def test_seconds_are_shown_as_minutes_where_that_has_an_end(
    seconds: str, quantity: str, unit: str, shown_price: str | None
) -> None:
    """VO-1, IN-5: 40 seconds at 0.1 a minute are 0.066667, and no decimal of minutes."""
    amount = charge(picos("0.1"), micros(seconds), 60)
    given = replace(drawn("0", quantity=seconds), taken=amount)
    lines = usage_lines([given], [], {"main": balance()}, {RULE: [price("0.1", Basis.PER_MINUTE)]})

    (line,) = to_lines(lines, "USD", None)
    assert (line.quantity, line.unit, line.price) == (quantity, unit, shown_price)
    assert line.exact == amount


def test_the_price_is_the_one_that_was_charged() -> None:
    """IN-5, PR-2: published anew under the same rule, a closed period's price is the former one."""
    prices = {RULE: [price("120", published=2), price("100", published=1)]}
    plans = {"main": balance()}

    def shown_of(taken: str) -> int | None:
        (line,) = usage_lines([drawn(taken, count=3)], [], plans, prices)
        return line.price

    # Each of the three may have been rounded by half a millionth.
    expected = {
        "300": "100", "360": "120", "350": None, "300.000001": "100", "300.000002": None
    }  # fmt: skip
    for taken, each in expected.items():
        assert shown_of(taken) == (None if each is None else picos(each)), taken


def test_a_chain_of_money_shares_its_units() -> None:
    """BA-1: a charge that two balances paid is counted once, and its price is known."""
    plans = {"main": balance(), "texts": balance("texts")}
    given = [drawn("130", count=2), drawn("70", key="texts", quantity="0")]

    lines = usage_lines(given, [], plans, {RULE: [price("100")]})

    assert [(line.balance, line.quantity, line.price) for line in lines] == [
        ("main", 2 * MICRO, picos("100")), ("texts", 0, None)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "pots", "message"),
    [
        ([drawn("3", OVERDRAFT)], [overdraft("4")], "charges say 3, its days 4"),
        ([drawn("3", OVERDRAFT)], [], "have charges and no days"),
        ([drawn("3", key="gone")], [], "no plan says what 'gone' is"),
        ([], [overdraft("0", key="gone")], "no plan says what 'gone' is"),
    ],
)
def test_books_that_disagree_are_not_invoiced(
    given: list[Drawn], pots: list[Overdraft], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        usage_lines(given, pots, {"main": balance()}, {})


def test_prices_are_those_of_every_version() -> None:
    """PR-2: a rule's last published price comes first; "no rate" is none."""

    def version(number: int, *written: tuple[str, str]) -> Book:
        rows = [
            {
                "row": row, "valid_from": "2026-10-01", "channel": "whatsapp",
                "category": row, "direction": "out", "market": "*", "basis": "per_message",
                "price": each,
            }
            for row, each in written
        ]  # fmt: skip
        document = {"book": "bazaar", "currency": "USD", "rows": rows}
        return parse_book(document, number, None)

    book = version(1, ("marketing", "0.5"), ("utility", "n/a"))
    book = book.with_version(version(2, ("marketing", "0.7")))

    assert prices_of([book]) == {RULE: (price("0.7", published=2), price("0.5", published=1))}


AMOUNTS = st.integers(1, 10**12)
POTS = st.sampled_from([ALLOWANCE, TOP_UP, LotSource.PROMOTION, LotSource.ADJUSTMENT, OVERDRAFT])
DRAWN = st.lists(
    st.builds(
        Drawn,
        balance=st.sampled_from(["main", "texts", "visitors", "calls"]),
        category=st.sampled_from([None, "marketing", "utility"]),
        market=st.sampled_from([None, "CL"]),
        rule=st.sampled_from([RULE, "bazaar@2026-01-01/sms"]),
        lot_id=st.integers(1, 3),
        source=POTS,
        units=st.integers(0, 10**9),
        taken=AMOUNTS,
        charges=st.integers(0, 1000),
    ),
    max_size=20,
)


@given(
    DRAWN,
    st.lists(st.integers(-(10**12), 10**12), min_size=8, max_size=8),
    st.one_of(st.none(), st.integers(0, 5_000_000)),
    st.sampled_from(["CLP", "USD", "KWD"]),
)
def test_nothing_is_lost_between_the_lines(
    given: list[Drawn], moves: list[int], later: int | None, currency: str
) -> None:
    """FI-2, IN-5, IN-8: billed + covered + written off + owed = charged, of each balance; what is
    asked for is what is owed; each line is rounded once."""
    places = {"main": 101, "texts": 102, "visitors": 103, "calls": 104}
    given = [
        replace(one, lot_id=places[one.balance]) if one.source is OVERDRAFT else one
        for one in given
    ]
    pots = [
        Overdraft(
            balance=key, lot_id=lot_id, before=max(before, 0),
            used=sum(one.taken for one in given if one.lot_id == lot_id), moved=moved,
        )
        for (key, lot_id), before, moved in zip(
            places.items(), moves[:4], moves[4:], strict=True
        )
    ]  # fmt: skip
    owed = {pot.balance: max(pot.owed, 0) for pot in pots}
    left = dict.fromkeys(places, 0)
    if later is not None:
        for pot in pots:
            left[pot.balance] = (
                0 if pot.balance == "texts" else min(pot.used, owed[pot.balance], later)
            )
        pots = [
            replace(pot, asked=pot.owed - left[pot.balance] if pot.owed > 0 else pot.owed)
            for pot in pots
        ]
    plans = {
        "main": balance(credit="1", currency=currency), "texts": balance("texts"),
        "visitors": units(overage="0.123456789012"), "calls": units("calls"),
    }  # fmt: skip

    lines = usage_lines(given, pots, plans, {})

    drawn_of = {key: sum(one.taken for one in given if one.balance == key) for key in places}
    shares = charged(lines)
    assert {key: sum(shares.get(key, {}).values()) for key in places} == drawn_of
    of_main = [line for line in lines if line.balance == "main"]
    asked = [line for line in of_main if line.share in (Share.ASKED, Share.BEFORE)]
    assert sum(line.exact for line in asked) == owed["main"] - left["main"]
    assert {line.balance for line in lines if line.share is Share.BEFORE} <= {"main", "visitors"}
    for key, share in (
        ("texts", Share.OWED), ("visitors", Share.OVERAGE), ("calls", Share.WRITTEN_OFF)
    ):  # fmt: skip
        used = next(pot.used for pot in pots if pot.balance == key)
        assert shares.get(key, {}).get(share, 0) == min(used, owed[key]) - left[key]
        assert shares.get(key, {}).get(Share.LATER, 0) == left[key]
    listed = to_lines(lines, currency, None)
    for line in listed:
        covered = line.kind is LineKind.COVERED
        assert line.amount == (0 if covered else shown(line.exact, currency))
        assert line.exact >= 0
    billed = [line for line in listed if line.kind is not LineKind.COVERED]
    assert sum(line.amount for line in billed) - rounding_of(listed) == sum(
        line.exact for line in billed
    )
