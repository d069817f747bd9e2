"""Books as a whole, as a table: how a document is broken, and the line that says so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest

from domain.book_checks import (
    check_plans,
    check_tiers,
    check_version,
    gaps,
    paths_of,
    rated_before,
)
from domain.book_documents import parse_book
from domain.books import Book
from domain.documents import Fault
from domain.periods import date_number
from tests.domain.test_books import sample

MARKETS = sample("whatsapp-markets")
WINDOWS = {
    "whatsapp": {"customer_service_hours": 24, "conversation_hours": 24, "free_entry_hours": 72}
}


def row(
    category: str = "marketing", market: str = "ID", price: str = "1", **more: Any
) -> dict[str, Any]:
    made = {
        "row": f"{category}-{market}".lower().strip("-*") + str(more.get("tier", "")),
        "valid_from": "2026-01-01",
        "channel": "whatsapp",
        "category": category,
        "direction": "out",
        "market": market,
        "basis": "per_message",
        "price": price,
        **more,
    }
    name = "".join(letter for letter in made["row"] if letter.isalnum() or letter == "-")
    return {**made, "row": more.get("row", name or "any")}


def book(*rows: dict[str, Any], published: int = 1, **more: Any) -> Book:
    document = {
        "book": "b",
        "currency": "IDR",
        "markets": "whatsapp-markets",
        "windows": WINDOWS,
        "rows": list(rows),
        **more,
    }
    return parse_book({k: v for k, v in document.items() if v}, published, MARKETS)


def said(problems: Sequence[Fault]) -> list[str]:
    return [str(each) for each in problems]


def tier(above: int, up_to: int | None = None, **more: Any) -> dict[str, Any]:
    bounds = {"above": above} | ({} if up_to is None else {"up_to": up_to})
    return row(row=f"t{above}", tier=bounds, **more)


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        pytest.param([tier(0)], [], id="one tier"),
        pytest.param([tier(0, 10), tier(10, 20), tier(20)], [], id="three tiers"),
        pytest.param(
            [tier(0, 10), tier(12)],
            ["rows[1].tier.above: units 11 to 12 have no tier; write above = 10"],
            id="a hole",
        ),
        pytest.param(
            [tier(5)],
            ["rows[0].tier.above: units 1 to 5 have no tier; write above = 0, or a tier up to 5"],
            id="no beginning",
        ),
        pytest.param(
            [tier(0, 10)],
            [
                "rows[0].tier.up_to: units above 10 have no tier; leave it out, or add a tier "
                "behind it"
            ],
            id="an end",
        ),
        pytest.param(
            [tier(0, 10), tier(8)],
            [
                "rows[1].tier.above: units 9 to 10 have a tier in rows[0] too; write above = 10",
            ],
            id="an overlap",
        ),
        pytest.param(
            [tier(0), tier(10)],
            ["rows[0].tier: has no end, and rows[1] begins at 10; write up_to = 10"],
            id="a tier without an end before another",
        ),
        pytest.param(
            [tier(10), tier(0, 10)],
            ["rows[1].tier.above: goes down from 10 to 0; write it before rows[0]"],
            id="going down",
        ),
        pytest.param(
            [tier(0), row()],
            [
                "rows[1].tier: answers what rows[0] answers by tiers; give it a tier too, or "
                "leave it out"
            ],
            id="a row beside tiers",
        ),
        pytest.param(
            [tier(0, 10), tier(10), tier(0, 9, market="IN"), tier(9, market="IN")],
            [],
            id="each market has its own",
        ),
        pytest.param(
            [tier(0), tier(5, valid_from="2026-02-01")],
            ["rows[1].tier.above: units 1 to 5 have no tier; write above = 0, or a tier up to 5"],
            id="each date has its own",
        ),
    ],
)
def test_tiers_have_no_holes(rows: list[dict[str, Any]], lines: list[str]) -> None:
    """PR-7: marginal tiers cover every unit once, from the first on."""
    named = [{**each, "row": f"r{number}"} for number, each in enumerate(rows)]
    assert said(check_tiers(paths_of(book(*named)))) == lines


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        pytest.param([row(), row("utility")], [], id="one market"),
        pytest.param(
            [row(), row("utility"), row(market="IN")],
            [
                "market IN: has no per_message row of utility (whatsapp out), and ID has one; "
                'add a row; with price = "n/a" it says that there is no rate'
            ],
            id="a gap",
        ),
        pytest.param([row(), row("utility", "*"), row(market="IN")], [], id="every market's row"),
        pytest.param([row(), row("*"), row(market="IN")], [], id="every category's row"),
        pytest.param(
            [row(), row("authentication_international"), row(market="IN")],
            [],
            id="international authentication is of some countries",
        ),
        pytest.param(
            [row(), row(market="IN", price="n/a")],
            [
                "rows[1].price: 'n/a' is no rate: marketing to IN from 2026-01-01 on stays "
                'unrated; write a price, or "0" if it is free'
            ],
            id="no rate",
        ),
        pytest.param([row(), row("utility"), row(market="other")], [], id="no market"),
    ],
)
def test_what_stays_unrated_is_told(rows: list[dict[str, Any]], lines: list[str]) -> None:
    """EV-7: never free by omission, and never left out without a word."""
    made = book(*rows)
    assert said(gaps(made, paths_of(made))) == lines


@pytest.mark.parametrize(
    ("later", "lines"),
    [
        ({}, []),
        (
            {"currency": "USD"},
            [
                "currency: USD is not IDR, as version 3 has it; write IDR, or give the book "
                "another key"
            ],
        ),
        (
            {"windows": None},
            [
                "windows.whatsapp: is missing: version 3 has it, and its rows may speak of it; "
                "write it again"
            ],
        ),
    ],
)
def test_a_version_goes_with_those_before(later: dict[str, Any], lines: list[str]) -> None:
    assert said(check_version(book(row(), published=3), book(row(), published=4, **later))) == lines


TODAY = date_number(date(2026, 3, 10))
EARLIER = (row(price="5"), row("utility", price="n/a"), row("service", "*", price="0"))


def refused(date: str, rule: str) -> list[str]:
    return [
        f"rows[0].valid_from: {date} is not after 2026-03-10, and {rule} of version 1 has rated "
        "by then what this row would change; write 2026-03-11 or later, or publish it with rerate"
    ]


MARKETING, SERVICE = "b@2026-01-01/marketing-id", "b@2026-01-01/service"


@pytest.mark.parametrize(
    ("later", "lines"),
    [
        pytest.param(row(price="6", valid_from="2026-03-11"), [], id="of tomorrow"),
        pytest.param(
            row(price="6", valid_from="2026-03-10"), refused("2026-03-10", MARKETING), id="of today"
        ),
        pytest.param(
            row(price="6", valid_from="2025-01-01"),
            [],
            id="a row of later has its place",
        ),
        pytest.param(row(price="6"), refused("2026-01-01", MARKETING), id="another price"),
        pytest.param(row(price="5"), [], id="the same price"),
        pytest.param(
            row(price="5", free_in=["free_entry"]),
            refused("2026-01-01", MARKETING),
            id="the same price, free where it was not",
        ),
        pytest.param(row("utility", price="7"), [], id="no rate before"),
        pytest.param(row("authentication", price="7"), [], id="no row before"),
        pytest.param(row(market="IN", price="7"), [], id="no market before"),
        pytest.param(
            row("service", "IN", price="7"),
            refused("2026-01-01", SERVICE),
            id="behind every market's row",
        ),
        pytest.param(row(market="*", price="7"), [], id="before every market's own"),
        pytest.param(row("*", "*", price="7"), [], id="for what no row named"),
        pytest.param(
            row(group=True, price="7"),
            refused("2026-01-01", MARKETING),
            id="PR-8: members of groups were rated as single messages",
        ),
        pytest.param(
            row("marketing_international", price="7"),
            refused("2026-01-01", MARKETING),
            id="PR-5: the local rate has rated what has an international one",
        ),
    ],
)
def test_a_row_dated_back_only_adds_what_is_missing(
    later: dict[str, Any], lines: list[str]
) -> None:
    """PR-2: one dated before its publication may only add missing rows."""
    earlier = book(*EARLIER)
    version = book(later, published=2)
    whole = earlier.with_version(version)
    assert said(rated_before(earlier, whole, paths_of(version), TODAY)) == lines


def test_a_plan_that_fits_no_more_is_told_with_all_that_is_wrong() -> None:
    """A chain of an unknown balance, and the currencies of plan and book."""
    plan = sample("plan-omnichannel-idr")
    plan["book"] = "b"
    plan["currency"] = "USD"
    plan["balances"][2]["currency"] = "USD"
    plan["chains"][0]["steps"][0]["balance"] = "whatsap"
    lines = said(check_plans(book(*EARLIER), {"omnichannel": plan}))
    assert lines[:2] == [
        "plan omnichannel: currency: USD is not the book's currency; write IDR, or name a book in "
        "USD",
        "plan omnichannel: chains[0].steps[0].balance: 'whatsap' is no balance of the plan; did "
        "you mean 'whatsapp'?",
    ]
    assert check_plans(book(*EARLIER), {}) == []
