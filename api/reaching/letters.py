"""Letters: what a mailbox is sent about alerts, as plain text and as HTML that says the same.

Owns what stands in one and how it is laid out; the words are `domain.letter_words`' and the
banner's. Nothing in one is fetched from anywhere, so nobody learns whether it was read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from html import escape
from typing import NamedTuple

from api import ids
from api.addresses import EMAIL
from api.schema.amount import shown
from api.schema.banner import LOW, BannerWords, Said
from api.schema.billing_banner import BillingWords, on_day
from api.schema.how_to_top_up import sold
from api.schema.wording import language_of, local_text
from domain import billing_notices
from domain.letter_words import ADVICE, CAUSES, LABELS, PHRASES, SUBJECTS
from domain.notices import NOTICES
from domain.periods import MINUTE, Zone, moment
from domain.plans import BalancePlan, Plan
from domain.sentences import OF_NOTICES, Language, Words, say
from domain.watch import AlertKind, Measure
from persistence.alerts import Alert
from persistence.catalogue import Catalogue
from persistence.letters import Item
from persistence.mailboxes import Mailbox
from persistence.tenants import TenantRecord

#: Characters of a subject; mail programs show some seventy.
SUBJECT_LENGTH_MAX = 200

#: Worst first: of several the subject names it.
GRAVITY = (
    AlertKind.OVERDRAWN, AlertKind.EXHAUSTED, AlertKind.REFILL_OFF, AlertKind.REFILL_FAILED,
    AlertKind.INVOICE_OVERDUE, AlertKind.REFILL_CAP, AlertKind.THRESHOLD, AlertKind.RUNNING_OUT,
    AlertKind.SUBSCRIPTION_ENDING, AlertKind.INVOICE_ISSUED, AlertKind.REFILL_STARTED,
    AlertKind.TOPPED_UP, AlertKind.REFILL_SUCCEEDED, AlertKind.INVOICE_PAID, AlertKind.RECOVERED,
)  # fmt: skip


class Letter(NamedTuple):
    """What somebody reads."""

    subject: str
    text: str
    html: str
    reply_to: str | None  #: whom to ask, where that is an address


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What a letter is written with."""

    catalogue: Catalogue
    now: int
    public_url: str  #: empty: it is not known


class Part(NamedTuple):
    """What a letter says of one alert."""

    heading: str
    sentence: str
    figures: Sequence[tuple[str, str]]  #: label and value
    advice: Sequence[str]
    page: str | None  #: where one tops up


def compose(desk: Desk, record: TenantRecord, mailbox: Mailbox, items: Sequence[Item]) -> Letter:
    """The letter that tells alerts of a tenant to a mailbox, in the order they are given."""
    tag, language = mailbox.locale, language_of(mailbox.locale, OF_NOTICES)
    tellers = [
        Teller(desk, record, tag, language, item, item.alert.balance)
        if item.alert.balance is not None
        else BillingTeller(record, tag, language, item)
        for item in items
    ]
    parts = [teller.part() for teller in tellers]
    footer = _footer(record, mailbox, language)
    lead = None
    if len(parts) > 1:
        lead = say(PHRASES["several"], language, count=shown_count(len(parts), tag))
    worst = min(zip(items, parts, strict=True), key=lambda each: _gravity(each[0]))[1]
    return Letter(
        subject=_subject(record, language, worst.heading, len(parts) - 1, tag),
        text=_text(lead, parts, footer),
        html=_html(language, lead, parts, footer),
        reply_to=next((found for each in tellers if (found := each.contact)), None),
    )


def laid_out(record: TenantRecord, mailbox: Mailbox, parts: Sequence[Part]) -> Letter:
    """A letter of parts that are of no alert; its subject names the first."""
    language = language_of(mailbox.locale, OF_NOTICES)
    return set_out(record, parts, mailbox.locale, _footer(record, mailbox, language))


def set_out(record: TenantRecord, parts: Sequence[Part], tag: str, footer: str) -> Letter:
    """As `laid_out`, to whoever the footer says it is sent to."""
    language = language_of(tag, OF_NOTICES)
    return Letter(
        subject=_subject(record, language, parts[0].heading, len(parts) - 1, tag),
        text=_text(None, parts, footer),
        html=_html(language, None, parts, footer),
        reply_to=None,
    )


def _footer(record: TenantRecord, mailbox: Mailbox, language: Language) -> str:
    return say(PHRASES["footer"], language, email=mailbox.email, tenant=record.name)


def _gravity(item: Item) -> tuple[bool, int]:
    """What is over is not the worst of several."""
    return item.over is not None, GRAVITY.index(item.alert.kind)


def _subject(record: TenantRecord, language: Language, what: str, more: int, tag: str) -> str:
    name = "subject_more" if more else "subject"
    count = {"more": shown_count(more, tag)} if more else {}
    told = say(PHRASES[name], language, tenant=record.name, what=what, **count)
    return " ".join(told.split())[:SUBJECT_LENGTH_MAX]


def shown_count(count: int, tag: str) -> str:
    """A whole number as a locale writes it."""
    return shown(count * 1_000_000, None, tag, False)


class BillingTeller:
    """How an alert of an invoice or of a subscription is told."""

    contact: str | None = None  #: the plan's contact is asked about balances

    def __init__(self, record: TenantRecord, tag: str, language: Language, item: Item) -> None:
        self._record = record
        self._language = language
        self._item = item
        self._words = BillingWords(tag, language)

    def part(self) -> Part:
        """What the letter says of it."""
        alert = self._item.alert
        named = {"number": alert.cause_id, "key": alert.cause_id}
        return Part(
            heading=say(SUBJECTS[alert.kind], self._language, **named),
            sentence=self._words.notice(alert, on_day(self._record, alert)),
            figures=[
                (say(billing_notices.LABELS[name], self._language), value)
                for name, value in self._figures(alert)
            ],
            advice=(),
            page=None,
        )

    def _figures(self, alert: Alert) -> Iterator[tuple[str, str]]:
        yield "at", local_instant(self._record.zone, alert.at)
        if alert.kind is AlertKind.SUBSCRIPTION_ENDING:
            yield "key", alert.cause_id
            yield "day", self._words.day(alert.base)
        else:
            yield "number", alert.cause_id
            yield "total", self._words.amount(alert, alert.base)
            yield "left", self._words.amount(alert, alert.remaining)
            if alert.due_on is not None:
                yield "due", self._words.day(alert.due_on)
        over = self._item.over
        if over is not None:
            since = billing_notices.SINCE["void" if over.void else "paid"]
            at = local_instant(self._record.zone, over.at)
            yield "meanwhile", say(since, self._language, at=at)
        yield "alert", ids.encode("alt", alert.alert_id)


class Teller:
    """How one alert of a balance is told."""

    def __init__(
        self, desk: Desk, record: TenantRecord, tag: str, language: Language, item: Item,
        key: str,
    ) -> None:  # fmt: skip
        self._desk = desk
        self._record = record
        self._tag = tag
        self._language = language
        self._item = item
        plan, balance = sold(desk, record, key)
        self._plan: Plan = plan
        self._balance: BalancePlan = balance

    @property
    def contact(self) -> str | None:
        """The address of whom to ask; None: the plan names a number, a page or nobody."""
        support = self._plan.support
        return support if support is not None and EMAIL.fullmatch(support) else None

    def part(self) -> Part:
        """What the letter says of it."""
        item = self._item
        alert = item.alert
        words = BannerWords(self._tag, self._language, self._plan, self._balance, self._record.zone)
        advice = list[str]()
        if alert.kind in LOW and item.over is None:
            advice.append(words.how())
            if alert.kind in ADVICE:
                advice.append(self._say(ADVICE[alert.kind]))
        self_service = self._plan.self_service and self._balance.top_up is not None
        return Part(
            heading=self._say(SUBJECTS[alert.kind], balance=self._balance.name),
            sentence=words.notice(Said.of(alert, alert.remaining, alert.base)),
            figures=[(self._say(LABELS[name]), value) for name, value in self._figures(alert)],
            advice=advice,
            page=self._desk.public_url if advice and self_service else None,
        )

    def _figures(self, alert: Alert) -> Iterator[tuple[str, str]]:
        yield "at", self._instant(alert.at)
        yield "remaining", self._amount(alert.remaining, down=True)
        if alert.base > 0 and alert.measure in (Measure.PERCENT, Measure.UNITS):
            yield "base", self._amount(alert.base)
        if alert.threshold > 0:
            whole = alert.measure is Measure.WHOLE
            yield "minimum" if whole else "threshold", self._threshold(alert)
        yield from self._payment()
        yield "cause", self._say(CAUSES[alert.cause])
        over = self._item.over
        if over is not None:
            remaining = self._amount(over.remaining, down=True)
            yield "meanwhile", self._phrase("over", at=self._instant(over.at), remaining=remaining)
        yield "alert", ids.encode("alt", alert.alert_id)

    def _payment(self) -> Iterator[tuple[str, str]]:
        """What was paid and for what, or why it was not."""
        paid = self._item.paid
        if paid is None:
            return
        if paid.issued is None:
            yield "total", self._money(paid.purchase.total, paid.purchase.currency)
            if paid.payment.reason:
                yield "reason", paid.payment.reason
            return
        receipt = paid.issued.receipt
        yield "added", self._amount(paid.purchase.amount)
        yield "receipt", paid.issued.number
        yield "net", self._money(receipt.net, receipt.currency)
        yield "tax", self._money(receipt.tax, receipt.currency)
        yield "total", self._money(receipt.total, receipt.currency)

    def _threshold(self, alert: Alert) -> str:
        if alert.measure is Measure.PERCENT:
            percent = shown(alert.threshold, None, self._tag, False)
            return say(NOTICES["percent"], self._language, percent=percent)
        if alert.measure is Measure.DAYS:
            return self._phrase("days", days=shown(alert.threshold, None, self._tag, False))
        return self._amount(alert.threshold)

    def _instant(self, at: int) -> str:
        return local_instant(self._record.zone, at)

    def _say(self, words: Words, **values: str) -> str:
        return say(words, self._language, **values)

    def _phrase(self, name: str, **values: str) -> str:
        return say(PHRASES[name], self._language, **values)

    def _amount(self, micros: int, *, down: bool = False) -> str:
        return shown(micros, self._balance.currency, self._tag, down)

    def _money(self, micros: int, currency: str) -> str:
        return shown(micros, currency, self._tag, False)


def local_instant(zone: Zone, at: int) -> str:
    """An instant by the clocks of a zone, which it names."""
    return f"{local_text(at, zone)} ({zone.name_at(at)}, {offset_of(zone.offset(at))})"


def offset_of(offset: int) -> str:
    """An offset from UTC, as `UTC+07:00`."""
    minutes = abs(offset) // MINUTE
    return f"UTC{'-' if offset < 0 else '+'}{minutes // 60:02d}:{minutes % 60:02d}"


def _text(lead: str | None, parts: Sequence[Part], footer: str) -> str:
    lines = [] if lead is None else [lead, ""]
    for part in parts:
        lines += [part.heading, "", part.sentence]
        lines += part.advice
        lines += [] if not part.page else [part.page]
        lines += ["", *(f"  {label}: {value}" for label, value in part.figures), ""]
    # What stands behind this line is a signature to programs that show mail.
    lines += ["-- ", footer, ""]
    return "\n".join(lines)


STYLE = "font-family:sans-serif;font-size:15px;line-height:1.45;color:#222;max-width:40em"
CELL = "padding:2px 12px 2px 0;vertical-align:top;text-align:left;font-weight:normal"


def _html(language: Language, lead: str | None, parts: Sequence[Part], footer: str) -> str:
    body = [] if lead is None else [f"<p>{escape(lead)}</p>"]
    for part in parts:
        body.append(f'<h1 style="font-size:18px;margin:24px 0 8px">{escape(part.heading)}</h1>')
        body.append(f"<p>{escape(' '.join([part.sentence, *part.advice]))}</p>")
        if part.page:
            page = escape(part.page)
            body.append(f'<p><a href="{page}">{page}</a></p>')
        body.append('<table style="border-collapse:collapse">')
        body += [
            f'<tr><th scope="row" style="{CELL};color:#666">{escape(label)}</th>'
            f'<td style="{CELL}">{escape(value)}</td></tr>'
            for label, value in part.figures
        ]
        body.append("</table>")
    body.append(f'<p style="margin-top:24px;font-size:12px;color:#666">{escape(footer)}</p>')
    return (
        f'<!DOCTYPE html>\n<html lang="{language.value}"><head><meta charset="utf-8"></head>\n'
        f'<body style="{STYLE}">\n' + "\n".join(body) + "\n</body></html>\n"
    )


def message(
    letter: Letter, *, sender: str, recipient: str, message_id: str, at: int, locale: str
) -> EmailMessage:
    """A letter as a server of mail takes it, from `sender`, dated `at`."""
    made = EmailMessage(policy=SMTP)
    made["From"] = sender
    made["To"] = recipient
    if letter.reply_to is not None:
        made["Reply-To"] = letter.reply_to
    made["Subject"] = letter.subject
    made["Date"] = moment(at)
    made["Message-ID"] = message_id
    # Whoever answers by machine shall not (RFC 3834).
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(letter.text, cte="quoted-printable")
    made.add_alternative(letter.html, subtype="html", cte="quoted-printable")
    made["Content-Language"] = locale
    return made
