"""Estimate a send: what it would cost at an instant, by charging it to figures nobody keeps (OC-6).

Owns the facts a send would become and the read-only look at what a lane would load for them. They
pass the same edge and the same fold as facts that happen; nothing is locked and nothing written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import islice

from api.addresses import shown
from api.cloudevents import Item, Refusal
from api.edge import to_fact
from api.limits import ESTIMATE_AHEAD_SECONDS_MAX, ESTIMATE_COUNT_MAX, ESTIMATE_RECIPIENTS_MAX
from api.operations.checks import find_tenant
from api.operations.number_create import checked_channel
from api.rights import Principal
from domain.facts import PHONE_CHANNELS, Channel, Fact
from domain.periods import iso, moment, period
from domain.problems import Problem
from domain.quotes import Quote, Share
from domain.state import State
from domain.terms import Terms
from persistence import load, terms
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.open_holds import OpenHolds
from persistence.tenants import TenantRecord

#: One version of everything, and a database that refuses to write.
READ_ONLY = "set transaction isolation level repeatable read, read only"

#: Facts checked or charged before others are served.
FACTS_AT_A_TIME = 500

#: Channels whose facts are no sends.
NO_SENDS = frozenset(
    {Channel.VOICE, Channel.VIDEO, Channel.VOICEMAIL, Channel.BOT, Channel.AI_AGENT,
     Channel.SPEECH_TO_TEXT}
)  # fmt: skip

#: The digits of a contact's number in a market, behind those that make the market.
SERIAL_DIGITS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What is asked for."""

    tenant: str  #: its key
    number: str  #: the address it would send from
    channel: str
    category: str | None = None
    template: bool = False
    segments: int | None = None
    text: str | None = None
    recipients: Sequence[str] = ()
    counts: Sequence[tuple[str, int]] = ()  #: contacts of a market without any window
    at: int | None = None  #: None: now


@dataclass(frozen=True, slots=True)
class Refused:
    """A recipient that the edge would refuse."""

    recipient: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimated:
    """What a send would cost."""

    tenant: TenantRecord
    own: Terms
    at: int
    version: int  #: of the tenant's figures it was charged to
    count: int  #: messages
    repeated: int  #: recipients that were listed before
    refused: list[Refused]
    quote: Quote
    shares: list[Share]


async def run(
    door: Door,
    catalogue: Catalogue,
    principal: Principal,
    request: Estimate,
    *,
    now: int,
    open_holds: OpenHolds | None = None,
) -> Estimated:
    """Estimate; a Problem names what is wrong with all of it.

    Without `open_holds` nothing is held.
    """
    _check(request)
    channel = checked_channel(request.channel)
    if channel in NO_SENDS:
        raise Problem(
            "INVALID",
            f"nothing is sent on {request.channel}: name a channel of messages",
            "channel",
        )
    tenant = await find_tenant(door, principal, request.tenant)
    async with door.tenant_tx(tenant.tenant_id) as connection:
        await connection.execute(READ_ONLY)
        heads = await load.heads(connection, [tenant.tenant_id])
        (own,) = await terms.by_ids(connection, catalogue, [tenant.tenant_id])
        at = _instant(own, request.at, now)
        clock = max(at, now)
        facts, refused, repeated = await _facts(request, channel, own, at, clock)
        state = load.state_of(heads[tenant.tenant_id])
        states, terms_of = {own.tenant_id: state}, {own.tenant_id: own}
        model = _model(request, channel, own, at, clock)
        zone = own.numbers[model.number_id].zone
        await load.lots(connection, states, terms_of, at, clock)
        await load.counters(connection, states, {zone.month(at)})
        await load.contacts(connection, states, facts)
    counted = _counted(request, model, own.at(at), zone.date(at))
    known = await open_holds.held({own.tenant_id: now}) if open_holds is not None else {}
    aside = known[own.tenant_id].amounts if own.tenant_id in known else {}
    quote = Quote(own, state, clock, aside)
    count = await _charge(quote, state, facts, counted)
    return Estimated(
        tenant=tenant,
        own=own,
        at=at,
        version=heads[tenant.tenant_id]["version"],
        count=count,
        repeated=repeated,
        refused=refused,
        quote=quote,
        shares=quote.shares(),
    )


async def _facts(
    request: Estimate, channel: Channel, own: Terms, at: int, clock: int
) -> tuple[list[Fact], list[Refused], int]:
    """The facts of the recipients, who was refused, and how many were listed before."""
    facts: list[Fact] = []
    refused: list[Refused] = []
    seen: set[bytes] = set()
    repeated = 0
    for place, recipient in enumerate(request.recipients):
        fact = _fact(request, channel, own, recipient, at, clock)
        if isinstance(fact, Refusal):
            refused.append(Refused(recipient, fact.reason, fact.message))
        elif fact.message is not None and fact.message in seen:
            repeated += 1  # one message reaches a contact once (EV-5)
        else:
            if fact.message is not None:
                seen.add(fact.message)
            facts.append(fact)
        if place % FACTS_AT_A_TIME == FACTS_AT_A_TIME - 1:
            await asyncio.sleep(0)
    return facts, refused, repeated


def _fact(
    request: Estimate, channel: Channel, own: Terms, contact: str, at: int, clock: int
) -> Fact | Refusal:
    """The fact of one recipient; a Problem where the edge would refuse it whoever it was for."""
    data: dict[str, object] = {
        "number": request.number,
        "channel": request.channel,
        "contact": contact,
        "message_id": "estimate",
        "category": request.category,
        "template": "estimate" if request.template else None,
        "segments": request.segments,
        "text": request.text,
    }
    item = Item(
        id="estimate",
        source="estimate",
        type="email.sent" if channel is Channel.EMAIL else "message.delivered",
        time=moment(at),
        subject=own.key,
        data={name: value for name, value in data.items() if value is not None},
        canonical=b"{}",
    )
    fact = to_fact(item, own, clock)
    if isinstance(fact, Refusal) and fact.path != "data.contact":
        field = {"time": "at"}.get(fact.path, fact.path.removeprefix("data."))
        raise Problem(fact.reason.upper(), fact.message, field)
    return fact


def _model(request: Estimate, channel: Channel, own: Terms, at: int, clock: int) -> Fact:
    """The fact of a contact that nothing is known of."""
    contact = "nobody@example.com" if channel is Channel.EMAIL else "nobody"
    if channel in PHONE_CHANNELS:
        contact = "+6281110000000"
    fact = _fact(request, channel, own, contact, at, clock)
    assert isinstance(fact, Fact)
    return fact


def _counted(request: Estimate, model: Fact, own: Terms, date: int) -> Iterator[Fact]:
    """Facts of contacts that are only counted, each of its market and without windows."""
    heads: list[tuple[str, str, int]] = []
    channel = own.numbers[model.number_id].channel_name
    for place, (market, count) in enumerate(request.counts):
        head = own.book.markets.head(market, date)
        if head is None and own.book.market(channel, model.address, date) == market:
            head = model.address  # a market of all contacts, such as those without a telephone
        if head is None or own.book.market(channel, head, date) != market:
            raise Problem(
                "UNKNOWN_MARKET",
                f"no contact on {channel} has the market {shown(market)} in book {own.book.key}",
                f"counts[{place}].market",
            )
        heads.append((market, head, count))
    return _spread(model, heads)


def _spread(model: Fact, heads: Sequence[tuple[str, str, int]]) -> Iterator[Fact]:
    serial = 0
    for market, head, count in heads:
        for _ in range(count):
            fact = copy(model)
            fact.address = fact.party = f"{head}{serial:0{SERIAL_DIGITS}d}"
            fact.country = market if len(market) == 2 and market.isupper() else ""
            serial += 1
            yield fact


async def _charge(
    quote: Quote, state: State, facts: Sequence[Fact], counted: Iterator[Fact]
) -> int:
    """Charge everything, piece by piece as lanes do; gives how much there was."""
    total = 0
    remaining = iter(facts)
    while piece := list(islice(remaining, FACTS_AT_A_TIME)):
        quote.add(piece)
        total += len(piece)
        await asyncio.sleep(0)
    while piece := list(islice(counted, FACTS_AT_A_TIME)):
        quote.add(piece)
        for fact in piece:
            state.contacts.pop((fact.channel, fact.party), None)  # nobody meets it again
        total += len(piece)
        await asyncio.sleep(0)
    return total


def _instant(own: Terms, at: int | None, now: int) -> int:
    """When the send would happen: in the present period, or up to a year ahead."""
    if at is None:
        return now
    start = period(own.zone, now).start
    if at < start:
        raise Problem(
            "TIME_OUT_OF_RANGE", f"at is before the present period, which began {iso(start)}", "at"
        )
    if at > now + ESTIMATE_AHEAD_SECONDS_MAX * 1_000_000:
        days = ESTIMATE_AHEAD_SECONDS_MAX // 86_400
        raise Problem("TIME_OUT_OF_RANGE", f"at is at most {days} days ahead", "at")
    return at


def _check(request: Estimate) -> None:
    if bool(request.recipients) == bool(request.counts):
        raise Problem("INVALID", "name either recipients or counts, and at least one", "recipients")
    if len(request.recipients) > ESTIMATE_RECIPIENTS_MAX:
        raise Problem(
            "INVALID", f"at most {ESTIMATE_RECIPIENTS_MAX:,} recipients; use counts", "recipients"
        )
    total = 0
    for place, (_, count) in enumerate(request.counts):
        if count < 1:
            raise Problem("INVALID", "count is 1 or more", f"counts[{place}].count")
        total += count
    if total > ESTIMATE_COUNT_MAX:
        raise Problem("INVALID", f"counts add up to at most {ESTIMATE_COUNT_MAX:,}", "counts")
