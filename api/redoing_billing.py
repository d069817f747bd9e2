"""What tenants said of themselves for their invoices, said once more from a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.billing_profiles import parse_profile
from persistence import billing

if TYPE_CHECKING:
    from api.redoing import Redoing, Redone


async def billing_set(redoing: Redoing) -> Redone:
    """Closing moves what it moved there; no period is closed by itself here until somebody says so.

    Whoever goes on invoicing there would do it twice: `billingSet` with `invoicing` begins it here.
    """
    scene, body = redoing.scene, redoing.body
    tenant_id = scene.terms.tenant_id
    await billing.set_profile(scene.connection, tenant_id, parse_profile(body["profile"]))
    await billing.set_invoicing(scene.connection, tenant_id, body["invoicing"])
    return await redoing.dated()
