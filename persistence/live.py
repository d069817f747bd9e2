"""Live counters of tenants: open conversations, open windows and visitors, at an instant.

Owns where they are read: from Valkey, which counts sets, where it has everything up to the
tenant's version, and from PostgreSQL where it has not. Either way the figures are exact.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import asyncpg
from redis.asyncio import Redis

from domain.periods import Period
from persistence import buckets
from persistence.door import Door
from persistence.open_holds import REST_SECONDS, OpenHolds
from persistence.rebuild import Rebuild
from persistence.valkey import AWAY, Call, run

#: Seconds to wait for a version that is on its way, before every contact is read instead.
ARRIVAL_SECONDS = (0.005, 0.02, 0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A tenant and the instant its counters are wanted for."""

    tenant_id: int
    at: int
    period: Period
    version: int | None = None  #: at least this one is wanted; None: what is committed by now


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What is open and who came, of one tenant."""

    version: int  #: of the tenant's head; everything up to it is counted
    at: int
    conversations: int  #: any-category conversations open at `at`
    windows: int  #: customer-service windows open at `at`
    visitors: int  #: of the period, as recorded
    valid_until: int  #: when a window opens or closes by itself, or the period ends
    seated: int | None = None  #: seats that are taken; None: the head was not read for it


HEADS = "select tenant_id, version, seated from tenant_head where tenant_id = any ($1::bigint[])"

# Reads every contact of a tenant: for when Valkey cannot say.
COUNTS = """
select a.n, h.version, c.conversations, c.windows, c.next_change, v.visitors
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
    with ordinality a (tenant_id, at, starts_at, ends_at, n)
join tenant_head h on h.tenant_id = a.tenant_id
left join lateral (
    select
        count(*) filter (where conversation_opened_at <= a.at and conversation_ends_at > a.at)
            as conversations,
        count(*) filter (where service_opened_at <= a.at and service_ends_at > a.at) as windows,
        least(
            min(conversation_opened_at) filter (where conversation_opened_at > a.at),
            min(conversation_ends_at) filter (where conversation_ends_at > a.at),
            min(service_opened_at) filter (where service_opened_at > a.at),
            min(service_ends_at) filter (where service_ends_at > a.at)
        ) as next_change
    from contacts where tenant_id = a.tenant_id
) c on true
left join lateral (
    select coalesce(sum(visitors), 0)::bigint as visitors from usage_day
    where tenant_id = a.tenant_id and bucket >= a.starts_at and bucket < a.ends_at
) v on true"""


class Live:
    """The counters of a process's readers and watchers."""

    def __init__(self, valkey: Redis, door: Door, rebuild: Rebuild) -> None:
        self._valkey = valkey
        self._door = door
        self._rebuild = rebuild
        self._rest_until = 0.0
        self.holds = OpenHolds(valkey, door)
        self.counted_in_postgres = 0  #: tenants for whom Valkey could not say

    async def counts(self, asked: Sequence[Asked]) -> list[Counts]:
        """The counters of each one asked for, in order; every tenant has a head."""
        wanted, seated = await self._wanted(asked)
        found = await self._in_valkey(asked, wanted)
        for seconds in ARRIVAL_SECONDS:
            if not any(isinstance(counts, int) for counts in found):
                break
            # Committed, and on its way to Valkey this very moment.
            await asyncio.sleep(seconds)
            found = await self._in_valkey(asked, wanted)
        missing = [place for place, counts in enumerate(found) if not isinstance(counts, Counts)]
        exact = {n: counts for n, counts in enumerate(found) if isinstance(counts, Counts)}
        if missing:
            self.counted_in_postgres += len(missing)
            own = [asked[place] for place in missing]
            self._rebuild.soon(one.tenant_id for one in own if wanted[one.tenant_id])
            exact.update(zip(missing, await self._in_postgres(own), strict=True))
        return [
            replace(exact[place], seated=seated.get(one.tenant_id))
            for place, one in enumerate(asked)
        ]

    async def _wanted(self, asked: Sequence[Asked]) -> tuple[dict[int, int], dict[int, int]]:
        """The version wanted of each tenant, and the seats taken where its head was read."""
        wanted = {one.tenant_id: one.version for one in asked if one.version is not None}
        rest = [one.tenant_id for one in asked if one.version is None]
        seated: dict[int, int] = {}
        if rest:
            async with self._door.tenant_tx(*rest) as connection:
                for row in await connection.fetch(HEADS, rest):
                    wanted[row["tenant_id"]] = row["version"]
                    seated[row["tenant_id"]] = row["seated"]
        return wanted, seated

    async def _in_valkey(
        self, asked: Sequence[Asked], wanted: dict[int, int]
    ) -> list[Counts | int | None]:
        """Counts; the version that Valkey has where it is behind; None where it cannot say."""
        found: list[Counts | int | None] = [None] * len(asked)
        clock = asyncio.get_running_loop().time
        if clock() < self._rest_until:
            return found
        calls: list[Call] = []
        spans: list[tuple[int, int]] = []
        for one in asked:
            of = self._rebuild.buckets.get(one.tenant_id, 1)
            first = len(calls)
            calls += buckets.count_calls(
                one.tenant_id, self._door.epoch, of, one.period.label, one.at
            )
            spans.append((first, len(calls)))
        try:
            answers = await run(self._valkey, calls)
        except AWAY:
            self._rest_until = clock() + REST_SECONDS
            return found
        for place, (one, (first, end)) in enumerate(zip(asked, spans, strict=True)):
            counted = buckets.counted(answers[first:end])
            if isinstance(counted, int):
                if counted:
                    self._rebuild.buckets[one.tenant_id] = counted
                    found[place] = 0
            elif counted.upto < wanted[one.tenant_id]:
                found[place] = counted.upto
            else:
                found[place] = Counts(
                    version=counted.upto,
                    at=one.at,
                    conversations=counted.conversations,
                    windows=counted.windows,
                    visitors=counted.visitors,
                    valid_until=min(counted.next_change or one.period.end, one.period.end),
                )
        return found

    async def _in_postgres(self, asked: Sequence[Asked]) -> list[Counts]:
        async with self._door.tenant_tx(*{one.tenant_id for one in asked}) as connection:
            rows = await connection.fetch(
                COUNTS,
                [one.tenant_id for one in asked],
                [one.at for one in asked],
                [one.period.start for one in asked],
                [one.period.end for one in asked],
            )
        by_place = {row["n"] - 1: row for row in rows}
        return [_from_row(by_place[place], one) for place, one in enumerate(asked)]


def _from_row(row: asyncpg.Record, asked: Asked) -> Counts:
    end = asked.period.end
    return Counts(
        version=row["version"],
        at=asked.at,
        conversations=row["conversations"],
        windows=row["windows"],
        visitors=row["visitors"],
        valid_until=min(row["next_change"] or end, end),
    )
