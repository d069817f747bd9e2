"""E-invoices: EN 16931 by the schematrons of Factur-X, in PDFs that say so, or none and why."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from api.documents import einvoice
from api.documents.embedding import declared
from api.documents.printing import pdf
from domain.credit_notes import credit_note
from domain.invoices import Invoice, Line, LineKind, Party, drawn_up, issued
from domain.money import MICRO
from domain.problems import Problem
from domain.taxes import NONE, Tax, Taxes
from tests.api.documents.invoices import DAY, NOVEMBER, line

ISSUER = Party(
    name="Kuota GmbH", lines=("Weg 1", "10115 Berlin"), country="DE", tax_id="DE 123456789",
    email="billing@kuota.example", key="kuota", e_invoice=True,
)  # fmt: skip
BUYER = Party(
    name="Läden & Söhne <AG>", lines=("Hof 2", "Stiege 3", "1. Stock", "80331 München"),
    country="DE", tax_id="DE987654321", email="finance@laden.example", key="laden",
    reference="PO 4711",
)  # fmt: skip
EUR: Final = "EUR"


def vat(
    country: str = "DE",
    *,
    percent: int = 19,
    base: tuple[int, int] = (1, 1),
    inclusive: bool = False,
) -> Tax:
    return Tax(
        country=country, name="USt", rate=percent * MICRO, numerator=base[0], denominator=base[1],
        inclusive=inclusive, valid_from=0,
    )  # fmt: skip


def invoice(
    *lines: Line,
    taxes: tuple[Tax, ...] = (vat(),),
    issuer: Party = ISSUER,
    buyer: Party = BUYER,
    currency: str = EUR,
    locale: str = "en",
) -> Invoice:
    draft = drawn_up(
        lines, issuer=issuer, buyer=buyer, currency=currency, locale=locale, zone="Europe/Berlin",
        taxes=Taxes("vat", {taxes[0].country: taxes}) if taxes else NONE, day=DAY,
        period=NOVEMBER, note="IBAN DE89 3704 0044 0532 0130 00\nThank you.",
    )  # fmt: skip
    return issued(draft, "INV", 1, DAY)


def month() -> Invoice:
    """Seats, usage that is rounded, what was paid before, and what is given for another month."""
    return invoice(
        line("Seats", 100 * MICRO, EUR, quantity="4", unit="seat", price="25"),
        line(
            "whatsapp marketing", 12_345_678, EUR, kind=LineKind.USAGE, quantity="1000",
            unit="message", price="0.012345678", rule="book@2026-10-01/marketing",
        ),
        line(
            "service", 5 * MICRO, EUR, kind=LineKind.COVERED, quantity="50", unit="message",
            price="0.1",
        ),
        line("October", -3 * MICRO, EUR, kind=LineKind.ADJUSTMENT),
    )  # fmt: skip


def returned(of: Invoice, amount: int) -> Invoice:
    return issued(credit_note(of, (), {0: amount}, reason="A seat too many."), "CN", 1, DAY)


Checked = Callable[[bytes], list[str]]


@pytest.fixture(scope="module")
def checked() -> Iterator[Checked]:
    """The names of the rules that an e-invoice breaks, in order."""
    import facturx
    from saxonche import PySaxonProcessor

    folder = Path(facturx.__file__).parent / "xsd_and_schematron" / "facturx-en16931"
    with PySaxonProcessor(license=False) as processor:
        rules = processor.new_xslt30_processor().compile_stylesheet(
            stylesheet_file=str(folder / "FACTUR-X_EN16931.xslt")
        )

        def check(xml: bytes) -> list[str]:
            node = processor.parse_xml(xml_text=xml.decode())
            report = rules.transform_to_string(xdm_node=node)
            broken = re.findall(r"<svrl:failed-assert\b([^>]*)>", report)
            broken += re.findall(r"<svrl:successful-report\b([^>]*)>", report)
            named = [re.search(r'\bid="([^"]+)"', each) for each in broken]
            found = [name[1] if name else "unnamed" for name in named]
            # Of services nothing is delivered; the schema wants the element all the same.
            return [name for name in found if name != "PEPPOL-EN16931-R008"]

        yield check


def figures(xml: bytes) -> dict[str, list[str]]:
    """The texts of an e-invoice by the name of what they are in."""
    found: dict[str, list[str]] = {}
    for element in ElementTree.fromstring(xml).iter():
        if element.text and element.text.strip():
            found.setdefault(element.tag.rpartition("}")[2], []).append(element.text)
    return found


def test_a_month_as_en_16931(checked: Checked) -> None:
    xml = einvoice.xml(month())
    assert checked(xml) == []
    found = figures(xml)
    assert found["ID"] == [
        "urn:cen.eu:en16931:2017", "INV-2026-000001", "DE123456789", "DE987654321",
    ]  # fmt: skip
    assert found["TypeCode"] == ["380", *["VAT"] * 5]
    assert found["DateTimeString"][0] == "20261201"
    assert found["DateTimeString"][-1] == "20261215"
    assert found["Name"] == [
        "Seats", "whatsapp marketing", "service", "October", "Kuota GmbH", "Läden & Söhne <AG>",
    ]  # fmt: skip
    assert found["BilledQuantity"] == ["4", "1000", "50", "-1"]
    assert found["ChargeAmount"] == ["25", "0.012345678", "0", "3"]
    assert found["LineTotalAmount"] == ["100", "12.35", "0", "-3", "109.35"]
    assert found["TaxBasisTotalAmount"] == ["109.35"]
    assert found["CalculatedAmount"] == found["TaxTotalAmount"] == ["20.78"]
    assert found["GrandTotalAmount"] == found["DuePayableAmount"] == ["130.13"]
    assert found["BuyerReference"] == ["PO 4711"]
    assert found["LineThree"] == ["1. Stock, 80331 München"]
    assert found["URIID"] == ["billing@kuota.example", "finance@laden.example"]
    assert found["Content"] == [
        "IBAN DE89 3704 0044 0532 0130 00", "Thank you.", "book@2026-10-01/marketing",
        "Paid before: nothing to pay",
    ]  # fmt: skip


def test_in_4_a_credit_note_names_its_invoice(checked: Checked) -> None:
    xml = einvoice.xml(returned(month(), 25 * MICRO))
    assert checked(xml) == []
    found = figures(xml)
    assert found["TypeCode"][0] == "381"
    assert found["ID"][1] == "CN-2026-000001"
    assert found["IssuerAssignedID"] == ["INV-2026-000001"]
    assert found["GrandTotalAmount"] == ["29.75"]
    assert "DueDateDateTime" not in found


@pytest.mark.parametrize(
    ("exact", "currency", "told"),
    [
        (1_000 * MICRO, "JPY", ["1000", "190", "1190"]),
        (1_234_567_890, "USD", ["1234.57", "234.57", "1469.14"]),
        (100 * MICRO, "KWD", ["100", "19", "119"]),
        (1_230_000, "KWD", "more than 2 decimals"),
        (1_234 * MICRO, "JPY", "EN 16931 makes it 234.46 JPY"),
    ],
)
def test_in_5_currencies_with_other_digits(
    exact: int, currency: str, told: list[str] | str, checked: Checked
) -> None:
    of = invoice(line("Seats", exact, currency), currency=currency)
    if isinstance(told, str):
        assert told in (einvoice.refusal(of) or "")
        return
    xml = einvoice.xml(of)
    assert checked(xml) == []
    found = figures(xml)
    names = ("TaxBasisTotalAmount", "TaxTotalAmount", "GrandTotalAmount")
    assert [found[name][0] for name in names] == told


def test_one_for_nothing_and_one_with_a_name_that_no_xml_has(checked: Checked) -> None:
    covered = line("\x00 \ud800 \ufffe", MICRO, EUR, kind=LineKind.COVERED)
    xml = einvoice.xml(invoice(covered))
    assert checked(xml) == []
    assert figures(xml)["GrandTotalAmount"] == ["0"]
    assert figures(xml)["Name"][0] == "\ufffd \ufffd \ufffd"


KINDS = (LineKind.RECURRING, LineKind.USAGE, LineKind.COVERED, LineKind.ADJUSTMENT)


@given(
    parts=st.lists(
        st.tuples(
            st.sampled_from(KINDS),
            st.integers(-(10**9), 10**11),
            st.sampled_from(("1", "0", "0.333333", "12345.678901")),
            st.sampled_from((None, "0", "25", "0.012345678912", "-3")),
        ),
        min_size=1,
        max_size=4,
    ),
    percent=st.sampled_from((0, 5, 7, 19, 27)),
)
@settings(max_examples=60, deadline=None)
def test_whatever_comes_to_something_is_said_right(
    checked: Checked, parts: list[tuple[LineKind, int, str, str | None]], percent: int
) -> None:
    """IN-6: and what is given back of its first line, cent by cent, is said right or not at all."""
    lines = [
        line(f"line {place}", exact, EUR, kind=kind, quantity=quantity, price=price)
        for place, (kind, exact, quantity, price) in enumerate(parts)
    ]
    if sum(each.amount for each in lines) < 0 or not percent:
        return
    of = invoice(*lines, taxes=(vat(percent=percent),))
    assert checked(einvoice.xml(of)) == []
    first = of.lines[0].amount // 20_000 * 10_000
    if first > 0 and of.total > first * 2:
        note = returned(of, first)
        if einvoice.refusal(note) is None:
            assert checked(einvoice.xml(note)) == []


def test_a_broken_one_is_refused_by_the_rules(checked: Checked) -> None:
    """What says that ours are right says of wrong ones that they are wrong."""
    xml = einvoice.xml(month())

    def broken(old: str, new: str) -> list[str]:
        assert old.encode() in xml
        return checked(xml.replace(old.encode(), new.encode()))

    assert "BR-CO-15" in broken(">130.13</ram:GrandTotal", ">130.14</ram:GrandTotal")
    assert "BR-CO-10" in broken(">12.35</ram:LineTotal", ">12.34</ram:LineTotal")
    assert "BR-S-08" in broken(">109.35</ram:BasisAmount", ">109.34</ram:BasisAmount")
    assert "BR-CO-17" in broken(">19</ram:RateApplicable", ">7</ram:RateApplicable")
    assert "BR-02" in broken("<ram:ID>INV-2026-000001</ram:ID>", "")
    assert "BR-09" in broken("<ram:CountryID>DE</ram:CountryID>", "")


@pytest.mark.parametrize(
    ("of", "why"),
    [
        (replace(month(), issuer=replace(ISSUER, e_invoice=False)), "does not send e-invoices"),
        (replace(month(), issuer=replace(ISSUER, tax_id="12/345/67890")), "has no id for value"),
        (replace(month(), number=None), "is a draft"),
        (invoice(line("a", MICRO, EUR), taxes=()), "by which rule"),
        (invoice(line("a", MICRO, EUR), taxes=(vat(), replace(vat(), name="B"))), "several taxes"),
        (invoice(line("a", MICRO, EUR), taxes=(vat(base=(11, 12)),)), "a part of the price"),
        (invoice(line("a", MICRO, EUR), taxes=(vat(inclusive=True),)), "prices have USt in them"),
        (
            invoice(
                line("a", MICRO, EUR), taxes=(vat("ID"),), buyer=replace(BUYER, country="ID")
            ),
            "USt of ID is no value added tax",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_said_has_no_xml_and_a_reason(of: Invoice, why: str) -> None:
    assert why in (einvoice.refusal(of) or "")
    with pytest.raises(Problem, match="there is no e-invoice of this document"):
        einvoice.xml(of)
    assert list(PdfReader(io.BytesIO(pdf(of))).attachments) == []


def test_the_pdf_has_it_inside_and_stays_what_it_was() -> None:
    """PDF/A-3a with tags, and words that programs look for beside those that were there."""
    of = month()
    file = PdfReader(io.BytesIO(pdf(of)), strict=True)
    assert {name: each[0] for name, each in file.attachments.items()} == {
        "factur-x.xml": einvoice.xml(of)
    }
    root = file.root_object
    assert [each.get_object()["/AFRelationship"] for each in root["/AF"]] == ["/Alternative"]
    assert root["/MarkInfo"]["/Marked"]
    told = root["/Metadata"].get_object().get_data()
    ElementTree.fromstring(told)
    assert re.findall(rb"<fx:(\w+)>([^<]+)<", told) == [
        (b"DocumentType", b"INVOICE"), (b"DocumentFileName", b"factur-x.xml"),
        (b"Version", b"1.0"), (b"ConformanceLevel", b"EN 16931"),
    ]  # fmt: skip
    assert b"<pdfaid:part>3</pdfaid:part><pdfaid:conformance>A</pdfaid:conformance>" in told
    assert b"<pdfuaid:part>1</pdfuaid:part>" in told
    assert told.count(b"<pdfaExtension:schemas>") == 1
    assert told.count(b"factur-x:pdfa:CrossIndustryDocument") == 2
    page = file.pages[0].extract_text()
    assert "€130.13" in page
    assert "Your reference PO 4711" in page


def test_programs_find_it() -> None:
    from facturx import get_facturx_xml_from_pdf, xml_check_xsd

    name, xml = get_facturx_xml_from_pdf(pdf(month()), check_xsd=True)
    assert (name, xml) == ("factur-x.xml", einvoice.xml(month()))
    assert xml_check_xsd(einvoice.xml(returned(month(), MICRO)))


SCRIPT = """
import hashlib
from api.documents.printing import pdf
from tests.api.documents.test_einvoice import month
print(hashlib.sha256(pdf(month())).hexdigest())
"""


def test_it_is_the_same_bytes_in_any_process() -> None:
    """In other languages, zones and orders of sets, too: there is no clock and no chance in it."""
    other = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[3], timeout=60,
        env={"PYTHONHASHSEED": "7", "TZ": "Asia/Kathmandu", "LC_ALL": "de_DE.ISO-8859-1"},
    )  # fmt: skip
    assert pdf(month()) == pdf(month())
    assert other.stdout.strip() == sha256(pdf(month())).hexdigest()


def test_a_file_that_is_printed_otherwise_is_not_guessed_at() -> None:
    printed = pdf(replace(month(), issuer=replace(ISSUER, e_invoice=False)))
    assert declared(printed).startswith(printed)
    with pytest.raises(ValueError, match="look where metadata stands"):
        declared(printed.replace(b"/Subtype/XML", b"/Subtype/TXT"))
    with pytest.raises(ValueError, match="look at their metadata"):
        declared(printed.replace(b"<pdfaExtension:schemas>", b"<pdfaExtension:schemes>"))
