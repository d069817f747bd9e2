"""The items of a JSON list, each as its own bytes, so that one that is no JSON spoils no other.

Owns finding where an item ends, and how deep a value is. What a strict decoder will not read past
(NaN, a lone surrogate, a bare control character, lists in lists without end) is let through here,
for it to be refused alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from api.limits import JSON_DEPTH_MAX

#: Numbers stay text: they are only walked over, and some have more digits than an int may.
_DECODER = json.JSONDecoder(strict=False, parse_int=str, parse_float=str, parse_constant=str)
_BLANK = re.compile(r"[ \t\n\r]*")
_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|"|[\[{]+|[\]}]+', re.DOTALL)


def split(body: bytes) -> Iterator[bytes]:
    """The items of a list; ValueError where the body is none by any reading."""
    text = body.decode("utf-8", "surrogateescape")
    start = _after_blank(text, 0)
    if text[start : start + 1] != "[":
        raise ValueError(f"a list begins with [ and not with {text[start : start + 1]!r}")
    start = _after_blank(text, start + 1)
    if text[start : start + 1] == "]":
        _nothing_behind(text, start + 1)
        return
    while True:
        end = end_of(text, start)
        yield text[start:end].encode("utf-8", "surrogateescape")
        behind = _after_blank(text, end)
        if text[behind : behind + 1] == "]":
            _nothing_behind(text, behind + 1)
            return
        if text[behind : behind + 1] != ",":
            raise ValueError(f"an item ends without comma or bracket at character {behind}")
        start = _after_blank(text, behind + 1)


def check_whole(body: bytes) -> None:
    """ValueError unless the body is one JSON value, strict or not, and nothing more."""
    text = body.decode("utf-8", "surrogateescape")
    _nothing_behind(text, end_of(text, _after_blank(text, 0)))


def end_of(text: str, start: int) -> int:
    """Where the value that begins at `start` ends; ValueError where there is none."""
    try:
        return _DECODER.raw_decode(text, start)[1]
    except RecursionError:
        return _end_of_nested(text, start)


def _end_of_nested(text: str, start: int) -> int:
    """The same by counting brackets, for what no parser that calls itself reads to the end."""
    depth = 0
    for found in _BRACKET.finditer(text, start):
        mark = found[0]
        if mark[0] in "[{":
            depth += len(mark)
        elif mark[0] in "]}":
            if len(mark) >= depth:
                return found.start() + depth
            depth -= len(mark)
        elif mark == '"':
            raise ValueError(f"a text never ends, from character {found.start()} on")
    raise ValueError(f"what is opened at character {start} is never closed")


def _after_blank(text: str, start: int) -> int:
    found = _BLANK.match(text, start)
    return start if found is None else found.end()


def _nothing_behind(text: str, start: int) -> None:
    behind = _after_blank(text, start)
    if behind < len(text):
        raise ValueError(f"more stands behind the end, from character {behind} on")


def depth_of(value: Any) -> int:
    """Levels of lists and objects, found level by level and not by calling itself.

    Counting ends one above `JSON_DEPTH_MAX`.
    """
    level, depth = [value], 0
    while level := [item for item in level if isinstance(item, (dict, list))]:
        depth += 1
        if depth > JSON_DEPTH_MAX:
            break
        level = [
            inner for item in level for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return depth
