"""What a tenant says of itself for its invoices, who issues them, and the mutation that says it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any

import strawberry
from strawberry.types import Info

from api.context import Context
from api.invoicing.parties import buyer_party, issuer_of, terms_of
from api.operations import billing_set
from api.operations.billing_set import INVOICING, BillingError, BillingSet
from api.schema.fields import computed, mutation
from api.schema.owner import Owner
from api.schema.payload import Payload, UserError, attempt
from domain.billing_profiles import OF_OPERATORS, OF_PARTY, Issue
from domain.invoices import Party
from domain.problems import Problem
from persistence.standing import standing_of
from persistence.tenants import TenantRecord, find_by_keys

SCOPE = "billing:read"

Input = strawberry.argument(description="What to do.")


@strawberry.enum(description="What becomes of the draft of an invoice.")
class BillingIssue(Enum):
    AUTOMATIC = strawberry.enum_value("automatic", description="It is issued at once.")
    REVIEW = strawberry.enum_value("review", description="It waits for an operator to issue it.")


@strawberry.type(description="Who issues a tenant's invoices.")
class BillingIssuer:
    key: str | None = strawberry.field(
        description="Its key; null: no issuer is published, and it is named after the plan."
    )
    name: str = strawberry.field(description="The name that stands on invoices.")
    lines: list[str] = strawberry.field(description="Its address, line by line.")
    country: str = strawberry.field(description="ISO 3166 code, two letters.")
    tax_id: str | None = strawberry.field(description="Its tax id.")
    email: str | None = strawberry.field(description="Where it is written to.")
    pay: str | None = strawberry.field(description="How to pay, as it is printed on invoices.")
    e_invoice: bool = strawberry.field(
        description="Whether its documents have EN 16931 in them, where that can say them."
    )


@strawberry.type(description="What a tenant's invoices say of it, and how it is invoiced.")
class Billing:
    record: strawberry.Private[TenantRecord]
    party: strawberry.Private[Party]

    @classmethod
    def of(cls, tenant: TenantRecord) -> Billing:
        return cls(record=tenant, party=buyer_party(tenant, tenant.own_billing))

    @computed("The name that stands on invoices: its own for them, else the tenant's.")
    def name(self) -> str:
        return self.party.name

    @computed("Its address, line by line.")
    def lines(self) -> list[str]:
        return list(self.party.lines)

    @computed("ISO 3166 code of the country whose taxes are asked for.")
    def country(self) -> str:
        return self.party.country

    @computed("Its tax id.")
    def tax_id(self) -> str | None:
        return self.party.tax_id

    @computed("Its e-mail address, printed on its invoices: nothing is sent to it.")
    def email(self) -> str | None:
        return self.party.email

    @computed("What its accountants look for, such as a purchase order; printed on invoices.")
    def reference(self) -> str | None:
        return self.party.reference

    @computed("Who issues its invoices; null: the one that was agreed is not published here.")
    def issuer(self, info: Info[Context, None]) -> BillingIssuer | None:
        context = info.context
        plan = standing_of(context.catalogue, self.record).holding(context.now).plan
        try:
            found = issuer_of(context.catalogue, self.record.own_billing, plan)
        except Problem:
            return None
        return BillingIssuer(
            key=found.key or None, name=found.name, lines=list(found.lines), country=found.country,
            tax_id=found.tax_id, email=found.email, pay=found.pay or None,
            e_invoice=found.e_invoice,
        )  # fmt: skip

    @computed("What becomes of drafts.")
    def issue(self) -> BillingIssue:
        return BillingIssue[self.record.own_billing.issue.name]

    @computed(
        "Local days after its issue that an invoice is due on; null: the issuer that was agreed is "
        "not published here."
    )
    def terms_days(self, info: Info[Context, None]) -> int | None:
        context, profile = info.context, self.record.own_billing
        plan = standing_of(context.catalogue, self.record).holding(context.now).plan
        if profile.terms_days is not None:
            return profile.terms_days
        try:
            return terms_of(issuer_of(context.catalogue, profile, plan), profile)
        except Problem:
            return None

    @computed("Whether its periods are closed and invoiced by themselves.")
    def invoicing(self) -> bool:
        return self.record.invoicing


@strawberry.type
class TenantBilling(Owner):
    """The field of a tenant that says what its invoices say of it."""

    @computed("What its invoices say of it, and how it is invoiced.")
    def billing(self, info: Info[Context, None]) -> Billing:
        info.context.require(SCOPE)
        return Billing.of(self.record)


@strawberry.input(
    description="What a tenant's invoices say of it: of `name`, `lines`, `taxId`, `email` and "
    "`reference` what is left out is no longer said. The other fields are agreed with it: only "
    "operators write them, what is left out stays, null is the default."
)
class BillingSetInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    name: str | None = strawberry.field(
        default=None, description="The name on invoices; default: the tenant's."
    )
    lines: list[str] | None = strawberry.field(
        default=None, description="Its address: up to 6 different lines."
    )
    tax_id: str | None = strawberry.field(
        default=None,
        description="Its tax id; in the European Union and Indonesia it has to look like one.",
    )
    email: str | None = strawberry.field(
        default=None,
        description="Its e-mail address, printed on its invoices: nothing is sent to it.",
    )
    reference: str | None = strawberry.field(
        default=None, description="What its accountants look for, such as a purchase order."
    )
    country: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="ISO 3166 code of the country whose taxes are asked for; default: the "
        "tenant's.",
    )
    issuer: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="The key of its issuer; default: `default`, else the only one.",
    )
    issue: BillingIssue | None = strawberry.field(
        default=strawberry.UNSET, description="What becomes of drafts; default: `AUTOMATIC`."
    )
    terms_days: int | None = strawberry.field(
        default=strawberry.UNSET,
        description="Local days after its issue that an invoice is due on, 0 to 365; default: the "
        "issuer's.",
    )
    invoicing: bool | None = strawberry.field(
        default=strawberry.UNSET,
        description="Whether its periods are closed and invoiced by themselves; true: from the "
        "current one on. Default: it stays.",
    )
    idempotency_key: str = strawberry.field(
        description="A name of your own for this change: sent again, it changes nothing."
    )


@strawberry.type(description="The answer of `billingSet`.")
class BillingSetPayload(Payload):
    billing: Billing | None = strawberry.field(description="What now holds.")


@strawberry.type
class BillingMutations:
    """The mutation that sets what a tenant's invoices say of it."""

    @mutation(
        "Set what a tenant's invoices say of it, from the next one on. Once per `idempotencyKey`. "
        "With the scope `billing:write`; what is agreed with a tenant only by operators."
    )
    async def billing_set(
        self, info: Info[Context, None], input: Annotated[BillingSetInput, Input]
    ) -> BillingSetPayload:
        context = info.context
        request = BillingSet(
            tenant=input.tenant,
            party={name: said for name in OF_PARTY if (said := _said(getattr(input, name)))},
            agreed=_agreed(input),
            idempotency_key=input.idempotency_key,
        )
        try:
            action, errors = await attempt(
                billing_set.run(
                    context.door, context.catalogue, context.show, context.caller(), request,
                    now=context.now,
                )
            )  # fmt: skip
        except BillingError as error:
            problems = [
                UserError(field=each.field, message=each.message, code=each.code)
                for each in error.problems
            ]
            return BillingSetPayload(billing=None, user_errors=problems)
        found = None
        if action is not None:
            tenant = (await find_by_keys(context.door, [input.tenant]))[input.tenant]
            found = Billing.of(tenant)
        return BillingSetPayload(billing=found, user_errors=errors)


def _said(value: Any) -> Any:
    """A text without blanks around it; what is empty is not said."""
    if isinstance(value, list):
        return [each.strip() for each in value]
    return value.strip() if isinstance(value, str) else value


def _agreed(input: BillingSetInput) -> Mapping[str, Any]:
    """What was said of what is agreed, spelt as in a document."""
    fields = {name: getattr(input, name) for name in (*OF_OPERATORS, INVOICING)}
    given = {name: value for name, value in fields.items() if value is not strawberry.UNSET}
    if isinstance(issue := given.get("issue"), BillingIssue):
        given["issue"] = Issue[issue.name].value
    return given
