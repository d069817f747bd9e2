"""Invoices as PDF: what they say in each language, the same bytes each time, whatever they say."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from api.documents import fonts, printing
from api.documents.fonts import printable
from api.documents.page import page
from api.documents.printing import pdf, pictures
from domain.invoices import Invoice, LineKind
from domain.money import MICRO
from tests.api.documents import goldens
from tests.api.documents.invoices import IVA, PPN, buyer, invoice, line, month, returned

MARKUP = [
    '#strong[bold] #import "x.typ" #read("/etc/passwd") #sys.version',
    "*a* _b_ `c` $x^2$ // d /* e */ = f - g + h",
    "@ref <label> \\u{41} ~ -- --- ... \\",
    "</table><script>alert(1)</script> {page} {{amount}} %s",
    '"}], "title": "Paid", "total": "0", "lines": [{"',
]


def pages(of: Invoice) -> list[str]:
    """The text of each page as a reader of PDF finds it, spaces of any width as one."""
    return [
        "\n".join(" ".join(told.split()) for told in each.extract_text().splitlines())
        for each in PdfReader(io.BytesIO(pdf(of))).pages
    ]


def text(of: Invoice) -> str:
    return "\n".join(pages(of))


@pytest.mark.parametrize(
    ("locale", "golden"),
    [("en", goldens.ENGLISH), ("id", goldens.INDONESIAN), ("es", goldens.SPANISH)],
)
def test_a_month_in_each_language(locale: str, golden: str) -> None:
    """IN-2, IN-5, IN-6, IN-8: days, exact beside rounded, the tax's base, covered at 0."""
    assert text(month(locale)) == golden.rstrip("\n")


def test_in_4_a_credit_note_says_what_it_is_and_of_which_invoice() -> None:
    assert text(returned(month("en"))) == goldens.CREDIT_NOTE.rstrip("\n")


def test_in_3_a_draft_has_no_number_and_asks_for_nothing() -> None:
    said = text(replace(month("en"), number=None, issued_on=None, due_on=None))
    assert said.startswith("Draft of an invoice\n")
    assert "Not issued: nothing is asked for yet.\n" in said
    assert "INV" not in said
    assert "Due on" not in said


def test_in_6_a_tax_that_prices_have_in_them_is_told_so() -> None:
    of = invoice(
        line("Plan", 1_234_560_000, "EUR", price="1234.56"), currency="EUR", locale="es",
        taxes=IVA, to=buyer("Tienda Ñandú", "ES"), zone="Europe/Madrid",
    )  # fmt: skip
    assert (
        "Antes de impuestos 1.020,30 €\nIVA 21 %, incluido en los precios 214,26 €\n"
        "Total 1.234,56 €\n"
    ) in text(of)


def test_in_2_what_comes_to_nothing_is_not_asked_for() -> None:
    covered = line("conversations", 5 * MICRO, kind=LineKind.COVERED)
    said = text(invoice(covered, locale="en", to=buyer(country="SG")))
    assert "Nothing to pay IDR 0\n" in said
    assert "No tax is asked for in Singapore." in said


@pytest.mark.parametrize(
    ("currency", "locale", "exact", "asked", "told"),
    [
        ("CLP", "es", 16_952_064_000, "16.952", "exacto 16.952,064"),
        ("IDR", "id", 586_330_000, "586", "persisnya 586,33"),
        ("INR", "en-IN", 123_456_785_000, "1,23,456.79", "exactly 1,23,456.785"),
        ("USD", "en", 1_500_000, "1.50", ""),
        ("KWD", "en", 12_345_600, "12.346", "exactly 12.3456"),
    ],
)
def test_in_5_amounts_have_the_digits_of_their_currency(
    currency: str, locale: str, exact: int, asked: str, told: str
) -> None:
    row = page(invoice(line("x", exact, currency), currency=currency, locale=locale))["lines"]
    assert (row["rows"][0]["amount"], row["rows"][0]["exactly"]) == (asked, told)


def test_a_language_without_words_is_told_in_english() -> None:
    said = page(month("pt-BR"))
    assert (said["language"], said["due"]) == (
        "en",
        ["To pay by December 15, 2026", "IDR\xa05,231,293"],
    )


def test_the_file_is_pdf_a_3_with_tags_and_dated_by_the_invoice_alone() -> None:
    root = PdfReader(io.BytesIO(pdf(month("id")))).trailer["/Root"]
    said = root["/Metadata"].get_data().decode()
    assert "<pdfaid:part>3</pdfaid:part>" in said
    assert "<pdfaid:conformance>A</pdfaid:conformance>" in said
    assert "<pdfuaid:part>1</pdfuaid:part>" in said
    assert "<xmp:CreateDate>2026-12-01T00:00:00+00:00</xmp:CreateDate>" in said
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "id"


def test_the_same_invoice_is_the_same_bytes_in_any_process() -> None:
    code = (
        "import sys\nfrom hashlib import sha256\nfrom api.documents.printing import pdf\n"
        "from tests.api.documents.invoices import month\n"
        "print(sha256(pdf(month())).hexdigest())"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, timeout=60, text=True,
        env={"PYTHONHASHSEED": "7", "TZ": "Asia/Kathmandu", "SOURCE_DATE_EPOCH": "1"},
    )  # fmt: skip
    assert pdf(month()) == pdf(month())
    assert other.stdout.strip() == sha256(pdf(month())).hexdigest()


@pytest.mark.parametrize("written", MARKUP)
def test_markup_in_a_name_stays_a_name(written: str) -> None:
    of = invoice(line(written, MICRO, unit=written), locale="en", to=buyer(written), note=written)
    said = text(replace(of, number=written[:30]))
    flat = "".join(said.split())
    assert flat.count("".join(written.split())) >= 3
    assert "Page 1 of 1" in said
    assert "Total IDR 1" in said


def test_a_name_turns_nothing_round_that_stands_beside_it() -> None:
    said = text(invoice(line("\u202eevil", MICRO), locale="en"))
    assert "[U+202E]evil 1 month 1\n" in said
    assert "is given by its Unicode number" in said


@pytest.mark.parametrize("name", ["张三的客户服务", "Компания", "Εταιρεία", "한국어", "かな"])
def test_names_in_other_scripts_can_be_read_and_copied(name: str) -> None:
    said = text(invoice(line(name, MICRO), locale="en", to=buyer(name)))
    assert said.count(name) == 2
    assert "U+" not in said


def test_long_names_are_cut_where_their_column_ends_and_copied_whole() -> None:
    name = "".join(chr(ord("a") + place % 26) for place in range(60))
    of = invoice(line(name, MICRO, unit=name), locale="en", to=buyer(name))
    said = pages(of)
    assert len(said) == 1
    assert max(map(len, said[0].splitlines())) < 60
    assert "".join(said[0].split()).count(name) == 3


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=20))
def test_whatever_was_written_is_printed(written: list[str]) -> None:
    of = invoice(*(line(each, MICRO) for each in written), note="\n".join(written))
    assert pdf(replace(of, buyer=buyer(written[0]))).startswith(b"%PDF-1.7")


def test_whatever_stands_above_a_letter_is_printed() -> None:
    """A letter of one font and what stands above it of another are in no one font."""
    bases = [letter for letter in sorted(fonts.letters()) if not printable(letter)[1]][::97]
    written = ["".join(f"{base}\u0318\u064e\u0e35" for base in bases[at : at + 50])
               for at in range(0, len(bases), 50)]  # fmt: skip
    assert pdf(invoice(*(line(each, MICRO) for each in written))).startswith(b"%PDF-1.7")


def test_five_hundred_lines_stand_under_a_head_on_every_page() -> None:
    lines = [
        line(
            f"whatsapp marketing {place}", place * 586_330_000, kind=LineKind.USAGE,
            quantity=str(place), unit="message", price="586.33", rule="wa-id@2026-10-01/marketing",
        )
        for place in range(1, 501)
    ]  # fmt: skip
    said = pages(invoice(*lines, taxes=PPN))
    assert 10 <= len(said) <= 20
    for place, each in enumerate(said, 1):
        assert "Uraian Jumlah Satuan Harga Nilai (IDR)" in each
        assert each.endswith(f"Faktur INV-2026-000001 Halaman {place} dari {len(said)}")
    whole = "\n".join(said)
    assert all(f"whatsapp marketing {place}\n" in whole for place in range(1, 501))
    assert "Total Rp 81.515.997" in said[-1]


def test_its_pages_as_pictures() -> None:
    told = pictures(month("es"))
    assert len(told) == 1
    assert told[0].startswith(b"\x89PNG")
    assert int.from_bytes(told[0][16:20], "big") == 794  # an A4 page at 96 dots an inch


def test_a_font_that_is_missing_is_said_and_no_text_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(fonts.FAMILIES, "Noto Nowhere", ("api.documents", "nowhere.ttf"))
    with pytest.raises(RuntimeError, match="Noto Nowhere"):
        printing._fonts.__wrapped__()
