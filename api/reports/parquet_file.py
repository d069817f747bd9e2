"""A report as Parquet: exact decimals, dates and instants, for programs that reckon with them.

Owns the types. What it needs is an extra of the installation: without it nobody is promised this
form. Text is as it was sent: what reads these files runs no cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from api.reports.kinds import Column
from api.reports.tables import Row, instant
from domain.money import MICRO_DIGITS
from persistence.reports import Shape

#: What to say where it is missing.
MISSING: Final = (
    "this installation writes no Parquet: its operator installs the extra with "
    "`pip install 'kuota[parquet]'`; ask for CSV or XLSX"
)
#: Digits of a decimal: all that a bigint of millionths holds.
PRECISION: Final = 19
#: Rows of one group, which is what stays in memory.
GROUP: Final = 20_000


def is_there() -> bool:
    """Whether this installation writes Parquet."""
    return find_spec("pyarrow") is not None


class ParquetFile:
    """A file that is being made."""

    def __init__(self, path: Path, columns: Sequence[Column], title: str, made_at: int) -> None:
        import pyarrow as arrow  # type: ignore[import-untyped]
        from pyarrow import parquet

        self._arrow: Any = arrow
        types = {
            Shape.TEXT: arrow.string(),
            Shape.DATE: arrow.date32(),
            Shape.INSTANT: arrow.timestamp("us", tz="UTC"),
            Shape.INTEGER: arrow.int64(),
            Shape.DECIMAL: arrow.decimal128(PRECISION, MICRO_DIGITS),
        }
        self._columns = columns
        self._schema = arrow.schema(
            [
                arrow.field(
                    column.name, types[column.shape],
                    metadata={"description": column.description, "unit": column.unit},
                )
                for column in columns
            ],
            metadata={"title": title, "made_at": instant(made_at).isoformat()},
        )  # fmt: skip
        self._file = parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._waiting: list[Row] = []

    def add(self, rows: Sequence[Row]) -> None:
        """Write rows behind the others."""
        self._waiting += rows
        if len(self._waiting) >= GROUP:
            self._flush()

    def _flush(self) -> None:
        arrow = self._arrow
        columns = zip(*self._waiting, strict=True) if self._waiting else [()] * len(self._columns)
        arrays = [
            arrow.array([_value(each, column.shape) for each in values], field.type)
            for values, column, field in zip(columns, self._columns, self._schema, strict=True)
        ]
        self._file.write_table(arrow.Table.from_arrays(arrays, schema=self._schema))
        self._waiting = []

    def end(self) -> None:
        """Finish the file."""
        if self._waiting:
            self._flush()
        self._file.close()

    def drop(self) -> None:
        """Let go of it."""
        self._file.close()


def _value(value: Any, shape: Shape) -> Any:
    """A value as the column's type takes it."""
    if value is None:
        return None
    if shape is Shape.DECIMAL:
        return Decimal(value).scaleb(-MICRO_DIGITS)
    return instant(value) if shape is Shape.INSTANT else value
