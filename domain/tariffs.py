"""Tariffs: what the book and the plan say of one kind of message, worked out once.

Owns the look-ups PR-1, PR-2 and PR-6 ask for, per channel, category, market and local date, and
nothing of a tenant's figures. A tariff is valid as long as its terms.
"""

from __future__ import annotations

from dataclasses import dataclass

from domain import money
from domain.books import CUSTOMER_SERVICE, FREE_ENTRY, Basis, FreeCount, Row
from domain.draw import UNIT
from domain.plans import Chain
from domain.state import Part
from domain.terms import Terms
from domain.units import TARIFFS_MAX, TierPrice, count_name, schedule_of

PER, BY_CONVERSATION = Basis.PER_MESSAGE, Basis.PER_CONVERSATION

#: What is added to a category where its messages to other countries have rows of their own (PR-5).
INTERNATIONAL = "_international"


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one unit of a row costs, and which row says so."""

    rule_id: int
    amount: int | None  #: micros of the currency; None is "no rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """How a message of one kind is charged on one date."""

    message: Price | None  #: None: no row speaks of such a message
    tiers: tuple[TierPrice, ...]  #: of a row with tiers, all of them (PR-7)
    count: str  #: the month's count of charged messages that tiers go by
    grouped: bool  #: a row for groups prices it: per member, in whatever window (PR-8)
    charged_on: str
    free_in_service: bool
    free_in_entry: bool
    free_count: FreeCount | None
    free: Part | None  #: the charge of a message that its row lets pass
    payers: tuple[int, ...]  #: balances that pay per message, in turn; none in some plans
    conversation: Price | None  #: None: this kind of message is not paid by conversations
    conversation_payers: tuple[tuple[int, bool], ...]  #: balance, and whether it holds units
    covered: Part | None  #: the charge of a message inside a conversation that covers it
    by_conversation_only: bool  #: nothing else pays: a conversation covers whatever comes
    by_category: Price | None  #: per conversation of the category; None: it has no such row (CO-3)
    category_count: FreeCount | None  #: of conversations of the category
    category_free: Part | None  #: the charge of what such a conversation covers, or lets pass
    category_length: int  #: microseconds such a conversation lasts


def tariff(
    terms: Terms,
    channel: str,
    category: str,
    market: str,
    date: int,
    abroad: bool = False,
    group: bool = False,
) -> Tariff | None:
    """The tariff of delivered messages; None where the plan has no chain, or no book knows.

    `abroad`: the contact's country is not the tenant's; `group`: it went to a group.
    """
    key = (channel, category, market, date, abroad, group)
    try:
        return terms.tariffs[key]  # type: ignore[return-value]
    except KeyError:
        pass
    if len(terms.tariffs) >= TARIFFS_MAX:
        terms.tariffs.clear()
    found = terms.tariffs[key] = _find(terms, channel, category, market, date, abroad, group)
    return found


def _rows(
    terms: Terms, channel: str, category: str, market: str, date: int, abroad: bool, group: bool
) -> tuple[Row, ...]:
    """The rows per message: a group's, an international one where it has come, else the plain."""
    schedule = terms.book.schedule
    if group and (found := schedule(PER, channel, category, "out", market, date, group=True)):
        return found
    if abroad and (found := _abroad(terms, PER, channel, category, market, date)):
        return found
    return schedule(PER, channel, category, "out", market, date)


def _abroad(
    terms: Terms, basis: Basis, channel: str, category: str, market: str, date: int
) -> tuple[Row, ...]:
    """The international rows, where the tenant's day for the market has come; else none (PR-5)."""
    since = terms.international.get(market)
    if since is None or date < since:
        return ()
    kind = category + INTERNATIONAL
    found = terms.book.schedule(basis, channel, kind, "out", market, date)
    return found if found and found[0].category == kind else ()


def _find(
    terms: Terms, channel: str, category: str, market: str, date: int, abroad: bool, group: bool
) -> Tariff | None:
    book = terms.book
    chain = terms.plan.chain(channel, category, "out")
    if chain is None:
        return None
    own = book.row(BY_CONVERSATION, channel, category, "out", market, date)
    if own is not None and own.category != category:
        own = None  # it prices conversations of any category
    if abroad and (rows := _abroad(terms, BY_CONVERSATION, channel, category, market, date)):
        own = rows[0]
    if own is None and not book.prices(PER, channel, category, "out"):
        return None  # no category, or one that no book knows (PR-10)
    rows = _rows(terms, channel, category, market, date, abroad, group)
    row = rows[0] if rows else None
    last = terms.balance_ids[chain.steps[-1].balance]
    conversation = covered = None
    payers = _payers(terms, chain, BY_CONVERSATION)
    if payers:
        opening = book.row(BY_CONVERSATION, channel, "*", "out", market, date)
        conversation = _price(terms, opening)
        covered = _free(conversation, payers[0])
    message = _price(terms, row)
    return Tariff(
        message=message,
        tiers=schedule_of(terms, rows) if row is not None and row.tier is not None else (),
        count=count_name(channel, market, category),
        grouped=row is not None and row.group,
        charged_on="delivered" if row is None else row.charged_on,
        free_in_service=row is not None and CUSTOMER_SERVICE in row.free_in,
        free_in_entry=row is not None and FREE_ENTRY in row.free_in,
        free_count=None if row is None else row.free_count,
        free=_free(message, last),
        payers=_payers(terms, chain, PER),
        conversation=conversation,
        conversation_payers=tuple(
            (balance, terms.balances[balance].kind == "unit") for balance in payers
        ),
        covered=covered,
        by_conversation_only=chain.steps[-1].basis is Basis.PER_CONVERSATION,
        by_category=(by_category := _price(terms, own)),
        category_count=None if own is None else own.free_count,
        category_free=_free(by_category, payers[0] if payers else last),
        category_length=book.windows[channel].conversation if channel in book.windows else 0,
    )


def _payers(terms: Terms, chain: Chain, basis: Basis) -> tuple[int, ...]:
    return tuple(terms.balance_ids[step.balance] for step in chain.steps if step.basis is basis)


def _price(terms: Terms, row: Row | None) -> Price | None:
    if row is None:
        return None
    amount = None if row.price is None else money.charge(row.price, UNIT)
    return Price(rule_id=terms.rule_ids[row.rule], amount=amount)


def _free(price: Price | None, balance_id: int) -> Part | None:
    """Nothing charged by a rule, in the books of the balance that would have paid."""
    return None if price is None else Part(balance_id, price.rule_id, UNIT, 0, ())
