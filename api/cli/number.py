"""`number create`; what a number must be is the operation's to say."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from api.cli.operating import OPERATOR, operate
from api.cli.options import AsJson, Data
from api.cli.terminal import result, settings
from api.operations.number_create import NumberCreate, run
from api.settings import Clock
from domain.facts import CHANNEL_NAMES
from persistence.door import Door
from persistence.tenants import NumberRecord


def create(
    tenant: Annotated[str, Parameter(help="The key of its tenant.")],
    channel: Annotated[str, Parameter(help="Such as whatsapp, sms or email.")],
    address: Annotated[str, Parameter(help="What it sends from, such as +628001234567.")],
    /,
    *,
    timezone: Annotated[str | None, Parameter(help="An IANA zone; default: the tenant's.")] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Register a number of a tenant."""
    given = settings()
    request = NumberCreate(tenant=tenant, channel=channel, address=address, timezone=timezone)

    now = Clock.starting(given.clock).now()

    async def act(door: Door) -> NumberRecord:
        return await run(door, OPERATOR, request, now=now)

    number = operate(given, data, act)
    shown = {
        "tenant": tenant,
        "channel": CHANNEL_NAMES[number.channel],
        "address": number.address,
        "timezone": number.zone.name_at(now),
    }
    text = f"number {number.address}: {shown['channel']} of {tenant}, {shown['timezone']}"
    result(text, shown, as_json=as_json)
