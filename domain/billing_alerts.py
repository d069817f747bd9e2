"""Billing alerts: what is raised of an invoice or a subscription, which is of no balance.

Owns how such alerts are spelt in the fields that alerts have. When one is raised is said by whoever
issues, collects or duns, in the transaction that does it; the words are `billing_notices`'.
"""

from __future__ import annotations

from domain.watch import Alert, AlertCause, AlertKind, Measure

#: Of no balance: no balance has this number.
NO_BALANCE = 0

#: What is raised of an invoice.
OF_INVOICES = frozenset(
    {AlertKind.INVOICE_ISSUED, AlertKind.INVOICE_PAID, AlertKind.INVOICE_OVERDUE}
)


def invoice(kind: AlertKind, number: str, left: int, total: int, at: int) -> Alert:
    """What is raised of an invoice by its number, of which `left` of `total` micros is to be paid.

    ValueError for a kind that is of no invoice.
    """
    if kind not in OF_INVOICES:
        raise ValueError(f"{kind.name} is raised of no invoice")
    return Alert(NO_BALANCE, kind, Measure.NONE, 0, left, total, at, AlertCause.INVOICE, number)


def subscription_ending(key: str, last_day: int, at: int) -> Alert:
    """What is raised of a subscription that serves until a local day, which `base` is then."""
    return Alert(
        NO_BALANCE, AlertKind.SUBSCRIPTION_ENDING, Measure.NONE, 0, 0, last_day, at,
        AlertCause.SUBSCRIPTION, key,
    )  # fmt: skip
