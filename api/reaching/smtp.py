"""SMTP: one letter handed to the server of mail, and what that came to.

Owns how the server is named and reached, and which of its answers are for good. A letter that it
took is its own from then on; nothing here knows what stands in one.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from aiosmtplib import SMTP

#: Seconds for one answer, and for a letter as a whole: shorter than a task's lease.
ANSWER_SECONDS: Final = 20.0
LETTER_SECONDS: Final = 60.0
LEAVE_SECONDS: Final = 5.0

#: Characters of what is told of a server's answer.
ANSWER_LENGTH_MAX: Final = 200

PORTS: Final = {"smtp": 587, "smtps": 465}
#: From here on an answer is for good (RFC 5321).
FOR_GOOD: Final = 500
UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\x9f\ud800-\udfff]+")


#: What a tenant is told where the server is away or does not let us in: how is nobody's but its
#: keeper's.
AWAY: Final = "the server of mail could not be reached"


class UnsentError(Exception):
    """A letter was not taken: why, for the log, and in `told` for whoever it was for.

    Both are one line without secrets.
    """

    def __init__(self, why: str, told: str | None = None) -> None:
        super().__init__(why)
        self.told = why if told is None else told


class LaterError(UnsentError):
    """It was not taken just now: the same letter may be tried again."""


class RefusedError(UnsentError):
    """It will not be taken: the server says so of the address, or of the letter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server of mail, as `KUOTA_SMTP_URL` names it."""

    host: str
    port: int
    user: str | None
    password: str | None = field(repr=False)
    tls: bool  #: from the first byte on
    insecure: bool  #: it need not show who it is, nor hide what is said

    @classmethod
    def of(cls, url: str) -> Server:
        """The server of `smtp://user:password@host:587` or `smtps://`; ValueError without secrets.

        `?insecure` at the end asks for no encryption beyond this machine.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ValueError("is no URL of a server of mail") from None
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        if parts.scheme not in PORTS or not host or parts.path not in ("", "/"):
            raise ValueError("wants a server, like smtp://user:password@mail.example:587")
        if options not in ({}, {"insecure": ""}):
            raise ValueError("knows one option behind the server: ?insecure")
        user, password = parts.username or None, parts.password
        if (user is None) != (password is None):
            raise ValueError("wants a user and a password, or neither")
        return cls(
            host=host,
            port=port or PORTS[parts.scheme],
            user=None if user is None else unquote(user),
            password=None if password is None else unquote(password),
            tls=parts.scheme == "smtps",
            insecure=bool(options) or is_near(host),
        )


def is_near(host: str) -> bool:
    """Whether a host is this machine, whose wires nobody else hears."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def send(server: Server, domain: str, sender: str, recipient: str, letter: bytes) -> None:
    """Hand a letter over; `domain` is who we say we are. RefusedError, else LaterError."""
    from aiosmtplib import SMTPDataError, SMTPRecipientsRefused

    async with _session(server, domain) as session:
        try:
            await session.sendmail(sender, [recipient], letter)
        except SMTPRecipientsRefused as error:
            code, words = error.recipients[0].code, error.recipients[0].message
        except SMTPDataError as error:
            code, words = error.code, error.message
        else:
            return
        # What it says of us or of our sender is for its keeper to mend, and no address's fault.
        raise (RefusedError if code >= FOR_GOOD else LaterError)(told(server, f"{code} {words}"))


async def greet(server: Server, domain: str) -> None:
    """Reach the server and show who we are; LaterError says what is wrong."""
    async with _session(server, domain):
        pass


@asynccontextmanager
async def _session(server: Server, domain: str) -> AsyncIterator[SMTP]:
    """A session with the server, for one letter."""
    # Imported here: who sends no letters spares it.
    from aiosmtplib import SMTP, SMTPException, SMTPResponseException

    session = SMTP(
        hostname=server.host,
        port=server.port,
        username=server.user,
        password=server.password,
        local_hostname=domain,
        timeout=ANSWER_SECONDS,
        use_tls=server.tls,
        # None: where the server offers it.
        start_tls=False if server.tls else None if server.insecure else True,
        validate_certs=not server.insecure,
    )
    try:
        async with asyncio.timeout(LETTER_SECONDS):
            await session.connect()
            yield session
    except (SMTPException, OSError, TimeoutError) as error:
        why = str(error) or type(error).__name__
        if isinstance(error, SMTPResponseException):
            why = f"{error.code} {error.message}"
        raise LaterError(told(server, why), AWAY) from None
    else:
        # It has answered: how it takes its leave changes nothing.
        with suppress(SMTPException, OSError, TimeoutError):
            await session.quit(timeout=LEAVE_SECONDS)
    finally:
        session.close()


def told(server: Server, words: str) -> str:
    """What went wrong in one line, without the password."""
    if server.password:
        words = words.replace(server.password, "***")
    return UNPRINTABLE.sub(" ", words).strip()[:ANSWER_LENGTH_MAX]
