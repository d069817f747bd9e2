"""Mail: alerts as letters to mailboxes, each alert in one letter, each letter sent once.

Owns when a letter is written, tried again and given up. The first delivery that is due takes along
whatever waits for the same mailbox: what quiet hours held back is one letter. It is written and
kept before it is sent, so that a second try sends the same under the same Message-ID: a crash
between the server's word and our commit may send it twice, nothing else does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import parseaddr
from typing import Final
from urllib.parse import urlsplit

import structlog

from api import ids
from api.reaching import letters as writing
from api.reaching import notices
from api.reaching.smtp import LaterError, RefusedError, Server, UnsentError, send
from domain.periods import HOUR, MINUTE
from persistence import deliveries, letters, mailboxes, tasks
from persistence.catalogue import Catalogue
from persistence.connection import Connection
from persistence.deliveries import Delivery, State, Try
from persistence.door import Door
from persistence.mailboxes import Mailbox
from persistence.tasks import Task
from persistence.tenants import TenantRecord

#: How long after each try that failed the next one is; behind the last it is given up.
WAITS: Final = (MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 6 * HOUR, 24 * HOUR)

#: Alerts of one letter: more than anybody reads, and where nothing was sent for long, the oldest.
ALERTS_MAX: Final = 50

PREFIX: Final = "mbx"

log = structlog.get_logger("kuota.mail")


def writer_of(public_url: str, sender: str | None) -> tuple[str, str]:
    """Who writes: the name of our side, and the sender of letters, said or made of that."""
    host = urlsplit(public_url).hostname or "localhost"
    domain = "localhost" if ":" in host else host
    return domain, sender or f"Kuota <kuota@{domain}>"


class LostError(Exception):
    """Somebody else has the task since: what was about to be noted is theirs to note."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A letter that is to be sent."""

    tenant: TenantRecord
    mailbox: Mailbox
    text: bytes
    together: Sequence[Delivery]  #: what goes with it
    leader: Delivery  #: by which it is named
    due_at: Callable[[int], int]  #: when it may go that is due at an instant


class Mail:
    """What sends letters, in one process."""

    def __init__(
        self,
        door: Door,
        catalogue: Catalogue,
        now: Callable[[], int],
        server: Server,
        *,
        public_url: str = "",
        sender: str | None = None,
    ) -> None:
        """`public_url`: empty where this installation does not know its own.

        `sender` is who writes, as `Kuota <billing@kuota.example>`.
        """
        self._door = door
        self._catalogue = catalogue
        self._now = now
        self._server = server
        self._public_url = public_url
        self._domain, self._sender = writer_of(public_url, sender)

    async def handle(self, task: Task) -> None:
        """Send the letter of the delivery that a task names, if it is one that is to be sent."""
        async with self._door.tenant_tx(task.tenant_id) as connection:
            ready = await self._ready(connection, task)
        if ready is None:
            return
        unsent: UnsentError | None = None
        began, state = time.monotonic(), State.DELIVERED
        _, sender = parseaddr(self._sender)
        try:
            await send(self._server, self._domain, sender, ready.mailbox.email, ready.text)
        except RefusedError as error:
            state, unsent = State.FAILED, error
        except LaterError as error:
            state, unsent = State.PENDING, error
        took = int((time.monotonic() - began) * 1_000)
        try:
            async with self._door.tenant_tx(task.tenant_id) as connection:
                await self._note(connection, task, ready, state, unsent, took)
        except LostError:
            log.warning("a letter took longer than its lease", tenant=task.tenant_id, key=task.key)

    async def _ready(self, connection: Connection, task: Task) -> Ready | None:
        """The letter that is to be sent now; None: there is none, and the task knows."""
        now, tenant_id = self._now(), task.tenant_id
        delivery = await deliveries.find(connection, tenant_id, int(task.key))
        if delivery is None or delivery.state is not State.PENDING:
            await tasks.done(connection, task)
            return None
        # Whoever writes to the same mailbox waits here, and then sees what was taken along.
        mailbox = await mailboxes.find(connection, tenant_id, delivery.target_id, lock=True)
        letter_id = await letters.of_delivery(connection, delivery)
        written = letter_id == delivery.delivery_id
        if written:
            together = await letters.bound(connection, delivery)
        else:
            # A notice is a letter of its own.
            most = 1 if delivery.kind in notices.KINDS else ALERTS_MAX
            together = await letters.waiting(connection, delivery, most)
        leader = next((d for d in together if d.delivery_id == delivery.delivery_id), None)
        if leader is None:
            await tasks.done(connection, task)  # it went, or goes, with another's letter
            return None
        numbers = [ids.decode("alt", each.event) for each in together]
        items = await letters.items(connection, tenant_id, [n for n in numbers if n is not None])
        if mailbox is None or not (items or leader.kind in notices.KINDS):
            for each in together if written else [leader]:
                await deliveries.stop(connection, each, now)
            await tasks.done(connection, task)
            return None
        tenant = await letters.tenant_of(connection, tenant_id)
        kinds = {item.alert.kind for item in items}

        def due_at(at: int) -> int:
            return mailbox.goes_at(tenant.zone, kinds, at)

        if (later := due_at(now)) > now:
            await deliveries.put_off(connection, leader, later)
            await tasks.later(connection, task, later)
            return None
        text = leader.body
        if not written:
            text = self._written(tenant, mailbox, leader, items, now)
            await letters.bind(connection, leader, together, text)
        return Ready(
            tenant=tenant, mailbox=mailbox, text=text, together=together, leader=leader,
            due_at=due_at,
        )  # fmt: skip

    def _written(
        self,
        tenant: TenantRecord,
        mailbox: Mailbox,
        leader: Delivery,
        items: Sequence[letters.Item],
        now: int,
    ) -> bytes:
        desk = writing.Desk(catalogue=self._catalogue, now=now, public_url=self._public_url)
        if leader.kind in notices.KINDS:
            letter = notices.compose(tenant, mailbox, leader)
        else:
            letter = writing.compose(desk, tenant, mailbox, items)
        return writing.message(
            letter,
            sender=self._sender,
            recipient=mailbox.email,
            message_id=self.message_id(leader),
            at=now,
            locale=mailbox.locale,
        ).as_bytes()

    def message_id(self, delivery: Delivery) -> str:
        """The name of the letter that a delivery names: no two have the same."""
        mailbox = ids.encode(PREFIX, delivery.target_id)
        return f"<{delivery.event}.{mailbox}@{self._domain}>"

    async def _note(
        self,
        connection: Connection,
        task: Task,
        ready: Ready,
        state: State,
        unsent: UnsentError | None,
        took: int,
    ) -> None:
        """Note what a try came to; raises LostError where it is not ours to note any more."""
        now, tenant_id, mailbox = self._now(), task.tenant_id, ready.mailbox
        next_at = None
        if state is State.PENDING:
            tried = ready.leader.tried
            if tried < len(WAITS):
                next_at = ready.due_at(now + WAITS[tried])
            else:
                state = State.FAILED
        why = ""
        if unsent is None:
            await mailboxes.sent(connection, tenant_id, mailbox.mailbox_id, now)
        else:
            why = unsent.told
            await mailboxes.unsent(connection, tenant_id, mailbox.mailbox_id, why)
            name = ids.encode(PREFIX, mailbox.mailbox_id)
            event = "a letter waits" if next_at is not None else "a letter is given up"
            log.warning(event, tenant=ready.tenant.key, mailbox=name, why=str(unsent))
        found = Try(at=now, ms=took, status=None, why=why, answer="")
        for each in ready.together:
            await deliveries.tried(
                connection, each, found, state, address=mailbox.email, due_at=next_at
            )
        if next_at is None:
            ours = await tasks.done(connection, task)
        else:
            ours = await tasks.later(connection, task, next_at)
        if not ours:
            raise LostError
