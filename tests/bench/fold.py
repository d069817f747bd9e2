"""How many facts a second the pure fold takes: `python -m tests.bench.fold [--full]`.

A busy day of several tenants on one core, figures in memory: messages in and out, templates,
visitors, texts, calls, mails and sessions, a thousand facts a commit. Beside it the same facts as
bytes, only decoded by msgspec, round after round; then where the fold's time goes.
"""

import argparse
import cProfile
import gc
import pstats
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import PurePath
from statistics import median
from typing import Any

import msgspec

from domain.facts import Fact, Status
from domain.fold import fold
from domain.lots import LotSource
from domain.state import State
from domain.terms import Terms
from domain.top_ups import top_up
from tests.bench.mixed import BATCH, START, events, facts_of, tenants

REFERENCE = "MSGSPEC DECODING"
FACTS = 60_000
#: Rounds go on for so long; there are three at least.
SECONDS = 20.0
TOP_UP = 10**15

#: Functions whose time is told apart from their module's.
SHARES = {"_usage": "rollup", "_book": "rollup", "_touch": "fold", "_late": "fold"}
MODULES = {
    "contacts": "meter", "state": "meter", "tariffs": "rate", "units": "rate", "counted": "rate",
    "books": "rate", "markets": "rate", "money": "rate", "lots": "draw", "purse": "draw",
    "standing": "ledger", "terms": "ledger",
}  # fmt: skip


class Event(msgspec.Struct):
    """An event as the edge decodes it, its data as well."""

    id: str
    source: str
    type: str
    time: str
    subject: str
    specversion: str
    data: dict[str, Any]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--full", action="store_true", help="more facts, more rounds")
    scale = 4 if arguments.parse_args().full else 1
    began = time.monotonic()
    own = tenants()
    bodies = list(events(FACTS * scale))
    commits = facts_of(bodies, own)
    folded, decoded = measure(own, commits, bodies, SECONDS * scale)
    for name, took in ((f"fold, {BATCH:,} a commit", folded), ("msgspec, bytes to data", decoded)):
        each = median(took) / len(bodies)
        print(f"{name:28}{1 / each:11,.0f} facts/s  {each * 1e6:.2f} us a fact, median of "
              f"{len(took)}, best {min(took) / len(bodies) * 1e6:.2f}")  # fmt: skip
    tell(run(own, commits))
    profile(own, commits)
    print(f"{'took':28}{time.monotonic() - began:11.1f} s")
    print(f"ratio {median(decoded) / median(folded):.3f} of {REFERENCE}")


def measure(
    own: Sequence[Terms], commits: Sequence[list[list[Fact]]], bodies: Sequence[bytes], limit: float
) -> tuple[list[float], list[float]]:
    """Seconds of each round of both, in turn, so that a slow machine is slow for both."""
    decode = msgspec.json.Decoder(Event).decode
    folded: list[float] = []
    decoded: list[float] = []
    gc.collect()
    gc.freeze()
    until = time.perf_counter() + limit
    while len(folded) < 3 or time.perf_counter() < until:
        began = time.perf_counter()
        run(own, commits)
        folded.append(time.perf_counter() - began)
        began = time.perf_counter()
        for body in bodies:
            decode(body)
        decoded.append(time.perf_counter() - began)
    gc.unfreeze()
    return folded, decoded


def run(own: Sequence[Terms], commits: Sequence[list[list[Fact]]]) -> Counter[str]:
    """Fold every commit into new figures; gives what became of the facts."""
    states = [state_of(terms) for terms in own]
    counts: Counter[Status] = Counter()
    charges = 0
    for commit in commits:
        for terms, state, facts in zip(own, states, commit, strict=True):
            if not facts:
                continue
            changes = fold(terms, state, facts, {}, facts[-1].at)
            for contact in changes.contacts:
                contact.dirty = False  # as recording leaves them
            counts.update(outcome.status for outcome in changes.outcomes)
            charges += sum(bool(outcome.parts) for outcome in changes.outcomes)
    return Counter({status.name.lower(): n for status, n in counts.items()} | {"charged": charges})


def state_of(terms: Terms) -> State:
    """Figures of a tenant that has topped up enough for the day, and is watched."""
    state = State(version=0, digest=b"", last_lot=0, next_due=None, unsettled_from=None)
    state.below = set()
    for balance_id in terms.balances:
        top_up(terms, state, balance_id, TOP_UP, LotSource.TOP_UP, START, None, START)
    return state


def tell(counts: Counter[str]) -> None:
    words = ", ".join(f"{n:,} {what}" for what, n in sorted(counts.items()))
    print(f"{'of one round':28}{words}")


def profile(own: Sequence[Terms], commits: Sequence[list[list[Fact]]]) -> None:
    """Where one more round spends its time, built-in functions with whoever calls them."""
    profiler = cProfile.Profile(builtins=False)
    profiler.runcall(run, own, commits)
    stats = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    groups: dict[str, float] = defaultdict(float)
    functions: dict[str, float] = defaultdict(float)
    for (file, _, name), (_, _, own_seconds, _, _) in stats.items():
        path = PurePath(file)
        if path.parent.name != "domain":
            continue
        group = SHARES.get(name) if path.stem == "fold" else MODULES.get(path.stem)
        groups[group or path.stem] += own_seconds
        functions[f"{path.stem}.{name}"] += own_seconds
    total = sum(groups.values())
    for title, table, most in (("by part", groups, 8), ("by function", functions, 10)):
        ranked = sorted(table.items(), key=lambda each: -each[1])[:most]
        words = ", ".join(f"{name} {seconds / total:.0%}" for name, seconds in ranked)
        print(f"{'profile ' + title:28}{words}")


if __name__ == "__main__":
    main()
