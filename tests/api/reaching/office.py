"""A post office of the tests: a real server of mail on this machine, and alerts on their way.

Owns the server's moods and the process that sends, beside a world whose clock is set. Checks
nothing itself.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from itertools import count
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from api.operations import mailbox_set
from api.operations.mailbox_set import MailboxSet
from api.reaching.fan_out import FanOut
from api.reaching.mail import Mail
from api.reaching.smtp import Server
from api.tasks import Tasks
from persistence import mailboxes, tasks
from persistence.mailboxes import Mailbox
from tests.api.paying.till import Till
from tests.domain.spine import UNIT
from tests.scenarios.world import OPERATOR, World

NIGHTS = {"quiet_from": "22:00", "quiet_until": "07:00"}
PUBLIC_URL = "https://kuota.example"

names = count(1)


@dataclass(slots=True)
class Office:
    """A server of mail: what it took, and what it says next instead of that it takes something."""

    port: int = 0
    letters: list[bytes] = field(default_factory=list)
    to: list[list[str]] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)  #: every command's kind, as it came
    refuses: dict[str, str] = field(default_factory=dict)  #: by address, what RCPT is answered
    answers: list[str] = field(default_factory=list)  #: what the next letters are answered
    dies: bool = False  #: takes the next letter, and is gone before it says so
    taken: Callable[[], None] = lambda: None  #: told of each letter before it is answered
    users: dict[bytes, bytes] = field(default_factory=dict)
    secured: list[bool] = field(default_factory=list)  #: of each letter, whether TLS hid it

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, _: list[str]
    ) -> str:
        self.seen.append("RCPT")
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        self.seen.append("DATA")
        if self.answers:
            return self.answers.pop(0)
        assert isinstance(envelope.content, bytes)
        self.letters.append(envelope.content)
        self.to.append(list(envelope.rcpt_tos))
        self.secured.append(session.ssl is not None)
        self.taken()
        if self.dies:
            self.dies = False
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return "250 taken"

    def check(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: Any
    ) -> AuthResult:
        """Whether somebody is who it says."""
        self.seen.append("AUTH")
        known = self.users.get(given.login) == given.password
        return AuthResult(success=known, handled=False)

    @classmethod
    @asynccontextmanager
    async def open(cls, tls: ssl.SSLContext | None = None) -> AsyncIterator[Office]:
        """An office that listens; with `tls` it offers STARTTLS."""
        office = cls()

        def protocol() -> SMTP:
            return SMTP(
                office, hostname="office", tls_context=tls, loop=asyncio.get_running_loop(),
                authenticator=office.check, auth_require_tls=False,
            )  # fmt: skip

        server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
        office.port = server.sockets[0].getsockname()[1]
        try:
            yield office
        finally:
            server.close()

    @property
    def read(self) -> list[EmailMessage]:
        """The letters, as a mail program reads them."""
        return [message_from_bytes(letter, policy=default) for letter in self.letters]

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"


@dataclass(slots=True)
class Post:
    """What sends mail in one process of a world, and what refills its balances."""

    world: World
    office: Office
    till: Till
    mail: Mail

    @classmethod
    def of(cls, world: World, office: Office, url: str | None = None) -> Post:
        now = world.clock.now
        fan_out = FanOut(world.door, world.catalogue, now)
        mail = Mail(
            world.door, world.catalogue, now, Server.of(url or office.url), public_url=PUBLIC_URL,
            sender="Kuota <billing@kuota.example>",
        )  # fmt: skip
        handlers = {tasks.NOTIFY: fan_out.handle, tasks.MAIL: mail.handle}
        return cls(world, office, Till.of(world, handlers), mail)

    @property
    def tasks(self) -> Tasks:
        return self.till.tasks

    async def quiet(self) -> None:
        """Do what is due until nothing is."""
        await self.till.quiet()

    async def mailbox(self, tenant: str, email: str = "ana@shop.example", **more: Any) -> Mailbox:
        request = MailboxSet(tenant=tenant, email=email, **({"locale": "en"} | more))
        return await mailbox_set.run(self.world.door, OPERATOR, request, now=self.world.clock.now())

    async def mailboxes(self, tenant: str) -> list[Mailbox]:
        """A tenant's mailboxes as they are, oldest first."""
        tenant_id = self.world.tenants[tenant].tenant_id
        (found,) = await mailboxes.of_tenants(self.world.door, [tenant_id])
        return found

    async def use(self, tenant: str, units: int, balance: str = "visitors") -> None:
        """Take units of a balance away by hand, in one movement; fewer than none gives some."""
        await self.world.adjust(tenant, balance, -units * UNIT, key=f"use-{next(names)}")

    async def left(self, tenant: str) -> list[tuple[str, int]]:
        """What is still to be done for a tenant: kind and when, soonest first."""
        rows = await self.world.rows(
            tenant, "select kind, due_at from tasks where tenant_id = $1 order by due_at, key"
        )
        return [(row["kind"], row["due_at"]) for row in rows]

    async def states(self, tenant: str) -> list[int]:
        """Where its deliveries stand, in the order in which they began."""
        rows = await self.world.rows(
            tenant, "select state from deliveries where tenant_id = $1 order by delivery_id"
        )
        return [row["state"] for row in rows]


def plain(letter: EmailMessage) -> str:
    """The text of a letter, with ordinary blanks and ends of lines."""
    part = letter.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\u00a0", " ").replace("\r\n", "\n")


def rich(letter: EmailMessage) -> str:
    """Its HTML."""
    part = letter.get_body(("html",))
    assert part is not None
    return str(part.get_content())
