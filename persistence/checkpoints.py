"""Checkpoints: a tenant's figures at an instant, from which its log is folded again.

Owns what a checkpoint has of lots, counts and movements, how it is kept and how a fold begins with
it. Which instants have one, and what becomes of contacts, is `closing`'s and `midnights`' to say.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import asyncpg
import msgspec

from domain.deeds import Deed
from domain.draw import order
from domain.lots import Lot, LotSource
from domain.refold import Movement, Refold, renamed
from domain.settle import BY_THEMSELVES
from domain.state import Counter
from persistence.connection import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A tenant's figures at an instant: of everything whose place is before it."""

    at: int
    version: int  #: of the commit that kept it
    lots: Sequence[Lot]
    counters: Mapping[tuple[str, int, int], Counter]
    moved: Mapping[Movement, int]  #: everything that ever moved until then
    paid_off: Sequence[tuple[int, int, int]]
    next_due: int | None


_LOT = (
    "lot_id", "balance_id", "source", "priority", "month", "amount", "used", "moved", "lapsed",
    "starts_at", "ends_at", "created_at", "origin", "drawn_at",
)  # fmt: skip


def taken(refold: Refold, at: int, *, since: int | None) -> Checkpoint:
    """The figures of a log that was folded up to an instant; its version is not known yet.

    Lots that ended before `since` are left out: nothing that comes may be paid by them.
    """
    return Checkpoint(
        at=at,
        version=0,
        lots=[
            Lot(**{name: getattr(lot, name) for name in _LOT})
            for lots in refold.state.lots.values()
            for lot in lots
            if since is None or lot.ends_at is None or lot.ends_at >= since
        ],
        counters={
            key: _counter(c.name, c.number_id, c.month, c.value, c.counted_at)
            for key, c in refold.state.counters.items()
        },
        moved=dict(refold.moved),
        paid_off=refold.past.payers(),
        next_due=refold.state.next_due,
    )


def _counter(name: str, number_id: int, month: int, value: int, counted_at: int | None) -> Counter:
    counter = Counter(name, number_id, month)
    counter.value, counter.counted_at = value, counted_at
    return counter


def renumbered(checkpoint: Checkpoint, numbers: Mapping[int, int]) -> Checkpoint:
    """A checkpoint with the numbers that its lots have by now, by those that they had."""
    for lot in checkpoint.lots:
        lot.lot_id = numbers.get(lot.lot_id, lot.lot_id)
    return replace(
        checkpoint,
        moved={
            (balance_id, renamed(debit, numbers), renamed(credit, numbers), cause, day): amount
            for (balance_id, debit, credit, cause, day), amount in checkpoint.moved.items()
        },
        paid_off=[
            (numbers.get(overdraft, overdraft), numbers.get(lot, lot), amount)
            for overdraft, lot, amount in checkpoint.paid_off
        ],
    )


KEEP = """
insert into checkpoints (
    tenant_id, at, version, lots, counters, moved, paid_off, next_due, settings
)
values ($1, $2, $3, $4::text::jsonb, $5::text::jsonb, $6::text::jsonb, $7::text::jsonb, $8, $9)"""


async def keep(
    connection: Connection,
    tenant_id: int,
    checkpoint: Checkpoint,
    version: int,
    numbers: Mapping[int, int],
    settings: int | None,
) -> None:
    """Keep a checkpoint with a commit's version; `numbers` has those of lots new to the books.

    `settings` is the count of changes of the terms it was folded on; of a closing there is none.
    """
    known = renumbered(checkpoint, numbers)
    spelt = [
        msgspec.json.encode(each).decode()
        for each in (
            [[getattr(lot, name) for name in _LOT] for lot in known.lots],
            [[*key, c.value, c.counted_at] for key, c in known.counters.items()],
            [[*place, amount] for place, amount in known.moved.items()],
            known.paid_off,
        )
    ]
    await connection.execute(
        KEEP, tenant_id, known.at, version, *spelt, known.next_due, settings
    )  # fmt: skip


COLUMNS = """
at, version, lots::text as lots, counters::text as counters, moved::text as moved,
paid_off::text as paid_off, next_due"""


def kept(row: asyncpg.Record) -> Checkpoint:
    """The checkpoint of a row of `COLUMNS`."""
    lots = []
    for values in msgspec.json.decode(row["lots"]):
        named = dict(zip(_LOT, values, strict=True))
        named["source"] = LotSource(named["source"])
        lots.append(Lot(**named))
    counters = [_counter(*values) for values in msgspec.json.decode(row["counters"])]
    return Checkpoint(
        at=row["at"],
        version=row["version"],
        lots=lots,
        counters={(c.name, c.number_id, c.month): c for c in counters},
        moved={
            (balance_id, debit, credit, cause, day): amount
            for balance_id, debit, credit, cause, day, amount in msgspec.json.decode(row["moved"])
        },
        paid_off=[tuple(each) for each in msgspec.json.decode(row["paid_off"])],
        next_due=row["next_due"],
    )


def begin(refold: Refold, checkpoint: Checkpoint, deeds: Collection[Deed]) -> None:
    """Give a fold that begins the figures of a checkpoint, and the deeds that are in them.

    A lot that nobody had posted then may have been posted since: its name says which it is.
    """
    state, past = refold.state, refold.past
    numbers: dict[int, int] = {}
    for lot in checkpoint.lots:
        number = state.lot_ids.get((lot.balance_id, lot.origin))
        if number is None:
            number = state.last_lot = state.last_lot + 1
        numbers[lot.lot_id] = number
    known = renumbered(checkpoint, numbers)
    for lot in known.lots:
        state.lots.setdefault(lot.balance_id, []).append(lot)
        refold.lots[lot.lot_id] = lot
    state.lots = {balance_id: order(lots) for balance_id, lots in state.lots.items()}
    state.counters = dict(known.counters)
    state.next_due = known.next_due
    refold.moved = dict(known.moved)
    past.begin(known.paid_off)
    by_origin = {lot.origin: lot for lot in known.lots}
    for deed in deeds:
        past.known(deed, by_origin.get(f"action/{deed.key}"))


#: What is compared of a checkpoint, by a name of its own.
Named: TypeAlias = dict[str, dict[str, object]]


def differing(found: Checkpoint, right: Checkpoint) -> Iterator[tuple[str, object, object]]:
    """What one checkpoint has otherwise than another of the same instant: where, found, right.

    An allowance that is over and was never touched may as well not be; lots go by their names.
    """
    idle = _idle(found) ^ _idle(right)
    one, other = _named(found, idle), _named(right, idle)
    for column, known in other.items():
        for name in sorted(one[column].keys() | known.keys()):
            values = one[column].get(name, "missing"), known.get(name, "missing")
            if values[0] != values[1]:
                yield f"{column} {name}", *values
    if found.next_due != right.next_due:
        yield "next_due", found.next_due, right.next_due


def _idle(checkpoint: Checkpoint) -> set[str]:
    return {
        _name(lot)
        for lot in checkpoint.lots
        if lot.source is LotSource.ALLOWANCE and not lot.used and not lot.moved
        and lot.ends_at is not None and lot.ends_at <= checkpoint.at
    }  # fmt: skip


def _name(lot: Lot) -> str:
    return f"{lot.balance_id}/{lot.origin}"


def _named(checkpoint: Checkpoint, idle: set[str]) -> Named:
    names = {lot.lot_id: _name(lot) for lot in checkpoint.lots}

    def of(lot_id: int) -> str:
        return names.get(lot_id, str(lot_id))

    def account(of_lot: str) -> str:
        return of(int(of_lot[4:])) if of_lot.startswith("lot/") else of_lot

    lots: dict[str, object] = {}
    for lot in checkpoint.lots:
        values = {name: getattr(lot, name) for name in _LOT[1:]}
        if lot.source in BY_THEMSELVES:
            del values["created_at"]  # when somebody first looked
        if _name(lot) not in idle:
            lots[_name(lot)] = values
    moved: dict[str, object] = {}
    for (balance_id, debit, credit, cause, day), amount in checkpoint.moved.items():
        sides = account(debit), account(credit)
        if amount and idle.isdisjoint(sides):
            moved[f"{balance_id} from {sides[0]} to {sides[1]} {cause} {day}"] = amount
    return {
        "lots": lots,
        "counters": {str(key): (c.value, c.counted_at) for key, c in checkpoint.counters.items()},
        "moved": moved,
        "paid_off": {
            str(place): (of(overdraft), of(lot), amount)
            for place, (overdraft, lot, amount) in enumerate(checkpoint.paid_off)
        },
    }


LEGS = """
select asked.key, asked.part, c.lots, c.taken
from unnest($2::bytea[], $3::smallint[]) asked (key, part)
join fact_keys k on k.tenant_id = $1 and k.key = asked.key
cross join lateral (
    select coalesce(max(revision), 0) as revision from revisions
    where tenant_id = $1 and at = k.at and key = k.key
) v
cross join lateral (
    select array[lot_id] as lots, array[amount] as taken from facts
    where tenant_id = $1 and at = k.at and key = k.key and lot_id is not null
        and v.revision = 0 and asked.part = 0
    union all
    select lots, taken from charges
    where tenant_id = $1 and at = k.at and key = k.key and part = asked.part
        and revision = v.revision and not reversal
) c
where k.at < $4"""


async def legs(
    connection: Connection, tenant_id: int, asked: Collection[tuple[bytes, int]], before: int
) -> dict[tuple[bytes, int], list[tuple[int, int]]]:
    """What paid charges of facts that are not folded: (lot, taken) by fact and part."""
    if not asked:
        return {}
    keys, parts = zip(*asked, strict=True)
    rows = await connection.fetch(LEGS, tenant_id, list(keys), list(parts), before)
    return {
        (row["key"], row["part"]): list(zip(row["lots"], row["taken"], strict=True)) for row in rows
    }
