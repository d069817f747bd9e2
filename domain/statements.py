"""Statements of account: what was asked, given back and paid in a range of days, with the balance.

Owns the order and the running balance of an account's movements. Which movements there are is for
those to say who record them. Amounts are micros of one currency; a balance above zero is what the
tenant has to pay, one below zero is its credit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from domain.periods import Zone


class EntryKind(StrEnum):
    """What moved a balance, and which way."""

    INVOICE = "invoice"  #: up
    CREDIT_NOTE = "credit_note"  #: down
    PAYMENT = "payment"  #: down
    REFUND = "refund"  #: up
    TAKEN_BACK = "taken_back"  #: up: what was left of a payment
    VOID = "void"  #: down

    @property
    def sign(self) -> int:
        """Which way it moves what is to be paid."""
        up = {EntryKind.INVOICE, EntryKind.REFUND, EntryKind.TAKEN_BACK}
        return 1 if self in up else -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One movement."""

    at: int
    kind: EntryKind
    reference: str  #: the number of an invoice or a credit note, the key of a payment
    amount: int  #: never below zero: its kind says which way


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementLine:
    """A movement as a statement lists it."""

    day: int  #: local date
    entry: Entry
    balance: int  #: after it


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What moved an account's balance from the start of a local day to the end of another."""

    first: int  #: local date
    last: int  #: local date, included
    opening: int
    lines: tuple[StatementLine, ...]
    closing: int


def statement(entries: Iterable[Entry], zone: Zone, first: int, last: int) -> Statement:
    """The statement of two local days and those between; entries of one instant keep their order.

    `entries` are all there ever were up to the last day; later ones are left out. ValueError for
    a last day before the first.
    """
    if last < first:
        raise ValueError(f"day {last} is before day {first}")
    start, end = zone.day_bounds(first)[0], zone.day_bounds(last)[1]
    opening = balance = 0
    lines = []
    for entry in sorted(entries, key=lambda entry: entry.at):
        if entry.at >= end:
            break
        balance += entry.kind.sign * entry.amount
        if entry.at < start:
            opening = balance
        else:
            lines.append(StatementLine(day=zone.date(entry.at), entry=entry, balance=balance))
    return Statement(first=first, last=last, opening=opening, lines=tuple(lines), closing=balance)
