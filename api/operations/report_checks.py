"""Checks of reports that are mailed: to whom, how many letters, and whether anybody sends any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from api.limits import EXPORTS_KEPT_MAX, REPORT_LETTERS_OF_DAY_MAX, REPORT_RECIPIENTS_MAX
from api.operations.mailbox_set import checked_address
from domain.periods import DAY
from domain.problems import Problem
from persistence import report_letters
from persistence.connection import Connection

#: What has letters sent to whomever it names, as mailboxes do.
MAILS: Final = "billing:write"

FIELD: Final = "report.recipients"

#: Files of a tenant that are kept because letters wait to go with them.
WAITING_MAX: Final = 4 * EXPORTS_KEPT_MAX

NO_SERVER: Final = (
    "reports are not mailed here: ask the operator for a server of mail, or download what "
    "`exportCreate` makes when it names no recipients"
)


def checked_recipients(addresses: Sequence[str], *, mails: bool) -> tuple[str, ...]:
    """Addresses that letters go to, each once, as they were named; none of none.

    `mails`: whether this installation has a server of mail.
    """
    if not addresses:
        return ()
    if not mails:
        raise Problem("NO_MAIL_SERVER", NO_SERVER, FIELD)
    if len(addresses) > REPORT_RECIPIENTS_MAX:
        message = f"a report is mailed to at most {REPORT_RECIPIENTS_MAX} addresses"
        raise Problem("TOO_MANY", message, FIELD)
    found: dict[str, None] = {}
    for place, address in enumerate(addresses):
        try:
            found[checked_address(address)] = None
        except Problem as problem:
            field = f"{FIELD}[{place}]"
            raise Problem(problem.code, problem.message, field) from None
    return tuple(found)


async def check_letters(
    connection: Connection, tenant_id: int, recipients: Sequence[str], now: int
) -> None:
    """A tenant's reports are not mailed more often in a day than anybody needs.

    Whoever asks has locked the tenant: nobody else begins a report of it meanwhile.
    """
    if not recipients:
        return
    lately, waiting = await report_letters.count(connection, tenant_id, now - DAY)
    if lately + len(recipients) > REPORT_LETTERS_OF_DAY_MAX:
        message = (
            f"{lately} letters with reports went in the last 24 hours or are to go, of at most "
            f"{REPORT_LETTERS_OF_DAY_MAX}: name fewer recipients, or download the report"
        )
        raise Problem("TOO_MANY", message, FIELD)
    if waiting >= WAITING_MAX:
        message = (
            f"letters with {waiting} reports wait for the server of mail, of at most "
            f"{WAITING_MAX}: name no recipients and download the report, or wait"
        )
        raise Problem("TOO_MANY", message, FIELD)
