"""Tenants and their numbers: who is billed, and the addresses it sends from.

Owns the rows of `tenants`, `numbers` and `balances` (the names of a tenant's pots, not their
figures), and the first row of `tenant_head`. Checks nothing but what the tables say: operations do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import asyncpg

from domain.billing_profiles import Profile
from domain.facts import CHANNEL_NAMES, Channel
from domain.periods import Zone, iso, zone
from domain.plans import BalancePlan
from domain.problems import Problem
from domain.sending import OwnSending
from persistence.audit import trace
from persistence.billing import read_billing
from persistence.door import Door
from persistence.refills import Own as OwnRefills
from persistence.refills import read_own as read_refills
from persistence.sending import read_own
from persistence.thresholds import Own
from persistence.thresholds import read_own as read_thresholds
from persistence.zones import read_zone, write_zone


@dataclass(frozen=True, slots=True)
class TenantRecord:
    tenant_id: int
    key: str
    name: str
    zones: str  #: each from an instant on; `persistence.zones` reads it
    currency: str
    country: str
    locale: str
    plan: str  #: its first one
    status: str  #: active, suspended or blocked
    since: int | None  #: facts before it are refused; None: any past is accepted
    created_at: int
    changes: str = "[]"  #: what was agreed since, as JSON; `persistence.standing` reads it
    sending: str = "{}"  #: what it says of sending itself, as JSON
    thresholds: str = "{}"  #: that it set itself, as JSON; `persistence.thresholds` reads it
    refills: str = "{}"  #: policies it set itself, as JSON; `persistence.refills` reads it
    billing: str = "{}"  #: what it says of itself on invoices, as JSON
    invoicing: bool = False  #: whether its periods are closed and invoiced by themselves

    @property
    def zone(self) -> Zone:
        """The zone of its periods and reports."""
        return read_zone(self.zones)

    @property
    def own_sending(self) -> OwnSending:
        """What it says of sending itself, whatever its plan says."""
        return read_own(self.sending)

    @property
    def own_thresholds(self) -> Own:
        """By balance key, what it watches it for beside zero."""
        return read_thresholds(self.thresholds)

    @property
    def own_refills(self) -> OwnRefills:
        """By balance key, how it has it refilled."""
        return read_refills(self.refills)

    @property
    def own_billing(self) -> Profile:
        """What it says of itself for its invoices."""
        return read_billing(self.billing)


@dataclass(frozen=True, slots=True)
class NumberRecord:
    number_id: int
    tenant_id: int
    channel: int  #: a `domain.facts.Channel`
    address: str  #: normalised; phones are digits with country code, without plus
    zones: str  #: as a tenant's

    @property
    def zone(self) -> Zone:
        """The zone in whose days and months its prices and free counts change."""
        return read_zone(self.zones)


TENANT_COLUMNS = """tenant_id, key, name, zones::text as zones, currency, country, locale, plan,
    status, since, created_at, changes::text as changes, sending::text as sending,
    thresholds::text as thresholds, refills::text as refills,
    billing::text as billing, invoicing"""
NUMBER_COLUMNS = "number_id, tenant_id, channel, address, zones::text as zones"

NEW_TENANT_SQL = """
insert into tenants (tenant_id, key, name, zones, currency, country, locale, plan, since,
    created_at)
values ($1, $2, $3, $4::text::jsonb, $5, $6, $7, $8, $9, $10)
"""

NEW_HEAD_SQL = "insert into tenant_head (tenant_id, next_due) values ($1, $2)"

NEW_BALANCES_SQL = """
insert into balances (tenant_id, balance_id, key, unit, currency)
select $1, * from unnest($2::smallint[], $3::text[], $4::text[], $5::text[])
"""


async def create_tenant(
    door: Door,
    *,
    key: str,
    name: str,
    timezone: str,
    currency: str,
    country: str,
    locale: str,
    plan: str,
    balances: Sequence[BalancePlan],
    since: int | None,
    now: int,
) -> TenantRecord:
    """Create a tenant with the pots of its plan; a key that is taken raises `KEY_TAKEN`."""
    zones = write_zone(zone(timezone))
    # The row is only visible to a transaction that names its id, so the id comes first.
    async with door.tenant_tx() as conn:
        tenant_id: int = await conn.fetchval("select nextval('tenants_tenant_id_seq')")
    try:
        async with door.tenant_tx(tenant_id) as conn:
            await conn.execute(
                NEW_TENANT_SQL,
                tenant_id,
                key,
                name,
                zones,
                currency,
                country,
                locale,
                plan,
                since,
                now,
            )
            await conn.execute(
                NEW_BALANCES_SQL,
                tenant_id,
                list(range(1, len(balances) + 1)),
                [balance.key for balance in balances],
                [balance.unit for balance in balances],
                [balance.currency for balance in balances],
            )
            # Before it begins it has no allowances: that they come is a change by time alone.
            due = since if since is not None and since > now else None
            await conn.execute(NEW_HEAD_SQL, tenant_id, due)
            await trace(
                conn, tenant_id, "tenantCreate", f"tnt/{tenant_id}", at=now,
                after={
                    "key": key, "name": name, "timezone": timezone, "currency": currency,
                    "country": country, "locale": locale, "plan": plan,
                    "since": None if since is None else iso(since),
                },
            )  # fmt: skip
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != "tenants_key_key":
            raise
        raise Problem("KEY_TAKEN", f"a tenant with the key {key!r} exists already", "key") from None
    return TenantRecord(
        tenant_id, key, name, zones, currency, country, locale, plan, "active", since, now
    )


NEW_NUMBER_SQL = """
insert into numbers (tenant_id, channel, address, zones, created_at)
values ($1, $2, $3, $4::text::jsonb, $5)
on conflict (tenant_id, channel, address) do nothing
returning number_id
"""


async def create_number(
    door: Door, tenant_id: int, *, channel: int, address: str, timezone: str, now: int
) -> NumberRecord:
    """Register a number; one that stands on the channel already raises `NUMBER_TAKEN`."""
    zones = write_zone(zone(timezone))
    async with door.tenant_tx(tenant_id) as conn:
        number_id = await conn.fetchval(NEW_NUMBER_SQL, tenant_id, channel, address, zones, now)
        if number_id is not None:
            # Every lane that knows the tenant's terms reads them again.
            await conn.execute(
                "update tenant_head set settings = settings + 1 where tenant_id = $1", tenant_id
            )
            await trace(
                conn, tenant_id, "numberCreate", f"tnt/{tenant_id}", f"num/{number_id}", at=now,
                after={
                    "channel": CHANNEL_NAMES[Channel(channel)], "address": address,
                    "timezone": timezone,
                },
            )  # fmt: skip
    if number_id is None:
        raise Problem(
            "NUMBER_TAKEN",
            f"the tenant has {address!r} on this channel already",
            "address",
        )
    return NumberRecord(number_id, tenant_id, channel, address, zones)


async def find_by_keys(door: Door, keys: Iterable[str]) -> dict[str, TenantRecord]:
    """The tenants that exist of `keys`, by key. Whether the caller may see them is not asked."""
    # No tenant has a key Postgres could not read, and asking for one would be an error.
    wanted = [key for key in keys if key.isascii() and "\0" not in key]
    if not wanted:
        return {}
    async with door.system_tx("tenant keys to tenants") as conn:
        rows = await conn.fetch(
            f"select {TENANT_COLUMNS} from tenants where key = any ($1::text[])", wanted
        )
    return {row["key"]: TenantRecord(**row) for row in rows}


async def find_by_key(door: Door, key: str) -> TenantRecord | None:
    """The tenant of a key; thousands who ask at one moment, after a restart, are one statement."""
    return await door.gathered(find_by_keys).get(key)


async def find_by_ids(door: Door, tenant_ids: Iterable[int]) -> dict[int, TenantRecord]:
    """The tenants that exist of `tenant_ids`, by id."""
    ids = list(tenant_ids)
    async with door.tenant_tx(*ids) as conn:
        rows = await conn.fetch(
            f"select {TENANT_COLUMNS} from tenants where tenant_id = any ($1::bigint[])", ids
        )
    return {row["tenant_id"]: TenantRecord(**row) for row in rows}


# Without a search the unique index on `key` is walked from the cursor; a search reads every tenant.
PAGE_SQL = f"""
select {TENANT_COLUMNS} from tenants
where key > $1 and ($2::text is null or key ilike $2 or name ilike $2)
order by key limit $3
"""


async def page(
    door: Door, *, after: str = "", limit: int, search: str | None = None
) -> list[TenantRecord]:
    """Tenants of any kind by key, those after `after`; `search` is part of a key or name."""
    pattern = None if search is None else f"%{escaped(search)}%"
    async with door.system_tx("the operator's list of tenants") as conn:
        rows = await conn.fetch(PAGE_SQL, after, pattern, limit)
    return [TenantRecord(**row) for row in rows]


NUMBERS_SQL = f"""
select {NUMBER_COLUMNS} from numbers
where tenant_id = any ($1::bigint[]) order by tenant_id, channel, address
"""


async def numbers_of(door: Door, tenant_ids: Iterable[int]) -> dict[int, list[NumberRecord]]:
    """Each tenant's numbers by channel and address; a tenant without any has an empty list."""
    ids = list(dict.fromkeys(tenant_ids))
    found: dict[int, list[NumberRecord]] = {tenant_id: [] for tenant_id in ids}
    async with door.tenant_tx(*ids) as conn:
        for row in await conn.fetch(NUMBERS_SQL, ids):
            found[row["tenant_id"]].append(NumberRecord(**row))
    return found


async def find_number(door: Door, number_id: int, tenant_id: int | None) -> NumberRecord | None:
    """One number by its id; `tenant_id` limits the look to one tenant, None is an operator's."""
    if tenant_id is None:
        async with door.system_tx("an operator's number by its id") as conn:
            row = await conn.fetchrow(
                f"select {NUMBER_COLUMNS} from numbers where number_id = $1", number_id
            )
    else:
        async with door.tenant_tx(tenant_id) as conn:
            row = await conn.fetchrow(
                f"select {NUMBER_COLUMNS} from numbers where tenant_id = $1 and number_id = $2",
                tenant_id,
                number_id,
            )
    return None if row is None else NumberRecord(**row)


def escaped(text: str) -> str:
    """`text` as a LIKE pattern that means itself."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
