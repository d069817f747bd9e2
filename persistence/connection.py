"""Connections to Postgres: who they are and how they behave. Owns no transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

#: Seconds a statement may run before the driver gives up on the server.
COMMAND_TIMEOUT_SECONDS = 30.0
CONNECT_TIMEOUT_SECONDS = 5.0

#: Every table is reached by its keys. A plan made while a month's partition was empty would scan
#: it whole once it is full, until somebody analyses it: never choose a scan where an index serves.
SERVER_SETTINGS = {
    "application_name": "kuota",
    "timezone": "UTC",
    "jit": "off",
    "enable_seqscan": "off",
}

#: Readers ask for the same again and again: that their statements are planned once took balances
#: from 2.7 to 0.4 ms. Every plan goes by keys, whatever the values are.
READER_SETTINGS = {**SERVER_SETTINGS, "plan_cache_mode": "force_generic_plan"}

# A restored copy has a later timeline, another cluster another identifier, a clone another number.
EPOCH = """
select current_user, (select system_identifier from pg_control_system()) || '-'
    || case when pg_is_in_recovery() then '' else left(pg_walfile_name(pg_current_wal_lsn()), 8) end
    || '-' || (select oid from pg_database where datname = current_database()) as epoch"""

Opened: TypeAlias = Callable[[str], None]


async def connect(url: str, opened: Opened = lambda epoch: None) -> Connection:
    """One connection as the app's role; `opened` is told the epoch of the database behind it."""
    connection: Connection = await asyncpg.connect(
        url,
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=COMMAND_TIMEOUT_SECONDS,
        server_settings=SERVER_SETTINGS,
    )
    try:
        opened(await lower(connection))
    except BaseException:  # who is cancelled meanwhile leaves nobody to close it
        connection.terminate()
        raise
    return connection


async def open_pool(url: str, size: int, opened: Opened) -> Pool:
    """A pool of connections as the app's role, opened as they are needed; `opened` as above."""

    async def init(connection: Connection) -> None:
        opened(await lower(connection))

    pool = await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=COMMAND_TIMEOUT_SECONDS,
        server_settings=READER_SETTINGS,
        init=init,
        reset=_keep,
    )
    assert pool is not None
    return pool


async def _keep(connection: Connection) -> None:
    """Leave a connection as it is: the door sets nothing that outlives its transaction."""


async def lower(connection: Connection) -> str:
    """Become the app's role where the URL's role is another, for it may do too much.

    Gives the epoch of the database: values that were shown under another one are not of this
    database's history.
    """
    row = await connection.fetchrow(EPOCH)
    assert row is not None
    if row["current_user"] != "kuota_app":
        await connection.execute("set role kuota_app")
    return str(row["epoch"])
