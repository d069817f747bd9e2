"""What somebody may do: scopes, the roles of people and what each may, and who asks.

Owns the tables that the README prints. Owns no credential: `auth` turns those into principals.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from api.faults import Fault

#: What a key may allow, with the words that describe it.
SCOPES = {
    "events:write": "send facts",
    "usage:read": "read live figures, series and windows",
    "billing:read": "read balances, charges and invoices",
    "billing:write": "top up, refill and pay",
    "billing:adjust": "adjust and refund, agree terms, close and settle periods",
    "prices:publish": "publish price books",
    "send:authorize": "ask before a send",
    "keys:write": "create and revoke keys",
    "users:write": "create people, hand out sign-in links, grant billing access",
    "audit:read": "read who changed what",
}
ALL_SCOPES = frozenset(SCOPES)
WRITING = frozenset(
    {"billing:write", "billing:adjust", "prices:publish", "keys:write", "users:write"}
)

#: What a widget's token may allow: it reads.
WIDGET_SCOPES = frozenset({"usage:read", "billing:read"})


class BillingRight(StrEnum):
    """What billing access is granted to do; a right is the scope it gives."""

    VIEW = "billing:read"
    TOP_UP = "billing:write"
    ADJUST = "billing:adjust"
    PUBLISH_PRICES = "prices:publish"
    READ_AUDIT = "audit:read"


#: Rights that only people of the operator are granted.
OF_OPERATORS = frozenset({BillingRight.ADJUST, BillingRight.PUBLISH_PRICES})


class Role(StrEnum):
    """What a person is: the operator's, or something in one tenant."""

    OPERATOR = "operator"
    SUPER_ADMIN = "super_admin"
    ADMIN = "admin"
    SUPERVISOR = "supervisor"
    AGENT = "agent"


#: What a person may without any grant. A super-admin grants billing access, so has it (PE-1).
OF_ROLE = {
    Role.OPERATOR: frozenset({"usage:read", "billing:read", "keys:write", "users:write"}),
    Role.SUPER_ADMIN: frozenset(
        {"usage:read", "billing:read", "billing:write", "keys:write", "users:write", "audit:read"}
    ),
    Role.ADMIN: frozenset({"usage:read"}),
    Role.SUPERVISOR: frozenset({"usage:read"}),
    Role.AGENT: frozenset({"usage:read"}),
}

BILLING = frozenset(BillingRight)
NO_BILLING = "Ask a super-admin for billing access."


@dataclass(frozen=True, slots=True, kw_only=True)
class Widget:
    """What a widget's token is bound to."""

    origins: frozenset[str]
    documents: frozenset[str]  #: ids of stored documents, sha256:...


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody whose credential was right."""

    kind: Literal["operator", "tenant"]  #: whose
    tenant_id: int | None
    tenant_key: str | None
    scopes: frozenset[str]
    key_id: int | None  #: None: a person, or the operator's key of the environment
    name: str = "operator"  #: as traces tell it: "key abcd2345", "user usr_...", "operator"
    role: Role | None = None  #: of a person
    expires_at: int | None = None  #: when the credential ends by itself; microseconds, exclusive
    widget: Widget | None = None  #: what a widget's token is bound to
    full_name: str | None = None  #: of a person, as people write it

    @property
    def is_operator(self) -> bool:
        return self.kind == "operator"

    def may(self, scope: str) -> bool:
        return scope in self.scopes

    def sees(self, tenant_key: str) -> bool:
        """Whether a tenant exists as far as this principal is told."""
        return self.is_operator or tenant_key == self.tenant_key

    def sees_id(self, tenant_id: int) -> bool:
        return self.is_operator or tenant_id == self.tenant_id

    def require(self, scope: str) -> None:
        """Raise FORBIDDEN unless the scope is there; people are told whom to ask (PE-1)."""
        if scope in self.scopes:
            return
        if self.role is not None and scope in BILLING:
            raise Fault("FORBIDDEN", NO_BILLING, reason="BILLING_ACCESS_REQUIRED")
        whose = "a key with" if self.role is None else "somebody who has"
        raise Fault("FORBIDDEN", f"this needs {whose} the scope {scope} ({SCOPES[scope]})")

    def require_operator(self) -> None:
        """Raise FORBIDDEN unless it is an operator whose credential may change something."""
        if not self.is_operator:
            raise Fault("FORBIDDEN", "only an operator may do this")
        if not self.scopes & WRITING:
            raise Fault("FORBIDDEN", "this operator's key only reads")
