"""Buckets: what they count is what happened, whatever was lost, repeated, late or flushed."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from domain.periods import DAY, HOUR
from persistence.buckets import (
    ABANDONED,
    DONE,
    OTHER_NUMBER,
    UNKNOWN,
    Counted,
    Members,
    begin_calls,
    count_calls,
    counted,
)
from persistence.valkey import client, run

EPOCH = "7-00000001-1"
MONTH = 2026 * 12 + 10
NOW = 1_795_000_000_000_000
CONTACTS = [f"62811000{n}" for n in range(6)]

tenants = itertools.count(1)


class Row(NamedTuple):
    """A contact as a commit left it."""

    party: str
    window: tuple[int, int] | None
    conversation: tuple[int, int] | None
    visited: bool


@pytest.fixture
async def valkey(redis_url: str) -> AsyncIterator[Redis]:
    async with client(redis_url) as valkey:
        yield valkey


def members(rows: list[Row], of: int, month: int = MONTH) -> Members:
    made = Members(of, NOW, month)
    for row in rows:
        visited = [MONTH] if row.visited else []
        made.add(
            1, row.party, 5, row.window or (None, None), row.conversation or (None, None), visited
        )
    return made


async def apply(valkey: Redis, tenant: int, rows: list[Row], of: int = 1, **how: object) -> int:
    """Bring rows to Valkey; the worst of what the buckets answered."""
    answers = await run(valkey, members(rows, of).calls(tenant, EPOCH, **how))
    return int(min(code for code, _ in answers))


async def count(valkey: Redis, tenant: int, of: int = 1, at: int = NOW) -> Counted | int:
    return counted(await run(valkey, count_calls(tenant, EPOCH, of, MONTH, at)))


def truth(rows: list[Row], at: int = NOW) -> tuple[int, int, int]:
    """(conversations, windows, visitors) of the rows as the last one of each contact stands."""
    last = {row.party: row for row in rows}
    return (
        sum(1 for row in last.values() if row.conversation and _open(row.conversation, at)),
        sum(1 for row in last.values() if row.window and _open(row.window, at)),
        len({row.party for row in rows if row.visited}),
    )


def _open(window: tuple[int, int], at: int) -> bool:
    return window[0] <= at < window[1]


async def test_windows_end_at_their_end_and_begin_at_their_start(valkey: Redis) -> None:
    """FI-6: counts are right at any instant, without a new fact; an end instant is outside."""
    tenant = next(tenants)
    rows = [
        Row("a", (NOW - HOUR, NOW + HOUR), (NOW - HOUR, NOW + 2 * HOUR), True),
        Row("b", (NOW + HOUR // 30, NOW + DAY), None, False),  # two minutes ahead
    ]
    await apply(valkey, tenant, rows, versions=[1])

    instants = (NOW, NOW + HOUR // 30, NOW + HOUR - 1, NOW + HOUR, NOW + 2 * HOUR, NOW + DAY)
    seen = [await count(valkey, tenant, at=at) for at in instants]

    assert seen == [
        Counted(1, 1, 1, 1, NOW + HOUR // 30),
        Counted(1, 1, 2, 1, NOW + HOUR),
        Counted(1, 1, 2, 1, NOW + HOUR),
        Counted(1, 1, 1, 1, NOW + 2 * HOUR),
        Counted(1, 0, 1, 1, NOW + DAY),
        Counted(1, 0, 0, 1, None),
    ]


async def test_a_version_that_came_before_its_predecessor_waits(valkey: Redis) -> None:
    tenant = next(tenants)
    upto = []
    for versions in ([1], [3], [4, 6], [2], [2], [5]):
        await apply(valkey, tenant, [], versions=versions)
        found = await count(valkey, tenant)
        assert isinstance(found, Counted)
        upto.append(found.upto)

    assert upto == [1, 1, 1, 4, 4, 6]
    assert not await valkey.exists(f"{{{tenant}:0}}:ahead")


async def test_what_was_flushed_is_not_counted(valkey: Redis) -> None:
    """A bucket that began after a flush knows that it lacks what came before."""
    tenant = next(tenants)
    row = Row("a", (NOW, NOW + DAY), None, True)
    await apply(valkey, tenant, [row], versions=[1, 2])
    await valkey.flushdb()

    unknown = await count(valkey, tenant)
    await apply(valkey, tenant, [row], versions=[3])
    behind = await count(valkey, tenant)

    assert unknown == 0
    assert isinstance(behind, Counted)
    assert behind.upto == 0


async def test_a_flush_in_the_middle_ends_a_rebuild(valkey: Redis) -> None:
    """Half a rebuild never passes for a whole one: its first pages are gone."""
    tenant = next(tenants)
    row = Row("a", (NOW, NOW + DAY), None, True)
    await run(valkey, begin_calls(tenant, EPOCH, 1, MONTH, "t1"))
    assert await apply(valkey, tenant, [row], token="t1") == DONE
    await valkey.flushdb()

    assert await apply(valkey, tenant, [row], token="t1", base=7) == ABANDONED
    assert await count(valkey, tenant) == 0


async def test_of_two_rebuilds_the_later_one_goes_on(valkey: Redis) -> None:
    tenant = next(tenants)
    await run(valkey, begin_calls(tenant, EPOCH, 1, MONTH, "t1"))
    await run(valkey, begin_calls(tenant, EPOCH, 1, MONTH, "t2"))

    assert await apply(valkey, tenant, [], token="t1", base=7) == ABANDONED
    assert await apply(valkey, tenant, [], token="t2", base=7) == DONE
    assert await count(valkey, tenant) == Counted(7, 0, 0, 0, None)


async def test_another_epoch_knows_nothing(valkey: Redis) -> None:
    """A database that was restored does not count what its lost future had opened."""
    tenant = next(tenants)
    row = Row("a", (NOW, NOW + DAY), None, True)
    await apply(valkey, tenant, [row], versions=[1])

    calls = members([], 1).calls(tenant, "8-00000001-1", versions=[1])
    (unknown,) = await run(valkey, count_calls(tenant, "8-00000001-1", 1, MONTH, NOW))
    await run(valkey, calls)
    (fresh,) = await run(valkey, count_calls(tenant, "8-00000001-1", 1, MONTH, NOW))

    assert unknown[0] == UNKNOWN
    assert counted([fresh]) == Counted(1, 0, 0, 0, None)


async def test_a_tenant_that_grew_is_spread(valkey: Redis) -> None:
    """Who still writes to one bucket is told that there are more, and changes nothing."""
    tenant = next(tenants)
    rows = [Row(party, (NOW, NOW + DAY), None, True) for party in CONTACTS]
    await apply(valkey, tenant, rows, versions=[1])
    await run(valkey, begin_calls(tenant, EPOCH, 8, MONTH, "t"))
    assert await apply(valkey, tenant, rows, of=8, token="t", base=1) == DONE

    late = await apply(valkey, tenant, [Row("x", (NOW, NOW + DAY), None, True)], versions=[2])

    assert late == OTHER_NUMBER
    assert await count(valkey, tenant, of=1) == 8
    assert await count(valkey, tenant, of=8) == Counted(1, 0, 6, 6, NOW + DAY)


#: What may become of each version on its way, in the order it happens.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(CONTACTS),
        st.integers(0, 30),  # hours after the first fact
        st.sampled_from(["in", "out"]),
        st.sampled_from(["shown", "shown", "late", "twice", "lost", "flushed", "rebuilt"]),
    ),
    min_size=1,
    max_size=25,
)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS, of=st.sampled_from([1, 3]))
async def test_a_bucket_never_says_it_has_what_it_has_not(
    valkey: Redis, steps: list[tuple[str, int, str, str]], of: int
) -> None:
    """Whenever a tenant's buckets say that a version is in, they count at least what was true at
    it, and no more than what is true now; and after a rebuild exactly that."""
    tenant = next(tenants)
    contacts: dict[str, Row] = {}
    log: list[Row] = []
    waiting: list[tuple[int, Row]] = []
    for version, (party, hours, direction, fate) in enumerate(steps, 1):
        at = NOW - 12 * HOUR + hours * HOUR // 3
        row = contacts.get(party, Row(party, None, None, False))
        if direction == "in":
            start = row.window[0] if row.window and at < row.window[1] else at
            end = max(at + DAY, row.window[1] if row.window else 0)
            row = row._replace(window=(min(start, at), end), visited=True)
        elif row.conversation is None or at >= row.conversation[1]:
            row = row._replace(conversation=(at, at + DAY))
        contacts[party] = row
        log.append(row)
        match fate:
            case "lost":
                pass
            case "late":
                waiting.append((version, row))
            case "rebuilt":
                await rebuild(valkey, tenant, of, list(contacts.values()), version)
            case _:
                await apply(valkey, tenant, [row], of, versions=[version])
                if fate == "twice":
                    await apply(valkey, tenant, [row], of, versions=[version])
                for earlier, late in waiting:
                    await apply(valkey, tenant, [late], of, versions=[earlier])
                waiting.clear()
                if fate == "flushed":
                    await valkey.flushdb()
        found = await count(valkey, tenant, of)
        if isinstance(found, Counted):
            assert found.upto <= version
            then, now = truth(log[: found.upto]), truth(log)
            shown = (found.conversations, found.windows, found.visitors)
            if found.upto == version:
                assert shown == now
            assert found.visitors >= then[2]
    await rebuild(valkey, tenant, of, list(contacts.values()), len(steps))
    found = await count(valkey, tenant, of)

    assert isinstance(found, Counted)
    assert found.upto == len(steps)
    assert (found.conversations, found.windows, found.visitors) == truth(log)


async def rebuild(valkey: Redis, tenant: int, of: int, rows: list[Row], version: int) -> None:
    """As `persistence.rebuild` does it, from the rows of contacts."""
    token = f"t{version}"
    await run(valkey, begin_calls(tenant, EPOCH, of, MONTH, token))
    assert await apply(valkey, tenant, rows, of, token=token, base=version) == DONE
