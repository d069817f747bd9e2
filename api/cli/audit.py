"""`audit export`: who changed what, as CSV or JSON lines.

Owns the words and the range; the lines are `auditing`'s. Whoever takes the audit away is in it.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated

from cyclopts import Parameter

from api.auditing import Format, chunks
from api.cli.files import STDOUT, written_to
from api.cli.operating import OPERATOR, operate
from api.cli.options import AsJson, Data
from api.cli.terminal import Failure, note, result, settings
from api.operations.audit_export_create import AuditExportCreate, export_of, tell
from api.settings import Clock, instant_of
from domain.periods import Interval, Zone, date_number
from persistence.door import Door

#: Before anything of ours.
EVER = 0


def export(
    file: Annotated[
        str,
        Parameter(
            help="Gzipped if its name ends in .gz; - for standard output.",
            allow_leading_hyphen=True,
        ),
    ] = STDOUT,
    /,
    *,
    tenant: Annotated[
        str | None, Parameter(help="Only this tenant's; default: everything there is.")
    ] = None,
    since: Annotated[
        str | None,
        Parameter(help="From a date of its zone on (without a tenant: UTC), or from an instant."),
    ] = None,
    until: Annotated[
        str | None, Parameter(help="Up to such a date, included, or up to an instant.")
    ] = None,
    format: Annotated[Format, Parameter(help="A table, or an object a line.")] = Format.CSV,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Write who changed what, oldest first."""
    given = settings()
    now = Clock.starting(given.clock).now()

    def span(zone: Zone) -> Interval:
        return (
            EVER if since is None else _edge("since", since, zone, 0),
            now + 1 if until is None else _edge("until", until, zone, 1),
        )

    async def act(door: Door) -> int:
        request = AuditExportCreate(tenant=tenant, span=span, format=format)
        wanted = await export_of(door, OPERATOR, request, now=now)
        await tell(door, wanted, now=now)
        size = 0
        with written_to(file) as written:
            async for chunk in chunks(door, wanted.tenant_id, wanted.since, wanted.until, format):
                size += written.write(chunk)
        return size

    size = operate(given, data, act)
    text = f"audit of {tenant or 'everybody'}: {size:,} bytes"
    if file == STDOUT:
        note(text)
    else:
        shown = {"tenant": tenant, "file": file, "bytes": size}
        result(f"{text}, {file}", shown, as_json=as_json)


def _edge(name: str, text: str, zone: Zone, side: int) -> int:
    """The instant an option means: itself, or the start (0) or the end (1) of a local date."""
    try:
        return zone.day_bounds(date_number(date.fromisoformat(text)))[side]
    except ValueError:
        try:
            return instant_of(text)
        except ValueError as fault:
            raise Failure(f"{name}: {fault}", code=2) from fault
