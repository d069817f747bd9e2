"""Wording: a charge, or a fact without one, as a sentence in one of the languages there are.

Owns which phrases of `domain.sentences` apply and how values stand in them: amounts exactly, with
the locale's separators, instants in the number's own zone.
"""

from __future__ import annotations

from collections.abc import Collection
from copy import copy
from datetime import timedelta
from decimal import Decimal as PythonDecimal

from api.errors import Fault
from api.schema.amount import LETTER_BESIDE_DIGIT, locale_of, shown
from api.schema.explaining import Explained
from domain import explain
from domain.books import CUSTOMER_SERVICE, Basis
from domain.draw import UNIT
from domain.explain import Why
from domain.facts import CHANNEL_NAMES, GROUP_MARK, TYPES, Flag, Status, Type
from domain.lots import LotSource
from domain.money import DISPLAY_DIGITS, MICRO_DIGITS, PICO_DIGITS, charge
from domain.periods import Zone, moment, month_name
from domain.sentences import LOTS, OF_CHARGES, REASONS, SUBJECTS, Language, phrase, say
from persistence.charges import ChargeLeg
from persistence.explanations import FactRecord

_TYPE_NAMES = {kind: name for name, kind in TYPES.items()}

_NOTES = {
    Flag.LATE: "late",
    Flag.LATE_COMMIT: "late_commit",
    Flag.OVER_HOLD: "over_hold",
    Flag.UNKNOWN_HOLD: "unknown_hold",
}


def language_of(tag: str, among: Collection[Language] = OF_CHARGES) -> Language:
    """The language of a locale's tag; BAD_USER_INPUT for one we have no such sentences in."""
    language = locale_of(tag).language
    for each in among:
        if each == language:
            return each
    *others, last = (each.value for each in Language if each in among)
    raise Fault(
        "BAD_USER_INPUT",
        f"there are no sentences in {tag[:40]!r}: write {', '.join(others)} or {last}",
    )


class Wording:
    """How one charge is told in one locale."""

    def __init__(self, of: Explained, tag: str) -> None:
        self._of = of
        self._tag = tag
        self._language = language_of(tag)

    def sentence(self) -> str:
        """The charge as a sentence."""
        of, record = self._of, self._of.record
        told = say(
            REASONS[of.why],
            self._language,
            subject=_subject(record.type, record.party, record.category, of.fact, self._language),
            rule=record.rule or "-",
            cost=self._cost(),
            market=self._market(),
            clauses=self._clauses(),
            payers=self._payers(),
            channel=CHANNEL_NAMES.get(record.channel or 0, "-"),
            month=of.month or "-",
            opened=self._opened(),
            until=self._until(),
            position=self._position(),
            scope=self._scope(),
            notes=self._refunded() + _notes(record.flags, of.fact, self._language),
        )
        if record.status == Status.ADJUSTED:
            told = self._phrase("adjusted", month=of.month or "-", sentence=told)
        return self._phrase("reversal", sentence=told) if record.cursor.reversal else told

    def _phrase(self, name: str, **values: str) -> str:
        return phrase(name, self._language, **values)

    def _units(self, micros: int) -> str:
        return shown(micros, None, self._tag, False)

    def _amount(self, micros: int) -> str:
        currency = self._of.record.currency
        if currency is None:
            return self._units(micros)
        return exactly(micros, MICRO_DIGITS, currency, self._tag)

    def _cost(self) -> str:
        """What was taken: units of a balance, or units times a price in money."""
        record, row = self._of.record, self._of.row
        balance = record.balance or "-"
        if record.currency is None:
            return self._phrase("units", amount=self._units(record.amount), balance=balance)
        if row is None or row.price is None or not record.units:
            return self._amount(record.amount)
        per = explain.divisor(row)
        whole = charge(row.price, record.units, per)
        price = exactly(row.price, PICO_DIGITS, record.currency, self._tag)
        units = self._units(record.units)
        if row.basis is Basis.PER_MINUTE:
            product = self._phrase("minutes", seconds=units, price=price)
        else:
            product = f"{units} × {price}"
        if explain.is_rounded(row, record.units):
            told = product + self._phrase("rounded", amount=self._amount(whole))
        else:
            told = f"{product} = {self._amount(whole)}"
        if whole != record.amount:
            told += self._phrase("part", amount=self._amount(record.amount), balance=balance)
        return told

    def _market(self) -> str:
        market, prefix = self._of.record.market, self._of.prefix
        if market is None:
            return ""
        if prefix is None:
            return self._phrase("market", market=market)
        return self._phrase("market_by_prefix", market=market, prefix=prefix)

    def _clauses(self) -> str:
        """What else the row asks for before it charges."""
        of, row = self._of, self._of.row
        month = of.month or "-"
        clauses = ""
        if row is None or row.basis is Basis.PER_CONVERSATION:
            return clauses
        if CUSTOMER_SERVICE in row.free_in:
            clauses += self._phrase("outside")
        if row.free_count is not None:
            clauses += self._phrase("after_count", count=self._count(), month=month)
        if row.tier is not None:
            above = self._units(row.tier.above * UNIT)
            if of.position is None:
                clauses += self._phrase("tier_without_position", above=above, month=month)
            else:
                number = self._units(of.position.number)
                clauses += self._phrase("tier", above=above, number=number, month=month)
        return clauses

    def _payers(self) -> str:
        """The lots in paying order, each with its share where there are several."""
        record = self._of.record
        several = len(record.legs) > 1
        shares = [
            self._phrase("share", lot=self._lot(leg), amount=self._amount(leg.taken))
            if several
            else self._lot(leg)
            for leg in record.legs
        ]
        lots = self._phrase("then").join(shares)
        if record.currency is None:
            return self._phrase("paid", lots=lots)
        return self._phrase("paid_from", balance=record.balance or "-", lots=lots)

    def _lot(self, leg: ChargeLeg) -> str:
        month = "-" if leg.month is None else month_name(leg.month)
        return say(LOTS[LotSource(leg.source)], self._language, month=month)

    def _refunded(self) -> str:
        refunded = self._of.record.refunded
        return self._phrase("refunded", amount=self._amount(refunded)) if refunded else ""

    def _opened(self) -> str:
        window = self._of.window
        if window is None or window.opened_at is None:
            return ""
        at = local_text(window.opened_at, self._of.zone)
        if window.opened_by is None:
            return self._phrase("opened", at=at)
        return self._phrase("opened_by", at=at, fact=window.opened_by)

    def _until(self) -> str:
        of = self._of
        if of.window is None:
            return ""
        inner = of.why in (Why.COVERED, Why.CONVERSATION_OPENED)
        at = local_text(of.window.ends_at, of.zone)
        return self._phrase("until" if inner else "until_last", at=at)

    def _position(self) -> str:
        position = self._of.position
        if position is None:
            return self._phrase("unnumbered", count=self._count())
        number = self._units(position.number)
        return self._phrase("numbered", number=number, count=self._count())

    def _count(self) -> str:
        row = self._of.row
        if row is None or row.free_count is None:
            return "-"
        return self._units(row.free_count.count * UNIT)

    def _scope(self) -> str:
        row = self._of.row
        if row is None or row.free_count is None or row.free_count.per == "tenant":
            return self._phrase("per_tenant")
        return self._phrase("per_number", number=self._of.record.number or "-")


def uncharged(fact: FactRecord, book: str, tag: str) -> str:
    """A fact without a charge, as a sentence."""
    language = language_of(tag)
    channel = CHANNEL_NAMES.get(fact.channel or 0, "-")
    if fact.market is None:
        what = phrase("unrated_other", language, type=_TYPE_NAMES[Type(fact.type)], channel=channel)
    else:
        category = fact.category or phrase("no_category", language)
        what = phrase("unrated_message", language, category=category, market=fact.market)
    return say(
        REASONS[explain.why_not_charged(fact.status, fact.flags)],
        language,
        subject=_subject(fact.type, fact.party, fact.category, fact, language),
        book=book,
        what=what,
        notes=_notes(fact.flags, fact, language),
    )


def exactly(amount: int, digits: int, currency: str, tag: str) -> str:
    """Money to its last digit; `amount` is in 10^-digits of the currency."""
    locale = locale_of(tag)
    pattern = copy(locale.currency_formats["standard"])
    pattern.frac_prec = (DISPLAY_DIGITS[currency], digits)
    value = PythonDecimal(amount).scaleb(-digits)
    words = str(pattern.apply(value, locale, currency=currency, currency_digits=False))
    return LETTER_BESIDE_DIGIT.sub(" ", words).replace("\u00a0", " ")


def local_text(at: int, local: Zone | None) -> str:
    """An instant as a clock at the number shows it, to the minute; in UTC without a number."""
    if local is None:
        return f"{moment(at):%Y-%m-%d %H:%M} UTC"
    return f"{moment(at) + timedelta(microseconds=local.offset(at)):%Y-%m-%d %H:%M}"


def _subject(
    kind: int, party: str, category: str | None, fact: FactRecord | None, language: Language
) -> str:
    contact = party
    if party.startswith(GROUP_MARK):
        group = party.removeprefix(GROUP_MARK)
        member = "" if fact is None else fact.address
        contact = (
            phrase("group", language, member=member, group=group)
            if member
            else phrase("a_group", language, group=group)
        )
    return say(
        SUBJECTS[Type(kind)],
        language,
        contact=contact,
        category=category or phrase("no_category", language),
        fact="-" if fact is None else fact.id,
    )


def _notes(flags: int, fact: FactRecord | None, language: Language) -> str:
    hold = "-" if fact is None or fact.hold is None else fact.hold
    return "".join(phrase(name, language, hold=hold) for bit, name in _NOTES.items() if flags & bit)
