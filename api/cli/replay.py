"""`replay`: sends a file of facts and says what became of them.

Owns what people and programs are shown; `sender` sends, `lines` reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Annotated, Any

import httpx2
from cyclopts import Parameter, validators

from api.cli.lines import Lines
from api.cli.options import AsJson, Data
from api.cli.progress import progress
from api.cli.sender import TIMEOUT_SECONDS, Sender, Tally
from api.cli.target import Key, Url, address, credential
from api.cli.terminal import Failure, complain, note, result, settings
from api.log_file import is_header

PAGE = 100
#: Tenants of the summary for people; programs get all.
TENANTS_SHOWN = 100
BALANCES = """
query Balances($first: Int!, $after: String) {
  tenants(first: $first, after: $after) {
    nodes { key balances { key used { value } remaining { value } } }
    pageInfo { hasNextPage endCursor }
  }
}
"""


def replay(
    file: Annotated[
        str,
        Parameter(
            help="CloudEvents, one JSON object a line; plain, gzipped or -.",
            allow_leading_hyphen=True,
        ),
    ],
    /,
    *,
    url: Url = None,
    key: Key = None,
    batch: Annotated[
        int, Parameter(help="Facts of one request.", validator=validators.Number(gte=1, lte=10_000))
    ] = 1_000,
    data: Data = None,
    as_json: AsJson = False,
) -> int:
    """Send facts from a file to a served process; can be run again.

    A tenant's facts keep the file's order with one batch in flight; many tenants go at once.
    """
    given = settings()
    secret = credential(given, key)
    base = address(given, url, data)
    with contextlib.closing(Lines(file)) as lines:
        if is_header(lines.first()):
            raise Failure(
                f"{file} is an exported log, with more in it than facts:"
                " take it in by python -m api log import"
            )
        return asyncio.run(_replay(lines, base, secret, batch, as_json=as_json))


async def _replay(lines: Lines, base: str, credential: str, batch: int, *, as_json: bool) -> int:
    headers = {
        b"authorization": b"Bearer " + credential.encode(),
    }
    failure: Failure | None = None
    async with httpx2.AsyncClient(
        base_url=base, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False
    ) as client:
        with progress("replay", lines.size) as show:
            sender = Sender(client, lines, batch, lambda: show(lines.position, sender.tally.facts))
            try:
                await sender.run()
            except Failure as fault:
                failure = fault
        tally = sender.tally
        balances = [] if failure else await _balances(client, tally.tenants)
    text = "" if as_json else _told(tally, balances)
    result(text, _shown(tally, balances, failure), as_json=as_json)
    if failure is not None:
        complain(failure)
        return 1
    return 0


async def _balances(client: httpx2.AsyncClient, wanted: set[str]) -> list[dict[str, Any]]:
    """The balances of the tenants the facts were of, as the API now tells them."""
    found: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        try:
            response = await client.post(
                "/graphql",
                json={"query": BALANCES, "variables": {"first": PAGE, "after": after}},
            )
            page = response.json()["data"]["tenants"]
        except (httpx2.HTTPError, ValueError, KeyError, TypeError):
            note("the balances could not be read back; this needs a key with billing:read")
            return found
        found += [node for node in page["nodes"] if node["key"] in wanted or not wanted]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return sorted(found, key=lambda node: str(node["key"]))


def _shown(
    tally: Tally, balances: list[dict[str, Any]], failure: Failure | None
) -> dict[str, object]:
    """The summary for programs."""
    return {
        "complete": failure is None,
        "facts": tally.facts,
        "statuses": dict(sorted(tally.statuses.items())),
        "reasons": dict(sorted(tally.reasons.items())),
        "retries": tally.retries,
        "seconds": round(tally.seconds, 3),
        "factsPerSecond": round(tally.facts_per_second, 1),
        "tenants": [
            {
                "key": node["key"],
                "balances": [
                    {
                        "key": balance["key"],
                        "used": balance["used"]["value"],
                        "remaining": balance["remaining"]["value"],
                    }
                    for balance in node["balances"] or []
                ],
            }
            for node in balances
        ],
    }


def _told(tally: Tally, balances: list[dict[str, Any]]) -> str:
    """The summary for people."""
    from rich.console import Console
    from rich.table import Table

    counts = ", ".join(f"{status} {count:,}" for status, count in sorted(tally.statuses.items()))
    lines = [
        f"{tally.facts:,} facts in {tally.seconds:.1f} s,"
        f" {tally.facts_per_second:,.0f} a second: {counts or 'nothing to send'}"
    ]
    for reason, count in tally.reasons.most_common():
        lines.append(f"  {reason} {count:,}, such as {tally.examples[reason]}")
    if not balances:
        return "\n".join(lines)
    table = Table("tenant", "balance", box=None)
    table.add_column("used", justify="right")
    table.add_column("remaining", justify="right")
    for node in balances[:TENANTS_SHOWN]:
        for balance in node["balances"] or []:
            table.add_row(
                node["key"],
                balance["key"],
                balance["used"]["value"],
                balance["remaining"]["value"],
            )
    console = Console(width=None if sys.stdout.isatty() else 120, no_color=True)
    with console.capture() as capture:
        console.print(table)
    lines.append(capture.get().rstrip("\n"))
    if len(balances) > TENANTS_SHOWN:
        lines.append(f"... and {len(balances) - TENANTS_SHOWN:,} more tenants; --json has all")
    return "\n".join(lines)
