"""Doing one of the operations from the command line, as an operator of this machine.

Who can reach the database needs no key. Owns no rule: refusals are the operation's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from api.cli.database import at_hand
from api.cli.terminal import Failure
from api.rights import ALL_SCOPES, Principal
from api.settings import Settings
from domain.problems import Problem
from persistence.audit import COMMAND, acting_as
from persistence.door import Door

OPERATOR = Principal("operator", None, None, ALL_SCOPES, None)

T = TypeVar("T")


def operate(settings: Settings, data: Path | None, act: Callable[[Door], Awaitable[T]]) -> T:
    """What `act` gives, on the database at hand; a refusal becomes a `Failure`."""
    with at_hand(settings, data) as addresses:
        return operate_on(addresses.app_url, act)


def operate_on(url: str | None, act: Callable[[Door], Awaitable[T]], *, size: int = 1) -> T:
    """As `operate`, on a database that is at hand already; `size` connections at most."""
    assert url is not None

    async def run() -> T:
        async with Door.open(url, size=size) as door:
            with acting_as(COMMAND):
                return await act(door)

    try:
        return asyncio.run(run())
    except Problem as problem:
        where = f"{problem.field}: " if problem.field else ""
        raise Failure(where + problem.message) from problem
