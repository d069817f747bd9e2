"""Simulate: what recorded traffic would cost under another book or plan, beside what it did.

Owns what may be asked and the reading, page by page in short read-only transactions, beside facts
that come in. What is charged and summed is the domain's to say; nothing is kept.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from api.addresses import shown
from api.edge import kept
from api.limits import SIMULATIONS_MAX
from api.operations.checks import checked_plan, find_tenant
from api.operations.price_book_publish import PriceBookPublish, check
from api.rights import Principal
from domain.books import Book
from domain.lots import LotSource
from domain.periods import Interval, Zone, period
from domain.plans import BalancePlan, Plan
from domain.problems import Problem
from domain.rate import claims_message
from domain.refold import Refold
from domain.simulate import Line, Sums, as_if, opening, remember
from domain.terms import Terms
from persistence import load, log, settling, simulating, terms
from persistence.catalogue import Catalogue
from persistence.connection import Connection
from persistence.door import Door, tenant_scope
from persistence.log import PostedFact
from persistence.publishing import Shelf
from persistence.tenants import TenantRecord

#: Facts folded before others are served.
PAGE_FACTS = 500

#: The instants of a tenant's range, by its zone and the present.
Range = Callable[[Zone, int], Interval]


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulate:
    """What is asked for."""

    tenant: str  #: its key
    range: Range | None = None  #: None: the tenant's last month that is over
    book: str | None = None  #: the key of a published one
    document: PriceBookPublish | None = None  #: a book that is not published
    plan: str | None = None  #: the key of one
    as_of: int | None = None  #: the local date whose rules hold; None: each fact's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """What traffic would have cost."""

    tenant: TenantRecord
    own: Terms
    terms: Terms  #: as if
    range: Interval
    as_of: int | None
    version: int  #: of the tenant's figures; what came later is not in it
    unsettled_from: int | None  #: from when on what was charged may still be corrected
    sums: Sums

    @property
    def settled(self) -> bool:
        """Whether what was charged is final, as far as the facts that came go."""
        return self.unsettled_from is None or self.unsettled_from >= self.range[1]

    @property
    def lines(self) -> list[Line]:
        """By month, number, market and category."""
        numbers = self.terms.numbers

        def place(line: Line) -> tuple[object, ...]:
            number = numbers[line.place.number_id]
            return (
                line.place.month, number.channel, number.address, line.place.market,
                line.place.category,
            )  # fmt: skip

        return sorted(self.sums.lines.values(), key=place)

    @property
    def balances(self) -> list[BalancePlan]:
        """Balances of the plans simulated, then those that only the tenant has."""
        found: dict[str, BalancePlan] = {}
        for each in (self.terms, self.own):
            for balance in each.balances.values():
                found.setdefault(balance.key, balance)
        return list(found.values())

    @property
    def money(self) -> tuple[int, int]:
        """What was charged and what would have been, in micros of the tenant's currency."""
        lines = self.sums.lines.values()
        return sum(line.charged.money for line in lines), sum(
            line.simulated.money for line in lines
        )

    @property
    def plans(self) -> list[str]:
        """The keys of the plans simulated, each once."""
        return list(dict.fromkeys(each.plan.key for each in self.terms.standing.holdings))

    @property
    def books(self) -> list[str]:
        """The keys of the books simulated, each once."""
        return list(dict.fromkeys(view.book.key for _, view in self.terms.views))


class Progress:
    """How far a simulation has come; told after every page."""

    def begin(self, total: int) -> None:
        """There are so many facts to read; a Problem where they are too many."""

    def done(self, facts: int) -> None:
        """So many of them were folded."""


_running = 0  #: simulations of this process: each has a connection of its own


async def run(
    door: Door,
    catalogue: Catalogue,
    principal: Principal,
    request: Simulate,
    *,
    now: int,
    progress: Progress,
) -> Simulated:
    """Simulate; a Problem names what is wrong with what is asked for."""
    tenant = await find_tenant(door, principal, request.tenant)
    async with door.tenant_tx(tenant.tenant_id) as connection:
        heads = await load.heads(connection, [tenant.tenant_id])
        (own,) = await terms.by_ids(connection, catalogue, [tenant.tenant_id])
    head = heads[tenant.tenant_id]
    plan = None if request.plan is None else _plan(catalogue, principal, own, request.plan)
    book = await _book(door, catalogue, principal, own, request, now)
    if book is not None and book.currency != own.currency:
        raise Problem(
            "CURRENCY_MISMATCH",
            f"book {book.key} is in {book.currency}, the tenant pays in {own.currency}: name a "
            f"book in {own.currency}",
            "book" if request.document is None else "document",
        )
    simulated = as_if(own, catalogue.books, plan=plan, book=book, date=request.as_of)
    span = (request.range or last_month)(own.zone, now)
    async with _connection(door) as connection:
        reading = Reading(connection, own, simulated, span, head["version"])
        await reading.begin(progress)
        more = True
        while more:
            more = await reading.page()
            progress.done(reading.facts)
    return Simulated(
        tenant=tenant,
        own=own,
        terms=simulated,
        range=span,
        as_of=request.as_of,
        version=head["version"],
        unsettled_from=head["unsettled_from"],
        sums=reading.sums,
    )


def last_month(zone: Zone, now: int) -> Interval:
    """The tenant's last period that is over."""
    before = period(zone, period(zone, now).start - 1)
    return before.start, before.end


class Reading:
    """A tenant's log, read once from before its range to the range's end."""

    def __init__(
        self, connection: Connection, own: Terms, simulated: Terms, span: Interval, version: int
    ) -> None:
        self.facts = 0  #: read
        self.sums: Sums
        self._connection = connection
        self._own = own
        self._simulated = simulated
        self._span = span
        self._version = version
        self._first, self._start = _beginnings(own, span[0])
        self._end = span[1]
        self._after = log.BEGINNING._replace(at=self._start)
        self._refold: Refold
        self._sources: dict[int, LotSource] = {}

    async def begin(self, progress: Progress) -> None:
        """Look how much there is to read, and at what the first period begins with."""
        connection, tenant_id = self._connection, self._own.tenant_id
        async with connection.transaction():
            await connection.execute(tenant_scope([tenant_id]))
            self._end = await simulating.end_of_calls(connection, tenant_id, self._span[1])
            progress.begin(await simulating.count(connection, tenant_id, self._start, self._end))
            same_plan = self._simulated.standing is self._own.standing
            bought = await simulating.bought(
                connection, tenant_id, self._first, self._span[1], upgrades=same_plan
            )
            await simulating.begin(connection)
        self._refold = Refold(self._simulated, opening(self._simulated, bought))
        self.sums = Sums(self._own, self._simulated, self._span, self._sources)

    async def page(self) -> bool:
        """Fold the next facts; gives whether there may be more.

        Nothing can be written meanwhile but the session's own tables.
        """
        connection, tenant_id = self._connection, self._own.tenant_id
        counted = self._after.at >= self._first
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute(tenant_scope([tenant_id]))
            until = self._end if counted else self._first
            rows = await log.page(
                connection, tenant_id, after=self._after, until=until, limit=PAGE_FACTS
            )
            if rows:
                self._after = rows[-1].place
                await self._take([row for row in rows if row.version <= self._version], counted)
                self.facts += len(rows)
        if len(rows) < PAGE_FACTS and not counted:
            self._after = log.BEGINNING._replace(at=self._first)
            return True
        return len(rows) == PAGE_FACTS

    async def _take(self, rows: list[PostedFact], counted: bool) -> None:
        connection, tenant_id = self._connection, self._own.tenant_id
        terms, refold = self._simulated, self._refold
        facts = [kept(row, self._own) for row in rows]
        naming = [fact for fact in facts if claims_message(terms, fact)]
        repeated = await simulating.repeated(connection, tenant_id, naming, self._start)
        state = refold.state
        await load.contacts(connection, {tenant_id: state}, facts, table="contacts_again")
        if counted:
            outcomes = refold.take(facts, repeated)
            posted = await settling.posted(connection, tenant_id, rows) if rows else []
            lots = {lot for before in posted for part in before.parts for lot, _ in part.legs}
            if lots - self._sources.keys():  # a settling makes new ones meanwhile
                self._sources.update(await simulating.sources(connection, tenant_id))
            for before, outcome in zip(posted, outcomes, strict=True):
                self.sums.add(before, outcome)
            touched = list(refold.contacts.values())
        else:
            for row, fact in zip(rows, facts, strict=True):
                contact = state.contact(fact.channel, fact.party, fact.number_id)
                remember(self._own, contact, fact, row.status, row.flags)
            touched = [contact for rows_of in state.contacts.values() for contact in rows_of]
        await settling.keep_contacts(connection, tenant_id, touched, settling.EARLIEST)
        refold.contacts.clear()
        state.contacts.clear()


def _beginnings(own: Terms, start: int) -> tuple[int, int]:
    """The period that facts are charged from, for those from `start` on, and what is read first.

    Counts go by the months of every zone (TZ-5), allowances by the tenant's; windows that are open
    then reach back before both.
    """
    zones = {own.zone, *(number.zone for number in own.numbers.values())}
    first = min(zone.month_bounds(zone.month(start))[0] for zone in zones)
    first = period(own.zone, first).start
    rules = [rule for _, view in own.views for rule in view.book.windows.values()]
    # A free-entry window is opened by the answer to what came within the service window before.
    reach = [max(each.conversation, each.free_entry + each.customer_service) for each in rules]
    return first, max(first - max(reach, default=0), 0)


@asynccontextmanager
async def _connection(door: Door) -> AsyncIterator[Connection]:
    """A connection with tables of its own; a Problem while others have all there are."""
    global _running
    if _running >= SIMULATIONS_MAX:
        raise Problem("BUSY", f"{SIMULATIONS_MAX} simulations run already: try again in a moment")
    _running += 1
    try:
        connection = await door.lane()
        try:
            yield connection
        finally:
            await connection.close(timeout=5)
    finally:
        _running -= 1


def _plan(catalogue: Catalogue, principal: Principal, own: Terms, key: str) -> Plan:
    """The plan of a key: of a tenant's own or, for operators, any in its currency."""
    known = {holding.plan.key: holding.plan for holding in own.standing.holdings}
    if principal.is_operator:
        plan = checked_plan(catalogue, key)
    elif key in known:
        plan = known[key]
    else:
        raise _not_yours("plan", key, sorted(known))
    if plan.currency != own.currency:
        raise Problem(
            "CURRENCY_MISMATCH",
            f"plan {plan.key} is in {plan.currency}, the tenant pays in {own.currency}: name a "
            f"plan in {own.currency}",
            "plan",
        )
    return plan


async def _book(
    door: Door,
    catalogue: Catalogue,
    principal: Principal,
    own: Terms,
    request: Simulate,
    now: int,
) -> Book | None:
    """The book to charge by: of a key, or of a document; None: those of the plans."""
    if request.document is not None:
        if request.book is not None:
            raise Problem("INVALID", "name either a book or a document", "document")
        if not principal.is_operator:
            raise Problem("FORBIDDEN", "only an operator may simulate an unpublished book")
        return await _unpublished(door, request.document, now)
    key = request.book
    if key is None:
        return None
    known = sorted({holding.plan.book for holding in own.standing.holdings})
    if not principal.is_operator and key not in known:
        raise _not_yours("book", key, known)
    book = catalogue.books.get(key)
    if book is None:
        names = ", ".join(sorted(catalogue.books))
        raise Problem("UNKNOWN_BOOK", f"there is no book {shown(key)}: known are {names}", "book")
    return book


async def _unpublished(door: Door, document: PriceBookPublish, now: int) -> Book:
    async with door.system_tx("a price book is of no tenant") as connection:
        shelf = await Shelf.read(connection)
    checked = check(shelf, document, now=now, plans={}, published=False)
    if checked.problems:
        first, more = checked.problems[0], len(checked.problems) - 1
        rest = f" (and {more} more; book check says all)" if more else ""
        raise Problem("INVALID_PRICE_BOOK", f"{first}{rest}", "document")
    if len(checked.drafts) != 1:
        keys = ", ".join(draft.rows.key for draft in checked.drafts)
        raise Problem("INVALID_PRICE_BOOK", f"is of several books ({keys}): give one", "document")
    return checked.drafts[0].whole


def _not_yours(what: str, key: str, known: list[str]) -> Problem:
    return Problem(
        f"UNKNOWN_{what.upper()}",
        f"the tenant has no {what} {shown(key)}: known are {', '.join(known)}",
        what,
    )


def too_many(total: int, most: int) -> Problem:
    """Why a query does not simulate so many facts."""
    return Problem(
        "TOO_MANY_FACTS",
        f"there are {total:,} facts to read, a query reads at most {most:,}: ask for a shorter "
        "range, or use the command python -m api simulate",
        "range",
    )
