"""Record money that came in on a tenant's account, once per idempotency key (IN-2)."""

from __future__ import annotations

from dataclasses import dataclass

from api.invoicing import account
from api.operations.accounting import check_amount, issued_invoices, unmoved
from api.operations.acting import TEXT_LENGTH_MAX, Done, Scene, once
from api.operations.checks import UNPRINTABLE
from domain.money import text
from domain.periods import date_of
from domain.problems import Problem
from persistence.accounts import Method, New
from persistence.actions import Action, ActionKind
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.show import Show

REFERENCE_LENGTH_MAX = 140  # what a bank carries
INVOICES_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRecord:
    tenant: str  #: its key
    amount: int  #: micros
    currency: str | None = None  #: None: the tenant's
    method: str  #: a value of `persistence.accounts.Method`
    reference: str = ""  #: what the payer or the bank calls it
    received_on: int  #: local day
    invoices: tuple[str, ...] = ()  #: numbers or ids, in the order in which they are paid
    note: str = ""
    idempotency_key: str


async def run(
    door: Door, catalogue: Catalogue, show: Show, request: PaymentRecord, *, now: int
) -> Action:
    """Record the payment, or give the one that the same key recorded before."""
    _check(request)

    async def act(scene: Scene) -> Done:
        return await _record(scene, request)

    return await once(door, catalogue, show, ActionKind.PAYMENT_RECORD, request, act, now=now)


async def _record(scene: Scene, request: PaymentRecord) -> Done:
    own, now = scene.terms, scene.now
    if request.currency not in (None, own.currency):
        message = f"the account is in {own.currency}: what came in is written in that"
        raise Problem("WRONG_CURRENCY", message, "currency")
    check_amount(request.amount, own.currency)
    today = own.zone.date(now)
    if request.received_on > today:
        message = f"it is {date_of(today)} there: what is to come is recorded when it has come"
        raise Problem("IN_FUTURE", message, "receivedOn")
    names = []
    for place, found in enumerate(await issued_invoices(scene, request.invoices, "invoices")):
        if found.voided_at is not None:
            message = f"{found.number} is void: nothing is to be paid"
            raise Problem("VOID", message, f"invoices[{place}]")
        names.append(found.number)
    new = New(
        key=request.idempotency_key, amount=request.amount, names=tuple(dict.fromkeys(names)),
        received_on=request.received_on, method=Method(request.method),
        reference=request.reference, note=request.note,
    )  # fmt: skip
    changes = await unmoved(scene)
    number = await account.paid(scene.connection, changes, new, now)
    return Done(
        changes=changes,
        body={
            "payment": new.key,
            "amount": new.amount,
            "currency": own.currency,
            "names": list(new.names),
            "received_on": new.received_on,
            **new.body,
        },
        about=(f"pay/{number}",),
        after={
            "amount": text(new.amount),
            "currency": own.currency,
            "method": new.method.name,
            "reference": new.reference,
            "receivedOn": date_of(new.received_on).isoformat(),
            "invoices": list(new.names),
            "note": new.note,
        },
    )


def _check(request: PaymentRecord) -> None:
    limits = {"reference": REFERENCE_LENGTH_MAX, "note": TEXT_LENGTH_MAX}
    for field, most in limits.items():
        value = getattr(request, field)
        if len(value) > most:
            raise Problem("INVALID", f"{field} has at most {most} characters", field)
        shown = value.replace("\r\n", "\n").replace("\n", "") if field == "note" else value
        if UNPRINTABLE.search(shown):
            message = f"{field} has control characters: leave them out"
            raise Problem("INVALID", message, field)
    if request.received_on < 0:
        message = f"receivedOn is {date_of(0)} or later: money of before is none of ours"
        raise Problem("INVALID", message, "receivedOn")
    if len(request.invoices) > INVOICES_MAX:
        raise Problem("INVALID", f"a payment names at most {INVOICES_MAX} invoices", "invoices")
