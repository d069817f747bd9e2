"""When a balance refills itself, by how much, and when a cap forbids it (RF-1, RF-2).

Owns the decision alone, on plain figures: `watch` asks it where a balance moved. What becomes of a
refill that was decided is `refills`' to say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from domain.money import MICRO, charge
from domain.periods import Zone
from domain.plans import BalancePlan


class RefillPolicy(NamedTuple):
    """How a tenant has one balance refilled; amounts in micros of the balance's unit."""

    enabled: bool
    minimum: int  #: the balance is refilled at it or below
    amount: int  #: what one refill adds; several of them where one does not suffice
    day_cap: int | None = None  #: micros of the plan's currency, before tax; None: no cap
    month_cap: int | None = None


class Refilling(NamedTuple):
    """What is known of a balance's refills beside its lots; it stands in the tenant's head."""

    in_flight: int = 0  #: micros of the balance's unit on their way; 0: nothing is
    price: int = 0  #: of it before tax, in micros of the plan's currency
    began: int = 0  #: when the last one was decided
    day_spent: int = 0  #: prices of those that were begun that local day and did not fail
    month_spent: int = 0
    capped_until: int = 0  #: a cap forbids the next one until then; 0: none did

    def ended(self, zone: Zone, now: int, *, paid: bool) -> Refilling:
        """The same without what was in flight; what was not paid does not count to caps."""
        back = 0 if paid else self.price
        day, month = self.spent(zone, now)
        return self._replace(
            in_flight=0, price=0, began=now,
            day_spent=max(day - back, 0), month_spent=max(month - back, 0),
        )  # fmt: skip

    def counting(self, zone: Zone, now: int, price: int) -> Refilling:
        """The same with a price that was paid at `now`, after its refill was given up."""
        day, month = self.spent(zone, now)
        return self._replace(began=now, day_spent=day + price, month_spent=month + price)

    def spent(self, zone: Zone, now: int) -> tuple[int, int]:
        """What counts to the caps of the local day and the local month of `now`."""
        day = self.day_spent if zone.day_start(self.began) == zone.day_start(now) else 0
        month = self.month_spent if zone.month(self.began) == zone.month(now) else 0
        return day, month


#: A balance that was never refilled.
IDLE = Refilling()


class Refill(NamedTuple):
    """A refill that was decided."""

    balance_id: int
    amount: int  #: micros of the balance's unit
    price: int  #: before tax, micros of the plan's currency
    minimum: int  #: of the policy
    at: int
    cause_id: str  #: of the movement that brought it about


def price_of(balance: BalancePlan, amount: int) -> int:
    """What a refill costs before tax, in micros of the plan's currency.

    Money that the plan does not sell costs what it is.
    """
    offer = balance.top_up
    return amount if offer is None else charge(offer.price, amount * MICRO, offer.pack)


def refill_amount(policy: RefillPolicy, whole: int) -> int:
    """The smallest multiple of the policy's amount that ends above its minimum (RF-1)."""
    return ((policy.minimum - whole) // policy.amount + 1) * policy.amount


def decide(
    policy: RefillPolicy,
    refilling: Refilling,
    whole: int,
    price: Callable[[int], int],
    zone: Zone,
    now: int,
) -> tuple[int, Refilling]:
    """What is refilled just now, 0: nothing; and what is known of the balance's refills then.

    `whole` is what remains of it, and at or below the minimum with nothing in flight. Where a cap
    would be passed nothing is charged, and nobody asks again before its day or month is over.
    """
    amount = refill_amount(policy, whole)
    cost = price(amount)
    day, month = refilling.spent(zone, now)
    if policy.month_cap is not None and month + cost > policy.month_cap:
        return 0, refilling._replace(capped_until=zone.month_bounds(zone.month(now))[1])
    if policy.day_cap is not None and day + cost > policy.day_cap:
        return 0, refilling._replace(capped_until=zone.next_day(now))
    return amount, Refilling(
        in_flight=amount, price=cost, began=now, day_spent=day + cost, month_spent=month + cost
    )
