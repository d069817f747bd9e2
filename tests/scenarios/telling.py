"""Telling a story: every line goes through the real way in, and its promise is looked up.

Owns what an answer and an `expect` line mean. Does not own the grammar (`text`) nor the system
(`world`). What can be expected, at the clock's present:

    expect  BALANCE WORD AMOUNT, ...       opening, granted, topped-up, adjusted, used, lapsed,
                                           remaining, available, percent
    expect  at WHEN BALANCE ...            the same as it stood then
    expect  lot BALANCE SOURCE [MONTH] ..  amount, used, moved, lapsed, remaining, ends (or `none`)
    expect  open windows N                 and `open conversations N`
    expect  counted [on DAY] WHAT N, ...   conversations, visitors, in, out, free, cost
    expect  free count NAME N of NUMBER in MONTH
    expect  period MONTH from INSTANT to INSTANT
    expect  market CONTACT CODE
    expect  kept N, unrated N, conflicts N
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from domain.books import CUSTOMER_SERVICE, Basis, Row
from domain.facts import CHANNEL_NAMES, GROUP_MARK
from domain.figures import Figures
from domain.lots import LotSource
from domain.money import micros, text
from domain.periods import instant, iso, month_label, month_name, zone
from tests.scenarios.text import (
    Clock,
    Day,
    Event,
    Expect,
    Expected,
    Step,
    Story,
    Together,
    TopUp,
    When,
    leading_when,
)
from tests.scenarios.world import Json, World

_OPEN = """
select count(*) from contacts
where tenant_id = $1 and {0}_opened_at <= $2 and $2 < {0}_ends_at"""

_COUNTED = """
select coalesce(sum(conversations), 0) as conversations, coalesce(sum(visitors), 0) as visitors,
    coalesce(sum(messages_in), 0) as "in", coalesce(sum(messages_out), 0) as out,
    coalesce(sum(messages_free), 0) as free, coalesce(sum(cost), 0) as cost
from {} where tenant_id = $1 and bucket >= $2 and bucket < $3"""

_LOT = """
select lot_id, amount, used, moved, lapsed, amount - used - moved - lapsed as remaining, ends_at
from lots l join balances b using (tenant_id, balance_id)
where l.tenant_id = $1 and b.key = $2 and l.source = $3 and ($4::integer is null or month = $4)
order by lot_id"""

_WINDOWS = """
select * from contacts where tenant_id = $1 and number_id = $2 and party = $3"""

_COUNT = """
select value from counters
where tenant_id = $1 and name = $2 and number_id = $3 and month = $4"""

_MARKET = "select distinct market from facts where tenant_id = $1 and party = $2"

_KEPT = {
    "kept": "select count(*) from facts where tenant_id = $1",
    "unrated": "select count(*) from facts where tenant_id = $1 and status = 2",
    "conflicts": "select count(*) from conflicts where tenant_id = $1",
}


class Telling:
    """One story on its way."""

    def __init__(self, world: World, story: Story) -> None:
        self.world = world
        self.story = story
        self.key = story.tenant
        self.zone = ZoneInfo(story.timezone)
        self.day = date(2026, 10, 5)
        self.stopped = False

    async def tell(self) -> None:
        """Run every line; the first broken promise is an AssertionError that shows its line."""
        world, story = self.world, self.story
        world.clock.at = 0
        since = (
            None if story.since is None else self._local(date.fromisoformat(story.since), "0:00")
        )
        await world.tenant(
            self.key, plan=story.plan, timezone=story.timezone, currency=story.currency, since=since
        )
        for name, channel, address, timezone in story.numbers:
            await world.number(self.key, name, channel, address, timezone)
        for step in story.steps:
            try:
                await self._step(step)
            except AssertionError as broken:
                raise AssertionError(f"{step.place}: {step.text}\n  {broken}") from None

    async def _step(self, step: Step) -> None:
        match step:
            case Day(day=day):
                self.day = day
            case Clock(when=when, stopped=stopped):
                self.world.clock.at, self.stopped = self._instant(when), stopped
            case TopUp():
                await self._top_up(step)
            case Together(events=events):
                await self._send(list(events))
            case Event():
                await self._send([step])
            case Expect(what=what):
                await self._expect(what)

    # Time as it is written.

    def _instant(self, when: When) -> int:
        if when.day == "next day":
            self.day += timedelta(days=1)
        elif isinstance(when.day, date):
            self.day = when.day
        return self._local(self.day, when.time, utc=when.utc)

    def _local(self, day: date, time: str, *, utc: bool = False) -> int:
        hours, minutes, *seconds = time.split(":")
        at = datetime(day.year, day.month, day.day, tzinfo=UTC if utc else self.zone)
        at = at.replace(hour=int(hours), minute=int(minutes))
        return instant(at) + (micros(seconds[0]) if seconds else 0)

    def _follow(self, at: int) -> None:
        if not self.stopped:
            self.world.clock.at = max(self.world.clock.at, at)

    # What happens.

    async def _top_up(self, line: TopUp) -> None:
        self._follow(self._instant(line.when))
        await self.world.top_up(
            self.key, line.balance, line.amount, key=line.place, source=line.source,
            starts_at=None if line.starts is None else self._instant(line.starts),
            expires_at=None if line.ends is None else self._instant(line.ends),
        )  # fmt: skip

    async def _send(self, events: list[Event]) -> None:
        bodies: list[Json] = []
        moments: list[int] = []
        for event in events:
            at = self._instant(event.when)
            self._follow(at)
            moments.append(at)
            if (self.key, event.number) not in self.world.numbers:
                count = len(self.world.numbers)
                await self.world.number(self.key, event.number, "whatsapp", f"6280000{count:06d}")
            for place, contact in enumerate(event.contacts * event.times):
                bodies.append(self._body(event, at, place, contact))
        before = [await self._count(e, at) for e, at in zip(events, moments, strict=True)]
        results = iter(await self.world.send(bodies))
        for event, at, count in zip(events, moments, before, strict=True):
            own = [next(results) for _ in event.contacts * event.times]
            try:
                await self._check(event, at, own, count)
            except AssertionError as broken:
                raise AssertionError(f"{event.place}: {event.text}\n  {broken}") from None

    def _body(self, event: Event, at: int, place: int, contact: str) -> Json:
        number = self.world.numbers[self.key, event.number]
        data: Json = {"number": number.address, "channel": CHANNEL_NAMES[number.channel]}
        if contact:
            data["contact"] = contact
        words = dict(event.words)
        id = words.pop("id", f"{event.place}/{place}")
        if words.get("category", "service") != "service":
            data["template"] = words.pop("template", "a template")
        group = words.pop("group", None)
        if group is not None:
            data["group"] = {"id": group, "members": []}
        for name in ("seconds", "segments"):
            if name in words:
                data[name] = int(words.pop(name))
        message = words.pop("message", None)
        if message is not None:
            data["message_id"] = message
        subject = words.pop("subject", self.key)
        for name in [name for name, value in words.items() if value == "-"]:
            del words[name]
            data.pop(name, None)
        data.update(words)
        return {
            "id": id, "source": "a story", "type": event.type, "time": iso(at),
            "subject": subject, "data": data,
        }  # fmt: skip

    # What was promised of an answer.

    async def _check(self, event: Event, at: int, results: list[Json], before: int) -> None:
        expected = event.expected or Expected()
        if event.expected is not None and len(results) > 1:
            assert expected.each, "a line with many events promises `each`"
        for result in results:
            assert (result["status"], result["reason"] if expected.reason else None) == (
                expected.status, expected.reason
            ), f"the answer was {result}"  # fmt: skip
            if event.expected is None:
                continue
            got = [(micros(c["amount"]), c["balance"]) for c in result["charges"]]
            if expected.free is None:
                assert got == list(expected.legs), f"the charges were {result['charges']}"
            else:
                assert [amount for amount, _ in got] == [0], f"the charges were {result['charges']}"
            if expected.rule is not None:
                row, _, dated = expected.rule.partition("@")
                (rule,) = {c["rule"] for c in result["charges"]}
                assert rule.endswith(f"@{dated}/{row}"), f"the rule was {rule}"
        if expected.free is not None and expected.status == "accepted":
            rule = results[-1]["charges"][0]["rule"]
            await self._check_free(event, at, expected.free, self._row(rule), before, len(results))

    async def _check_free(
        self, event: Event, at: int, why: str, row: Row, before: int, sent: int
    ) -> None:
        """Hold the reason of a free message against its row, the count and the windows."""
        after = await self._count(event, at)
        counted = re.fullmatch(r"(?:\d+ to )?(\d+) of (\d+)", why)
        if counted is not None:
            last, all_free = map(int, counted.groups())
            assert row.free_count is not None, f"{row.rule} has no free count"
            got = (after, after - before, row.free_count.count)
            assert got == (last, sent, all_free), f"the count stands at {after}, was {before}"
            return
        assert after == before, f"{row.rule}: the free count went from {before} to {after}"
        number = self.world.numbers[self.key, event.number]
        windows = await self.world.rows(self.key, _WINDOWS, number.number_id, _party(event))
        got = {
            "covered": row.basis is Basis.PER_CONVERSATION,
            "price 0": row.price == 0,
            "in window": CUSTOMER_SERVICE in row.free_in
            and any(w["service_opened_at"] <= at < w["service_ends_at"] for w in windows),
            "free entry": any(
                w["entry_opened_at"] <= at < w["entry_ends_at"] for w in windows
                if w["entry_opened_at"] is not None
            ),
        }[why]  # fmt: skip
        assert got, f"it was free by {row.rule}"

    def _row(self, rule: str) -> Row:
        book = self.world.catalogue.books[self.world.plan(self.key).book]
        return next(row for row in book.rows if row.rule == rule)

    async def _count(self, event: Event, at: int) -> int:
        """Where the number's free count stands in the month of an instant."""
        number = self.world.numbers[self.key, event.number]
        month = zone(number.timezone).month(at)
        return await self._counter("service", number.number_id, month)

    async def _counter(self, name: str, number_id: int, month: int) -> int:
        rows = await self.world.rows(self.key, _COUNT, name, number_id, month)
        return rows[0]["value"] if rows else 0

    # What was promised of the figures.

    async def _expect(self, what: str) -> None:
        now = self.world.clock.at
        head, _, rest = what.partition(" ")
        if head == "at":
            when, rest = leading_when(rest)
            await self._expect_balance(*rest.split(" ", 1), at=self._instant(when))
        elif head == "open":
            kind, count = rest.split()
            column = {"windows": "service", "conversations": "conversation"}[kind]
            row = await self.world.row(self.key, _OPEN.format(column), now)
            assert row["count"] == int(count), f"open are {row['count']}"
        elif head == "counted":
            await self._expect_counted(rest)
        elif head == "market":
            row = await self.world.row(self.key, _MARKET, rest.split()[0])
            assert row["market"] == rest.split()[1], f"the market is {row['market']}"
        elif head == "lot":
            await self._expect_lot(rest)
        elif head == "period":
            await self._expect_period(rest)
        elif what.startswith("free count"):
            name, count, _, number, _, month = rest.split()[1:]
            number_id = self.world.numbers[self.key, number].number_id
            got = await self._counter(name, number_id, _month(month))
            assert got == int(count), f"the count stands at {got}"
        elif head in _KEPT:
            for part in what.split(", "):
                kind, count = part.split()
                row = await self.world.row(self.key, _KEPT[kind])
                assert row["count"] == int(count), f"{kind} are {row['count']}"
        else:
            await self._expect_balance(head, rest)

    async def _expect_balance(self, balance: str, clauses: str, *, at: int | None = None) -> None:
        found = await self.world.figures(self.key, balance, at)
        got = _shown(found)
        promised = dict(map(str.split, clauses.split(", ")))
        assert {word: got[word] for word in promised} == promised, f"the figures are {got}"
        total = found.total
        assert total.remaining == (
            total.opening + total.granted + total.adjusted - total.used - total.lapsed
        ), "BA-9 does not hold"

    async def _expect_lot(self, what: str) -> None:
        balance, source, *rest = what.split(" ", 3)
        month, place = None, -1
        if re.fullmatch(r"\d{4}-\d\d", rest[0]):
            month = _month(rest.pop(0))
        elif re.fullmatch(r"\d(st|nd|rd|th)", rest[0]):
            place = int(rest.pop(0)[0]) - 1
        rows = await self.world.rows(
            self.key, _LOT, balance, LotSource[source.upper().replace("-", "_")], month
        )
        if rest == ["none"]:
            assert not rows, f"there are {len(rows)}"
            return
        assert rows, "there is no such lot"
        row = rows[place]
        for word, value in map(str.split, " ".join(rest).split(", ")):
            if word == "ends":
                got = "never" if row["ends_at"] is None else iso(row["ends_at"])
            else:
                got = text(row[word])
            assert got == value, f"{word} is {got}"

    async def _expect_counted(self, what: str) -> None:
        start, end = 0, 1 << 60
        if what.startswith("on "):
            _, day, what = what.split(" ", 2)
            first = date.fromisoformat(day)
            start, end = self._local(first, "0:00"), self._local(first + timedelta(days=1), "0:00")
        for table in ("usage_day", "usage_hour"):
            row = await self.world.row(self.key, _COUNTED.format(table), start, end)
            for word, value in map(str.split, what.split(", ")):
                got = text(int(row[word])) if word == "cost" else str(row[word])
                assert got == value, f"{table} has {dict(row)}"

    async def _expect_period(self, what: str) -> None:
        month, _, start, _, end = what.split()
        row = await self.world.row(
            self.key,
            "select starts_at, ends_at from periods where tenant_id = $1 and month = $2",
            _month(month),
        )
        assert (iso(row["starts_at"]), iso(row["ends_at"])) == (start, end), (
            f"{month_name(_month(month))} is {iso(row['starts_at'])} to {iso(row['ends_at'])}"
        )


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


def _party(event: Event) -> str:
    group = event.words.get("group")
    return event.contacts[-1] if group is None else GROUP_MARK + group


def _month(name: str) -> int:
    year, month = name.split("-")
    return month_label(int(year), int(month))
