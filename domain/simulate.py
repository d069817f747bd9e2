"""Simulating: what recorded facts would cost under another book or plan, beside what they did.

Owns the terms as they would be, the figures a simulation begins with, and its sums. The charging is
the fold's. Units are drawn as they are in the books: a period's allowance, then what was bought.
Money never runs out, so that what is charged is a plain sum. Posts nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from domain.books import Book
from domain.categories import close_categories, open_category
from domain.contacts import Contact
from domain.draw import order
from domain.facts import REACHED, Direction, Fact, Flag, Status, Type
from domain.lots import Lot, LotSource
from domain.markets import ALWAYS, NO_PHONE
from domain.periods import Interval
from domain.plans import VISITOR, Plan
from domain.problems import Problem
from domain.settle import Posted
from domain.standing import BEGINNING, Holding
from domain.state import Outcome, State
from domain.terms import Terms

#: More money than all facts of a tenant cost, in micros.
ENDLESS = 1 << 80

#: Lots of a simulation are numbered from here; what was bought keeps the numbers it has.
OWN_LOTS = 1_000_000_000


def as_if(
    own: Terms, books: Mapping[str, Book], *, plan: Plan | None, book: Book | None, date: int | None
) -> Terms:
    """A tenant's terms on one plan (None: those it was on) and under one book (None: the plans').

    With a date the rules of that local day hold for every fact; without one each fact goes by its
    own. A Problem where the plan counts a balance in another unit than the tenant has it in.
    """
    standing = own.standing
    if plan is not None:
        _check_units(own, plan)
        standing = replace(standing, holdings=(Holding(BEGINNING, plan),))
    plans = {holding.plan.key: holding.plan for holding in standing.holdings}
    named = {each.book: book or books[each.book] for each in plans.values()}
    international = own.international
    if date is not None:
        named = {key: each.as_of(date) for key, each in named.items()}
        international = {market: ALWAYS for market, day in international.items() if day <= date}
    rule_ids, balance_ids = dict(own.rule_ids), dict(own.balance_ids)
    last = max(rule_ids.values(), default=0)
    for rule in {row.rule: None for each in named.values() for row in each.rows}:
        if rule not in rule_ids:
            last += 1
            rule_ids[rule] = last
    for balance in (balance for each in plans.values() for balance in each.balances):
        balance_ids.setdefault(balance.key, -1 - len(balance_ids))  # no stored one is negative
    base = replace(
        own, rule_ids=rule_ids, balance_ids=balance_ids, international=international,
        tariffs={}, allowances={}, views=[],
    )  # fmt: skip
    return base.dated(standing, named)


def _check_units(own: Terms, plan: Plan) -> None:
    for holding in own.standing.holdings:
        known = {balance.key: balance.unit for balance in holding.plan.balances}
        for balance in plan.balances:
            if (unit := known.get(balance.key, balance.unit)) != balance.unit:
                raise Problem(
                    "UNIT_MISMATCH",
                    f"{plan.key} counts {balance.key} in {balance.unit}, the tenant has it in "
                    f"{unit}: choose a plan that does so too",
                    "plan",
                )


def opening(terms: Terms, bought: Iterable[Lot]) -> State:
    """The figures before the first fact: money that never ends, and the units that were bought."""
    state = State(version=0, digest=b"", last_lot=OWN_LOTS, next_due=None, unsettled_from=None)
    for balance_id, balance in terms.balances.items():
        if balance.kind == "money":
            state.last_lot += 1
            state.lots[balance_id] = [
                Lot(
                    lot_id=state.last_lot, balance_id=balance_id, source=LotSource.ADJUSTMENT,
                    priority=0, month=None, amount=ENDLESS, starts_at=0, ends_at=None, created_at=0,
                )
            ]  # fmt: skip
    for lot in bought:
        known = terms.balances.get(lot.balance_id)
        if known is not None and known.kind == "unit":
            state.lots.setdefault(lot.balance_id, []).append(lot)
    state.lots = {balance_id: order(lots) for balance_id, lots in state.lots.items()}
    return state


def remember(terms: Terms, contact: Contact, fact: Fact, status: int, flags: int) -> None:
    """Note what a fact from before the first period did to its contact's windows.

    They are those of the books, whatever other rules would have made of it: where a window ends
    depends on the ones before it, and a conversation is paid if it was. Facts come in order.
    """
    number = terms.numbers[fact.number_id]
    rule = terms.at(fact.began).book.windows.get(number.channel_name)
    if rule is None or flags & Flag.REPEATED or status == Status.ADJUSTED:
        return
    if fact.type is Type.MESSAGE_RECEIVED or (
        fact.type is Type.CALL_ENDED and fact.direction is Direction.IN
    ):
        at = fact.began
        if not contact.in_service(at):
            contact.service_opened_at = at
        contact.service_ends_at = max(contact.service_ends_at or 0, at + rule.customer_service)
        if fact.entry and not contact.in_entry(at):
            contact.entry_at = at
        return
    at = fact.at
    if fact.type in REACHED and fact.group is None:
        contact.entry_at = None
    if flags & Flag.ENTRY_OPENED:
        contact.entry_opened_at, contact.entry_ends_at = at, at + rule.free_entry
        close_categories(contact)
    if flags & Flag.CONVERSATION_OPENED:
        contact.conversation_opened_at, contact.conversation_ends_at = at, at + rule.conversation
        contact.conversation_paid = bool(flags & Flag.CONVERSATION_PAID)
    if flags & Flag.CATEGORY_OPENED:
        open_category(contact, fact, rule.conversation)


class Place(NamedTuple):
    """What a line sums over."""

    month: int  #: label, the tenant's
    number_id: int
    market: str
    category: str  #: of messages; of visits and meters their name


@dataclass(slots=True)
class Side:
    """What facts come to by one set of rules; amounts are micros."""

    units: int = 0
    free: int = 0  #: facts that cost nothing
    unrated: int = 0  #: facts that no rate covers
    money: int = 0
    taken: dict[str, int] = field(default_factory=dict)  #: by balance, in its unit


@dataclass(slots=True)
class Line:
    """Facts of one month, number, market and category."""

    place: Place
    count: int = 0
    charged: Side = field(default_factory=Side)
    simulated: Side = field(default_factory=Side)


@dataclass(slots=True)
class Drawn:
    """Where what was taken from one balance came from, in micros of its unit."""

    total: int = 0
    allowance: int = 0
    bought: int = 0  #: by lots that were bought or given
    beyond: int = 0  #: by no lot


@dataclass(slots=True)
class Total:
    """One balance over the whole range."""

    charged: Drawn = field(default_factory=Drawn)
    simulated: Drawn = field(default_factory=Drawn)


class Share(NamedTuple):
    """What a charge took from one balance, whichever side it is of."""

    balance_id: int
    units: int
    amount: int
    legs: Collection[tuple[LotSource, int]]


class Sums:
    """A running sum over facts, what became of them, and what would have."""

    def __init__(
        self, own: Terms, terms: Terms, range: Interval, sources: Mapping[int, LotSource]
    ) -> None:
        """`own` are the tenant's terms, `terms` those as if; `sources` of its lots by number."""
        self.lines: dict[Place, Line] = {}
        self.totals: dict[str, Total] = {}
        self.facts = 0  #: in the range
        self._terms = terms
        self._start, self._end = range
        self._sources = sources
        self._money = {
            balance_id
            for each in (own, terms)
            for balance_id, balance in each.balances.items()
            if balance.kind == "money"
        }
        self._keys = {number: key for key, number in terms.balance_ids.items()}

    def add(self, posted: Posted, outcome: Outcome) -> None:
        """Add one fact, if it is of the range: a call by its start (VO-1)."""
        fact = outcome.fact
        if not self._start <= fact.began < self._end:
            return
        self.facts += 1
        unrated = Status.UNRATED
        if not (posted.parts or outcome.parts or unrated in (posted.status, outcome.status)):
            return  # nothing is charged for it, nor would be
        place = self._place(fact)
        line = self.lines.get(place)
        if line is None:
            line = self.lines[place] = Line(place)
        line.count += 1
        before = [
            Share(
                part.balance_id, part.units, part.amount,
                [(self._sources[lot_id], taken) for lot_id, taken in part.legs],
            )
            for part in posted.parts
        ]  # fmt: skip
        after = [
            Share(
                part.balance_id, part.units, part.amount,
                [(leg.lot.source, leg.taken) for leg in part.legs],
            )
            for part in outcome.parts
        ]  # fmt: skip
        line.charged.unrated += posted.status == unrated
        line.simulated.unrated += outcome.status == unrated
        self._take(line.charged, before)
        self._take(line.simulated, after)
        for share in before:
            self._draw(self._total(share).charged, share)
        for share in after:
            self._draw(self._total(share).simulated, share)

    def _place(self, fact: Fact) -> Place:
        terms = self._terms.at(fact.began)
        number = terms.numbers[fact.number_id]
        market, category = NO_PHONE, fact.category
        if fact.type is Type.MESSAGE_RECEIVED:
            category = VISITOR
        else:
            if fact.type is Type.USAGE_RECORDED:
                category = fact.meter
            date = number.zone.day(fact.began).date
            market = terms.book.market(number.channel_name, fact.address, date)
        return Place(terms.zone.day(fact.began).month, fact.number_id, market, category)

    def _take(self, side: Side, shares: Iterable[Share]) -> None:
        paid = 0
        any_share = False
        for share in shares:
            any_share = True
            side.units += share.units
            paid += share.amount
            if share.amount:
                key = self._keys[share.balance_id]
                side.taken[key] = side.taken.get(key, 0) + share.amount
            if share.balance_id in self._money:
                side.money += share.amount
        side.free += any_share and not paid

    def _total(self, share: Share) -> Total:
        key = self._keys[share.balance_id]
        total = self.totals.get(key)
        if total is None:
            total = self.totals[key] = Total()
        return total

    def _draw(self, drawn: Drawn, share: Share) -> None:
        drawn.total += share.amount
        for source, taken in share.legs:
            if source is LotSource.ALLOWANCE:
                drawn.allowance += taken
            elif source is LotSource.OVERDRAFT:
                drawn.beyond += taken
            else:
                drawn.bought += taken
