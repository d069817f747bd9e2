"""Spells of people against a model of them, and what a migration makes of the past (US-2)."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from persistence import members, spells
from persistence.connection import Connection
from persistence.door import Door
from persistence.members import Asked, Census, Member, Wanted
from tests.persistence.rows import rows_of

ROOT = Path(__file__).parents[2]
MIGRATION = ROOT / "persistence" / "migrations" / "0038_seats.sql"

ROLES = ("agent", "supervisor", "admin", "super_admin")
ALL = Wanted()

Change = tuple[int, str, bool]  #: from when on, the role, and whether active


@pytest.fixture
async def owner(owner_url: str) -> AsyncIterator[Connection]:
    async with rows_of(owner_url) as rows:
        await rows.tenant(1)
        await rows.tenant(2)
        yield rows.connection


async def user_of(owner: Connection, tenant_id: int, name: str, at: int, role: str) -> int:
    return int(
        await owner.fetchval(
            "insert into users (tenant_id, name, email, role, created_at, external_id)"
            " values ($1, $2, $2 || '@example.com', $3, $4, $2) returning user_id",
            tenant_id, name, role, at,
        )
    )  # fmt: skip


def shown(changes: list[Change], start: int, end: int) -> tuple[str, bool] | None:
    """US-2 by hand, instant for instant: the range is short."""
    active = False
    last: tuple[str, bool] | None = None
    for at in range(start, end):
        states = [(role, active) for since, role, active in changes if since <= at]
        if states:
            last = states[-1]
            active = active or last[1]
    return last if active else None


@pytest.mark.parametrize("seed", range(3))
async def test_who_is_active_in_a_range_whatever_happened(
    app_url: str, owner: Connection, seed: int
) -> None:
    """US-2: of random lives and ranges, the same as at each instant one by one; once each."""
    dice = random.Random(seed)
    lives: dict[int, dict[int, list[Change]]] = {1: {}, 2: {}}
    async with Door.open(app_url, size=2) as door:
        for tenant_id, people in lives.items():
            for number in range(12):
                at = dice.randrange(12)
                role = dice.choice(ROLES)
                changes = [(at, role, True)]
                user_id = await user_of(owner, tenant_id, f"user {number}", at, role)
                async with door.tenant_tx(tenant_id) as connection:
                    await spells.begin(connection, tenant_id, user_id, role, True, at)
                    for _ in range(dice.randrange(5)):
                        at += dice.randrange(4)
                        change = (at, dice.choice(ROLES), dice.random() < 0.5)
                        if change[1:] == changes[-1][1:]:
                            continue
                        await spells.change(connection, tenant_id, user_id, *change[1:], at)
                        changes.append(change)
                people[user_id] = changes
        asked = []
        for _ in range(40):
            start = dice.randrange(20)
            end = start + 1 + dice.randrange(8)
            asked.append(Asked(tenant_id=dice.choice((1, 2)), start=start, end=end))
        found = await members.pages(door, asked, ALL, after=0, limit=100)
        counted = await members.census(door, asked, ALL)
        for one, page, census in zip(asked, found, counted, strict=True):
            expected = {
                user_id: state
                for user_id, changes in lives[one.tenant_id].items()
                if (state := shown(changes, one.start, one.end)) is not None
            }
            check(page, census, expected)
    gaps = """
        select count(*) from (
            select since, lag(until) over (partition by user_id order by since) as ended,
                until, row_number() over (partition by user_id order by since desc) as place
            from user_spells
        ) s where ended <> since or (until is null) <> (place = 1) or until <= since"""
    assert await owner.fetchval(gaps) == 0


def check(page: list[Member], census: Census, expected: dict[int, tuple[str, bool]]) -> None:
    assert [member.user.user_id for member in page] == sorted(expected), "once each, in order"
    assert {m.user.user_id: (m.role, m.active) for m in page} == expected
    assert census.total == len(expected)
    assert census.known == {member.user.external_id for member in page}
    roles = [role for role, _ in expected.values()]
    assert census.by_role == {role: roles.count(role) for role in set(roles)}


async def test_an_earlier_clock_takes_nothing_back(app_url: str, owner: Connection) -> None:
    """A change of a process whose clock is behind holds from where the spell began."""
    user_id = await user_of(owner, 1, "ana", 10, "agent")
    async with Door.open(app_url, size=2) as door:
        async with door.tenant_tx(1) as connection:
            await spells.begin(connection, 1, user_id, "agent", True, 10)
            await spells.change(connection, 1, user_id, "admin", True, 20)
            await spells.change(connection, 1, user_id, "supervisor", True, 15)
        asked = [Asked(tenant_id=1, start=12, end=20), Asked(tenant_id=1, start=12, end=21)]
        (before,), (after,) = await members.pages(door, asked, ALL, after=0, limit=9)
    assert (before.role, after.role) == ("agent", "supervisor")


async def test_what_somebody_was_called_stays_known(app_url: str, owner: Connection) -> None:
    """Each name in facts has a spell, also where several were had at one instant; without a gap."""
    user_id = await user_of(owner, 1, "ana", 10, "agent")
    async with Door.open(app_url, size=2) as door, door.tenant_tx(1) as connection:
        await spells.begin(connection, 1, user_id, "agent", True, 10)
        for at, name in ((10, "two"), (10, "three"), (9, "four"), (30, "five")):
            await connection.execute("update users set external_id = $1", name)
            await spells.change(connection, 1, user_id, "agent", True, at)
            await spells.change(connection, 1, user_id, "admin", True, at)
        for name in ("ana", "two", "three", "four", "five"):
            assert await spells.called_so(connection, 1, name, user_id + 1), name
            assert not await spells.called_so(connection, 1, name, user_id), name
    rows = await owner.fetch("select since, until, role, external_id from user_spells order by 1")
    assert [tuple(row) for row in rows] == [
        (10, 11, "agent", "ana"), (11, 12, "admin", "two"), (12, 13, "admin", "three"),
        (13, 30, "admin", "four"), (30, None, "admin", "five"),
    ]  # fmt: skip


async def test_spells_are_of_one_tenant(app_url: str, owner: Connection) -> None:
    """Nobody's spells are written or read for another tenant."""
    user_id = await user_of(owner, 1, "ana", 1, "agent")
    async with Door.open(app_url, size=2) as door:
        async with door.tenant_tx(1) as connection:
            await spells.begin(connection, 1, user_id, "agent", True, 1)
        asked = [Asked(tenant_id=2, start=0, end=9)]
        assert await members.pages(door, asked, ALL, after=0, limit=9) == [[]]
        async with door.tenant_tx(2) as connection:
            assert await connection.fetch("select from user_spells") == []
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with door.tenant_tx(2) as connection:
                await spells.begin(connection, 1, user_id, "admin", True, 2)


async def test_a_migration_begins_with_what_the_audit_tells(owner: Connection) -> None:
    """US-1, US-2: who was there before has spells from the first day, a name in facts, a seat."""
    _, up = MIGRATION.read_text("utf-8").split("-- migrate:up")
    up, down = up.split("-- migrate:down")
    await owner.execute(down)

    async def told(user_id: int, at: int, before: Change, after: Change) -> None:
        await owner.execute(
            "insert into audit (tenant_id, at, actor, actor_kind, what, subject, before, after)"
            " values (1, $1, 'a', 'key', 'userUpdate', array['usr/' || $2], $3::text::jsonb,"
            " $4::text::jsonb)",
            at, str(user_id),
            *(json.dumps({"role": side[1], "active": side[2]}) for side in (before, after)),
        )  # fmt: skip

    new = (
        "insert into users (tenant_id, name, email, role, active, created_at)"
        " values ($1, $2, $2 || '@example.com', $3, $4, $5) returning user_id"
    )
    plain = await owner.fetchval(new, 1, "plain", "agent", True, 5)
    moved = await owner.fetchval(new, 1, "moved", "supervisor", True, 5)
    await told(moved, 7, (0, "admin", True), (0, "admin", False))
    await told(moved, 9, (0, "admin", False), (0, "agent", True))
    await told(moved, 9, (0, "agent", True), (0, "supervisor", True))
    fixed = await owner.fetchval(new, 1, "fixed", "agent", False, 5)  # by hand, untold
    await told(fixed, 8, (0, "agent", True), (0, "supervisor", True))
    await owner.fetchval(new, 2, "elsewhere", "agent", True, 6)
    await owner.fetchval(new, None, "of the operator", "operator", True, 6)

    await owner.execute(up)

    found: dict[int, list[tuple[int, int | None, str, bool]]] = {}
    for row in await owner.fetch("select * from user_spells where tenant_id = 1 order by since"):
        spell = row["since"], row["until"], row["role"], row["active"]
        found.setdefault(row["user_id"], []).append(spell)
    assert found == {
        plain: [(5, None, "agent", True)],
        moved: [(5, 7, "admin", True), (7, 9, "admin", False), (9, None, "supervisor", True)],
        fixed: [(5, 8, "agent", True), (8, None, "agent", False)],
    }
    called = await owner.fetch(
        "select s.external_id, email from user_spells s join users u using (tenant_id, user_id)"
    )
    assert all(row["external_id"] == row["email"] for row in called)
    seated = await owner.fetch("select seated from tenant_head order by tenant_id")
    assert [row["seated"] for row in seated] == [2, 1]
    names = await owner.fetch("select external_id, email from users order by user_id")
    assert [row["external_id"] for row in names] == [*(row["email"] for row in names[:4]), None]
