"""The tables of reports: where the rows of each come from, and in SQL what each column is.

Owns those statements, but charges' own; which columns a report has, and in which order, is its
caller's to say. Rows come by an index, in its order, so that the first one is there at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from domain.facts import Channel, Direction
from domain.ledger import (
    ADJUST,
    GRANT,
    INVOICED,
    LAPSE,
    OVERAGE,
    PAY_OFF,
    REFUND,
    TAKE_BACK,
    TOP_UP,
    USE,
    WRITTEN_OFF,
)
from domain.rollup import USAGE
from persistence.purchases import PaymentState, PurchaseKind, PurchaseState
from persistence.report_charges import CHARGE_COLUMNS, CHARGES_SPAN
from persistence.report_words import CHANNEL, LOT, day_of, named
from persistence.usage import Measure


class Table(Enum):
    """What the rows of a report are."""

    WHATSAPP = "whatsapp"
    VISITORS = "visitors"
    OTHERS = "others"
    BROADCASTS = "broadcasts"
    CHARGES = "charges"
    LEDGER = "ledger"
    PURCHASES = "purchases"


#: Those that are read from usage by hour and by day, in whole hours.
OF_USAGE: Final = frozenset((Table.WHATSAPP, Table.VISITORS, Table.OTHERS))


def _lower(members: type[PurchaseKind] | type[PurchaseState]) -> dict[int, str]:
    return {each.value: each.name.lower() for each in members}


_DIRECTIONS: Final = {Direction.IN.value: "in", Direction.OUT.value: "out"}
# Usage, as it is kept: by day, or by the hours of a day that the range cuts.

# A number is looked up for each row: nobody walks all of a tenant's for one.

#: What rows are apart by, beside their bucket.
GRAIN: Final = ("number_id", "direction", "country", "category", "agent", "broadcast")
BY_COUNTRY: Final = ("number_id", "country")

USAGE_COLUMNS: Final = {
    "day": day_of("u.bucket"),
    "channel": CHANNEL,
    "number": "n.address",
    "direction": named("u.direction", _DIRECTIONS),
    "country": "u.country",
    "category": "u.category",
    "user": "u.agent",
    "broadcast": "u.broadcast",
    "currency": "$6::text",
    **{measure.name.lower(): measure.sql for measure in Measure},
}

_WHERE: Final = {
    Table.WHATSAPP: f"n.channel = {Channel.WHATSAPP.value}",
    Table.OTHERS: f"n.channel is distinct from {Channel.WHATSAPP.value}",
    Table.VISITORS: "true",
}


def usage(table: Table, columns: str, counted: str, narrowed: str, *, hours: bool) -> str:
    """The rows of usage in `[$4, $5)` in which something of what is `counted` is not 0."""
    apart = BY_COUNTRY if table is Table.VISITORS else GRAIN
    names = ", ".join(f"u.{name}" for name in apart)
    if hours or apart is not GRAIN:
        place = "($3::bigint[])[width_bucket(u.bucket, $3::bigint[])]"
        sums = ", ".join(f"sum(u.{name})::bigint as {name}" for name in USAGE)
        inner = f"{place} as bucket, {names}, {sums}"
        group = f"group by 1, {names}"
        order = f"order by 1, {names}"
    else:
        inner, group, order = "u.*", "", f"order by u.bucket, {names}"
    return f"""
select {columns}
from (
    select {inner}
    from {"usage_hour" if hours else "usage_day"} u
    left join lateral (
        select channel, address from numbers
        where tenant_id = u.tenant_id and number_id = u.number_id
        offset 0
    ) n on true
    where u.tenant_id = $1 and u.bucket >= $4 and u.bucket < $5 and {_WHERE[table]}{narrowed}
    {group}
    {order}
) u
left join lateral (
    select channel, address from numbers where tenant_id = $1 and number_id = u.number_id offset 0
) n on true
where {counted}"""


# Broadcasts that began in the range, each with all that it came to.

_MEASURES: Final = tuple(
    measure for measure in Measure
    if measure.name.startswith(("CONVERSATIONS", "MESSAGES_", "UNITS", "COST"))
)  # fmt: skip

BROADCAST_COLUMNS: Final = {
    "broadcast": "b.broadcast",
    "day": day_of("b.first_at"),
    "first_at": "b.first_at",
    "last_at": "b.last_at",
    "recipients": "b.recipients",
    "delivered": "b.delivered",
    "read": "b.read",
    "failed": "b.failed",
    "pending": "b.recipients - b.delivered - b.failed",
    "countries": "c.countries",
    "currency": "$6::text",
    **{measure.name.lower(): f"u.{measure.name.lower()}" for measure in _MEASURES},
}

BROADCASTS: Final = f"""
select {{columns}}
from (
    select * from broadcasts
    where tenant_id = $1 and first_at >= $4 and first_at < $5
        and ($7::text[] is null or broadcast = any ($7))
    order by first_at, broadcast
) b
cross join lateral (
    select {
    ", ".join(f"coalesce(sum({each.sql}), 0)::bigint as {each.name.lower()}" for each in _MEASURES)
}
    from usage_day u
    where u.tenant_id = $1 and u.broadcast = b.broadcast and u.broadcast <> ''
) u
cross join lateral (
    select string_agg(country || ' ' || messages, ', ' order by messages desc, country)
        as countries
    from (
        select coalesce(nullif(u.country, ''), '??') as country,
            sum(u.messages_out)::bigint as messages
        from usage_day u
        where u.tenant_id = $1 and u.broadcast = b.broadcast and u.broadcast <> ''
        group by 1
        having sum(u.messages_out) <> 0
    ) by_country
) c"""


# The ledger, and what was bought.

#: Stored causes as words.
CAUSES: Final = {
    GRANT: "grant", USE: "use", LAPSE: "lapse", PAY_OFF: "pay_off", TOP_UP: "top_up",
    REFUND: "refund", ADJUST: "adjust", TAKE_BACK: "take_back", INVOICED: "invoiced",
    OVERAGE: "overage", WRITTEN_OFF: "written_off",
}  # fmt: skip


def _account(side: str) -> str:
    """An account: a lot by its id, anything else by its name."""
    return f"""case when t.{side} like 'lot/%' then (
        select {LOT} from lots l
        where l.tenant_id = $1 and l.lot_id = substr(t.{side}, 5)::integer
    ) else t.{side} end"""


LEDGER_COLUMNS: Final = {
    "day": day_of("t.at"),
    "at": "t.at",
    "entry": "t.version || '/' || t.line",
    "cause": named("t.cause", CAUSES),
    "balance": "b.key",
    "debit": _account("debit"),
    "credit": _account("credit"),
    "amount": "t.amount",
    "unit": "coalesce(b.currency, b.unit)",
}

LEDGER: Final = """
select {columns}
from (
    select * from transfers where tenant_id = $1 and at >= $4 and at < $5
    order by at, version, line
) t
left join balances b on b.tenant_id = $1 and b.balance_id = t.balance_id"""

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
# As `api.ids` spells it: letters of five bits each, the lowest first.
_PURCHASE_ID: Final = f"""'pur_' || (
        select string_agg(substr('{_ALPHABET}',
            mod(div(mod(q.purchase_id::numeric * {0x9E3779B97F4A7C15}, {1 << 64}),
                32::numeric ^ place), 32)::integer + 1, 1), '' order by place)
        from generate_series(0, 12) place
    )"""

PURCHASE_COLUMNS: Final = {
    "day": day_of("q.created_at"),
    "at": "q.created_at",
    "purchase": _PURCHASE_ID,
    "kind": named("q.kind", _lower(PurchaseKind)),
    "status": named("q.state", _lower(PurchaseState)),
    "balance": "b.key",
    "amount": "q.amount",
    "unit": "coalesce(b.currency, b.unit)",
    "net": "q.net",
    "tax": "q.tax",
    "total": "q.total",
    "currency": "q.currency",
    "paid_at": "p.ended_at",
    "provider": "p.provider",
    "payment": "p.payment_key",
    "reference": "p.reference",
}

PURCHASES: Final = f"""
select {{columns}}
from (
    select * from purchases
    where tenant_id = $1 and created_at >= $4 and created_at < $5
        and kind <> {PurchaseKind.INVOICE.value}
    order by purchase_id
) q
left join balances b on b.tenant_id = $1 and b.balance_id = q.balance_id
left join lateral (
    select payment_key, provider, reference, ended_at from payments
    where tenant_id = $1 and purchase_id = q.purchase_id
        and state in ({PaymentState.PAID.value}, {PaymentState.TAKEN_BACK.value})
    order by try limit 1
) p on true"""

COLUMNS: Final[Mapping[Table, Mapping[str, str]]] = {
    **dict.fromkeys(OF_USAGE, USAGE_COLUMNS),
    Table.BROADCASTS: BROADCAST_COLUMNS,
    Table.CHARGES: CHARGE_COLUMNS,
    Table.LEDGER: LEDGER_COLUMNS,
    Table.PURCHASES: PURCHASE_COLUMNS,
}

#: When the first and the last thing of a table was, for what bounds a range of any length.
SPANS: Final[Mapping[Table, str]] = {
    **dict.fromkeys(
        OF_USAGE, "select min(bucket), max(bucket) from usage_hour where tenant_id = $1"
    ),
    Table.BROADCASTS: "select min(first_at), max(first_at) from broadcasts where tenant_id = $1",
    Table.CHARGES: CHARGES_SPAN,
    Table.LEDGER: "select min(at), max(at) from transfers where tenant_id = $1",
    Table.PURCHASES: "select min(created_at), max(created_at) from purchases where tenant_id = $1",
}

#: How many rows there are about in `[$2, $3)`: counted by an index, whatever is narrowed.
ABOUT: Final[Mapping[Table, str]] = {
    **dict.fromkeys(
        OF_USAGE,
        "select count(*) from usage_day where tenant_id = $1 and bucket >= $2 and bucket < $3",
    ),
    Table.BROADCASTS: """
select count(*) from broadcasts where tenant_id = $1 and first_at >= $2 and first_at < $3""",
    Table.CHARGES: "select count(*) from facts where tenant_id = $1 and at >= $2 and at < $3",
    Table.LEDGER: "select count(*) from transfers where tenant_id = $1 and at >= $2 and at < $3",
    Table.PURCHASES: """
select count(*) from purchases where tenant_id = $1 and created_at >= $2 and created_at < $3""",
}
