"""Buy a top-up: a purchase with its first payment, once per idempotency key (BA-6, BA-7, IN-6).

Owns who may buy what, and whither a payer is sent back. What it costs is `domain.offers`' to say,
the collecting `api.paying.collecting`'s.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from api.operations.acting import AMOUNT_MAX, Done, Scene, once
from api.operations.checks import find_tenant
from api.origins import spelt
from api.rights import Principal
from domain.changing import book
from domain.money import text
from domain.offers import quote
from domain.plans import BalancePlan
from domain.problems import Problem
from persistence import purchases
from persistence.actions import ActionKind
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.purchases import Purchase, PurchaseKind
from persistence.show import Show
from persistence.tenants import TenantRecord

SCOPE = "billing:write"
URL_LENGTH_MAX = 2_000
#: Names of this machine, as a browser on it writes them.
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseCreate:
    tenant: str  #: its key
    balance: str  #: its key
    amount: int  #: micros of the balance's unit
    return_url: str | None = None  #: where the payer goes on; None: nowhere
    idempotency_key: str


async def run(
    door: Door,
    catalogue: Catalogue,
    show: Show,
    principal: Principal,
    request: PurchaseCreate,
    origins: Collection[str],
    *,
    payable: bool,
    now: int,
) -> tuple[TenantRecord, Purchase]:
    """The purchase, or the one that the same key made before, as it stands now.

    `origins` are those a payer may be sent back to; `payable` says whether anybody collects.
    """
    principal.require(SCOPE)
    tenant = await find_tenant(door, principal, request.tenant)
    _check(request, origins)

    async def act(scene: Scene) -> Done:
        if not payable:
            raise Problem("NO_PROVIDER", "no provider of payments is set up here: ask for a top-up")
        return await _begin(scene, principal, request)

    action = await once(door, catalogue, show, ActionKind.PURCHASE, request, act, now=now)
    found = await found_again(door, tenant.tenant_id, action.body.get("purchase_id"))
    return tenant, found


async def found_again(door: Door, tenant_id: int, number: int | None) -> Purchase:
    """A purchase as it stands now."""
    found = None
    if number is not None:
        async with door.tenant_tx(tenant_id) as connection:
            found = await purchases.find(connection, tenant_id, number)
    if found is None:
        message = "this purchase was made in another database, where it stays: use a new key"
        raise Problem("NOT_FOUND", message, "idempotencyKey")
    return found


async def _begin(scene: Scene, principal: Principal, request: PurchaseCreate) -> Done:
    own, now = scene.terms, scene.now
    balance_id = scene.balance(request.balance)
    balance = own.balances[balance_id]
    if not principal.is_operator:
        _check_sold(scene, balance)
    day = own.zone.date(now)
    priced = quote(own.plan, balance, request.amount, own.tax_country, day, own.taxes)
    body = {"by": principal.name, "return_url": request.return_url}
    number = await purchases.begin(
        scene.connection, own, PurchaseKind.BOUGHT, balance_id, priced, request.idempotency_key,
        now=now, body=body,
    )  # fmt: skip
    await scene.lots(now)
    return Done(
        changes=book(own, own, scene.state, {}, now),
        body={"purchase_id": number, "balance": request.balance, "amount": request.amount},
        about=(f"pur/{number}",),
        after={
            "balance": request.balance,
            "amount": text(request.amount),
            "net": text(priced.net),
            "tax": text(priced.tax),
            "total": text(priced.total),
            "currency": priced.currency,
        },
    )


def _check_sold(scene: Scene, balance: BalancePlan) -> None:
    """A tenant buys what its plan in force sells, and nothing else (AL-6)."""
    plan = scene.terms.plan
    whom = f"ask {plan.support}" if plan.support else "ask whoever gave you this account"
    if balance.top_up is None or balance.key not in {each.key for each in plan.balances}:
        raise Problem("NOT_SOLD", f"{plan.key} does not sell {balance.key}: {whom}", "balance")
    if not plan.self_service:
        message = f"tenants of {plan.key} do not top up themselves: {whom}"
        raise Problem("NOT_SELF_SERVICE", message, "balance")


def _check(request: PurchaseCreate, origins: Collection[str]) -> None:
    if not 0 < request.amount <= AMOUNT_MAX:
        raise Problem("INVALID", "amount is more than 0 and at most 100,000,000,000", "amount")
    if request.return_url is not None:
        check_return(request.return_url, origins)


def check_return(url: str, origins: Collection[str]) -> None:
    """Refuse to send a payer to pages nobody has named: a link of ours must not lead anywhere.

    `origins` are those that are named; where there are none, only pages of this machine are taken.
    """
    field = "returnUrl"
    # What browsers read in another way than we do is no address.
    if not url.isascii() or not url.isprintable() or set(url) & set(' \\"<>'):
        raise Problem("INVALID", "returnUrl is no address: write https://...", field)
    if len(url) > URL_LENGTH_MAX:
        raise Problem("INVALID", f"returnUrl has at most {URL_LENGTH_MAX} characters", field)
    try:
        parts = urlsplit(url)
        origin = spelt(f"{parts.scheme}://{parts.netloc}")
        near = parts.hostname in LOOPBACK
    except ValueError:
        origin, near = None, False
    if origin is None or not (parts.scheme == "https" or near):
        message = "returnUrl is an https:// address, without a name and password"
        raise Problem("INVALID", message, field)
    if origin in origins or (near and not origins):
        return
    known = ", ".join(sorted(origins)) or "none is named"
    message = (
        f"payers are not sent to {origin[:200]}: it is no origin of KUOTA_ALLOWED_ORIGINS or "
        f"KUOTA_PUBLIC_URL ({known})"
    )
    raise Problem("ORIGIN_NOT_ALLOWED", message, field)


def welcome(public_url: str, allowed: Collection[str]) -> frozenset[str]:
    """The origins that are named, as browsers write them."""
    named = [*allowed]
    if public_url:
        parts = urlsplit(public_url)
        named.append(f"{parts.scheme}://{parts.netloc}")
    return frozenset(origin for each in named if (origin := spelt(each)) is not None)
