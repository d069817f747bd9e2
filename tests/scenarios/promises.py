"""Promises: what an `expect` line means, looked up in what was stored, at the clock's present.

expect  BALANCE WORD AMOUNT, ...       opening, granted, topped-up, adjusted, used, lapsed,
                                       remaining, available, percent
expect  at WHEN BALANCE ...            the same as it stood then
expect  lot BALANCE SOURCE WORD ...    amount, used, moved, lapsed, remaining, ends; of an
                                       allowance's month, of the `2nd` one, or `none`
expect  open windows N                 and `open conversations N`
expect  counted [on DAY] WHAT N, ...   conversations, visitors, in, out, free, cost
expect  free count NAME N of NUMBER in MONTH
expect  period MONTH from INSTANT to INSTANT
expect  market CONTACT CODE
expect  kept N, unrated N, conflicts N
"""

from __future__ import annotations

import re
from datetime import date

from domain.figures import Figures
from domain.lots import LotSource
from domain.money import text
from domain.periods import iso, month_label
from tests.scenarios.answers import Answers
from tests.scenarios.calendar import Calendar
from tests.scenarios.text import leading_when
from tests.scenarios.world import World

_OPEN = """
select count(*) from contacts
where tenant_id = $1 and {0}_opened_at <= $2 and $2 < {0}_ends_at"""

_COUNTED = """
select coalesce(sum(conversations), 0) as conversations, coalesce(sum(visitors), 0) as visitors,
    coalesce(sum(messages_in), 0) as "in", coalesce(sum(messages_out), 0) as out,
    coalesce(sum(messages_free), 0) as free, coalesce(sum(cost), 0) as cost
from {} where tenant_id = $1 and bucket >= $2 and bucket < $3"""

_LOTS = """
select amount, used, moved, lapsed, amount - used - moved - lapsed as remaining, ends_at
from lots l join balances b using (tenant_id, balance_id)
where l.tenant_id = $1 and b.key = $2 and l.source = $3 and ($4::integer is null or month = $4)
order by lot_id"""

_MARKET = "select distinct market from facts where tenant_id = $1 and party = $2"
_PERIOD = "select starts_at, ends_at from periods where tenant_id = $1 and month = $2"

_KEPT = {
    "kept": "select count(*) from facts where tenant_id = $1",
    "unrated": "select count(*) from facts where tenant_id = $1 and status = 2",
    "conflicts": "select count(*) from conflicts where tenant_id = $1",
}


class Promises:
    """Checks the figures of one tenant."""

    def __init__(self, world: World, tenant: str, calendar: Calendar, answers: Answers) -> None:
        self._world = world
        self._tenant = tenant
        self._calendar = calendar
        self._answers = answers

    async def check(self, what: str) -> None:
        """AssertionError unless `what` is so."""
        head, _, rest = what.partition(" ")
        if head == "at":
            when, rest = leading_when(rest)
            await self._balance(*rest.split(" ", 1), at=self._calendar.look(when))
        elif head == "open":
            await self._open(*rest.split())
        elif head == "counted":
            await self._counted(rest)
        elif head == "market":
            contact, code = rest.split()
            row = await self._world.row(self._tenant, _MARKET, contact)
            assert row["market"] == code, f"the market is {row['market']}"
        elif head == "lot":
            await self._lot(rest)
        elif head == "period":
            await self._period(rest)
        elif head == "free":
            await self._count(rest)
        elif head in _KEPT:
            await self._kept(what)
        else:
            await self._balance(head, rest)

    async def _balance(self, balance: str, clauses: str, *, at: int | None = None) -> None:
        found = await self._world.figures(self._tenant, balance, at)
        shown = _shown(found)
        for word, amount in _clauses(clauses):
            assert shown[word] == amount, f"the figures are {shown}"
        total = found.total
        came = total.opening + total.granted + total.adjusted
        assert total.remaining == came - total.used - total.lapsed, f"BA-9 fails: {shown}"

    async def _open(self, what: str, promised: str) -> None:
        column = {"windows": "service", "conversations": "conversation"}[what]
        query = _OPEN.format(column)
        row = await self._world.row(self._tenant, query, self._world.clock.now())
        assert row["count"] == int(promised), f"open are {row['count']}"

    async def _lot(self, what: str) -> None:
        balance, source, *rest = what.split(" ", 3)
        month, place = None, -1
        if re.fullmatch(r"\d{4}-\d\d", rest[0]):
            month = _month(rest.pop(0))
        elif re.fullmatch(r"\d(st|nd|rd|th)", rest[0]):
            place = int(rest.pop(0)[0]) - 1
        stored = LotSource[source.upper().replace("-", "_")]
        rows = await self._world.rows(self._tenant, _LOTS, balance, stored, month)
        if rest == ["none"]:
            assert not rows, f"there are {len(rows)}"
            return
        assert rows, "there is no such lot"
        row = rows[place]
        for word, promised in _clauses(" ".join(rest)):
            if word == "ends":
                found = "never" if row["ends_at"] is None else iso(row["ends_at"])
            else:
                found = text(row[word])
            assert found == promised, f"{word} is {found}"

    async def _counted(self, what: str) -> None:
        start, end = 0, 1 << 60
        if what.startswith("on "):
            _, day, what = what.split(" ", 2)
            start, end = self._calendar.bounds(date.fromisoformat(day))
        for table in ("usage_day", "usage_hour"):
            row = await self._world.row(self._tenant, _COUNTED.format(table), start, end)
            for word, promised in _clauses(what):
                found = text(int(row[word])) if word == "cost" else str(row[word])
                assert found == promised, f"{table} has {dict(row)}"

    async def _count(self, what: str) -> None:
        _, name, promised, _, number, _, month = what.split()
        found = await self._answers.counter(name, number, _month(month))
        assert found == int(promised), f"the count stands at {found}"

    async def _period(self, what: str) -> None:
        month, _, start, _, end = what.split()
        row = await self._world.row(self._tenant, _PERIOD, _month(month))
        found = iso(row["starts_at"]), iso(row["ends_at"])
        assert found == (start, end), f"it is {' to '.join(found)}"

    async def _kept(self, what: str) -> None:
        for kind, promised in _clauses(what):
            row = await self._world.row(self._tenant, _KEPT[kind])
            assert row["count"] == int(promised), f"{kind} are {row['count']}"


def _clauses(text: str) -> list[tuple[str, str]]:
    """`used 3, remaining 5` as pairs."""
    return [(word, value) for word, value in (part.split() for part in text.split(", "))]


def _shown(found: Figures) -> dict[str, str]:
    total = found.total
    return {
        "opening": text(total.opening),
        "granted": text(found.initial.granted),
        "topped-up": text(found.top_up.granted),
        "adjusted": text(total.adjusted),
        "used": text(total.used),
        "lapsed": text(total.lapsed),
        "remaining": text(total.remaining),
        "available": text(found.available),
        "percent": "none" if found.percent_used is None else text(found.percent_used),
    }


def _month(name: str) -> int:
    year, month = name.split("-")
    return month_label(int(year), int(month))
