"""Many rows in one statement, as cheaply as the driver allows.

Owns how columns travel. A parameter is one text a column, which the server turns into an array:
the driver spends 0.4 microseconds on every element of an array before it encodes it (it asks each
whether it is an array too), a join spends 0.06. COPY would be cheaper still and is refused under
row-level security.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from persistence.connection import Connection

Row = tuple[Any, ...]

#: Between texts, and for a text that is empty: no checked text has control characters, and
#: canonical JSON escapes them.
SEPARATOR, EMPTY = "\x1e", "\x1d"
TEXTS = frozenset({"text", "text?", "blank"})


class Columns:
    """Named and typed columns of rows to send: `"tenant_id bigint, id text, market text?"`.

    Types are bigint, integer, smallint, boolean, bytea, text (never empty), `blank` (a text that
    may be empty) and `text?` (empty is null). Arrays of integers travel as `bigint[]` or
    `integer[]`, each a literal such as `{1,2}`.
    """

    __slots__ = ("_types", "count", "names", "source")

    def __init__(self, written: str, *, first: int = 1) -> None:
        pairs = [column.split() for column in written.split(",")]
        self._types = [kind for _, kind in pairs]
        self.count = len(pairs)
        #: As after `insert into`.
        self.names = ", ".join(name for name, _ in pairs)
        arrays = ", ".join(_array(kind, n) for n, kind in enumerate(self._types, first))
        values = ", ".join(_value(name, kind) for name, kind in pairs)
        #: A query that gives the rows, with one parameter a column from `$first` on.
        self.source = f"select {values} from unnest({arrays}) r ({self.names})"

    def parameters(self, rows: Sequence[Row]) -> list[str]:
        """The rows as parameters, in the order of the columns."""
        columns = zip(*rows, strict=True) if rows else [()] * self.count
        return [_joined(kind, column) for kind, column in zip(self._types, columns, strict=True)]


def insert(table: str, columns: Columns, conflict: str = "", *, alias: str = "") -> str:
    """The statement that inserts `columns`' rows."""
    return f"insert into {table} {alias} ({columns.names}) {columns.source} {conflict}".strip()


class Table:
    """A table that is written: how its rows travel, and what a conflict does."""

    def __init__(self, name: str, written: str, conflict: str = "", *, alias: str = "") -> None:
        self.name = name
        self.written = written
        self.conflict = conflict
        self.alias = alias


class Write:
    """One statement that writes many rows of some tables; a table without rows costs little."""

    def __init__(self, *tables: Table, last: str = "", last_columns: str = "") -> None:
        self._columns: list[Columns] = []
        parts: list[str] = []
        first = 1
        for table in tables:
            columns = Columns(table.written, first=first)
            first += columns.count
            self._columns.append(columns)
            parts.append(insert(table.name, columns, table.conflict, alias=table.alias))
        if last:
            self._columns.append(Columns(last_columns, first=first))
            parts.append(last.format(rows=self._columns[-1].source))
        *before, final = parts
        with_ = ", ".join(f"w{n} as ({part})" for n, part in enumerate(before))
        self.statement = f"with {with_} {final}" if with_ else final

    async def __call__(self, connection: Connection, *rows: Sequence[Row]) -> None:
        if any(rows):
            parameters = [
                parameter
                for columns, own in zip(self._columns, rows, strict=True)
                for parameter in columns.parameters(own)
            ]
            await connection.execute(self.statement, *parameters)


def literal(values: Iterable[int]) -> str:
    """An array of integers as one value of a row."""
    return "{" + ",".join(map(str, values)) + "}"


def _array(kind: str, n: int) -> str:
    if kind in TEXTS or kind.endswith("[]"):
        return f"string_to_array(${n}::text, E'\\x1e', E'\\x1d')"
    return f"${n}::text::{kind}[]"


def _value(name: str, kind: str) -> str:
    if kind == "blank":
        # Not for columns that are looked up: the planner takes coalesce for a leak and, under
        # row-level security, keeps it out of the index.
        return f"coalesce({name}, '') as {name}"
    return f"{name}::{kind} as {name}" if kind.endswith("[]") else name


def _joined(kind: str, column: tuple[Any, ...]) -> str:
    if kind in TEXTS:
        return SEPARATOR.join([value or EMPTY for value in column])
    if kind.endswith("[]"):
        return SEPARATOR.join(column)
    if kind == "bytea":
        return "{" + ",".join([f'"\\\\x{value.hex()}"' for value in column]) + "}"
    if None in column:
        return "{" + ",".join(["NULL" if v is None else str(v) for v in column]) + "}"
    return "{" + ",".join(map(str, column)) + "}"
