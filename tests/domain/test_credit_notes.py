"""Credit notes: what is given back of an issued invoice, and never more (IN-4, IN-5, IN-6)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from domain.credit_notes import PART, credit_note, left_of
from domain.invoices import CREDIT_NOTES, INVOICES, Invoice, LineKind, issued
from domain.money import MICRO, micros, text
from domain.problems import Problem
from tests.domain.test_invoices import draft, drafts, figures, line, of, rupiahs, step_of
from tests.domain.test_taxes import SAMPLE, TODAY, tax


def sent(*amounts: str, rate: str = "10", inclusive: bool = False) -> Invoice:
    taxes = of(tax(rate, inclusive=inclusive))
    return issued(rupiahs(*amounts, taxes=taxes), INVOICES, 1, TODAY)


def given_back(invoice: Invoice, *parts: dict[int, str] | None) -> list[Invoice]:
    """The notes of an invoice, one after the other; None: all that is left."""
    notes: list[Invoice] = []
    for place, part in enumerate(parts, 1):
        amounts = (
            None if part is None else {at: micros(each, signed=True) for at, each in part.items()}
        )
        note = credit_note(invoice, notes, amounts, reason="agreed")
        notes.append(issued(note, CREDIT_NOTES, place, TODAY + 1))
    return notes


def test_it_gives_back_a_part_of_a_line_and_its_tax() -> None:
    """IN-4: with its own number, of the invoice, dated by itself and never due."""
    (note,) = given_back(sent("100", "200"), {1: "50"})
    assert (note.kind, note.number, note.of) == ("credit_note", "CN-2026-000001", "INV-2026-000001")
    assert (note.issued_on, note.due_on, note.note) == (TODAY + 1, None, "agreed")
    assert figures(note) == ["50", "5", "55", "0"]
    (part,) = note.lines
    assert (part.kind, part.of, part.quantity, part.unit, part.price) == (
        LineKind.CREDIT, 1, "1", PART, "50",
    )  # fmt: skip


def test_it_gives_back_a_whole_line_as_it_was() -> None:
    """IN-4, IN-5: with quantity, price, exact amount and rounding."""
    invoice = issued(draft(line(micros("16952.064"), "CLP"), currency="CLP"), INVOICES, 1, TODAY)
    (note,) = given_back(invoice, {0: "16952"})
    assert note.lines == (replace(invoice.lines[0], kind=LineKind.CREDIT, of=0),)
    assert figures(note) == figures(invoice) == ["16952", "0", "16952", "-0.064"]


def test_parts_come_to_the_whole_to_the_last_digit() -> None:
    """IN-5: the last one takes what rounding left."""
    invoice = sent("2.6", "1")
    notes = given_back(invoice, {0: "1"}, {0: "1"}, None)
    assert [text(each.exact) for note in notes for each in note.lines] == ["1", "1", "0.6", "1"]
    assert [text(note.rounding) for note in notes] == ["0", "0", "0.4"]
    assert left_of(invoice, notes) == (0, 0)


def test_what_is_given_back_of_taxes_is_what_was_asked() -> None:
    """IN-6: a tenth of 5, 10 and 15 is 0.5, 1 and 1.5: the invoice's 2 goes back, once."""
    invoice = sent("15")
    notes = given_back(invoice, {0: "5"}, {0: "5"}, {0: "5"})
    assert [text(note.tax) for note in notes] == ["1", "0", "1"]
    assert sum(note.total for note in notes) == invoice.total == 17 * MICRO


def test_prices_that_have_their_tax_in_them_give_it_back_from_there() -> None:
    """IN-6: half of 11,322,000 holds 561,000."""
    row = replace(SAMPLE.of("ID", TODAY)[0], inclusive=True)
    invoice = issued(rupiahs("11322000", taxes=of(row)), INVOICES, 1, TODAY)
    (note,) = given_back(invoice, {0: "5661000"})
    assert figures(note) == ["5100000", "561000", "5661000", "0"]
    assert note.taxes[0].base == "11/12"


@pytest.mark.parametrize(
    ("amounts", "code", "words"),
    [
        ({0: "101"}, "TOO_MUCH", "101 of 'Seats' is not within 100, what is left"),
        ({0: "0"}, "TOO_MUCH", "0 of 'Seats' is not within 100"),
        ({0: "-1"}, "TOO_MUCH", "-1 of 'Seats' is not within 100"),
        ({1: "1"}, "TOO_MUCH", "1 of 'Seats' is not within -30"),
        ({1: "-31"}, "TOO_MUCH", "-31 of 'Seats' is not within -30"),
        ({1: "-30"}, "NOTHING_TO_GIVE", "come to -30: nothing to give back"),
        ({0: "30", 1: "-30"}, "NOTHING_TO_GIVE", "come to 0: nothing to give back"),
        ({0: "100"}, "TOO_MUCH", "100 is more than 70, which is left of all lines"),
        ({0: "0.5"}, "TOO_FINE", "0.5 is finer than IDR is asked for"),
        ({2: "1"}, "NO_SUCH_LINE", "no line 2: its lines are 0 to 1"),
        ({-1: "1"}, "NO_SUCH_LINE", "no line -1"),
        ({}, "NOTHING_TO_GIVE", "nothing to give back"),
    ],
)
def test_it_gives_back_at_most_what_is_left(amounts: dict[int, str], code: str, words: str) -> None:
    """IN-4: of each line, and of all of them; a line below zero goes back below zero."""
    invoice = sent("100", "-30")
    with pytest.raises(Problem, match=words) as caught:
        given_back(invoice, amounts)
    assert caught.value.code == code


def test_what_was_given_back_is_not_given_back_again() -> None:
    """IN-4: what is left is what no earlier note gave."""
    invoice = sent("100", "-30")
    notes = given_back(invoice, {0: "40"})
    assert [text(each) for each in left_of(invoice, notes)] == ["60", "-30"]
    with pytest.raises(Problem, match="61 of 'Seats' is not within 60"):
        given_back(invoice, {0: "40"}, {0: "61"})
    (*_, last) = given_back(invoice, {0: "40"}, None)
    assert figures(last) == ["30", "3", "33", "0"]
    with pytest.raises(Problem, match="nothing to give back"):
        given_back(invoice, None, None)


def test_only_an_issued_invoice_has_credit_notes() -> None:
    """IN-4: not a draft, and no credit note."""
    for other in (rupiahs("1"), *given_back(sent("1"), None)):
        with pytest.raises(Problem, match="only an issued invoice"):
            credit_note(other, (), reason="x")
    with pytest.raises(ValueError, match="not all of these are credit notes of INV-2026-000001"):
        credit_note(sent("1"), [sent("1")], reason="x")


@settings(max_examples=100, deadline=None)
@given(st.data(), drafts())
def test_notes_never_give_more_than_was_asked(data: st.DataObject, made: Invoice) -> None:
    """IN-4, IN-6: whatever the notes give, all together give just what the invoice asked."""
    invoice = issued(made, INVOICES, 1, TODAY)
    assume(sum(each.amount for each in invoice.lines) > 0)
    step = step_of(invoice.currency)
    notes: list[Invoice] = []
    for _ in range(data.draw(st.integers(0, 3))):
        left = left_of(invoice, notes)
        amounts = {
            place: step * data.draw(st.integers(min(0, each // step), max(0, each // step)))
            for place, each in enumerate(left)
        }
        try:
            note = credit_note(
                invoice, notes, {at: each for at, each in amounts.items() if each}, reason=""
            )
        except Problem:
            continue
        notes.append(note)
    if sum(left_of(invoice, notes)):
        notes.append(credit_note(invoice, notes, reason="the rest"))
    for note in notes:
        assert note.net + note.tax == note.total > 0
        assert min(note.net, note.tax, *(each.amount for each in note.taxes)) >= 0
        assert sum(each.amount - each.exact for each in note.lines) == note.rounding
    assert not sum(left_of(invoice, notes))
    assert [sum(each) for each in zip(*((n.net, n.tax, n.total) for n in notes), strict=True)] == [
        invoice.net, invoice.tax, invoice.total,
    ]  # fmt: skip
    for place, own in enumerate(invoice.lines):
        given = [each for note in notes for each in note.lines if each.of == place]
        if own.amount == sum(each.amount for each in given) != 0:
            assert own.exact == sum(each.exact for each in given)
