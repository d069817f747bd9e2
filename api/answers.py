"""Answers: what became of a send, in the words and figures that whoever asked is told.

Owns the one conversion that `POST /v1/authorize` and the mutation `authorize` share. Decides
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from api.operations.authorize import Authorized
from api.sends import Granted, NotAskedError
from domain.asking import Refusal
from domain.money import text
from domain.periods import iso
from domain.terms import Terms


class Charge(msgspec.Struct):
    """What of the price a balance would pay by one rule."""

    balance: str
    units: str | None
    amount: str
    currency: str | None
    category: str | None
    rule: str | None


class Answer(msgspec.Struct, rename="camel", omit_defaults=True):
    """What became of one send; only what there is to say."""

    granted: bool
    hold: str | None = None
    expires_at: str | None = None
    recipients: int | None = None
    price: str | None = None
    balance: str | None = None
    currency: str | None = None
    remaining: str | None = None
    low: bool | None = None
    charges: list[Charge] | None = None
    reason: str | None = None
    message: str | None = None
    path: str | None = None
    recipient: int | None = None
    required: str | None = None
    available: str | None = None
    shortfall: str | None = None
    refill_pending: bool | None = None


def answer_of(found: Authorized, rule: Callable[[int], str | None]) -> Answer:
    """An answer as JSON has it; `rule` names a rule by its number."""
    answer = found.answer
    if isinstance(answer, NotAskedError):
        return refused(answer)
    terms = found.terms
    assert terms is not None, "who is answered by the desk has a tenant"
    if isinstance(answer, Refusal):
        amounts: dict[str, Any] = {}
        if answer.required is not None:
            amounts = {
                "balance": answer.balance,
                "currency": currency_of(terms, answer.balance),
                "required": text(answer.required),
                "available": text(answer.available or 0),
                "shortfall": text(answer.shortfall or 0),
                "refill_pending": answer.refill_pending,
            }
        return Answer(
            granted=False, reason=answer.reason.value, message=answer.message,
            recipient=answer.recipient, **amounts,
        )  # fmt: skip
    assert isinstance(answer, Granted), "a key used twice is told before"
    return Answer(
        granted=True,
        hold=answer.hold,
        expires_at=iso(answer.expires_at),
        recipients=answer.recipients,
        price=text(price_of(answer)),
        balance=answer.balance,
        currency=currency_of(terms, answer.balance),
        remaining=None if answer.remaining is None else text(answer.remaining),
        low=answer.low,
        charges=[
            Charge(
                each.balance, text(each.units) if each.units else None, text(each.amount),
                currency_of(terms, each.balance), answer.category or None, rule(each.rule_id),
            )
            for each in answer.charges
        ],
    )  # fmt: skip


def price_of(answer: Granted) -> int:
    """What the send can cost at most, in the balance its price is in."""
    return sum(each.amount for each in answer.charges if each.balance == answer.balance)


def currency_of(terms: Terms, balance: str | None) -> str | None:
    if balance is None:
        return None
    return terms.balances[terms.balance_ids[balance]].currency


def refused(error: NotAskedError) -> Answer:
    return Answer(granted=False, reason=error.reason, message=error.message, path=error.path)
