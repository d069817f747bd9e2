"""What follows from where a payment stands at its provider (RF-2, BA-7, BA-8).

Owns what becomes of the purchase, the tenant's figures, the receipt, the invoice and the next try,
each in one transaction. What a payment brings has its key, so that it comes once, whatever is told
how often.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from api import ids
from api.invoicing import top_ups
from api.operations import acting, refund_create
from api.operations.acting import Done, Scene
from api.operations.refund_create import RefundCreate
from api.paying import bills
from api.paying.port import Answer, Standing
from api.paying.work import FINAL, Work, differs
from domain import refills
from domain.money import text
from domain.periods import HOUR, iso, month_name
from domain.problems import Problem
from domain.receipts import Buyer, receipt
from domain.state import Changes, State
from domain.terms import Terms
from domain.top_ups import carried_until
from domain.watch import AlertKind
from persistence import actions, load, purchases, receipts, record, tasks, terms
from persistence import refills as policies
from persistence.actions import Action, ActionKind
from persistence.connection import Connection
from persistence.purchases import OPEN_FOR, PaymentState, PurchaseState
from persistence.tenants import TenantRecord, find_by_ids

#: After a decline a refill is tried again, under a new key; after the last it is given up (RF-2).
RETRY_AFTER: Final = (1 * HOUR, 4 * HOUR, 24 * HOUR)

#: Of a payment that its provider calls unpaid after it was paid, until it says so again.
DOUBT: Final = "the provider calls it unpaid since: it is looked at again"

log = structlog.get_logger("kuota.paying")


class Outcomes(Work):
    """One payment, and what its provider said of it."""

    async def apply(self, answer: Answer) -> None:
        """Do what follows from where a payment stands, once."""
        match answer.standing:
            case Standing.PAID:
                await self._paid(answer)
            case Standing.TAKEN_BACK:
                await self._taken_back(answer)
            case Standing.DECLINED | Standing.EXPIRED if self.payment.state is PaymentState.PAID:
                await self._doubted(answer)
            case Standing.DECLINED:
                await self.declined(PaymentState.DECLINED, answer.reason)
            case Standing.EXPIRED:
                await self.declined(PaymentState.EXPIRED, answer.reason or "nobody paid in time")
            case Standing.PENDING:
                await self._pending(answer)
            case Standing.ABSENT if self.payment.state in FINAL:
                await self.end()
            case Standing.ABSENT:
                await self.wait("the provider does not know of it")

    async def _pending(self, answer: Answer) -> None:
        async with self.tools.door.tenant_tx(self.task.tenant_id) as connection:
            await self.lock(connection)
            if self.payment.state in FINAL:
                await self.done(connection)
                return
            await purchases.mark(
                connection, self.payment, PaymentState.PENDING, reason=answer.reason,
                pay_url=answer.pay_url, reference=answer.reference,
            )  # fmt: skip
            await self.later(connection, self.now + self.pause())

    async def _doubted(self, answer: Answer) -> None:
        """A bank may go back on its word, and a look may be of yesterday: the second one counts."""
        async with self.tools.door.tenant_tx(self.task.tenant_id) as connection:
            await self.lock(connection)
            if self.payment.state is PaymentState.PAID and self.payment.reason != DOUBT:
                await purchases.mark(
                    connection, self.payment, PaymentState.PAID, ended_at=self.payment.ended_at,
                    reason=DOUBT,
                )  # fmt: skip
                await self.later(connection, self.now + HOUR)
                return
        await self._taken_back(answer)

    async def _paid(self, answer: Answer) -> None:
        """Credit what was paid, whatever was said of it before: once by its key (BA-7, RF-2)."""
        wrong = differs(self.purchase, answer)
        if wrong is not None:
            log.error("a payment is of another total", key=self.payment.payment_key, why=wrong)
            await self._noted(wrong)
            return
        if self.payment.state is PaymentState.PAID:
            await self._noted("")
            return
        if await self._credited() is not None:
            # Taken back here, and paid after that: whose it is now, people must say.
            log.error("a payment that was taken back is paid", key=self.payment.payment_key)
            await self._noted("paid once more after it was taken back: nothing was credited")
            return
        tenant_id = self.task.tenant_id
        tenant = (await find_by_ids(self.tools.door, [tenant_id]))[tenant_id]

        async def act(scene: Scene) -> Done:
            if self.of_invoice:
                return await self._settle(scene, answer)
            return await self._credit(scene, tenant, answer)

        kind = ActionKind.PAYMENT_RECORD if self.of_invoice else ActionKind.TOP_UP
        await self._given(kind, tenant, self.payment.idempotency_key, act)
        await self.end()  # nothing is left of it, unless somebody else has credited

    async def _given(
        self,
        kind: ActionKind,
        tenant: TenantRecord,
        key: str,
        act: Callable[[Scene], Awaitable[Done]],
    ) -> None:
        """Do something of the payment under a key that nobody else has."""
        own = self.tools
        content = actions.content_of(kind, {"payment": self.payment.payment_key})
        await acting.given(
            own.door, own.catalogue, own.show, kind, tenant.key, key, content, act, now=own.now,
            ours=True,
        )  # fmt: skip

    async def _noted(self, why: str) -> None:
        """Say something of a payment that stays where it is, and look at it no more."""
        async with self.tools.door.tenant_tx(self.task.tenant_id) as connection:
            await self.lock(connection)
            payment = self.payment
            await purchases.mark(
                connection, payment, payment.state, ended_at=payment.ended_at, reason=why
            )
            if payment.state in FINAL:
                await self.done(connection)
            else:
                await self.later(connection, self.now + self.pause())

    async def _credited(self) -> Action | None:
        """What it brought, if it did."""
        tenant_id = self.task.tenant_id
        async with self.tools.door.tenant_tx(tenant_id) as connection:
            return await actions.find(connection, tenant_id, self.payment.idempotency_key)

    async def _credit(self, scene: Scene, tenant: TenantRecord, answer: Answer) -> Done:
        own, now, connection = scene.terms, scene.now, scene.connection
        await self.lock(connection)
        purchase, payment = self.purchase, self.payment
        is_open = purchase.state is PurchaseState.OPEN
        balance_id = scene.balance(purchase.balance)
        balance = own.balances[balance_id]
        ends_at = carried_until(own, balance.carry, now)
        await scene.lots(now)
        left = scene.left(balance_id)
        lot, changes = refills.pay(
            own, scene.state, balance_id, purchase.amount, ends_at, now,
            refill=self.of_refill, in_flight=self.of_refill and is_open,
            price=purchase.net,
        )  # fmt: skip
        reference = await self._collected(connection, answer, now)
        number, invoice = None, {}
        if (priced := purchase.quote) is not None:
            snapshot = receipt(
                priced, own.plan, balance,
                Buyer(key=tenant.key, name=tenant.name, country=tenant.country),
                paid_at=now, zone=own.zone.name_at(now), provider=payment.provider,
                reference=reference, expires_at=ends_at,
            )  # fmt: skip
            year = int(month_name(own.zone.month(now))[:4])
            number = await receipts.issue(
                connection, tenant.tenant_id, payment.payment_key, snapshot, now, year
            )
            invoice = await top_ups.issue_paid(
                connection, self.tools.catalogue, tenant, changes, priced, balance,
                payment_key=payment.payment_key, provider=payment.provider, reference=reference,
                now=now,
            )  # fmt: skip
        await self.done(connection)
        return Done(
            changes=changes,
            body={
                "lot_id": lot.lot_id,
                "balance": purchase.balance,
                "currency": balance.currency,
                "amount": purchase.amount,
                "price": purchase.net,
                "price_currency": purchase.currency,
                "source": lot.source.name,
                "starts_at": now,
                "expires_at": ends_at,
                "note": "",
                "purchase_id": purchase.purchase_id,
                "payment": payment.payment_key,
                "receipt": number,
                **invoice,
            },
            before={"balance": purchase.balance, "left": left},
            after={
                "balance": purchase.balance,
                "left": scene.left(balance_id),
                "added": text(purchase.amount),
                "total": text(purchase.total),
                "currency": purchase.currency,
                "receipt": number,
                "invoice": invoice.get("invoice"),
                "expiresAt": None if ends_at is None else iso(ends_at),
            },
        )

    async def _settle(self, scene: Scene, answer: Answer) -> Done:
        await self.lock(scene.connection)
        reference = await self._collected(scene.connection, answer, scene.now)
        done = await bills.pay(scene, self.purchase, self.payment, reference)
        await self.done(scene.connection)
        return done

    async def _collected(self, connection: Connection, answer: Answer, now: int) -> str | None:
        """Note that the money is here; gives what its provider calls it."""
        purchase, payment = self.purchase, self.payment
        reference = answer.reference or payment.reference
        await purchases.mark(
            connection, payment, PaymentState.PAID, ended_at=now, reference=reference
        )
        if purchase.state is not PurchaseState.PAID:
            await purchases.end(connection, purchase, PurchaseState.PAID, now)
        await self._hurry_others(connection)
        return reference

    async def declined(self, state: PaymentState, reason: str, *, again: bool = True) -> None:
        """Try a refill again under a new key, or give the purchase up (RF-2)."""
        own, tenant_id = self.tools, self.task.tenant_id
        changes = None
        async with self.tools.door.tenant_tx(tenant_id) as connection:
            head = await self.lock(connection)
            purchase, payment, now = self.purchase, self.payment, self.now
            if payment.state not in FINAL:
                await purchases.mark(connection, payment, state, ended_at=now, reason=reason)
                tries, is_open = payment.number, purchase.state is PurchaseState.OPEN
                if is_open and self.of_refill and again and tries <= len(RETRY_AFTER):
                    due_at = now + RETRY_AFTER[tries - 1]
                    await purchases.try_at(
                        connection, tenant_id, purchase.purchase_id, tries + 1, due_at
                    )
                elif is_open:
                    ended = PurchaseState.FAILED
                    if state is PaymentState.EXPIRED and not self.of_refill:
                        ended = PurchaseState.EXPIRED
                    await purchases.end(connection, purchase, ended, now)
                    if self.of_refill:
                        (before,) = await terms.by_ids(connection, own.catalogue, [tenant_id])
                        state_now = load.state_of(head)
                        changes = await self._give_up(connection, before, state_now, reason)
            if self._may_be_paid_yet():
                await self.later(connection, self.now + self.pause())
            else:
                await self.done(connection)
        if changes is not None:
            own.show.commits([changes], self.now)

    def _may_be_paid_yet(self) -> bool:
        """Whether a page may still stand open on which it was declined."""
        asked_at = self.payment.asked_at
        if self.of_refill or asked_at is None:
            return False
        return self.now < asked_at + OPEN_FOR + HOUR

    async def _give_up(
        self, connection: Connection, before: Terms, state: State, reason: str
    ) -> Changes:
        """End a refill that is not paid: its policy is switched off, and says so."""
        kinds, after = [AlertKind.REFILL_FAILED], before
        if self._is_on(before):
            kinds.append(AlertKind.REFILL_OFF)
            after = await self._switch_off(connection, reason)
        return await self._say(connection, before, after, state, kinds, in_flight=True)

    def _is_on(self, own: Terms) -> bool:
        """Whether the balance is refilled by itself."""
        policy = own.refills.get(own.balance_ids[self.purchase.balance])
        return policy is not None and policy.enabled

    async def _switch_off(self, connection: Connection, reason: str) -> Terms:
        """Refill the balance no more; gives the terms that hold then."""
        tenant_id = self.task.tenant_id
        await policies.switch_off(connection, tenant_id, self.purchase.balance, reason, self.now)
        (after,) = await terms.by_ids(connection, self.tools.catalogue, [tenant_id])
        return after

    async def _say(
        self,
        connection: Connection,
        before: Terms,
        after: Terms,
        state: State,
        kinds: list[AlertKind],
        *,
        in_flight: bool,
    ) -> Changes:
        """Commit what became of a refill, with its alerts."""
        tenant_id, now = self.task.tenant_id, self.now
        await load.lots(connection, {tenant_id: state}, {tenant_id: before}, now, now)
        changes = refills.give_up(
            before.at(now), after.at(now), state, before.balance_ids[self.purchase.balance], now,
            self.payment.idempotency_key, kinds, in_flight=in_flight,
        )  # fmt: skip
        await record.record(connection, [changes], now)
        return changes

    async def _taken_back(self, answer: Answer) -> None:
        """Take away what a payment brought that was taken back (BA-8)."""
        if self.payment.state is PaymentState.TAKEN_BACK:
            await self.end()  # told once more: what was set since then stands
            return
        reason = answer.reason or "the payment was taken back"
        credited = await self._credited()
        if credited is None:
            await self.declined(PaymentState.TAKEN_BACK, reason, again=False)
            return
        own, tenant_id = self.tools, self.task.tenant_id
        tenant = (await find_by_ids(own.door, [tenant_id]))[tenant_id]
        key = f"taken_back/{self.payment.payment_key}"
        if self.of_invoice:

            async def act(scene: Scene) -> Done:
                await self.lock(scene.connection)
                done = await bills.take_back(scene, self.purchase, self.payment, reason)
                await self._gone(scene.connection, reason)
                return done

            await self._given(ActionKind.PAYMENT_TAKE_BACK, tenant, key, act)
            await self.end()
            return
        if self.of_refill:
            await self._stop_refills()
        request = RefundCreate(
            tenant=tenant.key,
            top_up=ids.encode("top", credited.action_id),
            taken_back=True,
            reason=reason,
            idempotency_key=key,
        )
        try:
            await refund_create.run(
                own.door, own.catalogue, own.show, request, now=own.now, ours=True
            )
        except Problem as problem:
            if problem.code != "NOTHING_LEFT":
                raise
            log.warning("it was taken back by hand", key=self.payment.payment_key)
        async with own.door.tenant_tx(tenant_id) as connection:
            await self.lock(connection)
            await self._gone(connection, reason)

    async def _gone(self, connection: Connection, reason: str) -> None:
        """Note that the money is no longer here."""
        await purchases.mark(
            connection, self.payment, PaymentState.TAKEN_BACK, ended_at=self.now, reason=reason
        )
        await purchases.end(connection, self.purchase, PurchaseState.TAKEN_BACK, self.now)
        await self.done(connection)

    async def _hurry_others(self, connection: Connection) -> None:
        """Have other tries of the purchase looked at: nobody wants them any more."""
        tenant_id = self.task.tenant_id
        for key in await purchases.open_keys(connection, tenant_id, self.purchase.purchase_id):
            if key != self.payment.payment_key:
                await tasks.hurry(connection, tenant_id, tasks.PAYMENT, key, self.now)

    async def _stop_refills(self) -> None:
        """Charge nobody again who has just taken a payment back: the policy is switched off."""
        tenant_id, own = self.task.tenant_id, self.tools
        async with own.door.tenant_tx(tenant_id) as connection:
            head = await self.lock(connection)
            (before,) = await terms.by_ids(connection, own.catalogue, [tenant_id])
            if not self._is_on(before):
                return
            after = await self._switch_off(connection, "a payment was taken back")
            changes = await self._say(
                connection, before, after, load.state_of(head), [AlertKind.REFILL_OFF],
                in_flight=False,
            )  # fmt: skip
        own.show.commits([changes], self.now)
