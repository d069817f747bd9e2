"""Alerts of invoices and subscriptions on their way: webhooks, letters in each language, logs.

They are of no balance: whoever reads alerts copes with that.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from api.exporting import export
from api.importing import Importing
from api.invoicing.issuing import id_of
from api.log_file import LogFile, Writer
from api.operations import invoice_create, invoice_issue
from api.operations.accounting import unmoved
from api.operations.acting import Done, Scene, given
from api.operations.invoice_create import InvoiceCreate
from api.operations.invoice_issue import InvoiceIssue
from api.reaching.letters import Desk, compose
from domain import billing_alerts
from domain.by_hand import Written
from domain.money import MICRO
from domain.periods import DAY, date_number
from domain.sentences import OF_NOTICES
from domain.watch import Alert, AlertKind
from persistence import alerts, invoice_lists, letters
from persistence.actions import ActionKind
from persistence.mailboxes import Mailbox
from persistence.servers import Servers
from persistence.tenants import find_by_keys
from tests.api.reaching.dispatch import Dispatch
from tests.api.reaching.office import Office, Post, plain, rich
from tests.api.reaching.receiver import Receiver, receiving
from tests.conftest import Database
from tests.persistence.test_alerts import verified
from tests.persistence.test_log_file import fresh
from tests.scenarios.world import World

SHOP = "shop"
NOON = 1_795_150_800_000_000  # 2026-11-20 12:00 in Jakarta
BILLING = [
    AlertKind.INVOICE_ISSUED, AlertKind.INVOICE_PAID, AlertKind.INVOICE_OVERDUE,
    AlertKind.SUBSCRIPTION_ENDING,
]  # fmt: skip


@pytest.fixture
async def world(database: Database, redis_url: str) -> AsyncIterator[World]:
    async with World.open(database.app_url, redis_url) as world:
        world.clock.at = NOON
        await world.tenant(SHOP)
        yield world


async def issued(world: World, key: str = "a") -> str:
    """An invoice of 1,110,000, issued now; its number."""
    line = Written(description="Training", quantity=MICRO, unit="day", price=1_000_000 * MICRO)
    drawn = await invoice_create.run(
        world.door, world.catalogue, world.show,
        InvoiceCreate(tenant=SHOP, lines=(line,), idempotency_key=f"draw-{key}"),
        now=world.clock.at,
    )  # fmt: skip
    done = await invoice_issue.run(
        world.door, world.catalogue, world.show,
        InvoiceIssue(
            tenant=SHOP, invoice=id_of(drawn.body["invoice_id"]), idempotency_key=f"issue-{key}"
        ),
        now=world.clock.at,
    )  # fmt: skip
    number: str = done.body["invoice"]["number"]
    return number


async def tell(world: World, key: str, *raised: Alert) -> None:
    """Raise alerts in one commit."""

    async def act(scene: Scene) -> Done:
        changes = await unmoved(scene)
        changes.alerts += raised
        return Done(changes=changes, body={"invoice": key, "steps": []})

    await given(
        world.door, world.catalogue, world.show, ActionKind.DUNNING_SET, SHOP, key, b"", act,
        now=world.clock.at,
    )  # fmt: skip


async def year(world: World) -> str:
    """An invoice, overdue two days behind its due day, then paid; and a subscription's end."""
    number = await issued(world)
    total = 1_110_000 * MICRO
    world.clock.at = NOON + 16 * DAY
    await tell(
        world, "overdue",
        billing_alerts.invoice(
            AlertKind.INVOICE_OVERDUE, number, 110_000 * MICRO, total, world.clock.at
        ),
    )  # fmt: skip
    await tell(
        world, "rest",
        billing_alerts.invoice(AlertKind.INVOICE_PAID, number, 0, total, world.clock.at),
        billing_alerts.subscription_ending(
            "growth", date_number(date(2026, 12, 31)), world.clock.at
        ),
    )  # fmt: skip
    return number


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def test_webhooks_say_what_became_of_an_invoice(world: World, receiver: Receiver) -> None:
    """Number, total, balance, due day and status as they were; of an end its last day."""
    dispatch = Dispatch.of(world)
    try:
        await dispatch.endpoint(SHOP, f"{receiver.url}/all")
        await dispatch.endpoint(SHOP, f"{receiver.url}/paid", [AlertKind.INVOICE_PAID])
        number = await year(world)
        await dispatch.quiet()
    finally:
        await dispatch.webhooks.stop()
    bodies = [(each.path, json.loads(each.body)) for each in receiver.requests]
    of_all = sorted(
        (body for path, body in bodies if path == "/hooks/all"),
        key=lambda body: (body["timestamp"], body["type"]),
    )
    assert [body["type"] for body in of_all] == [
        "alert.invoice_issued", "alert.invoice_overdue", "alert.invoice_paid",
        "alert.subscription_ending",
    ]  # fmt: skip
    assert [body["type"] for path, body in bodies if path == "/hooks/paid"] == [
        "alert.invoice_paid"
    ]

    def short(data: dict[str, Any]) -> list[Any]:
        invoice = data["invoice"]
        return [
            invoice["number"], invoice["status"], invoice["dueOn"], invoice["total"]["value"],
            invoice["balance"]["value"], invoice["balance"]["currency"],
        ]  # fmt: skip

    first, second, third, last = (body["data"] for body in of_all)
    assert [short(each) for each in (first, second, third)] == [
        [number, "POSTED", "2026-12-04", "1110000", "1110000", "IDR"],
        [number, "OVERDUE", "2026-12-04", "1110000", "110000", "IDR"],
        [number, "PAID", "2026-12-04", "1110000", "0", "IDR"],
    ]
    assert first["invoice"]["id"] == second["invoice"]["id"]
    assert first["remaining"] == first["invoice"]["balance"]
    for each in (first, second, third, last):
        assert [
            each[name] for name in ("balance", "measure", "threshold", "value", "howToTopUp")
        ] == [None] * 5
    assert (last["subscription"], last["lastDay"], last["causeId"], last["remaining"]) == (
        "growth", "2026-12-31", "growth", None,
    )  # fmt: skip
    assert first["banner"] == (
        f"Faktur {number} telah diterbitkan: Rp\u00a01.110.000, jatuh tempo 4 Desember 2026."
    )


LETTERS = {
    "en": [
        "Invoice {n} was issued: IDR 1,110,000, due on 4 December 2026.",
        "Invoice {n} is overdue: IDR 110,000 was due on 4 December 2026, 2 days ago.",
        "Invoice {n} is paid: nothing is left of IDR 1,110,000.",
        "Subscription growth ends: its last day is 31 December 2026.",
    ],
    "id": [
        "Faktur {n} telah diterbitkan: Rp 1.110.000, jatuh tempo 4 Desember 2026.",
        "Faktur {n} lewat jatuh tempo: Rp 110.000 jatuh tempo 4 Desember 2026, 2 hari yang lalu.",
        "Faktur {n} lunas: tidak ada sisa dari Rp 1.110.000.",
        "Langganan growth akan berakhir: hari terakhirnya 31 Desember 2026.",
    ],
    "es": [
        "Se emitió la factura {n}: 1.110.000 IDR, vence el 4 de diciembre de 2026.",
        "La factura {n} está vencida: 110.000 IDR vencía el 4 de diciembre de 2026, hace 2 días.",
        "La factura {n} está pagada: no queda nada de 1.110.000 IDR.",
        "La suscripción growth termina: su último día es el 31 de diciembre de 2026.",
    ],
}


async def test_letters_say_so_in_each_language(world: World) -> None:
    """Sent by a real server of mail; what was paid meanwhile is said beside it."""
    assert LETTERS.keys() == OF_NOTICES
    async with Office.open() as office:
        post = Post.of(world, office)
        for locale in LETTERS:
            await post.mailbox(SHOP, f"{locale}@shop.example", locale=locale)
        number = await year(world)
        await post.quiet()
    texts = {to[0].split("@")[0]: [] for to in office.to}  # type: dict[str, list[str]]
    for to, letter in zip(office.to, office.read, strict=True):
        texts[to[0].split("@")[0]].append(plain(letter))
        assert number in rich(letter) or "growth" in rich(letter)
    for locale, sentences in LETTERS.items():
        told = "\n".join(texts[locale])
        for sentence in sentences:
            assert sentence.format(n=number) in told, told
    assert "paid since 2026-12-06 12:00 (Asia/Jakarta, UTC+07:00)" in "\n".join(texts["en"])
    # What is paid by then is not the worst of several.
    assert {each["subject"] for each in office.read} == {
        "shop: Subscription growth is ending, and 3 more",
        "shop: Langganan growth akan berakhir, dan 3 lainnya",
        "shop: La suscripción growth termina y 3 más",
    }


async def test_a_letter_of_a_void_one_says_so(world: World) -> None:
    """What is told late is told with what became of it: nobody pays what is void."""
    number = await issued(world)
    tenant = world.tenants[SHOP]
    async with world.door.tenant_tx(tenant.tenant_id) as connection:
        await connection.execute(
            "update invoices set voided_at = $2 where number = $1", number, NOON + DAY
        )
        found = await alerts.of_version(connection, tenant.tenant_id, 2)
        items = await letters.items(connection, tenant.tenant_id, [each.alert_id for each in found])
    mailbox = Mailbox(
        tenant_id=1, mailbox_id=1, email="a@b.example", locale="en", kinds=(), quiet=None,
        urgent_anyway=True, created_at=0, last_sent_at=None, last_error=None,
    )  # fmt: skip
    desk = Desk(catalogue=world.catalogue, now=NOON, public_url="")
    letter = compose(desk, tenant, mailbox, items)
    assert letter.subject == f"shop: Invoice {number} was issued"
    assert "void since 2026-11-21 12:00" in letter.text
    assert letter.reply_to is None


async def test_a_log_has_them_and_is_taken_in(
    world: World, servers: Servers, template: str, tmp_path: Path
) -> None:
    """EV-8: alerts of no balance travel, and invoices come back with their numbers."""
    numbers = [await issued(world), await issued(world, "b")]
    path = tmp_path / "shop.log"
    with path.open("wb") as file:
        await export(world.door, world.catalogue, SHOP, Writer(file), world.clock.now)
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    told = [line for line in lines if line["line"] == "alert"]
    assert [(each["balance"], each["kind"], each["measure"], each["cause"]) for each in told] == [
        (None, "INVOICE_ISSUED", "NONE", "INVOICE")
    ] * 2
    assert "invoice_id" not in {name for each in lines for name in each.get("body", ())}
    assert servers.addresses.redis_url is not None
    async with (
        fresh(servers, template) as elsewhere,
        World.open(elsewhere.app_url, servers.addresses.redis_url) as other,
    ):
        other.clock.at = NOON + DAY
        importing = Importing(
            other.door, elsewhere.owner_url, LogFile.checked(path), other.clock.at
        )
        assert (await importing.run()).differences == {}
        other.tenants[SHOP] = tenant = (await find_by_keys(other.door, [SHOP]))[SHOP]
        (found,) = await alerts.since(other.door, [(tenant.tenant_id, 0)], limit=9)
        assert [(each.kind, each.cause_id, each.currency, each.base) for each in found] == [
            (AlertKind.INVOICE_ISSUED, each, "IDR", 1_110_000 * MICRO) for each in numbers
        ]
        kept = await invoice_lists.by_ids(
            other.door, [(tenant.tenant_id, each.invoice_id or 0) for each in found]
        )
        assert [each and (each.number, each.balance) for each in kept] == [
            (each, 1_110_000 * MICRO) for each in numbers
        ]
        assert (await issued(other, "c")).endswith("-000003")
        await verified(other, SHOP)
