"""What is invoiced and paid as a proof: documents, closed periods and the account beside the books.

Owns what is said of them where they differ. Each is read with what it follows from: a document with
the action that issued it, a period's usage with its charges, an account's rows with one another.
"""

from __future__ import annotations

from domain.periods import month_name
from domain.terms import Terms
from domain.verify import Findings
from persistence import account_checks, closed_usage, invoice_checks
from persistence.connection import Connection


async def prove(connection: Connection, own: Terms, findings: Findings) -> None:
    """Note what is not as it should be of a tenant's invoices and account."""
    for number in await invoice_checks.changed(connection, own.tenant_id):
        findings.add("invoices", number, "body", "changed", "as it was issued")
    for label in await invoice_checks.closed(connection, own.tenant_id):
        kept = await closed_usage.find(connection, own.tenant_id, label)
        if kept is not None and kept != await closed_usage.worked_out(connection, own, kept.end):
            findings.add("closed_usage", month_name(label), "lines", "other", "what books say")
    for wrong in await account_checks.check(connection, own.tenant_id):
        findings.add("account", own.key, wrong, "so", "in agreement")
