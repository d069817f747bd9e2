"""Accounts of seeded worlds: rows come to what the pure account does, after every step (IN-2).

What a decision reads of a long account decides the same as all of it would, and the journal, in
pages of any size, is the statement that `domain.statements` makes of its entries.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from api.documents.lines import fixed
from api.documents.statement import statement_csv
from domain import allocations
from domain.allocations import Account, Allocation, Bill, Payment
from domain.money import DISPLAY_DIGITS, MICRO, text
from domain.periods import DAY, HOUR
from domain.problems import Problem
from domain.statements import Entry, statement
from persistence import accounts, journal
from persistence.account_checks import check
from persistence.journal import OLDEST, Asked, Entered
from tests.api.account.books import NOON, Books
from tests.domain.test_taxes import SAMPLE

STEPS = 25
CURRENCIES = ("IDR", "USD", "KWD")

Deed = Callable[["Story"], Awaitable[None]]


@dataclass(slots=True)
class Story:
    """One tenant's account as it should be, beside the books that have it."""

    seed: int
    books: Books
    tenant: str
    currency: str
    dice: random.Random
    account: Account = field(default_factory=Account)
    entries: list[Entry] = field(default_factory=list)

    @property
    def step(self) -> int:
        """The least its currency shows, in micros."""
        return MICRO // int(10 ** DISPLAY_DIGITS[self.currency])

    def amount(self, most: int = 300) -> int:
        return self.dice.randint(1, most) * self.step

    def number(self) -> str:
        """An invoice, more often a late one."""
        return self.dice.choice(self.account.bills[-8:]).number

    def key(self) -> str:
        return self.dice.choice(self.account.payments).key

    async def invoice(self) -> None:
        amounts = [text(self.amount()) for _ in range(self.dice.randint(1, 3))]
        number = await self.books.issue(self.tenant, *amounts, taxes=SAMPLE)
        (found,) = await self.books.found(self.tenant, number)
        self.account = allocations.invoiced(self.account, number, found.invoice.total)

    async def pay(self) -> None:
        known = [bill.number for bill in self.account.bills[-5:]]
        names = self.dice.sample(known, self.dice.randint(0, min(2, len(known))))
        amount, key = self.amount(600), f"p{len(self.account.payments)}-{self.seed}"
        await self.same(
            lambda: allocations.paid(self.account, key, amount, names),
            self.books.pay(self.tenant, text(amount), *names, key=key),
        )

    async def refund(self) -> None:
        amount = min(self.amount(), max(self.step, self.account.credit))
        await self.same(
            lambda: allocations.refunded(self.account, amount)[0],
            self.books.refund(self.tenant, text(amount)),
        )

    async def take_back(self) -> None:
        key = self.key()

        def expected() -> Account:
            after = allocations.taken_back(self.account, key)
            if after == self.account:
                raise Problem("NOTHING_LEFT", "", None)
            return after

        await self.same(expected, self.books.take_back(self.tenant, key))

    async def void(self) -> None:
        number = self.number()

        def expected() -> Account:
            if self.account.bill(number).void:
                raise Problem("VOID", "", None)
            return allocations.voided(self.account, number)

        await self.same(expected, self.books.void(self.tenant, number))

    async def credit(self) -> None:
        """A part of its first line, or all that is left."""
        number = self.number()
        given = [(0, text(self.amount(100)))] if self.dice.random() < 0.7 else []
        try:
            action = await self.books.credit(self.tenant, number, *given)
        except Problem:
            return
        self.account = allocations.credited(self.account, number, action.body["amount"])

    async def same(self, expected: Callable[[], Account], doing: Awaitable[object]) -> None:
        """Do something in the books that the pure account does too, or refuses too."""
        refused = None
        try:
            after = expected()
        except Problem as problem:
            refused = problem.code
        if refused is None:
            await doing
            self.account = after
            return
        with pytest.raises(Problem) as caught:
            await doing
        assert caught.value.code == refused


DEEDS: list[tuple[Deed, int]] = [
    (Story.invoice, 6), (Story.pay, 6), (Story.credit, 3), (Story.refund, 2),
    (Story.take_back, 2), (Story.void, 1),
]  # fmt: skip


@pytest.fixture(scope="module")
def worlds(pytestconfig: pytest.Config) -> range:
    return range(1, max(2, pytestconfig.getoption("worlds") // 6) + 1)


async def test_rows_come_to_the_pure_account(books: Books, worlds: range) -> None:
    """IN-2, IN-4, IN-5: whatever is done in whatever order, in currencies of 0, 2 and 3 digits."""
    try:
        for seed in worlds:
            try:
                await _told(books, seed)
            except Exception as error:
                error.add_note(f"the world of seed {seed}")
                raise
    finally:
        books.world.clock.at = NOON


async def _told(books: Books, seed: int) -> None:
    currency = CURRENCIES[seed % 3]
    dice = random.Random(seed)
    story = Story(seed, books, await books.tenant(currency), currency, dice)
    deeds, weights = zip(*DEEDS, strict=True)
    await story.invoice()
    await story.pay()
    for _ in range(STEPS):
        books.world.clock.at += dice.choice((0, 1, HOUR, 5 * HOUR, DAY))
        (deed,) = dice.choices(deeds, weights)
        await deed(story)
        tenant_id = books.world.tenants[story.tenant].tenant_id
        async with books.world.door.tenant_tx(tenant_id) as connection:
            assert await check(connection, tenant_id) == []
            whole = await accounts.whole(connection, tenant_id)
            assert whole == story.account
            kind = dice.choice(("invoiced", "paid", "credited", "voided", "refunded", "taken_back"))
            number, key, amount = story.number(), story.key(), story.amount()
            loaded = await accounts.load(
                connection, tenant_id,
                numbers=[number] if kind in ("paid", "credited", "voided") else [],
                payments=[key] if kind == "taken_back" else [],
            )  # fmt: skip
        decided = [decide(account, kind, number, key, amount) for account in (loaded, whole)]
        assert decided[0] == decided[1], (seed, kind, number, key, amount)
        assert len(loaded.bills) <= len(whole.bills)
    await _statement(story)


Effect = tuple[set[Bill], set[Payment], tuple[Allocation, ...]] | str


def decide(account: Account, kind: str, number: str, key: str, amount: int) -> Effect:
    """What a decision changes of an account, or why it is refused."""
    try:
        match kind:
            case "invoiced":
                after = allocations.invoiced(account, "next", amount)
            case "paid":
                after = allocations.paid(account, "next", amount, [number])
            case "credited":
                after = allocations.credited(account, number, amount)
            case "voided":
                after = allocations.voided(account, number)
            case "refunded":
                after, _ = allocations.refunded(account, amount)
            case _:
                after = allocations.taken_back(account, key)
    except Problem as problem:
        return problem.code
    return (
        set(after.bills) - set(account.bills),
        set(after.payments) - set(account.payments),
        after.moves[len(account.moves) :],
    )


async def _statement(story: Story) -> None:
    """The journal by pages, and as a file, against the entries listed one by one."""
    books, dice = story.books, story.dice
    tenant = books.world.tenants[story.tenant]
    tenant_id, zone, door = tenant.tenant_id, tenant.zone, books.world.door
    everything = Asked(tenant_id=tenant_id, start=0, end=1 << 60)
    ((rows),) = [page.entries for page in await journal.pages(door, [everything], limit=10_000)]
    entries = [
        Entry(at=row.at, kind=row.kind, reference=row.reference, amount=row.moved * row.kind.sign)
        for row in rows
    ]
    assert all(entry.amount >= 0 for entry in entries)
    assert rows[-1].balance == story.account.balance
    days = sorted(zone.date(dice.choice(entries).at) + dice.randint(-1, 1) for _ in range(2))
    expected = statement(entries, zone, *days)
    start, end = zone.day_bounds(days[0])[0], zone.day_bounds(days[1])[1]
    found: list[Entered] = []
    after, size = OLDEST, dice.randint(1, 9)
    while True:
        asked = Asked(tenant_id=tenant_id, start=start, end=end, after=after)
        (page,) = await journal.pages(door, [asked], limit=size)
        assert (page.opening, page.closing) == (expected.opening, expected.closing)
        found += page.entries
        if len(page.entries) < size:
            break
        after = page.entries[-1].at, page.entries[-1].entry_id
    assert [(each.at, each.kind, each.reference, each.balance) for each in found] == [
        (each.entry.at, each.entry.kind, each.entry.reference, each.balance)
        for each in expected.lines
    ]
    chunks = [chunk async for chunk in statement_csv(door, tenant_id, start, end, size=size)]
    table = [line.split(",") for line in b"".join(chunks).decode().splitlines()]
    digits = DISPLAY_DIGITS[story.currency]
    balances = [expected.opening, *(each.balance for each in expected.lines), expected.closing]
    assert [row[2] for row in table] == [
        "kind", "opening", *(each.entry.kind.value for each in expected.lines), "closing"
    ]  # fmt: skip
    assert [row[5] for row in table[1:]] == [fixed(balance, digits) for balance in balances]
    assert {len(row) for row in table} == {7}
