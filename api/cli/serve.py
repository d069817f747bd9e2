"""`serve`: the command around a served process; what that does is `api.serve`'s."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, validators

from api import serve as process
from api.cli.options import AsJson, Data
from api.cli.terminal import Failure, note, result, settings
from api.settings import Clock, Settings, data_folder
from persistence.migrate import MigrationError
from persistence.servers import Servers, ServersError

Part = Literal["edge", "feed", "jobs"]
SCOPES = "events:write,usage:read,billing:read,billing:write,keys:write"


def serve(
    *,
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int,
        Parameter(
            help="Port to listen on; 0 takes a free one.", validator=validators.Number(gte=0, lte=65535)
        ),
    ] = 8000,
    workers: Annotated[
        int, Parameter(help="Processes that serve.", validator=validators.Number(gte=1, lte=64))
    ] = 1,
    only: Annotated[
        Part | None, Parameter(help="Serve only this part: edge, feed or jobs.")
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Serve the API; with embedded servers unless KUOTA_DATABASE_URL and KUOTA_REDIS_URL are set."""
