"""An invoice that is paid at a page, by processes that die: one payment, whoever lives (BA-7)."""

from __future__ import annotations

import pytest

from api.paying.port import Standing
from api.tasks import LEASE
from persistence.purchases import PaymentState, PurchaseState
from tests.api.paying.owed import owe
from tests.api.paying.till import Till, names
from tests.scenarios.world import World
from tests.simulation.mortal import Fate, Mortal
from tests.simulation.test_refills import FEW, mortal, quiet

__all__ = ["mortal"]


async def paid(mortal: Mortal, fate: Fate) -> None:
    """Somebody asks for the page of an invoice and pays on it; a process dies there."""
    key = f"t{next(names)}"
    await mortal.world.tenant(key)
    invoice = await owe(Till.of(mortal.world), key, "250000")

    async def pay(world: World) -> int:
        return await Till.of(world).pay_invoice(key, invoice.number, key=f"pay-{key}")

    async def decide(world: World) -> None:
        till = Till.of(world)
        _, payment = await till.collecting(key, number)
        await till.sandbox.decide(payment.payment_key, Standing.PAID)

    mortal.doom([fate])
    number = await mortal.asked(pay)
    for _ in range(2):
        await mortal.asked(quiet)
        await mortal.survived()
        mortal.world.clock.at += LEASE
    await mortal.asked(decide)
    for _ in range(2):
        await mortal.asked(quiet)
        await mortal.survived()
        mortal.world.clock.at += LEASE
    mortal.spare()
    await mortal.asked(quiet)

    till = Till.of(mortal.world)
    purchase, payment = await till.collecting(key, number)
    assert (purchase.state, payment.state) == (PurchaseState.PAID, PaymentState.PAID), fate
    assert await till.sandbox.collected(payment.payment_key) == 1, fate
    books = await till.books(key)
    assert books.entries == [f"INVOICE {invoice.number}", f"PAYMENT {payment.payment_key}"], fate
    (move,) = books.account.moves
    assert (move.payment, move.amount) == (payment.payment_key, invoice.invoice.total), fate
    assert (books.account.balance, books.account.credit) == (0, 0), fate
    assert await till.told_of_invoices(key) == [
        f"INVOICE_ISSUED {invoice.number}", f"INVOICE_PAID {invoice.number}"
    ], fate  # fmt: skip
    async with mortal.world.door.tenant_tx(purchase.tenant_id) as connection:
        counts = await connection.fetchrow(
            "select (select count(*) from purchases where tenant_id = $1) as purchases,"
            " (select count(*) from tasks where tenant_id = $1 and kind = 'payment') as tasks",
            purchase.tenant_id,
        )
    assert tuple(counts or ()) == (1, 0), fate


@pytest.mark.slow
async def test_a_process_that_dies_at_any_step_of_paying_an_invoice_leaves_one_payment(
    mortal: Mortal, pytestconfig: pytest.Config
) -> None:
    """IN-2, BA-7: before each statement in turn, and behind each commit; here each twelfth, or all
    of them where more worlds are asked for.
    """
    stride = 1 if pytestconfig.getoption("--worlds") > FEW else 12
    for kept in (False, True):
        deaths, step = -1, 0
        while deaths < mortal.deaths:  # until there is no such step any more
            deaths, step = mortal.deaths, step + stride
            await paid(mortal, Fate(step, kept))
        assert step > 10
