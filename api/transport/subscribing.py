"""What is asked to be followed: read, validated, weighed, and what makes two askings the same.

Owns nothing that runs: streams are `streams`'.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    NullValueNode,
    OperationDefinitionNode,
    OperationType,
    ValueNode,
    VariableNode,
    get_operation_ast,
    specified_rules,
)
from strawberry.types.field import StrawberryField

from api.audience import Feed
from api.context import Context
from api.rights import Principal
from api.transport.body import Params
from api.transport.cost import cost
from api.transport.documents import Document, read
from api.transport.executor import Executor
from api.transport.extension import validate_document


class Refused(Exception):  # noqa: N818 - it is said of the operation
    """An operation that is wrong in itself, with everything found."""

    def __init__(self, errors: Sequence[GraphQLError]) -> None:
        super().__init__(errors[0].message)
        self.errors = errors


class Prepared(NamedTuple):
    """An operation that may be executed."""

    document: Document
    operation: OperationDefinitionNode
    cost: int


class Place(NamedTuple):
    """What makes two streams the same."""

    rights: tuple[object, ...]
    query: str
    operation_name: str | None
    variables: bytes


def is_subscription(params: Params) -> bool:
    """Whether the operation lasts; a GraphQLError for a document that cannot be read."""
    node = get_operation_ast(read(params.query).node, params.operation_name)
    return node is not None and node.operation is OperationType.SUBSCRIPTION


def prepare(schema: GraphQLSchema, params: Params) -> Prepared:
    """Read, validate and weigh a subscription; Refused, or a GraphQLError, says what is wrong.

    None of it is done twice for one document but the weighing.
    """
    document = read(params.query)
    if document.errors is None:
        document.errors = validate_document(schema, document.node, specified_rules)
        for error in document.errors:
            error.extensions = {"code": "GRAPHQL_VALIDATION_FAILED"}
    if document.errors:
        raise Refused(document.errors)
    operation = get_operation_ast(document.node, params.operation_name)
    assert operation is not None, "it was found to be a subscription"
    values = cost(document, schema, params.operation_name, params.variables or {})
    return Prepared(document, operation, values)


def executor_of(
    schema: GraphQLSchema, prepared: Prepared, params: Params, context: Context
) -> Executor:
    """What executes a subscription; Refused where its variables are wrong."""
    built = Executor.build(
        schema,
        prepared.document.node,
        context_value=context,
        raw_variable_values=params.variables,
        operation_name=params.operation_name,
    )
    if not isinstance(built, Executor):
        raise Refused(built)  # type: ignore[arg-type]
    return built


def feed_of(schema: GraphQLSchema, prepared: Prepared) -> Feed | None:
    """What the events of a subscription are; None where its source serves one follower alone."""
    root, node = schema.subscription_type, field_of(prepared.operation)
    field = None if root is None or node is None else root.fields.get(node.name.value)
    definition = None if field is None else field.extensions.get("strawberry-definition")
    if not isinstance(definition, StrawberryField):
        return None
    found = definition.metadata.get(Feed.__name__)
    return found if isinstance(found, Feed) else None


def field_of(operation: OperationDefinitionNode) -> FieldNode | None:
    """The field that is followed; None where it stands in a fragment, whatever that is called."""
    nodes = [node for node in operation.selection_set.selections if isinstance(node, FieldNode)]
    return nodes[0] if len(nodes) == len(operation.selection_set.selections) else None


def place_of(params: Params, prepared: Prepared, principal: Principal | None, feed: Feed) -> Place:
    """Where a subscription is followed together with others."""
    variables: Mapping[str, Any] = params.variables or {}
    if feed is Feed.STATES and (name := variable_of_after(prepared.operation)) in variables:
        # Whole states need no position to go on from.
        variables = {key: value for key, value in variables.items() if key != name}
    # As Python spells them: 1.5 is not "1.5", and no digit is lost.
    spelt = repr(sorted(variables.items())).encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(spelt, digest_size=16).digest()
    return Place(rights_of(principal), params.query, params.operation_name, digest)


def resumes(operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> bool:
    """Whether it says where to go on from: in a variable, in its default or in the document."""
    value = _after(operation)
    if not isinstance(value, VariableNode):
        return value is not None and not isinstance(value, NullValueNode)
    name = value.name.value
    if name in variables:
        return variables[name] is not None
    definitions = operation.variable_definitions or ()
    (default,) = (each.default_value for each in definitions if each.variable.name.value == name)
    return default is not None and not isinstance(default, NullValueNode)


def variable_of_after(operation: OperationDefinitionNode) -> str | None:
    """The variable that says where to go on from."""
    value = _after(operation)
    return value.name.value if isinstance(value, VariableNode) else None


def _after(operation: OperationDefinitionNode) -> ValueNode | None:
    node = field_of(operation)
    arguments = () if node is None else node.arguments or ()
    return next((each.value for each in arguments if each.name.value == "after"), None)


def rights_of(principal: Principal | None) -> tuple[object, ...]:
    """What of a caller decides what it is shown: not its name."""
    if principal is None:
        return ()
    return principal.kind, principal.tenant_id, principal.role, principal.scopes, principal.widget
