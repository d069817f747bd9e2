"""The served process a command talks to: where it listens, and with which credential.

Owns that choice, not the talking.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from cyclopts import Parameter

from api.cli.options import Data
from api.cli.terminal import Failure
from api.settings import Settings, data_folder
from persistence.servers import running

DEFAULT_URL = "http://127.0.0.1:8000"

Url: TypeAlias = Annotated[str | None, Parameter(help="The served process.")]
Key: TypeAlias = Annotated[
    str | None, Parameter(help="The credential; default: KUOTA_OPERATOR_KEY.")
]


def address(given: Settings, url: str | None, data: Data) -> str:
    """`url`, else where the serve of the data folder listens, else the default."""
    if url is not None:
        return url
    holder = running(data if data is not None else data_folder(given))
    if holder is not None and holder.address is not None:
        return holder.address
    if data is not None:
        raise Failure(f"nothing serves from {data}; start python -m api serve --data {data}")
    return DEFAULT_URL


def credential(given: Settings, key: str | None) -> str:
    """`key`, else the operator's of the environment; Failure without either."""
    found = key or given.operator_key
    if found is None:
        raise Failure("no credential: give --key, or set KUOTA_OPERATOR_KEY")
    return found
