"""The one extension of the schema: documents come from the cache, are validated once, and cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graphql import GraphQLError
from strawberry.extensions import SchemaExtension
from strawberry.schema.schema import validate_document

from api.transport.cost import cost
from api.transport.documents import Document, read


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

    def on_validate(self) -> Iterator[None]:
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
        yield

    def get_results(self) -> dict[str, Any]:
        return {} if self._cost is None else {"cost": self._cost}
