"""How operations are executed: what is plain by its own functions, the rest by the library.

The library makes one context a subscription, and its loaders would answer every later event with
what they found for the first: here each event has the context begun afresh.
"""

from __future__ import annotations

import warnings
from typing import Any

import structlog
from graphql import GraphQLObjectType, GraphQLOutputType, GraphQLResolveInfo
from graphql.execution.collect_fields import FieldDetails
from graphql.pyutils import Path
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from api.context import Context
from api.transport.completion import Complete, Known, kept

#: What the library makes for a field and gives up before it began, because one beside it failed.
#: Nothing is lost by it, and Python would say so on stderr, at some later moment.
GIVEN_UP = r"coroutine '.*(_async_resolver|complete_awaitable_value|get_results)' was never awaited"

log = structlog.get_logger("kuota.graphql")


def be_quiet() -> None:
    """Have Python say nothing of what the library gives up."""
    warnings.filterwarnings("ignore", GIVEN_UP, RuntimeWarning)


be_quiet()


class Executor(StrawberryGraphQLCoreExecutionContext):
    """The library's executor, with a quick way, and a fresh context for every event."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._known = Known(self)
        #: By the identity of what was collected of a field, which is kept alive beside it.
        self._quick: dict[tuple[int, bool], tuple[list[FieldDetails], Complete | None]] = {}

    def build_per_event_executor(self, payload: Any) -> Any:
        context = self.context_value
        if isinstance(context, Context):
            context.renew()
        return super().build_per_event_executor(payload)

    def execute_field(
        self,
        parent_type: GraphQLObjectType,
        source: Any,
        field_details_list: list[FieldDetails],
        path: Path,
        position_context: Any,
    ) -> Any:
        """A field that is plain with all below it; where that fails, and else, as the library does.

        A plain field has no effect, so it may be asked again.
        """
        quick = self._quick_way(parent_type, field_details_list, got=False)
        if quick is not None:
            try:
                return quick(source, self._known)
            except Exception:
                log.debug("the quick way failed", exc_info=True)  # the library says where
        return super().execute_field(
            parent_type, source, field_details_list, path, position_context
        )

    async def complete_awaitable_value(
        self,
        return_type: GraphQLOutputType,
        field_details_list: list[FieldDetails],
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        """The same of what is below a field that was waited for."""
        quick = self._quick_way(info.parent_type, field_details_list, got=True)
        if quick is not None:
            try:
                value = await self.with_abort_signal(result)
            except Exception as error:
                result = failed(error)
            else:
                try:
                    return quick(value, self._known)
                except Exception:
                    result = given(value)
        return await super().complete_awaitable_value(
            return_type, field_details_list, info, path, result, position_context
        )

    def _quick_way(
        self, parent: GraphQLObjectType, details: list[FieldDetails], *, got: bool
    ) -> Complete | None:
        """The way of a field, as `completion` keeps it."""
        place = id(details), got
        found = self._quick.get(place)
        if found is None:
            found = self._quick[place] = (details, kept(self, parent, details, got=got))
        return found[1]


async def given(value: Any) -> Any:
    """What was waited for already."""
    return value


async def failed(error: Exception) -> Any:
    """What failed already."""
    raise error
