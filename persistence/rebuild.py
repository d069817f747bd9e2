"""Rebuilding what Valkey holds of tenants from PostgreSQL, where it is not whole.

Owns who waits to be rebuilt and how that is done while commits go on: a rebuild begins in the
buckets, reads a version and then the contacts, and only then says that everything up to the version
is there. What other processes add meanwhile stays. A Valkey that is lost half way, or a second
rebuild, is noticed by its token, and it begins again. Of two processes one rebuilds a tenant, for
as long as it is heard of.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence

import structlog
from redis.asyncio import Redis

from domain.periods import period
from domain.reading import Reading
from domain.terms import Terms
from persistence import buckets, held, terms
from persistence.asked import holds
from persistence.balances import Asked, readings
from persistence.buckets import DONE, SPREAD_ABOVE, SPREAD_OVER, Counted, Members
from persistence.catalogue import Catalogue
from persistence.door import CONNECTION_LOST, Door
from persistence.feed import show_call
from persistence.held import Ended, of_kept, restored
from persistence.holds import open_holds
from persistence.valkey import AWAY, run

log = structlog.get_logger(__name__)

#: Seconds before a gap is looked at: most fill by themselves when two processes commit in turn.
PATIENCE_SECONDS = 0.3
RETRY_SECONDS = 0.5
TENANTS_AT_A_TIME = 50
CONTACTS_AT_A_TIME = 5_000
HOLDS_AT_A_TIME = 1_000

_SETTLED = """coalesce((
    select version from settlements where tenant_id = $1 order by settlement_id desc limit 1
), 0) as settled"""

HEAD = f"""
select {_SETTLED}, (
    select coalesce(sum(visitors), 0)::bigint from usage_day
    where tenant_id = $1 and bucket >= $2 and bucket < $3
) as visitors
from tenant_head where tenant_id = $1"""

BEGUN = f"select version, {_SETTLED} from tenant_head where tenant_id = $1"

# Walks the primary key: a page costs what its own rows cost.
CONTACTS = """
select channel, party, number_id, service_opened_at, service_ends_at, conversation_opened_at,
    conversation_ends_at, visited
from contacts
where tenant_id = $1 and (channel, party, number_id) > ($2, $3, $4)
    and (service_ends_at > $5 or conversation_ends_at > $5 or visited && $6::integer[])
order by channel, party, number_id
limit $7"""


class Rebuild:
    """The tenants that Valkey has not whole, on their way to be so again."""

    def __init__(
        self, valkey: Redis, door: Door, catalogue: Catalogue, now: Callable[[], int]
    ) -> None:
        self._valkey = valkey
        self._now = now
        self._door = door
        self._catalogue = catalogue
        self._waiting: dict[int, None] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._name = secrets.token_hex(8)
        self.buckets: dict[int, int] = {}  #: of the tenants that have more than one
        self.rebuilt = 0  #: tenants whose windows and visitors were read again

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="rebuild")

    async def stop(self) -> None:
        if self._task is not None:
            self._stopping = True
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def soon(self, tenant_ids: Iterable[int]) -> None:
        """Look at tenants soon, and read again what is missing."""
        self._waiting.update(dict.fromkeys(tenant_ids))
        if self._waiting:
            self._wake.set()

    async def _run(self) -> None:
        while not self._stopping:
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(PATIENCE_SECONDS)
            while self._waiting and not self._stopping:
                batch = list(self._waiting)[:TENANTS_AT_A_TIME]
                for tenant_id in batch:
                    del self._waiting[tenant_id]
                try:
                    await self._valkey.ping()
                    if others := await self.tenants(batch):
                        self.soon(others)
                        await asyncio.sleep(RETRY_SECONDS)
                except (*AWAY, *CONNECTION_LOST) as error:
                    log.info("a rebuild waits", tenants=len(self._waiting), why=repr(error))
                    self.soon(batch)
                    await asyncio.sleep(RETRY_SECONDS)
                except Exception:
                    log.exception("tenants could not be rebuilt", tenants=batch)

    async def tenants(self, tenant_ids: Sequence[int]) -> list[int]:
        """Make Valkey whole for tenants; gives those that somebody else began to rebuild."""
        epoch = self._door.epoch
        found = await self.balances(tenant_ids)
        return [
            one.tenant_id for one, reading in found if not await self._fill(one, reading, epoch)
        ]

    async def balances(self, tenant_ids: Sequence[int]) -> list[tuple[Terms, Reading]]:
        """Bring open holds and what tenants have left; gives the readings."""
        async with self._door.tenant_tx(*tenant_ids) as connection:
            own = await terms.by_ids(connection, self._catalogue, tenant_ids)
        now, epoch = self._now(), self._door.epoch
        for one in own:
            await self._holds(one.tenant_id, now, epoch)
        asked = [
            Asked(tenant_id=one.tenant_id, at=now, period=period(one.zone, now), day=None)
            for one in own
        ]
        found = [
            (one, reading)
            for one, reading in zip(own, await readings(self._door, asked), strict=True)
            if reading is not None
        ]
        await run(self._valkey, [show_call(epoch, one, reading) for one, reading in found])
        return found

    async def _holds(self, tenant_id: int, now: int, epoch: str) -> None:
        """Bring every open hold, and end those that ended without being shown.

        Only then Valkey is told that it has all of them: before, nobody is granted anything there.
        """
        token = secrets.token_hex(8)
        await run(self._valkey, [held.end_call(tenant_id, now, (), token=token, epoch=epoch)])
        async with self._door.tenant_tx(tenant_id) as connection:
            page: list[Ended] = []
            async for kept, answer in open_holds(connection, tenant_id, now):
                page.append(restored(kept, answer))
                if len(page) == HOLDS_AT_A_TIME:
                    await run(self._valkey, [held.end_call(tenant_id, now, page)])
                    page = []
            # Brought before they are looked at again: one that ended since it was read would stay.
            await run(self._valkey, [held.end_call(tenant_id, now, page)])
            page = []
            async for some in held.open_keys(self._valkey, tenant_id):
                known = await holds(connection, [(tenant_id, key) for key in some])
                page += [of_kept(each.kept) for each in known.values() if each.kept.ended_at]
        # A Valkey that was lost meanwhile has not the token, nor all of them: it is asked again.
        await run(self._valkey, [held.end_call(tenant_id, now, page, whole=epoch, token=token)])

    async def _fill(self, own: Terms, reading: Reading, epoch: str) -> bool:
        """Bring windows and visitors to Valkey, unless they are there; False: not by us."""
        tenant_id, month, now = own.tenant_id, reading.period.label, reading.at
        of = self.buckets.get(tenant_id, 1)
        asked = buckets.count_calls(tenant_id, epoch, of, month, now)
        there = buckets.counted(await run(self._valkey, asked))
        if isinstance(there, Counted):
            if there.upto >= reading.version and (of > 1 or there.visitors <= SPREAD_ABOVE):
                return True
        elif there:
            self.buckets[tenant_id] = there
            return False
        token = f"{self._name}:{secrets.token_hex(4)}"
        async with self._door.tenant_tx(tenant_id) as connection:
            head = await connection.fetchrow(
                HEAD, tenant_id, reading.period.start, reading.period.end
            )
            assert head is not None
            if head["visitors"] > SPREAD_ABOVE:
                of = self.buckets[tenant_id] = max(of, SPREAD_OVER)
            # Begun before anything is read: what others add from here on stays.
            settled = head["settled"]
            calls = buckets.begin_calls(tenant_id, epoch, of, month, token, self._now(), settled)
            for part in (calls[:1], calls[1:]):
                if any(code != DONE for code, _ in await run(self._valkey, part)):
                    return False
            begun = await connection.fetchrow(BEGUN, tenant_id)
            assert begun is not None
            if begun["settled"] != settled:
                return False  # too early: what it took away may be there
            place = (-1, "", -1)
            while True:
                rows = await connection.fetch(
                    CONTACTS, tenant_id, *place, now, [month, month + 1], CONTACTS_AT_A_TIME
                )
                last = len(rows) < CONTACTS_AT_A_TIME
                members = Members(of, now, month)
                for row in rows:
                    members.add(
                        row["channel"],
                        row["party"],
                        row["number_id"],
                        (row["service_opened_at"], row["service_ends_at"]),
                        (row["conversation_opened_at"], row["conversation_ends_at"]),
                        row["visited"],
                    )
                done = {"base": begun["version"]} if last else {}
                calls = members.calls(tenant_id, epoch, token=token, heard=self._now(), **done)
                if any(code != DONE for code, _ in await run(self._valkey, calls)):
                    return False
                if last:
                    self.rebuilt += 1
                    return True
                place = (rows[-1]["channel"], rows[-1]["party"], rows[-1]["number_id"])
