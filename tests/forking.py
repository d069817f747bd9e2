"""Our processes in tests, begun in milliseconds: forked from one that has imported all of it.

`python -m api ...` takes two seconds of a core to import what it needs, which is more than most
tests have to do. The process here imports once and then forks. Each child has a pid, environment,
streams and signals of its own, runs the same `main`, and ends as a program does. It differs from a
program that is started in one thing: it does not show what a command imports by itself. Tests that
tell of starting start an interpreter (`tests.commands.started`, `serve` that is not `forked`).

Owns that process and how it is asked.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent
#: A fork of a process that has used the frameworks of macOS may crash.
CAN_FORK = sys.platform == "linux"
#: Arguments and environment of one process; more than Linux lets a program have is not needed.
REQUEST_BYTES_MAX = 1 << 17


class Forked:
    """A forked process; it has what the tests use of `asyncio.subprocess.Process`."""

    def __init__(
        self,
        pid: int,
        stdout: asyncio.StreamReader,
        stderr: asyncio.StreamReader | None,
        end: socket.socket,
    ) -> None:
        self.pid = pid
        self.stdout = stdout
        self.stderr = stderr
        self.returncode: int | None = None
        self._watching = asyncio.create_task(self._watch(end))

    async def _watch(self, end: socket.socket) -> None:
        with end:
            code = await asyncio.get_running_loop().sock_recv(end, 64)
        assert code, "the process that forks has ended"
        self.returncode = int(code)

    async def wait(self) -> int:
        """Its exit code, once it has ended; minus a signal's number where that ended it."""
        await asyncio.shield(self._watching)
        assert self.returncode is not None
        return self.returncode

    async def communicate(self, given: bytes | None = None) -> tuple[bytes, bytes]:
        """All it writes, and wait; what it is given was given when it was forked."""
        assert given is None
        err = self.stderr.read() if self.stderr else asyncio.sleep(0, b"")
        said = await asyncio.gather(self.stdout.read(), err)
        await self.wait()
        return said

    def send_signal(self, number: int) -> None:
        """Send it a signal; what has ended and is known to have is an error."""
        if self.returncode is not None:
            raise ProcessLookupError
        # It may have ended just now.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)


async def fork(
    *arguments: str, env: Mapping[str, str], stdin: bytes = b"", stderr: IO[bytes] | None = None
) -> Forked:
    """`python -m api` with these arguments; its errors are read by us unless a file is given."""
    loop = asyncio.get_running_loop()
    # Each word said there stays one: a number and the exit code after it are read apart.
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    err_read, err_write = (None, os.dup(stderr.fileno())) if stderr else os.pipe()
    request = json.dumps({"arguments": arguments, "env": dict(env)}).encode()
    given = [in_read, out_write, err_write, theirs.fileno()]
    try:
        socket.send_fds(_asked(), [request], given)
    finally:
        theirs.close()
        for fd in given[:3]:
            os.close(fd)
    feeding = asyncio.to_thread(_feed, in_write, stdin)
    pid = await loop.sock_recv(ours, 64)
    assert pid, "the process that forks has ended; what it said stands above"
    await feeding
    out = await _reader(out_read)
    err = await _reader(err_read) if err_read is not None else None
    return Forked(int(pid), out, err, ours)


def _feed(fd: int, content: bytes) -> None:
    # Who has read enough closes it.
    with contextlib.suppress(BrokenPipeError), open(fd, "wb", buffering=0) as pipe:
        while content:
            content = content[pipe.write(content) or 0 :]


async def _reader(fd: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, io.FileIO(fd))
    return reader


@cache
def _asked() -> socket.socket:
    """Where the process that forks is asked; it is started by who needs it first."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        fd = theirs.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.forking", str(fd)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[fd],
            cwd=ROOT,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def import_all() -> None:
    """What any command imports, and a served process with all its parts."""
    for name in ("api.app", "api.core"):
        importlib.import_module(name)
    package = importlib.import_module("api.cli")
    for module in pkgutil.iter_modules(package.__path__, "api.cli."):
        importlib.import_module(module.name)


def fork_when_asked(asked: socket.socket) -> list[str] | None:
    """Fork until nobody can ask any more; in a child, return what it is to run."""
    ended, ending = os.pipe()
    for fd in (ended, ending):
        os.set_blocking(fd, False)
    signal.set_wakeup_fd(ending, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    # A Ctrl-C ends the tests, which end us; our children are asked by it themselves.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    waiting: dict[int, socket.socket] = {}
    poll = select.poll()
    poll.register(asked, select.POLLIN)
    poll.register(ended, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if ended in ready:
            os.read(ended, 1 << 16)
            tell_ended(waiting)
        if asked.fileno() not in ready:
            continue
        request, given, _, _ = socket.recv_fds(asked, REQUEST_BYTES_MAX, 4)
        if not request:
            return None
        told = json.loads(request)
        if pid := os.fork():
            waiting[pid] = socket.socket(fileno=given.pop())
            waiting[pid].send(b"%d" % pid)
            for fd in given:
                os.close(fd)
            continue
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for each in (asked, *waiting.values()):
            each.close()
        for fd in (ended, ending, given.pop()):
            os.close(fd)
        take_over(given)
        os.environ.clear()
        os.environ.update(told["env"])
        arguments: list[str] = told["arguments"]
        return arguments


def tell_ended(waiting: dict[int, socket.socket]) -> None:
    """Take the exit codes of all that have ended, and tell who waits."""
    while waiting:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with waiting.pop(pid) as told, contextlib.suppress(BrokenPipeError):
            told.send(b"%d" % os.waitstatus_to_exitcode(status))


def take_over(streams: list[int]) -> None:
    """Make these the standard streams, as an interpreter does that is started with them."""
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
        os.close(fd)
    reading = io.BufferedReader(io.FileIO(0, closefd=False))
    writing, erring = (io.BufferedWriter(io.FileIO(fd, "w", closefd=False)) for fd in (1, 2))
    sys.stdin = io.TextIOWrapper(reading, "utf-8")
    sys.stdout = io.TextIOWrapper(writing, "utf-8")
    sys.stderr = io.TextIOWrapper(erring, "utf-8", "backslashreplace", line_buffering=True)


if __name__ == "__main__":
    import_all()
    gc.collect()
    gc.freeze()
    main = importlib.import_module("api.cli").main
    to_run = fork_when_asked(socket.socket(fileno=int(sys.argv[1])))
    if to_run is not None:
        sys.argv = ["python -m api", *to_run]
        sys.exit(main(to_run))
