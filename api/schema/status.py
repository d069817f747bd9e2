"""Whether a tenant is served, and the mutation that sets it. Owns no rule."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry.types import Info

from api.context import Context
from api.operations import tenant_status_set
from api.operations.tenant_status_set import TenantStatusSet
from api.schema.fields import mutation
from api.schema.payload import Payload, attempt
from api.schema.tenant import Tenant, TenantStatus
from api.schema.terms import require_operator

Input = strawberry.argument(description="What to do.")


@strawberry.input(description="Whether a tenant is served.")
class TenantStatusSetInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    status: TenantStatus = strawberry.field(description="What it becomes.")
    reason: str = strawberry.field(description="Why, for people: 1 to 1,000 characters.")


@strawberry.type(description="The answer of `tenantStatusSet`.")
class TenantStatusSetPayload(Payload):
    tenant: Tenant | None = strawberry.field(description="The tenant as it now is.")


@strawberry.type
class StatusMutations:
    """The mutation that serves a tenant or does not."""

    @mutation(
        "Serve a tenant, or refuse its sends; what happens is rated all the same. The same again "
        "changes nothing. Operators only."
    )
    async def tenant_status_set(
        self, info: Info[Context, None], input: Annotated[TenantStatusSetInput, Input]
    ) -> TenantStatusSetPayload:
        context = info.context
        require_operator(context)
        request = TenantStatusSet(
            tenant=input.tenant, status=input.status.name.lower(), reason=input.reason
        )
        record, errors = await attempt(
            tenant_status_set.run(
                context.door, context.catalogue, context.show, request, now=context.now
            )
        )
        tenant = None if record is None else Tenant.from_row(record)
        return TenantStatusSetPayload(tenant=tenant, user_errors=errors)
