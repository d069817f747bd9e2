"""What is decided about sending: how long holds last, caps, and what is granted in an outage.

Owns the fields, their defaults and bounds, whose word holds (a tenant's before its plan's before
the default), and how the fields are written. Grants nothing, and knows no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from domain.documents import KEY, DocumentError, Table, nearest
from domain.money import text

#: What each whole number may be, both ends included.
BOUNDS: Final[Mapping[str, tuple[int, int]]] = {
    "hold_seconds": (10, 86_400),
    "sent_seconds": (60, 604_800),
    "call_seconds": (1, 3_600),
    "recipients_max": (1, 100_000),
}
#: Micros of a cap or of what an outage may grant: a hundred billion units.
AMOUNT_MAX: Final = 10**17


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """What of a balance may be spent and held in a local day and in a local month (OC-1)."""

    day: int | None = None  #: micros; None: no cap
    month: int | None = None  #: micros; None: no cap


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """What holds for one tenant."""

    hold_seconds: int = 600  #: until a hold expires of which nothing was sent
    sent_seconds: int = 86_400  #: until a share expires that was sent
    call_seconds: int = 60  #: of a call that are authorised at a time
    recipients_max: int = 100_000  #: of one send
    caps: Mapping[str, Cap] = field(default_factory=lambda: MappingProxyType({}))  #: by balance
    #: By balance, micros that may be granted while Valkey is away; empty: nothing is.
    fail_open: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSending:
    """What a plan or a tenant says itself; None leaves a field to the next in line."""

    hold_seconds: int | None = None
    sent_seconds: int | None = None
    call_seconds: int | None = None
    recipients_max: int | None = None
    caps: Mapping[str, Cap] | None = None  #: all of them: an empty mapping is none
    fail_open: Mapping[str, int] | None = None  #: all of it: an empty mapping is closed


#: Of a plan or tenant that says nothing, and what then holds.
UNSAID: Final = OwnSending()
DEFAULT: Final = Sending()

FIELDS: Final = (*BOUNDS, "caps", "fail_open")


class SendingError(DocumentError):
    """Decisions that were refused, with every problem found in them."""


def merged(plan: OwnSending, tenant: OwnSending) -> Sending:
    """What holds: field by field the tenant's word, else the plan's, else the default."""
    if plan == UNSAID and tenant == UNSAID:
        return DEFAULT
    said = {}
    for name in FIELDS:
        own = getattr(tenant, name)
        value = getattr(plan, name) if own is None else own
        if value is not None:
            said[name] = value
    return Sending(**said)


def parse_sending(
    document: Mapping[str, object], balances: Collection[str] | None = None
) -> OwnSending:
    """Read what somebody says, or raise SendingError with every problem.

    `balances` are those that may be named; None: any, as in what was checked before.
    """
    table = Table(document)
    own = read_fields(table, balances)
    if table.problems:
        raise SendingError("sending", table.problems)
    return own


def read_sending(top: Table, balances: Collection[str]) -> OwnSending:
    """Read the [sending] of a plan, which may leave it out."""
    if not top.has("sending"):
        return UNSAID
    return read_fields(top.table("sending", "write [sending], or leave it out"), balances)


def read_fields(table: Table, balances: Collection[str] | None) -> OwnSending:
    """Read every field that is written, and refuse what is none."""
    numbers = {
        name: table.whole(name, low, high)
        for name, (low, high) in BOUNDS.items()
        if table.has(name)
    }
    caps = _read_caps(table, balances) if table.has("caps") else None
    fail_open = _read_fail_open(table, balances) if table.has("fail_open") else None
    table.close()
    return OwnSending(**numbers, caps=caps, fail_open=fail_open)


def written(own: OwnSending) -> dict[str, object]:
    """What is said, as `parse_sending` reads it; amounts are decimals in quotes."""
    document: dict[str, object] = {
        name: value for name in BOUNDS if (value := getattr(own, name)) is not None
    }
    if own.caps is not None:
        document["caps"] = [
            {"balance": key, **_written_cap(cap)} for key, cap in sorted(own.caps.items())
        ]
    if own.fail_open is not None:
        document["fail_open"] = [
            {"balance": key, "amount": text(amount)}
            for key, amount in sorted(own.fail_open.items())
        ]
    return document


def _written_cap(cap: Cap) -> dict[str, str]:
    amounts = (("day", cap.day), ("month", cap.month))
    return {name: text(amount) for name, amount in amounts if amount is not None}


def _read_caps(top: Table, balances: Collection[str] | None) -> Mapping[str, Cap]:
    caps: dict[str, Cap] = {}
    right = 'write [{ balance = "whatsapp", day = "1000000" }], or [] for none'
    for table in _members(top, "caps", right):
        key = _read_balance(table, balances, caps)
        day, month = (_read_amount(table, name, 0) for name in ("day", "month"))
        table.close()
        if table.clean and day is None and month is None:
            table.problem("", "caps nothing", 'add day = "1000000", or month')
        if table.clean:
            caps[key] = Cap(day=day, month=month)
    return caps


def _read_fail_open(top: Table, balances: Collection[str] | None) -> Mapping[str, int]:
    amounts: dict[str, int] = {}
    right = 'write [{ balance = "whatsapp", amount = "50000" }], or [] for none'
    for table in _members(top, "fail_open", right):
        key = _read_balance(table, balances, amounts)
        if not table.has("amount"):
            table.problem("amount", "is missing", 'write a decimal in quotes, as "50000"')
        amount = _read_amount(table, "amount", 1)
        table.close()
        if table.clean and amount is not None:
            amounts[key] = amount
    return amounts


def _members(top: Table, name: str, right: str) -> list[Table]:
    return [] if top.same(name, []) else top.tables(name, right)


def _read_balance(table: Table, balances: Collection[str] | None, before: Collection[str]) -> str:
    key = table.text("balance", "name a balance of the plan", KEY)
    if key and balances is not None and key not in balances:
        table.problem("balance", f"{key!r} is no balance of the plan", nearest(key, balances))
    elif key in before:
        table.problem("balance", f"{key!r} is there before", "write it once")
    return key


def _read_amount(table: Table, name: str, low: int) -> int | None:
    """Read an amount from `low` micros on, None where it is not written."""
    if not table.has(name):
        return None
    faults = len(table.problems)
    amount = table.amount(name)
    if len(table.problems) == faults and not low <= amount <= AMOUNT_MAX:
        least = "0 or more" if low == 0 else "above 0"
        wrong = f"{text(amount)} does not fit"
        table.problem(name, wrong, f"write an amount {least}, at most {text(AMOUNT_MAX)}")
    return amount
