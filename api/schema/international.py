"""International rates: the days from which a tenant pays them, and who sets them (PR-5)."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry.types import Info

from api.context import Context
from api.operations import international_rate_set
from api.operations.international_rate_set import InternationalRateSet
from api.schema.fields import computed, mutation
from api.schema.owner import Owner
from api.schema.payload import Payload, attempt
from api.schema.scalars import Date, DateTime
from api.schema.terms import require_operator, require_said
from persistence.actions import Action
from persistence.standing import international_of

SCOPE = "billing:read"

Input = strawberry.argument(description="What to do.")


@strawberry.input(description="The day from which a tenant pays a market's international rate.")
class InternationalRateSetInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    market: str = strawberry.field(
        description="A market of its price book, such as `ID`; not that of its own country."
    )
    since: Date | None = strawberry.field(
        name="from",
        default=strawberry.UNSET,
        description="The first local day, at the number that sends; null: the local rate again. A "
        "day that would change what was charged is refused, and so is the end of one that came.",
    )
    idempotency_key: str = strawberry.field(
        description="A name of your own for this change: sent again, it changes nothing."
    )


@strawberry.type(description="A market whose international rate a tenant pays, from a day on.")
class InternationalRate:
    market: str = strawberry.field(description="The market, as price books name it.")
    since: Date = strawberry.field(
        name="from", description="The first local day, at the number that sends."
    )


@strawberry.type(description="A day as it was agreed.")
class AgreedInternationalRate:
    market: str = strawberry.field(description="The market, as price books name it.")
    since: Date | None = strawberry.field(
        name="from",
        description="The first local day, at the number that sends; null: the local rate.",
    )
    created_at: DateTime = strawberry.field(description="When it was agreed.")

    @classmethod
    def from_record(cls, action: Action) -> AgreedInternationalRate:
        day = action.body["from"]
        return cls(
            market=action.body["international"],
            since=None if day is None else Date(day),
            created_at=DateTime(action.at),
        )


@strawberry.type(description="The answer of `internationalRateSet`.")
class InternationalRateSetPayload(Payload):
    international_rate: AgreedInternationalRate | None = strawberry.field(
        description="What was agreed; the earlier one where its `idempotencyKey` came before."
    )


@strawberry.type
class TenantInternational(Owner):
    """The field of a tenant that lists its markets abroad."""

    @computed(
        "Markets whose international rate the tenant pays for authentication, each from a day on; "
        "everywhere else, and where its book has no such rate, it pays the local one."
    )
    def international_rates(self, info: Info[Context, None]) -> list[InternationalRate]:
        info.context.require(SCOPE)
        days = sorted(international_of(self.record.changes).items())
        return [InternationalRate(market=market, since=Date(day)) for market, day in days]


@strawberry.type
class InternationalMutations:
    """The mutation that sets a day."""

    @mutation(
        "Set the local day from which a tenant pays a market's international rate for "
        "authentication. Once per `idempotencyKey`. Operators only."
    )
    async def international_rate_set(
        self, info: Info[Context, None], input: Annotated[InternationalRateSetInput, Input]
    ) -> InternationalRateSetPayload:
        context = info.context
        require_operator(context)
        require_said(input.since, "from")
        request = InternationalRateSet(
            tenant=input.tenant,
            market=input.market,
            since=input.since,
            idempotency_key=input.idempotency_key,
        )
        action, errors = await attempt(
            international_rate_set.run(
                context.door, context.catalogue, context.show, request, now=context.now
            )
        )
        found = None if action is None else AgreedInternationalRate.from_record(action)
        return InternationalRateSetPayload(international_rate=found, user_errors=errors)
