"""How events of a subscription are executed: each with the context begun afresh.

The library makes one context a subscription, and its loaders would answer every later event with
what they found for the first.
"""

from __future__ import annotations

from typing import Any

from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from api.context import Context


class Executor(StrawberryGraphQLCoreExecutionContext):
    """The library's executor, which renews the context for every event."""

    def build_per_event_executor(self, payload: Any) -> Any:
        context = self.context_value
        if isinstance(context, Context):
            context.renew()
        return super().build_per_event_executor(payload)
