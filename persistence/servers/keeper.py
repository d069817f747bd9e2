"""Keeping one server alive: a thread that starts it, waits for its end and starts it again.

The thread lives as long as the server is wanted, because the kernel ends a child when the thread
that started it does. Owns the restarts; what is run is a `Server`.
"""

import logging
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from persistence.servers.errors import ServersError
from persistence.servers.process import last_line

logger = logging.getLogger("kuota.servers")

#: A first start may meet the last processes of a server that was just killed, so it is tried again.
FIRST_TRIES = 4
#: Before the next start, in seconds, by the number of failed ones so far; the last repeats.
PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
#: Between two looks at a starting server.
LOOK_SECONDS = 0.01


class Server(Protocol):
    """One kind of server: how to start it, when it is ready, how it is asked to end."""

    @property
    def name(self) -> str:
        """What it is called in messages and by its log."""

    @property
    def log(self) -> Path:
        """Where its output goes."""

    @property
    def farewell(self) -> Sequence[tuple[signal.Signals, float]]:
        """The signals that end it, mildest first, and the seconds each is given."""

    def prepare(self) -> None:
        """Remove what an earlier run left that would hinder a start."""

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the process."""

    def ready(self, pid: int) -> bool:
        """Whether process `pid` takes connections."""


class Keeper:
    """Keeps one server running from `start` until `stop`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._thread = threading.Thread(target=self._run, name=server.name, daemon=True)
        self._guard = threading.Lock()
        self._stopping = threading.Event()
        self._settled = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._fault: str | None = None

    @property
    def pid(self) -> int | None:
        """The process last started; None before the first."""
        process = self._process
        return process.pid if process else None

    def start(self) -> None:
        """Begin, without waiting."""
        self._thread.start()

    def wait(self) -> None:
        """Wait until the server is ready; ServersError when it cannot be started."""
        self._settled.wait()
        if self._fault is not None:
            raise ServersError(self._fault)

    def bid_farewell(self) -> None:
        """Ask the server to end, without waiting; it is not started again."""
        with self._guard:
            if not self._stopping.is_set():
                self._stopping.set()
                self._send(self._server.farewell[0][0])

    def stop(self) -> None:
        """End the server and wait until it has; harsher signals follow an unheard one."""
        self.bid_farewell()
        if self._thread.ident is None:
            return
        for step, (number, patience_seconds) in enumerate(self._server.farewell):
            if step > 0:
                logger.warning("%s does not end; sending it %s", self._server.name, number.name)
                self._send(number)
            self._thread.join(patience_seconds)
            if not self._thread.is_alive():
                return

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _run(self) -> None:
        failures = 0
        while True:
            was_ready, why = self._live()
            if self._stopping.is_set():
                break
            failures = 0 if was_ready else failures + 1
            if not self._settled.is_set() and failures >= FIRST_TRIES:
                self._fault = f"{self._server.name} did not start: {why}"
                break
            logger.warning("%s ended (%s); starting it again", self._server.name, why)
            self._stopping.wait(PAUSES_SECONDS[min(failures, len(PAUSES_SECONDS) - 1)])
        self._settled.set()

    def _live(self) -> tuple[bool, str]:
        """One life of the process, to its end: whether it was ever ready, and why it ended."""
        try:
            self._server.prepare()
            with self._guard:
                if self._stopping.is_set():
                    return False, "stopped"
                process = self._process = self._server.launch()
        except (OSError, ServersError) as fault:
            return False, str(fault)
        was_ready = False
        while process.poll() is None:
            if self._server.ready(process.pid):
                was_ready = True
                self._settled.set()
                break
            time.sleep(LOOK_SECONDS)
        code = process.wait()
        word = "" if was_ready else f"{last_line(self._server.log)}; "
        return was_ready, f"exit {code}; {word}see {self._server.log}"
