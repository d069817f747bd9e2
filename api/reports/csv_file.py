"""A report as CSV: RFC 4180 with plain line feeds, in UTF-8, with a byte order mark.

Owns the file's beginning; its rows are written by the database, and come as they are. Without the
mark spreadsheets take the text for another encoding and show what people wrote wrongly, which
nobody notices; programs read it as `utf-8-sig`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from api.reports.kinds import Column
from api.reports.tables import check_bytes, whole
from persistence.connection import Connection
from persistence.reports import Asked, copied

MARK: Final = "\ufeff"

#: Bytes that are written at a time, by another thread: a disk may be slow, and others are served.
PIECE_BYTES: Final = 256 * 1024


async def write(
    connection: Connection,
    asked: Asked,
    columns: Sequence[Column],
    path: Path,
    told: Callable[[int], None],
) -> int:
    """Make the file; how many rows it has. `told` is given how many there are by now."""
    lines, size = 0, 0
    head = f"{MARK}{','.join(column.name for column in columns)}\n"
    waiting = bytearray(head.encode())
    with path.open("wb") as file:

        async def flush() -> None:
            # Whoever is told to end waits for it: the file is not closed while it is written to.
            nonlocal size
            size += len(waiting)
            check_bytes(size)
            await whole(asyncio.to_thread(file.write, bytes(waiting)))
            waiting.clear()

        async def take(rows: bytes) -> None:
            nonlocal lines
            waiting.extend(rows)
            lines += rows.count(b"\n")  # a cell may have more: this is for who waits
            told(lines)
            if len(waiting) >= PIECE_BYTES:
                await flush()

        found = await copied(connection, asked, take)
        await flush()
    return found
