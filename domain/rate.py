"""Rating: whether a fact is free, what it costs otherwise, and what pays.

Owns PR-3, PR-4 and PR-9 as steps over a tariff: which rule speaks is looked up there. Neither knows
a channel or a category by name. Where no lot suffices, the last balance of the chain takes the rest
(BA-11): usage that happened is always charged.
"""

from __future__ import annotations

from domain import money
from domain.books import Basis
from domain.categories import close_categories, covering, open_category
from domain.contacts import Contact
from domain.counted import rate_counted
from domain.draw import UNIT, whole_units
from domain.facts import REACHED, Fact, Flag, Type
from domain.plans import Chain
from domain.purse import UNRATED, Purse, Rated, pay, position, take_free, was_crossed
from domain.state import Part
from domain.tariffs import Price, Tariff, tariff
from domain.terms import NumberTerms, Terms
from domain.units import shares, unit_tariff


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
    terms_of = message_tariff(terms, number, fact, market, date)
    if terms_of is None:
        return rate_counted(terms, number, fact, fact.category, "out", market, at, purse)
    if terms_of.grouped and terms_of.payers:
        return _pay_message(terms_of, number, fact, contact, purse)
    if terms_of.by_category is not None or contact.category_windows:
        by_category = _by_category(terms_of, terms, number, fact, contact, opened, market, purse)
        if by_category is not None:
            return by_category
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


def _by_category(
    terms_of: Tariff,
    terms: Terms,
    number: NumberTerms,
    fact: Fact,
    contact: Contact,
    opened: int,
    market: str,
    purse: Purse,
) -> Rated | None:
    """Rate a message by conversations of categories (CO-3); None where they do not speak of it.

    What is inside one is covered until it ends, whatever the rules are by then (CO-4).
    """
    if opened & Flag.ENTRY_OPENED:
        close_categories(contact)
    price = terms_of.by_category
    if contact.in_entry(fact.at):
        return None if price is None or price.amount is None else _free(terms_of.category_free)
    cover = covering(contact, fact)
    if cover is not None:
        then = message_tariff(terms, number, fact, market, number.zone.day(cover.opened_at).date)
        part = terms_of.category_free if then is None else then.category_free
        return _free(part or terms_of.free, covered=True)
    if price is None or price.amount is None:
        return None
    open_category(contact, fact, terms_of.category_length)
    rated = _pay_category(terms_of, price, number, fact.at, purse)
    return rated._replace(flags=rated.flags | Flag.CATEGORY_OPENED)


def _pay_category(
    terms_of: Tariff, price: Price, number: NumberTerms, at: int, purse: Purse
) -> Rated:
    """Charge the conversation of a category that a message opened: by count, free, or its price."""
    amount = price.amount
    assert amount is not None, "no rate ends conversations of a category"
    free = _free(terms_of.category_free)
    if not amount:
        return free
    crossed = False
    if terms_of.category_count is not None:
        month = number.zone.day(at).month
        left, crossed = take_free(terms_of.category_count, number, month, at, UNIT, purse)
        if not left:
            return free
    payers = tuple(balance for balance, _ in terms_of.conversation_payers)
    rated = pay(purse, payers, price.rule_id, at, amount) if payers else UNRATED
    return rated._replace(at_boundary=True) if crossed else rated


def message_tariff(
    terms: Terms, number: NumberTerms, fact: Fact, market: str, date: int
) -> Tariff | None:
    """The tariff of a fact's message on a local date."""
    abroad = fact.country != terms.country and bool(terms.international)
    channel, group = number.channel_name, fact.group is not None
    return tariff(terms, channel, fact.category, market, date, abroad, group)


def charged_on(terms: Terms, number: NumberTerms, fact: Fact, market: str) -> str:
    """The status that charges a message, `delivered` or `sent`; "" where no row speaks of it."""
    date = number.zone.day(fact.at).date
    by_message = message_tariff(terms, number, fact, market, date)
    if by_message is not None:
        return by_message.charged_on
    by_unit = unit_tariff(terms, number.channel_name, fact.category, "out", market, date)
    return "" if by_unit is None else by_unit.charged_on


def claims_message(terms: Terms, fact: Fact) -> bool:
    """Whether the fact charges the message it names, if nothing did before (EV-5)."""
    if fact.message is None:
        return False
    if fact.type in REACHED:
        return True
    return fact.type is Type.MESSAGE_SENT and is_charged_when_sent(terms.at(fact.at), fact)


def is_charged_when_sent(terms: Terms, fact: Fact) -> bool:
    """Whether the rows charge such a message when it is sent, as they do SMS."""
    number = terms.numbers[fact.number_id]
    date = number.zone.day(fact.at).date
    market = terms.book.market(number.channel_name, fact.address, date)
    return charged_on(terms, number, fact, market) == "sent"


def rate_visit(terms: Terms, chain: Chain, channel: str, at: int, date: int, purse: Purse) -> Rated:
    """Rate a contact's first message of a period: one visitor (VI-1)."""
    row = terms.book.row(Basis.PER_VISITOR, channel, chain.category, "in", "none", date)
    if row is None:
        return UNRATED
    payers = tuple(terms.balance_ids[step.balance] for step in chain.steps)
    return pay(purse, payers, terms.rule_ids[row.rule], at, UNIT)


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
            if not last and whole_units(lots, purse.paid_at(at)) < UNIT:
                crossed |= was_crossed(lots, purse.paid_at(at))
                continue
            amount = UNIT
        elif price.amount is None:
            continue
        else:
            amount = price.amount
        rated = pay(purse, (balance_id,), price.rule_id, at, amount)
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
    priceless = price.amount == 0 and not terms_of.tiers
    if priceless or (terms_of.free_in_service and contact.in_service(fact.at)):
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
    rule_id, amount = price.rule_id, price.amount
    if amount is None or any(tier.price is None for tier in terms_of.tiers):
        return Rated((), Flag.NONE, crossed)
    if terms_of.tiers:
        month = number.zone.day(fact.at).month
        before, late = position(terms_of.count, terms_of.tiers, month, fact.at, UNIT, purse)
        crossed |= late
        tier = next(shares(terms_of.tiers, before, UNIT)).price
        assert tier.price is not None, "looked at above"
        rule_id, amount = tier.rule_id, money.charge(tier.price, UNIT)
    rated = pay(purse, terms_of.payers, rule_id, fact.at, amount)
    return rated._replace(at_boundary=True) if crossed else rated


def _free(part: Part | None, *, covered: bool = False) -> Rated:
    return UNRATED if part is None else Rated((part,), Flag.NONE, False, covered)
