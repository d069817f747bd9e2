"""Seeded worlds: tenants with their inputs, and the orders in which the inputs may arrive.

Owns chance, and nothing else does: a seed is a world, down to the last microsecond. Inputs are
plain data, CloudEvents as they are posted and account actions as dictionaries; what they come to is
the model's to say. Instants that matter (a window's end, a month's, a microsecond before) are met
often.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Literal
from zoneinfo import ZoneInfo

from tests.simulation import upheavals
from tests.simulation.closed import closings, fact_order, name_of
from tests.simulation.rulebook import Rulebook, instant

Json = dict[str, Any]
Disorder = Literal["none", "hours", "weeks"]

RULES: Json = tomllib.loads(Path(__file__).with_name("rules.toml").read_text("utf-8"))
RULEBOOK = Rulebook(RULES)

#: A tenant's zone and that of its second number. Clocks change in London, Bucharest, New York and
#: on Lord Howe, there by half an hour.
ZONES = (
    ("Asia/Jakarta", "Asia/Jayapura"),
    ("America/Bogota", "Asia/Jakarta"),
    ("Europe/London", "America/New_York"),
    ("America/New_York", "Asia/Kolkata"),
    ("Asia/Kolkata", "Europe/Bucharest"),
    ("Australia/Lord_Howe", "America/Bogota"),
)
#: In one world of so many the book changes.
PUBLISHED_OF = 4
#: In one world of so many facts come ahead of time too, and much is withdrawn.
RESTLESS_OF = 20
START = datetime(2026, 9, 12, tzinfo=UTC)
DAYS = 65
PHONES = (
    "+6281110000010", "+6281110000011", "+447400123456", "+573001234567", "+12025550123",
    "+18095550123", "+61412345678", "+919876543210",
)  # fmt: skip
SPREAD: dict[Disorder, timedelta] = {
    "none": timedelta(0), "hours": timedelta(hours=6), "weeks": timedelta(days=40),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant of a world: what it is on, and all its inputs in fact order."""

    setup: Json  #: tenant, zone, country, plan, numbers (channel, address, zone)
    inputs: list[Json]
    #: Facts of closed periods, and when they come.
    late: dict[str, int] = field(default_factory=dict)
    #: What comes under the key of a fact, after it, with other content.
    conflicts: dict[str, Json] = field(default_factory=dict)

    def stands(self, one: Json) -> bool:
        """Whether it comes when it does, and alone, whatever the disorder."""
        if "action" in one or name_of(one) in self.late:
            return True
        return self.conflicts.get(name_of(one)) is one

    def comes(self, one: Json) -> int:
        """When it can be there first."""
        at = instant(one["time"])
        return at if "action" in one else self.late.get(name_of(one), at)


@dataclass(frozen=True, slots=True)
class Batch:
    """What arrives together: an action alone, or facts, duplicates among them."""

    at: int  #: when, in microseconds
    inputs: list[Json]


@dataclass(frozen=True, slots=True)
class World:
    """All tenants of a seed."""

    seed: int
    tenants: list[Tenant]

    @property
    def start(self) -> int:
        """Before the first input of all."""
        return instant(START.isoformat())

    @property
    def end(self) -> int:
        """After the last input of all, and after everything that was opened in November began."""
        return instant((START + timedelta(days=DAYS)).isoformat())

    @property
    def restless(self) -> bool:
        """Whether facts come ahead of time too, and much is withdrawn."""
        return self.seed % RESTLESS_OF == 1

    def arrivals(self, tenant: Tenant, disorder: Disorder) -> list[Batch]:
        """The tenant's inputs in an order of arrival, split into batches.

        An action arrives when it was accepted, which is its time; a fact then or later, in restless
        worlds a little sooner as well, and some come twice. `none` keeps fact order, a batch an
        input.
        """
        if disorder == "none":
            in_order = [(tenant.comes(one), [one]) for one in tenant.inputs]
            return [Batch(*each) for each in sorted(in_order, key=lambda each: each[0])]
        random = Random(f"{self.seed} {tenant.setup['tenant']} {disorder}")
        end, ends = self.end, closings(tenant.setup, tenant.inputs)
        on_time = upheavals.punctual(tenant.inputs, tenant.late)
        ahead = Random(f"{self.seed} {tenant.setup['tenant']} ahead")
        arriving: list[tuple[int, int, Json]] = []
        first: dict[str, int] = {}
        for place, one in enumerate(tenant.inputs):
            at = tenant.comes(one)
            if tenant.stands(one):
                arriving.append((at, place, one))
                if "action" not in one:
                    first[name_of(one)] = at
                continue
            name, closed_at = name_of(one), upheavals.deadline(ends, one)
            for again in range(2 if random.random() < 0.05 else 1):
                late = int(random.random() ** 3 * SPREAD[disorder].total_seconds() * 1_000_000)
                came = min(at + late, end)
                if name in on_time:
                    came = at
                elif closed_at is not None and not again:
                    came = max(min(came, closed_at - 1), at)
                if self.restless and name not in on_time:
                    came = upheavals.come(ahead, at, came, self.start)
                arriving.append((came, place, one))
                first[name] = min(came, first.get(name, came))
        for name, one in tenant.conflicts.items():
            came = first[name] + random.randrange(upheavals.DAY)
            arriving.append((min(came, end), len(tenant.inputs), one))
        arriving.sort(key=lambda each: each[:2])
        return list(_batches(random, tenant, arriving, 1 if self.restless else 40))


def _batches(
    random: Random, tenant: Tenant, arriving: list[tuple[int, int, Json]], most: int
) -> Iterator[Batch]:
    gathered: list[Json] = []
    room, last = random.randint(1, most), 0
    for at, _, one in arriving:
        alone = tenant.stands(one)
        if gathered and (alone or len(gathered) >= room):
            random.shuffle(gathered)
            yield Batch(last, gathered)
            gathered, room = [], random.randint(1, most)
        if alone:
            yield Batch(at, [one])
        else:
            gathered.append(one)
        last = at
    if gathered:
        random.shuffle(gathered)
        yield Batch(last, gathered)


def world(seed: int, *, tenants: int = 2, steps: int = 150, whole: bool = False) -> World:
    """The world of a seed; `steps` inputs for each tenant, and some duplicates.

    A `whole` one has what only the database knows too.
    """
    found = [_Author(Random(f"{seed}/{n}"), n).tenant(steps) for n in range(tenants)]
    of = World(seed, found)
    if not whole:
        return of
    return World(seed, [_whole(Random(f"{seed}/{n} late"), of, n) for n in range(tenants)])


def _whole(random: Random, of: World, number: int) -> Tenant:
    tenant = of.tenants[number]
    closes = upheavals.closes(random, tenant.setup, tenant.inputs, of.end)
    deeds = upheavals.deeds(random, tenant.inputs, of.end)
    inputs = sorted([*tenant.inputs, *closes, *deeds], key=fact_order)
    late = upheavals.late_facts(random, tenant.setup, inputs, of.end)
    if of.seed % PUBLISHED_OF == 0:
        books = upheavals.books(random, tenant.setup, RULES["book"], inputs, of.end)
        inputs = sorted([*inputs, *books], key=fact_order)
    conflicts = upheavals.conflicts(random, inputs)
    if of.restless:
        withdrawn = upheavals.withdrawals(Random(f"{of.seed}/{number} withdrawn"), inputs, of.end)
        inputs = sorted([*inputs, *withdrawn], key=fact_order)
    return replace(tenant, inputs=inputs, late=late, conflicts=conflicts)


class _Author:
    """Who makes up one tenant."""

    def __init__(self, random: Random, number: int) -> None:
        self.random = random
        self.key = f"bazaar-{number}"
        self.zones = random.choice(ZONES)
        self.plan = random.choice(("small", "small", "talk"))
        self.now = START + timedelta(seconds=random.randrange(86_400))
        #: Instants at which something ends, and whose: number and contact.
        self.soon: list[tuple[datetime, str, str]] = [(edge, "", "") for edge in self._edges()]
        self.inputs: list[Json] = []
        self.top_ups: list[str] = []
        self.messages: list[Json] = []  #: data of messages that may get another status
        # Contacts are few, so that their windows meet; many are Indonesian, for there tiers are.
        self.phones = [*random.sample(PHONES[:2], 2), *random.sample(PHONES[2:], 2)]
        self.talking = self.phones[0]
        self.number = ""  #: whose window ends just now
        self.heard = ("", self.talking)  #: who wrote last, and to whom
        self.ids = 0

    def _edges(self) -> Iterator[datetime]:
        """Midnights of the months and the evenings before, and hours at which clocks change."""
        for name in self.zones:
            for month in (10, 11):
                midnight = datetime(2026, month, 1, tzinfo=ZoneInfo(name)).astimezone(UTC)
                yield from (midnight - timedelta(hours=3), midnight)
        yield datetime(2026, 10, 3, 15, 30, tzinfo=UTC)
        yield datetime(2026, 10, 25, 1, tzinfo=UTC)
        yield datetime(2026, 11, 1, 6, tzinfo=UTC)

    def tenant(self, steps: int) -> Tenant:
        # Few steps must pass months too.
        mean = timedelta(days=DAYS - 5) / steps
        for _ in range(steps):
            self._move(mean)
            self._step()
        end = START + timedelta(days=DAYS)
        inputs = [one for one in self.inputs if one["time"] < end.isoformat()]
        numbers = [
            {"channel": channel, "address": address, "zone": self.zones[second]}
            for channel, address, second in NUMBERS
        ]
        setup = {
            "tenant": self.key, "zone": self.zones[0], "country": "ID", "plan": self.plan,
            "numbers": numbers,
        }  # fmt: skip
        return Tenant(setup, sorted(inputs, key=fact_order))

    def _move(self, mean: timedelta) -> None:
        """Let time pass: often little, sometimes to an instant at which something ends."""
        chance = self.random.random()
        self.soon = sorted(edge for edge in self.soon if edge[0] > self.now)
        self.number = ""
        if chance < 0.1:
            return
        if chance < 0.35 and self.soon and self.soon[0][0] - self.now < timedelta(days=4):
            at, self.number, contact = self.random.choice(self.soon[:2])
            self.talking = contact or self.talking
            edge = timedelta(microseconds=self.random.choice((-1_000_000, -1, 0, 0, 0, 1)))
            self.now = max(self.now, at + edge)
        elif chance < 0.75:
            self.now += timedelta(seconds=self.random.randrange(1, 1200))
        else:
            self.now += mean * 3 * self.random.random()
            self.now = self.now.replace(microsecond=self.random.choice((0, 0, 1, 999_999)))

    def _ends(self, event: Json, *hours: int) -> None:
        """Note that something ends so many hours after an event."""
        data = event["data"]
        contact = data["contact"] if data["contact"] in PHONES else ""
        self.soon += [(self.now + timedelta(hours=each), data["number"], contact) for each in hours]

    def _step(self) -> None:
        if self.number and self.random.random() < 0.7:
            self.random.choice((self._delivered, self._delivered, self._received))()
            return
        kinds, weights = zip(*STEPS, strict=True)
        (kind,) = self.random.choices(kinds, weights)
        getattr(self, f"_{kind}")()

    # Facts

    def _event(self, type_: str, channel: str, **data: Any) -> Json:
        self.ids += 1
        said = {name: value for name, value in data.items() if value}
        event = {
            "specversion": "1.0",
            # Ids are in no order of time, for of one instant the smaller comes first.
            "id": f"{self.random.randrange(16**6):06x}-{self.ids}",
            "source": self.random.choice(("crm", "gateway")),
            "type": type_,
            "time": self.now.isoformat(),
            "subject": self.key,
            "data": {"number": self._number(channel), **said},
        }
        self.inputs.append(event)
        return event

    def _number(self, channel: str) -> str:
        addresses = [address for own, address, _ in NUMBERS if own == channel]
        if self.number in addresses:
            return self.number
        # A contact mostly talks with one number.
        return addresses[0] if self.random.random() < 0.8 else self.random.choice(addresses)

    def _contact(self, channel: str) -> str:
        if channel not in ("whatsapp", "sms", "voice"):
            return self.random.choice(("ana", "ben", "cho"))
        if not self.number and self.random.random() < 0.5:
            self.talking = self.random.choice(self.phones)
        return self.talking

    def _user(self) -> Json:
        return {
            "user": self.random.choice(("", "", "ana", "budi")),
            "broadcast": self.random.choice(("", "", "", "sale")),
        }

    def _received(self) -> None:
        channel = self.random.choice(("whatsapp", "whatsapp", "whatsapp", "livechat"))
        channel = "whatsapp" if self.number else channel
        ad = channel == "whatsapp" and self.random.random() < 0.25
        group = {"id": "friends", "members": []} if self.random.random() < 0.05 else None
        event = self._event(
            "message.received", channel, contact=self._contact(channel),
            entry="ad" if ad else "", group=group,
        )  # fmt: skip
        self._ends(event, 24)
        if channel == "whatsapp":
            self.heard = (event["data"]["number"], event["data"]["contact"])

    def _delivered(self) -> None:
        category = self.random.choice(
            ("service",) * 8 + ("marketing",) * 4 + ("utility",) * 3
            + ("authentication", "newsletter", "")
        )  # fmt: skip
        message_id = self.random.choice(("", f"m{self.ids}"))
        data = {
            "contact": self._contact("whatsapp"), "message_id": message_id, "category": category,
            "template": "" if category == "service" else "hello", **self._user(),
        }  # fmt: skip
        kinds = ("message.delivered",) * 6 + ("message.sent", "message.read")
        event = self._event(self.random.choice(kinds), "whatsapp", **data)
        self._status(event)
        self._ends(event, 24, 72)

    def _text(self) -> None:
        kinds = ("message.sent",) * 4 + ("message.delivered", "message.failed")
        data = {
            "contact": self._contact("sms"), "message_id": f"s{self.ids}",
            "segments": self.random.choice((0, 1, 1, 2, 3, 5)), **self._user(),
        }  # fmt: skip
        self._status(self._event(self.random.choice(kinds), "sms", **data))

    def _status(self, event: Json) -> None:
        """Other statuses of the message may follow, in whatever order."""
        if "message_id" in event["data"]:
            self.messages.append(event)

    def _again(self) -> None:
        """Another status of a message (EV-5), or an event once more (EV-1)."""
        if not self.inputs:
            return
        if self.messages and self.random.random() < 0.8:
            event = self.random.choice(self.messages[-8:])
            kind = self.random.choice(("sent", "delivered", "read", "played", "failed"))
            self.ids += 1
            self.inputs.append(
                event | {"id": f"again-{self.ids}", "type": f"message.{kind}",
                         "time": self.now.isoformat()}
            )  # fmt: skip
        else:
            self.inputs.append(self.random.choice(self.inputs[-20:]))

    def _call(self) -> None:
        channel = self.random.choice(("voice", "whatsapp"))
        if channel == "whatsapp" and self.random.random() < 0.7:
            self.number, self.talking = self.heard
        direction = "in" if channel == "whatsapp" else self.random.choice(("in", "out", "out"))
        # Messages come while a long call lasts; the call is taken when it has ended.
        lengths = (0, 0, 1, 29, 30, 31, 59, 61, 95, 200, 1801, 5400)
        seconds = self.random.choice(lengths if channel == "voice" else (0, 1801, 5400, 5400))
        self._event(
            "call.ended", channel, contact=self._contact(channel), direction=direction,
            seconds=seconds,
        )  # fmt: skip
        # Its length is said even where it is 0.
        self.inputs[-1]["data"]["seconds"] = seconds
        if not seconds and self.random.random() < 0.3:
            self.inputs[-1]["data"]["answered"] = True

    def _session(self) -> None:
        if self.random.random() < 0.4:
            self._event("session.ended", "bot", **self._user())
        else:
            seconds = self.random.choice((0, 5, 60, 61, 75, 76, 400))
            self._event("session.ended", "ai_agent", seconds=seconds)

    def _email(self) -> None:
        quantity = self.random.choice((0, 1, 2, 3, 5))
        self._event("email.sent", "email", contact="ana@example.com", quantity=quantity)

    def _recorded(self) -> None:
        quantity = self.random.choice(("0.000001", "0.5", "1", "2.75", "3", "7.123457"))
        meter = "tokens" if self.random.random() < 0.9 else "storage"
        self._event("usage.recorded", "ai_agent", meter=meter, quantity=quantity)

    # Account actions: one an instant, for what is accepted at once has an order of its own.

    def _act(self, kind: str, **more: Any) -> str:
        self.ids += 1
        self.now += timedelta(microseconds=7)
        key = f"{kind}-{self.ids}"
        self.inputs.append({"action": kind, "key": key, "time": self.now.isoformat(), **more})
        return key

    def _amount(self, balance: str) -> str:
        amounts = {
            "conversations": ("1", "2", "5"), "visitors": ("1", "3"), "credits": ("1", "4", "10"),
            "seconds": ("30", "100", "600"), "main": ("0.05", "0.4", "1.234567"),
            "texts": ("0.1", "0.333333", "2"),
        }  # fmt: skip
        return self.random.choice(amounts[balance])

    def _balance(self) -> str:
        names = ("conversations", "visitors", "seconds", "credits", "main", "texts", "main")
        return self.random.choice(names)

    def _top_up(self) -> None:
        balance = self._balance()
        more: Json = {"balance": balance, "amount": self._amount(balance)}
        if self.random.random() < 0.2:
            more["source"] = "promotion"
        elif self.random.random() < 0.3:
            # From later on, or dated back.
            starts = self.now + timedelta(days=self.random.randrange(-4, 9), seconds=1)
            more["starts"] = max(starts, START).isoformat()
            self.soon.append((starts, "", ""))
        if self.random.random() < 0.3:
            expires = self.now + timedelta(days=self.random.randrange(9, 30))
            more["expires"] = expires.isoformat()
            self.soon.append((expires, "", ""))
        key = self._act("top_up", **more)
        if "source" not in more:
            self.top_ups.append(key)

    def _adjust(self) -> None:
        balance = self._balance()
        sign = self.random.choice(("", "-"))
        self._act("adjustment", balance=balance, amount=sign + self._amount(balance))

    def _refund(self) -> None:
        if self.top_ups:
            amount = self.random.choice(("0.02", "0.1", "1"))
            self._act("refund", top_up=self.random.choice(self.top_ups), amount=amount)

    def _take_back(self) -> None:
        if self.top_ups:
            place = self.random.randrange(len(self.top_ups))
            self._act("take_back", top_up=self.top_ups.pop(place))

    def _change_plan(self) -> None:
        self._act("plan_change", plan=self.random.choice(("small", "large", "large", "talk", None)))

    def _change_zone(self) -> None:
        zone = self.random.choice(ZONES)[0]
        number = self.random.choice((None, None, None, *(address for _, address, _ in NUMBERS)))
        self._act("zone_change", zone=zone, **({"number": number} if number else {}))


#: Channel, address, and whether it stands in the second zone.
NUMBERS = (
    ("whatsapp", "6280000000001", False),
    ("whatsapp", "6280000000002", True),
    ("sms", "6280000000003", True),
    ("voice", "6280000000004", False),
    ("email", "hello@example.com", False),
    ("livechat", "shop", True),
    ("ai_agent", "agent", False),
    ("bot", "bot", True),
)

#: What happens, and how often.
STEPS = (
    ("received", 22), ("delivered", 38), ("text", 8), ("again", 8), ("call", 9), ("session", 4),
    ("email", 3), ("recorded", 4), ("top_up", 5), ("adjust", 3), ("refund", 1.5),
    ("take_back", 0.7), ("change_plan", 1.5), ("change_zone", 1.5),
)  # fmt: skip
