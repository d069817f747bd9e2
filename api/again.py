"""A tenant's log read again: pages of facts and deeds in order, folded beside what is posted.

Owns what is remembered between pages: the place, the differences, who charges which message. The
caller gives a connection in a transaction, of its own for as long as it reads.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from heapq import merge
from typing import Any, Self

from api.edge import kept
from domain.deeds import Deed
from domain.facts import Fact
from domain.rate import claims_message
from domain.refold import Adjusted, Input, Refold, place
from domain.refold import Place as Position
from domain.settle import Difference, Posted, compare
from domain.state import Outcome, State
from domain.terms import Terms
from persistence import closing, load, log, settling
from persistence.closing import Checkpoint
from persistence.connection import Connection
from persistence.deeds import deeds, refunded
from persistence.log import BEGINNING, Place, PostedFact
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
        page_facts: int,
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
        self._page_facts = page_facts
        self._done = 0  #: of them
        self._met = 0  #: facts that came after the version, and were still ahead
        self.checkpoint: Checkpoint | None = None  #: where it began
        self._adjusted: list[tuple[Adjusted, PostedFact]] = []
        self._adjusted_done = 0
        self.stop: int | None = None  #: the end of the period that is being closed
        self.snapshot: dict[str, Any] | None = None  #: of the figures there

    @classmethod
    async def begin(
        cls, connection: Connection, own: Terms, version: int, *, page_facts: int = PAGE_FACTS
    ) -> Self:
        """Begin where nothing has happened yet; the books stand at `version`."""
        tenant_id = own.tenant_id
        await settling.open_contacts(connection)
        checkpoint = await closing.read(connection, tenant_id)
        known, past = await deeds(connection, tenant_id, own.balance_ids, version, checkpoint)
        state = State(version=0, digest=b"", last_lot=NEW_LOTS, next_due=None, unsettled_from=None)
        state.lot_ids = await settling.lot_ids(connection, tenant_id)
        refold = Refold(own, state, refunded(known))
        again = cls(connection, own, refold, known, version, page_facts)
        if checkpoint is not None:
            again.checkpoint = checkpoint
            again._after = Place(checkpoint.at, 0, "", "")
            closing.begin(refold, checkpoint, past)
            await closing.begin_contacts(connection, tenant_id, checkpoint.at)
            refold.past.legs |= await closing.legs(
                connection, tenant_id, refold.past.legs.keys(), checkpoint.at
            )
            await again._read_adjusted()
        return again

    async def goes_on(self, version: int) -> bool:
        """Whether nothing came behind the place that was reached, up to a version."""
        if version == self._version:
            return True
        own, connection = self.terms, self._connection
        came = await log.came_behind(
            connection, own.tenant_id, after=self._version, upto=self._after
        )
        if came != self._met:
            return False
        known, _ = await deeds(connection, own.tenant_id, own.balance_ids, version, self.checkpoint)
        reached: Position = self._after
        done = self._deeds[: self._done]
        if known[: bisect_right(known, reached, key=place)] != done:
            return False
        lot_ids = await settling.lot_ids(connection, own.tenant_id)
        made = (lot for lot in self.refold.lots.values() if lot.lot_id > NEW_LOTS)
        if any((lot.balance_id, lot.origin) in lot_ids for lot in made):
            return False  # somebody else has made it too by now
        self.refold.state.lot_ids = lot_ids
        if refunded(known) - self.refold.past.legs.keys():
            return False
        adjusted = [one.fact.key for one, _ in self._adjusted[: self._adjusted_done]]
        await self._read_adjusted()
        self._deeds, self._version = known, version
        return adjusted == [one.fact.key for one, _ in self._adjusted if place(one) <= reached]

    async def _read_adjusted(self) -> None:
        """Read the facts of closed periods that came since the closing."""
        if self.checkpoint is not None:
            rows = await log.adjusted(
                self._connection, self.terms.tenant_id, after=self.checkpoint.version,
                closed_until=self.checkpoint.at,
            )  # fmt: skip
            self._adjusted = [(Adjusted(kept(row, self.terms), at), row) for at, row in rows]

    async def page(self, until: int) -> bool:
        """Fold the next facts from before an instant; gives whether there may be more."""
        stop = self.stop
        if stop is None or until < stop:
            return await self._page(until)
        if not await self._page(stop):
            await self._rest(stop)
            self.snapshot, self.stop = closing.taken(self.refold, stop), None
            await closing.keep_contacts(self._connection, self.terms.tenant_id, stop)
        return True

    async def _page(self, until: int) -> bool:
        rows = await log.page(
            self._connection,
            self.terms.tenant_id,
            after=self._after,
            until=until,
            limit=self._page_facts,
        )
        if not rows:
            return False
        self._after, more = rows[-1].place, len(rows) == self._page_facts
        self._met += sum(row.version > self._version for row in rows)
        rows, facts = self.understood(rows)
        reached: Position = self._after
        late = self._adjusted_upto(reached)
        await self.read_along(*await self._take(rows, facts, late, reached))
        return more

    def _adjusted_upto(self, reached: Position) -> Sequence[tuple[Adjusted, PostedFact]]:
        first = self._adjusted_done
        while (
            self._adjusted_done < len(self._adjusted)
            and place(self._adjusted[self._adjusted_done][0]) <= reached
        ):
            self._adjusted_done += 1
        return self._adjusted[first : self._adjusted_done]

    async def _take(
        self,
        rows: Sequence[PostedFact],
        facts: Sequence[Fact],
        late: Sequence[tuple[Adjusted, PostedFact]],
        reached: Position,
    ) -> tuple[Sequence[PostedFact], Sequence[Fact], Sequence[Posted], Sequence[Outcome]]:
        """Fold facts with everything else up to a place, and compare."""
        own, state, tenant_id = self.terms, self.refold.state, self.terms.tenant_id
        if late:
            facts = [*facts, *(one.fact for one, _ in late)]
        await load.contacts(self._connection, {tenant_id: state}, facts, table="contacts_again")
        naming = [fact for fact in facts if claims_message(own, fact)]
        claims = await settling.claims(self._connection, tenant_id, naming)
        if late:
            await closing.windows(self._connection, own, state, facts)
        first, self._done = self._done, bisect_right(self._deeds, reached, key=place)
        inputs: Iterable[Input] = merge(
            facts[: len(rows)], self._deeds[first : self._done], (one for one, _ in late), key=place
        )
        outcomes = self.refold.take(inputs, self._repeated(naming, claims))
        posted = await settling.posted(self._connection, tenant_id, rows) if rows else []
        if late:
            by_time = sorted((row for _, row in late), key=lambda row: row.at)
            of_late = await settling.posted(self._connection, tenant_id, by_time)
            known = {row.key: each for row, each in zip(rows, posted, strict=True)}
            known |= {row.key: each for row, each in zip(by_time, of_late, strict=True)}
            facts = [outcome.fact for outcome in outcomes]
            posted = [known[fact.key] for fact in facts]
            of_rows = {row.key: row for row in (*rows, *by_time)}
            rows = [of_rows[fact.key] for fact in facts]
        for before, outcome in zip(posted, outcomes, strict=True):
            difference = compare(before, outcome)
            if difference is not None:
                self.differences.append(difference)
        await settling.keep_contacts(self._connection, tenant_id, self.refold.contacts.values())
        self.refold.contacts.clear()
        state.contacts.clear()
        state.closing.clear()
        self.facts += len(facts)
        return rows, facts, posted, outcomes

    def understood(self, rows: list[PostedFact]) -> tuple[list[PostedFact], list[Fact]]:
        """The rows of a page that are folded, and their facts."""
        return rows, [kept(row, self.terms) for row in rows]

    async def read_along(
        self,
        rows: Sequence[PostedFact],
        facts: Sequence[Fact],
        posted: Sequence[Posted],
        outcomes: Sequence[Outcome],
    ) -> None:
        """Told of each page: what is posted of its facts, and what their places make them."""

    async def finish(self, now: int) -> None:
        """Fold the rest, under the tenant's lock, and bring everything to `now`."""
        self.refold.present = now
        while await self.page(END):
            pass
        await self._rest(END)
        self.refold.advance(now)

    async def _rest(self, until: int) -> None:
        """Fold what stands behind the last fact, before an instant."""
        last: Position = (until, 0, "", "")
        taken = await self._take([], [], self._adjusted_upto(last), last)
        if taken[0]:
            await self.read_along(*taken)

    def _repeated(self, naming: Sequence[Fact], claims: dict[bytes, Claim]) -> dict[bytes, int]:
        """Of facts that name a message: those that another charges, and when."""
        repeated: dict[bytes, int] = {}
        closed_until = self.refold.state.closed_until
        for fact in naming:
            assert fact.message is not None
            mine, claim = self.claimed.get(fact.message), claims.get(fact.key)
            if mine is not None:
                repeated[fact.key] = mine[1]
            elif claim is None or claim.charged_by == fact.key:
                continue
            elif closed_until is not None and fact.began < closed_until:
                repeated[fact.key] = claim.charged_at  # a closed period charges nothing anew
            elif (claim.charged_at, claim.source or "", claim.id or "") < (
                fact.at, fact.source, fact.id
            ):  # fmt: skip
                repeated[fact.key] = claim.charged_at
            else:
                self.claimed[fact.message] = (fact.key, fact.at)
        return repeated
