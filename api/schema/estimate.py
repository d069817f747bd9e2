"""Estimates: what a send would cost, as clients ask for it and see it."""

from __future__ import annotations

import strawberry

from api.context import Context
from api.faults import Fault
from api.operations import estimate as operation
from api.operations.estimate import Estimated
from api.schema.amount import Amount
from api.schema.explanation import ChargeReason
from api.schema.lot import LotSource, lot_id
from api.schema.scalars import BigInt, DateTime, Decimal
from domain import lots, quotes
from domain.money import PICO_DIGITS, text
from domain.problems import Problem

SCOPES = ("billing:read", "send:authorize")

#: Refused recipients an answer lists; all are counted.
REFUSED_SHOWN_MAX = 1_000


@strawberry.input(description="Contacts of one market, of whom nothing else is known.")
class EstimateCountInput:
    market: str = strawberry.field(
        description="The market as price books name it, such as `ID`; `none`: contacts without a "
        "telephone number."
    )
    count: int = strawberry.field(description="How many there are, 1 or more.")


@strawberry.input(description="A send or a broadcast that has not happened: one message each.")
class EstimateInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    number: str = strawberry.field(description="The address it would send from.")
    channel: str = strawberry.field(description="The number's channel, such as `whatsapp`.")
    category: str | None = strawberry.field(
        default=None, description="The template's category; free text has none, or `service`."
    )
    template: bool = strawberry.field(
        default=False, description="Whether a template is sent, not free text."
    )
    segments: int | None = strawberry.field(
        default=None, description="Segments of the text, where the provider says them."
    )
    text: str | None = strawberry.field(
        default=None, description="The text, for channels whose messages are cut into segments."
    )
    recipients: list[str] | None = strawberry.field(
        default=None,
        description="The contacts, up to 10,000; one request holds some 8,000 telephone "
        "numbers. Name either these or `counts`.",
    )
    counts: list[EstimateCountInput] | None = strawberry.field(
        default=None,
        description="How many contacts of which markets, up to 100,000 in all: each without an "
        "open conversation or window.",
    )
    at: DateTime | None = strawberry.field(
        default=None,
        description="When it would be sent: in the present period or within a year. Default: now.",
    )


@strawberry.type(description="What messages of one market and category cost by one rule.")
class EstimateLine:
    market: str = strawberry.field(description="The recipients' market.")
    category: str = strawberry.field(description="The messages' category.")
    count: int = strawberry.field(
        description="How many messages; one that two balances pay stands in both their lines."
    )
    units: Decimal = strawberry.field(description="What they count: messages, segments, ...")
    reason: ChargeReason = strawberry.field(description="Why they cost that, or nothing.")
    price: Decimal | None = strawberry.field(
        description="The price of one unit in the cost's currency; null where a balance of units "
        "pays, or nothing is charged."
    )
    cost: Amount = strawberry.field(description="What they cost together, in the balance's unit.")
    balance: str = strawberry.field(description="The key of the balance that pays.")
    rule: str = strawberry.field(
        description="The rule that set the price, or made it free: `BOOK@VALID-FROM/ROW`."
    )


@strawberry.type(description="Messages that no rate covers: what they cost is not known.")
class EstimateUnrated:
    market: str = strawberry.field(description="The recipients' market.")
    category: str = strawberry.field(description="The messages' category.")
    count: int = strawberry.field(description="How many messages.")
    reason: str = strawberry.field(description="Why, as `/v1/events` would say: `no_rate`.")


@strawberry.type(description="What one lot would pay.")
class EstimateLeg:
    lot: strawberry.ID | None = strawberry.field(
        description="Names the lot within its tenant; null where it does not exist yet."
    )
    source: LotSource = strawberry.field(
        description="Where the lot came from; `OVERDRAFT`: no lot covers this part."
    )
    amount: Amount = strawberry.field(description="What it would pay.")


@strawberry.type(description="What one balance would pay.")
class EstimateBalance:
    key: str = strawberry.field(description="The balance's key.")
    unit: str = strawberry.field(description="What one of it is.")
    cost: Amount = strawberry.field(description="What it would pay in all.")
    lots: list[EstimateLeg] = strawberry.field(
        description="What of it each lot would pay, in the order they do."
    )
    available_before: Amount = strawberry.field(description="What a send may use of it.")
    available_after: Amount = strawberry.field(
        description="What would be left for others; negative where it does not suffice."
    )
    shortfall: Amount = strawberry.field(description="What is missing; 0 where it suffices.")


@strawberry.type(description="A recipient that would be refused.")
class EstimateRefusal:
    recipient: str = strawberry.field(description="As it was given.")
    reason: str = strawberry.field(description="A name for what is wrong, as facts are answered.")
    message: str = strawberry.field(description="What is wrong, and what would be right.")


@strawberry.type(
    description="What a send would cost, charged as facts are, with nothing kept. What others use "
    "in the meantime is not foreseen."
)
class Estimate:
    at: DateTime = strawberry.field(description="When it would be sent.")
    version: BigInt = strawberry.field(description="Of the tenant's figures it was charged to.")
    count: int = strawberry.field(description="Messages: recipients that are sound, each once.")
    repeated: int = strawberry.field(
        description="Recipients listed before: one message reaches a contact once."
    )
    refused_count: int = strawberry.field(description="Recipients that would be refused.")
    refused: list[EstimateRefusal] = strawberry.field(
        description="The first 1,000 of them, in their order."
    )
    lines: list[EstimateLine] = strawberry.field(
        description="What is charged, by market, category, rule and balance."
    )
    unrated: list[EstimateUnrated] = strawberry.field(description="What no rate covers.")
    balances: list[EstimateBalance] = strawberry.field(
        description="What each balance would pay, in the plan's order."
    )
    suffices: bool = strawberry.field(
        description="Whether every balance has what it would pay, and every message has a rate."
    )

    @classmethod
    def from_domain(cls, found: Estimated) -> Estimate:
        locale = found.tenant.locale
        plan = {balance.key: balance for balance in found.own.balances.values()}

        def amount(micros: int, balance: str, *, down: bool = False) -> Amount:
            return Amount.of(micros, plan[balance].currency, locale, down=down)

        shares = found.shares
        return cls(
            at=DateTime(found.at),
            version=BigInt(found.version),
            count=found.count,
            repeated=found.repeated,
            refused_count=len(found.refused),
            refused=[
                EstimateRefusal(recipient=each.recipient, reason=each.reason, message=each.message)
                for each in found.refused[:REFUSED_SHOWN_MAX]
            ],
            lines=[
                EstimateLine(
                    market=line.market,
                    category=line.category,
                    count=line.count,
                    units=Decimal(text(line.units)),
                    reason=ChargeReason(line.reason),
                    price=None if line.price is None else Decimal(text(line.price, PICO_DIGITS)),
                    cost=amount(line.amount, line.balance),
                    balance=line.balance,
                    rule=line.rule,
                )
                for line in found.quote.lines.values()
            ],
            unrated=[
                EstimateUnrated(
                    market=each.market, category=each.category, count=each.count, reason="no_rate"
                )
                for each in found.quote.unrated.values()
            ],
            balances=[
                EstimateBalance(
                    key=share.balance,
                    unit=plan[share.balance].unit,
                    cost=amount(share.amount, share.balance),
                    lots=[
                        _leg(leg, share, amount(leg.amount, share.balance)) for leg in share.legs
                    ],
                    available_before=amount(share.before, share.balance, down=True),
                    available_after=amount(share.after, share.balance, down=True),
                    shortfall=amount(share.shortfall, share.balance),
                )
                for share in shares
            ],
            suffices=not found.quote.unrated and not any(share.shortfall for share in shares),
        )


def _leg(leg: quotes.Leg, share: quotes.Share, amount: Amount) -> EstimateLeg:
    named = leg.lot_id is not None or leg.source is lots.LotSource.ALLOWANCE
    return EstimateLeg(
        lot=lot_id(leg.lot_id or -1, leg.source, leg.month, share.balance) if named else None,
        source=LotSource(leg.source.value),
        amount=amount,
    )


async def estimate_of(context: Context, given: EstimateInput) -> Estimate:
    """Estimate what is asked for; BAD_USER_INPUT where something is wrong with all of it."""
    caller = context.caller()
    if not any(caller.may(scope) for scope in SCOPES):
        caller.require(SCOPES[0])
    request = operation.Estimate(
        tenant=given.tenant,
        number=given.number,
        channel=given.channel.lower(),
        category=given.category,
        template=given.template,
        segments=given.segments,
        text=given.text,
        recipients=given.recipients or (),
        counts=[(each.market, each.count) for each in given.counts or ()],
        at=given.at,
    )
    try:
        found = await operation.run(
            context.door,
            context.catalogue,
            caller,
            request,
            now=context.now,
            open_holds=context.live.holds,
        )
    except Problem as problem:
        code = "NOT_FOUND" if problem.code == "NOT_FOUND" else "BAD_USER_INPUT"
        place = "" if problem.field is None else f"`{problem.field}`: "
        raise Fault(code, f"{place}{problem.message}") from None
    return Estimate.from_domain(found)
