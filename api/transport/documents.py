"""GraphQL documents: read, measured, and refused before any work is done for one that is too large.

Owns the limits of a document and the cache of those read. Everything is one walk of bounded length:
what fragments multiply is computed, not walked, so 30 links of fragments cost 30 steps.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    parse,
    validate,
)

from api.limits import (
    DOCUMENTS_MAX,
    QUERY_ALIASES_MAX,
    QUERY_BRACKETS_MAX,
    QUERY_CHARACTERS_MAX,
    QUERY_DEPTH_MAX,
    QUERY_DIGITS_MAX,
    QUERY_DIRECTIVES_MAX,
    QUERY_FIELDS_MAX,
    QUERY_INTROSPECTIONS_MAX,
    QUERY_MUTATIONS_MAX,
    QUERY_OPERATIONS_MAX,
    QUERY_OVERLAPS_MAX,
    QUERY_TOKENS_MAX,
)

# The tokens of a document, as far as they are counted: what may hold others is one.
TOKENS = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"""|"(?:[^"\\\n]|\\.)*"|#[^\n]*|[A-Za-z_][A-Za-z0-9_]*'
    r"|-?[0-9][0-9.eE+-]*|\.\.\.|[^\s,\ufeff]",
    re.DOTALL,
)
INTROSPECTION = ("__schema", "__type")
#: Counts stop here, so that fragments cannot make numbers of a thousand digits.
COUNT_MAX = 1_000_000


class Measure(NamedTuple):
    """What a selection holds once its fragments are in place."""

    depth: int = 0
    fields: int = 0
    aliases: int = 0
    directives: int = 0

    def beside(self, other: Measure) -> Measure:
        return Measure(
            max(self.depth, other.depth),
            min(self.fields + other.fields, COUNT_MAX),
            min(self.aliases + other.aliases, COUNT_MAX),
            min(self.directives + other.directives, COUNT_MAX),
        )


class Document:
    """A document within its limits, and, once it was validated, what was wrong with it."""

    __slots__ = ("answers", "costs", "errors", "fragments", "introspects", "lengths", "node")

    def __init__(
        self,
        node: DocumentNode,
        fragments: dict[str, FragmentDefinitionNode],
        introspects: bool = False,
    ) -> None:
        self.node = node
        self.introspects = introspects  #: and asks for nothing else, so its answers never change
        self.answers: dict[str | None, dict[str, Any]] = {}  #: by the name of the operation
        self.fragments = fragments
        self.errors: list[GraphQLError] | None = None
        self.costs: dict[tuple[object, ...], int] = {}  #: see `cost`
        self.lengths: tuple[str, ...] | None = None  #: the variables that say how long pages are


@lru_cache(maxsize=DOCUMENTS_MAX)
def read(query: str) -> Document:
    """Parse a document; a GraphQLError says what is wrong, or which limit it passes."""
    checked("length", len(query), QUERY_CHARACTERS_MAX, "send a shorter query")
    nesting(query)
    try:
        node = parse(query, max_tokens=QUERY_TOKENS_MAX)
    except GraphQLSyntaxError as error:
        error.extensions = {"code": "GRAPHQL_PARSE_FAILED"}
        raise
    except RecursionError:
        raise GraphQLError(
            "the query is nested too deep to be read", extensions={"code": "BAD_USER_INPUT"}
        ) from None
    operations = [d for d in node.definitions if isinstance(d, OperationDefinitionNode)]
    fragments = {d.name.value: d for d in node.definitions if isinstance(d, FragmentDefinitionNode)}
    checked("operations", len(operations), QUERY_OPERATIONS_MAX, "send them one by one")
    if operations:
        refuse_unused(node, fragments)
    introspects = bool(operations)
    measures: dict[str, Measure] = {}
    whole = Measure()
    for fragment in fragments.values():
        whole = whole.beside(of_fragment(fragment, fragments, measures, ()))
    for operation in operations:
        own = measure(operation.selection_set, fragments, measures, ())
        whole = whole.beside(own)
        names = [n.name.value for n in flat(operation.selection_set, fragments, QUERY_FIELDS_MAX)]
        if operation.operation is OperationType.MUTATION:
            checked("mutations", len(names), QUERY_MUTATIONS_MAX, "send them in several documents")
        asked = sum(name in INTROSPECTION for name in names)
        introspects = introspects and 0 < asked == len(names)
        checked("introspections", asked, QUERY_INTROSPECTIONS_MAX, "ask for the schema once")
    checked("depth", whole.depth, QUERY_DEPTH_MAX, "ask for fewer levels")
    checked("fields", whole.fields, QUERY_FIELDS_MAX, "ask for fewer fields, or in several queries")
    checked("aliases", whole.aliases, QUERY_ALIASES_MAX, "use fewer aliases")
    checked("directives", whole.directives, QUERY_DIRECTIVES_MAX, "use fewer directives")
    overlaps = sum(overlapping([o.selection_set], fragments) for o in operations)
    checked("overlaps", overlaps, QUERY_OVERLAPS_MAX, "name the same field fewer times")
    return Document(node, fragments, introspects)


def refuse_unused(node: DocumentNode, fragments: dict[str, FragmentDefinitionNode]) -> None:
    """Raise for a fragment that nobody spreads, before each of them is validated."""
    spread: set[str] = set()
    waiting: list[Any] = [d for d in node.definitions if hasattr(d, "selection_set")]
    while waiting:
        one = waiting.pop()
        if isinstance(one, FragmentSpreadNode):
            spread.add(one.name.value)
        elif one.selection_set:
            waiting += one.selection_set.selections
    for name, fragment in fragments.items():
        if name not in spread:
            words = f"Fragment {name[:60]!r} is never used."
            raise GraphQLError(words, [fragment], extensions={"code": "GRAPHQL_VALIDATION_FAILED"})


def judged(schema: GraphQLSchema, query: str) -> frozenset[str]:
    """The kinds of the operations in a valid document; a ValueError says what is wrong with it."""
    try:
        node = read(query).node
        errors = validate(schema, node, max_errors=1)
    except GraphQLError as error:
        errors = [error]
    if errors:
        raise ValueError(" ".join(errors[0].message.split()))
    kinds = [d.operation.value for d in node.definitions if isinstance(d, OperationDefinitionNode)]
    if not kinds:
        raise ValueError("it has no operation")
    return frozenset(kinds)


def checked(what: str, value: int, most: int, advice: str) -> int:
    if value > most:
        raise GraphQLError(
            f"the query's {what} is {value if value < COUNT_MAX else 'over a million'}, "
            f"the limit is {most}: {advice}",
            extensions={"code": "BAD_USER_INPUT", "limit": what, "max": most},
        )
    return value


def nesting(query: str) -> int:
    """How many brackets are open at once: the parser calls itself for each.

    A GraphQLError where there are too many, and for too many tokens or digits: a document is read
    no further than that.
    """
    depth = deepest = 0
    for number, match in enumerate(TOKENS.finditer(query), 1):
        token = match[0]
        if token in "[({":
            depth += 1
            deepest = max(deepest, depth)
            if depth > QUERY_BRACKETS_MAX:
                checked("nesting", depth, QUERY_BRACKETS_MAX, "nest fewer brackets")
        elif token in "])}":
            depth -= 1
        elif len(token) > QUERY_DIGITS_MAX and token[0] in "-0123456789":
            # Beyond some thousands Python turns no digits into a number.
            checked("digits", len(token), QUERY_DIGITS_MAX, "write shorter numbers")
        if number > QUERY_TOKENS_MAX:
            raise GraphQLError(
                f"the query has more than {QUERY_TOKENS_MAX} tokens: ask in several queries",
                extensions={"code": "BAD_USER_INPUT", "limit": "tokens", "max": QUERY_TOKENS_MAX},
            )
    return deepest


def measure(
    selections: SelectionSetNode | None,
    fragments: dict[str, FragmentDefinitionNode],
    known: dict[str, Measure],
    open_: tuple[str, ...],
) -> Measure:
    """Measure a selection, each fragment once; fragments inside themselves are refused."""
    total = Measure()
    for node in selections.selections if selections else ():
        own = len(node.directives or ())
        if isinstance(node, FieldNode):
            inner = measure(node.selection_set, fragments, known, open_)
            inner = inner._replace(
                depth=inner.depth + 1,
                fields=inner.fields + 1,
                aliases=inner.aliases + bool(node.alias),
            )
        elif isinstance(node, InlineFragmentNode):
            inner = measure(node.selection_set, fragments, known, open_)
        else:
            assert isinstance(node, FragmentSpreadNode)
            fragment = fragments.get(node.name.value)
            # A spread of nothing is named by validation.
            inner = of_fragment(fragment, fragments, known, open_) if fragment else Measure()
        total = total.beside(inner._replace(directives=inner.directives + own))
    return total


def of_fragment(
    fragment: FragmentDefinitionNode,
    fragments: dict[str, FragmentDefinitionNode],
    known: dict[str, Measure],
    open_: tuple[str, ...],
) -> Measure:
    name = fragment.name.value
    if name in open_:
        raise GraphQLError(
            f"fragment {name!r} is spread within itself",
            [fragment],
            extensions={"code": "GRAPHQL_VALIDATION_FAILED"},
        )
    if name not in known:
        checked("nesting", len(open_), QUERY_BRACKETS_MAX, "nest fewer fragments")
        known[name] = measure(fragment.selection_set, fragments, known, (*open_, name))
    return known[name]


def flat(
    selections: SelectionSetNode | None, fragments: dict[str, FragmentDefinitionNode], most: int
) -> Iterator[FieldNode]:
    """The fields of one level, those of fragments included; at most `most` of them."""
    waiting = list(reversed(selections.selections)) if selections else []
    steps = 0
    while waiting and steps < most:
        steps += 1
        node = waiting.pop()
        if isinstance(node, FieldNode):
            yield node
            continue
        inner: SelectionSetNode | None = None
        if isinstance(node, InlineFragmentNode):
            inner = node.selection_set
        elif isinstance(node, FragmentSpreadNode) and node.name.value in fragments:
            inner = fragments[node.name.value].selection_set
        if inner:
            waiting.extend(reversed(inner.selections))


def overlapping(sets: list[SelectionSetNode], fragments: dict[str, FragmentDefinitionNode]) -> int:
    """Pairs of fields that answer to one name, in this place and all those below.

    Called when the number of fields is known to be small. Validation compares every such pair.
    """
    groups: dict[str, list[SelectionSetNode]] = {}
    names: Counter[str] = Counter()
    for one in sets:
        for node in flat(one, fragments, COUNT_MAX):
            name = node.alias.value if node.alias else node.name.value
            names[name] += 1
            if node.selection_set:
                groups.setdefault(name, []).append(node.selection_set)
    pairs = sum(count * (count - 1) // 2 for count in names.values())
    return pairs + sum(overlapping(group, fragments) for group in groups.values())
