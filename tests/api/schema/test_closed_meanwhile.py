"""A period that closes while somebody asks: what is called final has changed for the last time.

A query sees one moment (`test_one_moment`); these ask as the payload of a mutation is answered.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from domain.periods import HOUR
from persistence import settlements
from persistence.door import Door
from tests.api.schema.conftest import END, NOON, START, Ask
from tests.persistence.rows import Rows

RANGE = 'range: {dates: {from: "2026-11-01", until: "2026-11-30"}}'
SERIES = f"usageSeries(metrics: [MESSAGES_OUT, COST], {RANGE}, bucket: MONTH"
FIELDS = (
    f"{SERIES}) {{ points {{ value }} estimate }}",
    f"{SERIES}) {{ ...Told }}",
    f"{SERIES}, compare: true) {{ estimate total previous {{ total }} }}",
    f"usageSummary({RANGE}) {{ metrics {{ value }} costs {{ total {{ amount {{ value }} }} }} "
    "estimate }",
    f"usageSummary({RANGE}, compare: true) {{ cards {{ delivered {{ value }} }} "
    "... on UsageSummary { last: estimate } }",
    f"userUsage({RANGE}) {{ unassigned {{ messagesOut }} estimate }}",
    f"userUsage({RANGE}) {{ estimate unassigned {{ cost {{ value }} }} }}",
)
TOLD = (
    " } } fragment Told on UsageSeries { total ...Final } "
    "fragment Final on UsageSeries { ... on UsageSeries { estimate"
)


@pytest.mark.parametrize("fields", FIELDS)
async def test_what_is_called_final_is_what_the_closing_left(
    rows: Rows, ask: Ask, monkeypatch: pytest.MonkeyPatch, fields: str
) -> None:
    """FI-1: a closing settles what it closes; whoever is told of it is told its figures."""
    both = ("usage_hour", "usage_day")
    await rows.usage(START, tables=both, messages_out=3, messages_free=1, cost=5_000_000)
    read = settlements.closed_until
    asked = 0

    async def after_a_closing(door: Door, tenants: Sequence[int]) -> list[int | None]:
        nonlocal asked
        asked += 1
        if asked == 1:
            for table in both:
                await rows.connection.execute(
                    f"update {table} set messages_out = 4, messages_free = 0, cost = 7_000_000"
                )
            await rows.connection.execute("update tenant_head set closed_until = $1", END)
        return await read(door, tenants)

    monkeypatch.setattr(settlements, "closed_until", after_a_closing)
    query = fields + TOLD if "...Told" in fields else fields
    meanwhile = await ask(query, now=END + HOUR)

    assert "false" in str(meanwhile).lower(), "it says that it is final"
    assert meanwhile == await ask(query, now=END + HOUR)
    assert asked == 2


async def test_what_is_closed_is_read_for_whoever_asks(
    rows: Rows, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else waits for it: figures that say nothing of their being final are one statement."""
    await rows.usage(NOON, tables=("usage_hour", "usage_day"), messages_out=3)
    monkeypatch.setattr(settlements, "closed_until", None)
    found = await ask(f"{SERIES}) {{ total }} usageSummary({RANGE}) {{ complete }}")
    assert found["usageSummary"] == {"complete": False}
