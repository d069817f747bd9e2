"""Checks of reports that are mailed: to whom, how many letters, and whether anybody sends any."""

from __future__ import annotations

from collections.abc import Sequence

from api.limits import REPORT_LETTERS_OF_DAY_MAX, REPORT_RECIPIENTS_MAX
from api.operations.mailbox_set import checked_address
from domain.periods import DAY
from domain.problems import Problem
from persistence import report_letters
from persistence.connection import Connection

FIELD = "recipients"

NO_SERVER = (
    "nobody mails letters here: name no recipients and download the report, or have the operator "
    "set KUOTA_SMTP_URL"
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
            raise replace_field(problem, f"{FIELD}[{place}]") from None
    return tuple(found)


def replace_field(problem: Problem, field: str) -> Problem:
    """The same problem, of another field."""
    return Problem(problem.code, problem.message, field)


async def check_letters(
    connection: Connection, tenant_id: int, recipients: Sequence[str], now: int
) -> None:
    """A tenant's reports are not mailed more often in a day than anybody needs."""
    if not recipients:
        return
    lately = await report_letters.count(connection, tenant_id, now - DAY)
    if lately + len(recipients) > REPORT_LETTERS_OF_DAY_MAX:
        message = (
            f"{lately} letters with reports went in the last 24 hours, of "
            f"{REPORT_LETTERS_OF_DAY_MAX}: name fewer recipients, or download the report"
        )
        raise Problem("TOO_MANY", message, FIELD)
