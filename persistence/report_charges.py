"""Charges in a report: one line for each part of a fact, as it stands after settling.

Owns those statements. A line is of its fact's latest revision, on the day on which usage counts it:
that of the fact's beginning or, adjusted, that of its arrival (EV-3). So for the same range and
filter they come to what series and summary say.
"""

from __future__ import annotations

from typing import Final

from domain.facts import GROUP_MARK, TYPES, Status, Type
from domain.lots import LotSource
from domain.periods import SECOND
from persistence.actions import ActionKind
from persistence.report_words import CHANNEL, LOT, day_of, named
from persistence.usage import Dimension
from persistence.usage_lines import AHEAD_MAX

_JSON: Final = "readable(f.data)"
# Looked for before it is read: most have none. It may be the name of something within unknown data.
_USER: Final = f"""case when f.data like '%"user":"%'
        then coalesce({_JSON} ->> 'user', '') else '' end"""
_BROADCAST: Final = f"""case when f.data like '%"broadcast":"%'
        then coalesce({_JSON} ->> 'broadcast', '') else '' end"""
_CALL: Final = Type.CALL_ENDED.value
_BEGAN: Final = f"""case when f.type = {_CALL} then f.at
        - ceil(coalesce(({_JSON} ->> 'seconds')::numeric, 0))::bigint * {SECOND} else f.at end"""
_OUT: Final = ", ".join(
    str(each.value) for each in Type
    if each is Type.EMAIL_SENT or (each.name.startswith("MESSAGE_")
    and each is not Type.MESSAGE_RECEIVED)
)  # fmt: skip
_DIRECTION: Final = f"""case when f.type = {Type.MESSAGE_RECEIVED.value} then 'in'
        when f.type in ({_OUT}) then 'out'
        when f.type = {_CALL} then coalesce({_JSON} ->> 'direction', '') else '' end"""
_STATUS: Final = "coalesce(v.status, f.status)"

#: By what is narrowed, an expression of text; the values are an array of it.
CHARGE_DIMENSIONS: Final = {
    Dimension.NUMBER: "n.address",
    Dimension.CHANNEL: CHANNEL,
    Dimension.COUNTRY: "coalesce(f.country, '')",
    Dimension.DIRECTION: _DIRECTION,
    Dimension.CATEGORY: "coalesce(f.category, '')",
    Dimension.USER: _USER,
    Dimension.BROADCAST: _BROADCAST,
}

_PLACE: Final = "int8send(f.at) || f.key || int2send(c.part) || int4send(c.revision)"

CHARGE_COLUMNS: Final = {
    "day": day_of("f.counted_at"),
    "at": "f.at",
    "charge": f"""'chg_' || translate(
        rtrim(encode({_PLACE} || '\\x00'::bytea, 'base64'), '='), '+/', '-_')""",
    "fact": "f.id",
    "source": "f.source",
    "type": named("f.type", {kind.value: name for name, kind in TYPES.items()}),
    "channel": CHANNEL,
    "number": "n.address",
    "direction": _DIRECTION,
    "contact": f"case when f.party like '{GROUP_MARK}%' then '' else f.party end",
    "group": f"case when f.party like '{GROUP_MARK}%' then substr(f.party, 2) else '' end",
    "country": "f.country",
    "category": "f.category",
    "market": "f.market",
    "user": _USER,
    "broadcast": _BROADCAST,
    "rule": "r.rule",
    "balance": "b.key",
    "units": "coalesce(c.units, 0)",
    "amount": "c.amount",
    "unit": "coalesce(b.currency, b.unit)",
    "initial": "l.initial",
    "top_up": "c.amount - l.initial",
    "refunded": "coalesce(back.amount, 0)",
    "lots": "l.lots",
    "revision": "c.revision",
    "status": named("f.status_now", {each.value: each.name.lower() for each in Status}),
    "booked_at": "c.booked_at",
}

#: Facts whose charges count when they began, those of calls that end behind the range but began in
#: it, and those that count when they came.
_BY_BEGINNING: Final = f"""f.at >= $4 and f.at < $5 and {_BEGAN} >= $4
        and {_STATUS} <> {Status.ADJUSTED.value}"""
_LONGEST: Final = 366 * 86_400 * SECOND
_BY_CALL: Final = f"""f.at >= $5 and f.at < $5 + {_LONGEST} and f.type = {_CALL}
        and {_BEGAN} >= $4 and {_BEGAN} < $5 and {_STATUS} <> {Status.ADJUSTED.value}"""
_BY_ARRIVAL: Final = f"""f.arrived_at >= $4 and f.arrived_at < $5
        and f.status = {Status.ADJUSTED.value}"""
# What had no rate as its period was closed is adjusted by the rate, and its own row says otherwise:
# it counts when it came, or where what was closed by then ends.
_RATED: Final = f"""(
        select greatest(f.arrived_at, coalesce(max((body ->> 'closed_until')::bigint), 0))
        from actions
        where tenant_id = $1 and kind = {ActionKind.PERIOD_CLOSE.value} and version < (
            select version from revisions
            where tenant_id = $1 and at = f.at and key = f.key
                and status = {Status.ADJUSTED.value}
            order by revision
            limit 1
        )
    )"""
_BY_RATE: Final = f"""f.at < $5 + {AHEAD_MAX} and f.status <> {Status.ADJUSTED.value}
        and (f.at, f.key) in (
            select at, key from revisions
            where tenant_id = $1 and status = {Status.ADJUSTED.value} and at < $5 + {AHEAD_MAX}
        )
        and v.status = {Status.ADJUSTED.value} and {_RATED} >= $4 and {_RATED} < $5"""

CHARGES: Final = tuple(
    f"""
select {{columns}}
from (
    select f.*, {counted} as counted_at, {_STATUS} as status_now, v.revision as latest
    from facts f
    left join lateral (
        select revision, status from revisions
        where tenant_id = $1 and at = f.at and key = f.key
        order by revision desc limit 1
    ) v on true
    where f.tenant_id = $1 and {which}
    order by {order}
) f
cross join lateral (
    select 0::smallint as part, 0 as revision, f.arrived_at as booked_at, f.balance_id, f.rule_id,
        f.units, f.amount,
        case when f.lot_id is null then '{{{{}}}}'::integer[] else array[f.lot_id] end as lots,
        case when f.lot_id is null then '{{{{}}}}'::bigint[] else array[f.amount] end as taken
    where f.latest is null and (f.lot_id is not null or f.amount = 0)
    union all
    select part, revision, booked_at, balance_id, rule_id, units, amount, lots, taken
    from charges
    where tenant_id = $1 and at = f.at and key = f.key and not reversal
        and revision = coalesce(f.latest, 0)
) c
left join lateral (
    select channel, address from numbers where tenant_id = $1 and number_id = f.number_id offset 0
) n on true
left join balances b on b.tenant_id = $1 and b.balance_id = c.balance_id
left join rules r on r.rule_id = c.rule_id
cross join lateral (
    select string_agg({LOT} || ' ' || trim_scale(leg.taken * 0.000001), '; ' order by leg.place)
            as lots,
        coalesce(sum(leg.taken) filter (where l.source = {LotSource.ALLOWANCE.value}), 0)::bigint
            as initial
    from unnest(c.lots, c.taken) with ordinality leg (lot_id, taken, place)
    join lots l on l.tenant_id = $1 and l.lot_id = leg.lot_id
) l
left join lateral (
    select sum((body ->> 'amount')::bigint)::bigint as amount from actions
    where tenant_id = $1
        and subject = 'charge/' || f.at || '/' || encode(f.key, 'hex') || '/' || c.part
) back on true
where true{{narrowed}}"""
    for counted, which, order in (
        (_BEGAN, _BY_BEGINNING, "f.at, f.key"),
        (_BEGAN, _BY_CALL, "f.at, f.key"),
        ("f.arrived_at", _BY_ARRIVAL, "f.arrived_at, f.at, f.key"),
        (_RATED, _BY_RATE, "f.at, f.key"),
    )
)

#: When the first and the last of them was, for what bounds a range of any length.
CHARGES_SPAN: Final = f"""
select least(min(at) - {_LONGEST}, min(arrived_at)), greatest(max(at), max(arrived_at))
from (
    (select at, arrived_at from facts where tenant_id = $1 order by at limit 1)
    union all
    (select at, arrived_at from facts where tenant_id = $1 order by at desc limit 1)
    union all
    (select arrived_at, arrived_at from facts
    where tenant_id = $1 and status = {Status.ADJUSTED.value} order by arrived_at limit 1)
    union all
    (select arrived_at, arrived_at from facts
    where tenant_id = $1 and status = {Status.ADJUSTED.value} order by arrived_at desc limit 1)
    union all
    (select max(arrived_at), max(arrived_at) from facts
    where tenant_id = $1 and (at, key) in (
        select at, key from revisions where tenant_id = $1 and status = {Status.ADJUSTED.value}
    ))
    union all
    (select max((body ->> 'closed_until')::bigint), null from actions
    where tenant_id = $1 and kind = {ActionKind.PERIOD_CLOSE.value})
) ends"""
