"""Several served processes behind one listening socket: started, kept, ended together.

Owns the processes, not what one of them does (`api.serve`). Each accepts from the same socket; each
ends when its standard input does, so none outlives the one that started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any

from api.serve import Ready, ServeError

logger = logging.getLogger("kuota.workers")

READY = b"ready\n"  #: what a worker writes once it answers
WAITING = b"waiting\n"  #: the same, while the database is away
PAUSE_SECONDS = 0.5  #: before one that ended is started again
END_SECONDS = 15.0  #: a worker that has not ended by itself after this is killed


class Workers:
    """`count` processes serving one socket until `run` is told to stop by SIGINT or SIGTERM."""

    def __init__(
        self, count: int, listening: socket.socket, offset: int, environ: Mapping[str, str]
    ) -> None:
        self._count = count
        self._listening = listening
        self._offset = offset  #: of the clock, so that all show the same time
        self._environ = dict(environ)
        self._stopping = asyncio.Event()

    async def run(self, ready: Ready) -> None:
        """Start all, call `ready` once each answers, keep them, end them at a signal."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        answering: list[asyncio.Future[bool]] = [loop.create_future() for _ in range(self._count)]
        keepers = [asyncio.create_task(self._keep(first)) for first in answering]
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
            await asyncio.gather(*keepers)

    async def _keep(self, first: asyncio.Future[bool]) -> None:
        while not self._stopping.is_set():
            process = await self._spawn()
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

    async def _spawn(self) -> asyncio.subprocess.Process:
        fd = self._listening.fileno()
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "api", "worker"),
            *("--fd", str(fd), f"--offset={self._offset}"),
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
        stop = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({end, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not end.done():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            await asyncio.wait({end}, timeout=END_SECONDS)
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
