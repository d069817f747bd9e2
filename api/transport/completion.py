"""Completion: the values that a selection comes to, by functions written for it once.

Owns a quick way for what is plain: fields that look nothing up, wait for nobody and need to know
nothing but their object, with arguments that stay the same. For each such selection Python is
written, compiled, and kept for as long as its document is; the values of an answer then pass no
executor. For any other selection there is no such function, and where one fails the library's
executor says what the answer is, errors included: this is a shorter way to the same bytes, never
another meaning.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from inspect import signature
from typing import Any, TypeAlias, cast

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLField,
    GraphQLID,
    GraphQLLeafType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLString,
    ListValueNode,
    Node,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)
from graphql.execution import Executor
from graphql.execution.collect_fields import FieldDetails, collect_fields, collect_subfields
from graphql.execution.values import get_argument_values
from strawberry.types.field import StrawberryField

#: From a value of the program, and what is known of the operation, to what is written of it.
Complete: TypeAlias = Callable[[Any, "Known"], Any]

#: Ways that are kept of one operation: what its variables change is not for ever another way.
KEPT_MAX = 500
#: Types whose values are mostly what is written of them, by the test that says so.
AS_THEY_ARE: dict[object, str] = {
    GraphQLString: "type({0}) is not str",
    GraphQLID: "type({0}) is not str",
    GraphQLBoolean: "type({0}) is not bool",
}


class Known:
    """What resolvers that wait for nobody are given as `info`: who needs more is called slowly."""

    __slots__ = ("context", "operation")

    def __init__(self, executor: Executor[Any]) -> None:
        self.context = executor.context_value
        self.operation = executor.operation


class NotPlainError(Exception):
    """There is something in the selection that cannot be written."""


class NullError(Exception):
    """A value is null that may not be: the executor knows what becomes of that."""


def completion(executor: Executor[Any]) -> Callable[[Any], Any] | None:
    """The way for the events of an executor's subscription: its source's values to its data.

    None where the selection is not plain.
    """
    root = executor.schema.subscription_type
    assert root is not None, "there is a subscription to execute"
    fields = collect_fields(
        executor.schema, executor.fragments, executor.variable_values, root, executor.operation
    )
    if len(fields.grouped_field_set) != 1:
        return None
    ((name, details),) = fields.grouped_field_set.items()
    complete = kept(executor, root, details, got=True)
    known = Known(executor)
    return None if complete is None else lambda value: {name: complete(value, known)}


def kept(
    executor: Executor[Any], parent: GraphQLObjectType, details: list[FieldDetails], *, got: bool
) -> Complete | None:
    """The way from a field's value, or where it was not `got` from its object; None: there is none.

    Made once for an operation, as far as its variables change nothing in it.
    """
    ways = ways_of(executor.operation)
    key: tuple[object, ...] = (got, parent.name, *(id(each.node) for each in details))
    varies = ways.get(("varies", *key))
    if varies is None:
        nodes = [each.node.selection_set if got else each.node for each in details]
        varies = any(has_variables(executor, node) for node in nodes if node is not None)
        ways["varies", *key] = varies
    if varies:
        # As Python spells them: 1.5 is not "1.5".
        key = (*key, repr(sorted(executor.variable_values.coerced.items())))
    if key not in ways:
        if len(ways) >= KEPT_MAX:
            ways.clear()
        try:
            ways[key] = Writer(executor).written(parent, details, got=got)
        except NotPlainError:
            ways[key] = None
    return cast(Complete | None, ways[key])


_ways: dict[int, tuple[weakref.ref[Any], dict[tuple[object, ...], Any]]] = {}


def ways_of(operation: OperationDefinitionNode) -> dict[tuple[object, ...], Any]:
    """What is kept of an operation, until nobody keeps that."""
    found = _ways.get(id(operation))
    if found is None:
        place = id(operation)
        gone = weakref.ref(operation, lambda _: _ways.pop(place, None))
        found = _ways[place] = (gone, {})
    return found[1]


def has_variables(executor: Executor[Any], node: Node) -> bool:
    """Whether variables decide on anything in a selection: an argument, or whether it is there."""
    match node:
        case VariableNode():
            return True
        case ListValueNode():
            inner: Iterable[Node] = node.values
        case ObjectValueNode():
            inner = [field.value for field in node.fields]
        case SelectionSetNode():
            inner = node.selections
        case _:
            inner = _inside(executor, node)
    return any(has_variables(executor, each) for each in inner)


def _inside(executor: Executor[Any], node: Node) -> Iterator[Node]:
    """The values and selections of a field or a fragment, those of its directives included."""
    for directive in getattr(node, "directives", None) or ():
        yield from (argument.value for argument in directive.arguments or ())
    if isinstance(node, FieldNode):
        yield from (argument.value for argument in node.arguments or ())
    if isinstance(node, FragmentSpreadNode):
        yield executor.fragments[node.name.value].definition.selection_set
    elif (selections := getattr(node, "selection_set", None)) is not None:
        yield selections


class Writer:
    """Writes the functions of one selection; what they need to know stands in their globals."""

    def __init__(self, executor: Executor[Any]) -> None:
        self._executor = executor
        self._lines: list[str] = []
        self._known: dict[str, Any] = {"NullError": NullError}

    def written(
        self, parent: GraphQLObjectType, details: list[FieldDetails], *, got: bool
    ) -> Complete:
        """The function for a field, from its value or from its object; NotPlainError: none is."""
        body = [] if got else [f"v = {self._got(parent, details)}"]
        body += self._completed(field_of(parent, details).type, details, "v")
        name = self._function(body)
        exec(
            compile("\n".join(self._lines), "<completion>", "exec"), self._known
        )  # ours, all of it
        return cast(Complete, self._known[name])

    def _function(self, body: list[str]) -> str:
        """Write a function of `v`, and of `i`, that gives what `v` is at its end; its name."""
        name = f"f{len(self._known)}"
        self._known[name] = None
        self._lines += [f"def {name}(v, i):", *(f" {line}" for line in body), " return v"]
        return name

    def _constant(self, value: object) -> str:
        name = f"k{len(self._known)}"
        self._known[name] = value
        return name

    def _completed(
        self, type_: GraphQLOutputType, details: list[FieldDetails], at: str
    ) -> list[str]:
        """Lines that complete the value of a variable."""
        if is_non_null_type(type_):
            inner: GraphQLNonNull[Any] = type_
            return [f"if {at} is None: raise NullError", *self._present(inner.of_type, details, at)]
        lines = self._present(type_, details, at)
        return [f"if {at} is not None:", *(f" {line}" for line in lines)]

    def _present(self, type_: GraphQLOutputType, details: list[FieldDetails], at: str) -> list[str]:
        """The same of a value that is not null."""
        if is_list_type(type_):
            items: GraphQLList[Any] = type_
            each = self._function(self._completed(items.of_type, details, "v"))
            return [f"{at} = [{each}(v, i) for v in {at}]"]
        if is_leaf_type(type_):
            return self._leaf(type_, at)
        if is_object_type(type_):
            return [f"{at} = {self._object(type_, details)}({at}, i)"]
        raise NotPlainError(f"{type_} may be several things")

    def _leaf(self, type_: GraphQLLeafType, at: str) -> list[str]:
        write = self._constant(type_.coerce_output_value)
        checked = f"if {at} is None: raise NullError"
        if type_ in AS_THEY_ARE:
            return [f"if {AS_THEY_ARE[type_].format(at)}: {at} = {write}({at})"]
        if isinstance(type_, GraphQLEnumType):
            names = self._constant(names_of(type_))
            return [f"{at} = {names}.get({at}) or {write}({at})", checked]
        return [f"{at} = {write}({at})", checked]

    def _object(self, type_: GraphQLObjectType, details: list[FieldDetails]) -> str:
        """Write the function of an object of a type; gives its name."""
        executor = self._executor
        collected = collect_subfields(
            executor.schema, executor.fragments, executor.variable_values, executor.operation,
            type_, details,
        )  # fmt: skip
        if collected.new_defer_usages:
            raise NotPlainError("some of it comes later")
        body, items = [], []
        for n, (name, own) in enumerate(collected.grouped_field_set.items()):
            if own[0].node.name.value == "__typename":
                items.append(f"{name!r}: {type_.name!r}")
                continue
            field = field_of(type_, own)
            body += [f"a{n} = {self._got(type_, own)}", *self._completed(field.type, own, f"a{n}")]
            items.append(f"{name!r}: a{n}")
        return self._function([*body, f"v = {{{', '.join(items)}}}"])

    def _got(self, parent: GraphQLObjectType, details: list[FieldDetails]) -> str:
        """What gets a field's value from its object `v`."""
        field = field_of(parent, details)
        definition = field.extensions.get("strawberry-definition")
        if not isinstance(definition, StrawberryField) or definition.extensions:
            raise NotPlainError("it is not a field of ours")
        if definition.is_basic_field:
            return f"v.{definition.python_name}"
        resolver = definition.base_resolver
        if resolver is None or resolver.is_async:
            raise NotPlainError("it has to be waited for")
        if parent is self._executor.schema.mutation_type:
            raise NotPlainError("it changes something, and may not be asked again")
        function = cast(Callable[..., Any], resolver.wrapped_func)
        first, *others = parameters_of(function)
        if first != "self":
            raise NotPlainError("it is called in another way")
        words = ["v"]
        if "info" in others:
            others.remove("info")
            words.append("info=i")
        if set(others) != field.args.keys():
            raise NotPlainError("it needs more than its object")
        if others:
            node = details[0].node
            arguments = get_argument_values(field, node, self._executor.variable_values)
            # Scalars are taken as they are; what the library makes of others is its own to say.
            if not all(isinstance(value, str | int | float | None) for value in arguments.values()):
                raise NotPlainError("its arguments are no scalars")
            words.append(f"**{self._constant(arguments)}")
        return f"{self._constant(function)}({', '.join(words)})"


def field_of(parent: GraphQLObjectType, details: list[FieldDetails]) -> GraphQLField:
    field: GraphQLField | None = parent.fields.get(details[0].node.name.value)
    if field is None:
        raise NotPlainError(f"{parent} has no such field")
    return field


@cache  # as many as the schema has
def parameters_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a method's parameters; at least one, be it empty."""
    return tuple(signature(function).parameters) or ("",)


@cache
def names_of(type_: GraphQLEnumType) -> Mapping[Any, str]:
    """What is written of each member of an enum."""
    members: Iterable[Any] = getattr(type_, "wrapped_cls", ())
    return {member: type_.coerce_output_value(member) for member in members}
