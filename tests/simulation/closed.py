"""The model's closed periods: when each is closed, where that puts inputs, and what was open then.

Owns EV-3 as far as it is not a fact's cost: a fact that comes after its period was closed takes
part when it came, against the windows and counts of that period, and changes none of them. Imports
nothing of the product.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias

from tests.simulation.rulebook import SECOND, Calendar, Json, instant

RECEIVED, CALL = "message.received", "call.ended"

Place: TypeAlias = tuple[int, int, str, str]


class Window(NamedTuple):
    opened: int
    ends: int


def is_open(window: Window | None, at: int) -> bool:
    return window is not None and window.opened <= at < window.ends


@dataclass
class Contact:
    """What is open between a contact (or group) and a number."""

    service: Window | None = None
    conversation: Window | None = None
    paid: bool = False  #: the conversation covers the messages inside it
    entry: Window | None = None
    came: int | None = None  #: an ad brought the contact, and nobody has answered yet


def place_of(one: Json) -> int:
    """When an input takes place; a top-up that was dated back, at its start."""
    at = instant(one["time"])
    return min(at, instant(one["starts"])) if "starts" in one else at


def began(event: Json) -> int:
    """When what is told of happened: of a call its start (VO-1)."""
    lasted = event["data"]["seconds"] if event["type"] == CALL else 0
    return instant(event["time"]) - int(lasted) * SECOND


def fact_order(one: Json) -> Place:
    """EV-4: time, rank, source, id."""
    if "action" in one:
        return place_of(one), 0, "", one["key"]
    inbound = one["type"] == CALL and one["data"]["direction"] == "in"
    rank = 1 if inbound or one["type"] == RECEIVED else 2
    return place_of(one), rank, one["source"], one["id"]


def name_of(event: Json) -> str:
    return f"{event['source']}/{event['id']}"


def closings(setup: Json, inputs: Collection[Json]) -> list[tuple[int, int]]:
    """When something is closed, and the instant before which everything then is."""
    calendar = Calendar(setup["zone"])
    for one in sorted((one for one in inputs if "action" in one), key=place_of):
        if one["action"] == "zone_change" and "number" not in one:
            calendar.change(one["zone"], instant(one["time"]))
    closes = [one for one in inputs if one.get("action") == "close"]
    return sorted((instant(one["time"]), calendar.bounds(one["month"])[1]) for one in closes)


def published(inputs: Collection[Json]) -> list[Json]:
    """Versions of the book, each with when and how it was published."""
    return [one for one in inputs if one.get("action") == "publish"]


@dataclass
class Order:
    """Where inputs take place, once some periods are closed."""

    closings: list[tuple[int, int]]
    late: Mapping[str, int]  #: facts that come after their period was closed, and when

    def place(self, one: Json) -> Place:
        """A late fact's place is when it came; nothing is dated back to before a closing."""
        at, rank, source, name = fact_order(one)
        if "action" in one:
            accepted = instant(one["time"])
            ends = [end for closed_at, end in self.closings if closed_at < accepted]
            return max([at, *ends]), rank, source, name
        came = self.late.get(name_of(one))
        return (at, rank, source, name) if came is None else (came, 2, source, name)


@dataclass
class Past:
    """What was open between contacts and numbers, at every place of the order."""

    known: defaultdict[tuple[str, str], list[tuple[Place, Contact]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def note(self, who: tuple[str, str], place: Place, contact: Contact) -> None:
        self.known[who].append((place, replace(contact)))

    def contact(self, who: tuple[str, str], place: Place) -> Contact:
        """As it was before a place. What nobody had answered by then is no window."""
        before = [contact for at, contact in self.known[who] if at < place]
        return replace(before[-1], came=None) if before else Contact()
