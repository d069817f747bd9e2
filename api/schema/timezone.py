"""A zone that was agreed for later, as clients see it (TZ-3)."""

from __future__ import annotations

import strawberry

from api.schema.scalars import DateTime
from domain.periods import Zone


@strawberry.type(description="Another zone, agreed but not in force yet.")
class TimezoneChange:
    timezone: str = strawberry.field(description="The IANA zone that is to come.")
    starts_at: DateTime = strawberry.field(
        description="From when on it holds: a month's first instant in the zone before it."
    )

    @classmethod
    def of(cls, zone: Zone, now: int) -> TimezoneChange | None:
        """What of a zone is still to come."""
        for since, name in zone.changes:
            if since is not None and since > now:
                return cls(timezone=name, starts_at=DateTime(since))
        return None
