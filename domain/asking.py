"""Asking before a send: whether it can be paid, and what is set aside for it (OC-1, OC-5, OC-8).

Owns the order of refusals, and a purse that knows sums instead of lots: what is left of a balance
less what open holds have of it. The charging is `rate`'s own, so that a hold and the charge to come
cannot disagree about a price. With each decision go the bounds within which it stays the same; who
keeps the sums compares them again in one step, and otherwise asks anew.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from domain import meter
from domain.aside import Aside
from domain.contacts import WINDOWS, Contact
from domain.counted import rate_counted
from domain.dunning import Dunned
from domain.facts import REACHED, Direction, Fact, Flag
from domain.holds import Vector, vector
from domain.purse import Rated
from domain.rate import rate_message
from domain.sums import HELD, LEFT, Bounds, Sums
from domain.terms import NumberTerms, Terms


class Reason(StrEnum):
    """Why a send is refused, in the order in which reasons are looked for (OC-1)."""

    TENANT_SUSPENDED = "tenant_suspended"
    BLOCKED = "blocked"
    UNPAID_INVOICE = "unpaid_invoice"
    WINDOW_CLOSED = "window_closed"
    UNRATED = "unrated"
    LIMIT_REACHED = "limit_reached"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    UNAVAILABLE = "unavailable"  #: nobody can say just now, and the tenant's word is to refuse


class Cap(NamedTuple):
    """What of a balance may be set aside at most, beside what was used before it."""

    balance: str
    span: str  #: day or month
    limit: int  #: as it was set
    left: int  #: of it, less what the span used: open holds come off it


class Limit(NamedTuple):
    """How many may be reached at once, and how many shall be."""

    what: str  #: recipients or members
    reached: int
    most: int | None  #: None: as many as the tenant's terms allow


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a send is refused; amounts in micros of `balance`'s unit, where it is one of amounts."""

    reason: Reason
    message: str
    recipient: int | None = None  #: the place of the recipient it is about
    balance: str | None = None
    required: int | None = None
    available: int | None = None
    refill_pending: bool = False  #: whether the balance is being refilled

    @property
    def shortfall(self) -> int | None:
        if self.required is None or self.available is None:
            return None
        return self.required - self.available


class Charge(NamedTuple):
    """What a send can cost by one rule from one balance."""

    balance: str
    rule_id: int
    units: int
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is set aside for a send, or why it is refused."""

    refusal: Refusal | None = None
    shares: Sequence[Vector] = ()  #: of those that are granted, in order
    total: Vector = ()
    charges: tuple[Charge, ...] = ()
    category: str = ""
    bounds: tuple[Bounds, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One send; `facts` are what it would become, one a recipient, each at the instant asked for.

    `contacts` are the windows of their parties as they stand; who is not there has none.
    """

    terms: Terms
    keys: Mapping[int, str]  #: of balances, by number
    number: NumberTerms
    facts: Sequence[Fact]
    contacts: Mapping[str, Contact]  #: by party, on the number
    partial: bool = False
    before: Vector = ()  #: what the hold has that this one takes the place of
    caps: tuple[Cap, ...] = ()
    limit: Limit | None = None
    refilling: Collection[int] = ()  #: balances whose refill is on its way


def decide(ask: Ask, sums: Sums) -> Decision:
    """Decide a send against the sums, which are then less what it takes; none where refused."""
    terms = ask.terms
    if terms.suspended:
        return Decision(refusal=Refusal(reason=Reason.TENANT_SUSPENDED, message=SUSPENDED))
    if terms.blocked:
        return Decision(refusal=Refusal(reason=Reason.BLOCKED, message=BLOCKED))
    category, dunned = ask.facts[0].category, terms.dunned
    if dunned is not None and dunned.refuses(category):
        return Decision(refusal=_unpaid(dunned), category=category)
    for place, fact in enumerate(ask.facts):
        if _is_closed(ask, fact):
            return Decision(
                refusal=Refusal(
                    reason=Reason.WINDOW_CLOSED, message=CLOSED, recipient=place
                )
            )  # fmt: skip
    sums.shift(ask.before, -1)
    if dunned is not None and dunned.spares_prepaid(category):
        decision = _without_credit(ask, sums, dunned)
    else:
        decision = Asking(ask, sums).run()
    if decision.refusal is None:
        sums.shift(decision.total)
    else:
        sums.shift(ask.before)
    return decision


SUSPENDED = "the tenant is suspended: nothing is sent until an operator serves it again"
BLOCKED = "sends are blocked because something is unpaid: pay it, or ask support"
CLOSED = (
    "the contact's customer-service window is closed: send a template, or wait until the contact"
    " writes"
)


def _unpaid(dunned: Dunned) -> Refusal:
    return Refusal(reason=Reason.UNPAID_INVOICE, message=dunned.words)


def _without_credit(ask: Ask, sums: Sums, dunned: Dunned) -> Decision:
    """Decide as if no balance had credit; what only credit would pay is refused for the invoice.

    It is found where it is priced: what its window, its rate or a cap refuses is refused for those.
    """
    decision = Asking(ask, sums, on_credit=False).run()
    if decision.refusal is None or decision.refusal.reason is not Reason.INSUFFICIENT_BALANCE:
        return decision
    on_credit = Asking(ask, sums).run()
    bounds = (*decision.bounds, *on_credit.bounds)
    refusal = decision.refusal if on_credit.refusal is not None else _unpaid(dunned)
    return replace(decision, refusal=refusal, bounds=bounds)


def _is_closed(ask: Ask, fact: Fact) -> bool:
    """Whether free text may not be sent, for nobody wrote lately (WI-1)."""
    if fact.type not in REACHED or fact.template:
        return False
    if ask.number.channel_name not in ask.terms.book.windows:
        return False
    contact = ask.contacts.get(fact.party)
    return contact is None or not contact.in_service(fact.at)


class Asking:
    """One send while it is decided."""

    def __init__(self, ask: Ask, sums: Sums, *, on_credit: bool = True) -> None:
        self._ask = ask
        self._on_credit = on_credit
        self._terms = ask.terms
        self._sums = sums
        self._keys = ask.keys
        self._purse = Aside(ask.terms, ask.keys, sums, on_credit=on_credit)
        self._charges: dict[tuple[int, int], list[int]] = {}

    def run(self) -> Decision:
        """Decide recipient by recipient, in the order of the list."""
        shares: list[Vector] = []
        refusal: Refusal | None = None
        short: int | None = None
        for place, fact in enumerate(self._ask.facts):
            rated = self._rate(fact)
            if not rated.parts:
                refusal = self._unrated(place, fact)
            elif self._purse.owed is not None and short is None:
                short = place
            if refusal is not None or (short is not None and self._ask.partial):
                break
            shares.append(self._purse.share())
            self._note(rated)
        if refusal is None:
            refusal = self._too_many()
        if refusal is None and short is not None:
            if self._ask.partial and shares:
                self._purse.no_more()
            else:
                refusal = self._insufficient(short)
        category = self._ask.facts[0].category
        total = vector(self._purse.taken)
        if refusal is None or refusal.reason is Reason.INSUFFICIENT_BALANCE:
            # A cap goes before: more balance would not help (OC-1).
            needed = dict(total)
            if refusal is not None:
                needed[f"{LEFT}{refusal.balance}"] = refusal.required or 0
            capped = self._capped(needed)
            fits = 0 if capped is None or not self._ask.partial else self._prefix(capped, shares)
            if fits:
                fewer = replace(self._ask, facts=self._ask.facts[:fits])
                return Asking(fewer, self._sums, on_credit=self._on_credit).run()
            if capped is not None:
                return Decision(refusal=capped, category=category, bounds=self._cap_bounds(capped))
        if refusal is not None:
            return Decision(refusal=refusal, bounds=self._refused(refusal), category=category)
        return Decision(
            shares=shares,
            total=total,
            charges=tuple(
                Charge(self._keys[balance_id], rule_id, units, amount)
                for (balance_id, rule_id), (units, amount) in self._charges.items()
            ),
            category=category,
            bounds=(*self._purse.kept(), *self._room_in_caps(total)),
        )

    def _rate(self, fact: Fact) -> Rated:
        ask, terms, number = self._ask, self._terms, self._ask.number
        self._purse.begin()
        began = fact.began
        market = terms.book.market(number.channel_name, fact.address, number.zone.day(began).date)
        if fact.type not in REACHED:
            direction = "in" if fact.direction is Direction.IN else "out"
            return rate_counted(
                terms, number, fact, fact.category, direction, market, began, self._purse
            )  # fmt: skip
        contact = clone(ask.contacts.get(fact.party), fact)
        rule = terms.book.windows.get(number.channel_name)
        opened = Flag.NONE
        if rule is not None and fact.group is None:
            opened = meter.reach(contact, fact.at, rule)
        return rate_message(terms, number, fact, contact, opened, market, self._purse)

    def _note(self, rated: Rated) -> None:
        for part in rated.parts:
            charge = self._charges.setdefault((part.balance_id, part.rule_id), [0, 0])
            charge[0] += part.units
            charge[1] += part.amount

    def _unrated(self, place: int, fact: Fact) -> Refusal:
        what = f"category {fact.category!r}" if fact.category else "this send"
        return Refusal(
            reason=Reason.UNRATED,
            message=f"no rate covers {what} to this recipient: it would cost an unknown sum",
            recipient=place,
        )

    def _insufficient(self, place: int) -> Refusal:
        """By the chain's last balance: what all of it needs there, and what there is (OC-1)."""
        owed = self._purse.owed
        assert owed is not None, "somebody could not be paid for"
        key = self._keys[owed.balance_id]
        return Refusal(
            reason=Reason.INSUFFICIENT_BALANCE,
            message=f"balance {key} does not suffice for this send",
            recipient=place,
            balance=key,
            required=self._purse.needed(owed.balance_id),
            available=max(self._purse.room(owed.balance_id), 0),
            refill_pending=owed.balance_id in self._ask.refilling,
        )

    def _refused(self, refusal: Refusal) -> tuple[Bounds, ...]:
        """What would have to change for another answer."""
        if refusal.reason is not Reason.INSUFFICIENT_BALANCE:
            return ()
        return self._purse.stuck()

    def _too_many(self) -> Refusal | None:
        limit = self._ask.limit
        if limit is None:
            return None
        most = self._terms.sending.recipients_max if limit.most is None else limit.most
        if limit.reached <= most:
            return None
        return Refusal(
            reason=Reason.LIMIT_REACHED,
            message=f"{limit.reached:,} {limit.what} are more than {most:,}: send to fewer at"
            " a time",
        )

    def _capped(self, needed: Mapping[str, int]) -> Refusal | None:
        for cap in self._ask.caps:
            name = LEFT + cap.balance
            asked = needed.get(name, 0)
            available = max(cap.left - self._sums.held.get(name, 0), 0)
            if asked > available:
                return Refusal(
                    reason=Reason.LIMIT_REACHED,
                    message=f"the limit of balance {cap.balance} for this {cap.span} is reached",
                    balance=cap.balance,
                    required=asked,
                    available=available,
                )
        return None

    def _prefix(self, capped: Refusal, shares: Sequence[Vector]) -> int:
        """How many recipients fit into a cap (OC-5)."""
        name, room = f"{LEFT}{capped.balance}", capped.available or 0
        for place, share in enumerate(shares):
            room -= dict(share).get(name, 0)
            if room < 0:
                return place
        return 0  # all of them fit: it was somebody behind them who did not

    def _cap_bounds(self, refusal: Refusal) -> tuple[Bounds, ...]:
        name = f"{LEFT}{refusal.balance}"
        return (Bounds(HELD + name, self._sums.held.get(name, 0), None),)

    def _room_in_caps(self, total: Vector) -> tuple[Bounds, ...]:
        taken = dict(total)
        return tuple(
            Bounds(HELD + LEFT + cap.balance, None, cap.left - taken[LEFT + cap.balance])
            for cap in self._ask.caps
            if LEFT + cap.balance in taken
        )


def clone(known: Contact | None, fact: Fact) -> Contact:
    """A contact that may be changed: each send is judged by what stands, not by the others."""
    contact = Contact(fact.channel, fact.party, fact.number_id)
    if known is not None:
        for name in WINDOWS:
            setattr(contact, name, getattr(known, name))
        contact.category_windows = list(known.category_windows)
    return contact
