"""Who may see what: the role we log in as, the app's role, and row-level security.

Owns what keeps tenants apart inside the database, as it should be (`migrations` makes it so).
"""

from __future__ import annotations

from persistence.checkup.finding import (
    OWNER,
    SUPERUSER,
    Finding,
    Trouble,
    judged,
    warned,
    wrong,
)
from persistence.connection import Connection

APP = "kuota_app"
SYSTEM = "kuota_system"

#: Rights neither role may have: column of pg_roles -> how `alter role` takes it away.
RIGHTS = {
    "rolsuper": "nosuperuser",
    "rolbypassrls": "nobypassrls",
    "rolcreaterole": "nocreaterole",
    "rolcreatedb": "nocreatedb",
    "rolreplication": "noreplication",
}
GRANT = f"grant {SYSTEM} to {APP} with inherit false, set true"


async def login(conn: Connection) -> Finding:
    """We log in as the app's role itself."""
    row = await conn.fetchrow(
        "select rolname, rolsuper, rolbypassrls from pg_roles where rolname = session_user"
    )
    assert row is not None
    name = row["rolname"]
    if name == APP:
        return judged("login role", APP, [])
    kind = "a superuser" if row["rolsuper"] else "another role"
    found = f"it logs in as {name}, {kind}; each connection is lowered to {APP}, and could go back"
    remedy = (
        f"write {APP} in place of {name} in KUOTA_DATABASE_URL, and keep {name} for"
        f" KUOTA_DATABASE_OWNER_URL ({SUPERUSER}alter role {APP} password '...' lets it log in"
        " over a network)"
    )
    return judged("login role", APP, [warned(found, remedy)])


async def app(conn: Connection) -> Finding:
    """The app's role can do no more than it should, and may become the system's."""
    troubles: list[Trouble] = []
    rights = ", ".join(RIGHTS)
    for row in await conn.fetch(
        f"select rolname, {rights} from pg_roles where rolname = any ($1) order by 1", [APP, SYSTEM]
    ):
        has = [right for right in RIGHTS if row[right]]
        if has:
            names = ", ".join(right.removeprefix("rol") for right in has)
            lose = " ".join(RIGHTS[right] for right in has)
            remedy = f"{SUPERUSER}alter role {row['rolname']} {lose}"
            troubles.append(wrong(f"{row['rolname']} has the right {names}", remedy))
    troubles += await _owned(conn)
    troubles += await _memberships(conn)
    return judged("app role", f"{APP} owns nothing, bypasses nothing, may be {SYSTEM}", troubles)


async def _owned(conn: Connection) -> list[Trouble]:
    rows = await conn.fetch(
        """
        select pg_get_userbyid(relowner) as role, count(*) as many,
            string_agg(oid::regclass::text, ', ' order by relname) as tables
        from pg_class
        where relkind in ('r', 'p') and pg_get_userbyid(relowner) = any ($1)
        group by 1 order by 1
        """,
        [APP, SYSTEM],
    )
    owner = await conn.fetchval(
        "select quote_ident(pg_get_userbyid(datdba)) from pg_database"
        " where datname = current_database()"
    )
    return [
        wrong(
            f"{row['role']} owns {row['many']} tables ({row['tables']}), so it can switch their"
            " policies off",
            # With the ownership it loses what it was granted before.
            f"{SUPERUSER}reassign owned by {row['role']} to {owner};"
            f" grant select, insert, update on {row['tables']} to {row['role']}",
        )
        for row in rows
    ]


async def _memberships(conn: Connection) -> list[Trouble]:
    rows = await conn.fetch(
        """
        select pg_get_userbyid(roleid) as role, bool_or(inherit_option) as inherits,
            bool_or(set_option) as sets
        from pg_auth_members where member = $1::text::regrole group by 1 order by 1
        """,
        APP,
    )
    troubles = [
        wrong(f"{APP} is also {row['role']}", f"{SUPERUSER}revoke {row['role']} from {APP}")
        for row in rows
        if row["role"] != SYSTEM
    ]
    own = next((row for row in rows if row["role"] == SYSTEM), None)
    if own is None or not own["sets"]:
        found = f"{APP} may not become {SYSTEM}: no key can be looked up"
        troubles.append(wrong(found, f"{SUPERUSER}{GRANT}"))
    elif own["inherits"]:
        found = f"{APP} inherits {SYSTEM}, whose policies show it every tenant"
        troubles.append(wrong(found, f"{SUPERUSER}{GRANT}"))
    return troubles


# A policy that does not ask for the transaction's tenants shows all of them.
SECURED = """
select c.oid::regclass::text as name, c.relispartition as partition,
    c.relrowsecurity and c.relforcerowsecurity as secured,
    has_table_privilege('kuota_app', c.oid, 'select, insert, update, delete') as reached,
    has_table_privilege('kuota_app', c.oid, 'select')
        and has_table_privilege('kuota_app', c.oid, 'insert') as granted,
    coalesce(p.policies, 0) as policies, coalesce(p.wide, '{}') as wide
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
left join lateral (
    select count(*) as policies,
        array_agg(quote_ident(polname)) filter (where polpermissive and position('app_tenants()' in
            coalesce(pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid), '')) = 0)
            as wide
    from pg_policy
    where polrelid = c.oid and ('kuota_app'::regrole = any (polroles) or 0 = any (polroles))
) p on true
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
order by 1
"""


async def secured(conn: Connection) -> Finding:
    """Row-level security holds on every table with a tenant, and partitions have no grants."""
    troubles: list[Trouble] = []
    tables = 0
    for row in await conn.fetch(SECURED):
        name = row["name"]
        if row["partition"]:
            if row["reached"]:
                found = f"{name} is open to {APP} past its parent's policies"
                troubles.append(wrong(found, f"{OWNER}revoke all on {name} from public, {APP}"))
            continue
        if not (row["reached"] or row["policies"]):
            # Nothing of ours: a partition that was detached, or somebody's own.
            continue
        tables += 1
        if not row["secured"]:
            troubles.append(
                wrong(
                    f"{name} is not secured: every tenant's rows are seen",
                    f"{OWNER}alter table {name} enable row level security;"
                    f" alter table {name} force row level security",
                )
            )
        if not row["policies"]:
            troubles.append(
                wrong(
                    f"{name} has no policy for {APP}: nobody's rows are seen",
                    f"{OWNER}create policy of_tenant on {name} to {APP}"
                    " using (tenant_id = any ((select app_tenants())::bigint[]))",
                )
            )
        if not row["granted"]:
            found = f"{APP} may not read and write {name}"
            troubles.append(wrong(found, f"{OWNER}grant select, insert, update on {name} to {APP}"))
        for policy in row["wide"]:
            found = f"policy {policy} on {name} shows every tenant to {APP}"
            troubles.append(wrong(found, f"{OWNER}drop policy {policy} on {name}"))
    fine = f"on and forced on {tables} tables, and no partition is open"
    return judged("row-level security", fine, troubles)
