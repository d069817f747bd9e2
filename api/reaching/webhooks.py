"""Webhooks: the task that sends one delivery to one endpoint, and what follows from the answer.

Owns how much is sent at once, so that an endpoint that never answers holds up nobody else, what
counts as taken, and when an endpoint is switched off. The effect and the end of the task are one
transaction; a crash before it sends the same once more, under the same id.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import structlog

from api import ids
from api.limits import (
    WEBHOOKS_AT_ONCE_MAX,
    WEBHOOKS_OF_ENDPOINT_MAX,
    WEBHOOKS_OF_TENANT_MAX,
)
from api.reaching import notices, schedule
from api.reaching.posting import Outcome, Poster
from api.reaching.signatures import SealError, Seals, signed
from domain.periods import SECOND
from persistence import deliveries, tasks, webhooks
from persistence.audit import Actor, ActorKind, acting_as, trace
from persistence.connection import Connection
from persistence.deliveries import Delivery, State, Try
from persistence.door import CONNECTION_LOST, Door
from persistence.tasks import Task
from persistence.webhooks import Endpoint, Reason

#: For how long a delivery waits whose endpoint has as many under way as it may, and its spread.
BUSY_WAIT, BUSY_SPREAD = 1 * SECOND, 8 * SECOND
BUSY_DOUBLINGS = 8

#: Seconds that what is under way may still take when the process ends.
STOP_SECONDS = 5.0

ACTOR = Actor(name="job webhook", kind=ActorKind.JOB)

log = structlog.get_logger("kuota.webhooks")


class Webhooks:
    """What sends, in one process."""

    def __init__(self, door: Door, seals: Seals, poster: Poster, now: Callable[[], int]) -> None:
        self._door = door
        self._seals = seals
        self._poster = poster
        self._now = now
        self._room = asyncio.Semaphore(WEBHOOKS_AT_ONCE_MAX)
        self._under_way: set[asyncio.Task[None]] = set()
        self._of_tenant: Counter[int] = Counter()
        self._of_endpoint: Counter[int] = Counter()

    async def handle(self, task: Task) -> None:
        """Begin to send one delivery, and let whoever has the next task go on meanwhile."""
        await self._room.acquire()
        found = None
        try:
            found = await self._look(task)
        finally:
            if found is None:
                self._room.release()
        if found is not None:
            delivery, endpoint = found
            job = asyncio.create_task(self._keep(task, delivery, endpoint), name="webhook")
            self._under_way.add(job)
            job.add_done_callback(lambda done: self._end(done, endpoint))

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        while self._under_way:
            await asyncio.gather(*self._under_way, return_exceptions=True)

    async def stop(self) -> None:
        """Let what is under way be answered, but not for long: it is sent again otherwise."""
        if self._under_way:
            _, running = await asyncio.wait(self._under_way, timeout=STOP_SECONDS)
            for job in running:
                job.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        await self._poster.close()

    async def _look(self, task: Task) -> tuple[Delivery, Endpoint] | None:
        """What is to be sent and where to, counted as under way; None: nothing is to be, now."""
        now, counted = self._now(), None
        try:
            async with self._door.tenant_tx(task.tenant_id) as connection:
                delivery = await deliveries.find(connection, task.tenant_id, int(task.key))
                if delivery is None or delivery.state is not State.PENDING:
                    await tasks.done(connection, task)
                    return None
                endpoint = await webhooks.find(connection, task.tenant_id, delivery.target_id)
                if endpoint is None or endpoint.disabled_at is not None:
                    if await tasks.done(connection, task):
                        await deliveries.stop(connection, delivery, now)
                    return None
                until = self._not_before(endpoint, delivery, now, task.tries)
                if until is not None:
                    if await tasks.later(connection, task, until):
                        await deliveries.put_off(connection, delivery, until)
                    return None
                # Nothing waited since it was looked at: whoever looks next counts this one.
                self._count(endpoint, 1)
                counted = endpoint
                return delivery, endpoint
        except BaseException:
            if counted is not None:
                self._count(counted, -1)
            raise

    def _end(self, job: asyncio.Task[None], endpoint: Endpoint) -> None:
        self._under_way.discard(job)
        self._room.release()
        self._count(endpoint, -1)

    def _count(self, endpoint: Endpoint, more: int) -> None:
        for counter, name in (
            (self._of_tenant, endpoint.tenant_id), (self._of_endpoint, endpoint.endpoint_id),
        ):  # fmt: skip
            counter[name] += more
            if not counter[name]:
                del counter[name]

    def _not_before(
        self, endpoint: Endpoint, delivery: Delivery, now: int, tries: int
    ) -> int | None:
        """When a delivery may be sent that may not be now: the endpoint rests, or has enough.

        Who waits behind many is looked at less and less, or looking would be all that is done.
        """
        name = f"{delivery.event}/{delivery.delivery_id}"
        if now < endpoint.rests_until:
            return endpoint.rests_until + schedule.spread(name, BUSY_SPREAD)
        busy = (
            self._of_endpoint[endpoint.endpoint_id] >= WEBHOOKS_OF_ENDPOINT_MAX
            or self._of_tenant[endpoint.tenant_id] >= WEBHOOKS_OF_TENANT_MAX
        )
        wait = BUSY_WAIT << min(tries, BUSY_DOUBLINGS)
        return now + wait + schedule.spread(name, BUSY_SPREAD) if busy else None

    async def _keep(self, task: Task, delivery: Delivery, endpoint: Endpoint) -> None:
        """Send, and keep what came of it; if that cannot be kept, it is sent again."""
        try:
            outcome = await self._send(delivery, endpoint)
            with suppress(_LeaseLostError):
                await self._apply(task, delivery, outcome)
        except CONNECTION_LOST as error:
            log.warning("what came of a webhook is not kept", key=task.key, why=repr(error))
        except Exception as error:
            log.error("a webhook failed", key=task.key, why=repr(error), exc_info=True)
            await self._put_off(task)

    async def _put_off(self, task: Task) -> None:
        """Leave a task alone for longer each time: what we cannot keep must not be sent on end."""
        due_at = self._now() + schedule.WAITS[min(task.tries, len(schedule.WAITS)) - 1]
        with suppress(*CONNECTION_LOST):
            async with self._door.tenant_tx(task.tenant_id) as connection:
                await tasks.later(connection, task, due_at)

    async def _send(self, delivery: Delivery, endpoint: Endpoint) -> Outcome:
        now = self._now()
        try:
            keys = [self._seals.open(endpoint.tenant_id, sealed) for sealed in endpoint.sealed(now)]
        except SealError:
            words = "its secret was sealed with another KUOTA_SECRET: make a new one"
            return Outcome(ms=0, why=words)
        headers = signed(delivery.event, delivery.body, keys, now)
        return await self._poster.post(endpoint.url, headers, delivery.body)

    async def _apply(self, task: Task, sent: Delivery, outcome: Outcome) -> None:
        """Keep what came of a try, and what follows for the delivery and its endpoint."""
        now, tenant_id = self._now(), task.tenant_id
        async with self._door.tenant_tx(tenant_id) as connection:
            endpoint = await webhooks.find(connection, tenant_id, sent.target_id, lock=True)
            delivery = await deliveries.find(connection, tenant_id, sent.delivery_id, lock=True)
            if delivery is None or delivery.state is not State.PENDING:
                await self._done(connection, task)
                return
            state, due_at = self._stands(delivery, endpoint, outcome, now)
            if due_at is None:
                await self._done(connection, task)
            elif not await tasks.later(connection, task, due_at):
                raise _LeaseLostError
            found = Try(
                at=now, ms=outcome.ms, status=outcome.status, why=outcome.why,
                answer=outcome.answer,
            )  # fmt: skip
            address = sent.address if endpoint is None else endpoint.url
            await deliveries.tried(
                connection, delivery, found, state, address=address, due_at=due_at
            )
            if endpoint is not None:
                await self._follow(connection, endpoint, outcome, now)

    @staticmethod
    async def _done(connection: Connection, task: Task) -> None:
        if not await tasks.done(connection, task):
            raise _LeaseLostError

    @staticmethod
    def _stands(
        delivery: Delivery, endpoint: Endpoint | None, outcome: Outcome, now: int
    ) -> tuple[State, int | None]:
        """Where a delivery stands after a try, and when it is tried again."""
        if outcome.is_taken:
            return State.DELIVERED, None
        if endpoint is None or endpoint.disabled_at is not None or outcome.status == GONE:
            return State.STOPPED, None
        name = f"{delivery.event}/{delivery.delivery_id}"
        due_at = schedule.next_try(name, delivery.tried + 1, now, outcome.retry_after)
        return (State.FAILED, None) if due_at is None else (State.PENDING, due_at)

    async def _follow(
        self, connection: Connection, endpoint: Endpoint, outcome: Outcome, now: int
    ) -> None:
        """Note how an endpoint fares; one that is gone, or fails for days, is switched off."""
        if endpoint.disabled_at is not None:
            return
        if outcome.is_taken:
            if endpoint.failing_since is not None:
                well = replace(endpoint, failing_since=None, failed_at=None, rests_until=0)
                await webhooks.keep(connection, well)
            return
        since = schedule.failing(endpoint.failing_since, endpoint.failed_at, now)
        rests_until = max(endpoint.rests_until, now + (outcome.retry_after or 0))
        after = replace(endpoint, failing_since=since, failed_at=now, rests_until=rests_until)
        reason = None
        if outcome.status == GONE:
            reason = Reason.GONE
        elif now - since >= schedule.FAILING_MAX:
            reason = Reason.FAILING
        if reason is not None:
            after = replace(after, disabled_at=now, disabled_reason=reason)
        await webhooks.keep(connection, after)
        if reason is not None:
            await switched_off(connection, after, now)
            log.warning(
                "a webhook endpoint is switched off", tenant=endpoint.tenant_id,
                endpoint=ids.encode(webhooks.PREFIX, endpoint.endpoint_id), why=reason.value,
            )  # fmt: skip


#: An endpoint that answers so wants nothing any more.
GONE = 410


class _LeaseLostError(Exception):
    """Somebody else has the task by now: what was done here must not be kept."""


async def switched_off(connection: Connection, endpoint: Endpoint, now: int) -> None:
    """Leave a trace of an endpoint that we switched off, and have mailboxes told of it."""
    tenant_id = endpoint.tenant_id
    assert endpoint.disabled_reason is not None
    reason = endpoint.disabled_reason.value
    with acting_as(ACTOR):
        await trace(
            connection, tenant_id, "webhookEndpointUpdate",
            f"{webhooks.PREFIX}/{endpoint.endpoint_id}", at=now,
            before={"enabled": True}, after={"enabled": False, "reason": reason},
        )  # fmt: skip
    await notices.of_switched_off(connection, endpoint, now)
