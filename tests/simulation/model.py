"""The model: what the inputs of one tenant come to by the rule book, as a plain loop over them.

It is the second opinion that worlds are held against. It imports nothing of the product and knows
neither speed, storage nor lateness: inputs are sorted into fact order (EV-4) and taken one by one.
What they cost is worked out here, who pays in `account`, and which row speaks in `rulebook`. It
gives the canonical form that `figures` describes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from tests.simulation.account import Account
from tests.simulation.closed import (
    CALL,
    RECEIVED,
    Contact,
    Order,
    Past,
    Window,
    closings,
    fact_order,
    is_open,
    name_of,
    published,
)
from tests.simulation.refunds import give_back
from tests.simulation.rulebook import (
    HOUR,
    SECOND,
    UNIT,
    Asked,
    Json,
    Rulebook,
    charge,
    instant,
    micros,
    price_of,
)

SENT, MAIL, SESSION, METERED = "message.sent", "email.sent", "session.ended", "usage.recorded"
REACHED = ("message.delivered", "message.read", "message.played")
COUNTED = ("per_segment", "per_minute", "per_unit")


@dataclass
class Fact:
    """An event, and what comes of it."""

    kind: str
    at: int  #: row, lots, period and window go by it: of a call its start (VO-1)
    number: Json
    contact: str
    category: str
    direction: str
    asked: Asked  #: which rows speak of it
    month: str  #: at the number, whose counts go by it (TZ-5)
    data: Json
    paid_at: int  #: whose lots pay, and in whose hour it counts: its own, or when it came late
    known: Contact | None = None  #: of a closed period: what was open around it (EV-3)
    flags: set[str] = field(default_factory=set)
    charges: list[Json] = field(default_factory=list)
    covered: bool = False

    @property
    def channel(self) -> str:
        return str(self.number["channel"])

    @property
    def seconds(self) -> int:
        return int(self.data.get("seconds", 0))


class Tenant:
    """One tenant while its inputs are taken in fact order."""

    def __init__(
        self,
        rules: Rulebook,
        setup: Json,
        answers: Collection[str] | None,
        late: Collection[str],
        given: Mapping[str, Json] | None,
    ) -> None:
        self.rules = rules
        self.late = late
        self.given = given
        self.refunded: Counter[str] = Counter()  #: by the fact whose first charge it was
        self.account = Account(rules, setup, answers)
        self.numbers = {number["address"]: number for number in setup["numbers"]}
        self.past = Past()
        self.contacts: defaultdict[tuple[str, str], Contact] = defaultdict(Contact)
        self.visits: set[tuple[str, str, str]] = set()  #: month, channel, contact
        self.late_visits: set[tuple[str, str, str]] = set()  #: to closed months
        self.messages: set[tuple[str, str, str]] = set()  #: that were charged
        self.counts: Counter[tuple[str, str, str]] = Counter()  #: free counts and tiers
        self.series: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        self.facts: dict[str, Json] = {}

    def take(self, one: Json, at: int) -> None:
        """Take the next input in fact order, at its place."""
        self.account.advance(at)
        if "fact" in one:
            self.refund(one, at)
        elif "action" in one:
            self.account.act(one, at)
        elif (name := name_of(one)) not in self.facts:  # EV-1
            fact = self.read(one, at)
            counts = self.counts.copy()
            rated = self.rate(fact)
            repeated = "repeated" in fact.flags
            if fact.known is None:
                who = self.who(fact)
                self.past.note(who, fact_order(one), self.contacts[who])
            else:  # EV-3: it opens nothing, and counts on nothing
                self.counts = counts
                fact.flags &= {"visitor", "overdrawn", "repeated"}
            kept = "accepted" if fact.known is None or repeated else "adjusted"
            self.facts[name] = {
                "status": kept if rated else "unrated",
                "flags": sorted(fact.flags),
                "charges": fact.charges,
            }
        self.account.pay_off(at)

    def refund(self, action: Json, at: int) -> None:
        """BA-8: the first charge of a fact is given back, in part or whole."""
        name = action["fact"]
        charge = next(iter(self.facts.get(name, {}).get("charges", ())), None)
        if self.given is not None:
            answer = self.given.get(action["key"])
        else:
            left = 0 if charge is None else charge["amount"] - self.refunded[name]
            amount = micros(action["amount"]) if "amount" in action else left
            answer = {"balance": charge["balance"], "amount": amount} if charge else None
            answer = answer if 0 < amount <= left else None
        if answer is None:
            self.account.refused.append(action["key"])
            return
        key, amount = answer["balance"], answer["amount"]
        legs = charge["legs"] if charge is not None and charge["balance"] == key else []
        before, own = self.refunded[name], f"action/{action['key']}"
        give_back(self.account, key, legs, before, amount, own, at)
        self.refunded[name] += amount

    def read(self, event: Json, came: int) -> Fact:
        kind, data, at = event["type"], event["data"], instant(event["time"])
        number, contact = self.numbers[data["number"]], data.get("contact", "").removeprefix("+")
        direction, category = data.get("direction", "none"), data.get("category", "")
        if kind.startswith("message.") or kind == MAIL:
            direction = "in" if kind == RECEIVED else "out"
        if kind.startswith("message.") and direction == "out" and "template" not in data:
            category = "service"
        if kind == CALL:
            at -= data["seconds"] * SECOND
        late = name_of(event) in self.late
        local = self.account.calendars[number["address"]]
        named = data["meter"] if kind == METERED else category
        asked = (
            number["channel"], named, "in" if direction == "in" else "out",
            self.rules.market(number["channel"], contact), local.date(at),
        )  # fmt: skip
        month = local.month(at)
        paid_at = came if late else at
        fact = Fact(kind, at, number, contact, category, direction, asked, month, data, paid_at)
        if late:
            assert at < self.account.closed_until <= came, "it is not late at all"
            fact.known = self.past.contact(self.who(fact), fact_order(event))
        return fact

    def rate(self, fact: Fact) -> bool:
        """Take a fact; False if it should be charged and no rate covers it (EV-7)."""
        rated = True
        if fact.kind == RECEIVED:
            self.received(fact)
        elif fact.kind in REACHED or (fact.kind == SENT and self.is_charged_when_sent(fact)):
            rated = self.reached(fact)
        elif fact.kind == CALL:
            rated = self.called(fact)
        elif fact.kind in (SESSION, MAIL, METERED):
            rated = self.counted(fact)
            if fact.kind == SESSION:
                self.usage(fact).update(sessions=1, seconds=fact.seconds)
            elif fact.kind == MAIL:
                self.usage(fact).update(emails=fact.data.get("quantity", 1))
        for part in fact.charges:
            if part["legs"]:
                money = self.account.is_money(part["balance"])
                self.usage(fact).update(units=part["units"], cost=part["amount"] if money else 0)
            for name, taken in part["legs"]:
                side = "initial" if self.account.is_initial(part["balance"], name) else "top_up"
                column = f"{side}_{'cost' if money else 'units'}"
                if column != "top_up_cost":  # what is left of the cost
                    self.usage(fact)[column] += taken
        return rated

    def usage(self, fact: Fact) -> Counter[str]:
        hour, country = self.account.zone.hour(fact.paid_at), self.rules.country(fact.contact)
        user, broadcast = fact.data.get("user", ""), fact.data.get("broadcast", "")
        dimensions = (fact.direction, country, fact.category, user, broadcast)
        return self.series[str(hour), fact.number["address"], *dimensions]

    def steps(self, fact: Fact) -> list[Json]:
        return self.rules.chain(self.account.plan(fact.at)[0], *fact.asked[:3])

    def hours(self, fact: Fact) -> Json | None:
        """How long windows last, on channels that have some."""
        hours: Json | None = self.rules.book["windows"].get(fact.channel)
        return hours

    def who(self, fact: Fact) -> tuple[str, str]:
        party = f"group {fact.data['group']['id']}" if "group" in fact.data else fact.contact
        return fact.number["address"], party

    def contact(self, fact: Fact) -> Contact:
        return fact.known or self.contacts[self.who(fact)]

    # What comes in

    def heard(self, fact: Fact) -> None:
        """WI-1: a contact wrote or called; WI-2: an ad may have brought it."""
        hours = self.hours(fact)
        if hours is None or fact.known is not None:
            return
        contact, known = self.contact(fact), self.contact(fact).service
        window = Window(fact.at, fact.at + hours["customer_service_hours"] * HOUR)
        if known is not None and window.ends > known.opened and fact.at < known.ends:
            window = Window(min(known.opened, fact.at), max(known.ends, window.ends))
        else:
            fact.flags.add("service_window")
        contact.service = window
        if fact.data.get("entry") == "ad" and not is_open(contact.entry, fact.at):
            contact.came = fact.at

    def received(self, fact: Fact) -> None:
        """An inbound message: it moves a window, and may be a visit (VI-1, VI-2)."""
        self.heard(fact)
        self.usage(fact).update(messages_in=1)
        visit = (self.account.zone.month(fact.at), fact.channel, fact.contact)
        if visit in self.visits | self.late_visits:
            return
        (self.visits if fact.known is None else self.late_visits).add(visit)
        fact.flags.add("visitor")
        self.usage(fact).update(visitors=1)
        plan, day = self.account.plan(fact.at)[0], fact.asked[4]
        (row,) = self.rules.rows("per_visitor", (fact.channel, "visitor", "in", "none", day))
        (step,) = self.rules.chain(plan, "*", "visitor", "in")
        self.pay(fact, step["balance"], row, UNIT, UNIT)

    def called(self, fact: Fact) -> bool:
        """VO-1: one that was not answered costs nothing, but it moves the window all the same."""
        if fact.direction == "in":
            self.heard(fact)
        if not fact.data.get("answered", fact.seconds > 0):
            return True
        rated = self.counted(fact)
        billed = sum(part["units"] for part in fact.charges) // UNIT
        self.usage(fact).update(seconds=billed or fact.seconds)
        priced = self.rules.speaks_of(fact.channel, "*", fact.direction, COUNTED)
        return rated or (fact.direction == "in" and not priced)  # EV-7

    # What goes out

    def is_charged_when_sent(self, fact: Fact) -> bool:
        """EV-5: which status charges a message is its row's word."""
        bases = [step["basis"] for step in self.steps(fact)]
        rows = [row for basis in bases for row in self.rules.rows(basis, fact.asked)]
        return any(row.get("charged_on") == "sent" for row in rows)

    def reached(self, fact: Fact) -> bool:
        """A message that reached its contact, or is charged as it is sent."""
        if "message_id" in fact.data:  # EV-5
            message = (fact.channel, fact.data["message_id"], fact.contact)
            if message in self.messages:
                fact.flags.add("repeated")
                return True
            self.messages.add(message)
        contact, at, hours = self.contact(fact), fact.at, self.hours(fact)
        if hours is not None:
            if contact.came is not None:  # WI-2: the first answer, in time or not
                if at < contact.came + hours["customer_service_hours"] * HOUR:
                    contact.entry = Window(at, at + hours["free_entry_hours"] * HOUR)
                    fact.flags.add("free_entry")
                contact.came = None
            if not is_open(contact.conversation, at):  # CO-1
                contact.conversation = Window(at, at + hours["conversation_hours"] * HOUR)
                contact.paid = False
                fact.flags.add("conversation")
                self.usage(fact).update(conversations=fact.known is None)
        self.usage(fact).update(messages_out=1, segments=fact.data.get("segments", 0))
        rated = self.message(fact, contact)
        if fact.charges and not fact.charges[0]["amount"] and not fact.covered:  # FI-4
            self.usage(fact).update(messages_free=1)
        return rated

    def message(self, fact: Fact, contact: Contact) -> bool:
        """PR-9: a message is paid once, by a conversation or by its own row."""
        steps, rows = self.steps(fact), self.rules.rows("per_message", fact.asked)
        if steps and steps[0]["basis"] in COUNTED:
            return self.counted(fact)
        if not steps or not self.rules.speaks_of(*fact.asked[:3], ["per_message"]):
            return False  # PR-10
        last = steps[-1]["balance"]
        if is_open(contact.entry, fact.at):  # WI-2: every row of the worlds is free there
            return bool(rows) and self.free(fact, last, rows[0])
        conversations = [s["balance"] for s in steps if s["basis"] == "per_conversation"]
        only = len(conversations) == len(steps)
        if "conversation" in fact.flags:
            if self.opening(fact, contact, conversations, only):
                return True
        elif conversations and (contact.paid or only):  # CO-4: by the rule of the day it opened
            assert contact.conversation is not None
            calendar = self.account.calendars[fact.number["address"]]
            opened = calendar.date(contact.conversation.opened)
            fact.covered = contact.paid
            return self.free(fact, conversations[0], self.per_conversation(fact, opened))
        return bool(rows) and not only and self.by_row(fact, contact, last, rows)

    def per_conversation(self, fact: Fact, day: object) -> Json:
        asked = (fact.channel, "*", "out", fact.asked[3], day)
        (row,) = self.rules.rows("per_conversation", asked)  # type: ignore[arg-type]
        return row

    def opening(self, fact: Fact, contact: Contact, keys: list[str], only: bool) -> bool:
        """PR-9: a conversation takes a unit, else its price in money, else is left to its messages.

        Where nothing else pays, the last balance owes the unit.
        """
        last = keys[-1] if only and keys else ""
        for key in keys:
            row = self.per_conversation(fact, fact.asked[4])
            price, amount = price_of(row), UNIT
            if self.account.is_money(key):
                if price is None:
                    continue
                amount = charge(price, UNIT)
            elif self.account.whole_units(key, fact.paid_at) < UNIT and key != last:
                continue
            self.pay(fact, key, row, UNIT, amount)
            contact.paid = True
            fact.flags.add("conversation_paid")
            return True
        return False

    def by_row(self, fact: Fact, contact: Contact, key: str, rows: list[Json]) -> bool:
        """PR-3, PR-4, PR-7: free in a window or by count, else at the row's or its tier's price."""
        row = rows[0]
        in_service = "customer_service" in row.get("free_in", ())
        if row["price"] == "0" or (in_service and is_open(contact.service, fact.at)):
            return self.free(fact, key, row)
        if self.free_units(fact, row, UNIT):
            return self.free(fact, key, row)
        if "tier" in row:
            ((row, _),) = self.tiers(fact, rows, UNIT)
        price = price_of(row)
        if price is not None:
            self.pay(fact, key, row, UNIT, charge(price, UNIT))
        return price is not None

    # What is counted

    def counted(self, fact: Fact) -> bool:
        """SM-1, VO-1, MT-1: units first, then money; False if no rate covers it."""
        steps = self.steps(fact)
        basis = "per_unit" if fact.kind == METERED else steps[0]["basis"] if steps else ""
        rows = self.rules.rows(basis, fact.asked)
        if not steps or not rows or (fact.kind == METERED and rows[0]["category"] == "*"):
            return False
        row, keys = rows[0], [step["balance"] for step in steps]
        units = self.units(fact, basis, row)
        left = units - self.free_units(fact, row, units)
        if not left:
            return self.free(fact, keys[-1], row, units)
        for key in keys:
            if self.account.is_money(key):
                for tier, share in self.tiers(fact, rows, left):
                    amount = charge(Fraction(tier["price"]), share, self.divisor(basis))
                    self.pay(fact, key, tier, share, amount)
                break
            held = self.account.whole_units(key, fact.paid_at)
            if taken := left if key == keys[-1] else min(held, left):
                self.pay(fact, key, row, taken, taken)
                left -= taken
            if not left:
                break
        return True

    def divisor(self, basis: str) -> int:
        return 60 if basis == "per_minute" else 1

    def units(self, fact: Fact, basis: str, row: Json) -> int:
        if basis == "per_segment":
            return max(fact.data.get("segments", 0), 1) * UNIT
        if basis == "per_unit":
            return micros(str(fact.data.get("quantity", 1)))
        first, step = row["increments"]["first"], row["increments"]["step"]
        return int(first + -(-max(fact.seconds - first, 0) // step) * step) * UNIT

    def free_units(self, fact: Fact, row: Json, units: int) -> int:
        """PR-4: what of the units the month's free count takes, whole ones only."""
        if "free_count" not in row:
            return 0
        own = row["free_count"]
        whose = fact.number["address"] if own["per"] == "number" else "tenant"
        name = (f"free {own['name']}", whose, fact.month)
        taken = min(own["count"] - self.counts[name], units // UNIT)
        self.counts[name] += taken
        return int(taken) * UNIT

    def tiers(self, fact: Fact, rows: list[Json], units: int) -> Iterator[tuple[Json, int]]:
        """PR-7: marginal, by the month's count of charged units; all numbers add to it."""
        name = (f"tier {fact.channel} {fact.category}", fact.asked[3], fact.month)
        for row in rows:
            top = row.get("tier", {}).get("up_to")
            share = units if top is None else min(units, max(top * UNIT - self.counts[name], 0))
            if share:
                self.counts[name] += share
                units -= share
                yield row, share

    # What is paid

    def free(self, fact: Fact, key: str, row: Json, units: int = UNIT) -> bool:
        """What a row lets pass stands in the books of the balance that would have paid."""
        self.pay(fact, key, row, units, 0)
        return True

    def pay(self, fact: Fact, key: str, row: Json, units: int, amount: int) -> None:
        legs = self.account.draw(key, fact.paid_at, amount)
        if any(name.startswith("overdraft") for name, _ in legs):
            fact.flags.add("overdrawn")
        rule = self.rules.rule(row)
        fact.charges.append(
            {"balance": key, "rule": rule, "units": units, "amount": amount, "legs": legs}
        )

    def figures(self, since: int, until: int) -> Json:
        """Everything that is compared, as it stands at `until`; months from `since` on."""
        self.account.advance(until)
        return {
            "facts": self.facts,
            "refused": sorted(self.account.refused),
            "lots": self.account.shown_lots(until),
            "days": self.account.days(),
            "balances": self.account.lines(since, until),
            "windows": {
                f"{number} {party}": {
                    "service": own.service and list(own.service),
                    "conversation": own.conversation and list(own.conversation),
                    "entry": own.entry and list(own.entry),
                }
                for (number, party), own in self.contacts.items()
                if own.service or own.conversation
            },
            "visitors": dict(Counter(month for month, _, _ in self.visits)),
            "usage": {
                " | ".join(key): {name: value for name, value in columns.items() if value}
                for key, columns in self.series.items()
                if any(columns.values())
            },
        }


def run(
    rules: Rulebook,
    setup: Json,
    inputs: Collection[Json],
    since: int,
    until: int,
    refused: Collection[str] | None = None,
    late: Mapping[str, int] | None = None,
    given: Mapping[str, Json] | None = None,
) -> Json:
    """The figures at `until` after all inputs of a tenant, given in whatever order.

    `refused` are the keys of actions that were refused when they came; None: as of fact order.
    `late` are the facts that came after their period was closed, and when they did; `given` is
    what was refunded of charges, balance and amount by the key of the action.
    """
    order = Order(closings(setup, inputs), late or {})
    # PR-2: a version holds from its own date on; of what is closed by then it says nothing.
    books = [one["book"] for one in sorted(published(inputs), key=fact_order)]
    tenant = Tenant(Rulebook(rules.documents, books), setup, refused, order.late, given)
    for one in sorted(inputs, key=order.place):
        tenant.take(one, order.place(one)[0])
    return tenant.figures(since, until)
