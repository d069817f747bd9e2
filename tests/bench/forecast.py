"""How far forecasts are off: `python -m tests.bench.forecast [--full]`.

Rhythms are replayed: generated ones, each with its own week, noise and turns, and, where the sample
of real traffic is there, its businesses alone and ten at a time. At many instants of each what is
left is set to what lasts for some days, the forecast sees what came before, and what came behind
says when it ran out. Beside it stands what everybody computes: what is left by the mean daily use
of the last seven days. Who runs out later than `AHEAD_DAYS` counts as running out then.
"""

import argparse
import gzip
import math
import random
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from domain.forecast import Outlook, Part, forecast
from domain.money import MICRO
from domain.periods import DAY, HOUR, Zone, buckets, date_number, zone
from domain.rhythm import HISTORY_DAYS, SHAPE_DAYS, Rhythm
from tests.oracle.college import FILE

REFERENCE = "NAIVE"
AHEAD_DAYS = 28
#: What is left, in days at the mean of the four weeks before.
LEFT_DAYS = (0.6, 1.7, 3.5, 7.0, 12.0)
#: Days of each generated rhythm; hours between two instants it is cut at.
DAYS = 170
STEP_HOURS = 89
FULL_STEP_HOURS = 23
#: Days of history a cut has at least.
BEFORE_DAYS = 8
JAKARTA = zone("Asia/Jakarta")
LONDON = zone("Europe/London")
SINCE = 20_500 * DAY  # 2026-02-16, a Monday
#: Messages in the eight weeks before that make a business of the sample worth forecasting.
MESSAGES_LEAST = 60


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of one rhythm, by local hour."""

    name: str
    zone: Zone
    hours: tuple[tuple[int, int], ...]  #: beginnings of local hours, and ends
    used: tuple[int, ...]  #: units in each


@dataclass(slots=True)
class Score:
    """What forecasts of a kind of rhythm were off by, in hours."""

    cuts: int = 0
    own: float = 0.0
    naive: float = 0.0
    ranged: int = 0
    inside: int = 0
    seconds: float = 0.0

    def add(self, other: "Score") -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--full", action="store_true", help="cut thrice as often")
    step = FULL_STEP_HOURS if arguments.parse_args().full else STEP_HOURS
    began = time.monotonic()
    print(f"{'':24}{'cuts':>7}{'error h':>10}{'NAIVE h':>10}{'ratio':>8}{'in range':>10}")
    ratios: dict[str, float] = {}
    for title, replays in (("generated", list(generated())), ("real", list(real()))):
        if not replays:
            print(f"{title:24}skipped: {FILE} is not there")
            continue
        of_all = Score()
        scores: dict[str, Score] = {}
        for replay in replays:
            scores.setdefault(replay.name, Score()).add(replayed(replay, step))
        for name, score in scores.items():
            line(name, score)
            ratios[name] = score.own / score.naive
            of_all.add(score)
        line(f"all {title}", of_all)
        print(f"{'':24}{of_all.seconds / of_all.cuts * 1e3:.2f} ms a forecast")
    print(f"{'took':24}{time.monotonic() - began:7.1f} s")
    worst = max(ratios, key=lambda name: ratios[name])
    print(f"{'the worst':24}{worst}")
    print(f"ratio {ratios[worst]:.3f} of {REFERENCE}")


def line(name: str, score: Score) -> None:
    print(
        f"{name:24}{score.cuts:7,}{score.own / score.cuts:10.1f}{score.naive / score.cuts:10.1f}"
        f"{score.own / score.naive:8.3f}{score.inside / max(score.ranged, 1):10.1%}"
    )


def replayed(replay: Replay, step: int) -> Score:
    """Forecast at many instants of a rhythm, and compare with what came."""
    score = Score()
    sums = list(accumulate(replay.used, initial=0))
    starts = [start for start, _ in replay.hours]
    days: dict[int, int] = {}
    for (start, _), used in zip(replay.hours, replay.used, strict=True):
        day = replay.zone.day_start(start)
        days[day] = days.get(day, 0) + used * MICRO
    first = next((n for n, used in enumerate(replay.used) if used), len(starts))
    last = bisect_left(starts, starts[-1] - AHEAD_DAYS * DAY)
    for cut in range(first + BEFORE_DAYS * 24, last, step):
        at = starts[cut]
        month = max(first, cut - 28 * 24)
        daily = (sums[cut] - sums[month]) * 24 / (cut - month)
        if daily < 1 or sums[cut] - sums[max(cut - 1344, 0)] < MESSAGES_LEAST:
            continue
        rhythm = seen(replay, days, starts, cut)
        week = (sums[cut] - sums[max(first, cut - 168)]) * 24 / min(168, cut - first)
        for left_days in LEFT_DAYS:
            left = max(round(daily * left_days), 1)
            limit = at + AHEAD_DAYS * DAY
            true = min(ran_out(replay, sums, cut, left), limit)
            began = time.perf_counter()
            own = forecast(rhythm, [Part(left * MICRO, 0, None)])
            score.seconds += time.perf_counter() - began
            said = limit if own.runs_out_at is None else min(own.runs_out_at, limit)
            naive = min(at + int(left / week * DAY), limit) if week else limit
            score.cuts += 1
            score.own += abs(said - true) / HOUR
            score.naive += abs(naive - true) / HOUR
            if own.outlook in (Outlook.RUNS_OUT, Outlook.LASTS):
                score.ranged += 1
                early = limit if own.earliest is None else min(own.earliest, limit)
                late = limit if own.latest is None else min(own.latest, limit)
                # Forecasts are to the hour.
                score.inside += early <= true and (true < late + HOUR or late == limit)
    return score


def seen(replay: Replay, days: Mapping[int, int], starts: Sequence[int], cut: int) -> Rhythm:
    """What is known of a rhythm at the beginning of an hour."""
    at = starts[cut]
    today = replay.zone.day_start(at)
    known = {day: used for day, used in days.items() if at - (HISTORY_DAYS + 2) * DAY < day < today}
    first = bisect_left(starts, at - SHAPE_DAYS * DAY)
    known[today] = MICRO * sum(replay.used[bisect_left(starts, today) : cut])
    hours = dict(zip(starts[first:cut], replay.used[first:cut], strict=True))
    return Rhythm(zone=replay.zone, at=at, days=known, hours=hours)


def ran_out(replay: Replay, sums: Sequence[int], cut: int, left: int) -> int:
    """When what was left at a cut was used, within an hour evenly; or long after all."""
    place = bisect_left(sums, sums[cut] + left, lo=cut + 1)
    if place > len(replay.used):
        return replay.hours[-1][1] + AHEAD_DAYS * DAY
    start, end = replay.hours[place - 1]
    share = (sums[cut] + left - sums[place - 1]) / replay.used[place - 1]
    return start + int((end - start) * share)


Daily = Callable[[random.Random, int], float]

OFFICE = tuple(0.05 if h < 7 or h > 20 else 1.0 if 8 <= h <= 17 else 0.4 for h in range(24))
EVENING = tuple(0.1 if h < 8 else 0.5 if h < 16 else 1.2 if h < 23 else 0.3 for h in range(24))
EVEN = (1.0,) * 24
WORKING = (1.1, 1.2, 1.15, 1.1, 1.0, 0.3, 0.15)
WEEKEND = (0.7, 0.7, 0.8, 0.9, 1.3, 1.6, 1.4)
ALIKE = (1.0,) * 7


def generated() -> Iterator[Replay]:
    """Rhythms as tenants have them: two of each, of another size."""
    kinds: dict[str, tuple[Sequence[float], Sequence[float], float, Daily]] = {
        "flat": (ALIKE, EVEN, 0.08, lambda picks, day: 1.0),
        "office": (WORKING, OFFICE, 0.15, lambda picks, day: 1.0),
        "shop": (WEEKEND, EVENING, 0.25, lambda picks, day: 1.0),
        "growing": (WORKING, OFFICE, 0.2, lambda picks, day: 1.01**day),
        "shrinking": (WORKING, EVENING, 0.2, lambda picks, day: 0.985**day),
        "payday": (WEEKEND, EVENING, 0.2, lambda picks, day: 1.8 if day % 30 // 3 == 8 else 1.0),
        "campaigns": (
            WORKING, OFFICE, 0.2, lambda picks, day: 6.0 if picks.random() < 0.08 else 0.6,
        ),
        "newsletter": (
            (0.4, 6.0, 0.4, 0.4, 0.4, 0.2, 0.2), OFFICE, 0.2, lambda picks, day: 1.0,
        ),
        "a step": (WORKING, OFFICE, 0.2, lambda picks, day: 2.2 if day > 85 else 1.0),
        "wild": (ALIKE, EVENING, 0.9, lambda picks, day: 1.0),
    }  # fmt: skip
    for place, (name, (week, day, noise, turn)) in enumerate(kinds.items()):
        for size, where in ((40, LONDON), (900, JAKARTA)):
            picks = random.Random(f"forecast/{name}/{size}")
            yield made(name, where, week, day, noise, turn, size, picks, place)


def made(
    name: str, where: Zone, week: Sequence[float], day: Sequence[float], noise: float, turn: Daily,
    size: int, picks: random.Random, since: int,
) -> Replay:  # fmt: skip
    first = where.day_start(SINCE + since * DAY)
    hours = buckets(where, "hour", first, where.day_bounds(where.date(first) + DAYS)[0])
    used: list[int] = []
    today, level, drift = 0, 0.0, 0.0
    for start, end in hours:
        date = where.date(start)
        if date != today:
            today = date
            drift = 0.7 * drift + picks.gauss(0, noise)
            number = date - where.date(first)
            level = size * math.exp(drift) * turn(picks, number) * week[(date + 3) % 7]
        hour = (start + where.offset(start)) % DAY // HOUR
        mean = level * day[hour] / sum(day) * (end - start) / HOUR
        used.append(_count(picks, mean))
    return Replay(name, where, tuple(hours), tuple(used))


def _count(picks: random.Random, mean: float) -> int:
    """How many come where `mean` come on average."""
    if mean > 30:
        return max(round(picks.gauss(mean, mean**0.5)), 0)
    count, product, bound = 0, picks.random(), math.exp(-mean)
    while product > bound:
        count, product = count + 1, product * picks.random()
    return count


def real() -> Iterator[Replay]:
    """The messages that businesses of the sample sent: each alone, ten together, and all."""
    if not FILE.exists():
        return
    sent: dict[int, list[int]] = {}
    with gzip.open(FILE, "rt") as lines:
        next(lines)
        for text in lines:
            source, _, seconds = map(int, text.split())
            sent.setdefault(source, []).append(seconds)
    begins = min(times[0] for times in sent.values()) // 86_400 - date_number_of_april()
    most = sorted(sent, key=lambda each: (-len(sent[each]), each))[:100]
    groups = [("a business", [each]) for each in most[:40]]
    groups += [("ten businesses", most[n : n + 10]) for n in range(0, 100, 10)]
    groups.append(("all businesses", most))
    end = max(times[-1] for times in sent.values())
    first = JAKARTA.day_start(date_number_of_april() * DAY)
    until = (end - begins * 86_400) * 1_000_000
    hours = buckets(JAKARTA, "hour", first, until)
    starts = [start for start, _ in hours]
    for name, members in groups:
        used = [0] * len(hours)
        for each in members:
            for seconds in sent[each]:
                at = (seconds - begins * 86_400) * 1_000_000
                place = bisect_left(starts, at + 1) - 1
                used[place] += 1
        yield Replay(name, JAKARTA, tuple(hours), tuple(used))


def date_number_of_april() -> int:
    """The day on which the sample begins, by the notes that come with it."""
    from datetime import date

    return date_number(date(2026, 4, 15))


if __name__ == "__main__":
    main()
