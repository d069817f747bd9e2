"""What stands on the page of an invoice, figure by figure, in the tenant's words and days.

Owns which facts of an invoice are told and how its locale writes them; every text in it is one
that the fonts can show. Where it stands and how it looks is `invoice.typ`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from api.documents import fonts
from api.schema.amount import locale_of, shown
from domain.invoice_words import TITLES, UNITS, WORDS
from domain.invoices import Invoice, Line, LineKind, Party
from domain.money import DISPLAY_DIGITS, MICRO_DIGITS
from domain.periods import date_of
from domain.receipts import TaxLine
from domain.sentences import Language, say

if TYPE_CHECKING:
    from babel import Locale

#: What JSON can say.
Told: TypeAlias = dict[str, Any]

#: A price's last decimal, beyond which no book goes.
_DECIMALS_MAX: Final = 12


def page(invoice: Invoice) -> Told:
    """What the page of an invoice says, for `invoice.typ`."""
    return _Page(invoice).told()


class _Page:
    """How one invoice is told; where its language has no words here, in English."""

    def __init__(self, invoice: Invoice) -> None:
        spoken = locale_of(invoice.locale).language in set(Language)
        self._invoice = invoice
        self._tag = invoice.locale if spoken else Language.ENGLISH.value
        self._language = Language(locale_of(self._tag).language)
        self._marked = False

    def told(self) -> Told:
        of = self._invoice
        asked = [line for line in of.lines if line.kind is not LineKind.COVERED]
        covered = [line for line in of.lines if line.kind is LineKind.COVERED]
        told: Told = {
            "language": self._language.value,
            "families": [name.lower() for name in fonts.FAMILIES],
            "title": self._title(),
            "author": fonts.plain(self._line(of.issuer.name)),
            "parties": [self._party("from", of.issuer), self._party("to", of.buyer)],
            "facts": self._facts(),
            "lines": self._table(asked, "amount") if asked else None,
            "covered": self._table(covered, "to_pay") if covered else None,
            "covered_title": self._say("covered"),
            "sums": self._sums(),
            "due": self._due(),
            "notes": self._notes(),
            "page": self._say("page", page="{page}", pages="{pages}"),
        }
        told["marked"] = self._say("marked") if self._marked else ""
        return told

    def _title(self) -> str:
        of = self._invoice
        words = TITLES[of.kind if of.number else f"{of.kind}_draft"]
        return fonts.plain(self._line(say(words, self._language, number=of.number or "")))

    def _party(self, role: str, party: Party) -> Told:
        country = self._country(party.country)
        lines = [*party.lines, country]
        if party.tax_id:
            lines.append(self._say("tax_id", id=party.tax_id))
        if party.email:
            lines.append(party.email)
        if role == "to" and party.key:
            lines.append(self._say("key", key=party.key))
        if party.reference:
            lines.append(self._say("reference", reference=party.reference))
        return {
            "role": self._say(role),
            "name": self._line(party.name),
            "lines": [told for line in lines if (told := self._line(line))],
        }

    def _facts(self) -> list[list[str]]:
        of = self._invoice
        facts: list[tuple[str, str]] = []
        if of.issued_on is not None:
            facts.append(("issued", self._day(of.issued_on)))
        if of.due_on is not None:
            facts.append(("due", self._day(of.due_on)))
        if of.of is not None:
            facts.append(("of", of.of))
        if of.period is not None:
            facts.append(("period", self._days(of.period)))
        facts.append(("zone", of.zone))
        return [[self._say(name), self._line(value)] for name, value in facts]

    def _table(self, lines: Iterable[Line], amount: str) -> Told:
        heads = [self._say(head) for head in ("description", "quantity", "unit", "price")]
        heads.append(self._say(amount, currency=self._invoice.currency))
        return {"heads": heads, "rows": [self._row(line) for line in lines]}

    def _row(self, line: Line) -> Told:
        details = []
        if line.period is not None and line.period != self._invoice.period:
            details.append(self._days(line.period))
        if line.rule is not None:
            details.append(line.rule)
        rounded = line.exact != line.amount and line.kind is not LineKind.COVERED
        return {
            "description": self._line(line.description),
            "details": [self._line(detail) for detail in details],
            "quantity": self._number(line.quantity),
            "unit": self._line(self._unit(line.unit)),
            "price": "" if line.price is None else self._number(line.price, self._digits),
            "amount": self._figure(line.amount),
            "exactly": self._say("exactly", amount=self._figure(line.exact)) if rounded else "",
        }

    def _unit(self, written: str) -> str:
        words = UNITS.get(written)
        return written if words is None else say(words, self._language)

    def _sums(self) -> list[list[str]]:
        of = self._invoice
        sums = [(self._say("net"), of.net)]
        sums += [(self._line(self._tax(tax)), tax.amount) for tax in of.taxes]
        sums.append((self._say("total"), of.total))
        return [[name, self._money(amount)] for name, amount in sums]

    def _tax(self, tax: TaxLine) -> str:
        rate = self._number(tax.rate)
        name = "tax" if tax.base == "1" else "tax_of"
        told = self._say(name, name=tax.name, rate=rate, base=tax.base)
        return self._say("included", tax=told) if tax.inclusive else told

    def _due(self) -> list[str]:
        """What is asked for and until when, or given back, and how much that is."""
        of = self._invoice
        total = self._money(of.total)
        if of.number is None:
            return [self._say("not_issued"), ""]
        if of.kind == "credit_note":
            return [self._say("credited"), total]
        if of.total == 0:
            return [self._say("nothing"), total]
        if of.due_on is None:
            return [self._say("pay"), total]
        return [self._say("pay_by", day=self._day(of.due_on)), total]

    def _notes(self) -> list[str]:
        of = self._invoice
        notes = [] if of.taxes else [self._say("untaxed", country=self._country(of.buyer.country))]
        return [told for note in [*notes, *of.note.splitlines()] if (told := self._line(note))]

    def _say(self, word: str, /, **values: str) -> str:
        return say(WORDS[word], self._language, **values)

    def _line(self, text: str) -> str:
        told, marked = fonts.printable(text)
        self._marked = self._marked or marked
        return told

    def _country(self, code: str) -> str:
        return str(self._locale.territories.get(code, code))

    def _day(self, day: int) -> str:
        from babel.dates import format_date

        return self._line(format_date(date_of(day), "long", locale=self._locale))

    def _days(self, period: tuple[int, int]) -> str:
        from babel.dates import format_interval

        first, last = map(date_of, period)
        return format_interval(first, last, "yMMMd", locale=self._locale)

    def _money(self, amount: int) -> str:
        return self._line(shown(amount, self._invoice.currency, self._tag, False))

    def _figure(self, amount: int) -> str:
        """An amount under a head that names its currency, with all its decimals."""
        return self._decimal(Decimal(amount).scaleb(-MICRO_DIGITS), self._digits)

    def _number(self, written: str, digits: int = 0) -> str:
        return self._decimal(Decimal(written), digits)

    def _decimal(self, value: Decimal, digits: int) -> str:
        pattern = copy(self._locale.decimal_formats[None])
        pattern.frac_prec = (digits, _DECIMALS_MAX)
        return self._line(str(pattern.apply(value, self._locale)))

    @property
    def _digits(self) -> int:
        return DISPLAY_DIGITS[self._invoice.currency]

    @property
    def _locale(self) -> Locale:
        return locale_of(self._tag)
