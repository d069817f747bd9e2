"""Which pages of browsers may ask, and read what is answered.

Owns the origins that are ours or allowed, and the headers that tell browsers so. A credential is a
header that a page has to know, never a cookie that a browser adds: so nothing here lets anybody
in, and no answer says Allow-Credentials.

Pages with widgets are strangers' until their token is seen, and a preflight carries none. So one
for `/graphql` is answered for any origin: it only lets the browser send the request itself. That
is refused before it is read unless its origin is ours, allowed, or its token's own.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers

from api.origins import spelt
from api.settings import Settings

PREFLIGHT_SECONDS = 600
PORTS = {"http": ":80", "https": ":443"}

#: What pages may send beside what every page may.
REQUEST_HEADERS = "authorization, content-type, x-request-id"
#: What pages may read beside what every page may.
EXPOSED = "x-request-id, ratelimit, ratelimit-policy, retry-after"

Header = tuple[bytes, bytes]


class Cors:
    """The rules of one installation."""

    def __init__(self, settings: Settings) -> None:
        self._origins = origins_of(settings)

    def covers(self, path: str) -> bool:
        """Whether pages of others are answered there at all."""
        return path.startswith(("/graphql", "/v1/"))

    def preflight(self, path: str, headers: Headers) -> list[Header] | None:
        """The answer to a preflight; None: this page may not ask there."""
        origin = headers.get("origin", "")
        if not (path.startswith("/graphql") or self._allows(origin)):
            return None
        return [
            *_of_origin(origin),
            (b"access-control-allow-methods", b"GET, POST"),
            (b"access-control-allow-headers", REQUEST_HEADERS.encode()),
            (b"access-control-max-age", str(PREFLIGHT_SECONDS).encode()),
        ]

    def readable(self, origin: str | None, widget: bool) -> list[Header]:
        """What lets a page read an answer; `widget`: its token was found to be of this origin."""
        if origin is None or not (widget or self._allows(origin)):
            return []
        return [*_of_origin(origin), (b"access-control-expose-headers", EXPOSED.encode())]

    def _allows(self, origin: str) -> bool:
        return spelt(origin) in self._origins


def is_preflight(headers: Headers) -> bool:
    """Whether with these of an OPTIONS a browser asks what a page may ask."""
    return "origin" in headers and "access-control-request-method" in headers


def is_welcome(headers: Headers, origins: frozenset[str]) -> bool:
    """Whether the page that asks may: no page at all, one of ours, or one allowed."""
    origin = headers.get("origin")
    if origin is None:
        return True
    written = spelt(origin)
    if written is None:
        return False
    if written in origins:
        return True
    scheme, _, place = written.partition("://")
    return place == headers.get("host", "").lower().removesuffix(PORTS[scheme])


def origins_of(settings: Settings) -> frozenset[str]:
    """The origins that are allowed beside the host's own."""
    origins = list(settings.allowed_origins)
    if settings.public_url is not None:
        parts = urlsplit(settings.public_url)
        origins.append(f"{parts.scheme}://{parts.netloc}")
    return frozenset(written for origin in origins if (written := spelt(origin)) is not None)


def _of_origin(origin: str) -> list[Header]:
    return [(b"access-control-allow-origin", origin.encode("latin-1", "replace"))]
