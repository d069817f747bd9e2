"""What is held just now, for who shows it: sums and lists of open holds, as Valkey has them.

Owns what is shown where Valkey does not answer: nothing is held then, for nobody counts it. The
forms and the scripts are `held`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from redis.asyncio import Redis

from domain.holds import Vector
from domain.reading import Reading
from persistence import balances, held, keys
from persistence.balances import Asked
from persistence.door import Door
from persistence.feed import holding
from persistence.held import Held
from persistence.held_scripts import LIST
from persistence.valkey import AWAY, run

#: Seconds for which a Valkey that did not answer is not asked again by readers.
REST_SECONDS = 1.0

HOLD_KEYS = "select tenant_id, hold_key from tenants where tenant_id = any ($1::bigint[])"


class Open(NamedTuple):
    """An open hold as Valkey has it."""

    key: bytes
    ends_at: int  #: when it next gives something back by itself
    answer: bytes
    granted_at: int
    expires_at: int
    lasts_until: int
    parts: Vector


async def listed(
    valkey: Redis, tenant_id: int, now: int, *, after: tuple[int, bytes] | None, limit: int
) -> list[Open]:
    """The open holds that end first, from behind one's end and key on; raises one of AWAY."""
    place: tuple[int | str, bytes] = ("", b"") if after is None else after
    while True:
        call = (LIST, keys.standing(tenant_id), (now, *place, limit))
        ((more, *found),) = await run(valkey, [call])
        if not more:
            return [_open(each) for each in found]


def _open(told: list[bytes]) -> Open:
    key, ends_at, answer, granted, expires, lasts, *parts = told
    vector = tuple(
        (field.decode(), int(amount)) for field, amount in zip(parts[::2], parts[1::2], strict=True)
    )
    return Open(key, int(ends_at), answer, int(granted), int(expires), int(lasts), vector)


class OpenHolds:
    """The open holds that a process's readers and watchers ask for."""

    def __init__(self, valkey: Redis, door: Door) -> None:
        self._valkey = valkey
        self._door = door
        self._rest_until = 0.0

    async def held(self, asked: Mapping[int, int]) -> dict[int, Held]:
        """What is held of tenants at an instant each, which is now; without those not known."""
        if not asked or self._rests():
            return {}
        try:
            return await held.held(self._valkey, asked)
        except AWAY:
            self._rest()
            return {}

    async def readings(self, asked: Sequence[Asked], now: int) -> list[Reading | None]:
        """Balances with what is held of them; only of the present, for a past one nobody knows.

        What is held is read first: a share that is charged meanwhile counts twice, not never.
        """
        known = await self.held({one.tenant_id: now for one in asked if one.at >= now})
        found = await balances.readings(self._door, asked)
        return [
            None if reading is None else _holding(reading, known.get(one.tenant_id), now)
            for one, reading in zip(asked, found, strict=True)
        ]

    async def listed(
        self, tenant_id: int, now: int, *, after: tuple[int, bytes] | None, limit: int
    ) -> list[Open]:
        """Open holds from behind one's end and key on, those that end first first."""
        if self._rests():
            return []
        try:
            return await listed(self._valkey, tenant_id, now, after=after, limit=limit)
        except AWAY:
            self._rest()
            return []

    async def keys(self, tenant_ids: Collection[int]) -> dict[int, bytes]:
        """The keys that sign the ids of tenants' holds."""
        async with self._door.tenant_tx(*tenant_ids) as connection:
            rows = await connection.fetch(HOLD_KEYS, list(tenant_ids))
        return {row["tenant_id"]: row["hold_key"] for row in rows}

    def _rests(self) -> bool:
        return asyncio.get_running_loop().time() < self._rest_until

    def _rest(self) -> None:
        self._rest_until = asyncio.get_running_loop().time() + REST_SECONDS


def _holding(reading: Reading, known: Held | None, now: int) -> Reading:
    present = reading.period.start <= now <= reading.at
    if known is None or not present:
        return reading
    return holding(reading, known._replace(amounts={}) if reading.closed else known)
