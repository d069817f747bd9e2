"""Counted things: segments, seconds, mails, meters, tiers, groups and international rates."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from domain.book_documents import BookError, parse_book
from domain.books import Increments, Tier
from domain.facts import Channel, Direction, Fact, Flag, Status, Type
from domain.lots import LotSource
from domain.money import micros
from domain.periods import HOUR, MINUTE, date_number, zone
from domain.plans import parse_plan
from domain.rate import claims_message
from domain.segments import segments
from domain.terms import Terms
from domain.units import TierPrice, billed_seconds, shares
from tests.domain.spine import Tenant, at, fact, number, sample

UNIT = 1_000_000
TEN = at("2026-11-05 10:00")
JAKARTA, INDIA, LONDON = "6281100000010", "919876543210", "442071838750"

ROW = {"valid_from": "2026-01-01", "category": "*", "direction": "out", "market": "*"}


def row(name: str, channel: str, basis: str, price: str, **more: object) -> dict[str, object]:
    return {"row": name, "channel": channel, "basis": basis, "price": price, **ROW, **more}


BOOK: dict[str, Any] = {
    "book": "mixed",
    "currency": "USD",
    "markets": "whatsapp-markets",
    "windows": {"whatsapp": {
        "customer_service_hours": 24, "conversation_hours": 24, "free_entry_hours": 72,
    }},
    "rows": [
        row("sms", "sms", "per_segment", "0.05", charged_on="sent"),
        row("call", "voice", "per_minute", "0.10", increments={"first": 30, "step": 6}),
        row("call-in", "voice", "per_minute", "0.02", direction="in"),
        row("mail", "email", "per_unit", "0.001",
            free_count={"name": "mail", "count": 100, "per": "tenant"}),
        row("tokens", "bot", "per_unit", "0.0000025", category="tokens"),
        row("session", "bot", "per_unit", "0.015"),
        row("video", "video", "per_minute", "n/a"),
        row("utility-1", "whatsapp", "per_message", "0.03", category="utility",
            tier={"above": 0, "up_to": 3}),
        row("utility-2", "whatsapp", "per_message", "0.02", category="utility",
            tier={"above": 3, "up_to": 5}),
        row("utility-3", "whatsapp", "per_message", "0.01", category="utility", tier={"above": 5}),
        row("marketing", "whatsapp", "per_message", "0.04", category="marketing"),
        row("authentication", "whatsapp", "per_message", "0.02", category="authentication"),
        row("authentication-abroad", "whatsapp", "per_message", "0.09",
            category="authentication_international", market="IN"),
        row("service", "whatsapp", "per_message", "0.005", category="service"),
        row("group", "whatsapp", "per_message", "0.025", group=True),
    ],
}  # fmt: skip

MONEY = {"kind": "money", "currency": "USD", "allowance": "0", "carry": "always"}
PLAN: dict[str, Any] = {
    "plan": "mixed", "name": "Mixed", "book": "mixed", "currency": "USD", "country": "ID",
    "timezone": "Asia/Jakarta", "locale": "en", "seats": 1,
    "balances": [
        {"balance": "seconds", "name": "Seconds", "kind": "unit", "unit": "second",
         "allowance": "60", "carry": "none"},
        {"balance": "money", "name": "Money", **MONEY},
    ],
    "chains": [
        {"channel": "voice", "direction": "out", "categories": ["*"], "steps": [
            {"balance": "seconds", "basis": "per_minute"},
            {"balance": "money", "basis": "per_minute"}]},
        {"channel": "voice", "direction": "in", "categories": ["*"], "steps": [
            {"balance": "money", "basis": "per_minute"}]},
        {"channel": "whatsapp", "direction": "out", "categories": ["*"], "steps": [
            {"balance": "money", "basis": "per_message"}]},
        {"channel": "sms", "direction": "out", "categories": ["*"], "steps": [
            {"balance": "money", "basis": "per_segment"}]},
        *({"channel": channel, "direction": "out", "categories": ["*"], "steps": [
            {"balance": "money", "basis": basis}]}
          for channel, basis in (("email", "per_unit"), ("bot", "per_unit"),
                                 ("video", "per_minute"))),
    ],
}  # fmt: skip

CHANNELS = (
    Channel.WHATSAPP, Channel.SMS, Channel.VOICE, Channel.EMAIL, Channel.BOT, Channel.VIDEO,
)  # fmt: skip


def terms_of(**changes: Any) -> Terms:
    book = parse_book(BOOK, 1, sample("whatsapp-markets"))
    plan = parse_plan(PLAN | changes, book)
    numbers = [number(place, channel, "Asia/Jakarta") for place, channel in enumerate(CHANNELS, 1)]
    ids = {balance.key: place for place, balance in enumerate(plan.balances, 1)}
    return Terms(
        tenant_id=1, key="mixed", suspended=False, zone=zone("Asia/Jakarta"), currency="USD",
        country="ID", since=None, plan=plan, book=book, settings=1,
        numbers={each.number_id: each for each in numbers},
        addresses={(each.channel, each.address): each for each in numbers},
        balance_ids=ids, balances={ids[balance.key]: balance for balance in plan.balances},
        rule_ids={rule: n for n, rule in enumerate(sorted({r.rule for r in book.rows}))},
    )  # fmt: skip


@pytest.fixture
def tenant() -> Tenant:
    return Tenant(terms_of())


def of(channel: Channel, type: Type, when: int = TEN, contact: str = JAKARTA, **more: Any) -> Fact:
    more.setdefault("category", "")
    country = {"62": "ID", "91": "IN", "44": "GB"}[contact[:2]]
    made = fact(when, type, contact, number_id=CHANNELS.index(channel) + 1, **more)
    made.channel, made.country = channel, country
    return made


def call(seconds: int, when: int = TEN, **more: Any) -> Fact:
    more = {"answered": True, **more}
    made = of(Channel.VOICE, Type.CALL_ENDED, when, seconds=seconds, **more)
    if "direction" not in more:
        made.direction = Direction.OUT
    return made


def sent(category: str, when: int, contact: str = JAKARTA, **more: Any) -> Fact:
    return of(Channel.WHATSAPP, Type.MESSAGE_DELIVERED, when, contact, category=category, **more)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("a" * 158 + "€", 1),
        ("a" * 159 + "€", 2),
        ("a" * 152 + "€" + "a" * 152, 3),  # it does not fit the first part's last seat
        ("я" * 70, 1),
        ("я" * 71, 2),
        ("я" * 134, 2),
        ("я" * 135, 3),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("я" * 66 + "😀" + "я" * 66, 3),  # a pair is not cut either
        ("ç", 1),
        ("ç" + "a" * 70, 2),
        ("Ç" + "a" * 159, 1),
    ],
)
def test_segments_of_a_text(text: str, parts: int) -> None:
    """SM-1: 160/153 of GSM-7, 70/67 of UCS-2; extension characters and pairs are never split."""
    assert segments(text) == parts


def test_sms_are_charged_by_segment_when_they_are_sent(tenant: Tenant) -> None:
    """EV-5, SM-1: `sent` charges; the same message delivered later is a further status."""
    first = of(Channel.SMS, Type.MESSAGE_SENT, segments=3, message="m")
    later = of(Channel.SMS, Type.MESSAGE_DELIVERED, TEN + MINUTE, segments=3, message="m")

    assert claims_message(tenant.terms, first)
    assert tenant.said(tenant.send(first)) == [("money", micros("0.15"))]
    assert claims_message(tenant.terms, later)
    assert not claims_message(tenant.terms, sent("marketing", TEN)), "it names no message"
    whatsapp = of(Channel.WHATSAPP, Type.MESSAGE_SENT, category="marketing", message="w")
    assert not claims_message(tenant.terms, whatsapp)
    assert tenant.send(whatsapp).parts == ()


@pytest.mark.parametrize(
    ("seconds", "increments", "billed"),
    [
        (0, Increments(first=30, step=6), 30),
        (30, Increments(first=30, step=6), 30),
        (31, Increments(first=30, step=6), 36),
        (36, Increments(first=30, step=6), 36),
        (37, Increments(first=30, step=6), 42),
        (61, Increments(first=60, step=60), 120),
        (95, None, 95),
    ],
)
def test_seconds_are_billed_in_increments(
    seconds: int, increments: Increments | None, billed: int
) -> None:
    """VO-1: first + ceil((d - first) / step) x step."""
    assert billed_seconds(seconds, increments) == billed


def test_a_call_splits_between_allowance_and_money(tenant: Tenant) -> None:
    """VO-1: seconds from the allowance, the rest in money, increments once for the whole call."""
    first = tenant.send(call(37))  # 42 of the 60
    second = tenant.send(call(31, TEN + HOUR))  # 36: 18 are left, 18 are paid
    third = tenant.send(call(31, TEN + 2 * HOUR))

    assert tenant.said(first) == [("seconds", 42 * UNIT)]
    assert tenant.said(second) == [("seconds", 18 * UNIT), ("money", micros("0.03"))]
    assert [part.units for part in second.parts] == [18 * UNIT, 18 * UNIT]
    assert tenant.said(third) == [("money", micros("0.06"))]


def test_a_call_goes_by_its_start(tenant: Tenant) -> None:
    """VO-1: a call over the month's end is paid by the month it began in."""
    midnight = at("2026-12-01 00:00")
    outcome = tenant.send(call(30, midnight + 10 * UNIT), now=midnight + MINUTE)
    (lot,) = [part.legs[0].lot for part in outcome.parts]

    assert lot.source is LotSource.ALLOWANCE
    assert lot.ends_at == midnight


def test_calls_nobody_answered_and_calls_that_came_in(tenant: Tenant) -> None:
    """VO-1, EV-7: unanswered costs nothing; inbound what its row says."""
    assert tenant.send(call(0, answered=False)).parts == ()
    assert tenant.send(call(0, answered=False)).status is Status.ACCEPTED
    inbound = tenant.send(call(90, direction=Direction.IN))
    assert tenant.said(inbound) == [("money", micros("0.03"))]


def test_mails_have_a_free_count_and_recipients(tenant: Tenant) -> None:
    """MT-1: one per recipient; a free count takes whole units, the rest is paid."""
    free = tenant.send(of(Channel.EMAIL, Type.EMAIL_SENT, quantity=99 * UNIT))
    split = tenant.send(of(Channel.EMAIL, Type.EMAIL_SENT, TEN + MINUTE, quantity=11 * UNIT))

    assert tenant.said(free) == [("money", 0)]
    assert tenant.said(split) == [("money", micros("0.01"))]
    assert split.parts[0].units == 10 * UNIT


def test_recorded_usage_goes_by_the_row_its_meter_names(tenant: Tenant) -> None:
    """MT-1: with up to 6 decimals; a meter no row names is unrated, whatever else the book has."""
    known = of(Channel.BOT, Type.USAGE_RECORDED, meter="tokens", quantity=micros("1234.5"))
    unknown = of(Channel.BOT, Type.USAGE_RECORDED, meter="pages", quantity=UNIT)
    nothing = of(Channel.BOT, Type.USAGE_RECORDED, meter="tokens", quantity=0)

    assert tenant.said(tenant.send(known)) == [("money", 3_086)]  # 0.00308625, half up
    assert tenant.send(unknown).status is Status.UNRATED
    assert tenant.said(tenant.send(nothing)) == [("money", 0)]
    assert tenant.said(tenant.send(of(Channel.BOT, Type.SESSION_ENDED))) == [("money", 15_000)]


def test_no_rate_is_not_free(tenant: Tenant) -> None:
    """PR-6, EV-7: "n/a" on a card is no rate."""
    outcome = tenant.send(of(Channel.VIDEO, Type.SESSION_ENDED, seconds=60))

    assert (outcome.status, outcome.parts) == (Status.UNRATED, ())


def test_tiers_are_marginal(tenant: Tenant) -> None:
    """PR-7: the count's position decides, and no message changes the price of an earlier one."""
    prices = [
        tenant.said(tenant.send(sent("utility", TEN + n * 25 * HOUR)))[0][1] for n in range(7)
    ]

    assert prices == [30_000] * 3 + [20_000] * 2 + [10_000] * 2
    december = tenant.send(sent("utility", at("2026-12-20 10:00")))
    assert tenant.said(december)[0][1] == 30_000


def test_a_tier_without_a_rate_leaves_all_unrated_and_uncounted() -> None:
    """EV-7: what would be charged by position cannot be, until every tier has its price."""
    rows = [
        {**each, "price": "n/a"} if each["row"] == "utility-3" else each for each in BOOK["rows"]
    ]
    book = parse_book(BOOK | {"rows": rows}, 1, sample("whatsapp-markets"))
    tenant = Tenant(replace(terms_of(), book=book))

    outcome = tenant.send(sent("utility", TEN))

    assert (outcome.status, outcome.parts) == (Status.UNRATED, ())
    assert not tenant.state.counters


def test_a_market_has_tiers_of_its_own(tenant: Tenant) -> None:
    """PR-7: per market and category; all numbers add to the label."""
    for n in range(3):
        tenant.send(sent("utility", TEN + n))
    abroad = tenant.send(sent("utility", TEN + 4, INDIA))
    here = tenant.send(sent("utility", TEN + 5))

    assert (tenant.said(abroad)[0][1], tenant.said(here)[0][1]) == (30_000, 20_000)


def test_a_late_message_behind_a_tier_is_marked(tenant: Tenant) -> None:
    """EV-9: between its time and now a tier was crossed."""
    tenant.top_up("money", "10", starts_at=TEN - 2 * HOUR)
    for n in range(4):
        tenant.send(sent("utility", TEN + n * MINUTE))
    late = tenant.send(sent("utility", TEN - HOUR, LONDON), now=TEN + HOUR)
    behind = tenant.send(sent("utility", TEN - HOUR, "6281100000099"), now=TEN + HOUR)

    assert not late.flags & Flag.LATE, "another market's count"
    assert behind.flags & Flag.LATE


@pytest.mark.parametrize(
    ("before", "units", "expected"),
    [
        (0, 2, [(1, 2)]),
        (2, 2, [(1, 1), (2, 1)]),
        (3, 1, [(2, 1)]),
        (0, 10, [(1, 3), (2, 2), (3, 5)]),
        (5, 1, [(3, 1)]),
    ],
)
def test_units_fall_into_tiers(before: int, units: int, expected: list[tuple[int, int]]) -> None:
    """PR-7: at a tier's last unit and at the next one's first."""
    schedule = (
        TierPrice(1, 1, Tier(above=0, up_to=3)),
        TierPrice(2, 1, Tier(above=3, up_to=5)),
        TierPrice(3, 1, Tier(above=5, up_to=None)),
    )
    found = [
        (share.price.rule_id, share.units // UNIT)
        for share in shares(schedule, before * UNIT, units * UNIT)
    ]

    assert found == expected


@pytest.mark.parametrize(
    ("contact", "since", "amount"),
    [
        (INDIA, None, 20_000),
        (INDIA, "2026-11-05", 90_000),
        (INDIA, "2026-11-06", 20_000),
        (JAKARTA, "2026-01-01", 20_000),
        (LONDON, "2026-01-01", 20_000),
    ],
)
def test_international_authentication(contact: str, since: str | None, amount: int) -> None:
    """PR-5: where the recipient's country has a rate and is not the tenant's, from its date on."""
    days = {} if since is None else {
        market: date_number(date.fromisoformat(since)) for market in ("IN", "ID", "GB")
    }  # fmt: skip
    tenant = Tenant(replace(terms_of(), international=days))

    outcome = tenant.send(sent("authentication", TEN, contact))

    assert tenant.said(outcome) == [("money", amount)]


@pytest.mark.parametrize("category", ["service", "utility", "marketing"])
def test_a_group_is_charged_per_member_reached(tenant: Tenant, category: str) -> None:
    """PR-8: one price for every category, replies included; it opens no conversation."""
    group = "\x1fgroup-1"
    tenant.send(of(Channel.WHATSAPP, Type.MESSAGE_RECEIVED, TEN - HOUR, party=group))
    outcomes = [
        tenant.send(sent(category, TEN + n, contact, party=group))
        for n, contact in enumerate((JAKARTA, INDIA))
    ]

    assert [tenant.said(outcome) for outcome in outcomes] == [[("money", 25_000)]] * 2
    assert not any(outcome.flags & Flag.CONVERSATION_OPENED for outcome in outcomes)


def test_without_a_group_row_each_member_is_a_single_message() -> None:
    """PR-8."""
    rows = [each for each in BOOK["rows"] if each["row"] != "group"]
    book = parse_book(BOOK | {"rows": rows}, 1, sample("whatsapp-markets"))
    tenant = Tenant(replace(terms_of(), book=book))

    outcome = tenant.send(sent("marketing", TEN, party="\x1fgroup-1"))

    assert tenant.said(outcome) == [("money", 40_000)]


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"tier": {"above": 3, "up_to": 3}}, "tier.up_to"),
        ({"increments": {"first": 60, "step": 0}}, "increments.step"),
        ({"increments": {"first": 60, "step": 6}}, "increments"),
        ({"group": "yes"}, "group"),
    ],
)
def test_what_a_row_may_not_say(more: dict[str, object], problem: str) -> None:
    wrong = row("wrong", "sms", "per_segment", "1", **more)

    with pytest.raises(BookError) as refused:
        parse_book(BOOK | {"rows": [wrong]}, 1, sample("whatsapp-markets"))

    assert problem in str(refused.value)
