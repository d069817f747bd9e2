"""Offers: what a purchase of a balance costs, in lines, taxes and a total (BA-6, IN-5, IN-6).

Owns the one sum that a tenant, an operator and a refill are asked for. What may be bought is
`top_ups`' to say, what is taxed `taxes`'. Amounts are micros, of the balance's unit or the plan's
currency.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from domain.money import PICO_DIGITS, shown, text
from domain.plans import BalancePlan, Plan
from domain.problems import Problem
from domain.taxes import TaxDue, Taxes, taxed
from domain.top_ups import price_of

#: Micros that one purchase costs at most before tax: a hundred billion, with room for sums.
MONEY_MAX: Final = 10**17


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What a purchase costs: `line` and the taxes are what is asked for, their sum is `total`."""

    units: int  #: micros of the balance's unit
    packs: int | None  #: how many; None: any amount of money
    pack: int | None  #: micros that one adds; None: the plan has no offer
    price: str | None  #: a decimal of the currency, of a pack before tax; None: the same
    net: int  #: exact, without taxes
    line: int  #: the same, rounded to what the currency shows
    taxes: tuple[TaxDue, ...]  #: empty: its country asks for none
    total: int
    currency: str

    @property
    def tax(self) -> int:
        """What all taxes come to."""
        return sum(due.amount for due in self.taxes)


def quote(
    plan: Plan,
    balance: BalancePlan,
    amount: int,
    country: str,
    day: int,
    taxes: Taxes,
    *,
    refill: bool = False,
) -> Quote:
    """What `amount` of a balance costs on a local day of a country, or the Problem why it is not
    sold; a refill is not held to the minimum of what people buy.
    """
    price = _price(balance, amount, refill=refill)
    asked = shown(price, plan.currency)
    if asked <= 0:
        message = f"{text(amount)} costs {text(price)} {plan.currency}: nothing that can be paid"
        raise Problem("NOTHING_TO_PAY", message, "amount")
    if asked > MONEY_MAX:
        message = f"{text(amount)} costs {text(price)} {plan.currency}: more than one purchase may"
        raise Problem("TOO_MUCH", message, "amount")
    due = taxed(asked, taxes.of(country, day), plan.currency)
    held = sum(each.amount for each in due if each.tax.inclusive)
    offer = balance.top_up
    of_units = offer is not None and balance.kind == "unit"
    return Quote(
        units=amount,
        packs=amount // offer.pack if offer is not None and of_units else None,
        pack=None if offer is None else offer.pack,
        price=None if offer is None else text(offer.price, PICO_DIGITS),
        net=price - held,
        line=asked - held,
        taxes=due,
        total=asked - held + sum(each.amount for each in due),
        currency=plan.currency,
    )


def _price(balance: BalancePlan, amount: int, *, refill: bool) -> int:
    """The exact price, with whatever prices have in them."""
    offer = balance.top_up
    if refill and offer is not None:
        balance = replace(balance, top_up=replace(offer, minimum=0))
    price = price_of(balance, amount)
    if price is not None:
        return price
    if balance.kind == "money":
        return amount
    raise Problem("NOT_SOLD", f"the plan says no price for {balance.key}", "balance")
