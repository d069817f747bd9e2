"""Say what a tenant is charged by, or that it is no longer, once per idempotency key."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from api.limits import NAME_LENGTH_MAX, PAYMENT_TOKEN_LENGTH_MAX
from api.operations.acting import Done, Scene, given
from api.operations.checks import checked_text, find_tenant
from api.paying.tokens import Tokens
from api.rights import Principal
from domain.changing import book
from domain.problems import Problem
from persistence import actions, payment_methods
from persistence.actions import Action, ActionKind
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.payment_methods import PaymentMethod
from persistence.show import Show

SCOPE = "billing:write"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentMethodSet:
    tenant: str  #: its key
    provider: str | None  #: who knows the token; None: there is none any more
    token: str | None = field(repr=False)
    label: str | None  #: what people call it
    idempotency_key: str


async def run(
    door: Door,
    catalogue: Catalogue,
    show: Show,
    principal: Principal,
    request: PaymentMethodSet,
    tokens: Tokens,
    providers: Collection[str],
    *,
    now: int,
) -> Action:
    """Set it, or give what the same key set before; `providers` are those that are set up here."""
    principal.require(SCOPE)
    await find_tenant(door, principal, request.tenant)
    label = _check(request, providers)
    # Nothing that is kept of the request says the token.
    asked = {
        "tenant": request.tenant,
        "provider": request.provider,
        "token": None if request.token is None else tokens.digest(request.token),
        "label": label,
    }
    kind = ActionKind.PAYMENT_METHOD_SET
    content = actions.content_of(kind, asked)

    async def act(scene: Scene) -> Done:
        return await _set(scene, request, label, tokens)

    return await given(
        door, catalogue, show, kind, request.tenant, request.idempotency_key, content, act, now=now
    )


async def _set(scene: Scene, request: PaymentMethodSet, label: str | None, tokens: Tokens) -> Done:
    own, connection = scene.terms, scene.connection
    before = await payment_methods.find(connection, own.tenant_id)
    after = None
    if request.provider is None or request.token is None or label is None:
        await payment_methods.remove(connection, own.tenant_id)
    else:
        sealed = tokens.seal(own.tenant_id, request.token)
        after = PaymentMethod(
            tenant_id=own.tenant_id, provider=request.provider, token=sealed, label=label,
            created_at=scene.now,
        )  # fmt: skip
        await payment_methods.put(connection, after)
    await scene.lots(scene.now)
    return Done(
        changes=book(own, own, scene.state, {}, scene.now),
        body=_told(after),
        before=_told(before),
        after=_told(after),
    )


def _told(method: PaymentMethod | None) -> dict[str, str | None]:
    """A method in the words of the audit: never its token."""
    if method is None:
        return {"provider": None, "label": None}
    return {"provider": method.provider, "label": method.label}


def _check(request: PaymentMethodSet, providers: Collection[str]) -> str | None:
    """The label of a method that may be set; None: it is to be removed."""
    if request.token is None:
        for name, value in (("provider", request.provider), ("label", request.label)):
            if value is not None:
                message = f"{name} has no token: write one, or leave {name} out to remove it"
                raise Problem("INVALID", message, "token")
        return None
    if request.provider not in providers:
        known = ", ".join(sorted(providers)) or "none is"
        message = f"provider is one that is set up here: {known}"
        raise Problem("UNKNOWN_PROVIDER", message, "provider")
    if not 0 < len(request.token) <= PAYMENT_TOKEN_LENGTH_MAX or not (
        request.token.isascii() and request.token.isprintable()
    ):
        message = f"token has 1 to {PAYMENT_TOKEN_LENGTH_MAX} printable ASCII characters"
        raise Problem("INVALID", message, "token")
    return checked_text(request.label or "", "label", NAME_LENGTH_MAX)
