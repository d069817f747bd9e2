"""The schema: its roots, its scalars, its one extension. Built once, when this is imported."""

from __future__ import annotations

from typing import Any

import strawberry
from graphql import GraphQLError, build_schema, lexicographic_sort_schema, print_schema
from strawberry.schema.config import StrawberryConfig

from api.schema.api_key import ApiKey
from api.schema.mutation import Mutation
from api.schema.number import Number
from api.schema.position import STREAM_POSITION, StreamPosition
from api.schema.query import Query
from api.schema.scalars import SCALARS
from api.schema.subscription import Subscription
from api.schema.tenant import Tenant
from api.transport.executor import Executor
from api.transport.extension import Documents


class Schema(strawberry.Schema):
    def process_errors(self, errors: list[GraphQLError], execution_context: Any = None) -> None:
        """Leave the log to who answers the request: it knows what was expected, and the id."""


schema = Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[Tenant, Number, ApiKey],
    extensions=[Documents],
    execution_context_class=Executor,
    config=StrawberryConfig(scalar_map={**SCALARS, StreamPosition: STREAM_POSITION}),
)


def printed() -> str:
    """The whole schema as text, sorted, as `schema.graphql` keeps it."""
    # Sorted after printing: Strawberry's own sorting loses how its enums write their defaults.
    return print_schema(lexicographic_sort_schema(build_schema(schema.as_str()))) + "\n"
