"""The database a command works on: one that is set, a running serve's, or one of its own.

Owns that choice and the folder it depends on, not what is done there.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
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
    settings: Settings, data: Path | None, *, up_to_date: bool = True, valkey: bool = False
) -> Iterator[Addresses]:
    """The database, for the length of a command; what it refuses becomes a `Failure`.

    URLs of the environment come first; then the serve that holds the data folder; else servers
    are started there, brought up to date (unless told not to), and stopped again. The address of
    Valkey is there if a URL says it or a serve runs it; with `valkey` one is started otherwise.
    """
    postgres = settings.database_url is None
    valkey = valkey and settings.redis_url is None
    if not (postgres or valkey):
        with faults_told(addresses := _set_ones(settings)):
            yield addresses
        return
    folder = data if data is not None else data_folder(settings)
    found = _served_or_started(folder, postgres=postgres, valkey=valkey)
    if isinstance(found, Addresses):
        with faults_told(addresses := _set_ones(settings, found)):
            yield addresses
        return
    try:
        with faults_told(addresses := _set_ones(settings, found.addresses)):
            if up_to_date and postgres:
                assert addresses.owner_url is not None
                asyncio.run(migrate(addresses.owner_url))
            yield addresses
    finally:
        found.stop()


def _set_ones(settings: Settings, found: Addresses | None = None) -> Addresses:
    """The URLs that are set, and those of the servers that were found where none is."""
    redis_url = settings.redis_url or (found.redis_url if found else None)
    if settings.database_url is None and found is not None:
        return dataclasses.replace(found, redis_url=redis_url)
    return Addresses(
        owner_url=settings.owner_url, app_url=settings.database_url, redis_url=redis_url
    )


def _served_or_started(folder: Path, *, postgres: bool, valkey: bool) -> Addresses | Servers:
    """A running serve's addresses, or started servers of the kinds that are wanted."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        holder = running(folder)
        if holder is not None and holder.owner is Owner.SERVE:
            has = holder.addresses.owner_url if postgres else holder.addresses.redis_url
            if has:
                return holder.addresses
        servers = Servers(folder, postgres=postgres, valkey=valkey)
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
