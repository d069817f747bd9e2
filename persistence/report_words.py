"""Words of statements that several reports have: days, channels and lots as they are told.

Owns those expressions alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from domain.facts import CHANNEL_NAMES
from domain.lots import LotSource


def named(expression: str, names: Mapping[int, str]) -> str:
    """Stored numbers as words."""
    cases = " ".join(f"when {number} then '{name}'" for number, name in names.items())
    return f"case {expression} {cases} end"


def day_of(instant: str) -> str:
    """The local day of an instant: the caller's days are $2, their beginnings $3."""
    return f"($2::date[])[width_bucket({instant}, $3::bigint[])]"


#: Of a number `n`.
CHANNEL: Final = named("n.channel", CHANNEL_NAMES)

#: The id of a lot `l` of a balance `b`, as charges name it everywhere.
LOT: Final = f"""case when l.source = {LotSource.ALLOWANCE.value} and l.month is not null
        then 'lot_' || b.key || '_' || to_char(l.month / 12, 'FM0000') || '-'
            || to_char(l.month % 12 + 1, 'FM00')
        else 'lot_' || l.lot_id end"""
