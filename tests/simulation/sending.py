"""A sender that asks before it sends, at random: what it does to the product and to the model.

Owns the steps of a world, what is compared after each, and how Valkey is taken away. The model is
`holding`; what is left is summed here from the rows of lots.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from redis.asyncio import Redis

from api import ids
from api.desk import Desk
from api.directory import Directory
from api.operations import authorize, hold_release, sending_set
from api.operations.hold_release import HoldRelease
from api.operations.sending_set import SendingSet
from api.outage import Outage
from api.rounds import Tools
from api.sends import Granted, Group, Send
from api.settling import Cause, Settling
from api.verifying import Verifying
from domain.asking import Reason, Refusal
from domain.facts import Flag
from domain.money import text
from domain.periods import DAY, HOUR, MINUTE, SECOND, iso
from domain.problems import Problem
from persistence import keys
from persistence.held import Held, held
from persistence.sweep import Sweep
from persistence.valkey import AWAY
from tests.scenarios.world import OPERATOR, Json, World
from tests.simulation.acting import CHARGE
from tests.simulation.holding import Hold, total
from tests.wire.proxy import Proxy

UNIT = 1_000_000
#: 29 October 2026, 17:00 in Jakarta; its month ends two days and seven hours later.
START = 1_793_268_000_000_000
LOOKS = 2_000
PRICES = {"utility": 356_650_000, "marketing": 586_330_000}
WHATSAPP, VOICE, SMS = "+6281110000001", "+12025550101", "+12025550100"
OVERSPENT = Flag.OVERDRAWN | Flag.OVER_HOLD | Flag.LATE_COMMIT | Flag.UNKNOWN_HOLD
FLAGS = {"late": Flag.LATE_COMMIT, "over": Flag.OVER_HOLD, "unknown": Flag.UNKNOWN_HOLD}
NOBODY = "hld_" + "A" * 80

ROWS = """
select hold_id, expires_at, lasts_until, total, back, sent, ended_at from holds
where tenant_id = $1"""
LEFT = """
select b.key, sum(l.amount - l.used - l.moved)::bigint as left,
    bool_or(l.source = 1 and l.month = $3) as granted
from balances b left join lots l on l.tenant_id = b.tenant_id and l.balance_id = b.balance_id
    and l.starts_at <= $2 and (l.ends_at is null or l.ends_at > $2)
where b.tenant_id = $1 group by b.key"""
DAYS = """
select l.lot_id from lots l where l.tenant_id = $1 and (l.used, l.moved) <> (
    select coalesce(sum(d.used), 0), coalesce(sum(d.moved), 0) from lot_days d
    where d.tenant_id = l.tenant_id and d.lot_id = l.lot_id)"""
OVERDRAWN = "select count(*) from lots where tenant_id = $1 and source = 5 and used > 0"
FLAGGED = "select count(*) from facts where tenant_id = $1 and flags & $2 <> 0"
FLAGS_OF = "select flags from facts where tenant_id = $1 and id = $2"
VERSION = "select version from tenant_head where tenant_id = $1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A sort of sender: its plan, and what it begins with."""

    plan: str
    zone: str
    hours: int  #: of its zone before UTC
    currency: str = "IDR"
    numbers: tuple[tuple[str, str], ...] = (("whatsapp", WHATSAPP),)
    allowances: tuple[str, ...] = ()  #: balances of a thousand units a month
    begins: tuple[tuple[str, int], ...] = ()
    packs: tuple[tuple[str, int], ...] = ()  #: what top-ups may be


KINDS = (
    Kind(
        plan="omnichannel-idr", zone="Asia/Jakarta", hours=7,
        allowances=("conversations", "visitors"),
        begins=(("conversations", -994 * UNIT), ("whatsapp", 3_500 * UNIT)),
        packs=(("conversations", 2 * UNIT), ("whatsapp", 1_500 * UNIT), ("whatsapp", 400 * UNIT)),
    ),
    Kind(
        plan="omnichannel-mcc-idr", zone="Asia/Jakarta", hours=7,
        allowances=("conversations", "visitors"),
        begins=(("conversations", -991 * UNIT),), packs=(("conversations", 3 * UNIT),),
    ),
    Kind(
        plan="contact-center-usd", zone="America/Los_Angeles", hours=-7, currency="USD",
        numbers=(("voice", VOICE), ("sms", SMS)),
        begins=(("voice_outbound", 120_000), ("sms", 130_000)),
        packs=(("voice_outbound", 40_000), ("sms", 50_000)),
    ),
)  # fmt: skip


@dataclass(eq=False, slots=True)
class Known:
    """A hold that was granted: what was asked, what was answered, and the model of it."""

    send: Send
    answer: Granted
    model: Hold
    service: bool = False
    charged: set[str] = field(default_factory=set)  #: messages


@dataclass(frozen=True, slots=True)
class Wanted:
    """A send, and what each of its recipients needs, in order."""

    send: Send
    contacts: tuple[str, ...]
    balance: str
    each: int
    free: frozenset[str] = frozenset()  #: who needs nothing
    rest: bool = False  #: who cannot be paid by the balance is counted, and free


class Sender:
    """A tenant, two desks that decide for it, and a model that knows what must be held."""

    def __init__(self, world: World, valkey: Redis, desks: list[Desk], seed: int) -> None:
        self.world = world
        self.valkey = valkey  #: as it is, whatever is between it and the desks
        self.desks = desks
        self.seed = seed
        self.chance = Random(seed)
        self.kind = KINDS[seed % len(KINDS)]
        self.name = f"w-{seed}"
        self.known: list[Known] = []
        self.open: dict[str, bool] = {}  #: conversations that are paid, by contact
        self.opened: dict[str, int] = {}
        self.wrote: dict[str, int] = {}
        self.numbers = itertools.count()
        self.captured: set[str] = set()  #: messages that were charged
        self.done: list[str] = []
        self.told: Counter[str] = Counter()  #: what came about, so that nobody tests nothing
        self.fresh = False  #: whether the next question is put to who looks anew
        self.away = False
        self.granted_away: Counter[str] = Counter()
        self.fail_open: dict[str, int] = {}

    # Where things stand.

    @property
    def now(self) -> int:
        return self.world.clock.at

    @property
    def tenant_id(self) -> int:
        return self.world.tenants[self.name].tenant_id

    def must_be_held(self) -> Counter[str]:
        return +total(known.model.held(self.now) for known in self.known)

    async def left(self) -> dict[str, int]:
        """What lots have left, before anything is held."""
        days = (self.now + self.kind.hours * HOUR) // DAY
        year, month = _month(days)
        found = {}
        for row in await self.world.rows(self.name, LEFT, self.now, year * 12 + month - 1):
            untouched = row["key"] in self.kind.allowances and not row["granted"]
            found[row["key"]] = (row["left"] or 0) + (1_000 * UNIT if untouched else 0)
        return found

    async def available(self) -> dict[str, int]:
        aside = self.must_be_held()
        return {name: amount - aside[name] for name, amount in (await self.left()).items()}

    async def in_rows(self) -> Counter[str]:
        """What rows of holds set aside at this instant, by field."""
        found: Counter[str] = Counter()
        for row in await self.world.rows(self.name, ROWS):
            if row["ended_at"] is not None or self.now >= row["lasts_until"]:
                continue
            aside = Counter(dict(json.loads(row["total"])))
            aside.subtract(dict(json.loads(row["back"])))
            if self.now >= row["expires_at"]:
                aside = Counter(dict(json.loads(row["sent"])))
            found.update(aside)
        return +found

    async def in_valkey(self) -> Counter[str] | None:
        """The same as Valkey has it; None where something came between two looks."""
        told: dict[int, Held] = await held(self.valkey, {self.tenant_id: self.now})
        raw: Any = await self.valkey.hgetall(keys.standing(self.tenant_id)[1])
        fields = {name.decode(): value.decode() for name, value in raw.items()}
        found = Counter({name: int(fields[name]) for name in fields if ":" in name})
        of_balances = {name[5:]: amount for name, amount in found.items() if name[:5] == "left:"}
        return +found if of_balances == told[self.tenant_id].amounts else None

    def said(self) -> str:
        """What was done, to be read where it went wrong."""
        lines = "\n  ".join(self.done[-25:])
        return f"seed {self.seed}, `--world {self.seed}`; at last:\n  {lines}"

    async def agree(self) -> None:
        """OC-2: held in Valkey, by the rows and in the model; the version shown is the latest."""
        right = self.must_be_held()
        rows = await self.in_rows()
        assert _balances(rows) == right, (right, rows, self.said())
        if self.away:
            return
        for look in range(LOOKS):
            version = (await self.world.row(self.name, VERSION))["version"]
            shown = await self.valkey.hget(keys.balances(self.tenant_id), "version")
            found = await self.in_valkey()
            if found == rows and (version == 0 or int(shown or 0) >= version):
                return
            await asyncio.sleep(0.002 if look < 100 else 0.02)
        raise AssertionError(f"Valkey has {found}, the rows {rows}\n{self.said()}")

    async def sound(self) -> None:
        """OC-3, OC-4, BA-11: sums are right, and nobody overspent without a flag."""
        assert not await self.world.rows(self.name, DAYS), self.said()
        (overdrawn,) = await self.world.row(self.name, OVERDRAWN)
        (flagged,) = await self.world.row(self.name, FLAGGED, OVERSPENT)
        assert not overdrawn or flagged, self.said()

    async def verified(self) -> None:
        found = await Verifying(self.world.door, self.world.catalogue, self.world.clock.now).verify(
            self.tenant_id
        )
        assert not found.wrong, (found.findings, self.said())

    # What is asked.

    async def begin(self) -> None:
        self.world.clock.at = START
        kind = self.kind
        await self.world.tenant(
            self.name, plan=kind.plan, timezone=kind.zone, currency=kind.currency
        )
        for channel, address in kind.numbers:
            await self.world.number(self.name, channel, channel, address)
        for balance, amount in kind.begins:
            await self.change(balance, amount)

    async def change(self, balance: str, amount: int) -> None:
        key = f"change {next(self.numbers)}"
        if amount > 0:
            await self.world.top_up(self.name, balance, amount, key=key)
        else:
            await self.world.adjust(self.name, balance, amount, key=key)

    async def ask(self, sends: list[Send], desk: int | None = None) -> list[Any]:
        desk = self.chance.randrange(len(self.desks)) if desk is None else desk
        if self.fresh:
            self.desks[desk]._tools.snapshots.clear()
        directory = self.desks[desk]._tools.directory
        found = await authorize.run(self.desks[desk], directory, OPERATOR, sends, now=self.now)
        return [each.answer for each in found]

    def wanted(self, *, single: bool = False) -> Wanted:
        """Some send, and what it needs."""
        if self.kind.currency == "USD":
            return self._by_amount(single)
        send: dict[str, Any] = {
            "key": f"k{next(self.numbers)}",
            "tenant": self.name,
            "number": WHATSAPP,
        }
        count = 1 if single or self.chance.random() < 0.5 else self.chance.randrange(2, 7)
        fit = self._writers() if self.kind is KINDS[0] else []
        service = bool(fit) and self.chance.random() < 0.4
        among = fit if service else [contact(n) for n in range(12)]
        contacts = tuple(self.chance.sample(among, min(count, len(among))))
        count = len(contacts)
        category = "service" if service else self.chance.choice(tuple(PRICES))
        send_of: dict[str, Any] = {"category": category}
        if count == 1:
            send_of["contact"] = contacts[0]
        elif self.kind is KINDS[0] and not service and self.chance.random() < 0.3:
            send_of["group"] = Group(id="family", members=list(contacts))
            send_of["category"] = category = "utility"
        else:
            # Who stands twice counts once.
            named = [*contacts, contacts[0]] if self.chance.random() < 0.2 else [*contacts]
            send_of |= {"recipients": named, "allow_partial": self.chance.random() < 0.5}
        asked = Send(**send, **send_of)
        if self.kind is KINDS[0] and not service:
            return Wanted(asked, contacts, "whatsapp", PRICES[category])
        free = frozenset(each for each in contacts if self._inside(each))
        return Wanted(asked, contacts, "conversations", UNIT, free, service)

    def _writers(self) -> list[str]:
        """Who wrote lately, and has no conversation that nobody paid for."""
        return [
            each for each, at in self.wrote.items()
            if self.now < at + DAY and (self.open.get(each, True) or not self._inside(each))
        ]  # fmt: skip

    def _inside(self, who: str) -> bool:
        return who in self.opened and self.now < self.opened[who] + DAY

    def _by_amount(self, single: bool) -> Wanted:
        key = f"k{next(self.numbers)}"
        count = 1 if single or self.chance.random() < 0.6 else self.chance.randrange(2, 5)
        contacts = tuple(f"+1202555{n:04}" for n in self.chance.sample(range(200, 212), count))
        sms = count > 1 or self.chance.random() < 0.4
        whom: dict[str, Any] = (
            {"contact": contacts[0]} if count == 1
            else {"recipients": list(contacts), "allow_partial": self.chance.random() < 0.5}
        )  # fmt: skip
        if sms:
            segments = self.chance.randrange(1, 4)
            send = Send(key=key, tenant=self.name, number=SMS, units=segments, **whom)
            return Wanted(send, contacts, "sms", segments * 12_500)
        seconds = self.chance.choice((None, 30, 61, 120))
        send = Send(key=key, tenant=self.name, number=VOICE, units=seconds, **whom)
        return Wanted(send, contacts, "voice_outbound", call_price(seconds or 60))

    async def grant(self) -> None:
        await self.put(self.wanted())

    async def put(self, wanted: Wanted, replaces: Known | None = None) -> None:
        """Ask for one send alone, and hold the answer against the model."""
        before = await self.available()
        if replaces is not None:
            for name, amount in replaces.model.held(self.now).items():
                before[name] += 0 if self.away else amount
        # What is told beside is as of the desk's last look.
        self.fresh = self.chance.random() < 0.5
        (answer,) = await self.ask([wanted.send])
        fresh, self.fresh = self.fresh or self.away, False
        # A service message without a unit is free; the category may be one the number serves.
        shares, paid = self._paid(wanted, before[wanted.balance])
        needed = len(wanted.contacts) - len(wanted.free)
        self.done.append(f"{wanted.send} of {before} -> {answer}")
        if self.away and isinstance(answer, Refusal) and answer.reason is Reason.UNAVAILABLE:
            limit = self.fail_open.get(wanted.balance, 0)
            sure = total(amounts for _, amounts in shares)
            over = self.granted_away[wanted.balance] + sure[wanted.balance] > limit
            assert over or not self.fail_open, self.said()
            self.told["unavailable"] += 1
            return
        if paid:
            assert isinstance(answer, Granted), self.said()
            assert answer.recipients == len(shares), self.said()
            known = self.keep(wanted, answer, shares)
            if replaces is not None and not self.away:
                replaces.model.over = True
            aside = total(share.amounts for share in known.model.shares.values())
            asked = {wanted.balance, answer.balance}
            assert all(before[name] >= aside[name] for name in asked if name and aside[name]), (
                self.said()
            )
            if answer.balance is not None and replaces is None and fresh:
                left = before[answer.balance] - aside[answer.balance]
                assert answer.remaining == left, (left, self.said())
            self.told["granted"] += 1
            self.told["varied"] += len({*map(str, dict(shares).values())}) > 1
            self.told["partly"] += len(shares) < len(wanted.contacts)
            return
        assert isinstance(answer, Refusal), self.said()
        assert answer.reason is Reason.INSUFFICIENT_BALANCE, self.said()
        there = max(before[wanted.balance], 0)
        assert answer.available == there or not fresh, (there, self.said())
        assert answer.required == needed * wanted.each > there or wanted.send.allow_partial
        self.told["refused"] += 1

    def _paid(self, wanted: Wanted, there: int) -> tuple[list[tuple[str, dict[str, int]]], bool]:
        """The shares that can be paid, in order, and whether the send is granted."""
        shares: list[tuple[str, dict[str, int]]] = []
        for each in wanted.contacts:
            if each in wanted.free:
                shares.append((each, {}))
            elif there >= wanted.each:
                there -= wanted.each
                shares.append((each, {wanted.balance: wanted.each}))
            elif wanted.rest:
                shares.append((each, {}))
            else:
                break
        whole = len(shares) == len(wanted.contacts)
        return shares, whole or (wanted.send.allow_partial and bool(shares))

    def keep(
        self, wanted: Wanted, answer: Granted, shares: list[tuple[str, dict[str, int]]]
    ) -> Known:
        model = Hold(shares, self.now, 600 * SECOND, DAY)
        assert answer.expires_at == model.expires
        known = Known(wanted.send, answer, model, wanted.rest)
        self.known.append(known)
        if self.away:
            self.granted_away.update(model.total)
        return known

    async def burst(self) -> None:
        """OC-2: many at once at both desks, more than there is: exactly as many are granted."""
        wanted: list[Wanted] = []
        while len(wanted) < 9:
            one = self.wanted(single=True)
            first = wanted[0] if wanted else one
            if (
                not one.free
                and not one.rest
                and (one.balance, one.each)
                == (
                    first.balance,
                    first.each,
                )
            ):
                wanted.append(one)
        there = (await self.available())[wanted[0].balance]
        halves = (wanted[::2], wanted[1::2])
        answers = await asyncio.gather(
            *(self.ask([each.send for each in half], desk) for desk, half in enumerate(halves))
        )
        granted = 0
        for half, told in zip(halves, answers, strict=True):
            for each, answer in zip(half, told, strict=True):
                if isinstance(answer, Granted):
                    granted += 1
                    self.keep(each, answer, [(each.contacts[0], {each.balance: each.each})])
        refused = Counter(
            answer.reason if isinstance(answer, Refusal) else repr(answer)
            for told in answers for answer in told if not isinstance(answer, Granted)
        )  # fmt: skip
        self.done.append(f"a burst of {wanted[0]}: {granted} granted, {refused}")
        if self.away:
            assert granted * wanted[0].each <= max(there, 0), self.said()
            return
        right = min(len(wanted), max(there, 0) // wanted[0].each)
        assert granted == right, (granted, right, self.said())
        self.told["burst"] += granted < len(wanted)

    async def again(self) -> None:
        """OC-3: the same key gives the same answer, whatever became of the hold."""
        if not self.known:
            return
        known = self.chance.choice(self.known)
        (answer,) = await self.ask([known.send])
        assert answer == known.answer, self.said()
        self.told["again"] += 1

    async def call_goes_on(self) -> None:
        """OC-3: a hold of more seconds in the place of the one before."""
        calls = [
            known for known in self.known
            if known.send.number == VOICE and known.model.held(self.now)
        ]  # fmt: skip
        if not calls:
            return
        known = self.chance.choice(calls)
        seconds = self.chance.choice((90, 150, 300))
        (contact_of,) = known.model.shares
        send = Send(
            key=f"k{next(self.numbers)}", tenant=self.name, number=VOICE, contact=contact_of,
            units=seconds, hold=known.answer.hold,
        )  # fmt: skip
        wanted = Wanted(send, (contact_of,), "voice_outbound", call_price(seconds))
        await self.put(wanted, known)
        self.told["goes on"] += 1

    async def release(self) -> None:
        if not self.known:
            return
        known = self.chance.choice(self.known[-12:])
        request = HoldRelease(tenant=self.name, hold=known.answer.hold)
        done = await hold_release.run(
            self.world.door, self.world.catalogue, self.desks[0]._tools.valkey, OPERATOR, request,
            now=self.now,
        )  # fmt: skip
        self.done.append(f"release of {known.send.key}: {done.released}")
        assert done.released == known.model.release(self.now), self.said()
        self.told["released"] += done.released

    # What happens.

    async def fact(self) -> None:
        """Something of a hold: in time or late, of its recipients or of nobody it named."""
        fit = self.known[-15:]
        alive = [known for known in fit if known.model.held(self.now)]
        if not fit:
            return
        known = self.chance.choice(alive if alive and self.chance.random() < 0.8 else fit)
        contacts = list(known.model.shares)
        who = self.chance.choice(contacts)
        named, id = self._named(known, who)
        kind, data = self._told(known, who)
        at = self.now
        if self.kind is KINDS[0] and not known.service and self.chance.random() < 0.2:
            at -= self.chance.randrange(12 * MINUTE)
        await self.tell(kind, who, at, id, named, data)

    def _named(self, known: Known, who: str) -> tuple[Known | None, str | None]:
        """Which hold a fact says it is of."""
        turn = self.chance.random()
        if turn < 0.06:
            return None, None
        if turn < 0.12:
            return None, NOBODY
        others = [
            other for other in self.known
            if who in other.model.shares and other.send.number == known.send.number
        ]  # fmt: skip
        if turn < 0.25 and others:
            known = self.chance.choice(others)
        return known, known.answer.hold

    def _told(self, known: Known, who: str) -> tuple[str, Json]:
        if known.send.number == VOICE:
            asked = known.send.units or 60
            seconds = self.chance.choice((asked, asked // 2, asked + 30))
            return "call.ended", {
                "direction": "out", "seconds": seconds, "answered": self.chance.random() < 0.85,
            }  # fmt: skip
        data: Json = {"message_id": f"{known.send.key}/{who}"}
        if self.chance.random() < 0.1:
            data["message_id"] += " again"
        if known.send.number == SMS:
            kind = self.chance.choice(("sent", "sent", "delivered", "failed"))
            return f"message.{kind}", data | {"segments": known.send.units}
        kind = self.chance.choice(("delivered", "delivered", "read", "sent", "failed"))
        data["category"] = known.send.category
        if known.send.category != "service":
            data["template"] = "x"
        if known.send.group is not None:
            data["group"] = {"id": "family", "members": known.send.group.members}
        return f"message.{kind}", data

    async def tell(
        self, kind: str, who: str, at: int, hold: str | None, named: Known | None, data: Json
    ) -> None:
        """Tell one fact, and hold what became of it against the model."""
        number = {"call.ended": VOICE}.get(kind, SMS if "segments" in data else WHATSAPP)
        id = f"f{next(self.numbers)}"
        event = {
            "id": id, "source": "s", "type": kind, "subject": self.name, "time": iso(at),
            "data": {"number": number, "contact": who, **data} | (
                {} if hold is None else {"hold": hold}
            ),
        }  # fmt: skip
        (result,) = await self.world.send([event])
        self.done.append(f"{event} -> {result}")
        assert result["status"] in ("accepted", "adjusted"), (result, self.said())
        message = f"{data.get('message_id', id)} {number}"
        captured = self.captured
        answered = data.get("answered", True)
        charges = kind in ("message.delivered", "message.read", "call.ended") and answered
        charges = charges or (number == SMS and kind == "message.sent")
        flags: set[str] = set()
        if message in captured and kind != "message.failed":
            pass
        elif charges:
            drawn: Counter[str] = Counter()
            for part in result["charges"]:
                drawn[part["balance"]] += int(Decimal(part["amount"]) * UNIT)
            drawn = +drawn
            captured.add(message)
            if self.kind is not KINDS[2] and not self._inside_at(who, at):
                self.opened[who] = at
                self.open[who] = self.kind is KINDS[1] or "conversations" in drawn
            if named is not None:
                flags = named.model.capture(who, at, drawn)
            elif hold is not None:
                flags = {"unknown"}
        elif named is not None and kind == "message.sent":
            named.model.send(who, at)
        elif named is not None and kind in ("message.failed", "call.ended"):
            named.model.end(who)
        (found,) = await self.world.row(self.name, FLAGS_OF, id)
        of_holds = {name for name, flag in FLAGS.items() if found & flag}
        assert of_holds == flags, (of_holds, flags, self.said())
        self.told.update(flags)
        self.told[kind] += 1

    def _inside_at(self, who: str, at: int) -> bool:
        return who in self.opened and self.opened[who] <= at < self.opened[who] + DAY

    async def write(self) -> None:
        """Contacts write: their windows are open."""
        if self.kind is not KINDS[0]:
            return
        for n in self.chance.sample(range(100, 110), 4):
            who = contact(n)
            event = {
                "id": f"f{next(self.numbers)}", "source": "s", "type": "message.received",
                "subject": self.name, "time": iso(self.now),
                "data": {"number": WHATSAPP, "contact": who},
            }  # fmt: skip
            await self.world.send([event])
            self.wrote[who] = self.now

    # What goes on around it.

    async def wait(self) -> None:
        self.world.clock.at += self.chance.choice((
            SECOND, 30 * SECOND, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 11 * MINUTE, DAY,
        ))  # fmt: skip
        self.done.append(f"it is {iso(self.now)}")
        await self.turn()

    async def turn(self) -> None:
        """What time alone does."""
        while await self.world.jobs().advance_due():
            pass

    async def month_ends(self) -> None:
        """OC-7: holds that are open then are of the next period."""
        days = (self.now + self.kind.hours * HOUR) // DAY
        month = _month(days)
        while _month(days) == month:
            days += 1
        end = days * DAY - self.kind.hours * HOUR
        if self.now < end - 5 * MINUTE:
            self.world.clock.at = end - 5 * MINUTE
            await self.turn()
            for _ in range(3):
                await self.grant()
            await self.agree()
        aside = self.must_be_held()
        self.world.clock.at = max(end + 2 * MINUTE, self.now)
        self.done.append(f"the month ends with {aside}")
        self.told["month ends"] += bool(aside)
        if self.chance.random() < 0.5:
            await self.turn()
        await self.again()

    async def top_up(self) -> None:
        balance, amount = self.chance.choice(self.kind.packs)
        await self.change(balance, amount)
        self.done.append(f"{amount} of {balance}")

    async def take(self) -> None:
        """An adjustment down, of what is not held too."""
        balance, amount = self.chance.choice(self.kind.packs)
        if 0 < amount <= (await self.left())[balance]:
            await self.change(balance, -amount)
            self.done.append(f"-{amount} of {balance}")

    async def refund(self) -> None:
        rows = await self.world.rows(
            self.name, "select id from facts where tenant_id = $1 and amount > 0 order by id"
        )
        if not rows:
            return
        id = self.chance.choice(rows)["id"]
        (row, *_) = await self.world.rows(self.name, CHARGE, "s", id)
        place = row["at"], row["key"], 0, row["revision"], False
        try:
            await self.world.refund(
                self.name, key=f"r{next(self.numbers)}", charge=ids.encode_charge(*place)
            )
        except Problem as problem:
            self.done.append(f"no refund of {id}: {problem}")
        else:
            self.told["refund"] += 1

    async def settle(self) -> None:
        world = self.world
        settling = Settling(world.door, world.catalogue, world.clock.now, world.show)
        await settling.settle(self.tenant_id, Cause.DEMAND)

    async def flush(self) -> None:
        """Valkey loses everything; whoever asks next finds it whole."""
        self.done.append("flushed")
        self.told["flush"] += bool(self.must_be_held())
        await self.valkey.flushdb()
        while True:
            wanted = self.wanted()
            if wanted.each and set(wanted.contacts) - wanted.free:
                return await self.put(wanted)

    STEPS = (
        (grant, 30), (fact, 34), (wait, 12), (release, 5), (burst, 4), (again, 3), (top_up, 6),
        (take, 2), (write, 4), (refund, 2), (settle, 1), (call_goes_on, 3),
    )  # fmt: skip

    async def step(self, *more: tuple[Any, int]) -> None:
        steps = (*self.STEPS, *more)
        (one,) = self.chance.choices([each for each, _ in steps], [often for _, often in steps])
        await one(self)
        await self.agree()
        await self.sound()

    # Without Valkey.

    async def fail_mode(self, amounts: dict[str, int]) -> None:
        self.fail_open = amounts
        asked = [{"balance": name, "amount": text(amount)} for name, amount in amounts.items()]
        request = SendingSet(tenant=self.name, fields={"fail_open": asked}, reason="of a test")
        done = await sending_set.run(self.world.door, self.world.catalogue, request, now=self.now)
        assert not done.problems, done.problems

    async def goes(self, proxy: Proxy) -> None:
        await proxy.cut()
        self.away = True
        self.granted_away.clear()
        self.done.append("Valkey is away")

    async def comes_back(self, proxy: Proxy) -> None:
        await proxy.restore()
        self.away = False
        for desk in self.desks:
            desk._tools.rest_until = 0.0  # no clock of ours
        self.done.append("Valkey is back")
        tools = self.desks[0]._tools
        sweep = Sweep(tools.valkey, self.world.door, self.world.rebuild, self.world.clock.now)
        while True:
            try:
                await sweep._sweep()
                break
            except AWAY:
                pass  # of connections that were cut
        assert not await self.world.rows(self.name, "select from outages where tenant_id = $1")
        await self.agree()


def call_price(seconds: int) -> int:
    """Of a call to North America: the first 30 seconds at least, then by 6."""
    counted = max(30, -(-seconds // 6) * 6)
    return (14_500 * counted * 2 + 60) // 120


def contact(number: int) -> str:
    return f"+62812{number:08d}"


def _balances(fields: Counter[str]) -> Counter[str]:
    return Counter({
        name[5:]: amount for name, amount in fields.items() if name.startswith("left:")
    })  # fmt: skip


def _month(days: int) -> tuple[int, int]:
    """Year and month of days since 1970."""
    day = date(1970, 1, 1) + timedelta(days=days)
    return day.year, day.month


@asynccontextmanager
async def senders(world: World, valkey: Redis, direct: Redis, seed: int) -> AsyncIterator[Sender]:
    """A sender with two desks, as of two processes."""
    desks = []
    for _ in range(2):
        directory = Directory(world.door, world.catalogue)
        outage = Outage(world.door, world.clock.now)
        desk = Desk(
            Tools(
                valkey=valkey, door=world.door, directory=directory, rebuild=world.rebuild,
                outage=outage, now=world.clock.now,
            )
        )  # fmt: skip
        desk.start()
        desks.append(desk)
    sender = Sender(world, direct, desks, seed)
    try:
        await sender.begin()
        yield sender
    finally:
        for desk in desks:
            await desk.stop()
