"""Made-up traffic of three businesses, as CloudEvents: a month's days, and then no end of it.

Owns who they are, what a day brings them, and when. The same seed gives the same events: a day does
not depend on the ones before it, nor on when it is asked for. Reads no clock and sends nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from domain.periods import date_of, iso, period, zone

Event: TypeAlias = dict[str, Any]

SOURCE = "demo"
SECOND = 1_000_000
HOUR = 3600 * SECOND
#: How busy Monday to Sunday are.
WEEK = (1.0, 1.0, 1.0, 1.0, 0.9, 0.4, 0.25)
#: Scenes that are under way at once where traffic never ends.
SCENES_AT_ONCE = 40


class Script:
    """What one scene does, second by second."""

    def __init__(self, picks: random.Random, business: Business, run: str) -> None:
        self.picks = picks
        self.run = run  #: names this scene among all
        self.steps: list[tuple[int, Event]] = []  #: microseconds after its beginning
        self._business = business
        self._after = 0.0
        self._messages = 0

    def wait(self, low: float, high: float) -> None:
        """Let some seconds pass."""
        self._after += self.picks.uniform(low, high)

    def event(self, type: str, sender: int, contact: str | None, **data: object) -> None:
        """Something happens at the `sender`th number of the business."""
        channel, address = self._business.numbers[sender]
        if contact is not None:
            data["contact"] = contact
        event = {
            "specversion": "1.0",
            "id": f"{self.run}-{len(self.steps)}",
            "source": SOURCE,
            "type": type,
            "subject": self._business.key,
            "data": {"channel": channel, "number": address, **data},
        }
        self.steps.append((int(self._after * SECOND), event))

    def received(self, sender: int, contact: str, **data: object) -> None:
        """The contact writes."""
        self.event("message.received", sender, contact, message_id=self._message(), **data)

    def delivered(self, sender: int, contact: str, read: float = 0.0, **data: object) -> None:
        """A message reaches its contact, who reads it with a likelihood of `read`."""
        message = self._message()
        self.event("message.delivered", sender, contact, message_id=message, **data)
        if self.picks.random() < read:
            self.wait(5, 60)
            self.event("message.read", sender, contact, message_id=message, **data)

    def agent(self) -> str:
        """Somebody of the business."""
        return self.picks.choice(self._business.agents)

    def contact(self, pattern: str, count: int) -> str:
        """One of `count` contacts; some write much more often than others."""
        return pattern.format(int(count * self.picks.random() ** 1.5))

    def _message(self) -> str:
        self._messages += 1
        return f"{self.run}-m{self._messages}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Something that happens over and over."""

    name: str
    play: Callable[[Script], None]
    daily: int  #: times on a full working day
    opens: int = 8  #: local hour from which it may begin
    closes: int = 20  #: local hour before which it begins
    weekdays: str = "0123456"  #: Monday is 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Business:
    """One tenant of the demo."""

    key: str
    name: str
    plan: str
    timezone: str
    numbers: tuple[tuple[str, str], ...]  #: channel and address
    top_ups: tuple[tuple[str, str], ...]  #: balance and amount, from the month's start on
    agents: tuple[str, ...]
    scenes: tuple[Scene, ...] = field(repr=False)


def month_start(business: Business, at: int) -> int:
    """The first instant of the month that `at` lies in where the business is."""
    return period(zone(business.timezone), at).start


def month(businesses: Iterable[Business], seed: int, until: int) -> list[Event]:
    """What happens to all in the month of the instant `until` before it, in the order of time."""
    found: list[tuple[int, Event]] = []
    for business in businesses:
        start = month_start(business, until)
        local = zone(business.timezone)
        for date in range(local.date(start), local.date(until) + 1):
            found += [pair for pair in _day(business, seed, date) if start <= pair[0] < until]
    found.sort(key=lambda pair: pair[0])
    return [event | {"time": iso(at)} for at, event in found]


def _day(business: Business, seed: int, date: int) -> list[tuple[int, Event]]:
    """What happens in a day, a scene after the other; each with its instant."""
    day = date_of(date)
    midnight, _ = zone(business.timezone).day_bounds(date)
    picks = random.Random(f"{seed}/{business.key}/{day}")
    found: list[tuple[int, Event]] = []
    for scene in business.scenes:
        if str(day.weekday()) not in scene.weekdays:
            continue
        for count in range(_times(scene, day.weekday(), picks)):
            begins = midnight + int(picks.uniform(scene.opens, scene.closes) * HOUR)
            script = Script(picks, business, f"{day}-{scene.name}-{count}")
            scene.play(script)
            found += [(begins + after, event) for after, event in script.steps]
    return found


def _times(scene: Scene, weekday: int, picks: random.Random) -> int:
    """How often a scene happens on a day: about as often as it should, at least once."""
    return max(1, round(scene.daily * WEEK[weekday] * picks.uniform(0.85, 1.15)))


class Endless:
    """Scenes of all businesses without end, each at its own pace, as if it were always noon."""

    def __init__(self, businesses: Iterable[Business], seed: int) -> None:
        self._picks = random.Random(f"{seed}/endless")
        self._choices = [(business, scene) for business in businesses for scene in business.scenes]
        self._weights = [scene.daily for _, scene in self._choices]
        self._begun = 0
        self._under_way = [self._begin() for _ in range(SCENES_AT_ONCE)]

    def take(self, count: int, at: int) -> list[Event]:
        """The next `count` events, a microsecond apart from `at` on."""
        return [self._next() | {"time": iso(at + place)} for place in range(count)]

    def _next(self) -> Event:
        place = int(len(self._under_way) * self._picks.random())
        scene = self._under_way[place]
        event = scene.pop()
        if not scene:
            self._under_way[place] = self._begin()
        return event

    def _begin(self) -> list[Event]:
        """A new scene's events, the first one last."""
        ((business, scene),) = self._picks.choices(self._choices, self._weights)
        self._begun += 1
        script = Script(self._picks, business, f"now-{scene.name}-{self._begun}")
        scene.play(script)
        return [event for _, event in reversed(script.steps)]
