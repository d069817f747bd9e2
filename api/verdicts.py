"""Verdicts: what every fact of a commit is told, and what was told of it before.

Owns the answers of duplicates and conflicts, in a batch and against what is kept. How a verdict
comes back to its request is `submissions`'.
"""

from __future__ import annotations

from collections.abc import Iterable

from api.submissions import FactName, Verdict, Waiting
from domain.facts import Status
from domain.state import Changes, Part
from persistence import load
from persistence.connection import Connection


def answer(
    changed: Iterable[Changes],
    first: dict[FactName, Waiting],
    again: Iterable[Waiting],
    known: dict[FactName, tuple[bytes, int]],
    verdicts: dict[FactName, Verdict],
) -> None:
    """Tell every fact of a commit what became of it; `verdicts` are those of `known` facts."""
    for changes in changed:
        for outcome in changes.outcomes:
            name = (outcome.fact.tenant_id, outcome.fact.key)
            verdict = verdicts[name] = Verdict(outcome.status, outcome.parts)
            first[name].submission.answer(first[name].place, verdict)
    for waiting in again:
        verdict = Verdict(Status.CONFLICT)
        if waiting.fact.content == content(waiting, first, known):
            kept = verdicts[(waiting.fact.tenant_id, waiting.fact.key)]
            verdict = Verdict(Status.DUPLICATE, kept.parts)
        waiting.submission.answer(waiting.place, verdict)


def content(
    waiting: Waiting, first: dict[FactName, Waiting], known: dict[FactName, tuple[bytes, int]]
) -> bytes:
    """The content that holds for a fact's key: what was stored, else the first of the batch."""
    name = (waiting.fact.tenant_id, waiting.fact.key)
    return known[name][0] if name in known else first[name].fact.content


async def stored(
    connection: Connection, known: dict[FactName, tuple[bytes, int]]
) -> dict[FactName, Verdict]:
    """First outcomes of facts kept before; a leg is a part of its own here."""
    found: dict[FactName, Verdict] = {}
    asked = [(tenant, at, key) for (tenant, key), (_, at) in known.items()]
    for row in await load.outcomes(connection, asked):
        name = (row["tenant_id"], row["key"])
        parts = found[name].parts if name in found else ()
        if row["amount"] is not None:
            part = Part(row["balance_id"], row["rule_id"], row["units"], row["amount"], ())
            parts = (*parts, part)
        found[name] = Verdict(Status.DUPLICATE, parts)
    return found
