"""Alerts' kinds as clients see them, what thresholds are compared with, and what raises one."""

from __future__ import annotations

from enum import Enum

import strawberry

from domain import watch


@strawberry.enum(description="What an alert says.")
class AlertKind(Enum):
    THRESHOLD = strawberry.enum_value(
        watch.AlertKind.THRESHOLD.value, description="What is left fell below a threshold."
    )
    EXHAUSTED = strawberry.enum_value(
        watch.AlertKind.EXHAUSTED.value, description="Nothing is left."
    )
    RECOVERED = strawberry.enum_value(
        watch.AlertKind.RECOVERED.value,
        description="What is left is back at the threshold or above zero; or, where `cause` is "
        "`THRESHOLDS`, the balance may not be watched for it any more.",
    )
    OVERDRAWN = strawberry.enum_value(
        watch.AlertKind.OVERDRAWN.value,
        description="The balance as a whole owes more than its credit limit.",
    )
    REFILL_STARTED = strawberry.enum_value(
        watch.AlertKind.REFILL_STARTED.value,
        description="The balance reached its refill minimum, and its refill is being paid.",
    )
    REFILL_SUCCEEDED = strawberry.enum_value(
        watch.AlertKind.REFILL_SUCCEEDED.value,
        description="A refill was paid, and is in the balance.",
    )
    REFILL_FAILED = strawberry.enum_value(
        watch.AlertKind.REFILL_FAILED.value, description="A refill could not be paid."
    )
    REFILL_OFF = strawberry.enum_value(
        watch.AlertKind.REFILL_OFF.value,
        description="The balance is not refilled by itself any more, for the last refill could not "
        "be paid.",
    )
    REFILL_CAP = strawberry.enum_value(
        watch.AlertKind.REFILL_CAP.value,
        description="The balance would be refilled, and a cap of its policy forbids that: nothing "
        "was charged.",
    )
    TOPPED_UP = strawberry.enum_value(
        watch.AlertKind.TOPPED_UP.value,
        description="What the tenant bought was paid, and is in the balance.",
    )
    RUNNING_OUT = strawberry.enum_value(
        watch.AlertKind.RUNNING_OUT.value,
        description="The balance is forecast to be used up soon.",
    )
    INVOICE_ISSUED = strawberry.enum_value(
        watch.AlertKind.INVOICE_ISSUED.value, description="An invoice was issued."
    )
    INVOICE_PAID = strawberry.enum_value(
        watch.AlertKind.INVOICE_PAID.value, description="Nothing is left to pay of an invoice."
    )
    INVOICE_OVERDUE = strawberry.enum_value(
        watch.AlertKind.INVOICE_OVERDUE.value,
        description="The due day of an invoice is over, and something is left to pay of it.",
    )
    SUBSCRIPTION_ENDING = strawberry.enum_value(
        watch.AlertKind.SUBSCRIPTION_ENDING.value,
        description="The last day that a subscription serves is near.",
    )


@strawberry.enum(description="What a threshold is compared with.")
class AlertMeasure(Enum):
    PERCENT = strawberry.enum_value(
        watch.Measure.PERCENT.value,
        description="What is left of what the period began with, in percent of it: of the "
        "allowance; without one, of what was carried in and topped up.",
    )
    UNITS = strawberry.enum_value(
        watch.Measure.UNITS.value, description="The same, in the balance's unit or currency."
    )
    WHOLE = strawberry.enum_value(
        watch.Measure.WHOLE.value, description="All that is left of the balance, in its unit."
    )
    DAYS = strawberry.enum_value(
        watch.Measure.DAYS.value, description="For how many days it is forecast to last."
    )


@strawberry.enum(description="What an alert was raised by: mostly what moved a balance.")
class AlertCause(Enum):
    FACT = strawberry.enum_value(watch.AlertCause.FACT.value, description="A fact was charged.")
    RATED = strawberry.enum_value(
        watch.AlertCause.RATED.value, description="A fact was rated that came before its rate."
    )
    TOP_UP = strawberry.enum_value(watch.AlertCause.TOP_UP.value, description="A top-up.")
    ADJUSTMENT = strawberry.enum_value(
        watch.AlertCause.ADJUSTMENT.value, description="An adjustment."
    )
    REFUND = strawberry.enum_value(watch.AlertCause.REFUND.value, description="A refund.")
    PLAN = strawberry.enum_value(
        watch.AlertCause.PLAN.value, description="Another plan or allowance added something."
    )
    TIME = strawberry.enum_value(watch.AlertCause.TIME.value, description="A lot began or ended.")
    RESET = strawberry.enum_value(
        watch.AlertCause.RESET.value, description="A period began, and decided afresh."
    )
    SETTLED = strawberry.enum_value(
        watch.AlertCause.SETTLED.value,
        description="Late facts were put into their order, and charges corrected.",
    )
    PAID_OFF = strawberry.enum_value(
        watch.AlertCause.PAID_OFF.value, description="What was owed was paid off by what came in."
    )
    THRESHOLDS = strawberry.enum_value(
        watch.AlertCause.THRESHOLDS.value, description="Other thresholds were set."
    )
    REFILLS = strawberry.enum_value(
        watch.AlertCause.REFILLS.value,
        description="Another refill policy was set, or the tenant is served again.",
    )
    PAYMENT = strawberry.enum_value(
        watch.AlertCause.PAYMENT.value, description="A payment was declined, or given up."
    )
    FORECAST = strawberry.enum_value(
        watch.AlertCause.FORECAST.value, description="The balance was looked at ahead of time."
    )
    INVOICE = strawberry.enum_value(
        watch.AlertCause.INVOICE.value, description="What became of an invoice."
    )
    SUBSCRIPTION = strawberry.enum_value(
        watch.AlertCause.SUBSCRIPTION.value,
        description="What was agreed of a subscription, or the coming of its last day.",
    )
