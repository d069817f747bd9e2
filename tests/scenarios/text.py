"""Stories as text: what a line may say, and how it is read.

Owns the grammar. Does not run anything. A line that is not understood is refused with its place.

    story    The window closes at ten sharp              begins a story
    proves   CO-1 PR-4                                   the rules it shows
    tenant   jakarta  Asia/Jakarta  IDR  plan omnichannel-idr  since 2026-10-01  country ID
    number   wa2  whatsapp  +62 800 0000 0002  Asia/Jayapura
    2026-10-05                                           the day of the lines below
    10:00  in   wa/6281100010                            the contact wrote
    10:05  out  wa/6281100010  service    -> 1 conversations
    next day 10:00  out  wa/6281100010  utility  x 3     -> each 356.65 whatsapp
    2026-11-01 00:05  top up  visitors 500  until 2026-12-01
    12:00  plan omnichannel-mcc-idr  -> from 2026-11-30T17:00:00Z      `none`: its end
    12:00  allow visitors 1500 as 2026-12-01     its own allowance, from that day on
    10:00  buy  visitors 1000  as=first  -> price 600000    as the plan offers it, under a name
    10:00  adjust  whatsapp -100                         by hand; see `acts`
    10:00  refund  first 200  -> refused TOO_MUCH        a top-up, or a charge by its event's id
    10:00  take-back  first                              its payment was taken back
    10:00  zone America/Bogota -> from 2026-10-31T17:00:00Z    the tenant's from then on
    10:00  zone wa=America/Bogota                        one number's
    10:00  abroad ID as=2026-11-10 -> from 2026-11-10    a market's international rate; or none
    clock 2026-11-01 03:00                               now, whatever happened when
    clock 2026-11-01 03:00 stopped                       and events do not move it
    job   2026-11-01 03:00                               now, and the job takes who is due
    together ... end                                     one request
    expect  whatsapp used 942.98, remaining -942.98      see `promises`

Lines stand in the order they arrive. The clock follows the latest time seen, so a line with an
earlier time arrives late. Times are the tenant's; those with a Z are UTC. Every number that was
not introduced is a WhatsApp number. `wa/62811{001..100}` is a hundred contacts. Words beside a
category: `ad`, `x 3`, and `name=value` for `id` and what stands in the data. `#` begins a remark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from domain.money import micros

CATEGORIES = frozenset(
    {"service", "marketing", "utility", "authentication", "authentication_international"}
)
VERBS = {
    "in": "message.received",
    "sent": "message.sent",
    "out": "message.delivered",
    "read": "message.read",
    "played": "message.played",
    "failed": "message.failed",
    "call-in": "call.ended",
    "call-out": "call.ended",
    "mail": "email.sent",
    "session": "session.ended",
    "used": "usage.recorded",
}
ACTS = frozenset({"buy", "adjust", "refund", "take-back", "plan", "allow", "zone", "abroad"})
STATUSES = frozenset({"unrated", "duplicate", "conflict", "refused"})

_WHEN = (
    r"(?:(?P<day>next day|\d{4}-\d\d-\d\d) )?(?P<time>\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)(?P<utc>Z?)"
)
_LEADING_WHEN = re.compile(_WHEN + r"(?: |$)")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


class StoryError(ValueError):
    """A line that says nothing known, with its place."""


@dataclass(frozen=True, slots=True)
class When:
    """A moment as written: a day (None: that of the lines before) and a time of day."""

    day: date | str | None  #: `next day` stands as it is
    time: str
    utc: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What an event must be answered with."""

    status: str = "accepted"
    reason: str | None = None  #: of a refusal
    legs: tuple[tuple[int, str], ...] = ()  #: (micros, balance)
    free: str | None = None  #: why nothing was charged
    rule: str | None = None  #: ROW@DATE
    each: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened, to one contact or to many alike."""

    place: str
    text: str
    when: When
    type: str
    number: str
    contacts: tuple[str, ...]
    words: dict[str, str]  #: id, category, ad, direction and what stands in the data
    times: int = 1
    expected: Expected | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUp:
    place: str
    text: str
    when: When
    balance: str
    amount: int
    source: str
    starts: When | None
    ends: When | None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What an operator does to a balance, or to what was done before."""

    place: str
    text: str
    when: When
    verb: str
    target: str  #: a balance, the name of a top-up, the id of an event
    amount: int | None
    name: str | None
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    place: str
    text: str
    when: When
    stopped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    place: str
    text: str
    when: When


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    place: str
    text: str
    day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    place: str
    text: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    place: str
    text: str
    events: tuple[Event, ...]


Step = Event | TopUp | Act | Clock | Job | Day | Expect | Together


@dataclass(slots=True, kw_only=True)
class Story:
    """One story with its head and its lines."""

    place: str
    title: str
    rules: tuple[str, ...] = ()
    tenant: str = ""
    timezone: str = ""
    currency: str = ""
    plan: str = ""
    since: str | None = None
    country: str = "ID"
    numbers: list[tuple[str, str, str, str | None]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)


def read(path: Path) -> list[Story]:
    """The stories of a file."""
    stories: list[Story] = []
    together: list[Event] | None = None
    for place, line in _lines(path):
        head, _, rest = line.partition(" ")
        try:
            if head == "story":
                stories.append(Story(place=place, title=rest))
                continue
            story = stories[-1]
            if line == "together":
                together = []
            elif line == "end" and together is not None:
                story.steps.append(Together(place=place, text=line, events=tuple(together)))
                together = None
            elif together is not None:
                together.append(_event(place, line))
            elif not _head(story, head, rest):
                story.steps.append(_step(place, line, head, rest))
        except (LookupError, ValueError) as error:
            raise StoryError(f"{place}: {line}\n  {error}") from error
    return stories


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    for count, raw in enumerate(path.read_text("utf-8").splitlines(), 1):
        line = " ".join(raw.split("#")[0].split())
        if line:
            yield f"{path.name}:{count}", line


def _head(story: Story, head: str, rest: str) -> bool:
    """Whether the line belongs to the story's head."""
    words = rest.split()
    if head == "proves":
        story.rules = tuple(words)
    elif head == "tenant":
        story.tenant, story.timezone, story.currency, _, story.plan, *more = words
        said = dict(zip(more[::2], more[1::2], strict=True))
        story.since, story.country = said.pop("since", None), said.pop("country", story.country)
        if said:
            raise ValueError(f"{' '.join(said)} is nothing a tenant has")
    elif head == "number":
        name, channel, *address = words
        zone = address.pop() if "/" in address[-1] else None
        story.numbers.append((name, channel, " ".join(address), zone))
    else:
        return False
    return True


def _step(place: str, line: str, head: str, rest: str) -> Step:
    if head == "expect":
        return Expect(place=place, text=line, what=rest)
    if head == "clock":
        when, stopped = when_of(rest.removesuffix(" stopped")), rest.endswith(" stopped")
        return Clock(place=place, text=line, when=when, stopped=stopped)
    if head == "job":
        return Job(place=place, text=line, when=when_of(rest))
    if _DAY.fullmatch(line):
        return Day(place=place, text=line, day=date.fromisoformat(line))
    when, what = leading_when(line)
    if what.startswith("top up "):
        return _top_up(place, line, when, what.split()[2:])
    if what.split()[0] in ACTS:
        return _act(place, line, when, what)
    return _event(place, line)


def when_of(text: str) -> When:
    """A moment that is all of `text`."""
    when, rest = leading_when(text)
    if rest:
        raise ValueError(f"{rest!r} follows a time")
    return when


def leading_when(line: str) -> tuple[When, str]:
    found = _LEADING_WHEN.match(line)
    if found is None:
        raise ValueError("a line begins with a time, a day or a word of the format")
    day: date | str | None = found["day"]
    if day is not None and day != "next day":
        day = date.fromisoformat(found["day"])
    return When(day, found["time"], bool(found["utc"])), line[found.end() :]


def _top_up(place: str, line: str, when: When, words: list[str]) -> TopUp:
    balance, amount, *rest = words
    source = "PROMOTION" if "promotion" in rest else "TOP_UP"
    found: dict[str, When] = {}
    for word in ("from", "until"):
        if word in rest:
            at = rest.index(word)
            found[word] = when_of(" ".join(rest[at + 1 : at + 3]))
    return TopUp(
        place=place, text=line, when=when, balance=balance, amount=micros(amount), source=source,
        starts=found.get("from"), ends=found.get("until"), name=_name(rest),
    )  # fmt: skip


def _act(place: str, line: str, when: When, what: str) -> Act:
    said, _, expected = what.partition(" -> ")
    verb, target, *rest = said.split()
    amount = None
    if rest and not rest[0].startswith("as="):
        amount = micros(rest[0], signed=True)
    return Act(
        place=place, text=line, when=when, verb=verb, target=target, amount=amount,
        name=_name(rest), expected=expected,
    )  # fmt: skip


def _name(words: list[str]) -> str | None:
    return next((word.removeprefix("as=") for word in words if word.startswith("as=")), None)


def _event(place: str, line: str) -> Event:
    said, arrow, expected = line.partition(" -> ")
    when, what = leading_when(said)
    verb, target, *rest = what.split()
    number, _, contact = target.partition("/")
    words: dict[str, str] = {}
    times = 1
    if verb.startswith("call-"):
        words["direction"] = verb.removeprefix("call-")
    given = iter(rest)
    for word in given:
        name, equals, value = word.partition("=")
        if equals:
            words[name] = value
        elif word in CATEGORIES:
            words["category"] = word
        elif word == "ad":
            words["entry"] = word
        elif word == "x":
            times = int(next(given))
        else:
            raise ValueError(f"{word!r} is no word of an event")
    return Event(
        place=place, text=line, when=when, type=VERBS[verb], number=number,
        contacts=tuple(_contacts(contact)), words=words, times=times,
        expected=_expected(expected) if arrow else None,
    )  # fmt: skip


def _contacts(text: str) -> Iterator[str]:
    found = _RANGE.search(text)
    if found is None:
        yield text
        return
    first, last = found.groups()
    for number in range(int(first), int(last) + 1):
        yield _RANGE.sub(f"{number:0{len(first)}d}", text)


def _expected(text: str) -> Expected:
    each = text.startswith("each ")
    text, _, rule = text.removeprefix("each ").partition(" by ")
    status, free, reason = "accepted", None, None
    legs: list[tuple[int, str]] = []
    for part in (part.strip() for part in text.split(",")):
        word, _, rest = part.partition(" ")
        if word in STATUSES:
            status, reason = word, rest or None
        elif word == "free":
            free = rest.strip("()")
        elif part != "nothing":
            legs.append((micros(word), rest))
    return Expected(
        status=status, reason=reason, legs=tuple(legs), free=free, rule=rule or None, each=each
    )
