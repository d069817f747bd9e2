"""What is done behind commits: payments collected, people told, forecasts looked at.

Owns how those who do it are put together, and which task is whose. A process that serves requests
collects as well, where somebody waits for a page to pay on; tasks and looks are the jobs'.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from api.forecasting import Forecasting
from api.invoicing.closing import Closing
from api.invoicing.dunning import Dunning
from api.invoicing.ending import Ending
from api.invoicing.exporting import Exporting
from api.jobs import Step
from api.paying.collecting import Paying
from api.paying.notices import posting
from api.paying.providers import open_providers
from api.paying.sandbox import Sandbox
from api.paying.tokens import Tokens
from api.paying.work import Tools
from api.reaching.fan_out import FanOut
from api.reaching.mail import Mail
from api.reaching.posting import Poster
from api.reaching.signatures import Seals
from api.reaching.smtp import Server
from api.reaching.webhooks import Webhooks
from api.reports.mailing import Mailing
from api.reports.scheduling import Scheduling
from api.settling import Settling
from api.tasks import Handler, Tasks
from persistence import tasks
from persistence.catalogue import Catalogue
from persistence.show import Show

if TYPE_CHECKING:
    from api.core import Core


class Behind:
    """What works behind commits, in one process."""

    def __init__(self, core: Core, catalogue: Catalogue, show: Show, settling: Settling) -> None:
        door, now, signing, settings = core.door, core.clock.now, core.signing, core.settings
        providers, page = open_providers(settings, door, now, signing)
        self.paying = Paying(
            Tools(
                door=door, catalogue=catalogue, now=now, show=show, providers=providers, page=page,
                tokens=Tokens(signing),
            )
        )  # fmt: skip
        for provider in providers.values():
            if isinstance(provider, Sandbox):
                provider.post = posting(self.paying, provider)
        poster = Poster(now, loopback=signing.is_common)
        self.webhooks = Webhooks(door, Seals(signing), poster, now)
        closing = Closing(door, catalogue, show, settling, now)
        handlers: dict[str, Handler] = {
            tasks.PAYMENT: self.paying.handle,
            tasks.CLOSE: closing.close,
            tasks.INVOICE: closing.invoice,
            tasks.DUNNING: Dunning(door, catalogue, show, now).handle,
            tasks.ENDING: Ending(door, catalogue, show, now).handle,
            tasks.EXPORT: Exporting(door, now).handle,
            tasks.REPORT_SCHEDULE: Scheduling(door, now).handle,
            tasks.NOTIFY: FanOut(door, catalogue, now).handle,
            tasks.WEBHOOK: self.webhooks.handle,
        }
        if settings.smtp_url is not None:
            server, address = Server.of(settings.smtp_url), settings.public_url or ""
            mail = Mail(door, catalogue, now, server, public_url=address, sender=settings.mail_from)
            handlers[tasks.MAIL] = mail.handle
            mailing = Mailing(door, now, server, public_url=address, sender=settings.mail_from)
            handlers[tasks.REPORT_LETTER] = mailing.handle
        self.tasks = Tasks(door, now, core.metrics, handlers)
        self._forecasting = Forecasting(door, catalogue, now, show)

    @property
    def steps(self) -> dict[str, Step]:
        """What a process for jobs does again and again, by what it is called."""
        return {**self.tasks.steps, "forecasts": self._forecasting.step}

    async def stop(self) -> None:
        """Finish what was begun; nobody begins anything any more."""
        await asyncio.gather(self.tasks.stop(), self.webhooks.stop())
        await self.paying.stop()
