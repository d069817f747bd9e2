"""Verifying: figures beside what they should be, and what is said of those that are otherwise.

Owns the comparisons that need no storage: of lots, their days and movements with one another, with
what is posted of facts, and with the log folded again. Mends nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from domain.ledger import (
    ADJUST,
    GRANT,
    INVOICED,
    LAPSE,
    OVERAGE,
    PAY_OFF,
    REFUND,
    TAKE_BACK,
    TOP_UP,
    USE,
    WRITTEN_OFF,
)
from domain.lots import Lot, LotSource
from domain.money import text
from domain.periods import iso
from domain.refold import Refold
from domain.settle import DERIVED, Books, Difference, corrections
from domain.state import Charged, Part

#: Findings that are kept of one tenant; of further ones only their number is told.
FINDINGS_MAX = 1_000

#: The causes of movements, as people read them.
CAUSES = {
    GRANT: "granted", USE: "used", LAPSE: "lapsed",
    PAY_OFF: "paid off", TOP_UP: "topped up", REFUND: "refunded",
    ADJUST: "adjusted", TAKE_BACK: "taken back",
    INVOICED: "invoiced", OVERAGE: "invoiced as overage", WRITTEN_OFF: "written off",
}  # fmt: skip

#: By lot and local day, what was used, as the facts of the books say.
UsedByDay = Mapping[tuple[int, int], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One value that is not what it should be."""

    table: str
    row: str  #: its name, by which people find it
    column: str  #: "" says it of the whole row
    found: str
    right: str

    def __str__(self) -> str:
        where = f"{self.table} {self.row}: {self.column}".removesuffix(": ")
        return f"{where} is {self.found}, should be {self.right}"


class Findings:
    """What was found wrong, and how much is otherwise only as it is not settled yet."""

    def __init__(self, limit: int = FINDINGS_MAX) -> None:
        self._limit = limit
        self._places: set[tuple[str, str, str]] = set()
        self.kept: list[Finding] = []
        self.wrong = 0
        self.unsettled: Counter[str] = Counter()  #: by what

    def add(self, table: str, row: str, column: str, found: object, right: object) -> None:
        """Note what one value is and should be; of one value it is told once."""
        place = (table, row, column)
        if place in self._places:
            return
        self.wrong += 1
        if len(self.kept) < self._limit:
            self._places.add(place)
            self.kept.append(
                Finding(table=table, row=row, column=column, found=str(found), right=str(right))
            )

    def missing(self, table: str, row: str) -> None:
        self.add(table, row, "", "missing", "there")

    def surplus(self, table: str, row: str) -> None:
        self.add(table, row, "", "there", "missing")

    def values(
        self, table: str, row: str, found: Mapping[str, object], right: Mapping[str, object]
    ) -> None:
        """Note each column of a row whose value is another."""
        for column, value in right.items():
            if found[column] != value:
                self.add(table, row, column, found[column], value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What people call a tenant's balances, rules and lots."""

    balances: Mapping[int, str]
    rules: Mapping[int, str]
    lots: Mapping[int, Lot]

    def balance(self, balance_id: int) -> str:
        return self.balances.get(balance_id, f"balance {balance_id}")

    def lot(self, lot_id: int) -> str:
        """Its balance, its name there and its number."""
        lot = self.lots.get(lot_id)
        return f"lot {lot_id}" if lot is None else self.of(lot)

    def of(self, lot: Lot) -> str:
        return f"{self.balance(lot.balance_id)} {lot.origin} (lot {lot.lot_id})"

    def account(self, account: str) -> str:
        return self.lot(int(account[4:])) if account.startswith("lot/") else account

    def rule(self, rule_id: int) -> str:
        return self.rules.get(rule_id, f"rule {rule_id}")


def of_difference(findings: Findings, name: str, difference: Difference, names: Names) -> None:
    """Say how what is posted of a fact differs from what its place in the order makes it."""
    posted, outcome = difference
    mine = "revisions" if posted.revision else "facts"
    name += f" revision {posted.revision}" if posted.revision else ""
    if posted.status != outcome.status:
        findings.add(mine, name, "status", posted.status, int(outcome.status))
    if (posted.flags ^ outcome.flags) & DERIVED:
        findings.add(mine, name, "flags", posted.flags, difference.flags)
    beside = bool(posted.revision) or len(posted.parts) > 1 or len(outcome.parts) > 1
    legs = [*(part.legs for part in posted.parts), *(part.legs for part in outcome.parts)]
    beside = beside or any(len(each) > 1 for each in legs)
    table = "charges" if beside else "facts"
    for place in range(max(len(posted.parts), len(outcome.parts))):
        row = f"{name} part {place}" if beside else name
        if place >= len(posted.parts):
            lacking = outcome.parts[place]
            charge = f"{text(lacking.amount)} {names.balance(lacking.balance_id)}"
            charge += f" by {names.rule(lacking.rule_id)}"
            findings.add(table, row, "charge", "missing", charge)
        elif place >= len(outcome.parts):
            findings.add(table, row, "charge", text(posted.parts[place].amount), "missing")
        else:
            before, now = posted.parts[place], outcome.parts[place]
            found, right = _charge(before, names), _charge(now, names)
            if _lots(before.legs) == _lots(now.legs) and len(now.legs) == 1:
                del right["legs"]  # all of the amount is of that lot
            findings.values(table, row, found, right)


def of_lots(
    findings: Findings, names: Names, refold: Refold, books: Books, *, settled: bool
) -> None:
    """Compare lots, their days and what moved with the log folded again."""
    right = corrections(refold, books)
    if not settled:
        findings.unsettled["lots"] += len(right.lots)
        findings.unsettled["lot_days"] += len(right.lot_days)
        findings.unsettled["transfers"] += len(right.moved)
        return
    for lot in right.lots:
        known = books.lots.get(lot.lot_id)
        if known is None:
            findings.missing("lots", names.of(lot))
        else:
            findings.values("lots", names.of(known), _sums(known), _sums(lot))
    for lot_id, lot in refold.lots.items():
        known = books.lots.get(lot_id)
        if known is not None:
            findings.values("lots", names.of(known), _terms(known), _terms(lot))
    for (lot_id, day), (used, moved) in right.lot_days.items():
        found = books.lot_days.get((lot_id, day))
        row = _of_day(names, lot_id, day)
        if found is None:
            findings.missing("lot_days", row)
        for column, place, short in (("used", 0, used), ("moved", 1, moved)):
            if found is not None and short:
                findings.add(
                    "lot_days", row, column, text(found[place]), text(found[place] + short)
                )
    for balance_id, debit, credit, amount, cause, day in right.moved:
        moved_by = books.moved
        there = moved_by.get((balance_id, debit, credit, cause, day), 0)
        there -= moved_by.get((balance_id, credit, debit, cause, day), 0)
        row = (
            f"{names.balance(balance_id)} {CAUSES.get(cause, cause)}"
            f" from {names.account(debit)} to {names.account(credit)}"
        )
        findings.add("transfers", row, "sum of amounts", text(there), text(there + amount))


def of_postings(findings: Findings, names: Names, used: UsedByDay, books: Books) -> None:
    """Compare what lots and their days say was used with the charges of facts, settled or not."""
    for place in sorted(used.keys() | books.lot_days.keys()):
        right, (found, _) = used.get(place, 0), books.lot_days.get(place, (0, 0))
        if found != right:
            row = _of_day(names, *place)
            findings.add("lot_days", row, "used", text(found), f"{text(right)} by its facts")
    by_lot: dict[int, int] = {}
    for (lot_id, _), amount in used.items():
        by_lot[lot_id] = by_lot.get(lot_id, 0) + amount
    for lot_id in by_lot.keys() | books.lots.keys():
        lot = books.lots.get(lot_id)
        if lot is None:
            findings.missing("lots", f"lot {lot_id}")
        elif lot.used != by_lot.get(lot_id, 0):
            right = by_lot.get(lot_id, 0)
            findings.add(
                "lots", names.of(lot), "used", text(lot.used), f"{text(right)} by its facts"
            )
        elif lot.drawn_at is None and lot.used:
            findings.add("lots", names.of(lot), "drawn_at", "never", "that of a fact")


def of_contact(
    findings: Findings,
    row: str,
    found: Mapping[str, object],
    right: Mapping[str, object],
    closed_until: int | None,
) -> None:
    """Compare a contact with itself folded again; what ended in closed periods is nobody's."""
    if closed_until is not None:
        found, right = _since(found, closed_until), _since(right, closed_until)
    findings.values("contacts", row, found, right)


def _since(contact: Mapping[str, Any], closed_until: int) -> dict[str, object]:
    kept = dict(contact)
    kept["last_at"] = max(kept["last_at"], closed_until)
    for window in ("service", "conversation", "entry"):
        ends_at = kept[f"{window}_ends_at"]
        if ends_at is not None and ends_at <= closed_until:
            kept[f"{window}_opened_at"] = kept[f"{window}_ends_at"] = None
            if window == "conversation":
                kept["conversation_paid"] = False
    windows = kept["category_windows"] or []
    triples = (windows[place : place + 3] for place in range(0, len(windows), 3))
    kept["category_windows"] = [each for one in triples if one[2] > closed_until for each in one]
    return kept


def of_ledger(findings: Findings, names: Names, books: Books) -> None:
    """Compare every lot with its ledger lines and its days (BA-9, BA-10)."""
    net: dict[int, int] = {}
    by_cause: dict[tuple[int, int], int] = {}
    for (balance_id, debit, credit, cause, _), amount in books.moved.items():
        for account, sign in ((debit, -1), (credit, 1)):
            if not account.startswith("lot/"):
                continue
            lot_id = int(account[4:])
            net[lot_id] = net.get(lot_id, 0) + sign * amount
            by_cause[lot_id, cause] = by_cause.get((lot_id, cause), 0) - sign * amount
            lot = books.lots.get(lot_id)
            if lot is None:
                findings.missing("lots", f"lot {lot_id} of {names.balance(balance_id)}")
            elif lot.balance_id != balance_id:
                findings.add(
                    "lots", names.of(lot), "balance", names.balance(lot.balance_id),
                    names.balance(balance_id),
                )  # fmt: skip
    moved_by_day: dict[int, int] = {}
    for (lot_id, _), (_, moved) in books.lot_days.items():
        moved_by_day[lot_id] = moved_by_day.get(lot_id, 0) + moved
    for lot_id, lot in books.lots.items():
        row = names.of(lot)
        for column, cause, found in (
            ("used", USE, lot.used), ("lapsed", LAPSE, lot.lapsed),
        ):  # fmt: skip
            right = by_cause.get((lot_id, cause), 0)
            if found != right:
                findings.add("lots", row, column, text(found), f"{text(right)} by its transfers")
        emptied = not lot.used and lot.moved == lot.amount
        by_day = moved_by_day.get(lot_id, 0)
        if lot.moved != by_day and not emptied:
            findings.add("lots", row, "moved", text(lot.moved), f"{text(by_day)} by its days")
        if lot.remaining != net.get(lot_id, 0):
            by_transfers = f"{text(net.get(lot_id, 0))} by its transfers"
            findings.add("lots", row, "what remains", text(lot.remaining), by_transfers)
        if lot.remaining < 0 and lot.source is not LotSource.OVERDRAFT:
            findings.add("lots", row, "what remains", text(lot.remaining), "0 or more")


def _charge(part: Charged | Part, names: Names) -> dict[str, object]:
    return {
        "balance_id": names.balance(part.balance_id),
        "rule_id": names.rule(part.rule_id),
        "units": text(part.units),
        "amount": text(part.amount),
        "legs": _legs(part.legs, names),
    }


def _lots(legs: Iterable[tuple[Lot | int, int]]) -> list[int]:
    return [lot.lot_id if isinstance(lot, Lot) else lot for lot, _ in legs]


def _legs(legs: Iterable[tuple[Lot | int, int]], names: Names) -> str:
    told = []
    for lot, taken in legs:
        told.append(f"{text(taken)} of {names.of(lot) if isinstance(lot, Lot) else names.lot(lot)}")
    return ", ".join(told) or "no lot"


def _sums(lot: Lot) -> dict[str, object]:
    return {name: text(getattr(lot, name)) for name in ("amount", "used", "moved", "lapsed")}


def _terms(lot: Lot) -> dict[str, object]:
    """What a lot is, whatever was taken from it."""
    terms: dict[str, object] = {
        "source": lot.source.name, "priority": lot.priority, "month": lot.month,
        "starts_at": _instant(lot.starts_at), "ends_at": _instant(lot.ends_at),
    }  # fmt: skip
    if lot.origin.startswith("action/"):
        terms["created_at"] = _instant(lot.created_at)
    return terms


def _instant(at: int | None) -> str:
    return "never" if at is None else iso(at)


def _of_day(names: Names, lot_id: int, day: int) -> str:
    return f"{names.lot(lot_id)} on the day that begins {iso(day)}"
