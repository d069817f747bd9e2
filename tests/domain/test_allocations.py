"""Allocations: payments fill invoices, the rest is credit, and all of it adds up (IN-2, IN-4)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.allocations import (
    Account,
    Refund,
    bought,
    credited,
    invoiced,
    paid,
    refunded,
    taken_back,
    voided,
)
from domain.credit_notes import credit_note
from domain.invoice_status import status
from domain.invoices import INVOICES, issued
from domain.money import micros, text
from domain.periods import zone
from domain.problems import Problem
from tests.domain.test_invoices import rupiahs
from tests.domain.test_taxes import SAMPLE, TODAY


def asked(*totals: int) -> Account:
    """An account with invoices A, B, C and so on, nothing of which is paid."""
    account = Account()
    for name, total in zip("ABCDEFGH", totals, strict=False):
        account = invoiced(account, name, total)
    return account


def balances(account: Account) -> list[int]:
    return [bill.balance for bill in account.bills]


def moves(account: Account, since: int = 0) -> list[tuple[str, str, int]]:
    return [(move.payment, move.invoice, move.amount) for move in account.moves[since:]]


# Payments


@pytest.mark.parametrize(
    ("amount", "names", "left", "credit"),
    [
        (30, "", [70, 50, 20], 0),  # a part of the oldest
        (100, "", [0, 50, 20], 0),
        (130, "", [0, 20, 20], 0),
        (170, "", [0, 0, 0], 0),
        (175, "", [0, 0, 0], 5),  # what is beyond them all is credit
        (30, "B", [100, 20, 20], 0),  # the named one first
        (60, "B", [90, 0, 20], 0),  # then the oldest
        (60, "CB", [100, 10, 0], 0),  # named ones in the order of their names
        (60, "CC", [60, 50, 0], 0),
    ],
)
def test_a_payment_pays_what_it_names_then_the_oldest(
    amount: int, names: str, left: list[int], credit: int
) -> None:
    """IN-2: and there is no credit while anything is left to pay."""
    account = paid(asked(100, 50, 20), "p", amount, names)
    assert (balances(account), account.credit) == (left, credit)
    assert account.balance == 170 - amount
    assert sum(move.amount for move in account.moves) == amount - credit


def test_what_was_paid_too_much_pays_later_invoices() -> None:
    """IN-2: over-payment becomes credit, of which the oldest goes first."""
    account = paid(paid(asked(10), "p", 15), "q", 5)
    assert (account.credit, account.balance) == (10, -10)
    account = invoiced(account, "B", 7)
    assert moves(account) == [("p", "A", 10), ("p", "B", 5), ("q", "B", 2)]
    account = invoiced(account, "C", 10)
    assert (balances(account), account.credit) == ([0, 0, 7], 0)


def test_what_came_with_its_payment_is_paid_by_that() -> None:
    """IN-8: credit stays credit, older invoices stay open; what is beyond it pays as any other."""
    account = bought(paid(Account(), "p", 5), "A", 10, "q", 10)
    assert (moves(account), account.credit) == ([("q", "A", 10)], 5)
    account = bought(asked(8), "B", 10, "q", 13)
    assert (moves(account), balances(account)) == ([("q", "B", 10), ("q", "A", 3)], [5, 0])
    with pytest.raises(ValueError, match="B was issued before"):
        bought(account, "B", 1, "r", 1)
    for key, amount in (("q", 1), ("r", 0)):
        with pytest.raises(ValueError, match="was paid before, or"):
            bought(account, "C", 1, key, amount)


def test_an_invoice_of_nothing_takes_no_credit() -> None:
    """IN-2: it is issued as paid."""
    account = invoiced(paid(Account(), "p", 5), "A", 0)
    assert (balances(account), account.credit, account.moves) == ([0], 5, ())


def test_a_payment_in_advance_pays_what_it_names_no_sooner_than_it_is_asked() -> None:
    """IN-2: what is named must be there; what nobody asked for yet is credit."""
    with pytest.raises(Problem, match="there is no invoice Z"):
        paid(asked(10), "p", 5, ["Z"])
    assert paid(Account(), "p", 5).credit == 5


def test_a_payment_told_twice_pays_once() -> None:
    """BA-7: same key and content, same result; other content is a conflict."""
    account = paid(asked(10), "p", 4, "A")
    assert paid(account, "p", 4, "A") is account
    for amount, names in ((5, "A"), (4, "")):
        with pytest.raises(Problem, match="p was another payment") as caught:
            paid(account, "p", amount, names)
        assert caught.value.code == "KEY_TAKEN"


@pytest.mark.parametrize("amount", [0, -1])
def test_nothing_is_no_payment(amount: int) -> None:
    with pytest.raises(Problem, match="pays nothing"):
        paid(asked(10), "p", amount)


def test_no_invoice_asks_for_less_than_nothing_or_twice() -> None:
    with pytest.raises(ValueError, match="asks for nothing or more"):
        invoiced(Account(), "A", -1)
    with pytest.raises(ValueError, match="A was issued before"):
        invoiced(asked(1), "A", 1)


# Credit notes and void


def test_a_credit_note_of_what_is_not_paid_is_less_to_pay() -> None:
    """IN-2: balance = total - payments - credit notes; no money moves."""
    account = credited(paid(asked(100), "p", 30), "A", 70)
    assert (balances(account), account.credit, len(account.moves)) == ([0], 0, 1)


def test_a_credit_note_of_what_is_paid_sets_money_free() -> None:
    """IN-2, IN-4: of the newest payment first; it pays the oldest invoice, the rest is credit."""
    account = paid(paid(asked(100), "p", 60), "q", 40)
    freed = credited(account, "A", 50)
    assert moves(freed, 2) == [("q", "A", -40), ("p", "A", -10)]
    assert (balances(freed), freed.credit) == ([0], 50)
    busy = credited(invoiced(account, "B", 45), "A", 50)
    assert moves(busy, 2) == [("q", "A", -40), ("p", "A", -10), ("p", "B", 10), ("q", "B", 35)]
    assert (balances(busy), busy.credit) == ([0, 0], 5)


def test_a_credit_note_of_what_is_part_paid_frees_only_what_is_beyond() -> None:
    account = credited(paid(asked(100), "p", 80), "A", 50)
    assert moves(account, 1) == [("p", "A", -30)]
    assert (balances(account), account.credit) == ([0], 30)
    again = credited(account, "A", 50)
    assert (moves(again, 2), again.credit) == ([("p", "A", -50)], 80)


@pytest.mark.parametrize("amount", [0, -1, 71])
def test_credit_notes_give_back_at_most_what_was_asked(amount: int) -> None:
    """IN-4: all of them together, paid or not."""
    account = credited(paid(asked(100), "p", 100), "A", 30)
    with pytest.raises(Problem, match=r"is not within 0\.00007, what is left"):
        credited(account, "A", amount)


def test_an_invoice_is_void_only_while_nothing_is_paid() -> None:
    """IN-4: nor given back; void, it asks for nothing and takes nothing, and keeps its number."""
    account = voided(asked(100, 50), "A")
    assert balances(account) == [0, 50]
    assert [bill.number for bill in account.bills] == ["A", "B"]
    assert voided(account, "A") == account
    assert balances(paid(account, "p", 60)) == [0, 0]
    with pytest.raises(Problem, match="A is void: nothing is to be paid"):
        paid(account, "p", 60, "A")
    with pytest.raises(Problem, match="A is void: there is nothing to give back"):
        credited(account, "A", 1)
    with pytest.raises(Problem, match="of A is paid: give a credit note"):
        voided(paid(asked(100), "p", 1), "A")
    with pytest.raises(Problem, match="A has credit notes"):
        voided(credited(asked(100), "A", 1), "A")
    with pytest.raises(Problem, match="there is no invoice Z"):
        voided(account, "Z")


def test_what_a_credit_note_freed_wholly_may_not_be_void_then() -> None:
    """IN-4: nothing is paid of it any more, but it was given back: it would be given back twice."""
    account = credited(paid(asked(100), "p", 100), "A", 100)
    assert account.bill("A").paid == 0
    with pytest.raises(Problem, match="A has credit notes"):
        voided(account, "A")


# Refunds


def test_credit_is_paid_back_of_the_newest_payment_first() -> None:
    """IN-2: at most the credit there is; what pays an invoice is not paid back."""
    account = paid(paid(asked(10), "p", 15), "q", 5)
    account, made = refunded(account, 7)
    assert made == (Refund(payment="q", amount=5), Refund(payment="p", amount=2))
    assert (account.credit, account.balance) == (3, -3)
    for amount in (0, -1, 4):
        with pytest.raises(Problem, match="the credit there is"):
            refunded(account, amount)
    assert moves(invoiced(account, "B", 9), 1) == [("p", "B", 3)]


# Taken back


def test_what_is_taken_back_is_to_be_paid_again() -> None:
    """IN-2: by other credit as far as it goes; told twice, it is taken back once."""
    account = paid(paid(asked(100, 50), "p", 120), "q", 50)
    assert (balances(account), account.credit) == ([0, 0], 20)
    back = taken_back(account, "p")
    assert moves(back, 3) == [("p", "A", -100), ("p", "B", -20), ("q", "A", 20)]
    assert (balances(back), back.credit, back.balance) == ([80, 20], 0, 100)
    assert taken_back(back, "p") == back
    assert balances(paid(back, "r", 100)) == [0, 0]
    with pytest.raises(Problem, match="there is no payment z"):
        taken_back(back, "z")


def test_what_was_refunded_of_a_payment_is_not_taken_back_too() -> None:
    account, _ = refunded(paid(asked(10), "p", 15), 3)
    account = taken_back(account, "p")
    assert (account.payments[0].taken_back, account.balance) == (12, 10)


# A story


def test_an_invoice_from_its_issue_to_its_end() -> None:
    """IN-2, IN-4, IN-6: with tax, part paid, late, part given back, paid too much, and the next."""
    first = issued(rupiahs("1000000", taxes=SAMPLE), INVOICES, 1, TODAY)
    account = invoiced(Account(), "INV-2026-000001", first.total)
    jakarta = zone(first.zone)
    overdue = jakarta.day_bounds(TODAY + 15)[0]

    def told(now: int) -> tuple[str, str]:
        balance = account.bill("INV-2026-000001").balance
        return text(balance), status(first, balance, jakarta, now)

    assert told(overdue - 1) == ("1110000", "unpaid")
    account = paid(account, "bank-1", micros("610000"))
    assert told(overdue - 1) == ("500000", "unpaid")
    assert told(overdue) == ("500000", "overdue")
    note = credit_note(first, (), {0: micros("200000")}, reason="fewer seats")
    account = credited(account, "INV-2026-000001", note.total)
    assert (text(note.total), told(overdue)) == ("222000", ("278000", "overdue"))
    account = paid(account, "bank-2", micros("300000"), ["INV-2026-000001"])
    assert (told(overdue), text(account.credit)) == (("0", "paid"), "22000")
    second = issued(rupiahs("20000", taxes=SAMPLE), INVOICES, 2, TODAY + 20)
    account = invoiced(account, "INV-2026-000002", second.total)
    assert (text(account.bill("INV-2026-000002").balance), account.credit) == ("200", 0)
    rest = credit_note(first, [note], reason="all of it")
    account = credited(account, "INV-2026-000001", rest.total)
    assert text(account.balance) == "-887800"
    assert first.total == note.total + rest.total


# Properties

AMOUNTS = st.integers(1, 50)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["invoice", "invoice", "pay", "pay", "credit", "void", "refund", "take"]),
        AMOUNTS,
        st.lists(st.integers(0, 7), max_size=3),
    ),
    max_size=16,
)


class Books:
    """An account, and beside it what was asked, given back and paid, summed by itself."""

    def __init__(self) -> None:
        self.account = Account()
        self.asked = self.given = self.paid = self.void = self.back = 0

    def step(self, kind: str, amount: int, picks: Sequence[int]) -> None:
        """Do one thing, or nothing where it is refused."""
        before = self.account
        numbers = [bill.number for bill in before.bills]
        names = [numbers[pick % len(numbers)] for pick in picks] if numbers else []
        own = names[0] if names else "none"
        try:
            match kind:
                case "invoice":
                    self.account = invoiced(before, f"I-{len(numbers)}", amount - 1)
                    self.asked += amount - 1
                case "pay":
                    self.account = paid(before, f"p-{len(before.payments)}", amount, names)
                    self.paid += amount
                case "credit":
                    self.account = credited(before, own, amount)
                    self.given += amount
                case "void":
                    self.account = voided(before, own)
                    again = before.bill(own).void
                    self.void += 0 if again else before.bill(own).total
                case "refund":
                    self.account, _ = refunded(before, amount)
                    self.back += amount
                case _:
                    self.account = taken_back(before, f"p-{amount % 4}")
                    self.back += sum(each.taken_back for each in self.account.payments)
                    self.back -= sum(each.taken_back for each in before.payments)
        except Problem:
            assert self.account is before


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_invoices_less_credit_notes_and_payments_are_the_balance(
    steps: list[tuple[str, int, list[int]]],
) -> None:
    """IN-2: after every step, with nothing below zero and no credit while anything is to pay."""
    books = Books()
    for step in steps:
        before = books.account
        books.step(*step)
        account = books.account
        assert account.balance == (books.asked - books.void - books.given - books.paid + books.back)
        assert min([0, *balances(account), *(each.credit for each in account.payments)]) == 0
        assert all(bill.paid >= 0 and bill.credited <= bill.total for bill in account.bills)
        assert not account.credit or not any(balances(account))
        assert account.moves[: len(before.moves)] == before.moves  # none is ever changed
        assert all(move.amount for move in account.moves)
        for bill in account.bills:
            own = [move.amount for move in account.moves if move.invoice == bill.number]
            assert sum(own) == bill.paid
            assert min(accumulate(own), default=0) >= 0
        for payment in account.payments:
            own = [move.amount for move in account.moves if move.payment == payment.key]
            assert sum(own) == payment.used


@settings(max_examples=100, deadline=None)
@given(STEPS, st.lists(st.integers(1, 10), min_size=1, max_size=6))
def test_it_is_the_same_however_payments_are_split(
    steps: list[tuple[str, int, list[int]]], sizes: list[int]
) -> None:
    """IN-2: one payment or several for the same, one after the other: the same is left to pay."""
    whole, split = Books(), Books()
    for turn, (kind, amount, picks) in enumerate(steps):
        if kind == "take":
            continue  # a part is taken back by itself
        whole.step(kind, amount, picks)
        rest = amount
        while kind == "pay" and rest > sizes[turn % len(sizes)]:
            split.step(kind, sizes[turn % len(sizes)], picks)
            rest -= sizes[turn % len(sizes)]
        split.step(kind, rest, picks)
        assert whole.account.bills == split.account.bills
        assert whole.account.credit == split.account.credit


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), AMOUNTS), max_size=10))
def test_it_is_the_same_whether_money_or_invoices_come_first(
    acts: list[tuple[bool, int]],
) -> None:
    """IN-2: payments that name none fill the oldest first, be they there before it or after."""

    def done(order: list[tuple[bool, int]]) -> Account:
        account = Account()
        for is_payment, amount in order:
            if is_payment:
                account = paid(account, f"p-{len(account.payments)}", amount)
            else:
                account = invoiced(account, f"I-{len(account.bills)}", amount)
        return account

    mixed = done(acts)
    for first in (True, False):
        other = done(sorted(acts, key=lambda act: act[0] is not first))
        assert (other.bills, other.payments) == (mixed.bills, mixed.payments)
        assert set(other.moves) == set(mixed.moves)
