"""Settling: a tenant's log folded again in fact order, and the differences posted (EV-9, EV-10).

Owns the order of work. Reading goes page by page in transactions of its own while facts come in;
the tenant's lock is held for the newest facts, the comparison and the posting alone. What
came in behind the reader's back begins it anew. One settling a tenant at a time, in all processes.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

import asyncpg

from api.again import PAGE_FACTS, Again
from domain.facts import Status
from domain.fold import CLOSED, SETTLED, advance
from domain.money import text
from domain.periods import MINUTE, SECOND, iso, month_name, period
from domain.rollup import USAGE, bucket, is_initial, rated_later, usage_of
from domain.settle import Books, Corrections, Difference, amounts, corrections, watch
from domain.state import Changes, Revision, Transfer
from domain.terms import Terms
from persistence import closed_usage, closing, load, midnights, record, settling, terms
from persistence.audit import trace
from persistence.catalogue import Catalogue
from persistence.connection import Connection
from persistence.door import END_SECONDS, Door, tenant_scope
from persistence.show import Show

#: Microseconds of the newest facts that are read under the lock, by reading: what came in behind
#: its place begins it anew, and most late facts are late by less than the second has.
MARGINS = (SECOND, MINUTE)

#: How often it is read before the lock is held all the while.
READINGS_MAX = len(MARGINS) + 1


class Cause(IntEnum):
    """Why a settling was made; stored."""

    LATE = 1  #: a fact came late
    DEMAND = 2  #: somebody asked for it
    CLOSE = 3  #: before a period was closed
    BOOK = 4  #: a book was published to rate anew


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What a settling found."""

    tenant: str  #: its key
    facts: int  #: read
    corrected: int  #: facts that were charged otherwise than they should be
    differences: dict[str, int]  #: micros by balance: charged now less what was charged before
    settlement_id: int | None  #: None: the books agreed


#: Called in the transaction that posts, with what is posted in it and the version it becomes.
Keep: TypeAlias = Callable[[Connection, Settled, int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Close:
    """A period's end that has come; everything before it is closed."""

    end: int
    #: Whether what it leaves unpaid is asked for; None: where it is the next to be invoiced.
    invoiced: bool | None = None


class BusyError(Exception):
    """Somebody else settles the tenant just now."""


class ClosedError(Exception):
    """Somebody else has closed the period meanwhile."""


class Settling:
    """The settling of one process."""

    def __init__(
        self,
        door: Door,
        catalogue: Catalogue,
        now: Callable[[], int],
        show: Show | None,
        *,
        page_facts: int = PAGE_FACTS,
        rest: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        """Without `show` a sweep finds what was posted; `rest` waits some seconds, after a page."""
        self._page_facts = page_facts
        self._rest = rest
        self._door = door
        self._catalogue = catalogue
        self._now = now
        self._show = show

    async def settle(
        self,
        tenant_id: int,
        cause: Cause,
        keep: Keep | None = None,
        *,
        close: Close | None = None,
    ) -> Settled:
        """Make a tenant's books what the order of its inputs comes to.

        Raises BusyError while somebody else does so, ClosedError where a closing is done already.
        `keep` may keep more with what is posted; `close` is closed in the same transaction.
        """
        started_at = self._now()
        async with self._alone(tenant_id) as connection:
            for reading in range(1, READINGS_MAX + 1):
                held = reading == READINGS_MAX
                again = None
                if not held:
                    again = await self._read(connection, tenant_id, close, MARGINS[reading - 1])
                settled = await self._post(
                    connection, tenant_id, again, cause, started_at, keep, close
                )
                if settled is not None:
                    return settled
        raise AssertionError("the last reading holds the lock: nothing comes behind it")

    @asynccontextmanager
    async def _alone(self, tenant_id: int) -> AsyncIterator[Connection]:
        """A connection that alone settles the tenant; whatever ends it, another one may then."""
        connection = await self._door.session()
        try:
            if not await connection.fetchval(settling.ALONE, tenant_id):
                raise BusyError
            yield connection
        except BaseException:
            await connection.close(timeout=END_SECONDS)
            raise
        await self._door.rest(connection)

    async def _read(
        self, connection: Connection, tenant_id: int, close: Close | None, margin: int
    ) -> Again:
        """Fold everything up to a moment ago, without holding anybody up."""
        scope = tenant_scope([tenant_id])
        async with connection.transaction():
            await connection.execute(scope)
            head = await _head(connection, tenant_id)
            again = await self._begin(connection, head, close)
        more = True
        while more:
            began = time.perf_counter()
            async with connection.transaction():
                await connection.execute(scope)
                more = await again.page(self._now() - margin)
            if self._rest is not None:
                await self._rest(time.perf_counter() - began)
        return again

    async def _begin(
        self, connection: Connection, head: asyncpg.Record, close: Close | None
    ) -> Again:
        """Begin where everything before is as it was when it was settled last.

        Who closes a period passes no midnights: those behind it are of other terms then.
        """
        tenant_id, version = head["tenant_id"], head["version"]
        (own,) = await terms.by_ids(connection, self._catalogue, [tenant_id])
        closed = await closing.read(connection, tenant_id)
        end = None if close is None else close.end
        upto = min(at for at in (head["unsettled_from"], end, self._now()) if at is not None)
        since = await midnights.latest(connection, own, closed, upto, version)
        await midnights.begin(connection, tenant_id, since)
        planned = midnights.planned(own.zone, self._now() - MINUTE) if close is None else ()
        again = await Again.begin(
            connection, own, version, page_facts=self._page_facts, since=since, midnights=planned
        )
        again.stop = end
        if close is not None:
            span, invoiced = period(own.zone, close.end - 1), close.invoiced
            if invoiced is None:
                invoiced = await closed_usage.is_next(connection, tenant_id, span.label)
            if invoiced:
                again.leaves_from = await closed_usage.leaves_from(connection, tenant_id, span)
        return again

    async def _post(
        self,
        connection: Connection,
        tenant_id: int,
        again: Again | None,
        cause: Cause,
        started_at: int,
        keep: Keep | None,
        close: Close | None,
    ) -> Settled | None:
        """Read the rest under the lock, compare, and post; None where it must be read anew."""
        async with connection.transaction():
            await connection.execute(tenant_scope([tenant_id]))
            head = (await load.lock(connection, [tenant_id], wait=True))[tenant_id]
            now, closed_until = self._now(), head["closed_until"]
            if close is not None and closed_until is not None and close.end <= closed_until:
                raise ClosedError
            if again is None:
                again = await self._begin(connection, head, close)
            elif head["settings"] != again.terms.settings or not await again.goes_on(
                head["version"]
            ):
                return None
            await again.finish(now)
            own = again.terms
            state = load.state_of(head)
            states, all_terms = {tenant_id: state}, {tenant_id: own}
            await load.lots(connection, states, all_terms, now, now)
            by_time = advance(own, state, now)
            if not by_time.empty:
                await record.record(connection, [by_time], now)
            changes = Changes(own, state, SETTLED)
            numbers = again.refold.number(state.last_lot, by_time.lots.values())
            state.last_lot = max(state.last_lot, *numbers.values(), 0)
            found = await self._correct(connection, again, changes, now)
            begun = settling.EARLIEST if again.checkpoint is None else again.checkpoint.at
            moved = await settling.correct_contacts(
                connection, own, state.closed_until, begun,
                (each.outcome.fact for each in again.differences),
            )  # fmt: skip
            state.unsettled_from = None
            watch(changes, found, now)
            settlement_id, differences = None, amounts(again.differences)
            keys = {number: key for key, number in own.balance_ids.items()}
            by_key = {keys[balance_id]: amount for balance_id, amount in differences.items()}
            differs = bool(again.differences) or not found.none
            if differs or moved or changes.counters:
                # A commit, for lanes remember contacts and counters of a version.
                await record.record(connection, [changes], now)
            else:
                await settling.settled(connection, tenant_id)
            if differs:
                settlement_id = await settling.keep_settlement(
                    connection, tenant_id, month=_month(again, now), cause=cause,
                    facts=len(again.differences), differences=by_key, started_at=started_at,
                    version=state.version,
                )  # fmt: skip
                fresh = {tenant_id: load.state_of(await _head(connection, tenant_id))}
                await load.lots(connection, fresh, all_terms, now, now)
                changes.state = fresh[tenant_id]
            settled = Settled(
                tenant=own.key, facts=again.facts, corrected=len(again.differences),
                differences=by_key, settlement_id=settlement_id,
            )  # fmt: skip
            plan = () if close is not None else midnights.planned(own.zone, now)
            forgotten = await midnights.keep_passed(
                connection, own, again.passed, state.version, numbers, plan
            )
            if close is not None:
                assert again.ended is not None
                await record.record(connection, [Changes(own, state, CLOSED)], now)
                await closing.close(connection, own, again.ended, state.version, now, numbers)
                if again.leaves_from is not None:
                    await closed_usage.keep(connection, own, close.end, state.version, now)
            if keep is not None:
                await keep(connection, settled, state.version)
            if cause in (Cause.DEMAND, Cause.CLOSE) or differs:
                await _trace(
                    connection, own, head, settled, None if close is None else close.end, now
                )  # fmt: skip
        if self._show is not None:
            if differs or moved or changes.counters:
                self._show.settled(changes, now, moved=moved > 0)
            elif not by_time.empty:
                self._show.commits([by_time], now)
        if forgotten and close is None:
            async with connection.transaction():
                await connection.execute(tenant_scope([tenant_id]))
                await midnights.forget_contacts(connection, tenant_id)
        return settled

    async def _correct(
        self, connection: Connection, again: Again, changes: Changes, now: int
    ) -> Corrections:
        """Turn what differs into what a commit writes."""
        own, state, refold = again.terms, changes.state, again.refold
        tenant_id = own.tenant_id
        books = await _books(connection, again)
        found = corrections(refold, books)
        for lot in (*found.lots, *found.drawn):
            changes.lots[lot.lot_id] = lot
            if lot.month:  # its period's row stands beside it, whenever it was made
                changes.periods[lot.month] = period(own.zone, lot.starts_at)
        changes.lot_days.update(found.lot_days)
        for balance_id, debit, credit, amount, cause, day in found.moved:
            # What is asked for by the day is dated on its day: at its end, where that is over.
            at = min(now, own.zone.day(day).end - 1) if day else now
            changes.transfers.append(Transfer(at, balance_id, debit, credit, amount, cause))
        before = await settling.counters(connection, tenant_id)
        for name, counter in refold.state.counters.items():
            known = before.pop(name, None)
            if known is None or known.value != counter.value:
                changes.counters[name] = counter
        for name, counter in before.items():
            if counter.value:
                counter.value = 0
                changes.counters[name] = counter
        initial = {lot_id for lot_id, lot in books.lots.items() if is_initial(lot)}
        for difference in again.differences:
            posted, (fact, status, _, _, parts) = difference.posted, difference.outcome
            changes.revisions.append(
                Revision(fact, posted.revision + 1, status, difference.flags, parts, posted.parts)
            )
            _roll_up(changes, own, difference, initial)
        await settling.claim(connection, tenant_id, again.claimed)
        state.next_due = refold.state.next_due
        return found


async def _head(connection: Connection, tenant_id: int) -> asyncpg.Record:
    return (await load.heads(connection, [tenant_id]))[tenant_id]


async def _books(connection: Connection, again: Again) -> Books:
    """The books as far as the log was read again."""
    begun, closed = again.checkpoint, again.closing
    books = await settling.books(
        connection, again.terms,
        days=settling.EARLIEST if begun is None else begun.at,
        lots=settling.EARLIEST if closed is None else closed.at,
    )  # fmt: skip
    books.lot_days = {**books.lot_days, **again.lot_days}
    return books


def _roll_up(
    changes: Changes, own: Terms, difference: Difference, initial: Collection[int]
) -> None:
    """Add to the usage what a corrected fact counts for less what it counted for.

    `initial` has the numbers of the allowances that the books know.
    """
    posted, (fact, status, _, _, parts) = difference.posted, difference.outcome

    def is_money(balance_id: int) -> bool:
        return own.balances[balance_id].kind == "money"

    # Of a closed period nothing that was counted in it is taken back.
    counted = usage_of if posted.came_unrated is None else rated_later
    after = counted(fact, status, difference.flags, parts, is_money)
    before = counted(
        fact, posted.status, posted.flags, posted.parts, is_money, initial.__contains__
    )
    if after == before:
        return
    adjusted = Status.ADJUSTED in (status, posted.status)
    place_of = bucket(own, fact, fact.arrived_at if adjusted else None)
    known = changes.usage.setdefault(place_of, [0] * len(USAGE))
    for sign, usage in ((1, after), (-1, before)):
        for place, value in enumerate(usage or ()):
            known[place] += sign * value


async def _trace(
    connection: Connection,
    own: Terms,
    head: asyncpg.Record,
    settled: Settled,
    close: int | None,
    now: int,
) -> None:
    """Say what somebody settled or closed, and what a job corrected."""
    since, closed = head["unsettled_from"], head["closed_until"]
    before: dict[str, Any] = {"unsettledFrom": None if since is None else iso(since)}
    after: dict[str, Any] = {
        "corrected": settled.corrected,
        "differences": {key: text(amount) for key, amount in settled.differences.items()},
    }
    if close is not None:
        before["closedUntil"] = None if closed is None else iso(closed)
        after |= {"period": month_name(own.zone.month(close - 1)), "closedUntil": iso(close)}
    what = "settle" if close is None else "periodClose"
    await trace(
        connection, own.tenant_id, what, f"tnt/{own.tenant_id}", at=now, before=before, after=after
    )


def _month(again: Again, now: int) -> int:
    """The earliest period that was corrected."""
    first = min((each.outcome.fact.at for each in again.differences), default=now)
    return period(again.terms.zone, first).label
