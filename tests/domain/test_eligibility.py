"""The day of an international rate: what it concerns, and conversations that are priced by it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from domain.book_documents import parse_book
from domain.eligibility import NEVER, charged_otherwise
from domain.money import micros
from domain.periods import HOUR, date_number, zone
from tests.domain.spine import Tenant, at, fact, sample, terms_of


def day(text: str | None) -> int | None:
    return None if text is None else date_number(date.fromisoformat(text))


@pytest.mark.parametrize(
    ("before", "after", "start", "end"),
    [
        (None, "2026-11-10", "2026-11-09 22:00", None),
        ("2026-11-10", None, "2026-11-09 22:00", None),
        ("2026-11-10", "2026-11-12", "2026-11-09 22:00", "2026-11-12 00:00"),
        ("2026-11-12", "2026-11-10", "2026-11-09 22:00", "2026-11-12 00:00"),
    ],
)
def test_what_another_day_concerns(
    before: str | None, after: str | None, start: str, end: str | None
) -> None:
    """PR-5, TZ-5: from the earliest midnight to the latest; Jayapura is two hours ahead."""
    found = charged_otherwise(terms_of(), day(before), day(after))

    assert found == (at(start), NEVER if end is None else at(end))


def test_the_same_day_concerns_nothing() -> None:
    terms = terms_of()

    assert charged_otherwise(terms, None, None) is None
    assert charged_otherwise(terms, day("2026-11-10"), day("2026-11-10")) is None


def test_without_a_number_the_day_is_the_tenant_s() -> None:
    terms = replace(terms_of(), numbers={}, zone=zone("America/Bogota"))

    found = charged_otherwise(terms, None, day("2026-11-10"))

    assert found == (at("2026-11-10 12:00"), NEVER)


@pytest.mark.parametrize(
    ("since", "country", "amount"),
    [
        (None, "SG", "461.98"),
        ("2024-08-09", "SG", "461.98"),
        ("2024-08-08", "SG", "1800"),
        ("2024-08-08", "ID", "461.98"),
    ],
)
def test_a_conversation_of_the_category_has_its_international_rate_too(
    since: str | None, country: str, amount: str
) -> None:
    """PR-5, CO-3: per conversation as per message; what is inside it is covered."""
    document = sample("book-whatsapp-idr")
    row = next(each for each in document["rows"] if each["row"] == "authentication-conversation")
    abroad = row | {
        "row": "authentication-abroad", "category": "authentication_international",
        "valid_from": date(2024, 6, 1), "price": "1800",
    }  # fmt: skip
    document["rows"].append(abroad)
    book = parse_book(document, 1, sample("whatsapp-markets"))
    found = day(since)
    days = {} if found is None else {"ID": found}
    tenant = Tenant(replace(
        terms_of("whatsapp-idr", book=book), country=country, international=days,
    ))  # fmt: skip
    ten = at("2024-08-08 10:00")

    first = tenant.send(fact(ten, category="authentication"))
    second = tenant.send(fact(ten + HOUR, category="authentication"))

    assert tenant.said(first) == [("whatsapp", micros(amount))]
    assert tenant.said(second) == [("whatsapp", 0)]
