"""OC-1, OC-3: what a plan and a tenant decide about sending: defaults, bounds, whose word holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from domain.money import MICRO
from domain.plans import Plan, PlanError, parse_plan
from domain.sending import (
    BOUNDS,
    DEFAULT,
    FIELDS,
    UNSAID,
    Cap,
    OwnSending,
    Sending,
    SendingError,
    merged,
    parse_sending,
    written,
)
from domain.standing import BEGINNING, Holding, Standing
from tests.domain.spine import BOOKS, at, sample, terms_of

NAME = "omnichannel-idr"
BALANCES = ("conversations", "whatsapp")
MOST = "100000000000"


def plan(**sending: Any) -> Plan:
    document = sample(f"plan-{NAME}") | {"sending": sending}
    return parse_plan(document, BOOKS[document["book"]])


def problems(document: dict[str, Any]) -> list[tuple[str, str, str]]:
    with pytest.raises(SendingError) as refused:
        parse_sending(document, BALANCES)
    return [(each.path, each.wrong, each.right) for each in refused.value.problems]


def test_what_holds_where_nobody_says_anything() -> None:
    """OC-3: ten minutes, a day for what was sent; no caps, and nothing is granted in an outage."""
    assert Sending(
        hold_seconds=600, sent_seconds=86_400, call_seconds=60, recipients_max=100_000,
        caps={}, fail_open={},
    ) == DEFAULT  # fmt: skip
    assert merged(UNSAID, UNSAID) is DEFAULT
    assert parse_sending({}) == UNSAID


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("hold_seconds", 10, 86_400),
        ("sent_seconds", 60, 604_800),
        ("call_seconds", 1, 3_600),
        ("recipients_max", 1, 100_000),
    ],
)
def test_whole_numbers_at_both_ends(name: str, low: int, high: int) -> None:
    assert BOUNDS[name] == (low, high)
    for value in (low, high):
        own = parse_sending({name: value})
        assert getattr(merged(UNSAID, own), name) == value
        assert written(own) == {name: value}
    right = f"write a whole number from {low} to {high}, without quotes"
    wrong: list[object] = [low - 1, high + 1, str(low), True, 10.5]
    for each in wrong:
        assert problems({name: each}) == [(name, f"{each!r} does not fit", right)]


@pytest.mark.parametrize(
    ("document", "caps"),
    [
        ([], {}),
        ([{"balance": "whatsapp", "day": "0"}], {"whatsapp": Cap(day=0)}),
        ([{"balance": "whatsapp", "month": MOST}], {"whatsapp": Cap(month=10**17)}),
        (
            [
                {"balance": "conversations", "day": "0.000001", "month": "1"},
                {"balance": "whatsapp", "day": "2"},
            ],
            {"conversations": Cap(day=1, month=MICRO), "whatsapp": Cap(day=2 * MICRO)},
        ),
    ],
)
def test_caps(document: list[dict[str, str]], caps: dict[str, Cap]) -> None:
    own = parse_sending({"caps": document}, BALANCES)
    assert own == OwnSending(caps=caps)
    assert written(own) == {"caps": document}


@pytest.mark.parametrize(
    ("document", "amounts"),
    [
        ([], {}),
        ([{"balance": "whatsapp", "amount": "0.000001"}], {"whatsapp": 1}),
        ([{"balance": "whatsapp", "amount": MOST}], {"whatsapp": 10**17}),
    ],
)
def test_what_an_outage_may_grant(document: list[dict[str, str]], amounts: dict[str, int]) -> None:
    own = parse_sending({"fail_open": document}, BALANCES)
    assert own == OwnSending(fail_open=amounts)
    assert written(own) == {"fail_open": document}


MEMBER = 'write [{ balance = "whatsapp", day = "1000000" }], or [] for none'
OUTAGE = 'write [{ balance = "whatsapp", amount = "50000" }], or [] for none'
DECIMAL = 'write a decimal in quotes, as "1000" or "0.5"'
REFUSED: list[tuple[dict[str, Any], list[tuple[str, str, str]]]] = [
    ({"caps": "none"}, [("caps", "'none' is not a list of tables", MEMBER)]),
    ({"caps": [5]}, [("caps[0]", "5 is not a table", MEMBER)]),
    (
        {"caps": [{"balance": "whatsap", "day": "1"}]},
        [("caps[0].balance", "'whatsap' is no balance of the plan", "did you mean 'whatsapp'?")],
    ),
    (
        {"caps": [{"balance": "whatsapp"}]},
        [("caps[0]", "caps nothing", 'add day = "1000000", or month')],
    ),
    (
        {"caps": [{"balance": "whatsapp", "day": 5}]},
        [("caps[0].day", "5 is no decimal in quotes", DECIMAL)],
    ),
    (
        {"caps": [{"balance": "whatsapp", "day": "-1"}]},
        [("caps[0].day", "'-1' has a sign: write it without one", DECIMAL)],
    ),
    (
        {"caps": [{"balance": "whatsapp", "month": f"{MOST}.000001"}]},
        [(
            "caps[0].month", f"{MOST}.000001 does not fit",
            f"write an amount 0 or more, at most {MOST}",
        )],
    ),
    (
        {"caps": [{"balance": "whatsapp", "day": "1", "week": "1"}]},
        [("caps[0].week", "is not a known field", "known are balance, day, month")],
    ),
    (
        {"caps": [{"balance": "whatsapp", "day": "1"}, {"balance": "whatsapp", "day": "1"}]},
        [("caps[1].balance", "'whatsapp' is there before", "write it once")],
    ),
    ({"fail_open": {}}, [("fail_open", "{} is not a list of tables", OUTAGE)]),
    (
        {"fail_open": [{"balance": "whatsapp"}]},
        [("fail_open[0].amount", "is missing", 'write a decimal in quotes, as "50000"')],
    ),
    (
        {"fail_open": [{"balance": "whatsapp", "amount": "0"}]},
        [(
            "fail_open[0].amount", "0 does not fit", f"write an amount above 0, at most {MOST}",
        )],
    ),
    (
        {"hold_second": 10, "call_seconds": 0, "fail_open": [{"balance": "sms", "amount": "1"}]},
        [
            ("call_seconds", "0 does not fit",
             "write a whole number from 1 to 3600, without quotes"),
            ("fail_open[0].balance", "'sms' is no balance of the plan",
             "known are conversations, whatsapp"),
            ("hold_second", "is not a known field", "did you mean 'hold_seconds'?"),
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("document", "wanted"), REFUSED)
def test_refusals_come_together(
    document: dict[str, Any], wanted: list[tuple[str, str, str]]
) -> None:
    """Every problem at once: where, what is wrong, and what would be right."""
    assert problems(document) == wanted


PLANS = OwnSending(
    hold_seconds=10, sent_seconds=60, call_seconds=1, recipients_max=1,
    caps={"whatsapp": Cap(day=1)}, fail_open={"whatsapp": 1},
)  # fmt: skip
TENANTS = OwnSending(
    hold_seconds=11, sent_seconds=61, call_seconds=2, recipients_max=2, caps={}, fail_open={},
)  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_the_tenants_word_is_before_the_plans(name: str) -> None:
    """Field by field: the tenant's, else the plan's, else the default; empty lists are words."""
    of_plan = OwnSending(**{name: getattr(PLANS, name)})
    of_tenant = OwnSending(**{name: getattr(TENANTS, name)})
    for plans, tenants, expected in (
        (of_plan, UNSAID, PLANS),
        (UNSAID, of_tenant, TENANTS),
        (of_plan, of_tenant, TENANTS),
    ):
        holds = merged(plans, tenants)
        assert getattr(holds, name) == getattr(expected, name)
        for other in set(FIELDS) - {name}:
            assert getattr(holds, other) == getattr(DEFAULT, other)


def test_a_plan_may_say_something() -> None:
    said = plan(hold_seconds=900, caps=[{"balance": "whatsapp", "day": "5"}]).sending

    assert said == OwnSending(hold_seconds=900, caps={"whatsapp": Cap(day=5 * MICRO)})
    assert terms_of(NAME).plan.sending is UNSAID


def test_a_plan_that_says_it_wrong_is_refused() -> None:
    with pytest.raises(PlanError) as refused:
        plan(hold_seconds=9, caps=[{"balance": "nope", "day": "5"}], holds=1)

    assert [each.path for each in refused.value.problems] == [
        "sending.hold_seconds", "sending.caps[0].balance", "sending.holds",
    ]  # fmt: skip


def test_another_plan_brings_its_own() -> None:
    """What the tenant says stays; the rest is the plan's that is in force."""
    terms = terms_of(NAME, sending={"hold_seconds": 20, "call_seconds": 20})
    later = at("2026-11-01 00:00")
    standing = Standing(
        terms.zone, None,
        (Holding(BEGINNING, terms.plan), Holding(later, plan(hold_seconds=30, call_seconds=30))),
    )  # fmt: skip
    own = replace(terms, own_sending=OwnSending(call_seconds=10))

    own = own.dated(standing, {terms.book.key: terms.book})

    assert own.at(later - 1).sending == Sending(hold_seconds=20, call_seconds=10)
    assert own.at(later).sending == Sending(hold_seconds=30, call_seconds=10)
