"""Rating: whether a fact is free, what it costs otherwise, and what pays.

Owns PR-3, PR-4 and PR-9 as steps over a tariff: which rule speaks is looked up there. Neither knows
a channel or a category by name. Where no lot suffices, the last balance of the chain takes the rest
(BA-11): usage that happened is always charged.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from domain.books import Basis
from domain.contacts import Contact
from domain.draw import UNIT, Leg, overdraw, take, whole_units
from domain.facts import Fact, Flag
from domain.lots import Lot
from domain.plans import Chain
from domain.state import Counter, Part
from domain.tariffs import Tariff, tariff
from domain.terms import NumberTerms, Terms


class Purse(Protocol):
    """What rating asks of the figures: lots that may pay, the pot for the rest, counts."""

    def lots(self, balance_id: int, at: int) -> list[Lot]: ...
    def overdraft(self, balance_id: int, at: int) -> Lot: ...
    def counter(self, name: str, number_id: int, month: int) -> Counter: ...


class Rated(NamedTuple):
    """What a fact costs; no part at all says that no rate covers it (EV-7)."""

    parts: tuple[Part, ...]
    flags: int
    at_boundary: bool  #: a later fact had already used up a count or a lot this one touches
    covered: bool = False  #: a paid conversation paid for it


UNRATED = Rated((), Flag.NONE, False)


def rate_message(
    terms: Terms,
    number: NumberTerms,
    fact: Fact,
    contact: Contact,
    opened: int,
    market: str,
    purse: Purse,
) -> Rated:
    """Rate a message that reached its contact; `opened` is what it opened, windows are moved."""
    at, date = fact.at, number.zone.day(fact.at).date
    terms_of = tariff(terms, number.channel_name, fact.category, market, date)
    if terms_of is None:
        return UNRATED
    if contact.entry_ends_at is not None and contact.in_entry(at):
        if terms_of.message is None:
            return UNRATED
        if terms_of.free_in_entry or terms_of.message.amount == 0:
            return _free(terms_of.free)  # a row that is free anyway takes no conversation either
    crossed = False
    if terms_of.conversation is not None:
        if opened & Flag.CONVERSATION_OPENED:
            rated = _pay_conversation(terms_of, at, purse)
            if rated.parts:
                return rated
            crossed = rated.at_boundary
        else:
            inside = contact.in_conversation(at)
            covered = inside and contact.conversation_paid
            if terms_of.by_conversation_only or covered:
                cover = _cover(terms, number, fact, contact, market, terms_of, inside)
                return _free(cover, covered=covered)
    rated = _pay_message(terms_of, number, fact, contact, purse)
    return rated._replace(at_boundary=True) if crossed else rated


def rate_visit(terms: Terms, chain: Chain, channel: str, at: int, date: int, purse: Purse) -> Rated:
    """Rate a contact's first message of a period: one visitor (VI-1)."""
    row = terms.book.row(Basis.PER_VISITOR, channel, chain.category, "in", "none", date)
    if row is None:
        return UNRATED
    payers = tuple(terms.balance_ids[step.balance] for step in chain.steps)
    return _pay(purse, payers, terms.rule_ids[row.rule], at, UNIT)


def _cover(
    terms: Terms,
    number: NumberTerms,
    fact: Fact,
    contact: Contact,
    market: str,
    today: Tariff,
    inside: bool,
) -> Part | None:
    """The charge of a covered message: by the rule of the day its conversation opened (CO-4)."""
    if not inside or contact.conversation_opened_at is None:
        return today.covered
    opened_on = number.zone.day(contact.conversation_opened_at).date
    then = tariff(terms, number.channel_name, fact.category, market, opened_on)
    return today.covered if then is None else then.covered


def _pay_conversation(terms_of: Tariff, at: int, purse: Purse) -> Rated:
    """Charge the conversation a message opened; no part where that leaves it to the message.

    A unit balance pays one whole unit or nothing, unless nothing comes after it; money pays where
    the book has a price per conversation.
    """
    price = terms_of.conversation
    assert price is not None
    crossed = False
    for place, (balance_id, holds_units) in enumerate(terms_of.conversation_payers, 1):
        if holds_units:
            last = terms_of.by_conversation_only and place == len(terms_of.conversation_payers)
            lots = purse.lots(balance_id, at)
            if not last and whole_units(lots, at) < UNIT:
                crossed |= _crossed(lots, at)
                continue
            amount = UNIT
        elif price.amount is None:
            continue
        else:
            amount = price.amount
        rated = _pay(purse, (balance_id,), price.rule_id, at, amount)
        return Rated(
            rated.parts, rated.flags | Flag.CONVERSATION_PAID, rated.at_boundary or crossed
        )
    return Rated((), Flag.NONE, crossed)


def _pay_message(
    terms_of: Tariff, number: NumberTerms, fact: Fact, contact: Contact, purse: Purse
) -> Rated:
    """Charge one message by its row: free in a window, free by count, or at the row's price."""
    price = terms_of.message
    if price is None or not terms_of.payers:
        return UNRATED
    if price.amount == 0 or (terms_of.free_in_service and contact.in_service(fact.at)):
        return _free(terms_of.free)
    crossed = False
    count = terms_of.free_count
    if count is not None:
        scope = number.number_id if count.per == "number" else 0
        counter = purse.counter(count.name, scope, number.zone.day(fact.at).month)
        if counter.value < count.count:
            counter.value += 1
            counter.counted_at = max(counter.counted_at or fact.at, fact.at)
            return _free(terms_of.free)
        crossed = counter.counted_at is not None and fact.at < counter.counted_at
    if price.amount is None:
        return Rated((), Flag.NONE, crossed)
    rated = _pay(purse, terms_of.payers, price.rule_id, fact.at, price.amount)
    return rated._replace(at_boundary=True) if crossed else rated


def _free(part: Part | None, *, covered: bool = False) -> Rated:
    return UNRATED if part is None else Rated((part,), Flag.NONE, False, covered)


def _pay(purse: Purse, balances: tuple[int, ...], rule_id: int, at: int, amount: int) -> Rated:
    """Take `amount` from the balances in turn; the last one takes what none held (BA-11)."""
    parts: list[Part] = []
    left, crossed, flags = amount, False, Flag.NONE
    for balance_id in balances:
        lots = purse.lots(balance_id, at)
        legs = take(lots, at, left)
        for leg in legs:
            left -= leg.taken
        crossed |= _crossed(lots, at)
        if left and balance_id == balances[-1]:
            legs.append(overdraw(purse.overdraft(balance_id, at), at, left))
            flags, left = Flag.OVERDRAWN, 0
        if legs:
            parts.append(Part(balance_id, rule_id, UNIT, _sum(legs), tuple(legs)))
        if not left:
            break
    return Rated(tuple(parts), flags, crossed)


def _crossed(lots: list[Lot], at: int) -> bool:
    """Whether one of the lots is used up and a fact later than `at` had a share of it."""
    return any(
        lot.drawn_at is not None and at < lot.drawn_at and lot.amount - lot.used - lot.moved < UNIT
        for lot in lots
    )


def _sum(legs: list[Leg]) -> int:
    return legs[0].taken if len(legs) == 1 else sum(leg.taken for leg in legs)
