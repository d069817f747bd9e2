"""Closing by itself: a period that is over is settled and closed, and its invoice is issued (IN-7).

Owns the two tasks of that: the closing of a tenant's next period, some days after its end, and the
invoice of a period that was closed or of a subscription that began. Each ends in the commit of its
effect and under a key of its own: whatever runs twice, or breaks off, there is one of each. An
operator may close a period earlier; what follows is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from api.invoicing import issuing
from api.invoicing.drawing import START, Drawing, Drawn
from api.invoicing.scheduling import due_at
from api.operations import period_close
from api.operations.acting import Done, Scene, given
from api.operations.period_close import PeriodClose
from api.settling import Settling
from domain.billing_profiles import Issue
from domain.changing import book
from domain.money import text
from domain.periods import MINUTE, month_of_name
from domain.problems import Problem
from persistence import actions, invoices, load, tasks, terms
from persistence.actions import ActionKind
from persistence.audit import trace
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.show import Show
from persistence.tasks import Task
from persistence.tenants import TenantRecord, find_by_ids

#: How keys begin under which a period is closed, and an invoice is issued.
CLOSES: Final = "close/"
ISSUES: Final = "invoice/"

#: When a closing is tried again that somebody else's settling, or an import, stood in the way of.
BUSY: Final = 1 * MINUTE
IMPORTING: Final = 10 * MINUTE


class _PutOffError(Exception):
    """Something stands in the way of a task: it is done later."""

    def __init__(self, until: int) -> None:
        super().__init__(until)
        self.until = until


class _DoneError(Exception):
    """Nothing is left to do of a task, or somebody else has it."""


class Closing:
    """What closes and invoices, in one process."""

    def __init__(
        self,
        door: Door,
        catalogue: Catalogue,
        show: Show,
        settling: Settling,
        now: Callable[[], int],
    ) -> None:
        self._door = door
        self._catalogue = catalogue
        self._show = show
        self._settling = settling
        self._now = now

    async def close(self, task: Task) -> None:
        """Close the period that a task is named after, if that may be done by now."""
        record = await self._record(task)
        label = month_of_name(task.key)
        try:
            await self._close(record, label, task)
        except _PutOffError as put_off:
            async with self._door.tenant_tx(task.tenant_id) as connection:
                await tasks.later(connection, task, put_off.until)
        except _DoneError:
            async with self._door.tenant_tx(task.tenant_id) as connection:
                await tasks.done(connection, task)

    async def _close(self, record: TenantRecord, label: int, task: Task) -> None:
        now = self._now()
        async with self._door.tenant_tx(task.tenant_id) as connection:
            head = (await load.heads(connection, [task.tenant_id]))[task.tenant_id]
            (own,) = await terms.by_ids(connection, self._catalogue, [task.tenant_id])
        if load.state_of(head).below is None:
            raise _PutOffError(now + IMPORTING)
        if not record.invoicing:
            raise _DoneError
        if now < due_at(own.zone, label):
            raise _PutOffError(due_at(own.zone, label))  # its zone was changed since (TZ-3)
        request = PeriodClose(
            tenant=record.key, period=label, idempotency_key=f"{CLOSES}{task.key}"
        )
        try:
            await period_close.run(self._door, self._settling, request, now=now, ours=True)
        except Problem as problem:
            if problem.code == "SETTLING":
                raise _PutOffError(now + BUSY) from None
            if problem.code == "ALREADY_CLOSED":
                raise _DoneError from None
            raise

    async def invoice(self, task: Task) -> None:
        """Issue the invoice that a task is named after, those of earlier periods first."""
        record = await self._record(task)
        names = [task.key]
        if not task.key.startswith(START):
            async with self._door.tenant_tx(task.tenant_id) as connection:
                waiting = await tasks.names(connection, task.tenant_id, tasks.INVOICE)
            names = [name for name in waiting if not name.startswith(START) and name <= task.key]
        for name in names:
            try:
                await self._invoice(record, name)
            except _PutOffError as put_off:
                async with self._door.tenant_tx(task.tenant_id) as connection:
                    await tasks.later(connection, task, put_off.until)
                return

    async def _invoice(self, record: TenantRecord, name: str) -> None:
        """Issue an invoice, or leave its draft to an operator; whoever comes second finds it."""

        async def act(scene: Scene) -> Done:
            return await self._issue(scene, record, name)

        content = actions.content_of(ActionKind.INVOICE_ISSUE, {"invoice": name})
        try:
            await given(
                self._door, self._catalogue, self._show, ActionKind.INVOICE_ISSUE, record.key,
                f"{ISSUES}{name}", content, act, now=self._now, ours=True,
            )  # fmt: skip
        except _DoneError:
            await self._draft_or_end(record, name)

    async def _issue(self, scene: Scene, record: TenantRecord, name: str) -> Done:
        connection, now = scene.connection, scene.now
        if scene.state.below is None:
            raise _PutOffError(now + IMPORTING)
        drawing = await Drawing.of(connection, self._catalogue, record, scene.terms, now)
        drawn = await self._drawn(drawing, name)
        if drawn is None or drawing.profile.issue is Issue.REVIEW:
            raise _DoneError
        await scene.lots(now)
        changes = book(scene.terms, scene.terms, scene.state, {}, now)
        await tasks.drop(connection, record.tenant_id, tasks.INVOICE, name)
        kept = await drawn.keep(connection, record.tenant_id, now)
        issued = await issuing.issue(
            connection, changes, kept, drawn.invoice, issuer=drawing.issuer,
            profile=drawing.profile, now=now,
        )  # fmt: skip
        return Done(
            changes=changes,
            body=issuing.body_of(issued, series=drawing.issuer.invoices),
            about=(issuing.row_of(issued),),
            after=issuing.words_of(issued),
        )

    async def _draft_or_end(self, record: TenantRecord, name: str) -> None:
        """Keep the draft that an operator is to look at, and end the task; there may be none."""
        now = self._now()
        async with self._door.tenant_tx(record.tenant_id) as connection:
            await load.lock(connection, [record.tenant_id], wait=True)
            (own,) = await terms.by_ids(connection, self._catalogue, [record.tenant_id])
            own = own.at(now)
            drawing = await Drawing.of(connection, self._catalogue, record, own, now)
            drawn = await self._drawn(drawing, name)
            if drawn is not None and drawing.profile.issue is not Issue.REVIEW:
                return  # what was agreed was changed just now: the task comes again
            await tasks.drop(connection, record.tenant_id, tasks.INVOICE, name)
            if drawn is None:
                return
            kept = await drawn.keep(connection, record.tenant_id, now)
            await trace(
                connection, own.tenant_id, "invoiceCreate", f"tnt/{own.tenant_id}",
                issuing.row_of(kept), at=now,
                after={"total": text(kept.invoice.total), "currency": kept.invoice.currency},
            )  # fmt: skip

    async def _drawn(self, drawing: Drawing, name: str) -> Drawn | None:
        """What a task's invoice says; None: it is there, or there is nothing to say."""
        if name.startswith(START):
            return await drawing.of_start(name.removeprefix(START))
        label = month_of_name(name)
        if await invoices.of_period(drawing.connection, drawing.own.tenant_id, label) is not None:
            return None
        return await drawing.of_period(label)

    async def _record(self, task: Task) -> TenantRecord:
        return (await find_by_ids(self._door, [task.tenant_id]))[task.tenant_id]
