"""Checks that the operations on webhook endpoints share, and how the audit tells of one.

Owns what an endpoint may be: how its URL reads, which kinds of alerts it takes. Where its name
leads is looked at whenever something is sent there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from api import ids
from api.operations.acting import TEXT_LENGTH_MAX
from api.operations.checks import UNPRINTABLE
from api.reaching.destinations import DestinationError, read
from api.rights import Principal
from domain.problems import Problem
from domain.watch import AlertKind
from persistence.connection import Connection
from persistence.webhooks import PREFIX, Endpoint, find

SCOPES = ("billing:read", "billing:write")


def require(principal: Principal) -> None:
    """Who changes endpoints sees them as well."""
    for scope in SCOPES:
        principal.require(scope)


def checked_url(url: str, *, loopback: bool) -> str:
    """A URL that something may be sent to, as far as its words say."""
    try:
        return str(read(url.strip(), loopback=loopback).url)
    except DestinationError as error:
        raise Problem("INVALID_URL", str(error), "url") from None


def checked_description(text: str) -> str:
    text = text.strip()
    if len(text) > TEXT_LENGTH_MAX or UNPRINTABLE.search(text):
        words = f"description has at most {TEXT_LENGTH_MAX} printable characters"
        raise Problem("INVALID_TEXT", words, "description")
    return text


def kinds_of(kinds: Iterable[AlertKind] | None) -> tuple[AlertKind, ...]:
    """Kinds of alerts, each once, in the order of their numbers; empty: all."""
    return tuple(sorted(set(kinds or ())))


async def locked(connection: Connection, tenant_id: int, spelt: str) -> Endpoint:
    """An endpoint of the tenant by its id, which nobody else changes meanwhile."""
    number = ids.decode(PREFIX, spelt)
    found = None
    if number is not None:
        found = await find(connection, tenant_id, number, lock=True)
    if found is None:
        raise Problem("NOT_FOUND", f"the tenant has no endpoint {spelt[:64]!r}", "id")
    return found


def subject(endpoint: Endpoint) -> str:
    return f"{PREFIX}/{endpoint.endpoint_id}"


def told(endpoint: Endpoint) -> dict[str, Any]:
    """An endpoint in the words of the audit; what stands behind a `?` may be a secret."""
    return {
        "url": endpoint.url.partition("?")[0],
        "description": endpoint.description,
        "kinds": [kind.name for kind in endpoint.kinds],
        "enabled": endpoint.disabled_at is None,
    }
