"""The data folder: who owns it, what is in it, and how others learn of a running server.

    lock            held (flock) by the one process that runs the servers
    servers.json    that process's addresses; true only while the lock is held
    postgres/ postgres.log  valkey/ valkey.log  run/ (sockets)  programs/ (if linked)

Owns the layout and the lock; does not own the processes.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import stat
import tempfile
import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from persistence.servers.account import NAME, Account
from persistence.servers.errors import FolderInUseError, ServersError

#: The longest path a unix socket can have, in bytes; Linux takes 107, macOS 103.
SOCKET_PATH_BYTES = 103
SOCKET_NAME_BYTES = len("/.s.PGSQL.5432")
#: How long an unlucky look of another process at the lock may hold up a start, in seconds.
LOCK_PATIENCE_SECONDS = 1.0


class Owner(StrEnum):
    """What kind of process holds a data folder."""

    SERVE = "serve"
    COMMAND = "command"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """How to reach the servers: URLs, each over a unix socket; None for a server not run here."""

    owner_url: str | None
    app_url: str | None
    redis_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What the process that holds a data folder says of itself."""

    pid: int
    owner: Owner
    addresses: Addresses
    address: str | None  #: where its API listens, as http://host:port


class Folder:
    """A data folder, with the lock on it while it is open."""

    def __init__(self, root: Path, account: Account | None) -> None:
        self.root = Path(os.path.abspath(root))
        self.account = account
        self._lock: int | None = None

    @property
    def postgres(self) -> Path:
        """PostgreSQL's own data directory."""
        return self.root / "postgres"

    @property
    def valkey(self) -> Path:
        """Valkey's working directory."""
        return self.root / "valkey"

    @property
    def programs(self) -> Path:
        """Where programs are linked to when the installed ones cannot be reached."""
        return self.root / "programs"

    def log(self, name: str) -> Path:
        """The log file of the server called `name`."""
        return self.root / f"{name}.log"

    def open(self, owner: Owner) -> None:
        """Make the folder if need be, and take its lock; ServersError when that cannot be."""
        try:
            self._make()
            self._take_lock(owner)
        except OSError as fault:
            raise ServersError(
                f"the data folder {self.root} cannot be used ({fault.strerror});"
                " choose another with --data"
            ) from fault

    def close(self) -> None:
        """Withdraw the announcement and give the lock back."""
        if self._lock is not None:
            self._announcement.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self._short().rmdir()
            os.close(self._lock)
            self._lock = None

    def own(self, path: Path) -> Path:
        """A private folder inside, belonging to the servers' account."""
        path.mkdir(mode=0o700, exist_ok=True)
        if self.account is not None:
            os.chown(path, self.account.uid, self.account.gid)
        path.chmod(0o700)
        return path

    def sockets(self) -> Path:
        """The private folder for sockets: inside, or a short one where the path is too long."""
        inside = self.root / "run"
        if len(os.fsencode(inside)) + SOCKET_NAME_BYTES <= SOCKET_PATH_BYTES:
            return self.own(inside)
        short = self._short()
        with contextlib.suppress(FileExistsError):
            short.mkdir(mode=0o700)
        status = short.lstat()
        ours = {os.geteuid(), self.account.uid if self.account else os.geteuid()}
        if not stat.S_ISDIR(status.st_mode) or status.st_uid not in ours:
            raise ServersError(f"{short} belongs to somebody else; choose a shorter --data")
        return self.own(short)

    def announce(self, owner: Owner, addresses: Addresses, address: str | None) -> None:
        """Write what other processes may know; it holds until `close`."""
        told = Running(pid=os.getpid(), owner=owner, addresses=addresses, address=address)
        fresh = self._announcement.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(told)), encoding="utf-8")
        fresh.chmod(0o600)
        fresh.replace(self._announcement)

    @property
    def _announcement(self) -> Path:
        return self.root / "servers.json"

    def _short(self) -> Path:
        digest = hashlib.blake2b(os.fsencode(self.root), digest_size=8).hexdigest()
        return Path(tempfile.gettempdir()) / f"kuota-{digest}"

    def _make(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        known = (self.root / "lock").exists()
        if not known and any(self.root.iterdir()):
            raise ServersError(
                f"{self.root} holds other files; choose an empty or new folder with --data"
            )
        if not known and self.account is not None and not self.account.reaches(self.root.parent):
            with contextlib.suppress(OSError):
                self.root.rmdir()
            raise ServersError(
                f"as root the embedded servers run as {NAME!r}, who cannot reach {self.root};"
                " choose a folder like /var/lib/kuota with --data"
            )
        self.own(self.root)

    def _take_lock(self, owner: Owner) -> None:
        lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.02)
                    continue
                os.close(lock)
                raise FolderInUseError(self._held(owner)) from None
            self._lock = lock
            return

    def _held(self, owner: Owner) -> str:
        holder = _read(self._announcement)
        who = f"process {holder.pid} ({holder.owner})" if holder else "another process"
        advice = (
            "stop it, or choose another folder with --data"
            if owner is Owner.SERVE
            else "wait until it has ended, or choose another folder with --data"
        )
        return f"the data folder {self.root} is in use by {who}; {advice}"


def running(root: Path) -> Running | None:
    """The process that holds the data folder `root`, or None when nobody does.

    While that process is still starting it has announced nothing yet: also None.
    """
    try:
        lock = os.open(root / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(root / "servers.json")
    finally:
        os.close(lock)
    return None


def _read(path: Path) -> Running | None:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return Running(
            pid=told["pid"],
            owner=Owner(told["owner"]),
            addresses=Addresses(**told["addresses"]),
            address=told["address"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
