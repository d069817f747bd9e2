"""`log export` and `log import`: a tenant's whole log as a file, to move it or to restore it.

Owns the words and the files; the lines are `exporting`'s and `importing`'s.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from api.cli.database import at_hand
from api.cli.files import STDOUT, written_to
from api.cli.operating import operate_on
from api.cli.options import AsJson, Data
from api.cli.progress import progress
from api.cli.terminal import Failure, note, result, settings
from api.exporting import export
from api.importing import Imported, Importing, ImportRefusedError
from api.log_file import Figure, LogFile, LogFileError, Writer
from api.settings import Clock
from api.settling import BusyError
from api.submissions import Unavailable
from domain.money import text as amount_text
from persistence.catalogue import Catalogue
from persistence.door import Door

#: Connections of one import: its lane has another, and settling has.
CONNECTIONS = 2


def export_(
    tenant: Annotated[str, Parameter(help="Its key.")],
    file: Annotated[
        str,
        Parameter(
            help="Gzipped if its name ends in .gz; - for standard output.",
            allow_leading_hyphen=True,
        ),
    ] = STDOUT,
    /,
    *,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Write a tenant's whole log: its terms, its facts and what was done, in order of arrival."""
    given = settings()
    clock = Clock.starting(given.clock)
    started = time.monotonic()

    async def act(door: Door) -> dict[str, int]:
        async with door.system_tx("the catalogue is of no tenant") as connection:
            catalogue = await Catalogue.load(connection)
        with written_to(file) as written, progress("export", None) as show:
            return await export(
                door, catalogue, tenant, Writer(written), clock.now, lambda lines: show(0, lines)
            )

    with at_hand(given, data) as addresses:
        try:
            counts = operate_on(addresses.app_url, act, size=CONNECTIONS)
        except BusyError:
            raise Failure(f"{tenant} is being settled just now; try again in a moment") from None
    text = f"log of {tenant}: {_counted(counts['facts'], counts['actions'])}"
    text += f" in {time.monotonic() - started:.1f} s"
    if file == STDOUT:
        note(text)
    else:
        result(f"{text}, {file}", {"tenant": tenant, "file": file, **counts}, as_json=as_json)


def import_(
    file: Annotated[Path, Parameter(help="What log export wrote.")],
    /,
    *,
    data: Data = None,
    as_json: AsJson = False,
) -> int:
    """Take in an exported log on a database that does not have its tenant; can be run again."""
    given = settings()
    now = Clock.starting(given.clock).now()
    started = time.monotonic()
    try:
        log = LogFile.checked(file)
    except LogFileError as fault:
        raise Failure(str(fault)) from fault

    with at_hand(given, data) as addresses:
        owner_url = addresses.owner_url

        async def act(door: Door) -> Imported:
            with progress("import", log.footer.lines) as show:
                importing = Importing(
                    door, owner_url, log, now, lambda lines: show(lines, lines)
                )  # fmt: skip
                return await importing.run()

        try:
            imported = operate_on(addresses.app_url, act, size=CONNECTIONS)
        except ImportRefusedError as fault:
            raise Failure(str(fault)) from fault
        except (BusyError, Unavailable) as fault:
            why = str(fault) or "another process settles the tenant"
            raise Failure(f"{why}; what came in stays: run it again") from fault
    for line in _told(log, imported, time.monotonic() - started):
        note(line) if as_json else print(line, flush=True)
    if as_json:
        result("", _shown(imported), as_json=True)
    return 1 if imported.differences else 0


def _told(log: LogFile, imported: Imported, seconds: float) -> Iterator[str]:
    """What became of an import, for people."""
    if imported.finished_before:
        yield f"{imported.tenant}: this log was imported before; nothing was done"
        return
    again = f", {imported.passed_over:,} were there already" if imported.passed_over else ""
    counted = _counted(imported.facts, imported.actions)
    yield f"{imported.tenant}: {counted} in {seconds:.1f} s{again}"
    if not imported.compared:
        yield "its figures were not compared: late facts came in while it was exported"
    elif not imported.differences:
        yield f"all {len(log.footer.figures)} figures are those of the export"
    for name, (there, here) in imported.differences.items():
        yield f"differs  {name}: exported {_figure(there)}, here {_figure(here)}"
    yield "keys of the API are in no log: make new ones with python -m api key create"


def _counted(facts: int, actions: int) -> str:
    return (
        f"{facts:,} fact{'' if facts == 1 else 's'},"
        f" {actions:,} action{'' if actions == 1 else 's'}"
    )


def _figure(figure: Figure | None) -> str:
    if figure is None:
        return "nothing"
    return f"{figure.rows:,} rows, {amount_text(figure.amount)} ({figure.digest & 0xFFFFFFFF:08x})"


def _shown(imported: Imported) -> dict[str, object]:
    return {
        "tenant": imported.tenant,
        "facts": imported.facts,
        "actions": imported.actions,
        "passedOver": imported.passed_over,
        "finishedBefore": imported.finished_before,
        "differences": list(imported.differences),
    }
