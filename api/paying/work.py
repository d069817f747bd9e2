"""One payment under work: what is known of it, under whose lease, and when it is looked at again.

Owns the tenant's lock around what is done of it and the end of its task. What is asked is
`asking`'s, what follows from an answer `outcomes`'.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import asyncpg

from api.paying.port import Answer, Provider
from api.paying.tokens import Tokens
from domain.money import text
from domain.periods import HOUR, MINUTE, SECOND
from persistence import load, purchases, tasks
from persistence.catalogue import Catalogue
from persistence.connection import Connection
from persistence.door import Door
from persistence.purchases import Payment, PaymentState, Purchase, PurchaseKind
from persistence.show import Show
from persistence.tasks import Task

#: Between two looks at what is neither paid nor declined; the last one holds from then on.
LOOK_AFTER: Final = (30 * SECOND, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR)

#: What a provider has ended.
FINAL: Final = frozenset(
    {PaymentState.PAID, PaymentState.DECLINED, PaymentState.EXPIRED, PaymentState.TAKEN_BACK}
)


class LeaseLostError(Exception):
    """Somebody else has the task by now: what was done here must not be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What collecting works with, in one process."""

    door: Door
    catalogue: Catalogue
    now: Callable[[], int]
    show: Show
    providers: Mapping[str, Provider]
    page: str | None  #: the provider to whose page people are sent; None: nobody can pay
    tokens: Tokens


class Work:
    """One payment, as it was read when its task was taken."""

    def __init__(
        self,
        tools: Tools,
        task: Task,
        purchase: Purchase,
        payment: Payment,
    ) -> None:
        self.tools = tools
        self.task = task
        self.purchase = purchase
        self.payment = payment
        self.now = tools.now()

    @property
    def of_refill(self) -> bool:
        return self.purchase.kind is PurchaseKind.REFILL

    @property
    def of_invoice(self) -> bool:
        return self.purchase.kind is PurchaseKind.INVOICE

    async def wait(self, why: str) -> None:
        """Look again after a while, and say meanwhile what is in the way."""
        async with self.tools.door.tenant_tx(self.task.tenant_id) as connection:
            await self.lock(connection)
            if self.payment.state not in FINAL:
                await purchases.mark(connection, self.payment, self.payment.state, reason=why)
            await self.later(connection, self.now + self.pause())

    async def lock(self, connection: Connection) -> asyncpg.Record:
        """Lock the tenant, and read again what is worked on: it holds from here on."""
        tenant_id = self.task.tenant_id
        heads = await load.lock(connection, [tenant_id], wait=True)
        payment = await purchases.find_payment(connection, tenant_id, self.task.key)
        purchase = await purchases.find(connection, tenant_id, self.purchase.purchase_id)
        assert payment is not None
        assert purchase is not None
        self.payment, self.purchase = payment, purchase
        # What is decided is of now: the provider, and who had the lock, may have taken long.
        self.now = self.tools.now()
        return heads[tenant_id]

    async def end(self) -> None:
        """End the task, if it is still there."""
        async with self.tools.door.tenant_tx(self.task.tenant_id) as connection:
            await tasks.done(connection, self.task)

    async def done(self, connection: Connection) -> None:
        if not await tasks.done(connection, self.task):
            raise LeaseLostError

    async def later(self, connection: Connection, due_at: int) -> None:
        if not await tasks.later(connection, self.task, due_at):
            raise LeaseLostError

    def pause(self) -> int:
        return LOOK_AFTER[min(self.task.tries, len(LOOK_AFTER)) - 1]


def differs(purchase: Purchase, answer: Answer) -> str | None:
    """Why an answer is not of this purchase; None: it is, as far as it says."""
    if answer.total is not None and answer.total != purchase.total:
        return f"{text(answer.total)} was collected, and {text(purchase.total)} asked for"
    if answer.currency is not None and answer.currency != purchase.currency:
        return f"{answer.currency} was collected, and {purchase.currency} asked for"
    return None
