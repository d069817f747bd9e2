"""A process that collects, beside a world: its sandbox, its tasks, and what was told of it.

Owns what tests of payments need; checks nothing itself. Time is where a test puts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from api.metrics import Metrics
from api.operations import invoice_pay, payment_method_set, refill_policy_set
from api.operations.invoice_pay import InvoicePay
from api.operations.payment_method_set import PaymentMethodSet
from api.operations.refill_policy_set import RefillPolicySet
from api.paying.collecting import Paying
from api.paying.notices import posting
from api.paying.port import Provider
from api.paying.sandbox import NAME, Sandbox
from api.paying.tokens import Tokens
from api.paying.work import Tools
from api.signing import Signing
from api.tasks import Handler, Tasks
from domain.allocations import Account
from domain.billing_alerts import OF_INVOICES
from domain.money import text
from domain.watch import AlertKind
from persistence import account_checks, accounts, alerts, invoices, purchases, receipts, tasks
from persistence.invoices import InvoiceRecord
from persistence.journal import Stored
from persistence.purchases import NEWEST, Payment, Purchase
from persistence.tasks import Task
from tests.domain.spine import UNIT
from tests.scenarios.world import OPERATOR, World

names = count(1)


async def unheard(task: Task) -> None:
    """Leave what is to be told to people: nobody is told here."""


@dataclass(frozen=True, slots=True)
class Books:
    """What a tenant was asked for and paid."""

    documents: list[InvoiceRecord]  #: invoices and credit notes, oldest first
    account: Account
    entries: list[str]  #: of the journal: kind and reference

    @property
    def bills(self) -> list[tuple[str, str, str]]:
        """Documents in words: number, total, and what is left to pay."""
        return [
            (each.number, text(each.invoice.total), text(each.balance)) for each in self.documents
        ]


@dataclass(slots=True)
class Till:
    """What collects in one process of a world."""

    world: World
    paying: Paying
    sandbox: Sandbox
    tasks: Tasks

    @classmethod
    def of(cls, world: World, more: Mapping[str, Handler] | None = None) -> Till:
        signing = Signing("a secret of the tests that is long enough")
        sandbox = Sandbox(world.door, signing, world.clock.now, "http://127.0.0.1:1")
        paying = Paying(
            Tools(
                door=world.door, catalogue=world.catalogue, now=world.clock.now, show=world.show,
                providers={NAME: sandbox}, page=NAME, tokens=Tokens(signing),
            )
        )  # fmt: skip
        sandbox.post = posting(paying, sandbox)
        handlers: dict[str, Handler] = {tasks.PAYMENT: paying.handle, **(more or {})}
        return cls(world, paying, sandbox, Tasks(world.door, world.clock.now, Metrics(), handlers))

    def use(self, providers: Mapping[str, Provider]) -> None:
        """Let others collect from now on; people are sent to the page of the first."""
        page = next(iter(providers), None)
        self.paying._tools = replace(self.paying._tools, providers=providers, page=page)

    async def quiet(self) -> None:
        """Do what is due until nothing is, notices of the sandbox included."""
        await self.tasks.quiet()
        while self.sandbox._posting:
            await self.sandbox.posted()
            await self.tasks.quiet()

    async def method(self, tenant: str, script: str, *, key: str | None = None) -> None:
        """Charge a tenant by a script of the sandbox."""
        request = PaymentMethodSet(
            tenant=tenant, provider=NAME, token=f"sandbox:{script}", label="a card",
            idempotency_key=key or f"method-{next(names)}",
        )  # fmt: skip
        world = self.world
        await payment_method_set.run(
            world.door, world.catalogue, world.show, OPERATOR, request, self.paying.tokens, {NAME},
            now=world.clock.now(),
        )  # fmt: skip

    async def policy(
        self,
        tenant: str,
        balance: str,
        minimum: int,
        amount: int,
        *,
        enabled: bool = True,
        key: str | None = None,
        day_cap: int | None = None,
        month_cap: int | None = None,
    ) -> None:
        """Have a balance refilled; in whole units, caps in whole money."""
        request = RefillPolicySet(
            tenant=tenant, balance=balance, enabled=enabled, minimum=minimum * UNIT,
            amount=amount * UNIT, day_cap=None if day_cap is None else day_cap * UNIT,
            month_cap=None if month_cap is None else month_cap * UNIT,
            idempotency_key=key or f"policy-{next(names)}",
        )  # fmt: skip
        world = self.world
        await refill_policy_set.run(
            world.door, world.catalogue, world.show, OPERATOR, request, now=world.clock.now()
        )

    async def pay_invoice(self, tenant: str, invoice: str, *, key: str | None = None) -> int:
        """Begin to pay an invoice, and ask the provider at once; gives the purchase's number."""
        world = self.world
        request = InvoicePay(
            tenant=tenant, invoice=invoice, idempotency_key=key or f"pay-{next(names)}"
        )
        record, purchase = await invoice_pay.run(
            world.door, world.catalogue, world.show, OPERATOR, request, set(), payable=True,
            now=world.clock.now(),
        )  # fmt: skip
        await self.paying.soon(record.tenant_id, purchase.purchase_id)
        return purchase.purchase_id

    async def collecting(self, tenant: str, number: int) -> tuple[Purchase, Payment]:
        """What collects an invoice, and its one payment."""
        tenant_id = self.world.tenants[tenant].tenant_id
        name = (tenant_id, number)
        async with self.world.door.tenant_tx(tenant_id) as connection:
            found = await purchases.find(connection, *name)
        (payment,) = (await purchases.payments_of(self.world.door, [name]))[name]
        assert found is not None
        return found, payment

    async def purchases(self, tenant: str) -> list[tuple[Purchase, list[Payment]]]:
        """A tenant's purchases with their payments, oldest first."""
        tenant_id = self.world.tenants[tenant].tenant_id
        (found,) = await purchases.pages(self.world.door, [(tenant_id, NEWEST)], limit=1_000)
        named = [(tenant_id, each.purchase_id) for each in reversed(found)]
        paid = await purchases.payments_of(self.world.door, named) if named else {}
        return [(each, paid[tenant_id, each.purchase_id]) for each in reversed(found)]

    async def receipts(self, tenant: str) -> list[str | None]:
        """The numbers of the receipts of a tenant's payments, in their order."""
        asked = [
            (payment.tenant_id, payment.payment_key)
            for _, tries in await self.purchases(tenant)
            for payment in tries
        ]
        found = await receipts.of_payments(self.world.door, asked) if asked else []
        return [None if each is None else each.number for each in found]

    async def told(self, tenant: str) -> list[str]:
        """What was raised of a tenant's balances, in the order in which it was."""
        return [
            AlertKind(each.kind).name
            for each in await self._raised(tenant)
            if each.kind not in OF_INVOICES
        ]

    async def told_of_invoices(self, tenant: str) -> list[str]:
        """What was raised of a tenant's invoices, each with its number, in their order."""
        return [
            f"{AlertKind(each.kind).name} {each.cause_id}"
            for each in await self._raised(tenant)
            if each.kind in OF_INVOICES
        ]

    async def _raised(self, tenant: str) -> list[alerts.Alert]:
        tenant_id = self.world.tenants[tenant].tenant_id
        (found,) = await alerts.since(self.world.door, [(tenant_id, 0)], limit=10_000)
        return list(found)

    async def books(self, tenant: str) -> Books:
        """A tenant's documents and account, all rows of which agree."""
        tenant_id = self.world.tenants[tenant].tenant_id
        async with self.world.door.tenant_tx(tenant_id) as connection:
            assert await account_checks.check(connection, tenant_id) == []
            rows = await connection.fetch(
                f"select {invoices.COLUMNS} from invoices where tenant_id = $1 order by invoice_id",
                tenant_id,
            )
            entries = await connection.fetch(
                "select kind, reference from journal where tenant_id = $1 order by entry_id",
                tenant_id,
            )
            account = await accounts.whole(connection, tenant_id)
        return Books(
            documents=[invoices.from_row(row) for row in rows],
            account=account,
            entries=[f"{Stored(row['kind']).name} {row['reference']}" for row in entries],
        )

    async def remaining(self, tenant: str, balance: str) -> int:
        """What a balance has left, in whole units."""
        left = (await self.world.figures(tenant, balance)).total.remaining
        assert left % UNIT == 0
        return left // UNIT

    async def asked(self, tenant: str) -> int:
        """How many payments of a tenant its provider was asked for."""
        found = await self.purchases(tenant)
        return sum(payment.asked_at is not None for _, tries in found for payment in tries)

    async def collected(self, tenant: str) -> int:
        """How often money would have moved for a tenant."""
        keys = [p.payment_key for _, tries in await self.purchases(tenant) for p in tries]
        return await self.sandbox.collected(*keys) if keys else 0


def summary(found: list[tuple[Purchase, list[Payment]]]) -> list[tuple[str, Any]]:
    """Purchases in a word each, with those of their payments."""
    return [
        (purchase.state.name, [payment.state.name for payment in tries])
        for purchase, tries in found
    ]
