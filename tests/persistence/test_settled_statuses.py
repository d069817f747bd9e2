"""Settling under a price book that says otherwise when a message is charged: it is charged once.

A row says `charged_on`: one status of a message may claim it by one version of a book, and be
nothing by the next (EV-5, PR-2). Who charged which message was noted under the version before.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.operations import period_close, price_book_publish
from api.operations.period_close import PeriodClose
from api.operations.price_book_publish import PriceBookPublish
from api.settling import Cause, Settled, Settling
from api.verifying import Verifying
from domain.money import micros
from domain.periods import DAY, HOUR, MINUTE, SECOND, iso, month_label
from persistence.catalogue import written
from tests.persistence.test_due import at
from tests.persistence.test_rating import marketing, rating, run_out
from tests.scenarios.world import Json, World

TEN = at("2026-10-20 10:00")
OCTOBER = month_label(2026, 10)
NOVEMBER = at("2026-11-01 00:00")
PLAN, BOOK, CONTACT = "contact-center-usd", "contact-center-usd", "+1 212 555 {:04d}"
TENANTS = ("acme", "in-order")

STANDING = """
select f.id, coalesce(v.status, f.status) as status, coalesce(v.flags, f.flags) & 64 as repeated,
    coalesce((select sum(case when reversal then -amount else amount end) from charges
        where tenant_id = $1 and at = f.at and key = f.key), 0)::bigint
        + coalesce(f.amount, 0) as amount
from facts f left join lateral (
    select status, flags from revisions where tenant_id = $1 and at = f.at and key = f.key
    order by revision desc limit 1
) v on true
where f.tenant_id = $1 order by f.id"""

CLAIMED = """
select f.id from messages m join facts f
    on f.tenant_id = m.tenant_id and f.at = m.charged_at and f.key = m.charged_by
where m.tenant_id = $1 order by f.id"""

MARKED = "select unsettled_from from tenant_head where tenant_id = $1"


@pytest.fixture
async def world(app_url: str, redis_url: str) -> AsyncIterator[World]:
    async with World.open(app_url, redis_url) as world:
        world.clock.at = TEN
        for tenant in TENANTS:
            await world.tenant(tenant, plan=PLAN, currency="USD", country="US")
            await world.number(tenant, "sms", "sms", "+1 800 555 0001")
        yield world


def status(
    n: int, kind: str, after: int, *, since: int = TEN, again: str = "", tenant: str = "acme"
) -> Json:
    """A status of the message `n`, seconds after an instant."""
    return {
        "id": f"{n:02d}-{kind}{again}", "source": "test", "type": f"message.{kind}",
        "time": iso(since + after * SECOND), "subject": tenant,
        "data": {"number": "+1 800 555 0001", "contact": CONTACT.format(n), "message_id": f"t{n}",
                 "category": "service"},
    }  # fmt: skip


async def charge_on(world: World, name: str, price: str = "0.02") -> None:
    """Publish what rates open periods anew: text messages are charged on another status."""
    row = {
        "row": "sms-north-america", "valid_from": "2026-01-01", "channel": "sms", "category": "*",
        "direction": "out", "market": "north_america", "basis": "per_segment", "charged_on": name,
        "price": price,
    }  # fmt: skip
    await publish(world, BOOK, row, rerate=True)


async def publish(world: World, book: str, row: Json, *, rerate: bool = False) -> None:
    async with world.door.system_tx("the books of a test") as connection:
        body = json.loads(
            await connection.fetchval(
                "select body from books where book = $1 order by version desc limit 1", book
            )
        )
    document = json.dumps(written(body | {"rows": [row]}))
    request = PriceBookPublish(document=document, format="JSON", rerate=rerate)
    done = await price_book_publish.run(world.door, world.catalogue, request, now=world.clock.now())
    assert done.problems == ()


async def send(world: World, *events: Json) -> None:
    for result in await world.send(list(events)):
        assert result["status"] in ("accepted", "adjusted", "unrated"), result


def settling(world: World, page_facts: int = 2_000) -> Settling:
    return Settling(world.door, world.catalogue, world.clock.now, world.show, page_facts=page_facts)


async def settle(world: World, page_facts: int = 2_000, tenant: str = "acme") -> Settled:
    tenant_id = world.tenants[tenant].tenant_id
    return await settling(world, page_facts).settle(tenant_id, Cause.DEMAND)


async def close(world: World, label: int = OCTOBER) -> None:
    request = PeriodClose(tenant="acme", period=label, idempotency_key=f"close {label}")
    await period_close.run(world.door, settling(world), request, now=world.clock.now())


async def verified(world: World, tenant: str = "acme") -> None:
    verifying = Verifying(world.door, world.catalogue, world.clock.now)
    found = await verifying.verify(world.tenants[tenant].tenant_id)
    assert not found.findings, "\n".join(map(str, found.findings))


async def standing(world: World, tenant: str = "acme") -> list[tuple[Any, ...]]:
    """By facts: what became of them last, and what is charged net."""
    return [tuple(row) for row in await world.rows(tenant, STANDING)]


async def charged(world: World) -> list[str]:
    """The facts that are charged something net."""
    return [id for id, _, _, amount in await standing(world) if amount]


async def claimed(world: World, tenant: str = "acme") -> list[str]:
    """The facts that the books have as those that charge their messages."""
    return [row["id"] for row in await world.rows(tenant, CLAIMED)]


async def test_what_was_charged_as_it_was_sent_is_charged_as_it_was_delivered(
    world: World,
) -> None:
    """EV-5, PR-2: of each message one charge, by the status that the book now says; whoever was
    not delivered costs nothing, and does cost something when it is delivered after all."""
    world.clock.at = TEN + HOUR
    await send(
        world, status(1, "sent", 1), status(2, "sent", 2), status(2, "delivered", 12),
        status(3, "sent", 3), status(4, "sent", 4), status(5, "read", 15), status(5, "sent", 5),
    )  # fmt: skip
    assert await charged(world) == ["01-sent", "02-sent", "03-sent", "04-sent", "05-read"]

    await charge_on(world, "delivered")
    await send(world, status(3, "delivered", 13))
    await settle(world)

    assert await charged(world) == ["02-delivered", "03-delivered", "05-read"]
    assert await claimed(world) == await charged(world)
    await verified(world)
    await send(world, status(4, "delivered", 14))
    await send(world, status(4, "read", 24))
    assert await charged(world) == ["02-delivered", "03-delivered", "04-delivered", "05-read"]
    assert (await settle(world)).settlement_id is None
    await verified(world)


async def test_what_was_charged_as_it_was_delivered_is_charged_as_it_was_sent(
    world: World,
) -> None:
    """EV-5, PR-2: the other way round; a second status of it, and a later one, are nothing."""
    await charge_on(world, "delivered")
    world.clock.at = TEN + HOUR
    await send(
        world, status(1, "sent", 1), status(1, "sent", 6, again="-again"), status(2, "sent", 2),
        status(2, "delivered", 12), status(3, "sent", 3), status(4, "delivered", 14),
    )  # fmt: skip
    assert await charged(world) == ["02-delivered", "04-delivered"]

    await charge_on(world, "sent", "0.03")
    await send(world, status(3, "delivered", 13))
    await settle(world)

    assert await charged(world) == ["01-sent", "02-sent", "03-sent", "04-delivered"]
    assert await claimed(world) == await charged(world)
    await verified(world)
    await send(world, status(1, "delivered", 11))
    assert await charged(world) == ["01-sent", "02-sent", "03-sent", "04-delivered"]
    assert (await settle(world)).settlement_id is None
    await verified(world)


async def test_a_message_of_a_closed_period_is_charged_there_alone(world: World) -> None:
    """EV-3: what it was charged in a closed period stays, whatever a book says since."""
    world.clock.at = NOVEMBER + HOUR
    await send(world, *(status(n, "sent", -n, since=NOVEMBER) for n in (1, 2, 3)))
    await close(world)
    await send(world, status(1, "delivered", 1, since=NOVEMBER))
    await send(world, status(4, "sent", 4, since=NOVEMBER))

    await charge_on(world, "delivered")
    await send(world, status(2, "delivered", 2, since=NOVEMBER))
    await settle(world)
    await send(world, status(3, "delivered", 3, since=NOVEMBER))

    assert await charged(world) == ["01-sent", "02-sent", "03-sent"]
    assert (await settle(world)).settlement_id is None
    await verified(world)


async def test_a_rate_that_comes_for_what_is_sent_charges_it(world: World) -> None:
    """EV-7: no row spoke of it, so that it was nothing to charge; it is never free by omission."""
    await world.tenant("idr")
    await world.number("idr", "wa", "whatsapp", "+62 800 0000 01")
    facts = [marketing(n) | {"subject": "idr"} for n in range(4)]
    sent = [
        fact | {"id": f"s{n}", "type": "message.sent", "time": iso(TEN + n - SECOND)}
        for n, fact in enumerate(facts)
    ]
    world.clock.at = TEN + HOUR
    await send(world, *sent, sent[3] | {"id": "s3-again"})
    await send(world, *facts[:2])
    row = {
        "row": "marketing-in", "valid_from": "2026-10-01", "channel": "whatsapp",
        "category": "marketing", "direction": "out", "market": "IN", "basis": "per_message",
        "charged_on": "sent", "price": "150.5",
    }  # fmt: skip
    await publish(world, "omnichannel-idr", row)
    await run_out(rating(world))

    head = await world.row("idr", MARKED)
    assert head["unsettled_from"] is not None
    await settle(world, tenant="idr")

    found = {id: amount for id, _, _, amount in await standing(world, "idr") if amount}
    assert found == dict.fromkeys(["s0", "s1", "s2", "s3"], micros("150.5"))
    assert await world.rows("idr", "select from unrated where tenant_id = $1") == []
    await verified(world, "idr")
    await send(world, facts[2])
    assert sum(amount for *_, amount in await standing(world, "idr")) == 4 * micros("150.5")
    assert (await settle(world, tenant="idr")).settlement_id is None


async def test_a_version_that_moves_no_charge_marks_nobody(world: World) -> None:
    """PR-2: said again as it was, or missing and charged as nothing said otherwise, or of a day
    that is still to come, a row leaves everybody's books as they are settled."""
    world.clock.at = TEN + HOUR
    await send(world, status(1, "sent", 1))
    text = {
        "row": "sms-north-america", "valid_from": "2026-01-01", "channel": "sms", "category": "*",
        "direction": "out", "market": "north_america", "basis": "per_segment",
        "charged_on": "sent", "price": "0.0125",
    }  # fmt: skip
    await publish(world, BOOK, text | {"valid_from": "2026-10-10"})
    await publish(world, BOOK, text | {"valid_from": "2026-10-22", "charged_on": "delivered"})
    missing = {
        "row": "bot", "valid_from": "2026-01-01", "channel": "bot", "category": "*",
        "direction": "out", "market": "*", "basis": "per_unit", "price": "0.02",
    }  # fmt: skip
    await publish(world, BOOK, missing)
    assert (await world.row("acme", MARKED))["unsettled_from"] is None


@pytest.mark.parametrize("seed", range(6))
async def test_however_statuses_and_books_come_each_message_is_charged_once(
    world: World, seed: int
) -> None:
    """EV-4, EV-5, EV-9: as if all had come in order under the latest version; what a settling
    corrects was marked, and the books agree with their log after each one."""
    chance = random.Random(seed)
    names = ["delivered", "sent"]
    if seed % 2:
        names.reverse()
    events: list[Json] = []
    for n in range(14):
        for kind in ("sent", "sent", "delivered", "read", "failed"):
            if chance.random() < 0.5:
                after = chance.randrange(0, 4) * chance.choice((1, DAY // SECOND)) + n
                again = f"-{len(events)}"
                events.append(status(n, kind, after, again=again))
    world.clock.at = TEN + 4 * DAY
    arrivals = chance.sample(events, len(events))
    for name in (*names, names[0]):
        await charge_on(world, name, f"0.0{chance.randrange(1, 99)}")
        for _ in range(2):
            size = chance.randrange(len(events) // 5)
            now, arrivals = arrivals[:size], arrivals[size:]
            await send(world, *now) if now else None
            if chance.random() < 0.7:
                head = await world.row("acme", MARKED)
                settled = await settle(world, chance.choice((1, 3, 2_000)))
                assert head["unsettled_from"] is not None or settled.settlement_id is None
                await verified(world)
        world.clock.at += MINUTE
    for event in arrivals:
        await send(world, event)
    await settle(world, 3)
    await verified(world)

    ordered = sorted(events, key=lambda event: (event["time"], event["id"]))
    for event in ordered:
        await send(world, event | {"subject": "in-order"})
    assert (await settle(world, tenant="in-order")).settlement_id is None
    assert await standing(world) == await standing(world, "in-order")
    assert await claimed(world) == await claimed(world, "in-order")
