"""A board: the newest state of each watched tenant, of one kind, and who watches it.

Owns watchers and what each is given. A watcher begins with a state that was read after it came, and
then gets every newer one; it keeps the newest alone, for states coalesce: whoever is slow skips
some, and never sees an older one after a newer. Where states come from is the hub's to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import Field, replace
from functools import partial
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar, cast

import asyncpg
import structlog

from domain.periods import Zone
from persistence.door import CONNECTION_LOST

log = structlog.get_logger(__name__)

RETRY_SECONDS = 0.3
TENANTS_AT_A_TIME = 200


class State(Protocol):
    """What a board can show: a dataclass, absolute, and ordered by version and instant."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def version(self) -> int: ...

    @property
    def at(self) -> int: ...

    @property
    def valid_until(self) -> int: ...


S = TypeVar("S", bound=State)
T = TypeVar("T")


class Part(NamedTuple, Generic[S]):
    """A part of a state that has an order of its own, and is told alone, too.

    The newest of it goes with the newest state, whichever of them comes first.
    """

    at: Callable[[S], int]  #: of it, the instant that orders it; 0: the state does not know it
    of: Callable[[S], Any]
    put: Callable[[S, Any], S]
    until: Callable[[S], int]  #: when time changes the rest of the state


class Seen(Generic[S]):
    """A state and the epoch of the database it is of, the same object for all who watch."""

    __slots__ = ("_shared", "epoch", "state")

    def __init__(self, epoch: str, state: S) -> None:
        self.epoch = epoch
        self.state = state
        self._shared: dict[int, tuple[object, object]] = {}

    def shared(self, key: object, make: Callable[[], T]) -> T:
        """What `make` makes of the state, made once for all who ask with the same `key`."""
        known = self._shared.get(id(key))
        if known is None:
            # The key is kept too, so that nothing else takes its place in memory.
            known = self._shared[id(key)] = (key, make())
        return cast(T, known[1])


class Wanted(NamedTuple):
    """A tenant whose state is to be read."""

    tenant_id: int
    zone: Zone
    version: int | None  #: at least this one, where it is known


class Watcher(Generic[S]):
    """Holds the newest state that was not taken yet; many may stand behind one watcher.

    Whoever joins them later has a number, and begins with a state that was read after it came.
    """

    def __init__(self, want: Callable[[], None]) -> None:
        self._want = want
        self._news: Seen[S] | None = None
        self._event = asyncio.Event()
        self.asked = 1  #: the number of the last one who came
        self.begun = 0  #: the last number whose beginning was given
        self.agreed = False  #: whether the tenant's terms may be others by now

    def join(self) -> int:
        """Have the present read once more, for one more behind it; gives its number."""
        self.asked += 1
        self._want()
        return self.asked

    def put(self, news: Seen[S]) -> None:
        self._news = news
        self._event.set()

    async def news(self) -> Seen[S]:
        """The newest state, once there is one that was not taken."""
        await self._event.wait()
        self._event.clear()
        assert self._news is not None, "it is put before the event is set"
        return self._news


class Watched(Generic[S]):
    """One tenant's newest state, and who watches it."""

    def __init__(self, tenant_id: int, zone: Zone) -> None:
        self.tenant_id = tenant_id
        self.zone = zone
        self.watchers: set[Watcher[S]] = set()
        self.last: Seen[S] | None = None
        self.part: Any = None  #: the newest of what is told alone
        self.part_at = 0  #: the latest instant of it that was ever known
        self.part_known = False
        self.head = 0  #: of the database, a look ago
        self.settings: int | None = None  #: which of its terms it had, a look ago


class Board(Generic[S]):
    """The watched tenants of one kind of state."""

    def __init__(
        self,
        load: Callable[[Sequence[Wanted]], Awaitable[Sequence[S | None]]],
        epoch: Callable[[], str],
        part: Part[S] | None = None,
    ) -> None:
        self._load = load
        self._epoch = epoch
        self._part = part
        self._watched: dict[int, Watched[S]] = {}
        self._wanted: dict[int, int | None] = {}
        self._wake = asyncio.Event()
        self.healed = 0  #: states that were missed, and read again

    def __contains__(self, tenant_id: object) -> bool:
        return tenant_id in self._watched

    @property
    def tenants(self) -> list[int]:
        return list(self._watched)

    @property
    def watchers(self) -> int:
        return sum(len(watched.watchers) for watched in self._watched.values())

    @contextmanager
    def watch(self, tenant_id: int, zone: Zone) -> Iterator[Watcher[S]]:
        """A watcher of a tenant; leaving takes it away."""
        watched = self._watched.get(tenant_id)
        if watched is None:
            watched = self._watched[tenant_id] = Watched(tenant_id, zone)
        watcher: Watcher[S] = Watcher(partial(self.want, tenant_id))
        watched.watchers.add(watcher)
        self.want(tenant_id)
        try:
            yield watcher
        finally:
            watched.watchers.discard(watcher)
            if not watched.watchers and self._watched.get(tenant_id) is watched:
                del self._watched[tenant_id]

    def want(self, tenant_id: int, version: int | None = None) -> None:
        """Have a tenant's state read, at `version` or later."""
        known = self._wanted.get(tenant_id)
        self._wanted[tenant_id] = known if version is None else max(version, known or 0)
        self._wake.set()

    def tell(self, tenant_id: int, state: S) -> None:
        """Give a state that was published; who has not begun yet waits for one of its own."""
        watched = self._watched.get(tenant_id)
        if watched is not None:
            self._give(watched, Seen(self._epoch(), state), {})

    def amend(self, tenant_id: int, part: Any, at: int) -> None:
        """Give a part that was published alone; where there is no state yet, it waits for one."""
        watched = self._watched.get(tenant_id)
        if watched is None or not self._is_news(watched, at):
            return
        watched.part, watched.part_at, watched.part_known = part, at, True
        if watched.last is not None and self._renew(watched, watched.last):
            for watcher in watched.watchers:
                if watcher.begun:
                    watcher.put(watched.last)

    def look(self, now: int) -> None:
        """Have read again what time alone has changed by `now`, and what nobody was given yet."""
        for tenant_id, watched in self._watched.items():
            last = watched.last
            if (
                last is None
                or last.state.valid_until <= now
                # Their read failed, and no commit begins for them.
                or any(watcher.begun < watcher.asked for watcher in watched.watchers)
            ):
                self.want(tenant_id)

    def rezone(self, zones: Mapping[int, Zone]) -> None:
        """Read tenants in the zones they have by now."""
        for tenant_id, zone in zones.items():
            watched = self._watched.get(tenant_id)
            if watched is not None and watched.zone is not zone:
                watched.zone = zone
                self.want(tenant_id)

    def agree(self, settings: Mapping[int, int]) -> None:
        """Let those know whose tenants have agreed to something else since the last look."""
        for tenant_id, number in settings.items():
            watched = self._watched.get(tenant_id)
            if watched is None or watched.settings == number:
                continue
            for watcher in watched.watchers:
                watcher.agreed = True
            if watched.settings is not None:
                self.want(tenant_id)
            watched.settings = number

    def heads(self, versions: dict[int, int], *, patient: bool) -> None:
        """Compare with the heads; what a look ago was already missing is read again.

        Without patience what is missing now is: nothing else will bring it.
        """
        epoch = self._epoch()
        for tenant_id, version in versions.items():
            watched = self._watched.get(tenant_id)
            if watched is None or watched.last is None:
                continue
            expected = watched.head if patient else version
            if watched.last.epoch != epoch or watched.last.state.version < expected:
                self.healed += 1
                self.want(tenant_id, version)
            watched.head = version

    async def run(self) -> None:
        """Read what is wanted, many tenants at once, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._wanted:
                batch = dict(list(self._wanted.items())[:TENANTS_AT_A_TIME])
                for tenant_id in batch:
                    del self._wanted[tenant_id]
                try:
                    await self._read(batch)
                except (*CONNECTION_LOST, asyncpg.PostgresError) as error:
                    log.info("watchers wait for the database", why=repr(error))
                    for tenant_id, version in batch.items():
                        self.want(tenant_id, version)
                    await asyncio.sleep(RETRY_SECONDS)
                except Exception:
                    log.exception("states could not be read", tenants=list(batch))
                    await asyncio.sleep(RETRY_SECONDS)

    async def _read(self, batch: dict[int, int | None]) -> None:
        watched = [self._watched[tenant] for tenant in batch if tenant in self._watched]
        if not watched:
            return
        # Who comes while this is read knows of commits it may not see, and waits for the next.
        beginning = [{w: w.asked for w in one.watchers if w.begun < w.asked} for one in watched]
        epoch = self._epoch()
        states = await self._load(
            [Wanted(one.tenant_id, one.zone, batch[one.tenant_id]) for one in watched]
        )
        if self._epoch() != epoch:
            # Which of two databases they are of, nobody can say.
            for tenant_id, version in batch.items():
                self.want(tenant_id, version)
            return
        for one, state, watchers in zip(watched, states, beginning, strict=True):
            if state is not None:
                self._give(one, Seen(epoch, state), watchers)

    def _give(
        self, watched: Watched[S], seen: Seen[S], beginning: Mapping[Watcher[S], int]
    ) -> None:
        seen, parted = self._join(watched, seen)
        last = watched.last
        newer = (
            last is None
            or last.epoch != seen.epoch
            or (last.state.version, last.state.at) < (seen.state.version, seen.state.at)
        )
        if newer:
            if last is not None and seen.state.at < last.state.at:
                # A commit bears the instant it began at; what is shown never goes back in time.
                if self._until(seen.state) <= last.state.at:
                    self.want(watched.tenant_id, seen.state.version)
                    return
                seen = Seen(seen.epoch, replace(seen.state, at=last.state.at))
            watched.last = last = seen
        elif parted and last is not None:
            parted = self._renew(watched, last)
            last = watched.last
        assert last is not None
        for watcher in watched.watchers:
            if watcher in beginning:
                watcher.begun = beginning[watcher]
                watcher.put(last)
            elif (newer or parted) and watcher.begun:
                watcher.put(last)

    def _join(self, watched: Watched[S], seen: Seen[S]) -> tuple[Seen[S], bool]:
        """A state with the newest of its part; and whether that came with it."""
        if self._part is None:
            return seen, False
        at = self._part.at(seen.state)
        if at == 0:
            # Who keeps it is away: it counts for nothing until it is told again, or later than it
            # ever was.
            watched.part, watched.part_known = self._part.of(seen.state), False
            return seen, False
        if at >= watched.part_at:
            parted = self._is_news(watched, at)
            watched.part, watched.part_at = self._part.of(seen.state), at
            watched.part_known = True
            return seen, parted
        return Seen(seen.epoch, self._part.put(seen.state, watched.part)), False

    def _is_news(self, watched: Watched[S], at: int) -> bool:
        """Whether a part of an instant says something that was not known, or no longer is."""
        return at > watched.part_at or (at == watched.part_at and not watched.part_known)

    def _renew(self, watched: Watched[S], last: Seen[S]) -> bool:
        """Make the newest state one with the newest part: a later one, if that is news."""
        assert self._part is not None
        state = last.state
        parted = self._part.put(state, watched.part)
        if parted == state:
            return False
        at = min(max(state.at + 1, watched.part_at), self._part.until(state) - 1)
        watched.last = Seen(last.epoch, replace(parted, at=max(at, state.at)))
        return True

    def _until(self, state: S) -> int:
        return state.valid_until if self._part is None else self._part.until(state)
