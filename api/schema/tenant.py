"""Tenants and the list of them, as clients see them."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import strawberry
from strawberry.types import Info

from api import ids
from api.context import Context
from api.schema.account import TenantAccount
from api.schema.actions import TenantActions
from api.schema.alert import TenantAlerts
from api.schema.api_key import TenantApiKeys
from api.schema.audit import TenantAudit
from api.schema.balance import TenantBalances
from api.schema.banner import TenantBanner
from api.schema.billing import TenantBilling
from api.schema.broadcast import TenantBroadcasts
from api.schema.charge import TenantCharges
from api.schema.closing import TenantClosing
from api.schema.conflict import TenantConflicts
from api.schema.dunning import TenantDunning
from api.schema.export import TenantExports
from api.schema.fact import TenantFacts
from api.schema.fields import computed
from api.schema.hold import TenantHolds
from api.schema.international import TenantInternational
from api.schema.invoice_list import TenantInvoices
from api.schema.invoice_pay import TenantInvoicePayments
from api.schema.live import TenantLive
from api.schema.mailbox import TenantMailboxes
from api.schema.node import Node
from api.schema.number import TenantNumbers
from api.schema.paging import PageInfo, cursor
from api.schema.payment_method import TenantPaymentMethod
from api.schema.people import TenantUsers
from api.schema.purchase import TenantPurchases
from api.schema.range import check_instant
from api.schema.report_schedule import TenantReportSchedules
from api.schema.scalars import DateTime
from api.schema.seats import TenantSeats
from api.schema.sending import TenantSending
from api.schema.settlement import TenantSettlements
from api.schema.tenant_subscription import TenantSubscriptions
from api.schema.threshold import TenantThresholds
from api.schema.timezone import TimezoneChange
from api.schema.usage import TenantUsage
from api.schema.usage_chart import TenantUsageChart
from api.schema.usage_ranges import TenantUsageRanges
from api.schema.usage_summary import TenantUsageSummary
from api.schema.user_usage import TenantUserUsage
from api.schema.webhook import TenantWebhooks
from domain.periods import month_name, period
from persistence.standing import standing_of
from persistence.tenants import TenantRecord


@strawberry.enum(description="Whether a tenant is served.")
class TenantStatus(Enum):
    ACTIVE = strawberry.enum_value("active", description="It is served.")
    SUSPENDED = strawberry.enum_value(
        "suspended", description="Sends are refused; what happened is rated all the same."
    )
    BLOCKED = strawberry.enum_value(
        "blocked",
        description="Sends are refused because something is unpaid; what happened is rated all the "
        "same.",
    )


@strawberry.type(description="A calendar month of a tenant, in the tenant's zone.")
class Period:
    label: str = strawberry.field(description="The month, such as `2026-11`.")
    start: DateTime = strawberry.field(description="Its first instant.")
    end: DateTime = strawberry.field(description="The first instant after it.")


@strawberry.type(description="A business that is billed.")
class Tenant(
    Node, TenantBalances, TenantLive, TenantCharges, TenantUsage, TenantUsageSummary,
    TenantUsageRanges, TenantUsageChart, TenantNumbers, TenantConflicts,
    TenantActions, TenantFacts, TenantInternational, TenantSettlements, TenantClosing, TenantAudit,
    TenantApiKeys, TenantUsers, TenantAlerts, TenantSending, TenantHolds,
    TenantPurchases, TenantInvoicePayments,
    TenantPaymentMethod,
    TenantDunning,
    TenantInvoices, TenantAccount,
    TenantSubscriptions,
    TenantThresholds, TenantBanner, TenantMailboxes, TenantWebhooks, TenantExports,
    TenantReportSchedules,
    TenantBilling,
    TenantSeats, TenantUserUsage,
    TenantBroadcasts,
):  # fmt: skip
    key: str = strawberry.field(description="The name programs use; it never changes.")
    name: str = strawberry.field(description="The name people see.")
    currency: str = strawberry.field(description="ISO 4217 code.")
    country: str = strawberry.field(description="ISO 3166 code, two letters.")
    locale: str = strawberry.field(description="Language tag in which amounts are written.")
    status: TenantStatus = strawberry.field(description="Whether it is served.")
    since: DateTime | None = strawberry.field(
        description="Facts before it are refused; null: any past is accepted."
    )
    created_at: DateTime = strawberry.field(description="When it was created.")

    @computed("The key of the plan in force; what was agreed for later is not in force yet.")
    def plan(self, info: Info[Context, None]) -> str:
        standing = standing_of(info.context.catalogue, self.record)
        return standing.holding(info.context.now).plan.key

    @computed("IANA zone of its periods and reports, as it is in force.")
    def timezone(self, info: Info[Context, None]) -> str:
        return self.record.zone.name_at(info.context.now)

    @computed("The zone that was agreed for later; null: it keeps the one it has.")
    def timezone_change(self, info: Info[Context, None]) -> TimezoneChange | None:
        return TimezoneChange.of(self.record.zone, info.context.now)

    @computed("The period an instant falls in; default: now.")
    def period(
        self,
        info: Info[Context, None],
        at: Annotated[DateTime | None, strawberry.argument(description="Default: now.")] = None,
    ) -> Period:
        moment = info.context.now if at is None else check_instant(at, "at")
        found = period(self.record.zone, moment)
        return Period(
            label=month_name(found.label), start=DateTime(found.start), end=DateTime(found.end)
        )

    @classmethod
    def from_row(cls, record: TenantRecord) -> Tenant:
        return cls(
            record=record,
            id=strawberry.ID(ids.encode("tnt", record.tenant_id)),
            key=record.key,
            name=record.name,
            currency=record.currency,
            country=record.country,
            locale=record.locale,
            status=TenantStatus(record.status),
            since=None if record.since is None else DateTime(record.since),
            created_at=DateTime(record.created_at),
        )


@strawberry.type(description="A tenant and its place in the list.")
class TenantEdge:
    cursor: str = strawberry.field(description="Pass it as `after` to go on behind this tenant.")
    node: Tenant = strawberry.field(description="The tenant.")


@strawberry.type(description="A page of tenants, by their keys.")
class TenantConnection:
    edges: list[TenantEdge] = strawberry.field(description="The tenants with their places.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")

    @computed("The tenants alone.")
    def nodes(self) -> list[Tenant]:
        return [edge.node for edge in self.edges]

    @classmethod
    def from_rows(cls, records: list[TenantRecord], size: int) -> TenantConnection:
        """A page of `size` out of at most one row more, which says that there is more."""
        edges = [
            TenantEdge(cursor=cursor([record.key]), node=Tenant.from_row(record))
            for record in records[:size]
        ]
        return cls(
            edges=edges,
            page_info=PageInfo(
                has_next_page=len(records) > size,
                end_cursor=edges[-1].cursor if edges else None,
            ),
        )
