"""What a simulation reads beside the log: how much there is, bought units, where lots came from.

Owns those statements, and a table of the session's own that knows which messages were charged. In
the books it writes nothing: its transactions are read-only but for the one that makes the table.
"""

from __future__ import annotations

from collections.abc import Sequence

from domain.facts import Fact, Type
from domain.lots import Lot, LotSource
from domain.periods import DAY
from persistence.bulk import Columns, insert
from persistence.connection import Connection
from persistence.settling import claims, open_contacts

# A table of the session: it goes with the connection, whatever ends that.
OPEN = """
create temp table if not exists messages_simulated (message bytea primary key);
truncate messages_simulated"""


async def begin(connection: Connection) -> None:
    """Begin with no contact met and no message charged; of the connection's own."""
    await open_contacts(connection)
    await connection.execute(OPEN)


COUNT = "select count(*) from facts where tenant_id = $1 and at >= $2 and at < $3"


async def count(connection: Connection, tenant_id: int, start: int, end: int) -> int:
    """How many facts there are of a stretch of time."""
    found: int = await connection.fetchval(COUNT, tenant_id, start, end)
    return found


# A call goes by its start and stands in the log at its end (VO-1).
LAST_CALL = f"""
select max(at) from facts
where tenant_id = $1 and at >= $2 and at < $3 and type = {Type.CALL_ENDED.value}
    and at - ceil((readable(data) ->> 'seconds')::numeric) * 1000000 < $2"""


async def end_of_calls(connection: Connection, tenant_id: int, end: int) -> int:
    """The instant after the last call that began before `end`; calls of a day at most."""
    last: int | None = await connection.fetchval(LAST_CALL, tenant_id, end, end + DAY)
    return end if last is None else last + 1


# What is left of them at the start; they cannot pay what happened before it.
BOUGHT = f"""
select l.lot_id, l.balance_id, l.source, l.priority, l.month,
    l.amount - coalesce(days.gone, 0)::bigint as amount,
    greatest(l.starts_at, $2) as starts_at, l.ends_at, l.created_at, l.origin
from lots l
left join lateral (
    select sum(used + moved) as gone from lot_days d
    where d.tenant_id = l.tenant_id and d.lot_id = l.lot_id and d.day < $2
    offset 0
) days on true
where l.tenant_id = $1 and l.source <> {LotSource.OVERDRAFT.value}
    and (l.source <> {LotSource.ALLOWANCE.value} or ($4 and l.month is null))
    and l.starts_at < $3 and (l.ends_at is null or l.ends_at > $2)"""


async def bought(
    connection: Connection, tenant_id: int, start: int, end: int, *, upgrades: bool
) -> list[Lot]:
    """What was left at `start` of the lots no period grants, and those that came by `end`.

    With `upgrades` also what an allowance was raised by within its period.
    """
    found: list[Lot] = []
    for row in await connection.fetch(BOUGHT, tenant_id, start, end, upgrades):
        values = dict(row)
        values["source"] = LotSource(values["source"])
        found.append(Lot(**values))
    return found


async def sources(connection: Connection, tenant_id: int) -> dict[int, LotSource]:
    """Where each of a tenant's lots came from."""
    rows = await connection.fetch("select lot_id, source from lots where tenant_id = $1", tenant_id)
    return {row["lot_id"]: LotSource(row["source"]) for row in rows}


_MESSAGES = Columns("message bytea")
CHARGE = insert("messages_simulated", _MESSAGES, "on conflict do nothing returning message")


async def repeated(
    connection: Connection, tenant_id: int, facts: Sequence[Fact], start: int
) -> dict[bytes, int]:
    """Of facts in fact order that would charge the messages they name: those that come too late.

    Of messages that were charged before `start`, where the reading begins, the books know.
    """
    if not facts:
        return {}
    rows = await connection.fetch(CHARGE, *_MESSAGES.parameters([(f.message,) for f in facts]))
    new = {row["message"] for row in rows}
    found: dict[bytes, int] = {}
    first: list[Fact] = []
    for fact in facts:
        if fact.message in new:
            new.remove(fact.message)
            first.append(fact)
        else:
            found[fact.key] = fact.at
    for key, claim in (await claims(connection, tenant_id, first)).items():
        if claim.charged_at < start:
            found[key] = claim.charged_at
    return found
