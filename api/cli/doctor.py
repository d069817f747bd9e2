"""`doctor`: asks everything a checkup asks, in order, and says what was found and what to do.

Owns whom to ask, what cannot be asked when something else is broken, and the wording of the whole;
it changes nothing but one key of its own in Valkey, which it removes.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import re
import shlex
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import asyncpg
import msgspec
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError

from api.cli import safety, surroundings
from api.cli.database import at_hand
from api.cli.options import AsJson, Data
from api.cli.terminal import Failure, result
from api.limits import LANES
from api.settings import Clock, Settings, data_folder, without_secrets
from persistence.checkup import roles, server, tables, valkey
from persistence.checkup.finding import OWNER, SUPERUSER, Finding, State, judged, unknown, wrong
from persistence.connection import CONNECT_TIMEOUT_SECONDS, Connection
from persistence.door import READERS_MAX, Door
from persistence.servers import Addresses, Owner, running

#: A question that takes longer is not answered: what it waits for is the finding.
ANSWER_SECONDS = 5.0
CHECK_WIDTH = 20
#: Commands of ours that a remedy may name, and that take --data.
COMMAND = re.compile(r"python -m api (?:migrate|serve|key create)")
TALLIED = (State.BROKEN, State.WARNING, State.UNKNOWN, State.OK)

START_POSTGRES = (
    "start PostgreSQL, or correct KUOTA_DATABASE_URL; then its log says why it went away"
)
START_VALKEY = "start Valkey, or correct KUOTA_REDIS_URL (facts are charged without it)"

Question: TypeAlias = Callable[[Connection], Awaitable[Finding]]

#: Whatever state the tables are in.
OF_SERVER: dict[str, Question] = {
    "database version": server.version,
    "durability": server.durability,
    "encoding": server.text,
    "database clock": server.clock,
    "connections": lambda conn: server.room(conn, LANES + READERS_MAX),
    "database encryption": server.encryption,
    "login role": roles.login,
    "app role": roles.app,
}
OF_VALKEY: dict[str, Callable[[Redis], Awaitable[Finding]]] = {
    "valkey memory": valkey.memory,
    "valkey writes": valkey.writes,
}


def doctor(*, data: Data = None, as_json: AsJson = False) -> int:
    """Say what is wrong, and what to do about it; 1 if anything is broken."""
    given, environment, left_out = surroundings.environment(os.environ)
    findings = [environment, surroundings.python(), surroundings.packages()]
    findings += [surroundings.clock(given), surroundings.outside(given), safety.secret(given)]
    findings += [safety.secret_files(os.environ), safety.exposure(given, os.environ)]
    findings += [surroundings.documents(given), asyncio.run(surroundings.reaching(given))]
    folder = data if data is not None else data_folder(given)
    owner_url = None
    if left_out & {"KUOTA_DATABASE_URL", "KUOTA_REDIS_URL"}:
        # Without the URL that was meant, the servers of the data folder would be looked at.
        findings += [unknown("servers", "a URL that cannot be used says where they are")]
    else:
        with contextlib.ExitStack() as stack:
            now = _of_folder(given, folder, findings)
            try:
                addresses = stack.enter_context(
                    at_hand(given, folder, up_to_date=False, valkey=True)
                )
            except Failure as fault:
                trouble = wrong(str(fault), f"see the logs in {folder}; what it says comes first")
                findings.append(judged("servers", "", [trouble]))
            else:
                owner_url = addresses.owner_url
                findings += asyncio.run(_of_servers(given, addresses, now))
    findings = [_pointed(finding, given, data) for finding in findings]
    text = msgspec.json.encode(findings).decode() if as_json else _page(findings, owner_url)
    result(text, {}, as_json=False)
    return int(any(finding.state is State.BROKEN for finding in findings))


def _of_folder(given: Settings, folder: Path, findings: list[Finding]) -> int:
    """Look at the data folder, and at the serve that holds it; gives that one's present."""
    shown = None
    if given.database_url is None or given.redis_url is None:
        findings.append(surroundings.folder(folder))
        holder = running(folder)
        if holder is not None and holder.owner is Owner.SERVE:
            finding, shown = surroundings.served(holder)
            findings.append(finding)
    return Clock.starting(shown if shown is not None else given.clock).now()


async def _of_servers(given: Settings, addresses: Addresses, now: int) -> list[Finding]:
    """What the servers answer, PostgreSQL first."""
    assert addresses.app_url is not None
    async with Door.open(addresses.app_url, size=1) as door, _owning(addresses) as (owner, owning):
        database = await _database(door)
        findings = [database, *await _of_server(door, database), owning]
        reached = database.state is not State.BROKEN
        migrations = await _migrations(door if reached else None, owner)
        findings.append(migrations)
        whole = reached and migrations.state is State.OK
        findings += await _of_tables(door if whole else None, owner, now)
        stored = await _stored_keys(door, now) if whole else None
        findings.append(surroundings.operator_key(given, stored))
    return findings + await _of_valkey(addresses.redis_url)


async def _database(door: Door) -> Finding:
    """Whether the database lets the app in."""
    shown = without_secrets(door.url)
    try:
        await asyncio.wait_for(door.ping(), ANSWER_SECONDS)
    except Exception as fault:  # whatever it was, it is the finding
        found = f"{shown} does not let us in: {_said(fault, CONNECT_TIMEOUT_SECONDS)}"
        return judged("database", "", [wrong(found, _way_in(fault))])
    return judged("database", f"{shown} answers", [])


def _way_in(fault: Exception) -> str:
    """What to do about a connection that could not be had."""
    if isinstance(fault, asyncpg.InvalidCatalogNameError):
        return (
            "correct the database's name in KUOTA_DATABASE_URL, or, if it is new, create database"
            " that and run python -m api migrate"
        )
    if isinstance(fault, asyncpg.InvalidPasswordError):
        return "correct the password in KUOTA_DATABASE_URL"
    if isinstance(fault, asyncpg.InvalidAuthorizationSpecificationError):
        return f"{tables.MIGRATE}: it makes the role; then see that pg_hba.conf lets it in"
    if isinstance(fault, asyncpg.UndefinedObjectError | asyncpg.InvalidParameterValueError):
        return f"{tables.MIGRATE}: it makes the app's role"
    if isinstance(fault, asyncpg.TooManyConnectionsError):
        return "end processes that are not needed, or raise max_connections and restart PostgreSQL"
    if isinstance(fault, asyncpg.CannotConnectNowError):
        return "wait: it is starting or stopping; its log says how far it is"
    return START_POSTGRES


def _said(fault: Exception, seconds: float) -> str:
    """What a fault says, on one line."""
    if isinstance(fault, TimeoutError):
        return f"no answer within {seconds:g} s"
    return " ".join(str(fault).split()) or type(fault).__name__


async def _of_server(door: Door, database: Finding) -> list[Finding]:
    if database.state is State.BROKEN:
        return [unknown(check, "the database does not let us in") for check in OF_SERVER]
    return [await _ask(check, _inside(door, ask)) for check, ask in OF_SERVER.items()]


@contextlib.asynccontextmanager
async def _owning(addresses: Addresses) -> AsyncIterator[tuple[Connection | None, Finding]]:
    """A connection as the owner, where there can be one, and what is to be said of it."""
    if addresses.owner_url is None or addresses.owner_url == addresses.app_url:
        found = "KUOTA_DATABASE_OWNER_URL is not set: migrate from where it is"
        yield None, judged("owner", found, [])
        return
    try:
        conn = await asyncpg.connect(addresses.owner_url, timeout=CONNECT_TIMEOUT_SECONDS)
    except Exception as fault:  # whatever it was, it is the finding
        said = _said(fault, CONNECT_TIMEOUT_SECONDS)
        found = f"{without_secrets(addresses.owner_url)} does not let us in: {said}"
        yield None, judged("owner", "", [wrong(found, _way_in(fault))])
        return
    try:
        yield conn, await _ask("owner", tables.owning(conn))
    finally:
        await conn.close()


async def _migrations(door: Door | None, owner: Connection | None) -> Finding:
    """Of whom lets us in: before the first migration there is no app's role."""
    if door is not None:
        return await _ask("migrations", _inside(door, tables.migrations))
    if owner is not None:
        return await _ask("migrations", tables.migrations(owner))
    return unknown("migrations", "the database does not let us in")


async def _of_tables(door: Door | None, owner: Connection | None, now: int) -> list[Finding]:
    """Of the tables, once they are what migrations make them; `door` is None before."""
    # Months are made by the real time, whatever a clock was set to.
    real = Clock().now()
    questions: dict[str, Question] = {
        "row-level security": roles.secured,
        "partitions": lambda conn: tables.partitions(conn, real),
        "due tenants": lambda conn: tables.heads(conn, now),
        "unrated facts": tables.unrated,
        "tasks": lambda conn: tables.tasks(conn, now),
    }
    of_owner: dict[str, Question] = {
        "default partitions": lambda conn: tables.strays(conn, real),
        "transactions": server.transactions,
    }
    if door is None:
        why = "the database does not let us in, or its migrations are not in order"
        return [unknown(check, why) for check in [*questions, *of_owner]]
    findings = [await _ask(check, _inside(door, ask)) for check, ask in questions.items()]
    for check, ask in of_owner.items():
        if owner is None:
            findings.append(unknown(check, "only the owner sees it (KUOTA_DATABASE_OWNER_URL)"))
        else:
            findings.append(await _ask(check, ask(owner)))
    return findings


async def _inside(door: Door, question: Question) -> Finding:
    """Ask in a transaction that cannot write."""
    async with door.system_tx("a checkup is of no tenant") as conn:
        await conn.execute("set transaction read only")
        return await question(conn)


async def _stored_keys(door: Door, now: int) -> int | None:
    try:
        async with door.system_tx("an operator's key is of no tenant") as conn:
            return await tables.operator_keys(conn, now)
    except Exception:  # the checks of the database say why
        return None


async def _of_valkey(url: str | None) -> list[Finding]:
    if url is None:
        why = "the serve that holds the folder has its Valkey elsewhere: set KUOTA_REDIS_URL too"
        return [unknown(check, why) for check in ["valkey", *OF_VALKEY, "valkey access"]]
    async with Redis.from_url(
        url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=CONNECT_TIMEOUT_SECONDS
    ) as client:
        try:
            first = await asyncio.wait_for(valkey.server(client), ANSWER_SECONDS)
        except (RedisError, OSError, TimeoutError) as fault:
            found = f"{without_secrets(url)} does not answer: {_said(fault, ANSWER_SECONDS)}"
            remedy = START_VALKEY
            if isinstance(fault, AuthenticationError):
                remedy = "correct the password in KUOTA_REDIS_URL"
            lost = [unknown(check, "Valkey does not answer") for check in OF_VALKEY]
            broken = judged("valkey", "", [wrong(found, remedy)])
            return [broken, *lost, valkey.access(client, url)]
        findings = [first]
        findings += [await _ask(check, ask(client)) for check, ask in OF_VALKEY.items()]
        return [*findings, valkey.access(client, url)]


async def _ask(check: str, answer: Awaitable[Finding]) -> Finding:
    """A question's answer; that it could not be asked is an answer too."""
    try:
        return await asyncio.wait_for(answer, ANSWER_SECONDS)
    except Exception as fault:  # one check that fails must not hide the others
        found = f"could not be asked: {_said(fault, ANSWER_SECONDS)}"
        remedy = "run doctor again; if it stays so, the server's log says more"
        return judged(check, "", [wrong(found, remedy)])


def _pointed(finding: Finding, given: Settings, data: Path | None) -> Finding:
    """The finding in words for embedded servers, where these were looked at.

    A command that it names is given the data folder: it shall find the same servers.
    """
    if finding.remedy is None:
        return finding
    remedy = finding.remedy
    if finding.check == "owner" and given.database_url is not None:
        remedy = remedy.replace("KUOTA_DATABASE_URL", "KUOTA_DATABASE_OWNER_URL")
    folder = data if data is not None else data_folder(given)
    for start, url, name in (
        (START_POSTGRES, given.database_url, "postgres"),
        (START_VALKEY, given.redis_url, "valkey"),
    ):
        if url is None:
            log = folder / f"{name}.log"
            remedy = remedy.replace(
                start, f"end serve and start it again: it runs {name}; see {log}"
            )
    if data is not None:
        remedy = COMMAND.sub(lambda found: f"{found[0]} --data {shlex.quote(str(data))}", remedy)
    return dataclasses.replace(finding, remedy=remedy)


def _page(findings: list[Finding], owner_url: str | None) -> str:
    """The findings for people: what was not looked at in one line for each reason, then a tally."""
    lines = []
    unseen: dict[str, list[str]] = {}
    for finding in findings:
        if finding.state is State.UNKNOWN:
            unseen.setdefault(finding.found, []).append(finding.check)
            continue
        lines.append(f"{finding.state:<8} {finding.check:<{CHECK_WIDTH}} {finding.found}")
        if finding.remedy is not None:
            lines.append(f"{'':<8} {'':<{CHECK_WIDTH}} -> {finding.remedy}")
    for why, checks in unseen.items():
        lines.append(f"{State.UNKNOWN:<8} {why}: {', '.join(checks)}")
    remedies = " ".join(finding.remedy or "" for finding in findings)
    if owner_url is not None and (OWNER in remedies or SUPERUSER in remedies):
        psql = shutil.which("psql") or surroundings.embedded_psql() or "psql"
        lines.append(f"statements, while it runs: {psql} '{without_secrets(owner_url)}'")
    count = {state: sum(finding.state is state for finding in findings) for state in TALLIED}
    lines.append(", ".join(f"{count[state]} {state}" for state in TALLIED if count[state]))
    return "\n".join(lines)
