"""Rows written straight into the tables, as their owner, for tests of what reads them.

Instants are int microseconds, amounts int millionths, as the tables have them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from domain.facts import Channel, Direction, Flag, Status, Type
from domain.lots import LotSource
from domain.rollup import USAGE
from persistence.connection import Connection

TENANT = 1
NUMBER = 7
CONVERSATIONS, VISITORS, WHATSAPP = 1, 2, 3
UNIT = 1_000_000


class Rows:
    """A connection of the owner's that writes one row at a time."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def add(self, table: str, **values: Any) -> None:
        """Insert a row."""
        places = ", ".join(f"${n}" for n in range(1, len(values) + 1))
        await self.connection.execute(
            f"insert into {table} ({', '.join(values)}) values ({places})", *values.values()
        )

    async def tenant(self, tenant_id: int = TENANT, *, timezone: str = "Asia/Jakarta") -> None:
        """A tenant with three balances and a number."""
        await self.add(
            "tenants", tenant_id=tenant_id, key=f"tenant-{tenant_id}", name="Tenant",
            zones=f'[[null, "{timezone}"]]', currency="IDR", country="ID", locale="id",
            plan="omnichannel-idr", created_at=0,
        )  # fmt: skip
        await self.add("tenant_head", tenant_id=tenant_id, version=12)
        for balance_id, key, unit, currency in (
            (CONVERSATIONS, "conversations", "conversation", None),
            (VISITORS, "visitors", "visitor", None),
            (WHATSAPP, "whatsapp", "IDR", "IDR"),
        ):
            await self.add(
                "balances", tenant_id=tenant_id, balance_id=balance_id, key=key, unit=unit,
                currency=currency,
            )  # fmt: skip
        await self.number(tenant_id=tenant_id)

    async def number(
        self,
        number_id: int = NUMBER,
        *,
        tenant_id: int = TENANT,
        channel: Channel = Channel.WHATSAPP,
        address: str = "628110001",
    ) -> None:
        await self.add(
            "numbers", tenant_id=tenant_id, number_id=number_id, channel=channel, address=address,
            zones='[[null, "Asia/Jakarta"]]', created_at=0,
        )  # fmt: skip

    async def lot(
        self,
        lot_id: int,
        source: LotSource,
        amount: int,
        *,
        starts_at: int,
        ends_at: int | None = None,
        month: int | None = None,
        used: int = 0,
        moved: int = 0,
        balance_id: int = CONVERSATIONS,
        tenant_id: int = TENANT,
    ) -> None:
        """A lot; amounts in whole units."""
        await self.add(
            "lots", tenant_id=tenant_id, lot_id=lot_id, balance_id=balance_id, source=source,
            priority=10 if source is LotSource.ALLOWANCE else 20, month=month,
            origin=f"lot/{lot_id}",
            amount=amount * UNIT, used=used * UNIT, moved=moved * UNIT, lapsed=0,
            starts_at=starts_at, ends_at=ends_at, created_at=starts_at,
        )  # fmt: skip

    async def lot_day(
        self, lot_id: int, day: int, used: int = 0, moved: int = 0, *, tenant_id: int = TENANT
    ) -> None:
        """A lot's use of one local day, in whole units."""
        await self.add(
            "lot_days", tenant_id=tenant_id, lot_id=lot_id, day=day, used=used * UNIT,
            moved=moved * UNIT,
        )  # fmt: skip

    async def fact(
        self,
        key: bytes,
        at: int,
        *,
        lot_id: int | None = None,
        amount: int | None = None,
        balance_id: int | None = CONVERSATIONS,
        rule_id: int | None = None,
        flags: int = Flag.NONE,
        status: Status = Status.ACCEPTED,
        party: str = "6281100010",
        tenant_id: int = TENANT,
    ) -> None:
        """A delivered message; `amount` in whole units, None for a fact without a charge."""
        charged = amount is not None
        await self.add(
            "facts", tenant_id=tenant_id, at=at, key=key, version=1, arrived_at=at + 5,
            number_id=NUMBER, units=UNIT if charged else None,
            amount=amount * UNIT if amount is not None else None,
            type=Type.MESSAGE_DELIVERED, status=status,
            balance_id=balance_id if charged else None, flags=flags, rule_id=rule_id,
            lot_id=lot_id, source="test", id=f"fact-{key.hex()}", party=party,
            category="marketing", market="ID", country="ID", data="{}",
        )  # fmt: skip

    async def charge(
        self,
        key: bytes,
        at: int,
        part: int,
        legs: dict[int, int],
        *,
        revision: int = 0,
        reversal: bool = False,
        balance_id: int = CONVERSATIONS,
        rule_id: int | None = None,
        tenant_id: int = TENANT,
    ) -> None:
        """A charge beside its fact; legs are whole units by lot."""
        await self.add(
            "charges", tenant_id=tenant_id, at=at, key=key, part=part, revision=revision,
            reversal=reversal, version=1, booked_at=at + 9, balance_id=balance_id,
            rule_id=rule_id, units=UNIT, amount=sum(legs.values()) * UNIT, lots=list(legs),
            taken=[taken * UNIT for taken in legs.values()], flags=Flag.FURTHER,
        )  # fmt: skip

    async def transfer(
        self, version: int, at: int, debit: str, credit: str, amount: int, cause: int
    ) -> None:
        await self.add(
            "transfers", tenant_id=TENANT, version=version, line=0, at=at,
            balance_id=CONVERSATIONS, debit=debit, credit=credit, amount=amount * UNIT,
            cause=cause,
        )  # fmt: skip

    async def usage(
        self,
        bucket: int,
        *,
        tenant_id: int = TENANT,
        number_id: int = NUMBER,
        direction: Direction = Direction.OUT,
        country: str = "ID",
        category: str = "marketing",
        agent: str = "",
        broadcast: str = "",
        tables: tuple[str, ...] = ("usage_hour",),
        **sums: int,
    ) -> None:
        """An hour or a day of usage; what is not given is 0."""
        for table in tables:
            await self.add(
                table, tenant_id=tenant_id, bucket=bucket, number_id=number_id,
                direction=direction, country=country, category=category, agent=agent,
                broadcast=broadcast, **(dict.fromkeys(USAGE, 0) | sums),
            )  # fmt: skip


@asynccontextmanager
async def rows_of(owner_url: str) -> AsyncIterator[Rows]:
    """Rows into the database of `owner_url`."""
    connection: Connection = await asyncpg.connect(owner_url)
    try:
        yield Rows(connection)
    finally:
        await connection.close()
