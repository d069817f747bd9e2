"""Allocations: which payment pays which invoice, and what is paid too much (IN-2, IN-4).

Owns the account of one tenant in one currency: its invoices by what is asked, given back and paid
of them and which of them may be void, its payments by what they pay, and every move between the
two. Does not own what an invoice says, how a payment is collected, and who is told. The list of an
account's movements with its running balance is `statements`'.

While anything is left to pay there is no credit: a payment, or what a credit note sets free, pays
the invoices it names and then the oldest; only what is beyond them all stays as credit, which
invoices take as they are issued. A move is never changed; one the other way undoes it. Amounts are
micros.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from domain.money import text
from domain.problems import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What is asked, given back and paid of one issued invoice."""

    number: str
    total: int
    credited: int = 0  #: by its credit notes
    paid: int = 0  #: by payments
    void: bool = False

    @property
    def balance(self) -> int:
        """What is left to pay; never below zero."""
        return 0 if self.void else self.total - self.credited - self.paid


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """What came in, and what became of it."""

    key: str
    amount: int
    names: tuple[str, ...] = ()  #: the invoices it is for, in this order, before any other
    used: int = 0  #: what pays invoices
    refunded: int = 0
    taken_back: int = 0  #: by whoever paid it, through its provider

    @property
    def credit(self) -> int:
        """What pays nothing yet; never below zero."""
        return self.amount - self.used - self.refunded - self.taken_back


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """A move of a payment's money to an invoice; below zero: back from it."""

    payment: str
    invoice: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """What is paid back of one payment's credit."""

    payment: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One tenant's, in one currency."""

    bills: tuple[Bill, ...] = ()  #: in the order in which they were issued
    payments: tuple[Payment, ...] = ()  #: in the order in which they came in
    moves: tuple[Allocation, ...] = ()  #: in the order in which they were made

    @property
    def credit(self) -> int:
        """What was paid and pays nothing yet."""
        return sum(payment.credit for payment in self.payments)

    @property
    def balance(self) -> int:
        """What is left to pay of all invoices; below zero: the tenant's credit."""
        return sum(bill.balance for bill in self.bills) - self.credit

    def bill(self, number: str) -> Bill:
        """The bill of a number; Problem where there is none."""
        found = next((bill for bill in self.bills if bill.number == number), None)
        if found is None:
            raise Problem("NOT_FOUND", f"there is no invoice {number[:40]}", "invoice")
        return found


def invoiced(account: Account, number: str, total: int) -> Account:
    """The account with one more invoice, which takes what credit there is, oldest first."""
    if any(bill.number == number for bill in account.bills):
        raise ValueError(f"{number} was issued before")
    if total < 0:
        raise ValueError(f"{number} asks for {text(total)}: an invoice asks for nothing or more")
    return _settled(replace(account, bills=(*account.bills, Bill(number=number, total=total))))


def bought(account: Account, number: str, total: int, key: str, amount: int) -> Account:
    """The account with one more invoice and the payment that came with it, for it alone.

    The payment pays it before any credit does; what is beyond it pays as every other payment.
    """
    if any(bill.number == number for bill in account.bills):
        raise ValueError(f"{number} was issued before")
    if amount <= 0 or any(payment.key == key for payment in account.payments):
        raise ValueError(f"{key} was paid before, or {text(amount)} is nothing")
    bill = Bill(number=number, total=total)
    came = Payment(key=key, amount=amount, names=(number,))
    account = replace(account, bills=(*account.bills, bill), payments=(*account.payments, came))
    return _settled(_moved(account, key, number, min(amount, total)))


def paid(account: Account, key: str, amount: int, names: Sequence[str] = ()) -> Account:
    """The account with a payment, which pays the invoices it names, then the oldest first.

    The same payment again changes nothing; Problem where its key came with other content, where
    it names an invoice that there is none of or that is void, or is of nothing.
    """
    came = Payment(key=key, amount=amount, names=tuple(names))
    before = next((each for each in account.payments if each.key == key), None)
    if before is not None:
        if (before.amount, before.names) != (came.amount, came.names):
            raise Problem("KEY_TAKEN", f"{key[:40]} was another payment", "key")
        return account
    if amount <= 0:
        raise Problem("NOTHING_PAID", f"{text(amount)} pays nothing: write more than 0", "amount")
    for name in came.names:
        if account.bill(name).void:
            raise Problem("VOID", f"{name} is void: nothing is to be paid", "invoices")
    return _settled(replace(account, payments=(*account.payments, came)))


def credited(account: Account, number: str, amount: int) -> Account:
    """The account with a credit note of an invoice; what was paid beyond the rest is set free.

    Of several payments the newest is set free first.
    """
    bill = account.bill(number)
    if bill.void:
        raise Problem("VOID", f"{number} is void: there is nothing to give back", "invoice")
    if not 0 < amount <= bill.total - bill.credited:
        left = text(bill.total - bill.credited)
        raise Problem("TOO_MUCH", f"{text(amount)} is not within {left}, what is left", "amount")
    bill = replace(bill, credited=bill.credited + amount)
    account = _with(account, bill)
    over = max(0, -bill.balance)
    for key, given in reversed(_payers(account, number)):
        back = min(over, given)
        over -= back
        account = _moved(account, key, number, -back)
    return _settled(account)


def voided(account: Account, number: str) -> Account:
    """The account with an invoice that asks for nothing any more; again, it changes nothing.

    Problem where anything is paid of it or was given back: a credit note gives back the rest.
    """
    bill = account.bill(number)
    if bill.paid:
        message = f"{text(bill.paid)} of {number} is paid: give a credit note"
        raise Problem("PAID_FROM", message, "invoice")
    if bill.credited:
        message = f"{number} has credit notes: give back what is left of it by another"
        raise Problem("CREDITED", message, "invoice")
    return _with(account, replace(bill, void=True))


def refunded(account: Account, amount: int) -> tuple[Account, tuple[Refund, ...]]:
    """The account with an amount of its credit paid back, of the newest payments first."""
    if not 0 < amount <= account.credit:
        message = f"{text(amount)} is not within {text(account.credit)}, the credit there is"
        raise Problem("NOT_ENOUGH_CREDIT", message, "amount")
    made = []
    payments = list(account.payments)
    for place, payment in reversed(list(enumerate(payments))):
        back = min(amount, payment.credit)
        if back:
            amount -= back
            payments[place] = replace(payment, refunded=payment.refunded + back)
            made.append(Refund(payment=payment.key, amount=back))
    return replace(account, payments=tuple(payments)), tuple(made)


def taken_back(account: Account, key: str) -> Account:
    """The account without what is left of a payment that was taken back; again, nothing changes.

    What it paid is to be paid again, by other credit as far as that goes. What was refunded of it
    had gone back before.
    """
    payment = next((each for each in account.payments if each.key == key), None)
    if payment is None:
        raise Problem("NOT_FOUND", f"there is no payment {key[:40]}", "payment")
    for number in dict.fromkeys(move.invoice for move in account.moves if move.payment == key):
        account = _moved(account, key, number, -dict(_payers(account, number))[key])
    payments = tuple(
        replace(each, taken_back=each.amount - each.refunded) if each.key == key else each
        for each in account.payments
    )
    return _settled(replace(account, payments=payments))


def _settled(account: Account) -> Account:
    """The account in which credit pays what is left to pay, as far as it goes."""
    for payment in account.payments:
        rest = payment.credit
        for number, asked in _to_pay(account, payment) if rest else ():
            amount = min(rest, asked)
            rest -= amount
            account = _moved(account, payment.key, number, amount)
    return account


def _to_pay(account: Account, payment: Payment) -> Iterator[tuple[str, int]]:
    """What a payment pays, as far as it goes: what it names, then the oldest."""
    named = [account.bill(name) for name in dict.fromkeys(payment.names)]
    others = (bill for bill in account.bills if bill.number not in payment.names)
    for bill in (*named, *others):
        if bill.balance:
            yield bill.number, bill.balance


def _payers(account: Account, number: str) -> list[tuple[str, int]]:
    """What each payment pays of an invoice, in the order in which they came in."""
    given = {payment.key: 0 for payment in account.payments}
    for move in account.moves:
        if move.invoice == number:
            given[move.payment] += move.amount
    return list(given.items())


def _moved(account: Account, key: str, number: str, amount: int) -> Account:
    """The account after a move of a payment's money to an invoice, or back."""
    if not amount:
        return account
    bill = account.bill(number)
    move = Allocation(payment=key, invoice=number, amount=amount)
    payments = tuple(
        replace(each, used=each.used + amount) if each.key == key else each
        for each in account.payments
    )
    account = replace(account, payments=payments, moves=(*account.moves, move))
    return _with(account, replace(bill, paid=bill.paid + amount))


def _with(account: Account, bill: Bill) -> Account:
    """The account with a bill in the place of the one of its number."""
    bills = tuple(bill if each.number == bill.number else each for each in account.bills)
    return replace(account, bills=bills)
