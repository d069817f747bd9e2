"""A made-up busy day of several businesses on several channels, as encoded CloudEvents and facts.

Owns the tenants, the mix and the way into facts, which is the edge's own. Measures nothing.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import msgspec

from api.cloudevents import Item, read_raw, to_item
from api.edge import to_fact
from domain.facts import Channel, Fact
from domain.periods import DAY, iso
from domain.terms import NumberTerms, Terms
from tests.domain.spine import at, sample_book, terms_of

START = at("2026-11-10 00:00")
END = START + DAY
BATCH = 1_000
CONTACTS = 400  #: of each tenant

#: Plans of the tenants, and by weight what happens to a tenant on each.
MIXES = {
    "omnichannel-idr": (
        *("received",) * 9, *("delivered",) * 7, "marketing", "marketing", "utility", "utility",
        "authentication", "instagram",
    ),
    "omnichannel-mcc-idr": (*("received",) * 4, *("delivered",) * 5, "marketing", "utility"),
    "service-usd": (
        "marketing", "utility", "utility", "delivered", *("sms",) * 4, *("email",) * 3, "voice",
        "bot", "received",
    ),
    "contact-center-usd": (*("voice",) * 4, *("inbound",) * 3, "sms", "email", "ai_agent"),
}  # fmt: skip
PLANS = (*("omnichannel-idr",) * 4, "omnichannel-mcc-idr", "service-usd", "service-usd",
         "contact-center-usd")  # fmt: skip
#: Where their contacts are, in countries that their books price.
PREFIXES = {
    "omnichannel-idr": "+62812", "omnichannel-mcc-idr": "+62812", "service-usd": "+57300",
    "contact-center-usd": "+57300",
}  # fmt: skip
CHANNELS = (
    Channel.WHATSAPP, Channel.INSTAGRAM, Channel.SMS, Channel.EMAIL, Channel.VOICE, Channel.BOT,
    Channel.AI_AGENT,
)  # fmt: skip


def tenants() -> list[Terms]:
    """Terms of the tenants, each with a number on every channel."""
    made = []
    for place, plan in enumerate(PLANS):
        book = None if plan.endswith("-idr") else sample_book(plan)
        terms = terms_of(plan, book=book)
        numbers = [
            NumberTerms(
                number_id=n, channel=channel, channel_name=channel.name.lower(),
                address=address_of(channel), zone=terms.zone,
            )
            for n, channel in enumerate(CHANNELS, 1)
        ]  # fmt: skip
        made.append(
            replace(
                terms, tenant_id=place, key=f"mixed-{place}",
                numbers={number.number_id: number for number in numbers},
                addresses={(number.channel, number.address): number for number in numbers},
            )
        )  # fmt: skip
    return made


def address_of(channel: Channel) -> str:
    """What a tenant sends from on a channel."""
    return "team@example.com" if channel is Channel.EMAIL else f"62800000{channel:03d}"


def events(count: int) -> Iterator[bytes]:
    """The day's events in the order of their times, the same each time."""
    chance = random.Random("mixed")
    for n in range(count):
        place = int(len(PLANS) * chance.random())
        what = chance.choice(MIXES[PLANS[place]])
        # Squared: some contacts write much more often than others.
        contact = int(CONTACTS * chance.random() ** 2)
        type_, channel, data = _said(what, chance)
        party = f"{PREFIXES[PLANS[place]]}{contact:07d}"
        if channel is Channel.EMAIL:
            party = f"c{contact}@example.com"
        yield msgspec.json.encode({
            "specversion": "1.0", "id": f"{n:08x}", "source": "bench/mixed", "type": type_,
            "time": iso(START + (END - START) * n // count), "subject": f"mixed-{place}",
            "data": {
                "channel": channel.name.lower(), "number": address_of(channel),
                "contact": party,
                **data,
            },
        })  # fmt: skip


def _said(what: str, chance: random.Random) -> tuple[str, Channel, dict[str, object]]:
    """The type, the channel and what else is said of one thing that happened."""
    seconds = chance.randrange(5, 400)
    match what:
        case "received" | "instagram":
            channel = Channel.WHATSAPP if what == "received" else Channel.INSTAGRAM
            return "message.received", channel, {"text": "hello"}
        case "delivered":
            return "message.delivered", Channel.WHATSAPP, {"category": "service"}
        case "sms":
            text = "x" * chance.choice((40, 120, 200))
            return "message.sent", Channel.SMS, {"text": text}
        case "email":
            return "email.sent", Channel.EMAIL, {}
        case "voice" | "inbound":
            direction = "out" if what == "voice" else "in"
            return "call.ended", Channel.VOICE, {"direction": direction, "seconds": seconds}
        case "bot":
            return "session.ended", Channel.BOT, {}
        case "ai_agent":
            return "session.ended", Channel.AI_AGENT, {"seconds": seconds}
    return "message.delivered", Channel.WHATSAPP, {"category": what, "template": f"{what}_02"}


def facts_of(bodies: Sequence[bytes], own: Sequence[Terms]) -> list[list[list[Fact]]]:
    """The facts as the edge makes them: of each commit, those of each tenant."""
    terms_of_key = {terms.key: terms for terms in own}
    commits: list[list[list[Fact]]] = []
    for n, body in enumerate(bodies):
        if n % BATCH == 0:
            commits.append([[] for _ in own])
        envelope = read_raw(body)
        item = to_item(envelope)  # type: ignore[arg-type]
        assert isinstance(item, Item), item
        fact = to_fact(item, terms_of_key[str(item.subject)], END)
        assert isinstance(fact, Fact), fact
        commits[-1][fact.tenant_id].append(fact)
    return commits
