"""Lanes: facts of many requests become few commits, each tenant's facts in the order they came.

Owns the order of work from queue to answer: lock, keys, load, fold, record, commit, answer. A lane
is a task with a connection of its own that no request can cancel. Several processes may run lanes
for one tenant: the heads' locks keep them apart. A lane takes what has gathered, without a timer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

import asyncpg
import structlog

from api.directory import Directory
from api.limits import (
    LANE_BATCH_MAX,
    LANE_CONTACTS_MAX,
    LANE_PATIENCE_SECONDS,
    LANE_QUEUE_MAX,
    LANES,
)
from api.placing import Placing
from api.submissions import (
    Busy,
    FactName,
    Submission,
    Unavailable,
    Verdict,
    Waiting,
    still_waiting,
)
from api.verdicts import answer, content, stored
from domain.facts import Fact, Status
from domain.fold import fold
from domain.rate import claims_message
from domain.state import Changes, State
from domain.terms import Terms
from persistence import closing, conflicts, holds, load, record
from persistence.connection import Connection
from persistence.door import CONNECTION_LOST, Door, tenant_scope
from persistence.show import Show

log = structlog.get_logger(__name__)

#: How often a tenant may be passed over because somebody else holds it before its lane waits.
PASSED_OVER_MAX = 2
#: For how long it waits then; its other tenants wait with it.
LOCK_WAIT_MILLISECONDS = 250
RECONNECT_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)


def of_the_data(error: asyncpg.PostgresError) -> bool:
    """Whether what Postgres refused was a value: of a type, a constraint or a size."""
    return (error.sqlstate or "")[:2] in ("22", "23", "54")


class Lanes:
    """All lanes of a process."""

    def __init__(
        self, door: Door, directory: Directory, now: Callable[[], int], show: Show
    ) -> None:
        self._lanes = [Lane(door, directory, now, show) for _ in range(LANES)]
        self._placing = Placing()

    async def start(self) -> None:
        for lane in self._lanes:
            lane.start()

    async def stop(self) -> None:
        """Let every lane finish its commit; what still waits is answered Unavailable."""
        await asyncio.gather(*(lane.stop() for lane in self._lanes))

    @property
    def waiting(self) -> int:
        """Facts that wait in this process."""
        return sum(lane.waiting for lane in self._lanes)

    async def commit(self, facts: Sequence[Fact]) -> list[Verdict]:
        """Commit facts and give their verdicts, in order; an answer means kept."""
        if (waiting := self.waiting) + len(facts) > LANE_QUEUE_MAX:
            raise Busy(f"{waiting} facts are waiting")
        places = self._placing.places(facts, idle=not waiting)
        submissions: dict[int, Submission] = {}
        for lane, own in places.items():
            mine = [facts[place] for place in own]
            submission = submissions[lane] = self._lanes[lane].submit(mine)
            self._placing.keep(lane, mine, submission)
        for submission in submissions.values():
            # Shielded: a client that goes away takes nothing with it.
            await asyncio.shield(submission.done)
        verdicts: list[Verdict | None] = [None] * len(facts)
        for lane, own in places.items():
            for place, verdict in zip(own, submissions[lane].verdicts, strict=True):
                verdicts[place] = verdict
        return [verdict for verdict in verdicts if verdict is not None]


class Lane:
    """One connection, one queue, one commit at a time."""

    def __init__(
        self,
        door: Door,
        directory: Directory,
        now: Callable[[], int],
        show: Show,
        judged: Mapping[bytes, int] | None = None,
    ) -> None:
        """`judged` has the flags of holds by fact, where they were decided before."""
        self._door = door
        self._directory = directory
        self._now = now
        self._show = show
        self._judged = judged
        self._queue: deque[Waiting] = deque()
        self._wake = asyncio.Event()
        self._connection: Connection | None = None
        self._states: dict[int, State] = {}
        self._passed_over: dict[int, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._under_way = 0

    @property
    def waiting(self) -> int:
        return len(self._queue) + self._under_way

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="lane")

    async def stop(self) -> None:
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task
        for waiting in self._queue:
            waiting.submission.fail(Unavailable("the process is stopping"))
        if self._connection is not None and not self._connection.is_closed():
            await self._connection.close(timeout=1)

    def submit(self, facts: Sequence[Fact]) -> Submission:
        submission = Submission(len(facts))
        self._queue.extend(Waiting(fact, submission, place) for place, fact in enumerate(facts))
        self._wake.set()
        return submission

    async def _run(self) -> None:
        while not self._stopping:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
                continue
            count = min(len(self._queue), LANE_BATCH_MAX)
            batch = [self._queue.popleft() for _ in range(count)]
            self._under_way = count
            try:
                skipped = await self._patiently(batch)
            except Exception as error:
                # Nothing may end a lane: its tenants would wait for ever.
                expected = isinstance(error, asyncpg.PostgresError)
                why = str(error)
                log.error("a lane could not commit", facts=count, why=why, exc_info=not expected)
                for waiting in batch:
                    waiting.submission.fail(Unavailable("the database cannot take it now"))
                skipped = []
            self._under_way = 0
            self._queue.extendleft(reversed(still_waiting(skipped, LANE_PATIENCE_SECONDS)))

    async def _patiently(self, batch: list[Waiting]) -> list[Waiting]:
        """Commit a batch through lost connections: the same batch again, the keys decide."""
        deadline = asyncio.get_running_loop().time() + LANE_PATIENCE_SECONDS
        attempt = 0
        while True:
            try:
                return await self._split(batch)
            except CONNECTION_LOST as error:
                await self._disconnect()
                if asyncio.get_running_loop().time() > deadline or self._stopping:
                    for waiting in batch:
                        waiting.submission.fail(Unavailable("the database does not answer"))
                    return []
                log.warning("database lost, trying again", facts=len(batch), error=repr(error))
                await asyncio.sleep(RECONNECT_SECONDS[min(attempt, len(RECONNECT_SECONDS) - 1)])
                attempt += 1

    async def _split(self, batch: list[Waiting]) -> list[Waiting]:
        """Commit a batch; where its data cannot be stored, halve it until the culprit is alone."""
        try:
            return await self._commit(batch)
        except CONNECTION_LOST:
            raise
        except Exception as error:
            await self._rollback()
            if isinstance(error, asyncpg.DeadlockDetectedError | asyncpg.SerializationError):
                return await self._split(batch)
            if isinstance(error, asyncpg.PostgresError) and not of_the_data(error):
                raise  # a full disk or a missing table is nobody's fact's fault
            if len(batch) > 1:
                half = len(batch) // 2
                skipped = await self._split(batch[:half])
                # What was passed over stays before its tenant's later facts.
                held = {waiting.fact.tenant_id for waiting in skipped}
                rest = batch[half:]
                skipped += [waiting for waiting in rest if waiting.fact.tenant_id in held]
                rest = [waiting for waiting in rest if waiting.fact.tenant_id not in held]
                return skipped + (await self._split(rest) if rest else [])
            # Of a value that Postgres refuses its words say all; of a mistake of ours they do not.
            expected = isinstance(error, asyncpg.PostgresError)
            key = batch[0].fact.key.hex()
            log.warning("a fact cannot be stored", key=key, why=str(error), exc_info=not expected)
            reason = "it cannot be stored as it is; nothing of it was kept"
            batch[0].submission.answer(batch[0].place, Verdict(Status.REFUSED, refusal=reason))
            return []

    async def _commit(self, batch: list[Waiting]) -> list[Waiting]:
        """One transaction for a batch; gives what was passed over, in order."""
        now = self._now()
        connection = await self._connect()
        tenants = sorted({waiting.fact.tenant_id for waiting in batch})
        waited_for = [t for t in tenants if self._passed_over.get(t, 0) >= PASSED_OVER_MAX]
        if waited_for:
            # A batch of their own; should it wait in vain, the others come first again.
            tenants = waited_for
            for tenant in tenants:
                self._passed_over[tenant] = 0
        scope = f"{tenant_scope(tenants)}; set local lock_timeout = {LOCK_WAIT_MILLISECONDS}"
        await connection.execute(f"begin; {scope}")
        try:
            heads = await load.lock(connection, tenants, wait=bool(waited_for))
        except asyncpg.LockNotAvailableError:
            heads = {}
        skipped: list[Waiting] = []
        if len(heads) < len({waiting.fact.tenant_id for waiting in batch}):
            batch, skipped = self._pass_over(batch, heads, tenants)
            if not batch:
                await connection.execute("rollback")
                await asyncio.sleep(0)
                return skipped
            await connection.execute(tenant_scope(heads))
        for tenant in heads:
            self._passed_over.pop(tenant, None)
        own = await self._terms(connection, heads)

        first: dict[FactName, Waiting] = {}
        again: list[Waiting] = []
        for waiting in batch:
            fact = waiting.fact
            if first.setdefault((fact.tenant_id, fact.key), waiting) is not waiting:
                again.append(waiting)
        versions = {tenant: head["version"] + 1 for tenant, head in heads.items()}
        facts = [waiting.fact for waiting in first.values()]
        known = await load.keep_keys(connection, facts, versions)
        if known:
            again += [waiting for name, waiting in first.items() if name in known]
            facts = [fact for fact in facts if (fact.tenant_id, fact.key) not in known]
        repeated = await load.keep_messages(
            connection, [fact for fact in facts if claims_message(own[fact.tenant_id], fact)]
        )
        changed = await self._fold(connection, heads, own, facts, repeated, now)
        if again:
            await conflicts.keep(
                connection,
                [each.fact for each in again if each.fact.content != content(each, first, known)],
                now,
            )
        if changed:
            await record.record(connection, changed, now)
        before = await stored(connection, known) if known else {}
        await connection.execute("commit")
        self._keep(changed)
        answer(changed, first, again, known, before)
        self._show.commits(changed, now)
        return skipped

    async def _fold(
        self,
        connection: Connection,
        heads: dict[int, asyncpg.Record],
        own: dict[int, Terms],
        fresh: Sequence[Fact],
        repeated: dict[int, dict[bytes, int]],
        now: int,
    ) -> list[Changes]:
        by_tenant: dict[int, list[Fact]] = {}
        for fact in fresh:
            by_tenant.setdefault(fact.tenant_id, []).append(fact)
        states: dict[int, State] = {}
        for tenant in by_tenant:
            # Taken out: a state is changed in place, and kept again only with its commit.
            state = self._states.pop(tenant, None)
            if state is None or state.version != heads[tenant]["version"]:
                state = load.state_of(heads[tenant])
            # What was published meanwhile marks heads, and is no version.
            state.unsettled_from = heads[tenant]["unsettled_from"]
            states[tenant] = state
        if not states:
            return []
        months = {
            own[fact.tenant_id].numbers[fact.number_id].zone.month(fact.began) for fact in fresh
        }
        await load.lots(connection, states, own, min(fact.began for fact in fresh), now)
        await load.counters(connection, states, months)
        await load.contacts(connection, states, fresh)
        if self._judged is None:
            await holds.load(connection, own, states, fresh)
        for state in states.values():
            state.judged = self._judged
        changed: list[Changes] = []
        for tenant in sorted(by_tenant):
            await closing.windows(connection, own[tenant], states[tenant], by_tenant[tenant])
            charged = repeated.get(tenant, {})
            changed.append(fold(own[tenant], states[tenant], by_tenant[tenant], charged, now))
            await asyncio.sleep(0)  # others are served between tenants
        return changed

    async def _terms(
        self, connection: Connection, heads: dict[int, asyncpg.Record]
    ) -> dict[int, Terms]:
        """The terms in force under the lock; read again where they changed since the edge."""
        found = {tenant: self._directory[tenant] for tenant in heads}
        stale = [
            tenant
            for tenant, own in found.items()
            if own is None or own.settings != heads[tenant]["settings"]
        ]
        if stale:
            await self._directory.read_locked(connection, stale)
            found.update({tenant: self._directory[tenant] for tenant in stale})
        return {tenant: own for tenant, own in found.items() if own is not None}

    def _pass_over(
        self, batch: list[Waiting], heads: dict[int, asyncpg.Record], asked: list[int]
    ) -> tuple[list[Waiting], list[Waiting]]:
        taken = [waiting for waiting in batch if waiting.fact.tenant_id in heads]
        skipped = [waiting for waiting in batch if waiting.fact.tenant_id not in heads]
        for tenant in asked:
            if tenant not in heads:
                self._passed_over[tenant] = self._passed_over.get(tenant, 0) + 1
        return taken, skipped

    def _keep(self, changed: Iterable[Changes]) -> None:
        """Remember tenants' states for their next batches; the oldest are forgotten first."""
        for changes in changed:
            self._states[changes.terms.tenant_id] = changes.state
        contacts = sum(len(state.contacts) for state in self._states.values())
        while contacts > LANE_CONTACTS_MAX:
            contacts -= len(self._states.pop(next(iter(self._states))).contacts)

    async def _connect(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._door.lane()
        return self._connection

    async def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _rollback(self) -> None:
        if self._connection is not None and not self._connection.is_closed():
            await self._connection.execute("rollback")
