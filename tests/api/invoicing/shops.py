"""A business in a world whose months are closed and invoiced: what it does, and what it is asked.

Owns what stories of invoices are told with; checks nothing itself. Money is written as people do,
times are of the business's own clock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

import asyncpg

from api.operations import dunning_set, invoice_issue, subscription_change
from api.operations.dunning_set import DunningSet
from api.operations.invoice_issue import InvoiceIssue
from api.operations.subscription_change import SubscriptionChange
from api.operations.subscription_create import AskedFees
from domain.book_documents import parse_book
from domain.dunning import Dunned
from domain.invoices import Invoice
from domain.money import micros, text
from domain.periods import date_of, iso, month_label
from persistence import terms
from persistence.catalogue import put_rules, put_version
from persistence.invoices import InvoiceRecord
from persistence.subscriptions import DeedKind
from tests.api.account.books import Books
from tests.api.invoicing.office import SEATS, Office
from tests.conftest import Database
from tests.scenarios.world import World

Json = dict[str, Any]

names = count(1)
JOURNAL = """
select coalesce(sum(receivable), 0)::bigint as receivable, coalesce(sum(cash), 0)::bigint as cash,
    coalesce(sum(revenue + tax + rounding), 0)::bigint as earned
from journal where tenant_id = $1"""


@asynccontextmanager
async def offices(
    database: Database, redis_url: str, *published: Json, books: tuple[Json, ...] = ()
) -> AsyncIterator[Office]:
    """An office on a database that has these plans and books beside the samples."""
    owner = await asyncpg.connect(database.owner_url)
    try:
        for book in books:
            await put_version(owner, "book", book["book"], book, 0)
            await put_rules(owner, parse_book(book, 1, None))
        for plan in published:
            await put_version(owner, "plan", plan["plan"], plan, 0)
    finally:
        await owner.close()
    async with World.open(database.app_url, redis_url) as world:
        yield Office.of(world)


@dataclass(slots=True)
class Shop:
    """One business, with a WhatsApp number."""

    office: Office
    books: Books
    name: str

    @classmethod
    async def opened(
        cls,
        office: Office,
        written: str,
        *,
        name: str | None = None,
        plan: str = "postpaid-idr",
        **tenant: Any,
    ) -> Shop:
        """It is there from a moment of its clock on, and subscribes to nothing yet."""
        world, name = office.world, name or f"shop-{next(names)}"
        world.clock.at = 0
        await world.tenant(name, plan=plan, **({"locale": "en"} | tenant))
        world.clock.at = office.local(name, written)
        await world.number(name, "wa", "whatsapp", f"+62 811 {next(names):07}")
        return cls(office, Books(world), name)

    async def at(self, written: str) -> None:
        """Let time come to a moment of its clock, and do what is due by then."""
        await self.office.at(self.name, written)

    async def until(self, written: str) -> None:
        """Let time come to a moment in UTC, and do what is due by then."""
        self.office.world.clock.at = instant(written)
        await self.office.quiet()

    async def subscribe(self, start: str, *components: Mapping[str, str], **more: Any) -> None:
        """It subscribes, and is asked for its first days."""
        await self.office.subscribe(self.name, start, *components, **more)
        await self.office.quiet()

    async def change(
        self, kind: DeedKind, *, fees: AskedFees | None = None, plan: str | None = None, **more: Any
    ) -> None:
        """Something else is agreed of its subscription."""
        world = self.office.world
        request = SubscriptionChange(
            tenant=self.name, kind=kind, fees=fees, plan=plan,
            idempotency_key=f"change-{next(names)}", **more,
        )  # fmt: skip
        await subscription_change.run(
            world.door, world.catalogue, world.show, request, now=world.clock.now()
        )
        await self.office.quiet()

    async def seats(self, quantity: str) -> None:
        """From today on it has another number of seats."""
        await self.change(DeedKind.QUANTITY, component="seats", quantity=micros(quantity))

    async def send(
        self, written: str, times: int = 1, *, category: str = "marketing", told: str = "accepted"
    ) -> None:
        """So many messages to Indonesia, all delivered at a moment of its clock."""
        await self._by(written)
        world = self.office.world
        address = world.numbers[self.name, "wa"].address
        when, events = iso(self.office.local(self.name, written)), []
        for _ in range(times):
            name = f"s{next(names):06}"  # of one instant they come in their order
            data = {
                "number": f"+{address}", "contact": "+62 811 1000 0001", "category": category,
                "message": name, "template": "news",
            }  # fmt: skip
            events.append(
                {
                    "specversion": "1.0", "id": name, "source": "crm", "subject": self.name,
                    "type": "message.delivered", "time": when, "data": data,
                }
            )  # fmt: skip
        for result in await world.send(events):
            assert result["status"] == told, result

    async def visitors(self, written: str, people: int) -> None:
        """So many people write who have not written this month."""
        await self._by(written)
        await self.office.visit(self.name, "wa", written, people)

    async def _by(self, written: str) -> None:
        if self.office.world.clock.at < self.office.local(self.name, written):
            await self.at(written)

    async def left(self, balance: str) -> str:
        """What a balance has left; below zero: what is owed of it."""
        return text((await self.office.world.figures(self.name, balance)).total.remaining)

    async def granted(self, balance: str) -> str:
        """What the present month was given of a balance by the plan."""
        return text((await self.office.world.figures(self.name, balance)).total.granted)

    async def bills(self) -> list[str]:
        """Each invoice: number, status, total, and what is left to pay."""
        return await self.office.summary(self.name)

    async def bill(self, number: str) -> list[str]:
        """The lines of a document, then its sum, its tax and its total."""
        (found,) = await self.books.found(self.name, number)
        invoice = found.invoice
        lines = [
            f"{each.kind}: {each.description}: {each.quantity} {each.unit}".rstrip()
            + f": {text(each.exact)} -> {text(each.amount)}"
            for each in invoice.lines
        ]
        return [*lines, f"{text(invoice.net)} + {text(invoice.tax)} = {text(invoice.total)}"]

    async def dates(self, number: str) -> tuple[str, str]:
        """The days on which an invoice was issued and is due."""
        (found,) = await self.books.found(self.name, number)
        assert found.invoice.issued_on is not None
        assert found.invoice.due_on is not None
        return str(date_of(found.invoice.issued_on)), str(date_of(found.invoice.due_on))

    async def documents(self) -> list[InvoiceRecord]:
        """All of its invoices, drafts and credit notes, oldest first."""
        return await self.office.invoices(self.name)

    async def said(self, number: str) -> Invoice:
        """A document as it was issued."""
        (found,) = await self.books.found(self.name, number)
        return found.invoice

    async def pay(self, amount: str, *numbers: str) -> None:
        await self.books.pay(self.name, amount, *numbers)

    async def credit(self, number: str, *given: tuple[int, str]) -> None:
        await self.books.credit(self.name, number, *given)

    async def void(self, number: str) -> None:
        await self.books.void(self.name, number)

    async def issue_again(self, year: int, month: int) -> None:
        """Issue a closed month whose invoice is void."""
        world = self.office.world
        request = InvoiceIssue(
            tenant=self.name, period=month_label(year, month),
            idempotency_key=f"again-{next(names)}",
        )  # fmt: skip
        await invoice_issue.run(
            world.door, world.catalogue, world.show, request, now=world.clock.now()
        )

    async def dun(self, *steps: Json) -> None:
        """What happens with its unpaid invoices."""
        world = self.office.world
        request = DunningSet(tenant=self.name, steps=steps, idempotency_key=f"d{next(names)}")
        done = await dunning_set.run(
            world.door, world.catalogue, world.show, request, now=world.clock.now()
        )
        assert not done.problems

    async def dunned(self) -> Dunned | None:
        """What of its sends is refused, as whoever authorizes them reads it."""
        world, tenant_id = self.office.world, self.office.world.tenants[self.name].tenant_id
        async with world.door.tenant_tx(tenant_id) as connection:
            (own,) = await terms.by_ids(connection, world.catalogue, [tenant_id])
        return own.dunned

    async def raised(self) -> list[str]:
        return await self.office.raised(self.name)

    async def balance(self) -> str:
        """What is to be paid by all it was asked, given back and paid; its journal says the same.

        Below zero: its credit.
        """
        found = await self.books.account(self.name)
        (journal,) = await self.office.world.rows(self.name, JOURNAL)
        assert journal["receivable"] == found.balance
        assert journal["receivable"] + journal["cash"] == journal["earned"]
        return text(found.balance)

    async def verified(self) -> None:
        """Its books are what its log says, and its account agrees with itself."""
        found = await self.office.verify(self.name)
        assert found.wrong == 0, list(found.findings)
        await self.balance()


def instant(written: str) -> int:
    """An instant in UTC, as `2026-12-01T05:00Z`, in microseconds."""
    return int(datetime.fromisoformat(written).timestamp()) * 1_000_000


def seats(price: str, quantity: str = "10") -> dict[str, str]:
    """Seats of another price."""
    return {**SEATS, "price": price, "quantity": quantity}
