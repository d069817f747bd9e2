"""Simulations: what recorded traffic would cost, as clients ask for it and see it."""

from __future__ import annotations

import strawberry

from api.context import Context
from api.faults import Fault
from api.limits import SIMULATE_FACTS_MAX
from api.operations import simulate as operation
from api.operations.price_book_publish import PriceBookPublish
from api.operations.simulate import Progress, Simulated, last_month, too_many
from api.schema.amount import Amount
from api.schema.inputs import DocumentFormat
from api.schema.range import RangeInput, interval
from api.schema.scalars import BigInt, Date, DateTime, Decimal
from domain import simulate
from domain.facts import CHANNEL_NAMES
from domain.money import text
from domain.periods import Interval, Zone, month_name
from domain.problems import Problem

CODES = {"NOT_FOUND": "NOT_FOUND", "FORBIDDEN": "FORBIDDEN", "BUSY": "RATE_LIMITED"}


@strawberry.input(description="Recorded traffic, and the rules to charge it by once more.")
class SimulateInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    range: RangeInput | None = strawberry.field(
        default=None, description="Whose facts. Default: the tenant's last month that is over."
    )
    book: str | None = strawberry.field(
        default=None,
        description="The key of a price book. Default: the one of the plan. A tenant's key may "
        "name books of its own plans, an operator's any.",
    )
    document: str | None = strawberry.field(
        default=None, description="A price book that is not published. For operators."
    )
    format: DocumentFormat = strawberry.field(
        default=DocumentFormat.TOML, description="How the document is written."
    )
    plan: str | None = strawberry.field(
        default=None,
        description="The key of a plan. Default: those the tenant was on. A tenant's key may name "
        "its own plans, an operator's any.",
    )
    as_of: Date | None = strawberry.field(
        default=None,
        description="The local day whose rules hold for every fact, whenever it happened. "
        "Default: each fact goes by the rules of its own day.",
    )


@strawberry.type(description="What was taken from one balance, by where it came from.")
class SimulationDraw:
    total: Amount = strawberry.field(description="All of it.")
    allowance: Amount | None = strawberry.field(
        description="By allowances of the periods; null of money, which never runs out here."
    )
    bought: Amount | None = strawberry.field(
        description="By what was bought or given besides, as it was there; null of money."
    )
    beyond: Amount | None = strawberry.field(
        description="By nothing that was there; null of money."
    )


@strawberry.type(description="One balance over the whole range.")
class SimulationBalance:
    key: str = strawberry.field(description="The balance's key.")
    unit: str = strawberry.field(description="What one of it is.")
    charged: SimulationDraw = strawberry.field(description="What was taken from it.")
    simulated: SimulationDraw = strawberry.field(description="What would have been.")
    difference: Amount = strawberry.field(description="How much more that is; negative: less.")


@strawberry.type(description="What facts of one kind took from one balance.")
class SimulationShare:
    balance: str = strawberry.field(description="The balance's key.")
    charged: Amount = strawberry.field(description="What they took.")
    simulated: Amount = strawberry.field(description="What they would have taken.")


@strawberry.type(description="Facts of one month, number, market and category.")
class SimulationRow:
    month: str = strawberry.field(description="The tenant's month, as `2026-09`.")
    number: str = strawberry.field(description="The number's address.")
    channel: str = strawberry.field(description="The number's channel.")
    market: str = strawberry.field(description="The contacts' market by the book simulated.")
    category: str = strawberry.field(
        description="The category of messages; `visitor` of visits, of recorded usage its meter."
    )
    count: int = strawberry.field(
        description="Facts that are charged, free or unrated by either rules."
    )
    units: Decimal = strawberry.field(description="What they count when simulated.")
    free: int = strawberry.field(description="How many of them would have cost nothing.")
    charged_free: int = strawberry.field(description="How many of them did.")
    unrated: int = strawberry.field(description="How many of them no rate would have covered.")
    charged_unrated: int = strawberry.field(description="How many of them no rate did.")
    charged: Amount = strawberry.field(description="The money they cost.")
    simulated: Amount = strawberry.field(description="The money they would have cost.")
    difference: Amount = strawberry.field(description="How much more that is; negative: less.")
    balances: list[SimulationShare] = strawberry.field(
        description="What they took of each balance, of units and of money."
    )


@strawberry.type(
    description="What recorded traffic would have cost by other rules, beside what it did. Units "
    "are drawn as they were there, money never runs out, and nothing is kept."
)
class Simulation:
    start: DateTime = strawberry.field(description="The first instant of the range.")
    end: DateTime = strawberry.field(description="The first instant after it.")
    as_of: Date | None = strawberry.field(description="The day whose rules held; null: each own.")
    plans: list[str] = strawberry.field(description="The plans simulated, by when they held.")
    books: list[str] = strawberry.field(description="The price books simulated.")
    version: BigInt = strawberry.field(description="Of the tenant's figures; later facts are out.")
    settled: bool = strawberry.field(
        description="Whether what was charged is final as far as the facts go: false while late "
        "ones of the range or before wait to be settled."
    )
    facts: int = strawberry.field(description="All facts of the range, charged or not.")
    count: int = strawberry.field(description="Those that stand in rows.")
    charged: Amount = strawberry.field(description="The money they cost.")
    simulated: Amount = strawberry.field(description="The money they would have cost.")
    difference: Amount = strawberry.field(description="How much more that is; negative: less.")
    unrated: int = strawberry.field(description="Facts that no rate would have covered.")
    charged_unrated: int = strawberry.field(description="Facts that no rate did cover.")
    balances: list[SimulationBalance] = strawberry.field(description="What each balance paid.")
    rows: list[SimulationRow] = strawberry.field(
        description="By month, number, market and category."
    )

    @classmethod
    def from_domain(cls, found: Simulated) -> Simulation:
        locale, terms, sums = found.tenant.locale, found.terms, found.sums
        lines = found.lines
        balances = {balance.key: balance for balance in found.balances}

        def money(micros: int) -> Amount:
            return Amount.of(micros, terms.currency, locale)

        def amount(micros: int, balance: str) -> Amount:
            return Amount.of(micros, balances[balance].currency, locale)

        def draw(drawn: simulate.Drawn, balance: str) -> SimulationDraw:
            units = balances[balance].kind == "unit"
            return SimulationDraw(
                total=amount(drawn.total, balance),
                allowance=amount(drawn.allowance, balance) if units else None,
                bought=amount(drawn.bought, balance) if units else None,
                beyond=amount(drawn.beyond, balance) if units else None,
            )

        def row(line: simulate.Line) -> SimulationRow:
            before, after = line.charged, line.simulated
            number = terms.numbers[line.place.number_id]
            return SimulationRow(
                month=month_name(line.place.month),
                number=number.address,
                channel=CHANNEL_NAMES[number.channel],
                market=line.place.market,
                category=line.place.category,
                count=line.count,
                units=Decimal(text(after.units)),
                free=after.free,
                charged_free=before.free,
                unrated=after.unrated,
                charged_unrated=before.unrated,
                charged=money(before.money),
                simulated=money(after.money),
                difference=money(after.money - before.money),
                balances=[
                    SimulationShare(
                        balance=key,
                        charged=amount(before.taken.get(key, 0), key),
                        simulated=amount(after.taken.get(key, 0), key),
                    )
                    for key in balances
                    if key in before.taken or key in after.taken
                ],
            )

        charged, simulated = found.money
        return cls(
            start=DateTime(found.range[0]),
            end=DateTime(found.range[1]),
            as_of=None if found.as_of is None else Date(found.as_of),
            plans=found.plans,
            books=found.books,
            version=BigInt(found.version),
            settled=found.settled,
            facts=sums.facts,
            count=sum(line.count for line in lines),
            charged=money(charged),
            simulated=money(simulated),
            difference=money(simulated - charged),
            unrated=sum(line.simulated.unrated for line in lines),
            charged_unrated=sum(line.charged.unrated for line in lines),
            balances=[
                SimulationBalance(
                    key=key,
                    unit=balance.unit,
                    charged=draw(sums.totals[key].charged, key),
                    simulated=draw(sums.totals[key].simulated, key),
                    difference=amount(
                        sums.totals[key].simulated.total - sums.totals[key].charged.total, key
                    ),
                )
                for key, balance in balances.items()
                if key in sums.totals
            ],
            rows=[row(line) for line in lines],
        )


class Bounded(Progress):
    """A query's: it refuses before anything is folded."""

    def begin(self, total: int) -> None:
        if total > SIMULATE_FACTS_MAX:
            raise too_many(total, SIMULATE_FACTS_MAX)


async def simulation_of(context: Context, given: SimulateInput) -> Simulation:
    """Simulate what is asked for; BAD_USER_INPUT where something is wrong with it."""
    caller = context.require("billing:read")

    def span(zone: Zone, now: int) -> Interval:
        return last_month(zone, now) if given.range is None else interval(given.range, zone, now)

    document = None
    if given.document is not None:
        document = PriceBookPublish(document=given.document, format=given.format.name)
    request = operation.Simulate(
        tenant=given.tenant,
        range=span,
        book=given.book,
        document=document,
        plan=given.plan,
        as_of=given.as_of,
    )
    try:
        found = await operation.run(
            context.door, context.catalogue, caller, request, now=context.now, progress=Bounded()
        )
    except Problem as problem:
        place = "" if problem.field is None else f"`{problem.field}`: "
        code = CODES.get(problem.code, "BAD_USER_INPUT")
        raise Fault(code, f"{place}{problem.message}") from None
    return Simulation.from_domain(found)
