"""The log: structlog in front of the standard library's, one line an event."""

from __future__ import annotations

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
