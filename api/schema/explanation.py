"""Why a charge is what it is: its rule, window, counts, arithmetic, lots and links, and a sentence.

Owns the types alone; what they show is gathered in `explaining` and told in `wording`.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import strawberry

from api import ids
from api.schema.amount import Amount
from api.schema.explaining import Explained
from api.schema.fields import computed
from api.schema.lot import LotSource, lot_id
from api.schema.rate import Rate
from api.schema.scalars import BigInt, DateTime, Decimal
from api.schema.wording import Wording
from domain import explain
from domain.books import Book, Row
from domain.draw import UNIT
from domain.explain import Why, Window
from domain.facts import Flag
from domain.money import PICO_DIGITS, text
from persistence.charges import Cursor
from persistence.explanations import Link


@strawberry.enum(description="Why a fact cost what it did.")
class ChargeReason(Enum):
    CHARGED = strawberry.enum_value(Why.CHARGED, description="Its units at the price of the rule.")
    CONVERSATION_OPENED = strawberry.enum_value(
        Why.CONVERSATION_OPENED, description="It opened a conversation, which was paid."
    )
    VISITOR = strawberry.enum_value(
        Why.VISITOR, description="It was a contact's first message of the period."
    )
    COVERED = strawberry.enum_value(
        Why.COVERED, description="The paid conversation it fell in covers it."
    )
    FREE_IN_WINDOW = strawberry.enum_value(
        Why.FREE_IN_WINDOW, description="Its rule is free inside a customer-service window."
    )
    FREE_ENTRY = strawberry.enum_value(
        Why.FREE_ENTRY, description="Its rule is free inside a free-entry window."
    )
    FREE_COUNT = strawberry.enum_value(
        Why.FREE_COUNT, description="It was one of the month's free units."
    )
    PRICE_ZERO = strawberry.enum_value(Why.PRICE_ZERO, description="The price of its rule is 0.")
    NOTHING_COUNTED = strawberry.enum_value(
        Why.NOTHING_COUNTED, description="There was nothing to count."
    )
    REPEATED = strawberry.enum_value(
        Why.REPEATED, description="Another status of the same message was charged."
    )
    UNRATED = strawberry.enum_value(Why.UNRATED, description="No row of the book covers it yet.")
    NO_CHARGE = strawberry.enum_value(Why.NO_CHARGE, description="Nothing in the plan charges it.")


@strawberry.enum(description="A timed state between a number and a contact (or group).")
class WindowKind(Enum):
    CUSTOMER_SERVICE = strawberry.enum_value(
        Window.SERVICE, description="Opened and moved by what the contact sends."
    )
    CONVERSATION = strawberry.enum_value(
        Window.CONVERSATION, description="Opened by the business's delivered message."
    )
    FREE_ENTRY = strawberry.enum_value(
        Window.ENTRY, description="Opened by the first answer to a contact who came from an ad."
    )


@strawberry.type(description="The row of a price book behind a charge.")
class ChargeRule:
    row: strawberry.Private[Row]
    owner: strawberry.Private[Book]

    @computed("Its name: `BOOK@VALID-FROM/ROW`.")
    def name(self) -> str:
        return self.row.rule

    @computed("The key of the price book.")
    def book(self) -> str:
        return self.owner.key

    @computed("The version of the book that brought the row.")
    def book_version(self) -> int:
        return self.row.published

    @computed("What the row says: basis, price, where it holds, when it is free, and its tier.")
    def rate(self) -> Rate:
        return Rate.from_domain(self.row, self.owner)


@strawberry.type(description="A window that was open around a fact, as it stood then.")
class ChargeWindow:
    kind: WindowKind = strawberry.field(description="Which window.")
    opened_at: DateTime | None = strawberry.field(
        description="When it opened; null: long before, and kept open since."
    )
    opened_by: str | None = strawberry.field(description="The id of the fact that opened it.")
    opened_by_source: str | None = strawberry.field(description="The source of that fact.")
    ends_at: DateTime = strawberry.field(description="The first instant after it.")


@strawberry.type(description="A place in the units of a month that are free, in fact order.")
class FreeCountPosition:
    name: str = strawberry.field(description="What the count is called.")
    number: BigInt | None = strawberry.field(
        description="Which one it was; null where what is stored does not tell."
    )
    count: int = strawberry.field(description="How many are free each month.")
    per: str = strawberry.field(description="Whose count it is: `number` or `tenant`.")
    month: str | None = strawberry.field(description="The month, such as `2026-11`.")


@strawberry.type(description="A place in the charged units of a month, in fact order.")
class TierPosition:
    above: BigInt = strawberry.field(description="The tier begins after so many units.")
    up_to: BigInt | None = strawberry.field(description="Its last unit; null: no end.")
    number: Decimal | None = strawberry.field(description="The month's units with this charge.")
    month: str | None = strawberry.field(description="The month, such as `2026-11`.")


@strawberry.type(description="A lot that paid, at its place in the paying order.")
class ChargePayer:
    place: int = strawberry.field(description="1 for the lot that paid first.")
    lot: strawberry.ID = strawberry.field(description="The id of the lot.")
    source: LotSource = strawberry.field(description="Where the lot came from.")
    amount: Amount = strawberry.field(description="What it paid.")
    priority: int | None = strawberry.field(description="Lower ones pay first.")
    starts_at: DateTime | None = strawberry.field(description="From when on it pays.")
    ends_at: DateTime | None = strawberry.field(
        description="From when on it no longer pays; of equal priority the first to end pays first."
    )


@strawberry.type(
    description="Why a charge is what it is, worked out from what is stored when it is asked for."
)
class Explanation:
    of: strawberry.Private[Explained]
    locale: strawberry.Private[str]

    @computed("The reason.")
    def why(self) -> ChargeReason:
        return ChargeReason(self.of.why)

    @computed("The row that set the price, or made it free; null: it is no longer known.")
    def rule(self) -> ChargeRule | None:
        if self.of.row is None or self.of.book is None:
            return None
        return ChargeRule(row=self.of.row, owner=self.of.book)

    @computed("The window that decided it; null where none did.")
    def window(self) -> ChargeWindow | None:
        window = self.of.window
        if window is None:
            return None
        return ChargeWindow(
            kind=WindowKind(window.window),
            opened_at=None if window.opened_at is None else DateTime(window.opened_at),
            opened_by=window.opened_by,
            opened_by_source=window.opened_source,
            ends_at=DateTime(window.ends_at),
        )

    @computed("The market whose price holds.")
    def market(self) -> str | None:
        return self.of.record.market

    @computed("The calling prefix, without `+`, that named the market: the longest that matched.")
    def prefix(self) -> str | None:
        return self.of.prefix

    @computed("ISO 3166 code of the contact's country.")
    def country(self) -> str | None:
        return self.of.record.country

    @computed("Its place among the month's free units; null unless that made it free.")
    def free_count(self) -> FreeCountPosition | None:
        of = self.of
        count = None if of.row is None else of.row.free_count
        if of.why is not Why.FREE_COUNT or count is None:
            return None
        number = None if of.position is None else BigInt(of.position.number // UNIT)
        return FreeCountPosition(
            name=count.name, number=number, count=count.count, per=count.per, month=of.month
        )

    @computed("Its place among the month's charged units; null where the row has no tier.")
    def tier(self) -> TierPosition | None:
        of = self.of
        tier = None if of.row is None else of.row.tier
        if tier is None:
            return None
        return TierPosition(
            above=BigInt(tier.above),
            up_to=None if tier.up_to is None else BigInt(tier.up_to),
            number=None if of.position is None else Decimal(text(of.position.number)),
            month=of.month,
        )

    @computed("What was counted; 0 for a further balance that shares in paying for it.")
    def units(self) -> Decimal:
        return Decimal(text(self.of.record.units))

    @computed("The price per unit (per minute, where seconds are counted); null: no rate.")
    def price(self) -> Decimal | None:
        row = self.of.row
        return None if row is None or row.price is None else Decimal(text(row.price, PICO_DIGITS))

    @computed("What was taken from the balance.")
    def amount(self) -> Amount:
        return Amount.of(self.of.record.amount, self.of.record.currency, self.locale)

    @computed("The sum, such as `36 x 0.0125 / 60 = 0.0075`; null where no money was taken.")
    def arithmetic(self) -> str | None:
        record, row = self.of.record, self.of.row
        if row is None or record.currency is None or not record.amount or not record.units:
            return None
        return explain.arithmetic(row, record.units)

    @computed("Whether the sum had more digits than a charge keeps and was rounded, half up.")
    def rounded(self) -> bool:
        record, row = self.of.record, self.of.row
        money = record.currency is not None and record.amount > 0
        return money and row is not None and explain.is_rounded(row, record.units)

    @computed("The lots that paid, in the order they did.")
    def lots(self) -> list[ChargePayer]:
        record = self.of.record
        payers = []
        for place, leg in enumerate(record.legs, 1):
            lot = self.of.lots.get(leg.lot_id)
            ends_at = None if lot is None else lot.ends_at
            payers.append(
                ChargePayer(
                    place=place,
                    lot=lot_id(leg.lot_id, leg.source, leg.month, record.balance or ""),
                    source=LotSource(leg.source.value),
                    amount=Amount.of(leg.taken, record.currency, self.locale),
                    priority=None if lot is None else lot.priority,
                    starts_at=None if lot is None else DateTime(lot.starts_at),
                    ends_at=None if ends_at is None else DateTime(ends_at),
                )
            )
        return payers

    @computed("The id of the charge that this one takes back.")
    def reversal_of(self) -> strawberry.ID | None:
        place = self.of.record.cursor
        return charge_id(place._replace(reversal=False)) if place.reversal else None

    @computed("The id of the charge that takes this one back.")
    def reversed_by(self) -> strawberry.ID | None:
        place = self.of.record.cursor
        return self._linked(Link(place.part, place.revision, True)) if not place.reversal else None

    @computed("The id of the charge that stands in its place since it was settled.")
    def replaced_by(self) -> strawberry.ID | None:
        place = self.of.record.cursor
        return self._linked(Link(place.part, place.revision + 1, False))

    @computed("Whether it came after what it shares a figure with had moved on.")
    def late(self) -> bool:
        return bool(self.of.record.flags & Flag.LATE)

    @computed("When the fact came.")
    def arrived_at(self) -> DateTime | None:
        return None if self.of.fact is None else DateTime(self.of.fact.arrived_at)

    @computed("The id of the hold the fact named.")
    def hold(self) -> str | None:
        return None if self.of.fact is None else self.of.fact.hold

    @computed("All of it as a sentence that people read; instants as at the number.")
    def sentence(
        self,
        locale: Annotated[
            str,
            strawberry.argument(description="A language tag: `en` or `id`, with or without region"),
        ] = "en",
    ) -> str:
        return Wording(self.of, locale).sentence()

    def _linked(self, link: Link) -> strawberry.ID | None:
        if link not in self.of.links:
            return None
        return charge_id(
            self.of.record.cursor._replace(revision=link.revision, reversal=link.reversal)
        )


def charge_id(place: Cursor) -> strawberry.ID:
    """The id of a charge within its tenant."""
    return strawberry.ID(ids.encode_charge(*place))
