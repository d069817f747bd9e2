"""Random documents with hostile values, the same for the same seed: each gets a clear answer.

Whatever is asked, by whoever: JSON, never a fault of ours, and nothing in the log that looks like
one. `--fuzz` says how many documents are sent.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    get_named_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)

from api.schema.root import schema
from persistence.servers import Servers
from tests.api.furnished import Json, World, opened
from tests.conftest import OPERATOR_KEY

TYPES = schema._schema.type_map
DEPTH_MAX = 6

TEXTS = [
    "", " ", "x", "a\0b", "\0", "\ud800", "\udfff\ud800", "\x1b[2J", "\x1e", "x" * 5_000, "null",
    "' or '1'='1", "%", "_", "\\", "\u202e", "é" * 300, "💥", "-1", "1e9999", "NaN", "{}",
    "2026-11-20", "2026-02-30", "2026-11", "0000-00-00", "9999-12-31T23:59:59.999999Z",
    "0001-01-01T00:00:00+14:00", "2026-11-20T00:00:00", "12345-01-01T00:00:00Z", "Asia/Jakarta",
    "../../etc/passwd", "omnichannel-idr", "conversations", "whatsapp", "usage:read", "id",
    "kuota_aaaaaaaa_" + "A" * 32, "WyJ4Il0", "W10", "Wzk5OTk5OTk5OTk5OTk5OTk5OTk5OTld", "bnVsbA",
    "tnt_0000000000000", "num_zzzzzzzzzzzzz", "key_1", "chg_" + "A" * 48, "usr_", "lot_1", "_",
    "::1", "sha256:" + "0" * 64, "https://shop.example", "ann@example.com", "+6281110000077",
]  # fmt: skip
NUMBERS = [
    0, -0.0, 1, -1, 2, 100, 101, 2**31 - 1, 2**31, -(2**31), 2**63, 10**30, 1.5, 1e308, 5e-324,
]  # fmt: skip
DECIMALS = [
    "0", "1", "-1", "0.000001", "0.0000001", "1e3", "NaN", "Infinity", "9" * 40, "1_000", "", ".5",
    "100000000000", "100000000001", "-99999999999999", "٣",
]  # fmt: skip
DAYS = ["2026-11-20", "0001-01-01", "9999-12-31", "2026-11-31", "1582-10-10", "", "2026-1-1"]
INSTANTS = [
    "2026-11-20T05:00:00Z", "2026-10-01T00:00:00+07:00", "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z", "2026-11-20", "2026-11-20T24:00:00Z", "1969-12-31T23:59:59Z",
    "2026-11-20T05:00:00+99:99", "", "2038-01-19T03:14:08Z", "2026-11-20T05:00:00.1234567890Z",
]  # fmt: skip
#: What arguments and fields of these names mean: names in the world, or words.
NAMED = {
    "tenant": "tenant", "key": "tenant", "number": "number", "charge": "charge", "user": "user",
    "topUp": "top_up", "address": "address", "email": "email",
}  # fmt: skip
MEANT = {
    "balance": ["conversations", "visitors", "whatsapp"],
    "keys": ["conversations", "whatsapp"],
    "channel": ["whatsapp", "sms"],
    "channels": ["whatsapp"],
    "directions": ["in", "out"],
    "plan": ["omnichannel-idr", "omnichannel-mcc-idr"],
    "book": ["omnichannel-idr"],
    "market": ["ID", "IN"],
    "timezone": ["Asia/Jakarta", "America/Bogota"],
    "period": ["2026-10", "2026-11"],
    "locale": ["id", "en"],
    "currency": ["IDR"],
    "scopes": ["usage:read", "billing:read"],
    "source": ["crm"],
}
JUNK: list[Any] = [None, True, [], {}, [[]], [None], {"x": None}, "x", 7, 1.5, [1, "x", {}]]


#: What was answered with a fault of ours once.
FOUND: list[Json] = [
    {
        "query": "query ($id: String!) "
        '{ tenant(key: "tenant-one") { fact(source: $id, id: $id) { why } } }',
        "variables": {"id": "\ud800"},
    },
]


class Fuzz:
    """Writes documents; what it knows of the world it uses as often as what it makes up."""

    def __init__(self, seed: int, worlds: list[dict[str, str]]) -> None:
        self.chance = random.Random(seed)
        self.known = [name for world in worlds for name in world.values()]
        self.meant = MEANT | {key: [world[name] for world in worlds] for key, name in NAMED.items()}
        self.wild = 0.0  #: how often a value of the document at hand is one that nobody means
        self.variables: Json = {}
        self.declared: list[str] = []

    def document(self) -> Json:
        """A request of one operation."""
        self.variables, self.declared = {}, []
        self.wild = self.chance.choice((0.0, 0.05, 0.5))
        kind = "mutation" if self.chance.random() < 0.4 else "query"
        root = TYPES[kind.capitalize()]
        assert isinstance(root, GraphQLObjectType)
        fields = [self.field(root, DEPTH_MAX) for _ in range(self.chance.choice((1, 1, 2, 3)))]
        text = " ".join(f"a{n}: {field}" for n, field in enumerate(fields))
        head = f"({', '.join(self.declared)})" if self.declared else ""
        return {"query": f"{kind} Q{head} {{ {text} }}", "variables": self.variables}

    def field(self, parent: GraphQLObjectType, depth: int) -> str:
        """One field of a type, with arguments and some of what lies below."""
        name: str = self.chance.choice([*parent.fields, "__typename"])
        if name == "__typename":
            return name
        found = parent.fields[name]
        arguments = [
            f"{key}: {self.argument(argument.type, key)}"
            for key, argument in found.args.items()
            if is_non_null_type(argument.type) or self.chance.random() < 0.3
        ]
        text = name + (f"({', '.join(arguments)})" if arguments else "")
        behind = get_named_type(found.type)
        return text if is_leaf_type(behind) else f"{text} {{ {self.below(behind, depth - 1)} }}"

    def below(self, type_: Any, depth: int) -> str:
        """Some fields of what a field gives."""
        if isinstance(type_, GraphQLInterfaceType):
            kind = self.chance.choice(list(schema._schema.get_possible_types(type_)))
            return f"__typename ... on {kind.name} {{ {self.below(kind, depth)} }}"
        if depth <= 0:
            return "__typename"
        count = self.chance.choice((1, 2, 4))
        return " ".join(f"b{n}: {self.field(type_, depth)}" for n in range(count))

    def argument(self, type_: GraphQLInputType, key: str) -> str:
        """A variable of the type, with a value of it or, at times, of none."""
        name = f"v{len(self.declared)}"
        self.declared.append(f"${name}: {type_}")
        self.variables[name] = self.value(type_, key, DEPTH_MAX)
        return f"${name}"

    def value(self, type_: GraphQLInputType, key: str, depth: int) -> Any:
        """A JSON value for what is called `key`; mostly one of its type."""
        chance = self.chance
        if chance.random() < self.wild / 10:
            return chance.choice(JUNK)
        if is_non_null_type(type_):
            type_ = type_.of_type
        elif chance.random() < 0.1:
            return None
        if is_list_type(type_):
            count = chance.choice((0, 1, 1, 2, 3, 50))
            return [self.value(type_.of_type, key, depth - 1) for _ in range(count)]
        if isinstance(type_, GraphQLEnumType):
            return chance.choice([*type_.values])
        if isinstance(type_, GraphQLInputObjectType):
            return self.object(type_, depth)
        return self.scalar(get_named_type(type_).name, key)

    def object(self, type_: GraphQLInputObjectType, depth: int) -> Json:
        """An object of the fields that it must have, and some that it may."""
        fields = type_.fields
        if type_.is_one_of or type_.name == "RangeInput":
            name = self.chance.choice([*fields])
            return {name: self.value(GraphQLNonNull(fields[name].type), name, depth - 1)}
        return {
            name: self.value(field.type, name, depth - 1)
            for name, field in fields.items()
            if is_non_null_type(field.type) or (depth > 0 and self.chance.random() < 0.4)
        }

    def scalar(self, name: str, key: str) -> Any:
        """A value of a scalar."""
        chance = self.chance
        wild = chance.random() < self.wild
        match name:
            case "Int" | "Float":
                return chance.choice(NUMBERS if wild else [1, 2, 50])
            case "Boolean":
                return chance.random() < 0.5
            case "Decimal" | "BigInt":
                return chance.choice(DECIMALS if wild else DECIMALS[:4])
            case "Date":
                return chance.choice(DAYS if wild else DAYS[:1])
            case "DateTime":
                return chance.choice(INSTANTS if wild else INSTANTS[:2])
            case "CloudEvent":
                return self.event()
        if chance.random() < 0.7 and (meant := self.meant.get(key)):
            return chance.choice(meant)
        return chance.choice(TEXTS if wild or chance.random() < 0.3 else self.known)

    def event(self) -> Any:
        """What may be a fact."""
        chance = self.chance
        words = [*self.known, *TEXTS]
        data = {
            name: chance.choice([*words, *NUMBERS, *JUNK])
            for name in ("number", "contact", "text", "segments", "category", "seconds", "group")
            if chance.random() < 0.5
        }
        return {
            "id": chance.choice(words),
            "source": "fuzz",
            "type": chance.choice(["message.delivered", "message.received", "call.ended", "x"]),
            "time": chance.choice(INSTANTS),
            "subject": chance.choice(self.known),
            "data": data,
        }


@pytest.fixture(scope="module")
async def world(servers: Servers, template: str) -> AsyncIterator[World]:
    async with opened(servers, template, rate_limit=0) as world:
        yield world


async def test_random_documents_get_a_clear_answer(
    world: World,
    pytestconfig: pytest.Config,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    count, seed = pytestconfig.getoption("fuzz"), pytestconfig.getoption("fuzz_seed")
    fuzz = Fuzz(seed, [world.one, world.two])
    scopes = '["usage:read", "billing:read", "keys:write", "events:write"]'
    given = f'tenant: "tenant-one", name: "k", scopes: {scopes}'
    transport = httpx2.ASGITransport(world.app, raise_app_exceptions=True)
    async with httpx2.AsyncClient(transport=transport, base_url="http://kuota") as client:

        async def ask(request: Json, secret: str) -> httpx2.Response:
            headers = {
                "content-type": "application/json", "authorization": f"Bearer {secret}"
            }  # fmt: skip
            # In ASCII, and with NaN: lone surrogates are among what is sent.
            return await client.post("/graphql", content=json.dumps(request), headers=headers)

        create = f"mutation {{ apiKeyCreate(input: {{{given}}}) {{ secret }} }}"
        made = await ask({"query": create}, OPERATOR_KEY)
        tenants_key = made.json()["data"]["apiKeyCreate"]["secret"]
        for request in [*FOUND, *(fuzz.document() for _ in range(count))]:
            for secret in (OPERATOR_KEY, tenants_key):
                answer = await ask(request, secret)
                sent = json.dumps(request)
                assert answer.status_code in (200, 400), (answer.status_code, sent)
                codes = [e["extensions"]["code"] for e in answer.json().get("errors", ())]
                assert "INTERNAL_SERVER_ERROR" not in codes, (sent, capfd.readouterr().err)
    assert "Traceback" not in capfd.readouterr().err
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []
