"""Computed fields of the schema: a resolver with its description, which nobody may leave out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import strawberry

from api.audience import Feed

F = TypeVar("F", bound=Callable[..., Any])


def computed(description: str, *, name: str | None = None) -> Callable[[F], F]:
    """Make a method a field; to the type checker it stays the method it is."""
    return cast(Callable[[F], F], strawberry.field(description=description, name=name))


def subscription(description: str, feed: Feed) -> Callable[[F], F]:
    """Make a method that gives events a subscription, whose stream many may share."""
    metadata = {Feed.__name__: feed}
    return cast(
        Callable[[F], F], strawberry.subscription(description=description, metadata=metadata)
    )


def mutation(description: str) -> Callable[[F], F]:
    """Make a method a mutation."""
    return cast(Callable[[F], F], strawberry.mutation(description=description))
