"""Who asks and who is asked: an issuer and a tenant as they stand on an invoice.

Owns which of several issuers asks a tenant, and what holds where a tenant says nothing of itself.
"""

from __future__ import annotations

from typing import Final

from domain.billing_profiles import Profile
from domain.invoices import Party
from domain.issuers import Issuer, named_after_plan
from domain.plans import Plan
from domain.problems import Problem
from persistence.catalogue import Catalogue
from persistence.tenants import TenantRecord

#: The key of the issuer that asks tenants of whom nothing was agreed.
DEFAULT: Final = "default"


def issuer_of(catalogue: Catalogue, profile: Profile, plan: Plan) -> Issuer:
    """The one agreed with a tenant, else "default", else the only one, else as the plan names it.

    Problem where the one that was agreed is not published, or where several are and none was
    agreed: another one must not ask in its name.
    """
    issuers = catalogue.issuers
    if profile.issuer is not None:
        agreed = issuers.get(profile.issuer)
        if agreed is None:
            message = f"the issuer {profile.issuer} is not published: publish it, or agree another"
            raise Problem("NO_ISSUER", message, "issuer")
        return agreed
    if DEFAULT in issuers:
        return issuers[DEFAULT]
    if len(issuers) == 1:
        return next(iter(issuers.values()))
    if issuers:
        named = ", ".join(sorted(issuers))
        message = f"which of {named} asks is not agreed: agree one, or publish one as {DEFAULT!r}"
        raise Problem("NO_ISSUER", message, "issuer")
    return named_after_plan(plan.name, plan.support, plan.country)


def issuer_party(issuer: Issuer) -> Party:
    """An issuer as it stands on what it issues."""
    return Party(
        name=issuer.name,
        lines=issuer.lines,
        country=issuer.country,
        tax_id=issuer.tax_id,
        email=issuer.email,
        key=issuer.key,
        e_invoice=issuer.e_invoice,
    )


def buyer_party(record: TenantRecord, profile: Profile) -> Party:
    """A tenant as it stands on what it is asked for."""
    return Party(
        name=profile.name or record.name,
        lines=profile.lines,
        country=profile.country or record.country,
        tax_id=profile.tax_id,
        email=profile.email,
        key=record.key,
        reference=profile.reference,
    )


def terms_of(issuer: Issuer, profile: Profile) -> int:
    """Local days after its issue that an invoice is due on."""
    return issuer.terms_days if profile.terms_days is None else profile.terms_days


def note_of(issuer: Issuer) -> str:
    """What is printed at the end of an invoice: how to pay."""
    return issuer.pay
