"""Register a number of a tenant: the address it sends from on one channel."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from api.addresses import normalise_number
from api.operations.checks import checked_zone, find_tenant
from api.rights import Principal
from domain.facts import CHANNELS, Channel
from domain.problems import Problem
from persistence.door import Door
from persistence.tenants import NumberRecord, create_number


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberCreate:
    """What is asked for."""

    tenant: str  #: its key
    channel: str
    address: str
    timezone: str | None  #: None takes the tenant's, as it is


async def run(door: Door, principal: Principal, request: NumberCreate, *, now: int) -> NumberRecord:
    """The new number, its address in the one spelling facts are looked up by."""
    tenant = await find_tenant(door, principal, request.tenant)
    channel = checked_channel(request.channel)
    try:
        address = normalise_number(channel, request.address)
    except ValueError as error:
        raise Problem("INVALID_ADDRESS", str(error), "address") from None
    return await create_number(
        door,
        tenant.tenant_id,
        channel=channel,
        address=address,
        timezone=checked_zone(request.timezone or tenant.zone.name_at(now)),
        now=now,
    )


def checked_channel(name: str) -> Channel:
    channel = CHANNELS.get(name)
    if channel is None:
        near = get_close_matches(name[:64], CHANNELS, 1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(CHANNELS)}"
        raise Problem("UNKNOWN_CHANNEL", f"there is no channel {name[:64]!r}: {hint}", "channel")
    return channel
