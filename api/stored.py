"""Stored documents: queries that are known before they are asked, by the hash of their text.

Owns the file that `KUOTA_DOCUMENTS` names, in both its forms, and what an id is. Whether a document
fits the schema is for a `Judge` to say, and how a request names one is the transport's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from api.limits import STORED_BYTES_MAX, STORED_DOCUMENTS_MAX

PREFIX = "sha256:"
MANIFEST = "apollo-persisted-query-manifest"
SHAPE = f'{{"{PREFIX}HEX": "query ..."}} or Apollo\'s manifest'

#: Gives the kinds of a document's operations; a ValueError says on one line what is wrong with it.
Judge: TypeAlias = Callable[[str], frozenset[str]]


class StoredError(Exception):
    """The file cannot be used; one line says which of its documents is wrong, and why."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The documents of an installation; none where no file is named."""

    texts: Mapping[str, str] = field(default_factory=dict)  #: by id
    changing: frozenset[str] = frozenset()  #: ids of those that hold a mutation

    def __contains__(self, id: object) -> bool:
        return id in self.texts

    def __len__(self) -> int:
        return len(self.texts)


def id_of(text: str) -> str:
    """The id of a document: the hash of its text."""
    # A lone surrogate has no UTF-8; what it hashes to is the id of no document.
    return PREFIX + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def load(path: Path | None, judge: Judge) -> Stored:
    """The documents of a file, each judged; None: no file. StoredError where one is wrong."""
    if path is None:
        return Stored()
    where = f"KUOTA_DOCUMENTS is {path}"
    texts: dict[str, str] = {}
    changing: set[str] = set()
    for id, text in _read(path, where):
        if id != id_of(text):
            raise StoredError(
                f"{where}, and its document {id[:90]!r} has the hash of another text: {id_of(text)}"
            )
        try:
            kinds = judge(text)
        except ValueError as fault:
            raise StoredError(f"{where}, and its document {id} is not valid: {fault}") from None
        texts[id] = text
        if "mutation" in kinds:
            changing.add(id)
    return Stored(texts, frozenset(changing))


def _read(path: Path, where: str) -> Iterator[tuple[str, str]]:
    """Ids and texts, whichever form the file has."""
    try:
        with path.open("rb") as file:
            content = file.read(STORED_BYTES_MAX + 1)
    except OSError as fault:
        raise StoredError(f"{where}, which cannot be read ({fault.strerror})") from None
    if len(content) > STORED_BYTES_MAX:
        raise StoredError(f"{where}, which has more than {STORED_BYTES_MAX // 1024**2} MiB")
    try:
        value = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as fault:
        raise StoredError(f"{where}, which is not JSON: {fault}") from None
    pairs = list(_pairs(value))
    if not all(isinstance(id, str) and isinstance(text, str) for id, text in pairs):
        raise StoredError(f"{where}, which has another form than {SHAPE}")
    if len(pairs) > STORED_DOCUMENTS_MAX:
        raise StoredError(
            f"{where}, which has {len(pairs)} documents; {STORED_DOCUMENTS_MAX} are the most"
        )
    yield from pairs


def _pairs(value: Any) -> Iterator[tuple[Any, Any]]:
    """What stands where ids and texts do; a pair of None for what has neither form."""
    if not isinstance(value, dict):
        yield None, None
    elif "format" not in value:
        yield from value.items()
    elif (
        value["format"] != MANIFEST
        or value.get("version") != 1
        or not isinstance(value.get("operations"), list)
    ):
        yield None, None
    else:
        for each in value["operations"]:
            own = each if isinstance(each, dict) else {}
            id = own.get("id")
            # Apollo writes the hash without its name.
            named = isinstance(id, str) and not id.startswith(PREFIX)
            yield (f"{PREFIX}{id}" if named else id), own.get("body")
