"""Closed periods: what a fact costs that comes when its period takes no more facts (EV-3).

Owns the purse of such a fact: it is paid by the lots of the instant it came at, against counts that
stand still. Which row speaks of it and what windows were open goes by its own time.
"""

from __future__ import annotations

from domain.facts import Fact, Flag
from domain.ledger import Ledger
from domain.lots import Lot
from domain.state import Counter
from domain.terms import Terms

#: What an adjusted fact does not do: it opens nothing that covers or counts another.
NOT_OPENED = (
    Flag.SERVICE_OPENED | Flag.CONVERSATION_OPENED | Flag.CONVERSATION_PAID | Flag.ENTRY_OPENED
    | Flag.CATEGORY_OPENED
)  # fmt: skip


def adjusted_at(fact: Fact, closed_until: int) -> int:
    """The instant whose lots pay, and in whose hour an adjusted fact is counted."""
    return max(fact.arrived_at, closed_until)


def mark(terms: Terms, fact: Fact) -> int:
    """What a contact's row remembers of an adjusted visit, so that a second one is none (VI-1).

    The month, negative: it is told from a visit that was there when the period was closed.
    """
    return -terms.zone.day(fact.began).month


class Adjusting:
    """The figures as a fact of a closed period finds them."""

    def __init__(self, ledger: Ledger, at: int) -> None:
        self._ledger = ledger
        self._at = at

    def paid_at(self, at: int) -> int:
        return self._at

    def lots(self, balance_id: int, at: int) -> list[Lot]:
        return self._ledger.lots(balance_id, self._at)

    def overdraft(self, balance_id: int, at: int) -> Lot:
        return self._ledger.overdraft(balance_id, self._at)

    def counter(self, name: str, number_id: int, month: int) -> Counter:
        """A count as it stands; what is counted on it is forgotten."""
        found = Counter(name, number_id, month)
        known = self._ledger.state.counters.get((name, number_id, month))
        if known is not None:
            found.value = known.value
        return found
