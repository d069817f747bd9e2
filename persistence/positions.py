"""Where facts stand in free counts and tiers: counted when asked, in fact order (EV-9, PR-4, PR-7).

Owns one statement, for many facts of many counts, and the one before it that says when their months
begin at each number; stores no position. The running totals that rate facts as they arrive are in
`counters`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from domain.facts import Flag
from persistence.connection import Connection
from persistence.door import Door
from persistence.explanations import Place
from persistence.zones import read_zone


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """A free count or the tiers of one month, as what was counted in it."""

    tenant_id: int
    number_id: int  #: 0: all numbers of the tenant
    rules: tuple[int, ...]  #: that share it
    month: int  #: label, in the zone of each fact's number
    charged: bool | None  #: what was charged counts; False: what was free; None: both
    kind: tuple[int, str | None, str | None] | None  #: only of this channel, market and category
    opening: int  #: only facts with this flag count; 0: all
    entry: int  #: how long a free-entry window lasts: what it frees does not count (PR-4)


NUMBERS = """
select tenant_id, number_id, zones::text as zones from numbers
where tenant_id = any ($1::bigint[]) order by tenant_id, number_id"""

# Facts of a month in fact order, up to the last one asked for; a number's month is told by its two
# instants, for its zone may have been exchanged (TZ-3). What a free-entry window let pass has the
# same row and amount as what the count let pass, so it is told by the window. Tiers count what
# money paid: units that a balance of units paid are in none.
POSITIONS = f"""
with counts as materialized (
    select c.*, (
        select array_agg(r.rule_id) from unnest($10::integer[], $11::integer[]) r (n, rule_id)
        where r.n = c.n
    ) as rules
    from unnest(
            $1::bigint[], $2::bigint[], $3::bigint[], $4::boolean[],
            $5::smallint[], $6::text[], $7::text[], $8::integer[], $9::bigint[])
        with ordinality
        c (tenant_id, start, until, charged, channel, market, category, opening, entry, n)
),
months as materialized (
    select * from unnest($15::integer[], $16::bigint[], $17::bigint[], $18::bigint[])
        m (n, number_id, starts_at, ends_at)
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
                f.market, f.category, h.flags
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
        join months m on m.n = c.n and m.number_id = x.number_id
        where x.at >= m.starts_at and x.at < m.ends_at
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
from unnest($12::integer[], $13::bigint[], $14::bytea[]) asked (n, at, key)
join placed p using (n, at, key)"""


async def positions(
    door: Door, asked: Collection[tuple[Count, Place]]
) -> dict[tuple[Count, Place], tuple[int, int]]:
    """Where facts stand in their counts: what of them was counted, and the count with it (micros).

    A fact that its count did not count has no place in it.
    """
    counts = list(dict.fromkeys(count for count, _ in asked))
    numbers = {count: n for n, count in enumerate(counts, 1)}
    until: dict[Count, int] = {}
    for count, place in asked:
        until[count] = max(until.get(count, place.at), place.at)
    rules = [(numbers[count], rule) for count in counts for rule in count.rules]
    places = [(numbers[count], place.at, place.key) for count, place in asked]
    async with door.tenant_tx(*{count.tenant_id for count in counts}) as connection:
        months = await _months(connection, counts)
        starts = {n: until[counts[n - 1]] for n in numbers.values()}
        for n, _, starts_at, _ in months:
            starts[n] = min(starts[n], starts_at)
        rows = await connection.fetch(
            POSITIONS,
            [count.tenant_id for count in counts],
            list(starts.values()),
            [until[count] for count in counts],
            [count.charged for count in counts],
            *([count.kind and count.kind[i] for count in counts] for i in range(3)),
            [count.opening for count in counts],
            [count.entry for count in counts],
            *([rule[i] for rule in rules] for i in range(2)),
            *([place[i] for place in places] for i in range(3)),
            *([month[i] for month in months] for i in range(4)),
        )
    found = {}
    for row in rows:
        count = counts[row["n"] - 1]
        place = Place(count.tenant_id, row["at"], row["key"])
        found[count, place] = (int(row["units"]), int(row["position"]))
    return found


async def _months(
    connection: Connection, counts: Sequence[Count]
) -> list[tuple[int, int, int, int]]:
    """The place of each count, with each of its numbers and the two instants of the month there."""
    rows = await connection.fetch(NUMBERS, list({count.tenant_id for count in counts}))
    return [
        (n, row["number_id"], *read_zone(row["zones"]).month_bounds(count.month))
        for n, count in enumerate(counts, 1)
        for row in rows
        if row["tenant_id"] == count.tenant_id and count.number_id in (0, row["number_id"])
    ]
