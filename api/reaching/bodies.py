"""Bodies of events, in the form that Standard Webhooks wants: a type, when it was, what it was.

Owns the types of events that are no alert's; those are `events`'.
"""

from __future__ import annotations

from typing import Any

import msgspec

from domain.periods import iso

#: An endpoint is tried out, or was switched off.
TEST, DISABLED = "webhook.test", "webhook.disabled"


def spelt(kind: str, at: int, data: dict[str, Any]) -> bytes:
    """An event as it is sent: `timestamp` is when it took place, not when it is sent."""
    return msgspec.json.encode({"type": kind, "timestamp": iso(at), "data": data})
