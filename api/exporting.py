"""Exporting a tenant's log: what it is, what came to it and what was done, in the order of arrival.

Owns the order of the lines and how what a database numbered itself gets the name it has anywhere.
The format is `log_file`'s, the statements are `persistence.exporting`'s.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import msgspec

from api import log_file
from api.log_file import FORMAT, VERSION, Event, Figure, Line, Writer
from api.settling import Cause, Settling
from domain.facts import CHANNEL_NAMES, TYPES
from domain.periods import moment
from domain.problems import Problem
from domain.watch import AlertCause, AlertKind, Measure
from persistence import exporting, load
from persistence.actions import ActionKind
from persistence.catalogue import Catalogue
from persistence.connection import Connection
from persistence.door import Door, tenant_scope
from persistence.exporting import Sums
from persistence.tenants import TenantRecord, find_by_keys

_NAMES = {kind: name for name, kind in TYPES.items()}

#: What a body has of its own database, beside what is given other names.
OF_THE_DATABASE = frozenset({
    "tenant_id", "version", "lot_id", "number_id", "top_up", "moves", "settlement_id",
    "purchase_id", "invoice_id",
})  # fmt: skip


@dataclass(slots=True)
class Names:
    """What the numbers of a database are called in a log."""

    numbers: dict[int, tuple[str, str]]  #: channel and address
    lots: dict[int, str]  #: origins
    actions: dict[int, str] = field(default_factory=dict)  #: idempotency keys, as they are met


async def export(
    door: Door,
    catalogue: Catalogue,
    key: str,
    writer: Writer,
    now: Callable[[], int],
    told: Callable[[int], None] = lambda lines: None,
) -> dict[str, int]:
    """Write the log of a tenant and give how much there was of each kind.

    Books that wait to be settled are settled first, so that the figures in the last line are those
    that the log comes to. Memory does not grow with the log.
    """
    tenant = (await find_by_keys(door, [key])).get(key)
    if tenant is None:
        raise Problem("NOT_FOUND", f"there is no tenant {key[:64]!r}", "tenant")
    async with door.tenant_tx(tenant.tenant_id) as connection:
        head = (await load.heads(connection, [tenant.tenant_id]))[tenant.tenant_id]
    if head["unsettled_from"] is not None or (head["next_due"] or now()) < now():
        await Settling(door, catalogue, now, None).settle(tenant.tenant_id, Cause.DEMAND)
    connection = await door.lane()
    try:
        async with connection.transaction():
            await connection.execute(f"{exporting.SNAPSHOT}; {tenant_scope([tenant.tenant_id])}")
            return await _write(connection, tenant, writer, now(), told)
    finally:
        await connection.close(timeout=5)


async def _write(
    connection: Connection,
    tenant: TenantRecord,
    writer: Writer,
    now: int,
    told: Callable[[int], None],
) -> dict[str, int]:
    tenant_id = tenant.tenant_id
    head = (await load.heads(connection, [tenant_id]))[tenant_id]
    documents = await exporting.catalogue(connection, tenant_id)
    counts = {
        "catalogue": len(documents), **await exporting.counts(connection, tenant_id)
    }  # fmt: skip
    writer.write(
        log_file.Header(
            format=FORMAT, version=VERSION, tenant=tenant.key, exported_at=now,
            head=head["version"], digest=head["digest"].hex(),
            settled=head["unsettled_from"] is None, counts=counts,
        )
    )  # fmt: skip
    for row in documents:
        writer.write(log_file.Catalogue(**{**row, "body": json.loads(row["body"])}))
    balances = await exporting.balances(connection, tenant_id)
    writer.write(_tenant(tenant, balances, await exporting.hold_key(connection, tenant_id)))
    numbers = await exporting.numbers(connection, tenant_id)
    for row in numbers:
        writer.write(
            log_file.Number(
                channel=CHANNEL_NAMES[row["channel"]], address=row["address"],
                zones=json.loads(row["zones"]), created_at=row["created_at"],
            )
        )  # fmt: skip
    names = Names(
        numbers={
            row["number_id"]: (CHANNEL_NAMES[row["channel"]], row["address"]) for row in numbers
        },
        lots=await exporting.lot_names(connection, tenant_id),
    )
    async for line in _as_it_came(connection, tenant, names):
        writer.write(line)
        told(writer.lines)
    async for row in exporting.alerts(connection, tenant_id):
        writer.write(_alert(row))
    async for row in exporting.holds(connection, tenant_id):
        writer.write(log_file.Hold(**dict(row)))
    async for row in exporting.shares(connection, tenant_id):
        writer.write(log_file.Share(**dict(row)))
    async for row in exporting.conflicts(connection, tenant_id):
        writer.write(log_file.Conflict(**{**row, "content": row["content"].hex()}))
    writer.end(figures_of(await exporting.figures(connection, tenant_id)))
    return counts


def figures_of(sums: list[Sums]) -> dict[str, Figure]:
    return {each.name: Figure(each.rows, each.amount, each.digest) for each in sums}


def _tenant(
    tenant: TenantRecord, balances: list[asyncpg.Record], hold_key: bytes
) -> log_file.Tenant:
    return log_file.Tenant(
        key=tenant.key, name=tenant.name, zones=json.loads(tenant.zones),
        changes=json.loads(tenant.changes), currency=tenant.currency, country=tenant.country,
        locale=tenant.locale, plan=tenant.plan, status=tenant.status, since=tenant.since,
        created_at=tenant.created_at, balances=[tuple(row) for row in balances],
        sending=json.loads(tenant.sending), hold_key=hold_key.hex(),
    )  # fmt: skip


async def _as_it_came(
    connection: Connection, tenant: TenantRecord, names: Names
) -> AsyncIterator[Line]:
    """Facts and actions by the versions they became, an action with its own."""
    actions = exporting.actions(connection, tenant.tenant_id)
    action = await anext(actions, None)
    async for row in exporting.facts(connection, tenant.tenant_id):
        while action is not None and action["version"] < row["version"]:
            yield _action(action, names)
            action = await anext(actions, None)
        yield _fact(tenant.key, row, names)
    while action is not None:
        yield _action(action, names)
        action = await anext(actions, None)


def _fact(tenant: str, row: asyncpg.Record, names: Names) -> Line:
    channel, address = names.numbers[row["number_id"]]
    return log_file.Fact(
        version=row["version"], arrived_at=row["arrived_at"], channel=channel, address=address,
        party=row["party"], country=row["country"], category=row["category"], flags=row["flags"],
        fact=Event(
            specversion="1.0", id=row["id"], source=row["source"], type=_NAMES[row["type"]],
            time=moment(row["at"]), subject=tenant, data=msgspec.Raw(row["data"].encode()),
        ),
    )  # fmt: skip


def _action(row: asyncpg.Record, names: Names) -> Line:
    key, subject = row["idempotency_key"], row["subject"]
    names.actions[row["action_id"]] = key
    body: dict[str, Any] = json.loads(row["body"])
    written = {name: value for name, value in body.items() if name not in OF_THE_DATABASE}
    if body.get("number_id") is not None:
        written["number"] = names.numbers[body["number_id"]]
    if body.get("moves") is not None:
        written["moves"] = _moves(body["moves"], names.lots)
    if subject is not None and subject.startswith("top_up/"):
        subject = "top_up/" + names.actions[int(subject.removeprefix("top_up/"))]
    return log_file.Action(
        version=row["version"], at=row["at"], kind=ActionKind(row["kind"]).name, key=key,
        content=row["content"].hex(), subject=subject, body=written,
    )  # fmt: skip


def _alert(row: asyncpg.Record) -> Line:
    names = {
        "kind": AlertKind(row["kind"]).name, "measure": Measure(row["measure"]).name,
        "cause": AlertCause(row["cause"]).name,
    }  # fmt: skip
    return log_file.Alert(**{**row, **names})


def _moves(moves: list[list[Any]], lots: Mapping[int, str]) -> list[list[Any]]:
    return [[lots[number], *rest] for number, *rest in moves]
