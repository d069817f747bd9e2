"""A world fed to the real fold, in memory: inputs as they come, figures in the canonical form.

Owns what the edge, the lanes and the operations do around the fold, as far as figures need it:
dedupe, claims of messages, the terms in force, what lots gave day by day. No storage and no clock:
an input arrives at its own time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from copy import deepcopy
from dataclasses import replace
from typing import Any

from api.cloudevents import Envelope, Item, read_object, to_item
from api.edge import to_fact
from api.limits import ZONE_CHANGE_AHEAD_SECONDS
from domain.adjustments import adjust
from domain.book_documents import parse_book
from domain.changing import book, change_plan, change_zone
from domain.draw import order
from domain.facts import CHANNELS, GROUP_MARK, Direction, Fact, Flag
from domain.figures import LotUse, figures
from domain.figures import Part as Side
from domain.fold import advance, fold
from domain.lots import Lot, LotSource
from domain.money import micros
from domain.periods import SECOND, Period, date_of, month_name, period, zone
from domain.plans import parse_plan
from domain.problems import Problem
from domain.rate import claims_message
from domain.refunds import refund_top_up, take_back
from domain.rollup import USAGE
from domain.state import Changes, Outcome, State
from domain.terms import NumberTerms, Terms
from domain.top_ups import carried_until, top_up
from tests.simulation.closed import place_of
from tests.simulation.rulebook import instant
from tests.simulation.world import RULES, Tenant

Json = dict[str, Any]

BOOK = parse_book(RULES["book"], 1, RULES["markets"])
PLANS = {key: parse_plan(document, BOOK) for key, document in RULES["plans"].items()}

#: What people see of a fact beside its charges, as figures name it.
FLAGS = {
    Flag.SERVICE_OPENED: "service_window",
    Flag.CONVERSATION_OPENED: "conversation",
    Flag.CONVERSATION_PAID: "conversation_paid",
    Flag.ENTRY_OPENED: "free_entry",
    Flag.VISITOR: "visitor",
    Flag.OVERDRAWN: "overdrawn",
    Flag.REPEATED: "repeated",
}


def terms_of(setup: Json) -> Terms:
    """A tenant's terms as they are at its beginning."""
    numbers = [
        NumberTerms(
            number_id=place,
            channel=CHANNELS[number["channel"]],
            channel_name=number["channel"],
            address=number["address"],
            zone=zone(number["zone"]),
        )
        for place, number in enumerate(setup["numbers"], 1)
    ]
    plan = PLANS[setup["plan"]]
    balance_ids = {balance.key: place for place, balance in enumerate(plan.balances, 1)}
    return Terms(
        tenant_id=1,
        key=setup["tenant"],
        suspended=False,
        zone=zone(setup["zone"]),
        currency=plan.currency,
        since=None,
        plan=plan,
        book=BOOK,
        settings=1,
        numbers={number.number_id: number for number in numbers},
        addresses={(number.channel, number.address): number for number in numbers},
        balance_ids=balance_ids,
        balances={balance_ids[balance.key]: balance for balance in plan.balances},
        rule_ids={rule: place for place, rule in enumerate(sorted({r.rule for r in BOOK.rows}))},
        country=setup["country"],
    )


class Driver:
    """One tenant in memory, whose inputs are folded as they come."""

    def __init__(self, tenant: Tenant, *, punctual: bool) -> None:
        self.base = terms_of(tenant.setup)
        self.terms = self.base.dated(self.base.standing, {BOOK.key: BOOK})
        self.rules = {place: rule for rule, place in self.base.rule_ids.items()}
        self.keys = {place: key for key, place in self.base.balance_ids.items()}
        self.numbers = {place: each.address for place, each in self.base.numbers.items()}
        self.punctual = punctual  #: whether a job comes when something is due, or nobody does
        self.state = State(version=0, digest=b"", last_lot=0, next_due=None, unsettled_from=None)
        self.names: set[bytes] = set()
        self.acted: set[str] = set()
        self.messages: dict[bytes, int] = {}
        self.returned: Counter[str] = Counter()
        self.days: defaultdict[int, dict[int, list[int]]] = defaultdict(dict)  #: by lot
        self.usage: dict[tuple[int, tuple[Any, ...]], list[int]] = {}
        self.facts: Json = {}
        self.refused: list[str] = []

    def take(self, one: Json) -> None:
        """Take the next input at its place in fact order."""
        now = place_of(one)
        if self.punctual:
            self.advance(now)
        if "action" not in one:
            self.event(one, now)
            return
        if one["key"] in self.acted:
            return
        self.acted.add(one["key"])
        before = deepcopy(self.state) if one["action"] == "refund" else self.state
        self.state.action = one["key"]
        try:
            self.keep(self.act(one, now))
        except Problem:
            assert before is not self.state
            self.state = before  # as a transaction that is rolled back
            self.refused.append(one["key"])

    def advance(self, now: int) -> None:
        """What the job does at each instant at which something is due."""
        while (due := self.state.next_due) is not None and due <= now:
            self.keep(advance(self.terms, self.state, due))

    def read(self, event: Json, now: int) -> Fact:
        """An event as the edge takes it."""
        envelope = read_object(event)
        assert isinstance(envelope, Envelope), envelope
        item = to_item(envelope)
        assert isinstance(item, Item), item
        fact = to_fact(item, self.terms, now)
        assert isinstance(fact, Fact), fact
        return fact

    def event(self, event: Json, now: int) -> None:
        fact = self.read(event, now)
        if fact.key in self.names:
            return
        self.names.add(fact.key)
        repeated = {}
        if claims_message(self.terms, fact):
            assert fact.message is not None
            charged_at = self.messages.setdefault(fact.message, fact.at)
            if charged_at is not fact.at:
                repeated[fact.key] = charged_at
        changes = fold(self.terms, self.state, [fact], repeated, now)
        (outcome,) = changes.outcomes
        self.keep(changes)
        self.note(outcome)

    def act(self, action: Json, now: int) -> Changes:
        """Do what an operator does."""
        kind, terms, state = action["action"], self.terms.at(now), self.state
        if kind == "plan_change":
            targets = self.replan(action["plan"], now)
            return book(terms, self.terms, state, targets, now)
        if kind == "zone_change":
            self.rezone(action, now)
            return book(terms, self.terms, state, {}, now)
        if kind in ("refund", "take_back"):
            return self._give_back(action, now)
        balance_id = terms.balance_ids[action["balance"]]
        if kind == "adjustment":
            amount = micros(action["amount"], signed=True)
            ends_at = None
            if amount > 0:
                ends_at = carried_until(terms, terms.balances[balance_id].carry, now)
            return adjust(terms, state, balance_id, amount, ends_at, now)[1]
        starts_at = instant(action.get("starts", action["time"]))
        ends_at = carried_until(terms, terms.balances[balance_id].carry, starts_at)
        if "expires" in action:
            ends_at = instant(action["expires"])
        source = LotSource[action.get("source", "top_up").upper()]
        amount = micros(action["amount"])
        lot, changes = top_up(terms, state, balance_id, amount, source, starts_at, ends_at, now)
        lot.created_at = instant(action["time"])  # of one dated back it is later
        state.lots[balance_id] = order(state.lots[balance_id])
        return changes

    def _give_back(self, action: Json, now: int) -> Changes:
        terms, name = self.terms.at(now), action["top_up"]
        (lot,) = (
            lot for own in self.state.lots.values() for lot in own if lot.origin == f"action/{name}"
        )
        if action["action"] == "take_back":
            return take_back(terms, self.state, lot, self.returned[name], now).changes
        amount = micros(action["amount"])
        changes = refund_top_up(terms, self.state, lot, amount, now).changes
        self.returned[name] += amount
        return changes

    def rezone(self, action: Json, now: int) -> None:
        """Put the tenant, or one of its numbers, on another zone from its next month on."""
        own, after = self.terms.at(now), now + ZONE_CHANGE_AHEAD_SECONDS * SECOND
        numbers = {
            place: replace(number, zone=change_zone(number.zone, action["zone"], after))
            if number.address == action.get("number")
            else number
            for place, number in self.base.numbers.items()
        }
        zone = own.zone if "number" in action else change_zone(own.zone, action["zone"], after)
        self.base = replace(
            self.base,
            zone=zone,
            numbers=numbers,
            addresses={(number.channel, number.address): number for number in numbers.values()},
            spellings={},
        )
        standing = replace(own.standing, zone=zone)
        self.terms = self.base.dated(standing, {BOOK.key: BOOK})

    def replan(self, to: str | None, now: int) -> dict[str, int]:
        """Put the tenant on another plan; gives what the present period is to have been granted."""
        standing = self.terms.at(now).standing
        decided = change_plan(standing, None if to is None else PLANS[to], now)
        self.terms = self.base.dated(decided.standing, {BOOK.key: BOOK})
        return decided.targets

    def keep(self, changes: Changes) -> None:
        """Keep of a commit what the database would."""
        self.state.action = ""
        for contact in changes.contacts:
            contact.dirty = False
        for (lot_id, day), amounts in changes.lot_days.items():
            known = self.days[lot_id].setdefault(day, [0, 0])
            known[:] = [a + b for a, b in zip(known, amounts, strict=True)]
        for key, values in changes.usage.items():
            columns = self.usage.setdefault(key, [0] * len(USAGE))
            columns[:] = [a + b for a, b in zip(columns, values, strict=True)]

    def note(self, outcome: Outcome) -> None:
        """Keep what became of a fact."""
        self.facts[f"{outcome.fact.source}/{outcome.fact.id}"] = {
            "status": outcome.status.name.lower(),
            "flags": sorted(name for flag, name in FLAGS.items() if outcome.flags & flag),
            "charges": [
                {
                    "balance": self.keys[part.balance_id],
                    "rule": self.rules[part.rule_id],
                    "units": part.units,
                    "amount": part.amount,
                    "legs": [[leg.lot.origin, leg.taken] for leg in part.legs],
                }
                for part in outcome.parts
            ],
        }

    def figures(self, since: int, until: int) -> Json:
        """Everything that is compared, as it stands at `until`; months from `since` on."""
        if self.punctual:
            self.advance(until)
        else:
            self.keep(advance(self.terms, self.state, until))
        lots = [lot for own in self.state.lots.values() for lot in own]
        rows = [row for own in self.state.contacts.values() for row in own]
        return {
            "facts": self.facts,
            "refused": sorted(self.refused),
            "lots": {
                f"{self.keys[lot.balance_id]} {lot.origin}": {
                    "amount": lot.amount, "used": lot.used, "moved": lot.moved,
                    "lapsed": lot.lapsed, "starts": lot.starts_at, "ends": lot.ends_at,
                }
                for lot in lots
                if lot.used or lot.moved or not lot.origin.startswith("allowance/")
            },
            "days": self._days(lots),
            "balances": self._balances(lots, since, until),
            "windows": {
                f"{self.numbers[row.number_id]} {row.party.replace(GROUP_MARK, 'group ')}": {
                    "service": window(row.service_opened_at, row.service_ends_at),
                    "conversation": window(row.conversation_opened_at, row.conversation_ends_at),
                    "entry": window(row.entry_opened_at, row.entry_ends_at),
                }
                for row in rows
                if row.service_opened_at is not None or row.conversation_opened_at is not None
            },
            "visitors": dict(Counter(month_name(label) for row in rows for label in row.visited)),
            "usage": {
                " | ".join(self._dimensions(hour, dimensions)): {
                    name: value for name, value in zip(USAGE, values, strict=True) if value
                }
                for (hour, dimensions), values in self.usage.items()
                if any(values)
            },
        }  # fmt: skip

    def _days(self, lots: list[Lot]) -> Json:
        found = {}
        for lot in lots:
            days = {
                date_of(self.terms.zone.date(day)).isoformat(): amounts
                for day, amounts in self.days[lot.lot_id].items()
                if any(amounts)
            }
            if days:
                found[f"{self.keys[lot.balance_id]} {lot.origin}"] = days
        return found

    def _dimensions(self, hour: int, dimensions: tuple[Any, ...]) -> list[str]:
        number_id, direction, *texts = dimensions
        return [str(hour), self.numbers[number_id], Direction(direction).name.lower(), *texts]

    def _balances(self, lots: list[Lot], since: int, until: int) -> Json:
        span = period(self.terms.zone, since)
        lines: Json = {}
        while span.start <= until:
            at = min(span.end, until)
            found = {}
            for balance in self.terms.standing.balances(span, at):
                balance_id = self.terms.balance_ids[balance.key]
                own = [
                    self._use(lot, span)
                    for lot in lots
                    if lot.balance_id == balance_id
                    and lot.starts_at < span.end
                    and (lot.ends_at is None or lot.ends_at > span.start)
                ]
                shown = figures(balance, span, at, own)
                found[balance.key] = {
                    "allowance": side(shown.initial), "other": side(shown.top_up)
                }  # fmt: skip
            lines[month_name(span.label)] = found
            span = period(self.terms.zone, span.end)
        return lines

    def _use(self, lot: Lot, span: Period) -> LotUse:
        before, within = [0, 0], [0, 0]
        for day, amounts in self.days[lot.lot_id].items():
            if day < span.end:
                side = before if day < span.start else within
                side[:] = [a + b for a, b in zip(side, amounts, strict=True)]
        return LotUse(
            lot_id=lot.lot_id,
            source=lot.source,
            priority=lot.priority,
            month=lot.month,
            amount=lot.amount,
            starts_at=lot.starts_at,
            ends_at=lot.ends_at,
            created_at=lot.created_at,
            used_before=before[0],
            used=within[0],
            moved_before=before[1],
            moved=within[1],
        )


def window(opened: int | None, ends: int | None) -> list[int] | None:
    return None if opened is None or ends is None else [opened, ends]


def side(side: Side) -> Json:
    names = ("opening", "granted", "adjusted", "used", "lapsed", "remaining")
    return {name: getattr(side, name) for name in names}


def drive(tenant: Tenant, since: int, until: int, *, punctual: bool) -> Json:
    """The figures of a tenant at `until`, its inputs taken in fact order as they happened."""
    driver = Driver(tenant, punctual=punctual)
    for one in tenant.inputs:
        driver.take(one)
    return driver.figures(since, until)
