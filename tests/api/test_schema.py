"""The schema is the one that was reviewed, says what everything is, and is closed to strangers."""

from __future__ import annotations

import re
from pathlib import Path

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    get_introspection_query,
    is_required_argument,
    parse,
    specified_rules,
    validate,
)
from graphql.validation import LoneAnonymousOperationRule

from api.cli.morning import MORNING
from api.schema.root import printed, schema
from tests.api.conftest import Ask

PRINTED = Path(__file__).parents[2] / "schema.graphql"
README = (PRINTED.parent / "README.md").read_text("utf-8")
CORE: GraphQLSchema = schema._schema


def test_the_schema_is_the_one_in_the_file() -> None:
    assert PRINTED.read_text("utf-8") == printed(), "run: python -m api.schema > schema.graphql"


def test_what_the_readme_asks_can_be_asked() -> None:
    """Some of its blocks have several operations, to be pasted one by one."""
    rules = [rule for rule in specified_rules if rule is not LoneAnonymousOperationRule]
    blocks = re.findall(r"(?ms)^```graphql\n(.*?)^```$", README)
    assert len(blocks) > 5
    for block in blocks:
        assert validate(CORE, parse(block), rules) == [], block
    assert MORNING.strip() in README


def test_everything_is_described() -> None:
    silent = []
    for name, kind in CORE.type_map.items():
        if name.startswith("__") or name in ("Boolean", "Float", "ID", "Int", "String"):
            continue
        if not kind.description:
            silent.append(name)
        if isinstance(kind, GraphQLEnumType):
            silent += [f"{name}.{v}" for v, value in kind.values.items() if not value.description]
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            for field_name, field in kind.fields.items():
                places = {"": field, **{f"({arg})": value for arg, value in field.args.items()}}
                silent += [
                    f"{name}.{field_name}{place}"
                    for place, thing in places.items()
                    if not thing.description
                ]
        if isinstance(kind, GraphQLInputObjectType):
            silent += [f"{name}.{f}" for f, field in kind.fields.items() if not field.description]
    assert silent == []


def test_enums_are_upper_snake_and_mutations_have_one_input_and_a_payload() -> None:
    for name, kind in CORE.type_map.items():
        if isinstance(kind, GraphQLEnumType) and not name.startswith("__"):
            assert [value for value in kind.values if value != value.upper()] == []
    assert CORE.mutation_type is not None
    for name, field in CORE.mutation_type.fields.items():
        assert list(field.args) == ["input"]
        payload = f"{name[0].upper()}{name[1:]}Payload"
        assert str(field.type) == f"{payload}!"
        fields = CORE.type_map[payload].fields  # type: ignore[attr-defined]
        assert str(fields["userErrors"].type) == "[UserError!]!"


QUERIES = {
    "priceBooks": "{ priceBooks { nodes { key } } }",
    "reportColumns": "{ reportColumns(kind: LEDGER) { name } }",
    "viewer": "{ viewer { kind } }",
    "tenant": '{ tenant(key: "one") { name } }',
    "tenants": "{ tenants { nodes { name } } }",
    "estimate": '{ estimate(input: {tenant: "one", number: "1", channel: "sms"}) { count } }',
    "simulate": '{ simulate(input: {tenant: "one"}) { count } }',
    "apiKeys": "{ apiKeys { nodes { id } } }",
    "audit": "{ audit { nodes { what } } }",
    "operatorUsers": "{ operatorUsers { nodes { id } } }",
    "verification": '{ verification(tenant: "one") { wrong } }',
    "node": '{ node(id: "tnt_n0zmmz5qsvdw9") { id } }',
}
MUTATIONS = {
    "priceBookPublish": '{document: "", format: TOML}',
    "tenantCreate": '{key: "x", plan: "omnichannel-idr"}',
    "numberCreate": '{tenant: "one", channel: "sms", address: "+62 811 1000 0001"}',
    "topUpCreate": '{tenant: "one", balance: "whatsapp", amount: "1", idempotencyKey: "x"}',
    "adjustmentCreate": '{tenant: "one", balance: "sms", amount: "1", reason: "x", '
    'idempotencyKey: "x"}',
    "refundCreate": '{tenant: "one", topUp: "top_x", reason: "x", idempotencyKey: "x"}',
    "planChange": '{tenant: "one", plan: null, idempotencyKey: "x"}',
    "allowanceSet": '{tenant: "one", balance: "sms", amount: null, since: "2026-11-01", '
    'idempotencyKey: "x"}',
    "timezoneChange": '{tenant: "one", timezone: "UTC", idempotencyKey: "x"}',
    "numberTimezoneChange": '{number: "num_n0zmmz5qsvdw9", timezone: "UTC", idempotencyKey: "x"}',
    "internationalRateSet": '{tenant: "one", market: "ID", from: null, idempotencyKey: "x"}',
    "apiKeyCreate": '{tenant: "one", name: "x", scopes: ["usage:read"]}',
    "widgetTokenCreate": '{tenant: "one", documents: [], origins: []}',
    "sendingSet": '{tenant: "one", reason: "x"}',
    "dunningSet": '{tenant: "one", idempotencyKey: "x"}',
    "tenantStatusSet": '{tenant: "one", status: ACTIVE, reason: "x"}',
    "paymentMethodSet": '{tenant: "one", idempotencyKey: "x"}',
    "billingSet": '{tenant: "one", idempotencyKey: "x"}',
    "refillPolicySet": '{tenant: "one", balance: "x", enabled: false, idempotencyKey: "x"}',
    "invoicePay": '{tenant: "one", invoice: "x", idempotencyKey: "x"}',
    "purchaseCreate": '{tenant: "one", balance: "x", amount: "1", idempotencyKey: "x"}',
    "thresholdSet": '{tenant: "one", balance: "x", idempotencyKey: "x"}',
    "alertAcknowledge": '{tenant: "one", id: "alt_none"}',
    "subscriptionCreate": '{tenant: "one", name: "Growth", idempotencyKey: "x"}',
    "subscriptionQuantitySet": (
        '{tenant: "one", component: "seats", quantity: "1", idempotencyKey: "x"}'
    ),
    "subscriptionPlanSwitch": '{tenant: "one", name: "Large", idempotencyKey: "x"}',
    "subscriptionPause": '{tenant: "one", idempotencyKey: "x"}',
    "subscriptionResume": '{tenant: "one", idempotencyKey: "x"}',
    "subscriptionCancel": '{tenant: "one", idempotencyKey: "x"}',
    "subscriptionRenew": '{tenant: "one", idempotencyKey: "x"}',
    "paymentRecord": (
        '{tenant: "one", amount: "1", method: CASH, receivedOn: "2026-01-01", idempotencyKey: "x"}'
    ),
    "paymentRefund": '{tenant: "one", amount: "1", reason: "x", idempotencyKey: "x"}',
    "paymentTakeBack": '{tenant: "one", payment: "x", reason: "x", idempotencyKey: "x"}',
    "creditNoteCreate": '{tenant: "one", invoice: "x", reason: "x", idempotencyKey: "x"}',
    "invoiceVoid": '{tenant: "one", invoice: "x", reason: "x", idempotencyKey: "x"}',
    "invoiceCreate": '{tenant: "one", lines: [], idempotencyKey: "x"}',
    "invoiceIssue": '{tenant: "one", invoice: "x", idempotencyKey: "x"}',
    "invoiceDiscard": '{tenant: "one", invoice: "x", idempotencyKey: "x"}',
    "exportCreate": '{tenant: "one", year: 2026, idempotencyKey: "x"}',
    "reportScheduleCreate": (
        '{tenant: "one", rhythm: DAILY, idempotencyKey: "x", report: {kind: VISITORS, format: CSV, '
        'recipients: ["x@example.com"]}}'
    ),
    "reportScheduleUpdate": '{tenant: "one", id: "rsc_none"}',
    "reportScheduleDelete": '{tenant: "one", id: "rsc_none"}',
    "mailboxSet": '{tenant: "one", email: "x@example.com"}',
    "mailboxRemove": '{tenant: "one", id: "mbx_none"}',
    "webhookEndpointCreate": '{tenant: "one", url: "https://x.example"}',
    "webhookEndpointUpdate": '{tenant: "one", id: "whe_none"}',
    "webhookEndpointDelete": '{tenant: "one", id: "whe_none"}',
    "webhookSecretRotate": '{tenant: "one", id: "whe_none"}',
    "webhookTest": '{tenant: "one", id: "whe_none"}',
    "webhookReplay": '{tenant: "one", delivery: "dlv_none"}',
    "settle": '{tenant: "one"}',
    "periodClose": '{tenant: "one", period: "2026-01", idempotencyKey: "k"}',
    "apiKeyRevoke": '{id: "key_n0zmmz5qsvdw9"}',
    "userCreate": '{tenant: "one", name: "x", email: "x@example.com", role: AGENT}',
    "userUpdate": '{id: "usr_n0zmmz5qsvdw9"}',
    "signInLinkCreate": '{user: "usr_n0zmmz5qsvdw9"}',
    "billingAccessGrant": '{user: "usr_n0zmmz5qsvdw9", rights: [VIEW]}',
    "billingAccessRevoke": '{user: "usr_n0zmmz5qsvdw9"}',
    "auditExportCreate": '{tenant: "one", range: {preset: TODAY}}',
    "authorize": '{tenant: "one", idempotencyKey: "k", number: "1", contact: "2"}',
    "holdRelease": '{tenant: "one", hold: "hld_none"}',
    "usageRecord": '{events: [{id: "1"}]}',
}


def root_fields() -> list[str]:
    """A document for every root field there is; one without a document here fails."""
    assert CORE.query_type is not None
    assert CORE.mutation_type is not None
    queries = [QUERIES[name] for name in CORE.query_type.fields]
    return queries + [
        f"mutation {{ {name}(input: {MUTATIONS[name]}) {{ __typename }} }}"
        for name in CORE.mutation_type.fields
    ]


async def test_no_root_field_answers_a_stranger(ask: Ask) -> None:
    for query in root_fields():
        answer = await ask(query, key=None)
        codes = [error["extensions"]["code"] for error in answer["errors"]]
        assert codes == ["UNAUTHENTICATED"], query
        assert not any((answer["data"] or {}).values())


async def test_introspection_and_typename_need_no_credential(ask: Ask) -> None:
    answer = await ask("{ __typename }", key=None)
    assert answer == {"data": {"__typename": "Query"}, "extensions": {"cost": 1}}
    answer = await ask(get_introspection_query(), key=None)
    assert "errors" not in answer
    assert answer["data"]["__schema"]["queryType"]["name"] == "Query"


def test_arguments_of_lists_have_defaults() -> None:
    """A page can be asked for without saying of how many."""
    for kind in CORE.type_map.values():
        if isinstance(kind, GraphQLObjectType):
            for field in kind.fields.values():
                if "first" in field.args:
                    assert not is_required_argument(field.args["first"])
