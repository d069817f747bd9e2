"""A process that may die between any two steps, and the client that asks the next one again.

Owns the wires between a process and its servers, and where they break: a step is a statement, or
what is written to Valkey at once. The process dies before a step, of which nobody hears, or after
one that is kept, whose answer reaches nobody; after any other one is before the next. All that it
was is then thrown away: whatever it would still do finds its wires cut. The next one begins once
the servers have noticed. What is asked of it is the test's.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from tests.scenarios.world import World

T = TypeVar("T")

#: Seconds until a server must have noticed that a process is gone.
NOTICED_SECONDS = 20.0

POSTGRES, VALKEY = "postgres", "valkey"
#: How PostgreSQL ends the answer to a statement when no transaction is open.
IDLE = b"Z\0\0\0\5I"

numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Fate:
    """Where a process dies."""

    step: int  #: before it; the first is 1
    kept: bool = (
        False  #: after it; of steps that leave no transaction open, which alone are counted
    )
    server: str = POSTGRES


class Life:
    """The wires of one process, from its first connection to its death."""

    def __init__(self) -> None:
        self.fate: Fate | None = None
        #: Steps since the fate was known, by server and whether they were kept.
        self.taken: Counter[tuple[str, bool]] = Counter()
        self.died: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.wires: set[Near] = set()

    def doom(self, fate: Fate | None) -> None:
        """Let it die there, counted from now on."""
        self.fate = fate
        self.taken.clear()

    def dies(self, server: str, *, kept: bool) -> bool:
        """Count a step; whether it dies here."""
        if self.died.done():
            return True
        self.taken[server, kept] += 1
        if self.fate == Fate(self.taken[server, kept], kept, server):
            self.die()
        return self.died.done()

    def die(self) -> None:
        """Cut every wire; what the servers were given last, they still do."""
        self.died.set_result(None)
        for wire in self.wires:
            wire.cut()

    async def noticed(self) -> None:
        """Wait until every server has ended what it did for the process."""
        async with asyncio.timeout(NOTICED_SECONDS):
            # A backend of PostgreSQL hangs up when it is gone, with its locks.
            await asyncio.gather(*(wire.far.gone for wire in self.wires))


class Near(asyncio.Protocol):
    """The process's end of a wire: forwards what it sends, a step at a time."""

    def __init__(self, life: Life, server: str, place: str) -> None:
        self.life = life
        self.server = server
        self.place = place
        self.far = Far(self)
        self.begun = server == VALKEY  #: the first message of PostgreSQL's protocol has no letter
        self.waiting = bytearray()  #: of a message that is not all there yet
        self.early = bytearray()  #: until there is a far end
        self.transport: asyncio.Transport
        self.reaching: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self.life.died.done():
            self.transport.abort()
            return
        self.life.wires.add(self)
        self.reaching = asyncio.create_task(self._reach(), name="reach")

    async def _reach(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_unix_connection(lambda: self.far, self.place)
        except OSError:
            self.transport.abort()
            return
        finally:
            if self.far.transport is None:
                self.far.over()
        self._send(bytes(self.early))

    def _send(self, data: bytes) -> None:
        far = self.far.transport
        if far is None:
            self.early += data
        elif data and not self.far.left:
            far.write(data)

    def data_received(self, data: bytes) -> None:
        whole, steps = (data, 1) if self.server == VALKEY else self._messages(data)
        for _ in range(steps):
            if self.life.dies(self.server, kept=False):
                return
            self.far.owes = True
        self._send(whole)

    def _messages(self, data: bytes) -> tuple[bytes, int]:
        """The whole messages that are there, and how many of them make the server do something."""
        buffer, place, steps = self.waiting, 0, 0
        buffer += data
        while True:
            head = 1 if self.begun else 0
            if len(buffer) < place + head + 4:
                break
            end = place + head + int.from_bytes(buffer[place + head : place + head + 4], "big")
            if len(buffer) < end:
                break
            # Q: a query as text; E: what was bound is executed.
            steps += self.begun and buffer[place] in b"QE"
            self.begun, place = True, end
        whole = bytes(buffer[:place])
        del buffer[:place]
        return whole, steps

    def connection_lost(self, error: Exception | None) -> None:
        self.far.hang_up()

    def cut(self) -> None:
        self.transport.abort()
        self.far.hang_up()


class Far(asyncio.Protocol):
    """The server's end of a wire."""

    def __init__(self, near: Near) -> None:
        self.near = near
        self.owes = False  #: whether an answer to a step is to come
        self.end = b""  #: of what it said
        self.left = False  #: whether the process hung up
        self.transport: asyncio.Transport | None = None
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self.near.life.died.done():
            self.hang_up()

    def data_received(self, data: bytes) -> None:
        life, server = self.near.life, self.near.server
        self.end = (self.end + data)[-len(IDLE) :]
        if self.owes and (server == VALKEY or self.end[:-1] == IDLE[:-1]):
            self.owes = False
            if (server == VALKEY or self.end == IDLE) and life.dies(server, kept=True):
                return
        if not life.died.done():
            self.near.transport.write(data)

    def hang_up(self) -> None:
        """Say that nothing more comes; the server hangs up when it is done."""
        if self.transport is not None and not self.left and not self.transport.is_closing():
            self.transport.write_eof()
            self.left = True

    def connection_lost(self, error: Exception | None) -> None:
        self.over()
        self.near.transport.close()

    def over(self) -> None:
        if not self.gone.done():
            self.gone.set_result(None)


@dataclass(eq=False)
class Mortal:
    """A world whose process dies where it is doomed to, and a client that does not give up."""

    app_url: str
    redis_url: str
    folder: Path
    world: World = field(init=False)
    life: Life = field(init=False)
    deaths: int = 0
    _fates: Iterator[Fate] = field(default_factory=lambda: iter(()))
    _exits: AsyncExitStack = field(default_factory=AsyncExitStack)
    _older: set[asyncio.Task[object]] = field(default_factory=set)

    @classmethod
    @asynccontextmanager
    async def open(cls, app_url: str, redis_url: str, scratch: Path) -> AsyncIterator[Mortal]:
        """A process on a migrated database, and after it as many as it takes."""
        mortal = cls(app_url, redis_url, scratch / f"mortal-{next(numbers)}")
        await mortal._begin()
        try:
            yield mortal
        finally:
            mortal.spare()
            await mortal._exits.aclose()

    def doom(self, fates: Iterable[Fate]) -> None:
        """Let the process die where the first says, the one after it where the next says..."""
        self._fates = iter(fates)
        self._next_fate()

    def spare(self) -> None:
        """Let it live."""
        self.doom(())

    async def asked(self, ask: Callable[[World], Awaitable[T]]) -> T:
        """What is answered to a client that asks the same again whenever it gets no answer."""
        while True:
            await self.survived()
            life = self.life
            asking: asyncio.Task[T] = asyncio.create_task(_of(ask(self.world)), name="asked")
            either: tuple[asyncio.Future[Any], ...] = (asking, life.died)
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            answered = asking.done() and asking.exception() is None
            if life.died.done():
                await self._die()
            elif not answered:
                return asking.result()  # raises what the living one had to say
            if answered:
                return asking.result()

    async def survived(self) -> None:
        """Have another process, where the one there was died behind its last answer."""
        if self.life.died.done():
            await self._die()

    async def killed(self) -> None:
        """End the process here and now, and begin another one."""
        if not self.life.died.done():
            self.life.die()
        await self._die()

    async def _begin(self) -> None:
        self._older = asyncio.all_tasks()
        life, exits = Life(), AsyncExitStack()
        folder = self.folder.with_name(f"{self.folder.name}-{self.deaths}")
        folder.mkdir()
        exits.callback(shutil.rmtree, folder)
        host = _found(r"host=([^&]+)", self.app_url)
        socket = _found(r"unix://([^?]+)", self.redis_url)
        name = _named(host)
        loop = asyncio.get_running_loop()
        for server, near, far in (
            (POSTGRES, folder / name, f"{host}/{name}"),
            (VALKEY, folder / "valkey", socket),
        ):

            def wire(server: str = server, far: str = far) -> Near:
                return Near(life, server, far)

            opened = await loop.create_unix_server(wire, str(near))
            exits.callback(opened.close)
        world = await exits.enter_async_context(
            World.open(
                self.app_url.replace(host, str(folder)),
                self.redis_url.replace(socket, str(folder / "valkey")),
            )
        )
        if self.deaths:
            # What a client knows outlives every process.
            before = self.world
            world.clock.at = before.clock.at
            world.tenants, world.numbers = before.tenants, before.numbers
        self.world, self.life, self._exits = world, life, exits
        self._next_fate()

    def _next_fate(self) -> None:
        self.life.doom(next(self._fates, None))

    async def _die(self) -> None:
        """Throw away all that the process was, and begin the next one."""
        self.deaths += 1
        me = asyncio.current_task()
        while own := [task for task in asyncio.all_tasks() - self._older if task is not me]:
            for task in own:
                if not _takes_in(task):
                    task.cancel()
            # redis-py may swallow a cancellation: it is told again.
            ended, _ = await asyncio.wait(own, timeout=0.02)
            await asyncio.gather(*ended, return_exceptions=True)
        with contextlib.suppress(asyncio.CancelledError):
            # What closes in order finds every task ended and every wire cut.
            await self._exits.aclose()
        await self.life.noticed()
        await self._begin()


def _takes_in(task: asyncio.Task[object]) -> bool:
    """Whether the loop is taking in a connection: cancelled at once, it would forget the socket."""
    return "_accept_connection2" in repr(task.get_coro())


async def _of(what: Awaitable[T]) -> T:
    return await what


def _named(host: str) -> str:
    """The name of PostgreSQL's socket, which has its port in it."""
    (name,) = (each.name for each in Path(host).glob(".s.PGSQL.*[0-9]"))
    return name


def _found(pattern: str, url: str) -> str:
    match = re.search(pattern, url)
    assert match is not None, url
    return match[1]
