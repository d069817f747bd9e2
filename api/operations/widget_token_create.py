"""Make a token for a widget on somebody's page: short-lived, of one tenant, for listed queries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from api.auth import Authenticator, new_secret
from api.limits import (
    WIDGET_DOCUMENTS_MAX,
    WIDGET_ORIGINS_MAX,
    WIDGET_SECONDS,
    WIDGET_SECONDS_MAX,
)
from api.operations.api_key_create import NewKey, checked_scopes
from api.operations.checks import find_tenant
from api.origins import spelt
from api.rights import WIDGET_SCOPES, Principal
from api.stored import Stored
from domain.periods import SECOND
from domain.problems import Problem
from persistence.credentials import KeyRecord, create_widget
from persistence.door import Door


@dataclass(frozen=True, slots=True, kw_only=True)
class WidgetTokenCreate:
    """What is asked for."""

    tenant: str  #: its key
    documents: tuple[str, ...]  #: ids of stored documents
    origins: tuple[str, ...]
    scopes: tuple[str, ...] | None  #: None: all that a widget may have of the creator's
    expires_in: int | None  #: seconds; None: the usual


async def run(
    door: Door,
    authenticator: Authenticator,
    stored: Stored,
    principal: Principal,
    request: WidgetTokenCreate,
    *,
    now: int,
) -> NewKey:
    """The new token: it reads, less than its creator may, and ends before its creator does."""
    principal.require("keys:write")
    tenant = await find_tenant(door, principal, request.tenant)
    scopes = scopes_of(request.scopes, principal)
    documents = documents_of(request.documents, stored)
    origins = origins_of(request.origins)
    seconds = WIDGET_SECONDS if request.expires_in is None else request.expires_in
    if not 0 < seconds <= WIDGET_SECONDS_MAX:
        words = f"a widget's token lives 1 to {WIDGET_SECONDS_MAX} seconds"
        raise Problem("INVALID", words, "expiresIn")
    expires_at = now + seconds * SECOND
    if principal.expires_at is not None:
        expires_at = min(expires_at, principal.expires_at)
    secret = new_secret()
    name = f"widget on {origins[0]}"
    key_id = await create_widget(
        door, tenant.tenant_id, name=name, prefix=secret.prefix, digest=secret.digest,
        scopes=scopes, origins=origins, documents=documents, made_by=principal.key_id,
        expires_at=expires_at, now=now,
    )  # fmt: skip
    authenticator.expect(origins)
    key = KeyRecord(
        key_id, tenant.tenant_id, tenant.key, name, secret.prefix, secret.digest, scopes, now,
        expires_at, None, None, origins, documents,
    )  # fmt: skip
    return NewKey(key=key, secret=secret.text)


def scopes_of(names: Iterable[str] | None, principal: Principal) -> tuple[str, ...]:
    """What the widget may read: nothing but what its creator may."""
    if names is None:
        names = WIDGET_SCOPES & principal.scopes
    scopes = checked_scopes(names)
    if wider := [scope for scope in scopes if scope not in WIDGET_SCOPES]:
        words = f"a widget only reads ({', '.join(sorted(WIDGET_SCOPES))}): leave out {wider[0]}"
        raise Problem("SCOPE_TOO_WIDE", words, "scopes")
    if wider := [scope for scope in scopes if not principal.may(scope)]:
        raise Problem("SCOPE_TOO_WIDE", f"you do not have {', '.join(wider)} yourself", "scopes")
    return scopes


def documents_of(ids: Iterable[str], stored: Stored) -> tuple[str, ...]:
    """Stored documents that change nothing, each once."""
    wanted = tuple(dict.fromkeys(ids))
    if not 0 < len(wanted) <= WIDGET_DOCUMENTS_MAX:
        words = f"list 1 to {WIDGET_DOCUMENTS_MAX} stored documents"
        raise Problem("INVALID", words, "documents")
    for id in wanted:
        if id not in stored:
            words = f"there is no stored document {id[:90]!r}: add it to those of KUOTA_DOCUMENTS"
            raise Problem("UNKNOWN_DOCUMENT", words, "documents")
        if id in stored.changing:
            raise Problem("DOCUMENT_CHANGES", f"{id} has a mutation; a widget reads", "documents")
    return wanted


def origins_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Exact origins, as browsers send them, each once."""
    found: dict[str, None] = {}
    for text in texts:
        origin = spelt(text.strip())
        if origin is None:
            words = f"{text[:100]!r} is no origin: write it like https://shop.example"
            raise Problem("INVALID_ORIGIN", words, "origins")
        found[origin] = None
    if not 0 < len(found) <= WIDGET_ORIGINS_MAX:
        raise Problem("INVALID", f"name 1 to {WIDGET_ORIGINS_MAX} origins", "origins")
    return tuple(found)
