"""What was agreed with tenants since they began: plans, allowances, international rates, dated.

Owns how that stands in `tenants.changes`, in the order it was decided, and the rows of balances
that a plan brings. What it means is `domain.standing`'s to say, of rates `domain.eligibility`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from domain.periods import Zone
from domain.plans import BalancePlan, Plan
from domain.standing import BEGINNING, Holding, Own, Standing
from persistence.catalogue import Catalogue
from persistence.connection import Connection
from persistence.tenants import TenantRecord

UNCHANGED = "[]"


def read_standing(
    changes: str, where: Zone, since: int | None, first: Plan, plans: Mapping[str, Plan]
) -> Standing:
    """The standing of a tenant whose first plan is `first`; LookupError for a plan unknown."""
    standing = Standing(where, since, (Holding(BEGINNING, first),))
    if changes != UNCHANGED:
        for change in msgspec.json.decode(changes):
            if "plan" in change:
                holding = Holding(change["since"], plans[change["plan"]], change["grants"])
                standing = standing.change(holding)
            elif "balance" in change:
                own = Own(change["month"], change["amount"])
                standing = standing.allow(change["balance"], own)
    return standing


def international_of(changes: str) -> dict[str, int]:
    """By market, the local day from which its international rate is paid; the last said holds."""
    days: dict[str, int] = {}
    if changes != UNCHANGED:
        for change in msgspec.json.decode(changes):
            if "international" in change:
                days.pop(change["international"], None)
                if change["from"] is not None:
                    days[change["international"]] = change["from"]
    return days


def standing_of(catalogue: Catalogue, record: TenantRecord) -> Standing:
    """The standing of a tenant as its row says."""
    first = catalogue.plans[record.plan]
    return read_standing(record.changes, record.zone, record.since, first, catalogue.plans)


def plan_from(since: int, key: str, *, grants: bool) -> dict[str, Any]:
    """A change to another plan; without grants, a subscription's end."""
    return {"since": since, "plan": key, "grants": grants}


def allowance_from(month: int, balance: str, amount: int | None) -> dict[str, Any]:
    """An allowance of the tenant's own, from the period of a label on; None: the plan's."""
    return {"month": month, "balance": balance, "amount": amount}


def international_from(market: str, day: int | None) -> dict[str, Any]:
    """The local day from which a market's international rate is paid; None: no longer any."""
    return {"international": market, "from": day}


# Lanes that know the tenant's terms read them again: `settings` says that they changed.
AGREE = """
with head as (update tenant_head set settings = settings + 1 where tenant_id = $1)
update tenants set changes = changes || jsonb_build_array($2::text::jsonb) where tenant_id = $1"""


async def agree(connection: Connection, tenant_id: int, change: dict[str, Any]) -> None:
    """Add a change to a locked tenant."""
    await connection.execute(AGREE, tenant_id, msgspec.json.encode(change).decode())


ANY_FACT = "select at from facts where tenant_id = $1 and at >= $2 and at < $3 limit 1"


async def has_facts(connection: Connection, tenant_id: int, start: int, end: int) -> bool:
    """Whether a fact of `[start, end)` was taken in: what it was charged is not agreed anew."""
    return await connection.fetchval(ANY_FACT, tenant_id, start, end) is not None


NEW_BALANCES = """
insert into balances (tenant_id, balance_id, key, unit, currency)
select $1, last.id + new.place, new.key, new.unit, new.currency
from (select coalesce(max(balance_id), 0) as id from balances where tenant_id = $1) last,
    unnest($2::text[], $3::text[], $4::text[]) with ordinality new (key, unit, currency, place)"""


async def add_balances(
    connection: Connection, tenant_id: int, balances: Sequence[BalancePlan]
) -> None:
    """Give a locked tenant pots it does not have yet."""
    if balances:
        await connection.execute(
            NEW_BALANCES,
            tenant_id,
            [balance.key for balance in balances],
            [balance.unit for balance in balances],
            [balance.currency for balance in balances],
        )
