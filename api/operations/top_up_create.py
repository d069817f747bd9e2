"""Top up a balance: an operator adds a lot by hand, once per idempotency key (BA-4, BA-7)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from domain.lots import LotSource
from domain.problems import Problem
from domain.state import Changes, State
from domain.terms import Terms
from domain.top_ups import carried_until, top_up
from persistence import actions, load, record, terms
from persistence.actions import Action, ActionKind
from persistence.catalogue import Catalogue
from persistence.connection import Connection
from persistence.door import Door
from persistence.show import Show
from persistence.tenants import find_by_keys

KEY_LENGTH_MAX = 255
NOTE_LENGTH_MAX = 1_000
AMOUNT_MAX = 10**17  # a hundred billion units: far from what a bigint holds
SOURCES = {"TOP_UP": LotSource.TOP_UP, "PROMOTION": LotSource.PROMOTION}


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUpCreate:
    tenant: str  #: its key
    balance: str  #: its key
    amount: int  #: micros of the balance's unit
    source: str = "TOP_UP"  #: or PROMOTION
    starts_at: int | None = None  #: None: now; an operator may date it back
    expires_at: int | None = None  #: None: by the balance's carry-over policy
    note: str = ""
    idempotency_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUp:
    id: int
    tenant_id: int
    lot_id: int
    balance: str
    amount: int
    source: str
    starts_at: int
    expires_at: int | None
    created_at: int
    version: int  #: of the tenant, with this top-up in it


async def run(
    door: Door, catalogue: Catalogue, show: Show, request: TopUpCreate, *, now: int
) -> TopUp:
    """Add the lot, or give the one that the same key added before."""
    _check(request, now)
    tenant = (await find_by_keys(door, [request.tenant])).get(request.tenant)
    if tenant is None:
        raise Problem("NOT_FOUND", f"there is no tenant {request.tenant[:64]!r}", "tenant")
    content = actions.content_of(
        ActionKind.TOP_UP, {k: v for k, v in asdict(request).items() if k != "idempotency_key"}
    )
    async with door.tenant_tx(tenant.tenant_id) as connection:
        heads = await load.lock(connection, [tenant.tenant_id], wait=True)
        before = await actions.find(connection, tenant.tenant_id, request.idempotency_key)
        if before is not None:
            return _again(before, content)
        (own,) = await terms.by_ids(connection, catalogue, [tenant.tenant_id])
        state = load.state_of(heads[tenant.tenant_id])
        made, changes = await _add(connection, own, request, content, state=state, now=now)
    show.commits([changes], now)
    return made


async def _add(
    connection: Connection,
    own: Terms,
    request: TopUpCreate,
    content: bytes,
    *,
    state: State,
    now: int,
) -> tuple[TopUp, Changes]:
    balance_id = own.balance_ids.get(request.balance)
    if balance_id is None:
        known = ", ".join(own.balance_ids)
        raise Problem("NOT_FOUND", f"the tenant has no such balance; it has {known}", "balance")
    starts_at = now if request.starts_at is None else request.starts_at
    ends_at = request.expires_at
    if ends_at is None:
        ends_at = carried_until(own, own.balances[balance_id].carry, starts_at)
    await load.lots(
        connection, {own.tenant_id: state}, {own.tenant_id: own}, min(starts_at, now), now
    )
    lot, changes = top_up(
        own, state, balance_id, request.amount, SOURCES[request.source], starts_at, ends_at, now
    )
    await record.record(connection, [changes], now)
    result: dict[str, Any] = {
        "tenant_id": own.tenant_id,
        "lot_id": lot.lot_id,
        "balance": request.balance,
        "amount": request.amount,
        "source": request.source,
        "starts_at": starts_at,
        "expires_at": ends_at,
        "version": state.version,
    }
    action_id = await actions.add(
        connection,
        own.tenant_id,
        request.idempotency_key,
        ActionKind.TOP_UP,
        content,
        at=now,
        version=state.version,
        body={**result, "note": request.note},
    )
    return TopUp(id=action_id, created_at=now, **result), changes


def _again(before: Action, content: bytes) -> TopUp:
    if before.content != content:
        raise Problem(
            "IDEMPOTENCY_KEY_REUSED",
            "this key came before with another request; use a new key for a new top-up",
            "idempotencyKey",
        )
    result = {name: value for name, value in before.body.items() if name != "note"}
    return TopUp(id=before.action_id, created_at=before.at, **result)


def _check(request: TopUpCreate, now: int) -> None:
    if not 0 < request.amount <= AMOUNT_MAX:
        raise Problem("INVALID", "amount is more than 0 and at most 100,000,000,000", "amount")
    if request.source not in SOURCES:
        raise Problem("INVALID", f"source is one of {', '.join(SOURCES)}", "source")
    if not 0 < len(request.idempotency_key) <= KEY_LENGTH_MAX:
        raise Problem(
            "INVALID", f"idempotencyKey has 1 to {KEY_LENGTH_MAX} characters", "idempotencyKey"
        )
    if not request.idempotency_key.isprintable():
        raise Problem("INVALID", "idempotencyKey has printable characters", "idempotencyKey")
    if len(request.note) > NOTE_LENGTH_MAX or "\0" in request.note:
        raise Problem("INVALID", f"note has at most {NOTE_LENGTH_MAX} characters", "note")
    if request.starts_at is not None and request.starts_at < 0:
        raise Problem("INVALID", "startsAt is 1970 or later", "startsAt")
    starts_at = now if request.starts_at is None else request.starts_at
    if request.expires_at is not None and request.expires_at <= starts_at:
        raise Problem("INVALID", "expiresAt is after startsAt", "expiresAt")
