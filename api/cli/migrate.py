"""`migrate`: brings the database up to date. Owns no migration."""

from __future__ import annotations

import asyncio

from api.cli.database import at_hand
from api.cli.options import AsJson, Data
from api.cli.terminal import result, settings
from persistence.migrate import migrate as bring_up_to_date


def migrate(*, data: Data = None, as_json: AsJson = False) -> None:
    """Bring the database up to date; safe to run twice and at once."""
    with at_hand(settings(), data, up_to_date=False) as addresses:
        assert addresses.owner_url is not None
        news = asyncio.run(bring_up_to_date(addresses.owner_url))
    result("\n".join(news) or "up to date", {"applied": news}, as_json=as_json)
