"""A tenant's log read again: pages of facts and deeds in order, folded beside what is posted.

Owns what is remembered between pages: the place, the differences, who charges which message. The
caller gives a connection in a transaction, of its own for as long as it reads.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from heapq import merge
from typing import Self

from api.edge import kept
from domain.deeds import Deed
from domain.facts import Fact
from domain.rate import claims_message
from domain.refold import Input, Refold, place
from domain.refold import Place as Position
from domain.settle import Difference, compare
from domain.state import State
from domain.terms import Terms
from persistence import load, log, settling
from persistence.connection import Connection
from persistence.deeds import deeds, refunded
from persistence.log import BEGINNING
from persistence.settling import Claim

PAGE_FACTS = 2_000

#: Lots that the books do not have are numbered from here until they are posted.
NEW_LOTS = 1_000_000_000

#: After every fact.
END = (1 << 63) - 1


class Again:
    """One tenant's inputs, folded again from its beginning."""

    def __init__(
        self,
        connection: Connection,
        own: Terms,
        refold: Refold,
        deeds: Sequence[Deed],
        version: int,
    ) -> None:
        self.terms = own
        self.refold = refold
        self.facts = 0
        self.differences: list[Difference] = []
        self.claimed: dict[bytes, tuple[bytes, int]] = {}
        #: by message: the fact that charges it, where the books have a later one
        self._connection = connection
        self._version = version
        self._after = BEGINNING
        self._deeds = deeds
        self._done = 0  #: of them

    @classmethod
    async def begin(cls, connection: Connection, own: Terms, version: int) -> Self:
        """Begin where nothing has happened yet; the books stand at `version`."""
        await settling.open_contacts(connection)
        known = await deeds(connection, own.tenant_id, own.balance_ids, version)
        state = State(version=0, digest=b"", last_lot=NEW_LOTS, next_due=None, unsettled_from=None)
        state.lot_ids = await settling.lot_ids(connection, own.tenant_id)
        return cls(connection, own, Refold(own, state, refunded(known)), known, version)

    async def goes_on(self, version: int) -> bool:
        """Whether nothing came behind the place that was reached, up to a version."""
        if version == self._version:
            return True
        own = self.terms
        if await log.came_behind(
            self._connection, own.tenant_id, after=self._version, upto=self._after
        ):
            return False
        known = await deeds(self._connection, own.tenant_id, own.balance_ids, version)
        done = self._deeds[: self._done]
        if known[: self._done] != done or refunded(known) - self.refold.past.legs.keys():
            return False
        self._deeds, self._version = known, version
        return True

    async def page(self, until: int) -> bool:
        """Fold the next facts from before an instant; gives whether there may be more."""
        own, state, tenant_id = self.terms, self.refold.state, self.terms.tenant_id
        rows = await log.page(
            self._connection, tenant_id, after=self._after, until=until, limit=PAGE_FACTS
        )
        if not rows:
            return False
        facts = [kept(row, own) for row in rows]
        await load.contacts(self._connection, {tenant_id: state}, facts, table="contacts_again")
        naming = [fact for fact in facts if claims_message(own, fact)]
        claims = await settling.claims(self._connection, tenant_id, naming)
        self._after = rows[-1].place
        reached: Position = self._after
        first, self._done = self._done, bisect_right(self._deeds, reached, key=place)
        inputs: Iterable[Input] = merge(facts, self._deeds[first : self._done], key=place)
        outcomes = self.refold.take(inputs, self._repeated(naming, claims))
        posted = await settling.posted(self._connection, tenant_id, rows)
        for before, outcome in zip(posted, outcomes, strict=True):
            difference = compare(before, outcome)
            if difference is not None:
                self.differences.append(difference)
        await settling.keep_contacts(self._connection, tenant_id, self.refold.contacts.values())
        self.refold.contacts.clear()
        state.contacts.clear()
        self.facts += len(facts)
        return len(rows) == PAGE_FACTS

    async def finish(self, now: int) -> None:
        """Fold the rest, under the tenant's lock, and bring everything to `now`."""
        self.refold.present = now
        while await self.page(END):
            pass
        rest, self._done = self._deeds[self._done :], len(self._deeds)
        self.refold.take(rest, {})
        self.refold.advance(now)

    def _repeated(self, naming: Sequence[Fact], claims: dict[bytes, Claim]) -> dict[bytes, int]:
        """Of facts that name a message: those that another charges, and when."""
        repeated: dict[bytes, int] = {}
        for fact in naming:
            assert fact.message is not None
            mine, claim = self.claimed.get(fact.message), claims.get(fact.key)
            if mine is not None:
                repeated[fact.key] = mine[1]
            elif claim is None or claim.charged_by == fact.key:
                continue
            elif (claim.charged_at, claim.source or "", claim.id or "") < (
                fact.at, fact.source, fact.id
            ):  # fmt: skip
                repeated[fact.key] = claim.charged_at
            else:
                self.claimed[fact.message] = (fact.key, fact.at)
        return repeated
