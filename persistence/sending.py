"""What a tenant itself says about sending, and whether it is served, as its row has them.

Owns how both stand in `tenants`, and that a change of either is one of the tenant's settings: every
process reads its terms again. What is said means what `domain.sending` says.
"""

from __future__ import annotations

import msgspec

from domain.sending import UNSAID, OwnSending, parse_sending, written
from persistence.connection import Connection

NOTHING = "{}"


def read_own(text: str) -> OwnSending:
    """What is said, from the row; SendingError where somebody else wrote it there."""
    return UNSAID if text == NOTHING else parse_sending(msgspec.json.decode(text))


def write_own(own: OwnSending) -> str:
    """What is said, as the row has it."""
    return msgspec.json.encode(written(own)).decode()


# A look behind the lock: what was said while it was waited for is seen.
SAID = "select sending::text as sending, status from tenants where tenant_id = $1"

SAY = """
with head as (update tenant_head set settings = settings + 1 where tenant_id = $1)
update tenants set sending = $2::text::jsonb where tenant_id = $1"""

SET_STATUS = """
with head as (update tenant_head set settings = settings + 1 where tenant_id = $1)
update tenants set status = $2 where tenant_id = $1"""


async def said(connection: Connection, tenant_id: int) -> tuple[OwnSending, str]:
    """What a locked tenant says, and its status."""
    row = await connection.fetchrow(SAID, tenant_id)
    assert row is not None, "a tenant that is locked is there"
    return read_own(row["sending"]), row["status"]


async def say(connection: Connection, tenant_id: int, own: OwnSending) -> None:
    """Keep what a locked tenant says from now on."""
    await connection.execute(SAY, tenant_id, write_own(own))


async def set_status(connection: Connection, tenant_id: int, status: str) -> None:
    """Serve a locked tenant, or do not."""
    await connection.execute(SET_STATUS, tenant_id, status)
