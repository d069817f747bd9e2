"""Positions in the feed: where a watcher stands, to come back to.

Owns the spelling: opaque to clients, an epoch and a version to us.
"""

from __future__ import annotations

import base64
import binascii
from typing import NewType

from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition, scalar

#: A position as it is written; checked when it comes in.
StreamPosition = NewType("StreamPosition", str)

LENGTH_MAX = 200


def position_of(epoch: str, version: int) -> StreamPosition:
    """The position behind version `version` of a tenant in a database's epoch."""
    word = base64.urlsafe_b64encode(f"{epoch}:{version}".encode()).decode().rstrip("=")
    return StreamPosition(word)


def parse_position(value: object) -> StreamPosition:
    """A position that was given out before; anything else is a GraphQLError."""
    if isinstance(value, str) and 0 < len(value) <= LENGTH_MAX:
        try:
            word = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode()
        except (binascii.Error, ValueError):
            word = ""
        epoch, _, version = word.rpartition(":")
        if epoch and version.isascii() and version.isdigit():
            return StreamPosition(value)
    raise GraphQLError(
        "this is no StreamPosition: write the `position` of an event as it came, or leave it out"
    )


STREAM_POSITION: ScalarDefinition = scalar(
    name="StreamPosition",
    description="Where a watcher stands in the feed of a tenant. Opaque: send the last one you got "
    "as `after` when you come back.",
    serialize=str,
    parse_value=parse_position,
)
