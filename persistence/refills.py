"""The refill policies that a tenant set itself, as its row has them, and what is on its way.

Owns how they stand in `tenants`, and that a change is one of the tenant's settings: every process
reads its terms again. What they mean is `domain.refill_policy`'s to say.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple, TypeAlias

import msgspec

from domain.refill_policy import RefillPolicy
from persistence.connection import Connection
from persistence.door import Door

NOTHING = "{}"

#: Why a policy is off that came with a log: who goes on in another place says so there.
IMPORTED = "it came with an imported log; set it again to go on with it here"


class OwnPolicy(NamedTuple):
    """A policy of a tenant's own, and since when and why it was switched off, if it was."""

    policy: RefillPolicy
    off_since: int | None = None
    off_reason: str | None = None


#: By balance key, how it is refilled.
Own: TypeAlias = Mapping[str, OwnPolicy]


class _Kept(msgspec.Struct, array_like=True):
    enabled: bool
    minimum: int
    amount: int
    day_cap: int | None
    month_cap: int | None
    off_since: int | None
    off_reason: str | None


_read = msgspec.json.Decoder(dict[str, _Kept]).decode


def read_own(kept: str) -> Own:
    """What a tenant set, from its row."""
    if kept == NOTHING:
        return {}
    return {
        balance: OwnPolicy(
            RefillPolicy(each.enabled, each.minimum, each.amount, each.day_cap, each.month_cap),
            each.off_since,
            each.off_reason,
        )
        for balance, each in _read(kept).items()
    }


def of_balances(own: Own, balance_ids: Mapping[str, int]) -> dict[int, RefillPolicy]:
    """By balance, how it is refilled where the tenant said so."""
    return {
        balance_ids[balance]: each.policy for balance, each in own.items() if balance in balance_ids
    }


SET = """
with head as (update tenant_head set settings = settings + 1 where tenant_id = $1)
update tenants set refills = refills || jsonb_build_object($2::text, $3::text::jsonb)
where tenant_id = $1"""


async def set_own(connection: Connection, tenant_id: int, balance: str, own: OwnPolicy) -> None:
    """Keep how a locked tenant has a balance refilled from now on."""
    kept = _Kept(*own.policy, own.off_since, own.off_reason)
    await connection.execute(SET, tenant_id, balance, msgspec.json.encode(kept).decode())


# Where it stands in the array is `_Kept`'s to say.
SWITCH_OFF = """
with head as (update tenant_head set settings = settings + 1 where tenant_id = $1)
update tenants
set refills = jsonb_set(jsonb_set(jsonb_set(
    refills, array[$2::text, '0'], 'false'), array[$2::text, '5'], to_jsonb($3::bigint)),
    array[$2::text, '6'], to_jsonb($4::text))
where tenant_id = $1 and refills ? $2::text"""


async def switch_off(
    connection: Connection, tenant_id: int, balance: str, reason: str, now: int
) -> None:
    """Refill a balance of a locked tenant no more, for a reason that people can read (RF-2)."""
    await connection.execute(SWITCH_OFF, tenant_id, balance, now, reason)


class InFlight(NamedTuple):
    """A refill on its way."""

    amount: int  #: micros of the balance's unit
    next_try_at: int | None  #: when it is charged again, after a decline; None: it is asked for


# The unique index of refills in flight serves it; the last try is the one that counts.
IN_FLIGHT = """
select q.tenant_id, b.key as balance, q.amount, p.state, p.try as number, p.due_at
from purchases q
join balances b using (tenant_id, balance_id)
join lateral (
    select state, try, due_at from payments
    where tenant_id = q.tenant_id and purchase_id = q.purchase_id
    order by try desc limit 1
) p on true
where q.tenant_id = any ($1::bigint[]) and q.kind = 2 and q.state = 1"""


async def in_flight(door: Door, tenant_ids: Collection[int]) -> dict[int, dict[str, InFlight]]:
    """By tenant and balance key, the refill that is on its way."""
    ids = list(tenant_ids)
    found: dict[int, dict[str, InFlight]] = {tenant_id: {} for tenant_id in ids}
    async with door.tenant_tx(*ids) as connection:
        for row in await connection.fetch(IN_FLIGHT, ids):
            again = row["state"] == 1 and row["number"] > 1
            next_try_at = row["due_at"] if again else None
            found[row["tenant_id"]][row["balance"]] = InFlight(row["amount"], next_try_at)
    return found
