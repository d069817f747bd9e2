"""Made-up traffic that looks like a busy day: who writes to whom, when, as encoded CloudEvents.

Owns the mix and the encoding. Sends nothing.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

TENANTS = 100
CONTACTS = 300  #: of each tenant
HOT_CONTACTS = 6_000  #: of the tenant with 80 % of the traffic
HOT_SHARE = 0.8
INBOUND_SHARE = 0.45
TEMPLATES = (  # what the outbound 55 % are, by weight
    *(["service"] * 14),
    *(["marketing"] * 2),
    *(["utility"] * 3),
    "authentication",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One run: how much, how many clients, and the part of the month it happens in."""

    name: str  #: begins every message id, so that runs never repeat each other
    facts: int  #: prepared; fewer are sent where `seconds` pass before
    seconds: float  #: after which no further request begins
    clients: int
    batch: int  #: 1: plain objects, not lists
    hot: bool  #: one tenant has HOT_SHARE of the traffic
    start: float  #: Unix seconds of the first fact
    end: float  #: and of the last


def tenant_key(tenant: int) -> str:
    return f"bench-{tenant:03d}"


def number_address(tenant: int) -> str:
    return f"+62800{tenant:06d}"


def batches(load: Load, client: int) -> Iterator[bytes]:
    """The bodies one client sends, in order and all of one size.

    A tenant belongs to one client, so its facts come in the order of their times; the hot tenant
    comes from all clients, each with contacts of its own.
    """
    picks = random.Random(f"{load.name}/{client}")
    mine = [t for t in range(1, TENANTS) if t % load.clients == client] or [
        1 + client % (TENANTS - 1)
    ]
    if not load.hot and client == 0:
        mine.append(0)
    hot_share = HOT_SHARE if load.hot else 0.0
    own = HOT_CONTACTS // load.clients
    total = load.facts // load.clients // load.batch * load.batch
    step = (load.end - load.start) / max(total, 1)
    body: list[str] = []
    for n in range(total):
        if picks.random() < hot_share:
            tenant, contact = 0, client * own + int(own * picks.random())
        else:
            # Squared: some contacts write much more often than others. By client where several
            # clients share a tenant, so that a contact's facts keep their order.
            tenant = mine[int(len(mine) * picks.random())]
            contact = int(CONTACTS * picks.random() ** 2) + 1_000 * client
        at = datetime.fromtimestamp(load.start + n * step, UTC)
        body.append(_event(f"{load.name}{client:02x}{n:08x}", at, tenant, contact, picks))
        if len(body) == load.batch:
            yield _encode(body, load.batch)
            body = []


def _encode(events: list[str], batch: int) -> bytes:
    return events[0].encode() if batch == 1 else f"[{','.join(events)}]".encode()


def _event(message: str, at: datetime, tenant: int, contact: int, picks: random.Random) -> str:
    if picks.random() < INBOUND_SHARE:
        kind, rest = "received", ""
    else:
        kind, category = "delivered", picks.choice(TEMPLATES)
        template = "" if category == "service" else f',"template":"{category}_02"'
        rest = f',"category":"{category}"{template}'
    time = at.isoformat(timespec="milliseconds")[:-6]
    return (
        f'{{"specversion":"1.0","id":"{message}:{kind}","source":"bench/gateway",'
        f'"type":"message.{kind}","time":"{time}Z","subject":"{tenant_key(tenant)}",'
        f'"data":{{"channel":"whatsapp","number":"{number_address(tenant)}",'
        f'"contact":"+62812{contact:07d}","message_id":"wamid.{message}"{rest}}}}}'
    )
