"""Collecting what purchases cost: one task a payment, asked of its provider until it has an end.

Owns the order of work: note that a provider is asked, ask, and apply what it says in one
transaction under the tenant's lock. Whatever was heard elsewhere only makes a task due: what holds
is what the provider says when it is looked at. So a notice that comes twice, late or out of order
changes nothing, and a crash between two of these lines is followed by another look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from api.paying.asking import Asking
from api.paying.port import Provider
from api.paying.tokens import Tokens
from api.paying.work import LeaseLostError, Tools
from api.tasks import LEASE
from persistence import purchases, tasks
from persistence.door import CONNECTION_LOST
from persistence.tasks import Task

#: Seconds that whoever buys is kept waiting for the address of the page.
SOON_SECONDS: Final = 3.0

log = structlog.get_logger("kuota.paying")


class Paying:
    """What collects, in one process."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._soon: set[asyncio.Task[None]] = set()

    @property
    def providers(self) -> Mapping[str, Provider]:
        """Who collects, by their names."""
        return self._tools.providers

    @property
    def page(self) -> str | None:
        """The provider to whose page people are sent; None: nobody can pay."""
        return self._tools.page

    @property
    def tokens(self) -> Tokens:
        """What seals what refills are charged by."""
        return self._tools.tokens

    async def hurry(self, key: str) -> None:
        """Have a payment looked at: somebody says that something became of it (BA-7).

        One that is over is looked at again, for it may be paid late or taken back.
        """
        found = await purchases.whose(self._tools.door, key)
        if found is not None:
            tenant_id, _ = found
            async with self._tools.door.tenant_tx(tenant_id) as connection:
                await tasks.add(connection, tenant_id, tasks.PAYMENT, key, self._tools.now())

    async def soon(self, tenant_id: int, purchase_id: int) -> None:
        """Ask for a purchase's payment at once, and wait for what comes of it, but not for long.

        What takes longer, or fails, is left to whoever does tasks.
        """
        job = asyncio.create_task(self._begin(tenant_id, purchase_id))
        self._soon.add(job)
        job.add_done_callback(self._soon.discard)
        await asyncio.wait([job], timeout=SOON_SECONDS)

    async def stop(self) -> None:
        """Finish what was begun at once; let go of providers."""
        if self._soon:
            await asyncio.wait(self._soon, timeout=SOON_SECONDS)
        for provider in self.providers.values():
            await provider.close()

    async def _begin(self, tenant_id: int, purchase_id: int) -> None:
        name = (tenant_id, purchase_id)
        try:
            payment = (await purchases.payments_of(self._tools.door, [name]))[name][-1]
            async with self._tools.door.tenant_tx(tenant_id) as connection:
                task = await tasks.take_one(
                    connection, tenant_id, tasks.PAYMENT, payment.payment_key, self._tools.now(),
                    lease=LEASE,
                )  # fmt: skip
            if task is not None:
                await self.handle(task)
        except Exception as error:
            expected = isinstance(error, (*CONNECTION_LOST, LeaseLostError))
            log.warning("a payment waits", why=repr(error), exc_info=not expected)

    async def handle(self, task: Task) -> None:
        """Bring one payment as far as its provider has it by now."""
        try:
            await self._handle(task)
        except LeaseLostError:
            log.info("somebody else has the payment", key=task.key)

    async def _handle(self, task: Task) -> None:
        async with self._tools.door.tenant_tx(task.tenant_id) as connection:
            payment = await purchases.find_payment(connection, task.tenant_id, task.key)
            assert payment is not None
            purchase = await purchases.find(connection, task.tenant_id, payment.purchase_id)
            assert purchase is not None
        await Asking(self._tools, task, purchase, payment).follow()
