"""The columns of reports: what they are called, what they hold, in which unit, and their order.

Owns that list, which programs rely on: a column may come behind the others, none is renamed, moved
or taken away. What a value is in the database is `persistence.report_tables`'.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from api.reports.spec import Kind, Spec
from persistence.report_tables import OF_USAGE, Table
from persistence.reports import Shape
from persistence.usage import Dimension


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    name: str
    shape: Shape
    unit: str  #: "": it has none
    description: str
    money: bool = False  #: left out of a report without costs


TEXT, DATE, INSTANT, INTEGER, DECIMAL = Shape

_UNITS: Final = "units of the balance"
_MONEY: Final = "the currency of the row"


def _text(name: str, description: str) -> Column:
    return Column(name, TEXT, "", description)


def _count(name: str, unit: str, description: str) -> Column:
    return Column(name, INTEGER, unit, description)


def _whole(*columns: Column) -> Iterable[Column]:
    """Columns of broadcasts: what their descriptions say is not of the range alone."""
    for column in columns:
        said = f"{column.description} Of the whole broadcast, whatever the range."
        yield replace(column, description=said)


def _cost(name: str, description: str) -> Column:
    return Column(name, DECIMAL, _MONEY, description, money=True)


_DAY: Final = Column("day", DATE, "the tenant's local day", "The day on which it is counted.")
_CHANNEL: Final = _text("channel", "The channel, such as `sms`; empty where there is no number.")
_NUMBER: Final = _text("number", "The address of the tenant's number.")
_DIRECTION: Final = _text("direction", "`in` or `out`; empty for what has none.")
_COUNTRY: Final = _text("country", "The contact's ISO country code; empty where it has none.")
_CATEGORY: Final = _text("category", "The message's own category; empty where it has none.")
_USER: Final = _text("user", "The user who sent it; empty where nobody was named.")
_BROADCAST: Final = _text("broadcast", "The broadcast it was part of; empty where it was of none.")
_CONVERSATIONS: Final = _count("conversations", "conversations", "Conversations that opened.")
_VISITORS: Final = _count("visitors", "contacts", "Visitors newly counted in the period.")
_IN: Final = _count("messages_in", "messages", "Messages received.")
_OUT: Final = _count("messages_out", "messages", "Messages that reached their contact.")
_FREE: Final = _count(
    "messages_free", "messages", "Those that cost nothing and that no paid conversation covered."
)
_CARDS: Final = (
    _count("messages_marketing", "messages", "Marketing messages out, less free ones."),
    _count("messages_utility", "messages", "Utility messages out, less free ones."),
    _count(
        "messages_authentication",
        "messages",
        "Authentication messages out, at the international rate too, less free ones.",
    ),
    _count("messages_service", "messages", "All other messages out, less free ones."),
    _FREE,
)
_OPENED: Final = (
    _CONVERSATIONS,
    _count("conversations_service", "conversations", "Those that a service message opened."),
    _count("conversations_business", "conversations", "Those that any other category opened."),
)
_PAID: Final = (
    Column("units", DECIMAL, _UNITS, "Units that were charged."),
    Column("units_initial", DECIMAL, _UNITS, "What allowances of balances that are no money paid."),
    Column("units_top_up", DECIMAL, _UNITS, "What their other lots paid."),
    _cost("cost", "What money balances paid, to the last digit."),
    _cost("cost_initial", "What allowances paid of it."),
    _cost("cost_top_up", "What their other lots paid of it."),
    Column("currency", TEXT, "", "ISO 4217 code of the costs.", money=True),
)
_BALANCE: Final = _text("balance", "The key of the balance.")

COLUMNS: Final[Mapping[Kind, tuple[Column, ...]]] = {
    Kind.WHATSAPP_USAGE: (
        _DAY, _NUMBER, _DIRECTION, _COUNTRY, _CATEGORY, _USER, _BROADCAST, *_OPENED, _VISITORS,
        _IN, _OUT, *_CARDS, *_PAID,
    ),
    Kind.VISITORS: (_DAY, _CHANNEL, _NUMBER, _COUNTRY, _VISITORS, _IN),
    Kind.OTHER_SERVICES: (
        _DAY, _CHANNEL, _NUMBER, _DIRECTION, _COUNTRY, _CATEGORY, _USER, _BROADCAST,
        _CONVERSATIONS, _VISITORS, _IN, _OUT, _FREE,
        _count("segments", "segments", "Segments of text messages."),
        _count(
            "seconds_billed", "seconds",
            "Seconds: of calls those that were charged for, or all of one without a charge; of "
            "sessions how long they lasted.",
        ),
        _count("emails", "e-mails", "E-mails, one for each recipient."),
        _count("bot_sessions", "sessions", "Sessions that ended."),
        *_PAID,
    ),
    Kind.BROADCASTS: (
        _text("broadcast", "Its name."),
        Column("day", DATE, "the tenant's local day", "The day on which it began."),
        Column("first_at", INSTANT, "UTC", "When the first message of it was sent."),
        Column("last_at", INSTANT, "UTC", "When something was last heard of it."),
        *_whole(
            _count("recipients", "contacts", "Contacts and groups it was sent to."),
            _count("delivered", "contacts", "Those it reached."),
            _count("read", "contacts", "Those of them who read it."),
            _count("failed", "contacts", "Those it failed to reach."),
            _count("pending", "contacts", "Those nothing more is known of yet."),
            *_OPENED, _OUT, *_CARDS,
            _text("countries", "Messages out by country, most first, such as `ID 120, MY 3`."),
            *_PAID[:-1],
        ),
        _PAID[-1],
    ),
    Kind.CHARGES: (
        Column(
            "day", DATE, "the tenant's local day",
            "The day on which usage counts it: that of the fact or, where its period was closed, "
            "that of its arrival.",
        ),
        Column("at", INSTANT, "UTC", "When the fact happened."),
        _text("charge", "The id of the charge, as `Charge.id` has it."),
        _text("fact", "The id of the fact, as its source gave it."),
        _text("source", "The source of the fact."),
        _text("type", "What happened, such as `message.delivered`."),
        _CHANNEL, _NUMBER, _DIRECTION,
        _text("contact", "The address of the other end; empty for a group."),
        _text("group", "The id of the group; empty for a single contact."),
        _COUNTRY, _CATEGORY,
        _text("market", "The market whose price holds."),
        _USER, _BROADCAST,
        _text("rule", "The rule that set the price, or made it free: `BOOK@VALID-FROM/ROW`."),
        _BALANCE,
        Column("units", DECIMAL, "conversations, segments, seconds ...", "What was counted."),
        Column("amount", DECIMAL, "`unit` of the row", "What was taken from the balance."),
        _text("unit", "The unit of the balance: a currency, or what it counts."),
        Column("initial", DECIMAL, "`unit` of the row", "What allowances paid of it."),
        Column("top_up", DECIMAL, "`unit` of the row", "What all other lots paid of it."),
        Column(
            "refunded", DECIMAL, "`unit` of the row",
            "What refunds gave back of the fact's charges, whichever revision they were of.",
        ),
        _text("lots", "The lots that paid, each with what it paid."),
        _count("revision", "", "0: as the fact came; more: settled or rated since."),
        _text("status", "What became of the fact: `accepted`, `unrated` or `adjusted`."),
        Column("booked_at", INSTANT, "UTC", "When the charge was recorded."),
    ),
    Kind.LEDGER: (
        Column("day", DATE, "the tenant's local day", "The day of the movement."),
        Column("at", INSTANT, "UTC", "When it was booked."),
        _text("entry", "Names the movement: the commit and the line of it."),
        _text("cause", "`grant`, `use`, `lapse`, `pay_off`, `top_up`, `refund`, `adjust` ..."),
        _BALANCE,
        _text("debit", "The account that gave: a lot's id, or a name such as `allowance`."),
        _text("credit", "The account that received: a lot's id, or a name such as `usage`."),
        Column("amount", DECIMAL, "`unit` of the row", "What was moved; never negative."),
        _text("unit", "The unit of the balance: a currency, or what it counts."),
    ),
    Kind.PURCHASES: (
        Column("day", DATE, "the tenant's local day", "The day on which it began."),
        Column("at", INSTANT, "UTC", "When it began."),
        _text("purchase", "The id of the purchase."),
        _text("kind", "`bought` by somebody, or a `refill`."),
        _text("status", "`open`, `paid`, `failed`, `expired` or `taken_back`."),
        _BALANCE,
        Column("amount", DECIMAL, "`unit` of the row", "What it adds to the balance."),
        _text("unit", "The unit of the balance: a currency, or what it counts."),
        Column("net", DECIMAL, _MONEY, "What it costs before tax, exactly."),
        Column("tax", DECIMAL, _MONEY, "The taxes of the tenant's country."),
        Column("total", DECIMAL, _MONEY, "What is asked for."),
        _text("currency", "ISO 4217 code of what it costs."),
        Column("paid_at", INSTANT, "UTC", "When it was known to be paid; empty: it was not."),
        _text("provider", "Who collected it."),
        _text("payment", "The key that the provider knows the payment by."),
        _text("reference", "The provider's own name of it."),
    ),
    Kind.USAGE_CHART: (),
}  # fmt: skip

TABLES: Final[Mapping[Kind, Table]] = {
    Kind.WHATSAPP_USAGE: Table.WHATSAPP,
    Kind.VISITORS: Table.VISITORS,
    Kind.OTHER_SERVICES: Table.OTHERS,
    Kind.BROADCASTS: Table.BROADCASTS,
    Kind.CHARGES: Table.CHARGES,
    Kind.LEDGER: Table.LEDGER,
    Kind.PURCHASES: Table.PURCHASES,
}

#: What each can be narrowed by.
_OF_USAGE: Final = frozenset(Dimension)
NARROWED_BY: Final[Mapping[Kind, frozenset[Dimension]]] = {
    Kind.WHATSAPP_USAGE: _OF_USAGE,
    Kind.VISITORS: _OF_USAGE,
    Kind.OTHER_SERVICES: _OF_USAGE,
    Kind.BROADCASTS: frozenset((Dimension.BROADCAST,)),
    Kind.CHARGES: _OF_USAGE,
    Kind.LEDGER: frozenset(),
    Kind.PURCHASES: frozenset(),
    Kind.USAGE_CHART: _OF_USAGE,
}


def columns_of(spec: Spec) -> tuple[Column, ...]:
    """The columns of a report, in order."""
    return tuple(each for each in COLUMNS[spec.kind] if spec.costs or not each.money)


#: What still changes after its range is closed: broadcasts go on, charges are refunded and rated
#: anew, purchases are paid and given back.
NEVER_FINAL: Final = frozenset({Kind.BROADCASTS, Kind.CHARGES, Kind.PURCHASES})


def is_final(spec: Spec, closed_until: int | None) -> bool:
    """Whether a report's figures do not change any more."""
    is_closed = closed_until is not None and closed_until >= spec.end
    return is_closed and spec.kind not in NEVER_FINAL


def of_usage(kind: Kind) -> bool:
    """Whether a kind is read from usage, which is kept by whole hours."""
    return kind is Kind.USAGE_CHART or TABLES[kind] in OF_USAGE
