"""The database a command works on: one that is set, a running serve's, or one of its own.

Owns that choice and the folder it depends on, not what is done there.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg

from api.cli.terminal import Failure
from api.settings import Settings, data_folder, without_secrets
from persistence.migrate import MigrationError, migrate
from persistence.servers import (
    Addresses,
    FolderInUseError,
    Owner,
    Servers,
    ServersError,
    running,
)

#: How long a command waits for another one that has the data folder.
PATIENCE_SECONDS = 30.0
LOOK_SECONDS = 0.1


@contextlib.contextmanager
def at_hand(
    settings: Settings, data: Path | None, *, up_to_date: bool = True
) -> Iterator[Addresses]:
    """The database, for the length of a command; what it refuses becomes a `Failure`.

    URLs of the environment come first; then the serve that holds the data folder; else servers
    are started there, brought up to date (unless told not to), and stopped again.
    """
    if settings.database_url is not None:
        set_ones = Addresses(
            owner_url=settings.owner_url,
            app_url=settings.database_url,
            redis_url=settings.redis_url,
        )
        with faults_told(set_ones):
            yield set_ones
        return
    folder = data if data is not None else data_folder(settings)
    found = _served_or_started(folder)
    if isinstance(found, Addresses):
        with faults_told(found):
            yield found
        return
    try:
        with faults_told(found.addresses):
            if up_to_date:
                assert found.addresses.owner_url is not None
                asyncio.run(migrate(found.addresses.owner_url))
            yield found.addresses
    finally:
        found.stop()


def _served_or_started(folder: Path) -> Addresses | Servers:
    """A running serve's addresses, or started servers (a command needs no Valkey)."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        holder = running(folder)
        if holder is not None and holder.owner is Owner.SERVE and holder.addresses.owner_url:
            return holder.addresses
        servers = Servers(folder, valkey=False)
        try:
            servers.start()
        except FolderInUseError as fault:
            if time.monotonic() > deadline:
                raise Failure(str(fault)) from fault
            time.sleep(LOOK_SECONDS)
        except ServersError as fault:
            raise Failure(str(fault)) from fault
        else:
            return servers


@contextlib.contextmanager
def faults_told(addresses: Addresses) -> Iterator[None]:
    """Turn what a database answers to a command into its one line."""
    url = without_secrets(addresses.app_url or addresses.owner_url or "")
    try:
        yield
    except MigrationError as fault:
        raise Failure(f"a migration failed; what came before it stays: {fault}") from fault
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as fault:
        raise Failure(
            f"the database {url} is not up to date ({fault}); run python -m api migrate"
        ) from fault
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as fault:
        raise Failure(
            f"the database {url} did not do it ({fault or 'no answer'}); start it,"
            " or correct KUOTA_DATABASE_URL and KUOTA_DATABASE_OWNER_URL"
        ) from fault
