"""Notices: what a mailbox is sent that is of no alert, such as an endpoint that was switched off.

Owns who is told and what the letter says; how letters look is `letters`', when they go `mail`'s.
"""

from __future__ import annotations

import msgspec

from api import ids
from api.reaching.bodies import DISABLED, spelt
from api.reaching.letters import Letter, Part, laid_out, local_instant
from api.schema.wording import language_of
from domain.periods import DAY, iso
from domain.sentences import OF_NOTICES, say
from domain.webhook_words import SWITCHED_OFF
from persistence import deliveries, mailboxes, webhooks
from persistence.connection import Connection
from persistence.deliveries import Channel, Delivery, New
from persistence.mailboxes import Mailbox
from persistence.tenants import TenantRecord
from persistence.webhooks import Endpoint

#: Kinds of events that are told by a notice, each in a letter of its own.
KINDS = frozenset({DISABLED})


class _Data(msgspec.Struct):
    url: str
    reason: str
    at: int


class _Event(msgspec.Struct):
    data: _Data


async def of_switched_off(connection: Connection, endpoint: Endpoint, now: int) -> None:
    """Have the mailboxes of a tenant told that we switched an endpoint of it off.

    Of one endpoint once a day, however often it is switched on again, and in our words alone: a
    mailbox may be anybody's.
    """
    assert endpoint.disabled_reason is not None
    name = ids.encode(webhooks.PREFIX, endpoint.endpoint_id)
    data = {
        "endpoint": name,
        "url": endpoint.url.partition("?")[0],
        "reason": endpoint.disabled_reason.value,
        "disabledAt": iso(now),
        "at": now,
    }
    body = spelt(DISABLED, now, data)
    news = [
        New(
            channel=Channel.MAIL, target_id=mailbox_id, event=f"{name}.{now // DAY}", kind=DISABLED,
            body=body, address="", due_at=due_at,
        )
        for mailbox_id, due_at in await mailboxes.due_for_notice(
            connection, endpoint.tenant_id, now
        )
    ]  # fmt: skip
    await deliveries.insert(connection, endpoint.tenant_id, news, now)


def compose(record: TenantRecord, mailbox: Mailbox, delivery: Delivery) -> Letter:
    """The letter of a notice, in the mailbox's language."""
    language = language_of(mailbox.locale, OF_NOTICES)
    data = msgspec.json.decode(delivery.body, type=_Event).data
    words = {name: say(each, language) for name, each in SWITCHED_OFF.items()}
    figures = [(words["at"], local_instant(record.zone, data.at)), (words["url"], data.url)]
    part = Part(
        heading=words["heading"],
        sentence=words[data.reason],
        figures=figures,
        advice=[words["advice"]],
        page=None,
    )
    return laid_out(record, mailbox, [part])
