"""Lists of invoices on a real database: what each is called, where a page stands, what paid of one.

What the statement calls an invoice and what `domain.invoice_status` does is compared, case by case.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from domain.invoice_status import InvoiceStatus, status
from domain.invoices import Invoice
from domain.periods import DAY, zone
from persistence import invoice_lists, invoices
from persistence.connection import Connection
from persistence.door import Door
from persistence.invoice_lists import OPEN, Asked, Paying, Wanted
from persistence.invoices import InvoiceRecord, Kind, Origin
from tests.conftest import Database, on
from tests.domain.test_invoices import rupiahs
from tests.persistence.test_plans_of_queries import explained, explained_generic, scans_of

ONE, TWO = 71, 72
#: 2026-11-20 12:00 in Jakarta.
AT = 1_795_150_800_000_000
JAKARTA = zone("Asia/Jakarta")
ALL = Wanted(drafts=True)


@pytest.fixture
async def door(app_url: str) -> AsyncIterator[Door]:
    async with Door.open(app_url) as door:
        yield door


async def made(
    connection: Connection,
    tenant: int,
    amount: str = "100",
    *,
    terms: int = 14,
    at: int = AT,
    timezone: str = "Asia/Jakarta",
) -> InvoiceRecord:
    """An issued invoice of a tenant."""
    draft = await drafted(connection, tenant, rupiahs(amount))
    return await invoices.issue(
        connection, draft, draft.invoice, series="INV", terms_days=terms, zone=zone(timezone), at=at
    )


async def drafted(connection: Connection, tenant: int, invoice: Invoice) -> InvoiceRecord:
    return await invoices.draft(connection, tenant, invoice, origin=Origin.BY_HAND, at=AT)


async def page(
    door: Door,
    wanted: Wanted = ALL,
    *,
    tenant: int = ONE,
    now: int = AT,
    before: InvoiceRecord | None = None,
) -> list[InvoiceRecord]:
    asked = Asked(
        tenant_id=tenant, today=JAKARTA.date(now),
        before=invoice_lists.NEWEST if before is None else invoice_lists.place(before),
    )  # fmt: skip
    (found,) = await invoice_lists.pages(door, wanted, [asked], limit=100)
    return found


async def test_the_statement_calls_each_what_the_domain_does(door: Door) -> None:
    """IN-2: every status, in zones ahead of UTC, behind it and at a quarter hour, each day about
    the due one and at both its midnights."""
    async with door.tenant_tx(ONE) as connection:
        for terms in (0, 1, 14):
            for name in ("Asia/Jakarta", "America/Bogota", "Asia/Kathmandu"):
                await made(connection, ONE, terms=terms, timezone=name)
        await made(connection, ONE, "0")
        await drafted(connection, ONE, rupiahs("7"))
        await drafted(connection, ONE, rupiahs("0"))
        part, whole, void = [await made(connection, ONE) for _ in range(3)]
        for record, change in ((part, "paid = 5000000"), (whole, "credited = total"),
                               (void, "voided_at = 1")):  # fmt: skip
            await connection.execute(
                f"update invoices set {change} where tenant_id = $1 and invoice_id = $2",
                ONE, record.invoice_id,
            )  # fmt: skip
    for local in map(zone, ("Asia/Jakarta", "America/Bogota", "Asia/Kathmandu", "UTC")):
        for day in (-1, 0, 1, 13, 14, 15):
            start = local.day_bounds(local.date(AT + day * DAY))[0]
            for now in (start - 1, start, start + DAY - 1):
                expected: dict[InvoiceStatus, set[int]] = {each: set() for each in InvoiceStatus}
                for each in await page(door):
                    voided = each.voided_at is not None
                    called = status(each.invoice, each.balance, local, now, void=voided)
                    expected[called].add(each.invoice_id)
                asked = Asked(tenant_id=ONE, today=local.date(now))
                for called, ids in expected.items():
                    wanted = replace(ALL, statuses=frozenset({called}))
                    (found,) = await invoice_lists.pages(door, wanted, [asked], limit=100)
                    assert {one.invoice_id for one in found} == ids, (
                        local.name_at(now),
                        day,
                        called,
                    )
                wanted = replace(ALL, statuses=OPEN)
                (found,) = await invoice_lists.pages(door, wanted, [asked], limit=100)
                assert {one.invoice_id for one in found} == set().union(
                    *(expected[each] for each in OPEN)
                )


async def test_a_page_stays_where_it_is(door: Door) -> None:
    """New invoices come in front: whoever goes on behind a cursor sees each once."""
    async with door.tenant_tx(ONE, TWO) as connection:
        known = [(await made(connection, ONE)).invoice_id for _ in range(4)]
        await made(connection, TWO)
    first = await page(door)
    assert [each.invoice_id for each in first] == known[::-1]
    async with door.tenant_tx(ONE) as connection:
        await made(connection, ONE)
    behind = await page(door, before=first[1])
    assert [each.invoice_id for each in behind] == known[1::-1]
    assert [each.number for each in await page(door, tenant=TWO)] == ["INV-2026-000005"]


async def test_drafts_and_then_as_they_were_issued(door: Door) -> None:
    """IN-3: an old draft that is issued is the newest; whoever goes on behind a place sees each."""
    async with door.tenant_tx(ONE) as connection:
        drafts = [await drafted(connection, ONE, rupiahs("5")) for _ in range(3)]
        same = [await made(connection, ONE, at=AT + 1) for _ in range(2)]
        late = await invoices.issue(
            connection, drafts[1], drafts[1].invoice, series="INV", terms_days=0, zone=JAKARTA,
            at=AT + 2,
        )  # fmt: skip
    expected = [each.invoice_id for each in (drafts[2], drafts[0], late, same[1], same[0])]
    assert [each.invoice_id for each in await page(door)] == expected
    for place, before in enumerate(await page(door), 1):
        rest = await page(door, before=before)
        assert [each.invoice_id for each in rest] == expected[place:]


async def test_lines_are_read_as_far_as_they_are_wanted(door: Door) -> None:
    """IN-4: what is listed is without its lines; these come by their places, of several at once."""
    whole = rupiahs("1", "2", "3")
    async with door.tenant_tx(ONE, TWO) as connection:
        one = await drafted(connection, ONE, whole)
        other = await drafted(connection, TWO, rupiahs("4"))
    (listed,) = await page(door)
    assert listed.invoice == replace(whole, lines=())
    (by_id,) = await invoice_lists.by_ids(door, [(ONE, one.invoice_id)])
    assert by_id == listed
    asked = [(TWO, other.invoice_id), (ONE, one.invoice_id), (TWO, one.invoice_id)]
    assert await invoice_lists.line_counts(door, asked) == [1, 3, 0]
    for first, last in ((0, 0), (1, 2), (0, 10**9), (2, 2), (3, 10**9)):
        found = await invoice_lists.lines_of(door, asked, first, last)
        own = slice(first, last + 1)
        assert found == [other.invoice.lines[own], whole.lines[own], ()], (first, last)


async def test_what_is_asked_for_is_found(door: Door) -> None:
    """By number, by the local days of issue, without drafts; several tenants at once."""
    async with door.tenant_tx(ONE, TWO) as connection:
        old = await made(connection, ONE, at=AT - 40 * DAY)
        new = await made(connection, ONE)
        await drafted(connection, ONE, rupiahs("5"))
        other = await made(connection, TWO)
    day = JAKARTA.date(AT)
    for wanted, found in (
        (Wanted(drafts=False), [new, old]),
        (Wanted(drafts=True, number=old.number), [old]),
        (Wanted(drafts=True, number=other.number), []),
        (Wanted(drafts=True, issued=(day, day)), [new]),
        (Wanted(drafts=True, issued=(None, day - 1)), [old]),
        (Wanted(drafts=True, issued=(day + 1, None)), []),
        (Wanted(drafts=False, kind=Kind.CREDIT_NOTE), []),
    ):
        assert [each.number for each in await page(door, wanted)] == [
            each.number for each in found
        ], wanted
    asked = [(ONE, old.number), (TWO, old.number), (TWO, other.number)]
    by_number = await invoice_lists.by_numbers(door, asked)
    assert [each and each.invoice_id for each in by_number] == [
        old.invoice_id, None, other.invoice_id,
    ]  # fmt: skip
    by_id = await invoice_lists.by_ids(door, [(TWO, other.invoice_id), (TWO, old.invoice_id)])
    assert [each and each.number for each in by_id] == [other.number, None]
    assert await invoice_lists.whose(door, other.invoice_id) == TWO
    assert await invoice_lists.whose(door, 999_999) is None


async def test_what_paid_of_one_and_was_given_back(door: Door) -> None:
    """A payment in several moves is one, what was moved back is taken off; notes in their order."""
    async with door.tenant_tx(ONE) as connection:
        first, second = await made(connection, ONE), await made(connection, ONE)
        numbers = [
            await connection.fetchval(
                "insert into account_payments (tenant_id, payment, amount, currency, received_on, "
                "created_at) values ($1, $2, 9, 'IDR', $3, 0) returning payment_id",
                ONE, name, day,
            )
            for name, day in (("a", 20_000), ("b", 20_001))
        ]  # fmt: skip
        for payment, invoice, amount in ((0, first, 3), (0, first, 4), (1, first, 2),
                                         (1, first, -2), (1, second, 1)):  # fmt: skip
            await connection.execute(
                "insert into allocations (tenant_id, payment_id, invoice_id, amount, at) "
                "values ($1, $2, $3, $4, 0)", ONE, numbers[payment], invoice.invoice_id, amount,
            )  # fmt: skip
        given = replace(rupiahs("1"), kind="credit_note", of=first.number)
        note = await invoices.draft(
            connection, ONE, given, origin=Origin.BY_HAND, at=AT, of_id=first.invoice_id
        )
        assert (await invoice_lists.notes_of(door, [(ONE, first.invoice_id)])) == [[]]
        note = await invoices.issue(
            connection, note, given, series="CN", terms_days=0, zone=JAKARTA, at=AT
        )
    asked = [(ONE, second.invoice_id), (ONE, first.invoice_id)]
    assert await invoice_lists.payments_of(door, asked) == [
        [Paying(payment_id=numbers[1], payment="b", amount=1, received_on=20_001)],
        [Paying(payment_id=numbers[0], payment="a", amount=7, received_on=20_000)],
    ]
    notes = await invoice_lists.notes_of(door, asked)
    assert [[each.number for each in some] for some in notes] == [[], [note.number]]
    of_notes = await page(door, Wanted(drafts=False, kind=Kind.CREDIT_NOTE))
    assert [each.number for each in of_notes] == [note.number]
    assert note.number not in [each.number for each in await page(door)]


FILL = """
insert into invoices (tenant_id, kind, origin, issuer, currency, total, paid, created_at, body,
    number, issued_on, due_on, issued_at)
select t, 1, 1, '', 'IDR', 5, case when n % 50 = 0 then 0 else 5 end, n, '{}',
    'INV-' || n, n, n, n
from generate_series(1, 20) t, generate_series(1, 1000) n"""


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (Wanted(drafts=False), "invoices_listed"),
        (Wanted(drafts=True, statuses=frozenset({InvoiceStatus.PAID})), "invoices_listed"),
        (Wanted(drafts=False, statuses=frozenset({InvoiceStatus.OVERDUE})), "invoices_unpaid"),
        (Wanted(drafts=False, number="INV-7"), "invoices_by_number"),
        (Wanted(drafts=False, issued=(900, 950)), "invoices_listed"),
    ],
)
async def test_pages_go_by_index(database: Database, wanted: Wanted, index: str) -> None:
    """A page is where it is asked for: nothing is read whole, and nothing that is long sorted."""
    await on(database.owner_url, FILL, "analyze invoices")
    asked = [Asked(tenant_id=3, today=500), Asked(tenant_id=4, today=500)]
    query, given = invoice_lists.statement(wanted, asked, 51)
    async with Door.open(database.app_url) as door, door.tenant_tx(3, 4) as connection:
        for plan in (
            await explained(connection, query, tuple(given)),
            await explained_generic(connection, query, tuple(given)),
        ):
            scans = [each for each in scans_of(plan) if each["Relation Name"] == "invoices"]
            assert scans
            assert {each.get("Index Name") for each in scans} == {index}, plan
