"""Figures of one query are all of one moment, whatever is recorded while it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import strawberry

from api.transport.extension import Documents
from domain.lots import LotSource
from persistence import lot_usage, usage
from tests.api.schema.conftest import CONFIG, NOON, START, Ask, Query
from tests.persistence.rows import WHATSAPP, Rows

SCHEMA = strawberry.Schema(Query, config=CONFIG, extensions=[Documents])
BOTH = ("usage_hour", "usage_day")
RANGE = 'range: {dates: {from: "2026-11-01", until: "2026-11-30"}}'
QUERY = f"""
  usageSeries(metrics: [MESSAGES_OUT, COST], {RANGE}) {{ metric total }}
  usageSummary({RANGE}) {{
    metrics(only: [MESSAGES_OUT]) {{ value }} costs {{ total {{ amount {{ value }} }} }}
    balances {{ key used {{ value }} }}
  }}
  userUsage({RANGE}) {{ unassigned {{ messagesOut cost {{ value }} }} }}
"""


async def test_whatever_is_recorded_meanwhile_they_agree(
    rows: Rows, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FI-2: a message is recorded before each of the statements that one query is answered by."""
    await rows.lot(1, LotSource.TOP_UP, 900, starts_at=START, balance_id=WHATSAPP)
    await rows.lot_day(1, START, used=2)
    await rows.usage(NOON, tables=BOTH, messages_out=2, cost=2_000_000)
    await rows.usage(START, tables=BOTH, messages_out=0, cost=0)
    recorded, alone = 0, asyncio.Lock()

    def beside(read: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def reading(*arguments: Any, **options: Any) -> Any:
            nonlocal recorded
            recorded += 1
            async with alone, rows.connection.transaction():
                for table in BOTH:
                    await rows.connection.execute(
                        f"update {table} set messages_out = messages_out + 1,"
                        " cost = cost + 1000000 where messages_out > 0"
                    )
                await rows.connection.execute("update lot_days set used = used + 1000000")
            return await read(*arguments, **options)

        return reading

    for module, name in ((usage, "sums"), (usage, "totals"), (lot_usage, "taken")):
        monkeypatch.setattr(module, name, beside(getattr(module, name)))

    seen = []
    for _ in range(3):
        before = recorded
        told = await ask(QUERY, schema=SCHEMA)
        assert recorded - before >= 4, "of as many statements it is answered"
        messages = {
            told["usageSeries"][0]["total"],
            told["usageSummary"]["metrics"][0]["value"],
            told["userUsage"]["unassigned"]["messagesOut"],
            told["usageSeries"][1]["total"],
            told["usageSummary"]["costs"]["total"]["amount"]["value"],
            told["userUsage"]["unassigned"]["cost"]["value"],
            *(
                each["used"]["value"]
                for each in told["usageSummary"]["balances"]
                if each["key"] == "whatsapp"
            ),
        }
        assert len(messages) == 1, told
        assert before + 2 <= int(messages.pop()) < recorded + 2, "of a moment while it was asked"
        seen.append(recorded)
    assert seen == sorted(set(seen))
