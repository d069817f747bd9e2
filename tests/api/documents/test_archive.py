"""The zip file in pieces: as others read it, and the same bytes for the same files."""

from __future__ import annotations

import io
import zipfile
import zlib
from datetime import date
from typing import Any

import pytest

from api.documents import archive
from api.documents.archive import Entry


def zipped(**files: bytes) -> bytes:
    made, listed, offset = b"", b"", 0
    for name, body in files.items():
        entry = Entry(
            name=name, size=len(body), checksum=zlib.crc32(body), offset=offset,
            day=date(2026, 11, 30),
        )  # fmt: skip
        made += archive.before(entry) + body
        listed += archive.listed(entry)
        offset = len(made)
    return made + listed + archive.end(len(files), len(listed), offset)


def read(made: bytes) -> tuple[dict[str, bytes], list[zipfile.ZipInfo]]:
    with zipfile.ZipFile(io.BytesIO(made)) as file:
        assert file.testzip() is None
        return {each.filename: file.read(each) for each in file.infolist()}, file.infolist()


def test_what_is_put_in_is_read_again_whatever_it_is_called() -> None:
    files = {"INV-2026-000001.pdf": b"%PDF" * 9, "名前-ñ.xml": b"", "lines.csv": bytes(range(256))}
    found, entries = read(zipped(**files))
    assert found == files
    assert {each.date_time for each in entries} == {(2026, 11, 30, 0, 0, 0)}
    assert {each.external_attr >> 16 for each in entries} == {0o100644}
    assert zipped(**files) == zipped(**files)
    assert read(zipped()) == ({}, [])


@pytest.mark.parametrize(("limit", "most"), [("_MANY", 2), ("_LARGE", 40)])
def test_what_is_large_has_larger_fields(limit: str, most: int, monkeypatch: Any) -> None:
    """As if what fits into the old fields were very little."""
    files = {f"{place}.csv": b"x" * (most - place) for place in range(4)}
    monkeypatch.setattr(archive, limit, most)
    made = zipped(**files)
    assert b"PK\6\6" in made
    assert b"PK\6\7" in made
    if limit == "_MANY":
        # Readers take the larger fields where the old ones are full; these are too small to be.
        return
    head = archive.listed(
        Entry(name="a", size=1 << 40, checksum=0, offset=1 << 41, day=date(1980, 1, 1))
    )
    assert head[46 + 1 :] == b"\1\0\30\0" + b"".join(
        each.to_bytes(8, "little") for each in (1 << 40, 1 << 40, 1 << 41)
    )
