"""What every group of a tenant's fields is given: the tenant's row."""

from __future__ import annotations

import strawberry

from persistence.tenants import TenantRecord


@strawberry.type
class Owner:
    record: strawberry.Private[TenantRecord]
