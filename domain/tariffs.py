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

#: Tariffs remembered for one tenant, some 400 bytes each: a month of categories in few markets.
TARIFFS_MAX = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one unit of a row costs, and which row says so."""

    rule_id: int
    amount: int | None  #: micros of the currency; None is "no rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """How a message of one kind is charged on one date."""

    message: Price | None  #: None: no row speaks of such a message
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


def tariff(terms: Terms, channel: str, category: str, market: str, date: int) -> Tariff | None:
    """The tariff of delivered messages; None where the plan has no chain, or no book knows."""
    key = (channel, category, market, date)
    try:
        return terms.tariffs[key]  # type: ignore[return-value]
    except KeyError:
        pass
    if len(terms.tariffs) >= TARIFFS_MAX:
        terms.tariffs.clear()
    found = terms.tariffs[key] = _find(terms, channel, category, market, date)
    return found


def _find(terms: Terms, channel: str, category: str, market: str, date: int) -> Tariff | None:
    book = terms.book
    chain = terms.plan.chain(channel, category, "out")
    if chain is None or not book.prices(Basis.PER_MESSAGE, channel, category, "out"):
        return None  # no category, or one that no book knows (PR-10)
    row = book.row(Basis.PER_MESSAGE, channel, category, "out", market, date)
    last = terms.balance_ids[chain.steps[-1].balance]
    conversation = covered = None
    payers = _payers(terms, chain, Basis.PER_CONVERSATION)
    if payers:
        opening = book.row(Basis.PER_CONVERSATION, channel, "*", "out", market, date)
        conversation = _price(terms, opening)
        covered = _free(conversation, payers[0])
    message = _price(terms, row)
    return Tariff(
        message=message,
        charged_on="delivered" if row is None else row.charged_on,
        free_in_service=row is not None and CUSTOMER_SERVICE in row.free_in,
        free_in_entry=row is not None and FREE_ENTRY in row.free_in,
        free_count=None if row is None else row.free_count,
        free=_free(message, last),
        payers=_payers(terms, chain, Basis.PER_MESSAGE),
        conversation=conversation,
        conversation_payers=tuple(
            (balance, terms.balances[balance].kind == "unit") for balance in payers
        ),
        covered=covered,
        by_conversation_only=chain.steps[-1].basis is Basis.PER_CONVERSATION,
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
