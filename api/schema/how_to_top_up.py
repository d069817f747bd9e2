"""How a balance is topped up, as notices carry it (AL-6): by whom, and what it costs."""

from __future__ import annotations

from typing import Protocol

import strawberry

from api.schema.amount import Amount
from domain.money import MICRO, charge
from domain.plans import BalancePlan, Plan, TopUpOffer
from persistence.catalogue import Catalogue
from persistence.standing import standing_of
from persistence.tenants import TenantRecord


@strawberry.type(description="How a balance is topped up, by the plan in force.")
class HowToTopUp:
    self_service: bool = strawberry.field(
        description="Whether the tenant tops it up itself; false: it asks `supportContact`."
    )
    support_contact: str | None = strawberry.field(
        description="Whom to ask, as the plan says; null: it names nobody."
    )
    minimum: Amount | None = strawberry.field(
        description="What a top-up costs at least, before tax; null: the balance is not sold."
    )
    pack: Amount | None = strawberry.field(
        description="What one pack adds to the balance; null: the balance is not sold."
    )
    price: Amount | None = strawberry.field(
        description="What one pack costs, before tax; null: the balance is not sold."
    )

    @classmethod
    def of(cls, plan: Plan, balance: BalancePlan, locale: str) -> HowToTopUp:
        """How it is by a plan."""
        offer = balance.top_up
        return cls(
            self_service=plan.self_service and offer is not None,
            support_contact=plan.support,
            minimum=None if offer is None else Amount.of(offer.minimum, plan.currency, locale),
            pack=None if offer is None else Amount.of(offer.pack, balance.currency, locale),
            price=None if offer is None else Amount.of(_price(offer), plan.currency, locale),
        )


def _price(offer: TopUpOffer) -> int:
    """What a pack costs, in micros of the plan's currency."""
    return charge(offer.price, MICRO)


class Present(Protocol):
    """What says which plan is in force: an operation's context has it."""

    @property
    def catalogue(self) -> Catalogue: ...
    @property
    def now(self) -> int: ...


def sold(context: Present, record: TenantRecord, key: str) -> tuple[Plan, BalancePlan]:
    """The plan in force, or the last one that has the balance, and the balance in it."""
    standing = standing_of(context.catalogue, record)
    latest = (each.plan for each in reversed(standing.holdings))
    for plan in (standing.holding(context.now).plan, *latest):
        for balance in plan.balances:
            if balance.key == key:
                return plan, balance
    raise LookupError(f"{record.key} has no balance {key}")
