"""Signed links: one object, for five minutes, for whoever holds the link.

Owns the spelling of a link and when it is taken. A link is a credential of its own: it names all
that it gives, and its signature covers that. What is behind one is `downloads`' to say.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import msgspec

from api import ids
from api.faults import Fault
from api.limits import LINK_LENGTH_MAX, LINK_SECONDS
from api.signing import Signing
from domain.periods import SECOND

ROUTE = "/v1/downloads"
PURPOSE = "downloads"

ALTERED = "this link is not one of ours: ask for a new one"
ENDED = "this link has ended: ask for a new one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a link gives."""

    object: str  #: its kind, such as audit
    tenant_id: int | None  #: None: of all tenants
    since: int  #: inclusive
    until: int  #: exclusive
    format: str
    name: str  #: of the file
    expires_at: int  #: exclusive
    of: str = ""  #: which one of the tenant's, where there are many


def expiry(now: int) -> int:
    """When a link that is made now ends."""
    return now + LINK_SECONDS * SECOND


def path_of(signing: Signing, link: Link) -> str:
    """The path of a link, on this server."""
    tenant = None if link.tenant_id is None else ids.encode("tnt", link.tenant_id)
    says = [
        link.object, tenant, link.since, link.until, link.format, link.name, link.expires_at,
        link.of,
    ]  # fmt: skip
    body = base64.urlsafe_b64encode(msgspec.json.encode(says)).rstrip(b"=").decode()
    return f"{ROUTE}/{body}.{signing.sign(PURPOSE, body)}"


def read(signing: Signing, text: str, now: int) -> Link:
    """The link that a path ends with; FORBIDDEN where it is not ours, GONE where it has ended."""
    body, _, signature = text.partition(".")
    if len(text) > LINK_LENGTH_MAX or not signing.is_right(PURPOSE, body, signature):
        raise Fault("FORBIDDEN", ALTERED)
    try:
        says = msgspec.json.decode(base64.b64decode(body + "=" * (-len(body) % 4), b"-_"))
        kind, tenant, since, until, form, name, expires_at, of = says
    except (ValueError, binascii.Error):
        raise Fault("FORBIDDEN", ALTERED) from None
    if expires_at <= now:
        raise Fault("GONE", ENDED)
    return Link(
        object=kind, tenant_id=None if tenant is None else ids.decode("tnt", tenant),
        since=since, until=until, format=form, name=name, expires_at=expires_at, of=of,
    )  # fmt: skip
