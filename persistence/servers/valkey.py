"""The embedded Valkey: its options, its readiness, its end.

It keeps nothing on disk: losing it loses no fact and no money, and every value can be rebuilt.
"""

import contextlib
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from persistence.servers import process
from persistence.servers.folder import Folder
from persistence.servers.programs import Programs

#: No TCP port; a full memory refuses writes and never forgets a key.
OPTIONS: Mapping[str, str] = {
    "port": "0",
    "unixsocketperm": "700",
    "maxmemory-policy": "noeviction",
    "appendonly": "no",
    "save": "",
    "databases": "64",
    "daemonize": "no",
    "set-proc-title": "no",
    "always-show-logo": "no",
    "loglevel": "warning",
}


class Valkey:
    """Valkey in one working directory, as a `Server` for the keeper."""

    name = "valkey"
    farewell: Sequence[tuple[signal.Signals, float]] = (
        (signal.SIGTERM, 5.0),
        (signal.SIGKILL, 5.0),
    )

    def __init__(self, folder: Folder, programs: Programs) -> None:
        self._program = programs.valkey
        self._account = folder.account
        self._folder = folder.own(folder.valkey)
        self._socket = folder.sockets() / "valkey.sock"
        self._pid_file = self._folder / "valkey.pid"
        self.log: Path = folder.log(self.name)

    @property
    def url(self) -> str:
        """The URL of the server, over its socket."""
        return f"unix://{self._socket}"

    def prepare(self) -> None:
        """End a Valkey an earlier run left."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid = int(self._pid_file.read_text())
            if process.runs(pid, self._pid_file):
                process.end(pid, self.farewell)
        self._pid_file.unlink(missing_ok=True)
        self._socket.unlink(missing_ok=True)

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the server."""
        places = {"unixsocket": self._socket, "pidfile": self._pid_file, "dir": self._folder}
        options = [
            word
            for name, value in {**OPTIONS, **places}.items()
            for word in (f"--{name}", str(value))
        ]
        return process.launch(
            [self._program, *options],
            account=self._account,
            log=self.log,
            folder=self._folder,
            dying=signal.SIGTERM,
        )

    def ready(self, pid: int) -> bool:
        """Whether the server answers a ping (process `pid` is the only one that can)."""
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1.0)
                client.connect(str(self._socket))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False
