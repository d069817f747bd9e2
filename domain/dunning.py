"""Dunning: what is done about invoices that are overdue, on which local day, and what then holds.

Owns the steps and their order, what of them is due at an instant of the tenant's clock (TZ-3), and
which sends are refused while something is unpaid. When an invoice is overdue is `invoice_status`'s
to say, who pays allocations'. Nothing here refuses what has happened: usage is always charged.

What is due at one moment is done as one, however much was missed. A block holds while its invoice
is unpaid and the policy has that step: another policy lifts what it does not know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, TypeAlias

from domain.documents import DocumentError, Table
from domain.money import DISPLAY_DIGITS, MICRO
from domain.periods import Zone

#: Steps of a policy, and days after the due day, at most.
STEPS_MAX: Final = 20
DAYS_MAX: Final = 365

MARKETING: Final = "marketing"


class Deed(StrEnum):
    """What a step does; stored."""

    REMIND = "remind"
    BLOCK_MARKETING = "block_marketing"
    BLOCK_ALL = "block_all"


class Block(IntEnum):
    """Which sends are refused; stored, and the greater one holds."""

    NONE = 0
    MARKETING = 1
    ALL = 2


BLOCKS: Final[Mapping[Deed, Block]] = {
    Deed.REMIND: Block.NONE,
    Deed.BLOCK_MARKETING: Block.MARKETING,
    Deed.BLOCK_ALL: Block.ALL,
}


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """One step of a policy: from the beginning of a local day."""

    days: int  #: after the due day, 1 or more
    deed: Deed
    prepaid: bool = False  #: of a block: sends that a prepaid balance pays are refused too

    @property
    def name(self) -> str:
        """What it is called once it was done; whether it spares what is prepaid may change."""
        return f"{self.deed.value}/{self.days}"


Policy: TypeAlias = tuple[Step, ...]  #: in the order of their days

#: Of whoever says nothing: people are told, and nothing is blocked.
DEFAULT: Final[Policy] = tuple(Step(days, Deed.REMIND) for days in (3, 7, 14))

#: What every policy begins with: the due day is over.
OVERDUE: Final = "overdue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """An invoice as dunning sees it."""

    number: str
    due_on: int  #: local date
    balance: int  #: micros that are left to pay; 0: paid, or void
    total: int  #: micros that it asked for
    currency: str
    done: Mapping[str, int]  #: by name, when a step was done


@dataclass(frozen=True, slots=True, kw_only=True)
class Dunned:
    """Which sends of a tenant are refused, and what would have to be paid."""

    credit: Block  #: of sends that nothing prepaid pays
    prepaid: Block  #: of all, whatever pays; never greater
    since: int  #: when the first step was done that still blocks
    number: str  #: of those invoices the one that is due the longest
    invoices: int  #: how many there are
    owed: int  #: micros: what is left to pay of all of them
    currency: str

    def refuses(self, category: str) -> bool:
        """Whether a send is refused whatever pays for it."""
        return covers(self.prepaid, category)

    def spares_prepaid(self, category: str) -> bool:
        """Whether a send goes on only as far as something prepaid pays for it."""
        return covers(self.credit, category) and not covers(self.prepaid, category)

    @property
    def words(self) -> str:
        """What is to be done about it, as whoever is refused reads it."""
        more = self.invoices - 1
        which = f"invoice {self.number} is overdue"
        if more:
            which = f"invoice {self.number} and {more:,} more are overdue"
        return f"{which}: pay {_spelt(self.owed, self.currency)} to send again"


def covers(block: Block, category: str) -> bool:
    """Whether a block is one of sends of a category."""
    return block is Block.ALL or (block is Block.MARKETING and category == MARKETING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What is to be done about an invoice at an instant."""

    steps: tuple[str, ...]  #: names, in the order of their days; empty: nothing
    at: int | None  #: when the next one is due after that; None: never

    @property
    def name(self) -> str:
        """The last of them, which they are called by."""
        return self.steps[-1]


def falls_at(due_on: int, days: int, zone: Zone) -> int:
    """The instant of a step so many days after the due day; 0: when an invoice is overdue."""
    return zone.day_bounds(due_on + max(days, 1))[0]


def ahead(policy: Policy, bill: Bill, zone: Zone) -> list[tuple[int, str]]:
    """What is left to be done about an invoice: each step with its instant, the earliest first.

    A reminder from before what was done last is past: it is not sent late.
    """
    if bill.balance <= 0:
        return []
    reached = max((_days(name) for name in bill.done), default=0)
    steps = [(OVERDUE, 0), *((step.name, step.days) for step in policy)]
    return [
        (falls_at(bill.due_on, days, zone), name)
        for name, days in steps
        if name not in bill.done and not (_is_reminder(name) and days <= reached)
    ]


def due(policy: Policy, bill: Bill, zone: Zone, now: int) -> Due:
    """What is to be done about an invoice, and when it has to be looked at again."""
    left = ahead(policy, bill, zone)
    return Due(
        steps=tuple(name for at, name in left if at <= now),
        at=min((at for at, _ in left if at > now), default=None),
    )


def blocks(policy: Policy, bill: Bill) -> list[Step]:
    """The steps that hold because of an invoice."""
    if bill.balance <= 0:
        return []
    return [step for step in policy if BLOCKS[step.deed] and step.name in bill.done]


def holds(policy: Policy, bills: Iterable[Bill]) -> Dunned | None:
    """What holds because of all of a tenant's invoices; None: nothing is refused."""
    blocking = [(bill, own) for bill in bills if (own := blocks(policy, bill))]
    if not blocking:
        return None
    blocking.sort(key=lambda each: (each[0].due_on, each[0].number))
    steps = [step for _, own in blocking for step in own]
    first = blocking[0][0]
    return Dunned(
        credit=max(BLOCKS[step.deed] for step in steps),
        prepaid=max((BLOCKS[step.deed] for step in steps if step.prepaid), default=Block.NONE),
        since=min(bill.done[step.name] for bill, own in blocking for step in own),
        number=first.number,
        invoices=len(blocking),
        owed=sum(bill.balance for bill, _ in blocking if bill.currency == first.currency),
        currency=first.currency,
    )


class DunningError(DocumentError):
    """A policy that was refused, with every problem found in it."""


def parse_dunning(document: Mapping[str, object]) -> Policy:
    """Read a policy, or raise DunningError with every problem."""
    table = Table(document)
    steps: list[Step] = []
    right = 'write [{ days = 3, action = "remind" }], or [] for none'
    members = [] if table.same("steps", []) else table.tables("steps", right)
    for own in members:
        faults = len(own.problems)
        days = own.whole("days", 1, DAYS_MAX)
        deed = own.choice("action", [each.value for each in Deed])
        prepaid = own.flag("prepaid")
        own.close()
        if len(own.problems) > faults:
            continue
        step = Step(days, Deed(deed), prepaid)
        if prepaid and step.deed is Deed.REMIND:
            own.problem("prepaid", "a reminder refuses nothing", "leave it out, or block")
        elif step.name in {each.name for each in steps}:
            own.problem("", f"{deed} after {days} days is there before", "write it once")
        else:
            steps.append(step)
    table.close()
    if len(members) > STEPS_MAX:
        table.problem("steps", f"has {len(members)} steps", f"write at most {STEPS_MAX}")
    if table.problems:
        raise DunningError("dunning", table.problems)
    return tuple(sorted(steps))


def written(policy: Policy) -> dict[str, object]:
    """A policy, as `parse_dunning` reads it."""
    return {
        "steps": [
            {"days": step.days, "action": step.deed.value}
            | ({"prepaid": True} if step.prepaid else {})
            for step in policy
        ]
    }


def _days(name: str) -> int:
    return 0 if name == OVERDUE else int(name.rpartition("/")[2])


def _is_reminder(name: str) -> bool:
    return name.startswith(Deed.REMIND.value)


def _spelt(amount: int, currency: str) -> str:
    """An amount to pay, rounded up to what can be paid, with its currency."""
    digits = DISPLAY_DIGITS.get(currency, 2)
    unit = MICRO // 10**digits
    whole, part = divmod(-(-amount // unit), 10**digits)
    return f"{currency} {whole:,}" + (f".{part:0{digits}}" if digits else "")
