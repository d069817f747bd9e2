"""Terms, facts and states as the fold takes them, made from the sample plans and books."""

from __future__ import annotations

import hashlib
import tomllib
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from domain.book_documents import parse_book
from domain.books import Book
from domain.facts import Channel, Direction, Fact, Type
from domain.fold import advance, fold
from domain.lots import Lot, LotSource
from domain.money import micros
from domain.periods import instant, zone
from domain.plans import parse_plan
from domain.state import Changes, Outcome, State
from domain.terms import NumberTerms, Terms
from domain.top_ups import carried_until, top_up

SAMPLES = Path(__file__).parents[2] / "persistence" / "samples"
UNIT = 1_000_000
ANA, BEN = "6281100000010", "6281100000011"

ids = count(1)


def sample(name: str) -> dict[str, Any]:
    return tomllib.loads((SAMPLES / f"{name}.toml").read_text(encoding="utf-8"))


def sample_book(name: str) -> Book:
    return parse_book(sample(f"book-{name}"), 1, sample("whatsapp-markets"))


BOOKS = {name: sample_book(name) for name in ("omnichannel-idr", "college-small")}


def number(number_id: int, channel: Channel, timezone: str) -> NumberTerms:
    return NumberTerms(
        number_id=number_id,
        channel=channel,
        channel_name=channel.name.lower(),
        address=f"62800000000{number_id}",
        zone=zone(timezone),
    )


def terms_of(
    name: str = "omnichannel-idr",
    *,
    timezone: str = "Asia/Jakarta",
    book: Book | None = None,
    since: int | None = None,
    **changes: Any,
) -> Terms:
    """A tenant on a sample plan: WhatsApp numbers 1 and 2 (the second in Jayapura), Instagram 3.

    `changes` replace top-level fields of the plan's document.
    """
    document = sample(f"plan-{name}") | changes
    book = book or BOOKS[document["book"]]
    plan = parse_plan(document, book)
    numbers = [
        number(1, Channel.WHATSAPP, timezone),
        number(2, Channel.WHATSAPP, "Asia/Jayapura"),
        number(3, Channel.INSTAGRAM, timezone),
    ]
    balance_ids = {balance.key: place for place, balance in enumerate(plan.balances, 1)}
    return Terms(
        tenant_id=1,
        key="tenant",
        suspended=False,
        zone=zone(timezone),
        currency=plan.currency,
        since=since,
        plan=plan,
        book=book,
        settings=1,
        numbers={each.number_id: each for each in numbers},
        addresses={(each.channel, each.address): each for each in numbers},
        balance_ids=balance_ids,
        balances={balance_ids[balance.key]: balance for balance in plan.balances},
        rule_ids={rule: place for place, rule in enumerate(sorted({r.rule for r in book.rows}))},
    )


def at(text: str) -> int:
    """An instant in Jakarta, as 2026-10-05 10:00."""
    return instant(datetime.fromisoformat(f"{text}+07:00"))


def fact(
    when: int,
    type: Type = Type.MESSAGE_DELIVERED,
    contact: str = ANA,
    *,
    category: str = "service",
    number_id: int = 1,
    message: str | None = None,
    entry: bool = False,
    party: str | None = None,
    **more: Any,
) -> Fact:
    """A fact as the edge makes it; each has an id of its own."""
    made = Fact()
    made.tenant_id, made.source, made.id = 1, "test", str(next(ids))
    made.key = hashlib.blake2b(made.id.encode(), digest_size=16).digest()
    made.content = made.key
    made.type, made.at, made.arrived_at = type, when, when
    made.number_id = number_id
    made.channel = Channel.INSTAGRAM if number_id == 3 else Channel.WHATSAPP
    made.address, made.country, made.party = contact, "ID", party or contact
    inbound = type in (Type.MESSAGE_RECEIVED, Type.CALL_ENDED)
    made.direction = Direction.IN if inbound else Direction.OUT
    made.category = "" if inbound else category
    made.template = made.category not in ("", "service")
    made.message = None if message is None else message.encode()
    made.entry, made.group = entry, None if party is None else ()
    made.agent = made.broadcast = made.meter = ""
    made.segments = made.seconds = 0
    made.answered, made.quantity, made.hold, made.data = False, UNIT, None, "{}"
    for name, value in more.items():
        setattr(made, name, value)
    return made


def received(when: int, contact: str = ANA, **more: Any) -> Fact:
    return fact(when, Type.MESSAGE_RECEIVED, contact, **more)


def new_state() -> State:
    """A tenant nothing has happened to, which is watched."""
    state = State(version=0, digest=b"", last_lot=0, next_due=None, unsettled_from=None)
    state.below = set()
    return state


class Tenant:
    """A tenant with its state, whose facts are folded as they come."""

    def __init__(self, terms: Terms | None = None) -> None:
        self.terms = terms or terms_of()
        self.state = new_state()
        self.commits: list[Changes] = []

    def commit(self, facts: Iterable[Fact], *, now: int | None = None) -> list[Outcome]:
        """Fold facts in one commit; now is the last of them unless given."""
        batch = list(facts)
        last = max(each.at for each in batch)
        changes = fold(self.terms, self.state, batch, {}, last if now is None else now)
        for contact in changes.contacts:
            contact.dirty = False
        self.commits.append(changes)
        return changes.outcomes

    def send(self, one: Fact, *, now: int | None = None) -> Outcome:
        (outcome,) = self.commit([one], now=now)
        return outcome

    def top_up(
        self,
        balance: str,
        amount: str,
        *,
        starts_at: int,
        ends_at: int | None = None,
        now: int | None = None,
    ) -> None:
        """Add a lot that lives as its balance's top-ups do; now is its start unless given."""
        terms = self.terms
        if ends_at is None:
            ends_at = carried_until(terms, terms.plan.balance(balance).carry, starts_at)
        _, changes = top_up(
            terms, self.state, terms.balance_ids[balance], micros(amount), LotSource.TOP_UP,
            starts_at, ends_at, starts_at if now is None else now,
        )  # fmt: skip
        self.commits.append(changes)

    def advance(self, now: int) -> Changes:
        """What the job does: bring the tenant to `now`, and commit it if anything changed."""
        changes = advance(self.terms, self.state, now)
        if not changes.empty:
            self.commits.append(changes)
        return changes

    def accounts(self) -> Counter[str]:
        """Every account's balance by the lines of all commits."""
        sums: Counter[str] = Counter()
        for transfer in (each for changes in self.commits for each in changes.transfers):
            assert transfer.amount > 0
            assert transfer.debit != transfer.credit
            sums[transfer.debit] -= transfer.amount
            sums[transfer.credit] += transfer.amount
        return sums

    def lots(self, balance: str, source: LotSource | None = None) -> list[Lot]:
        lots = self.state.lots.get(self.terms.balance_ids[balance], [])
        return [lot for lot in lots if source in (None, lot.source)]

    def remaining(self, balance: str) -> int:
        return sum(lot.remaining for lot in self.lots(balance))

    def said(self, outcome: Outcome) -> list[tuple[str, int]]:
        """The charges of an outcome as (balance, micros)."""
        names = {place: key for key, place in self.terms.balance_ids.items()}
        return [(names[part.balance_id], part.amount) for part in outcome.parts]
