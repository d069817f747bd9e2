"""The chain of a tenant's commits, beside the rows they wrote and the acts that made them.

Owns what follows from the rows of commits alone: digests, counts, whose act a commit was. What the
rows should say is `verifying`'s to work out. Rows are as `record` wrote them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import asyncpg

from domain.fold import ACTION, CLOSED, SETTLED
from domain.periods import iso
from domain.terms import Terms
from domain.verify import Findings, Names
from domain.watch import Alert, Mark, fold
from persistence import alerts, holds, verifying
from persistence.actions import ActionKind
from persistence.actions import digest_of as digest_of_action
from persistence.bulk import Row
from persistence.connection import Connection
from persistence.verifying import KeptCommit

#: Rows of a broken commit that are named.
NAMED_MAX = 5


@dataclass(slots=True)
class Chain:
    """The commits of a tenant, one after the other, beside the rows they wrote."""

    own: Terms
    findings: Findings
    names: Names
    latest: int = 0  #: the latest instant of a commit: the books were brought up to it
    rows: int = 0
    closed: set[int] = field(default_factory=set)  #: instants at which periods were closed
    closings: list[tuple[int, int]] = field(default_factory=list)
    #: versions, and until when each closed everything
    unproven: dict[str, int] = field(default_factory=dict)
    _last: int = 0
    _digest: bytes = b""
    _alerted: int = 0  #: the latest version with alerts
    _below: set[Mark] = field(default_factory=set)  #: thresholds that are passed, as alerts say
    _acted: dict[int, int] = field(default_factory=dict)  #: instants of commits by actions
    _settled: dict[int, tuple[int, dict[str, int]]] = field(default_factory=dict)
    #: by version: facts that were corrected, and by how much
    _recorded: set[int] = field(default_factory=set)  #: of them, those that leave a record

    def take(self, commit: KeptCommit) -> None:
        """Look at the next commit."""
        find = self.findings
        for table, rows in commit.strays.items():
            for row in rows[:NAMED_MAX]:
                find.add(table, _name(table, row), "version", row[_place(table)], "a commit's")
        if not commit.rows:
            return
        version = commit.version
        if version != self._last + 1:
            find.add("commits", f"version {self._last + 1}", "", "missing", "there")
        if commit.digest_is != commit.digest:
            told = []
            for table, rows in commit.rows.items():
                few = [_name(table, row) for row in rows[:NAMED_MAX]]
                few += ["..."] if len(rows) > NAMED_MAX else []
                told += [f"{table} {', '.join(few)}"] if few else []
            find.add(
                "commits", f"version {version}", "digest", commit.digest.hex(),
                f"{commit.digest_is.hex()} by its rows ({'; '.join(told) or 'it has none'})",
            )  # fmt: skip
        if commit.counted != len(commit.rows["facts"]):
            find.add(
                "commits", f"version {version}", "facts", commit.counted, len(commit.rows["facts"])
            )
        for row in commit.rows["charges"]:
            if row[7] != commit.at:
                name = _name("charges", row)
                find.add("charges", name, "booked_at", iso(row[7]), iso(commit.at))
        for row in commit.holds:
            find.add("charges", _name("charges", row), "hold_id", row[-1].hex(), "none")
        if commit.rows["alerts"]:
            fold(self._below, [Alert(*row[3:]) for row in commit.rows["alerts"]])
            self._alerted = version
        self._last, self._digest = version, commit.digest
        self.latest = max(self.latest, commit.at)
        self.rows += sum(map(len, commit.rows.values()))
        if commit.cause in (ACTION, CLOSED):
            self._acted[version] = commit.at
        if commit.cause == CLOSED:
            self.closed.add(commit.at)
        if commit.cause == SETTLED:
            net: dict[str, int] = {}
            for row in commit.rows["charges"]:
                key = self.names.balance(row[8])
                net[key] = net.get(key, 0) + (-row[11] if row[5] else row[11])
            differences = {key: amount for key, amount in net.items() if amount}
            # What only contacts and counts were brought to is told to nobody, and leaves no record.
            self._settled[version] = len(commit.rows["revisions"]), differences
            if commit.rows["revisions"] or commit.rows["transfers"]:
                self._recorded.add(version)

    def close(self, head: asyncpg.Record) -> None:
        """Look at the head, behind the last commit."""
        row = {name: head[name] for name in ("version", "alerted", "below")}
        row["digest"] = head["digest"].hex()
        right: dict[str, object] = {
            "version": self._last, "digest": self._digest.hex(), "alerted": self._alerted,
        }  # fmt: skip
        if head["below"] is not None:  # a log is taken in: alerts are the last of it
            right["below"] = alerts.spelt(self._below)
        self.findings.values("tenant_head", self.own.key, row, right)

    async def actions(self, connection: Connection) -> None:
        """Compare what was done with what it said, and with the commits that did it."""
        find, without = self.findings, dict(self._acted)
        async for action in verifying.actions(connection, self.own.tenant_id):
            kind = action["kind"]
            known = ActionKind(kind).name if kind in set(ActionKind) else f"kind {kind}"
            name = f"{action['idempotency_key']} ({known})"
            right = digest_of_action(
                action["idempotency_key"], kind, action["content"], action["at"],
                action["version"], action["body"], action["subject"],
            )  # fmt: skip
            if action["digest"] is None:
                self.unproven["actions"] = self.unproven.get("actions", 0) + 1
            elif action["digest"] != right:
                found = action["digest"].hex()
                find.add("actions", name, "digest", found, f"{right.hex()} by what it says")
            if kind == ActionKind.PERIOD_CLOSE and "closed_until" in action["body"]:
                self.closings.append((action["version"], action["body"]["closed_until"]))
            if kind == ActionKind.SETTLE and action["version"] not in without:
                # Beside the commit that posted it, or none: the books agreed. A copy has its own.
                posted = action["body"].get("settlement_id") is not None
                if action["version"] > self._last or (
                    posted and action["version"] not in self._settled
                ):
                    version = action["version"]
                    find.add("actions", name, "version", version, "that of a settling")
                continue
            at = without.pop(action["version"], None)
            if at is None:
                find.add("actions", name, "version", action["version"], "that of a commit it made")
            elif at != action["at"] and (at not in self.closed or at < action["at"]):
                find.add("actions", name, "at", iso(action["at"]), iso(at))
        for version in without:
            find.missing("actions", f"of version {version}")

    async def holds(self, connection: Connection) -> None:
        """Compare what became of holds with the digests of their rows."""
        async for wrong in holds.wrong(connection, self.own.tenant_id):
            self.findings.add(*wrong)

    async def settlements(self, connection: Connection) -> None:
        """Compare the records of settlings with what their commits posted (EV-10)."""
        find, without = self.findings, dict(self._settled)
        for row in await verifying.rest(connection, self.own.tenant_id, "settlements"):
            name = f"{row['settlement_id']} of version {row['version']}"
            posted = without.pop(row["version"], None)
            if posted is None:
                find.add("settlements", name, "version", row["version"], "that of a settling")
                continue
            differences = verifying.decoded(row["differences"])
            found = {"facts": row["facts"], "differences": differences}
            find.values("settlements", name, found, dict(zip(found, posted, strict=True)))
        for version in without.keys() & self._recorded:
            find.missing("settlements", f"of version {version}")


def _place(table: str) -> int:
    return verifying.VERSION[table]


def _name(table: str, row: Row) -> str:
    """What a row of a commit is called."""
    if table == "facts":
        return f"{row[14]}/{row[15]}"
    if table in ("transfers", "alerts"):
        return f"{row[1]}/{row[2]}"
    part = f" part {row[3]}" if table == "charges" else f" revision {row[3]}"
    return f"{row[2].hex()}{part}"
