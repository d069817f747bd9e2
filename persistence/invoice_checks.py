"""Whether invoices say what the actions that issued them say, and closed periods what books say.

Owns one statement, for `verify`: an action's digest proves what it says, so an invoice that says
the same was not changed (IN-4). Changes nothing.
"""

from __future__ import annotations

from typing import Final

from persistence.connection import Connection

# Each document stands whole in the body of the action that issued it.
CHANGED: Final = """
select number from invoices
where tenant_id = $1 and number is not null and body not in (
    select said from actions a
    cross join lateral (values
        (a.body -> 'invoice'), (a.body -> 'note'), (a.body -> 'issued' -> 'invoice'),
        (a.body -> 'credit_note' -> 'invoice')
    ) of (said)
    where a.tenant_id = $1 and said is not null
)
order by invoice_id"""


async def changed(connection: Connection, tenant_id: int) -> list[str]:
    """The numbers of issued documents that say what no action says."""
    return [row["number"] for row in await connection.fetch(CHANGED, tenant_id)]


PERIODS: Final = "select period from closed_usage where tenant_id = $1 order by period"


async def closed(connection: Connection, tenant_id: int) -> list[int]:
    """The labels of periods that were closed and invoiced."""
    return [row["period"] for row in await connection.fetch(PERIODS, tenant_id)]
