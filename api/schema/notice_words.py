"""How notices are told: in which language and locale, and an instant as people say it there.

Owns the argument that asks for a locale, and the patterns of each language. Which zone's clock is
meant is its caller's to say.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import strawberry

from api.schema.amount import locale_of
from api.schema.wording import language_of
from domain.periods import DAY, Zone, moment
from domain.sentences import OF_NOTICES, Language
from persistence.tenants import TenantRecord

Locale = Annotated[
    str | None,
    strawberry.argument(
        description="A language tag such as `id` or `es-MX`, in `en`, `id` or `es`; default: the "
        "tenant's, or `en` where there are no sentences in that."
    ),
]

#: By language: within the next days, later or at no known distance, and a day alone.
PATTERNS = {
    Language.ENGLISH: ("EEEE HH:mm", "EEEE d MMMM HH:mm", "d MMMM"),
    Language.INDONESIAN: ("EEEE 'pukul' HH.mm", "EEEE d MMMM 'pukul' HH.mm", "d MMMM"),
    Language.SPANISH: (
        "'el' EEEE 'a las' HH:mm", "'el' EEEE d 'de' MMMM 'a las' HH:mm", "'el' d 'de' MMMM",
    ),
}  # fmt: skip

#: Within so many days a weekday names one day.
NEAR = 6 * DAY


def told_in(record: TenantRecord, asked: str | None) -> tuple[str, Language]:
    """The locale of the figures, and the language of the words."""
    if asked is not None:
        return asked, language_of(asked, OF_NOTICES)
    spoken = locale_of(record.locale).language in OF_NOTICES
    tag = record.locale if spoken else Language.ENGLISH.value
    return tag, language_of(tag, OF_NOTICES)


def day_and_hour(at: int, zone: Zone, tag: str, language: Language, now: int | None = None) -> str:
    """An instant on a zone's clock: `Thursday 14:00` where it is near `now`, else with its date."""
    near, far, _ = PATTERNS[language]
    pattern = near if now is not None and 0 <= at - now < NEAR else far
    return _formatted(at, zone, tag, pattern)


def day_alone(at: int, zone: Zone, tag: str, language: Language) -> str:
    """The local date of an instant: `1 December`."""
    return _formatted(at, zone, tag, PATTERNS[language][2])


def _formatted(at: int, zone: Zone, tag: str, pattern: str) -> str:
    from babel.dates import format_datetime

    shown = moment(at).replace(tzinfo=None) + timedelta(microseconds=zone.offset(at))
    return str(format_datetime(shown, pattern, locale=locale_of(tag)))
