"""Verifying: a tenant's books beside what its log comes to, while facts come in.

Owns the order of work. Everything is read in one snapshot without a lock, in a transaction that
can write nothing; it costs the database that rows replaced meanwhile are kept for its length. What
an order of facts changes that is not settled yet is counted, and is not wrong.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from api import account_proof
from api.again import END, PAGE_FACTS
from api.chain import Chain
from api.proof import DAMAGED, Proof
from domain.settle import Books
from domain.verify import Finding, Findings, Names, of_ledger, of_lots, of_postings
from persistence import closing, load, midnights, settling, terms, verifying
from persistence.catalogue import Catalogue
from persistence.connection import Connection
from persistence.door import END_SECONDS, Door, tenant_scope

#: Called with how many facts and rows of commits were read so far.
Told = Callable[[int], Awaitable[None]]

#: Commits of which as often is told how many rows were read.
TOLD_COMMITS = 500

#: To open a connection takes longer than to verify a small tenant: after so many facts at most it
#: is kept for the next one, with what its temporary tables have until then.
RESTING_FACTS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found of a tenant's books."""

    tenant: str  #: its key
    version: int
    facts: int
    wrong: int  #: values
    findings: Sequence[Finding]  #: of them, the first
    unsettled_from: int | None
    unsettled: dict[str, int]  #: how much will be otherwise, by table
    unproven: dict[str, int]  #: rows from before there was anything to prove them by


class TooLargeError(Exception):
    """The log has more facts than were asked to be read."""


class Verifying:
    """The verifying of one process."""

    def __init__(
        self,
        door: Door,
        catalogue: Catalogue,
        now: Callable[[], int],
        *,
        page_facts: int = PAGE_FACTS,
    ) -> None:
        self._door = door
        self._catalogue = catalogue
        self._now = now
        self._page_facts = page_facts

    async def catalogue(self) -> list[str]:
        """The books, plans and lists of markets that are not what was published."""
        async with self._door.system_tx("the catalogue is of no tenant") as connection:
            return await verifying.catalogue(connection)

    async def verify(
        self, tenant_id: int, *, told: Told | None = None, facts_max: int | None = None
    ) -> Verified:
        """Compare everything; TooLargeError where the log has more than `facts_max` facts."""
        connection = await self._door.session()
        try:
            async with connection.transaction(isolation="repeatable_read"):
                await connection.execute(tenant_scope([tenant_id]))
                (counted,) = await verifying.rest(connection, tenant_id, "facts")
                if facts_max is not None and counted["facts"] > facts_max:
                    raise TooLargeError(counted["facts"])
                verified = await self._verify(connection, tenant_id, told)
        except BaseException:
            await connection.close(timeout=END_SECONDS)
            raise
        if verified.facts > RESTING_FACTS:
            await connection.close(timeout=END_SECONDS)
        else:
            await self._door.rest(connection)
        return verified

    async def _verify(self, connection: Connection, tenant_id: int, told: Told | None) -> Verified:
        (own,) = await terms.by_ids(connection, self._catalogue, [tenant_id])
        head = (await load.heads(connection, [tenant_id]))[tenant_id]
        books = await settling.books(connection, own)
        names = Names(
            balances={number: key for key, number in own.balance_ids.items()},
            rules=self._catalogue.rules, lots=books.lots,
        )  # fmt: skip
        findings = Findings()
        proof: Proof | None = None
        fault: Exception | None = None
        try:
            closed = await closing.read(connection, tenant_id)
            kept = await midnights.holding(connection, own, closed, END, head["version"])
            passed = {row["at"]: row for row in reversed(kept)}
            proof = await Proof.begin(
                connection, own, head["version"], page_facts=self._page_facts,
                midnights=list(passed),
            )  # fmt: skip
            proof.kept = passed
        except DAMAGED as damaged:
            fault = damaged
        await verifying.begin(connection)
        chain = Chain(own, findings, names)
        async for commit in verifying.commits(connection, tenant_id):
            chain.take(commit)
            if told is not None and not commit.version % TOLD_COMMITS:
                await told(chain.rows)
        chain.close(head)
        await chain.actions(connection)
        await chain.settlements(connection)
        await chain.holds(connection)
        facts = 0
        if proof is not None:
            proof.findings, proof.names = findings, names
            proof.closings = chain.closings
            proof.unsettled_from = head["unsettled_from"]
            try:
                await self._prove(connection, proof, chain, books, told)
            except DAMAGED as damaged:
                fault = damaged
            facts = proof.facts
        try:
            await account_proof.prove(connection, own, findings)
        except DAMAGED as damaged:
            fault = fault or damaged
        if fault is not None:
            if not findings.wrong:
                raise fault
            right = f"folded again ({type(fault).__name__}: {fault})"
            findings.add("facts", f"of {own.key}", "", "a log that cannot be read", right)
        return Verified(
            tenant=own.key, version=head["version"], facts=facts, wrong=findings.wrong,
            findings=findings.kept, unsettled_from=head["unsettled_from"],
            unsettled={what: count for what, count in findings.unsettled.items() if count},
            unproven=chain.unproven,
        )  # fmt: skip

    async def _prove(
        self, connection: Connection, proof: Proof, chain: Chain, books: Books, told: Told | None
    ) -> None:
        """Fold the log again up to the latest commit, and compare what it comes to."""
        proof.refold.present = chain.latest
        await proof.closed()
        while await proof.page(END):
            if told is not None:
                await told(chain.rows + proof.facts)
        await proof.finish(chain.latest)
        of_ledger(proof.findings, proof.names, books)
        of_postings(proof.findings, proof.names, proof.used, books)
        settled = proof.unsettled_from is None
        if proof.checkpoint is not None:
            closed = proof.checkpoint.at
            books = await settling.books(connection, proof.terms, days=closed, lots=closed)
            books.lot_days = {**books.lot_days, **proof.lot_days}
        of_lots(proof.findings, proof.names, proof.refold, books, settled=settled)
        await proof.rest(self._now(), chain.closed)
