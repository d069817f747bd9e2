"""Events: what an alert says to programs, as the body of a webhook has it.

Owns the types of events and the words of their bodies, which are made once: each try sends the same
bytes. Who gets one is `fan_out`'s to say, how an alert is told to people `api.schema.banner`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from api import ids
from api.operations.alert_acknowledge import PREFIX
from api.reaching.bodies import spelt
from api.schema.alert import base_of, cause_of, remaining_of, value_of
from api.schema.amount import Amount, shown
from api.schema.banner import LOW, Said, banner_of
from api.schema.billing_banner import banner_of_billing, on_day
from api.schema.download import INVOICE
from api.schema.how_to_top_up import HowToTopUp, sold
from domain.invoice_status import called
from domain.money import text
from domain.periods import date_of, iso
from domain.watch import AlertKind
from persistence import purchases, receipts
from persistence.alerts import Alert
from persistence.catalogue import Catalogue
from persistence.connection import Connection
from persistence.purchases import Purchase
from persistence.receipts import Issued
from persistence.tenants import TenantRecord

#: What begins the cause of an alert that a payment raised; its key stands behind.
OF_PAYMENT = purchases.credit_key("")


@dataclass(frozen=True, slots=True)
class Now:
    """What says which plan is in force."""

    catalogue: Catalogue
    now: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """What was paid, or could not be, when an alert was raised."""

    purchase: Purchase
    receipt: Issued | None


def event_of(alert: Alert) -> str:
    """The id of an alert's event: the alert's own, to everybody and at each try."""
    return ids.encode(PREFIX, alert.alert_id)


def type_of(kind: AlertKind) -> str:
    """The type of the event of an alert, such as `alert.refill_started`."""
    return f"alert.{kind.name.lower()}"


async def paid(connection: Connection, alert: Alert) -> Paid | None:
    """What an alert that a payment raised speaks of."""
    if not alert.cause_id.startswith(OF_PAYMENT):
        return None
    key = alert.cause_id.removeprefix(OF_PAYMENT)
    payment = await purchases.find_payment(connection, alert.tenant_id, key)
    if payment is None:
        return None
    purchase = await purchases.find(connection, alert.tenant_id, payment.purchase_id)
    if purchase is None:
        return None
    receipt = await receipts.find(connection, alert.tenant_id, key)
    return Paid(purchase=purchase, receipt=receipt)


def body_of(alert: Alert, tenant: TenantRecord, now: Now, about: Paid | None) -> bytes:
    """The body of an alert's event, in the words of `Alert` in the schema."""
    if alert.balance is None:
        return spelt(type_of(alert.kind), alert.at, _of_billing(alert, tenant))
    plan, balance = sold(now, tenant, alert.balance)
    how = None
    if alert.kind in LOW:  # AL-6
        how = _how(HowToTopUp.of(plan, balance, tenant.locale))
    said = Said.of(alert, alert.remaining, alert.base)
    value, base = value_of(alert), base_of(alert, tenant.locale)
    data: dict[str, Any] = {
        "id": event_of(alert),
        "kind": alert.kind.name,
        "tenant": tenant.key,
        "balance": alert.balance,
        "measure": alert.measure.name,
        "threshold": text(alert.threshold),
        "value": None if value is None else str(value),
        "remaining": _amount(alert.remaining, alert.currency, tenant.locale, down=True),
        "base": None if base is None else _amount(base.micros, base.currency, tenant.locale),
        "at": iso(alert.at),
        "cause": alert.cause.name,
        "causeId": cause_of(alert),
        "banner": banner_of(now, tenant, alert.balance, said, None),
        "howToTopUp": how,
    }
    if about is not None:
        data["purchase"] = _purchase(about.purchase, tenant.locale)
        data["receipt"] = None if about.receipt is None else about.receipt.number
    return spelt(type_of(alert.kind), alert.at, data)


def _of_billing(alert: Alert, tenant: TenantRecord) -> dict[str, Any]:
    """What is said of an invoice or a subscription, as it was when it was raised."""
    remaining, base = remaining_of(alert, tenant.locale), base_of(alert, tenant.locale)
    data: dict[str, Any] = {
        "id": event_of(alert),
        "kind": alert.kind.name,
        "tenant": tenant.key,
        "balance": None,
        "measure": None,
        "threshold": None,
        "value": None,
        "remaining": _shown(remaining),
        "base": _shown(base),
        "at": iso(alert.at),
        "cause": alert.cause.name,
        "causeId": cause_of(alert),
        "banner": banner_of_billing(tenant, alert, None),
        "howToTopUp": None,
    }
    if alert.kind is AlertKind.SUBSCRIPTION_ENDING:
        day = date_of(alert.base).isoformat()
        return {**data, "subscription": alert.cause_id, "lastDay": day}
    status = called(alert.due_on, alert.remaining, on_day(tenant, alert))
    return {
        **data,
        "invoice": {
            "id": ids.encode(INVOICE, alert.invoice_id or 0),
            "number": alert.cause_id,
            "status": status.name,
            "total": _amount(alert.base, alert.currency, tenant.locale),
            "balance": _amount(alert.remaining, alert.currency, tenant.locale),
            "dueOn": None if alert.due_on is None else date_of(alert.due_on).isoformat(),
        },
    }


def _shown(amount: Amount | None) -> dict[str, Any] | None:
    return None if amount is None else _amount(amount.micros, amount.currency, amount.locale)


def _amount(
    micros: int, currency: str | None, locale: str, *, down: bool = False
) -> dict[str, Any]:
    return {
        "value": text(micros),
        "currency": currency,
        "formatted": shown(micros, currency, locale, down),
    }


def _how(how: HowToTopUp) -> dict[str, Any]:
    amounts = {"minimum": how.minimum, "pack": how.pack, "price": how.price}
    return {
        "selfService": how.self_service,
        "supportContact": how.support_contact,
        **{
            name: None if each is None else _amount(each.micros, each.currency, each.locale)
            for name, each in amounts.items()
        },
    }


def _purchase(purchase: Purchase, locale: str) -> dict[str, Any]:
    return {
        "id": ids.encode("pur", purchase.purchase_id),
        "kind": purchase.kind.name,
        "state": purchase.state.name,
        "amount": text(purchase.amount),
        "total": _amount(purchase.total, purchase.currency, locale),
    }
