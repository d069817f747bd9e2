"""Plans: the balances of a tenant and, per category, the chain of balances that pays.

Owns what a plan grants, offers and lets pay, and how its document is read against a price book.
Does not own prices, lots, or the order in which a chain's balances are drawn.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, cast

from domain.books import ANY, Basis, Book, Direction
from domain.documents import KEY, DocumentError, Table, nearest, read_sample_marks, shown
from domain.money import DISPLAY_DIGITS, MICRO, charge, text
from domain.periods import zone
from domain.ranges import (
    CHART_DAYS,
    DEFAULT_RANGES,
    DefaultRanges,
    read_chart_days,
    read_ranges,
)
from domain.sending import UNSAID, OwnSending, read_sending

VISITOR: Final = "visitor"
FIRST_PERIODS: Final = ("full", "by_days")
ALERT_BASES: Final = ("allowance", "all")

_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_LOCALE: Final = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?")
_WHOLE_MAX: Final = 1_000_000_000
_PERIODS_MAX: Final = 120  # ten years of months; longer is `always`


class PlanError(DocumentError):
    """A plan that was refused, with every problem found in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carry:
    """How long top-ups outlive the period they were bought in; allowances never do."""

    kind: Literal["none", "periods", "always"]
    periods: int  #: further periods, for that kind; otherwise 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUpOffer:
    """What can be bought: whole packs at a price, from a minimum on."""

    pack: int  #: millionths of the balance's unit
    price: int  #: 10^-12 of the plan's currency, per pack and before tax
    minimum: int  #: millionths of the plan's currency that a top-up costs at least


@dataclass(frozen=True, slots=True, kw_only=True)
class RefillOffer:
    """How a balance is refilled by itself, unless a tenant says otherwise (RF-1)."""

    amount: int  #: millionths of the balance's unit that one refill adds
    minimum: int  #: millionths; the balance is refilled at it or below


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancePlan:
    """One balance that a plan gives."""

    key: str
    name: str
    kind: Literal["unit", "money"]
    unit: str  #: `conversation`, `visitor` and so on; a money balance's currency
    currency: str | None  #: of a money balance
    allowance: int  #: millionths per period
    carry: Carry
    credit_limit: int  #: millionths that may be used beyond what is there
    overage_price: int | None  #: 10^-12 of the plan's currency per unit; None: written off
    top_up: TopUpOffer | None
    refill: RefillOffer | None = None
    promotion_pays_off: bool = False  #: whether promotions, too, fill what is owed (BA-5)
    refund_lapsed: Literal["new_lot", "forfeit"] = "new_lot"  #: what a lapsed lot's share becomes
    #: What alerts compare the rest with: the allowance, or all that came in too (AL-1).
    alert_base: str = "allowance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One balance of a chain and the units it pays in."""

    balance: str
    basis: Basis


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Who pays for a category, first to last; the last one takes the overdraft (BA-11)."""

    channel: str  #: or `*`
    category: str  #: or `*`
    direction: Direction
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A plan in one version, with its chains checked against its book."""

    key: str
    version: int
    name: str
    book: str
    currency: str
    timezone: str
    country: str
    locale: str
    seats: int  #: users with role agent or supervisor at most
    balances: tuple[BalancePlan, ...]
    chains: tuple[Chain, ...]
    first_period: str = "full"  #: or "by_days": what a first, partial period is granted (BA-12)
    sending: OwnSending = UNSAID  #: what it says of holds, caps and outages
    self_service: bool = False  #: whether tenants top up themselves (AL-6)
    support: str | None = None  #: whom they ask for a top-up: an address, a number, a page
    ranges: DefaultRanges = DEFAULT_RANGES  #: what is shown first (TZ-6)
    chart_days: int = CHART_DAYS  #: local days of a chart's range at most (TZ-6)
    visitors: Chain | None = field(init=False, repr=False, compare=False)
    _balances: dict[str, BalancePlan] = field(init=False, repr=False, compare=False)
    _chains: dict[tuple[str, str, str], Chain] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        chains = {(each.channel, each.category, each.direction): each for each in self.chains}
        object.__setattr__(self, "_chains", chains)
        object.__setattr__(self, "_balances", {each.key: each for each in self.balances})
        object.__setattr__(self, "visitors", chains.get((ANY, VISITOR, "in")))

    def balance(self, key: str) -> BalancePlan:
        """Give the balance of this key; KeyError where the plan has none."""
        return self._balances[key]

    def chain(self, channel: str, category: str, direction: str) -> Chain | None:
        """Pick the chain that pays, or None: the category's own before `*`, then the channel's."""
        get = self._chains.get
        return (
            get((channel, category, direction))
            or get((ANY, category, direction))
            or get((channel, ANY, direction))
            or get((ANY, ANY, direction))
        )


def parse_plan(document: Mapping[str, object], book: Book, version: int = 1) -> Plan:
    """Read a plan against the book it names, or raise PlanError with every problem.

    The version is counted by whoever keeps the documents; people do not write it.
    """
    top = Table(document)
    key = top.text("plan", 'name the plan in lower case, as "omnichannel-idr"', KEY)
    read_sample_marks(top)
    name = top.text("name", "say the name that people see")
    currency = top.choice("currency", DISPLAY_DIGITS)
    timezone = _read_timezone(top)
    country = top.text("country", "write two capital letters, as ID", _COUNTRY)
    locale = top.text("locale", "write a language tag, as id or en-GB", _LOCALE)
    seats = top.whole("seats", 0, _WHOLE_MAX)
    first_period = top.choice("first_period", FIRST_PERIODS, default="full")
    _check_book(top, currency, book)
    balances = _read_balances(top, currency)
    chains = _read_chains(top, balances, book)
    sending = read_sending(top, balances)
    self_service = top.flag("self_service")
    support = _read_support(top)
    ranges = read_ranges(top)
    chart_days = read_chart_days(top)
    top.close()
    if top.problems:
        raise PlanError(f"plan {key}", top.problems)
    return Plan(
        key=key,
        version=version,
        name=name,
        book=book.key,
        currency=currency,
        timezone=timezone,
        country=country,
        locale=locale,
        seats=seats,
        balances=tuple(balances.values()),
        chains=tuple(chains),
        first_period=first_period,
        sending=sending,
        self_service=self_service,
        support=support,
        ranges=ranges,
        chart_days=chart_days,
    )


def _read_support(top: Table) -> str | None:
    if not top.has("support"):
        return None
    return top.text("support", 'say whom to ask for a top-up, as "billing@shop.example"')


def _read_timezone(top: Table) -> str:
    name = top.text("timezone", 'name an IANA zone, as "Asia/Jakarta"')
    if name:
        try:
            zone(name)
        except ValueError as error:
            top.problem("timezone", str(error), 'name an IANA zone, as "Asia/Jakarta"')
    return name


def _check_book(top: Table, currency: str, book: Book) -> None:
    name = top.text("book", "name the plan's price book", KEY)
    if name and name != book.key:
        top.problem("book", f"{name!r} was not given", f"the book given is {book.key!r}")
    elif name and currency and currency != book.currency:
        wrong = f"{currency} is not the book's currency"
        top.problem("currency", wrong, f"write {book.currency}, or name a book in {currency}")


def _read_balances(top: Table, currency: str) -> dict[str, BalancePlan]:
    balances: dict[str, BalancePlan] = {}
    for table in top.tables("balances", "write at least one [[balances]]"):
        balance = _read_balance(table, currency)
        table.close()
        if balance.key in balances:
            table.problem("balance", f"{balance.key!r} is there before", "write it once")
        elif balance.key:
            balances[balance.key] = balance
    return balances


def _read_balance(table: Table, plan_currency: str) -> BalancePlan:
    key = table.text("balance", "name the balance in lower case", KEY)
    name = table.text("name", "say the name that people see")
    money = table.choice("kind", ("unit", "money")) == "money"
    price: int | None = None
    if money:
        unit = table.choice("currency", DISPLAY_DIGITS)
        if unit and plan_currency and unit != plan_currency:
            wrong = f"{unit} is not the plan's currency"
            table.problem("currency", wrong, f"write {plan_currency}")
        if table.has("overage_price"):
            right = "leave it out: a money overdraft stays until it is paid off"
            table.problem("overage_price", "is for unit balances", right)
    else:
        unit = table.text("unit", 'name the unit, as "conversation"', KEY)
        price = table.price("overage_price") if table.has("overage_price") else None
    top_up = _read_top_up(table)
    return BalancePlan(
        key=key,
        name=name,
        kind="money" if money else "unit",
        unit=unit,
        currency=unit if money else None,
        allowance=table.amount("allowance"),
        carry=_read_carry(table),
        credit_limit=table.amount("credit_limit", default=0),
        overage_price=price,
        top_up=top_up,
        refill=_read_refill(table, top_up, money=money),
        promotion_pays_off=table.flag("promotion_pays_off"),
        refund_lapsed=_read_refund_lapsed(table),
        alert_base=table.choice("alert_base", ALERT_BASES, default="allowance"),
    )


def _read_carry(balance: Table) -> Carry:
    right = 'write "none", "always" or { periods = 3 }'
    if balance.same("carry", "none"):
        return Carry(kind="none", periods=0)
    if balance.same("carry", "always"):
        return Carry(kind="always", periods=0)
    table = balance.table("carry", right)
    periods = table.whole("periods", 1, _PERIODS_MAX) if balance.has_table("carry") else 1
    table.close()
    return Carry(kind="periods", periods=periods)


def _read_refund_lapsed(balance: Table) -> Literal["new_lot", "forfeit"]:
    if not balance.has("refund_lapsed"):
        return "new_lot"
    word = balance.choice("refund_lapsed", ("new_lot", "forfeit"))
    return "forfeit" if word == "forfeit" else "new_lot"


def _read_top_up(balance: Table) -> TopUpOffer | None:
    if not balance.has("top_up"):
        return None
    table = balance.table("top_up", 'write { pack = "1", price = "500", minimum = "0" }')
    if not balance.has_table("top_up"):
        return None
    pack, price = table.amount("pack"), table.price("price")
    minimum = table.amount("minimum", default=0)
    if table.clean and pack == 0:
        table.problem("pack", "is 0", "write how much one pack adds")
    if price is None:
        table.problem("price", "is no rate", "write the price of a pack, or leave top_up out")
    table.close()
    return TopUpOffer(pack=pack, price=price or 0, minimum=minimum)


def _read_refill(balance: Table, top_up: TopUpOffer | None, *, money: bool) -> RefillOffer | None:
    """Read what refills a balance; it is bought as a top-up is, so that it has a price."""
    if not balance.has("refill"):
        return None
    table = balance.table("refill", 'write { amount = "100", minimum = "25" }')
    if not balance.has_table("refill"):
        return None
    amount, minimum = table.amount("amount"), table.amount("minimum")
    if table.clean and amount == 0:
        table.problem("amount", "is 0", "write how much one refill adds, or leave refill out")
    elif table.clean and top_up is None and not money:
        table.problem("", "has no price", "add a top_up that says what a pack costs")
    elif table.clean and top_up is not None and balance.clean:
        _check_refill(table, amount, top_up)
    table.close()
    return RefillOffer(amount=amount, minimum=minimum)


def _check_refill(table: Table, amount: int, top_up: TopUpOffer) -> None:
    """Refuse an amount that nobody could buy as a top-up (BA-6)."""
    packs, rest = divmod(amount, top_up.pack)
    if rest:
        wrong = f"{text(amount)} is no whole number of packs of {text(top_up.pack)}"
        right = f"write {text((packs + 1) * top_up.pack)}, or another multiple of a pack"
        table.problem("amount", wrong, right)
    elif (price := charge(top_up.price, packs * MICRO)) < top_up.minimum:
        wrong = f"{text(amount)} costs {text(price)}, a top-up at least {text(top_up.minimum)}"
        table.problem("amount", wrong, "write more, or lower the top_up's minimum")


def _read_chains(top: Table, balances: Mapping[str, BalancePlan], book: Book) -> list[Chain]:
    chains: dict[tuple[str, str, str], Chain] = {}
    for table in top.tables("chains", "write at least one [[chains]]"):
        channel = table.word("channel")
        direction = cast(Direction, table.choice("direction", ("in", "out")))
        categories = table.texts("categories", 'list categories, or ["*"] for every one')
        steps = _read_steps(table, balances)
        table.close()
        for place, category in enumerate(categories):
            if not table.clean:
                break
            path = f"categories[{place}]"
            if category != ANY and not KEY.fullmatch(category):
                table.problem(path, f"{shown(category)} is no category", "name it in lower case")
            elif (channel, category, direction) in chains:
                wrong = f"{channel} {category} {direction} has a chain before"
                table.problem(path, wrong, "keep one of the two")
            else:
                chain = Chain(channel=channel, category=category, direction=direction, steps=steps)
                chains[channel, category, direction] = chain
                _check_priced(table, chain, book)
    return list(chains.values())


def _read_steps(chain: Table, balances: Mapping[str, BalancePlan]) -> tuple[Step, ...]:
    right = 'write [{ balance = "whatsapp", basis = "per_message" }]'
    steps: list[Step] = []
    for table in chain.tables("steps", right):
        key = table.text("balance", "name a balance of this plan", KEY)
        basis = Basis(table.choice("basis", tuple(Basis)) or Basis.PER_UNIT)
        table.close()
        if key and key not in balances:
            table.problem("balance", f"{key!r} is no balance of the plan", nearest(key, balances))
        if not table.clean:
            continue
        step = Step(balance=key, basis=basis)
        balance = balances[key]
        if step in steps:
            table.problem("", "is there before in this chain", "write it once")
        elif balance.kind == "unit" and basis not in (own := _bases_of(balance.unit)):
            wrong = f"{key} counts {balance.unit}s, this step pays {basis}"
            table.problem("basis", wrong, f"write {own[-1]}, or name another balance")
        steps.append(step)
    return tuple(steps)


def _bases_of(unit: str) -> tuple[str, ...]:
    """The bases a balance of such units can pay; seconds pay what is priced per minute (VO-1)."""
    return (Basis.PER_UNIT, Basis.PER_MINUTE if unit == "second" else f"per_{unit}")


def _check_priced(table: Table, chain: Chain, book: Book) -> None:
    """Refuse a step whose units the book has no row for: it would never be rated."""
    for place, step in enumerate(chain.steps):
        if not book.prices(step.basis, chain.channel, chain.category, chain.direction):
            what = f"{step.basis} for {chain.channel} {chain.category} {chain.direction}"
            right = f"add one to {book.key}, or correct the chain"
            table.problem(f"steps[{place}].basis", f"the book has no row {what}", right)
