"""`serve`: the command around a served process; what that does is `api.serve`'s."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Annotated

from cyclopts import Parameter, validators

from api import serve as process
from api.cli.options import AsJson, Data
from api.cli.terminal import Failure, note, result, settings
from api.secrecy import without_files
from api.settings import Clock, Settings, data_folder
from api.stored import StoredError
from persistence.migrate import MigrationError
from persistence.servers import Servers, ServersError

PARTS = ("edge", "feed", "jobs")
SCOPES = (
    "events:write,usage:read,billing:read,billing:write,billing:adjust,prices:publish,keys:write"
)

Port = Annotated[
    int,
    Parameter(
        help="Port to listen on; 0 takes a free one.", validator=validators.Number(gte=0, lte=65535)
    ),
]
Count = Annotated[
    int, Parameter(help="Processes that serve.", validator=validators.Number(gte=1, lte=64))
]


def serve(
    *,
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Port = 8000,
    workers: Count = 1,
    only: Annotated[str, Parameter(help="Parts to serve: edge, feed, jobs.")] = ",".join(PARTS),
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Serve the API until Ctrl-C or SIGTERM.

    PostgreSQL and Valkey are embedded, and kept in a folder, where KUOTA_DATABASE_URL and
    KUOTA_REDIS_URL are not set.
    """
    check_parts(only)
    given = settings()
    check_documents(given)
    process.start_logging(given.log_level)
    folder = data if data is not None else data_folder(given)
    try:
        with process.listen(host, port) as listening:
            process.check_clock(given, listening)
            process.check_secrets(given, listening)
            clock = Clock.starting(given.clock)
            with process.housed(given, folder) as (complete, servers):
                ready = _teller(complete, servers, listening, as_json=as_json)
                if workers == 1:
                    process.serve(complete, clock, listening, ready)
                else:
                    _serve_many(workers, complete, clock, listening, ready)
    except (process.ServeError, ServersError, MigrationError) as fault:
        raise Failure(str(fault)) from fault


def check_parts(only: str) -> None:
    """Refuse what is no part, and parts that are not split off from the edge yet."""
    parts = {part.strip() for part in only.split(",") if part.strip()}
    if not parts or parts - set(PARTS):
        raise Failure(f"--only {only}: the parts are {', '.join(PARTS)}", code=2)
    if "edge" not in parts:
        raise Failure(
            f"--only {only}: this version has no process without the edge; add edge", code=2
        )


def check_documents(given: Settings) -> None:
    """Refuse to start with a stored document that does not fit the schema."""
    if given.documents is not None:
        from api.app import stored_documents

        try:
            stored_documents(given)
        except StoredError as fault:
            raise Failure(str(fault)) from fault


def worker(*, fd: int, offset: int) -> None:
    """Serve a socket that `serve --workers` has opened; not for people."""
    from api.workers import READY, WAITING, end_with_parent

    given = settings()
    check_documents(given)
    process.start_logging(given.log_level)

    def ready(able: bool) -> None:
        os.write(1, READY if able else WAITING)

    process.serve(given, Clock(offset), socket.socket(fileno=fd), ready, end_with_parent)


def _serve_many(
    count: int,
    complete: Settings,
    clock: Clock,
    listening: socket.socket,
    ready: process.Ready,
) -> None:
    from api.workers import Workers

    urls = {
        "KUOTA_DATABASE_URL": complete.database_url,
        "KUOTA_DATABASE_OWNER_URL": complete.owner_url,
        "KUOTA_REDIS_URL": complete.redis_url,
    }
    secrets = {
        "KUOTA_OPERATOR_KEY": complete.operator_key,
        "KUOTA_SECRET": complete.secret,
        **urls,
    }
    told = {name: secret for name, secret in secrets.items() if secret is not None}
    environ = {**without_files(os.environ), **told}

    async def run() -> None:
        await Workers(count, listening, clock.offset, environ).run(ready)

    asyncio.run(run())


def _teller(
    complete: Settings, servers: Servers | None, listening: socket.socket, *, as_json: bool
) -> process.Ready:
    """What to do once requests are answered: tell people, programs and the data folder."""
    address = process.address_of(listening)

    def tell(able: bool) -> None:
        if able:
            line = f"kuota is ready on {address}"
        else:
            line = (
                f"kuota listens on {address} and waits for its database:"
                " start it, or run python -m api migrate"
            )
        if servers is not None:
            servers.announce(address)
            line += f", its data is in {servers.data}"
            if complete.operator_key is None:
                line += (
                    f"\nmake an operator's key: python -m api key create --operator"
                    f" --scope {SCOPES} --data {servers.data}"
                )
        note(line)
        data = None if servers is None else str(servers.data)
        if as_json:
            result("", {"ready": able, "address": address, "data": data}, as_json=True)

    return tell
