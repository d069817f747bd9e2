"""A tenant's log read again: pages of facts and deeds in order, folded beside what is posted.

Owns what is remembered between pages: the place, the differences, who charges which message. The
caller gives a connection in a transaction, of its own for as long as it reads.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from heapq import merge
from typing import Self

from api.edge import kept
from domain.deeds import Deed
from domain.facts import Fact, Status, Type
from domain.rate import claims_message
from domain.refold import Adjusted, Input, Refold, place
from domain.refold import Place as Position
from domain.settle import Difference, Posted, compare
from domain.state import Outcome, State
from domain.terms import Terms
from persistence import checkpoints, closing, load, log, midnights, settling
from persistence.checkpoints import Checkpoint
from persistence.connection import Connection
from persistence.deeds import deeds, refunded
from persistence.log import BEGINNING, Place, PostedFact, was_chargeable

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
        self.claimed: dict[bytes, tuple[bytes, int] | None] = {}
        #: by message: the fact that charges it, where the books have another or none; None: nobody
        self._connection = connection
        self._version = version
        self._after = BEGINNING
        self._deeds = deeds
        self._page_facts = page_facts
        self._done = 0  #: of them
        self._met = 0  #: facts that came after the version, and were still ahead
        self.closing: Checkpoint | None = None  #: the latest: before it everything is closed
        self.checkpoint: Checkpoint | None = None  #: where it began: there or at a midnight
        self._adjusted: list[tuple[Adjusted, PostedFact]] = []
        self._adjusted_done = 0
        self.stop: int | None = None  #: the end of the period that is being closed
        #: where it is invoiced: the earliest end of a period whose units it takes out as well
        self.leaves_from: int | None = None
        self.midnights: list[int] = []  #: that are still to be passed
        self.ended: Checkpoint | None = None  #: the figures at `stop`
        self.passed: list[Checkpoint] = []  #: those at midnights
        self.lot_days: dict[tuple[int, int], tuple[int, int]] = {}
        #: as posted: what was used on days before it began, by calls that ended since

    @classmethod
    async def begin(
        cls,
        connection: Connection,
        own: Terms,
        version: int,
        *,
        page_facts: int = PAGE_FACTS,
        since: Checkpoint | None = None,
        midnights: Sequence[int] = (),
    ) -> Self:
        """Begin at a midnight, else at the latest closing, else where nothing has happened yet.

        The books stand at `version`. What is behind it of `midnights`, given in order, is passed.
        """
        tenant_id = own.tenant_id
        await settling.open_contacts(connection)
        closed = await closing.read(connection, tenant_id)
        known, past = await deeds(connection, tenant_id, own.balance_ids, version, closed)
        state = State(version=0, digest=b"", last_lot=NEW_LOTS, next_due=None, unsettled_from=None)
        state.lot_ids = await settling.lot_ids(connection, tenant_id)
        refold = Refold(own, state, refunded(known))
        again = cls(connection, own, refold, known, version, page_facts)
        again.closing, again.checkpoint = closed, since or closed
        if closed is not None:
            state.closed_until = closed.at
            await again._read_adjusted()
        begun = again.checkpoint
        if begun is None:
            again.midnights = list(midnights)
            return again
        again._after = Place(begun.at, 0, "", "")
        first: Position = again._after
        again.midnights = [at for at in midnights if at > begun.at]
        again._done = bisect_left(known, first, key=place)
        again._adjusted_done = bisect_left(again._adjusted, first, key=lambda one: place(one[0]))
        checkpoints.begin(refold, begun, [*past, *known[: again._done]])
        if since is None:
            await closing.begin_contacts(connection, tenant_id, begun.at, again.until)
        refold.past.legs |= await checkpoints.legs(
            connection, tenant_id, refold.past.legs.keys(), begun.at
        )
        return again

    @property
    def until(self) -> int:
        """The next midnight that is to be passed: contacts stand there as they last changed."""
        return self.midnights[0] if self.midnights else END

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
        if await settling.revised(connection, own.tenant_id, self._version):
            return False
        known, _ = await deeds(connection, own.tenant_id, own.balance_ids, version, self.closing)
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
        if self.closing is not None:
            rows = await log.adjusted(
                self._connection, self.terms.tenant_id, after=self.closing.version,
                closed_until=self.closing.at,
            )  # fmt: skip
            self._adjusted = [(Adjusted(kept(row, self.terms), at), row) for at, row in rows]

    async def page(self, until: int) -> bool:
        """Fold the next facts from before an instant; gives whether there may be more."""
        before = self.facts
        while self.facts == before:  # of midnights between which there is nothing many at once
            stop = min(self.until, END if self.stop is None else self.stop)
            if until < stop or stop == END:
                return await self._page(until)
            if not await self._page(stop):
                await self._rest(stop)
                self._after = max(self._after, Place(stop, 0, "", ""))
                if stop == self.stop:
                    await self._close(stop)
                if self.midnights and stop == self.midnights[0]:
                    self._come_to(stop)
                    await self.at_midnight(self.midnights.pop(0))
        return True

    async def _close(self, stop: int) -> None:
        """Take the figures where a period ends, and keep contacts as they stand there."""
        self._come_to(stop)
        if self.leaves_from is not None:
            self.refold.leave(self.leaves_from, stop)
        self.ended, self.stop = checkpoints.taken(self.refold, stop, since=stop), None
        tenant_id, begun = self.terms.tenant_id, self.checkpoint
        if begun is not None and begun is not self.closing:
            await midnights.bring_open(self._connection, tenant_id, begun.at, stop)
        await closing.keep_contacts(self._connection, tenant_id, stop)

    async def at_midnight(self, at: int) -> None:
        """Take the figures at a midnight, and keep contacts as they stand there."""
        await midnights.keep_contacts(self._connection, at)
        if self.checkpoint or self.facts or self._done:
            self.passed.append(self.figures(at))

    def _come_to(self, at: int) -> None:
        """Do what time did before an instant: it belongs to the days before it."""
        due = self.refold.state.next_due
        if due is not None and due < at:
            self.refold.advance(at - 1)

    def figures(self, at: int) -> Checkpoint:
        """The figures as they were folded up to a midnight."""
        since = None if self.closing is None else self.closing.at
        return checkpoints.taken(self.refold, at, since=since)

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
        rows = [row for row in rows if row.status != Status.ADJUSTED]  # in its place as it came
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
        if self.checkpoint is not self.closing and self.checkpoint is not None:
            at = self.checkpoint.at
            await midnights.bring_contacts(self._connection, tenant_id, at, facts)
        await load.contacts(self._connection, {tenant_id: state}, facts, table="contacts_again")
        if late:
            await closing.windows(self._connection, own, state, facts)
        first, self._done = self._done, bisect_right(self._deeds, reached, key=place)
        merged: Iterable[Input] = merge(
            facts[: len(rows)], self._deeds[first : self._done], (one for one, _ in late), key=place
        )
        inputs = [*merged]
        repeated = await self._repeated(inputs, [*rows, *(row for _, row in late)])
        outcomes = self.refold.take(inputs, repeated)
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
        if self.checkpoint is not None:
            self._cross(posted, outcomes)
        changed = self.refold.contacts.values()
        await settling.keep_contacts(self._connection, tenant_id, changed, self.until)
        self.refold.contacts.clear()
        state.contacts.clear()
        state.closing.clear()
        self.facts += len(facts)
        return rows, facts, posted, outcomes

    def _cross(self, posted: Sequence[Posted], outcomes: Sequence[Outcome]) -> None:
        """Add up what is posted of calls over the midnight where this began: it was used before."""
        assert self.checkpoint is not None
        begun = self.checkpoint.at
        for before, outcome in zip(posted, outcomes, strict=True):
            began = outcome.fact.began
            if began >= begun or outcome.status == Status.ADJUSTED:
                continue
            day = self.terms.zone.day_start(began)
            for part in before.parts:
                for lot_id, taken in part.legs:
                    used, _ = self.lot_days.get((lot_id, day), (0, 0))
                    self.lot_days[lot_id, day] = (used + taken, 0)

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

    async def _repeated(
        self, inputs: Iterable[Input], rows: Iterable[PostedFact]
    ) -> dict[bytes, int]:
        """Of facts that name a message: those that another charges, and when.

        A book that was published since may charge messages on another status: who has charged one
        may be nothing to charge by now, and nobody may have, of whom it is.
        """
        sent = {row.key for row in rows if row.type == Type.MESSAGE_SENT and was_chargeable(row)}
        naming: list[tuple[Fact, bytes, bool]] = []
        for one in inputs:
            fact = one.fact if isinstance(one, Adjusted) else one
            if isinstance(fact, Deed) or fact.message is None:
                continue
            claiming = claims_message(self.terms, fact)
            if claiming or fact.key in sent:
                naming.append((fact, fact.message, claiming))
        claims = await settling.claims(
            self._connection, self.terms.tenant_id, [fact for fact, _, _ in naming]
        )
        repeated: dict[bytes, int] = {}
        for fact, message, claiming in naming:
            claim, own = claims.get(fact.key), (fact.key, fact.at)
            mine = self.claimed.get(message)
            if not claiming:
                if message not in self.claimed and claim and claim.charged_by == fact.key:
                    self.claimed[message] = None
            elif mine is not None:
                repeated[fact.key] = mine[1]
            elif message in self.claimed or claim is None:
                self.claimed[message] = own
            elif claim.charged_by == fact.key:
                continue
            elif self._is_closed(fact):
                repeated[fact.key] = claim.charged_at  # a closed period charges nothing anew
            elif (claim.charged_at, claim.source or "", claim.id or "") < (
                fact.at, fact.source, fact.id
            ):  # fmt: skip
                repeated[fact.key] = claim.charged_at
            else:
                self.claimed[message] = own
        return repeated

    def _is_closed(self, fact: Fact) -> bool:
        closed_until = self.refold.state.closed_until
        return closed_until is not None and fact.began < closed_until
