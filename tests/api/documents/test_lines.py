"""The lines of an invoice as CSV."""

from __future__ import annotations

import csv
import io

import pytest

from api.documents.lines import COLUMNS, lines_csv
from domain.invoices import Invoice, LineKind
from domain.money import MICRO, micros
from tests.api.documents.invoices import invoice, line, month, returned


def rows(of: Invoice) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(lines_csv(of).decode(), newline="")))


def test_in_5_a_line_has_what_it_comes_to_exactly_beside_what_is_asked_for() -> None:
    assert lines_csv(month()).decode().splitlines() == [
        ",".join(COLUMNS),
        "invoice,INV-2026-000001,1,recurring,Omnichannel,,,,,2026-11-01,2026-11-30,"
        "5,seat,300000,1500000,1500000,IDR",
        "invoice,INV-2026-000001,2,recurring,Extra seat,,,,,2026-11-16,2026-11-30,"
        "0.5,seat,300000,150000,150000,IDR",
        "invoice,INV-2026-000001,3,setup,Onboarding,,,,,2026-11-01,2026-11-30,"
        "1,fee,2500000,2500000,2500000,IDR",
        "invoice,INV-2026-000001,4,usage,whatsapp marketing ID,,,,wa-id@2026-10-01/marketing-id,"
        "2026-11-01,2026-11-30,960,message,586.33,562876.8,562877,IDR",
        "invoice,INV-2026-000001,5,covered,conversations service,,,,wa-id@2026-10-01/service,"
        "2026-11-01,2026-11-30,500,conversation,500,250000,0,IDR",
    ]


def test_in_6_amounts_of_all_lines_and_their_taxes_are_the_total() -> None:
    of = month()
    assert sum(micros(row["amount"]) for row in rows(of)) + of.tax == of.total


@pytest.mark.parametrize(
    ("currency", "exact", "amount"),
    [
        ("CLP", 16_952_064_000, "16952"),
        ("USD", 1_005_000, "1.01"),
        ("USD", 1_500_000, "1.50"),
        ("KWD", 12_345_600, "12.346"),
        ("KWD", -1 * MICRO, "-1.000"),
    ],
)
def test_in_5_amounts_have_the_digits_of_their_currency(
    currency: str, exact: int, amount: str
) -> None:
    extra = line("plan", 100 * MICRO, currency)
    kind = LineKind.ADJUSTMENT if exact < 0 else LineKind.USAGE
    row = rows(invoice(extra, line("x", exact, currency, kind=kind), currency=currency))[1]
    assert (row["amount"], micros(row["exact"], signed=True)) == (amount, exact)


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_that_a_spreadsheet_would_run_is_shown(first: str) -> None:
    said = f'{first}HYPERLINK("http://x.example";"pay here")'
    row = rows(invoice(line(said, MICRO, unit=said, rule=said, price=said, quantity=said)))[0]
    assert {row[name] for name in ("description", "unit", "rule", "price", "quantity")} == {
        f"'{said}"
    }


def test_what_people_wrote_comes_back_as_they_wrote_it() -> None:
    said = 'Plan "A", شركة 张三 \U0001f600;\r\nnext'
    file = lines_csv(invoice(line(said, MICRO)))
    assert rows(invoice(line(said, MICRO)))[0]["description"] == said
    assert file.count(b"\r\n") == 3
    assert file.endswith(b"\r\n")


def test_a_credit_note_names_itself() -> None:
    row = rows(returned(month()))[0]
    assert (row["document"], row["number"], row["kind"], row["amount"]) == (
        "credit_note", "CN-2026-000001", "credit", "1500000",
    )  # fmt: skip
