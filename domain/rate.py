"""Rating: which rule speaks of a fact, whether it is free, and what it costs otherwise.

Owns PR-1 to PR-4, PR-6 and PR-9. The chain of the plan says what pays in which order, the book
what a unit is and costs; this file knows neither channel nor category by name. Where no lot
suffices, the last balance of the chain takes the rest (BA-11): usage is always charged.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from domain import money
from domain.books import CUSTOMER_SERVICE, FREE_ENTRY, Basis, Row
from domain.contacts import Contact
from domain.draw import UNIT, overdraw, take, whole_units
from domain.facts import Fact, Flag
from domain.lots import Lot
from domain.plans import Chain
from domain.state import Counter, Part
from domain.terms import NumberTerms, Terms


class Purse(Protocol):
    """What rating asks of the figures: lots that may pay, the pot for the rest, counts."""

    def lots(self, balance_id: int, at: int) -> list[Lot]: ...
    def overdraft(self, balance_id: int, at: int) -> Lot: ...
    def counter(self, name: str, number_id: int, month: int) -> Counter: ...


class Rated(NamedTuple):
    """What a message costs; no part at all says that no rate covers it (EV-7)."""

    parts: tuple[Part, ...]
    flags: int
    at_boundary: bool  #: a later fact had already used up a count or a lot this one touches


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
    channel = number.channel.name.lower()
    chain = terms.plan.chain(channel, fact.category, "out")
    if chain is None or not terms.book.prices(Basis.PER_MESSAGE, channel, fact.category, "out"):
        return Rated((), Flag.NONE, False)  # no category, or one that no book knows (PR-10)
    at, date = fact.at, number.zone.date(fact.at)
    row = terms.book.row(Basis.PER_MESSAGE, channel, fact.category, "out", market, date)
    if contact.in_entry(at) and (row is None or FREE_ENTRY in row.free_in):
        return _free(terms, chain, row)
    for step in chain.steps:
        if step.basis is not Basis.PER_CONVERSATION:
            continue
        if opened & Flag.CONVERSATION_OPENED:
            rated = _pay_conversation(terms, channel, fact, market, date, chain, purse)
            if rated is not None:
                return rated
        else:
            inside = contact.in_conversation(at)
            if (inside and contact.conversation_paid) or chain.steps[-1].basis is step.basis:
                since = contact.conversation_opened_at if inside else None
                opened_on = date if since is None else number.zone.date(since)
                cover = _conversation_row(terms, channel, market, opened_on)
                return _free(terms, chain, cover, balance=step.balance)
        break
    if row is None or chain.steps[-1].basis is not Basis.PER_MESSAGE:
        return Rated((), Flag.NONE, False)
    return _pay_message(terms, number, fact, contact, chain, row, purse)


def rate_visit(terms: Terms, chain: Chain, fact: Fact, date: int, purse: Purse) -> Rated:
    """Rate a contact's first message of a period: one visitor (VI-1)."""
    channel = fact.channel.name.lower()
    row = terms.book.row(Basis.PER_VISITOR, channel, chain.category, "in", "none", date)
    if row is None:
        return Rated((), Flag.NONE, False)
    steps = tuple(terms.balance_ids[step.balance] for step in chain.steps)
    return _pay(purse, steps, terms.rule_ids[row.rule], fact.at, UNIT, UNIT)


def _conversation_row(terms: Terms, channel: str, market: str, date: int) -> Row | None:
    return terms.book.row(Basis.PER_CONVERSATION, channel, "*", "out", market, date)


def _pay_conversation(
    terms: Terms, channel: str, fact: Fact, market: str, date: int, chain: Chain, purse: Purse
) -> Rated | None:
    """Charge the conversation a message opened; None where its steps leave it to the message.

    A unit balance pays one whole unit or nothing, unless nothing comes after it; money pays where
    the book has a price per conversation.
    """
    row = _conversation_row(terms, channel, market, date)
    if row is None:
        return None
    rule_id = terms.rule_ids[row.rule]
    last = chain.steps[-1]
    for step in chain.steps:
        if step.basis is not Basis.PER_CONVERSATION:
            continue
        balance_id = terms.balance_ids[step.balance]
        if terms.plan.balance(step.balance).kind == "unit":
            if step is last or whole_units(purse.lots(balance_id, fact.at), fact.at) >= UNIT:
                rated = _pay(purse, (balance_id,), rule_id, fact.at, UNIT, UNIT)
                return rated._replace(flags=rated.flags | Flag.CONVERSATION_PAID)
        elif row.price is not None:
            amount = money.charge(row.price, UNIT)
            rated = _pay(purse, (balance_id,), rule_id, fact.at, UNIT, amount)
            return rated._replace(flags=rated.flags | Flag.CONVERSATION_PAID)
    return None


def _pay_message(
    terms: Terms,
    number: NumberTerms,
    fact: Fact,
    contact: Contact,
    chain: Chain,
    row: Row,
    purse: Purse,
) -> Rated:
    """Charge one message by its row: free in a window, free by count, or at the row's price."""
    if (CUSTOMER_SERVICE in row.free_in and contact.in_service(fact.at)) or row.price == 0:
        return _free(terms, chain, row)
    crossed = False
    if row.free_count is not None:
        scope = number.number_id if row.free_count.per == "number" else 0
        counter = purse.counter(row.free_count.name, scope, number.zone.month(fact.at))
        if counter.value < row.free_count.count:
            counter.value += 1
            if counter.value == row.free_count.count:
                counter.reached_at = fact.at
            return _free(terms, chain, row)
        crossed = counter.reached_at is not None and fact.at < counter.reached_at
    if row.price is None:
        return Rated((), Flag.NONE, crossed)
    steps = tuple(
        terms.balance_ids[step.balance] for step in chain.steps if step.basis is row.basis
    )
    amount = money.charge(row.price, UNIT)
    rated = _pay(purse, steps, terms.rule_ids[row.rule], fact.at, UNIT, amount)
    return rated._replace(at_boundary=rated.at_boundary or crossed)


def _free(terms: Terms, chain: Chain, row: Row | None, *, balance: str | None = None) -> Rated:
    """Charge nothing by `row`, in the books of the balance that would have paid."""
    if row is None:
        return Rated((), Flag.NONE, False)
    balance_id = terms.balance_ids[balance or chain.steps[-1].balance]
    return Rated((Part(balance_id, terms.rule_ids[row.rule], UNIT, 0, ()),), Flag.NONE, False)


def _pay(
    purse: Purse, balances: tuple[int, ...], rule_id: int, at: int, units: int, amount: int
) -> Rated:
    """Take `amount` from the balances in turn; the last one takes what none held (BA-11)."""
    parts: list[Part] = []
    left, crossed, flags = amount, False, Flag.NONE
    for balance_id in balances:
        lots = purse.lots(balance_id, at)
        legs = take(lots, at, left)
        left -= sum(leg.taken for leg in legs)
        crossed |= any(lot.exhausted_at is not None and at < lot.exhausted_at for lot in lots)
        if left and balance_id == balances[-1]:
            legs.append(overdraw(purse.overdraft(balance_id, at), at, left))
            flags, left = Flag.OVERDRAWN, 0
        if legs:
            taken = sum(leg.taken for leg in legs)
            parts.append(Part(balance_id, rule_id, units, taken, tuple(legs)))
        if not left:
            break
    return Rated(tuple(parts), flags, crossed)
