"""Random traffic of several tenants, the same for the same seed.

Owns what happens and in which order it arrives: mostly as time goes, some of it late, said twice or
about a message charged before, with top-ups in between. Three tenants on a plan of small limits
cross all of them, and a month end at which the rules change.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import cycle

from api.intake import Intake
from domain.holds import Hold, number_of, spelt, times
from domain.periods import DAY, HOUR, MINUTE, instant, iso
from tests.scenarios.world import Json, World

TENANTS = ("amber", "birch", "cedar")
ZONES = ("Asia/Jakarta", "America/Bogota", "Asia/Kolkata")
PLANS = ("college-small", "college-small", "omnichannel-mcc-idr")

START = instant(datetime.fromisoformat("2026-05-25T00:00:00Z"))
END = START + 12 * DAY
NOW = END + 6 * HOUR

CONTACTS = [*(f"62811{n:08d}" for n in range(18)), "6591234567", "12025550123"]
CATEGORIES = ("service", "service", "service", "utility", "marketing", "authentication")


@dataclass(frozen=True, slots=True)
class TopUp:
    tenant: str
    balance: str
    amount: int  #: micros
    source: str
    starts_at: int
    key: str

    async def make(self, world: World) -> None:
        """Let an operator add it."""
        await world.top_up(
            self.tenant, self.balance, self.amount, key=self.key, source=self.source,
            starts_at=self.starts_at,
        )  # fmt: skip


async def settle_in(world: World) -> None:
    """Create the tenants with two numbers each; now is a little after the last fact."""
    world.clock.at = NOW
    for tenant, zone, plan in zip(TENANTS, ZONES, PLANS, strict=True):
        await world.tenant(tenant, timezone=zone, plan=plan)
        await world.number(tenant, "wa", "whatsapp", "+62 800 0000 01")
        await world.number(tenant, "wa2", "whatsapp", "+62 800 0000 02", "Asia/Jayapura")
        await world.number(tenant, "ig", "instagram", "shop")


def traffic(seed: int, events: int) -> Iterator[Json | TopUp]:
    """Events and top-ups in the order they arrive."""
    chance = random.Random(seed)
    sent: list[Json] = []
    for n in range(events):
        if chance.random() < 0.06:
            yield _top_up(chance, n)
        at = START + (END - START) * n // events
        if chance.random() < 0.15:
            at = max(START, at - chance.choice((MINUTE, HOUR, DAY, 5 * DAY)))
        if sent and chance.random() < 0.1:
            yield _again(chance, chance.choice(sent[-60:]), n, at)
            continue
        event = _event(chance, n, at)
        sent.append(event)
        yield event


async def arrive(
    world: World, seed: int, events: int, size: int, intakes: Sequence[Intake] = ()
) -> None:
    """Send traffic in requests of `size` events, in turn to `intakes` (none: the world's own)."""
    waiting: list[Json | bytes] = []
    turns = cycle(intakes or (world.intake,))

    async def send() -> None:
        if waiting:
            results = await world.send(waiting, to=next(turns))
            assert "refused" not in {result["status"] for result in results}
            waiting.clear()

    for step in traffic(seed, events):
        if isinstance(step, TopUp):
            await send()
            await step.make(world)
            continue
        waiting.append(step)
        if len(waiting) == size:
            await send()
    await send()


def _top_up(chance: random.Random, n: int) -> TopUp:
    balance, amount = chance.choice((
        ("conversations", 3), ("visitors", 2), ("whatsapp", 700), ("whatsapp", 1_900),
    ))  # fmt: skip
    return TopUp(
        tenant=chance.choice(TENANTS),
        balance=balance,
        amount=amount * 1_000_000,
        source=chance.choice(("TOP_UP", "TOP_UP", "PROMOTION")),
        starts_at=chance.choice((NOW, START, START + chance.randrange(END - START))),
        key=f"top-up {n}",
    )


def _event(chance: random.Random, n: int, at: int) -> Json:
    number, channel = chance.choice((
        *[("+62800000001", "whatsapp")] * 6, ("+62800000002", "whatsapp"), ("shop", "instagram"),
    ))  # fmt: skip
    contact = CONTACTS[min(int(chance.expovariate(0.2)), len(CONTACTS) - 1)]  # some are busy
    data: Json = {"number": number, "channel": channel, "contact": contact}
    kind = chance.choice(("received", "received", "delivered", "delivered", "delivered", "other"))
    if kind == "received":
        if chance.random() < 0.2:
            data["entry"] = "ad"
    elif kind == "other":
        kind = chance.choice(("sent", "failed", "read", "played"))
    if kind != "received":
        data["category"] = chance.choice(CATEGORIES)
        if data["category"] != "service":
            data["template"] = "x"
        if chance.random() < 0.8:
            data["message_id"] = f"m{n}"
    if chance.random() < 0.05:
        data["group"] = {"id": chance.choice("gh"), "members": []}
    # Not by chance: who has a broadcast or a user changes nothing of what happens.
    if kind != "received" and n % 4 == 0:
        data["broadcast"] = f"promo {n % 3}"
    if n % 5 == 0:
        data["user"] = f"agent {n % 2}"
    return {
        "id": str(n), "source": "traffic", "type": f"message.{kind}", "time": iso(at),
        "subject": chance.choices(TENANTS, (6, 2, 1))[0], "data": data,
    }  # fmt: skip


async def arrive_held(world: World) -> None:
    """Send what names holds of the first tenant: one for one recipient, and one for three."""
    tenant = TENANTS[0]
    row = await world.row(tenant, "select hold_key from tenants where tenant_id = $1")
    share = (("left:whatsapp", 5),)
    for shares in (1, 3):
        hold = Hold(
            number_of(f"of {shares}"), NOW, NOW + HOUR, NOW + DAY, shares, share,
            times(share, shares), False,
        )  # fmt: skip
        id = spelt(hold, row["hold_key"])
        for n, kind in enumerate(("delivered", "failed", "sent")[:shares]):
            event = {
                "id": f"held {shares} {n}", "source": "held", "type": f"message.{kind}",
                "time": iso(NOW), "subject": tenant,
                "data": {"number": "+62800000001", "contact": CONTACTS[n], "hold": id},
            }  # fmt: skip
            (result,) = await world.send([event])
            assert result["status"] == "accepted", result


def _again(chance: random.Random, event: Json, n: int, at: int) -> Json:
    """An event said twice, said with other content, or a further status of its message."""
    way = chance.choice(("twice", "conflict", "status", "status"))
    if way == "twice":
        return event
    if way == "conflict":
        return {**event, "data": {**event["data"], "remark": n}}
    status = "message.received" if event["type"] == "message.received" else "message.read"
    return {**event, "id": str(n), "type": status, "time": iso(at)}
