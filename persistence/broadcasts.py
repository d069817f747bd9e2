"""Broadcasts as they stand: whom each wrote to, what became of it, and what it took.

Owns the rows of `broadcast_recipients` and `broadcasts` and the reading of them. They are written
with the commit of their facts: states are added to what is there, and a broadcast's counts move by
the differences that makes, so no order of facts changes them and nothing settles them. What a
broadcast cost is read from `usage_day`. Which facts say what is `domain.broadcasts`'.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from domain.broadcasts import FAILED, REACHED, READ, told_by
from domain.facts import Fact
from persistence.bulk import Columns, Row
from persistence.connection import Connection
from persistence.door import Door

RECIPIENTS = Columns(
    "tenant_id bigint, broadcast text, channel smallint, party text, states smallint"
)
SPANS = Columns(
    "tenant_id bigint, broadcast text, first_at bigint, last_at bigint", first=RECIPIENTS.count + 1
)

#: What is counted of a broadcast's recipients, each by its states.
COUNTED = {
    "delivered": f"{{}} & {REACHED} <> 0",
    "read": f"{{}} & {READ} <> 0",
    "failed": f"{{}} & {FAILED | REACHED} = {FAILED}",
}


def _moved(condition: str) -> str:
    """How many more recipients there are since for whom a condition holds."""
    after, before = condition.format("after"), condition.format("before")
    return f"count(*) filter (where {after}) - count(*) filter (where {before})"


def writing(suffix: str = "") -> str:
    """The statement that adds what facts say; `suffix` names tables like these."""
    moved = ", ".join(f"{_moved(condition)} as {name}" for name, condition in COUNTED.items())
    added = ", ".join(f"{name} = b.{name} + excluded.{name}" for name in ("recipients", *COUNTED))
    counts = ", ".join(f"coalesce(moved.{name}, 0)" for name in ("recipients", *COUNTED))
    return f"""
with written as (
    insert into broadcast_recipients{suffix} as r ({RECIPIENTS.names}) {RECIPIENTS.source}
    on conflict (tenant_id, broadcast, channel, party)
        do update set states = r.states | excluded.states
        where r.states | excluded.states <> r.states
    returning r.tenant_id, r.broadcast, old.states as before, new.states as after
), moved as (
    select tenant_id, broadcast, count(*) filter (where before is null) as recipients, {moved}
    from written group by tenant_id, broadcast
)
insert into broadcasts{suffix} as b (
    tenant_id, broadcast, first_at, last_at, recipients, {", ".join(COUNTED)}
)
select spans.tenant_id, spans.broadcast, spans.first_at, spans.last_at, {counts}
from ({SPANS.source}) spans left join moved using (tenant_id, broadcast)
on conflict (tenant_id, broadcast) do update set first_at = least(b.first_at, excluded.first_at),
    last_at = greatest(b.last_at, excluded.last_at), {added}"""


WRITE = writing()


async def write(
    connection: Connection, batch: Iterable[tuple[int, Iterable[Fact]]], statement: str = WRITE
) -> None:
    """Add what facts say of broadcasts; facts of none cost nothing.

    The tenants' locks are held: two who wrote to one broadcast at once would wait for each other.
    """
    recipients: list[Row] = []
    spans: list[Row] = []
    for tenant_id, facts in batch:
        told = told_by(facts)
        recipients += [(tenant_id, *who, states) for who, states in told.recipients.items()]
        spans += [(tenant_id, name, *span) for name, span in told.spans.items()]
    if recipients:
        await connection.execute(
            statement, *RECIPIENTS.parameters(recipients), *SPANS.parameters(spans)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BroadcastRecord:
    """One broadcast, as far as it is by now."""

    name: str
    first_at: int
    last_at: int
    recipients: int
    delivered: int  #: whom it reached
    read: int
    failed: int  #: and did not reach

    @property
    def pending(self) -> int:
        """Of whom nothing is known but that they were written to."""
        return self.recipients - self.delivered - self.failed


#: Behind every broadcast, as pages go.
NEWEST = ((1 << 63) - 1, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A tenant and what is wanted of the list of its broadcasts."""

    tenant_id: int
    start: int  #: they began within `[start, end)`
    end: int
    before: tuple[int, str] = NEWEST  #: place of the last one seen
    search: str | None = None  #: what its name contains, in whatever case


_COLUMNS = "b.broadcast as name, b.first_at, b.last_at, b.recipients, b.delivered, b.read, b.failed"

PAGES = f"""
select asked.n, found.*
from unnest($1::integer[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[],
    $7::text[]) asked (n, tenant_id, starts_at, ends_at, at, name, search),
    lateral (
        select {_COLUMNS} from broadcasts b
        where b.tenant_id = asked.tenant_id and b.first_at >= asked.starts_at
            and b.first_at < asked.ends_at and (b.first_at, b.broadcast) < (asked.at, asked.name)
            and (asked.search is null or strpos(
                lower(b.broadcast collate pg_c_utf8), lower(asked.search collate pg_c_utf8)
            ) > 0)
        order by b.first_at desc, b.broadcast desc
        limit $8
    ) found
order by asked.n, found.first_at desc, found.name desc"""


async def pages(door: Door, asked: Sequence[Asked], *, limit: int) -> list[list[BroadcastRecord]]:
    """For each one asked for, up to `limit` of its broadcasts, the last begun first."""
    columns = zip(
        *[
            (n, each.tenant_id, each.start, each.end, *each.before, each.search)
            for n, each in enumerate(asked)
        ],
        strict=True,
    )
    async with door.tenant_tx(*{each.tenant_id for each in asked}) as connection:
        rows = await connection.fetch(PAGES, *map(list, columns), limit)
    found: list[list[BroadcastRecord]] = [[] for _ in asked]
    for row in rows:
        n, *values = row
        found[n].append(_record(values))
    return found


BY_NAMES = f"""
select asked.n, {_COLUMNS}
from unnest($1::integer[], $2::bigint[], $3::text[]) asked (n, tenant_id, name)
join broadcasts b on b.tenant_id = asked.tenant_id and b.broadcast = asked.name"""


async def by_names(door: Door, asked: Sequence[tuple[int, str]]) -> list[BroadcastRecord | None]:
    """The broadcast of each (tenant, name), in order; None: there is none."""
    tenants, names = (list(column) for column in zip(*asked, strict=True))
    async with door.tenant_tx(*set(tenants)) as connection:
        rows = await connection.fetch(BY_NAMES, list(range(len(asked))), tenants, names)
    found = {row["n"]: _record(tuple(row)[1:]) for row in rows}
    return [found.get(n) for n in range(len(asked))]


def _record(values: Sequence[object]) -> BroadcastRecord:
    names = BroadcastRecord.__dataclass_fields__
    return BroadcastRecord(**dict(zip(names, values, strict=True)))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Figures:
    """What messages of a broadcast were counted as, and what they cost."""

    messages: int = 0  #: that reached their contact
    conversations: int = 0
    cost: int = 0  #: micros of the tenant's currency


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a broadcast took, all in all and apart; of nothing there is no share."""

    total: Figures = Figures()
    by_category: tuple[tuple[str, Figures], ...] = ()
    by_country: tuple[tuple[str, Figures], ...] = ()


_SUMS = ", ".join(
    f"sum(u.{name})::bigint as {name}" for name in ("messages_out", "conversations", "cost")
)

# Each broadcast by its own index: a name is a name of one tenant.
TAKEN = f"""
select asked.n, taken.*
from unnest($1::integer[], $2::bigint[], $3::text[]) asked (n, tenant_id, name),
    lateral (
        select grouping(u.category) = 0 as of_category, grouping(u.country) = 0 as of_country,
            u.category, u.country, {_SUMS}
        from usage_day u
        where u.tenant_id = asked.tenant_id and u.broadcast = asked.name and u.broadcast <> ''
        group by grouping sets ((), (u.category), (u.country))
        offset 0
    ) taken
order by asked.n, taken.messages_out desc, taken.category, taken.country"""


async def taken(door: Door, asked: Sequence[tuple[int, str]]) -> list[Taken]:
    """What the broadcast of each (tenant, name) took, in order; the largest shares first."""
    tenants, names = (list(column) for column in zip(*asked, strict=True))
    async with door.tenant_tx(*set(tenants)) as connection:
        rows = await connection.fetch(TAKEN, list(range(len(asked))), tenants, names)
    total = [Figures() for _ in asked]
    categories: list[list[tuple[str, Figures]]] = [[] for _ in asked]
    countries: list[list[tuple[str, Figures]]] = [[] for _ in asked]
    for n, of_category, of_country, category, country, *sums in rows:
        figures = Figures(*(value or 0 for value in sums))
        if of_category or of_country:
            share = (category if of_category else country, figures)
            if figures != Figures():
                (categories if of_category else countries)[n].append(share)
        else:
            total[n] = figures
    return [
        Taken(total=each, by_category=tuple(categories[n]), by_country=tuple(countries[n]))
        for n, each in enumerate(total)
    ]
