"""Telling a story: every line goes through the real way in, in the order the lines stand.

Owns the clock and the events a line becomes. What was promised is held against the answers in
`answers` and against the figures in `promises`.
"""

from __future__ import annotations

from datetime import date

from domain.facts import CHANNEL_NAMES
from domain.periods import iso
from tests.scenarios.acts import Acts
from tests.scenarios.answers import Answers, Sent
from tests.scenarios.calendar import Calendar
from tests.scenarios.promises import Promises
from tests.scenarios.text import (
    Act,
    Clock,
    Day,
    Event,
    Expect,
    Job,
    Step,
    Story,
    Together,
    TopUp,
)
from tests.scenarios.world import Json, World

NUMBERS = ("seconds", "segments")


class Telling:
    """One story on its way."""

    def __init__(self, world: World, story: Story) -> None:
        self._world = world
        self._story = story
        self._tenant = story.tenant
        self._calendar = Calendar(story.timezone)
        self._answers = Answers(world, story.tenant)
        self._promises = Promises(world, story.tenant, self._calendar, self._answers)
        self._acts = Acts(world, story.tenant)
        self._stopped = False

    async def tell(self) -> None:
        """Run every line; the first broken promise is an AssertionError that shows its line."""
        world, story = self._world, self._story
        world.clock.at = 0
        since = None
        if story.since is not None:
            since, _ = self._calendar.bounds(date.fromisoformat(story.since))
        await world.tenant(
            story.tenant,
            plan=story.plan,
            timezone=story.timezone,
            currency=story.currency,
            country=story.country,
            since=since,
        )
        for name, channel, address, timezone in story.numbers:
            await world.number(story.tenant, name, channel, address, timezone)
        for step in story.steps:
            try:
                await self._step(step)
            except AssertionError as broken:
                raise AssertionError(f"{step.place}: {step.text}\n  {broken}") from None

    async def _step(self, step: Step) -> None:
        match step:
            case Day(day=day):
                self._calendar.day = day
            case Clock(when=when, stopped=stopped):
                self._world.clock.at, self._stopped = self._calendar.turn(when), stopped
            case Job(when=when):
                self._world.clock.at = self._calendar.turn(when)
                while await self._world.jobs().advance_due():
                    pass
            case TopUp():
                await self._top_up(step)
            case Act(when=when):
                self._follow(self._calendar.turn(when))
                await self._acts.do(step)
            case Together(events=events):
                await self._send(events)
            case Event():
                await self._send((step,))
            case Expect(what=what):
                await self._promises.check(what)

    def _follow(self, at: int) -> None:
        """Let the clock show the latest time seen."""
        if not self._stopped:
            self._world.clock.at = max(self._world.clock.at, at)

    async def _top_up(self, line: TopUp) -> None:
        self._follow(self._calendar.turn(line.when))
        look = self._calendar.look
        made = await self._world.top_up(
            self._tenant,
            line.balance,
            line.amount,
            key=line.place,
            source=line.source,
            starts_at=None if line.starts is None else look(line.starts),
            expires_at=None if line.ends is None else look(line.ends),
        )
        self._acts.call(line.name, made)

    async def _send(self, events: tuple[Event, ...]) -> None:
        """Send the events of some lines as one request, and check each line's answers."""
        bodies: list[Json] = []
        sent: list[Sent] = []
        for event in events:
            at = self._calendar.turn(event.when)
            self._follow(at)
            if (self._tenant, event.number) not in self._world.numbers:
                address = f"6280000{len(self._world.numbers):06d}"
                await self._world.number(self._tenant, event.number, "whatsapp", address)
            sent.append(Sent(event, at, await self._answers.count(event.number, at), []))
            for place, contact in enumerate(event.contacts * event.times):
                bodies.append(self._body(event, at, place, contact))
        results = iter(await self._world.send(bodies))
        for line in sent:
            line.results.extend(next(results) for _ in line.event.contacts * line.event.times)
        for line in sent:
            try:
                await self._answers.check(line)
            except AssertionError as broken:
                raise AssertionError(f"{line.event.place}: {line.event.text}\n  {broken}") from None

    def _body(self, event: Event, at: int, place: int, contact: str) -> Json:
        """One event; a word the line gives goes before what stands in the data otherwise."""
        number = self._world.numbers[self._tenant, event.number]
        data: Json = {"number": number.address, "channel": CHANNEL_NAMES[number.channel]}
        if contact:
            data["contact"] = contact
        words: Json = dict(event.words)
        id = words.pop("id", f"{event.place}/{place}")
        subject = words.pop("subject", self._tenant)
        if words.get("category", "service") != "service":
            data["template"] = "a template"
        if "group" in words:
            words["group"] = {"id": words["group"], "members": []}
        if "message" in words:
            words["message_id"] = words.pop("message")
        data |= {name: int(text) if name in NUMBERS else text for name, text in words.items()}
        return {
            "id": id,
            "source": "a story",
            "type": event.type,
            "time": iso(at),
            "subject": subject,
            "data": data,
        }
