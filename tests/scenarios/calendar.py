"""The days of a story: moments as written become instants. Owns which day a line stands under."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from domain.money import micros
from domain.periods import instant
from tests.scenarios.text import When


class Calendar:
    """A tenant's calendar with one day turned up."""

    def __init__(self, timezone: str) -> None:
        self._zone = ZoneInfo(timezone)
        self.day = date(2026, 10, 5)

    def turn(self, when: When) -> int:
        """The instant of a line's own time; the lines below stand under its day."""
        if when.day == "next day":
            self.day += timedelta(days=1)
        elif isinstance(when.day, date):
            self.day = when.day
        return self.look(when)

    def look(self, when: When) -> int:
        """The instant of a time that a line mentions."""
        day = when.day if isinstance(when.day, date) else self.day
        hours, minutes, *seconds = when.time.split(":")
        zone = UTC if when.utc else self._zone
        at = datetime(day.year, day.month, day.day, int(hours), int(minutes), tzinfo=zone)
        return instant(at) + (micros(seconds[0]) if seconds else 0)

    def bounds(self, day: date) -> tuple[int, int]:
        """A local day's first instant and the next one's."""
        midnight, after = When(day, "00:00", False), When(day + timedelta(days=1), "00:00", False)
        return self.look(midnight), self.look(after)
