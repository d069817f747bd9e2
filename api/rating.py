"""Rating what was kept unrated: as soon as a rate is published, page by page (EV-7).

Owns whose facts are tried, when, and how many in one commit. A pass takes a tenant's unrated facts
in fact order, each page under its lock and with the catalogue as it then is; a fact has its
revision or it has not, so that a pass that ends anywhere is taken up by the next one, in whatever
process. What a fact costs is the fold's to say (`rate_kept`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import asyncpg
import structlog

from api.edge import kept
from api.lanes import LOCK_WAIT_MILLISECONDS, of_the_data
from api.metrics import Metrics
from domain.fold import rate_kept
from domain.periods import MINUTE, iso
from domain.state import Changes, State
from domain.terms import Terms
from persistence import closing, load, log, record, terms, unrated
from persistence.catalogue import Catalogue
from persistence.connection import Connection
from persistence.door import CONNECTION_LOST, Door
from persistence.log import BEGINNING, KeptFact, Place
from persistence.show import Show

#: Facts of a page, and so of a commit: facts of the tenant wait some 50 ms for it.
PAGE_FACTS = 300

#: Microseconds for which a tenant whose facts cannot be rated is left alone.
SET_ASIDE = 5 * MINUTE

logger = structlog.get_logger("kuota.rating")


@dataclass(slots=True)
class Pass:
    """One look through a tenant's unrated facts."""

    tenant_id: int
    stamp: str = ""  #: of the catalogue it began under
    after: Place = BEGINNING


class Rating:
    """The rating of one process; a step at a time, so that facts come in between."""

    def __init__(
        self,
        door: Door,
        catalogue: Catalogue,
        now: Callable[[], int],
        show: Show,
        metrics: Metrics,
        *,
        page_facts: int = PAGE_FACTS,
    ) -> None:
        self._door = door
        self._catalogue = catalogue
        self._now = now
        self._show = show
        self._metrics = metrics
        self._page_facts = page_facts
        self._pass: Pass | None = None
        self._held: set[int] = set()  #: tenants that somebody else had locked
        self._aside: dict[int, int] = {}  #: tenants that failed, and when they are tried again
        self._kept = 0
        metrics.watch(
            "kuota_unrated_tenants",
            "Tenants with facts that no rate covers, at the last look.",
            lambda: float(self._kept),
        )

    async def step(self) -> bool:
        """Rate a page of the tenant that is next; gives whether there is more at this moment."""
        now = self._now()
        self._aside = {tenant: until for tenant, until in self._aside.items() if now < until}
        under_way, self._pass = self._pass, None
        if under_way is None:
            look = await unrated.look(self._door, self._held | self._aside.keys())
            self._kept = look.kept
            if not look.untried:
                self._held.clear()
                return False
            under_way = Pass(look.untried[0])
        try:
            if not await self._page(under_way):
                self._pass = under_way
        except CONNECTION_LOST:
            raise
        except asyncpg.LockNotAvailableError:
            self._held.add(under_way.tenant_id)
        except Exception as error:
            if isinstance(error, asyncpg.PostgresError) and not of_the_data(error):
                raise  # a full disk or a missing table is no tenant's fault
            expected = isinstance(error, asyncpg.PostgresError)
            tenant = under_way.tenant_id
            self._aside[tenant] = now + SET_ASIDE
            self._metrics.failures.labels("unrated facts").inc()
            why = str(error)
            logger.error("unrated facts stay", tenant=tenant, why=why, exc_info=not expected)
        return True

    async def _page(self, under_way: Pass) -> bool:
        """Rate the next page in one transaction; gives whether it was the last."""
        now, tenant = self._now(), under_way.tenant_id
        changes: Changes | None = None
        async with self._door.tenant_tx(tenant) as connection:
            await connection.execute(f"set local lock_timeout = {LOCK_WAIT_MILLISECONDS}")
            heads = await load.lock(connection, [tenant], wait=True)
            waiting = await unrated.read(connection, tenant)
            # Read under the lock: what is published from here on waits for the commit.
            (own,) = await terms.by_ids(connection, self._catalogue, [tenant])
            stamp = under_way.stamp = under_way.stamp or self._catalogue.stamp
            if waiting is None or waiting.tried == stamp:
                return True  # another process did it
            page = await log.unrated(
                connection, tenant, since=waiting.since, after=under_way.after,
                limit=self._page_facts,
            )  # fmt: skip
            if page:
                state = load.state_of(heads[tenant])
                changes = await self._rate(connection, own, state, page, now)
                if changes.empty:
                    changes = None
                else:
                    await record.record(connection, [changes], now)
            # What came in meanwhile was tried when it came, and may stand before the page.
            first = await log.unrated(connection, tenant, since=waiting.since, limit=1)
            last = not first or len(page) < self._page_facts
            if not first:
                await unrated.done(connection, tenant)
            else:
                tried = stamp if last else None
                await unrated.move(connection, tenant, first[0].at, tried)
            if page:
                under_way.after = page[-1].place
        if changes is not None:
            self._show.commits([changes], now)
            self._metrics.facts_rated.inc(len(changes.revisions))
        if last and first:
            logger.warning("facts are kept unrated", tenant=own.key, since=iso(first[0].at))
        return last

    async def _rate(
        self,
        connection: Connection,
        own: Terms,
        state: State,
        page: Sequence[KeptFact],
        now: int,
    ) -> Changes:
        """Fold a page of a locked tenant's facts; `state` is empty as yet."""
        facts = [kept(each, own) for each in page]
        states, numbers = {own.tenant_id: state}, own.numbers
        months = {numbers[fact.number_id].zone.month(fact.began) for fact in facts}
        began = min(fact.began for fact in facts)
        await load.lots(connection, states, {own.tenant_id: own}, began, now)
        await load.counters(connection, states, months)
        await load.contacts(connection, states, facts)
        await closing.windows(connection, own, state, facts)
        revised = [
            (fact, each.flags, each.revision) for fact, each in zip(facts, page, strict=True)
        ]
        return rate_kept(own, state, revised, now)
