"""What usage took from each balance over a range, allowance and the rest apart (FI-5).

Owns the refusal of ranges that `lot_days` cannot answer exactly.
"""

from __future__ import annotations

import strawberry

from api.context import Context
from api.faults import Fault
from api.schema.amount import Amount
from api.schema.fields import computed
from domain.periods import Zone, iso, period
from persistence import lot_usage
from persistence.lot_usage import Asked, Taken
from persistence.standing import standing_of
from persistence.tenants import TenantRecord


@strawberry.type(description="What usage took from one balance in a range: initial + topUp = used.")
class UsageBalance:
    taken: strawberry.Private[Taken]
    locale: strawberry.Private[str]
    key: str = strawberry.field(description="Names the balance within its tenant and its plan.")
    name: str = strawberry.field(description="The name people see.")
    unit: str = strawberry.field(
        description="What one of it is: `conversation`, `visitor`, or a currency."
    )

    @computed("What allowances paid.")
    def initial(self) -> Amount:
        return Amount.of(self.taken.initial, self.taken.currency, self.locale)

    @computed("What everything else paid: top-ups, promotions, corrections, overdraft.")
    def top_up(self) -> Amount:
        return Amount.of(self.taken.top_up, self.taken.currency, self.locale)

    @computed("Both.")
    def used(self) -> Amount:
        both = self.taken.initial + self.taken.top_up
        return Amount.of(both, self.taken.currency, self.locale)


async def balance_usage(
    context: Context, record: TenantRecord, start: int, end: int
) -> list[UsageBalance]:
    """Every balance of the tenant's plans, in their order, then what else was ever used.

    BAD_USER_INPUT for a range that cuts a local day.
    """
    check_whole_days(record.zone, start, end)

    async def load(keys: list[Asked]) -> list[list[Taken]]:
        return await lot_usage.taken(context.figures, keys)

    asked = Asked(tenant_id=record.tenant_id, start=start, end=end)
    found = await context.loader("balance usage", load).load(asked)
    by_key = {one.balance: one for one in found}
    known = standing_of(context.catalogue, record).balances(
        period(record.zone, context.now), context.now
    )
    names = {balance.key: balance.name for balance in known}
    order = [*(key for key in names if key in by_key), *(k for k in by_key if k not in names)]
    return [
        UsageBalance(
            taken=by_key[key],
            locale=record.locale,
            key=key,
            name=names.get(key, key),
            unit=by_key[key].unit,
        )
        for key in order
    ]


def check_whole_days(zone: Zone, start: int, end: int) -> None:
    """Raise BAD_USER_INPUT for a range that does not begin and end with a local day."""
    floor = zone.day_start(start)
    ceiling = end if zone.day_start(end) == end else zone.next_day(end)
    if (floor, ceiling) != (start, end):
        raise Fault(
            "BAD_USER_INPUT",
            f"the range cuts a day of {zone.name_at(end)}, what balances paid is kept by whole "
            f"ones: write {iso(floor)} to {iso(ceiling)}, or leave `balances` out",
        )
