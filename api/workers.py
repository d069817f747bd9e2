"""Several served processes, most behind one listening socket: started, kept, ended together.

Owns the processes, not what one of them does (`api.serve`). Each ends when its standard input does,
so none outlives the one that started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.parts import Role, listed
from api.serve import Ready, ServeError

logger = logging.getLogger("kuota.workers")

READY = b"ready\n"  #: what a worker writes once it answers
WAITING = b"waiting\n"  #: the same, while the database is away
PAUSE_SECONDS = 0.5  #: before one that ended is started again
END_SECONDS = 15.0  #: a worker that has not ended by itself after this is killed; drained before


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A place that a worker is kept at: where it listens, what it is for."""

    listening: socket.socket
    role: Role


class Workers:
    """A process at each of `posts`, until `run` is told to stop by SIGINT or SIGTERM."""

    def __init__(
        self, posts: Sequence[Post], offset: int, environ: Mapping[str, str], drain_seconds: float
    ) -> None:
        self._posts = posts
        self._offset = offset  #: of the clock, so that all show the same time
        self._environ = dict(environ)
        self._patience = drain_seconds + END_SECONDS
        self._stopping = asyncio.Event()
        self._hurrying = asyncio.Event()

    async def run(self, ready: Ready) -> None:
        """Start all, call `ready` once each answers, keep them, end them at a signal.

        A second signal is passed on as well: they end at once.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._bid_farewell)
        answering: list[asyncio.Future[bool]] = [loop.create_future() for _ in self._posts]
        keepers = [
            asyncio.create_task(self._keep(post, first))
            for post, first in zip(self._posts, answering, strict=True)
        ]
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            all_answer = asyncio.ensure_future(asyncio.gather(*answering))
            first: set[asyncio.Future[Any]] = {all_answer, stopping}
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if all_answer.done():
                ready(all(all_answer.result()))
                await stopping
            else:
                all_answer.cancel()
        finally:
            self._stopping.set()
            stopping.cancel()
            for post in self._posts:
                # While it is open here, connections that no worker takes any more would wait.
                post.listening.close()
            await asyncio.gather(*keepers)

    def _bid_farewell(self) -> None:
        if self._stopping.is_set():
            self._hurrying.set()
        self._stopping.set()

    async def _keep(self, post: Post, first: asyncio.Future[bool]) -> None:
        while not self._stopping.is_set():
            process = await self._spawn(post)
            hearing = asyncio.create_task(self._hear(process, first))
            code = await self._ended(process)
            await hearing
            if self._stopping.is_set():
                return
            if not first.done():
                first.set_exception(ServeError(f"a worker ended with {code} before it answered"))
                return
            logger.warning("worker %d ended with %d; starting another", process.pid, code)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), PAUSE_SECONDS)

    async def _hear(self, process: asyncio.subprocess.Process, first: asyncio.Future[bool]) -> None:
        """Wait for a worker's word that it answers; it says nothing more."""
        assert process.stdout is not None
        said = await process.stdout.readline()
        if said and not first.done():
            first.set_result(said == READY)

    async def _spawn(self, post: Post) -> asyncio.subprocess.Process:
        fd = post.listening.fileno()
        role = post.role
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "api", "worker"),
            *("--fd", str(fd), f"--offset={self._offset}"),
            *("--only", listed(role.parts), "--workers", str(role.workers)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=(fd,),
            env=self._environ,
            # A Ctrl-C on the terminal is for the parent alone, which then tells each.
            start_new_session=True,
        )

    async def _ended(self, process: asyncio.subprocess.Process) -> int:
        """Wait for a worker's end; once all are to stop, ask it for it, and insist."""
        end = asyncio.create_task(process.wait())
        patience: float | None = None
        for told, then in ((self._stopping, self._patience), (self._hurrying, END_SECONDS)):
            asked = asyncio.create_task(told.wait())
            await asyncio.wait({end, asked}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            if end.done():
                return await end
            patience = then
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        await asyncio.wait({end}, timeout=patience)
        if not end.done():
            logger.warning("worker %d does not end; killing it", process.pid)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        return await end


def end_with_parent(end: Callable[[], None]) -> None:
    """In a worker, inside its loop: call `end` when the parent's end of standard input closes."""
    loop = asyncio.get_running_loop()
    fd = sys.stdin.fileno()

    def read() -> None:
        if not os.read(fd, 1024):
            loop.remove_reader(fd)
            end()

    loop.add_reader(fd, read)
