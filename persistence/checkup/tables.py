"""What migrations and jobs keep in order: migrations, months of partitions, heads that are due.

Owns no table; the runner is `persistence.migrate`, the months are made by `persistence.partitions`.
"""

from __future__ import annotations

import re
from pathlib import Path

from domain.periods import iso, moment, month_label, month_name
from persistence.checkup.finding import OWNER, Finding, Trouble, judged, warned, wrong
from persistence.connection import Connection
from persistence.migrate import MIGRATIONS, read
from persistence.partitions import MONTHS_AHEAD, PARTITIONED, named, start

MIGRATE = "python -m api migrate"
HOUR = 3_600_000_000
#: Stray rows are counted up to here: how many more there are changes nothing.
STRAYS_COUNTED_MAX = 1_000
BOUNDS = re.compile(r"FROM \('(-?\d+)'\) TO \('(-?\d+)'\)")


async def migrations(conn: Connection, folder: Path = MIGRATIONS) -> Finding:
    """The database has seen every migration of this code, and no other."""
    known = {migration.version: migration.name for migration in read(folder)}
    seen: set[str] = set()
    if await conn.fetchval("select to_regclass('schema_migrations') is not null"):
        seen = {row["version"] for row in await conn.fetch("select version from schema_migrations")}
    troubles: list[Trouble] = []
    if missing := [name for version, name in known.items() if version not in seen]:
        troubles.append(wrong(f"open: {', '.join(missing)}", MIGRATE))
    if strange := sorted(seen - known.keys()):
        troubles.append(
            wrong(
                f"the database has seen {', '.join(strange)}, which this code does not have: a"
                " newer version has migrated it",
                "run that newer version here",
            )
        )
    return judged("migrations", f"all {len(known)} applied", troubles)


def _label(now: int) -> int:
    today = moment(now)
    return month_label(today.year, today.month)


PARTITIONS = """
select i.inhparent::regclass::text as parent, pg_get_expr(c.relpartbound, c.oid) as bounds
from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent::regclass::text = any ($1)
"""


async def partitions(conn: Connection, now: int) -> Finding:
    """This month's partitions are there, and those of the months that are made ahead."""
    covered: dict[str, list[tuple[int, int]]] = {table: [] for table in PARTITIONED}
    defaults = set()
    for row in await conn.fetch(PARTITIONS, list(PARTITIONED)):
        if bounds := BOUNDS.search(row["bounds"]):
            covered[row["parent"]].append((int(bounds[1]), int(bounds[2])))
        else:
            defaults.add(row["parent"])
    present = _label(now)
    troubles: list[Trouble] = []
    for table in PARTITIONED:
        if table not in defaults:
            troubles.append(
                wrong(
                    f"{table} has no default partition: facts of other months are refused",
                    f"{OWNER}create table {table}_default partition of {table} default",
                )
            )
        missing = [
            label
            for label in range(present, present + MONTHS_AHEAD + 1)
            if not any(a <= start(label) and start(label + 1) <= b for a, b in covered[table])
        ]
        if not missing:
            continue
        months = ", ".join(month_name(label) for label in missing)
        say = wrong if present in missing else warned
        remedy = "; ".join(await _attached(conn, table, missing) or [MIGRATE])
        troubles.append(say(f"{table} has no partition for {months}", remedy))
    last = month_name(present + MONTHS_AHEAD)
    return judged("partitions", f"{month_name(present)} to {last} are there", troubles)


async def _attached(conn: Connection, table: str, labels: list[int]) -> list[str]:
    """What attaches those months' tables that are there and no partitions: migrate leaves them."""
    return [
        f"{OWNER}alter table {table} attach partition {named(table, label)}"
        f" for values from ({start(label)}) to ({start(label + 1)})"
        for label in labels
        if await conn.fetchval("select to_regclass($1) is not null", named(table, label))
    ]


async def strays(owner: Connection, now: int) -> Finding:
    """No row of a month that should have a partition lies in a default one.

    Rows of earlier months belong there: history that was replayed after its month. `owner` is a
    connection as the owner, for partitions have no grants.
    """
    troubles: list[Trouble] = []
    history = []
    first = start(_label(now))
    for table in PARTITIONED:
        default = f"{table}_default"
        if await owner.fetchval("select to_regclass($1) is null", default):
            continue
        row = await owner.fetchrow(
            f"""
            select count(*) as rows, min(at) as earliest
            from (select at from {default} where at >= $1 limit {STRAYS_COUNTED_MAX}) strays
            """,
            first,
        )
        assert row is not None
        if row["rows"]:
            many = "or more" if row["rows"] == STRAYS_COUNTED_MAX else ""
            troubles.append(
                warned(
                    f"{default} holds {row['rows']} {many} rows from"
                    f" {iso(row['earliest'])} on: figures are right, and migrate cannot make"
                    " that month".replace("  ", " "),
                    f"{OWNER}{moved(table, _label(row['earliest']))}",
                )
            )
        elif await owner.fetchval(f"select exists (select from {default})"):
            history.append(default)
    fine = f"only earlier months in {' and '.join(history)}" if history else "empty"
    return judged("default partitions", fine, troubles)


def moved(table: str, label: int) -> str:
    """The statements that give a month its partition and move its rows there, at one stroke."""
    name, first, end = named(table, label), start(label), start(label + 1)
    return (
        f"begin; alter table {table} detach partition {table}_default;"
        f" create table if not exists {name} partition of {table}"
        f" for values from ({first}) to ({end});"
        f" with moved as (delete from {table}_default where at >= {first} and at < {end}"
        f" returning *) insert into {name} select * from moved;"
        f" alter table {table} attach partition {table}_default default; commit"
    )


async def heads(conn: Connection, now: int) -> Finding:
    """Nothing has been due for an hour: jobs book what time alone changes within seconds."""
    row = await conn.fetchrow(
        "select count(*) as heads, min(next_due) as since from tenant_head where next_due < $1",
        now - HOUR,
    )
    assert row is not None
    troubles = []
    if row["heads"]:
        troubles.append(
            warned(
                f"{row['heads']} tenants are overdue, the first since {iso(row['since'])}: no"
                " process runs the jobs (figures are right all the same)",
                "start one: python -m api serve",
            )
        )
    return judged("due tenants", "none overdue", troubles)


async def unrated(conn: Connection) -> Finding:
    """No tenant has facts that no rate covers: they are kept, and cost nothing as yet (EV-7)."""
    row = await conn.fetchrow("select count(*) as tenants, min(since) as since from unrated")
    assert row is not None
    troubles = []
    if row["tenants"]:
        troubles.append(
            warned(
                f"{row['tenants']} tenants have facts that no rate covers, the first since"
                f" {iso(row['since'])}: they are kept, and charged as soon as one does",
                "publish the missing rows: python -m api book publish FILE",
            )
        )
    return judged("unrated facts", "none", troubles)


#: What is to be done by tasks of a kind, and what to do where nobody does it.
WAITING = {
    "payment": ("payments wait to be asked for", "see the log of the jobs: the provider is away"),
    "notify": ("commits' alerts wait to be told", "start the jobs: python -m api serve"),
    "webhook": ("webhooks wait", "see Tenant.webhookDeliveries for what their receivers answer"),
    "mail": ("letters wait", "set KUOTA_SMTP_URL, or see the log for what that server answers"),
    "close": ("periods wait to be closed", "see the log of the jobs for what stands in the way"),
    "invoice": (
        "invoices wait to be issued", "see the log of the jobs: an issuer may not be published"
    ),
    "dunning": ("overdue invoices wait", "start the jobs: python -m api serve"),
    "ending": ("endings of subscriptions wait to be told", "start the jobs: python -m api serve"),
    "export": ("exports wait", "start the jobs: python -m api serve"),
    "report_letter": (
        "letters with reports wait",
        "set KUOTA_SMTP_URL, or see the log for what that server answers",
    ),
    "report_schedule": ("scheduled reports wait", "start the jobs: python -m api serve"),
}  # fmt: skip

#: A closing or an invoice that was tried so often stands still, though it is put off each time; and
#: any other task that failed so often in a row.
TRIES_MAX = 6

# Behind the last failure there may be the try that is under way.
FAILING = """
select kind, count(*) as count, max(failures) as most from tasks
where failures >= $1 and failed_try >= tries - 1 and kind not in ('close', 'invoice')
group by kind order by kind"""


async def tasks(conn: Connection, now: int) -> Finding:
    """What commits left to be done is done: nothing has been due for an hour, or failed often."""
    rows = await conn.fetch(
        "select kind, count(*) as count, least(min(due_at), $3) as since from tasks"
        " where due_at < $1 or kind in ('close', 'invoice') and tries >= $2"
        " group by kind order by kind",
        now - HOUR, TRIES_MAX, now,
    )  # fmt: skip
    troubles = []
    for row in rows:
        what, remedy = WAITING.get(row["kind"], (f"tasks {row['kind']} wait", "see the log"))
        since = iso(row["since"])
        troubles.append(warned(f"{row['count']} {what}, the first since {since}", remedy))
    for row in await conn.fetch(FAILING, TRIES_MAX):
        kind = row["kind"]
        what, _ = WAITING.get(kind, (f"tasks {kind} wait", ""))
        troubles.append(
            warned(
                f"{row['count']} {what} and fail each time, up to {row['most']} times in a row",
                f"see the log of the jobs for what stands in the way: `a task failed`, kind {kind}",
            )
        )
    # Asked, or pending, for longer than any page stands open.
    open_ones = await conn.fetchval(
        "select count(*) from payments where state in (2, 3) and asked_at < $1", now - 25 * HOUR
    )
    if open_ones:
        troubles.append(
            warned(
                f"{open_ones} payments have had no outcome for a day: nobody answers for them",
                "Purchase.payments has the reason of each; correct KUOTA_PAYMENTS and its key",
            )
        )
    return judged("tasks", "none overdue", troubles)


async def owning(owner: Connection) -> Finding:
    """The owner's URL is of somebody who may change the tables."""
    row = await owner.fetchrow(
        """
        select current_user as role, pg_get_userbyid(relowner) as owner,
            pg_has_role(relowner, 'usage') as able
        from pg_class where oid = to_regclass('tenants')
        """
    )
    if row is None:
        return judged("owner", str(await owner.fetchval("select current_user")), [])
    troubles = []
    if not row["able"]:
        troubles.append(
            warned(
                f"{row['role']} may not change the tables, which are {row['owner']}'s: migrate and"
                " the making of partitions fail",
                f"set KUOTA_DATABASE_OWNER_URL to the database as {row['owner']}",
            )
        )
    return judged("owner", str(row["role"]), troubles)


async def operator_keys(conn: Connection, now: int) -> int:
    """How many operator's keys are stored and can be used; as the system's role."""
    count = await conn.fetchval(
        """
        select count(*) from api_keys
        where tenant_id is null and revoked_at is null and (expires_at is null or expires_at > $1)
        """,
        now,
    )
    return int(count)
