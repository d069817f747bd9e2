"""The log: structlog in front of the standard library's, one line an event."""

from __future__ import annotations

import time

import structlog


def configure() -> None:
    """Send structlog's events to standard logging as `event key=value`, tracebacks after them."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"], drop_missing=True),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


class Seldom:
    """Lets through once a second what would otherwise be said for every request."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next = 0.0

    def due(self) -> bool:
        """Whether to say it now."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + 1.0
        return True
