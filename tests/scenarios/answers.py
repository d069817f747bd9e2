"""Answers: what an event's promise means, held against what came back and why.

Owns the reasons a free message can have: `covered` by its conversation, `3 of 1000` (or `1 to 3 of
1000`) of its number's free count, `in window`, `free entry`, `price 0`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from domain.books import CUSTOMER_SERVICE, Basis, Row
from domain.facts import GROUP_MARK
from domain.money import micros
from tests.scenarios.text import Event, Expected
from tests.scenarios.world import Json, World

_CONTACT = """
select * from contacts where tenant_id = $1 and number_id = $2 and party = $3"""

_COUNTER = """
select value from counters
where tenant_id = $1 and name = $2 and number_id = $3 and month = $4"""


class Sent(NamedTuple):
    """A line's events as they went out."""

    event: Event
    at: int
    before: int  #: where the number's free count stood before the request
    results: list[Json]


class Answers:
    """Checks the answers of one tenant's events."""

    def __init__(self, world: World, tenant: str) -> None:
        self._world = world
        self._tenant = tenant

    async def count(self, number: str, at: int) -> int:
        """Where a number's free count stands in its month of an instant."""
        record = self._world.numbers[self._tenant, number]
        return await self.counter("service", number, record.zone.month(at))

    async def counter(self, name: str, number: str, month: int) -> int:
        number_id = self._world.numbers[self._tenant, number].number_id
        rows = await self._world.rows(self._tenant, _COUNTER, name, number_id, month)
        return int(rows[0]["value"]) if rows else 0

    async def check(self, sent: Sent) -> None:
        """AssertionError unless every result is as the line promised."""
        expected = sent.event.expected
        many = len(sent.results) > 1
        assert expected is None or expected.each == many, "`each` is for lines of many events"
        for result in sent.results:
            _check_result(result, expected or Expected(), charges=expected is not None)
        if expected is not None and expected.free is not None:
            row = self._row(sent.results[-1]["charges"][0]["rule"])
            await self._check_free(sent, expected.free, row)

    async def _check_free(self, sent: Sent, why: str, row: Row) -> None:
        """Hold the reason of a free message against its row, the count and the windows."""
        before, after = sent.before, await self.count(sent.event.number, sent.at)
        counted = re.fullmatch(r"(?:\d+ to )?(\d+) of (\d+)", why)
        if counted is not None:
            assert row.free_count is not None, f"{row.rule} has no free count"
            found = (after, after - before, row.free_count.count)
            promised = (int(counted[1]), len(sent.results), int(counted[2]))
            assert found == promised, f"the count stands at {after}, it stood at {before}"
            return
        assert after == before, f"{row.rule}: the free count went from {before} to {after}"
        holds = {
            "covered": row.basis is Basis.PER_CONVERSATION,
            "price 0": row.price == 0,
            "in window": CUSTOMER_SERVICE in row.free_in and await self._in("service", sent),
            "free entry": await self._in("entry", sent),
        }[why]
        assert holds, f"it was free by {row.rule}"

    async def _in(self, window: str, sent: Sent) -> bool:
        number_id = self._world.numbers[self._tenant, sent.event.number].number_id
        group = sent.event.words.get("group")
        party = sent.event.contacts[-1] if group is None else GROUP_MARK + group
        (row,) = await self._world.rows(self._tenant, _CONTACT, number_id, party)
        opened, ends = row[f"{window}_opened_at"], row[f"{window}_ends_at"]
        return opened is not None and opened <= sent.at < ends

    def _row(self, rule: str) -> Row:
        book = self._world.catalogue.books[self._world.plan(self._tenant).book]
        return next(row for row in book.rows if row.rule == rule)


def _check_result(result: Json, expected: Expected, *, charges: bool) -> None:
    assert result["status"] == expected.status, f"the answer was {result}"
    assert expected.reason in (None, result["reason"]), f"the answer was {result}"
    if not charges:
        return
    found = [(micros(charge["amount"]), charge["balance"]) for charge in result["charges"]]
    if expected.free is None:
        assert found == list(expected.legs), f"the charges were {result['charges']}"
    else:
        assert [amount for amount, _ in found] == [0], f"the charges were {result['charges']}"
    if expected.rule is not None:
        row, _, dated = expected.rule.partition("@")
        (rule,) = {charge["rule"] for charge in result["charges"]}
        assert rule.endswith(f"@{dated}/{row}"), f"the rule was {rule}"
