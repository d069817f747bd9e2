"""The letter that brings a report: what it says, and the file that is in it where it fits.

Owns what stands in one and how the file is put into it; how letters look is `reaching.letters`'.
The same report gives the same bytes, however often a letter is written: nothing of it is random.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from email.message import EmailMessage
from hashlib import sha256
from typing import Final

from api import ids
from api.limits import EXPORTS_KEPT_DAYS
from api.reaching.letters import Letter, Part, local_instant, message, set_out, shown_count
from api.reports import spec as specs
from api.reports.spec import Spec
from api.schema.amount import locale_of, shown
from api.schema.wording import language_of
from domain.periods import DAY, Zone, date_of
from domain.report_words import LABELS, PHRASES, TITLES
from domain.sentences import OF_NOTICES, Language, say
from persistence.exports import ExportRecord
from persistence.report_letters import ReportLetter
from persistence.report_schedules import PREFIX as OF_SCHEDULES
from persistence.tenants import TenantRecord

#: The largest file that goes with a letter: in base64 it is a third more, which most servers take.
FILE_BYTES_MAX: Final = 8 * 1024 * 1024

OF_EXPORTS: Final = "exp"

#: Bytes of a line of base64 before they are written so (RFC 2045: 76 characters at most).
LINE: Final = 57

#: Steps of sizes; each is a thousand of the one before.
SIZES: Final = ("KB", "MB", "GB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailed:
    """A report that is done, and one of those it is mailed to."""

    tenant: TenantRecord
    export: ExportRecord
    spec: Spec
    letter: ReportLetter

    @property
    def fits(self) -> bool:
        """Whether the file goes with the letter."""
        return self.export.size <= FILE_BYTES_MAX

    @property
    def locale(self) -> str:
        """In which it is written: the report's, else the tenant's, where there are words in it."""
        for tag in (self.spec.locale, self.tenant.locale):
            if tag and locale_of(tag).language in OF_NOTICES:
                return tag
        return Language.ENGLISH

    @property
    def file_name(self) -> str:
        return specs.file_name(self.spec, self.tenant.key, self.tenant.zone)


def compose(mailed: Mailed, public_url: str) -> Letter:
    """What a letter says of a report; `public_url` is empty where it is not known."""
    tag, export = mailed.locale, mailed.export
    language, zone = language_of(tag, OF_NOTICES), mailed.tenant.zone
    assert export.finished_at is not None
    as_of = export.progress.as_of or export.finished_at
    report = say(TITLES[mailed.spec.kind], language)
    days = range_text(mailed.spec, zone, tag, language)
    name, size = ids.encode(OF_EXPORTS, export.export_id), size_text(export.size, tag)
    if mailed.fits:
        told = say(PHRASES["attached"], language, file=mailed.file_name)
    else:
        until = local_instant(zone, export.finished_at + EXPORTS_KEPT_DAYS * DAY)
        told = say(PHRASES["too_large"], language, size=size, until=until, export=name)
    figures = {
        "report": report,
        "range": f"{days} ({zone.name_at(mailed.spec.start)})",
        "as_of": local_instant(zone, as_of),
        "figures": say(PHRASES["final" if mailed.letter.final else "estimate"], language),
    }
    if export.total:  # a picture has no rows
        figures["rows"] = shown_count(export.total, tag)
    figures |= {"file": f"{mailed.file_name} ({size})", "export": name}
    part = Part(
        heading=say(PHRASES["heading"], language, report=report, range=days),
        sentence=told,
        figures=[(say(LABELS[each], language), value) for each, value in figures.items()],
        advice=(),
        page=None if mailed.fits else public_url or None,
    )
    return set_out(mailed.tenant, [part], tag, footer(mailed, language))


def footer(mailed: Mailed, language: Language) -> str:
    """To whom it is sent, and why."""
    email, tenant, schedule_id = mailed.letter.email, mailed.tenant.name, mailed.letter.schedule_id
    if schedule_id is None:
        return say(PHRASES["footer"], language, email=email, tenant=tenant)
    name = ids.encode(OF_SCHEDULES, schedule_id)
    return say(PHRASES["footer_schedule"], language, email=email, tenant=tenant, schedule=name)


def range_text(spec: Spec, zone: Zone, tag: str, language: Language) -> str:
    """The range in words: days where it is of whole ones, else its ends by the zone's clocks."""
    from babel.dates import format_date

    start, end = spec.start, spec.end
    whole = zone.day_start(start) == start and zone.day_start(end) == end
    if not whole:
        ends = {"start": local_instant(zone, start), "end": local_instant(zone, end)}
        return say(PHRASES["between"], language, **ends)
    first, last = (
        format_date(date_of(zone.date(at)), format="long", locale=locale_of(tag))
        for at in (start, end - 1)
    )
    return first if first == last else say(PHRASES["between"], language, start=first, end=last)


def size_text(size: int, tag: str) -> str:
    """How large a file is, to a tenth, in the largest step it has one of."""
    step = 0
    tenths = max(size // 100, 1)
    while tenths >= 10_000 and step < len(SIZES) - 1:
        tenths, step = tenths // 1_000, step + 1
    return f"{shown(tenths * 100_000, None, tag, False)} {SIZES[step]}"


def write(
    mailed: Mailed, file: bytes | None, *, sender: str, message_id: str, public_url: str
) -> bytes:
    """The letter as a server of mail takes it; `file` is what goes with it."""
    made = message(
        compose(mailed, public_url), sender=sender, recipient=mailed.letter.email,
        message_id=message_id, at=mailed.letter.created_at, locale=mailed.locale,
    )  # fmt: skip
    name = sha256(message_id.encode()).hexdigest()[:32]
    if file is None:
        return _bounded(made, name).as_bytes()
    # The file takes its place when all else is written: a line of it at a time would go through
    # everything that headers and texts need.
    place = f"-{name}-"
    kind, _, of_kind = specs.MEDIA_TYPES[mailed.spec.format].partition(";")[0].partition("/")
    made.make_mixed()
    part = EmailMessage(policy=made.policy)
    part["Content-Type"] = f"{kind}/{of_kind}"
    part["Content-Transfer-Encoding"] = "base64"
    part.add_header("Content-Disposition", "attachment", filename=mailed.file_name)
    part.set_payload(place)
    made.attach(part)
    before, behind = _bounded(made, name).as_bytes().split(place.encode())
    return b"".join((before, _in_lines(file), behind))


def _bounded(made: EmailMessage, name: str) -> EmailMessage:
    """The letter with bounds between its parts that are the same each time."""
    parts = [part for part in made.walk() if part.is_multipart()]
    for n, part in enumerate(parts):
        part.set_boundary(f"=_{name}_{n}")
    return made


def _in_lines(file: bytes) -> bytes:
    width = LINE // 3 * 4
    told = base64.b64encode(file)
    return b"\r\n".join(told[at : at + width] for at in range(0, len(told), width))
