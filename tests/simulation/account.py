"""The model's account: the lots of one tenant, what is taken from them, and what is shown of them.

Owns section 6 of the rule book: which lot pays, what is owed and paid off, how top-ups live, what a
plan change adds, and the line of each balance and period. Imports nothing of the product.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tests.simulation.rulebook import UNIT, Calendar, Json, Rulebook, instant, micros

Leg = list[Any]  #: [lot, amount]

LINE = ("opening", "granted", "adjusted", "used", "lapsed", "remaining")


def drop_empty(days: Json) -> Json:
    """Without the days on which nothing came of it, and lots without a day."""
    kept = {
        name: {day: sums for day, sums in own.items() if any(sums)} for name, own in days.items()
    }
    return {name: own for name, own in kept.items() if own}


@dataclass
class Lot:
    """A part of a balance; an overdraft's amount is 0, so that what it owes is negative."""

    name: str  #: allowance/2026-10, overdraft, overdraft/2026-10, action/KEY
    kind: str  #: allowance, top_up, promotion, adjustment, overdraft
    amount: int
    starts: int
    ends: int | None
    created: int
    number: int
    moves: list[tuple[int, int, int]] = field(default_factory=list)  #: when, used, moved
    used: int = 0
    moved: int = 0  #: taken without being used: paid off, withdrawn, refunded; negative: received

    @property
    def left(self) -> int:
        return self.amount - self.used - self.moved

    def active(self, at: int) -> bool:
        return self.starts <= at and not self.over(at)

    def over(self, at: int) -> bool:
        return self.ends is not None and self.ends <= at

    def take(self, at: int, *, used: int = 0, moved: int = 0) -> None:
        self.used += used
        self.moved += moved
        self.moves.append((at, used, moved))

    def place(self) -> tuple[Any, ...]:
        """BA-1: allowances first, then by expiry (none last), creation, number."""
        later = self.kind != "allowance"
        return later, self.ends is None, self.ends or 0, self.created, self.number


class Account:
    """A tenant's balances. `answers`: keys of actions known to be refused; None: it decides."""

    def __init__(self, rules: Rulebook, setup: Json, answers: Collection[str] | None) -> None:
        self.rules = rules
        self.zone = Calendar(setup["zone"])
        self.calendars = {each["address"]: Calendar(each["zone"]) for each in setup["numbers"]}
        self.plans: list[tuple[int, str, bool]] = [(-(2**62), setup["plan"], True)]
        self.documents = {each["balance"]: each for each in rules.plans[setup["plan"]]["balances"]}
        self.lots: dict[str, list[Lot]] = {key: [] for key in self.documents}
        self.answers = answers
        self.acted: set[str] = set()
        self.refused: list[str] = []
        self.returned: Counter[str] = Counter()
        self.own: dict[str, list[tuple[str, int | None]]] = {key: [] for key in self.documents}
        #: By numbers of overdraft and payer: what was paid off, the latest last.
        self.paid_off: dict[tuple[int, int], int] = {}
        self.clock: int | None = None
        self.closed_until = -(2**62)
        self.numbers = count()

    # Time

    def advance(self, until: int) -> None:
        """BA-5: at a period's first instant, before anything else: lapse, grant, pay off."""
        while self.clock is not None and self.clock < until:
            edges = {self.zone.bounds(self.zone.month(self.clock))[1], until}
            edges |= {lot.starts for lots in self.lots.values() for lot in lots}
            self.clock = min(edge for edge in edges if edge > self.clock)
            self.pay_off(self.clock)
        self.clock = until

    def plan(self, at: int) -> tuple[str, bool]:
        """The plan in force, and whether it grants."""
        return next((plan, grants) for since, plan, grants in reversed(self.plans) if since <= at)

    def allowance(self, plan: str, grants: bool, key: str, month: str) -> int:
        """BA-12: the tenant's own, from some month on, or its plan's."""
        amount, latest = None, ""
        for since, own in self.own[key]:
            if latest <= since <= month:
                amount, latest = own, since
        if amount is None:
            amount = micros(self.rules.balance(plan, key)["allowance"])
        return amount if grants else 0

    # Lots

    def new_lot(self, key: str, name: str, kind: str, amount: int, **when: Any) -> Lot:
        lot = Lot(name, kind, amount, number=next(self.numbers), **when)
        self.lots[key].append(lot)
        self.lots[key].sort(key=Lot.place)
        return lot

    def paying(self, key: str, at: int) -> list[Lot]:
        """The lots that can pay at an instant, in order; its period's allowance is granted."""
        month = self.zone.month(at)
        name, (start, end) = f"allowance/{month}", self.zone.bounds(month)
        if all(lot.name != name for lot in self.lots[key]):
            amount = self.allowance(*self.plan(start), key, month)
            if amount:  # BA-3
                self.new_lot(key, name, "allowance", amount, starts=start, ends=end, created=start)
        lots = self.lots[key]
        return [lot for lot in lots if lot.kind != "overdraft" and lot.active(at) and lot.left > 0]

    def overdraft(self, key: str, at: int) -> Lot:
        """BA-11: what units owe ends with its period, what money owes lasts."""
        name, starts, ends = "overdraft", 0, None
        if not self.is_money(key):
            month = self.zone.month(at)
            name, (starts, ends) = f"overdraft/{month}", self.zone.bounds(month)
        for lot in self.lots[key]:
            if lot.name == name:
                return lot
        return self.new_lot(key, name, "overdraft", 0, starts=starts, ends=ends, created=at)

    def is_money(self, key: str) -> bool:
        return bool(self.documents[key]["kind"] == "money")

    def is_initial(self, key: str, name: str) -> bool:
        """Whether a lot is an allowance (FI-5); a change of plan may have brought it."""
        return any(lot.kind == "allowance" for lot in self.lots[key] if lot.name == name)

    def whole_units(self, key: str, at: int) -> int:
        """Whole units that a balance can pay (BA-11)."""
        held = sum(lot.left for lot in self.paying(key, at))
        return held - held % UNIT

    def draw(self, key: str, at: int, amount: int) -> list[Leg]:
        """BA-1, BA-11: take from the lots in order; what none held is owed."""
        legs: list[Leg] = []
        for lot in self.paying(key, at):
            taken = min(lot.left, amount)
            if taken:
                lot.take(at, used=taken)
                legs.append([lot.name, taken])
            amount -= taken
        if amount:
            debt = self.overdraft(key, at)
            debt.take(at, used=amount)
            legs.append([debt.name, amount])
        return legs

    def pay_off(self, at: int) -> None:
        """BA-5: what a balance holds fills what it owes; promotions only where the plan says so."""
        for key, lots in self.lots.items():
            owing = [lot for lot in lots if lot.left < 0 and lot.active(at)]
            for lot in self.paying(key, at) if owing else ():
                if lot.kind == "promotion" and not self.documents[key].get("promotion_pays_off"):
                    continue
                for debt in owing:
                    amount = min(lot.left, -debt.left)
                    if amount > 0:
                        lot.take(at, moved=amount)
                        debt.take(at, moved=-amount)
                        self.note(debt, lot, amount)

    def note(self, debt: Lot, payer: Lot, amount: int) -> None:
        """Remember who paid off what, or had it given back."""
        place = debt.number, payer.number
        self.paid_off[place] = self.paid_off.pop(place, 0) + amount

    # What people do

    def act(self, action: Json, at: int) -> None:
        """Do what an operator did, at its place among the facts."""
        if action["key"] in self.acted:  # BA-7
            return
        self.acted.add(action["key"])
        kind, key = action["action"], action.get("balance", "")
        if kind == "publish":
            return
        name, accepted = f"action/{action['key']}", instant(action["time"])
        if kind == "zone_change":
            self.calendars.get(action.get("number"), self.zone).change(action["zone"], at)
        elif kind == "allowance":
            self.allow(action, name, at)
        elif kind == "close":
            self.closed_until = self.zone.bounds(action["month"])[1]
        elif kind == "plan_change":
            self.change_plan(action["plan"], name, at)
        elif kind in ("refund", "take_back"):
            self.give_back(action, at)
        elif kind == "adjustment" and action["amount"].startswith("-"):
            self.withdraw(key, micros(action["amount"][1:]), at)
        else:
            source = action.get("source", kind)
            starts = instant(action.get("starts", action["time"]))
            ends = instant(action["expires"]) if "expires" in action else self.carried(key, starts)
            amount = micros(action["amount"])
            self.new_lot(key, name, source, amount, starts=starts, ends=ends, created=accepted)

    def carried(self, key: str, starts: int) -> int | None:
        """BA-4: how long what was bought lives."""
        carry = self.documents[key]["carry"]
        if carry == "always":
            return None
        end = starts
        for _ in range(1 if carry == "none" else 1 + carry["periods"]):
            end = self.zone.bounds(self.zone.month(end))[1]
        return end

    def withdraw(self, key: str, amount: int, at: int) -> None:
        """Take from lots as a charge would, without using it; the rest is owed."""
        for lot in self.paying(key, at):
            taken = min(lot.left, amount)
            lot.take(at, moved=taken)
            amount -= taken
        if amount:
            self.overdraft(key, at).take(at, moved=amount)

    def give_back(self, action: Json, at: int) -> None:
        """BA-8: at most what is left of a top-up's lot; a payment taken back removes all of it.

        What was answered stands: where late facts have left less of the lot, the rest is owed.
        """
        name = f"action/{action['top_up']}"
        places = ((key, lot) for key, lots in self.lots.items() for lot in lots)
        key, lot = next(place for place in places if place[1].name == name)
        left = 0 if lot.over(at) else lot.left
        if action["action"] == "refund":
            amount = micros(action["amount"])
            known = self.answers is not None
            if action["key"] in self.answers if known else amount > left:  # type: ignore[operator]
                self.refused.append(action["key"])
                return
            self.returned[name] += amount
            lot.take(at, moved=min(amount, left))
            owed = amount - left
        else:
            owed = lot.used + lot.moved - self.returned[name]
            lot.take(at, moved=lot.left)
        if owed > 0:
            self.overdraft(key, at).take(at, moved=owed)

    def change_plan(self, to: str | None, name: str, at: int) -> None:
        """BA-12: more of something and less of nothing holds at once, all else from next period."""
        end = self.zone.bounds(self.zone.month(at))[1]
        present = self.plan(at)
        after = (present[0], False) if to is None else (to, True)
        month = self.zone.month(at)
        before = {key: self.allowance(*present, key, month) for key in self.lots}
        target = {key: self.allowance(*after, key, month) for key in self.lots}
        more = [key for key in self.lots if target[key] > before[key]]
        since = end
        if more and all(target[key] >= before[key] for key in self.lots):
            since = at
            for key in more:
                self.grant_up_to(key, target[key], name, at)
        self.plans = [each for each in self.plans if each[0] < since] + [(since, *after)]

    def grant_up_to(self, key: str, target: int, name: str, at: int) -> None:
        """What the present period was granted, filled up to an amount by a lot from now on."""
        end = self.zone.bounds(self.zone.month(at))[1]
        self.paying(key, at)
        granted = sum(
            lot.amount for lot in self.lots[key] if lot.kind == "allowance" and lot.ends == end
        )
        if (lacking := target - granted) > 0:
            self.new_lot(key, name, "allowance", lacking, starts=at, ends=end, created=at)

    def allow(self, action: Json, name: str, at: int) -> None:
        """BA-12: an own allowance, from the first whole period on; if that began, more at once."""
        key, since = action["balance"], action["since"]
        amount = None if action["amount"] is None else micros(action["amount"])
        present = self.zone.month(at)
        first, following = (
            self.zone.month(self.zone.bounds(month)[1]) for month in (since[:7], present)
        )
        month = max(since[:7] if since.endswith("-01") else first, following)
        before = self.allowance(*self.plan(at), key, present)
        if since <= self.zone.date(at).isoformat():
            self.own[key].append((present, amount))
            target = self.allowance(*self.plan(at), key, present)
            self.own[key].pop()
            if target > before:
                self.grant_up_to(key, target, name, at)
        self.own[key].append((month, amount))

    # What is shown

    def shown_lots(self, at: int) -> Json:
        """Every lot that anything was taken from, and every one that somebody gave."""
        return {
            f"{key} {lot.name}": {
                "amount": lot.amount, "used": lot.used, "moved": lot.moved,
                "lapsed": lot.left if lot.over(at) and lot.kind != "overdraft" else 0,
                "starts": lot.starts, "ends": lot.ends,
            }
            for key, lots in self.lots.items()
            for lot in lots
            if lot.used or lot.moved or not lot.name.startswith("allowance/")
        }  # fmt: skip

    def days(self) -> Json:
        """What was used and moved of each lot on each local day."""
        found: Json = {}
        for key, lots in self.lots.items():
            for lot in lots:
                days = found.setdefault(f"{key} {lot.name}", {})
                for at, used, moved in lot.moves:
                    before = days.setdefault(str(self.zone.date(at)), [0, 0])
                    before[:] = [before[0] + used, before[1] + moved]
        return drop_empty(found)

    def lines(self, since: int, until: int) -> Json:
        """Each balance in each month, as it was at the month's end or is at `until`."""
        found: Json = {}
        month, last = self.zone.month(since), self.zone.month(until)
        while month <= last:
            found[month] = {key: self._line(key, month, until) for key in self.lots}
            month = self.zone.month(self.zone.bounds(month)[1])
        return found

    def _line(self, key: str, month: str, until: int) -> Json:
        """BA-9: opening + granted + adjusted - used - lapsed = remaining, of each side (FI-5)."""
        start, end = self.zone.bounds(month)
        at = min(end, until)
        self.paying(key, start)  # an allowance that nobody touched is there all the same (TZ-7)
        sides = {side: dict.fromkeys(LINE, 0) for side in ("allowance", "other")}
        for lot in self.lots[key]:
            if lot.over(start) or lot.starts >= end or lot.starts > at:
                continue
            side = sides["allowance" if lot.kind == "allowance" else "other"]
            before = -sum(used + moved for when, used, moved in lot.moves if when < start)
            within = [move for move in lot.moves if start <= move[0] < end]
            used, moved = (sum(move[place] for move in within) for place in (1, 2))
            left = lot.amount + before - used - moved
            brought = "adjusted" if lot.kind == "adjustment" else "granted"
            side["opening"] += before
            side["opening" if lot.starts < start else brought] += lot.amount
            side["used"] += used
            side["adjusted"] -= moved
            if not lot.over(at):
                side["remaining"] += left
            elif lot.kind == "overdraft":
                side["adjusted"] -= left  # overage: invoiced or written off, not lapsed
            else:
                side["lapsed"] += left
        return sides
