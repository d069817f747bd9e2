"""The log: structlog in front of the standard library's, one line an event, who and which request.

Owns what no line of it has: credentials never, and people's addresses only as digests, which are
the same for the same contact and tell it to nobody without the installation's secret. At the level
`debug` contacts are shown, for whoever looks for one message.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from persistence.audit import actor_known

HIDDEN = "(hidden)"
PURPOSE = "contacts in logs"
DIGEST_BYTES = 6

# Every repetition below ends soon or begins once: what is searched may be somebody's megabyte.

#: Keys of ours and what is sent as one, tokens of people, passwords in URLs, links that let in.
CREDENTIALS = re.compile(
    r"kuota_[a-z2-7]{8}_[\w-]{8,}"
    r"|(?<=earer )\s*[^\s'\",)]+"
    r"|(?<![\w-])eyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?"
    r"|(?<=://)[^\s/@]{1,80}:[^\s/@]{1,200}(?=@)"
    r"|(?<=/v1/downloads/)[\w.-]+"
    r"|(?<=[?&]code=)[\w-]+"
)

#: What a database says of the values of a row: anything may be among them.
VALUES = re.compile(r"(DETAIL: +|query argument \$\d+[^:\n]{0,80}: ).*")

#: A phone as people write it, or digits alone; a mail address.
CONTACTS = re.compile(
    r"\+\d[\d ().-]{5,18}\d"
    r"|(?<![\w+-])(?<!\d[.:])\d{8,20}(?!\w|[.:]\d)"
    r"|[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"
)


#: Loggers of what asks other servers.
CLIENTS = ("httpx2", "httpcore2")


class Veil:
    """What hides in a text what the log has not."""

    __slots__ = ("_key", "_plain", "_secrets")

    def __init__(self) -> None:
        self._key = b""
        self._plain = False
        self._secrets: tuple[str, ...] = ()

    def set(self, key: bytes, *, plain: bool, secrets: Iterable[str]) -> None:
        """Digests are made with `key`; `plain` shows contacts; `secrets` are hidden as they are."""
        self._key = key
        self._plain = plain
        self._secrets = tuple(secrets)

    def over(self, text: str) -> str:
        """A text as it may be logged."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        text = CREDENTIALS.sub(HIDDEN, text)
        if self._plain:
            return text
        return CONTACTS.sub(self._digest, VALUES.sub(rf"\1{HIDDEN}", text))

    def _digest(self, found: re.Match[str]) -> str:
        return self.contact(found[0])

    def contact(self, address: str) -> str:
        """What a line has instead of a contact, whichever way it is written."""
        if "@" not in address:
            address = re.sub(r"\D", "", address)
        spelt = address.lower().encode("utf-8", "replace")
        made = hashlib.blake2b(spelt, key=self._key, digest_size=DIGEST_BYTES)
        return f"contact:{made.hexdigest()}"


#: Of this process: loggers keep their processors from their first use on.
veil = Veil()


def configure(key: bytes = b"", *, plain: bool = False, secrets: Iterable[str | None] = ()) -> None:
    """Send structlog's events to standard logging as `event key=value`, tracebacks after them.

    `key` is the one for digests of contacts, `plain` shows contacts as they are.
    """
    veil.set(key, plain=plain, secrets=[secret for secret in secrets if secret])
    # They write whole URLs, and headers with keys of others.
    for name in CLIENTS:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            _who,
            structlog.processors.format_exc_info,
            _veiled,
            structlog.processors.KeyValueRenderer(key_order=["event"], drop_missing=True),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


@dataclass(slots=True)
class Asking:
    """A request on its way, and who sent it once that is known."""

    request_id: str
    actor: str | None = None


_asking: ContextVar[Asking | None] = ContextVar("asking", default=None)


@contextmanager
def of_request(request_id: str) -> Iterator[None]:
    """Lines that are written while the body runs are of this request."""
    token = _asking.set(Asking(request_id))
    try:
        yield
    finally:
        _asking.reset(token)


def asked_by(name: str) -> None:
    """Lines of the present request have who sent it from now on."""
    asking = _asking.get()
    if asking is not None:
        asking.actor = name


def _who(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Add who acts or asks, and by which request."""
    asking, actor = _asking.get(), actor_known()
    ids = (actor and actor.request_id, asking and asking.request_id)
    names = (actor and actor.name, asking and asking.actor)
    for name, found in (("request_id", ids), ("actor", names)):
        if known := found[0] or found[1]:
            event.setdefault(name, known)
    return event


def _veiled(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {name: _shown(value) for name, value in event.items()}


def _shown(value: Any) -> Any:
    """Numbers as they are: no contact is one."""
    if isinstance(value, str):
        return veil.over(value)
    return value if isinstance(value, int | float | None) else veil.over(repr(value))


class Formatter(logging.Formatter):
    """Lines of other people's loggers, with the same things hidden."""

    def format(self, record: logging.LogRecord) -> str:
        """A record as a line; ours went through the processors, where numbers are still such."""
        line = super().format(record)
        return line if record.name.startswith("kuota.") else veil.over(line)


class Seldom:
    """Lets through once a second what would otherwise be said for every request."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next = 0.0

    def due(self) -> bool:
        """Whether to say it now."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + 1.0
        return True
