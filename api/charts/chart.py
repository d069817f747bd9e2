"""What a chart shows: the answer to a question of usage, and what is said of it in words.

Owns how lines are named and told together, and which of them are parts of one whole. Where things
stand on the picture is `specs`' to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Final

from api.charts.channels import CHANNELS
from api.charts.look import HEIGHT, HEIGHTS, WIDTH, WIDTHS, line
from api.faults import Fault
from api.schema.amount import locale_of, shown
from api.usage import Answer, Question
from domain.chart_words import BUCKETS, DIMENSIONS, MEASURES, VALUES, WITHOUT, WORDS
from domain.money import MICRO
from domain.periods import Interval, Unit, Zone, date_of, moment
from domain.sentences import Language, say
from persistence.tenants import TenantRecord
from persistence.usage import Dimension, Measure

if TYPE_CHECKING:
    from babel import Locale

#: Values of a filter that are told by name.
NAMED_MAX: Final = 3

#: From here on a value is told in thousands, millions and so on where room is short.
SHORT_FROM: Final = 10_000


class Scale(Enum):
    """What the numbers of a chart are: one chart has one."""

    COUNT = "counts"
    MONEY = "money"
    TIME = "billed time"
    UNITS = "units"


#: Measures that add up to another one: told together they are parts of it.
PARTS: Final[dict[Measure, frozenset[Measure]]] = {
    Measure.MESSAGES_OUT: frozenset((
        Measure.MESSAGES_MARKETING, Measure.MESSAGES_UTILITY, Measure.MESSAGES_AUTHENTICATION,
        Measure.MESSAGES_SERVICE, Measure.MESSAGES_FREE,
    )),
    Measure.CONVERSATIONS: frozenset((
        Measure.CONVERSATIONS_SERVICE, Measure.CONVERSATIONS_BUSINESS,
    )),
    Measure.COST: frozenset((Measure.COST_INITIAL, Measure.COST_TOP_UP)),
    Measure.UNITS: frozenset((Measure.UNITS_INITIAL, Measure.UNITS_TOP_UP)),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartLine:
    """One line, or one part of each bar."""

    name: str
    values: tuple[int | None, ...]  #: in millionths, one a bucket; None: still to come

    @property
    def total(self) -> int:
        return sum(value for value in self.values if value is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Everything a picture is made of: the same chart gives the same picture."""

    tenant: str
    tag: str  #: the locale of its words and numbers
    zone: Zone
    bucket: Unit
    cuts: tuple[Interval, ...]
    now: int
    final: bool  #: whether the whole range is closed (FI-1)
    measures: tuple[Measure, ...]
    split: tuple[Dimension, ...]
    only: tuple[tuple[Dimension, tuple[str, ...]], ...]
    currency: str | None  #: of money
    lines: tuple[ChartLine, ...]  #: the largest first
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def scale(self) -> Scale:
        return scale_of(self.measures[0])

    @property
    def per(self) -> int:
        """How much of a value one of what is shown is, in millionths: minutes are of 60 seconds."""
        return 60 * MICRO if self.scale is Scale.TIME else MICRO

    @property
    def adds_up(self) -> bool:
        """Whether the lines are parts of one whole, so that their sum says something."""
        return len(self.measures) == 1 or self.whole is not None

    @property
    def whole(self) -> Measure | None:
        """The measure that the measures are parts of."""
        found = set(self.measures)
        for whole, parts in PARTS.items():
            if len(found) > 1 and found <= parts:
                return whole
        return None

    @property
    def stacked(self) -> bool:
        """Whether lines stand on top of one another: parts by category, none of them negative."""
        by_category = self.split == (Dimension.CATEGORY,) and len(self.measures) == 1
        parts = self.whole is not None and not self.split
        return (by_category or parts) and all(
            (value or 0) >= 0 for each in self.lines for value in each.values
        )

    @property
    def language(self) -> Language:
        return Language(self.locale.language)

    @property
    def locale(self) -> Locale:
        return locale_of(self.tag)

    def title(self) -> str:
        """What is counted, by what."""
        what = self._what()
        names = [say(DIMENSIONS[each.name], self.language) for each in self.split]
        if len(names) == 2:
            return self.say("by_two", what=what, first=names[0], second=names[1])
        return self.say("by", what=what, first=names[0]) if names else what

    def unit(self) -> str:
        """What stands above the scale; "" where the title says it."""
        if self.scale is Scale.MONEY:
            return self.currency or ""
        return self.say("minutes") if self.scale is Scale.TIME else ""

    def range(self) -> str:
        """The days or hours it is of, and how long a bucket is."""
        start, end = self.cuts[0][0], self.cuts[-1][1]
        whole = self.zone.day_start(start) == start and self.zone.day_start(end) == end
        told = self._days(start, end - 1) if whole else self._hours(start, end)
        return f"{told}, {say(BUCKETS[self.bucket], self.language)}"

    def narrowed(self) -> str:
        """What it is narrowed to; "": nothing."""
        told = []
        for dimension, values in self.only:
            names = list(dict.fromkeys(value_name(self, dimension, value) for value in values))
            if not names:
                word = say(DIMENSIONS[dimension.name], self.language)
                return self.say("nothing_matches", dimension=word)
            listed = ", ".join(names[:NAMED_MAX])
            if len(names) > NAMED_MAX:
                listed = self.say("further", values=listed, count=str(len(names) - NAMED_MAX))
            told.append(listed)
        return self.say("only", values=" · ".join(told)) if told else ""

    def as_of(self) -> str:
        """Of when its figures are."""
        return self.say("as_of", at=self._at(self.now), zone=self.zone.name_at(self.now))

    def status(self) -> str:
        """Whether they may still change (FI-1)."""
        return self.say("final" if self.final else "estimate")

    def say(self, word: str, /, **values: str) -> str:
        """A word of charts, as the chart's language has it."""
        return say(WORDS[word], self.language, **values)

    def amount(self, value: int) -> str:
        """A value with all the digits that are shown of it, and its currency."""
        if self.scale is Scale.MONEY and self.currency is not None:
            return shown(value, self.currency, self.tag, False)
        return self.plain(value, 6 if self.scale is Scale.UNITS else 2)

    def short(self, value: int, digits: int = 1, *, large: bool = False) -> str:
        """A value in few letters: 12.5K, 1,5 jt; below 10,000 so only beside larger ones."""
        from babel.numbers import format_compact_decimal

        if abs(value) < (1_000 if large else SHORT_FROM) * self.per:
            return self.plain(value)
        whole = _decimal(value, self.per)
        return str(format_compact_decimal(whole, locale=self.locale, fraction_digits=digits))

    def plain(self, value: int, digits: int = 2) -> str:
        """A value without its currency, with at most so many decimals."""
        from babel.numbers import format_decimal

        pattern = f"#,##0.{'#' * digits}"
        return str(format_decimal(_decimal(value, self.per), pattern, locale=self.locale))

    def local(self, at: int) -> datetime:
        """What clocks show at an instant in the tenant's zone."""
        return moment(at).replace(tzinfo=None) + timedelta(microseconds=self.zone.offset(at))

    def day(self, at: int) -> date:
        """The local day of an instant, which may not be what clocks show (TZ-3)."""
        return date_of(self.zone.date(at))

    def _what(self) -> str:
        whole = self.whole
        if whole is not None and PARTS[whole] == set(self.measures):
            return say(MEASURES[whole.name], self.language)
        if len(self.measures) > 2:
            return self.say("usage")
        return " · ".join(say(MEASURES[each.name], self.language) for each in self.measures)

    def _days(self, start: int, last: int) -> str:
        from babel.dates import format_date, format_interval

        first, final = self.day(start), self.day(last)
        if first == final:
            return str(format_date(first, "long", locale=self.locale))
        return str(format_interval(first, final, "yMMMd", locale=self.locale))

    def _hours(self, start: int, end: int) -> str:
        return f"{self._at(start)} – {self._at(end)}"

    def _at(self, at: int) -> str:
        from babel.dates import format_skeleton, format_time

        local = self.local(at)
        day = format_skeleton("yMMMd", local, locale=self.locale)
        return f"{day}, {format_time(local.time(), 'short', locale=self.locale)}"


def chart_of(
    question: Question,
    answer: Answer,
    tenant: TenantRecord,
    *,
    final: bool,
    locale: str = "",
    width: int = 0,
    height: int = 0,
) -> Chart:
    """The chart of an answer; `locale` "" is the tenant's, no width and height are a slide's."""
    check_size(width or WIDTH, height or HEIGHT)
    selection = question.selection
    check_scale(selection.measures)
    tag = locale or tenant.locale
    if locale_of(tag).language not in set(Language):
        tag = Language.ENGLISH.value
    chart = Chart(
        tenant=line(tenant.name) or tenant.key, tag=tag, zone=question.zone,
        bucket=question.bucket, cuts=tuple(answer.frame.cuts), now=answer.frame.now, final=final,
        measures=selection.measures, split=selection.group_by, only=selection.only,
        currency=tenant.currency if scale_of(selection.measures[0]) is Scale.MONEY else None,
        lines=(), width=width or WIDTH, height=height or HEIGHT,
    )  # fmt: skip
    lines = []
    for each in answer.lines:
        scale = 1 if each.measure.in_micros else MICRO
        values = tuple(
            None if value is None else value * scale for value in each.counted(answer.frame)
        )
        lines.append(ChartLine(name=_name(chart, each.measure, each.key), values=values))
    # Of equal totals the order of the answer stays.
    lines.sort(key=lambda found: -found.total)
    return replace(chart, lines=tuple(lines))


def check_size(width: int, height: int) -> None:
    """Raise BAD_USER_INPUT for a picture nobody could read."""
    for name, value, allowed in (("width", width, WIDTHS), ("height", height, HEIGHTS)):
        if value not in allowed:
            raise Fault(
                "BAD_USER_INPUT",
                f"`{name}` is {value}: write {allowed[0]} to {allowed[-1]} pixels",
            )


def check_scale(measures: Sequence[Measure]) -> None:
    """Raise BAD_USER_INPUT where numbers of two kinds would stand at one scale."""
    scales = list(dict.fromkeys(scale_of(measure) for measure in measures))
    if len(scales) > 1:
        named = " and ".join(scale.value for scale in scales)
        raise Fault(
            "BAD_USER_INPUT",
            f"`metrics` mixes {named}: a chart has one scale, ask for a chart of each",
        )


def scale_of(measure: Measure) -> Scale:
    """What the numbers of a measure are."""
    if measure.is_money:
        return Scale.MONEY
    if measure is Measure.SECONDS_BILLED:
        return Scale.TIME
    return Scale.UNITS if measure.in_micros else Scale.COUNT


def value_name(chart: Chart, dimension: Dimension, value: str) -> str:
    """A value of a dimension as people say it."""
    if value == "":
        return say(WITHOUT[dimension.name], chart.language)
    known = CHANNELS if dimension is Dimension.CHANNEL else VALUES.get(dimension.name, {})
    words = known.get(value)
    if words is not None:
        return say(words, chart.language)
    if dimension is Dimension.COUNTRY:
        return str(chart.locale.territories.get(value, value))
    if dimension is Dimension.NUMBER and value.lstrip("+").isdigit():
        return f"+{value.lstrip('+')}"
    return line(value) or value


def _name(chart: Chart, measure: Measure, key: tuple[str, ...]) -> str:
    """What a line is called: what it is of, and what is counted where that is not one thing."""
    names = [
        value_name(chart, dimension, value)
        for dimension, value in zip(chart.split, key, strict=True)
    ]
    if len(chart.measures) > 1 or not names:
        names.insert(0, say(MEASURES[measure.name], chart.language))
    return " · ".join(names)


def _decimal(value: int, per: int) -> Decimal:
    return Decimal(value) / per
