"""Every Valkey key: its shape, type, expiry and how it is rebuilt; and the channels.

Owns names only. What one script touches together shares a hash tag, so that a cluster stays open:
`{TENANT}` for what a tenant has once, `{TENANT:BUCKET}` for what grows with its contacts. Nothing
here decides anything by an expiry; it only cleans up. Losing any of it loses no figure: `rebuild`
reads it from PostgreSQL again.
"""

from __future__ import annotations

from typing import NamedTuple

#: Channels that tenants share; their number is fixed, so that a subscription never changes.
CHANNELS = 256

#: The channel on which a process tells itself something, to hear whether readings would come.
CANARY = "kuota:canary"


class Key(NamedTuple):
    """What there is to know of the keys of one shape."""

    pattern: str  #: as a glob
    type: str  #: as `TYPE` answers
    holds: str
    expires: str
    rebuilt: str


BALANCES = Key(
    "{*}:balances",
    "hash",
    "epoch, version, at, valid_until, and left:BALANCE: the micros left, below 0 too",
    "never",
    "from lots, by persistence.balances",
)
HELD = Key(
    "{*}:held",
    "hash",
    "by field (left:BALANCE, count:...) what open holds set aside; at: when it last changed,"
    " or was first asked for;"
    " whole: of which epoch every open hold is here; building: who brings them",
    "never",
    "with the open holds",
)
HOLDS = Key(
    "{*}:holds",
    "hash",
    "open holds by their numbers: the request, the answer, times, revision, what is set aside",
    "never: each goes when it ends",
    "from the rows of `holds`",
)
ENDS = Key(
    "{*}:ends",
    "zset",
    "open holds by the instant at which they next give something back",
    "never: each goes when it ends",
    "with the open holds",
)
COUNTS = Key(
    "{*}:counts",
    "hash",
    "VERSION VALUE of free counts and tiers, by count:NAME:NUMBER:MONTH; floor: older are refused",
    "two months after the last",
    "from counters, when an authorisation asks for one",
)
LIVE = Key(
    "{*:*}:live",
    "hash",
    "epoch; of: how many buckets there are; upto: every version up to it is in the bucket;"
    " building, heard: who rebuilds it, and when that was heard of; settled: the newest settling"
    " when it was begun",
    "never",
    "with the sets of the bucket; without it they do not count",
)
AHEAD = Key(
    "{*:*}:ahead",
    "set",
    "versions in the bucket that came before their predecessors",
    "an hour after the last",
    "not: a gap that stays is a reason to rebuild the bucket",
)
WINDOWS = Key(
    "{*:*}:windows",
    "zset",
    "NUMBER:PARTY of customer-service windows, by their ends in microseconds",
    "a day after the last end",
    "from contacts",
)
CONVERSATIONS = WINDOWS._replace(
    pattern="{*:*}:conversations", holds="NUMBER:PARTY of any-category conversations, by their ends"
)
WINDOWS_FROM = WINDOWS._replace(
    pattern="{*:*}:windows-from", holds="those of the above that have not begun, by their starts"
)
CONVERSATIONS_FROM = WINDOWS_FROM._replace(pattern="{*:*}:conversations-from")
VISITORS = Key(
    "{*:*}:visitors:*",
    "set",
    "CHANNEL:CONTACT of a month's visitors; the month as year * 12 + month - 1",
    "two months after the last",
    "from contacts",
)
SWEPT = Key(
    "kuota:swept",
    "string",
    "EPOCH INSTANT: what was committed before the instant has been shown",
    "never",
    "by showing every tenant again",
)
SWEEPER = Key(
    "kuota:sweeper", "string", "the process that sweeps", "10 seconds", "by the next that sweeps"
)
RATE = Key(
    "{*}:rate:*",
    "hash",
    "left, at: what a key, a tenant or an address could still spend at an instant",
    "when it is full again",
    "not: a bucket that is missing is full",
)
PROBE = Key(
    "kuota:probe:*",
    "string",
    "what `doctor` wrote a moment ago",
    "a minute",
    "not: it reads it once",
)

ALL = (
    BALANCES, HELD, HOLDS, ENDS, COUNTS, LIVE, AHEAD, WINDOWS, CONVERSATIONS, WINDOWS_FROM,
    CONVERSATIONS_FROM, VISITORS, SWEPT, SWEEPER, RATE, PROBE,
)  # fmt: skip


def channel(tenant_id: int) -> str:
    """The channel a tenant's readings are published on."""
    return f"kuota:readings:{tenant_id % CHANNELS}"


def rate(whose: str, what: str) -> str:
    """What `what` may spend; one script takes from all that share `whose`."""
    return f"{{{whose}}}:rate:{what}"


def probe(token: str) -> str:
    return f"kuota:probe:{token}"


def balances(tenant_id: int) -> str:
    return f"{{{tenant_id}}}:balances"


def standing(tenant_id: int) -> list[str]:
    """The keys of what a tenant may use, in the order the scripts name them."""
    tag = f"{{{tenant_id}}}:"
    return [f"{tag}balances", f"{tag}held", f"{tag}holds", f"{tag}ends", f"{tag}counts"]


def bucket(tenant_id: int, number: int, month: int) -> list[str]:
    """The keys of one bucket, in the order the scripts name them; visitors of two months."""
    tag = f"{{{tenant_id}:{number}}}:"
    return [
        f"{tag}live",
        f"{tag}ahead",
        f"{tag}windows",
        f"{tag}windows-from",
        f"{tag}conversations",
        f"{tag}conversations-from",
        f"{tag}visitors:{month}",
        f"{tag}visitors:{month + 1}",
    ]
