"""Documents written from the built schema: each field once, its arguments filled by their places.

Owns the writing and nothing of who may ask; where a question lies is the shortest way that asks for
least.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_required_argument,
    is_required_input_field,
)

from tests.api.access import CREDENTIAL, NODES, Need

#: What stands for an argument, by `Type.field.argument`, `Input.field` or its bare name: text in
#: which `$name` is one of the ids.
Samples = Mapping[str, str]
Ids = Mapping[str, str]

SCALARS = {
    "String": '"x"', "Int": "2", "Boolean": "false", "Decimal": '"1"', "BigInt": '"1"',
    "Date": '"2026-11-01"', "DateTime": '"2026-11-10T00:00:00Z"', "Float": "1.5",
}  # fmt: skip

#: One step down: the type, its field, and the type behind it where that is one of several.
Step = tuple[str, str, str | None]


@dataclass(frozen=True, slots=True)
class Question:
    """One field that is asked for, with all below it that its object is enough for."""

    name: str  #: the field, as `Type.name`
    need: Need  #: all that is needed on the way to it
    text: str  #: from the root's field on, with `$name` for ids
    short: str  #: the same without what lies below
    alone: bool  #: whether its failing takes the whole answer along
    asked: frozenset[str]  #: fields that are selected, as `Type.name`


@dataclass(slots=True)
class Walk:
    """A schema, and what to say where it asks for something."""

    schema: GraphQLSchema
    guarded: Mapping[str, Need]
    samples: Samples
    _homes: dict[str, list[Step]] = field(default_factory=dict)

    def fields(self) -> Iterator[tuple[GraphQLObjectType, str, GraphQLField]]:
        """Every field of every object type that is reached from a root."""
        for type_ in self.objects():
            for name, found in type_.fields.items():
                yield type_, name, found

    def objects(self) -> list[GraphQLObjectType]:
        """The object types of the schema's own, roots included."""
        return [
            type_
            for name, type_ in sorted(self.schema.type_map.items())
            if isinstance(type_, GraphQLObjectType) and not name.startswith("__")
        ]

    def queries(self) -> list[Question]:
        """A question for each guarded field that queries lead to, and each kind of node."""
        found = []
        for name, _ in sorted(self.guarded.items()):
            type_name, _, field_name = name.partition(".")
            if type_name in ("Mutation", "Subscription") or name == "Query.node":
                continue
            found.append(self._question([*self.home(type_name), (type_name, field_name, None)]))
        found += [self._question([("Query", "node", kind)]) for kind in sorted(NODES)]
        return found

    def roots(self, root: str) -> list[Question]:
        """A question for each field of the root of mutations, or of subscriptions."""
        type_ = self.schema.type_map[root]
        assert isinstance(type_, GraphQLObjectType)
        return [self._question([(root, name, None)]) for name in sorted(type_.fields)]

    def home(self, type_name: str) -> list[Step]:
        """The way from the root of queries to a type that asks for least."""
        if not self._homes:
            self._homes = self._ways()
        return self._homes[type_name]

    def edges(self, type_: GraphQLObjectType) -> Iterator[tuple[str, str, Need]]:
        """The fields of a type that lead to objects: their name, the type, what they need."""
        for name, found in sorted(type_.fields.items()):
            behind = get_named_type(found.type)
            need = self.guarded.get(f"{type_.name}.{name}", CREDENTIAL)
            if isinstance(behind, GraphQLInterfaceType):
                for kind in self.schema.get_possible_types(behind):
                    yield name, kind.name, need.and_(NODES[kind.name])
            elif isinstance(behind, GraphQLObjectType):
                yield name, behind.name, need

    def _ways(self) -> dict[str, list[Step]]:
        assert self.schema.query_type is not None
        found: dict[str, list[Step]] = {}
        ahead: list[tuple[int, int, str, list[Step]]] = [(0, 0, "Query", [])]
        count = 0
        while ahead:
            price, _, name, way = heappop(ahead)
            if name in found:
                continue
            found[name] = way
            type_ = self.schema.type_map[name]
            assert isinstance(type_, GraphQLObjectType)
            for step, behind, need in self.edges(type_):
                dear = 1 + 100 * (len(need.scopes) + need.operator)
                of = self.schema.type_map[behind]
                several = get_named_type(type_.fields[step].type) is not of
                count += 1
                way_on = [*way, (name, step, behind if several else None)]
                heappush(ahead, (price + dear, count, behind, way_on))
        return found

    def _question(self, steps: list[Step]) -> Question:
        need = CREDENTIAL
        asked: set[str] = set()
        head, tail = "", ""
        for place, (type_name, name, kind) in enumerate(steps):
            need = need.and_(self.guarded.get(f"{type_name}.{name}", CREDENTIAL))
            if kind is not None:
                need = need.and_(NODES[kind])
            asked.add(f"{type_name}.{name}")
            type_ = self.schema.type_map[type_name]
            assert isinstance(type_, GraphQLObjectType)
            head += name + self.arguments(type_, name)
            if place == len(steps) - 1:
                leaf = is_leaf_type(get_named_type(type_.fields[name].type))
                short = head + ("" if leaf else " { __typename }") + tail
                head += self._below(type_.fields[name], kind, asked)
            else:
                head += f" {{ __typename ... on {kind} {{ " if kind else " { __typename "
                tail += " } }" if kind else " }"
        first_type, first_field, _ = steps[0]
        root = self.schema.type_map[first_type]
        assert isinstance(root, GraphQLObjectType)
        type_name, name, kind = steps[-1]
        return Question(
            name=f"{type_name}.{name}" + (f":{kind}" if kind else ""),
            need=need,
            text=head + tail,
            short=short,
            alone=is_non_null_type(root.fields[first_field].type),
            asked=frozenset(asked),
        )

    def _below(self, found: GraphQLField, kind: str | None, asked: set[str]) -> str:
        behind = get_named_type(found.type)
        if is_leaf_type(behind):
            return ""
        if kind is not None:
            inner = self._selection(kind, set(), asked)
            return f" {{ __typename ... on {kind} {inner} }}"
        if isinstance(behind, GraphQLInterfaceType):
            return " { __typename }"
        return " " + self._selection(behind.name, set(), asked)

    def _selection(self, type_name: str, seen: set[str], asked: set[str]) -> str:
        """All of an object that needs no more than itself; each type once."""
        if type_name in seen:
            return "{ __typename }"
        seen.add(type_name)
        type_ = self.schema.type_map[type_name]
        assert isinstance(type_, GraphQLObjectType)
        words = ["__typename"]
        for name, found in sorted(type_.fields.items()):
            place = f"{type_name}.{name}"
            if place in self.guarded:
                continue
            asked.add(place)
            behind = get_named_type(found.type)
            text = name + self.arguments(type_, name)
            if not is_leaf_type(behind):
                text += " " + self._selection(behind.name, seen, asked)
            words.append(text)
        return "{ " + " ".join(words) + " }"

    def arguments(self, type_: GraphQLObjectType, name: str) -> str:
        """What is required, and what there is a sample for, in parentheses."""
        words = []
        for key, argument in sorted(type_.fields[name].args.items()):
            value = self._sample(f"{type_.name}.{name}.{key}", key)
            if value is None and is_required_argument(argument):
                value = self._value(argument.type, f"{type_.name}.{name}.{key}")
            if value is not None:
                words.append(f"{key}: {value}")
        return f"({', '.join(words)})" if words else ""

    def _sample(self, place: str, bare: str) -> str | None:
        found = self.samples.get(place)
        return self.samples.get(bare) if found is None else found

    def _value(self, type_: GraphQLInputType, place: str) -> str:
        named = get_named_type(type_)
        if isinstance(named, GraphQLInputObjectType):
            words = []
            for key, each in sorted(named.fields.items()):
                value = self._sample(f"{named.name}.{key}", key)
                if value is None and is_required_input_field(each):
                    value = self._value(each.type, f"{named.name}.{key}")
                if value is not None:
                    words.append(f"{key}: {value}")
            text = "{" + ", ".join(words) + "}"
        elif isinstance(named, GraphQLEnumType):
            text = next(iter(named.values))
        else:
            assert named.name in SCALARS, f"{place} needs a sample"
            text = SCALARS[named.name]
        plain = type_.of_type if is_non_null_type(type_) else type_
        return f"[{text}]" if is_list_type(plain) else text


def filled(text: str, ids: Ids) -> str:
    """A text with its ids put in, the longest names first."""
    for name in sorted(ids, key=len, reverse=True):
        text = text.replace(f"${name}", ids[name])
    assert "$" not in text, text
    return text


def batches(
    questions: list[Question], fits: Callable[[list[Question]], bool]
) -> Iterator[list[Question]]:
    """Questions that are asked in one document; what takes the whole answer along stands alone."""
    together: list[Question] = []
    for question in questions:
        if question.alone:
            yield [question]
        elif together and not fits([*together, question]):
            yield together
            together = [question]
        else:
            together.append(question)
    if together:
        yield together
