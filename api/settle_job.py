"""Settling by itself: tenants that were marked by a late fact, one at a time (EV-9).

Owns whose turn it is and when. A mark is settled when its tenant has come to rest, or when half of
the time it may wait has passed, so that the other half is left for the work. Several processes may
run it: who settles a tenant has it alone, and others pass it over. How it is done is `settling`'s.
"""

from __future__ import annotations

from collections.abc import Callable

import asyncpg
import structlog

from api.metrics import Metrics
from api.settling import BusyError, Cause, Settling
from domain.periods import MINUTE, SECOND
from persistence import unsettled
from persistence.audit import SETTLE_JOB, acting_as
from persistence.door import CONNECTION_LOST, Door

#: Microseconds for which a tenant that cannot be settled is left alone.
SET_ASIDE = 5 * MINUTE

log = structlog.get_logger("kuota.settle_job")


class SettleJob:
    """The settling of marked tenants by one process; a step at a time."""

    def __init__(
        self,
        door: Door,
        settling: Settling,
        now: Callable[[], int],
        metrics: Metrics,
        within_seconds: int,
    ) -> None:
        """`within_seconds`: how long after its first mark a tenant is to be settled."""
        self._door = door
        self._settling = settling
        self._now = now
        self._metrics = metrics
        self._wait = within_seconds * SECOND // 2
        self._quiet = within_seconds * SECOND // 10
        self._busy: set[int] = set()  #: tenants that somebody else was settling
        self._aside: dict[int, int] = {}  #: tenants that failed, and when they are tried again
        self._kept = 0
        metrics.watch(
            "kuota_unsettled_tenants",
            "Tenants with late facts that are not settled, at the last look.",
            lambda: float(self._kept),
        )

    async def step(self) -> bool:
        """Settle the tenant whose turn it is; gives whether there may be another."""
        now = self._now()
        self._aside = {tenant: until for tenant, until in self._aside.items() if now < until}
        look = await unsettled.look(
            self._door, marked_by=now - self._wait, quiet_since=now - self._quiet,
            passed_over=self._busy | self._aside.keys(),
        )  # fmt: skip
        self._kept, tenant = look
        if tenant is None:
            self._busy.clear()
            return False
        try:
            with acting_as(SETTLE_JOB):
                settled = await self._settling.settle(tenant, Cause.LATE)
        except BusyError:
            self._busy.add(tenant)
        except Exception as error:
            # A statement that took too long is its tenant's; others go on without it.
            if isinstance(error, CONNECTION_LOST) and not isinstance(error, TimeoutError):
                raise
            self._aside[tenant] = self._now() + SET_ASIDE
            self._metrics.failures.labels("settling").inc()
            expected = isinstance(error, (asyncpg.PostgresError, TimeoutError))
            why = repr(error)
            log.error("a tenant is not settled", tenant=tenant, why=why, exc_info=not expected)
        else:
            self._metrics.facts_settled.inc(settled.facts)
            self._metrics.facts_corrected.inc(settled.corrected)
            if settled.settlement_id is not None:
                read, corrected = settled.facts, settled.corrected
                log.info("settled", tenant=settled.tenant, facts=read, corrected=corrected)
        return True
