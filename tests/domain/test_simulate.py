"""A book as of a day, terms as they would be, and windows from before (PR-2, PR-6, CO-4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain.books import Basis
from domain.facts import Flag, Status
from domain.fold import fold
from domain.lots import LotSource
from domain.markets import Markets
from domain.periods import DAY, HOUR, month_label
from domain.problems import Problem
from domain.settle import Posted
from domain.simulate import ENDLESS, Drawn, Sums, as_if, opening, remember
from domain.state import Charged, State
from domain.terms import Terms
from tests.domain.spine import ANA, BOOKS, UNIT, at, fact, new_state, received, terms_of

SEPTEMBER_1, OCTOBER_1 = (
    (at(f"2026-{month}-01 00:00") + 7 * HOUR) // DAY for month in ("09", "10")
)
OWN = terms_of()
OWN = OWN.dated(OWN.standing, BOOKS)


def when(date: str, terms: Terms, *, opened: State | None = None) -> tuple[str, str]:
    """What a utility message inside the window costs on a day."""
    state = opened or new_state()
    facts = [received(at(f"{date} 10:00")), fact(at(f"{date} 10:01"), category="utility")]
    (part,) = fold(terms, state, facts, {}, facts[-1].at).outcomes[-1].parts
    rules = {number: rule for rule, number in terms.rule_ids.items()}
    return rules[part.rule_id], str(part.amount)


def test_a_book_as_of_a_day_answers_every_date_with_that_days_rows() -> None:
    """PR-2: rows that come later are not there, and rules keep their names."""
    book = BOOKS["omnichannel-idr"]
    for day, before, after in (
        (SEPTEMBER_1, "0", "0"),
        (OCTOBER_1 - 1, "0", "0"),
        (OCTOBER_1, "356650000000000", "356650000000000"),
    ):
        stood = book.as_of(day)
        for date, price in ((SEPTEMBER_1 - 400, before), (OCTOBER_1 + 400, after)):
            row = stood.row(Basis.PER_MESSAGE, "whatsapp", "service", "out", "ID", date)
            assert row is not None
            assert str(row.price) == price
            since = "2025-07-01" if price == "0" else "2026-10-01"
            assert row.rule == f"omnichannel-idr@{since}/service"
    assert book.as_of(0).rows == ()
    tiers = BOOKS["college-small"].as_of(OCTOBER_1)
    assert len(tiers.rows) == len({(row.row, row.market, row.basis) for row in tiers.rows})


def test_lists_of_prefixes_as_of_a_day_answer_every_date() -> None:
    """PR-6: prefixes that moved later are where they were."""
    lists = Markets("x", frozenset({"whatsapp"}), {100: {"62": "ID"}, 200: {"62": "rest"}})
    for day, market in ((99, "other"), (100, "ID"), (199, "ID"), (200, "rest")):
        stood = lists.as_of(day)
        assert {stood.market("whatsapp", "6281", date) for date in (0, 150, 250)} == {market}
        assert stood.market("email", "6281", 0) == "none"
        assert stood.key == "x"


def test_terms_as_of_a_day_charge_septembers_facts_by_octobers_rules() -> None:
    october = as_if(OWN, BOOKS, plan=None, book=None, date=OCTOBER_1)
    assert when("2026-09-10", OWN)[1] == "0"
    assert when("2026-09-10", october) == ("omnichannel-idr@2026-10-01/utility", "356650000")
    september = as_if(OWN, BOOKS, plan=None, book=None, date=SEPTEMBER_1)
    assert when("2026-10-10", OWN)[1] == "356650000"
    assert when("2026-10-10", september)[1] == "0"


def test_international_rates_are_those_of_the_day() -> None:
    """PR-5: a market whose day has come by then has always had it; another never has."""
    own = replace(OWN, international={"ID": OCTOBER_1, "IN": OCTOBER_1 + 1})
    found = as_if(own, BOOKS, plan=None, book=None, date=OCTOBER_1)
    assert list(found.international) == ["ID"]
    assert found.international["ID"] < SEPTEMBER_1
    assert as_if(own, BOOKS, plan=None, book=None, date=None).international == own.international


def test_rules_and_balances_that_are_not_stored_get_numbers_of_their_own() -> None:
    small = terms_of("college-small")
    own = replace(OWN, balance_ids={"whatsapp": 3}, rule_ids={})
    found = as_if(own, BOOKS, plan=small.plan, book=None, date=None)
    assert found.balance_ids["whatsapp"] == 3
    assert len(set(found.balance_ids.values())) == len(found.balance_ids) == 3
    assert len(set(found.rule_ids.values())) == len(found.rule_ids)
    assert {row.rule for row in BOOKS["college-small"].rows} == found.rule_ids.keys()
    assert own.rule_ids == {}


def test_a_plan_that_counts_in_another_unit_is_refused() -> None:
    plan = terms_of("college-small").plan
    other = replace(plan, balances=(replace(plan.balances[0], unit="message"), *plan.balances[1:]))
    with pytest.raises(Problem, match="counts conversations in message"):
        as_if(OWN, BOOKS, plan=other, book=None, date=None)


def test_money_never_runs_out_and_units_beyond_the_allowance_are_told() -> None:
    """BA-11 for units; a plain sum for money, without an overdraft."""
    own = terms_of("college-small")
    own = own.dated(own.standing, BOOKS)
    state = opening(own, ())
    inbound = [received(at(f"2026-09-01 10:{n:02}"), f"62811{n:08}") for n in range(22)]
    sent = [
        fact(at(f"2026-09-02 10:{n:02}"), contact=f"62811{n:08}", category="marketing")
        for n in range(3)
    ]
    sums = Sums(own, own, own.zone.month_bounds(month_label(2026, 9)), {7: LotSource.TOP_UP})
    outcomes = fold(own, state, [*inbound, *sent], {}, sent[-1].at).outcomes
    whatsapp = own.balance_ids["whatsapp"]
    for outcome in outcomes[:-1]:
        sums.add(Posted(1, 0, 0, ()), outcome)
    charged = Charged(whatsapp, 1, UNIT, 5 * UNIT, ((7, 5 * UNIT),))
    sums.add(Posted(1, 0, 0, (charged,)), outcomes[-1])

    visitors, money = sums.totals["visitors"], sums.totals["whatsapp"]
    assert visitors.simulated == Drawn(22 * UNIT, allowance=20 * UNIT, beyond=2 * UNIT)
    assert money.simulated.beyond == 0
    assert (money.simulated.total, money.charged.total) == (3 * 586_330_000, 5 * UNIT)
    assert money.charged.bought == 5 * UNIT
    (lot,) = state.lots[whatsapp]
    assert lot.amount == ENDLESS
    (line,) = (line for line in sums.lines.values() if line.place.category == "marketing")
    assert (line.count, line.charged.money, line.simulated.money) == (3, 5 * UNIT, 1_758_990_000)


def test_windows_from_before_are_those_of_the_books() -> None:
    """CO-4: what is open when a simulation begins is as it was, paid or not."""
    state = new_state()
    contact = state.contact(1, ANA, 1)
    ad = received(at("2026-08-31 10:00"), entry=True)
    answer = fact(at("2026-08-31 10:05"))
    flags = Flag.CONVERSATION_OPENED | Flag.CONVERSATION_PAID | Flag.ENTRY_OPENED
    inside = fact(at("2026-08-31 10:06"))
    remember(OWN, contact, ad, Status.ACCEPTED, Flag.SERVICE_OPENED)
    assert contact.entry_at == ad.at
    remember(OWN, contact, answer, Status.ACCEPTED, flags)
    remember(OWN, contact, inside, Status.ACCEPTED, Flag.COVERED)
    assert contact.service_ends_at == ad.at + 24 * HOUR
    assert contact.entry_ends_at == answer.at + 72 * HOUR
    assert contact.conversation_opened_at == answer.at
    assert contact.entry_at != ad.at
    assert contact.conversation_paid
    late = received(at("2026-08-31 11:00"))
    remember(OWN, contact, late, Status.ADJUSTED, Flag.NONE)
    assert contact.service_ends_at == ad.at + 24 * HOUR
