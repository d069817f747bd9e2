"""A log read again as a proof: whatever is kept of it, beside what it comes to.

Owns what is added up and compared on the way, page by page, and what is compared once the whole log
is read. In which order tables are read, and in which snapshot, is `verifying`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import asyncpg

from api.again import Again
from api.cloudevents import Refused, key_of
from domain.facts import CHANNEL_NAMES, Fact, Flag, Status, Type
from domain.holds import read
from domain.money import text
from domain.periods import iso, month_name
from domain.rate import claims_message
from domain.rollup import (
    Dimensions,
    add_usage,
    bucket,
    is_initial,
    rated_later,
    usage_of,
)
from domain.settle import Posted
from domain.state import Outcome
from domain.verify import Findings, Names, of_contact, of_difference
from persistence import checkpoints, holds, log, midnights, settling, verifying
from persistence.bulk import Row
from persistence.log import BEGINNING, PostedFact

#: What rows that a hand has changed may break on; what was kept honestly breaks on nothing.
DAMAGED = (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, AssertionError)

#: Columns of usage that have millionths.
PAID = frozenset({"cost", "units", "initial_units", "top_up_units", "initial_cost"})


class Proof(Again):
    """A log read again, with an eye on everything that is kept of it."""

    findings: Findings
    names: Names
    closings: Collection[tuple[int, int]]  #: versions, and until when each closed everything
    unsettled_from: int | None
    kept: Mapping[int, asyncpg.Record]  #: by instant, the rows of midnights that still hold

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.used: dict[tuple[int, int], int] = {}  #: by lot and local day, as posted
        self._unrated: int | None = None  #: the earliest fact without a rate

    def is_settled(self, at: int) -> bool:
        """Whether what is of an instant and no later is final."""
        return self.unsettled_from is None or at < self.unsettled_from

    async def closed(self) -> None:
        """Read the facts of closed periods: what is posted of them stands, and is added up.

        Those that came after the closing are folded with what was open then.
        """
        if self.checkpoint is None:
            return
        apart = {one.fact.key for one, _ in self._adjusted}
        after = BEGINNING
        while page := await log.page(
            self._connection, self.terms.tenant_id, after=after, until=self.checkpoint.at,
            limit=self._page_facts,
        ):  # fmt: skip
            after = page[-1].place
            rows, facts = self.understood([row for row in page if row.key not in apart])
            if rows:
                posted = await settling.posted(self._connection, self.terms.tenant_id, rows)
                await self._look(rows, facts, posted)
                self.facts += len(facts)

    def understood(self, rows: list[PostedFact]) -> tuple[list[PostedFact], list[Fact]]:
        """Leave out rows that are no facts any more, and say so."""
        sound: list[PostedFact] = []
        facts: list[Fact] = []
        for row in rows:
            try:
                facts += super().understood([row])[1]
            except (*DAMAGED, Refused) as fault:
                right = f"readable ({type(fault).__name__}: {fault})"
                self.findings.add("facts", f"{row.source}/{row.id}", "data", "unreadable", right)
            else:
                sound.append(row)
        return sound, facts

    async def read_along(
        self,
        rows: Sequence[PostedFact],
        facts: Sequence[Fact],
        posted: Sequence[Posted],
        outcomes: Sequence[Outcome],
    ) -> None:
        await self._look(rows, facts, posted)
        kept = {row.key: row for row in rows} if self.differences else {}
        for difference in self.differences:
            fact = difference.outcome.fact
            counted_at = self._counted_at(kept[fact.key], fact, difference.posted.status)
            if self.is_settled(max(fact.at, counted_at)):
                of_difference(self.findings, f"{fact.source}/{fact.id}", difference, self.names)
            else:
                self.findings.unsettled["facts"] += 1
        self.differences.clear()

    async def at_midnight(self, at: int) -> None:
        """Compare what is kept of a midnight with the log up to there: settlings begin with it."""
        row = f"of {self.terms.key} at {iso(at)}"
        try:
            for of, *values in checkpoints.differing(
                checkpoints.kept(self.kept[at]), self.figures(at)
            ):
                self.findings.add("checkpoints", row, of, *values)
        except DAMAGED as fault:
            right = f"readable ({type(fault).__name__}: {fault})"
            self.findings.add("checkpoints", row, "", "unreadable", right)
        contacts = midnights.differing(self._connection, self.terms.tenant_id, at)
        async for key, found, known in contacts:
            row = f"{self._row('contacts', key)} at {iso(at)}"
            if found is None:
                self.findings.missing("midnight_contacts", row)
            elif known is None:
                self.findings.surplus("midnight_contacts", row)
            else:
                self.findings.values("midnight_contacts", row, found, known)

    async def _look(
        self, rows: Sequence[PostedFact], facts: Sequence[Fact], posted: Sequence[Posted]
    ) -> None:
        """Add up what is posted of facts, and compare what they say with their keys and holds."""
        tenant_id, zone = self.terms.tenant_id, self.terms.zone
        keys = await verifying.keys(self._connection, tenant_id, [row.key for row in rows])
        hours: dict[tuple[int, Dimensions], list[int]] = {}
        messages: dict[bytes, Row] = {}
        for row, fact, before in zip(rows, facts, posted, strict=True):
            self._named(row, fact, keys.get(row.key))
            if before.status == Status.UNRATED and self._unrated is None:
                self._unrated = fact.at
            if claims_message(self.terms, fact) and fact.message not in messages:
                assert fact.message is not None
                messages[fact.message] = (tenant_id, fact.message, fact.key, fact.at)
            at = self._counted_at(row, fact, before.status)
            day = zone.day(at).start
            for part in before.parts:
                for lot_id, taken in part.legs:
                    self.used[lot_id, day] = self.used.get((lot_id, day), 0) + taken
            outcome = (fact, before.status, before.flags, before.parts)
            came = before.came_unrated
            if came is None:
                counted = [(at, usage_of(*outcome, self._is_money, self._is_initial))]
            else:
                came_at = self._counted_at(row, fact, Status.UNRATED)
                counted = [
                    (came_at, usage_of(fact, Status.UNRATED, came, (), self._is_money)),
                    (at, rated_later(*outcome, self._is_money, self._is_initial)),
                ]
            for at, usage in counted:
                if usage is not None:
                    add_usage(hours, bucket(self.terms, fact, at), usage)
        days: dict[tuple[int, Dimensions], list[int]] = {}
        for (hour, dimensions), usage in hours.items():
            add_usage(days, (zone.day_start(hour), dimensions), usage)
        for add, found in ((verifying.add_hours, hours), (verifying.add_days, days)):
            await add(
                self._connection,
                [(tenant_id, at, *which, *usage) for (at, which), usage in found.items()],
            )
        await verifying.add_messages(self._connection, list(messages.values()))
        await verifying.add_named(self._connection, tenant_id, facts)
        await self._held(rows, facts)

    async def _held(self, rows: Sequence[PostedFact], facts: Sequence[Fact]) -> None:
        """Look for the rows of holds that facts ended a share of."""
        named = {
            hold.hold_id
            for row, fact in zip(rows, facts, strict=True)
            if fact.hold is not None
            and fact.type not in (Type.MESSAGE_RECEIVED, Type.MESSAGE_SENT)
            and not (row.revision or row.flags & Flag.REPEATED)
            and (hold := read(fact.hold, self.terms.hold_key)) is not None
        }
        if named:
            known = await holds.there(self._connection, self.terms.tenant_id, named)
            for hold_id in sorted(named - known):
                self.findings.missing("holds", hold_id.hex())

    def _counted_at(self, row: PostedFact, fact: Fact, status: int) -> int:
        """When a fact counts: one of a closed period as it came, or where what is closed ends.

        What is closed is what was when it came or, adjusted by its rate, when that had come.
        """
        taken_by = row.version
        if status == Status.ADJUSTED and row.rated_by is not None:
            taken_by = row.rated_by
        closed_until = max((at for by, at in self.closings if by < taken_by), default=0)
        if fact.began < closed_until:
            # Its row says when it came: folding again has changed that in the fact itself.
            return max(row.arrived_at, closed_until)
        return fact.began

    def _named(self, row: PostedFact, fact: Fact, kept: tuple[bytes, int, int] | None) -> None:
        """Compare what a fact says with what was kept of its key (EV-1)."""
        find, name = self.findings, f"{row.source}/{row.id}"
        if row.key != key_of(row.source, row.id):
            find.add("facts", name, "key", row.key.hex(), f"{key_of(row.source, row.id).hex()}")
        if kept is None:
            find.missing("fact_keys", name)
            return
        content, at, version = kept
        if content != fact.content:
            says = f"{fact.content.hex()} by the type, instant and data of the fact"
            find.add("fact_keys", name, "content", content.hex(), says)
        found = {"at": iso(at), "version": version}
        find.values("fact_keys", name, found, {"at": iso(row.at), "version": row.version})

    def _is_money(self, balance_id: int) -> bool:
        balance = self.terms.balances.get(balance_id)
        return balance is not None and balance.kind == "money"

    def _is_initial(self, lot_id: int) -> bool:
        lot = self.names.lots.get(lot_id)
        return lot is not None and is_initial(lot)

    async def rest(self, now: int, closings: Collection[int]) -> None:
        """Compare what does not stand with facts, once the whole log is read.

        `closings` are the instants of the commits that closed periods.
        """
        await self._counters()
        await self._tables()
        await self._periods(closings)
        await self._keys()
        await self._head(now)

    async def _counters(self) -> None:
        tenant_id, zone = self.terms.tenant_id, self.terms.zone
        kept = await settling.counters(self._connection, tenant_id)
        again = self.refold.state.counters
        for key in kept.keys() | again.keys():
            name, number_id, month = key
            found = kept[key].value if key in kept else 0
            right = again[key].value if key in again else 0
            if found == right:
                continue
            number = self.terms.numbers.get(number_id)
            of = number.address if number is not None else "all numbers"
            zone = zone if number is None else number.zone
            if self.is_settled(zone.month_bounds(month)[1]):
                row = f"{name} of {of}, {month_name(month)}"
                self.findings.add("counters", row, "value", found, right)
            else:
                self.findings.unsettled["counters"] += 1

    async def _tables(self) -> None:
        """Compare tables with those that were worked out again beside them."""
        closed_until = None if self.checkpoint is None else self.checkpoint.at
        since = 0 if closed_until is None else self.terms.zone.month(closed_until)
        for table in verifying.BESIDE:
            rows = verifying.differing(self._connection, self.terms.tenant_id, table, since)
            async for key, found, right in rows:
                row = self._row(table, key)
                if table in ("contacts", "messages"):
                    field = "last_at" if table == "contacts" else "charged_at"
                    at = max(side[field] for side in (found, right) if side is not None)
                    if not self.is_settled(at):
                        self.findings.unsettled[table] += 1
                        continue
                    of_closed = min(side[field] for side in (found, right) if side is not None)
                    if table == "messages" and found and right and of_closed < (closed_until or 0):
                        continue  # who came first to a closing is not worked out again
                    if table == "contacts" and right is None and at < (closed_until or 0):
                        continue  # nothing of it was open at the closing, and none of it is folded
                if found is None:
                    self.findings.missing(table, row)
                elif right is None:
                    self.findings.surplus(table, row)
                elif table == "contacts":
                    of_contact(self.findings, row, found, right, closed_until)
                else:
                    money = PAID if table.startswith("usage") else ()
                    for side in (found, right):
                        side.update({name: text(side[name]) for name in money})
                    self.findings.values(table, row, found, right)

    def _row(self, table: str, key: dict[str, Any]) -> str:
        if table == "messages":
            return str(key["message"].hex())
        if table == "user_activity":
            return f"{key['agent']} at {iso(key['quarter'])}"
        if table == "broadcasts":
            return str(key["broadcast"])
        if table == "broadcast_recipients":
            channel = CHANNEL_NAMES.get(key["channel"], str(key["channel"]))
            party = key["party"].replace("\x1f", "group ")
            return f"{channel} {party} of {key['broadcast']}"
        number = self.terms.numbers.get(key["number_id"])
        of = f"number {key['number_id']}" if number is None else number.address
        if table == "contacts":
            channel = CHANNEL_NAMES.get(key["channel"], str(key["channel"]))
            return f"{channel} {key['party']} on {of}".replace("\x1f", "group ")
        dimensions = (key["country"], key["category"], key["agent"], key["broadcast"])
        what = "/".join(value or "-" for value in dimensions)
        return f"{iso(key['bucket'])} {of} {('-', 'in', 'out')[key['direction']]} {what}"

    async def _periods(self, closings: Collection[int]) -> None:
        kept = set()
        closed_until = 0 if self.checkpoint is None else self.checkpoint.at
        for row in await verifying.rest(self._connection, self.terms.tenant_id, "periods"):
            start, end = self.terms.zone.month_bounds(row["month"])
            kept.add(row["month"])
            self.findings.values(
                "periods", month_name(row["month"]),
                {"starts_at": iso(row["starts_at"]), "ends_at": iso(row["ends_at"])},
                {"starts_at": iso(start), "ends_at": iso(end)},
            )  # fmt: skip
            closed_at = row["closed_at"]
            if end <= closed_until and closed_at not in closings:
                right = "when a commit closed it"
            elif end > closed_until and closed_at is not None:
                right = "never"
            else:
                continue
            found = "never" if closed_at is None else iso(closed_at)
            self.findings.add("periods", month_name(row["month"]), "closed_at", found, right)
        # What time alone came to needs no row: one stands beside lots, and at closings.
        needed = {lot.month for lot in self.names.lots.values() if lot.month}
        needed |= {self.terms.zone.month(at - 1) for _, at in self.closings}
        for month in sorted(needed - kept):
            self.findings.missing("periods", month_name(month))

    async def _keys(self) -> None:
        """Look for keys without facts, and at what came under a known key with other content."""
        tenant_id = self.terms.tenant_id
        for row in await verifying.lonely_keys(self._connection, tenant_id, self.facts, 1_000):
            name = f"{row['key'].hex()} of {iso(row['at'])}, version {row['version']}"
            self.findings.missing("facts", name)
        for row in await verifying.rest(self._connection, tenant_id, "conflicts"):
            right = key_of(row["source"], row["id"])
            if row["key"] != right:
                name = f"{row['source']}/{row['id']}"
                self.findings.add("conflicts", name, "key", row["key"].hex(), right.hex())

    async def _head(self, now: int) -> None:
        (head,) = await verifying.rest(self._connection, self.terms.tenant_id, "head")
        key, find = self.terms.key, self.findings
        last = max(self.names.lots, default=0)
        if head["last_lot"] < last:
            find.add("tenant_head", key, "last_lot", head["last_lot"], f"{last} or more")
        closed_until = None if self.checkpoint is None else self.checkpoint.at
        if head["closed_until"] != closed_until:
            found, right = head["closed_until"], f"{closed_until}, where the checkpoint is"
            find.add("tenant_head", key, "closed_until", found, right)
        edges = {self.terms.zone.next_month(max(now, 0))}
        for lot in self.names.lots.values():
            edges.update(edge for edge in (lot.starts_at, lot.ends_at) if edge is not None)
        due = min(edge for edge in edges if edge > now)
        if head["version"] and (head["next_due"] is None or head["next_due"] > due):
            found = "none" if head["next_due"] is None else iso(head["next_due"])
            find.add("tenant_head", key, "next_due", found, f"{iso(due)} or earlier")
        since = [row["since"] for row in await verifying.rest(
            self._connection, self.terms.tenant_id, "unrated"
        )]  # fmt: skip
        if self._unrated is not None and (not since or since[0] > self._unrated):
            found = iso(since[0]) if since else "missing"
            find.add("unrated", key, "since", found, f"{iso(self._unrated)} or earlier")
