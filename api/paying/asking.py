"""Asking a provider: whether anybody is to be asked at all, then to collect, or where it stands.

Owns that a provider is noted before it is asked: from there on the outcome may be unknown, and the
same key is looked at before it is asked for again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog

from api.paying.outcomes import Outcomes
from api.paying.port import Answer, AwayError, Charge, Provider, Standing
from api.paying.tokens import SealError
from api.paying.work import FINAL
from domain.money import text
from domain.periods import HOUR
from domain.plans import BalancePlan
from persistence import purchases, terms
from persistence.purchases import OPEN_FOR, PaymentState, PurchaseState
from persistence.tenants import find_by_ids

log = structlog.get_logger("kuota.paying")


class Asking(Outcomes):
    """One payment, and its provider."""

    async def prepare(self) -> Provider | None:
        """Note that the provider is asked, or that nobody is to be; None: not now.

        What a refill may no longer be charged for ends here, before anybody is asked.
        """
        own, purchase, method = self.tools, self.purchase, self.method
        name = own.page if not self.of_refill else None if method is None else method.provider
        provider = own.providers.get(name or "")
        why = purchase.body.get("reason")
        if why is None and method is not None and self._token() is None:
            why = "the payment method was kept under another KUOTA_SECRET: set it again"
        async with self.tools.door.tenant_tx(purchase.tenant_id) as connection:
            await self.lock(connection)
            if self.purchase.state is not PurchaseState.OPEN:
                reason = "another try was paid before"
                await purchases.mark(
                    connection, self.payment, PaymentState.EXPIRED, ended_at=self.now,
                    reason=reason,
                )  # fmt: skip
                await self.done(connection)
                return None
            if self.of_refill and why is None:
                (terms_now,) = await terms.by_ids(connection, own.catalogue, [purchase.tenant_id])
                if terms_now.suspended:
                    await self.later(connection, self.now + HOUR)
                    return None
                policy = terms_now.refills.get(terms_now.balance_ids[purchase.balance])
                if policy is None or not policy.enabled:
                    why = "refills of this balance were switched off"
            if why is None and provider is not None:
                await purchases.ask(connection, self.payment, provider.name, self.now)
                return provider
        if why is None:
            why = (
                "there is no payment method" if self.of_refill and method is None
                else "no provider of payments is set up"
            )  # fmt: skip
        await self.declined(PaymentState.DECLINED, why, again=False)
        return None

    async def follow(
        self, provider: Provider, ask: Callable[[Provider], Awaitable[Answer]]
    ) -> None:
        """Ask, and do what follows from the answer."""
        try:
            answer = await ask(provider)
            over = self.now >= (self.payment.asked_at or self.now) + OPEN_FOR
            if answer.standing is Standing.PENDING and over:
                answer = await provider.cancel(self.payment.payment_key)
                if answer.standing in (Standing.PENDING, Standing.ABSENT):
                    answer = replace(answer, standing=Standing.EXPIRED)
        except AwayError as error:
            log.warning("a provider is away", provider=provider.name, why=str(error))
            await self.wait()
            return
        await self.apply(answer)

    async def charge(self, provider: Provider) -> Answer:
        """Ask the provider to collect."""
        purchase = self.purchase
        found = await find_by_ids(self.tools.door, [purchase.tenant_id])
        async with self.tools.door.tenant_tx(purchase.tenant_id) as connection:
            (own,) = await terms.by_ids(connection, self.tools.catalogue, [purchase.tenant_id])
        charge = Charge(
            key=self.payment.payment_key,
            total=purchase.total,
            currency=purchase.currency,
            description=described(own.balances[own.balance_ids[purchase.balance]], purchase.amount),
            customer=found[purchase.tenant_id].name,
            email=None,
            token=self._token(),
            return_url=purchase.body.get("return_url"),
            expires_at=self.now + OPEN_FOR,
        )
        return await provider.charge(charge)

    async def look(self, provider: Provider) -> Answer:
        """Look where it stands; what never came to the provider is asked for again."""
        answer = await provider.look(self.payment.payment_key)
        if answer.standing is not Standing.ABSENT or self.payment.state in FINAL:
            return answer
        if self.payment.pay_url is not None:
            # Some know of nothing until the payer has chosen on their page how to pay.
            return Answer(standing=Standing.PENDING)
        return await self.charge(provider)

    def _token(self) -> str | None:
        """What a refill is charged by; None: nothing that can be opened."""
        if self.method is None:
            return None
        try:
            return self.tools.tokens.open(self.payment.tenant_id, self.method.token)
        except SealError:
            return None


def described(balance: BalancePlan, amount: int) -> str:
    """What is bought, as the payer reads it at the provider."""
    whole, _, rest = text(amount).partition(".")
    written = f"{int(whole):,}" + (f".{rest}" if rest else "")
    unit = balance.currency or balance.unit.replace("_", " ") + ("" if written == "1" else "s")
    told = f"{unit} {written}" if balance.currency else f"{written} {unit}"
    return f"{balance.name}: {told}"
