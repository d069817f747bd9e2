"""Banners: what a chat panel shows of a balance that runs low, in the reader's language.

Owns which sentence says it and how figures stand in it. What was raised is `alert`'s to tell, and
the words are `domain.sentences`'.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import strawberry
from strawberry.types import Info

from api.context import Context
from api.schema.amount import shown
from api.schema.billing_banner import banner_of_billing
from api.schema.fields import computed
from api.schema.how_to_top_up import Present, sold
from api.schema.notice_words import Locale, day_and_hour, told_in
from api.schema.owner import Owner
from api.schema.threshold import held_now
from api.schema.wording import language_of
from domain import watch
from domain.money import MICRO, charge
from domain.notices import NOTICES
from domain.periods import DAY, MINUTE, Zone, zone
from domain.plans import BalancePlan, Plan
from domain.sentences import OF_NOTICES, Language, say
from domain.subscriptions import ending
from domain.watch import ALL, AlertKind, Measure, Threshold
from persistence import alerts, subscriptions
from persistence.subscriptions import Kept
from persistence.tenants import TenantRecord

SCOPE = "billing:read"
UTC = zone("UTC")
#: Behind these somebody may want to top up.
LOW = watch.PASSING | {AlertKind.REFILL_FAILED, AlertKind.REFILL_OFF, AlertKind.REFILL_CAP}

#: Notices of what is no threshold, by what is said.
OTHERS = {
    AlertKind.REFILL_STARTED: "refill_started",
    AlertKind.REFILL_SUCCEEDED: "refill_succeeded",
    AlertKind.REFILL_FAILED: "refill_failed",
    AlertKind.REFILL_OFF: "refill_off",
    AlertKind.REFILL_CAP: "refill_cap",
    AlertKind.TOPPED_UP: "topped_up",
}

#: Percentages are shown in hundredths, rounded down: never one that is not below its threshold.
HUNDREDTH = MICRO // 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a banner says: of a balance, by the figures it is told by."""

    kind: AlertKind
    threshold: Threshold
    remaining: int  #: of what the threshold measures
    base: int
    rest: int = 0  #: beside what the threshold measures, where it is known
    runs_out_at: int | None = None  #: as it was forecast when that was told

    @classmethod
    def of(cls, alert: alerts.Alert, remaining: int, base: int, rest: int = 0) -> Said:
        """What an alert says, by figures of its time or of another."""
        threshold = Threshold(alert.measure, alert.threshold)
        runs_out_at = None
        if alert.kind is AlertKind.RUNNING_OUT:
            # A millionth of a day is less than a tenth of a second: to the minute it is exact.
            exactly = alert.at + alert.base * DAY // MICRO
            runs_out_at = (exactly + MINUTE // 2) // MINUTE * MINUTE
        return cls(
            kind=alert.kind, threshold=threshold, remaining=remaining, base=base, rest=rest,
            runs_out_at=runs_out_at,
        )  # fmt: skip


def banner_of(
    context: Present, record: TenantRecord, balance: str, said: Said, asked: str | None
) -> str:
    """A banner in a locale, or in the tenant's where none is asked for."""
    tag, language = told_in(record, asked)
    plan, of = sold(context, record, balance)
    words = BannerWords(tag, language, plan, of, record.zone)
    told = [words.notice(said)]
    if said.rest > 0:
        told.append(words.beside(said.rest))
    if said.kind in LOW:
        told.append(words.how())
    return " ".join(told)


@dataclass(frozen=True, slots=True)
class BannerWords:
    """How the figures of one balance are told."""

    tag: str
    language: Language
    plan: Plan
    balance: BalancePlan
    zone: Zone = UTC  #: of the instants that are told

    def notice(self, said: Said) -> str:
        """What is so."""
        remaining, base = said.remaining, said.base
        values = {
            "balance": self.balance.name,
            "remaining": self._amount(remaining, down=True),
            "base": self._amount(base),
        }
        if said.kind is AlertKind.RECOVERED:
            return self._recovered(said, values)
        if said.kind in OTHERS:
            return self._say(OTHERS[said.kind], **values)
        if said.kind is AlertKind.OVERDRAWN:
            return self._say("overdrawn", **values, owed=self._amount(-remaining))
        if said.runs_out_at is not None and remaining > 0:
            at = day_and_hour(said.runs_out_at, self.zone, self.tag, self.language)
            return self._say("running_out", **values, at=at)
        if remaining <= 0:
            return self._say("exhausted_of" if base > 0 else "exhausted", **values)
        if base <= 0:
            return self._say("low", **values)
        percent = self._number(remaining * ALL // base // HUNDREDTH * HUNDREDTH)
        name = "low_units" if self.balance.currency is None else "low_money"
        return self._say(name, **values, percent=percent)

    def _recovered(self, said: Said, values: dict[str, str]) -> str:
        """It is back there, or is not watched for that any more."""
        measure, value = said.threshold
        if measure is Measure.WHOLE:
            return self._say("paid_up", **values)
        if measure is Measure.DAYS:
            return self._say("running_out_over", **values)
        least = watch.level(said.threshold, said.base)
        if least is None or said.remaining >= least:
            return self._say("recovered", **values)
        told = self._amount(value)
        if measure is Measure.PERCENT:
            told = self._say("percent", percent=self._number(value))
        return self._say("unwatched", **values, threshold=told)

    def beside(self, rest: int) -> str:
        """What else there is: thresholds are of an allowance where there is one (AL-1)."""
        return self._say("beside", rest=self._amount(rest, down=True))

    def how(self) -> str:
        """What to do about it (AL-6)."""
        offer = self.balance.top_up
        if not self.plan.self_service or offer is None:
            contact = self.plan.support
            name = "ask_provider" if contact is None else "ask"
            return self._say(name, contact=contact or "")
        if offer.minimum:
            return self._say("top_up_minimum", minimum=self._money(offer.minimum))
        if self.balance.currency is not None:
            return self._say("top_up")
        return self._say(
            "top_up_pack",
            pack=self._number(offer.pack),
            price=self._money(charge(offer.price, MICRO)),
        )

    def _say(self, name: str, **values: str) -> str:
        return say(NOTICES[name], self.language, **values)

    def _amount(self, micros: int, *, down: bool = False) -> str:
        return shown(micros, self.balance.currency, self.tag, down)

    def _money(self, micros: int) -> str:
        return shown(micros, self.plan.currency, self.tag, False)

    def _number(self, micros: int) -> str:
        return shown(micros, None, self.tag, False)


#: What these measure is of all that is left.
OF_ALL = (Measure.WHOLE, Measure.DAYS)

#: Worst last; of thresholds the lower one is worse. What stops sends is worse than what will.
GRAVITY = (
    AlertKind.THRESHOLD, AlertKind.SUBSCRIPTION_ENDING, AlertKind.RUNNING_OUT,
    AlertKind.INVOICE_OVERDUE, AlertKind.EXHAUSTED, AlertKind.OVERDRAWN,
)  # fmt: skip


@strawberry.type
class TenantBanner(Owner):
    """The field of a tenant that says what a chat panel shows."""

    @computed(
        "What a chat panel shows: of the balances that are low, used up or overdrawn, the invoices "
        "that are overdue and the subscriptions that end the worst, as it is just now. One whose "
        "latest alert was acknowledged is passed over, a balance until it comes to its next "
        "threshold; null: there is nothing to show."
    )
    async def banner(self, info: Info[Context, None], locale: Locale = None) -> str | None:
        context = info.context
        context.require(SCOPE)
        if locale is not None:
            language_of(locale, OF_NOTICES)

        async def load(keys: list[int]) -> list[list[alerts.Alert]]:
            return await alerts.passed(context.door, keys)

        passed = await context.loader("passed", load).load(self.record.tenant_id)
        today = self.record.zone.date(context.now)
        ends: set[tuple[str, int]] = set()
        if any(alert.kind is AlertKind.SUBSCRIPTION_ENDING for alert in passed):
            ends = await _ends(context, self.record.tenant_id)
        worst: dict[str, alerts.Alert] = {}
        for alert in sorted(passed, key=_gravity):
            is_end = alert.kind is AlertKind.SUBSCRIPTION_ENDING
            # What has ended is no news, and what goes on does not end.
            if is_end and (alert.base < today or (alert.cause_id, alert.base) not in ends):
                continue
            worst[alert.balance or f"{alert.kind}/{alert.cause_id}"] = alert
        seen = [alert for alert in worst.values() if alert.acknowledged_at is None]
        if not seen:
            return None
        alert = max(seen, key=_gravity)
        if alert.balance is None:
            left = alert.remaining if alert.left is None else alert.left
            return banner_of_billing(self.record, replace(alert, remaining=left), locale, today)
        held = await held_now(context, self.record)
        remaining, base, rest = alert.remaining, alert.base, 0
        if alert.balance in held:
            _, now = held[alert.balance]
            remaining = now.whole if alert.measure in OF_ALL else now.remains
            base, rest = now.base, now.whole - remaining
        said = Said.of(alert, remaining, base, rest)
        if said.runs_out_at is not None and said.runs_out_at <= context.now:
            said = replace(said, runs_out_at=None)  # it lasted longer: what is left says more
        return banner_of(context, self.record, alert.balance, said, locale)


async def _ends(context: Context, tenant_id: int) -> set[tuple[str, int]]:
    """The keys of a tenant's subscriptions that end, with their last days."""

    async def load(keys: list[int]) -> list[list[Kept]]:
        return await subscriptions.of_tenants(context.door, keys)

    kept = await context.loader("subscriptions", load).load(tenant_id)
    coming = [(each.subscription.key, ending(each.subscription)) for each in kept]
    return {(key, each.last_day) for key, each in coming if each is not None}


def _gravity(alert: alerts.Alert) -> tuple[int, int]:
    """How bad it is; of one kind by how little of the base its threshold is."""
    if alert.measure in (Measure.DAYS, Measure.NONE):
        return GRAVITY.index(alert.kind), 0
    least = watch.level(Threshold(alert.measure, alert.threshold), alert.base)
    share = (least or 0) * ALL // alert.base if alert.base > 0 else 0
    return GRAVITY.index(alert.kind), -share
