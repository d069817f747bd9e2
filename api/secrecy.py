"""Settings that are secrets: which they are, the files they may come from, and what is too weak.

Owns no setting's form, which is `api.settings`', and says nothing of what a secret is for.
"""

from __future__ import annotations

import ipaddress
import stat
from collections.abc import Mapping
from pathlib import Path

#: Variables whose value may stand in a file instead, named by the same with `_FILE`.
SECRETS = (
    "KUOTA_DATABASE_URL", "KUOTA_DATABASE_OWNER_URL", "KUOTA_REDIS_URL", "KUOTA_OPERATOR_KEY",
    "KUOTA_SECRET", "KUOTA_MIDTRANS_SERVER_KEY", "KUOTA_SMTP_URL",
)  # fmt: skip
SUFFIX = "_FILE"
#: Variables that name the files.
FILES = tuple(name + SUFFIX for name in SECRETS)
FILE_BYTES_MAX = 16 * 1024

#: Anybody can read these.
IN_DOCUMENTS = frozenset(
    {"an-operator-key-of-your-own", "operator-key-of-the-tests", "bench-operator-key"}
)
CHARACTERS_DIFFERENT = 8


def opened(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment with what stands in files in its place; a ValueError names what is wrong."""
    given = dict(environ)
    for name in SECRETS:
        path = given.pop(name + SUFFIX, "").strip()
        if not path:
            continue
        if given.get(name, "").strip():
            raise ValueError(f"{name}{SUFFIX} and {name} are both set: keep one of them")
        given[name] = _read(name + SUFFIX, path)
    return given


def without_files(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for another process of ours that is told the secrets themselves."""
    return {name: value for name, value in environ.items() if name not in FILES}


def files(environ: Mapping[str, str]) -> dict[str, Path]:
    """The files that are named, by their variables."""
    return {name: Path(path).expanduser() for name in FILES if (path := environ.get(name, ""))}


def is_open_to_others(path: Path) -> bool:
    """Whether other users of the machine may read or change a file; not where it is missing."""
    try:
        return bool(path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH))
    except OSError:
        return False


def weakness(secret: str) -> str | None:
    """Why a secret is none; None: it may be one."""
    if secret in IN_DOCUMENTS:
        return "stands in the documents, where everybody reads it"
    if len(set(secret)) < CHARACTERS_DIFFERENT:
        return f"has fewer than {CHARACTERS_DIFFERENT} different characters"
    return None


def is_near(host: str) -> bool:
    """Whether a host is this machine and nothing else."""
    if host in ("", "localhost") or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read(variable: str, path: str) -> str:
    try:
        with Path(path).expanduser().open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        text = content.decode().strip()
    except OSError as fault:
        raise ValueError(
            f"{variable} names {path}, which cannot be read ({fault.strerror}):"
            " correct the path, or let this user read it"
        ) from None
    except UnicodeDecodeError:
        raise ValueError(f"{variable} names {path}, which is no text") from None
    if not text or len(content) > FILE_BYTES_MAX:
        what = "is empty" if not text else f"has more than {FILE_BYTES_MAX} bytes"
        raise ValueError(f"{variable} names {path}, which {what}: it wants the value and no more")
    return text
