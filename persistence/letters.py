"""Letters: which deliveries of a mailbox go together, and what there is to tell of their alerts.

Owns how deliveries are bound to the letter they go with. It is named by the delivery that was due
first, whose body is its text: a second try sends the same. When one goes is `api.reaching.mail`'s
to say, what stands in it `api.reaching.letters`'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domain.watch import PASSING, AlertKind
from persistence import alerts, deliveries, purchases, receipts
from persistence.alerts import Alert
from persistence.connection import Connection
from persistence.deliveries import Delivery
from persistence.purchases import Payment, Purchase
from persistence.receipts import Issued
from persistence.tenants import TENANT_COLUMNS, TenantRecord

#: What begins the cause of an alert that a payment raised; its key stands behind.
OF_PAYMENT = purchases.credit_key("")

OF_DELIVERY = "select letter_id from deliveries where tenant_id = $1 and delivery_id = $2"

# The one that is due comes first, whatever else is left for the next letter.
WAITING = """
select delivery_id from deliveries
where tenant_id = $1 and channel = 'mail' and target_id = $2 and ended_at is null
    and letter_id is null and (delivery_id = $3 or kind like 'alert.%')
order by delivery_id <> $3, delivery_id
limit $4"""

BOUND = """
select delivery_id from deliveries
where tenant_id = $1 and channel = 'mail' and target_id = $2 and ended_at is null
    and letter_id = $3
order by delivery_id"""


async def of_delivery(connection: Connection, delivery: Delivery) -> int | None:
    """The letter that a delivery goes with; None: it is in none yet."""
    found: int | None = await connection.fetchval(
        OF_DELIVERY, delivery.tenant_id, delivery.delivery_id
    )
    return found


async def waiting(connection: Connection, delivery: Delivery, limit: int) -> list[Delivery]:
    """What waits for the mailbox of a delivery and is in no letter, itself first; oldest first."""
    rows = await connection.fetch(
        WAITING, delivery.tenant_id, delivery.target_id, delivery.delivery_id, limit
    )
    return await _all(connection, delivery.tenant_id, [row["delivery_id"] for row in rows])


async def bound(connection: Connection, delivery: Delivery) -> list[Delivery]:
    """What goes with the letter that a delivery names, itself among it."""
    rows = await connection.fetch(
        BOUND, delivery.tenant_id, delivery.target_id, delivery.delivery_id
    )
    return await _all(connection, delivery.tenant_id, [row["delivery_id"] for row in rows])


async def _all(connection: Connection, tenant_id: int, ids: Sequence[int]) -> list[Delivery]:
    found = [await deliveries.find(connection, tenant_id, each, lock=True) for each in ids]
    return [each for each in found if each is not None]


BIND = """
update deliveries
set letter_id = $2, body = case when delivery_id = $2 then $4 else body end
where tenant_id = $1 and delivery_id = any ($3::bigint[])"""


async def bind(
    connection: Connection, delivery: Delivery, together: Sequence[Delivery], text: bytes
) -> None:
    """Have deliveries go with the letter that one of them names."""
    await connection.execute(
        BIND, delivery.tenant_id, delivery.delivery_id, [each.delivery_id for each in together],
        text,
    )  # fmt: skip


TENANT = f"select {TENANT_COLUMNS} from tenants where tenant_id = $1"


async def tenant_of(connection: Connection, tenant_id: int) -> TenantRecord:
    """The tenant as its row has it."""
    row = await connection.fetchrow(TENANT, tenant_id)
    assert row is not None
    return TenantRecord(**row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """Since when what an alert says is no longer so."""

    at: int
    remaining: int  #: then, as the alert measures it
    void: bool = False  #: of an invoice: it is not paid, but asks for nothing any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """What became of a purchase, where an alert is of one."""

    purchase: Purchase
    payment: Payment
    issued: Issued | None  #: its receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One alert and what there is to tell of it."""

    alert: Alert
    over: Over | None = None
    paid: Paid | None = None


async def items(connection: Connection, tenant_id: int, alert_ids: Sequence[int]) -> list[Item]:
    """What there is to tell of alerts, in the order in which they were raised."""
    found = await alerts.of_ids(connection, tenant_id, alert_ids)
    return [
        Item(
            alert=alert,
            over=await _over(connection, alert),
            paid=await _paid(connection, alert),
        )
        for alert in found
    ]


# What was said of the same threshold last: behind whatever came between.
LAST = """
select kind, at, remaining from alerts
where tenant_id = $1 and balance_id = (select balance_id from alerts
        where tenant_id = $1 and version = $2 and line = $3)
    and measure = $4 and threshold = $5 and (version, line) > ($2, $3) and kind = any ($6)
order by version desc, line desc
limit 1"""
_SAYING = [int(kind) for kind in (*sorted(PASSING), AlertKind.RECOVERED)]


# Whichever came first behind the alert.
SETTLED = """
select at, false as void from alerts
where tenant_id = $1 and version > $2 and kind = $4 and cause_id = $3
union all
select voided_at, true from invoices
where tenant_id = $1 and number = $3 and voided_at is not null
order by 1
limit 1"""


async def _settled(connection: Connection, alert: Alert) -> Over | None:
    """Since when nothing is left to pay of an alert's invoice."""
    row = await connection.fetchrow(
        SETTLED, alert.tenant_id, alert.version, alert.cause_id, AlertKind.INVOICE_PAID
    )
    return None if row is None else Over(at=row["at"], remaining=0, void=row["void"])


async def _over(connection: Connection, alert: Alert) -> Over | None:
    if alert.kind in (AlertKind.INVOICE_ISSUED, AlertKind.INVOICE_OVERDUE):
        return await _settled(connection, alert) if alert.remaining > 0 else None
    if alert.kind not in PASSING:
        return None
    row = await connection.fetchrow(
        LAST, alert.tenant_id, alert.version, alert.line, int(alert.measure), alert.threshold,
        _SAYING,
    )  # fmt: skip
    if row is None or row["kind"] != AlertKind.RECOVERED:
        return None
    return Over(at=row["at"], remaining=row["remaining"])


async def _paid(connection: Connection, alert: Alert) -> Paid | None:
    if not alert.cause_id.startswith(OF_PAYMENT):
        return None
    tenant_id, key = alert.tenant_id, alert.cause_id.removeprefix(OF_PAYMENT)
    payment = await purchases.find_payment(connection, tenant_id, key)
    if payment is None:
        return None
    purchase = await purchases.find(connection, tenant_id, payment.purchase_id)
    if purchase is None:
        return None
    issued = await receipts.find(connection, tenant_id, key)
    return Paid(purchase=purchase, payment=payment, issued=issued)
