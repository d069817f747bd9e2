"""When what could not be delivered is tried again, and when an endpoint is given up.

Owns the schedule and its bounds. Nothing here is random: how far a try is spread is read from its
delivery's name, so that a thousand that failed together do not come back together.
"""

from __future__ import annotations

import hashlib
from datetime import UTC
from email.utils import parsedate_to_datetime

from domain.periods import DAY, HOUR, MINUTE, SECOND

#: How long after each try that failed the next one is; the first is at once.
WAITS = (
    5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR,
    24 * HOUR,
)  # fmt: skip

#: By which part of its wait a try is spread, at most.
SPREAD = 10

#: The longest that an endpoint may ask us to wait.
RETRY_AFTER_MAX = DAY

#: An endpoint is off after failing for so long without taking anything. Tries lie at most a day and
#: its spread apart: where nothing was tried for longer, nobody knows, and it counts anew.
FAILING_MAX = 5 * DAY
SILENT_MAX = 2 * DAY


def next_try(name: str, tried: int, now: int, retry_after: int | None = None) -> int | None:
    """When a delivery that was tried `tried` times is tried again; None: it is given up.

    `retry_after` is for how long the other end asked to be left alone: never is it tried before.
    """
    if tried > len(WAITS):
        return None
    wait = WAITS[tried - 1]
    if retry_after is not None:
        wait = max(wait, min(retry_after, RETRY_AFTER_MAX))
    return now + wait + spread(f"{name}/{tried}", wait // SPREAD)


def spread(name: str, most: int) -> int:
    """Microseconds below `most`, for a name always the same."""
    drawn = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())
    return drawn % most if most > 0 else 0


def retry_after(text: str | None, now: int) -> int | None:
    """How long a header `retry-after` asks to wait, in seconds or by a date; None: it does not."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), RETRY_AFTER_MAX // SECOND) * SECOND
    try:
        read = parsedate_to_datetime(text)
        zone = read.tzinfo or UTC  # such a date is of Greenwich, whatever it says
        until = int(read.replace(tzinfo=zone).timestamp()) * SECOND
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(until - now, 0), RETRY_AFTER_MAX)


def failing(since: int | None, last: int | None, now: int) -> int:
    """Since when an endpoint fails that has just failed again."""
    if since is None or last is None or now - last > SILENT_MAX:
        return now
    return since
