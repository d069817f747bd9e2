"""Invoices to be printed: small worlds of figures, drawn up and issued as the real ones are."""

from __future__ import annotations

from domain.credit_notes import credit_note
from domain.invoices import Invoice, Line, LineKind, Party, drawn_up, issued
from domain.money import MICRO, shown
from domain.taxes import NONE, Tax, Taxes

#: 2026-12-01, and November 2026.
DAY = 20_788
NOVEMBER = (20_758, 20_787)

PPN = Taxes(
    "ppn",
    {
        "ID": (
            Tax(
                country="ID", name="PPN", rate=12 * MICRO, numerator=11, denominator=12,
                inclusive=False, valid_from=0,
            ),
        )
    },
)  # fmt: skip
IVA = Taxes(
    "iva",
    {
        "ES": (
            Tax(
                country="ES", name="IVA", rate=21 * MICRO, numerator=1, denominator=1,
                inclusive=True, valid_from=0,
            ),
        )
    },
)  # fmt: skip

ISSUER = Party(
    name="PT Kuota Pesan Nusantara", lines=("Jl. Jenderal Sudirman Kav. 52-53", "Jakarta 12190"),
    country="ID", tax_id="01.234.567.8-901.000", email="billing@kuota.example", key="kuota",
)  # fmt: skip


def buyer(name: str = "PT Toko Maju", country: str = "ID") -> Party:
    return Party(
        name=name, lines=("Jl. Asia Afrika 8", "Bandung 40111"), country=country,
        tax_id="02.111.222.3-444.000", email="finance@toko.example", key="toko-maju",
    )  # fmt: skip


def line(
    description: str,
    exact: int,
    currency: str = "IDR",
    *,
    kind: LineKind = LineKind.RECURRING,
    quantity: str = "1",
    unit: str = "month",
    price: str | None = None,
    rule: str | None = None,
    period: tuple[int, int] | None = NOVEMBER,
) -> Line:
    """A line that comes to these micros exactly."""
    covered = kind is LineKind.COVERED
    return Line(
        kind=kind, description=description, balance=None, category=None, market=None, rule=rule,
        quantity=quantity, unit=unit, price=price, exact=exact,
        amount=0 if covered else shown(exact, currency), period=period,
    )  # fmt: skip


def invoice(
    *lines: Line,
    currency: str = "IDR",
    locale: str = "id",
    zone: str = "Asia/Jakarta",
    taxes: Taxes = NONE,
    to: Party | None = None,
    note: str = "",
    terms: int = 14,
) -> Invoice:
    """These lines of November 2026 as an issued invoice."""
    draft = drawn_up(
        lines, issuer=ISSUER, buyer=to or buyer(), currency=currency, locale=locale, zone=zone,
        taxes=taxes, day=DAY, period=NOVEMBER, note=note,
    )  # fmt: skip
    return issued(draft, "INV", 1, DAY, terms)


def month(locale: str = "id") -> Invoice:
    """What a month of a shop in Bandung comes to, with what it paid before."""
    return invoice(
        line("Omnichannel", 1_500_000 * MICRO, quantity="5", unit="seat", price="300000"),
        line(
            "Extra seat", 150_000 * MICRO, quantity="0.5", unit="seat", price="300000",
            period=(20_773, 20_787),
        ),
        line("Onboarding", 2_500_000 * MICRO, kind=LineKind.SETUP, unit="fee", price="2500000"),
        line(
            "whatsapp marketing ID", 562_876_800_000, kind=LineKind.USAGE, quantity="960",
            unit="message", price="586.33", rule="wa-id@2026-10-01/marketing-id",
        ),
        line(
            "conversations service", 500 * 500 * MICRO, kind=LineKind.COVERED, quantity="500",
            unit="conversation", price="500", rule="wa-id@2026-10-01/service",
        ),
        taxes=PPN,
        locale=locale,
        note="Transfer to BCA 123-456-7890.\nThank you.",
    )  # fmt: skip


def returned(of: Invoice) -> Invoice:
    """All that an invoice's first line asks for, given back."""
    note = credit_note(of, (), {0: of.lines[0].amount}, reason="One seat was never used.")
    return issued(note, "CN", 1, DAY)
