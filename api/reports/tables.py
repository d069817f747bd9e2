"""A table's rows as files take them, and what a maker of files is.

Owns that face and the values of typed columns; the bytes of a form are its maker's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TypeAlias

from domain.periods import moment

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
