"""Connections to Postgres: who they are and how they behave. Owns no transaction."""

from __future__ import annotations

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


async def connect(url: str) -> Connection:
    """One connection as the app's role."""
    connection: Connection = await asyncpg.connect(
        url,
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=COMMAND_TIMEOUT_SECONDS,
        server_settings=SERVER_SETTINGS,
    )
    await lower(connection)
    return connection


async def open_pool(url: str, size: int) -> Pool:
    """A pool of connections as the app's role, opened as they are needed."""
    pool = await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=COMMAND_TIMEOUT_SECONDS,
        server_settings=SERVER_SETTINGS,
        init=lower,
    )
    assert pool is not None
    return pool


async def lower(connection: Connection) -> None:
    """Become the app's role where the URL's role is another: it may do too much."""
    if await connection.fetchval("select current_user") != "kuota_app":
        await connection.execute("set role kuota_app")
