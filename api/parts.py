"""The parts of Kuota, and which of them one process is for.

Owns their names and what each serves; which engines a part needs is `engines`'.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Part(StrEnum):
    EDGE = "edge"  #: HTTP: facts, queries, mutations, downloads, signing in
    FEED = "feed"  #: what stays open: websockets, and streams of events
    JOBS = "jobs"  #: what time alone changes, rating later, settling, partitions, clearing


ALL = frozenset(Part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What one process is for."""

    parts: frozenset[Part] = ALL
    workers: int = 1  #: processes that share its socket, itself included


def parts_of(text: str) -> frozenset[Part]:
    """The parts a list names, such as `edge,feed`; a ValueError says what would be right."""
    names = {name.strip() for name in text.split(",")} - {""}
    if not names or names - set(Part):
        raise ValueError(f"the parts are {', '.join(Part)}")
    return frozenset(Part(name) for name in names)


def listed(parts: Iterable[Part]) -> str:
    """The parts as `parts_of` reads them, always in the same order."""
    wanted = set(parts)
    return ",".join(part for part in Part if part in wanted)
