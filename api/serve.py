"""The life of a served process: listen, run the servers it owns, serve, end cleanly.

Owns sockets, signals and the order of starting and stopping. What is served is `api.app`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import msgspec
import uvicorn

from api.limits import SOCKET_MESSAGE_BYTES_MAX, SOCKET_PING_SECONDS, SOCKET_PONG_SECONDS
from api.logs import Formatter
from api.parts import Role
from api.secrecy import is_near, weakness
from api.settings import Clock, Settings
from api.stored import StoredError
from persistence.migrate import migrate
from persistence.servers import Addresses, Owner, Servers

#: Requests in flight at the end are given this long; then they are cancelled.
GRACE_SECONDS = 2
#: Longer than proxies keep an idle connection, so that none sends into one we just closed.
KEEP_ALIVE_SECONDS = 75
#: Unacknowledged bytes older than this mean that the client is gone (Linux).
SILENCE_MILLISECONDS = 30_000
BACKLOG = 2048
#: Objects made before the youngest generation is looked at: facts are many and have no cycles.
GC_THRESHOLDS = (500_000, 10, 10)


logger = logging.getLogger("kuota.serve")

#: Called once requests are answered; False while the database is away or not migrated.
Ready: TypeAlias = Callable[[bool], None]


class ServeError(Exception):
    """Serving cannot begin; one line says why, and what to do."""


class Server(uvicorn.Server):
    """uvicorn without its signals: it raises them again after its end, and ours would not come."""

    def __init__(
        self,
        config: uvicorn.Config,
        started: Callable[[], None],
        drain: Callable[[], Awaitable[None]],
    ) -> None:
        """`drain` lets go of those who would stay, once nobody new can come."""
        super().__init__(config)
        self._started = started
        self._drain = drain
        self._hurried = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the loop's own handlers."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start up, then say so; the memory of what stays for ever is left out of collections."""
        try:
            await super().startup(sockets=sockets)
        except SystemExit as end:
            raise ServeError("the application did not start; its log stands above") from end
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        self._started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, let those who watch go, then close what is left."""
        logger.info("no more connections are taken; a second signal ends it at once")
        # Before anything else: who comes from now on reaches another process.
        for server in self.servers:
            server.close()
        for listening in sockets or ():
            listening.close()
        # Who is answered from now on asks elsewhere next, and is not cut off in the middle of it.
        self.server_state.default_headers = [
            *self.server_state.default_headers,
            (b"connection", b"close"),
        ]
        draining = asyncio.ensure_future(self._drain())
        hurried = asyncio.create_task(self._hurried.wait())
        await asyncio.wait({draining, hurried}, return_when=asyncio.FIRST_COMPLETED)
        for task in (draining, hurried):
            task.cancel()
        gone, _ = await asyncio.gather(draining, hurried, return_exceptions=True)
        if isinstance(gone, Exception):
            logger.error("watchers are cut off, not let go", exc_info=gone)
        await super().shutdown(sockets=sockets)
        if self.force_exit:
            # Nobody is waited for, but what is being committed is; uvicorn would drop that as well.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.lifespan.shutdown(), GRACE_SECONDS)

    def bid_farewell(self) -> None:
        """Take no more connections, finish what is in flight, end. Asked twice: do not finish."""
        if self.should_exit:
            self.force_exit = True
            self._hurried.set()
        self.should_exit = True


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. ServeError when it cannot be had."""
    try:
        family, _, _, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as fault:
        raise ServeError(
            f"--host {host} is no address of this machine ({fault.strerror})"
        ) from fault
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sys.platform == "linux":
        # Accepted connections inherit it: a client that stopped reading does not stay for ever.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_MILLISECONDS)
    try:
        listening.bind(place)
        listening.listen(BACKLOG)
    except OSError as fault:
        listening.close()
        raise ServeError(
            f"cannot listen on {host} port {port} ({fault.strerror});"
            " stop what listens there, or choose another with --port"
        ) from fault
    return listening


def address_of(listening: socket.socket) -> str:
    """The URL a client on this machine reaches the socket at."""
    host, port = listening.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "::1" if listening.family == socket.AF_INET6 else "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def check_clock(settings: Settings, listening: socket.socket) -> None:
    """A clock that is not the real one is for tests: refuse to show it to other machines."""
    host = listening.getsockname()[0]
    if settings.clock is not None and not ipaddress.ip_address(host).is_loopback:
        raise ServeError(
            "KUOTA_CLOCK is for tests on this machine; serve on --host 127.0.0.1, or unset it"
        )


def check_secrets(settings: Settings, listening: socket.socket) -> None:
    """What other machines reach is not served with secrets that everybody knows."""
    host = listening.getsockname()[0]
    public = urlsplit(settings.public_url or "").hostname or ""
    if is_near(host) and is_near(public):
        return
    where, instead = f"--host {host}", "serve on --host 127.0.0.1"
    if is_near(host):
        where, instead = f"KUOTA_PUBLIC_URL {settings.public_url}", "unset KUOTA_PUBLIC_URL"
    for name, secret in (
        ("KUOTA_SECRET", settings.secret), ("KUOTA_OPERATOR_KEY", settings.operator_key),
    ):  # fmt: skip
        why = weakness(secret) if secret is not None else None
        if secret is None and name == "KUOTA_SECRET":
            why = "is not set"
        if why is not None:
            raise ServeError(
                f"{where} is open to other machines, and {name} {why}:"
                f" export {name}=$(openssl rand -hex 32), or {instead}"
            )


def with_payments(settings: Settings, listening: socket.socket) -> Settings:
    """The settings with who collects: where nothing is said the sandbox, for this machine alone.

    To others it would give away what nobody has paid.
    """
    host = listening.getsockname()[0]
    public = urlsplit(settings.public_url or "").hostname or ""
    near = is_near(host) and is_near(public)
    if settings.payments == "sandbox" and not near:
        raise ServeError(
            "KUOTA_PAYMENTS is sandbox, which moves no money, and other machines reach this one:"
            " set midtrans, or none"
        )
    if settings.payments is not None:
        return settings
    return msgspec.structs.replace(settings, payments="sandbox" if near else "none")


def embedded(settings: Settings, data: Path) -> Servers | None:
    """The servers that no URL is set for, not started; None when both have one."""
    wants_postgres = settings.database_url is None
    wants_valkey = settings.redis_url is None
    if not (wants_postgres or wants_valkey):
        return None
    return Servers(data, owner=Owner.SERVE, postgres=wants_postgres, valkey=wants_valkey)


def completed(settings: Settings, addresses: Addresses) -> Settings:
    """The settings with the embedded servers' URLs where none was set."""
    if addresses.app_url is not None:
        settings = msgspec.structs.replace(
            settings, database_url=addresses.app_url, database_owner_url=addresses.owner_url
        )
    if addresses.redis_url is not None:
        settings = msgspec.structs.replace(settings, redis_url=addresses.redis_url)
    return settings


@contextlib.contextmanager
def housed(settings: Settings, data: Path) -> Iterator[tuple[Settings, Servers | None]]:
    """Run what no URL is set for, bring an embedded database up to date, and stop it all again."""
    servers = embedded(settings, data)
    if servers is None:
        yield settings, None
        return
    with servers:
        settings = completed(settings, servers.addresses)
        if servers.addresses.owner_url is not None:
            asyncio.run(migrate(servers.addresses.owner_url))
        try:
            yield settings, servers
        finally:
            # A second Ctrl-C or SIGTERM must not leave half of them running.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)


def serve(
    settings: Settings,
    clock: Clock,
    listening: socket.socket,
    ready: Ready,
    watch: Callable[[Callable[[], None]], None] | None = None,
    role: Role | None = None,
) -> None:
    """Serve on a listening socket until SIGINT or SIGTERM.

    `ready` is called once requests are answered, and `watch`, inside the loop, with what ends it.
    """
    import uvloop

    from api.app import create_app, drain
    from api.transport.connection import Connection
    from api.transport.wire import Wire

    try:
        app = create_app(settings, clock, role)
    except StoredError as fault:
        raise ServeError(str(fault)) from fault
    server = Server(
        uvicorn.Config(
            app,
            http=Connection,
            ws=Wire,
            ws_max_size=SOCKET_MESSAGE_BYTES_MAX,
            ws_per_message_deflate=False,
            ws_ping_interval=SOCKET_PING_SECONDS,
            ws_ping_timeout=SOCKET_PONG_SECONDS,
            lifespan="on",
            access_log=False,
            server_header=False,
            log_config=None,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        ),
        lambda: ready(app.state.core.ready),
        lambda: drain(app),
    )

    async def run() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, server.bid_farewell)
        if watch is not None:
            watch(server.bid_farewell)
        await server.serve(sockets=[listening])

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def start_logging(level: str) -> None:
    """Plain lines on stderr; uvicorn's own news are no more than we say ourselves."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    if level != "debug":
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
