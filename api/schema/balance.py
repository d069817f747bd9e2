"""A tenant's balances at any instant, as clients see them; the figures are `domain.figures`'."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Annotated

import strawberry
from graphql import OperationType
from strawberry.types import Info

from api.context import Context
from api.operations.refill_policy_set import RefillPolicySet
from api.schema.amount import Amount
from api.schema.fields import computed
from api.schema.forecast import Forecast, forecast_of
from api.schema.lot import Lot
from api.schema.owner import Owner
from api.schema.range import RangeInput, check_instant
from api.schema.rate import Rate
from api.schema.refill import (
    AMOUNT,
    DAY_CAP,
    MINIMUM,
    MONTH_CAP,
    RANGE,
    RefillDryRun,
    RefillPolicy,
    cap_of,
    micros_of,
    refill_dry_run_of,
)
from api.schema.scalars import BigInt, DateTime, Decimal
from domain.books import Book
from domain.figures import Figures, Part, figures, rates
from domain.money import text
from domain.periods import period
from domain.plans import BalancePlan, Plan
from domain.reading import Pot, Reading
from persistence.balances import Asked
from persistence.standing import standing_of
from persistence.tenants import TenantRecord

SCOPE = "billing:read"

At = Annotated[
    DateTime | None,
    strawberry.argument(
        description="The instant to look at, in any period: its period's figures from what "
        "happened before it. Default: now, with everything recorded."
    ),
]


@strawberry.enum(description="What a balance is counted in.")
class BalanceKind(Enum):
    UNIT = strawberry.enum_value("unit", description="Units of a product.")
    MONEY = strawberry.enum_value("money", description="Money in one currency.")


@strawberry.type(
    description="One side of a balance in a period: "
    "opening + granted + adjusted - used - lapsed = remaining."
)
class BalancePart:
    opening: Amount = strawberry.field(description="What was carried into the period.")
    granted: Amount = strawberry.field(
        description="What came in the period: the allowance, or top-ups and promotions."
    )
    adjusted: Amount = strawberry.field(
        description="Corrections, and what paying off moved between the two sides."
    )
    used: Amount = strawberry.field(description="What usage of the period took.")
    lapsed: Amount = strawberry.field(description="What was left of lots that ended.")
    remaining: Amount = strawberry.field(description="What is left.")

    @classmethod
    def from_domain(cls, part: Part, currency: str | None, locale: str) -> BalancePart:
        return cls(
            opening=Amount.of(part.opening, currency, locale),
            granted=Amount.of(part.granted, currency, locale),
            adjusted=Amount.of(part.adjusted, currency, locale),
            used=Amount.of(part.used, currency, locale),
            lapsed=Amount.of(part.lapsed, currency, locale),
            remaining=Amount.of(part.remaining, currency, locale, down=True),
        )


@strawberry.type(
    description="A named pot of one tenant in one unit, in one period: opening + granted + "
    "toppedUp + adjusted - used - lapsed = remaining, always."
)
class Balance:
    figures: strawberry.Private[Figures]
    balance: strawberry.Private[BalancePlan]
    plan: strawberry.Private[Plan]
    book: strawberry.Private[Book]
    reading: strawberry.Private[Reading]
    record: strawberry.Private[TenantRecord]
    at: strawberry.Private[int]

    @computed("Names the balance within its tenant and its plan.")
    def key(self) -> str:
        return self.balance.key

    @computed("What one of it is: `conversation`, `visitor`, or a currency.")
    def unit(self) -> str:
        return self.balance.unit

    @computed("The name people see.")
    def name(self) -> str:
        return self.balance.name

    @computed("Whether it is counted in units or in money.")
    def kind(self) -> BalanceKind:
        return BalanceKind(self.balance.kind)

    @computed("What was carried into the period; negative while an overdraft is not paid off.")
    def opening(self) -> Amount:
        return self._amount(self.figures.total.opening)

    @computed("The allowance of the period.")
    def granted(self) -> Amount:
        return self._amount(self.figures.initial.granted)

    @computed("Top-ups and promotions that started in the period.")
    def topped_up(self) -> Amount:
        return self._amount(self.figures.top_up.granted)

    @computed("Corrections and refunds of the period; paying off moves nothing in or out.")
    def adjusted(self) -> Amount:
        return self._amount(self.figures.total.adjusted)

    @computed("What usage of the period took.")
    def used(self) -> Amount:
        return self._amount(self.figures.total.used)

    @computed("What was left of lots that ended in the period.")
    def lapsed(self) -> Amount:
        return self._amount(self.figures.total.lapsed)

    @computed("What is left; negative where usage went beyond it.")
    def remaining(self) -> Amount:
        return self._amount(self.figures.total.remaining, down=True)

    @computed("What is set aside for sends that have not happened yet.")
    def held(self) -> Amount:
        return self._amount(self.figures.held)

    @computed("What a send may use: what is left, with the credit limit, without what is held.")
    def available(self) -> Amount:
        return self._amount(self.figures.available, down=True)

    @computed("The side of the allowance.")
    def initial(self) -> BalancePart:
        return BalancePart.from_domain(
            self.figures.initial, self.balance.currency, self.record.locale
        )

    @computed("The side of everything else: top-ups, promotions, corrections, overdraft.")
    def top_up(self) -> BalancePart:
        return BalancePart.from_domain(
            self.figures.top_up, self.balance.currency, self.record.locale
        )

    @computed(
        "used / (opening if positive + granted + toppedUp) in percent, to 6 decimals; over 100 as "
        "it is, null where nothing came in."
    )
    def percent_used(self) -> Decimal | None:
        percent = self.figures.percent_used
        return None if percent is None else Decimal(text(percent))

    @computed("The lots with a part in these figures, in the order they pay.")
    def lots(self) -> list[Lot]:
        return [
            Lot.from_domain(lot, self.balance.key, self.at, self.balance.currency,
                            self.record.locale)
            for lot in self.figures.lots
        ]  # fmt: skip

    @computed(
        "The price book's rows in force, on the tenant's local day, for what the balance pays."
    )
    def rates(
        self,
        market: Annotated[
            str | None, strawberry.argument(description="Only rows of this market.")
        ] = None,
        category: Annotated[
            str | None, strawberry.argument(description="Only rows of this category.")
        ] = None,
    ) -> list[Rate]:
        today = self.record.zone.date(self.at)
        return [
            Rate.from_domain(row, self.book)
            for row in rates(self.plan, self.book, self.balance.key, today)
            if market in (None, row.market) and category in (None, row.category)
        ]

    @computed("How it is refilled by itself; null: neither tenant nor plan says anything of it.")
    def refill_policy(self) -> RefillPolicy | None:
        return RefillPolicy.of(self.balance, self.plan, self.record)

    @computed(
        "What refills would have charged over a range: by this balance's policy, or by what is "
        "given instead. It charges nobody."
    )
    async def refill_dry_run(
        self,
        info: Info[Context, None],
        minimum: Annotated[Decimal | None, MINIMUM] = None,
        amount: Annotated[Decimal | None, AMOUNT] = None,
        day_cap: Annotated[Decimal | None, DAY_CAP] = strawberry.UNSET,
        month_cap: Annotated[Decimal | None, MONTH_CAP] = strawberry.UNSET,
        range: Annotated[RangeInput | None, RANGE] = None,
    ) -> RefillDryRun:
        given = RefillPolicySet(
            tenant=self.record.key,
            balance=self.balance.key,
            enabled=True,
            minimum=micros_of(minimum),
            amount=micros_of(amount),
            day_cap=cap_of(day_cap),
            month_cap=cap_of(month_cap),
            idempotency_key="",
        )
        return await refill_dry_run_of(info.context, self.record, given, range)

    @computed(
        "When it runs out, by the rhythm of the last weeks, and what it is enough for; null where "
        "the balance is shown as of another instant than now, and in events of a subscription: "
        "each would be worked out anew."
    )
    async def forecast(self, info: Info[Context, None]) -> Forecast | None:
        if info.operation.operation is OperationType.SUBSCRIPTION:
            return None
        return await forecast_of(info.context, self)

    @computed("Rises by one with each change of the tenant's figures.")
    def version(self) -> BigInt:
        return BigInt(self.reading.version)

    @computed("The instant these figures are of.")
    def as_of(self) -> DateTime:
        return DateTime(self.at)

    @computed("Whether the period is open, so that its figures may still change.")
    def estimate(self) -> bool:
        return not self.reading.closed

    def _amount(self, micros: int, *, down: bool = False) -> Amount:
        return Amount.of(micros, self.balance.currency, self.record.locale, down=down)


@strawberry.type
class TenantBalances(Owner):
    """The fields of a tenant that show its balances."""

    @computed("Every balance of the plan, in the plan's order; then what former plans left.")
    async def balances(self, info: Info[Context, None], at: At = None) -> list[Balance]:
        reading = await reading_at(info.context, self.record, at)
        return balances_of(info.context, self.record, reading)

    @computed("One balance; null where the plan has none of this key.")
    async def balance(
        self,
        info: Info[Context, None],
        key: Annotated[
            str, strawberry.argument(description="The balance's key, such as `conversations`.")
        ],
        at: At = None,
    ) -> Balance | None:
        reading = await reading_at(info.context, self.record, at)
        for balance in balances_of(info.context, self.record, reading):
            if balance.balance.key == key:
                return balance
        return None


async def reading_at(context: Context, record: TenantRecord, at: int | None) -> Reading:
    """What was recorded of the tenant, in one statement for all tenants of the operation."""
    context.require(SCOPE)
    moment = context.now if at is None else check_instant(at)
    where = record.zone
    asked = Asked(
        tenant_id=record.tenant_id,
        at=moment,
        period=period(where, moment),
        day=None if at is None else where.day_start(moment),
    )

    async def load(keys: list[Asked]) -> list[Reading | None]:
        return await context.live.holds.readings(keys, context.now)

    reading = await context.loader("balances", load).load(asked)
    assert reading is not None, "a tenant has a head"
    return reading


def balances_of(
    context: Context, record: TenantRecord, reading: Reading, known: Sequence[Balance] = ()
) -> list[Balance]:
    """The balances of a tenant as a reading shows them, by the plan in force at its instant.

    `known` are those of an earlier reading, by the same agreements: what has not changed since is
    not worked out again.
    """
    if known and (found := _changed(context, reading, known)):
        return found
    standing = standing_of(context.catalogue, record)
    plan = standing.holding(reading.at).plan
    found = []
    for balance in standing.balances(reading.period, reading.at):
        pot = reading.pots.get(balance.key) or Pot()
        shown = figures(
            balance, reading.period, reading.at, pot.lots,
            since=record.since, held=pot.held, next_due=reading.next_due,
        )  # fmt: skip
        found.append(
            Balance(
                figures=shown,
                balance=balance,
                plan=plan,
                book=context.catalogue.books[plan.book],
                reading=reading,
                record=record,
                at=reading.at,
            )
        )
    return found


def _changed(context: Context, reading: Reading, known: Sequence[Balance]) -> list[Balance] | None:
    """Balances as a later reading of the same period shows them; None where time changed more."""
    before, now = known[0].reading, reading.at
    same = (
        before.period == reading.period
        and before.next_due == reading.next_due
        and before.at <= now < before.booked_until
        and context.catalogue.books.get(known[0].plan.book) is known[0].book
    )
    if not same:
        return None
    found = []
    for each in known:
        pot = reading.pots.get(each.balance.key)
        shown = each.figures
        if pot != before.pots.get(each.balance.key):
            pot = pot or Pot()
            shown = figures(
                each.balance, reading.period, now, pot.lots,
                since=each.record.since, held=pot.held, next_due=reading.next_due,
            )  # fmt: skip
        found.append(
            Balance(
                figures=shown,
                balance=each.balance,
                plan=each.plan,
                book=each.book,
                reading=reading,
                record=each.record,
                at=now,
            )
        )
    return found
