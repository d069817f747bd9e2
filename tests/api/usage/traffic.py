"""Made-up traffic of several tenants, and what it comes to by the rows of facts alone.

Owns a count of its own: it reads `facts`, `revisions`, `charges` and `lots` as their owner and adds
them up in Python. It imports nothing of the product, so that a figure the product shows can agree
with it only by being right.
"""

from __future__ import annotations

import json
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

Event = dict[str, Any]

RECEIVED, SENT, DELIVERED, READ, PLAYED, FAILED, CALL, SESSION, EMAIL = range(1, 10)
OPENED, VISITOR, REPEATED = 2, 8, 64
UNRATED = 2
CHANNELS = {1: "whatsapp", 7: "sms", 8: "email", 9: "voice", 10: "video", 12: "bot"}
ALLOWANCE = 1
#: The source of what comes behind a closing.
BEHIND = "late"
SECOND = MILLION = 1_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

CONTACTS = ("+62811000{:04}", "+1213555{:04}", "+57300555{:04}", "+44770090{:04}")
CATEGORIES = ("marketing", "utility", "authentication", "service", "service")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """A tenant of these tests."""

    key: str
    plan: str
    timezone: str
    numbers: tuple[tuple[str, str], ...]
    top_ups: tuple[tuple[str, str], ...]


def micros(at: datetime) -> int:
    """An instant as it is kept."""
    return (at - EPOCH) // timedelta(microseconds=1)


def events(
    shop: Shop, picks: random.Random, first: datetime, last: datetime, many: int
) -> list[Event]:
    """What happened to a tenant, in no order; some of it is told twice, some has failed."""
    made: list[Event] = []
    span = int((last - first).total_seconds())
    for place in range(many):
        channel, address = picks.choice(shop.numbers)
        at = first + timedelta(seconds=picks.randrange(span))
        made += _happening(picks, f"{shop.key}-{place}", channel, address, at, last)
    picks.shuffle(made)
    return [{"source": "traffic", "subject": shop.key, **event} for event in made]


def _happening(
    picks: random.Random, name: str, channel: str, address: str, at: datetime, last: datetime
) -> list[Event]:
    """One thing that happened on a number, as the events that tell of it."""
    phone = picks.choice(CONTACTS).format(picks.randrange(25))
    contact = f"guest{picks.randrange(25)}@example.com" if channel == "email" else phone
    data: dict[str, Any] = {"number": address, "contact": contact}
    if picks.random() < 0.6:
        data["user"] = picks.choice(("ana", "budi", "citra"))

    def event(kind: str, more: dict[str, Any], after: int = 0, part: str = "") -> Event:
        time = min(at + timedelta(seconds=after), last).isoformat()
        return {"id": f"{name}{part}", "type": kind, "time": time, "data": {**data, **more}}

    if channel in ("voice", "video", "bot"):
        seconds = picks.randrange(0, 900)
        if channel == "voice":
            way = picks.choice(("in", "out", "out"))
            answered = seconds > 60
            told = {"direction": way, "seconds": seconds if answered else 0, "answered": answered}
            return [event("call.ended", told)]
        return [event("session.ended", {"seconds": seconds})]
    if channel == "email":
        return [event("email.sent", {"quantity": str(picks.randint(1, 3))})]
    if picks.random() < 0.4:
        return [event("message.received", {})]
    category = picks.choice(CATEGORIES)
    told = {"message_id": name, "category": category}
    if category != "service":
        told["template"] = f"t-{category}"
        if picks.random() < 0.5:
            told["broadcast"] = picks.choice(("spring", "=autumn", "winter"))
    if channel == "sms":
        told["segments"] = picks.randint(1, 3)
    if picks.random() < 0.1:
        return [event("message.failed", told)]
    statuses = ["sent", "delivered", "read"][: picks.choice((2, 2, 3))]
    return [event(f"message.{each}", told, 5 * n, f"-{each}") for n, each in enumerate(statuses)]


FACTS = """
select f.key, f.at, f.arrived_at, f.type, f.country, f.category, f.data::text as data, f.flags,
    f.status, f.source, f.balance_id, f.units, f.amount, f.lot_id, n.address, n.channel
from facts f join numbers n using (tenant_id, number_id)
where tenant_id = $1"""
LATEST = """
select distinct on (key) key, status, flags from revisions where tenant_id = $1
order by key, revision desc"""
FURTHER = """
select key, reversal, balance_id, units, amount, lots, taken from charges where tenant_id = $1"""
LOTS = "select lot_id, source from lots where tenant_id = $1"
MONEY = "select balance_id, kind = 'money' from balances where tenant_id = $1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """One fact and what it counts for."""

    at: int  #: when it counts
    by: dict[str, str]  #: its dimensions
    figures: Counter[str]


async def counted(
    owner: str, tenant: str, money: Sequence[str], closed_until: int
) -> list[Counted]:
    """Everything that happened to a tenant, with what it comes to; `money` names its money.

    What is of before `closed_until` and came behind it counts when it came (EV-3).
    """
    connection = await asyncpg.connect(owner)
    try:
        tenant_id = await connection.fetchval(
            "select tenant_id from tenants where key = $1", tenant
        )
        latest = {row["key"]: row for row in await connection.fetch(LATEST, tenant_id)}
        sources = dict(map(tuple, await connection.fetch(LOTS, tenant_id)))
        keys = await connection.fetch(
            "select balance_id, key from balances where tenant_id = $1", tenant_id
        )
        in_money = {row["balance_id"]: row["key"] in money for row in keys}
        further: dict[bytes, list[tuple[int, Any]]] = {}
        for row in await connection.fetch(FURTHER, tenant_id):
            further.setdefault(row["key"], []).append((-1 if row["reversal"] else 1, row))
        facts = await connection.fetch(FACTS, tenant_id)
    finally:
        await connection.close()
    found = []
    for fact in facts:
        now = latest.get(fact["key"], fact)
        charges = [
            (sign, row["balance_id"], row["units"], row["amount"],
             list(zip(row["lots"], row["taken"], strict=True)))
            for sign, row in further.get(fact["key"], ())
        ]  # fmt: skip
        if fact["balance_id"] is not None:
            legs = [] if fact["lot_id"] is None else [(fact["lot_id"], fact["amount"])]
            charges.append((1, fact["balance_id"], fact["units"], fact["amount"], legs))
        figures = _figures(fact, now, charges, sources, in_money)
        if figures:
            found.append(Counted(at=_at(fact, closed_until), by=_by(fact), figures=figures))
    return found


def _at(fact: asyncpg.Record, closed_until: int) -> int:
    seconds = json.loads(fact["data"]).get("seconds", 0) if fact["type"] == CALL else 0
    began = int(fact["at"] - seconds * SECOND)
    behind = fact["source"] == BEHIND and began < closed_until
    return int(fact["arrived_at"]) if behind else began


def _by(fact: asyncpg.Record) -> dict[str, str]:
    data = json.loads(fact["data"])
    way = "out" if SENT <= fact["type"] <= FAILED or fact["type"] == EMAIL else ""
    if fact["type"] == RECEIVED:
        way = "in"
    return {
        "NUMBER": fact["address"], "CHANNEL": CHANNELS[fact["channel"]],
        "COUNTRY": fact["country"] or "", "CATEGORY": fact["category"] or "",
        "DIRECTION": data.get("direction", way), "USER": data.get("user", ""),
        "BROADCAST": data.get("broadcast", ""),
    }  # fmt: skip


def _figures(
    fact: asyncpg.Record,
    now: Any,
    charges: Sequence[tuple[int, int, int, int, list[tuple[int, int]]]],
    sources: dict[int, int],
    in_money: dict[int, bool],
) -> Counter[str]:
    """What a fact counts for; money and units in millionths."""
    kind, figures = fact["type"], Counter[str]()
    data = json.loads(fact["data"])
    if now["flags"] & REPEATED:
        return figures
    charged = sum(sign for sign, *_ in charges) > 0
    if kind in (SENT, DELIVERED, READ, PLAYED) and (charged or now["status"] == UNRATED):
        figures["MESSAGES_OUT"] = 1
        figures["SEGMENTS"] = data.get("segments", 0)
        figures["CONVERSATIONS"] = int(bool(now["flags"] & OPENED))
    elif kind == RECEIVED:
        figures["MESSAGES_IN"] = 1
        figures["SEGMENTS"] = data.get("segments", 0)
        figures["VISITORS"] = int(bool(now["flags"] & VISITOR))
    elif kind == EMAIL:
        figures["EMAILS"] = int(data["quantity"])
    elif kind == SESSION:
        figures["BOT_SESSIONS"] = 1
        figures["SECONDS_BILLED"] = data["seconds"]
    elif kind == CALL and data["answered"]:
        # What was charged for, of calls alone: minutes begun are whole ones.
        paid_for = sum(sign * units for sign, _, units, _, _ in charges) // MILLION
        figures["SECONDS_BILLED"] = paid_for or data["seconds"]
    for sign, balance_id, units, amount, legs in charges:
        money = in_money[balance_id]
        figures["UNITS"] += sign * units if amount else 0
        figures["COST"] += sign * amount if money else 0
        for lot_id, taken in legs:
            whose = "INITIAL" if sources[lot_id] == ALLOWANCE else "TOP_UP"
            figures[f"{'COST' if money else 'UNITS'}_{whose}"] += sign * taken
    return figures


def instant_of(fact: Counted) -> int:
    """When a fact counts."""
    return fact.at


def summed(facts: Sequence[Counted], metric: str, start: int, end: int) -> int:
    """What facts of `[start, end)` come to; they are in the order of their instants."""
    first = bisect_left(facts, start, key=instant_of)
    last = bisect_left(facts, end, first, key=instant_of)
    return sum(fact.figures[metric] for fact in facts[first:last])


def batches(events: list[Event], picks: random.Random) -> Iterator[list[Event]]:
    """Requests of several sizes."""
    at = 0
    while at < len(events):
        size = picks.randint(1, 120)
        yield events[at : at + size]
        at += size
