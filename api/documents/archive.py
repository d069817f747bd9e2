"""A zip file in pieces: what stands before each file in it, and the list of them at its end.

Owns the format (APPNOTE 6.3.10), nothing packed: documents are, and pieces can be put together in
any process. The same files give the same bytes. Where pieces are kept is their maker's.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import date
from typing import Final

#: Sizes and places from here on stand in fields of 64 bits.
_LARGE: Final = 0xFFFFFFFF
_MANY: Final = 0xFFFF
_PLAIN, _LONG = 20, 45  #: versions that a reader needs
_UTF_8: Final = 0x0800
_MADE_BY: Final = 3 << 8 | _LONG  # Unix, for the rights below
_RIGHTS: Final = 0o100644 << 16

_LOCAL: Final = struct.Struct("<4s5H3I2H")
_CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
_END_LONG: Final = struct.Struct("<4sQ2H2I4Q")
_WHERE_LONG: Final = struct.Struct("<4sIQI")
_END: Final = struct.Struct("<4s4H2IH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file in the archive."""

    name: str
    size: int
    checksum: int  #: CRC-32
    offset: int  #: of what stands before it
    day: date  #: from 1980 on


def before(entry: Entry) -> bytes:
    """What stands before the bytes of a file."""
    name = entry.name.encode()
    large = entry.size >= _LARGE
    extra = struct.pack("<2H2Q", 1, 16, entry.size, entry.size) if large else b""
    size = _LARGE if large else entry.size
    head = _LOCAL.pack(
        b"PK\3\4", _LONG if large else _PLAIN, _UTF_8, 0, 0, _day(entry.day), entry.checksum,
        size, size, len(name), len(extra),
    )  # fmt: skip
    return head + name + extra


def listed(entry: Entry) -> bytes:
    """How a file stands in the list."""
    name = entry.name.encode()
    sizes = [entry.size, entry.size] if entry.size >= _LARGE else []
    places = [entry.offset] if entry.offset >= _LARGE else []
    extra = b""
    if wide := [*sizes, *places]:
        extra = struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide)
    size = _LARGE if sizes else entry.size
    head = _CENTRAL.pack(
        b"PK\1\2", _MADE_BY, _LONG if wide else _PLAIN, _UTF_8, 0, 0, _day(entry.day),
        entry.checksum, size, size, len(name), len(extra), 0, 0, 0, _RIGHTS,
        _LARGE if places else entry.offset,
    )  # fmt: skip
    return head + name + extra


def end(entries: int, size: int, offset: int) -> bytes:
    """What stands behind a list of so many files, so many bytes long and that far in."""
    told = b""
    if entries >= _MANY or size >= _LARGE or offset >= _LARGE:
        told = _END_LONG.pack(
            b"PK\6\6", 44, _MADE_BY, _LONG, 0, 0, entries, entries, size, offset
        ) + _WHERE_LONG.pack(b"PK\6\7", 0, offset + size, 1)
    many = min(entries, _MANY)
    return told + _END.pack(b"PK\5\6", 0, 0, many, many, min(size, _LARGE), min(offset, _LARGE), 0)


def _day(day: date) -> int:
    return (day.year - 1980) << 9 | day.month << 5 | day.day
