"""The thresholds that a tenant set itself, as its row has them.

Owns how they stand in `tenants`, and that a change is one of the tenant's settings: every process
reads its terms again. What they mean is `domain.thresholds`' and `domain.watch`'s to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

from domain.thresholds import days_of, parsed, watched, written
from domain.watch import Threshold
from persistence.connection import Connection

NOTHING = "{}"

#: By balance key, what it is watched for beside zero; in days, when it is told to run out.
Own: TypeAlias = Mapping[str, tuple[Threshold, ...]]


def read_own(kept: str) -> Own:
    """What a tenant set, from its row."""
    if kept == NOTHING:
        return {}
    found: dict[str, list[list[int]]] = msgspec.json.decode(kept)
    return {balance: parsed(numbers) for balance, numbers in found.items()}


def of_balances(own: Own, balance_ids: Mapping[str, int]) -> dict[int, tuple[Threshold, ...]]:
    """By balance, what it is watched for where that is not what every balance is."""
    return {
        balance_ids[balance]: watched(thresholds)
        for balance, thresholds in own.items()
        if balance in balance_ids
    }


def days_of_balances(own: Own, balance_ids: Mapping[str, int]) -> dict[int, int]:
    """By balance, within how many days it is told to run out, where the tenant set that."""
    return {
        balance_ids[balance]: days
        for balance, thresholds in own.items()
        if balance in balance_ids and (days := days_of(thresholds)) is not None
    }


SET = """
with head as (update tenant_head set settings = settings + 1 where tenant_id = $1)
update tenants
set thresholds = case
    when $3::text is null then thresholds - $2::text
    else thresholds || jsonb_build_object($2::text, $3::text::jsonb)
end
where tenant_id = $1"""


async def set_own(
    connection: Connection, tenant_id: int, balance: str, own: Sequence[Threshold] | None
) -> None:
    """Keep what a locked tenant watches a balance for from now on; None: what everybody does."""
    kept = None if own is None else msgspec.json.encode(written(own)).decode()
    await connection.execute(SET, tenant_id, balance, kept)
