"""What a tenant says of itself for its invoices, and what was agreed with it about them.

Owns the fields, how they are read and written. What is not said is as the tenant and its issuer
have it: `api.invoicing.parties` puts the two together.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final

from domain.documents import KEY, DocumentError, Table, nearest
from domain.issuers import COUNTRY, TERMS_DAYS_MAX, read_email, read_lines, read_tax_id


class Issue(StrEnum):
    """What becomes of a draft."""

    AUTOMATIC = "automatic"  #: it is issued at once
    REVIEW = "review"  #: it waits for an operator


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What is said; None leaves it to the tenant's own record, or to its issuer."""

    name: str | None = None
    lines: tuple[str, ...] = ()  #: of the address
    country: str | None = None  #: ISO 3166 code, two letters: whose taxes are asked for
    tax_id: str | None = None
    email: str | None = None
    reference: str | None = None  #: what its accountants look for, such as a purchase order
    issuer: str | None = None  #: a key
    issue: Issue = Issue.AUTOMATIC
    terms_days: int | None = None  #: local days after its issue that an invoice is due on


UNSAID: Final = Profile()

#: What a tenant says itself; the rest is agreed with it, and operators write it down.
OF_OPERATORS: Final = ("country", "issuer", "issue", "terms_days")
OF_PARTY: Final = tuple(field.name for field in fields(Profile) if field.name not in OF_OPERATORS)


class ProfileError(DocumentError):
    """A profile that was refused, with every problem found in it."""


def parse_profile(
    document: Mapping[str, object],
    *,
    issuers: Collection[str] | None = None,
    country: str | None = None,
) -> Profile:
    """Read a profile, or raise ProfileError with every problem.

    `issuers` are those that may be named, `country` is the tenant's own, for its tax id; None: any,
    as in what was checked before.
    """
    top = Table(document)
    own = _text(top, "country", "write two capital letters, as ID", COUNTRY)
    checked = "" if country is None else own or country
    issuer = _text(top, "issuer", "name an issuer that is published, in lower case", KEY)
    if issuer and issuers is not None and issuer not in issuers:
        right = nearest(issuer, issuers) if issuers else "publish one, or leave it out"
        top.problem("issuer", f"{issuer!r} is not published", right)
    profile = Profile(
        name=_text(top, "name", "write the name that stands on its invoices, or leave it out"),
        lines=read_lines(top, "lines"),
        country=own,
        tax_id=read_tax_id(top, checked),
        email=read_email(top),
        reference=_text(top, "reference", "write what its accountants look for, or leave it out"),
        issuer=issuer,
        issue=Issue(top.choice("issue", tuple(Issue), Issue.AUTOMATIC) or Issue.AUTOMATIC),
        terms_days=top.whole("terms_days", 0, TERMS_DAYS_MAX) if top.has("terms_days") else None,
    )
    top.close()
    if top.problems:
        raise ProfileError("billing", top.problems)
    return profile


def written(profile: Profile) -> dict[str, object]:
    """What is said, as `parse_profile` reads it."""
    found = {
        name: value
        for name in (*OF_PARTY, *OF_OPERATORS)
        if (value := getattr(profile, name)) != getattr(UNSAID, name)
    }
    if profile.lines:
        found["lines"] = list(profile.lines)
    if profile.issue is not Issue.AUTOMATIC:
        found["issue"] = profile.issue.value
    return found


def _text(top: Table, field: str, right: str, like: re.Pattern[str] | None = None) -> str | None:
    return top.text(field, right, like) if top.has(field) else None
