"""PR-6: where a number is from, beside phonenumbers, and its market, beside a plain loop."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import phonenumbers
import pytest
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType

from api.cloudevents import Item
from api.edge import to_fact
from domain.books import Book
from domain.facts import Fact
from domain.periods import DAY, date_number, moment
from tests.domain.spine import sample, sample_book, terms_of

TYPES = (
    PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE, PhoneNumberType.VOIP,
    PhoneNumberType.TOLL_FREE,
)  # fmt: skip
TRIES = 4
BOOK: Book = sample_book("omnichannel-idr")


def valid_numbers(region: str, chance: random.Random) -> Iterator[PhoneNumber]:
    """A region's example numbers, and others that differ in some of their digits."""
    for kind in TYPES:
        model = phonenumbers.example_number_for_type(region, kind)
        if model is None:
            continue
        yield model
        national = phonenumbers.national_significant_number(model)
        for _ in range(TRIES):
            kept = chance.randrange(len(national))
            rest = "".join(chance.choice("0123456789") for _ in national[kept:])
            number = phonenumbers.parse(f"+{model.country_code}{national[:kept]}{rest}")
            if phonenumbers.is_valid_number(number):
                yield number


def fact_of(written: str) -> Fact:
    data = {"number": "628000000001", "channel": "whatsapp", "contact": written}
    item = Item("1", "test", "message.delivered", moment(0), None, data, b"{}")
    fact = to_fact(item, TERMS, DAY)
    assert isinstance(fact, Fact), (written, fact)
    return fact


TERMS = terms_of()


LISTS: list[dict[str, Any]] = sample("whatsapp-markets")["lists"]
DATES = sorted(date_number(each["valid_from"]) for each in LISTS)
#: (valid from, prefix, market), a later list behind those it changes.
PREFIXES = sorted(
    (date_number(each["valid_from"]), prefix, market)
    for each in LISTS
    for market, prefixes in each["prefixes"].items()
    for prefix in prefixes
)


def market_of(digits: str, date: int) -> str:
    """The longest prefix among all that hold on a date; a later list moves what it names."""
    best, market = "", "other"
    for valid_from, prefix, code in PREFIXES:
        if len(prefix) >= len(best) and digits.startswith(prefix) and valid_from <= date:
            best, market = prefix, code
    return market


@pytest.mark.parametrize("start", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
def test_every_region_s_numbers_are_placed_as_phonenumbers_places_them(start: str) -> None:
    chance = random.Random(start)
    dates = [date + step for date in DATES for step in (-1, 0)]
    regions = sorted(each for each in phonenumbers.SUPPORTED_REGIONS if each[0] == start)
    for region in regions:
        for number in valid_numbers(region, chance):
            written = phonenumbers.format_number(number, PhoneNumberFormat.E164)
            fact = fact_of(phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL))
            assert "+" + fact.address == written
            assert fact.country == phonenumbers.region_code_for_number(number)
            for date in dates:
                found = BOOK.market("whatsapp", fact.address, date)
                assert found == market_of(fact.address, date)


def test_a_head_makes_any_address_its_market_s() -> None:
    """PR-6: what an estimate counts without addresses is priced as addresses would be."""
    for date in DATES:
        for market in [*BOOK.markets.codes, "other"]:
            head = BOOK.markets.head(market, date)
            assert head is not None, market
            for rest in ("", "0", "123456789"):
                assert market_of(head + rest, date) == market
    assert BOOK.markets.head("none", 0) is None
