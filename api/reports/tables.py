"""A table's rows as files take them, and what a maker of files is.

Owns that face, the values of typed columns, and how large a file may become; the bytes of a form
are its maker's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TypeAlias

from api.limits import REPORT_BYTES_MAX
from domain.periods import moment
from domain.problems import Problem

Row: TypeAlias = Sequence[Any]  #: text, dates, and whole numbers; None: there is nothing


class TableFile(Protocol):
    """A file that is being made, row by row; it takes the processor for as long as it takes."""

    def add(self, rows: Sequence[Row]) -> None:
        """Write rows behind the others."""

    def end(self) -> None:
        """Finish the file."""

    def drop(self) -> None:
        """Let go of it, whatever it has by now: it is not wanted any more."""


def instant(us: int) -> datetime:
    """An instant in UTC."""
    return moment(us).astimezone(UTC)


def check_bytes(size: int) -> None:
    """Raise a Problem for a report that takes more room on disk than one may."""
    if size > REPORT_BYTES_MAX:
        most = REPORT_BYTES_MAX >> 20
        message = f"the report has more than {most} MiB: narrow the range or the filter"
        raise Problem("TOO_LARGE", message, "report")


async def whole(work: Coroutine[Any, Any, Any]) -> None:
    """Wait for work that cannot be broken off."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
