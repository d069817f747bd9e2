"""What an answer may cost: the values it may have, known before any of them is looked up.

What comes with a request costs too: each item of a list in its variables as much as one value. Of
those in the document there are never many.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graphql import (
    ArgumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    Node,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_list_type,
)

from api.limits import (
    INVOICE_LINES_MAX,
    LIST_LENGTH_ASSUMED,
    PAGE_SIZE_MAX,
    QUERY_COST_MAX,
    VARIABLES_VALUES_MAX,
)
from api.transport.documents import COUNT_MAX, Document, checked

#: What is worked out costs more than what is looked up: a few milliseconds, as values.
WEIGHTS = dict.fromkeys(
    ("Forecast", "RefillDryRun", "UsageSeries", "UsageSummary", "UserUsageConnection"), 100
)

#: Costs that are kept of a document: pages are of a few lengths.
COSTS_MAX = 100

#: The longest page of what has longer ones than others.
PAGES = {"InvoiceLine": INVOICE_LINES_MAX}


def cost(
    document: Document, schema: GraphQLSchema, operation_name: str | None, variables: dict[str, Any]
) -> int:
    """What is asked for by a valid document and sent with it; a GraphQLError where it is too much.

    What is sent is counted anew for each request: only the answer's share is kept of a document.
    """
    total = items_of(variables) + answered(document, schema, operation_name, variables)
    return checked("cost", total, QUERY_COST_MAX, "ask for shorter pages or fewer fields")


def answered(
    document: Document, schema: GraphQLSchema, operation_name: str | None, variables: dict[str, Any]
) -> int:
    """The values of the answer alone, worked out once for pages of the same lengths."""
    if document.lengths is None:
        document.lengths = tuple(sorted(set(lengths_of(document.node))))
    lengths: list[Any] = [variables.get(name) for name in document.lengths]
    if not all(type(length) is int for length in lengths):
        return _answered(document, schema, operation_name, variables)
    # A page is never that long, and a number that is sent may have a thousand digits.
    place = (operation_name, *(max(0, min(length, COUNT_MAX)) for length in lengths))
    if (known := document.costs.get(place)) is None:
        if len(document.costs) >= COSTS_MAX:
            document.costs.clear()
        known = _answered(document, schema, operation_name, variables)
        if known:  # what is not there costs nothing, and anybody may name it
            document.costs[place] = known
    return known


def lengths_of(node: Node) -> Iterator[str]:
    """The names of variables that are given as `first`, anywhere in a document."""
    if isinstance(node, ArgumentNode) and node.name.value == "first":
        if isinstance(node.value, VariableNode):
            yield node.value.name.value
        return
    for name in ("definitions", "selection_set", "selections", "arguments"):
        inner = getattr(node, name, None)
        for each in inner if isinstance(inner, tuple | list) else (inner,):
            if each is not None:
                yield from lengths_of(each)


def _answered(
    document: Document, schema: GraphQLSchema, operation_name: str | None, variables: dict[str, Any]
) -> int:
    total = 0
    for node in document.node.definitions:
        if isinstance(node, OperationDefinitionNode) and (
            operation_name is None or (node.name and node.name.value == operation_name)
        ):
            root = schema.get_root_type(node.operation)
            total = cost_of(node.selection_set, root, schema, document.fragments, variables, {})
    return total


def items_of(variables: dict[str, Any]) -> int:
    """The items of all lists in variables; a GraphQLError where they hold too many values."""
    items = values = 0
    waiting: list[Any] = [variables]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            items += len(value)
        inner = value.values() if isinstance(value, dict) else value
        values += len(value)
        if values > VARIABLES_VALUES_MAX:
            break
        waiting += [each for each in inner if isinstance(each, dict | list)]
    checked("variables", values, VARIABLES_VALUES_MAX, "send fewer values at once")
    return items


def cost_of(
    selections: SelectionSetNode | None,
    parent: GraphQLNamedType | None,
    schema: GraphQLSchema,
    fragments: dict[str, FragmentDefinitionNode],
    variables: dict[str, Any],
    known: dict[str, int],
) -> int:
    """Fields times the lengths of the lists they stand in, as far as `first` says them."""
    total = 0
    for node in selections.selections if selections else ():
        if isinstance(node, FieldNode):
            fields = getattr(parent, "fields", {})
            field: GraphQLField | None = fields.get(node.name.value)
            inner = get_named_type(field.type) if field else None
            below = cost_of(node.selection_set, inner, schema, fragments, variables, known)
            times = length_of(node, field, parent, variables) if field else 1
            total += (WEIGHTS.get(inner.name, 1) if inner else 1) + below * times
        elif isinstance(node, InlineFragmentNode):
            on = schema.get_type(node.type_condition.name.value) if node.type_condition else parent
            total += cost_of(node.selection_set, on, schema, fragments, variables, known)
        elif isinstance(node, FragmentSpreadNode):
            name = node.name.value
            if name not in known:
                fragment = fragments[name]
                on = schema.get_type(fragment.type_condition.name.value)
                selection = fragment.selection_set
                known[name] = cost_of(selection, on, schema, fragments, variables, known)
            total += known[name]
        total = min(total, COUNT_MAX)
    return total


def length_of(
    node: FieldNode,
    field: GraphQLField,
    parent: GraphQLNamedType | None,
    variables: dict[str, Any],
) -> int:
    """How many times what stands below a field is answered, at most or as is usual."""
    if "first" in field.args:
        most = PAGES.get(get_named_type(field.type).name, PAGE_SIZE_MAX)
        return page_of(node, field.args["first"].default_value, variables, most)
    # The rows of a connection were counted where it was asked for.
    of_connection = parent is not None and parent.name.endswith("Connection")
    is_list = is_list_type(get_nullable_type(field.type))
    return LIST_LENGTH_ASSUMED if is_list and not of_connection else 1


def page_of(node: FieldNode, default: object, variables: dict[str, Any], most: int) -> int:
    """The rows of a page, at most what a page may have."""
    wanted: object = default
    for argument in node.arguments or ():
        if argument.name.value == "first" and isinstance(argument.value, IntValueNode):
            wanted = int(argument.value.value[:9])
        elif argument.name.value == "first" and isinstance(argument.value, VariableNode):
            wanted = variables.get(argument.value.name.value, most)
    return min(wanted, most) if isinstance(wanted, int) and wanted > 0 else most
