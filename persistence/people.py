"""People as they are kept: whose they are, how their tokens name them, what they are granted.

Owns the rows of `users`, and who sees which: a tenant's people by `tenant_tx`, the operator's, and
whoever comes with a token, by the system's role. Links and grants are `persistence.access`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import asyncpg

from domain.facts import CHANNEL_NAMES
from domain.people import check_seat, takes_seat
from domain.problems import Problem
from persistence import seats, spells
from persistence.audit import trace
from persistence.catalogue import Catalogue
from persistence.connection import Connection
from persistence.door import Door

SUPER_ADMIN = "super_admin"


@dataclass(frozen=True, slots=True)
class UserRecord:
    user_id: int
    tenant_id: int | None  #: None: the operator's
    tenant_key: str | None
    issuer: str | None  #: whose tokens name this person; None: our own
    subject: str | None  #: how they do
    name: str
    email: str
    role: str
    active: bool
    created_at: int
    granted: tuple[str, ...] = ()  #: scopes beyond those of the role
    external_id: str | None = None  #: what facts call the person; None: the operator's
    channels: tuple[int, ...] = ()  #: that the person works on, as `domain.facts.Channel`; (): all


USERS_SQL = """
select user_id, u.tenant_id, t.key as tenant_key, issuer, subject, u.name, email, role, active,
    u.created_at, external_id, channels, array(
        select scope from billing_grants g
        where g.user_id = u.user_id and g.tenant_id is not distinct from u.tenant_id
            and revoked_at is null
        order by grant_id
    ) as granted
from users u left join tenants t on t.tenant_id = u.tenant_id
"""


FIND_SQL = f"""
{USERS_SQL} where u.issuer is null and user_id = any ($1::bigint[])
union all
{USERS_SQL} where u.issuer = $2 and subject = any ($3::text[])
"""


async def find_by_tokens(
    door: Door, user_ids: Sequence[int], issuer: str | None, subjects: Sequence[str]
) -> list[UserRecord]:
    """Whom tokens name: users by their numbers where they are ours, else an issuer's subjects."""
    async with door.system_tx("people are looked up before their tenants are known") as conn:
        rows = await conn.fetch(FIND_SQL, list(user_ids), issuer, list(subjects))
    return [_from_row(row) for row in rows]


async def find_user(door: Door, user_id: int, tenant_id: int | None) -> UserRecord | None:
    """Somebody by number; `tenant_id` limits the look to one tenant's, None is an operator's."""
    async with scope_of(door, tenant_id) as conn:
        return await user_in(conn, user_id, tenant_id)


async def user_in(conn: Connection, user_id: int, tenant_id: int | None) -> UserRecord | None:
    """As `find_user`, in a transaction."""
    row = await conn.fetchrow(
        f"{USERS_SQL} where user_id = $1 and ($2::bigint is null or u.tenant_id = $2)",
        user_id,
        tenant_id,
    )
    return None if row is None else _from_row(row)


PAGES_SQL = f"""
select found.* from unnest($1::bigint[]) asked (tenant_id)
cross join lateral (
    {USERS_SQL} where u.tenant_id = asked.tenant_id and user_id > $2 order by user_id limit $3
) found
"""


async def pages(
    door: Door, tenants: Iterable[int], *, after: int, limit: int
) -> dict[int, list[UserRecord]]:
    """For each tenant up to `limit` of its people behind `after`, in the order they came."""
    found: dict[int, list[UserRecord]] = {tenant: [] for tenant in tenants}
    async with door.tenant_tx(*found) as conn:
        for row in await conn.fetch(PAGES_SQL, list(found), after, limit):
            found[row["tenant_id"]].append(_from_row(row))
    return found


async def page_of_operators(door: Door, *, after: int, limit: int) -> list[UserRecord]:
    """Up to `limit` of the operator's people behind `after`, in the order they came."""
    async with door.system_tx("the operator's people") as conn:
        rows = await conn.fetch(
            f"{USERS_SQL} where u.tenant_id is null and user_id > $1 order by user_id limit $2",
            after,
            limit,
        )
    return [_from_row(row) for row in rows]


NEW_USER_SQL = """
insert into users (
    tenant_id, issuer, subject, name, email, role, created_at, external_id, channels
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning user_id
"""


async def create_user(
    door: Door,
    tenant_id: int | None,
    *,
    issuer: str | None,
    subject: str | None,
    name: str,
    email: str,
    role: str,
    external_id: str | None = None,
    channels: Sequence[int] = (),
    catalogue: Catalogue | None = None,
    now: int,
) -> UserRecord:
    """Keep somebody new; `catalogue` knows the plan of a tenant where a seat is taken (US-1).

    An address, a subject or a name in facts that is taken raises `EMAIL_TAKEN`, `SUBJECT_TAKEN` or
    `EXTERNAL_ID_TAKEN`, this also where somebody else once had it; without a seat left an agent or
    supervisor is refused: `NO_SEATS`.
    """
    if tenant_id is not None and external_id is None:
        external_id = email
    try:
        async with scope_of(door, tenant_id) as conn:
            if tenant_id is not None:
                await seats.lock(conn, tenant_id)
            user_id: int = await conn.fetchval(
                NEW_USER_SQL, tenant_id, issuer, subject, name, email, role, now, external_id,
                list(channels),
            )  # fmt: skip
            made = await user_in(conn, user_id, tenant_id)
            assert made is not None
            if tenant_id is not None:
                await _check_name(conn, made)
                await spells.begin(conn, tenant_id, user_id, role, made.active, now)
                await _seat(conn, catalogue, None, made, now)
            await trace(
                conn, tenant_id, "userCreate", f"usr/{user_id}", at=now, after=_told(made)
            )  # fmt: skip
    except asyncpg.UniqueViolationError as error:
        raise _taken(error, email, external_id or "") from None
    return made


async def _check_name(conn: Connection, user: UserRecord) -> None:
    """Refuse a name in facts that somebody else had: what was counted under it is that one's."""
    assert user.tenant_id is not None
    assert user.external_id is not None
    if await spells.called_so(conn, user.tenant_id, user.external_id, user.user_id):
        raise _name_taken(user.external_id)


async def _seat(
    conn: Connection, catalogue: Catalogue | None, before: UserRecord | None, after: UserRecord,
    now: int,
) -> None:  # fmt: skip
    """Count a locked tenant's seats; refuse who takes one that the plan does not have (US-1)."""
    assert after.tenant_id is not None
    used = await seats.count(conn, after.tenant_id)
    had = before is not None and takes_seat(before.role, before.active)
    if takes_seat(after.role, after.active) and not had:
        assert catalogue is not None, "whoever may take a seat brings the plans"
        maximum = await seats.maximum(conn, catalogue, after.tenant_id, now)
        back = before is not None and not before.active
        check_seat(maximum, used - 1, "active" if back else "role")


# In one order, so that two who lower each other meet here and not in a deadlock.
SUPER_ADMINS_SQL = """
select user_id from users where tenant_id = $1 and role = $2 and active order by user_id for update
"""

# What is not said stays, whatever somebody else changes at the same time.
CHANGE_SQL = """
update users set name = coalesce($3, name), email = coalesce($4, email), role = coalesce($5, role),
    active = coalesce($6, active), external_id = coalesce($7, external_id),
    channels = coalesce($8, channels)
where user_id = $1 and tenant_id is not distinct from $2
"""


async def update_user(
    door: Door,
    user: UserRecord,
    *,
    name: str | None,
    email: str | None,
    role: str | None,
    active: bool | None,
    external_id: str | None = None,
    channels: Sequence[int] | None = None,
    catalogue: Catalogue | None = None,
    keep_super_admin: bool,
    now: int,
) -> UserRecord:
    """Change of somebody what is not None; `catalogue` as `create_user` has it.

    With `keep_super_admin` a tenant's last one that is active stays so: `LAST_SUPER_ADMIN`. Who is
    to take a seat that is not there is refused: `NO_SEATS`.
    """
    try:
        async with scope_of(door, user.tenant_id) as conn:
            if user.tenant_id is not None:
                await seats.lock(conn, user.tenant_id)
            if keep_super_admin and (active is False or role not in (None, SUPER_ADMIN)):
                rows = await conn.fetch(SUPER_ADMINS_SQL, user.tenant_id, SUPER_ADMIN)
                if [row["user_id"] for row in rows] == [user.user_id]:
                    raise Problem(
                        "LAST_SUPER_ADMIN",
                        "this is the tenant's last active super-admin: make somebody else one "
                        "first, or ask the operator",
                        "active" if active is False else "role",
                    )
            before = await user_in(conn, user.user_id, user.tenant_id)
            await conn.execute(
                CHANGE_SQL, user.user_id, user.tenant_id, name, email, role, active, external_id,
                None if channels is None else list(channels),
            )  # fmt: skip
            after = await user_in(conn, user.user_id, user.tenant_id)
            assert before is not None
            assert after is not None
            if after.external_id != before.external_id:
                await _check_name(conn, after)
            if user.tenant_id is not None and (before.role, before.active, before.external_id) != (
                after.role, after.active, after.external_id,
            ):  # fmt: skip
                await spells.change(
                    conn, user.tenant_id, user.user_id, after.role, after.active, now
                )
            if user.tenant_id is not None and (before.role, before.active) != (
                after.role, after.active,
            ):  # fmt: skip
                await _seat(conn, catalogue, before, after, now)
            await trace(
                conn, user.tenant_id, "userUpdate", f"usr/{user.user_id}", at=now,
                before=_told(before), after=_told(after),
            )  # fmt: skip
    except asyncpg.UniqueViolationError as error:
        raise _taken(error, email or "", external_id or "") from None
    return after


def scope_of(door: Door, tenant_id: int | None) -> AbstractAsyncContextManager[Connection]:
    """A transaction that sees one tenant's people, or everybody for an operator."""
    if tenant_id is None:
        return door.system_tx("the operator's people, and an operator's look at people")
    return door.tenant_tx(tenant_id)


def _taken(error: asyncpg.UniqueViolationError, email: str, external_id: str) -> Problem:
    if error.constraint_name == "users_email":
        return Problem("EMAIL_TAKEN", f"somebody here has the address {email} already", "email")
    if error.constraint_name == "users_subject":
        return Problem("SUBJECT_TAKEN", "somebody is known by this subject already", "subject")
    if error.constraint_name == "users_external_id":
        return _name_taken(external_id)
    raise error


def _name_taken(external_id: str) -> Problem:
    return Problem(
        "EXTERNAL_ID_TAKEN",
        f"facts call somebody else here {external_id}, or once did, and what was counted so stays "
        "that person's: give another externalId",
        "externalId",
    )


def _told(user: UserRecord) -> dict[str, object]:
    """Somebody as a trace has it."""
    return {
        "name": user.name, "email": user.email, "role": user.role, "active": user.active,
        "externalId": user.external_id,
        "channels": [CHANNEL_NAMES[channel] for channel in user.channels],
    }  # fmt: skip


def _from_row(row: asyncpg.Record) -> UserRecord:
    return read_user(dict(row))


def read_user(values: dict[str, Any]) -> UserRecord:
    """Somebody from the columns of `USERS_SQL`."""
    lists = {name: tuple(values[name]) for name in ("granted", "channels")}
    return UserRecord(**values | lists)
