"""Two tenants with something of everything, in a served application on a clock that stands.

Owns the furnishing, and the names of what there is and of what never was.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

from starlette.applications import Starlette

from api import ids
from api.app import create_app
from api.core import Core
from api.invoicing.exporting import Exporting
from api.operations import report_schedule_create
from api.operations.report_schedule_create import ReportScheduleCreate
from api.paying.port import Standing
from api.paying.sandbox import Sandbox
from api.reports.scheduling import Scheduling
from api.reports.spec import Format, Kind, Spec
from api.rights import ALL_SCOPES, Principal
from api.schema.root import schema
from api.settings import Clock, Settings
from api.transport.outcome import formatted
from domain.periods import DAY, HOUR, MINUTE, SECOND, iso
from domain.report_schedules import Rhythm
from persistence import dunning, tasks
from persistence.audit import COMMAND, acting_as
from persistence.connection import Connection
from persistence.servers import Servers
from persistence.tenants import find_by_keys
from tests.api.sockets import cloned, until
from tests.api.test_open_holds import Desk
from tests.conftest import OPERATOR_KEY
from tests.persistence.rows import rows_of
from tests.persistence.test_dunning import issued

Json = dict[str, Any]

#: 2026-11-20 12:00 in Jakarta.
NOON = 1_795_150_800_000_000


class Noon(Clock):
    """A clock that stands: of two answers to one question no instant differs."""

    def now(self) -> int:
        return NOON


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Tenants with something of everything, and names of what there is and of what never was."""

    app: Starlette
    owner: Connection
    one: dict[str, str]
    two: dict[str, str]
    never: dict[str, str]

    @property
    def core(self) -> Core:
        core: Core = self.app.state.core
        return core

    async def ask(self, who: Principal | None, text: str) -> Json:
        """The answer to a document as a client gets it, but for the envelope."""
        context = self.core.context(who, "the-request")
        with context.acting():
            result = await schema.execute(text, context_value=context)
        errors = [formatted(error, "the-request") for error in result.errors or ()]
        return {"data": result.data, "errors": errors}

    async def watch(self, who: Principal | None, text: str) -> Json:
        """The first that a subscription gives."""
        context = self.core.context(who, "the-request")
        results: Any = await schema.stream(text, context_value=context)
        async with aclosing(results):
            async for result in results:
                errors = [formatted(error, "the-request") for error in result.errors or ()]
                return {"data": result.data, "errors": errors}
        raise AssertionError("the stream ended without a word")

    async def rows_of(self, tenant: dict[str, str]) -> dict[str, str]:
        """A digest of all rows of a tenant, by table."""
        number = ids.decode("tnt", tenant["tenant_id"])
        found = await self.owner.fetch(
            """
            select c.relname as name from pg_class c
            join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
            where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
                and not c.relispartition
            """
        )
        digests = " union all ".join(
            f"select '{row['name']}' as name, md5(string_agg(t::text, '|' order by t::text)) "
            f"as digest from {row['name']} t where tenant_id = $1"
            for row in found
        )
        return {row["name"]: row["digest"] for row in await self.owner.fetch(digests, number)}


#: A delivery that was taken at its first try.
SENT = """
insert into deliveries (
    tenant_id, channel, target_id, event, kind, body, address, state, tried, tries, created_at,
    ended_at
)
values ($1, 'webhook', $2, 'tst_sent', 'webhook.test', '{}', 'https://shop.example/', 2, 1,
    jsonb_build_array(jsonb_build_array($3::bigint, 12, 200, '', 'ok')), $3, $3)
returning delivery_id"""

OPERATOR = Principal("operator", None, None, ALL_SCOPES, None)


#: Of the same forms and lengths, and of nobody.
NEVER = {
    "tenant": "tenant-nil",
    "tenant_id": ids.encode("tnt", 999_999),
    "node": ids.encode("tnt", 999_999),
    "number": ids.encode("num", 999_999),
    "address": "+6281110000009",
    "key": ids.encode("key", 999_999),
    "user": ids.encode("usr", 999_999),
    "email": "ann@tenant-nil.example",
    "fact": "fact-of-tenant-nil",
    "broadcast": "news-of-tenant-nil",
    "charge": ids.encode_charge(NOON, b"0123456789abcdef", 0, 0, False),
    "top_up": ids.encode("top", 999_999),
    "purchase": ids.encode("pur", 999_999),
    "collected": ids.encode("pur", 999_998),
    "payment": ids.encode("pay", 999_999),
    "invoice": ids.encode("inv", 999_999),
    "invoice_number": "I-2026-999999",
    "credit_note": ids.encode("inv", 999_998),
    "credit_note_number": "CN-2026-999999",
    "subscription": ids.encode("sub", 999_999),
    "export": ids.encode("exp", 999_999),
    "hold": f"hld_{'A' * 92}",
    "alert": ids.encode("alt", 999_999),
    "mailbox": ids.encode("mbx", 999_999),
    "schedule": ids.encode("rsc", 999_999),
    "endpoint": ids.encode("whe", 999_999),
    "delivery": ids.encode("dlv", 999_999),
    "once": "once-of-tenant-nil",
}


async def pay(world: World, tenant: str, bought: Json) -> None:
    """Pay a purchase at the sandbox, and have what follows done."""
    engines = world.core.engines
    sandbox = engines.paying.providers["sandbox"]
    assert isinstance(sandbox, Sandbox)
    await sandbox.decide(bought["payments"][0]["key"], Standing.PAID)
    text = f'{{ tenant(key: "{tenant}") {{ purchase(id: "{bought["id"]}") {{ status }} }} }}'

    async def is_paid() -> bool:
        await engines.tasks.quiet()
        answer = await world.ask(OPERATOR, text)
        return bool(answer["data"]["tenant"]["purchase"]["status"] == "PAID")

    await until(is_paid)


async def furnished(world: World, tenant: str, address: str) -> dict[str, str]:
    """A tenant with something of everything; the names of what it has."""

    async def do(field: str, given: str, wanted: str) -> Any:
        text = f"mutation {{ {field}(input: {{{given}}}) {{ {wanted} userErrors {{ message }} }} }}"
        answer = await world.ask(OPERATOR, text)
        assert not answer["errors"], answer
        payload = answer["data"][field]
        assert payload.pop("userErrors") == [], text
        return next(iter(payload.values()))

    async def send(*events: tuple[str, str, int, str]) -> None:
        items = ", ".join(
            f'{{id: "{id}", source: "crm", type: "message.{kind}", subject: "{tenant}", '
            f'time: "{iso(at)}", data: {{number: "{address}", {data}}}}}'
            for id, kind, at, data in events
        )
        await do("usageRecord", f"events: [{items}]", "results { status }")

    fact = f"fact-of-{tenant}"
    made = await do("tenantCreate", f'key: "{tenant}", plan: "omnichannel-idr"', "tenant { id }")
    number = await do(
        "numberCreate",
        f'tenant: "{tenant}", channel: "whatsapp", address: "{address}"',
        "number { id }",
    )
    top_up = await do(
        "topUpCreate",
        f'tenant: "{tenant}", balance: "whatsapp", amount: "5000", idempotencyKey: "a"',
        "topUp { id }",
    )
    contact, other = 'contact: "+6281110000010"', 'contact: "+6281110000011"'
    template = f'{other}, category: "marketing", template: "sale"'
    await send(
        ("in", "received", NOON - 3 * HOUR, contact),
        ("out", "delivered", NOON - 3 * HOUR + MINUTE, f'{contact}, text: "hello"'),
        (fact, "delivered", NOON - 2 * HOUR, template),
    )
    # It came from an advertisement, as is known too late; and once more, with other words.
    await send(("ad", "received", NOON - 2 * HOUR - SECOND, f'{other}, entry: "ad"'))
    await send((fact, "delivered", NOON - 2 * HOUR, f'{template}, user: "eve"'))
    await do("settle", f'tenant: "{tenant}"', "settlement { id }")
    # Settled into what is free; this one is charged.
    third = 'contact: "+6281110000012", category: "marketing", template: "sale"'
    third += f', broadcast: "news-of-{tenant}"'
    paid = f"paid-by-{tenant}"  # charges of one fact id and time have one id, whoever's they are
    await send((paid, "delivered", NOON - HOUR, third))
    charges = await world.ask(
        OPERATOR, f'{{ tenant(key: "{tenant}") {{ charges {{ nodes {{ id factId }} }} }} }}'
    )
    (charge,) = (
        each["id"]
        for each in charges["data"]["tenant"]["charges"]["nodes"]
        if each["factId"] == paid
    )
    named = f'tenant: "{tenant}", idempotencyKey:'
    await do(
        "adjustmentCreate", f'{named} "b", balance: "whatsapp", amount: "7", reason: "r"',
        "adjustment { id }",
    )  # fmt: skip
    await do(
        "adjustmentCreate", f'{named} "low", balance: "visitors", amount: "-700", reason: "r"',
        "adjustment { id }",
    )  # fmt: skip
    await do(
        "refundCreate", f'{named} "c", charge: "{charge}", amount: "1", reason: "r"',
        "refund { id }",
    )  # fmt: skip
    await do("internationalRateSet", f'{named} "d", market: "IN", from: "2026-12-01"',
             "internationalRate { market }")  # fmt: skip
    hold = await do(
        "authorize", f'{named} "hold", number: "{address}", contact: "+6281110000013", '
        'category: "marketing"', "hold { id }",
    )  # fmt: skip
    await do(
        "sendingSet", f'tenant: "{tenant}", reason: "r", caps: [{{balance: "whatsapp", day: "9"}}],'
        ' failOpen: [{balance: "whatsapp", amount: "1"}]', "sending { callSeconds }",
    )  # fmt: skip
    await do(
        "paymentMethodSet", f'{named} "pays", provider: "sandbox", token: "sandbox:succeeds", '
        'label: "Visa 4242"', "paymentMethod { label }",
    )  # fmt: skip
    await do(
        "refillPolicySet", f'{named} "f", balance: "whatsapp", enabled: true, minimum: "0", '
        'amount: "2000", monthCap: "90000"', "policy { balance }",
    )  # fmt: skip
    mailbox = await do(
        "mailboxSet", f'tenant: "{tenant}", email: "alerts@{tenant}.example"', "mailbox { id }"
    )
    for field, what in (("timezoneChange", f'tenant: "{tenant}"'),
                        ("numberTimezoneChange", f'number: "{number["id"]}"')):  # fmt: skip
        await do(field, f'{what}, timezone: "Asia/Makassar", idempotencyKey: "{field}"', "startsAt")
    await do(
        "billingSet", f'{named} "billing", name: "Shop", taxId: "02.111.222.3-444.000", '
        'reference: "PO 1"', "billing { name }",
    )  # fmt: skip
    subscription = await do(
        "subscriptionCreate", f'{named} "subscribes", name: "Growth", term: {{months: 12}}, '
        'components: [{key: "seats", name: "Seats", unit: "seat", quantity: "3", price: "9000"}], '
        'setup: [{key: "begin", name: "Onboarding", price: "500"}]', "subscription { id }",
    )  # fmt: skip
    await do(
        "subscriptionQuantitySet", f'{named} "seat", component: "seats", quantity: "4"',
        "subscription { id }",
    )  # fmt: skip
    payment = await do(
        "paymentRecord", f'{named} "came", amount: "5000", method: CASH, receivedOn: "2026-11-20"',
        "payment { id }",
    )  # fmt: skip
    bought = await do(
        "purchaseCreate", f'{named} "buy", balance: "whatsapp", amount: "1000"',
        "purchase { id payments { key } }",
    )  # fmt: skip
    await pay(world, tenant, bought)
    draft = await do(
        "invoiceCreate", f'{named} "draft", lines: [{{description: "Training", quantity: "1", '
        'unit: "day", price: "9000"}]', "invoice { id }",
    )  # fmt: skip
    invoice = await do(
        "invoiceIssue", f'{named} "issue", invoice: "{draft["id"]}"', "invoice { id number }"
    )
    collected = await do(
        "invoicePay", f'{named} "pay", invoice: "{invoice["number"]}"', "payment { id }"
    )
    note = await do(
        "creditNoteCreate", f'{named} "note", invoice: "{invoice["id"]}", reason: "r"',
        "creditNote { id number }",
    )  # fmt: skip
    # The last that is raised: what low balances say is seen of it.
    await do(
        "thresholdSet", f'{named} "e", balance: "visitors", percents: ["35"], units: ["10"]',
        "thresholds { balance }",
    )  # fmt: skip
    raised = await world.ask(
        OPERATOR, f'{{ tenant(key: "{tenant}") {{ alerts {{ nodes {{ id }} }} }} }}'
    )
    alert = raised["data"]["tenant"]["alerts"]["nodes"][0]
    key = await do(
        "apiKeyCreate", f'tenant: "{tenant}", name: "k", scopes: ["usage:read"]', "apiKey { id }"
    )
    user = await do(
        "userCreate",
        f'tenant: "{tenant}", name: "Ann", email: "ann@{tenant}.example", role: ADMIN',
        "user { id }",
    )
    # Of what is never raised here: nothing is sent while others look.
    endpoint = await do(
        "webhookEndpointCreate",
        f'tenant: "{tenant}", url: "https://{tenant}.example/", kinds: [RUNNING_OUT]',
        "endpoint { id }",
    )
    delivery = await world.owner.fetchval(
        SENT, ids.decode("tnt", made["id"]), ids.decode("whe", endpoint["id"]), NOON
    )
    export = await do("exportCreate", f'{named} "export", year: 2026', "export { id }")
    door, now = world.core.door, world.core.clock.now
    for task in await tasks.take(door, tasks.EXPORT, now(), lease=MINUTE, limit=9):
        await Exporting(door, now).handle(task)
    # Overdue since yesterday; what is due next about it is so tomorrow.
    record = (await find_by_keys(door, [tenant]))[tenant]
    unpaid = await issued(
        door, record, 1, due_on=date(2026, 11, 18), at=NOON - 9 * DAY, tasked=False
    )
    async with door.tenant_tx(record.tenant_id) as connection:
        await dunning.keep_steps(connection, record.tenant_id, unpaid.invoice_id, ["overdue"], NOON)
    return {
        "tenant": tenant,
        "tenant_id": made["id"],
        "node": made["id"],
        "number": number["id"],
        "address": address,
        "key": key["id"],
        "user": user["id"],
        "email": f"ann@{tenant}.example",
        "fact": fact,
        "broadcast": f"news-of-{tenant}",
        "charge": charge,
        "top_up": top_up["id"],
        "purchase": bought["id"],
        "collected": collected["id"],
        "payment": payment["id"],
        "invoice": invoice["id"],
        "invoice_number": invoice["number"],
        "credit_note": note["id"],
        "credit_note_number": note["number"],
        "subscription": subscription["id"],
        "export": export["id"],
        "hold": hold["id"],
        "alert": alert["id"],
        "mailbox": mailbox["id"],
        "schedule": await scheduled(world.core, tenant, address),
        "endpoint": endpoint["id"],
        "delivery": ids.encode("dlv", delivery),
        "once": f"once-of-{tenant}",
    }


async def scheduled(core: Core, tenant: str, address: str) -> str:
    """A report that is mailed every day; tomorrow's is made, and its letter is on its way."""
    door, tomorrow = core.door, NOON + DAY
    request = ReportScheduleCreate(
        tenant=tenant,
        spec=Spec(
            kind=Kind.VISITORS, format=Format.CSV, start=0, end=0, costs=False,
            only=(("NUMBER", (address,)),), recipients=(f"reports@{tenant}.example",),
        ),
        rhythm=Rhythm.DAILY, hour=7, idempotency_key="reports",
    )  # fmt: skip
    who = Principal("operator", None, None, ALL_SCOPES, None)
    with acting_as(COMMAND):
        _, made = await report_schedule_create.run(door, who, request, mails=True, now=NOON)
        for kind, doing in (
            (tasks.REPORT_SCHEDULE, Scheduling(door, lambda: tomorrow)),
            (tasks.EXPORT, Exporting(door, lambda: tomorrow)),
        ):
            for task in await tasks.take(door, kind, tomorrow, lease=MINUTE, limit=9):
                await doing.handle(task)
    return ids.encode("rsc", made.schedule_id)


@asynccontextmanager
async def opened(servers: Servers, template: str, **given: Any) -> AsyncIterator[World]:
    """A world on a database of its own; `given` are settings."""
    async with cloned(servers, template) as database:
        settings = Settings(
            database_url=database.app_url,
            redis_url=f"{servers.addresses.redis_url}?db=61",
            operator_key=OPERATOR_KEY,
            **given,
        )
        app = create_app(settings, Noon())
        async with app.router.lifespan_context(app), rows_of(database.owner_url) as rows:
            world = World(app=app, owner=rows.connection, one={}, two={}, never=NEVER)
            world.one.update(await furnished(world, "tenant-one", "+6281110000001"))
            world.two.update(await furnished(world, "tenant-two", "+6281110000002"))
            for tenant in ("tenant-one", "tenant-two"):
                await Desk(app).grant("a", tenant=tenant)
            yield world
