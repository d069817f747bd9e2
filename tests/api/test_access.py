"""Every field, mutation, subscription and route, as everybody: what `access` declares holds.

The documents are written from the built schema, so what is added to it is asked for here, or fails
for want of a place in the table.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute

from api import ids
from api.rights import ALL_SCOPES, OF_ROLE, SCOPES, BillingRight, Principal, Role
from api.schema.position import position_of
from api.schema.root import schema
from persistence.servers import Servers
from tests.api import access
from tests.api.access import ARGUMENTS, CREDENTIAL, GUARDED, MADE, ROUTES, TYPES, Need
from tests.api.furnished import NEVER, OPERATOR, Json, World, opened
from tests.api.walking import Question, Walk, batches, filled

#: What stands for arguments: those named here, and what is required.
SAMPLES = {
    "first": "2",
    "tenant": '"$tenant"',
    "plan": '"omnichannel-idr"',
    "idempotencyKey": '"$once"',
    "timezone": '"Asia/Jakarta"',
    "Query.tenant.key": '"$tenant"',
    "Query.node.id": '"$node"',
    "Tenant.balance.key": '"whatsapp"',
    "Tenant.fact.id": '"$fact"',
    "Tenant.fact.source": '"crm"',
    "Tenant.broadcast.id": '"$broadcast"',
    "Tenant.usageSeries.metrics": "[MESSAGES_OUT]",
    "Tenant.usageChart.metrics": "[MESSAGES_OUT]",
    "Tenant.usageSeries.groupBy": "[CHANNEL]",
    "Tenant.usageChart.groupBy": "[CHANNEL]",
    "Tenant.usageSeries.compare": "true",
    "Tenant.usageSummary.compare": "true",
    "RangeInput.preset": "THIS_MONTH",
    "range": "{preset: THIS_MONTH}",
    "EstimateInput.number": '"$address"',
    "EstimateInput.channel": '"whatsapp"',
    "EstimateInput.category": '"marketing"',
    "EstimateInput.template": "true",
    "EstimateInput.recipients": '["+6281110000077", "+12025550123", "0811"]',
    "AdjustmentCreateInput.balance": '"whatsapp"',
    "AlertAcknowledgeInput.id": '"$alert"',
    "Balance.refillDryRun.amount": '"2000"',
    "Balance.refillDryRun.minimum": '"0"',
    "PaymentTakeBackInput.payment": '"$payment"',
    "PurchaseCreateInput.amount": '"0"',
    "PurchaseCreateInput.balance": '"whatsapp"',
    "Tenant.purchase.id": '"$purchase"',
    "Tenant.invoice.number": '"$invoice_number"',
    "Tenant.creditNote.number": '"$credit_note_number"',
    "InvoiceDiscardInput.invoice": '"$invoice"',
    "Tenant.invoicePayment.id": '"$collected"',
    "InvoicePayInput.invoice": '"INV-2026-999999"',
    "Tenant.export.id": '"$export"',
    "Tenant.reportSchedule.id": '"$schedule"',
    "Account.payment.id": '"$payment"',
    "ExportCreateInput.year": "1999",
    "ThresholdSetInput.balance": '"visitors"',
    "WebhookEndpointCreateInput.url": '"http://shop.example"',
    "WebhookEndpointUpdateInput.id": '"$endpoint"',
    "WebhookEndpointDeleteInput.id": '"$endpoint"',
    "WebhookSecretRotateInput.id": '"$endpoint"',
    "WebhookTestInput.id": '"$endpoint"',
    "WebhookReplayInput.delivery": '"$delivery"',
    "ThresholdSetInput.percents": '["50"]',
    "AllowanceSetInput.amount": '"2000"',
    "AllowanceSetInput.balance": '"visitors"',
    "ApiKeyCreateInput.scopes": '["no:such"]',
    "ApiKeyRevokeInput.id": '"$key"',
    "WidgetTokenCreateInput.origins": '["https://shop.example"]',
    "WidgetTokenCreateInput.documents": '["sha256:none"]',
    "UserCreateInput.email": '"$email"',
    "UserCreateInput.role": "AGENT",
    "UserUpdateInput.id": '"$user"',
    "UserUpdateInput.name": '"Another"',
    "SignInLinkCreateInput.user": '"$user"',
    "BillingAccessGrantInput.user": '"$user"',
    "BillingAccessRevokeInput.user": '"$user"',
    "AuthorizeInput.number": '"$address"',
    "AuthorizeInput.contact": '"+6281110000077"',
    "HoldReleaseInput.hold": '"$hold"',
    "InternationalRateSetInput.from": "null",
    "Query.reportColumns.kind": "CHARGES",
    "ScheduledReportInput.kind": "VISITORS",
    "ScheduledReportInput.format": "CSV",
    "ScheduledReportInput.recipients": '["ops@shop.example"]',
    "ReportScheduleUpdateInput.id": '"$schedule"',
    "ReportScheduleDeleteInput.id": '"$schedule"',
    "MailboxSetInput.email": '"ops@shop.example"',
    "MailboxRemoveInput.id": '"$mailbox"',
    "NumberCreateInput.channel": '"whatsapp"',
    "NumberCreateInput.address": '"$address"',
    "NumberTimezoneChangeInput.number": '"$number"',
    "PeriodCloseInput.period": '"2026-10"',
    "PriceBookPublishInput.document": '""',
    "RefillPolicySetInput.balance": '"whatsapp"',
    "RefundCreateInput.charge": '"$charge"',
    "SubscriptionCreateInput.name": '"Growth"',
    "SubscriptionPlanSwitchInput.name": '"Growth"',
    "SubscriptionQuantitySetInput.component": '"seats"',
    "SubscriptionQuantitySetInput.quantity": '"-1"',
    # From another database: the newest alert comes at once, and says that there is more.
    "Subscription.alertRaised.after": f'"{position_of("elsewhere", 1)}"',
    "TenantCreateInput.key": '"$tenant"',
    "TenantCreateInput.plan": '"no-such-plan"',
    "TopUpCreateInput.balance": '"whatsapp"',
    "UsageRecordInput.events": '[{id: "e", source: "crm", type: "message.received", subject: '
    '"$tenant", time: "2026-11-20T10:00:00+07:00", '
    'data: {number: "$address", contact: "+6281110000077"}}]',
}  # fmt: skip

#: Kinds of ids, by the type whose node they name.
KINDS = {
    "Tenant": "tenant_id", "Number": "number", "ApiKey": "key", "TenantUser": "user",
    "TenantSubscription": "subscription", "Invoice": "invoice", "CreditNote": "credit_note",
}  # fmt: skip

#: Types of which the world has no object: others prove what they show, nothing here guards it.
UNSEEN = {
    "FreeCountPosition", "TierPosition", "RateIncrements", "RateTier",
    "VerificationUnsettled", "InvoicePeriod", "ReportChart",
}  # fmt: skip

WALK = Walk(schema._schema, GUARDED, SAMPLES)


@pytest.fixture(scope="module")
async def world(servers: Servers, template: str) -> AsyncIterator[World]:
    async with opened(servers, template) as world:
        yield world


def people(tenant_id: int) -> Iterator[tuple[str, Principal]]:
    """Every role, without a grant, with each right and with all of them."""
    grants = [frozenset[str](), *(frozenset({right}) for right in BillingRight)]
    for role in Role:
        of_operator = role is Role.OPERATOR
        for grant in [*grants, frozenset(BillingRight)]:
            who = Principal(
                "operator" if of_operator else "tenant",
                None if of_operator else tenant_id,
                None if of_operator else "tenant-one",
                OF_ROLE[role] | grant,
                None,
                name="user usr_1",
                role=role,
            )
            yield f"{role} with {', '.join(sorted(grant)) or 'nothing'}", who


def keys(kind: Any, tenant_id: int | None, key: str | None) -> Iterator[tuple[str, Principal]]:
    """A key with every scope, with each alone, and with all but each."""
    given = {"every scope": ALL_SCOPES}
    given |= {f"{name} alone": frozenset({name}) for name in SCOPES}
    given |= {f"all but {name}": ALL_SCOPES - {name} for name in SCOPES}
    for name, scopes in given.items():
        yield f"{kind}, {name}", Principal(kind, tenant_id, key, scopes, 1, name="key test")


def everybody(world: World) -> list[tuple[str, Principal]]:
    tenant_id = ids.decode("tnt", world.one["tenant_id"])
    assert tenant_id is not None
    return [
        *keys("tenant", tenant_id, "tenant-one"),
        *keys("operator", None, None),
        *people(tenant_id),
    ]


def stranger(world: World) -> Principal:
    """The key of the other tenant, with every scope."""
    number = ids.decode("tnt", world.two["tenant_id"])
    return Principal("tenant", number, "tenant-two", ALL_SCOPES, 2, name="key other")


# Documents


def with_argument(name: str, arguments: dict[str, str], need: Need) -> Question:
    """A question whose arguments ask for more than its field does."""
    samples = SAMPLES | {f"{name}.{key}": value for key, value in arguments.items()}
    (found,) = (q for q in Walk(schema._schema, GUARDED, samples).queries() if q.name == name)
    return replace(found, name=f"{name} {arguments}", need=need)


#: What reads a whole log: of a tenant that is not there where many are answered.
SLOW = {"Query.simulate", "Query.verification"}

QUERIES = [
    replace(question, alone=question.alone or question.name in SLOW)
    for question in [*WALK.queries(), *(with_argument(*each) for each in ARGUMENTS)]
]
MUTATIONS = WALK.roots("Mutation")
SUBSCRIPTIONS = WALK.roots("Subscription")


def fits(questions: list[Question]) -> bool:
    """Whether they stay well below what one document may ask for."""
    return sum(len(question.text.split()) for question in questions) < 600


BATCHES = list(batches(QUERIES, fits))
SHORT = list(batches([replace(question, text=question.short) for question in QUERIES], fits))


def document(questions: Iterable[Question], names: dict[str, str]) -> str:
    """Questions as aliases `a0`, `a1`, ... of one query, with these names of things."""
    words = []
    for place, question in enumerate(questions):
        way = re.match(r"node\(.*?\.\.\. on (\w+)", question.text)
        kind = way[1] if way else question.name.partition(":")[2]
        own = names | ({"node": names[KINDS[kind]]} if kind in KINDS else {})
        words.append(f"a{place}: {filled(question.text, own)}")
    return "{ " + " ".join(words) + " }"


def outcome(answer: Json, alias: str) -> tuple[Json | None, Any]:
    """The error of an alias, if there is one, and its data."""
    errors = [error for error in answer["errors"] if error.get("path", [alias])[0] == alias]
    assert len(errors) <= 1 or all(e["extensions"] == errors[0]["extensions"] for e in errors)
    data = None if answer["data"] is None else answer["data"].get(alias)
    return (errors[0] if errors else None), data


def check(question: Question, who: str, principal: Principal, answer: Json, alias: str) -> Any:
    """It was answered, or refused as the table says; what it answered."""
    error, data = outcome(answer, alias)
    refusal = question.need.refusal(principal)
    place = f"{question.name} for {who}: {error or data}"
    if refusal is None:
        assert error is None or error["extensions"]["code"] not in (
            "FORBIDDEN", "UNAUTHENTICATED", "INTERNAL_SERVER_ERROR",
        ), place  # fmt: skip
        return data
    reason, words = refusal
    assert error is not None, place
    assert error["extensions"]["code"] == "FORBIDDEN", place
    assert error["extensions"].get("reason", "") == reason, place
    assert words is None or error["message"] == words, place
    return None


def types_in(data: Any) -> Iterator[str]:
    """The types of the objects in an answer."""
    if isinstance(data, dict):
        if "__typename" in data:
            yield data["__typename"]
        for each in data.values():
            yield from types_in(each)
    elif isinstance(data, list):
        for each in data:
            yield from types_in(each)


# The table and the schema


def test_every_field_has_its_place_in_the_table() -> None:
    there = {f"{type_.name}.{name}" for type_, name, _ in WALK.fields()}
    declared = access.declared()
    assert there - declared == set(), "say in tests/api/access.py who may see these"
    assert declared - there == set(), "these are no fields"


def test_every_field_is_asked_for() -> None:
    asked = {place for q in (*QUERIES, *MUTATIONS, *SUBSCRIPTIONS) for place in q.asked}
    there = {f"{type_.name}.{name}" for type_, name, _ in WALK.fields()}
    assert there - asked - {"Query.node"} == set()


def test_no_way_leads_past_a_guard() -> None:
    """Whoever comes to an object, by whichever field, has what its type says they have."""
    wrong = []
    for type_ in WALK.objects():
        having = TYPES[type_.name][0] if type_.name in TYPES else CREDENTIAL
        for name, behind, need in WALK.edges(type_):
            place = f"{type_.name}.{name}"
            if place not in MADE and not having.and_(need).covers(TYPES[behind][0]):
                wrong.append(f"{place} gives {behind} to who may not have one")
    assert wrong == []


# Queries


async def test_without_a_credential_there_is_nothing(world: World) -> None:
    for question in QUERIES:
        answer = await world.ask(None, document([question], world.one))
        error, data = outcome(answer, "a0")
        assert data is None, question.name
        assert error is not None, question.name
        assert error["extensions"]["code"] == "UNAUTHENTICATED", question.name
    for question in MUTATIONS:
        answer = await world.ask(None, "mutation " + document([question], world.one))
        assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED", question.name
    for question in SUBSCRIPTIONS:
        answer = await world.watch(None, "subscription " + document([question], world.one))
        assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED", question.name
    answer = await world.ask(None, "{ __typename __schema { queryType { name } } }")
    assert answer["errors"] == []


async def test_everybody_is_answered_or_refused_as_the_table_says(world: World) -> None:
    """PE-1 among it: who has no billing access is told whom to ask, and never shown nothing."""
    whole, short = (
        [(batch, document(batch, world.one), document(batch, NEVER)) for batch in which]
        for which in (BATCHES, SHORT)
    )
    for who, principal in everybody(world):
        # What lies below a field is asked for by whoever has little; it is the same for the others.
        for batch, text, of_nobody in whole if len(principal.scopes) == 1 else short:
            granted = batch[0].need.refusal(principal) is None
            spared = granted and batch[0].name in SLOW
            answer = await world.ask(principal, of_nobody if spared else text)
            for place, question in enumerate(batch):
                check(question, who, principal, answer, f"a{place}")


async def test_what_a_field_needs_is_enough_for_all_below_it(world: World) -> None:
    tenant_id = ids.decode("tnt", world.one["tenant_id"])
    for question in QUERIES:
        scopes = frozenset(names[0] for names in question.need.scopes)
        who = Principal("tenant", tenant_id, "tenant-one", scopes, 1)
        if question.need.operator:
            who = Principal("operator", None, None, scopes, 1)
        answer = await world.ask(who, document([question], world.one))
        assert answer["errors"] == [], question.name
        assert answer["data"]["a0"] is not None, question.name


async def test_what_is_asked_for_is_there(world: World) -> None:
    """Nobody is refused nothing: of every type an object was seen, by who may see it."""
    seen = set()
    for question in QUERIES:
        answer = await world.ask(OPERATOR, document([question], world.one))
        assert answer["errors"] == [], question.name
        assert answer["data"]["a0"] is not None, question.name
        seen |= set(types_in(answer["data"]))
    for question in SUBSCRIPTIONS:
        answer = await world.watch(OPERATOR, "subscription " + document([question], world.one))
        assert answer["errors"] == [], question.name
        seen |= set(types_in(answer["data"]))
    asked = {place.partition(".")[0] for q in (*QUERIES, *SUBSCRIPTIONS) for place in q.asked}
    roots = {"Query", "Subscription"}
    assert asked - seen - roots == UNSEEN


async def test_another_tenants_things_do_not_exist(world: World) -> None:
    """The same answer, letter by letter, as for what never was; and nothing changes."""
    who = stranger(world)
    before = await world.rows_of(world.one)
    assert sum(digest is not None for digest in before.values()) > 15
    own = {"tenant": "tenant-two", "tenant_id": world.two["tenant_id"]}
    for names, never in ((world.one, world.never), (world.one | own, world.never | own)):
        for question in (*QUERIES, *MUTATIONS):
            kind = "mutation " if question in MUTATIONS else ""
            if question.name == "Mutation.userCreate" and names["tenant"] == "tenant-two":
                continue  # makes somebody: see below
            theirs = await world.ask(who, kind + document([question], names))
            nobodys = await world.ask(who, kind + document([question], never))
            assert spelled(theirs, world.one) == spelled(nobodys, NEVER), question.name
    for question in SUBSCRIPTIONS:
        theirs, nobodys = [
            await world.watch(who, "subscription " + document([question], names))
            for names in (world.one, world.never)
        ]
        assert theirs["errors"][0]["extensions"]["code"] == "NOT_FOUND"
        assert spelled(theirs, world.one) == spelled(nobodys, NEVER)
    # Whoever else has this address, here it is free.
    (user_create,) = (q for q in MUTATIONS if q.name == "Mutation.userCreate")
    made = await world.ask(who, "mutation " + document([user_create], world.one | own))
    assert made["data"]["a0"]["user"]["tenant"] == "tenant-two"
    assert await world.rows_of(world.one) == before


def spelled(answer: Json, names: dict[str, str]) -> str:
    """An answer without the names that were asked for, which it may say again."""
    text = json.dumps(answer)
    for key, name in names.items():
        text = text.replace(name, f"<{key}>").replace(name.lstrip("+"), f"<{key}>")
    return text


# Mutations and subscriptions


async def test_mutations_are_refused_as_the_table_says(world: World) -> None:
    """Who may is told that there is no such tenant; who may not, that alone."""
    before = await world.rows_of(world.one)
    documents = [(q, "mutation " + document([q], world.never)) for q in MUTATIONS]
    for who, principal in everybody(world):
        for question, text in documents:
            answer = await world.ask(principal, text)
            data = check(question, who, principal, answer, "a0")
            if data is not None:
                said = data["userErrors"] or data.get("results")
                assert said, f"{question.name} did something for {who}"
    assert await world.rows_of(world.one) == before


async def test_subscriptions_are_refused_as_the_table_says(world: World) -> None:
    documents = [(q, "subscription " + document([q], world.one)) for q in SUBSCRIPTIONS]
    for who, principal in everybody(world):
        for question, text in documents:
            answer = await world.watch(principal, text)
            data = check(question, who, principal, answer, "a0")
            assert (data is None) == (question.need.refusal(principal) is not None)


# Routes


def of_routes(app: Starlette) -> set[tuple[str, str]]:
    """Path and method of every route; GraphQL's own takes what it answers itself."""
    found = set()
    for route in app.routes:
        if isinstance(route, WebSocketRoute):
            found.add((route.path, "WEBSOCKET"))
        else:
            assert isinstance(route, Route)
            methods = (route.methods or {"GET", "POST"}) - {"HEAD"}
            found |= {(route.path, method) for method in methods}
    return found


async def test_every_route_asks_for_what_the_table_says(world: World) -> None:
    """From another machine, without a credential, with a wrong one, and with each scope alone."""
    assert of_routes(world.app) == ROUTES.keys()
    bearers: list[tuple[str, Principal]] = []
    for tenant in (None, "tenant-one"):
        whose = "null" if tenant is None else f'"{tenant}"'
        for name in SCOPES:
            given = f'tenant: {whose}, name: "k", scopes: ["{name}"]'
            made = await world.ask(
                OPERATOR, f"mutation {{ apiKeyCreate(input: {{{given}}}) {{ secret }} }}"
            )
            kind: Any = "operator" if tenant is None else "tenant"
            who = Principal(kind, 1, tenant, frozenset({name}), 1)
            bearers.append((made["data"]["apiKeyCreate"]["secret"], who))
    elsewhere = httpx2.ASGITransport(world.app, client=("203.0.113.9", 4711))
    async with httpx2.AsyncClient(transport=elsewhere, base_url="http://kuota") as client:
        for (path, method), need in ROUTES.items():
            if method == "WEBSOCKET":
                continue  # the handshake asks for nothing: see the tests of sockets

            async def status(
                secret: str | None = None, *, path: str = path, method: str = method
            ) -> int:
                headers = {} if method == "GET" else {"content-type": "application/json"}
                if secret is not None:
                    headers["authorization"] = f"Bearer {secret}"
                content = None if method == "GET" else "[]"
                answer = await client.request(method, path, headers=headers, content=content)
                return answer.status_code

            if need is None:
                # A wrong link, key or provider is refused as one; nobody is asked who he is.
                got = await status()
                assert got in (403, 404, 415) if "{" in path else got < 401, path
                continue
            assert await status() == 401, path
            assert await status("kuota_aaaaaaaa_" + "A" * 32) == 401, path
            for secret, who in bearers:
                refused = need.refusal(who) is not None
                assert (await status(secret) == 403) == refused, (path, who)
