"""Refills of balances: how each is refilled, what that would have charged, and how it is set."""

from __future__ import annotations

from typing import Annotated, Literal

import strawberry
from strawberry.types import Info

from api.context import Context
from api.faults import Fault
from api.limits import DRY_RUN_CHARGES_MAX
from api.operations import refill_dry_run, refill_policy_set
from api.operations.refill_policy_set import KEPT, RefillPolicyError, RefillPolicySet, wanted
from api.operations.simulate import last_month
from api.schema.amount import Amount, locale_of, shown
from api.schema.fields import computed, mutation
from api.schema.payload import Payload, UserError, attempt
from api.schema.range import RangeInput, interval
from api.schema.scalars import DateTime, Decimal
from api.schema.wording import language_of
from domain import dry_run
from domain.dry_run_words import DRY_RUNS
from domain.money import micros
from domain.periods import Interval, date_of
from domain.plans import BalancePlan, Plan
from domain.problems import Problem
from domain.refill_policy import RefillPolicy as Policy
from domain.refill_policy import price_of
from domain.sentences import OF_NOTICES, Language, say
from persistence import refills
from persistence.actions import Action
from persistence.refills import InFlight, OwnPolicy
from persistence.tenants import TenantRecord, find_by_keys

Input = strawberry.argument(description="What to do.")


@strawberry.type(description="How a balance is refilled by itself.")
class RefillPolicy:
    own: strawberry.Private[OwnPolicy]
    balance: strawberry.Private[BalancePlan]
    plan: strawberry.Private[Plan]
    record: strawberry.Private[TenantRecord]
    is_default: bool = strawberry.field(
        description="Whether it is what the plan suggests; false: it was set for the tenant."
    )

    @classmethod
    def of(cls, balance: BalancePlan, plan: Plan, record: TenantRecord) -> RefillPolicy | None:
        """The tenant's own, else what the plan suggests, which charges nothing."""
        own = record.own_refills.get(balance.key)
        offer = balance.refill
        if own is None:
            if offer is None:
                return None
            suggested = OwnPolicy(Policy(False, offer.minimum, offer.amount))
            return cls(own=suggested, balance=balance, plan=plan, record=record, is_default=True)
        return cls(own=own, balance=balance, plan=plan, record=record, is_default=False)

    @computed("Whether it charges: false until somebody sets it, and while it is off.")
    def enabled(self) -> bool:
        return self.own.policy.enabled

    @computed("At or below it the balance is refilled.")
    def minimum(self) -> Amount:
        return self._amount(self.own.policy.minimum)

    @computed(
        "What one refill adds; where that does not end above `minimum`, the smallest multiple that "
        "does is charged at once."
    )
    def amount(self) -> Amount:
        return self._amount(self.own.policy.amount)

    @computed("What one refill costs, before tax.")
    def price(self) -> Amount:
        return self._money(price_of(self.balance, self.own.policy.amount))

    @computed("What refills of one local day may cost, before tax; null: any sum.")
    def day_cap(self) -> Amount | None:
        cap = self.own.policy.day_cap
        return None if cap is None else self._money(cap)

    @computed("What refills of one local month may cost, before tax; null: any sum.")
    def month_cap(self) -> Amount | None:
        cap = self.own.policy.month_cap
        return None if cap is None else self._money(cap)

    @computed("When it was switched off because a refill could not be paid; null: it was not.")
    def off_since(self) -> DateTime | None:
        return None if self.own.off_since is None else DateTime(self.own.off_since)

    @computed("Why it was switched off, for people; null: it was not.")
    def off_reason(self) -> str | None:
        return self.own.off_reason

    @computed("What is on its way: asked for, and not paid yet; null: nothing is.")
    async def in_flight(self, info: Info[Context, None]) -> Amount | None:
        found = await self._in_flight(info.context)
        return None if found is None else self._amount(found.amount)

    @computed("When what is on its way is charged again, after a decline; null: it waits for none.")
    async def next_try_at(self, info: Info[Context, None]) -> DateTime | None:
        found = await self._in_flight(info.context)
        if found is None or found.next_try_at is None:
            return None
        return DateTime(found.next_try_at)

    async def _in_flight(self, context: Context) -> InFlight | None:
        async def load(ids: list[int]) -> list[dict[str, InFlight]]:
            found = await refills.in_flight(context.door, ids)
            return [found[tenant_id] for tenant_id in ids]

        found = await context.loader("refills in flight", load).load(self.record.tenant_id)
        return found.get(self.balance.key)

    def _amount(self, micros: int) -> Amount:
        return Amount.of(micros, self.balance.currency, self.record.locale)

    def _money(self, micros: int) -> Amount:
        return Amount.of(micros, self.plan.currency, self.record.locale)


@strawberry.type(description="A refill that a policy would have charged.")
class RefillDryRunCharge:
    at: DateTime = strawberry.field(description="When the balance reached its minimum.")
    amount: Amount = strawberry.field(description="What it would have added.")
    price: Amount = strawberry.field(description="What it would have cost, before tax.")


@strawberry.type(
    description="What a policy would have charged over a range, had every refill been paid at once."
)
class RefillDryRun:
    found: strawberry.Private[dry_run.DryRun]
    span: strawberry.Private[Interval]
    of_last_month: strawberry.Private[bool]
    balance: strawberry.Private[BalancePlan]
    plan: strawberry.Private[Plan]
    record: strawberry.Private[TenantRecord]

    @computed("How often it would have charged.")
    def times(self) -> int:
        return len(self.found.charges)

    @computed("What all of it would have cost, before tax.")
    def total(self) -> Amount:
        return Amount.of(self.found.total, self.plan.currency, self.record.locale)

    @computed(f"What it would have charged, in order: the first {DRY_RUN_CHARGES_MAX}.")
    def charges(self) -> list[RefillDryRunCharge]:
        locale = self.record.locale
        return [
            RefillDryRunCharge(
                at=DateTime(each.at),
                amount=Amount.of(each.amount, self.balance.currency, locale),
                price=Amount.of(each.price, self.plan.currency, locale),
            )
            for each in self.found.charges[:DRY_RUN_CHARGES_MAX]
        ]

    @computed(f"When a cap would have kept it from charging: the first {DRY_RUN_CHARGES_MAX}.")
    def capped_at(self) -> list[DateTime]:
        return [DateTime(at) for at in self.found.capped_at[:DRY_RUN_CHARGES_MAX]]

    @computed("The least the balance would have had, just before what was charged for it.")
    def lowest(self) -> Amount:
        return Amount.of(self.found.lowest, self.balance.currency, self.record.locale, down=True)

    @computed("When it would have had that.")
    def lowest_at(self) -> DateTime:
        return DateTime(self.found.lowest_at)

    @computed("The same as a sentence.")
    def sentence(
        self,
        locale: Annotated[
            str | None,
            strawberry.argument(
                description="A language tag such as `id` or `es-MX`, in `en`, `id` or `es`; "
                "default: the tenant's, or `en` where there are no sentences in that."
            ),
        ] = None,
    ) -> str:
        own = self.record.locale
        spoken = locale_of(own).language in OF_NOTICES
        tag = locale or (own if spoken else Language.ENGLISH.value)
        language = language_of(tag, OF_NOTICES)
        zone, charges, capped = self.record.zone, self.found.charges, self.found.capped_at
        when = say(DRY_RUNS["last_month"], language)
        if not self.of_last_month:
            first, last = (date_of(zone.date(at)) for at in (self.span[0], self.span[1] - 1))
            when = say(
                DRY_RUNS["between"], language, first=first.isoformat(), last=last.isoformat()
            )
        name = "never" if not charges else "once" if len(charges) == 1 else "times"
        values = {
            "balance": self.balance.name,
            "when": when,
            "times": shown(len(charges) * 10**6, None, tag, False),
            "total": shown(self.found.total, self.plan.currency, tag, False),
        }
        told = [say(DRY_RUNS[name], language, **values)]
        if capped:
            times = shown(len(capped) * 10**6, None, tag, False)
            one = "capped_once" if len(capped) == 1 else "capped"
            told.append(say(DRY_RUNS[one], language, times=times))
        return " ".join(told)


MINIMUM = strawberry.argument(description="At or below it the balance is refilled.")
AMOUNT = strawberry.argument(description="What one refill adds.")
DAY_CAP = strawberry.argument(
    description="What refills of a local day may cost, before tax; null: any sum."
)
MONTH_CAP = strawberry.argument(
    description="What refills of a local month may cost, before tax; null: any sum."
)
RANGE = strawberry.argument(
    description="What to replay. Default: the tenant's last month that is over."
)


async def refill_dry_run_of(
    context: Context, record: TenantRecord, given: RefillPolicySet, asked: RangeInput | None
) -> RefillDryRun:
    """A dry run of a balance's own policy, with what was given instead."""
    terms = (await context.directory.read([record.key]))[record.key].at(context.now)
    balance_id = terms.balance_ids[given.balance]
    balance = terms.balances[balance_id]
    span = last_month(terms.zone, context.now)
    if asked is not None:
        span = interval(asked, terms.zone, context.now)
    try:
        policy = wanted(given, balance, terms.refills.get(balance_id))
        request = refill_dry_run.RefillDryRun(
            terms=terms, balance_id=balance_id, policy=policy, span=span
        )
        found = await refill_dry_run.run(context.door, request, now=context.now)
    except RefillPolicyError as error:
        raise Fault("BAD_USER_INPUT", str(error)) from None
    except Problem as problem:
        raise Fault("BAD_USER_INPUT", problem.message) from None
    return RefillDryRun(
        found=found, span=span, of_last_month=asked is None, balance=balance, plan=terms.plan,
        record=record,
    )  # fmt: skip


def cap_of(given: str | None) -> int | Literal["kept"] | None:
    """A cap as operations take it: what was left out stays as it is."""
    if given is strawberry.UNSET:
        return KEPT
    return None if given is None else micros(given, signed=True)


def micros_of(given: str | None) -> int | None:
    return None if given is None else micros(given, signed=True)


@strawberry.input(
    description="How a balance is refilled by itself. What is left out stays as the tenant has it, "
    "or is as the plan suggests."
)
class RefillPolicySetInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    balance: str = strawberry.field(description="The balance's key.")
    enabled: bool = strawberry.field(description="Whether it charges; that needs a payment method.")
    minimum: Decimal | None = strawberry.field(
        default=None,
        description="In the balance's unit or currency: at or below it the balance is refilled.",
    )
    amount: Decimal | None = strawberry.field(
        default=None,
        description="What one refill adds: whole packs, which cost what a top-up costs at least.",
    )
    day_cap: Decimal | None = strawberry.field(
        default=strawberry.UNSET,
        description="What refills of a local day may cost, before tax; null: any sum. Where the "
        "next one would pass it nothing is charged, and an alert says so.",
    )
    month_cap: Decimal | None = strawberry.field(
        default=strawberry.UNSET, description="The same of a local month."
    )
    idempotency_key: str = strawberry.field(
        description="A name of your own for this change: sent again, it changes nothing."
    )


@strawberry.type(description="How a balance was set to be refilled.")
class OwnRefillPolicy:
    balance: str = strawberry.field(description="The balance's key.")
    enabled: bool = strawberry.field(description="Whether it charges.")
    minimum: Amount = strawberry.field(description="At or below it the balance is refilled.")
    amount: Amount = strawberry.field(description="What one refill adds.")
    price: Amount = strawberry.field(description="What one refill costs, before tax.")
    day_cap: Amount | None = strawberry.field(
        description="What refills of a local day may cost, before tax; null: any sum."
    )
    month_cap: Amount | None = strawberry.field(
        description="What refills of a local month may cost, before tax; null: any sum."
    )
    created_at: DateTime = strawberry.field(description="When it was set.")

    @classmethod
    def from_record(cls, action: Action, locale: str) -> OwnRefillPolicy:
        body = action.body
        policy, currency = Policy(*body["policy"]), body["price_currency"]
        day, month = (
            None if cap is None else Amount.of(cap, currency, locale)
            for cap in (policy.day_cap, policy.month_cap)
        )
        return cls(
            balance=body["balance"],
            enabled=policy.enabled,
            minimum=Amount.of(policy.minimum, body["currency"], locale),
            amount=Amount.of(policy.amount, body["currency"], locale),
            price=Amount.of(body["price"], currency, locale),
            day_cap=day,
            month_cap=month,
            created_at=DateTime(action.at),
        )


@strawberry.type(description="The answer of `refillPolicySet`.")
class RefillPolicySetPayload(Payload):
    policy: OwnRefillPolicy | None = strawberry.field(
        description="What was set; the earlier one where its `idempotencyKey` came before."
    )


@strawberry.type
class RefillMutations:
    """The mutation that sets how a balance is refilled."""

    @mutation(
        "Have a balance refilled by itself when it runs low, or no longer. One that is at its "
        "minimum is refilled at once. Once per `idempotencyKey`. With the scope `billing:write`, "
        "by operators, and by the tenant where its plan lets it top up itself; switching it off is "
        "always the tenant's own."
    )
    async def refill_policy_set(
        self, info: Info[Context, None], input: Annotated[RefillPolicySetInput, Input]
    ) -> RefillPolicySetPayload:
        context = info.context
        request = RefillPolicySet(
            tenant=input.tenant,
            balance=input.balance,
            enabled=input.enabled,
            minimum=micros_of(input.minimum),
            amount=micros_of(input.amount),
            day_cap=cap_of(input.day_cap),
            month_cap=cap_of(input.month_cap),
            idempotency_key=input.idempotency_key,
        )
        try:
            action, errors = await attempt(
                refill_policy_set.run(
                    context.door, context.catalogue, context.show, context.caller(), request,
                    now=context.now,
                )
            )  # fmt: skip
        except RefillPolicyError as error:
            problems = [
                UserError(field=each.field, message=each.message, code=each.code)
                for each in error.problems
            ]
            return RefillPolicySetPayload(policy=None, user_errors=problems)
        found = None
        if action is not None:
            tenant = (await find_by_keys(context.door, [input.tenant]))[input.tenant]
            found = OwnRefillPolicy.from_record(action, tenant.locale)
        return RefillPolicySetPayload(policy=found, user_errors=errors)
