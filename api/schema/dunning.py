"""What happens with a tenant's unpaid invoices, what of its sends is refused, and how it is set."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import strawberry
from strawberry.types import Info

from api.context import Context
from api.operations import dunning_set
from api.operations.dunning_set import DunningSet
from api.schema.amount import Amount
from api.schema.fields import computed, mutation
from api.schema.owner import Owner
from api.schema.payload import Payload, UserError, attempt
from api.schema.scalars import DateTime
from api.schema.terms import require_operator
from domain import dunning as rules
from domain.documents import Fault
from domain.dunning import DAYS_MAX, OVERDUE, Bill, Deed, Step
from persistence import dunning
from persistence.tenants import TenantRecord, find_by_keys

SCOPE = "billing:read"

Input = strawberry.argument(description="What to do.")


@strawberry.enum(description="What is done about an overdue invoice.")
class DunningAction(Enum):
    REMIND = strawberry.enum_value(
        Deed.REMIND.value, description="People and webhooks are told once more."
    )
    BLOCK_MARKETING = strawberry.enum_value(
        Deed.BLOCK_MARKETING.value,
        description="Sends of the category marketing are refused, and it is told.",
    )
    BLOCK_ALL = strawberry.enum_value(
        Deed.BLOCK_ALL.value, description="All sends are refused, and it is told."
    )


@strawberry.enum(description="Which sends are refused because invoices are overdue.")
class DunningBlock(Enum):
    NONE = strawberry.enum_value(rules.Block.NONE.value, description="None.")
    MARKETING = strawberry.enum_value(
        rules.Block.MARKETING.value, description="Those of the category marketing."
    )
    ALL = strawberry.enum_value(rules.Block.ALL.value, description="All.")


@strawberry.input(description="One step, at the beginning of a local day of the tenant.")
class DunningStepInput:
    days: int = strawberry.field(description=f"Days after the due day, 1 to {DAYS_MAX}.")
    action: DunningAction = strawberry.field(description="What is done.")
    prepaid: bool = strawberry.field(
        default=False,
        description="Of a block: whether sends are refused too that a prepaid balance would pay.",
    )


@strawberry.input(description="What happens with a tenant's unpaid invoices.")
class DunningSetInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    steps: list[DunningStepInput] | None = strawberry.field(
        default=None,
        description="All of them, at most 20; empty: nothing happens but that it is told once; "
        "null: what happens with everybody's, reminders after 3, 7 and 14 days.",
    )
    idempotency_key: str = strawberry.field(
        description="The same key with the same content changes nothing a second time."
    )


@strawberry.type(description="One step, at the beginning of a local day of the tenant.")
class DunningStep:
    days: int = strawberry.field(description="Days after the due day.")
    action: DunningAction = strawberry.field(description="What is done.")
    prepaid: bool = strawberry.field(
        description="Of a block: whether sends are refused too that a prepaid balance would pay."
    )

    @classmethod
    def of(cls, step: Step) -> DunningStep:
        return cls(days=step.days, action=DunningAction(step.deed.value), prepaid=step.prepaid)


@strawberry.type(description="What is done next about an overdue invoice.")
class DunningNextStep:
    at: DateTime = strawberry.field(description="When: a midnight of the tenant.")
    action: DunningAction = strawberry.field(description="What is done.")


@strawberry.type(description="An invoice whose due day is over, and of which something is unpaid.")
class DunnedInvoice:
    number: str = strawberry.field(description="Its number.")
    balance: Amount = strawberry.field(description="What is left to pay.")
    overdue_since: DateTime = strawberry.field(
        description="When its due day was over, by the tenant's clock."
    )
    next_step: DunningNextStep | None = strawberry.field(
        description="What is done next unless it is paid; null: nothing."
    )


@strawberry.type(description="What happens with a tenant's unpaid invoices, and what holds now.")
class Dunning:
    kept: strawberry.Private[dunning.Dunning]
    record: strawberry.Private[TenantRecord]

    @computed("The steps, in their order; that an invoice is overdue is told before all of them.")
    def steps(self) -> list[DunningStep]:
        return [DunningStep.of(step) for step in self.kept.policy]

    @computed("Whether they are those of everybody; false: they were set for the tenant.")
    def is_default(self) -> bool:
        return not self.kept.own

    @computed("Which sends are refused where no prepaid balance pays for all of them.")
    def holds(self) -> DunningBlock:
        held = self.kept.dunned
        return DunningBlock(0 if held is None else held.credit.value)

    @computed("Which sends are refused whatever pays for them.")
    def prepaid(self) -> DunningBlock:
        held = self.kept.dunned
        return DunningBlock(0 if held is None else held.prepaid.value)

    @computed("Since when sends are refused; null: none is.")
    def since(self) -> DateTime | None:
        held = self.kept.dunned
        return None if held is None else DateTime(held.since)

    @computed("What has to be paid for none to be refused; null: none is.")
    def owed(self) -> Amount | None:
        held = self.kept.dunned
        return None if held is None else Amount.of(held.owed, held.currency, self.record.locale)

    @computed("Its overdue invoices, the longest due first.")
    def invoices(self, info: Info[Context, None]) -> list[DunnedInvoice]:
        now, zone = info.context.now, self.kept.zone
        return [
            DunnedInvoice(
                number=bill.number,
                balance=Amount.of(bill.balance, bill.currency, self.record.locale),
                overdue_since=DateTime(since),
                next_step=self._next(bill),
            )
            for bill in self.kept.bills.values()
            if (since := rules.falls_at(bill.due_on, 0, zone)) <= now
        ]

    def _next(self, bill: Bill) -> DunningNextStep | None:
        deeds = {step.name: step.deed for step in self.kept.policy}
        left = [
            each for each in rules.ahead(self.kept.policy, bill, self.kept.zone)
            if each[1] != OVERDUE
        ]  # fmt: skip
        if not left:
            return None
        at, name = min(left, key=lambda each: each[0])
        return DunningNextStep(at=DateTime(at), action=DunningAction(deeds[name].value))


@strawberry.type(description="The answer of `dunningSet`.")
class DunningSetPayload(Payload):
    dunning: Dunning | None = strawberry.field(description="What now happens, and holds.")


@strawberry.type
class TenantDunning(Owner):
    """The field of a tenant that says what happens with its unpaid invoices."""

    @computed("What happens with its unpaid invoices, and which of its sends are refused for them.")
    async def dunning(self, info: Info[Context, None]) -> Dunning:
        context = info.context
        context.require(SCOPE)

        async def load(ids: list[int]) -> list[dunning.Dunning]:
            found = await dunning.of_tenants(context.door, ids)
            return [found[tenant_id] for tenant_id in ids]

        kept = await context.loader("dunning", load).load(self.record.tenant_id)
        return Dunning(kept=kept, record=self.record)


@strawberry.type
class DunningMutations:
    """The mutation that sets what happens with unpaid invoices."""

    @mutation(
        "Set what happens with a tenant's unpaid invoices. A block that the new steps do not have "
        "is lifted at once; steps whose day has passed are done at once. Operators only."
    )
    async def dunning_set(
        self, info: Info[Context, None], input: Annotated[DunningSetInput, Input]
    ) -> DunningSetPayload:
        context = info.context
        require_operator(context)
        steps = input.steps
        request = DunningSet(
            tenant=input.tenant,
            steps=None if steps is None else [_spelt(each) for each in steps],
            idempotency_key=input.idempotency_key,
        )
        done, errors = await attempt(
            dunning_set.run(context.door, context.catalogue, context.show, request, now=context.now)
        )
        if done is None or done.action is None:
            faults = () if done is None else done.problems
            return DunningSetPayload(
                dunning=None, user_errors=[*errors, *(_error(each) for each in faults)]
            )
        record = (await find_by_keys(context.door, [input.tenant]))[input.tenant]
        kept = (await dunning.of_tenants(context.door, [record.tenant_id]))[record.tenant_id]
        return DunningSetPayload(dunning=Dunning(kept=kept, record=record), user_errors=[])


def _spelt(step: DunningStepInput) -> dict[str, object]:
    """A step as `domain.dunning` writes it."""
    spelt: dict[str, object] = {"days": step.days, "action": step.action.value}
    return spelt | ({"prepaid": True} if step.prepaid else {})


def _error(fault: Fault) -> UserError:
    return UserError(field=fault.path, message=f"{fault.wrong}; {fault.right}", code="INVALID")
