"""Release a hold: what it set aside and nobody used is there again at once (OC-3).

Owns the end by hand. It is decided in PostgreSQL, under the tenant's lock and once; Valkey is told
behind it, and what it does not hear ends there by the hold's own time.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from redis.asyncio import Redis

from api.operations.checks import find_tenant
from api.rights import Principal
from domain.holds import Hold, Vector, read
from domain.problems import Problem
from domain.terms import Terms
from persistence import held, holds, load, terms
from persistence.audit import trace
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.valkey import AWAY
from persistence.valkey import run as run_scripts

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRelease:
    """What is asked for."""

    tenant: str  #: its key
    hold: str  #: its id


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What became of the hold."""

    terms: Terms
    hold: Hold
    released: bool  #: False: it had ended or expired before
    back: Vector  #: what is there again
    locale: str  #: the tenant's


async def run(
    door: Door, catalogue: Catalogue, valkey: Redis, principal: Principal, request: HoldRelease,
    *, now: int,
) -> Released:  # fmt: skip
    """Release what is left of a hold; a Problem where there is no such hold."""
    tenant = await find_tenant(door, principal, request.tenant)
    tenant_id = tenant.tenant_id
    async with door.tenant_tx(tenant_id) as connection:
        heads = await load.lock(connection, [tenant_id], wait=True)
        (own,) = await terms.by_ids(connection, catalogue, [tenant_id])
        hold = read(request.hold, own.hold_key)
        if hold is None:
            raise Problem("NOT_FOUND", "the tenant has no such hold: write its id as given", "hold")
        kept = await holds.find(connection, tenant_id, hold)
        back, sent = kept.open_()
        if now >= hold.expires_at:  # only what was sent lasts longer
            back = sent if now < hold.lasts_until else ()
        released = (now < hold.expires_at or bool(back)) and kept.release(now)
        if kept.changed:
            await holds.write(connection, [(tenant_id, heads[tenant_id]["version"], [kept])])
            await trace(
                connection, tenant_id, "holdRelease", f"hld/{hold.hold_id.hex()}", at=now,
                after={"released": released},
            )  # fmt: skip
    try:
        call = held.end_call(tenant_id, now, [held.of_kept(kept)])
        await run_scripts(valkey, [call])
    except AWAY as error:
        log.info("a release waits for Valkey", why=repr(error))
    return Released(terms=own, hold=hold, released=released, back=back if released else (),
                    locale=tenant.locale)  # fmt: skip
