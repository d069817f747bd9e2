"""Completion: the values an event's selection comes to, by a tree made once for a whole stream.

Owns a quick way for what is plain: fields that look nothing up, wait for nobody and need to know
nothing but their object, with arguments that stay the same. For any other selection there is no
tree, and where a tree fails the library's executor says what the answer is, errors included: this
is a shorter way to the same bytes, never another meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from operator import attrgetter
from typing import Any, TypeAlias, cast

from graphql import (
    GraphQLField,
    GraphQLLeafType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)
from graphql.execution import Executor
from graphql.execution.collect_fields import FieldDetails, collect_fields, collect_subfields
from graphql.execution.values import get_argument_values
from strawberry.types.field import StrawberryField

#: From a value of the program to what is written of it.
Complete: TypeAlias = Callable[[Any], Any]
Getter: TypeAlias = Callable[[Any], Any]


class NotPlainError(Exception):
    """There is something in the selection that a tree cannot do."""


class NullError(Exception):
    """A value is null that may not be: the executor knows what becomes of that."""


def completion(executor: Executor[Any]) -> Complete | None:
    """The tree for the events of an executor's subscription: its source's values to its data.

    None where the selection is not plain.
    """
    root = executor.schema.subscription_type
    assert root is not None, "there is a subscription to execute"
    fields = collect_fields(
        executor.schema, executor.fragments, executor.variable_values, root, executor.operation
    )
    try:
        ((name, details),) = fields.grouped_field_set.items()
        field = root.fields[details[0].node.name.value]
        complete = of_type(executor, field.type, details)
    except (NotPlainError, ValueError):
        return None
    return lambda value: {name: complete(value)}


def of_type(
    executor: Executor[Any], type_: GraphQLOutputType, details: list[FieldDetails]
) -> Complete:
    """How values of a type are completed."""
    if is_non_null_type(type_):
        inner: GraphQLNonNull[Any] = type_
        return partial(present, of_type(executor, inner.of_type, details))
    if is_list_type(type_):
        items: GraphQLList[Any] = type_
        return partial(each, of_type(executor, items.of_type, details))
    if is_leaf_type(type_):
        leaf: GraphQLLeafType = type_
        return partial(written, leaf.coerce_output_value)
    if is_object_type(type_):
        return partial(whole, of_object(executor, type_, details))
    raise NotPlainError(f"{type_} may be several things")


def of_object(
    executor: Executor[Any], type_: GraphQLObjectType, details: list[FieldDetails]
) -> list[tuple[str, Getter, Complete]]:
    """The fields asked for of an object, each with what gets its value."""
    collected = collect_subfields(
        executor.schema, executor.fragments, executor.variable_values, executor.operation, type_,
        details,
    )  # fmt: skip
    fields: list[tuple[str, Getter, Complete]] = []
    for name, own in collected.grouped_field_set.items():
        node = own[0].node
        field = type_.fields.get(node.name.value)
        if node.name.value == "__typename":
            fields.append((name, partial(same, type_.name), same_value))
            continue
        if field is None:
            raise NotPlainError(f"{type_} has no {node.name.value}")
        arguments = get_argument_values(field, node, executor.variable_values)
        getter = getter_of(field, arguments)
        fields.append((name, getter, of_type(executor, field.type, own)))
    return fields


def getter_of(field: GraphQLField, arguments: Mapping[str, Any]) -> Getter:
    """What gets a field's value from its object."""
    definition = field.extensions.get("strawberry-definition")
    if not isinstance(definition, StrawberryField) or definition.extensions:
        raise NotPlainError("it is not a field of ours")
    if definition.is_basic_field:
        return attrgetter(definition.python_name)
    resolver = definition.base_resolver
    if resolver is None or resolver.is_async:
        raise NotPlainError("it has to be waited for")
    function: Callable[..., Any] = cast(Callable[..., Any], resolver.wrapped_func)
    parameters = list(signature(function).parameters.values())
    if [each.name for each in parameters[:1]] != ["self"]:
        raise NotPlainError("it is called in another way")
    if len(parameters) == 1:
        return function
    # Scalars are taken as they are; what the library would make of others is its own to say.
    plain = all(isinstance(value, str | int | float | None) for value in arguments.values())
    if not plain or {each.name for each in parameters[1:]} != field.args.keys():
        raise NotPlainError("it needs more than its object")
    return partial(call, function, arguments)


def call(function: Callable[..., Any], arguments: Mapping[str, Any], value: Any) -> Any:
    return function(value, **arguments)


def same(constant: object, value: Any) -> Any:
    return constant


def same_value(value: Any) -> Any:
    return value


def present(complete: Complete, value: Any) -> Any:
    completed = None if value is None else complete(value)
    if completed is None:
        raise NullError
    return completed


def each(complete: Complete, values: Any) -> Any:
    return None if values is None else [complete(value) for value in values]


def written(write: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else write(value)


def whole(fields: list[tuple[str, Getter, Complete]], value: Any) -> Any:
    if value is None:
        return None
    return {name: complete(get(value)) for name, get, complete in fields}
