"""Readings: the state of a tenant's balances at one version, as everybody who shows them takes it.

Owns what belongs to a reading, when time alone will change it, and how it comes out of the state a
commit leaves. A reading is absolute: two of one tenant are told apart by version and instant, and
the later one is all a watcher needs. What it means for a balance is `figures`' to say.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from domain.figures import LotUse
from domain.lots import Lot
from domain.periods import Period
from domain.state import Changes


@dataclass(slots=True, kw_only=True)
class Pot:
    """One balance's lots, each with its use before the period and within it."""

    lots: list[LotUse] = field(default_factory=list)
    held: int = 0  #: micros set aside by holds that are open at the instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The balances of a tenant in the period of an instant."""

    version: int  #: of the tenant's head; 0 before its first commit
    cause: int  #: of the commit that made the version
    at: int  #: the instant it was taken at
    period: Period
    closed: bool  #: the period takes no more facts, its figures are final
    next_due: int | None  #: of the head: when something is next booked by time
    pots: dict[str, Pot]  #: by balance key
    alerted: int = 0  #: the version of the latest commit that raised alerts; 0: none did
    held_at: int = 0  #: when what is held last changed; 0: what is held is not known
    held_until: int | None = None  #: when a hold next gives something back by itself

    @property
    def valid_until(self) -> int:
        """The first instant from which time alone may give other figures.

        Of what is held that instant may have come when it is told, and it is to be read again.
        """
        booked = self.booked_until
        return booked if self.held_until is None else min(booked, self.held_until)

    @property
    def booked_until(self) -> int:
        """The first instant after `at` from which time alone may give other lots."""
        edges = [self.period.end, self.next_due]
        for pot in self.pots.values():
            for lot in pot.lots:
                edges += (lot.starts_at, lot.ends_at)
        return min(edge for edge in edges if edge is not None and edge > self.at)


def reading_of(changes: Changes, now: int) -> Reading:
    """The reading a commit at `now` leaves; the state has every lot of the period."""
    terms, state = changes.terms, changes.state
    span = state.period
    assert span is not None, "lots are loaded with their period"
    return Reading(
        version=state.version,
        cause=changes.cause,
        at=now,
        period=span,
        closed=False,
        next_due=state.next_due,
        alerted=state.alerted,
        pots={
            key: Pot(
                lots=[
                    _use(lot)
                    for lot in state.lots.get(balance_id, ())
                    if lot.starts_at < span.end
                    and (lot.ends_at is None or lot.ends_at > span.start)
                ]
            )
            for key, balance_id in terms.balance_ids.items()
        },
    )


def _use(lot: Lot) -> LotUse:
    return LotUse(
        lot_id=lot.lot_id,
        source=lot.source,
        priority=lot.priority,
        month=lot.month,
        amount=lot.amount,
        starts_at=lot.starts_at,
        ends_at=lot.ends_at,
        created_at=lot.created_at,
        used_before=lot.used_before,
        used=lot.used_within,
        moved_before=lot.moved_before,
        moved=lot.moved_within,
    )
