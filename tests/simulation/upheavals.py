"""What only the database knows, put among the inputs of a tenant: closings, and what comes after.

Owns which periods are closed when, which facts come too late for them, and by when everything else
has to be there, so that whatever the disorder a closing stands at the same place among the inputs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from random import Random

from tests.simulation.closed import began, closings, name_of
from tests.simulation.rulebook import HOUR, MINUTE, Json, instant, written

DAY = 24 * HOUR
MONTHS = ("2026-09", "2026-10")
#: One fact of so many of a closed period comes after its closing.
LATE_OF = 14


def closes(random: Random, setup: Json, inputs: list[Json], until: int) -> list[Json]:
    """Closings of months that are over, some days after their end; one closes all before it."""
    found = []
    for month, chance in zip(MONTHS, (0.6, 0.8), strict=True):
        close = {"action": "close", "key": f"close-{month}", "month": month, "time": written(0)}
        ((_, end),) = closings(setup, [*inputs, close])
        # Of one instant nothing else is.
        at = end + 2 * HOUR + random.randrange(11 * DAY // MINUTE) * MINUTE + 333
        if random.random() < chance and at < until:
            found.append(close | {"time": written(at)})
    return found


#: What a version may say anew: rows, by their names, with other prices; and what had no rate.
PRICED = ("utility", "authentication", "sms", "email", "voice-out", "bot", "tokens", "ai-agent")
MISSING = ("marketing-britain", "service-colombia")


def books(random: Random, setup: Json, book: Json, inputs: list[Json], until: int) -> list[Json]:
    """Versions of the book: before they hold, or dated back (PR-2).

    What is dated back begins after what is closed by then.
    """
    found: list[Json] = []
    start, ends = instant(inputs[0]["time"]), closings(setup, inputs)
    for version in range(1, random.choice((2, 3, 4))):
        at = start + random.randrange((until - start) // MINUTE) * MINUTE + 555 + version
        kind = random.choice(("early", "rerate", "rerate", "missing"))
        if kind == "missing" and any(one["rows"] == kind for one in found):
            kind = "rerate"  # by now it has a rate
        days = random.randrange(3, 12) if kind == "early" else -random.randrange(2, 25)
        closed = [end for closed_at, end in ends if closed_at < at]
        since = max([at + days * DAY, *(end + 2 * DAY for end in closed)])
        if kind != "early" and since > at - 2 * DAY:
            continue
        day = written(since)[:10]
        names: Sequence[str] = random.sample(PRICED, 3)
        if kind == "missing":  # free text was free before it had no rate
            names = MISSING if day > "2026-10-01" else MISSING[:1]
        found.append(
            {
                "action": "publish", "key": f"publish-{version}", "time": written(at),
                "rows": kind, "rerate": kind == "rerate",
                "book": _version(random, book, version, names, date.fromisoformat(day)),
            }
        )  # fmt: skip
    return found


def _version(random: Random, book: Json, version: int, names: Sequence[str], since: date) -> Json:
    latest = {row["row"]: row for row in book["rows"] if row["row"] in names}
    rows = [
        row | {"row": f"{name}-v{version}", "valid_from": since,
               "price": f"0.0{random.randrange(1, 999_999):06}"}
        for name, row in latest.items()
    ]  # fmt: skip
    return book | {"rows": rows}


def late_facts(random: Random, setup: Json, inputs: list[Json], until: int) -> dict[str, int]:
    """Facts that come after their period was closed, and when; no two at one instant."""
    found: dict[str, int] = {}
    ends = closings(setup, inputs)
    for one in inputs:
        if "action" in one or name_of(one) in found or random.randrange(LATE_OF):
            continue
        if (closed_at := deadline(ends, one)) is not None:
            after = int(random.random() ** 2 * min(25 * DAY, until - closed_at) / MINUTE)
            at = closed_at + after * MINUTE + 1_000 + len(found)
            if at < until:
                found[name_of(one)] = at
    return found


def conflicts(random: Random, inputs: list[Json]) -> dict[str, Json]:
    """Events of known keys with other content, by their key (EV-1)."""
    found = {}
    for one in inputs:
        if "action" not in one and not random.randrange(40):
            said = one["data"] | {"text": "something else"}
            found[name_of(one)] = one | random.choice(({"data": said}, {"time": inputs[0]["time"]}))
    return {name: one for name, one in found.items() if one not in inputs}


ALLOWED = {
    "conversations": ("0", "9"), "visitors": ("2", "6"), "seconds": ("100", "800"),
    "credits": ("3", "30"), "main": ("0.2", "2.5"), "texts": ("0.4", "1"),
}  # fmt: skip


def deeds(random: Random, inputs: list[Json], until: int) -> list[Json]:
    """Refunds of charges and allowances of the tenant's own, each at an instant of its own."""
    start, found = instant(inputs[0]["time"]), []
    facts = [one for one in inputs if "action" not in one]
    for place in range(len(facts) // 30):
        fact = random.choice(facts)
        at = instant(fact["time"]) + int(random.random() ** 2 * 30 * DAY) // MINUTE * MINUTE
        more = random.choice(({}, {}, {"amount": "0.01"}, {"amount": "1"}))
        refund = {"action": "refund_charge", "key": f"back-{place}", "fact": name_of(fact), **more}
        found.append(refund | {"time": written(at + 111 + place)})
    for place in range(random.randrange(3)):
        balance = random.choice([*ALLOWED])
        at = start + random.randrange((until - start) // MINUTE) * MINUTE + 222 + place
        since = f"2026-{random.choice(('09', '10', '10', '11'))}-{random.choice(('01', '15'))}"
        own: Json = {"amount": random.choice((None, *ALLOWED[balance], *ALLOWED[balance]))}
        found.append(
            own
            | {
                "action": "allowance", "key": f"allowance-{place}", "balance": balance,
                "since": since, "time": written(at),
            }
        )  # fmt: skip
    return [one for one in found if instant(one["time"]) < until]


#: A fact may come so much before it happens.
AHEAD = 5 * MINUTE


def come(random: Random, at: int, late: int, start: int) -> int:
    """When a fact of a restless world comes: on time, a little ahead, or as late as elsewhere."""
    chance = random.random()
    if chance < 0.3:
        return max(at - random.randrange(AHEAD), start)
    return at if chance < 0.85 else late


#: What pays for a fact, by its type.
PAYS = {
    "message.received": ("visitors",), "message.delivered": ("conversations", "main", "main"),
    "message.sent": ("texts",), "call.ended": ("seconds",), "session.ended": ("credits",),
    "usage.recorded": ("main",), "email.sent": ("main",),
}  # fmt: skip


def withdrawals(random: Random, inputs: list[Json], until: int) -> list[Json]:
    """Debits that leave nothing, and credits, just before or after what the balance pays for."""
    found = []
    facts = [one for one in inputs if "action" not in one and one["type"] in PAYS]
    for place in range(len(facts) // 6):
        fact = random.choice(facts)
        balance = random.choice(PAYS[fact["type"]])
        at = instant(fact["time"]) + random.choice((-1, 3)) * random.randrange(AHEAD)
        amount = random.choice(("", "-")) + ALLOWED[balance][1]
        found.append(
            {
                "action": "adjustment", "key": f"withdrawn-{place}", "balance": balance,
                "amount": amount, "time": written(at // MINUTE * MINUTE + 444),
            }
        )  # fmt: skip
    # Of one instant nothing else is.
    found = [one | {"time": written(instant(one["time"]) + n)} for n, one in enumerate(found)]
    return [one for one in found if instant(inputs[0]["time"]) < instant(one["time"]) < until]


def deadline(ends: list[tuple[int, int]], event: Json) -> int | None:
    """When the period of a fact is closed."""
    return next((closed_at for closed_at, end in ends if began(event) < end), None)


def punctual(inputs: list[Json], late: dict[str, int]) -> set[str]:
    """Facts that come when they happen: of the messages of which a late fact tells.

    Which fact charges a message of a closed period and an open one is decided as they come.
    """
    messages: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for one in inputs:
        if "action" not in one and "message_id" in one["data"]:
            message = (one["data"]["message_id"], one["data"]["contact"])
            messages[message].add(name_of(one))
    return {name for names in messages.values() if names & late.keys() for name in names}
