"""Tenants apart: the application's role sees the tenants its transaction names, and no other row.

Everything here connects as `kuota_app`; a superuser proves nothing.
"""

from __future__ import annotations

import ast
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from persistence.connection import Connection
from persistence.door import Door
from tests.conftest import Database

ROOT = Path(__file__).parents[2]

COLUMNS = """
select a.attname, format_type(a.atttypid, a.atttypmod) as kind
from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped and a.attnotnull
    and a.attgenerated = ''
order by a.attnum
"""

OF_TENANTS = """
select c.oid::regclass::text as name, c.relkind::text as kind, c.relispartition as partition,
    c.relrowsecurity as secured, c.relforcerowsecurity as forced,
    pg_get_userbyid(c.relowner) as owner
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
order by 1
"""

#: A value of each type that a column without a default may have.
VALUES = {
    "bigint": "1",
    "smallint": "1",
    "integer": "1",
    "boolean": "false",
    "text": "'x'",
    "bytea": "'\\x01'",
    "jsonb": "'{{}}'",
    "integer[]": "'{{}}'",
    "bigint[]": "'{{}}'",
    "text[]": "'{{}}'",
    "smallint[]": "'{{}}'",
}
#: Columns whose tables check what is in them.
SPECIAL = {
    ("tenants", "status"): "'active'",
    ("transfers", "credit"): "'y'",
    ("periods", "ends_at"): "2",
    ("tenants", "key"): "'key-' || {tenant}",
    ("api_keys", "prefix"): "'prefix-' || {tenant}",
    ("api_keys", "key_id"): "{tenant}",
    ("actions", "action_id"): "{tenant}",
    ("users", "user_id"): "{tenant}",
    ("sign_in_links", "user_id"): "{tenant}",
    ("sign_in_links", "digest"): "'{tenant}'::bytea",
    ("billing_grants", "user_id"): "{tenant}",
    ("user_spells", "user_id"): "{tenant}",
    ("receipts", "number"): "{tenant}",
    ("account_payments", "amount"): "3",
    ("account_payments", "used"): "0",
    ("account_payments", "refunded"): "0",
    ("account_payments", "taken_back"): "0",
    ("invoices", "credited"): "0",
    ("journal", "rounding"): "0",
}
#: Tables of which a row may be the operator's.
OF_OPERATORS = {"api_keys", "audit", "billing_grants", "sign_in_links", "users"}
#: Tables that others refer to.
FIRST = ("tenants", "users")


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Connection]:
    conn = await asyncpg.connect(database.owner_url)
    yield conn
    await conn.close()


async def tables_of_tenants(owner: Connection) -> list[str]:
    rows = await owner.fetch(OF_TENANTS)
    return [row["name"] for row in rows if not row["partition"]]


async def fill(owner: Connection, tenant: int) -> None:
    """One row of a tenant in every table that has tenants' rows."""
    tables = await tables_of_tenants(owner)
    for table in sorted(tables, key=lambda name: (name not in FIRST, name)):
        names, values = [], []
        for column in await owner.fetch(COLUMNS, table):
            name = column["attname"]
            value = VALUES[column["kind"]]
            if name == "tenant_id":
                value = str(tenant)
            names.append(name)
            values.append(SPECIAL.get((table, name), value).format(tenant=tenant))
        if table in OF_OPERATORS:
            names.append("tenant_id")
            values.append(str(tenant))
        if table == "purchases":  # of a balance, or of an invoice
            names.append("balance_id")
            values.append("1")
        if table == "exports":  # of a year's documents, or a report
            names.append("year")
            values.append("2026")
        await owner.execute(
            f"insert into {table} ({', '.join(names)}) overriding system value "
            f"values ({', '.join(values)})"
        )


async def test_a_transaction_sees_its_tenants_in_every_table(
    owner: Connection, app_url: str
) -> None:
    await fill(owner, 7)
    await fill(owner, 8)
    tables = await tables_of_tenants(owner)
    assert {"tenants", "facts", "charges", "lots", "usage_hour", "api_keys"} <= set(tables)
    async with Door.open(app_url) as door:
        for named in ([], [7], [8], [7, 8], [9]):
            async with door.tenant_tx(*named) as conn:
                for table in tables:
                    rows = await conn.fetch(f"select tenant_id from {table}")
                    seen = sorted(row["tenant_id"] for row in rows)
                    assert seen == [tenant for tenant in (7, 8) if tenant in named], table


async def test_a_transaction_writes_no_other_tenants_rows(owner: Connection, app_url: str) -> None:
    await fill(owner, 8)
    async with Door.open(app_url) as door:
        for table in await tables_of_tenants(owner):
            for statement in (
                f"update {table} set tenant_id = tenant_id where tenant_id = 8",
                f"delete from {table} where tenant_id = 8",
            ):
                try:
                    async with door.tenant_tx(7) as conn:
                        assert (await conn.execute(statement)).split()[-1] == "0", table
                except asyncpg.InsufficientPrivilegeError:
                    pass  # not granted at all: the shorter way to the same end
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with door.tenant_tx(7) as conn:
                await conn.execute(
                    "insert into numbers (tenant_id, channel, address, zones, created_at) "
                    "values (8, 1, 'y', '[[null, \"UTC\"]]', 1)"
                )


async def test_without_a_door_nothing_is_seen(owner: Connection, app_url: str) -> None:
    """A connection on which nobody named a tenant, and one on which somebody did before."""
    await fill(owner, 7)
    conn = await asyncpg.connect(app_url)
    try:
        assert await conn.fetch("select 1 from tenants") == []
        async with conn.transaction():
            await conn.execute("set local app.tenants = '{7}'")
            assert len(await conn.fetch("select 1 from tenants")) == 1
        assert await conn.fetch("select 1 from tenants") == []
    finally:
        await conn.close()


async def test_every_table_of_tenants_is_secured(owner: Connection) -> None:
    rows = await owner.fetch(OF_TENANTS)
    assert len(rows) > 20
    for row in rows:
        assert row["owner"] not in ("kuota_app", "kuota_system"), row["name"]
        if row["partition"]:
            # Reached through its parent alone, whose policies then hold.
            for role in ("kuota_app", "kuota_system"):
                for right in ("select", "insert", "update", "delete"):
                    assert not await owner.fetchval(
                        "select has_table_privilege($1, $2, $3)", role, row["name"], right
                    ), row["name"]
            continue
        assert (row["secured"], row["forced"]) == (True, True), row["name"]
        policies = await owner.fetch(
            """
            select polname, pg_get_expr(polqual, polrelid) as rule, polwithcheck is null as same
            from pg_policy
            where polrelid = $1::regclass and 'kuota_app'::regrole = any (polroles)
            """,
            row["name"],
        )
        assert [policy["polname"] for policy in policies] == ["of_tenant"], row["name"]
        # With the inner select the list is read once a statement, bare it is read for every row.
        assert "SELECT app_tenants()" in policies[0]["rule"]
        assert policies[0]["same"]


async def test_every_key_begins_with_the_tenant(owner: Connection) -> None:
    """Two tenants never meet in a unique index, but where a name is unique on purpose."""
    rows = await owner.fetch(
        """
        select i.indexrelid::regclass::text as name, a.attname as first
        from pg_index i
        join pg_class c on c.oid = i.indrelid and c.relkind in ('r', 'p') and not c.relispartition
        join pg_attribute t on t.attrelid = c.oid and t.attname = 'tenant_id'
        join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
        where i.indisunique and c.relnamespace = 'public'::regnamespace
        """
    )
    others = {row["name"] for row in rows if row["first"] != "tenant_id"}
    assert others == {
        "tenants_key_key",  # names a tenant to the world
        "api_keys_pkey",  # found before its tenant is known
        "api_keys_prefix_key",
        "actions_action_id_key",
        "users_pkey",  # found by a token before the tenant is known
        "users_subject",
        "sign_in_links_pkey",
        "receipts_number",  # one issuer numbers for all
        "invoices_number",  # likewise
    }


async def test_the_roles_can_do_no_more(owner: Connection) -> None:
    rows = await owner.fetch(
        "select rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolinherit "
        "from pg_roles where rolname in ('kuota_app', 'kuota_system')"
    )
    assert len(rows) == 2
    for row in rows:
        rights = ("rolsuper", "rolbypassrls", "rolcreaterole", "rolcreatedb")
        assert not any(row[right] for right in rights), row["rolname"]
    assert not next(row["rolinherit"] for row in rows if row["rolname"] == "kuota_app")
    granted = await owner.fetch(
        """
        select table_name from information_schema.role_table_grants
        where grantee = 'kuota_system' and table_schema = 'public'
        """
    )
    assert {row["table_name"] for row in granted} == {
        "api_keys", "audit", "billing_grants", "books", "deliveries", "document_series",
        "export_parts", "forecasts", "hold_shares", "holds", "issuers", "markets",
        "numbers", "plans", "report_letters", "rules", "sandbox_payments", "sign_in_links",
        "signing_keys", "tasks", "taxes", "tenant_head", "tenants", "unrated", "users",
    }  # fmt: skip


def callers_of(name: str) -> set[str]:
    """The functions of the application that call a method `name`, as `module.function`."""
    found: set[str] = set()

    def visit(node: ast.AST, place: str) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            place = f"{place.partition(':')[0]}:{node.name}"
        if isinstance(node, ast.Call) and getattr(node.func, "attr", None) == name:
            found.add(place.replace(":", "."))
        for child in ast.iter_child_nodes(node):
            visit(child, place)

    for folder in ("api", "persistence", "domain"):
        for path in (ROOT / folder).rglob("*.py"):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            visit(ast.parse(path.read_text("utf-8")), module)
    return found


def test_who_works_without_a_tenant() -> None:
    """Each of these has a reason; another one needs one too, and a place in this list."""
    assert callers_of("system_tx") == {
        "api.cli.book.act",  # the catalogue
        "api.cli.doctor._inside",  # what the server says of itself, and heads that are due
        "api.cli.doctor._stored_keys",  # how many keys operators have
        "api.cli.settle.act",  # the catalogue
        "api.cli.simulate.act",  # the catalogue
        "api.cli.log.act",  # the catalogue
        "api.cli.tenant.act",  # the catalogue
        "api.cli.user.act",  # the catalogue
        "api.cli.verify.act",  # the catalogue
        "api.core._open",  # the catalogue
        "api.importing._anybody",  # whether somebody is charged by what an import would publish
        "api.health.of_database",  # whether it answers, and which migrations it has seen
        "api.operations.audit_export_create._scope",  # that everybody's audit is exported
        "api.operations.issuer_publish.run",  # an issuer is of no tenant
        "api.operations.price_book_publish.run",  # a book is of no tenant
        "api.operations.simulate._unpublished",  # a book is of no tenant
        "api.reload.look",  # the catalogue
        "api.verifying.catalogue",  # what was published
        "persistence.audit._scope",  # rows of all tenants, and of none
        "persistence.credentials._of",  # the operator's keys
        "persistence.credentials.clear_widgets",  # tokens of all tenants that ended
        "persistence.credentials.find_by_prefixes",  # a key comes before its tenant
        "persistence.credentials.has_widget_of",  # a page comes before its widget's tenant
        "persistence.credentials.note_uses",  # keys of all tenants
        "persistence.credentials.page_of_operators",  # the operators' keys
        "persistence.deliveries.clear",  # deliveries of all tenants that are long over
        "persistence.exports.clear",  # files of all tenants that were made long ago
        "persistence.report_letters.clear",  # letters of all tenants that are long over
        "persistence.due.count",  # how many tenants are due
        "persistence.due.look",  # which of them come first
        "persistence.access.use_link",  # a link comes before its tenant
        "persistence.invoice_lists.whose",  # an operator's invoice by its id
        "persistence.looks.due",  # who moved since they were looked at
        "persistence.holds.clear",  # holds of all tenants that nobody used
        "persistence.outages.under_way",  # who was granted something without Valkey
        "persistence.people.find_by_tokens",  # people come before their tenants
        "persistence.people.page_of_operators",  # people of no tenant
        "persistence.people.scope_of",  # the operator's people, and an operator's look
        "persistence.purchases.whose",  # a payment's key comes before its tenant
        "persistence.sandbox.ask",  # a provider knows keys, and no tenants
        "persistence.sandbox.collected",  # likewise
        "persistence.sandbox.decide",  # likewise
        "persistence.sandbox.find",  # likewise
        "persistence.signing_keys.keep_key",  # keys of the installation
        "persistence.signing_keys.sealed_keys",  # likewise
        "persistence.subscriptions.whose",  # an operator's subscription by its id
        "persistence.sweep._everybody",  # who has a state to show
        "persistence.sweep._latest",  # who was committed of late
        "persistence.tasks.take",  # what is due of any tenant
        "persistence.tenants.find_by_keys",  # a tenant's key comes before its id
        "persistence.tenants.find_number",  # an operator's number by its id
        "persistence.tenants.page",  # an operator's list
        "persistence.terms.by_keys",  # tenant keys of events
        "persistence.unrated.look",  # whose facts wait for a rate
        "persistence.unsettled.look",  # whose late facts are next
        "persistence.unsettled.marked",  # who has late facts
    }
