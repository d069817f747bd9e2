"""A report as CSV: RFC 4180 with plain line feeds, in UTF-8, with a byte order mark.

Owns the file's beginning; its rows are written by the database, and come as they are. Without the
mark spreadsheets take the text for another encoding and show what people wrote wrongly, which
nobody notices; programs read it as `utf-8-sig`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from api.reports.kinds import Column
from persistence.connection import Connection
from persistence.reports import Asked, copied

MARK: Final = "\ufeff"


async def write(
    connection: Connection,
    asked: Asked,
    columns: Sequence[Column],
    path: Path,
    told: Callable[[int], None],
) -> int:
    """Make the file; how many rows it has. `told` is given how many there are by now."""
    lines = 0
    with path.open("wb") as file:
        file.write(f"{MARK}{','.join(column.name for column in columns)}\n".encode())

        async def take(rows: bytes) -> None:
            nonlocal lines
            file.write(rows)
            lines += rows.count(b"\n")  # a cell may have more: this is for who waits
            told(lines)

        return await copied(connection, asked, take)
