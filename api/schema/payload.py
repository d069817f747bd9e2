"""What every mutation answers: its result, or why there is none."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import strawberry

from domain.problems import Problem

T = TypeVar("T")


@strawberry.type(description="Why a mutation did nothing, in words its caller can act on.")
class UserError:
    field: str | None = strawberry.field(
        description="The field of `input` it speaks of; null: all of it."
    )
    message: str = strawberry.field(description="What is wrong, and what would be right.")
    code: str = strawberry.field(description="A name for it that does not change.")


@strawberry.interface(description="The answer of a mutation.")
class Payload:
    user_errors: list[UserError] = strawberry.field(
        description="Why nothing was done; empty where it was."
    )


async def attempt(operation: Awaitable[T]) -> tuple[T | None, list[UserError]]:
    """The result of an operation, or the refusal it raised."""
    try:
        return await operation, []
    except Problem as problem:
        return None, [UserError(field=problem.field, message=problem.message, code=problem.code)]
