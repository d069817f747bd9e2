"""A process that closes and invoices, beside a world: its tasks, on a clock where a test puts it.

Owns what tests of invoices need; checks nothing itself. Money is written as people do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

from api import ids
from api.invoicing.closing import Closing
from api.invoicing.dunning import Dunning
from api.invoicing.ending import Ending
from api.metrics import Metrics
from api.operations import billing_set, invoice_issue, period_close, subscription_create
from api.operations.billing_set import BillingSet
from api.operations.invoice_issue import InvoiceIssue
from api.operations.period_close import PeriodClose
from api.operations.subscription_create import AskedFees, SubscriptionCreate
from api.settling import Settling
from api.tasks import Handler, Tasks
from api.verifying import Verified, Verifying
from domain.invoice_status import status
from domain.money import micros, text
from domain.periods import date_number, iso, month_label, zone
from domain.watch import AlertKind
from persistence import alerts, invoices, tasks
from persistence.invoices import COLUMNS, InvoiceRecord, from_row
from persistence.tasks import Task
from tests.scenarios.world import OPERATOR, World

names = count(1)
SEATS = {"key": "seats", "name": "Seats", "unit": "seat", "price": "300000", "quantity": "10"}


async def unheard(task: Task) -> None:
    """Leave what is to be told to people: nobody is told here."""


def day(written: str) -> int:
    """A local day, as `2026-11-16`."""
    return date_number(datetime.fromisoformat(written).date())


@dataclass(slots=True)
class Office:
    """What closes and invoices in one process of a world."""

    world: World
    settling: Settling
    tasks: Tasks

    @classmethod
    def of(cls, world: World, more: Mapping[str, Handler] | None = None) -> Office:
        now = world.clock.now
        settling = Settling(world.door, world.catalogue, now, world.show)
        closing = Closing(world.door, world.catalogue, world.show, settling, now)
        handlers: dict[str, Handler] = {
            tasks.CLOSE: closing.close,
            tasks.INVOICE: closing.invoice,
            tasks.DUNNING: Dunning(world.door, world.catalogue, world.show, now).handle,
            tasks.ENDING: Ending(world.door, world.catalogue, world.show, now).handle,
            tasks.NOTIFY: unheard,
            **(more or {}),
        }
        return cls(world, settling, Tasks(world.door, now, Metrics(), handlers))

    def local(self, tenant: str, written: str) -> int:
        """An instant of a tenant's clock, as `2026-11-16 09:00`."""
        naive = datetime.fromisoformat(written).replace(tzinfo=UTC)
        at = int(naive.timestamp()) * 1_000_000
        return at - zone(self.world.tenants[tenant].zone.name_at(at)).offset(at)

    async def at(self, tenant: str, written: str) -> None:
        """Let time come to an instant of a tenant's clock, and do what is due by then."""
        self.world.clock.at = self.local(tenant, written)
        await self.quiet()

    async def quiet(self) -> None:
        """Do what is due until nothing is."""
        await self.tasks.quiet()

    async def subscribe(
        self,
        tenant: str,
        start: str,
        *components: Mapping[str, str],
        setup: Sequence[Mapping[str, str]] = (),
        **more: Any,
    ) -> None:
        request = SubscriptionCreate(
            tenant=tenant, start=day(start), idempotency_key=f"subscribe-{next(names)}",
            fees=AskedFees(name="Growth", components=components or (SEATS,), setup=setup), **more,
        )  # fmt: skip
        world = self.world
        await subscription_create.run(
            world.door, world.catalogue, world.show, request, now=world.clock.now()
        )

    async def close(self, tenant: str, year: int, month: int) -> None:
        """Close a period by hand."""
        world, label = self.world, month_label(year, month)
        request = PeriodClose(tenant=tenant, period=label, idempotency_key=f"close-{next(names)}")
        await period_close.run(world.door, self.settling, request, now=world.clock.now())

    async def profile(self, tenant: str, **agreed: Any) -> None:
        """What is agreed with a tenant about its invoices."""
        world = self.world
        request = BillingSet(
            tenant=tenant, party={}, agreed=agreed, idempotency_key=f"billing-{next(names)}"
        )
        await billing_set.run(
            world.door, world.catalogue, world.show, OPERATOR, request, now=world.clock.now()
        )

    async def issue(self, tenant: str, drafted: InvoiceRecord) -> None:
        """Issue a draft by hand."""
        world, name = self.world, ids.encode("inv", drafted.invoice_id)
        request = InvoiceIssue(tenant=tenant, invoice=name, idempotency_key=f"issue-{next(names)}")
        await invoice_issue.run(
            world.door, world.catalogue, world.show, request, now=world.clock.now()
        )

    async def visit(self, tenant: str, number: str, written: str, people: int) -> None:
        """So many contacts write for the first time of the month."""
        address, when = self.world.numbers[tenant, number].address, self.local(tenant, written)
        events = [
            {
                "specversion": "1.0", "id": f"v{next(names)}", "source": "crm", "subject": tenant,
                "type": "message.received", "time": iso(when),
                "data": {"number": f"+{address}", "contact": f"+62 812 {next(names):07}"},
            }
            for _ in range(people)
        ]  # fmt: skip
        for result in await self.world.send(events):
            assert result["status"] == "accepted", result

    async def send(self, tenant: str, number: str, written: str, times: int = 1) -> None:
        """Marketing messages to Indonesia, each delivered at an instant of the tenant's clock."""
        address = self.world.numbers[tenant, number].address
        when = iso(self.local(tenant, written))
        events = []
        for _ in range(times):
            name = f"m{next(names)}"
            data = {
                "number": f"+{address}", "contact": "+62 811 1000 0001", "category": "marketing",
                "message": name, "template": "sale",
            }  # fmt: skip
            events.append(
                {
                    "specversion": "1.0", "id": name, "source": "crm", "subject": tenant,
                    "type": "message.delivered", "time": when, "data": data,
                }
            )  # fmt: skip
        for result in await self.world.send(events):
            assert result["status"] == "accepted", result

    async def invoices(self, tenant: str) -> list[InvoiceRecord]:
        """All of a tenant's invoices, drafts and credit notes, oldest first."""
        query = f"select {COLUMNS} from invoices where tenant_id = $1 order by invoice_id"
        return [from_row(row) for row in await self.world.rows(tenant, query)]

    async def summary(self, tenant: str) -> list[str]:
        """Each invoice in a line: number, status, total, what is left to pay, due day."""
        found, record = [], self.world.tenants[tenant]
        for each in await self.invoices(tenant):
            if each.invoice.kind != "invoice":
                continue
            called = status(
                each.invoice, each.balance, record.zone, self.world.clock.now(),
                void=each.voided_at is not None,
            )  # fmt: skip
            found.append(
                f"{each.number or 'draft'} {called} {text(each.invoice.total)} {text(each.balance)}"
            )
        return found

    async def lines(self, tenant: str, number: str) -> list[str]:
        """The lines of an invoice, each with its kind, its exact and its rounded amount."""
        world, record = self.world, self.world.tenants[tenant]
        async with world.door.tenant_tx(record.tenant_id) as connection:
            (found,) = await invoices.by_numbers(connection, record.tenant_id, [number])
        return [
            f"{each.kind}: {each.description}: {each.quantity} {each.unit} {text(each.exact)}"
            f" -> {text(each.amount)}"
            for each in found.invoice.lines
        ]

    async def raised(self, tenant: str) -> list[str]:
        """What was raised of invoices and subscriptions, oldest first."""
        asked = alerts.Asked(tenant_id=self.world.tenants[tenant].tenant_id)
        (page,) = await alerts.pages(self.world.door, [asked], limit=100)
        return [
            f"{each.kind.name} {each.cause_id}"
            for each in reversed(page.alerts)
            if each.kind >= AlertKind.INVOICE_ISSUED
        ]

    async def verify(self, tenant: str) -> Verified:
        """What the books of a tenant have otherwise than its log says."""
        world = self.world
        return await Verifying(world.door, world.catalogue, world.clock.now).verify(
            world.tenants[tenant].tenant_id
        )


def money(written: str) -> int:
    """An amount as people write it, in micros."""
    return micros(written)
