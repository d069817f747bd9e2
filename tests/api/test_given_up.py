"""Fields that are given up before they began, because one beside them failed.

Python would say that nobody awaited them: on stderr of a served process, and in whatever test runs
when they are cleared away, where every warning is an error.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import strawberry

from api.transport.executor import Executor, be_quiet


@strawberry.type
class Below:
    @strawberry.field
    async def one(self) -> int:
        return 1

    @strawberry.field
    async def another(self) -> int:
        return 2


@strawberry.type
class Query:
    @strawberry.field
    async def below(self, steps: int) -> list[Below]:
        for _ in range(steps):
            await asyncio.sleep(0)
        return [Below(), Below()]

    @strawberry.field
    async def failing(self) -> int:
        await asyncio.sleep(0)
        raise ValueError("nobody expects it")


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What Python could only print, in a process that hears of everything but those."""
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        be_quiet()
        yield told


@pytest.mark.parametrize("steps", range(6))
async def test_python_has_nothing_to_say_of_them(steps: int, unraisable: list[Any]) -> None:
    """Whenever the failure comes: before they were made, before they began, and after."""
    schema = strawberry.Schema(Query, execution_context_class=Executor)
    query = f"{{ below(steps: {steps}) {{ one another }} failing }}"
    result = await schema.execute(query)
    assert [error.message for error in result.errors or ()] == ["nobody expects it"]
    del result
    gc.collect()
    assert unraisable == []
