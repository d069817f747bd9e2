"""What a closed period was closed with stays what facts of it that come too late are rated by.

A fact without a rate opens windows all the same; when its rate comes after its period was closed,
it is charged, and opens and closes nothing anew (EV-3, EV-7).
"""

from __future__ import annotations

from datetime import datetime

import pytest

from domain.facts import Status
from domain.money import micros
from domain.periods import DAY, HOUR, MINUTE, instant, iso, month_label
from persistence.log import ADJUSTED
from tests.conftest import Database, on
from tests.persistence.test_plans_of_queries import LARGE, explained, explained_generic, read_whole
from tests.persistence.test_rating import (
    INDIA,
    PRICE,
    TEN,
    marketing,
    publish,
    rating,
    run_out,
    world,
)
from tests.persistence.test_settled_statuses import charged
from tests.persistence.test_settled_statuses import publish as publish_row
from tests.persistence.test_unrated_again import (
    DECEMBER,
    NOVEMBER,
    OCTOBER,
    close,
    paid,
    settle,
    standing,
    verified,
)
from tests.scenarios.world import Json, World

__all__ = ["world"]

CONTACT = "+62 811 00000001"


def message(id: str, at: int, kind: str = "delivered", **data: object) -> Json:
    """A message of the contact that `marketing(1)` goes to, unless it says otherwise."""
    said = {"number": "+62 800 0000 01", "contact": INDIA.format(1)} | data
    return {
        "id": id, "source": "late", "type": f"message.{kind}", "time": iso(at), "subject": "acme",
        "data": said,
    }  # fmt: skip


async def rated(world: World) -> dict[str, tuple[int, int]]:
    return {id: (status, amount) for id, status, amount in await standing(world)}


@pytest.mark.parametrize("otherwise", [False, True], ids=["unrated", "otherwise"])
async def test_the_rate_of_what_opened_a_conversation_leaves_it_open(
    world: World, otherwise: bool
) -> None:
    """EV-3, PR-9: what is inside is rated by its own row, before that rate came and after it; what
    came before is charged no more by a settling since."""
    world.clock.at = TEN + HOUR
    if otherwise:
        later = marketing(1, when=TEN + MINUTE) | {"id": "r1", "type": "message.read"}
        later["data"] = {
            name: later["data"][name] for name in ("number", "contact", "message_id")
        } | {"category": "service"}  # fmt: skip
        await world.send([later])
    await world.send([marketing(1)])
    await settle(world)
    world.clock.at = NOVEMBER + DAY
    await close(world, OCTOBER)
    await world.send([message("before", TEN + 2 * HOUR, category="service")])
    before = await rated(world)
    assert before["before"] == (Status.ADJUSTED, 0)
    assert (await settle(world)).differences == {}

    world.clock.at += HOUR
    await publish(world)
    await run_out(rating(world))
    assert (await settle(world)).differences == {}
    await world.send([message("after", TEN + 3 * HOUR, category="service")])
    settled = await settle(world)

    found = await rated(world)
    assert found.pop("m1")[0] == Status.ADJUSTED
    assert (found["before"], found["after"]) == (before["before"], before["before"])
    assert settled.differences == {}
    await verified(world)
    lots = await world.rows(
        "acme",
        "select sum(used)::bigint as used from lots l join balances b using (tenant_id, balance_id)"
        " where tenant_id = $1 and b.key = 'conversations'",
    )
    assert [row["used"] for row in lots] == [0]


@pytest.mark.parametrize("visits", ["none", "rated", "unrated"])
async def test_what_comes_without_a_rate_to_a_closed_period_opens_nothing(
    world: World, visits: str
) -> None:
    """EV-3: a visit that came too late moves no window for others, whether it has a rate or not."""
    july = instant(datetime.fromisoformat("2025-07-01T00:00:00+07:00"))  # visits have a row since
    await world.send([message("first", july - 20 * DAY, "received", contact="+62 811 00000009")])
    await close(world, month_label(2025, 7))
    visit = message("visit", july - HOUR, "received", contact=CONTACT)
    if visits == "rated":
        visit["time"] = iso(july + MINUTE)
    if visits != "none":
        (result,) = await world.send([visit])
        assert result["status"] == {"rated": "adjusted", "unrated": "unrated"}[visits]
    template = {"contact": CONTACT, "template": "ship", "category": "utility"}
    (result,) = await world.send([message("utility", july + HOUR, **template)])

    assert result["status"] == "adjusted"
    assert (await rated(world))["utility"] == (Status.ADJUSTED, micros("356.65"))
    assert (await settle(world)).differences == {}
    await verified(world)


async def test_an_answer_to_an_ad_is_free_when_its_rate_comes(world: World) -> None:
    """WI-2, EV-3: it opened a window, in which it and what comes later are free for all that."""
    await world.send([message("ad", TEN - HOUR, "received", entry="ad"), marketing(1)])
    world.clock.at = NOVEMBER + DAY
    await close(world, OCTOBER)
    template = {"template": "sale", "category": "marketing"}
    await world.send([message("before", TEN + HOUR, **template)])
    row = {
        "row": "marketing-in", "valid_from": "2026-10-01", "channel": "whatsapp",
        "category": "marketing", "direction": "out", "market": "IN", "basis": "per_message",
        "free_in": ["free_entry"], "price": PRICE,
    }  # fmt: skip
    await publish_row(world, "omnichannel-idr", row)
    await run_out(rating(world))
    await world.send([message("after", TEN + 71 * HOUR, **template)])
    await world.send([message("over", TEN + 73 * HOUR, **template)])

    free, paid = (Status.ADJUSTED, 0), (Status.ADJUSTED, micros(PRICE))
    expected = {"after": free, "before": free, "m1": free, "over": paid}
    for _ in range(2):
        found = await rated(world)
        found.pop("ad")
        assert found == expected
        assert (await settle(world)).differences == {}
        await verified(world)


@pytest.mark.parametrize("first", ["settled", "rated"])
@pytest.mark.parametrize("again", ["before", "after"])
@pytest.mark.parametrize("came", ["in time", "late"])
async def test_a_visit_is_charged_once_when_its_rate_comes(
    world: World, came: str, again: str, first: str
) -> None:
    """VI-1, EV-3, EV-7: however often its closed period is settled since, and whatever its contact
    wrote besides."""
    july = instant(datetime.fromisoformat("2025-07-01T00:00:00+07:00"))  # visits have a row since
    visit = message("visit", july - HOUR, "received", contact=CONTACT)
    further = message("further", july - MINUTE, "received", contact=CONTACT)
    other = message("other", july - 20 * DAY, "received", contact="+62 811 00000009")
    await world.send([other, *([visit] if came == "in time" else [])])
    await close(world, month_label(2025, 6))
    world.clock.at += MINUTE
    if came == "late":
        (result,) = await world.send([visit])
        assert result["status"] == "unrated"
    world.clock.at += MINUTE
    if again == "before":
        (result,) = await world.send([further])
        assert result["status"] == "adjusted"
    assert (await settle(world)).corrected == 0
    await verified(world)
    row = {
        "row": "visitor", "valid_from": "2025-01-01", "channel": "*", "category": "visitor",
        "direction": "in", "market": "*", "basis": "per_visitor", "price": "n/a",
    }  # fmt: skip
    await publish_row(world, "omnichannel-idr", row)
    if first == "settled":
        await settle(world)
    await run_out(rating(world))
    world.clock.at += MINUTE
    if again == "after":
        await world.send([further])

    for _ in range(2):
        assert await charged(world) == ["other", "visit"]
        assert (await settle(world)).corrected == 0
        await verified(world)


async def test_a_late_visit_is_known_beyond_the_next_closing(world: World) -> None:
    """VI-1, EV-3: its contact is no visitor of that period again, whenever it is settled."""
    world.clock.at = NOVEMBER + DAY
    await close(world, OCTOBER)
    visit = message("visit", TEN, "received", contact=CONTACT)
    further = message("further", TEN + 9 * DAY, "received", contact=CONTACT)
    await world.send([visit])
    world.clock.at = DECEMBER + DAY
    await close(world, OCTOBER + 1)
    await world.send([further])

    assert (await settle(world)).corrected == 0
    assert await charged(world) == ["visit"]
    await verified(world)


async def test_a_late_visit_is_known_from_a_midnight_on(world: World) -> None:
    """VI-1, EV-3: where a settling begins there, and where the next closing does."""
    world.clock.at = NOVEMBER + DAY
    await close(world, OCTOBER)
    await world.send([message("visit", TEN, "received", contact=CONTACT)])
    world.clock.at += 5 * DAY
    await settle(world)
    await world.send([message("further", TEN + 8 * DAY, "received", contact=CONTACT)])
    assert (await settle(world)).corrected == 0
    world.clock.at = DECEMBER + DAY
    await close(world, OCTOBER + 1)
    await world.send([message("again", TEN + 9 * DAY, "received", contact=CONTACT)])

    assert (await settle(world)).corrected == 0
    assert await charged(world) == ["visit"]
    await verified(world)


@pytest.mark.parametrize("first", ["settled", "rated"])
async def test_what_came_late_without_a_rate_is_charged_once(world: World, first: str) -> None:
    """EV-3, EV-7: by whichever of the two jobs comes first when its rate is there, where it came;
    what came unrated with it, and has no rate yet, stays so."""
    world.clock.at = NOVEMBER + DAY
    await close(world, OCTOBER)
    newsletter = {"template": "news", "category": "newsletter"}
    results = await world.send([marketing(1), message("never", TEN + HOUR, **newsletter)])
    assert {result["status"] for result in results} == {"unrated"}
    world.clock.at += DAY
    assert (await settle(world)).corrected == 0
    await publish(world)
    if first == "settled":
        assert (await settle(world)).corrected == 1
        await verified(world)
    await run_out(rating(world))

    for _ in range(2):
        await verified(world)
        assert (await settle(world)).corrected == 0
        assert await rated(world) == {
            "m1": (Status.ADJUSTED, micros(PRICE)),
            "never": (Status.UNRATED, 0),
        }  # fmt: skip
        assert await paid(world) == [0, micros(PRICE), 0, 0]
        world.clock.at = DECEMBER + DAY
        await close(world, OCTOBER + 1)


async def test_what_came_late_is_found_by_its_indexes(world: World, database: Database) -> None:
    """However many facts there are: a settling reads those that came too late, and no others."""
    tenant_id = world.tenants["acme"].tenant_id
    await on(
        database.owner_url,
        "insert into facts (tenant_id, at, key, version, arrived_at, number_id, type, status,"
        " flags, source, id, party, data) select t, n, decode(md5(n::text), 'hex'), n, n, 1, 3,"
        " case n % 100 when 0 then 2 when 1 then 3 else 1 end, 0, 's', n::text, 'p', '{}'"
        f" from generate_series(1, 20000) n, unnest('{{{tenant_id}, 999}}'::bigint[]) t",
        "analyze facts, revisions",
    )
    async with world.door.tenant_tx(tenant_id) as connection:
        for plan in (
            await explained(connection, ADJUSTED, (tenant_id, 10_000, 10_000)),
            await explained_generic(connection, ADJUSTED, (tenant_id, 10_000, 10_000)),
        ):
            assert set(read_whole(plan)) & LARGE == set()
