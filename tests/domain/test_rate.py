"""Rating: which row speaks, what is free and why, what it costs, and which balance pays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain.books import Book
from domain.facts import Fact, Flag, Status, Type
from domain.money import micros, picos
from domain.periods import DAY, HOUR, MINUTE
from domain.state import Outcome
from tests.domain.spine import ANA, BEN, BOOKS, UNIT, Tenant, at, fact, received, terms_of

IDR = BOOKS["omnichannel-idr"]


def spend(tenant: Tenant, balance: str, left: int, when: int) -> None:
    """Use the month's allowance of a balance up to `left` units."""
    contacts = [f"62812{n:08d}" for n in range(1000 - left)]
    if balance == "visitors":
        tenant.commit([received(when, contact) for contact in contacts])
    else:
        tenant.commit([fact(when, contact=contact) for contact in contacts])
    assert tenant.remaining(balance) == left * UNIT


def rule_of(tenant: Tenant, outcome: Outcome) -> str:
    names = {number: rule for rule, number in tenant.terms.rule_ids.items()}
    return names[outcome.parts[0].rule_id].removeprefix("omnichannel-idr@")


# PR-2, PR-3, PR-4: one message on a quiet day, and inside a window the contact opened.
PRICES = [
    # category, when, inside, amount of whatsapp (None: unrated), rule
    ("marketing", "2025-06-30 23:59", False, None, ""),
    ("marketing", "2025-07-01 00:00", False, "586.33", "2025-07-01/marketing"),
    ("marketing", "2025-07-01 00:00", True, "586.33", "2025-07-01/marketing"),
    ("marketing", "2026-11-20 10:00", True, "586.33", "2025-07-01/marketing"),
    ("authentication", "2025-07-01 00:00", False, "356.65", "2025-07-01/authentication"),
    ("authentication", "2025-07-01 00:00", True, "356.65", "2025-07-01/authentication"),
    ("utility", "2025-07-01 00:00", False, "356.65", "2025-07-01/utility"),
    ("utility", "2026-09-30 23:59", True, "0", "2025-07-01/utility"),
    ("utility", "2026-10-01 00:00", True, "356.65", "2026-10-01/utility"),
    ("utility", "2026-10-01 00:00", False, "356.65", "2026-10-01/utility"),
    ("newsletter", "2026-10-01 00:00", False, None, ""),
    ("", "2026-10-01 00:00", False, None, ""),
]


@pytest.mark.parametrize(("category", "when", "inside", "amount", "rule"), PRICES)
def test_the_price_of_a_template(
    category: str, when: str, inside: bool, amount: str | None, rule: str
) -> None:
    """PR-2, PR-3, PR-4: the row in force on the local date, charged by category and window."""
    tenant = Tenant()
    if inside:
        tenant.send(received(at(when) - 1))

    outcome = tenant.send(fact(at(when), category=category))

    if amount is None:
        assert (outcome.status, outcome.parts) == (Status.UNRATED, ())
        return
    assert outcome.status is Status.ACCEPTED
    assert tenant.said(outcome) == [("whatsapp", micros(amount))]
    assert rule_of(tenant, outcome) == rule


# PR-6: the contact decides the market; what the book says of it in October 2026.
MARKETS = [
    ("6281100000010", "marketing", "ID", "586.33"),
    ("6591234567", "marketing", "rest_of_asia_pacific", None),
    ("12025550123", "marketing", "north_america", None),
    ("18095550123", "marketing", "rest_of_latin_america", None),
    ("18295550123", "marketing", "rest_of_latin_america", None),
    ("18495550123", "marketing", "rest_of_latin_america", None),
    ("99912345678", "marketing", "other", None),
    ("6281100000010", "service", "ID", "0"),
    ("12025550123", "service", "north_america", "0"),
]


@pytest.mark.parametrize(("contact", "category", "market", "amount"), MARKETS)
def test_the_market(contact: str, category: str, market: str, amount: str | None) -> None:
    """PR-6: longest prefix; exact row, then the book's `*`, then unrated, never 0."""
    tenant = Tenant()
    when = at("2026-10-05 10:00")
    tenant.send(fact(when - MINUTE, category="authentication", contact=contact))

    outcome = tenant.send(fact(when, category=category, contact=contact))

    assert outcome.market == market
    amounts = [part.amount for part in outcome.parts]
    assert amounts == ([] if amount is None else [micros(amount)])


def test_of_rows_of_one_date_the_last_published_speaks() -> None:
    """PR-2: the latest valid-from; of equals, the last published."""
    later = tuple(
        replace(row, published=2, price=picos("600")) for row in IDR.rows if row.row == "marketing"
    )
    book = IDR.with_version(
        Book(
            key=IDR.key, version=2, currency=IDR.currency, rows=later, windows=IDR.windows,
            markets=IDR.markets,
        )
    )  # fmt: skip
    tenant = Tenant(terms_of(book=book))

    outcome = tenant.send(fact(at("2026-10-05 10:00"), category="marketing"))

    assert tenant.said(outcome) == [("whatsapp", micros("600"))]


def test_rows_and_counts_turn_at_the_numbers_midnight() -> None:
    """TZ-5: number 2 stands in Jayapura, where October begins at 22:00 of Jakarta."""
    tenant = Tenant()
    opens = [
        fact(at("2026-09-30 20:00"), category="marketing", number_id=number) for number in (1, 2)
    ]
    tenant.commit(opens)
    before, after = at("2026-09-30 22:00") - 1, at("2026-09-30 22:00")

    rules = [
        rule_of(tenant, tenant.send(fact(when, number_id=number)))
        for when in (before, after)
        for number in (1, 2)
    ]

    assert rules == ["2025-07-01/service"] * 3 + ["2026-10-01/service"]
    assert [(c.number_id, c.month % 12 + 1, c.value) for c in tenant.state.counters.values()] == [
        (2, 10, 1)
    ]


def test_the_1001st_service_message_is_charged() -> None:
    """PR-4: 1,000 are free per number and month, in the order of the facts; then the price."""
    tenant = Tenant()
    when = at("2026-10-05 10:00")
    tenant.send(fact(when, category="utility"))

    outcomes = tenant.commit([fact(when + n, contact=ANA) for n in range(1, 1003)])

    amounts = [tenant.said(outcome)[0][1] for outcome in outcomes]
    assert amounts == [0] * 1000 + [micros("356.65")] * 2
    (counter,) = tenant.state.counters.values()
    assert (counter.name, counter.value, counter.counted_at) == ("service", 1000, when + 1000)


def test_two_numbers_count_apart_and_months_too() -> None:
    """PR-4: no rollover."""
    tenant = Tenant()
    october, november = at("2026-10-31 22:00"), at("2026-11-01 00:00")
    tenant.commit([fact(october - HOUR, category="utility", number_id=n) for n in (1, 2)])
    tenant.commit([fact(october - MINUTE, number_id=1) for _ in range(1000)])

    amounts = [
        tenant.said(tenant.send(fact(when, number_id=number)))
        for when, number in ((october - 1, 1), (october - 1, 2), (november, 1), (november, 2))
    ]

    assert amounts == [[("whatsapp", micros("356.65"))]] + [[("whatsapp", 0)]] * 3


def test_one_unit_left_in_october() -> None:
    """PR-9: A gets 3 = 1 unit, 0, 0; then B gets 3 = numbers 1 to 3 of the free count."""
    tenant = Tenant()
    spend(tenant, "conversations", 1, at("2026-10-01 09:00"))
    when = at("2026-10-05 10:00")

    said = [
        (tenant.said(outcome), rule_of(tenant, outcome))
        for contact in (ANA, BEN)
        for outcome in tenant.commit([fact(when + n, contact=contact) for n in range(3)])
    ]

    conversation, service = "2026-10-01/conversation", "2026-10-01/service"
    assert said == [
        ([("conversations", UNIT)], conversation),
        ([("conversations", 0)], conversation),
        ([("conversations", 0)], conversation),
        ([("whatsapp", 0)], service),
        ([("whatsapp", 0)], service),
        ([("whatsapp", 0)], service),
    ]
    (counter,) = tenant.state.counters.values()
    assert counter.value == 3


# PR-9: no unit left; what the first, the second and a third message (after a top-up) cost.
NONE_LEFT = [
    ("2026-09-07 10:00", ["356.65", "0", "0"], "2025-07-01/conversation", 1, 0),
    ("2026-10-05 10:00", ["0", "0", "0"], "2026-10-01/service", 1, 3),
]


@pytest.mark.parametrize(("when", "amounts", "rule", "units", "counted"), NONE_LEFT)
def test_no_unit_left(when: str, amounts: list[str], rule: str, units: int, counted: int) -> None:
    """PR-9: before October 2026 the book's price per conversation, then the free count; a top-up
    that comes meanwhile pays the next conversation."""
    tenant = Tenant()
    start = at(when)
    spend(tenant, "conversations", 0, start - DAY)

    outcomes = tenant.commit([fact(start), fact(start + 1)])
    tenant.top_up("conversations", "1", starts_at=start + 2)
    outcomes.append(tenant.send(fact(start + 3)))
    other = tenant.send(fact(start + 4, contact=BEN))

    assert [part.amount for outcome in outcomes for part in outcome.parts] == [
        micros(amount) for amount in amounts
    ]
    assert {rule_of(tenant, outcome) for outcome in outcomes} == {rule}
    assert tenant.said(other) == [("conversations", units * UNIT)]
    assert sum(counter.value for counter in tenant.state.counters.values()) == counted


def test_half_a_unit_pays_no_conversation() -> None:
    """PR-9, BA-11: balances of units are drawn in whole units."""
    tenant = Tenant()
    when = at("2026-10-05 10:00")
    spend(tenant, "conversations", 0, when - DAY)
    tenant.top_up("conversations", "0.5", starts_at=when)

    outcome = tenant.send(fact(when + 1))

    assert tenant.said(outcome) == [("whatsapp", 0)]
    assert tenant.remaining("conversations") == UNIT // 2


def test_a_conversation_that_a_template_opened() -> None:
    """PR-9: service messages in it go by the message: free before October 2026, PR-4 after."""
    tenant = Tenant()
    for when, rule in (("2026-09-07 10:00", "2025-07-01"), ("2026-10-05 10:00", "2026-10-01")):
        opened = tenant.send(fact(at(when), category="utility"))
        inside = tenant.send(fact(at(when) + DAY - 1))
        assert opened.flags & Flag.CONVERSATION_OPENED
        assert not opened.flags & Flag.CONVERSATION_PAID
        assert tenant.said(inside) == [("whatsapp", 0)]
        assert rule_of(tenant, inside) == f"{rule}/service"
    assert not any(lot.used for lot in tenant.lots("conversations"))  # no unit was asked for


def test_mcc_takes_one_unit_whatever_the_category() -> None:
    """PR-9, BA-11: each conversation opened takes a unit, below 0 too, and never money."""
    tenant = Tenant(terms_of("omnichannel-mcc-idr"))
    when = at("2026-10-05 10:00")
    contacts = [f"62812{n:08d}" for n in range(1001)]
    categories = ("marketing", "utility", "authentication", "service")

    outcomes = tenant.commit(
        fact(when + n, contact=contact, category=categories[n % 4])
        for n, contact in enumerate(contacts)
    )
    inside = tenant.commit(
        [fact(when + HOUR, contact=contacts[0], category=category) for category in categories]
    )

    assert {tuple(tenant.said(outcome)) for outcome in outcomes} == {(("conversations", UNIT),)}
    assert [tenant.said(outcome) for outcome in inside] == [[("conversations", 0)]] * 4
    assert [bool(outcome.flags & Flag.OVERDRAWN) for outcome in outcomes[-2:]] == [False, True]
    assert tenant.remaining("conversations") == -UNIT
    assert tenant.lots("whatsapp") == []


# WI-2: inside a free-entry window, in September and in October 2026.
@pytest.mark.parametrize("when", ["2026-09-07 10:00", "2026-10-05 10:00"])
@pytest.mark.parametrize("plan", ["omnichannel-idr", "omnichannel-mcc-idr"])
@pytest.mark.parametrize("category", ["service", "utility", "marketing", "authentication"])
def test_a_free_entry_window_frees_every_category(plan: str, when: str, category: str) -> None:
    """WI-2: the answer and all inside are free; no unit, no count; a conversation opens."""
    tenant = Tenant(terms_of(plan))
    start = at(when)
    tenant.send(received(start, entry=True))

    answer, inside = tenant.commit(
        [fact(start + HOUR, category=category), fact(start + 2 * HOUR, category=category)]
    )

    assert [part.amount for part in (*answer.parts, *inside.parts)] == [0, 0]
    assert answer.flags & (Flag.ENTRY_OPENED | Flag.CONVERSATION_OPENED) == (
        Flag.ENTRY_OPENED | Flag.CONVERSATION_OPENED
    )
    assert tenant.lots("conversations") == []
    assert tenant.state.counters == {}


def test_a_group_message_opens_no_conversation() -> None:
    """CO-1, PR-8: a book without a group row rates each member as a single message."""
    tenant = Tenant()
    when = at("2026-10-05 10:00")

    said: list[Fact] = [
        fact(when, category="marketing", contact=contact, party="\x1fgroup")
        for contact in (ANA, BEN)
    ]
    outcomes = tenant.commit(said)

    assert [tenant.said(outcome) for outcome in outcomes] == [[("whatsapp", micros("586.33"))]] * 2
    assert not any(outcome.flags & Flag.CONVERSATION_OPENED for outcome in outcomes)


def test_a_visitor_takes_one_unit_on_any_channel() -> None:
    """VI-1, BA-11: allowance first, then what is owed."""
    tenant = Tenant()
    when = at("2026-10-05 10:00")
    spend(tenant, "visitors", 1, when)

    outcomes = [
        tenant.send(received(when + 1, "ana", number_id=3)),
        tenant.send(received(when + 2, "ben", number_id=3)),
        tenant.send(received(when + 3, "ana", number_id=3)),
    ]

    assert [tenant.said(outcome) for outcome in outcomes] == [
        [("visitors", UNIT)], [("visitors", UNIT)], []
    ]  # fmt: skip
    assert [outcome.flags & Flag.OVERDRAWN for outcome in outcomes] == [0, Flag.OVERDRAWN, 0]
    assert tenant.remaining("visitors") == -UNIT


def test_a_charge_of_many_legs_takes_each_lot_to_its_end() -> None:
    """BA-1, BA-11: what the last one lacks is an overdraft."""
    tenant = Tenant()
    when = at("2026-10-05 10:00")
    tenant.top_up("whatsapp", "100", starts_at=when)
    tenant.top_up("whatsapp", "300.5", starts_at=when)

    outcome = tenant.send(fact(when + 1, category="marketing"))

    (part,) = outcome.parts
    assert [leg.taken for leg in part.legs] == [micros("100"), micros("300.5"), micros("185.83")]
    assert part.amount == micros("586.33")
    assert outcome.flags & Flag.FURTHER
    assert outcome.flags & Flag.OVERDRAWN


def test_a_late_fact_before_an_exhausted_lot_is_marked() -> None:
    """EV-9: though it costs money now, a unit would have paid it in fact order."""
    for when in (at("2026-09-07 10:00"), at("2026-10-05 10:00")):
        tenant = Tenant()
        spend(tenant, "conversations", 0, when)

        before = tenant.send(fact(when - 1, contact=ANA))
        after = tenant.send(fact(when + 1, contact=BEN))

        assert before.flags & Flag.LATE
        assert not after.flags & Flag.LATE
        assert tenant.state.unsettled_from == when - 1


def test_a_late_fact_before_a_used_up_count_is_marked() -> None:
    """EV-9, PR-4: fact order decides which is the 1,001st."""
    tenant = Tenant()
    when = at("2026-10-05 10:00")
    tenant.commit([fact(when, category="utility", contact=each) for each in (ANA, BEN)])
    tenant.commit([fact(when + n, contact=ANA) for n in range(1, 1001)])

    late = tenant.send(fact(when + 500, contact=BEN))
    last = tenant.send(fact(when + 1001, contact=BEN))

    assert late.flags & Flag.LATE
    assert not last.flags & Flag.LATE


@pytest.mark.parametrize("type", [Type.MESSAGE_READ, Type.MESSAGE_PLAYED])
def test_read_and_played_reached_their_contact(type: Type) -> None:
    """EV-5: the first of delivered, read and played is charged."""
    tenant = Tenant()
    outcome = tenant.send(fact(at("2026-10-05 10:00"), type, category="marketing"))
    assert tenant.said(outcome) == [("whatsapp", micros("586.33"))]
