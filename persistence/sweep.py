"""The sweep behind the showing: what was committed and never shown is found and shown.

Owns the look at the latest commits and the mark up to where Valkey has everything. One process
sweeps at a time, as long as Valkey remembers which. A Valkey without the mark has lost what it had,
or shows another database: every tenant that was ever committed is brought to it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable

import structlog
from redis.asyncio import Redis

from domain.periods import SECOND
from persistence import keys, outages
from persistence.door import CONNECTION_LOST, Door
from persistence.rebuild import TENANTS_AT_A_TIME, Rebuild
from persistence.valkey import ANSWER_SECONDS, AWAY, Call, Script, run

EVERY_SECONDS = 2.0
#: A commit bears the instant it began at, and may take as long as a statement may.
OVERLAP = 30 * SECOND
MINE_MILLISECONDS = 10_000

log = structlog.get_logger(__name__)

MINE = Script("""
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
""")

# Which version balances and windows are at; {-3} where nothing is known of the epoch.
SHOWN = Script("""
local state = redis.call('HMGET', KEYS[1], 'epoch', ARGV[2])
if state[1] ~= ARGV[1] then return -3 end
return tonumber(state[2] or '0')
""")

LATEST = """
select tenant_id, max(version) as version from commits where at >= $1 group by tenant_id"""

EVERYBODY = """
select tenant_id from tenant_head
where version > 0 and tenant_id > $1 order by tenant_id limit $2"""


class Sweep:
    """Looks every other second, in the background."""

    def __init__(self, valkey: Redis, door: Door, rebuild: Rebuild, now: Callable[[], int]) -> None:
        self._valkey = valkey
        self._door = door
        self._rebuild = rebuild
        self._now = now
        self._name = secrets.token_hex(8)
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self.found = 0  #: tenants that were found behind

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="sweep")

    async def stop(self) -> None:
        """End between two looks; one that takes long is cut off."""
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=ANSWER_SECONDS)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                if await self._mine():
                    await self._sweep()
            except (*AWAY, *CONNECTION_LOST):
                pass  # whoever can reach both sweeps what was missed
            except Exception:
                log.exception("the sweep failed")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), EVERY_SECONDS)

    async def _mine(self) -> bool:
        """Whether this process sweeps; it says so again."""
        call = (MINE, [keys.SWEEPER.pattern], (self._name, MINE_MILLISECONDS))
        return (await run(self._valkey, [call])) == [1]

    async def _sweep(self) -> None:
        began, epoch = self._now(), self._door.epoch
        mark = await self._valkey.get(keys.SWEPT.pattern)
        known, _, instant = (mark.decode() if isinstance(mark, bytes) else "").partition(" ")
        if not instant or known != epoch:
            if not await self._everybody():
                return
        else:
            await self._latest(min(int(instant), began) - OVERLAP, epoch)
        await self._valkey.set(keys.SWEPT.pattern, f"{epoch} {began}")
        if granted := await outages.under_way(self._door):
            # Valkey answers: what was granted without it is brought, and the outage is over.
            await self._rebuild.balances(list(granted))
            await outages.over(self._door, granted)

    async def _latest(self, since: int, epoch: str) -> None:
        """Find tenants whose latest commits Valkey does not have."""
        async with self._door.system_tx("tenants of the latest commits") as connection:
            rows = await connection.fetch(LATEST, since)
        calls: list[Call] = []
        for row in rows:
            tenant_id = row["tenant_id"]
            calls.append((SHOWN, [keys.balances(tenant_id)], (epoch, "version")))
            calls.append((SHOWN, keys.bucket(tenant_id, 0, 0)[:1], (epoch, "upto")))
        answers = iter(await run(self._valkey, calls) if calls else ())
        behind = [
            row["tenant_id"] for row in rows if min(next(answers), next(answers)) < row["version"]
        ]
        self.found += len(behind)
        self._rebuild.soon(behind)

    async def _everybody(self) -> bool:
        """Bring every tenant's state to Valkey; False where somebody else took the sweep over."""
        log.info("valkey has no state of this database: every tenant is shown again")
        last = 0
        while True:
            async with self._door.system_tx("tenants that have a state to show") as connection:
                rows = await connection.fetch(EVERYBODY, last, TENANTS_AT_A_TIME)
            if not rows:
                return True
            self._rebuild.soon(await self._rebuild.tenants([row["tenant_id"] for row in rows]))
            last = rows[-1]["tenant_id"]
            if self._stopping.is_set() or not await self._mine():
                return False
