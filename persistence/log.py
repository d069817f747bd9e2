"""The log: kept facts read back in fact order, page by page (EV-4).

Owns the order and what a fact's row says with its latest revision. Making a fact of a row is the
edge's, which read it first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from domain.facts import Flag, Status, Type
from persistence.connection import Connection


class Place(NamedTuple):
    """Where a fact stands in its tenant's log; of one instant what contacts did comes first."""

    at: int
    rank: int
    source: str
    id: str


#: Before every fact.
BEGINNING = Place(-(1 << 63), 0, "", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFact:
    """A fact as it was kept, and what became of it last."""

    at: int
    rank: int
    key: bytes
    version: int  #: of the commit that kept it
    arrived_at: int
    number_id: int
    type: int
    status: int
    flags: int
    revision: int  #: that status and flags are of; 0: the fact's own row
    source: str
    id: str
    party: str
    country: str
    category: str
    data: str  #: canonical JSON

    @property
    def place(self) -> Place:
        return Place(self.at, self.rank, self.source, self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedFact(KeptFact):
    """With the one charge that stands in its own row, where it has one."""

    balance_id: int | None
    rule_id: int | None
    units: int | None
    amount: int | None
    lot_id: int | None
    came_unrated: int | None  #: of what was rated in a closed period, the flags it had without
    rated_by: int | None  #: the version that rated it there


def was_chargeable(fact: PostedFact) -> bool:
    """Whether a fact was ever something to charge: it may be the one that charged a message."""
    charged = fact.rule_id is not None or fact.flags & Flag.FURTHER
    return bool(charged or fact.revision or fact.status == Status.UNRATED)


_KEPT = """
    f.at, r.rank, f.key, f.version, f.arrived_at, f.number_id, f.type, f.source, f.id, f.party,
    coalesce(f.country, '') as country, coalesce(f.category, '') as category, f.data,
    coalesce(v.status, f.status) as status, coalesce(v.flags, f.flags) as flags,
    coalesce(v.revision, 0) as revision"""

_REVISIONS = "from revisions where tenant_id = f.tenant_id and at = f.at and key = f.key and status"

# A fact may have come unrated, or settling may have found it so. Hardly any was rated in a closed
# period: what is asked for in a `case` is not looked for in vain.
_OWN = f"""
    f.balance_id, f.rule_id, f.units, f.amount, f.lot_id,
    case when v.status = {Status.ADJUSTED.value} then coalesce(
        (select flags {_REVISIONS} = {Status.UNRATED.value} order by revision desc limit 1),
        case when f.status = {Status.UNRATED.value} then f.flags end
    ) end as came_unrated,
    case when v.status = {Status.ADJUSTED.value} then (
        select version {_REVISIONS} = {Status.ADJUSTED.value} and revision > coalesce(
            (select max(revision) {_REVISIONS} = {Status.UNRATED.value}),
            case when f.status = {Status.UNRATED.value} then 0 end
        )
        order by revision limit 1
    ) end as rated_by"""

#: Of facts `f` each one's rank (`r`) and its latest revision, if it has one (`v`).
_BESIDE = f"""
cross join lateral (
    select case
        when f.type = {Type.MESSAGE_RECEIVED.value} then 1
        when f.type = {Type.CALL_ENDED.value} and readable(f.data) ->> 'direction' = 'in' then 1
        else 2 end as rank
) r
left join lateral (
    select status, flags, revision, version from revisions
    where tenant_id = f.tenant_id and at = f.at and key = f.key
    order by revision desc
    limit 1
) v on true"""

#: Facts as `f`, with both.
OF_FACTS = f"""
from facts f{_BESIDE}"""

# The index gives the instants in order, so that a page reads no more than a page.
PAGE = f"""
select {_KEPT}, {_OWN}
{OF_FACTS}
where f.tenant_id = $1 and f.at >= $2 and f.at < $6
    and (f.at, r.rank, f.source, f.id) > ($2, $3, $4, $5)
order by f.at, r.rank, f.source, f.id
limit $7"""


async def page(
    connection: Connection, tenant_id: int, *, after: Place, until: int, limit: int
) -> list[PostedFact]:
    """The next facts of a tenant, in fact order: those behind a place and before an instant."""
    rows = await connection.fetch(PAGE, tenant_id, *after, until, limit)
    return [PostedFact(**row) for row in rows]


# All that came less what is ahead: a tenant's whole past is not read for it.
CAME_BEHIND = f"""
select (
    select coalesce(sum(facts), 0)::bigint from commits where tenant_id = $1 and version > $2
) - (
    select count(*) {OF_FACTS}
    where f.tenant_id = $1 and f.at >= $3 and f.version > $2
        and (f.at, r.rank, f.source, f.id) > ($3, $4, $5, $6)
)"""


async def came_behind(connection: Connection, tenant_id: int, *, after: int, upto: Place) -> int:
    """How many facts of later versions than `after` stand at a place or before it."""
    found: int = await connection.fetchval(CAME_BEHIND, tenant_id, after, *upto)
    return found


# In the order they came; those that were unrated when their period was closed stand at its end.
# What came before a closing, but after the period's end, is in no figures at that end. A call may
# have ended after its period did.
ADJUSTED = f"""
select greatest(f.arrived_at, $3::bigint) as came_at, {_KEPT}, {_OWN}
{OF_FACTS}
where f.tenant_id = $1 and f.status = {Status.ADJUSTED.value}
    and (f.version > $2 or f.arrived_at >= $3)
union all
select greatest(f.arrived_at, $3::bigint) as came_at, {_KEPT}, {_OWN}
from (
    select distinct at, key from revisions
    where tenant_id = $1 and status = {Status.ADJUSTED.value}
) revised
join facts f on f.tenant_id = $1 and f.at = revised.at and f.key = revised.key{_BESIDE}
where f.status <> {Status.ADJUSTED.value} and v.status = {Status.ADJUSTED.value}
    and (v.version > $2 or f.arrived_at >= $3)
union all
select greatest(f.arrived_at, $3::bigint) as came_at, {_KEPT}, {_OWN}
{OF_FACTS}
where f.tenant_id = $1 and f.status = {Status.UNRATED.value}
    and (f.at < $3 or f.type = {Type.CALL_ENDED.value})
    and (f.version > $2 or f.arrived_at >= $3)
    and coalesce(v.status, f.status) = {Status.UNRATED.value} and exists (
        select from checkpoints c
        where c.tenant_id = f.tenant_id and c.settings is null and c.version < f.version
            and c.at > f.at - case when f.type = {Type.CALL_ENDED.value} then 1000000
                * ceil(coalesce((readable(f.data) ->> 'seconds')::numeric, 0))::bigint else 0 end
    )
order by came_at, source, id"""


async def adjusted(
    connection: Connection, tenant_id: int, *, after: int, closed_until: int
) -> list[tuple[int, PostedFact]]:
    """Facts that were adjusted by versions later than `after`, and when each took part.

    With those that came too late without a rate: who visited that way is known by it.
    """
    rows = await connection.fetch(ADJUSTED, tenant_id, after, closed_until)
    found = []
    for row in rows:
        values = dict(row)
        came_at = values.pop("came_at")
        found.append((came_at, PostedFact(**values)))
    return found


# What came unrated, and what settling found to be; what was rated since stands in `revisions` and
# is passed over. Each half goes by an index of its own, and reads no more than a page.
UNRATED = f"""
(
    select {_KEPT}
    {OF_FACTS}
    where f.tenant_id = $1 and f.status = {Status.UNRATED.value}
        and f.at >= greatest($2::bigint, $3::bigint)
        and (f.at, r.rank, f.source, f.id) > ($3, $4, $5, $6)
        and coalesce(v.status, f.status) = {Status.UNRATED.value}
    order by f.at, r.rank, f.source, f.id
    limit $7
)
union all
(
    select {_KEPT}
    from revisions revised
    join facts f on f.tenant_id = $1 and f.at = revised.at and f.key = revised.key{_BESIDE}
    where revised.tenant_id = $1 and revised.status = {Status.UNRATED.value}
        and revised.at >= greatest($2::bigint, $3::bigint)
        and f.status <> {Status.UNRATED.value} and v.revision = revised.revision
        and (f.at, r.rank, f.source, f.id) > ($3, $4, $5, $6)
    order by revised.at, r.rank, f.source, f.id
    limit $7
)
order by at, rank, source, id
limit $7"""


async def unrated(
    connection: Connection, tenant_id: int, *, since: int, after: Place = BEGINNING, limit: int
) -> list[KeptFact]:
    """The next facts of a tenant that no rate covers, in fact order: from `since` on."""
    rows = await connection.fetch(UNRATED, tenant_id, since, *after, limit)
    return [KeptFact(**row) for row in rows]
