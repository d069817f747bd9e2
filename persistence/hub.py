"""The hub: what changes of a tenant reaches everybody in this process who watches it.

Owns the process's one subscription to Valkey and the look at clocks and heads beside it. Valkey
only makes the feed fast: whatever is lost on the way (a message, the connection, Valkey itself) is
seen by the heads of the watched tenants, looked at every second, and read from PostgreSQL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import asyncpg
import structlog
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from domain.periods import period
from domain.reading import Reading
from persistence import feed, keys
from persistence.balances import Asked
from persistence.board import Board, Part, Wanted
from persistence.canary import Canary
from persistence.door import CONNECTION_LOST, Door
from persistence.live import Asked as CountsAsked
from persistence.live import Counts, Live
from persistence.valkey import ANSWER_SECONDS, AWAY
from persistence.zones import read_zone

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
#: A subscription that says nothing for so long, though it is pinged, is given up.
SILENCE_SECONDS = 4.0
RETRY_SECONDS = 0.3
CANARY = keys.CANARY.encode()

# Zones come with them: one that was exchanged is known long before it holds (TZ-3). So does the
# number of the tenant's terms: the commit that changed them may have been skipped for a newer one.
HEADS = """
select tenant_id, version, settings, zones::text as zones, seated
from tenant_head join tenants using (tenant_id) where tenant_id = any ($1::bigint[])"""


#: Holds change without a commit, and are told alone then.
HELD: Part[Reading] = Part(
    at=lambda reading: reading.held_at,
    of=feed.held_of,
    put=feed.holding,
    until=lambda reading: reading.booked_until,
)


class Hub:
    """The watched balances and live counters of one process."""

    def __init__(self, redis_url: str, door: Door, live: Live, now: Callable[[], int]) -> None:
        self._door = door
        self._live = live
        self._now = now
        self._pool = ConnectionPool.from_url(
            redis_url,
            protocol=2,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._hearing = False
        self._stopping = False
        self._unheld: set[int] = set()  #: tenants of whom was read without what is held
        #: Of tenants whose usage is watched: their settings, and the seats that are taken.
        self._seats: dict[int, tuple[int, int]] = {}
        self.heard = 0  #: messages of watched tenants
        self.gaps = 0  #: times the subscription was lost
        self.canary = Canary()
        self.balances: Board[Reading] = Board(self._readings, lambda: door.epoch, HELD)
        self.usage: Board[Counts] = Board(self._counts, lambda: door.epoch)

    def start(self) -> None:
        """Begin to listen; watchers may come before."""
        work = (self._listen(), self._look(), self.balances.run(), self.usage.run())
        self._tasks = [asyncio.create_task(each, name="hub") for each in work]

    async def stop(self) -> None:
        # redis-py may swallow a cancellation: the flag ends the task then.
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.canary.stop()

    @property
    def hearing(self) -> bool:
        """Whether the subscription stands."""
        return self._hearing

    async def _listen(self) -> None:
        while not self._stopping:
            connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
            try:
                await self._hear(connection)
            except AWAY as error:
                log.info("the subscription to Valkey is lost", why=repr(error))
            except Exception:
                log.exception("what was heard cannot be read")
            finally:
                self.gaps += self._hearing
                self._hearing = False
                await connection.disconnect(nowait=True)
            await asyncio.sleep(RETRY_SECONDS)

    async def _hear(self, connection: AbstractConnection) -> None:
        await connection.connect()  # type: ignore[no-untyped-call]
        # Sent and read plainly: redis-py's own subscriber comes back after a loss without a word.
        channels = [*(keys.channel(number) for number in range(keys.CHANNELS)), keys.CANARY]
        await connection.send_command("SUBSCRIBE", *channels)
        for _ in channels:
            await _said(connection)
        # What was published before now is not heard: all that is watched is read once.
        self._hearing = True
        for board in (self.balances, self.usage):
            for tenant_id in board.tenants:
                board.want(tenant_id)
        pinging = asyncio.create_task(self._ping(connection))
        try:
            while not self._stopping:
                kind, channel, *message = await _said(connection)
                if kind == b"message" and channel == CANARY:
                    self.canary.hear(message[0])
                elif kind == b"message":
                    self._told(message[0])
        finally:
            pinging.cancel()

    async def _ping(self, connection: AbstractConnection) -> None:
        while True:
            await asyncio.sleep(SILENCE_SECONDS / 4)
            if not connection.is_connected:
                return  # sending would connect it again, and nobody would read it or close it
            try:
                await connection.send_command("PING", check_health=False)
            except (*AWAY, AttributeError):  # redis-py has let go of its writer meanwhile
                return  # who reads will notice

    def _told(self, message: bytes) -> None:
        try:
            published = feed.decode(message, self)
        except Exception:
            log.exception("a message is no reading")
            return
        if published is None:
            return
        self.heard += 1
        tenant_id, held, epoch, reading = published
        # Another epoch is another database, or this one's past; what is held is of neither.
        if reading is None or epoch != self._door.epoch:
            self.balances.amend(tenant_id, held, held.at)
            return
        if tenant_id in self.balances:
            self.balances.tell(tenant_id, reading)
        if tenant_id in self.usage:
            self.usage.want(tenant_id, reading.version)

    def __contains__(self, tenant_id: object) -> bool:
        return tenant_id in self.balances or tenant_id in self.usage

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = self._now()
            self.balances.look(now)
            self.usage.look(now)
            if self._hearing:
                unheld, self._unheld = self._unheld, set()
                for tenant_id in unheld.intersection(self.balances.tenants):
                    self.balances.want(tenant_id)
            tenants = sorted({*self.balances.tenants, *self.usage.tenants})
            if not tenants:
                continue
            patient = self._hearing
            try:
                async with self._door.tenant_tx(*tenants) as connection:
                    rows = await connection.fetch(HEADS, tenants)
            except (*CONNECTION_LOST, asyncpg.PostgresError):
                continue  # the heads are looked at again in a moment
            versions = {row["tenant_id"]: row["version"] for row in rows}
            zones = {row["tenant_id"]: read_zone(row["zones"]) for row in rows}
            settings = {row["tenant_id"]: row["settings"] for row in rows}
            for board in (self.balances, self.usage):
                board.rezone(zones)
                board.agree(settings)
                board.heads(versions, patient=patient)
            self._seat({row["tenant_id"]: (row["settings"], row["seated"]) for row in rows})

    def _seat(self, seats: dict[int, tuple[int, int]]) -> None:
        """Have usage read again where seats were taken or left, or the plan may give others.

        Also at the first look at a tenant: what changed since its watcher came was told by nobody.
        """
        before = self._seats
        self._seats = {one: seats[one] for one in self.usage.tenants if one in seats}
        for tenant_id, known in self._seats.items():
            if before.get(tenant_id) != known:
                self.usage.want(tenant_id)

    async def _readings(self, wanted: Sequence[Wanted]) -> Sequence[Reading | None]:
        now = self._now()
        found = await self._live.holds.readings(
            [
                Asked(tenant_id=one.tenant_id, at=now, period=period(one.zone, now), day=None)
                for one in wanted
            ],
            now,
        )
        for one, reading in zip(wanted, found, strict=True):
            if reading is not None and not reading.held_at:
                self._unheld.add(one.tenant_id)
        return found

    async def _counts(self, wanted: Sequence[Wanted]) -> Sequence[Counts | None]:
        now, known = self._now(), self._seats
        found = await self._live.counts(
            [
                CountsAsked(
                    tenant_id=one.tenant_id,
                    at=now,
                    period=period(one.zone, now),
                    # Until a look has told them, the seats are read with the head.
                    version=one.version if one.tenant_id in known else None,
                )
                for one in wanted
            ]
        )
        return [
            replace(counts, seated=known[counts_of.tenant_id][1])
            if counts_of.tenant_id in known
            else counts
            for counts_of, counts in zip(wanted, found, strict=True)
        ]


async def _said(connection: AbstractConnection) -> Any:
    """What Valkey says next; one of AWAY when it says nothing for too long."""
    answer = await connection.read_response(timeout=SILENCE_SECONDS)
    if answer is None:
        # redis-py takes an end of patience for an answer.
        raise TimeoutError(f"silent for {SILENCE_SECONDS} s")
    return answer
