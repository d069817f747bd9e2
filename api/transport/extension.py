"""The one extension of the schema: documents come from the cache, are validated once, and cost.

Owns what is done before an operation is executed, the charge for it included. What the schema says
of itself is executed once for a document: it is the same until the process ends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

from graphql import (
    ASTValidationRule,
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    validate,
)
from strawberry.extensions import SchemaExtension
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule
from strawberry.types import ExecutionContext
from strawberry.types.graphql import OperationType

from api.context import Context
from api.faults import Fault
from api.limits import QUERY_ERRORS_MAX, QUERY_REFUSED_COST
from api.transport.cost import cost
from api.transport.documents import Document, read
from persistence.snapshot import Snapshot


def validate_document(
    schema: GraphQLSchema, node: DocumentNode, rules: Iterable[type[ASTValidationRule]]
) -> list[GraphQLError]:
    """What is wrong with a document, as the library finds it, but not all of it."""
    rules = (*rules, MaybeNullValidationRule, OneOfInputValidationRule)
    return validate(schema, node, rules, max_errors=QUERY_ERRORS_MAX)


@asynccontextmanager
async def looking(execution: ExecutionContext) -> AsyncIterator[None]:
    """Have a query see its figures as of one moment; what changes something sees the newest."""
    context = execution.context
    if isinstance(context, Context) and execution.operation_type is OperationType.QUERY:
        async with aclosing(Snapshot(context.door)) as context.snapshot:
            yield
    else:
        yield


class Documents(SchemaExtension):
    """Parses, measures and validates through one cache; says what an answer costs."""

    _document: Document
    _cost: int | None = None

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        # An empty query is left to who says that it is missing.
        if context.query:
            self._document = read(context.query)
            context.graphql_document = self._document.node
        yield

    async def on_validate(self) -> AsyncIterator[None]:
        context, document = self.execution_context, self._document
        if document.errors is None:
            document.errors = validate_document(
                context.schema._schema, document.node, context.validation_rules
            )
            for error in document.errors:
                error.extensions = {"code": "GRAPHQL_VALIDATION_FAILED"}
        context.pre_execution_errors = document.errors
        if not document.errors:
            try:
                schema, variables = context.schema._schema, context.variables or {}
                self._cost = cost(document, schema, context.operation_name, variables)
            except GraphQLError as error:
                context.pre_execution_errors = [error]
        await self._charge(bool(context.pre_execution_errors))
        yield

    async def on_execute(self) -> AsyncIterator[None]:
        context, document = self.execution_context, self._document
        if not document.introspects or context.variables:
            async with looking(context):
                yield
            return
        data = document.answers.get(context.operation_name)
        if data is not None:
            context.result = ExecutionResult(data=data)
        yield
        result = context.result
        if isinstance(result, ExecutionResult) and result.data and not result.errors:
            document.answers[context.operation_name] = result.data

    async def _charge(self, refused: bool) -> None:
        """Charge the cost before anything is executed; what is refused had to be read as well."""
        spending = getattr(self.execution_context.context, "spending", None)
        if spending is None:
            return
        try:
            await spending.charge(QUERY_REFUSED_COST if refused else self._cost or 1)
        except Fault as fault:
            self.execution_context.pre_execution_errors = [
                GraphQLError(fault.message, original_error=fault)
            ]

    def get_results(self) -> dict[str, Any]:
        return {} if self._cost is None else {"cost": self._cost}
