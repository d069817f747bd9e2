"""Rates: the rows of a price book that are in force for a balance, as clients see them."""

from __future__ import annotations

from enum import Enum

import strawberry

from api.schema.scalars import Date, Decimal
from domain.books import Book, Row
from domain.money import PICO_DIGITS, text


@strawberry.enum(description="What one unit of a rate is.")
class RateBasis(Enum):
    PER_MESSAGE = strawberry.enum_value("per_message", description="A message.")
    PER_CONVERSATION = strawberry.enum_value("per_conversation", description="A conversation.")
    PER_VISITOR = strawberry.enum_value("per_visitor", description="A visitor of the period.")
    PER_SEGMENT = strawberry.enum_value("per_segment", description="A segment of a text message.")
    PER_MINUTE = strawberry.enum_value("per_minute", description="A minute.")
    PER_UNIT = strawberry.enum_value("per_unit", description="A unit of the balance.")


@strawberry.type(description="Units of a month that cost nothing; rates of one name share them.")
class FreeCount:
    name: str = strawberry.field(description="What the count is called.")
    count: int = strawberry.field(description="How many units are free each month.")
    per: str = strawberry.field(description="Whose count it is: `number` or `tenant`.")


@strawberry.type(description="The charged units of a month that a rate is for (PR-7).")
class RateTier:
    above: int = strawberry.field(description="It begins behind so many units.")
    up_to: int | None = strawberry.field(description="Its last unit; null: it has no end.")


@strawberry.type(description="How seconds are billed: the first ones whole, then step by step.")
class RateIncrements:
    first: int = strawberry.field(description="Seconds that are billed at least.")
    step: int = strawberry.field(description="Seconds by which it goes on.")


@strawberry.type(description="A row of the tenant's price book.")
class Rate:
    rule: str = strawberry.field(description="The rule as charges name it: `BOOK@VALID-FROM/ROW`.")
    channel: str = strawberry.field(description="Its channel; `*`: any.")
    category: str = strawberry.field(description="Its category; `*`: any.")
    direction: str = strawberry.field(description="`in` or `out`.")
    market: str = strawberry.field(
        description="Its market; `*`: any that has no row of its own, `none`: contacts without "
        "a telephone number, `other`: numbers on no list."
    )
    basis: RateBasis = strawberry.field(description="What one unit is.")
    price: Decimal | None = strawberry.field(
        description="The price of one unit, with up to 12 decimals; null: the book has no rate, "
        "which is not the same as free."
    )
    currency: str = strawberry.field(description="ISO 4217 code of the price.")
    valid_from: Date = strawberry.field(
        description="The first day it holds, in the zone of the number."
    )
    free_in: list[str] = strawberry.field(
        description="Windows in which a unit costs nothing: `customer_service`, `free_entry`."
    )
    free_count: FreeCount | None = strawberry.field(
        description="Units of a month that cost nothing."
    )
    charged_on: str = strawberry.field(
        description="The status that charges a message: `delivered` or `sent`."
    )
    tier: RateTier | None = strawberry.field(
        description="The units of a month it is for; null: all of them."
    )
    increments: RateIncrements | None = strawberry.field(
        description="How seconds are billed; null: each as it is."
    )
    group: bool = strawberry.field(description="Whether it is for messages to groups.")

    @classmethod
    def from_domain(cls, row: Row, book: Book) -> Rate:
        free, tier, by = row.free_count, row.tier, row.increments
        return cls(
            rule=row.rule,
            channel=row.channel,
            category=row.category,
            direction=row.direction,
            market=row.market,
            basis=RateBasis(row.basis.value),
            price=None if row.price is None else Decimal(text(row.price, PICO_DIGITS)),
            currency=book.currency,
            valid_from=Date(row.valid_from),
            free_in=sorted(row.free_in),
            free_count=None
            if free is None
            else FreeCount(name=free.name, count=free.count, per=free.per),
            charged_on=row.charged_on,
            tier=None if tier is None else RateTier(above=tier.above, up_to=tier.up_to),
            increments=None if by is None else RateIncrements(first=by.first, step=by.step),
            group=row.group,
        )
