"""The demo's panel: every figure read back from the API, once a second, as a table or as lines.

Owns the query and how its answer looks. Knows nothing of what was sent.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TypeAlias

import httpx2

from api.cli.businesses import CAFE
from api.cli.terminal import Failure, result

if TYPE_CHECKING:
    from rich.table import Table

#: What the API answered.
Figures: TypeAlias = dict[str, Any]

READ_SECONDS = 1.0
#: Between two blocks of lines where there is no terminal that could draw over the last one.
BLOCK_SECONDS = 5.0
#: How long the API may be silent (its database restarts) before the panel gives up.
PATIENCE_SECONDS = 20.0
WIDTH = 110
#: What of the news stands under the table.
NEWS_MAX = 6
#: How many of the latest invoices are read, and how many of those people are shown.
INVOICES_MAX, INVOICES_SHOWN = 20, 6
QUERY = """
{ tenants(first: 10) { nodes {
    key
    live { openConversations openWindows visitors asOf }
    balances {
      key unit granted { value } toppedUp { value } used { value } remaining { value } } } }
  invoiced: tenant(key: "%s") { key invoices(first: %d) { nodes {
    number issuedOn month status
    total { value formatted } balance { value formatted } } } } }
"""


async def follow(
    client: httpx2.AsyncClient, seconds: float | None, news: Sequence[str], *, as_json: bool
) -> None:
    """Show the figures of all tenants for so many seconds, or for ever.

    Under a table that is drawn stands the latest of what else happened.
    """
    ends = None if seconds is None else time.monotonic() + seconds
    if as_json:
        await _each(
            client, ends, READ_SECONDS, lambda figures: result("", told(figures), as_json=True)
        )
    elif sys.stdout.isatty():
        await _draw(client, ends, news)
    else:
        await _each(client, ends, BLOCK_SECONDS, lambda figures: print(text(figures), flush=True))


async def read(client: httpx2.AsyncClient) -> Figures:
    """The tenants with their balances, and invoices, as the API tells them at this moment."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            response = await client.post(
                "/graphql", json={"query": QUERY % (CAFE.key, INVOICES_MAX)}
            )
            answer = response.json()
            if response.status_code == 200 and "errors" not in answer:
                figures: Figures = answer["data"]
                return figures
            why = response.text
        except (httpx2.TransportError, ValueError) as fault:
            why = repr(fault)
        if time.monotonic() > deadline:
            raise Failure(f"the figures cannot be read back: {why}")
        await asyncio.sleep(READ_SECONDS)


def told(figures: Figures) -> dict[str, object]:
    """The figures for programs."""
    return {
        "event": "figures",
        "tenants": [
            {
                "key": node["key"],
                "live": node["live"],
                "balances": [
                    {
                        "key": balance["key"],
                        "unit": balance["unit"],
                        "granted": balance["granted"]["value"],
                        "toppedUp": balance["toppedUp"]["value"],
                        "used": balance["used"]["value"],
                        "remaining": balance["remaining"]["value"],
                    }
                    for balance in node["balances"]
                ],
            }
            for node in figures["tenants"]["nodes"]
        ],
        "invoices": [
            {
                **{name: invoice[name] for name in ("number", "issuedOn", "month", "status")},
                "total": invoice["total"]["value"],
                "balance": invoice["balance"]["value"],
            }
            for invoice in figures["invoiced"]["invoices"]["nodes"]
        ],
    }


def table(figures: Figures) -> Table:
    """The figures for people: a tenant's own on the left, its balances on the right."""
    from rich.table import Table

    drawn = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    drawn.add_column("tenant", min_width=22, no_wrap=True)
    drawn.add_column("balance", no_wrap=True)
    drawn.add_column("unit", no_wrap=True)
    for name in ("granted + topped up", "used", "remaining"):
        drawn.add_column(name, justify="right", no_wrap=True)
    for node in figures["tenants"]["nodes"]:
        live = node["live"]
        own = [
            node["key"],
            f"  {live['openConversations']:,} open conversations",
            f"  {live['openWindows']:,} open windows",
            f"  {live['visitors']:,} visitors",
        ]
        for left, balance in zip_longest(own, node["balances"]):
            drawn.add_row(left or "", *([] if balance is None else _row(balance)))
        drawn.add_row()
    return drawn


def invoices(figures: Figures) -> Table:
    """The latest invoices for people."""
    from rich.table import Table

    drawn = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    drawn.add_column("invoices", min_width=22, no_wrap=True)
    for name in ("number", "date", "of", "status"):
        drawn.add_column(name, no_wrap=True)
    for name in ("total", "balance"):
        drawn.add_column(name, justify="right", no_wrap=True)
    of = figures["invoiced"]
    for place, each in enumerate(of["invoices"]["nodes"][:INVOICES_SHOWN]):
        drawn.add_row(
            "" if place else of["key"], each["number"], each["issuedOn"], each["month"] or "start",
            each["status"], each["total"]["formatted"], each["balance"]["formatted"],
        )  # fmt: skip
    return drawn


def text(figures: Figures) -> str:
    """The tables as a block of lines."""
    from rich.console import Console, Group

    console = Console(width=WIDTH, no_color=True, highlight=False)
    with console.capture() as capture:
        console.print(Group(table(figures), invoices(figures)))
    return "\n".join(line.rstrip() for line in capture.get().rstrip().splitlines()) + "\n"


def _row(balance: dict[str, Any]) -> list[str]:
    came = Decimal(balance["granted"]["value"]) + Decimal(balance["toppedUp"]["value"])
    figures = came, Decimal(balance["used"]["value"]), Decimal(balance["remaining"]["value"])
    return [balance["key"], balance["unit"], *(f"{figure:,f}" for figure in figures)]


async def _each(
    client: httpx2.AsyncClient,
    ends: float | None,
    pause_seconds: float,
    show: Callable[[Figures], None],
) -> None:
    """Read and show, again and again; the last time at the end."""
    while True:
        show(await read(client))
        left = pause_seconds if ends is None else ends - time.monotonic()
        if left <= 0:
            return
        await asyncio.sleep(min(left, pause_seconds))


async def _draw(client: httpx2.AsyncClient, ends: float | None, news: Sequence[str]) -> None:
    """Draw the table over itself."""
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    def draw(figures: Figures) -> None:
        told = (Text(line) for line in news[-NEWS_MAX:])
        drawing.update(Group(table(figures), invoices(figures), *told), refresh=True)

    with Live(auto_refresh=False) as drawing:
        await _each(client, ends, READ_SECONDS, draw)
