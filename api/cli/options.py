"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

from cyclopts import Parameter

AsJson: TypeAlias = Annotated[
    bool, Parameter(name="--json", negative=(), help="Print the result as JSON.")
]
Data: TypeAlias = Annotated[
    Path | None,
    Parameter(help="Folder of the embedded servers, for when no KUOTA_DATABASE_URL is set."),
]
