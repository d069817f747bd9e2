"""An account in an exported log is the same in another database (EV-8, IN-3, IN-4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from api.exporting import export
from api.importing import Importing
from api.log_file import LogFile, Writer
from persistence.account_checks import check
from persistence.door import Door
from persistence.tenants import find_by_keys
from tests.api.account.books import NOON, Books
from tests.conftest import Database
from tests.domain.test_taxes import SAMPLE

ROWS = (
    "select number, kind, of_id is null, total, credited, paid, balance, issued_on, due_on,"
    " issued_at, voided_at, body from invoices where tenant_id = $1 and number is not null"
    " order by issued_at, kind, place",
    "select payment, amount, names, used, refunded, taken_back, received_on, created_at, body"
    " from account_payments where tenant_id = $1 order by payment_id",
    "select p.payment, i.number, a.amount, a.at from allocations a"
    " join account_payments p using (tenant_id, payment_id)"
    " join invoices i using (tenant_id, invoice_id)"
    " where a.tenant_id = $1 order by allocation_id",
    "select at, kind, reference, receivable, cash, revenue, tax, rounding from journal"
    " where tenant_id = $1 order by entry_id",
    "select kind, cause_id, remaining, base, at from alerts where tenant_id = $1"
    " order by version, line",
)


async def rows(door: Door, key: str) -> list[Any]:
    """All that an account is, without numbers of its database."""
    tenant_id = (await find_by_keys(door, [key]))[key].tenant_id
    async with door.tenant_tx(tenant_id) as connection:
        assert await check(connection, tenant_id) == []
        return [[tuple(row) for row in await connection.fetch(sql, tenant_id)] for sql in ROWS]


async def test_an_imported_account_is_the_same(
    books: Books, database: Database, tmp_path: Path
) -> None:
    """EV-8: with its numbers, what each payment pays, and every entry."""
    key = await books.tenant()
    first, second = await books.issue(key, "100", "50", taxes=SAMPLE), await books.issue(key, "9.4")
    books.world.clock.at += 1
    await books.pay(key, "180", second, key="log-1")
    await books.credit(key, first, (1, "20"))
    await books.refund(key, "10")
    await books.pay(key, "5", key="log-2")
    await books.take_back(key, "log-1")
    third = await books.issue(key, "70")
    await books.void(key, third)
    await books.credit(key, second)
    world, path = books.world, tmp_path / "log"
    with path.open("wb") as file:
        await export(world.door, world.catalogue, key, Writer(file), world.clock.now)
    async with Door.open(database.app_url) as door:
        done = await Importing(door, database.owner_url, LogFile.checked(path), NOON + 10).run()
        assert (done.differences, done.actions) == ({}, 10)
        assert await rows(door, key) == await rows(world.door, key)
        async with door.system_tx("counters of a test") as connection:
            series = await connection.fetch("select series, last from document_series order by 1")
    books.world.clock.at = NOON
    last = {row["series"]: row["last"] for row in series}
    assert (last["INV"], sorted(last)) == (int(third[-6:]), ["CN", "INV"])
