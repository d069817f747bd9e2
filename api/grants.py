"""Grants: the hold of a decision, and what whoever asked is told of it.

Owns neither the decision nor where the hold is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import msgspec

from api.sends import Charge, Granted
from domain.asking import Decision, Reason, Refusal
from domain.holds import Hold, Kept, Vector, spelt
from domain.sums import LEFT, Sums
from domain.terms import Terms


class Reused(Exception):  # noqa: N818 - an answer, not a fault
    """The key came before with another request."""


Answer: TypeAlias = Granted | Refusal | Reused


def hold_of(number: bytes, decision: Decision, terms: Terms, now: int) -> Hold:
    """The hold of a decision; its share is that of most recipients."""
    common: Vector = ()
    varied = False
    if len(decision.shares) == 1:
        (common,) = decision.shares
    elif decision.shares:
        ((common, count),) = Counter(decision.shares).most_common(1)
        varied = count != len(decision.shares)
    return Hold(
        number=number,
        granted_at=now,
        expires_at=now + terms.sending.hold_seconds * 1_000_000,
        lasts_until=now + terms.sending.sent_seconds * 1_000_000,
        shares=len(decision.shares),
        share=common,
        total=decision.total,
        varied=varied,
    )


def granted(
    hold: Hold, decision: Decision, terms: Terms, sums: Sums, low: Mapping[str, int]
) -> Granted:
    """What whoever asked is told, as figures stand behind it."""
    balance = priced_in(decision.charges, terms)
    field = f"{LEFT}{balance}"
    credit = 0
    if balance is not None and (
        terms.dunned is None or not terms.dunned.spares_prepaid(decision.category)
    ):
        credit = terms.balances[terms.balance_ids[balance]].credit_limit
    remaining = sums.left.get(field, 0) + credit
    return Granted(
        hold=spelt(hold, terms.hold_key),
        expires_at=hold.expires_at,
        recipients=hold.shares,
        charges=[Charge(*each) for each in decision.charges],
        category=decision.category,
        balance=balance,
        remaining=remaining,
        low=remaining < low.get(field, 0),
    )


def moved(answer: Answer, drift: Mapping[str, int], low: Mapping[str, int]) -> Answer:
    """An answer by figures that had moved since it was thought of, though not so far as to matter.

    `drift` is by how much, by field, and `low` below how much a balance is low.
    """
    if not drift or isinstance(answer, Reused):
        return answer
    by = drift.get(f"{LEFT}{answer.balance}", 0)
    if isinstance(answer, Refusal):
        if answer.reason is not Reason.INSUFFICIENT_BALANCE or answer.available is None:
            return answer
        return replace(answer, available=max(answer.available + by, 0))
    remaining = (answer.remaining or 0) + by
    is_low = remaining < low.get(f"{LEFT}{answer.balance}", 0)
    return msgspec.structs.replace(answer, remaining=remaining, low=is_low)


def priced_in(charges: Sequence[Any], terms: Terms) -> str | None:
    """The balance a price is in: the money of it, else the last that pays a part."""
    paid = [each.balance for each in charges if each.amount] or [each.balance for each in charges]
    money = [key for key in paid if terms.balances[terms.balance_ids[key]].kind == "money"]
    found: list[str] = money or paid
    return found[-1] if found else None


def granted_of(kept: Kept, terms: Terms) -> Granted:
    """What was granted, as the books have it: the rules and what was left are not kept."""
    charges = [
        Charge(field.removeprefix(LEFT), 0, 0, amount)
        for field, amount in kept.hold.total
        if field.startswith(LEFT)
    ]
    balance = priced_in(charges, terms)
    return Granted(
        hold=spelt(kept.hold, terms.hold_key),
        expires_at=kept.hold.expires_at,
        recipients=kept.hold.shares,
        charges=charges,
        category="",
        balance=balance,
        remaining=None,
        low=None,
    )
