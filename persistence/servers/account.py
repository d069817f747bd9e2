"""The account the servers run under, and what that account can reach.

PostgreSQL refuses to run as root. As root both servers therefore run as `nobody`; otherwise as
whoever runs us. No account is ever created and no parent folder's mode is ever changed.
"""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from persistence.servers.errors import ServersError

NAME = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user and group of this machine, by number."""

    uid: int
    gid: int

    def reaches(self, path: Path) -> bool:
        """Whether this account can walk to `path` and run it (a file) or enter it (a folder)."""
        return all(self._may_pass(step) for step in (path, *path.parents))

    def _may_pass(self, path: Path) -> bool:
        status = path.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        if status.st_gid == self.gid:
            return bool(status.st_mode & stat.S_IXGRP)
        return bool(status.st_mode & stat.S_IXOTH)


def servers_account() -> Account | None:
    """The account to change to, or None when the servers run as the present user."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError as fault:
        raise ServersError(
            f"this machine has no user {NAME!r} to run the embedded servers as;"
            " run kuota as another user than root, or set KUOTA_DATABASE_URL and KUOTA_REDIS_URL"
        ) from fault
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)
