"""Have a tenant's alerts mailed to an address, or change what goes there and when."""

from __future__ import annotations

import re
from dataclasses import dataclass

from api.addresses import EMAIL_LENGTH_MAX, shown
from api.limits import MAILBOXES_MAX
from api.operations.checks import find_tenant
from api.rights import Principal
from domain.problems import Problem
from domain.quiet_hours import QuietHours, minute_of, written
from domain.sentences import OF_NOTICES
from domain.watch import AlertKind
from persistence import mailboxes
from persistence.audit import Words, trace
from persistence.door import Door
from persistence.mailboxes import Mailbox

SCOPE = "billing:write"

#: What goes to a mailbox that does not say: all but what asks for nothing.
DEFAULT_KINDS = tuple(
    kind for kind in AlertKind if kind not in (AlertKind.RECOVERED, AlertKind.REFILL_STARTED)
)

# RFC 5321's plain form: one address, nothing quoted, no comment, and in ASCII, as servers take it.
ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
#: Not what letters take for an encoded word, which would be read as something else.
LOCAL_PART = re.compile(rf"(?!.*=\?){ATOM}(?:\.{ATOM})*")
LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
DOMAIN = re.compile(rf"(?:{LABEL}\.)+(?![0-9]+$){LABEL}")
LOCAL_PART_LENGTH_MAX = 64
LOCALE_LENGTH_MAX = 35  # the longest tag BCP 47 asks systems to take


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxSet:
    """What is asked for."""

    tenant: str  #: its key
    email: str
    locale: str | None = None  #: None: the tenant's, where there are sentences in it
    kinds: tuple[AlertKind, ...] | None = None  #: None: what usually goes there
    quiet_from: str | None = None  #: `22:00`, of the tenant's zone
    quiet_until: str | None = None
    urgent_anyway: bool = True


async def run(door: Door, principal: Principal, request: MailboxSet, *, now: int) -> Mailbox:
    """The mailbox as it now is; the same again changes nothing."""
    principal.require(SCOPE)
    tenant = await find_tenant(door, principal, request.tenant)
    email = checked_address(request.email)
    locale = checked_locale(request.locale, tenant.locale)
    kinds, quiet = checked_kinds(request.kinds), checked_hours(request)
    async with door.tenant_tx(tenant.tenant_id) as connection:
        before, after = await mailboxes.put(
            connection, tenant.tenant_id, email=email, locale=locale, kinds=kinds, quiet=quiet,
            urgent_anyway=request.urgent_anyway, most=MAILBOXES_MAX, now=now,
        )  # fmt: skip
        if after is None:
            raise Problem(
                "TOO_MANY", f"a tenant has at most {MAILBOXES_MAX} mailboxes: remove one", "email"
            )
        if before is None or told(before) != told(after):
            await trace(
                connection, tenant.tenant_id, "mailboxSet", f"mbx/{after.mailbox_id}", at=now,
                before=None if before is None else told(before), after=told(after),
            )  # fmt: skip
    return after


def checked_address(text: str) -> str:
    """One address, its domain in lower case."""
    local, _, domain = text.strip(" ").rpartition("@")
    if (
        len(local) > LOCAL_PART_LENGTH_MAX
        or len(local) + 1 + len(domain) > EMAIL_LENGTH_MAX
        or not LOCAL_PART.fullmatch(local)
        or not DOMAIN.fullmatch(domain)
    ):
        raise Problem(
            "INVALID_EMAIL",
            f"{shown(text)} is no e-mail address: write one such as ana@example.com, in ASCII",
            "email",
        )
    return f"{local}@{domain.lower()}"


def checked_locale(asked: str | None, of_tenant: str) -> str:
    """A language tag in which there are sentences for letters."""
    from babel import Locale, UnknownLocaleError

    def spoken(tag: str) -> bool:
        try:
            return Locale.parse(tag.replace("-", "_")).language in OF_NOTICES
        except (ValueError, UnknownLocaleError, TypeError):
            return False

    if asked is None:
        return of_tenant if spoken(of_tenant) else "en"
    if len(asked) > LOCALE_LENGTH_MAX or not spoken(asked):
        languages = ", ".join(sorted(OF_NOTICES))
        raise Problem(
            "INVALID", f"there are no letters in {asked[:40]!r}: write one of {languages}", "locale"
        )
    return asked


def checked_kinds(asked: tuple[AlertKind, ...] | None) -> tuple[AlertKind, ...]:
    """Kinds, each once and in their order."""
    if asked is None:
        return DEFAULT_KINDS
    if not asked:
        raise Problem("INVALID", "`kinds` is empty: name some, or leave it out", "kinds")
    return tuple(sorted(set(asked)))


def checked_hours(request: MailboxSet) -> QuietHours | None:
    """Quiet hours with both their ends, or none."""
    ends = {"quietFrom": request.quiet_from, "quietUntil": request.quiet_until}
    given = {field: text for field, text in ends.items() if text is not None}
    if not given:
        return None
    if missing := [field for field in ends if field not in given]:
        raise Problem("INVALID", "quiet hours have both ends: name both, or neither", missing[0])
    minutes = []
    for field, text in given.items():
        try:
            minutes.append(minute_of(text))
        except ValueError as error:
            raise Problem("INVALID", str(error), field) from None
    start, end = minutes
    try:
        return QuietHours(start, end)
    except ValueError as error:
        raise Problem("INVALID", str(error), "quietUntil") from None


def told(mailbox: Mailbox) -> Words:
    """A mailbox in the words of the audit."""
    quiet = mailbox.quiet
    return {
        "email": mailbox.email,
        "locale": mailbox.locale,
        "kinds": [kind.name for kind in mailbox.kinds],
        "quietFrom": None if quiet is None else written(quiet.start),
        "quietUntil": None if quiet is None else written(quiet.end),
        "urgentAnyway": mailbox.urgent_anyway,
    }
