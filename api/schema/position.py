"""Positions in the feed: where a watcher stands, to come back to.

Owns the spelling: opaque to clients; to us an epoch, a version, and of several alerts that one
version raised the one that was seen last.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import NewType

from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition, scalar

from persistence.following import Place

#: A position as it is written; checked when it comes in.
StreamPosition = NewType("StreamPosition", str)

LENGTH_MAX = 200
PLACE = re.compile(r"(?P<epoch>.+):(?P<version>[0-9]{1,19})(\.(?P<line>[0-9]{1,9}))?", re.ASCII)


def position_of(epoch: str, version: int, line: int | None = None) -> StreamPosition:
    """The position behind version `version` of a tenant in a database's epoch, or a line of it."""
    place = f"{epoch}:{version}" if line is None else f"{epoch}:{version}.{line}"
    return StreamPosition(base64.urlsafe_b64encode(place.encode()).decode().rstrip("="))


def place_of(position: str) -> Place | None:
    """Where a position is; None for what is none."""
    if not 0 < len(position) <= LENGTH_MAX:
        return None
    try:
        word = base64.urlsafe_b64decode(position + "=" * (-len(position) % 4)).decode()
    except (binascii.Error, ValueError):
        return None
    found = PLACE.fullmatch(word)
    if found is None:
        return None
    line = found["line"]
    return Place(found["epoch"], int(found["version"]), None if line is None else int(line))


def parse_position(value: object) -> StreamPosition:
    """A position that was given out before; anything else is a GraphQLError."""
    if isinstance(value, str) and place_of(value) is not None:
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
