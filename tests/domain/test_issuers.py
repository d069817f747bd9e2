"""Issuers and billing profiles as documents: what each may say, and all that is wrong with one."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from typing import Any

import pytest

from domain.billing_profiles import (
    UNSAID,
    Issue,
    Profile,
    ProfileError,
    parse_profile,
    written,
)
from domain.documents import Fault
from domain.issuers import Issuer, IssuerError, named_after_plan, parse_issuer, shared_series
from domain.tax_ids import EU, eu_vat_id, misshapen

KUOTA = '''
issuer = "kuota"
about = "Who asks for money"
name = "Kuota GmbH"
lines = ["Weg 1", "10115 Berlin"]
country = "DE"
tax_id = "DE 123456789"
email = "billing@kuota.example"
invoices = "KU"
credit_notes = "KU-CN"
terms_days = 0
pay = """
Bank of Berlin
IBAN DE89 3704 0044 0532 0130 00
"""
e_invoice = true
'''
LEAST = {"issuer": "kuota", "name": "Kuota", "country": "ID"}


def test_an_issuer_says_who_asks_and_how() -> None:
    assert parse_issuer(tomllib.loads(KUOTA)) == Issuer(
        key="kuota", name="Kuota GmbH", lines=("Weg 1", "10115 Berlin"), country="DE",
        tax_id="DE 123456789", email="billing@kuota.example", invoices="KU", credit_notes="KU-CN",
        terms_days=0, pay="Bank of Berlin\nIBAN DE89 3704 0044 0532 0130 00", e_invoice=True,
    )  # fmt: skip


def test_what_an_issuer_does_not_say() -> None:
    """IN-2, IN-3: 14 days, and series of their own for invoices and credit notes."""
    found = parse_issuer(LEAST)
    assert found.series == ("INV", "CN")
    assert (found.terms_days, found.pay, found.e_invoice) == (14, "", False)
    assert (found.lines, found.tax_id, found.email) == ((), None, None)


def test_who_is_named_after_a_plan_numbers_in_series_nobody_else_may_have() -> None:
    found = named_after_plan("Growth", "help@shop.example", "ID")
    assert (found.key, found.lines) == ("", ("help@shop.example",))
    for series in (*found.series, "R"):
        assert wrong({**LEAST, "invoices": series}) == ["invoices"]


def wrong(document: dict[str, Any]) -> list[str]:
    """Where the problems of an issuer's document are."""
    with pytest.raises(IssuerError) as refused:
        parse_issuer(document)
    return [each.path for each in refused.value.problems]


@pytest.mark.parametrize(
    ("given", "places"),
    [
        ({"issuer": "Kuota GmbH"}, ["issuer"]),
        ({"name": ""}, ["name"]),
        ({"name": "two\nlines"}, ["name"]),
        ({"lines": "Weg 1"}, ["lines"]),
        ({"lines": [str(place) for place in range(7)]}, ["lines"]),
        ({"lines": ["same", "same"]}, ["lines[1]"]),
        ({"country": "Germany"}, ["country"]),
        ({"country": "ID", "tax_id": "12345"}, ["tax_id"]),
        ({"country": "DE", "tax_id": "DE12"}, ["tax_id"]),
        ({"email": "nobody"}, ["email"]),
        ({"invoices": "inv"}, ["invoices"]),
        ({"invoices": "A-"}, ["invoices"]),
        ({"invoices": "ABCDEFGHIJKLMNOPQ"}, ["invoices"]),
        ({"invoices": "CN"}, ["credit_notes"]),
        ({"terms_days": -1}, ["terms_days"]),
        ({"terms_days": 366}, ["terms_days"]),
        ({"terms_days": "14"}, ["terms_days"]),
        ({"pay": ""}, ["pay"]),
        ({"pay": "\n".join("1234567")}, ["pay"]),
        ({"pay": "tab\there"}, ["pay"]),
        ({"e_invoice": True}, ["e_invoice"]),
        ({"e_invoice": "yes"}, ["e_invoice"]),
        ({"e_invoice": True, "country": "DE", "tax_id": "1"}, ["tax_id"]),
        ({"sample": True}, ["dated"]),
        ({"colour": "red"}, ["colour"]),
        ({"name": 1, "terms_days": 400, "email": "x"}, ["name", "email", "terms_days"]),
    ],
)  # fmt: skip
def test_all_that_is_wrong_with_an_issuer(given: dict[str, Any], places: list[str]) -> None:
    assert wrong(LEAST | given) == places


def test_what_would_be_right() -> None:
    with pytest.raises(IssuerError) as refused:
        parse_issuer(LEAST | {"tax_id": "12345", "e_invoice": True, "invoices": "R"})
    assert refused.value.problems == (
        Fault(
            "tax_id", "'12345' is no tax id of ID",
            "write the NPWP's 15 or 16 digits, as 01.234.567.8-901.000",
        ),
        Fault(
            "invoices", "'R' is not free",
            "write up to 16 capital letters, digits and hyphens, as INV",
        ),
    )  # fmt: skip


def test_in_3_two_issuers_have_no_series_in_common() -> None:
    """A tenant that both issue to would have a number twice."""
    issuer = parse_issuer(LEAST)
    assert shared_series(issuer, [("INV", "kuota"), ("AB", "other")]) == []
    assert shared_series(issuer, [("CN", "other"), ("INV", "kuota")]) == [
        Fault("credit_notes", "'CN' is a series of the issuer other", "write one of its own, as "
              "KUOTA-CN")
    ]  # fmt: skip


PROFILE = {
    "name": "PT Toko Maju", "lines": ["Jl. Asia Afrika 8", "Bandung 40111"], "country": "ID",
    "tax_id": "02.111.222.3-444.000", "email": "finance@toko.example", "reference": "PO 1",
    "issuer": "kuota", "issue": "review", "terms_days": 30,
}  # fmt: skip


def test_a_profile_is_written_as_it_is_read() -> None:
    found = parse_profile(PROFILE, issuers=["kuota"], country="ID")
    assert found == Profile(
        name="PT Toko Maju", lines=("Jl. Asia Afrika 8", "Bandung 40111"), country="ID",
        tax_id="02.111.222.3-444.000", email="finance@toko.example", reference="PO 1",
        issuer="kuota", issue=Issue.REVIEW, terms_days=30,
    )  # fmt: skip
    assert written(found) == PROFILE
    assert parse_profile(written(found)) == found
    assert (parse_profile({}), written(UNSAID)) == (UNSAID, {})


@pytest.mark.parametrize(
    ("given", "places"),
    [
        ({"name": ""}, ["name"]),
        ({"lines": ["a", "a"]}, ["lines[1]"]),
        ({"country": "id"}, ["country"]),
        ({"tax_id": "1"}, ["tax_id"]),
        ({"country": "DE", "tax_id": "02.111.222.3-444.000"}, ["tax_id"]),
        ({"email": "a b@c"}, ["email"]),
        ({"reference": "x" * 301}, ["reference"]),
        ({"issuer": "kuotaa"}, ["issuer"]),
        ({"issue": "REVIEW"}, ["issue"]),
        ({"terms_days": 366}, ["terms_days"]),
        ({"invoicing": True}, ["invoicing"]),
        ({"name": 1, "issuer": "x", "issue": "y"}, ["issuer", "name", "issue"]),
    ],
)
def test_all_that_is_wrong_with_a_profile(given: dict[str, Any], places: list[str]) -> None:
    with pytest.raises(ProfileError) as refused:
        parse_profile(given, issuers=["kuota"], country="ID")
    assert [each.path for each in refused.value.problems] == places


@pytest.mark.parametrize("issuers", [[], ["default", "kuota"]])
def test_an_issuer_that_is_not_published(issuers: Collection[str]) -> None:
    with pytest.raises(ProfileError) as refused:
        parse_profile({"issuer": "kuot"}, issuers=issuers)
    (problem,) = refused.value.problems
    right = "did you mean 'kuota'?" if issuers else "publish one, or leave it out"
    assert problem == Fault("issuer", "'kuot' is not published", right)


def test_what_was_kept_is_read_whatever_is_checked_by_now() -> None:
    assert parse_profile({"tax_id": "1", "issuer": "gone"}).issuer == "gone"


@pytest.mark.parametrize("prefix", EU)
def test_every_sample_of_an_eu_tax_id_fits_its_own_shape(prefix: str) -> None:
    sample = EU[prefix][1]
    assert eu_vat_id(sample) == sample
    assert eu_vat_id(sample + "99999") is None


@pytest.mark.parametrize(
    ("country", "tax_id", "fits"),
    [
        ("DE", "DE123456789", True),
        ("DE", "de123456789", False),
        ("DE", "FR12345678901", True),  # who sells in several countries has several
        ("GR", "EL123456789", True),
        ("GR", "GR123456789", False),
        ("AT", "ATU12345678", True),
        ("NL", "NL 123.456.789.B01", True),
        ("ID", "01.234.567.8-901.000", True),
        ("ID", "0123456789012345", True),
        ("ID", "01234567890123", False),
        ("ID", "٠١٢٣٤٥٦٧٨٩٠١٢٣٤", False),
        ("US", "whatever it is", True),
        ("", "anything", True),
    ],
)
def test_tax_ids_by_country(country: str, tax_id: str, fits: bool) -> None:
    assert (misshapen(country, tax_id) is None) == fits
