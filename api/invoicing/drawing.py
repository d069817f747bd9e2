"""Drawing up: what an invoice asks for, as a draft of the day it is drawn up on.

Owns what goes into which invoice: a closed period's usage with what subscriptions ask for the month
behind it in advance, the first days of a subscription, lines that somebody wrote. Who asks and who
is asked stands in `parties`, what a line is in `domain`; nothing is written here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from api.invoicing.parties import buyer_party, issuer_of, issuer_party, note_of
from domain.billing_profiles import Profile
from domain.invoices import Invoice, Line, drawn_up
from domain.issuers import Issuer
from domain.periods import month_name, month_of_name
from domain.problems import Problem
from domain.recurring import Ask, asked, line
from domain.sentences import Language
from domain.subscriptions import month_of
from domain.terms import Terms
from domain.usage_lines import to_lines
from persistence import closed_usage, invoices, subscriptions, tasks
from persistence.billing import said
from persistence.catalogue import Catalogue
from persistence.connection import Connection
from persistence.invoices import Asks, InvoiceRecord, Origin
from persistence.tenants import TenantRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A draft that is not kept yet, and what it asks for."""

    invoice: Invoice
    origin: Origin
    period: int | None = None  #: label of the closed month it is of
    asked_month: int | None = None  #: label of the month that is asked for in advance
    asks: Asks = field(default_factory=dict)

    async def keep(self, connection: Connection, tenant_id: int, at: int) -> InvoiceRecord:
        """Keep it as a draft of a locked tenant."""
        return await invoices.draft(
            connection, tenant_id, self.invoice, origin=self.origin, at=at, period=self.period,
            asked_month=self.asked_month, asks=self.asks,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """Who is asked by whom, in a locked tenant's transaction at an instant."""

    connection: Connection
    record: TenantRecord
    own: Terms
    profile: Profile
    issuer: Issuer
    now: int

    @classmethod
    async def of(
        cls,
        connection: Connection,
        catalogue: Catalogue,
        record: TenantRecord,
        own: Terms,
        now: int,
    ) -> Drawing:
        """What a tenant's invoices begin with; Problem where its issuer is not published."""
        profile, _ = await said(connection, own.tenant_id)
        return cls(
            connection=connection, record=record, own=own, profile=profile,
            issuer=issuer_of(catalogue, profile, own.at(now).plan), now=now,
        )  # fmt: skip

    async def of_period(self, label: int) -> Drawn | None:
        """The invoice of a closed period; None where there is nothing to say.

        Problem where the period is open, or was closed without an invoice.
        """
        own = self.own
        usage = await closed_usage.find(self.connection, own.tenant_id, label)
        if usage is None:
            message = f"{month_name(label)} was not closed to be invoiced: close it first"
            raise Problem("PERIOD_OPEN", message, "period")
        days = usage.first, usage.last
        names = {each.key: each.name for each in own.at(usage.end - 1).balances.values()}
        lines = to_lines(usage.lines, usage.currency, days, names)
        asks = await self._asks(label + 1)
        lines += tuple(self._line(ask) for each in asks.values() for ask in each)
        if not lines:
            return None
        return Drawn(
            invoice=self.draft(lines, days), origin=Origin.PERIOD, period=label,
            asked_month=label + 1, asks=asks,
        )  # fmt: skip

    async def of_start(self, key: str) -> Drawn | None:
        """The invoice of a subscription's first days; None where they are asked for already."""
        kept = await subscriptions.find(self.connection, self.own.tenant_id, key)
        if kept is None:
            return None
        month = month_of(kept.subscription.start)
        waiting = await tasks.names(self.connection, self.own.tenant_id, tasks.INVOICE)
        waiting += await tasks.names(self.connection, self.own.tenant_id, tasks.CLOSE)
        if periods := [name for name in waiting if not name.startswith(START)]:
            # Of one dated back: each period's invoice asks for the month behind it, for no earlier.
            month = max(month, month_of_name(min(periods)))
        asks = await self._asks(month, only=key)
        lines = tuple(map(self._line, asks.get(key, ())))
        if not lines:
            return None
        return Drawn(
            invoice=self.draft(lines), origin=Origin.START, asked_month=month, asks=asks
        )  # fmt: skip

    def _line(self, ask: Ask) -> Line:
        """A line in the tenant's language; in English where there are no words in that."""
        spoken = self.record.locale.replace("_", "-").partition("-")[0]
        known = spoken in {each.value for each in Language}
        language = Language(spoken) if known else Language.ENGLISH
        return line(ask, self.own.currency, language)

    async def _asks(self, month: int, *, only: str | None = None) -> Asks:
        """What each subscription that has begun asks for, with `month` in advance."""
        tenant_id, today = self.own.tenant_id, self.own.zone.date(self.now)
        before = await invoices.asked(self.connection, tenant_id)
        found: dict[str, tuple[object, ...]] = {}
        for kept in await subscriptions.of_tenant(self.connection, tenant_id):
            each = kept.subscription
            if each.start > today or only not in (None, each.key):
                continue
            so_far = before.get(each.key, invoices.Asked())
            latest = month if so_far.last_month is None else max(month, so_far.last_month)
            found[each.key] = asked(each, latest, so_far.asks, so_far.last_month)
        return found  # type: ignore[return-value]

    def draft(self, lines: Sequence[Line], period: tuple[int, int] | None = None) -> Invoice:
        """A draft of these lines, with the taxes of today."""
        own = self.own
        return drawn_up(
            lines, issuer=issuer_party(self.issuer), buyer=buyer_party(self.record, self.profile),
            currency=own.currency, locale=self.record.locale, zone=own.zone.name_at(self.now),
            taxes=own.taxes, day=own.zone.date(self.now), period=period, note=note_of(self.issuer),
        )  # fmt: skip

    def again(self, kept: Invoice) -> Invoice:
        """A draft as it is today: the same lines and note, by who asks and is asked today."""
        drawn = self.draft(kept.lines, kept.period)
        return replace(drawn, note=kept.note)


#: Of tasks that are of a subscription's first days; its key stands behind.
START: Final = "start/"
