"""A tenant's charges, page by page: what each fact cost, by which rule, and which lots paid."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import strawberry
from strawberry.types import Info

from api import ids
from api.context import Context
from api.faults import Fault
from api.schema.amount import Amount
from api.schema.explaining import explained
from api.schema.explanation import Explanation
from api.schema.fields import computed
from api.schema.lot import lot_id
from api.schema.owner import Owner
from api.schema.paging import PageInfo, cursor, page_size, position
from api.schema.range import RangeInput, interval
from api.schema.scalars import DateTime, Decimal
from domain.facts import CHANNEL_NAMES, GROUP_MARK, TYPES, Flag
from domain.money import text
from persistence import charges
from persistence.charges import ChargeRecord, Cursor

SCOPE = "billing:read"
PAGE_SIZE = 50

_TYPE_NAMES: dict[int, str] = {kind: name for name, kind in TYPES.items()}


@strawberry.enum(description="What a fact did beside its charge, or how it came to it.")
class ChargeFlag(Enum):
    SERVICE_OPENED = strawberry.enum_value(
        Flag.SERVICE_OPENED, description="It opened a customer-service window."
    )
    CONVERSATION_OPENED = strawberry.enum_value(
        Flag.CONVERSATION_OPENED, description="It opened a conversation."
    )
    CONVERSATION_PAID = strawberry.enum_value(
        Flag.CONVERSATION_PAID, description="The conversation it opened was paid."
    )
    VISITOR = strawberry.enum_value(
        Flag.VISITOR, description="It was a contact's first message of the period."
    )
    OVERDRAWN = strawberry.enum_value(
        Flag.OVERDRAWN, description="It drew more than the balances that pay for it held."
    )
    LATE = strawberry.enum_value(
        Flag.LATE, description="It came after what it shares a figure with had moved on."
    )
    REPEATED = strawberry.enum_value(
        Flag.REPEATED, description="A further status of a message that was charged before."
    )
    ENTRY_OPENED = strawberry.enum_value(
        Flag.ENTRY_OPENED, description="It opened a free-entry window."
    )
    LATE_COMMIT = strawberry.enum_value(Flag.LATE_COMMIT, description="Its hold had expired.")
    OVER_HOLD = strawberry.enum_value(
        Flag.OVER_HOLD, description="It cost more than its share of the hold."
    )
    UNKNOWN_HOLD = strawberry.enum_value(
        Flag.UNKNOWN_HOLD, description="It named a hold that is not known."
    )


_FLAG_BITS: list[tuple[ChargeFlag, int]] = [(flag, getattr(Flag, flag.name)) for flag in ChargeFlag]


def flags_of(bits: int) -> list[ChargeFlag]:
    """The flags that stored bits stand for."""
    return [flag for flag, bit in _FLAG_BITS if bits & bit]


@strawberry.enum(description="What became of the fact of a charge.")
class ChargeStatus(Enum):
    ACCEPTED = strawberry.enum_value(1, description="It was rated.")
    UNRATED = strawberry.enum_value(2, description="A part of it has no rate yet.")
    ADJUSTED = strawberry.enum_value(3, description="It belongs to a period that was closed.")


@strawberry.type(description="What one lot paid of a charge.")
class ChargeLeg:
    lot: strawberry.ID = strawberry.field(description="The id of the lot.")
    amount: Amount = strawberry.field(description="What it paid.")


@strawberry.type(
    description="What one fact cost. A correction is a reversal of the revision that was wrong and "
    "the next revision: nothing is edited."
)
class Charge:
    record: strawberry.Private[ChargeRecord]
    locale: strawberry.Private[str]
    tenant_id: strawberry.Private[int]

    @computed("Names the charge within its tenant.")
    def id(self) -> strawberry.ID:
        return strawberry.ID(ids.encode_charge(*self.record.cursor))

    @computed("When the fact happened.")
    def at(self) -> DateTime:
        return DateTime(self.record.cursor.at)

    @computed("When the charge was recorded.")
    def booked_at(self) -> DateTime:
        return DateTime(self.record.booked_at)

    @computed("The id of the fact, as its source gave it.")
    def fact_id(self) -> str:
        return self.record.fact_id

    @computed("The source of the fact.")
    def source(self) -> str:
        return self.record.source

    @computed("What happened, such as `message.delivered`.")
    def type(self) -> str:
        return _TYPE_NAMES[self.record.type]

    @computed("The address of the tenant's number.")
    def number(self) -> str | None:
        return self.record.number

    @computed("The number's channel, such as `whatsapp`.")
    def channel(self) -> str | None:
        return None if self.record.channel is None else CHANNEL_NAMES[self.record.channel]

    @computed("The address of the other end; null for a group.")
    def contact(self) -> str | None:
        party = self.record.party
        return None if party.startswith(GROUP_MARK) else party

    @computed("The id of the group; null for a single contact.")
    def group(self) -> str | None:
        party = self.record.party
        return party.removeprefix(GROUP_MARK) if party.startswith(GROUP_MARK) else None

    @computed("The message's own category.")
    def category(self) -> str | None:
        return self.record.category

    @computed("The market whose price holds.")
    def market(self) -> str | None:
        return self.record.market

    @computed("The key of the balance that paid, or would have paid a charge of 0.")
    def balance(self) -> str | None:
        return self.record.balance

    @computed("What was counted, before money: 1 conversation, 3 segments.")
    def units(self) -> Decimal:
        return Decimal(text(self.record.units))

    @computed("What was taken from the balance; never negative, see `reversal`.")
    def amount(self) -> Amount:
        return self._amount(self.record.amount)

    @computed("What was given back of the amount, by all refunds.")
    def refunded(self) -> Amount:
        return self._amount(self.record.refunded)

    @computed("The rule that set the price, or made it free: `BOOK@VALID-FROM/ROW`.")
    def rule(self) -> str | None:
        return self.record.rule

    @computed("The lots that paid; none for a charge of 0.")
    def lots(self) -> list[ChargeLeg]:
        return [
            ChargeLeg(
                lot=lot_id(leg.lot_id, leg.source, leg.month, self.record.balance or ""),
                amount=self._amount(leg.taken),
            )
            for leg in self.record.legs
        ]

    @computed("Whether it takes back what the same revision charged.")
    def reversal(self) -> bool:
        return self.record.cursor.reversal

    @computed("0 for a charge made as its fact came, one more each time it was rated or settled.")
    def revision(self) -> int:
        return self.record.cursor.revision

    @computed("What the fact did beside.")
    def flags(self) -> list[ChargeFlag]:
        return flags_of(self.record.flags)

    @computed("What became of the fact.")
    def status(self) -> ChargeStatus:
        return ChargeStatus(self.record.status)

    @computed("Why it is what it is.")
    async def explanation(self, info: Info[Context, None]) -> Explanation:
        of = await explained(info.context, self.tenant_id, self.record)
        return Explanation(of=of, locale=self.locale)

    def _amount(self, micros: int) -> Amount:
        return Amount.of(micros, self.record.currency, self.locale)


@strawberry.type(description="A charge and its place in the list.")
class ChargeEdge:
    cursor: str = strawberry.field(description="Pass it as `after` to go on behind this charge.")
    node: Charge = strawberry.field(description="The charge.")


@strawberry.type(description="A page of charges, newest facts first.")
class ChargeConnection:
    edges: list[ChargeEdge] = strawberry.field(description="The charges with their places.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")

    @computed("The charges alone.")
    def nodes(self) -> list[Charge]:
        return [edge.node for edge in self.edges]


@strawberry.type
class TenantCharges(Owner):
    """The field of a tenant that lists its charges."""

    @computed("What facts cost, newest facts first.")
    async def charges(
        self,
        info: Info[Context, None],
        first: Annotated[
            int, strawberry.argument(description="How many to give, 1 to 100.")
        ] = PAGE_SIZE,
        after: Annotated[
            str | None, strawberry.argument(description="The cursor to go on behind.")
        ] = None,
        range: Annotated[
            RangeInput | None, strawberry.argument(description="Only facts of this time.")
        ] = None,
        balance: Annotated[
            str | None, strawberry.argument(description="Only charges of the balance of this key.")
        ] = None,
    ) -> ChargeConnection:
        context = info.context
        context.require(SCOPE)
        size = page_size(first)
        start, end = charges.EARLIEST, charges.LATEST
        if range is not None:
            start, end = interval(range, self.record.zone, context.now)

        async def load(keys: list[charges.Asked]) -> list[list[ChargeRecord]]:
            return await charges.pages(context.figures, keys, limit=size + 1)

        asked = charges.Asked(
            tenant_id=self.record.tenant_id,
            after=charges.FIRST_PAGE if after is None else _cursor_from_text(after),
            start=start,
            end=end,
            balance=balance,
        )
        records = await context.loader(("charges", size), load).load(asked)
        edges = [
            ChargeEdge(
                cursor=_cursor_text(record.cursor),
                node=Charge(
                    record=record, locale=self.record.locale, tenant_id=self.record.tenant_id
                ),
            )
            for record in records[:size]
        ]
        return ChargeConnection(
            edges=edges,
            page_info=PageInfo(
                has_next_page=len(records) > size, end_cursor=edges[-1].cursor if edges else None
            ),
        )


def _cursor_text(place: Cursor) -> str:
    return cursor([place.at, place.key.hex(), place.part, place.revision, place.reversal])


def _cursor_from_text(after: str) -> Cursor:
    at, key, part, revision, reversal = position(after, int, str, int, int, bool)
    try:
        if not (0 <= part < 1 << 15 and 0 <= revision < 1 << 31):
            raise ValueError
        return Cursor(at, bytes.fromhex(key), part, revision, reversal)
    except ValueError:
        raise Fault(
            "BAD_USER_INPUT", "`after` is not a cursor: pass an `endCursor` as it came"
        ) from None
