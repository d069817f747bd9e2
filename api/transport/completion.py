"""Completion: the values that a selection comes to, by functions written for it once.

Owns a quick way for what is plain: fields that look nothing up, wait for nobody and need to know
nothing but their object, with arguments that are scalars. For each such selection Python is
written, compiled, and kept while its document is; the values of an answer then pass no executor.
For any other selection there is no such function, and where one fails the library's executor says
what the answer is, errors included: this is a shorter way to the same bytes, never another meaning.

What a request brings is in none of it: a function is given the values of variables when it is
called, and is kept by those alone that decide what is there, which are true or false.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from inspect import signature
from itertools import chain
from typing import Any, NamedTuple, TypeAlias, cast

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLField,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
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
    get_nullable_type,
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

#: Characters that are written before all of them are forgotten, whatever documents they are of:
#: some 50 MB of functions. A large dashboard's are 30,000; a document has as many ways as choices.
WRITTEN_MAX = 8_000_000
#: What keeping something takes beside it, for each part of its key, in such characters.
PART = 20
#: Types whose arguments resolvers take as the library has them.
SCALARS = {GraphQLString, GraphQLID, GraphQLBoolean, GraphQLInt, GraphQLFloat}
#: Types whose values are mostly what is written of them, by the test that says so.
AS_THEY_ARE: dict[object, str] = {
    GraphQLString: "type({0}) is not str",
    GraphQLID: "type({0}) is not str",
    GraphQLBoolean: "type({0}) is not bool",
}


class Known:
    """What resolvers that wait for nobody are given as `info`: who needs more is called slowly."""

    __slots__ = ("_given", "_variables", "context", "operation")

    def __init__(self, executor: Executor[Any]) -> None:
        self.context = executor.context_value
        self.operation = executor.operation
        self._variables = executor.variable_values
        self._given: dict[int, dict[str, Any]] = {}

    def arguments(self, asked: Asked) -> dict[str, Any]:
        """The arguments of a field as these variables have them; as the library, it may raise."""
        # Who calls is kept as long as this is, and has what is asked among its constants.
        found = self._given.get(id(asked))
        if found is None:
            found = get_argument_values(asked.field, asked.node, self._variables)
            self._given[id(asked)] = found
        return found


class Asked(NamedTuple):
    """A field whose arguments are variables."""

    field: GraphQLField
    node: FieldNode


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

    Made once for an operation and what its variables choose of it.
    """
    operation = executor.operation
    ways = shelf.of(operation)
    key: tuple[object, ...] = (got, parent.name, *(id(each.node) for each in details))
    choosing = ways.get(key)
    if choosing is None:
        found = (deciding(executor, each.node.selection_set) for each in details)
        choosing = tuple(dict.fromkeys(chain.from_iterable(found)))
        shelf.put(operation, key, choosing)
    chosen = tuple(executor.variable_values.coerced.get(name) for name in choosing)
    if not all(type(choice) is bool for choice in chosen):
        return None  # null was given where that is wrong: the library says so
    key = (*key, chosen)
    if key not in ways:
        writer = Writer(executor)
        try:
            way = writer.written(parent, details, got=got)
        except NotPlainError:
            way = None
        shelf.put(operation, key, way, writer.size)
        return way
    return cast(Complete | None, ways[key])


class Shelf:
    """What is kept of operations, each as long as somebody keeps that."""

    def __init__(self) -> None:
        self._ways: dict[int, tuple[weakref.ref[Any], dict[tuple[object, ...], Any]]] = {}
        self._written = 0

    def of(self, operation: OperationDefinitionNode) -> dict[tuple[object, ...], Any]:
        """What is kept of one."""
        place = id(operation)
        found = self._ways.get(place)
        if found is None:
            gone = weakref.ref(operation, lambda _: self._ways.pop(place, None))
            found = self._ways[place] = (gone, {})
        return found[1]

    def put(
        self, operation: OperationDefinitionNode, key: tuple[object, ...], kept: object,
        size: int = 0,
    ) -> None:  # fmt: skip
        """Keep something; where that is too much, all else is forgotten, and made when asked for.

        What was written since is more than what is kept of it, and needs no account of what went.
        """
        size += len(key) * PART
        self._written += size
        if self._written > WRITTEN_MAX:
            self._ways.clear()
            self._written = size
        self.of(operation)[key] = kept


shelf = Shelf()


def deciding(executor: Executor[Any], selections: SelectionSetNode | None) -> Iterator[str]:
    """The names of the variables that decide what of a selection is there.

    All directives there are in a query take what is true or false.
    """
    for node in selections.selections if selections else ():
        for directive in node.directives or ():
            for argument in directive.arguments or ():
                if isinstance(argument.value, VariableNode):
                    yield argument.value.name.value
        inner: Node = node
        if isinstance(node, FragmentSpreadNode):
            inner = executor.fragments[node.name.value].definition
        yield from deciding(executor, getattr(inner, "selection_set", None))


class Writer:
    """Writes the functions of one selection; what they need to know stands in their globals."""

    def __init__(self, executor: Executor[Any]) -> None:
        self._executor = executor
        self._lines: list[str] = []
        self._known: dict[str, Any] = {"NullError": NullError}

    @property
    def size(self) -> int:
        """The characters that were written."""
        return sum(map(len, self._lines))

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
            words.append(f"**{self._arguments(field, details[0].node)}")
        return f"{self._constant(function)}({', '.join(words)})"

    def _arguments(self, field: GraphQLField, node: FieldNode) -> str:
        """What gives a field's arguments; of variables, those of the operation that asks."""
        given = [argument.value for argument in node.arguments or ()]
        if any(isinstance(value, ListValueNode | ObjectValueNode) for value in given):
            raise NotPlainError("its arguments are no scalars")
        if any(isinstance(value, VariableNode) for value in given):
            if not all(get_nullable_type(each.type) in SCALARS for each in field.args.values()):
                raise NotPlainError("its arguments may be no scalars")
            return f"i.arguments({self._constant(Asked(field, node))})"
        arguments = get_argument_values(field, node, self._executor.variable_values)
        # Scalars are taken as they are; what the library makes of others is its own to say.
        if not all(isinstance(value, str | int | float | None) for value in arguments.values()):
            raise NotPlainError("its arguments are no scalars")
        return self._constant(arguments)


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
