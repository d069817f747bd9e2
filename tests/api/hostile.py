"""Requests that mean harm: each small to send and, without limits, dear to answer.

Owns the table alone; `test_hostile` says what becomes of each, `tests.bench.hostile` what it costs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

Make = Callable[[str], str]


class Hostile(NamedTuple):
    """One of them, and how it is answered."""

    name: str
    body: bytes
    code: str | None  #: of its first error; None: it is answered, for it is cheap
    says: str  #: words of that error, or of the answer


def chain(links: int, width: int) -> str:
    """Fragments of which each spreads the next `width` times: `width ** links` fields."""
    parts = ["{ viewer { ...f0 } }"]
    for link in range(links):
        spreads = " ".join(f"...f{link + 1}" for _ in range(width))
        parts.append(f"fragment f{link} on Viewer {{ {spreads} }}")
    parts.append(f"fragment f{links} on Viewer {{ kind }}")
    return " ".join(parts)


def many(count: int, part: Callable[[int], str], around: str = "{ %s }") -> str:
    return around % " ".join(part(n) for n in range(count))


def nested(levels: int, open_: str, close: str, core: str = "") -> str:
    return open_ * levels + core + close * levels


INVALID, PARSE, INPUT, REQUEST = (
    "GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED", "BAD_USER_INPUT", "BAD_REQUEST",
)  # fmt: skip

TYPES = "types { name fields { name type { name "

#: Documents: name, text, code, words.
DOCUMENTS: list[tuple[str, str, str | None, str]] = [
    ("fragment chain, 2 ** 30", chain(30, 2), INPUT, "fields is over a million"),
    ("fragment chain, 20 ** 12", chain(12, 20), INPUT, "fields is over a million"),
    ("fragment chain, 110 links", chain(110, 1), INPUT, "nesting"),
    ("fragment cycle", "{...a} fragment a on Query {...b} fragment b on Query {...a}",
     INVALID, "within itself"),
    ("fragment cycle of 120",
     "{...f0} " + " ".join(f"fragment f{n} on Query {{...f{(n + 1) % 120}}}" for n in range(120)),
     INPUT, "nesting"),
    ("unused fragments", "{__typename} " + " ".join(
        f"fragment f{n} on Query {{viewer{{kind}}}}" for n in range(95)), INVALID, "never used"),
    ("alias flood", many(250, lambda n: f"a{n}: __typename"), INPUT, "aliases is 250"),
    ("alias flood, small", many(100, lambda n: f"a{n}: __typename"), None, "Query"),
    ("tokens", many(3_000, lambda n: f"a{n}"), INPUT, "1000 tokens"),
    ("directive flood", many(150, lambda n: f"@d{n}", "{ __typename %s }"),
     INPUT, "directives is 150"),
    ("unknown directives", many(100, lambda n: f"@d{n}", "{ __typename %s }"),
     INVALID, "Unknown directive"),
    ("overlaps", many(200, lambda _: "viewer{kind}"), INPUT, "overlaps"),
    ("overlaps, deep", many(20, lambda _: "viewer{kind kind kind kind kind kind kind}"),
     INPUT, "overlaps"),
    ("overlaps by fragments", many(30, lambda n: f"...f{n}") + " " + many(
        30, lambda n: f"fragment f{n} on Query {{viewer{{kind kind}}}}", "%s"), INPUT, "overlaps"),
    ("overlaps that differ", many(30, lambda n: f'a: tenant(key: "{n}") {{ name }}'),
     INVALID, "conflict"),
    ("inline fragments", many(200, lambda _: "... { __typename }"), INPUT, "overlaps"),
    ("brackets, 5,000", nested(5_000, "{a", "}"), INPUT, "nesting is 101"),
    ("brackets, never closed", "{a" * 10_000, INPUT, "nesting"),
    ("levels", nested(21, "{a", "}"), INPUT, "depth is 21"),
    ("deep list", f'{{ tenant(key: {nested(5_000, "[", "]")}) {{ name }} }}', INPUT, "nesting"),
    ("deep list, 90", f'{{ tenant(key: {nested(90, "[", "]")}) {{ name }} }}', INVALID, "String"),
    ("deep object", f'{{ tenant(key: {nested(95, "{a: ", "}", "1")}) {{ name }} }}',
     INVALID, "String"),
    ("long list", f"{{ tenant(key: [{'1 ' * 950}]) {{ name }} }}", INVALID, "String"),
    ("deep type", f"query($a: {nested(98, '[', ']', 'Int')}) {{ __typename }}",
     INVALID, "never used"),
    ("variables, 200", many(200, lambda n: f"$v{n}: Int", "query(%s) { __typename }"),
     INVALID, "never used"),
    ("unknown fields", many(600, lambda n: f"tenantz{n}"), INVALID, "Cannot query field"),
    ("unknown fields, long", many(20, lambda n: f"{'tenants' * 200}{n}"),
     INVALID, "Cannot query field"),
    ("unknown arguments", many(300, lambda n: f"keyz{n}: 1", "{ tenant(%s) { name } }"),
     INVALID, "Unknown argument"),
    ("unknown types", many(40, lambda n: f"... on Tenantz{n} {{ a }}"), INVALID, "Unknown type"),
    ("a name of 30,000", "{ " + "a" * 30_000 + " }", INVALID, "Cannot query field"),
    ("an operation of 30,000", "query " + "a" * 30_000 + " { __typename }", None, "Query"),
    ("a number of 30,000 digits", "{ tenants(first: " + "9" * 30_000 + ") { nodes { key } } }",
     INPUT, "digits is 30000"),
    ("an exponent", "{ tenants(first: 1e999999999) { nodes { key } } }", INVALID, "Int"),
    ("a string of 30,000", '{ tenant(key: "' + "x" * 30_000 + '") { name } }', None, "null"),
    ("a block string", '{ tenant(key: """' + "  x\n" * 7_000 + '""") { name } }', None, "null"),
    ("quotes in a block string", '{ tenant(key: """' + '\\""" ' * 6_000 + '""") { name } }',
     None, "null"),
    ("quotes never closed", '{ tenant(key: "' * 1_500, INPUT, "nesting"),
    ("block never closed", '{ tenant(key: """' + '\\""" ' * 6_000, INPUT, "1000 tokens"),
    ("escapes", '{ tenant(key: "' + "\\u0041" * 5_000 + '") { name } }', None, "null"),
    ("half escapes", '{ tenant(key: "' + "\\uD800" * 5_000 + '") { name } }',
     PARSE, "Syntax Error"),
    ("unicode", '{ tenant(key: "' + "\U0001f9ff‮﷽" * 3_000 + '") { name } }', None, "null"),
    ("unicode as names", many(50, lambda _: "ｔｅｎａｎｔ"), PARSE, "Syntax Error"),
    ("controls", "{ \x00\x01\x7f __typename }", PARSE, "Syntax Error"),
    ("comments", "{ __typename }" + "\n#" * 16_000, INPUT, "1000 tokens"),
    ("commas", "{" + "," * 32_000 + " __typename }", None, "Query"),
    ("marks of byte order", "\ufeff" * 8_000 + "{ __typename }", None, "Query"),
    ("operations", many(30, lambda n: f"query q{n} {{ __typename }}", "%s"),
     INPUT, "operations"),
    ("operations, unnamed", many(20, lambda _: "{ __typename }", "%s"),
     INVALID, "must be the only"),
    ("mutations", many(11, lambda n: f"a{n}: settle", "mutation { %s }"), INPUT, "mutations is 11"),
    ("introspection, deep",
     f"{{ __schema {{ {TYPES}{'fields { name type { name ' * 7} {'} } ' * 7} }} }} }} }} }}",
     INVALID, "introspection depth"),
    ("introspection, wide", many(
        20, lambda n: f"a{n}: __schema {{ types {{ fields {{ args {{ name }} }} }} }}"),
     INPUT, "introspections is 20"),
    ("introspection, by name", many(
        50, lambda n: f'a{n}: __type(name: "Tenant") {{ fields {{ name }} }}'),
     INPUT, "introspections is 50"),
    ("pages of pages",
     "{ tenants(first: 100) { nodes { charges(first: 100) { nodes {"
     " factId lots { lot amount { value } } } } } } }",
     INPUT, "cost is"),
    ("a subscription of many roots", many(50, lambda n: f"a{n}: x", "subscription { %s }"),
     REQUEST, "subscriptions"),
    ("definitions of types", many(400, lambda n: f"scalar S{n}", "%s { __typename }"),
     INVALID, "not executable"),
]  # fmt: skip

KEYS = "query($k: [String!]) { tenant(key: $k) { name } }"
ITEMS = "mutation($e: [CloudEvent!]!) { usageRecord(input: {events: $e}) { userErrors { code } } }"

#: Whole requests, as objects.
REQUESTS: list[tuple[str, object, str | None, str]] = [
    ("a batch", [{"query": "{ __typename }"}] * 3_000, REQUEST, "batches"),
    ("list of 60,000", {"query": KEYS, "variables": {"k": [1] * 60_000}},
     INVALID, "used in position"),
    ("events of 60,000", {"query": ITEMS, "variables": {"e": [1] * 60_000}}, INPUT, "variables"),
    ("objects in variables",
     {"query": ITEMS, "variables": {"e": [{"a": 1}] * 14_000}}, INPUT, "variables"),
    ("deep variables", {"query": ITEMS, "variables": {"e": json.loads(nested(60, "[", "]"))}},
     INPUT, ""),
    ("variables nobody asked for",
     {"query": "{ __typename }", "variables": {f"v{n}": n for n in range(7_000)}}, None, "Query"),
    ("a text of 120,000",
     {"query": KEYS.replace("[String!]", "String!"), "variables": {"k": "x" * 120_000}},
     None, "null"),
    ("an operation's name",
     {"query": "{ __typename }", "operationName": "x" * 100_000}, REQUEST, "no operation named"),
    ("extensions", {"query": "{ __typename }", "extensions": {f"e{n}": n for n in range(7_000)}},
     None, "Query"),
]  # fmt: skip

#: Bodies that no library writes.
BODIES: list[tuple[str, bytes, str | None, str]] = [
    ("JSON, 60,000 deep", b'{"query":"{a}","variables":{"a":' + b"[" * 60_000, REQUEST, "nested"),
    ("JSON, a name 9,000 times", b"{" + b'"query":"{__typename}",' * 5_000 + b'"x":1}',
     None, "Query"),
    ("JSON, digits", b'{"query":"{__typename}","variables":{"a":' + b"9" * 100_000 + b"}}",
     REQUEST, "JSON"),
    ("JSON, an exponent", b'{"query":"{__typename}","variables":{"a":1e999999999}}', None, "Query"),
    ("JSON, escapes", b'{"query":"' + b"\\u007b" * 20_000 + b'"}', INPUT, "nesting"),
]  # fmt: skip


def written(request: object) -> bytes:
    """A request as short as JSON can be."""
    return json.dumps(request, separators=(",", ":"), ensure_ascii=False).encode()


def table() -> list[Hostile]:
    """All of them, as bodies."""
    found = [
        Hostile(name, written({"query": text}), code, says) for name, text, code, says in DOCUMENTS
    ]
    found += [Hostile(name, written(request), code, says) for name, request, code, says in REQUESTS]
    return found + [Hostile(*body) for body in BODIES]
