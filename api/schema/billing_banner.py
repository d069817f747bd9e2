"""Banners of billing: what is said of an invoice or of a subscription that ends.

Owns which sentence says it and how its figures and days stand in it; the words are
`domain.billing_notices`'. What is said of a balance is `banner`'s.
"""

from __future__ import annotations

from dataclasses import dataclass

from api.schema.amount import locale_of, shown
from api.schema.notice_words import told_in
from domain.billing_notices import NOTICES
from domain.money import MICRO
from domain.periods import date_of
from domain.sentences import Language, say
from domain.watch import AlertKind
from persistence.alerts import Alert
from persistence.tenants import TenantRecord

#: A day with its year, by language.
DAYS = {
    Language.ENGLISH: "d MMMM y",
    Language.INDONESIAN: "d MMMM y",
    Language.SPANISH: "d 'de' MMMM 'de' y",
}


def banner_of_billing(
    record: TenantRecord, alert: Alert, asked: str | None, today: int | None = None
) -> str:
    """A banner in a locale, or in the tenant's where none is asked for.

    As it was when it was raised, or as things stand on a local day.
    """
    return BillingWords(*told_in(record, asked)).notice(alert, on_day(record, alert, today))


def on_day(record: TenantRecord, alert: Alert, today: int | None = None) -> int:
    """A local day, or the one on which an alert was raised."""
    return record.zone.date(alert.at) if today is None else today


@dataclass(frozen=True, slots=True)
class BillingWords:
    """How the figures and the days of an alert are told."""

    tag: str
    language: Language

    def notice(self, alert: Alert, today: int) -> str:
        """What is so on a local day."""
        if alert.kind is AlertKind.SUBSCRIPTION_ENDING:
            name = "ending" if today <= alert.base else "ended"
            return self._say(name, key=alert.cause_id, day=self.day(alert.base))
        values = {
            "number": alert.cause_id,
            "total": self.amount(alert, alert.base),
            "left": self.amount(alert, alert.remaining),
            "due": "-" if alert.due_on is None else self.day(alert.due_on),
        }
        if alert.kind is AlertKind.INVOICE_PAID:
            return self._say("paid", **values)
        if alert.kind is AlertKind.INVOICE_OVERDUE:
            days = 1 if alert.due_on is None else max(today - alert.due_on, 1)
            name = "overdue_one" if days == 1 else "overdue"
            return self._say(name, **values, days=shown(days * MICRO, None, self.tag, False))
        if alert.remaining <= 0:
            return self._say("issued_paid", **values)
        in_part = alert.remaining < alert.base
        return self._say("issued_in_part" if in_part else "issued", **values)

    def amount(self, alert: Alert, micros: int) -> str:
        """An amount of an alert's invoice."""
        return shown(micros, alert.currency, self.tag, False)

    def day(self, day: int) -> str:
        """A local day, as people write it: `14 December 2026`."""
        from babel.dates import format_date

        return str(format_date(date_of(day), DAYS[self.language], locale=locale_of(self.tag)))

    def _say(self, name: str, **values: str) -> str:
        return say(NOTICES[name], self.language, **values)
