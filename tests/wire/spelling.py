"""Events as text, so that a test can send what no encoder would write.

Owns one sound event and how it is changed. Knows nothing of what is wrong with a change.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any

Change = Mapping[str, Any]

NUMBER = "+62800000001"
CONTACT = "+6281100010001"

_ids = itertools.count(1)


class Text(str):
    """JSON as it shall stand in the body, sound or not."""


#: The attribute, or the field of data, is not there at all.
GONE = Text("")


def event(change: Change | None = None) -> bytes:
    """A received message of tenant `one` under a new id, but for `change`.

    Keys of `change` are attributes (`time`) and fields of data (`data.contact`); `data` itself
    may be given too, and `*` is text to stand at the end of the object.
    """
    given = dict(change or {})
    rest = given.pop("*", GONE)
    data: dict[str, Any] = {
        "channel": "whatsapp",
        "number": NUMBER,
        "contact": CONTACT,
    }
    attributes: dict[str, Any] = {
        "id": f"e-{next(_ids)}",
        "source": "wire",
        "type": "message.received",
        "time": "2026-11-05T09:00:00+07:00",
        "subject": "one",
        "data": data,
    }
    for name, value in given.items():
        inside = name.removeprefix("data.")
        (attributes if inside == name else data)[inside] = value
    text = spelt(attributes)
    return f"{text[:-1]},{rest}}}".encode() if rest else text.encode()


def spelt(value: Any) -> str:
    """JSON of `value`, with the texts in it as they stand."""
    if isinstance(value, Text):
        return value
    if isinstance(value, dict):
        return "{" + ",".join(
            f"{json.dumps(name)}:{spelt(item)}" for name, item in value.items() if item is not GONE
        ) + "}"  # fmt: skip
    return json.dumps(value)


def in_list(events: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(events) + b"]"


def in_lines(events: Iterable[bytes]) -> bytes:
    return b"".join(event + b"\n" for event in events)
