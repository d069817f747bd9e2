"""What the fold knows of one tenant at one version, and what a commit changes of it.

Owns the memory of lots, counters and contacts and the marks of what was touched; decides nothing.
A State is loaded for the keys a batch needs, changed in place by the fold, and worth keeping after
the commit: it is true as long as the tenant's head still has its version.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from domain.contacts import Contact
from domain.draw import Leg
from domain.facts import Fact, Status
from domain.holds import Kept
from domain.lots import Lot
from domain.periods import Period
from domain.refill_policy import Refill, Refilling
from domain.rollup import Dimensions
from domain.terms import Terms
from domain.watch import Alert, Mark


class Counter:
    """A free count (or tier count) of one month."""

    __slots__ = ("counted_at", "month", "name", "number_id", "value")

    def __init__(self, name: str, number_id: int, month: int) -> None:
        self.name = name
        self.number_id = number_id  #: 0 counts for the whole tenant
        self.month = month
        self.value = 0
        self.counted_at: int | None = None  #: the latest fact it counted


class State:
    """One tenant's figures, as far as they were loaded."""

    __slots__ = (
        "action", "adjusted", "alerted", "below", "closed_until", "closing", "contacts", "counters",
        "digest", "holds", "judged", "last_lot", "latest_at", "lot_ids", "lots", "lots_from",
        "months", "moved_at", "next_due", "period", "periods", "refilling", "room",
        "unsettled_from", "version",
    )  # fmt: skip

    def __init__(
        self,
        *,
        version: int,
        digest: bytes,
        last_lot: int,
        next_due: int | None,
        unsettled_from: int | None,
    ) -> None:
        self.version = version
        self.digest = digest
        self.last_lot = last_lot
        self.next_due = next_due
        self.unsettled_from = unsettled_from
        self.moved_at = 0  #: when something was moved last by an action, without being used
        self.latest_at = 0  #: the latest instant of a fact or an action: some are ahead of time
        self.alerted = 0  #: the version of the latest commit that raised alerts; 0: none did
        self.below: set[Mark] | None = None  #: thresholds that are passed; None: nobody watches
        self.refilling: dict[int, Refilling] = {}  #: by balance that was ever refilled by itself
        self.room: dict[int, int] = {}  #: by balance: what may be taken before one is reached
        self.lots: dict[int, list[Lot]] = {}  #: by balance, in drawing order
        self.lot_ids: dict[tuple[int, str], int] = {}  #: of lots that are made again, by origin
        self.action = ""  #: the idempotency key of what is done to the balances just now
        self.lots_from: int | None = None  #: lots that ended before it are not here
        self.closed_until: int | None = None  #: facts before it are adjusted (EV-3)
        self.adjusted: Collection[bytes] | None = None  #: folded again: which ones were
        self.closing: dict[bytes, Contact] = {}  #: by adjusted fact: its windows as they were
        self.period: Period | None = None  #: the one that lots tell their use within
        self.counters: dict[tuple[str, int, int], Counter] = {}
        self.months: set[int] = set()  #: months whose counters are here
        self.contacts: dict[tuple[int, str], list[Contact]] = {}  #: rows of (channel, party)
        self.periods: set[int] = set()  #: months whose period is known to be stored
        self.holds: dict[str, Kept | None] | None = None
        #: by id, None: it says nothing here; no holds at all: nobody judges what facts make of them
        self.judged: Mapping[bytes, int] | None = None
        #: by fact: the flags of its hold, where they were decided before

    def is_closed(self, fact: Fact) -> bool:
        """Whether a fact came after its period was closed."""
        if self.adjusted is not None:
            return fact.key in self.adjusted
        return self.closed_until is not None and fact.began < self.closed_until

    def unsettle(self, at: int) -> None:
        """Note that figures from an instant on may differ once they are settled (EV-9)."""
        before = self.unsettled_from
        self.unsettled_from = at if before is None else min(before, at)

    def contact(self, channel: int, party: str, number_id: int) -> Contact:
        """The row of a contact on a number, new if there is none."""
        rows = self.contacts.get((channel, party))
        if rows is None:
            rows = self.contacts[(channel, party)] = []
        for row in rows:
            if row.number_id == number_id:
                return row
        row = Contact(channel, party, number_id)
        rows.append(row)
        return row


class Part(NamedTuple):
    """One charge of a fact. Free ones have amount 0, no legs and the rule that made them free."""

    balance_id: int
    rule_id: int
    units: int  #: micros of what was counted
    amount: int  #: micros of the balance's unit
    legs: tuple[Leg, ...]


class Outcome(NamedTuple):
    """What became of one fact."""

    fact: Fact
    status: Status
    flags: int
    market: str
    parts: tuple[Part, ...]


class Charged(NamedTuple):
    """One charge as it stands in the books."""

    balance_id: int
    rule_id: int
    units: int
    amount: int
    legs: tuple[tuple[int, int], ...]  #: (lot, taken)


class Revision(NamedTuple):
    """What became of a kept fact when it was rated anew; its charges are those of its number."""

    fact: Fact
    revision: int  #: 1 for the first after the fact's own row
    status: Status
    flags: int
    parts: tuple[Part, ...]
    reversed: tuple[Charged, ...] = ()  #: what the revision before had charged


class Transfer(NamedTuple):
    """A movement between two accounts of one balance: `amount` leaves `debit` for `credit`."""

    at: int  #: when it took place; what time did may be booked later
    balance_id: int
    debit: str
    credit: str
    amount: int
    cause: int


@dataclass(slots=True)
class Changes:
    """Everything one commit changes of one tenant; absolute values but for the rollups."""

    terms: Terms
    state: State
    cause: int
    outcomes: list[Outcome] = field(default_factory=list)
    lots: dict[int, Lot] = field(default_factory=dict)
    lot_days: dict[tuple[int, int], list[int]] = field(default_factory=dict)  #: used, moved
    counters: dict[tuple[str, int, int], Counter] = field(default_factory=dict)
    contacts: list[Contact] = field(default_factory=list)
    periods: dict[int, Period] = field(default_factory=dict)
    transfers: list[Transfer] = field(default_factory=list)
    usage: dict[tuple[int, Dimensions], list[int]] = field(default_factory=dict)  #: by local hour
    revisions: list[Revision] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    refills: list[Refill] = field(default_factory=list)  #: each with an alert that says so
    holds: list[Kept] = field(default_factory=list)  #: those that ended or last longer

    @property
    def empty(self) -> bool:
        """Whether no figure changed, where no fact came: there is nothing to commit then."""
        figures = self.lots or self.transfers or self.periods or self.revisions
        return not (figures or self.alerts)
