"""The terms of tenants as the database holds them: settings, numbers and balances of many at once.

Owns one statement. A tenant whose plan or book the catalogue does not know has no terms.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from domain.facts import Channel
from domain.terms import NumberTerms, Terms
from persistence.catalogue import STAMP, Catalogue
from persistence.connection import Connection
from persistence.door import Door
from persistence.dunning import read_dunned
from persistence.refills import of_balances as refills_of
from persistence.refills import read_own as read_refills
from persistence.sending import read_own
from persistence.standing import international_of, read_standing
from persistence.thresholds import days_of_balances, of_balances
from persistence.thresholds import read_own as read_thresholds
from persistence.zones import read_zone

IDS = "select tenant_id from tenants where key = any ($1::text[])"

# Numbers and balances come as one JSON text a tenant: three tables, one round trip.
TERMS = (
    f"select {STAMP} as catalogue,"
    + """
    t.tenant_id, t.key, t.status, t.zones::text as zones, t.currency, t.country, t.since, t.plan,
    t.hold_key, h.settings, t.changes::text as changes, t.sending::text as sending,
    t.thresholds::text as thresholds, t.refills::text as refills,
    t.dunned::text as dunned, coalesce(t.billing ->> 'country', t.country) as tax_country,
    (select coalesce(json_agg(json_build_array(n.number_id, n.channel, n.address, n.zones::text)),
        '[]')::text from numbers n where n.tenant_id = t.tenant_id) as numbers,
    (select coalesce(json_object_agg(b.key, b.balance_id), '{}')::text
        from balances b where b.tenant_id = t.tenant_id) as balances
from tenants t join tenant_head h using (tenant_id)
where t.tenant_id = any ($1::bigint[])"""
)


async def by_keys(door: Door, catalogue: Catalogue, keys: Collection[str]) -> list[Terms]:
    """The terms of the tenants that exist of `keys`, whoever asks."""
    async with door.system_tx("tenant keys of events to tenants") as connection:
        rows = await connection.fetch(IDS, list(keys))
    ids = [row["tenant_id"] for row in rows]
    if not ids:
        return []
    async with door.tenant_tx(*ids) as connection:
        return await by_ids(connection, catalogue, ids)


async def by_ids(connection: Connection, catalogue: Catalogue, ids: Collection[int]) -> list[Terms]:
    """The terms of tenants by id, in a transaction that names them."""
    found = []
    rows = await connection.fetch(TERMS, list(ids))
    if rows and rows[0]["catalogue"] != catalogue.stamp:
        # Published since: under the tenants' locks terms are never made of what is older.
        await catalogue.refresh(connection)
    for row in rows:
        plan = catalogue.plans.get(row["plan"])
        book = None if plan is None else catalogue.books.get(plan.book)
        if plan is None or book is None:
            raise LookupError(f"tenant {row['key']} is on plan {row['plan']!r}, which is not here")
        numbers = [_number(values) for values in msgspec.json.decode(row["numbers"])]
        ids_of: dict[str, int] = msgspec.json.decode(row["balances"])
        undated = Terms(
            tenant_id=row["tenant_id"],
            key=row["key"],
            suspended=row["status"] == "suspended",
            blocked=row["status"] == "blocked",
            zone=read_zone(row["zones"]),
            currency=row["currency"],
            since=row["since"],
            plan=plan,
            book=book,
            settings=row["settings"],
            numbers={number.number_id: number for number in numbers},
            addresses={(number.channel, number.address): number for number in numbers},
            balance_ids=ids_of,
            balances={ids_of[b.key]: b for b in plan.balances if b.key in ids_of},
            rule_ids=catalogue.rule_ids,
            dunned=read_dunned(row["dunned"]),
            country=row["country"],
            tax_country=row["tax_country"],
            taxes=catalogue.taxes,
            international=international_of(row["changes"]),
            hold_key=row["hold_key"],
            own_sending=read_own(row["sending"]),
            thresholds=of_balances(own_thresholds := read_thresholds(row["thresholds"]), ids_of),
            running_out=days_of_balances(own_thresholds, ids_of),
            refills=refills_of(read_refills(row["refills"]), ids_of),
        )
        standing = read_standing(row["changes"], undated.zone, undated.since, plan, catalogue.plans)
        found.append(undated.dated(standing, catalogue.books))
    return found


def _number(values: list[Any]) -> NumberTerms:
    number_id, channel, address, zones = values
    return NumberTerms(
        number_id=number_id,
        channel=Channel(channel),
        channel_name=Channel(channel).name.lower(),
        address=address,
        zone=read_zone(zones),
    )
