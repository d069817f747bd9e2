"""Seats: who takes one, how many are left, and when somebody more is refused (US-1).

Owns which roles take a seat. How many a plan has is the plan's to say.
"""

from __future__ import annotations

from domain.problems import Problem

#: Whoever has one of these and is active takes a seat; admins do not count.
SEATED = frozenset({"agent", "supervisor"})


def takes_seat(role: str, active: bool) -> bool:
    """Whether somebody counts against the plan's seats."""
    return active and role in SEATED


def available(maximum: int, used: int) -> int:
    """How many seats are left; negative where a plan has fewer than are taken."""
    return maximum - used


def check_seat(maximum: int, used: int, field: str) -> None:
    """Raise `NO_SEATS` unless one more fits where `used` are taken; `field` is what asked for it.

    Nobody who has a seat is ever asked: whoever is there stays.
    """
    if available(maximum, used) > 0:
        return
    raise Problem(
        "NO_SEATS",
        f"the plan has {maximum} seats for agents and supervisors, and {used} are taken: make "
        "somebody inactive or an admin first, or change to a plan that has more",
        field,
    )
