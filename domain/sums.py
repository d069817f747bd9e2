"""Sums: what open holds leave of balances and counts, as authorisations take them.

Owns the names of fields and the bounds within which a decision stands. Who keeps the sums, and what
is decided by them, is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from domain.holds import COUNT, LEFT, Vector

__all__ = ["COUNT", "HELD", "LEFT", "Bounds", "CountKey", "Sums", "UncountedError", "count_field"]

#: What is set aside of a field, whatever is left of it.
HELD = "held:"

#: A count by name, number (0: of the tenant) and month.
CountKey: TypeAlias = tuple[str, int, int]


class Bounds(NamedTuple):
    """What must still be true of a field for a decision to stand; None: no bound."""

    field: str
    low: int | None
    high: int | None


class UncountedError(Exception):
    """A count is needed that the sums do not have."""

    def __init__(self, key: CountKey) -> None:
        super().__init__(key)
        self.key = key


@dataclass(slots=True)
class Sums:
    """What open holds leave of a tenant's balances and counts; changed by what is decided."""

    left: dict[str, int]  #: by field, micros; credit limits are not in it
    counts: dict[str, int]  #: by field
    held: dict[str, int] = field(default_factory=dict)  #: by field

    def shift(self, vector: Vector, sign: int = 1) -> None:
        """Set a vector aside (or back, -1)."""
        for name, amount in vector:
            taken = sign * amount
            self.held[name] = self.held.get(name, 0) + taken
            if name in self.left:
                self.left[name] -= taken
            elif name in self.counts:
                self.counts[name] += taken


def count_field(name: str, number_id: int, month: int) -> str:
    return f"{COUNT}{name}:{number_id}:{month}"
