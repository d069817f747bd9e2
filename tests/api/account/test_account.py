"""The account in the books: payments, credit notes, void, and all of it adds up (IN-2 to IN-4)."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import msgspec
import pytest

from domain.money import micros, text
from domain.problems import Problem
from domain.statements import EntryKind
from persistence import journal
from persistence.account_checks import check
from persistence.account_payments import figures, pages, paid_by
from persistence.accounts import Method, New
from persistence.actions import Action
from persistence.servers import Servers
from tests.api.account.books import NOON, Books, names
from tests.conftest import named
from tests.domain.test_taxes import SAMPLE


async def test_a_part_payment_and_one_that_is_too_much(books: Books) -> None:
    """IN-2: a part changes the balance; what is beyond becomes credit and pays the next."""
    key = await books.tenant()
    first = await books.issue(key, "100")
    await books.pay(key, "40")
    assert await books.balances(key) == ["60", "0"]
    assert await books.told(key) == []
    await books.pay(key, "75")
    assert await books.balances(key) == ["0", "15"]
    assert await books.told(key) == [("INVOICE_PAID", first)]
    await books.issue(key, "20")
    assert await books.balances(key) == ["0", "5", "0"]


async def test_an_invoice_of_nothing_is_paid_and_nobody_is_told(books: Books) -> None:
    """IN-2: it is issued as paid, and takes no credit."""
    key = await books.tenant()
    await books.pay(key, "5")
    await books.issue(key, "0")
    assert await books.balances(key) == ["0", "5"]
    assert await books.told(key) == []


async def test_a_payment_pays_what_it_names_then_the_oldest(books: Books) -> None:
    """IN-2: by number or by id, in the order in which they were named."""
    key = await books.tenant()
    first, second, third = [await books.issue(key, "100") for _ in range(3)]
    await books.pay(key, "250", third, second)
    assert await books.balances(key) == ["50", "0", "0", "0"]
    assert await books.told(key) == [("INVOICE_PAID", second), ("INVOICE_PAID", third)]
    await books.pay(key, "50", first, first)
    assert await books.balances(key) == ["0", "0", "0", "0"]


async def test_credit_that_pays_a_whole_invoice_says_so_at_once(books: Books) -> None:
    key = await books.tenant()
    await books.pay(key, "20")
    number = await books.issue(key, "20")
    assert await books.told(key) == [("INVOICE_PAID", number)]


async def test_what_came_with_its_payment_is_paid_by_that(books: Books) -> None:
    """IN-8: credit stays, and older invoices stay open."""
    key = await books.tenant()
    await books.pay(key, "30")
    came = New(key="payment/1", amount=micros("111"), received_on=books.today(key),
        method=Method.CARD, reference="chg_1", provider="sandbox")  # fmt: skip
    await books.issue(key, "111", paid_by=came)
    assert await books.balances(key) == ["0", "30"]
    other = await books.tenant()
    await books.issue(other, "50")
    await books.issue(other, "111", paid_by=came)
    assert await books.balances(other) == ["50", "0", "0"]
    found = await books.payment(other, "payment/1")
    assert found is not None
    assert (found.provider, found.reference, found.method) == ("sandbox", "chg_1", Method.CARD)


async def test_a_credit_note_after_a_part_payment_frees_money(books: Books) -> None:
    """IN-2, IN-4: what was paid beyond the rest pays the oldest invoice, then is credit."""
    key = await books.tenant()
    first = await books.issue(key, "60", "40")
    await books.pay(key, "80")
    second = await books.issue(key, "25")
    await books.credit(key, first, (1, "30"))
    assert await books.balances(key) == ["0", "15", "0"]
    assert await books.told(key) == [("INVOICE_PAID", first)]
    action = await books.credit(key, first)
    assert text(action.body["amount"]) == "70"
    assert await books.balances(key) == ["0", "0", "55"]
    assert await books.told(key) == [("INVOICE_PAID", first), ("INVOICE_PAID", second)]
    with pytest.raises(Problem, match="nothing to give back"):
        await books.credit(key, first)


async def test_a_credit_note_gives_taxes_back_and_has_its_own_series(books: Books) -> None:
    """IN-3, IN-4: it is dated on its own day, and its journal entry undoes each side."""
    key = await books.tenant()
    number = await books.issue(key, "10200000.4", taxes=SAMPLE)
    action = await books.credit(key, number, (0, "5100000"), reason="half of it")
    (note,) = await books.found(key, action.body["number"])
    assert note.number.startswith("CN-2026-")
    assert (text(note.invoice.net), text(note.invoice.tax)) == ("5100000", "561000")
    assert (note.invoice.note, note.invoice.of, note.invoice.due_on) == ("half of it", number, None)
    assert note.invoice.issued_on == books.today(key)
    await books.credit(key, number)
    assert await books.balances(key) == ["0", "0"]
    assert (await sides(books, key))[1:] == (0, 0, 0)


async def sides(books: Books, key: str) -> tuple[int, ...]:
    """What the journal comes to: owed, held, earned, tax and rounding."""
    tenant_id = books.world.tenants[key].tenant_id
    async with books.world.door.tenant_tx(tenant_id) as connection:
        row = await connection.fetchrow(
            "select sum(receivable)::bigint, sum(revenue)::bigint, sum(tax)::bigint,"
            " sum(rounding)::bigint from journal where tenant_id = $1", tenant_id
        )  # fmt: skip
    assert row is not None
    return tuple(row)


async def test_what_was_rounded_is_no_revenue(books: Books) -> None:
    """IN-5: 960 x CLP 17.6584 are asked for as 16,952; 0.064 less was not earned."""
    key = await books.tenant("CLP")
    await books.issue(key, "16952.064")
    assert [text(each) for each in await sides(books, key)] == ["16952", "16952.064", "0", "-0.064"]


async def test_a_void_invoice_asks_for_nothing_and_keeps_its_number(books: Books) -> None:
    """IN-3, IN-4."""
    key = await books.tenant()
    number = await books.issue(key, "100", taxes=SAMPLE)
    await books.void(key, number)
    assert await books.balances(key) == ["0", "0"]
    (found,) = await books.found(key, number)
    assert (found.number, found.voided_at, found.balance) == (number, NOON, 0)
    assert await sides(books, key) == (0, 0, 0, 0)
    assert await books.told(key) == []


async def test_refunds_are_of_the_newest_payments_first(books: Books) -> None:
    key = await books.tenant()
    await books.pay(key, "10", key="a-1")
    await books.pay(key, "5", key="a-2")
    action = await books.refund(key, "7")
    assert action.body["refunds"] == [["a-2", micros("5")], ["a-1", micros("2")]]
    assert await books.balances(key) == ["8"]


async def test_what_is_taken_back_is_to_be_paid_again(books: Books) -> None:
    """IN-2: by other credit as far as that goes; what was refunded had gone back before."""
    key = await books.tenant()
    number = await books.issue(key, "100")
    await books.pay(key, "120", key="b-1")
    await books.refund(key, "20")
    await books.pay(key, "30", key="b-2")
    action = await books.take_back(key, "b-1")
    assert text(action.body["amount"]) == "100"
    assert await books.balances(key) == ["70", "0"]
    await books.pay(key, "70")
    assert await books.told(key) == [("INVOICE_PAID", number)] * 2
    with pytest.raises(Problem, match="nothing is left of this payment"):
        await books.take_back(key, "b-1")


async def test_a_retry_answers_from_what_is_stored(books: Books) -> None:
    """BA-7: each of the five, done once; the same key with something else is refused."""
    key = await books.tenant()
    first, second = await books.issue(key, "100"), await books.issue(key, "50")
    doings: list[tuple[Any, ...]] = [
        (books.pay, "120", "c-1"), (books.credit, first, "c-2"), (books.refund, "20", "c-3"),
        (books.take_back, "c-1", "c-4"), (books.void, second, "c-5"),
    ]  # fmt: skip
    for do, what, once in doings:
        done = await do(key, what, key=once)
        after = await books.account(key)
        assert spelt(await do(key, what, key=once)) == spelt(done)
        assert await books.account(key) == after
    with pytest.raises(Problem) as caught:
        await books.pay(key, "121", key="c-1")
    assert caught.value.code == "IDEMPOTENCY_KEY_REUSED"


def spelt(action: Action) -> tuple[int, bytes]:
    """What an action has done, as its row has it."""
    return action.action_id, msgspec.json.encode(action.body, order="sorted")


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"currency": "USD"}, "WRONG_CURRENCY", "currency"),
        ({"amount": 0}, "INVALID", "amount"),
        ({"amount": -micros("5")}, "INVALID", "amount"),
        ({"amount": micros("5.5")}, "TOO_FINE", "amount"),
        ({"amount": 10**18}, "INVALID", "amount"),
        ({"received_on": NOON // 86_400_000_000 + 1}, "IN_FUTURE", "receivedOn"),
        ({"invoices": ("OPEN", "INV-1999-000001")}, "NOT_FOUND", "invoices[1]"),
        ({"invoices": ("inv_0000000000000",)}, "NOT_FOUND", "invoices[0]"),
        ({"invoices": ("VOID",)}, "VOID", "invoices[0]"),
        ({"invoices": ("NOTE",)}, "NOT_AN_INVOICE", "invoices[0]"),
        ({"invoices": ("OPEN",) * 101}, "INVALID", "invoices"),
        ({"reference": "r" * 141}, "INVALID", "reference"),
        ({"note": "n\0"}, "INVALID", "note"),
        ({"idempotency_key": "payment/1"}, "INVALID", "idempotencyKey"),
        ({"tenant": "nobody"}, "NOT_FOUND", "tenant"),
    ],
)
async def test_payments_that_are_none(
    books: Books, given: dict[str, Any], code: str, field: str
) -> None:
    """IN-2: each is told what is wrong, and where; nothing is written."""
    key, known = await refusing(books)
    wanted = tuple(known.get(each, each) for each in given.get("invoices", ()))
    before = await books.account(key)
    with pytest.raises(Problem) as caught:
        await books.pay(key, "5", **{**given, "invoices": wanted})
    assert (caught.value.code, caught.value.field) == (code, field)
    assert await books.account(key) == before


@pytest.mark.parametrize(
    ("do", "code", "field"),
    [
        (lambda b, t, n: b.refund(t, "1"), "NOT_ENOUGH_CREDIT", "amount"),
        (lambda b, t, n: b.refund(t, "0.5"), "TOO_FINE", "amount"),
        (lambda b, t, n: b.refund(t, "0"), "INVALID", "amount"),
        (lambda b, t, n: b.take_back(t, "pay_0000000000000"), "NOT_FOUND", "payment"),
        (lambda b, t, n: b.take_back(t, "anything"), "NOT_FOUND", "payment"),
        (lambda b, t, n: b.void(t, n["PAID"]), "PAID_FROM", "invoice"),
        (lambda b, t, n: b.void(t, n["GIVEN"]), "CREDITED", "invoice"),
        (lambda b, t, n: b.void(t, n["VOID"]), "VOID", "invoice"),
        (lambda b, t, n: b.void(t, n["NOTE"]), "NOT_AN_INVOICE", "invoice"),
        (lambda b, t, n: b.void(t, "INV-1999-000001"), "NOT_FOUND", "invoice"),
        (lambda b, t, n: b.credit(t, n["VOID"]), "VOID", "invoice"),
        (lambda b, t, n: b.credit(t, n["NOTE"]), "NOT_AN_INVOICE", "invoice"),
        (lambda b, t, n: b.credit(t, n["OPEN"], (1, "5")), "NO_SUCH_LINE", "lines"),
        (lambda b, t, n: b.credit(t, n["OPEN"], (-1, "5")), "NO_SUCH_LINE", "lines"),
        (lambda b, t, n: b.credit(t, n["OPEN"], (0, "5"), (0, "5")), "INVALID", "lines"),
        (lambda b, t, n: b.credit(t, n["OPEN"], (0, "101")), "TOO_MUCH", "lines[0]"),
        (lambda b, t, n: b.credit(t, n["GIVEN"], (0, "91")), "TOO_MUCH", "lines[0]"),
        (lambda b, t, n: b.credit(t, n["OPEN"], (0, "0.5")), "TOO_FINE", "lines[0]"),
        (lambda b, t, n: b.credit(t, n["OPEN"], reason=" "), "INVALID", "reason"),
    ],
)
async def test_what_is_refused(books: Books, do: Any, code: str, field: str) -> None:
    """IN-4: void only while nothing is paid or given back; at most what is left of each line."""
    key, known = await refusing(books)
    before = await books.account(key)
    with pytest.raises(Problem) as caught:
        await do(books, key, known)
    assert (caught.value.code, caught.value.field) == (code, field)
    assert await books.account(key) == before


async def refusing(books: Books) -> tuple[str, dict[str, str]]:
    """A tenant with invoices of all kinds, made once; nothing that is refused changes it."""
    if "refusing" not in books.kept:
        key = await books.tenant()
        known = {name: await books.issue(key, "100") for name in ("OPEN", "VOID", "PAID", "GIVEN")}
        await books.void(key, known["VOID"])
        await books.pay(key, "100", known["PAID"])
        action = await books.credit(key, known["GIVEN"], (0, "10"))
        books.kept["refusing"] = key, {**known, "NOTE": action.body["number"]}
    found: tuple[str, dict[str, str]] = books.kept["refusing"]
    return found


async def test_invoices_of_others_do_not_exist(books: Books) -> None:
    key, other = await books.tenant(), await books.tenant()
    number = await books.issue(other, "100")
    await books.pay(other, "100", key="theirs")
    found = await books.payment(other, "theirs")
    assert found is not None
    for doing in (
        books.pay(key, "5", number), books.void(key, number), books.credit(key, number),
        books.take_back(key, "pay_" + str(found.payment_id)),
    ):  # fmt: skip
        with pytest.raises(Problem) as caught:
            await doing
        assert caught.value.code == "NOT_FOUND"


async def test_two_at_once_pay_once_each(books: Books) -> None:
    """EV-8: movements of one account come one after the other, whoever is first."""
    key = await books.tenant()
    number = await books.issue(key, "100")
    await asyncio.gather(
        *(books.pay(key, "60", key=f"d-{place % 2}") for place in range(4)),
        books.credit(key, number, (0, "50"), key="d-3"),
        books.credit(key, number, (0, "50"), key="d-3"),
    )
    found = await books.account(key)
    assert (text(found.balance), len(found.payments)) == ("-70", 2)
    assert await books.balances(key) == ["0", "70"]


async def test_numbers_have_no_gaps_whoever_issues_them(books: Books) -> None:
    """IN-3: 100 at once of two series, those that are refused included, are 1 to 50 of each."""
    tenants = [await books.tenant() for _ in range(10)]
    issuer = f"issuer-{next(names)}"

    async def both(key: str) -> tuple[str, str]:
        number = await books.issue(key, "100", issuer=issuer)
        with pytest.raises(Problem):
            await books.credit(key, number, (0, "101"))
        return number, (await books.credit(key, number)).body["number"]

    found = await asyncio.gather(*(both(key) for key in tenants for _ in range(5)))
    for numbers, series in zip(zip(*found, strict=True), ("INV", "CN"), strict=True):
        assert sorted(numbers) == [f"{series}-2026-{place:06}" for place in range(1, 51)]


async def test_lists_say_what_rows_have(books: Books) -> None:
    """IN-2: open, overdue by a local day, credit; payments newest first with what each pays."""
    key, other = await books.tenant(), await books.tenant()
    first, second = await books.issue(key, "100"), await books.issue(key, "50")
    await books.pay(key, "120", key="e-1")
    await books.pay(key, "10", second, key="e-2")
    await books.pay(other, "3", key="e-1")
    ids, door = [books.world.tenants[each].tenant_id for each in (key, other)], books.world.door
    today = books.today(key)
    found = await figures(door, [(ids[0], today + 14), (ids[0], today + 15), (ids[1], today)])
    assert [tuple(map(text, each)) for each in found] == [
        ("20", "0", "0"), ("20", "20", "0"), ("0", "0", "3")
    ]  # fmt: skip
    (one, two) = await pages(door, [(ids[0], 1 << 62), (ids[1], 1 << 62)], limit=5)
    assert [row.payment for row in one] == ["e-2", "e-1"]
    assert [row.payment for row in two] == ["e-1"]
    assert await paid_by(door, [(ids[0], row.payment_id) for row in one]) == [
        [(second, micros("10"))], [(first, micros("100")), (second, micros("20"))]
    ]  # fmt: skip
    ((last,),) = await pages(door, [(ids[0], one[0].payment_id)], limit=1)
    assert last.payment == "e-1"


async def test_rows_that_do_not_agree_are_told(books: Books, servers: Servers) -> None:
    """IN-2: of a changed figure, which, and what it should be."""
    key = await books.tenant()
    number = await books.issue(key, "100")
    await books.pay(key, "30", key="f-1")
    tenant_id = books.world.tenants[key].tenant_id
    owner = await asyncpg.connect(named(servers.addresses.owner_url, "accounts"))
    try:
        for change, told in (
            ("update invoices set paid = 0", f"{number}: payments to it come to 30000000"),
            ("update invoices set credited = 5", f"{number}: its credit notes come to 0"),
            ("update account_payments set used = 5", "payment f-1: what it gave comes to"),
            ("update journal set reference = 'x'", "which there is not"),
            ("update journal set receivable = 1, cash = -1", "its entries come to"),
            ("update journal set receivable = 1, cash = -1", "the journal comes to"),
        ):
            where = " where tenant_id = $1"
            if "journal" in change:
                where += " and payment_id is not null"
            asked = owner.transaction()
            await asked.start()
            await owner.execute(change + where, tenant_id)
            assert any(told in each for each in await check(owner, tenant_id)), change
            await asked.rollback()
    finally:
        await owner.close()
    assert await books.balances(key) == ["70", "0"]


async def test_what_is_not_balanced_is_not_entered(books: Books) -> None:
    key = await books.tenant()
    tenant_id = books.world.tenants[key].tenant_id
    async with books.world.door.tenant_tx(tenant_id) as connection:
        with pytest.raises(ValueError, match="is not balanced"):
            await journal.enter(
                connection, tenant_id, EntryKind.INVOICE, "x", journal.Sides(5, revenue=4), at=NOON
            )
