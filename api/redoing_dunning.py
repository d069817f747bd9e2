"""Dunning of an exported log done once more: policies as they were set, steps as they were done.

Owns what becomes of those two actions. An invoice is found by its number: the log has no other name
of it that means anything here. What then holds follows from the invoices as they stand here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.operations import dunning_set
from domain.dunning import parse_dunning
from persistence import dunning, invoices

if TYPE_CHECKING:
    from api.redoing import Redoing, Redone


async def set_policy(redoing: Redoing) -> Redone:
    """It holds from its place in the log on."""
    kept = redoing.body["dunning"]
    await dunning_set.set_policy(redoing.scene, None if kept is None else parse_dunning(kept))
    return await redoing.dated()


async def step(redoing: Redoing) -> Redone:
    """What was done is not done again; its alert is one of the log's own."""
    scene, body = redoing.scene, redoing.body
    connection, tenant_id = scene.connection, scene.terms.tenant_id
    found = await invoices.by_numbers(connection, tenant_id, [body["invoice"]])
    if not found:
        raise LookupError(f"{redoing.line.key}: there is no invoice {body['invoice']}")
    await dunning.keep_steps(connection, tenant_id, found[0].invoice_id, body["steps"], scene.now)
    await dunning.lift(connection, tenant_id, scene.now)
    return await redoing.dated()
