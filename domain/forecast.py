"""Forecasts: when a balance runs out, between which instants, and what it is enough for.

Owns the walk through what is left of dated lots, and what is said where there is no figure. The
rhythm they are used at, and all its statistics, are `rhythm`'s; what is left and what was used are
given. No forecast goes beyond the last lot, the next allowance, or `HORIZON_DAYS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from domain.books import Basis, Book, Row
from domain.draw import UNIT
from domain.money import MICRO, PICO
from domain.periods import DAY, Zone
from domain.plans import BalancePlan, Plan
from domain.rhythm import LEAST_DAYS, Rhythm, Usual

#: How far is looked ahead: thirteen weeks.
HORIZON_DAYS: Final = 91


class Outlook(Enum):
    """What a forecast says."""

    RUNS_OUT = "runs_out"
    LASTS_PERIOD = "lasts_period"  #: until it is granted anew
    LASTS = "lasts"  #: longer than is looked ahead
    USED_UP = "used_up"  #: nothing is left already
    TOO_NEW = "too_new"  #: it was used for fewer than `LEAST_DAYS` days
    UNUSED = "unused"  #: nothing took of it for a week


class Confidence(Enum):
    """How wide the range is beside the time that is left."""

    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"


class Part(NamedTuple):
    """A lot that may pay, in the order of drawing (BA-1)."""

    remaining: int  #: micros
    starts_at: int
    ends_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """When a balance runs out."""

    outlook: Outlook
    at: int
    days: int  #: whole local days of use it goes by
    runs_out_at: int | None = None  #: the beginning of a local hour, or the present
    earliest: int | None = None  #: one time in ten it is earlier; None: it lasts even then
    latest: int | None = None  #: one time in ten it is later; None: it lasts then
    until: int | None = None  #: how far was looked
    by_end: bool = False  #: it is over because its last lot ends, with something left
    reaches_at: int | None = None  #: when it comes down to the level that was asked for

    @property
    def days_left(self) -> int | None:
        """Micros of days until it runs out."""
        return None if self.runs_out_at is None else (self.runs_out_at - self.at) * MICRO // DAY

    @property
    def confidence(self) -> Confidence | None:
        """How far to trust it; None where no instant is said."""
        if self.runs_out_at is None:
            return None
        if self.earliest is None or self.latest is None or self.days < 2 * LEAST_DAYS:
            return Confidence.POOR
        width, left = self.latest - self.earliest, self.runs_out_at - self.at
        if 2 * width <= left + DAY:
            return Confidence.GOOD
        return Confidence.FAIR if 2 * width <= 3 * left + DAY else Confidence.POOR


def forecast(
    rhythm: Rhythm,
    lots: Sequence[Part],
    *,
    spare: int = 0,
    resets_at: int | None = None,
    level: int | None = None,
) -> Forecast:
    """Say when a balance runs out.

    `spare` is what may be used beyond its lots, less what is owed and held (micros); `resets_at` is
    when it is granted anew, None: never. `level` asks when what is available comes down to it.
    """
    usual, at, zone = Usual(rhythm), rhythm.at, rhythm.zone
    parts = _behind_what_is_owed(lots, spare, at)
    outlook = None
    if sum(part.remaining for part in parts if _active(part, at)) <= 0:
        outlook = Outlook.USED_UP
    elif usual.quiet:
        outlook = Outlook.UNUSED
    elif usual.days < LEAST_DAYS:
        outlook = Outlook.TOO_NEW
    horizon = zone.day_bounds(zone.date(at) + HORIZON_DAYS)[0]
    if outlook is not None:
        until = horizon if outlook is Outlook.UNUSED else None
        return Forecast(outlook=outlook, at=at, days=usual.days, until=until)
    until = horizon if resets_at is None else min(resets_at, horizon)
    cuts = _cuts(zone, at, until, parts)
    taken = usual.taken(cuts)
    upper, lower = (_at_bound(usual, cuts, taken, each) for each in (True, False))
    half, first, last = (_walk(usual, parts, cuts, path) for path in (taken, upper, lower))
    reached = None
    if level is not None:
        reached = _walk(usual, parts, cuts, taken, level / MICRO)
    if half is not None:
        outlook = Outlook.RUNS_OUT
    else:
        outlook = Outlook.LASTS if until == horizon else Outlook.LASTS_PERIOD
    return Forecast(
        outlook=outlook,
        at=at,
        days=usual.days,
        runs_out_at=_hour(zone, half, at),
        earliest=_hour(zone, first, at),
        latest=_hour(zone, last, at),
        until=until,
        by_end=half is not None and half.by_end,
        reaches_at=_hour(zone, reached, at),
    )


class _Over(NamedTuple):
    """When nothing is left, and whether that is because a lot ends."""

    at: int
    by_end: bool


def _hour(zone: Zone, over: _Over | None, at: int) -> int | None:
    """The local hour: a rhythm is no finer; never before the present."""
    return None if over is None else max(zone.hour_start(over.at), at)


def _cuts(zone: Zone, at: int, until: int, parts: Iterable[Part]) -> list[int]:
    """Instants between which a rhythm is walked: local days, and where lots begin or end."""
    cuts = {
        edge
        for part in parts
        for edge in (part.starts_at, part.ends_at)
        if edge is not None and at < edge < until
    }
    end = zone.day(at).end
    while end < until:
        cuts.add(end)
        end = zone.day(end).end
    return sorted((*cuts, until))


def _at_bound(
    usual: Usual, cuts: Sequence[int], taken: Sequence[float], upper: bool
) -> list[float]:
    """What is taken until each cut at a bound of the range; what was taken stays taken."""
    found: list[float] = []
    most = 0.0
    for cut, each in zip(cuts, taken, strict=True):
        most = max(most, each * usual.bound((cut - usual.at) / DAY, upper))
        found.append(most)
    return found


def _walk(
    usual: Usual,
    parts: Sequence[Part],
    cuts: Sequence[int],
    taken: Sequence[float],
    level: float = 0.0,
) -> _Over | None:
    """Draw from lots what is taken until each cut; when no more than `level` is left of them."""
    left = [part.remaining / MICRO for part in parts]
    before, sum_ = usual.at, 0.0
    for cut, total in zip(cuts, taken, strict=True):
        active = [place for place, part in enumerate(parts) if _active(part, before)]
        have, wanted = sum(left[place] for place in active) - level, total - sum_
        if have <= 0:
            return _Over(before, True)
        if wanted >= have:
            return _Over(usual.instant(before, cut, have / wanted), False)
        for place in active:
            share = min(left[place], wanted)
            left[place] -= share
            wanted -= share
        before, sum_ = cut, total
    return None


def _active(part: Part, at: int) -> bool:
    return part.starts_at <= at and (part.ends_at is None or at < part.ends_at)


def _behind_what_is_owed(lots: Sequence[Part], spare: int, at: int) -> list[Part]:
    """Lots without what is owed or held, and last what may be used beyond them."""
    found, owed = list[Part](), max(-spare, 0)
    for part in lots:
        paid = min(part.remaining, owed) if _active(part, at) else 0
        owed -= paid
        found.append(part._replace(remaining=part.remaining - paid))
    return [*found, Part(max(spare, 0) - owed, at, None)]


class Use(NamedTuple):
    """What was used of late: of one kind."""

    channel: str
    direction: str  #: `in` or `out`
    category: str
    country: str  #: of the contacts; "" where they have none
    market: str  #: today's for that country
    cost: int  #: micros of money
    units: int


@dataclass(frozen=True, slots=True)
class Enough:
    """What a balance is enough for."""

    count: int  #: whole ones
    unit: str  #: `message`, `minute`, `conversation` and so on
    use: Use | None = None  #: what it is used for most; None: it is counted in units itself


#: What one unit of a basis is called.
UNITS: Final[Mapping[Basis, str]] = {
    Basis.PER_MESSAGE: "message",
    Basis.PER_CONVERSATION: "conversation",
    Basis.PER_VISITOR: "visitor",
    Basis.PER_SEGMENT: "segment",
    Basis.PER_MINUTE: "minute",
    Basis.PER_UNIT: "unit",
}


def enough(
    plan: Plan, book: Book, balance: BalancePlan, available: int, uses: Iterable[Use], date: int
) -> Enough | None:
    """What is available in units; of money, in what took most of it of late, by today's price.

    Free counts, tiers and international rates are left out: it is an approximation.
    """
    left = max(available, 0)
    if balance.kind == "unit":
        return Enough(left // UNIT, balance.unit)
    for use in sorted(uses, key=lambda use: (-use.cost, use)):
        row = _priced(plan, book, balance.key, use, date)
        if use.cost > 0 and row is not None and row.price:
            count = left * (PICO // MICRO) // row.price
            return Enough(count, UNITS[row.basis], use)
    return None


def _priced(plan: Plan, book: Book, key: str, use: Use, date: int) -> Row | None:
    """The row by which a balance of money pays for such a use."""
    chain = plan.chain(use.channel, use.category, use.direction)
    for step in reversed(chain.steps if chain is not None else ()):
        if step.balance == key:
            return book.row(step.basis, use.channel, use.category, use.direction, use.market, date)
    return None
