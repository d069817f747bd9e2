"""`serve`: the command around a served process; what that does is `api.serve`'s."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import Annotated

from cyclopts import Parameter, validators

from api import serve as process
from api.cli.options import AsJson, Data
from api.cli.terminal import Failure, note, result, settings
from api.parts import ALL, Part, Role, listed, parts_of
from api.secrecy import without_files
from api.settings import Clock, Settings, data_folder
from api.stored import StoredError
from persistence.migrate import MigrationError
from persistence.servers import Servers, ServersError

EVERY_PART = listed(ALL)
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
    int,
    Parameter(
        help="Processes that serve; with two or more, one besides them does the jobs.",
        validator=validators.Number(gte=1, lte=64),
    ),
]
Only = Annotated[str, Parameter(help="Parts to serve: edge, feed, jobs.")]


def serve(
    *,
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Port = 8000,
    workers: Count = 1,
    only: Only = EVERY_PART,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Serve the API until Ctrl-C or SIGTERM.

    PostgreSQL and Valkey are embedded, and kept in a folder, where KUOTA_DATABASE_URL and
    KUOTA_REDIS_URL are not set. At SIGTERM no new connection is taken, and watchers are let go over
    KUOTA_DRAIN_SECONDS; a second one ends it at once.
    """
    role = role_of(only, workers)
    given = settings()
    check_documents(given)
    process.start_logging(given.log_level)
    folder = data if data is not None else data_folder(given)
    try:
        with process.listen(host, port) as listening:
            process.check_clock(given, listening)
            process.check_secrets(given, listening)
            given = process.with_payments(given, listening)
            clock = Clock.starting(given.clock)
            with process.housed(given, folder) as (complete, servers):
                ready = _teller(complete, servers, listening, as_json=as_json)
                if workers == 1:
                    process.serve(complete, clock, listening, ready, role=role)
                else:
                    _serve_many(role, complete, clock, listening, ready)
    except (process.ServeError, ServersError, MigrationError) as fault:
        raise Failure(str(fault)) from fault


def role_of(only: str, workers: int) -> Role:
    """What was asked for; a Failure for what is no part, and for several processes of jobs."""
    try:
        parts = parts_of(only)
    except ValueError as fault:
        raise Failure(f"--only {only}: {fault}", code=2) from None
    if workers > 1 and parts == {Part.JOBS}:
        # Each would look for the same jobs: a second one helps where it is on another machine.
        raise Failure(
            f"--workers {workers} --only jobs: leave --workers out, one does them", code=2
        )
    return Role(parts=parts, workers=workers)


def check_documents(given: Settings) -> None:
    """Refuse to start with a stored document that does not fit the schema."""
    if given.documents is not None:
        from api.app import stored_documents

        try:
            stored_documents(given)
        except StoredError as fault:
            raise Failure(str(fault)) from fault


def worker(*, fd: int, offset: int, only: Only = EVERY_PART, workers: Count = 1) -> None:
    """Serve a socket that `serve --workers` has opened; not for people."""
    from api.workers import READY, WAITING, end_with_parent

    given = settings()
    check_documents(given)
    process.start_logging(given.log_level)

    def ready(able: bool) -> None:
        os.write(1, READY if able else WAITING)

    listening, role = socket.socket(fileno=fd), Role(parts=parts_of(only), workers=workers)
    process.serve(given, Clock(offset), listening, ready, end_with_parent, role)


def _serve_many(
    role: Role,
    complete: Settings,
    clock: Clock,
    listening: socket.socket,
    ready: process.Ready,
) -> None:
    from api.workers import Post, Workers

    urls = {
        "KUOTA_DATABASE_URL": complete.database_url,
        "KUOTA_DATABASE_OWNER_URL": complete.owner_url,
        "KUOTA_REDIS_URL": complete.redis_url,
    }
    secrets = {
        "KUOTA_OPERATOR_KEY": complete.operator_key,
        "KUOTA_SECRET": complete.secret,
        "KUOTA_MIDTRANS_SERVER_KEY": complete.midtrans_server_key,
        "KUOTA_SMTP_URL": complete.smtp_url,
        "KUOTA_PAYMENTS": complete.payments,
        **urls,
    }
    told = {name: secret for name, secret in secrets.items() if secret is not None}
    environ = {**without_files(os.environ), **told}

    serving = Post(
        listening=listening, role=Role(parts=role.parts - {Part.JOBS}, workers=role.workers)
    )
    posts = [serving] * role.workers
    with contextlib.ExitStack() as stack:
        if Part.JOBS in role.parts:
            # Of its own, for who asks how it fares: none of the others' connections may end there.
            own = stack.enter_context(process.listen("127.0.0.1", 0))
            note(f"jobs are done by a process of their own: see {process.address_of(own)}/metrics")
            posts.append(Post(listening=own, role=Role(parts=frozenset({Part.JOBS}))))

        async def run() -> None:
            await Workers(posts, clock.offset, environ, complete.drain_seconds).run(ready)

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
