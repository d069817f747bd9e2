"""Where facts stand in free counts and tiers: counted when asked, in fact order (EV-9, PR-4, PR-7).

Owns one statement, for many facts of many counts; stores no position. The running totals that rate
facts as they arrive are in `counters`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from domain.facts import Flag
from persistence.door import Door
from persistence.explanations import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """A free count or the tiers of one month, as what was counted in it."""

    tenant_id: int
    number_id: int  #: 0: all numbers of the tenant
    rules: tuple[int, ...]  #: that share it
    month: str  #: 2026-11, in the zone of each fact's number
    start: int  #: an instant not after the month's start at any of its numbers
    charged: bool | None  #: what was charged counts; False: what was free; None: both
    kind: tuple[int, str | None, str | None] | None  #: only of this channel, market and category
    opening: int  #: only facts with this flag count; 0: all
    entry: int  #: how long a free-entry window lasts: what it frees does not count (PR-4)


# Facts of a month in fact order, up to the last one asked for. What a free-entry window let pass
# has the same row and amount as what the count let pass, so it is told by the window. Tiers count
# what money paid: units that a balance of units paid are in none.
POSITIONS = f"""
with counts as materialized (
    select c.*, (
        select array_agg(r.rule_id) from unnest($12::integer[], $13::integer[]) r (n, rule_id)
        where r.n = c.n
    ) as rules
    from unnest(
            $1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::boolean[],
            $7::smallint[], $8::text[], $9::text[], $10::integer[], $11::bigint[])
        with ordinality
        c (tenant_id, number_id, month, start, until, charged, channel, market, category, opening,
            entry, n)
),
entries as materialized (
    select c.n, o.number_id, o.party, o.at, o.key
    from counts c, lateral (
        select number_id, party, at, key from facts
        where tenant_id = c.tenant_id and at > c.start - c.entry and at <= c.until
            and flags & {Flag.ENTRY_OPENED} <> 0
        offset 0
    ) o
    where c.channel is null
),
placed as materialized (
    select c.n, p.at, p.key, p.units, p.position
    from counts c
    cross join lateral (
        select at, key, sum(units) as units, sum(sum(units)) over (order by at, key) as position
        from (
            select at, key, rule_id, balance_id, units, amount, number_id, party, market, category,
                flags
            from facts
            where tenant_id = c.tenant_id and at >= c.start and at <= c.until
                and rule_id = any (c.rules)
                and not exists (
                    select from charges b
                    where b.tenant_id = c.tenant_id and b.at = facts.at and b.key = facts.key
                        and b.part = 0 and b.revision = 0 and b.reversal
                )
            union all
            select h.at, h.key, h.rule_id, h.balance_id, h.units, h.amount, f.number_id, f.party,
                f.market, f.category, f.flags
            from charges h join facts f using (tenant_id, at, key)
            where h.tenant_id = c.tenant_id and h.at >= c.start and h.at <= c.until
                and h.rule_id = any (c.rules) and not h.reversal
                and not exists (
                    select from charges b
                    where b.tenant_id = c.tenant_id and b.at = h.at and b.key = h.key
                        and b.part = h.part and b.revision = h.revision and b.reversal
                )
        ) x
        join numbers n on n.tenant_id = c.tenant_id and n.number_id = x.number_id
        where (c.number_id = 0 or x.number_id = c.number_id)
            and to_char(moment(x.at) at time zone n.timezone, 'YYYY-MM') = c.month
            and (c.charged is null or (x.amount > 0) = c.charged)
            and (c.opening = 0 or x.flags & c.opening <> 0)
            and (c.channel is null or n.channel = c.channel
                and x.market is not distinct from c.market
                and x.category is not distinct from c.category
                and exists (
                    select from balances b
                    where b.tenant_id = c.tenant_id and b.balance_id = x.balance_id
                        and b.currency is not null
                ))
            and not exists (
                select from entries e
                where e.n = c.n and e.number_id = x.number_id and e.party = x.party
                    and (e.at, e.key) <= (x.at, x.key) and x.at < e.at + c.entry
            )
        group by at, key
    ) p
)
select asked.n, asked.at, asked.key, p.units, p.position
from unnest($14::integer[], $15::bigint[], $16::bytea[]) asked (n, at, key)
join placed p using (n, at, key)"""


async def positions(
    door: Door, asked: Collection[tuple[Count, Place]]
) -> dict[tuple[Count, Place], tuple[int, int]]:
    """Where facts stand in their counts: what of them was counted, and the count with it (micros).

    A fact that its count did not count has no place in it.
    """
    counts = list(dict.fromkeys(count for count, _ in asked))
    numbers = {count: n for n, count in enumerate(counts, 1)}
    until = {count: count.start for count in counts}
    for count, place in asked:
        until[count] = max(until[count], place.at)
    rules = [(numbers[count], rule) for count in counts for rule in count.rules]
    places = [(numbers[count], place.at, place.key) for count, place in asked]
    async with door.tenant_tx(*{count.tenant_id for count in counts}) as connection:
        rows = await connection.fetch(
            POSITIONS,
            [count.tenant_id for count in counts],
            [count.number_id for count in counts],
            [count.month for count in counts],
            [count.start for count in counts],
            [until[count] for count in counts],
            [count.charged for count in counts],
            *([count.kind and count.kind[i] for count in counts] for i in range(3)),
            [count.opening for count in counts],
            [count.entry for count in counts],
            *([rule[i] for rule in rules] for i in range(2)),
            *([place[i] for place in places] for i in range(3)),
        )
    found = {}
    for row in rows:
        count = counts[row["n"] - 1]
        place = Place(count.tenant_id, row["at"], row["key"])
        found[count, place] = (int(row["units"]), int(row["position"]))
    return found
