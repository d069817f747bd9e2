"""`watch`: follows a tenant's balances and live counters as they change.

Owns what people and programs are shown; `feed` keeps the connection.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, aclosing, contextmanager, nullcontext
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from cyclopts import Parameter, validators

from api.cli.feed import Asked, follow_all
from api.cli.options import AsJson, Data
from api.cli.target import Key, Url, address, credential
from api.cli.terminal import Failure, note, result, settings

if TYPE_CHECKING:
    from rich.console import RenderableType

BALANCES = """
subscription Balances($tenant: String!, $keys: [String!], $after: StreamPosition) {
  balanceChanged(tenant: $tenant, keys: $keys, after: $after) {
    position recovered cause
    balances {
      key name unit kind percentUsed version asOf
      used { value } remaining { value } held { value } available { value }
    }
  }
}
"""
USAGE = """
subscription Usage($tenant: String!, $after: StreamPosition) {
  usageChanged(tenant: $tenant, after: $after) {
    position recovered
    live { openConversations openWindows visitors availableUsers version asOf }
  }
}
"""
LIVE = {
    "openConversations": "open conversations",
    "openWindows": "open windows",
    "visitors": "visitors",
    "availableUsers": "available users",
}
REFRESHES_PER_SECOND = 5


def watch(
    tenant: Annotated[str, Parameter(help="The tenant's key, such as acme.")],
    /,
    *,
    url: Url = None,
    key: Key = None,
    balances: Annotated[
        str | None, Parameter(help="Only these, such as conversations,whatsapp; default: all.")
    ] = None,
    count: Annotated[
        int | None,
        Parameter(
            help="End after so many events; the states at the start are two.",
            validator=validators.Number(gte=1),
        ),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Follow a tenant's balances and live counters over the websocket, until Ctrl-C.

    A table on a terminal, else a line per change; a lost connection comes back by itself.
    """
    given = settings()
    secret = credential(given, key)
    base = address(given, url, data)
    keys = None if balances is None else [one.strip() for one in balances.split(",")]
    asked = [
        Asked(query=BALANCES, variables={"tenant": tenant, "keys": keys, "after": None}),
        Asked(query=USAGE, variables={"tenant": tenant, "after": None}),
    ]
    with _viewing(tenant, as_json=as_json) as view:
        asyncio.run(_watch(base, secret, asked, view, count))


async def _watch(base: str, secret: str, asked: list[Asked], view: View, count: int | None) -> None:
    telling = _Telling(base, view)
    shown = 0
    async with aclosing(follow_all(base, secret, asked, told=telling)) as events:
        async for data in events:
            view.event(data)
            shown += 1
            if shown == count:
                return
    raise Failure("the server ended the subscriptions")


class _Telling:
    """Says once on stderr that the connection was lost, and once that it is back."""

    def __init__(self, base: str, view: View) -> None:
        self._base = base
        self._view = view
        self._lost = False

    def __call__(self, why: str | None) -> None:
        self._view.connection(why)
        if why is not None and not self._lost:
            note(f"{self._base}: {why}; reconnecting")
        elif why is None and self._lost:
            note(f"{self._base}: connected again")
        self._lost = why is not None


class View(Protocol):
    """What events are shown on."""

    def event(self, data: Mapping[str, Any]) -> None:
        """Show an event's data."""

    def connection(self, why: str | None) -> None:
        """Show that the connection is live (None), or why it is not."""


def _viewing(tenant: str, *, as_json: bool) -> AbstractContextManager[View]:
    if as_json:
        return nullcontext(_Json())
    if sys.stdout.isatty():
        return _on_terminal(tenant)
    return nullcontext(_Lines())


class _Json:
    """Each event as it came, on a line."""

    def event(self, data: Mapping[str, Any]) -> None:
        result("", data, as_json=True)

    def connection(self, why: str | None) -> None:
        """What programs read is events alone."""


class _Lines:
    """A line per change: the balances that moved since the last one, or the counters."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def connection(self, why: str | None) -> None:
        """That is said on stderr."""

    def event(self, data: Mapping[str, Any]) -> None:
        if (change := data.get("balanceChanged")) is not None:
            now = {balance["key"]: _figures(balance) for balance in change["balances"]}
            moved = [
                f"{key} {figures}" for key, figures in now.items() if self._last.get(key) != figures
            ]
            self._last |= now
            as_of = max((balance["asOf"] for balance in change["balances"]), default="-")
            print(as_of, change["cause"], "; ".join(moved) or "the same figures", flush=True)
        if (change := data.get("usageChanged")) is not None:
            print(change["live"]["asOf"], "LIVE", _counters(change["live"]), flush=True)


def _figures(balance: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{_grouped(balance[name]['value'])} {name}" for name in ("used", "remaining", "held")
    )


def _counters(live: Mapping[str, Any]) -> str:
    return ", ".join(f"{live[name]:,} {words}" for name, words in LIVE.items())


def _grouped(value: str) -> str:
    """A decimal with its thousands apart."""
    return f"{Decimal(value):,f}"


class _Table:
    """The last state of everything, for a terminal to draw whenever it likes."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._balances: list[Mapping[str, Any]] = []
        self._cause = ""
        self._live: Mapping[str, Any] | None = None
        self._state = "connecting"

    def connection(self, why: str | None) -> None:
        if why is None:
            self._state = "live"
        elif not self._state.startswith("reconnecting"):
            self._state = f"reconnecting since {datetime.now(UTC):%H:%M:%SZ} ({why})"

    def event(self, data: Mapping[str, Any]) -> None:
        if (change := data.get("balanceChanged")) is not None:
            self._balances, self._cause = change["balances"], change["cause"]
        if (change := data.get("usageChanged")) is not None:
            self._live = change["live"]

    def draw(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        heading = Text.assemble((self._tenant, "bold"), "  ", self._state)
        heading.stylize("green" if self._state == "live" else "yellow", len(self._tenant) + 2)
        table = Table("balance", "unit", box=None, padding=(0, 2, 0, 0))
        for column in ("used", "remaining", "held", "percent used"):
            table.add_column(column, justify="right", no_wrap=True)
        for balance in self._balances:
            table.add_row(
                balance["key"],
                balance["unit"],
                *(_grouped(balance[name]["value"]) for name in ("used", "remaining", "held")),
                _percent(balance["percentUsed"]),
            )
        as_of = [balance["asOf"] for balance in self._balances]
        counters = "" if self._live is None else _counters(self._live)
        if self._live is not None:
            as_of.append(self._live["asOf"])
        last = f"as of {max(as_of)}" if as_of else ""
        cause = f", by {self._cause.lower()}" if self._cause else ""
        return Group(heading, table, Text(counters), Text(last + cause, style="dim"))


def _percent(value: str | None) -> str:
    return "" if value is None else f"{Decimal(value):,.1f} %"


@contextmanager
def _on_terminal(tenant: str) -> Iterator[View]:
    """A table that is drawn a few times a second, however fast events come."""
    from rich.console import Console
    from rich.live import Live

    table = _Table(tenant)
    draw: Callable[[], RenderableType] = table.draw
    with Live(
        console=Console(),
        get_renderable=draw,
        refresh_per_second=REFRESHES_PER_SECOND,
        # A stderr that is no terminal is somebody's file: it keeps what is said there.
        redirect_stderr=sys.stderr.isatty(),
        vertical_overflow="crop",
    ):
        yield table
