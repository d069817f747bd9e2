"""Settings: the environment read once, checked, and never printed with its secrets.

Owns the names, their forms and their defaults, and the clock one of them sets. What a setting does
belongs to who reads it.
"""

from __future__ import annotations

import difflib
import os
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parseaddr
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import msgspec

from api.reaching.smtp import Server
from api.secrecy import FILES, opened

PREFIX = "KUOTA_"
OPERATOR_KEY_CHARACTERS_MIN = 16
SECRET_CHARACTERS_MIN = 32
RATE_LIMIT_MAX = 10**9
DRAIN_SECONDS_MAX = 3_600  # an hour: whoever waits longer has forgotten that it ends
SECONDS_MAX = 86_400  # a day: whoever wants more wants no settling
PROVIDERS = ("sandbox", "midtrans", "none")
LOG_LEVELS = ("debug", "info", "warning", "error")
#: Read by the tests alone; no setting of the application, and no reason not to start.
OF_THE_TESTS = frozenset({"KUOTA_NODE_MODULES"})


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: Turns a variable's text into its value; a ValueError says what is wrong, after the name.
Reader: TypeAlias = Callable[[str], object]


class SettingsError(Exception):
    """A variable of the environment cannot be used; one line names it and says what would do."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the environment says; None where it says nothing."""

    database_url: str | None = None  #: the app's role
    database_owner_url: str | None = None  #: migrations and partitions; default: `database_url`
    redis_url: str | None = None
    operator_key: str | None = None
    secret: str | None = None  #: what signatures and seals are derived from
    documents: Path | None = None  #: the file of stored documents
    data: Path | None = None  #: where embedded servers keep their files
    public_url: str | None = None  #: without a slash at its end
    allowed_origins: tuple[str, ...] = ()
    log_level: str = "info"
    jwt_issuer: str | None = None  #: whose tokens of people are taken, as their `iss` says
    jwt_audience: str | None = None  #: what their `aud` says
    jwks_url: str | None = None  #: the issuer's keys; default: its configuration says where
    rate_limit: int | None = None  #: cost a minute of a key; 0: none; None: the default
    drain_seconds: int = 5  #: over how long watchers are let go when a process ends; 0: at once
    settle_seconds: int = 900  #: how long after a late fact its tenant is settled, at most
    payments: str | None = None  #: who collects what people buy; None: the sandbox, on loopback
    midtrans_server_key: str | None = None
    midtrans_url: str = "https://api.sandbox.midtrans.com"
    smtp_url: str | None = None  #: where letters go; None: they wait
    mail_from: str | None = None  #: who writes them
    clock: int | None = None  #: the instant the clock starts at, microseconds since 1970 UTC

    def __repr__(self) -> str:
        """The settings without secrets: keys hidden, passwords of URLs removed."""
        shown = {name: getattr(self, name) for name in self.__struct_fields__}
        for name in ("operator_key", "secret", "midtrans_server_key"):
            if shown[name] is not None:
                shown[name] = "(hidden)"
        for name in ("database_url", "database_owner_url", "redis_url", "smtp_url"):
            if shown[name] is not None:
                shown[name] = without_secrets(shown[name])
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @property
    def owner_url(self) -> str | None:
        """The URL migrations run with."""
        return self.database_owner_url or self.database_url


def without_secrets(url: str) -> str:
    """A URL as it may be shown: without password and without query values named like one."""
    shown = re.sub(r"(?<=://)([^@/:]*):[^@/]*@", r"\1:***@", url)
    return re.sub(r"(?i)([?&](?:\w*password|passfile|sslpassword|\w*key)=)[^&]*", r"\1***", shown)


def from_environment(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of `environ` (default: the process's), or SettingsError.

    A `KUOTA_` name nobody knows stops the start, so that a misspelt one is not silently ignored.
    An empty value is the same as none. A secret may stand in a file that `KUOTA_..._FILE` names.
    """
    environ = os.environ if environ is None else environ
    known = {PREFIX + name.upper(): name for name in Settings.__struct_fields__}
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in {*known, *FILES, *OF_THE_TESTS}:
            near = difflib.get_close_matches(name, [*known, *FILES], 1, 0.0)[0]
            raise SettingsError(f"{name} is no setting of kuota; the nearest is {near}")
    try:
        environ = opened(environ)
    except ValueError as fault:
        raise SettingsError(str(fault)) from None
    found: dict[str, object] = {}
    for variable, name in known.items():
        if text := environ.get(variable, "").strip():
            try:
                found[name] = READERS[name](text)
            except ValueError as fault:
                raise SettingsError(f"{variable} {fault}") from None
    check_issuer(found)
    if found.get("payments") == "midtrans" and "midtrans_server_key" not in found:
        raise SettingsError(
            "KUOTA_PAYMENTS is midtrans, which wants KUOTA_MIDTRANS_SERVER_KEY beside it"
        )
    return Settings(**found)  # type: ignore[arg-type]  # each reader gives its field's type


def check_issuer(found: Mapping[str, object]) -> None:
    """A token that is taken says for whom it was made, and by whom: SettingsError otherwise."""
    issuer = found.get("jwt_issuer")
    if issuer is not None and found.get("jwt_audience") is None:
        raise SettingsError(
            "KUOTA_JWT_ISSUER wants KUOTA_JWT_AUDIENCE beside it: what its tokens have as `aud`"
        )
    for name in ("jwt_audience", "jwks_url"):
        if issuer is None and found.get(name) is not None:
            raise SettingsError(f"{PREFIX}{name.upper()} is of no use without KUOTA_JWT_ISSUER")
    if issuer is not None and issuer == found.get("public_url"):
        raise SettingsError("KUOTA_JWT_ISSUER is KUOTA_PUBLIC_URL, whose tokens kuota makes itself")


def data_folder(settings: Settings, environ: Mapping[str, str] | None = None) -> Path:
    """Where embedded servers keep their files when the command line does not say.

    As root a folder of the system, because the account the servers then run as cannot reach a home.
    """
    environ = os.environ if environ is None else environ
    if settings.data is not None:
        return settings.data
    if os.geteuid() == 0:
        return Path("/var/lib/kuota")
    home = environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "kuota"


def instant_of(text: str) -> int:
    """An instant written with its offset, in microseconds since 1970 UTC; else a ValueError."""
    wish = "it wants an instant with its offset, like 2026-10-31T16:59:50Z"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"is {text!r}; {wish}") from None
    if moment.tzinfo is None:
        raise ValueError(f"is {text!r}, without an offset; {wish}")
    return (moment - EPOCH) // timedelta(microseconds=1)


class Clock:
    """The present, in microseconds since 1970 UTC; `offset` shifts it, in microseconds."""

    __slots__ = ("offset",)

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset

    @classmethod
    def starting(cls, instant: int | None) -> Clock:
        """A clock that shows `instant` now and runs on from there; None: the real time."""
        return cls() if instant is None else cls(instant - time.time_ns() // 1000)

    def now(self) -> int:
        """The instant it shows."""
        return time.time_ns() // 1000 + self.offset


def _url(*schemes: str) -> Reader:
    def read(text: str) -> str:
        if not text.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            # The value is not repeated: it may hold a password.
            raise ValueError(f"is no URL beginning with {' or '.join(f'{s}://' for s in schemes)}")
        return text

    return read


def _operator_key(text: str) -> str:
    if len(text) < OPERATOR_KEY_CHARACTERS_MIN:
        raise ValueError(f"is shorter than {OPERATOR_KEY_CHARACTERS_MIN} characters")
    return text


def _secret(text: str) -> str:
    if len(text) < SECRET_CHARACTERS_MIN:
        raise ValueError(f"is shorter than {SECRET_CHARACTERS_MIN} characters")
    return text


def _public_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"is {text!r}; it wants the outside address, like https://kuota.example")
    return text.rstrip("/")


def _issuer(text: str) -> str:
    parts = urlsplit(text)
    # Keys that come by an open road could be anybody's.
    near = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.netloc or not (parts.scheme == "https" or (parts.scheme == "http" and near)):
        raise ValueError("is no URL beginning with https:// (or http:// on this machine)")
    return text


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(origin.strip().rstrip("/") for origin in text.split(",") if origin.strip())
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path:
            raise ValueError(
                f"has {origin!r}; it wants origins like https://a.example,https://b.example"
            )
    return origins


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= SECONDS_MAX):
        raise ValueError(f"is {text!r}; it wants whole seconds, 1 to {SECONDS_MAX}")
    return int(text)


def _drain_seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= DRAIN_SECONDS_MAX):
        raise ValueError(
            f"is {text!r}; it wants whole seconds, 0 (all at once) to {DRAIN_SECONDS_MAX}"
        )
    return int(text)


def _rate_limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= RATE_LIMIT_MAX):
        raise ValueError(
            f"is {text!r}; it wants the cost a key may have in a minute, 0 (no limit) to"
            f" {RATE_LIMIT_MAX}"
        )
    return int(text)


def _log_level(text: str) -> str:
    if text.lower() not in LOG_LEVELS:
        raise ValueError(f"is {text!r}; it wants one of {', '.join(LOG_LEVELS)}")
    return text.lower()


def _smtp_url(text: str) -> str:
    Server.of(text)
    return text


def _payments(text: str) -> str:
    if text.lower() not in PROVIDERS:
        raise ValueError(f"is {text!r}; it wants one of {', '.join(PROVIDERS)}")
    return text.lower()


def _mail_from(text: str) -> str:
    _, address = parseaddr(text)
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", address) or not text.isprintable():
        raise ValueError(f"is {text!r}; it wants an address like Kuota <billing@kuota.example>")
    return text


READERS: Mapping[str, Reader] = {
    "database_url": _url("postgresql", "postgres"),
    "database_owner_url": _url("postgresql", "postgres"),
    "redis_url": _url("redis", "rediss", "unix"),
    "operator_key": _operator_key,
    "secret": _secret,
    "documents": lambda text: Path(text).expanduser(),
    "data": lambda text: Path(text).expanduser(),
    "public_url": _public_url,
    "allowed_origins": _origins,
    "jwt_issuer": _issuer,
    "jwt_audience": str,
    "jwks_url": _issuer,
    "log_level": _log_level,
    "rate_limit": _rate_limit,
    "drain_seconds": _drain_seconds,
    "settle_seconds": _seconds,
    "payments": _payments,
    "midtrans_server_key": str,
    "midtrans_url": _issuer,
    "smtp_url": _smtp_url,
    "mail_from": _mail_from,
    "clock": instant_of,
}
