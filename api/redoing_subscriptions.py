"""Agreements on subscriptions of an exported log, done once more (EV-8).

Owns what becomes of their lines. They are kept as they were agreed, with the allowances that were
decided; no task is added: whoever goes on in this database closes and invoices by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from persistence import standing as stored
from persistence import subscriptions

if TYPE_CHECKING:
    from api.redoing import Redoing, Redone


async def subscription_create(redoing: Redoing) -> Redone:
    """Keep a subscription; from then on its tenant's periods are invoiced."""
    connection, tenant_id = redoing.scene.connection, redoing.scene.terms.tenant_id
    subscription, plan = subscriptions.read_first(redoing.body["subscription"])
    at = redoing.scene.now
    await subscriptions.insert(connection, tenant_id, subscription, plan=plan, at=at)
    await subscriptions.begin_invoicing(connection, tenant_id)
    return await _entitled(redoing)


async def subscription_change(redoing: Redoing) -> Redone:
    """Keep a change, or that the end was said: the alert itself is in the log."""
    connection, tenant_id = redoing.scene.connection, redoing.scene.terms.tenant_id
    body = redoing.body
    kept = await subscriptions.find(connection, tenant_id, body["subscription"])
    if kept is None:
        raise LookupError(f"{redoing.line.key}: there is no subscription {body['subscription']}")
    if "said_for" in body:
        await subscriptions.said(connection, kept, body["said_for"])
        return await redoing.dated()
    change, plan = subscriptions.read_change(body["change"])
    await subscriptions.add_change(connection, kept, change, plan=plan)
    return await _entitled(redoing)


async def _entitled(redoing: Redoing) -> Redone:
    """The plans that were decided hold from where they did; what they added was decided too."""
    scene = redoing.scene
    for each in redoing.body["plans"]:
        await stored.agree(scene.connection, scene.terms.tenant_id, each)
    return await redoing.dated()
