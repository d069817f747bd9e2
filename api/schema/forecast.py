"""Forecasts of balances: when each runs out, and what it is enough for.

Owns their words and the sentence. What is forecast is `domain.forecast`'s, what is told as an alert
`domain.running_out`'s.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import Protocol

import strawberry

from api import forecasting
from api.context import Context
from api.forecasting import Told
from api.schema.amount import locale_of, shown
from api.schema.fields import computed
from api.schema.notice_words import Locale, day_alone, day_and_hour, told_in
from api.schema.scalars import BigInt, DateTime, Decimal
from domain import forecast
from domain.books import Book
from domain.figures import Figures
from domain.forecast import HORIZON_DAYS, Enough, Outlook, Use, enough
from domain.forecast_words import COUNTED, FORECASTS
from domain.money import MICRO, text
from domain.periods import HOUR, Zone, period
from domain.plans import BalancePlan, Plan
from domain.reading import Reading
from domain.rhythm import HISTORY_DAYS, LEAST_DAYS, QUIET_DAYS, SHAPE_DAYS
from domain.sentences import Language, say
from domain.thresholds import RUNNING_OUT_DAYS, days_of
from persistence import forecasts
from persistence.forecasts import History, Kind
from persistence.standing import standing_of
from persistence.tenants import TenantRecord


class Shown(Protocol):
    """A balance as it is shown."""

    figures: Figures
    balance: BalancePlan
    plan: Plan
    book: Book
    reading: Reading
    record: TenantRecord
    at: int


@strawberry.enum(description="What a forecast says.")
class ForecastOutlook(Enum):
    RUNS_OUT = strawberry.enum_value(Outlook.RUNS_OUT.value, description="It runs out.")
    LASTS_PERIOD = strawberry.enum_value(
        Outlook.LASTS_PERIOD.value,
        description="It lasts until the next period, which grants it anew.",
    )
    LASTS = strawberry.enum_value(
        Outlook.LASTS.value, description=f"It lasts longer than the {HORIZON_DAYS} days ahead."
    )
    USED_UP = strawberry.enum_value(Outlook.USED_UP.value, description="Nothing is left of it.")
    TOO_NEW = strawberry.enum_value(
        Outlook.TOO_NEW.value,
        description=f"It was used for fewer than {LEAST_DAYS} whole days: there is no figure.",
    )
    UNUSED = strawberry.enum_value(
        Outlook.UNUSED.value,
        description=f"Nothing was used of it for {QUIET_DAYS} days: there is no figure.",
    )


@strawberry.enum(description="How far to trust a forecast.")
class ForecastConfidence(Enum):
    GOOD = strawberry.enum_value(
        forecast.Confidence.GOOD.value,
        description="The range is at most half as wide as what is left is long.",
    )
    FAIR = strawberry.enum_value(
        forecast.Confidence.FAIR.value, description="At most one and a half times."
    )
    POOR = strawberry.enum_value(
        forecast.Confidence.POOR.value,
        description="Wider, or open, or by less than two weeks of use.",
    )


@strawberry.type(description="What a balance is enough for, about.")
class ForecastEnough:
    count: BigInt = strawberry.field(description="How many, whole ones.")
    unit: str = strawberry.field(
        description="Of what: `message`, `conversation`, `visitor`, `minute` and so on."
    )
    category: str | None = strawberry.field(
        description="What took most of the balance's money of late; null: it is counted in units."
    )
    market: str | None = strawberry.field(
        description="The market whose price in force it is told by; null: it is counted in units."
    )

    @classmethod
    def of(cls, found: Enough) -> ForecastEnough:
        use = found.use
        return cls(
            count=BigInt(found.count),
            unit=found.unit,
            category=None if use is None else use.category,
            market=None if use is None else use.market,
        )


@strawberry.type(
    description="When a balance runs out, by the rhythm of the last "
    f"{HISTORY_DAYS // 7} weeks: a guess, to the hour. It knows of lots that end, of the next "
    "period's allowance and of open holds, and of nothing that never happened."
)
class Forecast:
    found: strawberry.Private[forecast.Forecast]
    enough: strawberry.Private[Enough | None]
    balance: strawberry.Private[Shown]
    days: strawberry.Private[int]

    @computed("What it says; where there is no figure, why.")
    def outlook(self) -> ForecastOutlook:
        return ForecastOutlook(self.found.outlook.value)

    @computed(
        "When a send could no longer be paid, as likely as not earlier or later; null: see "
        "`outlook`."
    )
    def runs_out_at(self) -> DateTime | None:
        return _time(self.found.runs_out_at)

    @computed("One time in ten it runs out before; null: it lasts even then.")
    def earliest(self) -> DateTime | None:
        return _time(self.found.earliest)

    @computed("One time in ten it runs out after; null: it may last beyond `until`.")
    def latest(self) -> DateTime | None:
        return _time(self.found.latest)

    @computed("How far was looked ahead: the next allowance, or the horizon; null: no figure.")
    def until(self) -> DateTime | None:
        return _time(self.found.until)

    @computed("Days until `runsOutAt`.")
    def days_left(self) -> Decimal | None:
        left = self.found.days_left
        return None if left is None else Decimal(text(left))

    @computed("Whether it is over because its last lot ends, with something left of it.")
    def ends_with_lot(self) -> bool:
        return self.found.by_end

    @computed("How far to trust it; null: no instant is said.")
    def confidence(self) -> ForecastConfidence | None:
        found = self.found.confidence
        return None if found is None else ForecastConfidence(found.value)

    @computed("By how many whole local days of use.")
    def basis_days(self) -> int:
        return self.found.days

    @computed("When its refill policy would charge instead; null: it has none that is on.")
    def refills_at(self) -> DateTime | None:
        return _time(self.found.reaches_at)

    @computed("Within how many days it is told to run out, as `RUNNING_OUT`; 0: never.")
    def running_out_days(self) -> int:
        return self.days

    @computed(
        "What is available is enough for: units, or of money what took most of it in the last "
        f"{SHAPE_DAYS} days, by the price in force. Free counts and tiers are left out; null: "
        "nothing was charged of late."
    )
    def enough_for(self) -> ForecastEnough | None:
        return None if self.enough is None else ForecastEnough.of(self.enough)

    @computed("All of it as a sentence, in `en`, `id` or `es`.")
    def sentence(self, locale: Locale = None) -> str:
        tag, language = told_in(self.balance.record, locale)
        return _Sentence(self, tag, language).told()


def _time(at: int | None) -> DateTime | None:
    return None if at is None else DateTime(at)


class _Sentence:
    """A forecast in one locale."""

    def __init__(self, of: Forecast, tag: str, language: Language) -> None:
        self._of = of
        self._found = of.found
        self._tag = tag
        self._language = language

    def told(self) -> str:
        found = self._found
        name = found.outlook.value
        at = found.until if found.runs_out_at is None else found.runs_out_at
        if found.outlook is Outlook.RUNS_OUT and found.by_end:
            name = "ends"
        said = "" if at is None else self._at(at)
        if at is not None and found.outlook in (Outlook.LASTS_PERIOD, Outlook.LASTS):
            said = day_alone(at, self._zone, self._tag, self._language)
        return self._say(
            name,
            balance=self._of.balance.balance.name,
            at=said,
            range=self._range(),
            more=self._enough() + self._refills(),
            days=self._number(found.days),
            least=self._number(QUIET_DAYS if found.outlook is Outlook.UNUSED else LEAST_DAYS),
        )

    def _range(self) -> str:
        first, last = self._found.earliest, self._found.latest
        if first is None or self._found.by_end:
            return ""
        if last is None:
            return self._say("not_before", earliest=self._at(first))
        return self._say("between", earliest=self._at(first), latest=self._at(last))

    def _refills(self) -> str:
        at = self._found.reaches_at
        return "" if at is None else self._say("refills", at=self._at(at))

    def _enough(self) -> str:
        found = self._of.enough
        if found is None or self._found.outlook is Outlook.USED_UP:
            return ""
        one, several = COUNTED.get(found.unit) or ({}, {})
        words = one if found.count == 1 else several
        units = words.get(self._language.value, found.unit)
        what = units
        if found.use is not None:
            place = _place(found.use, self._tag)
            name = "what" if place is None else "what_to"
            category = found.use.category.replace("_", " ")
            what = self._say(name, category=category, units=units, place=place or "").strip()
        return self._say("enough", count=self._number(found.count), what=what)

    @property
    def _zone(self) -> Zone:
        return self._of.balance.record.zone

    def _at(self, at: int) -> str:
        return day_and_hour(at, self._zone, self._tag, self._language, self._found.at)

    def _number(self, number: int) -> str:
        return shown(number * MICRO, None, self._tag, False)

    def _say(self, name: str, **values: str) -> str:
        return say(FORECASTS[name], self._language, **values)


def _place(use: Use, tag: str) -> str | None:
    """The country that was sent to, as people call it; None where none is known."""
    if use.direction != "out" or not use.country:
        return None
    named: str | None = locale_of(tag).territories.get(use.country)
    return named or use.country


async def forecast_of(context: Context, of: Shown) -> Forecast | None:
    """The forecast of a balance; None where it is shown as of another time than now."""
    if abs(context.now - of.at) > HOUR:
        return None
    record = of.record
    zone = record.zone

    async def load(keys: list[forecasts.Asked]) -> list[History]:
        return await forecasts.histories(context.door, keys)

    asked = forecasts.Asked.of(record.tenant_id, zone, of.at)
    history = await context.loader("histories", load).load(asked)
    pot = of.reading.pots.get(of.balance.key)
    standing = standing_of(context.catalogue, record)
    own = record.own_refills.get(of.balance.key)
    found = forecasting.predict(
        Told(
            balance=of.balance,
            figures=of.figures,
            lots=pot.lots if pot is not None else (),
            zone=zone,
            reading=of.reading,
            next_allowance=standing.allowance(of.balance.key, period(zone, of.reading.period.end)),
            policy=None if own is None else own.policy,
        ),
        history,
    )
    date = zone.date(of.at)
    uses = [_use(of, kind, date) for kind in history.kinds]
    days = days_of(record.own_thresholds.get(of.balance.key))
    return Forecast(
        found=found,
        enough=enough(of.plan, of.book, of.balance, of.figures.available, uses, date),
        balance=of,
        days=RUNNING_OUT_DAYS if days is None else days,
    )


@lru_cache(maxsize=512)
def _calling_code(country: str) -> str:
    """The calling code of a country; "-", which is no telephone number, where there is none."""
    from phonenumbers import country_code_for_region

    return str(country_code_for_region(country) or "-")


def _use(of: Shown, kind: Kind, date: int) -> Use:
    """A kind of use with its country's market of today."""
    market = kind.country
    if market not in of.book.markets.codes:
        market = of.book.market(kind.channel, _calling_code(kind.country), date)
    return Use(
        kind.channel, kind.direction, kind.category, kind.country, market, kind.cost, kind.units
    )
