"""What a tenant says of itself for its invoices, and whether it has some, as its row has them.

Owns how both stand in `tenants`. Whether it is invoiced is one of its settings: every process reads
its terms again. What is said means what `domain.billing_profiles` says.
"""

from __future__ import annotations

import msgspec

from domain.billing_profiles import UNSAID, Profile, parse_profile, written
from persistence.connection import Connection

NOTHING = "{}"


def read_billing(text: str) -> Profile:
    """What is said, from the row; ProfileError where somebody else wrote it there."""
    return UNSAID if text == NOTHING else parse_profile(msgspec.json.decode(text))


def write_billing(profile: Profile) -> str:
    """What is said, as the row has it."""
    return msgspec.json.encode(written(profile)).decode()


# A look behind the lock: what was said while it was waited for is seen.
SAID = "select billing::text as billing, invoicing from tenants where tenant_id = $1"

# Refills are taxed by the country it says, by whoever knows the tenant's terms.
SET_PROFILE = """
with head as (
    update tenant_head set settings = settings + 1
    where tenant_id = $1 and exists (
        select from tenants where tenant_id = $1
            and billing ->> 'country' is distinct from $2::text::jsonb ->> 'country'
    )
)
update tenants set billing = $2::text::jsonb where tenant_id = $1"""

SET_INVOICING = """
with changed as (
    update tenants set invoicing = $2 where tenant_id = $1 and invoicing <> $2 returning tenant_id
)
update tenant_head set settings = settings + 1
where tenant_id in (select tenant_id from changed)"""


async def said(connection: Connection, tenant_id: int) -> tuple[Profile, bool]:
    """What a locked tenant says of itself, and whether it is invoiced."""
    row = await connection.fetchrow(SAID, tenant_id)
    assert row is not None, "a tenant that is locked is there"
    return read_billing(row["billing"]), row["invoicing"]


async def set_profile(connection: Connection, tenant_id: int, profile: Profile) -> None:
    """Keep what a locked tenant says of itself from now on."""
    await connection.execute(SET_PROFILE, tenant_id, write_billing(profile))


async def set_invoicing(connection: Connection, tenant_id: int, invoicing: bool) -> bool:
    """Invoice a locked tenant, or do not; True where that is new."""
    told = await connection.execute(SET_INVOICING, tenant_id, invoicing)
    return told == "UPDATE 1"
