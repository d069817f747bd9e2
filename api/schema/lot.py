"""Lots and their sources, as clients see them."""

from __future__ import annotations

from enum import Enum

import strawberry

from api.schema.amount import Amount
from api.schema.scalars import DateTime
from domain import lots
from domain.figures import NOT_STORED, LotUse
from domain.periods import month_name


@strawberry.enum(description="Where a lot came from.")
class LotSource(Enum):
    ALLOWANCE = strawberry.enum_value(
        lots.LotSource.ALLOWANCE.value, description="Granted by the plan for one period."
    )
    TOP_UP = strawberry.enum_value(lots.LotSource.TOP_UP.value, description="Bought.")
    PROMOTION = strawberry.enum_value(
        lots.LotSource.PROMOTION.value, description="Given; it never becomes money."
    )
    ADJUSTMENT = strawberry.enum_value(
        lots.LotSource.ADJUSTMENT.value, description="A correction by an operator."
    )
    OVERDRAFT = strawberry.enum_value(
        lots.LotSource.OVERDRAFT.value,
        description="Usage that nothing covered: its amount is 0 and its remaining negative.",
    )


@strawberry.type(description="A part of a balance with a start and an end of its own.")
class Lot:
    id: strawberry.ID = strawberry.field(
        description="Names the lot within its tenant; legs of charges use it."
    )
    source: LotSource = strawberry.field(description="Where it came from.")
    amount: Amount = strawberry.field(description="What it held at its start.")
    used: Amount = strawberry.field(
        description="What usage took from it, in all periods up to the instant asked for."
    )
    remaining: Amount = strawberry.field(
        description="What is left; 0 once it has ended. What paid off a negative lot has left it "
        "without being usage."
    )
    lapsed: Amount = strawberry.field(description="What was left at its end.")
    starts_at: DateTime = strawberry.field(description="From when on it pays.")
    ends_at: DateTime | None = strawberry.field(
        description="From when on it no longer pays; null: never."
    )
    priority: int = strawberry.field(description="Lower ones pay first, then those that end first.")
    created_at: DateTime = strawberry.field(description="When it was recorded.")

    @classmethod
    def from_domain(
        cls, lot: LotUse, balance: str, at: int, currency: str | None, locale: str
    ) -> Lot:
        ended = lot.ended(at)
        overdraft = lot.source is lots.LotSource.OVERDRAFT
        return cls(
            id=lot_id(lot.lot_id, lot.source, lot.month, balance),
            source=LotSource(lot.source.value),
            amount=Amount.of(lot.amount, currency, locale),
            used=Amount.of(lot.used_ever, currency, locale),
            remaining=Amount.of(0 if ended else lot.left, currency, locale, down=True),
            lapsed=Amount.of(lot.left if ended and not overdraft else 0, currency, locale),
            starts_at=DateTime(lot.starts_at),
            ends_at=None if lot.ends_at is None else DateTime(lot.ends_at),
            priority=lot.priority,
            created_at=DateTime(lot.created_at),
        )


def lot_id(number: int, source: lots.LotSource, month: int | None, balance: str) -> strawberry.ID:
    """The id of a lot within its tenant.

    A period's allowance is named by balance and month: it is the same one before and after
    something first touches it and it is stored.
    """
    if month is not None and source is lots.LotSource.ALLOWANCE:
        return strawberry.ID(f"lot_{balance}_{month_name(month)}")
    assert number != NOT_STORED
    return strawberry.ID(f"lot_{number}")
