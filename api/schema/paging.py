"""Pages of connections: opaque cursors of keysets, and how many rows a page has."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

import msgspec
import strawberry

from api.errors import Fault
from api.limits import PAGE_SIZE_MAX

#: A name of 100 characters is among what rows are sorted by, each escaped and then in base 64.
CURSOR_LENGTH_MAX = 2_048


@strawberry.type(description="Where a page of a connection ends.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether there is more behind this page.")
    end_cursor: str | None = strawberry.field(
        description="Pass it as `after` to get the next page; null for an empty page."
    )


def cursor(parts: list[Any]) -> str:
    """The opaque text of a position: the values a row is sorted by."""
    return base64.urlsafe_b64encode(msgspec.json.encode(parts)).rstrip(b"=").decode()


def position(text: str, *kinds: type) -> list[Any]:
    """The values of a cursor, one of each of `kinds`; BAD_USER_INPUT for any other text."""
    try:
        if len(text) > CURSOR_LENGTH_MAX:
            raise ValueError
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        parts = json.loads(base64.b64decode(padded, b"-_", validate=True))
        if not isinstance(parts, list) or [type(part) for part in parts] != list(kinds):
            raise ValueError
        # What Postgres could not take is no position of ours either.
        if any(isinstance(part, str) and "\0" in part for part in parts):
            raise ValueError
        if any(isinstance(part, int) and abs(part) >= 1 << 63 for part in parts):
            raise ValueError
    except (ValueError, binascii.Error, RecursionError):
        raise Fault(
            "BAD_USER_INPUT", "`after` is not a cursor: pass an `endCursor` as it came"
        ) from None
    return parts


def page_size(first: int) -> int:
    """`first` as a number of rows; BAD_USER_INPUT outside 1 to 100."""
    if not 1 <= first <= PAGE_SIZE_MAX:
        raise Fault("BAD_USER_INPUT", f"`first` is {first}: write 1 to {PAGE_SIZE_MAX}")
    return first
