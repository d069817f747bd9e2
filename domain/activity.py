"""Activity: in which quarters of an hour a user did something, and when first and last in each.

Owns what counts as activity and how long a quarter is. First and last only ever move apart, so
facts give the same in whatever order they come, and however often.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from domain.facts import Fact, Type
from domain.periods import MINUTE

#: Local hours and days of all zones begin at one of these.
QUARTER = 15 * MINUTE

#: What contacts and networks do with what a user sent: whoever sent it may be long at home.
OF_OTHERS = frozenset({Type.MESSAGE_READ, Type.MESSAGE_PLAYED, Type.MESSAGE_FAILED})

#: First and last instant by user and quarter; a quarter is the instant it begins.
Spans: TypeAlias = dict[tuple[str, int], tuple[int, int]]


def spans_of(facts: Iterable[Fact]) -> Spans:
    """When the users that facts name were at work: at the beginning of each that is their own."""
    spans: Spans = {}
    for fact in facts:
        if not fact.agent or fact.type in OF_OTHERS:
            continue
        at = fact.began
        key = (fact.agent, at - at % QUARTER)
        known = spans.get(key)
        spans[key] = (at, at) if known is None else (min(known[0], at), max(known[1], at))
    return spans
