"""The way in as it runs in production, on a clock that stands where a test puts it.

Owns what a test needs around `Intake`: tenants, numbers, a clock, a second process, and readers of
what was stored. Checks nothing itself.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

import asyncpg

from api import logs
from api.addresses import normalise_number
from api.directory import Directory
from api.intake import Intake
from api.jobs import Jobs, Rest
from api.lanes import Lanes
from api.metrics import Metrics
from api.operations import (
    adjustment_create,
    allowance_set,
    international_rate_set,
    number_timezone_change,
    plan_change,
    refund_create,
    timezone_change,
    top_up_create,
)
from api.operations.adjustment_create import AdjustmentCreate
from api.operations.allowance_set import AllowanceSet
from api.operations.international_rate_set import InternationalRateSet
from api.operations.number_timezone_change import NumberTimezoneChange
from api.operations.plan_change import PlanChange
from api.operations.refund_create import RefundCreate
from api.operations.timezone_change import TimezoneChange
from api.rights import ALL_SCOPES, Principal
from domain.facts import CHANNELS
from domain.figures import Figures, figures
from domain.periods import period
from domain.plans import Plan
from domain.reading import Reading
from persistence import tenants
from persistence.actions import Action
from persistence.audit import Actor, ActorKind, _acting
from persistence.balances import Asked, readings
from persistence.catalogue import Catalogue
from persistence.charges import Asked as AskedCharges
from persistence.charges import ChargeRecord, pages
from persistence.connection import Connection
from persistence.door import Door
from persistence.rebuild import Rebuild
from persistence.show import Show
from persistence.standing import standing_of
from persistence.tenants import NumberRecord, TenantRecord
from persistence.valkey import client

Json = dict[str, Any]

#: All that a catalogue is read from, to the letter.
SAID = """
select md5(concat_ws('|',
    (select string_agg(t::text, '|' order by book, version) from books t),
    (select string_agg(t::text, '|' order by plan, version) from plans t),
    (select string_agg(t::text, '|' order by markets) from markets t),
    (select string_agg(t::text, '|' order by taxes) from taxes t),
    (select string_agg(t::text, '|' order by issuer) from issuers t),
    (select string_agg(t::text, '|' order by rule_id) from rules t)
))"""
#: What was read of databases that say so.
_CATALOGUES: dict[str, Catalogue] = {}

OPERATOR = Principal("operator", None, None, ALL_SCOPES, None)
OPERATOR_ACTS = Actor(name="operator", kind=ActorKind.KEY)


async def read(connection: Connection) -> Catalogue:
    """The catalogue of a database; hundreds of databases say the same, which is parsed once."""
    said = await connection.fetchval(SAID)
    if said not in _CATALOGUES:
        _CATALOGUES[said] = await Catalogue.load(connection)
    known = _CATALOGUES[said]
    # Each has its own: some tests put a plan of theirs into it.
    return replace(
        known, plans={**known.plans}, books={**known.books}, rule_ids={**known.rule_ids},
        rules={**known.rules}, issuers={**known.issuers},
    )  # fmt: skip


@dataclass(slots=True)
class Clock:
    """What the system takes for now, in microseconds; it moves when a test moves it."""

    at: int = 0

    def now(self) -> int:
        return self.at


class RecordingDoor(Door):
    """A door whose lanes say which statements they ran."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.heard: list[asyncpg.connection.LoggedQuery] = []

    async def lane(self) -> Connection:
        connection = await super().lane()
        connection.add_query_logger(self.heard.append)
        return connection


@dataclass(slots=True, kw_only=True)
class World:
    """One process's way in, and the database behind it as the app's role."""

    door: Door
    catalogue: Catalogue
    rebuild: Rebuild
    show: Show
    clock: Clock
    intake: Intake
    exits: AsyncExitStack
    tenants: dict[str, TenantRecord] = field(default_factory=dict)
    numbers: dict[tuple[str, str], NumberRecord] = field(default_factory=dict)
    processes: list[Intake] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, app_url: str, redis_url: str, *, door: type[Door] = Door
    ) -> AsyncIterator[Self]:
        """A world on a migrated database."""
        logs.configure()  # unconfigured, a traceback takes minutes to draw
        async with AsyncExitStack() as exits:
            # For good: a world may end in another context than the one it began in.
            _acting.set(OPERATOR_ACTS)
            opened = await exits.enter_async_context(door.open(app_url))
            async with opened.system_tx("the catalogue of a test") as connection:
                catalogue = await read(connection)
            valkey = await exits.enter_async_context(client(redis_url))
            clock = Clock()
            rebuild = Rebuild(valkey, opened, catalogue, clock.now)
            rebuild.start()
            exits.push_async_callback(rebuild.stop)
            show = Show(valkey, opened, rebuild)
            show.start()
            exits.push_async_callback(show.stop)
            directory = Directory(opened, catalogue)
            lanes = Lanes(opened, directory, clock.now, show)
            intake = Intake(directory, catalogue, clock.now, lanes, Metrics())
            await intake.start()
            exits.push_async_callback(intake.stop)
            yield cls(
                door=opened, catalogue=catalogue, rebuild=rebuild, show=show, clock=clock,
                intake=intake, exits=exits,
            )  # fmt: skip

    async def process(self) -> Intake:
        """Another process's way in on the same database: it remembers nothing yet."""
        directory = Directory(self.door, self.catalogue)
        lanes = Lanes(self.door, directory, self.clock.now, self.show)
        intake = Intake(directory, self.catalogue, self.clock.now, lanes, Metrics())
        await intake.start()
        self.exits.push_async_callback(intake.stop)
        return intake

    def jobs(self, *, rest: Rest | None = None, owner_url: str | None = None) -> Jobs:
        """The jobs of a process; they run when a test says so."""
        return Jobs(
            self.door, self.catalogue, self.clock.now, self.show, owner_url, Metrics(), rest=rest
        )

    def plan(self, tenant: str) -> Plan:
        return self.catalogue.plans[self.tenants[tenant].plan]

    async def tenant(
        self,
        key: str,
        *,
        plan: str = "omnichannel-idr",
        timezone: str = "Asia/Jakarta",
        currency: str = "IDR",
        country: str = "ID",
        locale: str = "id",
        since: int | None = None,
    ) -> TenantRecord:
        """Create a tenant; a name for it in `number`, `send` and the readers is its key."""
        self.tenants[key] = await tenants.create_tenant(
            self.door,
            key=key,
            name=key,
            timezone=timezone,
            currency=currency,
            country=country,
            locale=locale,
            plan=plan,
            balances=self.catalogue.plans[plan].balances,
            since=since,
            now=self.clock.now(),
        )
        return self.tenants[key]

    async def number(
        self, tenant: str, name: str, channel: str, address: str, timezone: str | None = None
    ) -> NumberRecord:
        """Register a number of a tenant under a short name."""
        owner = self.tenants[tenant]
        number = await tenants.create_number(
            self.door,
            owner.tenant_id,
            channel=CHANNELS[channel],
            address=normalise_number(CHANNELS[channel], address),
            timezone=timezone or owner.zone.name_at(self.clock.now()),
            now=self.clock.now(),
        )
        self.numbers[tenant, name] = number
        return number

    async def send(self, events: Sequence[Json | bytes], *, to: Intake | None = None) -> list[Json]:
        """One request; gives the result of each event, in order. Bytes go as they are."""
        items = [
            event if isinstance(event, bytes) else json.dumps(event).encode() for event in events
        ]
        body = b"[" + b",".join(items) + b"]"
        answer = await (to or self.intake).record(OPERATOR, body, "application/json")
        results: list[Json] = json.loads(answer)["results"]
        return results

    async def top_up(
        self,
        tenant: str,
        balance: str,
        amount: int,
        *,
        key: str,
        source: str = "TOP_UP",
        starts_at: int | None = None,
        expires_at: int | None = None,
        as_offered: bool = False,
    ) -> Action:
        """An operator's top-up, `amount` in micros; of any size unless it is as offered."""
        request = top_up_create.TopUpCreate(
            tenant=tenant,
            balance=balance,
            amount=amount,
            source=source,
            as_offered=as_offered,
            starts_at=starts_at,
            expires_at=expires_at,
            idempotency_key=key,
        )
        return await top_up_create.run(
            self.door, self.catalogue, self.show, request, now=self.clock.now()
        )

    async def adjust(
        self, tenant: str, balance: str, amount: int, *, key: str, reason: str = "a test"
    ) -> Action:
        """An operator's adjustment, `amount` in micros."""
        request = AdjustmentCreate(
            tenant=tenant, balance=balance, amount=amount, reason=reason, idempotency_key=key
        )
        return await adjustment_create.run(
            self.door, self.catalogue, self.show, request, now=self.clock.now()
        )

    async def refund(self, tenant: str, *, key: str, **what: Any) -> Action:
        """An operator's refund of a `charge` or a `top_up`, by its id; `amount` in micros."""
        request = RefundCreate(tenant=tenant, idempotency_key=key, **({"reason": "a test"} | what))
        return await refund_create.run(
            self.door, self.catalogue, self.show, request, now=self.clock.now()
        )

    async def charges(self, tenant: str) -> list[ChargeRecord]:
        """The tenant's latest hundred charges, newest first."""
        asked = AskedCharges(tenant_id=self.tenants[tenant].tenant_id)
        (found,) = await pages(self.door, [asked], limit=100)
        return found

    async def reading(self, tenant: str, at: int | None = None) -> Reading:
        """A tenant's balances as recorded: up to an instant, or now with everything."""
        owner = self.tenants[tenant]
        local = owner.zone
        instant = self.clock.now() if at is None else at
        asked = Asked(
            tenant_id=owner.tenant_id,
            at=instant,
            period=period(local, instant),
            day=None if at is None else local.day_start(instant),
        )
        (reading,) = await readings(self.door, [asked])
        assert reading is not None
        return reading

    async def figures(self, tenant: str, balance: str, at: int | None = None) -> Figures:
        """A balance as people see it: at an instant, or now with everything recorded."""
        owner, reading = self.tenants[tenant], await self.reading(tenant, at)
        pot = reading.pots[balance]
        (record,) = (await tenants.find_by_ids(self.door, [owner.tenant_id])).values()
        known = standing_of(self.catalogue, record).balances(reading.period, reading.at)
        (plan,) = (each for each in known if each.key == balance)
        return figures(
            plan, reading.period, reading.at, pot.lots,
            since=owner.since, held=pot.held, next_due=reading.next_due,
        )  # fmt: skip

    async def change_plan(self, tenant: str, plan: str | None, *, key: str) -> Action:
        """An operator's change of plan; None ends the subscription."""
        request = PlanChange(tenant=tenant, plan=plan, idempotency_key=key)
        return await plan_change.run(
            self.door, self.catalogue, self.show, request, now=self.clock.now()
        )

    async def allow(
        self, tenant: str, balance: str, amount: int | None, *, since: int, key: str
    ) -> Action:
        """An operator's allowance of the tenant's own, from a local date on."""
        request = AllowanceSet(
            tenant=tenant, balance=balance, amount=amount, since=since, idempotency_key=key
        )
        return await allowance_set.run(
            self.door, self.catalogue, self.show, request, now=self.clock.now()
        )

    async def pay_abroad(self, tenant: str, market: str, *, since: int | None, key: str) -> Action:
        """The local day from which a tenant pays a market's international rate; None: no longer."""
        request = InternationalRateSet(
            tenant=tenant, market=market, since=since, idempotency_key=key
        )
        return await international_rate_set.run(
            self.door, self.catalogue, self.show, request, now=self.clock.now()
        )

    async def change_zone(self, tenant: str, timezone: str, *, key: str) -> Action:
        """An operator's change of a tenant's zone."""
        request = TimezoneChange(tenant=tenant, timezone=timezone, idempotency_key=key)
        action = await timezone_change.run(
            self.door, self.catalogue, self.show, request, now=self.clock.now()
        )
        self.tenants[tenant] = (await tenants.find_by_keys(self.door, [tenant]))[tenant]
        return action

    async def change_number_zone(
        self, tenant: str, number: str, timezone: str, *, key: str
    ) -> Action:
        """An operator's change of a number's zone."""
        known = self.numbers[tenant, number]
        request = NumberTimezoneChange(
            tenant=tenant, number=known.number_id, timezone=timezone, idempotency_key=key
        )
        action = await number_timezone_change.run(
            self.door, self.catalogue, self.show, request, now=self.clock.now()
        )
        changed = await tenants.find_number(self.door, known.number_id, known.tenant_id)
        self.numbers[tenant, number] = changed or known
        return action

    async def rows(self, tenant: str, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Rows of one tenant, as the app's role sees them; `$1` is the tenant."""
        tenant_id = self.tenants[tenant].tenant_id
        async with self.door.tenant_tx(tenant_id) as connection:
            return await connection.fetch(query, tenant_id, *arguments)

    async def row(self, tenant: str, query: str, *arguments: object) -> asyncpg.Record:
        (row,) = await self.rows(tenant, query, *arguments)
        return row
