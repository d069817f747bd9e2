"""A tenant of the real database in the canonical form that `figures` describes.

Owns the queries, and the names that stand for numbers. A lot that nothing was taken from and nobody
gave need not be stored, so one that is there all the same is left out: late facts have opened
overdrafts that in fact order never were.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from domain.facts import GROUP_MARK, Direction, Status
from domain.figures import figures
from domain.periods import date_of, month_name, period
from domain.rollup import USAGE
from persistence import tenants
from persistence.balances import Asked, readings
from persistence.standing import standing_of
from tests.scenarios.world import World
from tests.simulation.driver import FLAGS, side, window

Json = dict[str, Any]

FACTS = """
    select f.source, f.id, coalesce(v.status, f.status) as status,
        coalesce(v.flags, f.flags) as flags, c.part, r.rule, b.key as balance, c.units, c.amount,
        c.lots, c.taken
    from facts f
    left join lateral (
        select status, flags, revision from revisions v
        where v.tenant_id = f.tenant_id and v.at = f.at and v.key = f.key
        order by revision desc limit 1
    ) v on true
    left join lateral (
        select 0 as part, f.rule_id, f.balance_id, f.units, f.amount,
            array_remove(array[f.lot_id], null) as lots, array[f.amount] as taken
        where v.revision is null and f.rule_id is not null
        union all
        select part, rule_id, balance_id, units, amount, lots, taken
        from charges
        where tenant_id = f.tenant_id and at = f.at and key = f.key and not reversal
            and revision = coalesce(v.revision, 0)
    ) c on true
    left join rules r on r.rule_id = c.rule_id
    left join balances b on b.tenant_id = f.tenant_id and b.balance_id = c.balance_id
    where f.tenant_id = $1 order by f.source, f.id, c.part"""

LOTS = """
    select lot_id, b.key || ' ' || l.origin as name, l.origin, l.amount, l.used, l.moved, l.lapsed,
        l.starts_at, l.ends_at
    from lots l join balances b using (tenant_id, balance_id) where l.tenant_id = $1"""

DAYS = "select lot_id, day, used, moved from lot_days where tenant_id = $1"

CONTACTS = """
    select n.address, c.* from contacts c join numbers n using (tenant_id, number_id)
    where c.tenant_id = $1"""

USED = """
    select n.address, u.* from usage_hour u join numbers n using (tenant_id, number_id)
    where u.tenant_id = $1"""


async def stored(world: World, tenant: str, since: int, until: int, refused: list[str]) -> Json:
    """Everything that is compared, as it stands at `until`; months from `since` on."""
    lots = {row["lot_id"]: row for row in await world.rows(tenant, LOTS)}
    contacts = await world.rows(tenant, CONTACTS)
    return {
        "facts": await _facts(world, tenant, {n: row["origin"] for n, row in lots.items()}),
        "refused": sorted(refused),
        "lots": {
            row["name"]: {
                "amount": row["amount"], "used": row["used"], "moved": row["moved"],
                "lapsed": row["lapsed"], "starts": row["starts_at"], "ends": row["ends_at"],
            }
            for row in lots.values()
            if row["used"] or row["moved"] or row["origin"].startswith("action/")
        },
        "days": await _days(world, tenant, {n: row["name"] for n, row in lots.items()}),
        "balances": await _balances(world, tenant, since, until),
        "windows": {
            f"{row['address']} {row['party'].replace(GROUP_MARK, 'group ')}": {
                "service": window(row["service_opened_at"], row["service_ends_at"]),
                "conversation": window(row["conversation_opened_at"], row["conversation_ends_at"]),
                "entry": window(row["entry_opened_at"], row["entry_ends_at"]),
            }
            for row in contacts
            if row["service_opened_at"] is not None or row["conversation_opened_at"] is not None
        },
        "visitors": dict(
            Counter(month_name(label) for row in contacts for label in row["visited"] if label > 0)
        ),
        "usage": {
            " | ".join(
                [str(row["bucket"]), row["address"], Direction(row["direction"]).name.lower(),
                 row["country"], row["category"], row["agent"], row["broadcast"]]
            ): {name: row[name] for name in USAGE if row[name]}
            for row in await world.rows(tenant, USED)
            if any(row[name] for name in USAGE)
        },
    }  # fmt: skip


async def _facts(world: World, tenant: str, origins: dict[int, str]) -> Json:
    found: Json = {}
    for row in await world.rows(tenant, FACTS):
        fact = found.setdefault(
            f"{row['source']}/{row['id']}",
            {
                "status": Status(row["status"]).name.lower(),
                "flags": sorted(name for flag, name in FLAGS.items() if row["flags"] & flag),
                "charges": [],
            },
        )
        if row["part"] is None:
            continue
        legs = zip(row["lots"], row["taken"], strict=False)  # what cost nothing has no lot
        fact["charges"].append(
            {
                "balance": row["balance"],
                "rule": row["rule"],
                "units": row["units"],
                "amount": row["amount"],
                "legs": [[origins[lot_id], taken] for lot_id, taken in legs],
            }
        )
    return found


async def _days(world: World, tenant: str, names: dict[int, str]) -> Json:
    zone = world.tenants[tenant].zone
    found: defaultdict[str, dict[str, list[int]]] = defaultdict(dict)
    for row in await world.rows(tenant, DAYS):
        if row["used"] or row["moved"]:
            day = date_of(zone.date(row["day"])).isoformat()
            assert day not in found[names[row["lot_id"]]]
            found[names[row["lot_id"]]][day] = [row["used"], row["moved"]]
    return dict(found)


async def _balances(world: World, tenant: str, since: int, until: int) -> Json:
    """What people are shown of each month, at its end or at `until`."""
    owner = world.tenants[tenant]
    (record,) = (await tenants.find_by_ids(world.door, [owner.tenant_id])).values()
    standing = standing_of(world.catalogue, record)
    span, lines = period(owner.zone, since), {}
    while span.start <= until:
        within = min(span.end - 1, until)
        asked = Asked(tenant_id=owner.tenant_id, at=within, period=span, day=None)
        (reading,) = await readings(world.door, [asked])
        assert reading is not None
        assert reading.period == span
        at = min(span.end, until)
        found = {}
        for balance in standing.balances(span, at):
            shown = figures(balance, span, at, reading.pots[balance.key].lots)
            found[balance.key] = {"allowance": side(shown.initial), "other": side(shown.top_up)}
        lines[month_name(span.label)] = found
        span = period(owner.zone, span.end)
    return lines
