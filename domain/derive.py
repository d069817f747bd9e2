"""Derived books: another book's rows at prices that a factor and a fee make of theirs (PR-1).

Owns the arithmetic and which rows remain where a book has rows of its own. What comes out is a
document as people could have written it: what is charged never depends on a formula run later. Does
not own what a row means; fields it does not know travel along.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from domain.documents import KEY, NO_RATE, Fault, Table, nearest
from domain.money import PICO, PICO_DIGITS, picos, text

Document: TypeAlias = Mapping[str, Any]

#: What makes a document a derived one, and is not stored with what comes out.
FORMULA: Final = ("derived_from", "factor", "fee", "decimals")

_OF_THE_BASE: Final = ("currency", "markets", "windows")
_ABOUT_MAX: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """How a price is made of another one."""

    base: str  #: the key of the book
    factor: int  #: 10^-12
    fee: int  #: 10^-12 of the currency unit, added to what is not free
    decimals: int  #: that a price has at most

    def price(self, base: int) -> int:
        """The price in 10^-12, rounded half up once; free stays free."""
        if base == 0:
            return 0
        step = 10 ** (2 * PICO_DIGITS - self.decimals)
        steps = (base * self.factor + self.fee * PICO + step // 2) // step
        return int(steps * 10 ** (PICO_DIGITS - self.decimals))

    def __str__(self) -> str:
        formula = f"{self.base} x {text(self.factor, PICO_DIGITS)}"
        if self.fee:
            formula += f" + {text(self.fee, PICO_DIGITS)}"
        return f"{formula}, rounded to {self.decimals} decimals"


def is_derived(document: Document) -> bool:
    """Whether a document asks for another book's rows."""
    return any(field in document for field in FORMULA)


def read_formula(document: Document, books: Collection[str]) -> tuple[Formula, list[Fault]]:
    """Read what a document derives from one of the books, and what is wrong with it.

    A formula without a base cannot be gone on with; what else is wrong is 1, 0 or 0 decimals in it.
    """
    table = Table({field: document[field] for field in FORMULA if field in document})
    base = table.text("derived_from", "name the book it is derived from", KEY)
    if base and base not in books:
        table.problem("derived_from", f"there is no book {base!r}", nearest(base, books))
        base = ""
    elif base and base == document.get("book"):
        table.problem("derived_from", "is the book itself", "give one of the two another key")
        base = ""
    factor = table.price("factor") if table.has("factor") else PICO
    if not factor and "factor" not in {each.path for each in table.problems}:
        table.problem("factor", "is no factor", 'write a decimal above 0 in quotes, as "1.15"')
    fee = table.price("fee") if table.has("fee") else 0
    if fee is None:
        table.problem("fee", "is no fee", 'write a decimal in quotes, as "0.0005"')
    decimals = table.whole("decimals", 0, PICO_DIGITS)
    formula = Formula(base=base, factor=factor or PICO, fee=fee or 0, decimals=decimals)
    return formula, table.problems


def place(row: Document) -> tuple[Any, ...]:
    """What a row answers, apart from its date and the tier it is for."""
    fields = ("basis", "channel", "category", "direction", "market", "group")
    return tuple(row.get(field, False if field == "group" else "") for field in fields)


def rows_of(versions: Sequence[Document]) -> list[dict[str, Any]]:
    """The rows of all versions of a book, oldest first: of equals the last published stays."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for document in versions:
        own: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        for row in document["rows"]:
            own.setdefault((*place(row), row["valid_from"]), []).append(dict(row))
        # Rows of one question and date stand together: a version's tiers replace the earlier ones.
        found.update(own)
    rows = [row for together in found.values() for row in together]
    return sorted(rows, key=lambda row: row["valid_from"])


def derived(document: Document, formula: Formula, base: Sequence[Document]) -> dict[str, Any]:
    """The document of a derived book: its own rows first, as they were numbered, then the base's.

    A row of its own replaces the base's rows of the same question from its date on. What the
    document does not say (currency, markets, windows) is the base's.
    """
    own = document.get("rows", [])
    since: dict[tuple[Any, ...], str] = {}
    for row in own if isinstance(own, list) else []:
        if isinstance(row, dict):
            date = str(row.get("valid_from", ""))
            since[place(row)] = min(since.get(place(row), date), date)
    rows = [
        {**row, "price": _priced(row["price"], formula)}
        for row in rows_of(base)
        if place(row) not in since or row["valid_from"] < since[place(row)]
    ]
    newest = base[-1]
    taken = {
        field: newest[field] for field in ("currency", "markets", "windows") if field in newest
    }
    about = f"{document['about']} ({formula})" if "about" in document else str(formula)
    rest = {field: value for field, value in document.items() if field not in FORMULA}
    if not isinstance(own, list):
        return {**taken, **rest}
    return {**taken, **rest, "about": about[:_ABOUT_MAX], "rows": [*own, *rows]}


def _priced(price: str, formula: Formula) -> str:
    return price if price == NO_RATE else text(formula.price(picos(price)), PICO_DIGITS)


def own_paths(problems: Sequence[Fault], own: int, base: str) -> list[Fault]:
    """Problems of what was derived; rows that the document does not have are told as the base's."""
    found = []
    for fault in problems:
        head, _, rest = fault.path.partition("]")
        number = head.removeprefix("rows[")
        if head != number and number.isdecimal() and int(number) >= own:
            fault = Fault(f"rows derived from {base}{rest}", fault.wrong, fault.right)
        found.append(fault)
    return found
