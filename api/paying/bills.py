"""What a payment of an invoice does to the account: it comes in, or is taken back (IN-2, BA-8).

Owns what is kept and told of both, under the tenant's lock. The payment's rows are their caller's;
what the money pays is `domain.allocations`' to decide.
"""

from __future__ import annotations

from api.invoicing import account
from api.operations.accounting import unmoved
from api.operations.acting import Done, Scene
from domain.money import text
from persistence import invoices
from persistence.accounts import Method, New
from persistence.purchases import Payment, Purchase


async def pay(scene: Scene, purchase: Purchase, payment: Payment, reference: str | None) -> Done:
    """Take in what was collected for an invoice; what is over by now is credit, or pays others.

    What was void by then is paid to nobody's name: the money is here.
    """
    own, now, connection = scene.terms, scene.now, scene.connection
    assert purchase.invoice_id is not None
    record = await invoices.find(connection, own.tenant_id, purchase.invoice_id)
    assert record is not None
    new = New(
        key=payment.payment_key, amount=purchase.total,
        names=() if record.voided_at is not None else (record.number,),
        received_on=own.zone.date(now), method=Method.OTHER, reference=reference or "",
        provider=payment.provider,
    )  # fmt: skip
    changes = await unmoved(scene)
    number = await account.paid(connection, changes, new, now)
    after = await invoices.find(connection, own.tenant_id, record.invoice_id)
    assert after is not None
    return Done(
        changes=changes,
        body={
            "payment": new.key,
            "amount": new.amount,
            "currency": purchase.currency,
            "names": list(new.names),
            "received_on": new.received_on,
            **new.body,
        },
        about=(f"pay/{number}", f"inv/{record.invoice_id}"),
        before={"invoice": record.number, "left": text(record.balance)},
        after={
            "invoice": record.number,
            "left": text(after.balance),
            "paid": text(new.amount),
            "currency": purchase.currency,
        },
    )


async def take_back(scene: Scene, purchase: Purchase, payment: Payment, reason: str) -> Done:
    """Take what was collected for an invoice from the account: it is to be paid again."""
    changes = await unmoved(scene)
    gone = await account.taken_back(scene.connection, changes, payment.payment_key, scene.now)
    return Done(
        changes=changes,
        body={
            "payment": payment.payment_key,
            "amount": gone,
            "currency": purchase.currency,
            "reason": reason,
        },
        about=(f"inv/{purchase.invoice_id}",),
        after={
            "invoice": purchase.invoice,
            "takenBack": text(gone),
            "currency": purchase.currency,
            "reason": reason,
        },
    )
