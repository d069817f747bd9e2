"""The terms a tenant's facts are charged on: its zone, numbers, plan and price book, as in force.

Owns no figure. Surrogate numbers of balances and rules stand here because every row speaks them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from domain.books import Book
from domain.facts import Channel
from domain.periods import Zone
from domain.plans import BalancePlan, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberTerms:
    """One sender of a tenant."""

    number_id: int
    channel: Channel
    channel_name: str  #: as books and plans write it
    address: str  #: normalised
    zone: Zone  #: prices and free counts switch at its midnight (TZ-5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the fold needs to know of a tenant before it looks at any figure."""

    tenant_id: int
    key: str
    suspended: bool
    zone: Zone  #: allowances, visitors and rollups follow it (TZ-5)
    currency: str
    since: int | None  #: facts before it are refused (EV-3)
    plan: Plan
    book: Book
    settings: int  #: the head's count of changes of these terms
    numbers: dict[int, NumberTerms]
    addresses: dict[tuple[Channel, str], NumberTerms]
    spellings: dict[tuple[str | None, str], NumberTerms] = field(
        default_factory=dict, compare=False, repr=False
    )  #: numbers as events were seen to write them, with and without their channel
    balance_ids: dict[str, int]
    balances: dict[int, BalancePlan]
    rule_ids: dict[str, int]
    tariffs: dict[tuple[str, str, str, int], object] = field(
        default_factory=dict, compare=False, repr=False
    )  #: what `rate` worked out before
