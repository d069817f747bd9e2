"""Zones as they stand in the rows of tenants and numbers: `[[null, "Asia/Jakarta"], ...]`.

Owns that text, and the statements that exchange one for another. When a change takes effect, and
what a zone of several parts means, is the domain's to say.
"""

from __future__ import annotations

import json
from functools import lru_cache

from domain.periods import Zone, iso, zones
from persistence.connection import Connection


@lru_cache(maxsize=4096)
def read_zone(text: str) -> Zone:
    """The zone that a row has; the same one for the same text."""
    return zones(tuple((since, name) for since, name in json.loads(text)))


def write_zone(zone: Zone) -> str:
    """A zone as the database writes it."""
    return json.dumps(zone.changes)


def told(zone: Zone) -> dict[str, object]:
    """A zone as the audit tells it: which one holds, and from when on which others."""
    (_, name), *later = zone.changes
    return {
        "timezone": name,
        "then": [{"from": iso(since or 0), "timezone": other} for since, other in later],
    }


# Lanes that know the tenant's terms read them again: `settings` says that they changed.
OF_TENANT = """
with head as (update tenant_head set settings = settings + 1 where tenant_id = $1)
update tenants set zones = $2::text::jsonb where tenant_id = $1"""

OF_NUMBER = """
with head as (update tenant_head set settings = settings + 1 where tenant_id = $1)
update numbers set zones = $2::text::jsonb where tenant_id = $1 and number_id = $3"""


async def rezone_tenant(connection: Connection, tenant_id: int, zone: Zone) -> None:
    """Put a locked tenant on another zone."""
    await connection.execute(OF_TENANT, tenant_id, write_zone(zone))


async def rezone_number(connection: Connection, tenant_id: int, number_id: int, zone: Zone) -> None:
    """Put a number of a locked tenant on another zone."""
    await connection.execute(OF_NUMBER, tenant_id, write_zone(zone), number_id)
