"""Asking a provider: whether anybody is to be asked at all, then to collect, or where it stands.

Owns that a provider is noted before it is asked: from there on the outcome may be unknown, and the
same key is looked at before it is asked for again.
"""

from __future__ import annotations

from dataclasses import replace

import structlog

from api.paying.outcomes import Outcomes
from api.paying.port import Answer, AwayError, Charge, Provider, Standing
from api.paying.tokens import SealError
from api.paying.work import FINAL, LeaseLostError
from domain.money import text
from domain.periods import HOUR
from domain.plans import BalancePlan
from domain.terms import Terms
from persistence import invoices, payment_methods, purchases, terms
from persistence.connection import Connection
from persistence.purchases import OPEN_FOR, PaymentState, PurchaseState
from persistence.tenants import TenantRecord, find_by_ids

log = structlog.get_logger("kuota.paying")


class Asking(Outcomes):
    """One payment, and its provider."""

    async def follow(self) -> None:
        """Bring the payment as far as its provider has it."""
        asked = self.payment.state is not PaymentState.WAITING
        provider = self.tools.providers.get(self.payment.provider)
        if asked and provider is None:
            await self.wait(f"{self.payment.provider} is not set up here any more")
            return
        try:
            answer = await self._look(provider) if provider is not None else await self._charge()
        except AwayError as error:
            log.warning("a provider is away", key=self.payment.payment_key, why=str(error))
            await self.wait(f"the provider does not answer: {error}")
            return
        if answer is not None:
            await self.apply(answer)

    async def _look(self, provider: Provider) -> Answer | None:
        """Look where it stands, or give it up where that took too long; None: nothing is known."""
        key, state = self.payment.payment_key, self.payment.state
        answer = await provider.look(key)
        if answer.standing is Standing.ABSENT and state not in FINAL:
            if state is PaymentState.ASKED and self.payment.pay_url is None:
                return await self._charge()  # it never came there
            # Some know of nothing until the payer has chosen on their page how to pay.
            answer = Answer(standing=Standing.PENDING)
        over = self.now >= (self.payment.asked_at or self.now) + OPEN_FOR
        unwanted = over or self.purchase.state is not PurchaseState.OPEN
        paid = state in (PaymentState.PAID, PaymentState.TAKEN_BACK)
        if answer.standing is Standing.PENDING and unwanted and not paid:
            answer = await provider.cancel(key)
            if answer.standing in (Standing.PENDING, Standing.ABSENT):
                answer = replace(answer, standing=Standing.EXPIRED)
        return answer

    async def _charge(self) -> Answer | None:
        """Ask a provider to collect, where somebody is to be asked at all; None: nobody is."""
        ready = await self._prepare()
        if ready is None:
            return None
        provider, charge = ready
        return await provider.charge(charge)

    async def _prepare(self) -> tuple[Provider, Charge] | None:
        """Note that a provider is asked, and what for, or that nobody is to be asked.

        What a refill may no longer be charged for ends here, under the lock, before anybody is
        asked; so does what somebody else has begun meanwhile.
        """
        own, tenant_id = self.tools, self.task.tenant_id
        tenant = (await find_by_ids(own.door, [tenant_id]))[tenant_id]
        async with own.door.tenant_tx(tenant_id) as connection:
            await self.lock(connection)
            await self.later(connection, self.task.due_at)  # nobody else has it
            if self.payment.state not in (PaymentState.WAITING, PaymentState.ASKED):
                raise LeaseLostError
            if self.purchase.state is not PurchaseState.OPEN:
                await purchases.mark(
                    connection, self.payment, PaymentState.EXPIRED, ended_at=self.now,
                    reason="another try was paid before",
                )  # fmt: skip
                await self.done(connection)
                return None
            (terms_now,) = await terms.by_ids(connection, own.catalogue, [tenant_id])
            if self.of_refill and terms_now.suspended:
                await self.later(connection, self.now + HOUR)
                return None
            name, token, why = own.page, None, self.purchase.body.get("reason")
            if self.of_refill and why is None:
                name, token, why = await self._charged_by(connection, terms_now)
            elif self.of_invoice:
                why = await self._not_left(connection)
            provider = own.providers.get(name or "")
            if why is None and provider is not None:
                await purchases.ask(connection, self.payment, provider.name, self.now)
                return provider, self._charge_of(tenant, terms_now, token)
        await self.declined(
            PaymentState.DECLINED, why or "no provider of payments is set up", again=False
        )
        return None

    async def _charged_by(
        self, connection: Connection, own: Terms
    ) -> tuple[str | None, str | None, str | None]:
        """Of a refill the provider and the token, or why it is not charged."""
        policy = own.refills.get(own.balance_ids[self.purchase.balance])
        if policy is None or not policy.enabled:
            return None, None, "refills of this balance were switched off"
        method = await payment_methods.find(connection, own.tenant_id)
        if method is None:
            return None, None, "there is no payment method"
        try:
            return method.provider, self.tools.tokens.open(own.tenant_id, method.token), None
        except SealError:
            why = "the payment method was kept under another KUOTA_SECRET: set it again"
            return None, None, why

    async def _not_left(self, connection: Connection) -> str | None:
        """Why an invoice is not asked for as it was when somebody wanted to pay it, if it is not.

        Once the page is open it may be paid, whatever becomes of the invoice.
        """
        purchase = self.purchase
        assert purchase.invoice_id is not None
        record = await invoices.find(connection, purchase.tenant_id, purchase.invoice_id)
        left = 0 if record is None else record.balance
        if left == purchase.total:
            return None
        return f"{text(left)} {purchase.currency} is left to pay of {purchase.invoice} by now"

    def _charge_of(self, tenant: TenantRecord, own: Terms, token: str | None) -> Charge:
        purchase = self.purchase
        if self.of_invoice:
            item, description = "invoice", f"Invoice {purchase.invoice}"
        else:
            balance = own.balances[own.balance_ids[purchase.balance]]
            item, description = "top-up", described(balance, purchase.amount)
        return Charge(
            key=self.payment.payment_key,
            total=purchase.total,
            currency=purchase.currency,
            description=description,
            item=item,
            customer=tenant.name,
            email=None,
            token=token,
            return_url=purchase.body.get("return_url"),
            expires_at=self.now + OPEN_FOR,
        )


def described(balance: BalancePlan, amount: int) -> str:
    """What is bought, as the payer reads it at the provider."""
    whole, _, rest = text(amount).partition(".")
    written = f"{int(whole):,}" + (f".{rest}" if rest else "")
    unit = balance.currency or balance.unit.replace("_", " ") + ("" if written == "1" else "s")
    told = f"{unit} {written}" if balance.currency else f"{written} {unit}"
    return f"{balance.name}: {told}"
