"""Thresholds of balances: what each is watched for, and the mutation that sets a tenant's own."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry.types import Info

from api.context import Context
from api.operations import threshold_set
from api.operations.threshold_set import ThresholdSet
from api.schema.amount import Amount
from api.schema.balance import reading_at
from api.schema.fields import computed, mutation
from api.schema.owner import Owner
from api.schema.payload import Payload, UserError, attempt
from api.schema.scalars import DateTime, Decimal
from domain import watch
from domain.documents import Fault
from domain.money import micros
from domain.plans import BalancePlan
from domain.reading import Pot, Reading
from domain.thresholds import (
    RUNNING_OUT_DAYS,
    RUNNING_OUT_DAYS_MAX,
    THRESHOLDS_MAX,
    ThresholdsError,
    days_of,
    of_amounts,
    parsed,
    percent,
    units,
    watched,
)
from domain.watch import Held
from persistence.actions import Action
from persistence.standing import standing_of
from persistence.tenants import TenantRecord

SCOPE = "billing:read"

Input = strawberry.argument(description="What to do.")


@strawberry.type(description="A line that a balance is watched for.")
class Threshold:
    balance: str = strawberry.field(description="The balance's key.")
    percent: Decimal | None = strawberry.field(
        description="In percent of what the period began with: passed below it, 0 at 0; null: it "
        "is in `units`."
    )
    units: Decimal | None = strawberry.field(
        description="In the balance's unit or currency; null: it is in `percent`."
    )
    level: Amount | None = strawberry.field(
        description="What it comes to just now: below that it is passed, 0 at 0; null where there "
        "is nothing to take a percentage of."
    )
    is_default: bool = strawberry.field(
        description="Whether every balance is watched for it; false: the tenant set it."
    )


@strawberry.input(
    description="What a balance is watched for, instead of what it was. Zero is always watched "
    f"for; with both lists empty so is 40 %, as of every balance. At most {THRESHOLDS_MAX}."
)
class ThresholdSetInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    balance: str = strawberry.field(description="The balance's key.")
    percents: list[Decimal] | None = strawberry.field(
        default=None,
        description="In percent of what a period begins with, 0 to 100; 0 alone: only zero.",
    )
    units: list[Decimal] | None = strawberry.field(
        default=None, description="In the balance's unit or currency, 0 or more."
    )
    running_out_days: int | None = strawberry.field(
        default=None,
        description="It is told `RUNNING_OUT` where it is forecast to run out sooner than in so "
        f"many days, 0 to {RUNNING_OUT_DAYS_MAX}; 0: never; default: {RUNNING_OUT_DAYS}. Looked at "
        "within the hour.",
    )
    idempotency_key: str = strawberry.field(
        description="A name of your own for this change: sent again, it changes nothing."
    )


@strawberry.type(description="What a balance was set to be watched for, beside zero.")
class OwnThresholds:
    balance: str = strawberry.field(description="The balance's key.")
    percents: list[Decimal] = strawberry.field(
        description="In percent of what a period begins with, highest first."
    )
    units: list[Decimal] = strawberry.field(
        description="In the balance's unit or currency, highest first."
    )
    is_default: bool = strawberry.field(
        description="Whether it is what every balance is watched for."
    )
    running_out_days: int = strawberry.field(
        description="Within how many days it is told to run out; 0: never."
    )
    created_at: DateTime = strawberry.field(description="When it was set.")

    @classmethod
    def from_record(cls, action: Action) -> OwnThresholds:
        kept = action.body["thresholds"]
        own = None if kept is None else parsed(kept)
        days = days_of(own)
        above = [each for each in watched(own) if each.value]
        return cls(
            balance=action.body["balance"],
            percents=[Decimal(told) for each in above if (told := percent(each)) is not None],
            units=[Decimal(told) for each in above if (told := units(each)) is not None],
            is_default=of_amounts(own) is None,
            running_out_days=RUNNING_OUT_DAYS if days is None else days,
            created_at=DateTime(action.at),
        )


@strawberry.type(description="The answer of `thresholdSet`.")
class ThresholdSetPayload(Payload):
    thresholds: OwnThresholds | None = strawberry.field(
        description="What was set; the earlier one where its `idempotencyKey` came before."
    )


@strawberry.type
class TenantThresholds(Owner):
    """The field of a tenant that says what its balances are watched for."""

    @computed("What its balances are watched for, in the plan's order, the highest first.")
    async def thresholds(self, info: Info[Context, None]) -> list[Threshold]:
        context, record = info.context, self.record
        held = await held_now(context, record)
        own = record.own_thresholds
        found = []
        for balance, now in held.values():
            lines = watched(own.get(balance.key))
            known = [(each, watch.level(each, now.base)) for each in lines]
            for line, least in sorted(known, key=_place):
                unset = of_amounts(own.get(balance.key)) is None
                found.append(_threshold(record, balance, line, least, unset))
        return found


def _place(line: tuple[watch.Threshold, int | None]) -> tuple[bool, int]:
    """Highest first; where nothing can be said of percentages, zero last."""
    threshold, least = line
    return threshold.value == 0, -(watch.ENDLESS if least is None else least)


def _threshold(
    record: TenantRecord, balance: BalancePlan, line: watch.Threshold, least: int | None,
    unset: bool,
) -> Threshold:  # fmt: skip
    told, count = percent(line), units(line)
    level = None
    if least is not None:
        level = Amount.of(least if line.value else 0, balance.currency, record.locale)
    return Threshold(
        balance=balance.key,
        percent=None if told is None else Decimal(told),
        units=None if count is None else Decimal(count),
        level=level,
        is_default=unset or not line.value,
    )


async def held_now(context: Context, record: TenantRecord) -> dict[str, tuple[BalancePlan, Held]]:
    """By key, the balances of a tenant with what their thresholds are compared with just now."""
    reading = await reading_at(context, record, None)
    balances = standing_of(context.catalogue, record).balances(reading.period, reading.at)
    return {each.key: (each, _held(each, reading, record.since)) for each in balances}


def _held(balance: BalancePlan, reading: Reading, since: int | None) -> Held:
    lots = (reading.pots.get(balance.key) or Pot()).lots
    allowance = 0 if since is not None and reading.at < since else balance.allowance
    return watch.held(balance, lots, allowance, reading.period, reading.at)


@strawberry.type
class ThresholdMutations:
    """The mutation that sets what a tenant's balance is watched for."""

    @mutation(
        "Watch a balance for thresholds of the tenant's own, instead of those it had. One that is "
        "above what is left is told at once, one that is taken away is told to be over. Once per "
        "`idempotencyKey`. With the scope `billing:write`, by operators and the tenant itself."
    )
    async def threshold_set(
        self, info: Info[Context, None], input: Annotated[ThresholdSetInput, Input]
    ) -> ThresholdSetPayload:
        context = info.context
        request = ThresholdSet(
            tenant=input.tenant,
            balance=input.balance,
            percents=tuple(micros(each, signed=True) for each in input.percents or ()),
            units=tuple(micros(each, signed=True) for each in input.units or ()),
            running_out_days=input.running_out_days,
            idempotency_key=input.idempotency_key,
        )
        try:
            action, errors = await attempt(
                threshold_set.run(
                    context.door, context.catalogue, context.show, context.caller(), request,
                    now=context.now,
                )
            )  # fmt: skip
        except ThresholdsError as error:
            problems = [_error(each) for each in error.problems]
            return ThresholdSetPayload(thresholds=None, user_errors=problems)
        found = None if action is None else OwnThresholds.from_record(action)
        return ThresholdSetPayload(thresholds=found, user_errors=errors)


def _error(fault: Fault) -> UserError:
    code = "NOT_FOUND" if fault.path == "balance" else "INVALID"
    return UserError(field=fault.path, message=f"{fault.wrong}; {fault.right}", code=code)
