"""The terms a tenant's facts are charged on: its zone, numbers, plan and price book, as in force.

Owns no figure. Surrogate numbers of balances and rules stand here because every row speaks them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from domain.books import Book
from domain.dunning import Dunned
from domain.facts import Channel
from domain.periods import Period, Zone
from domain.plans import BalancePlan, Plan
from domain.refill_policy import RefillPolicy
from domain.sending import DEFAULT, UNSAID, OwnSending, Sending, merged
from domain.standing import BEGINNING, Holding, Standing
from domain.taxes import NONE, Taxes
from domain.watch import Threshold


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
    blocked: bool = False  #: something is unpaid: sends are refused as if it were suspended
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
    dunned: Dunned | None = None  #: what of its sends is refused, for invoices are overdue
    country: str = ""  #: ISO code of the tenant's own
    tax_country: str = ""  #: whose taxes are asked for, where another one's were agreed
    taxes: Taxes = field(default=NONE, compare=False, repr=False)  #: of all countries
    international: Mapping[str, int] = field(default_factory=dict)
    #: by market, the local date from which it pays international authentication there (PR-5)
    #: by balance, what it is watched for where that is not what every balance is
    thresholds: Mapping[int, tuple[Threshold, ...]] = field(default_factory=dict)
    #: by balance, within how many days it is told to run out, where the tenant set that
    running_out: Mapping[int, int] = field(default_factory=dict)
    refills: Mapping[int, RefillPolicy] = field(default_factory=dict)
    #: by balance, how the tenant set it to be refilled; where it did not, it is not
    own_sending: OwnSending = UNSAID  #: what the tenant says itself, whatever its plan
    sending: Sending = DEFAULT  #: what holds under this plan; `dated` works it out
    hold_key: bytes = field(default=b"", repr=False)  #: signs the ids of its holds
    tariffs: dict[tuple[object, ...], object] = field(
        default_factory=dict, compare=False, repr=False
    )  #: what `rate` worked out before
    standing: Standing = None  # type: ignore[assignment]  #: default: on its one plan for ever
    views: list[tuple[int, Terms]] = field(default_factory=list, compare=False, repr=False)
    #: what holds from an instant on, by instant; shared by all of them
    allowances: dict[tuple[int, int], int] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.standing is None:
            holding = Holding(BEGINNING, self.plan)
            object.__setattr__(self, "standing", Standing(self.zone, self.since, (holding,)))

    def at(self, at: int) -> Terms:
        """These terms with the plan and the book in force at an instant."""
        for since, view in reversed(self.views):
            if since <= at:
                return view
        return self.views[0][1] if self.views else self

    def dated(self, standing: Standing, books: Mapping[str, Book]) -> Terms:
        """These terms under `standing`: its first plan here, each later one seen by `at`."""
        views: list[tuple[int, Terms]] = []
        balances: dict[int, BalancePlan] = {}
        for since, plan, _ in standing.holdings:
            for balance in plan.balances:
                if balance.key in self.balance_ids:
                    balances[self.balance_ids[balance.key]] = balance
            view = replace(
                self, plan=plan, book=books[plan.book], balances=dict(balances), tariffs={},
                standing=standing, views=views, allowances={},
                sending=merged(plan.sending, self.own_sending),
            )  # fmt: skip
            views.append((since, view))
        # What any of its plans has is known throughout: its lots may be older than the plan.
        for _, view in views:
            for balance_id, of_any_plan in balances.items():
                view.balances.setdefault(balance_id, of_any_plan)
        return views[0][1]

    def allowance(self, balance_id: int, span: Period) -> int:
        """What a balance is granted for a period (BA-12), worked out once."""
        key = (balance_id, span.label)
        known = self.allowances.get(key)
        if known is None:
            balance = self.balances[balance_id].key
            known = self.allowances[key] = self.standing.allowance(balance, span)
        return known
