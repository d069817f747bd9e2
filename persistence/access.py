"""What lets people in and what they may beyond their role: sign-in links and billing grants.

Owns the rows of `sign_in_links` and `billing_grants`. A link's secret never comes here, and a grant
that was revoked stays to be looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from domain.periods import iso
from persistence.audit import Actor, acting_as, trace
from persistence.door import Door
from persistence.people import UserRecord, scope_of

NEW_LINK_SQL = """
insert into sign_in_links (digest, tenant_id, user_id, created_at, expires_at)
values ($1, $2, $3, $4, $5)
"""


async def keep_link(
    door: Door, user: UserRecord, digest: bytes, *, expires_at: int, now: int
) -> None:
    """Keep a link's digest; `expires_at` is exclusive."""
    async with scope_of(door, user.tenant_id) as conn:
        await conn.execute(NEW_LINK_SQL, digest, user.tenant_id, user.user_id, now, expires_at)
        await trace(
            conn, user.tenant_id, "signInLinkCreate", f"usr/{user.user_id}", at=now,
            after={"expiresAt": iso(expires_at)},
        )  # fmt: skip


# Whoever is first takes it: a second one waits for this row and finds it used.
USE_LINK_SQL = """
update sign_in_links l set used_at = $2
from users u
where digest = $1 and used_at is null and expires_at > $2
    and u.user_id = l.user_id and u.tenant_id is not distinct from l.tenant_id and u.active
returning u.user_id, u.tenant_id
"""


async def use_link(
    door: Door, digest: bytes, *, actor: Callable[[int], Actor], now: int
) -> int | None:
    """Whose link this is, used from now on; None for one that is unknown, used or past its end.

    Who acts is known by the link alone, so `actor` says who a user is.
    """
    async with door.system_tx("a sign-in link comes before its tenant is known") as conn:
        row = await conn.fetchrow(USE_LINK_SQL, digest, now)
        if row is None:
            return None
        user_id: int = row["user_id"]
        with acting_as(actor(user_id)):
            await trace(conn, row["tenant_id"], "signIn", f"usr/{user_id}", at=now)
    return user_id


GRANT_SQL = """
insert into billing_grants (tenant_id, user_id, scope, granted_by, granted_at)
select $1, $2, scope, $4, $5 from unnest($3::text[]) scope
on conflict do nothing
returning scope
"""


async def grant(
    door: Door, user: UserRecord, scopes: Sequence[str], *, by: str, now: int
) -> list[str]:
    """Grant what is not granted yet; which that was."""
    async with scope_of(door, user.tenant_id) as conn:
        rows = await conn.fetch(GRANT_SQL, user.tenant_id, user.user_id, list(scopes), by, now)
        new = [row["scope"] for row in rows]
        if new:
            await trace(
                conn, user.tenant_id, "billingAccessGrant", f"usr/{user.user_id}", at=now,
                after={"granted": new},
            )  # fmt: skip
    return new


REVOKE_SQL = """
update billing_grants set revoked_by = $4, revoked_at = $5
where user_id = $2 and tenant_id is not distinct from $1 and revoked_at is null
    and scope = any ($3::text[])
returning scope
"""


async def revoke(
    door: Door, user: UserRecord, scopes: Sequence[str], *, by: str, now: int
) -> list[str]:
    """Take back what is granted of `scopes`; which that was."""
    async with scope_of(door, user.tenant_id) as conn:
        rows = await conn.fetch(REVOKE_SQL, user.tenant_id, user.user_id, list(scopes), by, now)
        old = [row["scope"] for row in rows]
        if old:
            await trace(
                conn, user.tenant_id, "billingAccessRevoke", f"usr/{user.user_id}", at=now,
                before={"granted": old},
            )  # fmt: skip
    return old
