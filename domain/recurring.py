"""Recurring: what the invoices of a subscription ask for in advance, and once (IN-1, IN-5).

Owns how a month of a subscription is cut into pieces, and which of them the next invoice asks for.
Does not own what was agreed (subscriptions), usage, which is in arrears, taxes and totals.

More counts from its day, less from the next month on. So what is asked for only rises in a month:

- A month opens with what was agreed before its first day; a first month with what was agreed by
  its subscription's first day. Later agreements only add to it, also those dated back into it.
- Less of a component, and a pause, wait for the next month; more again before then costs only what
  is above what the month has. Of one day only its last agreement counts.
- Another plan counts from its day where that costs more than what the month has, and is then one
  piece, the difference; else from the next month on.
- A last day served that was known when its month opened ends what is asked for; one that was agreed
  later gives nothing back.

Nothing is ever asked for twice and nothing is given back: that is a credit note's to do. What one
more agreement makes of a month that was invoiced before is an adjustment of the next invoice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from math import floor
from typing import NamedTuple

from domain.fees import Component
from domain.invoice_words import LINES, MONTHS
from domain.invoices import Line, LineKind, amount_of
from domain.money import MICRO, PICO_DIGITS, text
from domain.periods import date_of
from domain.sentences import Language, say
from domain.subscriptions import (
    Cancel,
    Renew,
    Subscription,
    Terms,
    days_of,
    known,
    last_day,
    month_of,
    terms,
)


class PieceKind(StrEnum):
    """Why a piece is asked for."""

    BASE = "base"  #: a component, as its days begin with it
    MORE = "more"  #: more of it, from a day on
    PLAN = "plan"  #: another plan, which costs more
    SETUP = "setup"  #: a fee asked for once


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Something that is asked for from one day to another of one month."""

    kind: PieceKind
    key: str  #: of the component or fee; of a plan its own
    name: str
    unit: str
    quantity: int  #: millionths
    rate: int  #: 10^-12 of the currency: what all of it costs for a whole month, or once
    first: int  #: local date
    last: int  #: local date, itself included

    @property
    def share(self) -> Fraction:
        """What it costs for its days, in micros: price x days left / days of the month."""
        if self.kind is PieceKind.SETUP:
            return Fraction(self.rate, MICRO)
        first, last = days_of(month_of(self.first))
        return Fraction(self.rate * (self.last - self.first + 1), MICRO * (last - first + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One line of an invoice, and all that later invoices need to know of it."""

    kind: LineKind
    pieces: tuple[Piece, ...]  #: that it asks for
    instead: tuple[Piece, ...]  #: asked for before, which these take the place of
    exact: int  #: micros


class Since(NamedTuple):
    """What is asked for from a day on."""

    day: int
    terms: Terms | None  #: None: nothing


def asked(
    subscription: Subscription,
    month: int,
    before: Iterable[Ask] = (),
    invoiced: int | None = None,
) -> tuple[Ask, ...]:
    """What the invoice asks for that has `month` in advance, with all that is due of months before.

    `before` is what its invoices asked for until now, in any order, without those that are void;
    what was credited stays in it. `invoiced` is the last month that had an invoice, None: none had.
    The invoice is drawn on the month's first day or later, and not before the subscription's.
    """
    asks: list[Ask] = []
    standing: Counter[Piece] = Counter()
    for ask in before:
        standing.update(ask.pieces)
        standing.subtract(ask.instead)
    once = {piece.key for piece in standing if _is_setup(piece)}
    of_month: dict[int, Counter[Piece]] = {}
    for piece, count in standing.items():
        if not _is_setup(piece):
            of_month.setdefault(month_of(piece.first), Counter())[piece] = count
    for label in range(month_of(subscription.start), month + 1):
        late = invoiced is not None and label <= invoiced
        levels = in_force(subscription, label)
        for piece in _setup(levels):
            if piece.key not in once:
                once.add(piece.key)
                asks.append(_ask(LineKind.SETUP, piece))
        asks += _due(_cut(levels, label), of_month.get(label, Counter()), late=late)
    return tuple(asks)


def line(ask: Ask, currency: str, language: Language = Language.ENGLISH) -> Line:
    """The line of an invoice, rounded once, with its reason in words."""
    piece = ask.pieces[0]
    alone = len(ask.pieces) == 1 and not ask.instead
    described = "; ".join(_words(each, language) for each in ask.pieces)
    if ask.instead:
        before = "; ".join(_words(each, language) for each in ask.instead)
        described = say(LINES["instead"], language, what=described, before=before)
    price = Fraction(piece.rate, piece.quantity) if alone else Fraction(ask.exact)
    return Line(
        kind=ask.kind,
        description=described,
        balance=None,
        category=None,
        market=None,
        rule=None,
        quantity=text(piece.quantity) if alone else "1",
        unit=piece.unit if alone else "",
        price=text(int(price * MICRO), PICO_DIGITS),
        exact=ask.exact,
        amount=amount_of(ask.kind, ask.exact, currency),
        period=None
        if _is_setup(piece)
        else (min(each.first for each in ask.pieces), max(each.last for each in ask.pieces)),
    )


def rate_on(subscription: Subscription, day: int) -> Fraction:
    """What one local day costs, in micros, by all that is known; 0 where nothing is asked for."""
    first, last = days_of(month := month_of(day))
    held = [since for since in in_force(subscription, month) if since.day <= day]
    if not held or held[-1].terms is None:
        return Fraction()
    return Fraction(held[-1].terms.rate, MICRO * (last - first + 1))


def in_force(subscription: Subscription, month: int) -> tuple[Since, ...]:
    """What is asked for from each day of a month on which that may differ from the day before."""
    first, last = days_of(month)
    begin = max(first, subscription.start)
    if begin > last:
        return ()
    # What was agreed by then may be less than before; what is agreed later only adds.
    opening = begin if subscription.start >= first else first - 1
    later = {
        each.agreed_on
        for each in subscription.changes
        if each.agreed_on > opening and (each.day <= last or isinstance(each.deed, Cancel | Renew))
    }
    views = [known(subscription, day) for day in (opening, *sorted(later))]
    ends = [last_day(subscription, view) for view in views]
    cuts = {begin} | {each.day for each in subscription.changes} | {
        end + 1 for end in ends if end is not None
    }  # fmt: skip
    days = sorted(day for day in cuts if begin <= day <= last)
    held: dict[int, Terms | None] = dict.fromkeys(days)
    for view, end in zip(views, ends, strict=True):
        day_before: Terms | None = None
        for day in days:
            if end is not None and day > end:
                break
            so_far = _raised(held[day], day_before)
            held[day] = day_before = _raised(so_far, terms(subscription, day, view))
    return tuple(Since(day, held[day]) for day in days)


def _raised(held: Terms | None, to: Terms | None) -> Terms | None:
    """What a month has that had one thing and is to have another; it never costs less."""
    if held is None or to is None:
        return held or to
    if held.fees != to.fees and to.rate > held.rate:
        return to
    return Terms(
        held.fees,
        tuple(
            max(quantity, to.quantity(component.key))
            for component, quantity in zip(held.fees.components, held.quantities, strict=True)
        ),
    )


def _cut(levels: tuple[Since, ...], month: int) -> Iterator[Piece]:
    """The pieces of a month: what its days begin with, then what is added on later ones."""
    _, month_last = days_of(month)
    for place, (day, present) in enumerate(levels):
        if present is None:
            continue
        former = levels[place - 1].terms if place else None
        if former is not None and _raised(former, present) == present:
            yield from _added(former, present, day, _last(levels, place, month_last))
        else:
            last = _last(levels, place, month_last)
            own = zip(present.fees.components, present.quantities, strict=True)
            for component, quantity in own:
                if quantity:
                    yield _of(PieceKind.BASE, component, quantity, day, last)


def _added(former: Terms, present: Terms, day: int, last: int) -> Iterator[Piece]:
    if former.fees != present.fees:
        plan = present.fees
        yield Piece(
            kind=PieceKind.PLAN,
            key=plan.plan,
            name=f"{former.fees.name} > {plan.name}",
            unit="",
            quantity=MICRO,
            rate=present.rate - former.rate,
            first=day,
            last=last,
        )
        return
    for place, component in enumerate(present.fees.components):
        more = present.quantities[place] - former.quantities[place]
        if more:
            yield _of(PieceKind.MORE, component, more, day, last)


def _last(levels: tuple[Since, ...], place: int, month_last: int) -> int:
    """The last day for which what is asked for from a place on is asked for, or more."""
    for before, after in zip(levels[place:], levels[place + 1 :], strict=False):
        if after.terms is None or _raised(before.terms, after.terms) != after.terms:
            return after.day - 1
    return month_last


def _of(kind: PieceKind, component: Component, quantity: int, first: int, last: int) -> Piece:
    return Piece(
        kind=kind,
        key=component.key,
        name=component.name,
        unit=component.unit,
        quantity=quantity,
        rate=component.price * quantity,
        first=first,
        last=last,
    )


def _setup(levels: tuple[Since, ...]) -> Iterator[Piece]:
    for day, present in levels:
        for fee in present.fees.setup if present is not None else ():
            yield Piece(
                kind=PieceKind.SETUP,
                key=fee.key,
                name=fee.name,
                unit="",
                quantity=MICRO,
                rate=fee.price * MICRO,
                first=day,
                last=day,
            )


def _due(pieces: Iterable[Piece], standing: Counter[Piece], *, late: bool) -> Iterator[Ask]:
    """What one month asks for beyond what stands of it on invoices."""
    kind = LineKind.ADJUSTMENT if late else LineKind.RECURRING
    lacking = Counter(pieces)
    lacking.subtract(standing)
    added = [piece for piece, count in lacking.items() for _ in range(count)]
    instead = [piece for piece, count in lacking.items() for _ in range(-count)]
    if not instead:
        for piece in added:
            ask = _ask(kind, piece)
            if ask.exact or (piece.kind is PieceKind.BASE and not late):
                yield ask
        return
    exact = _rounded(_sum(added) - _sum(instead))
    if exact > 0:
        yield Ask(kind=kind, pieces=tuple(added), instead=tuple(instead), exact=exact)


def _ask(kind: LineKind, piece: Piece) -> Ask:
    return Ask(kind=kind, pieces=(piece,), instead=(), exact=_rounded(piece.share))


def _is_setup(piece: Piece) -> bool:
    return piece.kind is PieceKind.SETUP


def _sum(pieces: Iterable[Piece]) -> Fraction:
    return sum((piece.share for piece in pieces), Fraction())


def _rounded(amount: Fraction) -> int:
    """To a whole micro, once, half up (IN-5)."""
    return floor(amount + Fraction(1, 2))


def _words(piece: Piece, language: Language) -> str:
    """A piece as it is read on an invoice: what, how much of it, and for which days."""
    if piece.kind is PieceKind.SETUP:
        return piece.name
    what = piece.name
    if piece.kind is PieceKind.MORE:
        what = say(LINES["more"], language, what=what, quantity=text(piece.quantity))
    first, last = days_of(month_of(piece.first))
    if (piece.first, piece.last) == (first, last):
        return what
    return say(
        LINES["from" if piece.last == last else "between"], language, what=what,
        first=_day(piece.first, language), last=_day(piece.last, language),
        days=str(piece.last - piece.first + 1), month=str(last - first + 1),
    )  # fmt: skip


def _day(number: int, language: Language) -> str:
    day = date_of(number)
    month = MONTHS[language].split()[day.month - 1]
    return say(LINES["day"], language, day=str(day.day), month=month, year=str(day.year))
