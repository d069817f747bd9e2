"""What a tenant's head knows of refills: what is on its way, what caps have counted.

Owns its spelling. What it means is `domain.refill_policy`'s to say.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from domain.refill_policy import Refilling

NOTHING = "[]"


def spelt(refilling: Mapping[int, Refilling]) -> str:
    """The refills of a tenant as its head has them."""
    if not refilling:
        return NOTHING
    rows = [[balance_id, *known] for balance_id, known in sorted(refilling.items())]
    return msgspec.json.encode(rows).decode()


def read(written: str) -> dict[int, Refilling]:
    """The refills that a head has."""
    if written == NOTHING:
        return {}
    rows: list[list[int]] = msgspec.json.decode(written)
    return {balance_id: Refilling(*known) for balance_id, *known in rows}
