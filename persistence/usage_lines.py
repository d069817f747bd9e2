"""What a period's charges took from which lots, summed up for its lines: read, never written.

Owns one statement. It sums charges as they stand after settling: a reversal has what it takes back,
so both are added, the one below zero. Which line that makes, and who is asked for it, is
`domain.usage_lines`'s to say.

What belongs to a period is what its lots paid: facts by when they began (a call's start, VO-1), and
facts of closed periods by the instant they were adjusted at (EV-3).
"""

from __future__ import annotations

from dataclasses import dataclass

from domain.facts import Status, Type
from domain.ledger import INVOICED, OVERAGE, WRITTEN_OFF
from domain.lots import LotSource
from domain.periods import DAY, SECOND, Period
from domain.usage_lines import Drawn, Overdraft
from persistence.actions import ActionKind
from persistence.connection import Connection

#: After a closing nothing of the period comes but what is adjusted; facts may be a little ahead.
AHEAD_MAX = DAY

_BEGAN = f"""f.at - case when f.type = {Type.CALL_ENDED.value}
        then ceil(coalesce((readable(f.data) ->> 'seconds')::numeric, 0))::bigint * {SECOND}
        else 0 end"""

# Behind the end only calls that began before it are looked for, as far as they can have been there
# when the period was closed.
_WITHIN = f"""(f.at < $3 or f.type = {Type.CALL_ENDED.value})
        and {_BEGAN} >= $2 and {_BEGAN} < $3"""

#: What a closing takes out of lots.
TAKEN = ", ".join(map(str, (INVOICED, OVERAGE, WRITTEN_OFF)))

# A charge's units are where its last leg is: each is counted once.
_LEGS = """
    select h.balance_id, h.rule_id, f.category, f.market, leg.lot_id,
        case when leg.n = cardinality(h.lots) then way.sign * h.units else 0 end as units,
        way.sign * leg.taken as taken,
        case when leg.n = cardinality(h.lots) then way.sign else 0 end as charges"""
_OF_LEGS = """
    cross join lateral (select case when h.reversal then -1 else 1 end as sign) way
    cross join lateral unnest(h.lots, h.taken) with ordinality leg (lot_id, taken, n)"""

# What was unrated when its period was closed takes part where the rate came, in what was open then,
# with what is charged from that revision on: of before it is what it cost until settling found it
# unrated. An adjusted fact's own row says when it came.
USED = f"""
with reach as materialized (
    select least(coalesce(
        (select closed_at from periods where tenant_id = $1 and month = $4), {1 << 62}::bigint
    ), {1 << 62}::bigint) + {AHEAD_MAX} as until
),
adjusted as materialized (
    select f.at, f.key, 0 as revision
    from facts f
    where f.tenant_id = $1 and f.status = {Status.ADJUSTED.value}
        and f.arrived_at >= $2 and f.arrived_at < $3
    union all
    select f.at, f.key, rated.revision
    from (
        select at, key, min(revision) as revision, min(version) as version from revisions
        where tenant_id = $1 and status = {Status.ADJUSTED.value} and at < $3 + {AHEAD_MAX}
        group by at, key
    ) rated
    join facts f on f.tenant_id = $1 and f.at = rated.at and f.key = rated.key
    cross join lateral (
        select greatest(f.arrived_at, coalesce(max((body ->> 'closed_until')::bigint), 0)) as at
        from actions
        where tenant_id = $1 and kind = {ActionKind.PERIOD_CLOSE.value} and version < rated.version
    ) paid
    where f.status <> {Status.ADJUSTED.value} and paid.at >= $2 and paid.at < $3
),
legs as (
    select f.balance_id, f.rule_id, f.category, f.market, f.lot_id, f.units, f.amount as taken,
        1 as charges
    from facts f
    where f.tenant_id = $1 and f.at >= $2 and f.at < (select until from reach)
        and f.status = {Status.ACCEPTED.value} and f.lot_id is not null
        and {_WITHIN}
    union all
    select f.balance_id, f.rule_id, f.category, f.market, f.lot_id, f.units, f.amount, 1
    from adjusted a
    join facts f on f.tenant_id = $1 and f.at = a.at and f.key = a.key
    where a.revision = 0 and f.lot_id is not null
    union all
    {_LEGS}
    from charges h
    join facts f on f.tenant_id = $1 and f.at = h.at and f.key = h.key
    {_OF_LEGS}
    where h.tenant_id = $1 and h.at >= $2 and h.at < (select until from reach)
        and f.status <> {Status.ADJUSTED.value}
        and {_WITHIN}
        and not exists (
            select from revisions
            where tenant_id = $1 and at = f.at and key = f.key
                and status = {Status.ADJUSTED.value} and revision <= h.revision
        )
    union all
    {_LEGS}
    from adjusted a
    join facts f on f.tenant_id = $1 and f.at = a.at and f.key = a.key
    join charges h on h.tenant_id = $1 and h.at = a.at and h.key = a.key
        and h.revision >= a.revision
    {_OF_LEGS}
),
drawn as (
    select balance_id, rule_id, category, market, lot_id, sum(units)::bigint as units,
        sum(taken)::bigint as taken, sum(charges)::bigint as charges
    from legs
    group by balance_id, rule_id, category, market, lot_id
    having sum(taken) <> 0 or sum(units) <> 0
),
asked as materialized (
    select substr(credit, 5)::integer as lot_id, sum(amount)::bigint as amount
    from transfers
    where tenant_id = $1 and cause in ({TAKEN}) and at = $3::bigint - 1 and credit like 'lot/%'
    group by 1
),
overdrafts as (
    select l.balance_id, l.lot_id, days.before, days.used,
        days.moved + coalesce(asked.amount, 0) as moved,
        case when $5 then coalesce(asked.amount, 0) end as asked
    from lots l
    left join asked using (lot_id)
    cross join lateral (
        select coalesce(sum(used + moved) filter (where day < $2), 0)::bigint as before,
            coalesce(sum(used) filter (where day >= $2), 0)::bigint as used,
            coalesce(sum(moved) filter (where day >= $2), 0)::bigint as moved
        from lot_days
        where tenant_id = $1 and lot_id = l.lot_id and day < $3
    ) days
    where l.tenant_id = $1 and l.source = {LotSource.OVERDRAFT.value}
        and l.starts_at < $3
        and (l.ends_at is null or l.ends_at > $2 or asked.amount is not null)
)
select b.key as balance, d.category, d.market, r.rule, l.lot_id, l.source, d.units, d.taken,
    d.charges, o.before, o.used, o.moved, o.asked
from drawn d
full join overdrafts o using (balance_id, lot_id)
join balances b on b.tenant_id = $1 and b.balance_id = coalesce(d.balance_id, o.balance_id)
join lots l on l.tenant_id = $1 and l.lot_id = coalesce(d.lot_id, o.lot_id)
left join rules r on r.rule_id = d.rule_id"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What the books say of a period's usage."""

    drawn: tuple[Drawn, ...]
    overdrafts: tuple[Overdraft, ...]


async def used(
    connection: Connection, tenant_id: int, period: Period, *, invoiced: bool = False
) -> Used:
    """What a period's charges took from lots, and what overdrafts came to by its end.

    Only of a closed period it is for good; of an open one it is what stands now. `invoiced` says
    that its closing took out what is asked for.
    """
    rows = await connection.fetch(USED, tenant_id, period.start, period.end, period.label, invoiced)
    drawn: list[Drawn] = []
    overdrafts: dict[int, Overdraft] = {}
    for row in rows:
        if row["before"] is not None:
            overdrafts[row["lot_id"]] = Overdraft(
                balance=row["balance"],
                lot_id=row["lot_id"],
                before=row["before"],
                used=row["used"],
                moved=row["moved"],
                asked=row["asked"],
            )
        if row["taken"] is not None:
            drawn.append(
                Drawn(
                    balance=row["balance"],
                    category=row["category"],
                    market=row["market"],
                    rule=row["rule"],
                    lot_id=row["lot_id"],
                    source=LotSource(row["source"]),
                    units=row["units"],
                    taken=row["taken"],
                    charges=row["charges"],
                )
            )
    return Used(drawn=tuple(drawn), overdrafts=tuple(overdrafts.values()))
