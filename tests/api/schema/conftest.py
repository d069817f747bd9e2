"""A tenant written by hand and a way to ask for its figures through the schema."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest
import strawberry
from strawberry.schema.config import StrawberryConfig

from api.context import Context
from api.rights import ALL_SCOPES, Principal
from api.schema.balance import TenantBalances
from api.schema.charge import TenantCharges
from api.schema.scalars import SCALARS
from api.schema.usage import TenantUsage
from api.schema.usage_ranges import TenantUsageRanges
from api.schema.usage_summary import TenantUsageSummary
from api.schema.user_usage import TenantUserUsage
from domain.periods import DAY, HOUR, month_label, zone
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.live import Live
from persistence.rebuild import Rebuild
from persistence.tenants import TenantRecord, find_by_ids
from persistence.valkey import client
from tests.persistence.rows import TENANT, Rows, rows_of

JAKARTA = zone("Asia/Jakarta")
NOVEMBER = month_label(2026, 11)
START, END = JAKARTA.month_bounds(NOVEMBER)
NOON = START + 9 * DAY + 12 * HOUR
NOBODY: Any = None  # intake, authenticator and the feed: nothing here asks for them


@strawberry.type
class Figures(
    TenantBalances, TenantCharges, TenantUsage, TenantUsageSummary, TenantUsageRanges,
    TenantUserUsage,
):  # fmt: skip
    """What is tested of a tenant."""


@strawberry.type
class Query:
    owner: strawberry.Private[TenantRecord]

    @strawberry.field
    def tenant(self) -> Figures:
        return Figures(record=self.owner)


CONFIG = StrawberryConfig(scalar_map=SCALARS)
#: As the payload of a mutation shows figures: of no one moment.
SCHEMA = strawberry.Schema(Query, config=CONFIG)

Ask = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
async def rows(owner_url: str) -> AsyncIterator[Rows]:
    async with rows_of(owner_url) as rows:
        await rows.tenant()
        yield rows


@pytest.fixture
async def door(app_url: str) -> AsyncIterator[Door]:
    async with Door.open(app_url, size=2) as door:
        yield door


@pytest.fixture
async def ask(rows: Rows, door: Door, redis_url: str) -> AsyncIterator[Ask]:
    """Ask the tenant for fields at an instant; a refusal is given as `{"refused": ...}`."""
    catalogue = await Catalogue.load(rows.connection)
    valkey = client(redis_url)
    live = Live(valkey, door, Rebuild(valkey, door, catalogue, lambda: NOON))

    async def ask(
        fields: str,
        *,
        now: int = NOON,
        scopes: frozenset[str] = ALL_SCOPES,
        schema: strawberry.Schema = SCHEMA,
    ) -> dict[str, Any]:
        records = await find_by_ids(door, [TENANT])
        context = Context(
            principal=Principal("tenant", TENANT, "tenant-1", scopes, None), door=door,
            catalogue=catalogue, intake=NOBODY, authenticator=NOBODY, now=now, request_id="r",
            show=NOBODY, live=live, hub=NOBODY, settling=NOBODY, signing=NOBODY, public_url="",
            desk=NOBODY, directory=NOBODY, valkey=NOBODY, paying=NOBODY,
        )  # fmt: skip
        answer = await schema.execute(
            "{ tenant { %s } }" % fields,  # noqa: UP031 - braces are GraphQL's
            root_value=Query(owner=records[TENANT]),
            context_value=context,
        )
        if answer.errors:
            return {"refused": answer.errors[0].message}
        assert answer.data is not None
        return cast(dict[str, Any], answer.data["tenant"])

    yield ask
    await valkey.aclose()
