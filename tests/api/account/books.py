"""A tenant's account in a world whose clock stands: invoices, payments, and what came of them.

Owns what tests of the account need; checks nothing itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Any

from api import ids
from api.invoicing import account, issuing
from api.operations import (
    credit_note_create,
    invoice_void,
    payment_record,
    payment_refund,
    payment_take_back,
)
from api.operations.accounting import unmoved
from api.operations.acting import Done, Scene, given
from api.operations.credit_note_create import CreditNoteCreate
from api.operations.invoice_void import InvoiceVoid
from api.operations.payment_record import PaymentRecord
from api.operations.payment_refund import PaymentRefund
from api.operations.payment_take_back import PaymentTakeBack
from domain.allocations import Account
from domain.invoices import Line, LineKind, Party, amount_of, drawn_up
from domain.money import micros, text
from domain.taxes import NONE, Taxes
from domain.watch import AlertKind
from persistence import account_payments, accounts, alerts, invoices
from persistence.account_checks import check
from persistence.account_payments import PaymentRow
from persistence.accounts import New
from persistence.actions import Action, ActionKind
from persistence.invoices import InvoiceRecord, Origin
from tests.domain.spine import at
from tests.scenarios.world import World

NOON = at("2026-11-10 12:00")
names = count(1)


def line(amount: int, currency: str) -> Line:
    return Line(
        kind=LineKind.RECURRING, description="Seats", balance=None, category=None, market=None,
        rule=None, quantity="1", unit="seat", price=text(amount) if amount >= 0 else None,
        exact=amount, amount=amount_of(LineKind.RECURRING, amount, currency), period=None,
    )  # fmt: skip


def party(name: str, key: str) -> Party:
    return Party(name=name, lines=(), country="ID", tax_id=None, email=None, key=key)


@dataclass(slots=True)
class Books:
    """The accounts of a world's tenants; amounts are written as people do."""

    world: World
    kept: dict[str, Any] = field(default_factory=dict)  #: what tests leave for one another

    async def tenant(self, currency: str = "IDR") -> str:
        key = f"books-{next(names)}"
        await self.world.tenant(key, currency=currency)
        return key

    def today(self, tenant: str) -> int:
        return self.world.tenants[tenant].zone.date(self.world.clock.now())

    async def issue(
        self,
        tenant: str,
        *amounts: str,
        taxes: Taxes = NONE,
        issuer: str = "kuota",
        paid_by: New | None = None,
    ) -> str:
        """Issue an invoice of these lines; gives its number."""
        record = self.world.tenants[tenant]

        async def act(scene: Scene) -> Done:
            own, now = scene.terms, scene.now
            drawn = drawn_up(
                [line(micros(each, signed=True), own.currency) for each in amounts],
                issuer=party("Kuota", issuer), buyer=party(record.name, record.key),
                currency=own.currency, locale="id", zone=own.zone.name_at(now), taxes=taxes,
                day=own.zone.date(now),
            )  # fmt: skip
            changes = await unmoved(scene)
            draft = await invoices.draft(
                scene.connection, own.tenant_id, drawn, origin=Origin.BY_HAND, at=now
            )
            done = await invoices.issue(
                scene.connection, draft, drawn, series="INV", terms_days=14, zone=own.zone, at=now
            )
            await account.invoiced(
                scene.connection, own.tenant_id, done, changes, now, paid_by=paid_by
            )
            return Done(
                changes=changes,
                body={"number": done.number, **issuing.body_of(done, series="INV")},
            )

        world, key = self.world, f"issue-{next(names)}"
        action = await given(
            world.door, world.catalogue, world.show, ActionKind.INVOICE_ISSUE, tenant, key,
            key.encode(), act, now=world.clock.now(),
        )  # fmt: skip
        number: str = action.body["number"]
        return number

    async def pay(
        self, tenant: str, amount: str, /, *invoices: str, key: str | None = None, **more: Any
    ) -> Action:
        """Record what came in."""
        request = PaymentRecord(**{
            "tenant": tenant, "amount": micros(amount, signed=True), "method": "bank_transfer",
            "received_on": self.today(tenant), "invoices": invoices,
            "idempotency_key": key or f"pay-{next(names)}", **more,
        })  # fmt: skip
        return await self._run(payment_record, request)

    async def refund(self, tenant: str, amount: str, *, key: str | None = None) -> Action:
        request = PaymentRefund(
            tenant=tenant, amount=micros(amount, signed=True), reason="too much",
            idempotency_key=key or f"refund-{next(names)}",
        )  # fmt: skip
        return await self._run(payment_refund, request)

    async def take_back(self, tenant: str, payment: str, *, key: str | None = None) -> Action:
        """Of a payment by its key, or anything that is no key."""
        found = await self.payment(tenant, payment)
        request = PaymentTakeBack(
            tenant=tenant, payment=(found and ids.encode("pay", found.payment_id)) or payment,
            reason="no funds", idempotency_key=key or f"back-{next(names)}",
        )  # fmt: skip
        return await self._run(payment_take_back, request)

    async def credit(
        self,
        tenant: str,
        invoice: str,
        *given: tuple[int, str],
        key: str | None = None,
        reason: str = "a mistake",
    ) -> Action:
        """Give back parts of lines; without any, all that is left."""
        lines = tuple((place, micros(amount, signed=True)) for place, amount in given)
        request = CreditNoteCreate(
            tenant=tenant, invoice=invoice, lines=lines or None, reason=reason,
            idempotency_key=key or f"credit-{next(names)}",
        )  # fmt: skip
        return await self._run(credit_note_create, request)

    async def void(self, tenant: str, invoice: str, *, key: str | None = None) -> Action:
        request = InvoiceVoid(
            tenant=tenant, invoice=invoice, reason="a mistake",
            idempotency_key=key or f"void-{next(names)}",
        )  # fmt: skip
        return await self._run(invoice_void, request)

    async def _run(self, operation: Any, request: Any) -> Action:
        world = self.world
        action: Action = await operation.run(
            world.door, world.catalogue, world.show, request, now=world.clock.now()
        )
        return action

    async def account(self, tenant: str) -> Account:
        """The whole account as its rows have it; what does not agree is told."""
        tenant_id = self.world.tenants[tenant].tenant_id
        async with self.world.door.tenant_tx(tenant_id) as connection:
            wrong = await check(connection, tenant_id)
            assert not wrong, wrong
            return await accounts.whole(connection, tenant_id)

    async def balances(self, tenant: str) -> list[str]:
        """What is left to pay of each invoice, then the credit."""
        found = await self.account(tenant)
        return [*(text(bill.balance) for bill in found.bills), text(found.credit)]

    async def payment(self, tenant: str, key: str) -> PaymentRow | None:
        tenant_id = self.world.tenants[tenant].tenant_id
        async with self.world.door.tenant_tx(tenant_id) as connection:
            return await account_payments.of_key(connection, tenant_id, key)

    async def found(self, tenant: str, *numbers: str) -> list[InvoiceRecord]:
        tenant_id = self.world.tenants[tenant].tenant_id
        async with self.world.door.tenant_tx(tenant_id) as connection:
            return await invoices.by_numbers(connection, tenant_id, numbers)

    async def told(self, tenant: str) -> list[tuple[str, str]]:
        """What was raised of a tenant's invoices, in the order in which it was."""
        tenant_id = self.world.tenants[tenant].tenant_id
        (found,) = await alerts.since(self.world.door, [(tenant_id, 0)], limit=1_000)
        return [(AlertKind(each.kind).name, each.cause_id) for each in found]
