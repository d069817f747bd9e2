"""What a list of events costs, counted by a plain loop: the figures Kuota must show.

Owns its own reading of the rules CO-1, VI-1, WI-1, PR-3, PR-4, PR-9, BA-3, BA-4 and BA-11 for one
number per tenant on one channel in one market. Does not own speed, late facts, or any line of the
product: it imports the standard library alone, so that both can only agree by being right.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

Event = dict[str, Any]
Month = tuple[int, int]

DAY = timedelta(hours=24)
ONE = Decimal(1)
ZERO = Decimal(0)

PRICES = {
    "marketing": Decimal("586.33"),
    "utility": Decimal("356.65"),
    "authentication": Decimal("356.65"),
    "service": Decimal("356.65"),
    "conversation": Decimal("356.65"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a tenant's plan and book say, as far as this data touches it."""

    conversations: int  #: granted each month, nothing carried over
    visitors: int  #: granted each month, nothing carried over
    topped_up: Decimal  #: money in the balance before the first fact
    service_charged_from: date  #: local date of PR-4's rules
    free_service: int  #: delivered service messages per number and month, from that date on
    zone: str = "Asia/Jakarta"


PLAIN = Terms(
    conversations=1000,
    visitors=1000,
    topped_up=ZERO,
    service_charged_from=date(2026, 10, 1),
    free_service=1000,
)
MIXED = Terms(
    conversations=50,
    visitors=20,
    topped_up=Decimal(1_000_000),
    service_charged_from=date(2026, 6, 1),
    free_service=10,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """What one fact took from one balance; `why` tells free messages apart.

    `why`: visitor, conversation (a unit), conversation_price, message_price, or one of the free
    reasons covered, window, count, row.
    """

    balance: str | None  #: None: nothing was taken
    taken: Decimal
    category: str
    why: str


@dataclass(slots=True)
class MonthFigures:
    """One tenant's figures of one local month."""

    conversations: int = 0
    visitors: int = 0
    messages_in: int = 0
    messages_out: int = 0
    units: Counter[str] = field(default_factory=Counter)  #: balance -> units taken
    money: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    whys: Counter[str] = field(default_factory=Counter)  #: legs by their reason
    remaining: dict[str, Decimal] = field(default_factory=dict)  #: at the month's last instant

    @property
    def cost(self) -> Decimal:
        return sum(self.money.values(), ZERO)


@dataclass(slots=True)
class Conversation:
    """An any-category conversation; `paid` ones cover the service messages inside."""

    ends: datetime
    paid: bool


@dataclass(slots=True)
class Account:
    """One tenant: its months, what each fact took, and what is open right now."""

    terms: Terms
    months: dict[Month, MonthFigures] = field(default_factory=dict)
    legs: dict[str, Leg | None] = field(default_factory=dict)  #: event id -> leg
    seen: set[tuple[Month, str]] = field(default_factory=set)
    heard: dict[str, datetime] = field(default_factory=dict)  #: contact -> last inbound
    open: dict[str, Conversation] = field(default_factory=dict)
    free_used: Counter[Month] = field(default_factory=Counter)


def count(events: Iterable[Event], terms: Terms, months: Iterable[Month]) -> dict[str, Account]:
    """Every tenant's account after all its events, taken in the order given."""
    accounts: dict[str, Account] = {}
    zone = ZoneInfo(terms.zone)
    labels = list(months)
    for event in events:
        account = accounts.get(event["subject"])
        if account is None:
            account = accounts[event["subject"]] = Account(terms)
            account.months = {label: MonthFigures() for label in labels}
        at = datetime.fromisoformat(event["time"])
        local = at.astimezone(zone).date()
        month = account.months[local.year, local.month]
        if event["type"] == "message.received":
            leg = _received(account, month, event["data"], at, local)
        else:
            leg = _delivered(account, month, event["data"], at, local)
        account.legs[event["id"]] = leg
        if leg is not None:
            month.whys[leg.why] += 1
            if leg.balance == "whatsapp":
                month.money[leg.category] += leg.taken
            elif leg.balance is not None:
                month.units[leg.balance] += int(leg.taken)
    for account in accounts.values():
        _balance(account)
    return accounts


def _received(
    account: Account, month: MonthFigures, data: dict[str, Any], at: datetime, local: date
) -> Leg | None:
    """WI-1 and VI-1: an inbound opens or moves the window, and may be the month's first."""
    month.messages_in += 1
    contact = data["contact"]
    account.heard[contact] = max(at, account.heard.get(contact, at))
    visit = ((local.year, local.month), contact)
    if visit in account.seen:
        return None
    account.seen.add(visit)
    month.visitors += 1
    return Leg(balance="visitors", taken=ONE, category="visitor", why="visitor")


def _delivered(
    account: Account, month: MonthFigures, data: dict[str, Any], at: datetime, local: date
) -> Leg:
    """CO-1 and PR-9: a delivered message may open a conversation; its chain pays."""
    month.messages_out += 1
    contact, category = data["contact"], data["category"]
    charged = local >= account.terms.service_charged_from
    conversation = account.open.get(contact)
    opens = conversation is None or at >= conversation.ends
    if opens:
        month.conversations += 1
        conversation = account.open[contact] = Conversation(ends=at + DAY, paid=False)

    if category != "service":
        if category == "utility" and _in_window(account, contact, at) and not charged:
            return Leg(balance=None, taken=ZERO, category=category, why="window")
        return _money(category, PRICES[category], "message_price")

    if opens and month.units["conversations"] < account.terms.conversations:
        conversation.paid = True
        return Leg(balance="conversations", taken=ONE, category=category, why="conversation")
    if opens and not charged:
        conversation.paid = True
        return _money(category, PRICES["conversation"], "conversation_price")
    if conversation.paid:
        return Leg(balance=None, taken=ZERO, category=category, why="covered")
    if not charged:
        return Leg(balance=None, taken=ZERO, category=category, why="row")
    label = (local.year, local.month)
    account.free_used[label] += 1
    if account.free_used[label] <= account.terms.free_service:
        return Leg(balance=None, taken=ZERO, category=category, why="count")
    return _money(category, PRICES["service"], "message_price")


def _in_window(account: Account, contact: str, at: datetime) -> bool:
    """WI-1: 24 hours from the last inbound, the end itself outside."""
    heard = account.heard.get(contact)
    return heard is not None and heard <= at < heard + DAY


def _money(category: str, price: Decimal, why: str) -> Leg:
    return Leg(balance="whatsapp", taken=price, category=category, why=why)


def _balance(account: Account) -> None:
    """BA-3: allowances end with their month. BA-4: money goes on. BA-11: below 0 if it must."""
    terms, money = account.terms, account.terms.topped_up
    for _, month in sorted(account.months.items()):
        money -= month.cost
        month.remaining = {
            "conversations": Decimal(terms.conversations - month.units["conversations"]),
            "visitors": Decimal(terms.visitors - month.units["visitors"]),
            "whatsapp": money,
        }


def in_fact_order(events: Iterable[Event]) -> list[Event]:
    """EV-4: sorted by time, received before the rest, then source and id."""

    def order(event: Event) -> tuple[str, int, str, str]:
        rank = 1 if event["type"] == "message.received" else 2
        return event["time"], rank, event["source"], event["id"]

    return sorted(events, key=order)
