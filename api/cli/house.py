"""The demo's own server: a child process, with its PostgreSQL and Valkey in a temporary folder.

Owns that nothing of it stays, whoever ends first and however. Who started the child ends it and
removes the folder; where that process was killed, the child ends with its standard input and does
it. Where the child was killed, the kernel ends its servers.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from api import serve as process
from api.cli import invoiced
from api.cli.terminal import Failure, settings
from api.settings import PREFIX, Clock
from persistence.migrate import MigrationError
from persistence.servers import ServersError
from persistence.servers.account import servers_account
from persistence.servers.process import last_line

READY = b"ready\n"  #: what the child writes once it answers
END_SECONDS = 20.0  #: a child that has not ended by itself after this is killed
LOOK_SECONDS = 0.1
REMOVE_SECONDS = 5.0  #: servers on their way out may still write for a moment


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """A served process that answers."""

    url: str
    operator_key: str
    data: Path  #: the folder of its servers
    log: Path
    child: subprocess.Popen[bytes]

    async def end(self) -> None:
        """Wait for its end, which nobody asked for: a Failure that says why."""
        while self.child.poll() is None:  # noqa: ASYNC110 - its end is no event of the loop
            await asyncio.sleep(LOOK_SECONDS)
        raise _ended(self.child, self.log)


@contextlib.contextmanager
def opened(listening: socket.socket) -> Iterator[House]:
    """A house behind a listening socket, which is its own from here on; all gone at the end."""
    folder = _folder()
    log, key = folder / "demo.log", secrets.token_urlsafe(24)
    url = process.address_of(listening)
    child = None
    try:
        with listening:
            child = _start(listening, folder, log, key)
        assert child.stdout is not None
        if child.stdout.readline() != READY:
            child.wait()
            raise _ended(child, log)
        yield House(url=url, operator_key=key, data=folder / "data", log=log, child=child)
    finally:
        # A second Ctrl-C or SIGTERM must not leave half of it behind.
        before = [
            (number, signal.signal(number, signal.SIG_IGN))
            for number in (signal.SIGINT, signal.SIGTERM)
        ]
        if child is not None:
            _stop(child)
        _remove(folder)
        for number, handler in before:
            signal.signal(number, handler)


def house(*, fd: int, folder: Path, parent: int) -> None:
    """Serve a socket that the demo has opened, until its end of our standard input closes."""
    from api.workers import end_with_parent

    given = settings()
    process.start_logging(given.log_level)
    try:
        with (
            socket.socket(fileno=fd) as listening,
            process.housed(given, folder / "data") as (complete, servers),
        ):
            invoiced.publish(complete.database_url)

            def ready(able: bool) -> None:
                if servers is not None:
                    servers.announce(process.address_of(listening))
                if able:
                    os.write(1, READY)

            process.serve(complete, Clock(), listening, ready, end_with_parent)
    except (process.ServeError, ServersError, MigrationError) as fault:
        raise Failure(str(fault)) from fault
    finally:
        # Otherwise the parent reads our log there, and then removes it.
        if os.getppid() != parent:
            _remove(folder)


def _folder() -> Path:
    """A new temporary folder that the servers' account can walk through, and nobody can list."""
    account = servers_account()
    places = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]
    for place in places:
        if account is None or (place.is_dir() and account.reaches(place)):
            folder = Path(tempfile.mkdtemp(prefix="kuota-demo-", dir=place))
            folder.chmod(0o711)
            return folder
    raise Failure(f"the embedded servers cannot reach {places[0]}; set TMPDIR to a folder they can")


def _start(
    listening: socket.socket, folder: Path, log: Path, operator_key: str
) -> subprocess.Popen[bytes]:
    fd = listening.fileno()
    options = {"--fd": fd, "--folder": folder, "--parent": os.getpid()}
    words = [str(word) for option in options.items() for word in option]
    with log.open("ab") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "api", "house", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            pass_fds=(fd,),
            env=_environment(os.environ, operator_key),
            # A Ctrl-C on the terminal is for us alone, and we then end the child.
            start_new_session=True,
        )


def _environment(environ: Mapping[str, str], operator_key: str) -> dict[str, str]:
    """The environment without any setting of ours: the demo's servers are its own."""
    kept = {name: value for name, value in environ.items() if not name.startswith(PREFIX)}
    # Nobody shall wait for the demo's end, and its watchers have nowhere else to go.
    quick = {"KUOTA_LOG_LEVEL": "warning", "KUOTA_DRAIN_SECONDS": "0"}
    return kept | {"KUOTA_OPERATOR_KEY": operator_key} | quick


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End the child: it is asked, and killed where it does not listen."""
    child.terminate()
    try:
        child.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    for stream in (child.stdin, child.stdout):
        assert stream is not None
        stream.close()


def _ended(child: subprocess.Popen[bytes], log: Path) -> Failure:
    why = last_line(log).removeprefix("kuota: ") or f"exit code {child.returncode}"
    return Failure(f"the demo's server ended: {why}")


def _remove(folder: Path) -> None:
    deadline = time.monotonic() + REMOVE_SECONDS
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            time.sleep(0.05)
