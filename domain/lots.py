"""Lots: the dated parts a balance is made of, and what is left of each.

Owns where a lot came from (its stored numbers never change meaning) and the one sum that says what
remains. Which lot pays a charge is decided in `draw`, what is shown of a period in `figures`.
"""

from __future__ import annotations

from enum import IntEnum


class LotSource(IntEnum):
    """Where a lot came from."""

    ALLOWANCE = 1  #: granted by the plan for one period, ends with it (BA-3)
    TOP_UP = 2
    PROMOTION = 3
    ADJUSTMENT = 4
    OVERDRAFT = 5  #: usage nothing covered: amount 0, remaining negative (BA-11)


class Lot:
    """One lot with its running sums in micros. Slots and mutable: a draw changes it in place."""

    __slots__ = (
        "amount",
        "balance_id",
        "created_at",
        "drawn_at",
        "ends_at",
        "lapsed",
        "lot_id",
        "month",
        "moved",
        "moved_before",
        "moved_within",
        "origin",
        "priority",
        "source",
        "starts_at",
        "tied_at",
        "used",
        "used_before",
        "used_within",
    )  # fmt: skip

    def __init__(
        self,
        *,
        lot_id: int,
        balance_id: int,
        source: LotSource,
        priority: int,
        month: int | None,
        amount: int,
        used: int = 0,
        moved: int = 0,
        lapsed: int = 0,
        starts_at: int,
        ends_at: int | None,
        created_at: int,
        origin: str = "",
        drawn_at: int | None = None,
        used_before: int = 0,
        used_within: int = 0,
        moved_before: int = 0,
        moved_within: int = 0,
    ) -> None:
        self.lot_id = lot_id
        self.balance_id = balance_id
        self.source = source
        self.priority = priority
        self.month = month  #: the period an allowance or an overdraft belongs to
        self.amount = amount
        self.used = used
        self.moved = moved  #: taken (or given, negative) by paying off and refunds; not usage
        self.lapsed = lapsed
        self.starts_at = starts_at
        self.ends_at = ends_at
        self.created_at = created_at
        self.origin = origin  #: its name within its balance, whoever made it and in which order
        self.drawn_at = drawn_at  #: the latest fact that had a share
        self.tied_at: int | None = None  #: the same, where two of one instant had one
        self.used_before = used_before  #: of `used`, by facts from before the present period
        self.used_within = used_within  #: of `used`, by facts of the present period
        self.moved_before = moved_before
        self.moved_within = moved_within

    @property
    def remaining(self) -> int:
        """Micros left; negative only for an overdraft."""
        return self.amount - self.used - self.moved - self.lapsed

    def active(self, at: int) -> bool:
        """Whether the lot may pay what happened at `at`."""
        return self.starts_at <= at and (self.ends_at is None or at < self.ends_at)
