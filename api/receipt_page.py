"""The page of a receipt, to be printed: in the tenant's language, without a script or a file.

Owns its words and its looks. What it says is the receipt's; whatever came from people is escaped.
"""

from __future__ import annotations

import html
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from api.faults import Fault
from api.schema.amount import locale_of, shown
from domain.money import DISPLAY_DIGITS, micros
from domain.periods import moment, zone
from domain.receipts import Receipt, ReceiptLine, TaxLine
from domain.sentences import Language
from persistence import receipts
from persistence.door import Door
from persistence.receipts import Issued
from persistence.tenants import find_by_ids

if TYPE_CHECKING:
    from babel import Locale

#: By language, what stands beside the figures.
WORDS: Final[Mapping[Language, Mapping[str, str]]] = {
    Language.ENGLISH: {
        "receipt": "Receipt",
        "from": "From",
        "to": "To",
        "paid": "Paid",
        "by": "Collected by",
        "reference": "Reference",
        "what": "What",
        "how_much": "Quantity",
        "amount": "Amount",
        "packs": "{packs} × {pack}, {price} each",
        "net": "Before tax",
        "tax": "{name} {rate} %",
        "tax_of": "{name} {rate} % of {base}",
        "included": "{tax}, included in the price",
        "untaxed": "No tax is asked for in {country}.",
        "total": "Total",
        "until": "Valid until {at}.",
        "always": "Does not expire.",
        "taken_back": "The payment was taken back on {at}, and with it what it had added.",
    },
    Language.INDONESIAN: {
        "receipt": "Kuitansi",
        "from": "Dari",
        "to": "Kepada",
        "paid": "Dibayar",
        "by": "Ditagih melalui",
        "reference": "Referensi",
        "what": "Uraian",
        "how_much": "Jumlah",
        "amount": "Harga",
        "packs": "{packs} × {pack}, masing-masing {price}",
        "net": "Sebelum pajak",
        "tax": "{name} {rate} %",
        "tax_of": "{name} {rate} % dari {base}",
        "included": "{tax}, sudah termasuk dalam harga",
        "untaxed": "Tidak ada pajak yang dikenakan di {country}.",
        "total": "Total",
        "until": "Berlaku sampai {at}.",
        "always": "Tidak kedaluwarsa.",
        "taken_back": "Pembayaran ditarik kembali pada {at}, beserta apa yang ditambahkannya.",
    },
    Language.SPANISH: {
        "receipt": "Recibo",
        "from": "De",
        "to": "Para",
        "paid": "Pagado",
        "by": "Cobrado por",
        "reference": "Referencia",
        "what": "Concepto",
        "how_much": "Cantidad",
        "amount": "Importe",
        "packs": "{packs} × {pack}, {price} cada uno",
        "net": "Antes de impuestos",
        "tax": "{name} {rate} %",
        "tax_of": "{name} {rate} % de {base}",
        "included": "{tax}, incluido en el precio",
        "untaxed": "En {country} no se cobra ningún impuesto.",
        "total": "Total",
        "until": "Válido hasta {at}.",
        "always": "No caduca.",
        "taken_back": "El pago se revirtió el {at}, y con él lo que había añadido.",
    },
}

PAGE = """<!doctype html>
<html lang="{language}"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">
<title>{title}</title>
<style>
body {{ font: 11pt/1.5 sans-serif; max-width: 44em; margin: 2em auto; padding: 0 1em }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; padding: .4em 0; border-bottom: 1px solid #ccc; vertical-align: top }}
th:last-child, td:last-child {{ text-align: right; white-space: nowrap }}
dt {{ float: left; clear: left; width: 10em; color: #555 }}
dd {{ margin-left: 10em }}
@page {{ margin: 2cm }}
</style>
<h1>{title}</h1>
<dl>
{facts}
</dl>
<table>
{rows}
</table>
{notes}
</html>
"""


async def page(door: Door, tenant_id: int, payment_key: str) -> AsyncIterator[bytes]:
    """The page of a payment's receipt; GONE where there is none any more."""
    async with door.tenant_tx(tenant_id) as connection:
        issued = await receipts.find(connection, tenant_id, payment_key)
    tenant = (await find_by_ids(door, [tenant_id])).get(tenant_id)
    if issued is None or tenant is None:
        raise Fault("GONE", "this receipt is not here: ask for a new link")
    yield printed(issued, tenant.locale).encode()


def printed(issued: Issued, tag: str) -> str:
    """A receipt in the language of a locale, in English where there are no words in that."""
    spoken = locale_of(tag).language in set(Language)
    tag = tag if spoken else Language.ENGLISH.value
    return _Printing(issued.receipt, tag).page(issued.number, issued.taken_back_at)


class _Printing:
    """How the figures of one receipt are told."""

    def __init__(self, receipt: Receipt, tag: str) -> None:
        self._receipt = receipt
        self._tag = tag
        self._language = Language(locale_of(tag).language)
        self._words = WORDS[self._language]

    def page(self, number: str, taken_back_at: int | None) -> str:
        of, words = self._receipt, self._words
        seller = of.seller.name + (f", {of.seller.contact}" if of.seller.contact else "")
        facts = {
            words["from"]: seller,
            words["to"]: f"{of.buyer.name} ({of.buyer.key}), {self._country()}",
            words["paid"]: self._date(of.paid_at),
            words["by"]: of.provider,
        }
        if of.reference:
            facts[words["reference"]] = of.reference
        rows = [
            _row("th", words["what"], words["how_much"], words["amount"]),
            *(
                _row("td", line.name, self._quantity(line), self._money(line.amount))
                for line in of.lines
            ),
            _row("td", words["net"], "", self._money(of.net)),
            *(_row("td", self._tax(tax), "", self._money(tax.amount)) for tax in of.taxes),
            _row("th", words["total"], "", self._money(of.total)),
        ]
        notes = [self._until()]
        if taken_back_at is not None:
            notes = [words["taken_back"].format(at=self._date(taken_back_at))]
        if not of.taxes:
            notes.append(words["untaxed"].format(country=self._country()))
        return PAGE.format(
            language=self._language.value,
            title=html.escape(f"{words['receipt']} {number}"),
            facts="\n".join(f"<dt>{_safe(name)}<dd>{_safe(said)}" for name, said in facts.items()),
            rows="\n".join(rows),
            notes="\n".join(f"<p>{_safe(note)}</p>" for note in notes),
        )

    def _quantity(self, line: ReceiptLine) -> str:
        told = self._units(line, line.units)
        if line.packs is None or line.pack is None or line.price is None:
            return told
        packs = self._words["packs"].format(
            packs=shown(micros(str(line.packs)), None, self._tag, False),
            pack=self._units(line, line.pack), price=self._price(line.price),
        )  # fmt: skip
        return f"{told} ({packs})"

    def _units(self, line: ReceiptLine, amount: int) -> str:
        return shown(amount, line.unit if line.of_money else None, self._tag, False)

    def _money(self, amount: int) -> str:
        return shown(amount, self._receipt.currency, self._tag, False)

    def _price(self, price: str) -> str:
        """The price of a pack with all its decimals, whatever its currency shows."""
        currency = self._receipt.currency
        decimals = price.partition(".")[2]
        if len(decimals) > DISPLAY_DIGITS[currency]:
            return f"{currency} {price}"
        return self._money(micros(price))

    def _tax(self, tax: TaxLine) -> str:
        rate = shown(micros(tax.rate), None, self._tag, False)
        phrase = self._words["tax" if tax.base == "1" else "tax_of"]
        told = phrase.format(name=tax.name, rate=rate, base=tax.base)
        return self._words["included"].format(tax=told) if tax.inclusive else told

    def _until(self) -> str:
        until = self._receipt.expires_at
        if until is None:
            return self._words["always"]
        return self._words["until"].format(at=self._date(until))

    def _date(self, at: int) -> str:
        from babel.dates import format_datetime

        where = zone(self._receipt.zone)
        local = moment(at) + timedelta(microseconds=where.offset(at))
        told = format_datetime(local.replace(tzinfo=None), "d MMMM y, HH:mm", locale=self._locale)
        return f"{told} ({where.name_at(at)})"

    def _country(self) -> str:
        code = self._receipt.buyer.country
        return str(self._locale.territories.get(code, code))

    @property
    def _locale(self) -> Locale:
        return locale_of(self._tag)


def _row(cell: str, *values: str) -> str:
    return "<tr>" + "".join(f"<{cell}>{_safe(value)}" for value in values)


def _safe(text: str) -> str:
    return html.escape(text)
