"""Scheduling: from when on a tenant's periods are closed by themselves.

Owns which period is the first. What closing one does, and that another follows, is `closing`'s.
"""

from __future__ import annotations

from typing import Final

from domain.periods import HOUR, Zone, month_name
from domain.terms import Terms
from persistence import closed_usage, load, tasks
from persistence.connection import Connection

#: What comes late by no more than this is still of its period.
GRACE: Final = 72 * HOUR


async def schedule(connection: Connection, own: Terms, first_month: int, now: int) -> int:
    """Have a locked tenant's periods closed from a month on, or the first that is not closed.

    Gives the label of that month; a month that is scheduled already stays as it is.
    """
    closed_until = (await load.heads(connection, [own.tenant_id]))[own.tenant_id]["closed_until"]
    month = first_month
    if closed_until is not None:
        still_open = own.zone.month(closed_until)
        before = await closed_usage.find(connection, own.tenant_id, still_open - 1)
        # Who was invoiced until then goes on there: no month between is left out.
        month = still_open if before is not None else max(first_month, still_open)
    await tasks.add(
        connection, own.tenant_id, tasks.CLOSE, month_name(month), max(due_at(own.zone, month), now)
    )
    return month


async def follow(connection: Connection, tenant_id: int, zone: Zone, month: int, now: int) -> None:
    """Have a period invoiced and the next one closed, in the commit that closed it.

    Nothing of a tenant that is not invoiced, or where another period is to be closed next.
    """
    if await closed_usage.next_period(connection, tenant_id) == month_name(month):
        await tasks.drop(connection, tenant_id, tasks.CLOSE, month_name(month))
        due = max(due_at(zone, month + 1), now)
        await tasks.add(connection, tenant_id, tasks.CLOSE, month_name(month + 1), due)
        await tasks.add(connection, tenant_id, tasks.INVOICE, month_name(month), now)


def due_at(zone: Zone, month: int) -> int:
    """When a period is closed: some days after its end."""
    return zone.month_bounds(month)[1] + GRACE
