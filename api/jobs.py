"""Jobs: what time alone changes, rates that came later, months of partitions, what is over.

Owns when due heads are taken, and how fast any job goes; who is rated later is `rating`'s. Figures
go by the instant that is asked for, so nobody sees a job that is late: it rests at least as long as
it worked, and a hundred thousand tenants that are due at one local midnight are spread over minutes
instead of standing in the way of facts.
Several processes may run it; a head another one holds is passed over. What is booked is the
fold's to say (`advance`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol, TypeAlias

import asyncpg
import structlog

from api.lanes import of_the_data
from api.limits import (
    DELIVERIES_CLEARED_MAX,
    DELIVERIES_KEPT_DAYS,
    EXPORT_PARTS_CLEARED_MAX,
    EXPORTS_KEPT_DAYS,
    HOLDS_CLEARED_MAX,
    WIDGET_KEPT_SECONDS,
    WIDGETS_CLEARED_MAX,
)
from api.logs import Seldom
from api.metrics import Metrics
from api.rating import Rating
from domain.fold import advance
from domain.periods import DAY, MINUTE, SECOND
from domain.state import Changes
from persistence import deliveries, due, exports, holds, load, record, report_letters, terms
from persistence.catalogue import Catalogue
from persistence.credentials import clear_widgets
from persistence.door import CONNECTION_LOST, Door, tenant_scope
from persistence.migrate import make_months
from persistence.show import Show

#: Seconds between two looks when nothing is waiting: watchers hear within five.
LOOK_SECONDS = 1.0

#: Heads that others held are looked past; more of them, and the pass begins anew.
PASSED_OVER_MAX = 10 * due.HEADS_MAX

#: Microseconds for which a tenant that cannot be advanced is left alone.
SET_ASIDE = 5 * MINUTE

#: Seconds between two looks at the partitions, and until the next one after a failure.
MONTHS_SECONDS = 3600.0
MONTHS_RETRY_SECONDS = 60.0

#: Seconds a batch under way may still take when the process stops.
STOP_SECONDS = 5.0

log = structlog.get_logger("kuota.jobs")

Rest: TypeAlias = Callable[[float], Awaitable[None]]


#: Removes what was over at an instant, so many at most; gives how many.
class Clear(Protocol):
    async def __call__(self, door: Door, before: int, *, limit: int) -> int: ...


#: One step of a job; gives whether there is more to do at this moment.
Step: TypeAlias = Callable[[], Awaitable[bool]]


class Jobs:
    """The jobs of one process."""

    def __init__(
        self,
        door: Door,
        catalogue: Catalogue,
        now: Callable[[], int],
        show: Show,
        owner_url: str | None,
        metrics: Metrics,
        *,
        rest: Rest | None = None,
        settle: Step | None = None,
        more: Mapping[str, Step] = MappingProxyType({}),
    ) -> None:
        """`owner_url` is who may make partitions; `rest` waits some seconds between two looks.

        `settle` is the step of the job that settles, where this process does that; `more` are
        those of others, by what they are called.
        """
        self._door = door
        self._catalogue = catalogue
        self._now = now
        self._show = show
        self._owner_url = owner_url
        self._metrics = metrics
        self._rest = rest or self._until_stopped
        self._settle = settle
        self._more = more
        self._passed_over: set[int] = set()
        self._aside: dict[int, int] = {}  #: tenants that failed, and when they are tried again
        self._waiting = 0
        #: When nothing was left to clear away of each, as far as this process knows.
        self._cleared: dict[str, int] = {}
        self.rating = Rating(door, catalogue, now, show, metrics)
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        metrics.watch(
            "kuota_heads_due",
            "Tenants of whom something changed by time and is not booked yet, at the last look.",
            lambda: float(self._waiting),
        )

    async def start(self) -> None:
        """Begin to look: at heads, unrated and late facts and, with an owner's URL, partitions."""
        steps: dict[str, Step] = {
            "due heads": self.advance_due,
            "unrated facts": self.rating.step,
            "ended widgets": self.clear_widgets,
            "unused holds": self.clear_holds,
            "old deliveries": self.clear_deliveries,
            "old letters": self.clear_letters,
            "old exports": self.clear_exports,
            **self._more,
        }
        if self._settle is not None:
            steps["late facts"] = self._settle
        for name, step in steps.items():
            self._tasks.append(asyncio.create_task(self._keep(step, name), name=name))
        if self._owner_url is not None:
            months = self._keep_making_months(self._owner_url)
            self._tasks.append(asyncio.create_task(months, name="partitions"))

    async def stop(self) -> None:
        """Let the batch under way be committed; what is due stays due for whoever looks next."""
        self._stopping.set()
        if self._tasks:
            _, running = await asyncio.wait(self._tasks, timeout=STOP_SECONDS)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _until_stopped(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _keep(self, step: Step, what: str) -> None:
        """Take step after step."""
        clock, seldom = asyncio.get_running_loop().time, Seldom()
        while not self._stopping.is_set():
            began, more = clock(), False
            try:
                more = await step()
            except CONNECTION_LOST as error:
                if seldom.due():
                    log.warning("database lost, a job waits", job=what, why=repr(error))
            except Exception as error:
                if seldom.due():
                    expected = isinstance(error, asyncpg.PostgresError)
                    log.error("a job waits", job=what, why=str(error), exc_info=not expected)
            took = clock() - began
            await self._rest(took if more else max(took, LOOK_SECONDS))

    async def advance_due(self) -> bool:
        """Take those that are due for longest; gives whether there may be more at this moment."""
        now = self._now()
        self._aside = {tenant: until for tenant, until in self._aside.items() if now < until}
        tenants = await due.look(self._door, now, self._passed_over | self._aside.keys())
        more = len(tenants) == due.HEADS_MAX
        if not more:
            self._waiting = len(tenants) + len(self._aside)
        elif not self._waiting:
            self._waiting = await due.count(self._door, now)
        if tenants:
            await self._halve(tenants)
        if not more or len(self._passed_over) > PASSED_OVER_MAX:
            self._passed_over.clear()
        return more

    async def clear_widgets(self) -> bool:
        """Remove tokens of widgets a day after their end; gives whether there may be more."""
        kept = WIDGET_KEPT_SECONDS * SECOND
        return await self._clear("widgets", clear_widgets, kept, WIDGETS_CLEARED_MAX)

    async def clear_holds(self) -> bool:
        """Remove holds a day after their time was over unused; gives whether there may be more."""
        return await self._clear("holds", holds.clear, DAY, HOLDS_CLEARED_MAX)

    async def clear_deliveries(self) -> bool:
        """Remove deliveries a month after they were made; gives whether there may be more."""
        kept = DELIVERIES_KEPT_DAYS * DAY
        return await self._clear("deliveries", deliveries.clear, kept, DELIVERIES_CLEARED_MAX)

    async def clear_letters(self) -> bool:
        """Remove letters with reports as deliveries are; gives whether there may be more."""
        kept = DELIVERIES_KEPT_DAYS * DAY
        return await self._clear("letters", report_letters.clear, kept, DELIVERIES_CLEARED_MAX)

    async def clear_exports(self) -> bool:
        """Remove files of exports a week after they were made; gives whether there may be more."""
        kept = EXPORTS_KEPT_DAYS * DAY
        return await self._clear("exports", exports.clear, kept, EXPORT_PARTS_CLEARED_MAX)

    async def _clear(self, what: str, clear: Clear, kept: int, most: int) -> bool:
        """Remove what is over for longer than it is kept; once none is left, a look a minute."""
        now = self._now()
        if now < self._cleared.get(what, 0) + MINUTE:
            return False
        more = await clear(self._door, now - kept, limit=most) == most
        if not more:
            self._cleared[what] = now
        return more

    async def _halve(self, tenants: Sequence[int]) -> None:
        """Advance tenants together; where one of them cannot be, find it and set it aside."""
        try:
            await self._advance(tenants)
        except CONNECTION_LOST:
            raise
        except Exception as error:
            if isinstance(error, asyncpg.PostgresError) and not of_the_data(error):
                raise  # a full disk or a missing table is no tenant's fault
            if len(tenants) > 1:
                half = len(tenants) // 2
                await self._halve(tenants[:half])
                await self._halve(tenants[half:])
                return
            (tenant,) = tenants
            self._aside[tenant] = self._now() + SET_ASIDE
            self._metrics.failures.labels("due head").inc()
            expected = isinstance(error, asyncpg.PostgresError)
            why = str(error)
            log.error("a due tenant is set aside", tenant=tenant, why=why, exc_info=not expected)

    async def _advance(self, tenants: Sequence[int]) -> None:
        """Bring tenants to the present in one transaction: those that are free and still due."""
        now = self._now()
        changed: list[Changes] = []
        async with self._door.tenant_tx(*tenants) as connection:
            heads = await load.lock(connection, sorted(tenants), wait=False)
            self._passed_over.update(set(tenants) - heads.keys())
            # Between the look and the lock somebody else may have done it.
            heads = {t: head for t, head in heads.items() if (head["next_due"] or now + 1) <= now}
            if heads:
                await connection.execute(tenant_scope(heads))
                found = await terms.by_ids(connection, self._catalogue, heads)
                own = {each.tenant_id: each for each in found}
                states = {tenant: load.state_of(head) for tenant, head in heads.items()}
                await load.lots(connection, states, own, now, now)
                idle: list[tuple[int, int]] = []
                for tenant in sorted(heads):
                    changes = advance(own[tenant], states[tenant], now)
                    if changes.empty:
                        idle.append((tenant, changes.state.next_due or now))
                    else:
                        changed.append(changes)
                    await asyncio.sleep(0)  # others are served between tenants
                if changed:
                    await record.record(connection, changed, now)
                await due.put_off(connection, idle)
        self._show.commits(changed, now)
        self._metrics.heads_advanced.inc(len(heads))
        self._waiting = max(self._waiting - len(heads), 0)

    async def _keep_making_months(self, owner_url: str) -> None:
        while not self._stopping.is_set():
            pause = MONTHS_SECONDS
            try:
                made = await make_months(owner_url, self._now())
                if made:
                    log.info("partitions made", names=made)
            except asyncpg.LockNotAvailableError:
                pause = MONTHS_RETRY_SECONDS  # somebody reads for long: facts go before months
            except Exception as error:
                pause = MONTHS_RETRY_SECONDS
                expected = isinstance(error, (asyncpg.PostgresError, *CONNECTION_LOST))
                log.error("no partitions made", why=repr(error), exc_info=not expected)
            await self._until_stopped(pause)
