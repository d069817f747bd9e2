"""Following alerts: each of them once, in order, from a place in a tenant's history on.

Owns what is read when a reading says that something was raised, and what is told to who comes back
from another database, from its future, or after too much. Readings only say when to look: which
alerts there are is read from their table.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

import asyncpg
import structlog

from domain.reading import Reading
from domain.watch import AlertKind
from persistence import alerts
from persistence.alerts import Alert, Asked
from persistence.board import Seen, Watcher
from persistence.door import CONNECTION_LOST, Door

log = structlog.get_logger(__name__)

#: Alerts that are told one by one to who comes back; behind more of them it reads the list.
CATCH_UP_MAX = 1_000
RETRY_SECONDS = 0.3

#: Behind every line of a version.
WHOLE = 1 << 62


class Place(NamedTuple):
    """Where somebody stands: behind a version, or behind one line of it."""

    epoch: str
    version: int
    line: int | None

    @property
    def behind(self) -> tuple[int, int]:
        """As alerts are ordered."""
        return self.version, WHOLE if self.line is None else self.line

    @property
    def whole(self) -> int:
        """The last version that is behind with all its lines."""
        return self.version if self.line is None else self.version - 1


class Told(NamedTuple):
    """An alert, and whether nothing was missed before it."""

    alert: Alert
    epoch: str
    recovered: bool


async def follow(
    door: Door,
    tenant_id: int,
    watcher: Watcher[Reading],
    place: Place | None,
    kinds: tuple[AlertKind, ...] | None,
) -> AsyncIterator[Told]:
    """Alerts of some kinds (None: all) from behind a place on; None: those raised from now on."""
    seen = await watcher.news()
    lost = place is not None and not _is_past_of(place, seen)
    at = _behind(seen) if place is None or lost else place
    coming_back = place is not None
    while True:
        if lost:
            at = _behind(seen)
            for alert in await _read(door, partial(_newest, tenant_id, kinds)):
                at = max(at, Place(seen.epoch, alert.version, alert.line), key=_order)
                yield Told(alert, seen.epoch, recovered=False)
        elif seen.state.alerted > at.whole:
            found = await _read(door, partial(_since, tenant_id, at.whole))
            if coming_back and len(found) >= CATCH_UP_MAX:
                lost = True
                continue
            for alert in found:
                # A version comes whole, so one that was left in the middle is read again.
                if (alert.version, alert.line) > at.behind and (not kinds or alert.kind in kinds):
                    yield Told(alert, seen.epoch, recovered=True)
            if len(found) >= CATCH_UP_MAX:
                at = Place(seen.epoch, found[-1].version, None)
                continue
            newest = max((alert.version for alert in found), default=0)
            at = Place(seen.epoch, max(newest, seen.state.alerted), None)
        coming_back = lost = False
        seen = await watcher.news()
        # Another epoch is another history: what was told may not have happened in it.
        lost = seen.epoch != at.epoch


def _is_past_of(place: Place, seen: Seen[Reading]) -> bool:
    return place.epoch == seen.epoch and place.version <= seen.state.version


def _behind(seen: Seen[Reading]) -> Place:
    return Place(seen.epoch, seen.state.version, None)


def _order(place: Place) -> tuple[int, int]:
    return place.behind


async def _newest(
    tenant_id: int, kinds: tuple[AlertKind, ...] | None, door: Door
) -> Sequence[Alert]:
    (page,) = await alerts.pages(door, [Asked(tenant_id=tenant_id, kinds=kinds)], limit=1)
    return page.alerts


async def _since(tenant_id: int, version: int, door: Door) -> Sequence[Alert]:
    (found,) = await alerts.since(door, [(tenant_id, version)], limit=CATCH_UP_MAX)
    return found


async def _read(door: Door, load: Callable[[Door], Awaitable[Sequence[Alert]]]) -> Sequence[Alert]:
    """What `load` reads; waits for a database that is away."""
    while True:
        try:
            return await load(door)
        except (*CONNECTION_LOST, asyncpg.PostgresError) as error:
            log.info("alerts wait for the database", why=repr(error))
            await asyncio.sleep(RETRY_SECONDS)
