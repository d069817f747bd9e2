"""Showing what was committed: readings, open windows and visitors to Valkey, then to the watchers.

Owns the tenth line of the way in. Nothing waits for it and nothing is lost with it: values are
absolute and carry their version, sets say which versions they have, and what Valkey did not take
is read again from PostgreSQL (`rebuild`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog
from redis.asyncio import Redis

from domain.reading import Reading, reading_of
from domain.state import Changes
from domain.sums import count_field
from domain.terms import Terms
from persistence.buckets import DONE, Members
from persistence.door import Door
from persistence.feed import Beside, show_call
from persistence.held import Ended, of_kept
from persistence.rebuild import Rebuild
from persistence.valkey import AWAY, Call, run

log = structlog.get_logger(__name__)


class Pending:
    """What is to be shown of a tenant: the newest reading, and every version's members."""

    __slots__ = (
        "anew", "counts", "ends", "epoch", "members", "reading", "terms", "versions", "withheld"
    )  # fmt: skip

    def __init__(self, epoch: str, members: Members) -> None:
        self.epoch = epoch
        self.members = members
        self.withheld: set[int] = set()  #: versions the sets are not told, to be rebuilt
        self.versions: list[int] = []
        self.ends: dict[bytes, Ended] = {}  #: holds that changed, by their ids
        self.counts: dict[str, tuple[int, int]] = {}  #: versions and values, by field
        self.anew = False  #: counts were settled: those that are known hold no more
        self.terms: Terms
        self.reading: Reading


class Show:
    """Brings what this process committed to Valkey, in the background."""

    def __init__(self, valkey: Redis, door: Door, rebuild: Rebuild) -> None:
        self._valkey = valkey
        self._door = door
        self._rebuild = rebuild
        self._pending: dict[int, Pending] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self.lost = 0  #: versions that could not be shown, and were left to be read again

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="show")

    async def stop(self) -> None:
        """Show what waits, if Valkey takes it; the sweep of another process finds the rest."""
        if self._task is not None:
            self._stopping = True
            self._wake.set()
            await self._task

    def commits(self, changed: Sequence[Changes], now: int) -> None:
        """Take what a commit at `now` changed, to be shown soon; raises nothing."""
        for changes in changed:
            tenant_id = changes.terms.tenant_id
            try:
                self._take(changes, now)
            except Exception:
                # The commit stands whatever becomes of its showing.
                log.exception("a commit cannot be shown", tenant=tenant_id)
                self._pending.pop(tenant_id, None)
                self._rebuild.soon([tenant_id])
        if changed:
            self._wake.set()

    def settled(self, changes: Changes, now: int, *, moved: bool) -> None:
        """Take what a settling at `now` posted; `moved`: windows or visitors are others since.

        Sets only grow: what they have too much goes when they are rebuilt, and until then they lack
        the version, so that nobody believes them.
        """
        self.commits([changes], now)
        pending = self._pending.get(changes.terms.tenant_id)
        if pending is not None:
            pending.anew = True
            if moved:
                pending.withheld.add(changes.state.version)

    def _take(self, changes: Changes, now: int) -> None:
        terms, tenant_id = changes.terms, changes.terms.tenant_id
        reading = reading_of(changes, now)
        pending = self._pending.get(tenant_id)
        if pending is None or pending.members.month != reading.period.label:
            before = pending
            of = self._rebuild.buckets.get(tenant_id, 1)
            pending = Pending(self._door.epoch, Members(of, now, reading.period.label))
            self._pending[tenant_id] = pending
            if before is not None:
                # The month turned between two commits: its sets have other names.
                self._rebuild.soon([tenant_id])
                pending.ends, pending.counts = before.ends, before.counts
                pending.anew = before.anew
        pending.versions.append(reading.version)
        if len(pending.versions) == 1 or reading.version > pending.reading.version:
            pending.terms, pending.reading = terms, reading
        pending.ends.update((kept.hold.hold_id, of_kept(kept)) for kept in changes.holds)
        for counter in changes.counters.values():
            name = count_field(counter.name, counter.number_id, counter.month)
            pending.counts[name] = reading.version, counter.value
        for contact in changes.contacts:
            pending.members.add(
                contact.channel,
                contact.party,
                contact.number_id,
                (contact.service_opened_at, contact.service_ends_at),
                (contact.conversation_opened_at, contact.conversation_ends_at),
                contact.visited,
            )

    async def _run(self) -> None:
        while self._pending or not self._stopping:
            await self._wake.wait()
            self._wake.clear()
            pending, self._pending = self._pending, {}
            if not pending:
                continue
            try:
                await self._bring(pending)
            except AWAY:
                self._give_up(pending)
            except Exception:
                # A mistake of ours here must not end what everybody watches.
                log.exception("what was committed could not be shown")
                self._give_up(pending)

    def _give_up(self, pending: dict[int, Pending]) -> None:
        self.lost += sum(len(one.versions) for one in pending.values())
        self._rebuild.soon(pending)

    async def _bring(self, pending: dict[int, Pending]) -> None:
        """Bring windows and visitors first: who hears of the version may count them at once."""
        calls: list[Call] = []
        spans: list[tuple[int, int, int]] = []
        for tenant_id, one in pending.items():
            first = len(calls)
            versions = [each for each in one.versions if each not in one.withheld]
            calls += one.members.calls(tenant_id, one.epoch, versions=versions)
            spans.append((tenant_id, first, len(calls)))
            counts = [(field, *known) for field, known in one.counts.items()]
            beside = Beside(list(one.ends.values()), counts, one.anew)
            calls.append(show_call(one.epoch, one.terms, one.reading, beside))
        answers = await run(self._valkey, calls)
        for tenant_id, first, end in spans:
            newest = max(pending[tenant_id].versions)
            if any(code != DONE or upto < newest for code, upto in answers[first:end]):
                self._rebuild.soon([tenant_id])
