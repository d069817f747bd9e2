"""Usage lines: what a closed period's usage comes to, and who has paid for it (IN-5, IN-8, FI-2).

Owns how what lots paid becomes lines, one for each (balance, category, market, rule) and what
became of it: paid before, asked for, written off, or owed and never asked for. Does not own what
stands in the books, how lines come to a total, or what a plan says.

Overdrafts are told by what is left of them at the period's end: what was paid off meanwhile was
paid before, whoever paid it. It fills lines in their order, so that no line is below zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from domain.books import Basis, Book
from domain.invoices import Line, LineKind, amount_of
from domain.lots import LotSource
from domain.money import PICO, PICO_DIGITS, charge, text
from domain.plans import BalancePlan
from domain.units import MINUTE_SECONDS


class Share(StrEnum):
    """What became of usage that was charged."""

    COVERED = "covered"  #: paid from lots, or paid off before the period's end
    ASKED = "asked"  #: used of a postpaid balance
    OVERAGE = "overage"  #: units beyond what there was, at the plan's price for them
    WRITTEN_OFF = "written_off"  #: the same, where the plan has no price for them (BA-11)
    OWED = "owed"  #: a prepaid balance's overdraft: credits pay it off, no invoice (BA-5)
    LATER = "later"  #: of calls that ended behind the period's end: the next one takes it
    BEFORE = "before"  #: no usage: what is asked for of periods before


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What one lot paid of the period's charges of one kind; micros."""

    balance: str
    category: str | None
    market: str | None
    rule: str
    lot_id: int
    source: LotSource
    units: int  #: of charges whose last leg it paid: each is counted once
    taken: int  #: of the balance's unit
    charges: int  #: how many, of the same ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdraft:
    """What the days say of a pot for what nothing covered; micros of the balance's unit."""

    balance: str
    lot_id: int
    before: int  #: owed at the period's start
    used: int  #: by the period's usage
    moved: int  #: owed besides; negative: paid off or given back
    asked: int | None = None  #: what its closing took out; None: it was not closed to be invoiced

    @property
    def owed(self) -> int:
        """What is owed at the period's end, before its closing and anything of the next one."""
        return self.before + self.used + self.moved


class Price(NamedTuple):
    """What a row says of one unit."""

    basis: Basis
    picos: int  #: of the currency
    published: int  #: version of the book that brought it


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageLine:
    """Usage of one kind that went one way."""

    share: Share
    balance: str
    category: str | None
    market: str | None
    rule: str | None  #: None: what is owed from before
    quantity: int  #: micros of the unit; a charge that two ways paid is counted where it is owed
    unit: str
    price: int | None  #: picos of the currency; None: no one price
    charged: int  #: micros of the balance's unit
    exact: int  #: micros of the currency: asked for, or covered in money; else 0

    @property
    def invoiced(self) -> bool:
        """Whether an invoice lists it; the others are told apart."""
        return self.share in KINDS


#: What an invoice calls each share that it lists.
KINDS: Final = {
    Share.COVERED: LineKind.COVERED,
    Share.ASKED: LineKind.USAGE,
    Share.OVERAGE: LineKind.OVERAGE,
    Share.BEFORE: LineKind.ADJUSTMENT,
}

#: Category, market and rule; of one balance they make a line.
_Kind = tuple[str, str, str]


class _Sums:
    """What was charged of one kind: from lots with something in them, and beyond them."""

    __slots__ = ("beyond", "beyond_units", "charges", "covered", "covered_units")

    def __init__(self) -> None:
        self.covered = self.covered_units = self.beyond = self.beyond_units = self.charges = 0

    def add(self, one: Drawn) -> None:
        self.charges += one.charges
        if one.source is LotSource.OVERDRAFT:
            self.beyond += one.taken
            self.beyond_units += one.units
        else:
            self.covered += one.taken
            self.covered_units += one.units


def prices_of(books: Iterable[Book]) -> dict[str, tuple[Price, ...]]:
    """The prices that each rule ever had, the last published first."""
    found: dict[str, list[Price]] = {}
    for book in books:
        for row in book.rows:
            if row.price is not None:
                price = Price(row.basis, row.price, row.published)
                found.setdefault(row.rule, []).append(price)
    return {
        rule: tuple(sorted(each, key=lambda price: -price.published))
        for rule, each in found.items()
    }


def usage_lines(
    drawn: Iterable[Drawn],
    overdrafts: Iterable[Overdraft],
    balances: Mapping[str, BalancePlan],
    prices: Mapping[str, Sequence[Price]],
) -> tuple[UsageLine, ...]:
    """The lines of a period, by balance, category, market, rule and share.

    `balances` are as the plan has them at the period's end. What they say was charged is what was
    drawn, to the last digit. ValueError where charges and days disagree on an overdraft, or a
    balance is unknown: such books are verified, not invoiced.
    """
    sums: dict[str, dict[_Kind, _Sums]] = {}
    beyond: dict[int, int] = {}
    for one in drawn:
        kind = (one.category or "", one.market or "", one.rule)
        sums.setdefault(one.balance, {}).setdefault(kind, _Sums()).add(one)
        if one.source is LotSource.OVERDRAFT:
            beyond[one.lot_id] = beyond.get(one.lot_id, 0) + one.taken
    owed: dict[str, int] = {}
    later: dict[str, int] = {}
    for overdraft in overdrafts:
        if (found := beyond.pop(overdraft.lot_id, 0)) != overdraft.used:
            what = f"charges say {text(found)}, its days {text(overdraft.used)}"
            raise ValueError(f"{overdraft.balance} overdraft {overdraft.lot_id}: {what}")
        owed[overdraft.balance] = owed.get(overdraft.balance, 0) + overdraft.owed
        if overdraft.asked is not None:
            rest = overdraft.owed - overdraft.asked
            later[overdraft.balance] = later.get(overdraft.balance, 0) + rest
    if any(beyond.values()):
        raise ValueError(f"overdrafts {sorted(beyond)} have charges and no days")
    fitting = _fitting(sums, balances, prices)
    lines: list[UsageLine] = []
    for key in sorted(sums.keys() | owed.keys()):
        balance = _known(balances, key)
        due = _Due(max(owed.get(key, 0), 0), later.get(key, 0))
        lines += _of_balance(balance, sums.get(key, {}), due, fitting)
    return tuple(lines)


def charged(lines: Iterable[UsageLine]) -> dict[str, dict[Share, int]]:
    """What of each balance's usage went which way; micros of the balance's unit (FI-2)."""
    found: dict[str, dict[Share, int]] = {}
    for line in lines:
        if line.share is not Share.BEFORE:
            shares = found.setdefault(line.balance, {})
            shares[line.share] = shares.get(line.share, 0) + line.charged
    return found


def to_lines(
    lines: Iterable[UsageLine],
    currency: str,
    period: tuple[int, int] | None,
    names: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Line, ...]:
    """The lines as an invoice has them; what it does not list is left out.

    `names` are those of balances as people see them; one without goes by its key.
    """
    return tuple(
        _to_line(line, currency, period, names.get(line.balance, line.balance))
        for line in lines
        if line.invoiced
    )


def _known(balances: Mapping[str, BalancePlan], key: str) -> BalancePlan:
    try:
        return balances[key]
    except KeyError:
        raise ValueError(f"no plan says what {key!r} is") from None


def _fitting(
    sums: Mapping[str, Mapping[_Kind, _Sums]],
    balances: Mapping[str, BalancePlan],
    prices: Mapping[str, Sequence[Price]],
) -> dict[_Kind, Price]:
    """The price of each kind that money paid: the last published of those its charges come to.

    A chain's balances share charges, so their sums are looked at together.
    """
    paid: dict[_Kind, tuple[int, int, int]] = {}
    for key, kinds in sums.items():
        if _known(balances, key).kind == "money":
            for kind, each in kinds.items():
                units, amount, charges = paid.get(kind, (0, 0, 0))
                units += each.covered_units + each.beyond_units
                paid[kind] = (
                    units, amount + each.covered + each.beyond, charges + each.charges
                )  # fmt: skip
    found = {}
    for kind, of in paid.items():
        for price in prices.get(kind[2], ()):
            if _comes_to(price, *of):
                found[kind] = price
                break
    return found


def _comes_to(price: Price, units: int, amount: int, charges: int) -> bool:
    """Whether so many charges, each rounded once, may come to an amount at a price."""
    whole = PICO * _per(price.basis)
    return 2 * abs(price.picos * units - amount * whole) <= charges * whole


def _per(basis: Basis) -> int:
    """How many counted units one price is for."""
    return MINUTE_SECONDS if basis is Basis.PER_MINUTE else 1


class _Due(NamedTuple):
    """What a balance owes at the period's end, and what of that its closing left for later."""

    owed: int
    later: int


def _of_balance(
    balance: BalancePlan, kinds: Mapping[_Kind, _Sums], due: _Due, fitting: Mapping[_Kind, Price]
) -> list[UsageLine]:
    """The lines of one balance."""
    beyond = sum(each.beyond for each in kinds.values())
    of_usage = min(due.owed, beyond)
    later = due.later if _beyond(balance) is not Share.OWED else 0
    if not 0 <= later <= of_usage:
        what = f"{text(later)} of {text(of_usage)} was left for later"
        raise ValueError(f"{balance.key}: {what}")
    shares = _shares(kinds, beyond - of_usage, later)
    lines: list[UsageLine] = []
    for kind in sorted(kinds):
        each, (filled, still, left) = kinds[kind], shares[kind]
        covered, units = each.covered + filled, [each.covered_units, each.beyond_units, 0]
        if not still:
            units = [units[0], 0, units[1]] if left else [sum(units), 0, 0]
        # Of what was paid off in part nobody can say which units those were.
        price = None if sum(map(bool, (filled, still, left))) > 1 else fitting.get(kind)
        for share, charged, quantity in (
            (Share.COVERED, covered, units[0]),
            (_beyond(balance), still, units[1]),
            (Share.LATER, left, units[2]),
        ):
            if charged:
                lines.append(_line(balance, share, kind, quantity, charged, price))
    return [*lines, *_before(balance, due.owed - of_usage)]


def _shares(
    kinds: Mapping[_Kind, _Sums], paid_off: int, later: int
) -> dict[_Kind, tuple[int, int, int]]:
    """What of each kind's usage beyond lots was paid off, is still owed, and is left for later.

    What was paid off fills kinds in their order, what is left for later from the last one on.
    """
    found: dict[_Kind, tuple[int, int, int]] = {}
    for kind in sorted(kinds):
        filled = min(kinds[kind].beyond, paid_off)
        paid_off -= filled
        found[kind] = (filled, kinds[kind].beyond - filled, 0)
    for kind in sorted(kinds, reverse=True):
        filled, still, _ = found[kind]
        left = min(still, later)
        later -= left
        found[kind] = (filled, still - left, left)
    return found


def _before(balance: BalancePlan, owed: int) -> list[UsageLine]:
    """What is asked for of periods before, where anything is."""
    share, price, exact = _beyond(balance), None, owed
    if share is Share.OVERAGE and balance.overage_price is not None:
        price = balance.overage_price
        exact = charge(price, owed)
    if not owed or share not in (Share.ASKED, Share.OVERAGE):
        return []
    return [
        UsageLine(
            share=Share.BEFORE, balance=balance.key, category=None, market=None, rule=None,
            quantity=owed if price is not None else 0, unit=balance.unit, price=price, charged=0,
            exact=exact,
        )
    ]  # fmt: skip


def _beyond(balance: BalancePlan) -> Share:
    """What becomes of what nothing covered."""
    if balance.kind == "money":
        return Share.ASKED if balance.credit_limit else Share.OWED
    return Share.WRITTEN_OFF if balance.overage_price is None else Share.OVERAGE


def _line(
    balance: BalancePlan,
    share: Share,
    kind: _Kind,
    quantity: int,
    charged: int,
    price: Price | None,
) -> UsageLine:
    category, market, rule = kind
    unit, picos, exact = balance.unit, None, 0
    if balance.kind == "unit":
        quantity = charged
        if share is Share.OVERAGE and balance.overage_price is not None:
            picos = balance.overage_price
            exact = charge(picos, charged)
    else:
        exact = charged if share in (Share.COVERED, Share.ASKED) else 0
        unit = "unit" if price is None else price.basis.removeprefix("per_")
        if price is not None and quantity:
            picos, per = price.picos, _per(price.basis)
            if quantity % per:
                unit, picos = "second", None  # as minutes it has no end, and a second's price none
            quantity = quantity if quantity % per else quantity // per
    return UsageLine(
        share=share,
        balance=balance.key,
        category=category or None,
        market=market or None,
        rule=rule,
        quantity=quantity,
        unit=unit,
        price=picos,
        charged=charged,
        exact=exact,
    )


def _to_line(line: UsageLine, currency: str, period: tuple[int, int] | None, name: str) -> Line:
    kind = KINDS[line.share]
    of = ", ".join(each for each in (line.category, line.market) if each)
    return Line(
        kind=kind,
        description=f"{name}: {of}" if of else name,
        balance=line.balance,
        category=line.category,
        market=line.market,
        rule=line.rule,
        quantity=text(line.quantity),
        unit=line.unit,
        price=None if line.price is None else text(line.price, PICO_DIGITS),
        exact=line.exact,
        amount=amount_of(kind, line.exact, currency),
        period=period,
    )
