"""Rating what is counted: segments, seconds, mails, sessions, recorded units (SM-1, VO-1, MT-1).

Owns how a chain shares units: unit balances pay whole ones as far as they hold some, money pays the
rest at its tiers' prices (PR-7), and the last balance takes what none held (BA-11).
"""

from __future__ import annotations

from domain import money
from domain.books import Basis, Book
from domain.draw import whole_units
from domain.facts import Fact, Flag, Type
from domain.purse import UNRATED, Purse, Rated, pay, position, take_free, was_crossed
from domain.state import Part
from domain.terms import NumberTerms, Terms
from domain.units import UnitTariff, shares, unit_tariff, units_of

#: What an inbound call may be priced by; a visitor is no call.
OF_CALLS = tuple(basis for basis in Basis if basis is not Basis.PER_VISITOR)


def rate_counted(
    terms: Terms,
    number: NumberTerms,
    fact: Fact,
    category: str,
    direction: str,
    market: str,
    at: int,
    purse: Purse,
) -> Rated:
    """Rate what is counted: segments, seconds, mails, sessions, recorded units (SM-1, VO-1, MT-1).

    `at` is the instant that row, lots and period go by. Unit balances pay whole units as far as
    they hold some, money pays the rest at its tiers' prices; the last one takes what none held.
    """
    day = number.zone.day(at)
    meter = fact.type is Type.USAGE_RECORDED
    terms_of = unit_tariff(
        terms, number.channel_name, category, direction, market, day.date, meter=meter
    )
    if terms_of is None or any(tier.price is None for tier in terms_of.schedule):
        return UNRATED
    rule_id, payers = terms_of.schedule[0].rule_id, terms_of.payers
    left = total = units_of(fact, terms_of)
    crossed = False
    if terms_of.free_count is not None:
        left, crossed = take_free(terms_of.free_count, number, day.month, at, left, purse)
    priceless = all(tier.price == 0 for tier in terms_of.schedule)
    if not left or priceless:
        free = Part(payers[-1][0], rule_id, total, 0, ())
        return Rated((free,), Flag.NONE, crossed)
    parts: list[Part] = []
    flags = Flag.NONE
    for place, (balance_id, holds_units) in enumerate(payers, 1):
        if not holds_units:
            paid = _money(terms_of, payers[place - 1 :], day.month, at, left, purse)
        else:
            lots, paid_at = purse.lots(balance_id, at), purse.paid_at(at)
            taken = left if place == len(payers) else min(whole_units(lots, paid_at), left)
            if not taken:
                crossed |= was_crossed(lots, paid_at)
                continue
            paid = pay(purse, (balance_id,), rule_id, at, taken, taken)
            left -= taken
        parts += paid.parts
        flags |= paid.flags
        crossed |= paid.at_boundary
        if not holds_units or not left:
            break
    return Rated(tuple(parts), flags, crossed)


def _money(
    terms_of: UnitTariff,
    payers: tuple[tuple[int, bool], ...],
    month: int,
    at: int,
    units: int,
    purse: Purse,
) -> Rated:
    """Charge units in money, tier by tier; a tier's part is a charge of its own row."""
    balances = tuple(balance for balance, holds_units in payers if not holds_units)
    before, crossed = 0, False
    if terms_of.schedule[0].tier is not None:
        before, crossed = position(terms_of.count, terms_of.schedule, month, at, units, purse)
    parts: list[Part] = []
    flags = Flag.NONE
    for price, share in shares(terms_of.schedule, before, units):
        assert price.price is not None, "a schedule without a rate is unrated"
        amount = money.charge(price.price, share, terms_of.divisor)
        if not amount:
            parts.append(Part(balances[-1], price.rule_id, share, 0, ()))
            continue
        paid = pay(purse, balances, price.rule_id, at, amount, share)
        parts += paid.parts
        flags |= paid.flags
        crossed |= paid.at_boundary
    return Rated(tuple(parts), flags, crossed)


def prices_calls(book: Book, channel: str) -> bool:
    """Whether a book speaks of inbound calls on a channel (EV-7)."""
    return any(book.prices(basis, channel, "*", "in") for basis in OF_CALLS)
