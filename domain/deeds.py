"""Deeds: what people did to balances, as inputs that can be folded again in their place (EV-4).

Owns where a deed stands among facts and how it is done once more. What was given is never redone
(an amount, a lot's start and end); which lots a debit took from, where a refund went and what a
credit paid off follow from what stands before it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from domain.adjustments import adjust
from domain.changing import book
from domain.draw import order
from domain.ledger import PAY_OFF, REFUND
from domain.lots import Lot, LotSource
from domain.refunds import refund_charge, refund_top_up, take_back
from domain.state import Changes, State, Transfer
from domain.terms import Terms
from domain.top_ups import top_up

#: A fact's key and the part of its charge.
Charge: TypeAlias = tuple[bytes, int]


@dataclass(slots=True)
class Past:
    """What deeds ask of everything that was folded before them."""

    legs: dict[Charge, Sequence[tuple[int, int]]] = field(default_factory=dict)
    #: (lot, taken) of the charges that some deed refunds
    refunded: dict[Charge, int] = field(default_factory=dict)
    returned: dict[str, int] = field(default_factory=dict)  #: money, by the key of its top-up
    bought: dict[str, Lot] = field(default_factory=dict)  #: lots, by the key of their top-up
    _paid_off: dict[tuple[int, int], int] = field(default_factory=dict)  #: by overdraft and payer

    def note(self, transfers: Sequence[Transfer]) -> None:
        """Remember who paid off which overdraft, the latest last."""
        for line in transfers:
            if line.cause in (PAY_OFF, REFUND) and line.debit[:4] == line.credit[:4] == "lot/":
                debit, credit = int(line.debit[4:]), int(line.credit[4:])
                paid = line.cause == PAY_OFF
                place = (credit, debit) if paid else (debit, credit)
                before = self._paid_off.pop(place, 0)
                self._paid_off[place] = before + (line.amount if paid else -line.amount)

    def known(self, deed: Deed, lot: Lot | None) -> None:
        """Remember a deed that is not done again, and the lot it brought, if that still pays."""
        if isinstance(deed, TopUp) and lot is not None:
            self.bought[deed.key] = lot
        elif isinstance(deed, ChargeRefund):
            self.refunded[deed.charge] = self.refunded.get(deed.charge, 0) + deed.amount
        elif isinstance(deed, TopUpRefund):
            self.returned[deed.top_up] = self.returned.get(deed.top_up, 0) + deed.amount

    def payers(self) -> list[tuple[int, int, int]]:
        """Who paid off which overdraft by how much, the latest last; to begin again with."""
        return [(overdraft, lot, paid) for (overdraft, lot), paid in self._paid_off.items()]

    def begin(self, payers: Sequence[tuple[int, int, int]]) -> None:
        """Remember what was so at a closing."""
        self._paid_off = {(overdraft, lot): paid for overdraft, lot, paid in payers}

    def paid_off(self) -> dict[int, list[tuple[int, int]]]:
        """By overdraft: the lots that paid it off, newest first, and what each has to get back."""
        found: dict[int, list[tuple[int, int]]] = {}
        for (overdraft, lot), amount in reversed(self._paid_off.items()):
            if amount > 0:
                found.setdefault(overdraft, []).append((lot, amount))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed(ABC):
    """Something done once; of one instant deeds come before facts, by their keys."""

    at: int  #: its place: when it was accepted, or the earlier start of the lot it brought
    key: str  #: idempotency key
    accepted_at: int

    @abstractmethod
    def do(self, terms: Terms, state: State, past: Past) -> Changes:
        """Do it to what now stands before it; `terms` are those of its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUp(Deed):
    balance_id: int
    amount: int
    source: LotSource
    starts_at: int
    ends_at: int | None

    def do(self, terms: Terms, state: State, past: Past) -> Changes:
        lot, changes = top_up(
            terms, state, self.balance_id, self.amount, self.source, self.starts_at, self.ends_at,
            self.at,
        )  # fmt: skip
        if lot.created_at != self.accepted_at:
            lot.created_at = self.accepted_at
            state.lots[self.balance_id] = order(state.lots[self.balance_id])
        past.bought[self.key] = lot
        return changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment(Deed):
    balance_id: int
    amount: int  #: negative takes
    ends_at: int | None  #: of the lot that a credit brought: by the zone of when it was accepted

    def do(self, terms: Terms, state: State, past: Past) -> Changes:
        _, changes = adjust(terms, state, self.balance_id, self.amount, self.ends_at, self.at)
        return changes


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeRefund(Deed):
    balance_id: int
    charge: Charge
    amount: int

    def do(self, terms: Terms, state: State, past: Past) -> Changes:
        before = past.refunded.get(self.charge, 0)
        past.refunded[self.charge] = before + self.amount
        return refund_charge(
            terms, state, self.balance_id, past.legs.get(self.charge, ()), before=before,
            amount=self.amount, paid_off=past.paid_off(), now=self.at, again=True,
        ).changes  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUpRefund(Deed):
    top_up: str  #: the key of the top-up
    amount: int

    def do(self, terms: Terms, state: State, past: Past) -> Changes:
        past.returned[self.top_up] = past.returned.get(self.top_up, 0) + self.amount
        lot = past.bought[self.top_up]
        return refund_top_up(terms, state, lot, self.amount, self.at, again=True).changes


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeBack(Deed):
    top_up: str

    def do(self, terms: Terms, state: State, past: Past) -> Changes:
        returned = past.returned.get(self.top_up, 0)
        return take_back(terms, state, past.bought[self.top_up], returned, self.at).changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade(Deed):
    """What a change of plan or allowance added at once."""

    targets: Mapping[str, int]

    def do(self, terms: Terms, state: State, past: Past) -> Changes:
        before = terms.at(self.at - 1)
        return book(before, terms, state, dict(self.targets), self.at)
