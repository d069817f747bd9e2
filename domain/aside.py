"""Setting aside: the purse that authorisations rate with, which knows sums instead of lots.

Owns what a charge would take of them, and the bounds within which it would take the same: who keeps
the sums compares those again in the step that takes. It decides nothing about a send.
"""

from __future__ import annotations

from collections.abc import Mapping

from domain.books import Book
from domain.draw import UNIT
from domain.holds import Vector, vector
from domain.lots import Lot, LotSource
from domain.state import Counter
from domain.sums import LEFT, Bounds, CountKey, Sums, UncountedError, count_field
from domain.terms import Terms


class Aside:
    """The sums while one send is rated, recipient by recipient."""

    def __init__(
        self, terms: Terms, keys: Mapping[int, str], sums: Sums, *, on_credit: bool = True
    ) -> None:
        self._terms = terms
        self._keys = keys
        self._sums = sums
        self._on_credit = on_credit  #: whether credit limits count
        self._lots: dict[int, list[Lot]] = {}
        self._overdrafts: dict[int, Lot] = {}
        self._counters: dict[CountKey, Counter] = {}
        self._counted: dict[CountKey, int] = {}  #: as it was before the recipient
        self._asked: list[int] = []  #: balances that the recipient's charge asked, in turn
        self._bounds: dict[str, list[int | None]] = {}
        self.taken: dict[str, int] = {}  #: by field, of all recipients that have a share

    @property
    def owed(self) -> Lot | None:
        """What no balance held; None where all can be paid."""
        return next(iter(self._overdrafts.values()), None)

    def begin(self) -> None:
        """Begin the next recipient."""
        self._asked.clear()
        self._counted.clear()

    def paid_at(self, at: int) -> int:
        return at

    def lots(self, balance_id: int, at: int) -> list[Lot]:
        if balance_id not in self._asked:
            self._asked.append(balance_id)
        known = self._lots.get(balance_id)
        if known is None:
            amount = max(self.room(balance_id), 0)
            known = self._lots[balance_id] = [_lot(balance_id, LotSource.TOP_UP, amount)]
        return known

    def overdraft(self, balance_id: int, at: int) -> Lot:
        lot = self._overdrafts.get(balance_id)
        if lot is None:
            lot = self._overdrafts[balance_id] = _lot(balance_id, LotSource.OVERDRAFT, 0)
        return lot

    def counter(self, name: str, number_id: int, month: int) -> Counter:
        key = (name, number_id, month)
        counter = self._counters.get(key)
        if counter is None:
            value = self._sums.counts.get(count_field(*key))
            if value is None:
                raise UncountedError(key)
            counter = self._counters[key] = Counter(name, number_id, month)
            counter.value = value
        self._counted.setdefault(key, counter.value)
        return counter

    def share(self) -> Vector:
        """What the recipient's charge took, and how far the sums may move without changing it."""
        share: dict[str, int] = {}
        last = len(self._asked) - 1
        for place, balance_id in enumerate(self._asked):
            (lot,) = self._lots[balance_id]
            key = LEFT + self._keys[balance_id]
            taken, before = lot.used, self.taken.get(key, 0)
            lot.amount -= taken
            lot.used = 0
            lot.drawn_at = lot.tied_at = None
            credit = self._credit(balance_id)
            if taken:
                share[key] = taken
                self.taken[key] = before + taken
            if balance_id in self._overdrafts:
                continue  # it is refused as a whole, by bounds of its own
            # By what the balance had at the start: it paid all, or something, or nothing.
            is_unit = self._terms.balances[balance_id].kind == "unit"
            spare = UNIT - 1 if is_unit else 0
            if taken and place == last:
                self._bound(key, before + taken - credit, None)
            elif taken:
                self._bound(key, before + taken - credit, before + taken + spare - credit)
            else:
                self._bound(key, None, before + spare - credit)
        for count, was in self._counted.items():
            counted = self._counters[count].value - was
            name = count_field(*count)
            before = self.taken.get(name, 0)
            low, high = _segment(self._terms.book, count[0], was, counted)
            self._bound(
                name,
                None if low is None else low - before,
                None if high is None else high - before,
            )
            if counted:
                share[name] = counted
                self.taken[name] = before + counted
        return vector(share)

    def no_more(self) -> None:
        """Bound what the first recipient asked that cannot be paid: with more of it, it could."""
        for balance_id in self._asked:
            name = LEFT + self._keys[balance_id]
            self._bound(name, None, self._sums.left.get(name, 0))
        for count, was in self._counted.items():
            name = count_field(*count)
            self._bound(name, was - self.taken.get(name, 0), None)

    def _bound(self, name: str, low: int | None, high: int | None) -> None:
        bounds = self._bounds.setdefault(name, [None, None])
        if low is not None:
            bounds[0] = low if bounds[0] is None else max(bounds[0], low)
        if high is not None:
            bounds[1] = high if bounds[1] is None else min(bounds[1], high)

    def kept(self) -> tuple[Bounds, ...]:
        return tuple(Bounds(name, low, high) for name, (low, high) in self._bounds.items())

    def room(self, balance_id: int) -> int:
        left = self._sums.left.get(LEFT + self._keys[balance_id], 0)
        return left + self._credit(balance_id)

    def _credit(self, balance_id: int) -> int:
        return self._terms.balances[balance_id].credit_limit if self._on_credit else 0

    def needed(self, balance_id: int) -> int:
        """What all recipients so far need of a balance, held or not."""
        taken = self.taken.get(LEFT + self._keys[balance_id], 0)
        return taken + sum(
            lot.used for lot in [*self.lots(balance_id, 0), self.overdraft(balance_id, 0)]
        )

    def stuck(self) -> tuple[Bounds, ...]:
        """It stays refused while no balance that was asked has more, and no count moved."""
        names = [LEFT + self._keys[balance] for balance in self._lots]
        found = [Bounds(name, None, self._sums.left.get(name, 0)) for name in names]
        counts = (count_field(*key) for key in self._counters)
        return (*found, *(Bounds(each, self._sums.counts[each], None) for each in counts))


def _segment(book: Book, name: str, at: int, counted: int) -> tuple[int | None, int | None]:
    """Between which values a count may have stood for what it says to be the same."""
    low: int | None = None
    high: int | None = None
    for limit in book.limits.get(name, book.tier_limits):
        if limit <= at:
            low = limit
        else:
            high = limit
            break
    if high is None:
        return low, None
    if at + counted > high:
        return at, at  # it fell on both sides
    return low, high - max(counted, 1)


def _lot(balance_id: int, source: LotSource, amount: int) -> Lot:
    return Lot(
        lot_id=0, balance_id=balance_id, source=source, priority=0, month=None, amount=amount,
        starts_at=0, ends_at=None, created_at=0,
    )  # fmt: skip
