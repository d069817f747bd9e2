"""The PostgreSQL server: its version, what it promises of a commit, its clock, its room.

Owns no table and no role of ours.
"""

from __future__ import annotations

import time

from persistence.checkup.finding import (
    OWNER,
    SUPERUSER,
    Finding,
    Trouble,
    judged,
    warned,
    wrong,
)
from persistence.connection import Connection

#: Names are looked up by a collation that came with 17, `pg_c_utf8`.
VERSION_MIN = 17
SKEW_SECONDS_MAX = 2.0
#: Open longer than any of ours: it keeps dead rows from being cleared away.
TRANSACTION_SECONDS_MAX = 300
CONNECTIONS_USED_MAX = 0.8


async def version(conn: Connection) -> Finding:
    """A version we were written for, on a server that can be written to."""
    row = await conn.fetchrow(
        """
        select current_setting('server_version') as version,
            current_setting('server_version_num')::integer / 10000 as major,
            pg_is_in_recovery() as standby, current_database() as database
        """
    )
    assert row is not None
    troubles = []
    if row["major"] < VERSION_MIN:
        troubles.append(
            wrong(
                f"PostgreSQL {row['version']} is older than {VERSION_MIN}",
                f"upgrade the server to {VERSION_MIN} or later (pg_upgrade), or use another one",
            )
        )
    if row["standby"]:
        troubles.append(
            wrong(
                "it is a standby, which takes no writes",
                "point KUOTA_DATABASE_URL at the primary, or promote this one: select pg_promote()",
            )
        )
    fine = f"PostgreSQL {row['version']}, database {row['database']}"
    return judged("database version", fine, troubles)


SETTINGS = """
select name, setting, source from pg_settings
where name in ('fsync', 'full_page_writes', 'synchronous_commit') order by name
"""


async def durability(conn: Connection) -> Finding:
    """A commit that was answered survives a power cut."""
    rows = {row["name"]: row for row in await conn.fetch(SETTINGS)}
    database = await conn.fetchval("select quote_ident(current_database())")
    troubles: list[Trouble] = []
    for name, row in rows.items():
        if row["setting"] != "off":
            continue
        remedy = _turned_on(name, row["source"], database)
        if name == "full_page_writes":
            found = "full_page_writes is off: safe only where the file system writes pages whole"
            troubles.append(warned(found, remedy))
        else:
            found = f"{name} is off: a power cut loses facts that were answered"
            troubles.append(wrong(found, remedy))
    fine = ", ".join(f"{name} {row['setting']}" for name, row in rows.items())
    return judged("durability", fine, troubles)


def _turned_on(name: str, source: str, database: str) -> str:
    """What turns a setting on where it was turned off."""
    places = {
        "database": f"{OWNER}alter database {database} reset {name}",
        "user": f"{SUPERUSER}alter role kuota_app reset {name}",
        "database user": f"{SUPERUSER}alter role kuota_app in database {database} reset {name}",
        "command line": f"take {name}=off from the server's command line and restart it",
        "client": f"take {name} from the options of KUOTA_DATABASE_URL",
    }
    everywhere = f"{SUPERUSER}alter system set {name} = on; select pg_reload_conf()"
    return places.get(source, everywhere)


async def clock(conn: Connection) -> Finding:
    """The server's clock and this machine's agree."""
    before = time.time()
    theirs = await conn.fetchval("select extract(epoch from clock_timestamp())::float8")
    ours = (before + time.time()) / 2
    skew = theirs - ours
    # What the answer took on its way is not skew.
    sure = abs(skew) - (time.time() - before) / 2
    troubles = []
    if sure > SKEW_SECONDS_MAX:
        troubles.append(
            warned(
                f"the server's clock is {skew:+.1f} s from this machine's",
                "set both by NTP: on each, timedatectl set-ntp true, then timedatectl status",
            )
        )
    return judged("database clock", f"within {SKEW_SECONDS_MAX:g} s of this machine's", troubles)


async def room(conn: Connection, per_process: int) -> Finding:
    """Connections for at least one serving process, which takes `per_process`, and some to spare.

    `max_connections` counts those kept for superusers too, which we cannot have.
    """
    row = await conn.fetchrow(
        """
        select current_setting('max_connections')::integer
                - current_setting('superuser_reserved_connections')::integer
                - coalesce(current_setting('reserved_connections', true)::integer, 0) as free,
            (select sum(numbackends)::integer from pg_stat_database) as used
        """
    )
    assert row is not None
    free, used = row["free"], row["used"]
    remedy = (
        f"{SUPERUSER}alter system set max_connections = {max(100, free * 2)}; then restart"
        " PostgreSQL; or run fewer processes"
    )
    troubles = []
    if free < per_process:
        found = f"{free} connections, and a serving process takes up to {per_process}"
        troubles.append(wrong(found, remedy))
    elif used > free * CONNECTIONS_USED_MAX:
        troubles.append(warned(f"{used} of {free} connections are in use", remedy))
    fine = (
        f"{used} of {free} in use; a serving process takes up to {per_process}, so"
        f" {free // per_process} fit"
    )
    return judged("connections", fine, troubles)


async def transactions(conn: Connection) -> Finding:
    """Nobody has kept a transaction open for long, or prepared one and left it.

    What others do is seen by the owner of all databases alone; the app's role sees its own.
    """
    rows = await conn.fetch(
        """
        select pid, usename as role, application_name as program,
            extract(epoch from clock_timestamp() - xact_start)::integer as seconds
        from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()
            and backend_type = 'client backend'
            and xact_start < clock_timestamp() - make_interval(secs => $1)
        order by xact_start limit 5
        """,
        float(TRANSACTION_SECONDS_MAX),
    )
    troubles = [
        warned(
            f"process {row['pid']} ({row['role']}, {row['program'] or 'unnamed'}) has had a"
            f" transaction open for {row['seconds'] // 60} minutes",
            f"if nobody needs it, {OWNER}select pg_terminate_backend({row['pid']})",
        )
        for row in rows
    ]
    prepared = await conn.fetch(
        "select quote_literal(gid) as gid from pg_prepared_xacts"
        " where database = current_database() order by prepared limit 5"
    )
    troubles += [
        warned(
            f"transaction {row['gid']} was prepared and never ended; none of ours ever is",
            f"{OWNER}rollback prepared {row['gid']}",
        )
        for row in prepared
    ]
    return judged("transactions", "none open for long, none prepared", troubles)


async def text(conn: Connection) -> Finding:
    """Text is UTF-8, and is sorted as it was when its indexes were made."""
    row = await conn.fetchrow(
        """
        select pg_encoding_to_char(encoding) as encoding, quote_ident(datname) as database,
            datcollversion as made_with, pg_database_collation_actual_version(oid) as present
        from pg_database where datname = current_database()
        """
    )
    assert row is not None
    troubles = []
    if row["encoding"] != "UTF8":
        troubles.append(
            wrong(
                f"the encoding is {row['encoding']}: most of the world's names cannot be kept",
                f"pg_dump it, {OWNER}create database fresh encoding 'UTF8' template template0,"
                " pg_restore into that, and correct the URLs",
            )
        )
    if row["made_with"] != row["present"]:
        troubles.append(
            warned(
                f"its order of text is of version {row['made_with']} and the system's of"
                f" {row['present']}: an index may miss rows",
                f"{OWNER}reindex database {row['database']};"
                f" alter database {row['database']} refresh collation version",
            )
        )
    return judged("encoding", row["encoding"], troubles)


async def encryption(conn: Connection) -> Finding:
    """What goes over a network is encrypted."""
    row = await conn.fetchrow(
        """
        select coalesce(s.ssl, false) as encrypted, host(a.client_addr) as client,
            coalesce(a.client_addr <<= inet '127.0.0.0/8' or a.client_addr = inet '::1', true)
                as near
        from pg_stat_activity a left join pg_stat_ssl s using (pid)
        where a.pid = pg_backend_pid()
        """
    )
    assert row is not None
    troubles = []
    if not (row["near"] or row["encrypted"]):
        troubles.append(
            warned(
                f"it sees us as {row['client']}, over a network and in the clear",
                "turn ssl on in the server and add sslmode=require to KUOTA_DATABASE_URL",
            )
        )
    fine = "encrypted" if row["encrypted"] else "not needed: the server is on this machine"
    return judged("database encryption", fine, troubles)
