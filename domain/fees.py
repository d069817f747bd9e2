"""Fees: what a plan asks for whatever is used: components each period, set-ups once (IN-1).

Owns what a plan's fees are and how their document is read. Does not own who has which of them
(subscriptions), what a period's invoice asks for (recurring), usage, and taxes. Prices are micros
of the fees' currency, quantities millionths; a period is a calendar month.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from domain.documents import KEY, DocumentError, Table, read_sample_marks
from domain.money import DISPLAY_DIGITS, MICRO, text

#: Months of a commitment at most: ten years.
TERM_MAX: Final = 120
#: Micros that one component may come to in a period: a hundred billion, with room for sums.
TOTAL_MAX: Final = 10**17


class FeesError(DocumentError):
    """Fees that were refused, with every problem found in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """What is asked for in each period, in advance: quantity x price."""

    key: str
    name: str
    unit: str  #: `seat`, `number` and so on
    price: int  #: for one unit and a whole period
    quantity: int  #: what a subscription has of it that says nothing else


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupFee:
    """What is asked for once, by its key: also after a pause, and under another plan."""

    key: str
    name: str
    price: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """How long a subscription is agreed for, again and again."""

    months: int  #: of a commitment; 0: from month to month, without an end of its own
    renews: bool  #: whether another one follows by itself


MONTHLY: Final = Term(months=0, renews=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """The fees of one plan."""

    plan: str  #: its key
    name: str
    currency: str
    components: tuple[Component, ...]
    setup: tuple[SetupFee, ...] = ()
    term: Term = field(default=MONTHLY)  #: what a subscription to it agrees to


def parse_fees(document: Mapping[str, object]) -> Fees:
    """Read a plan's fees, or raise FeesError with every problem."""
    top = Table(document)
    plan = top.text("fees", 'name the plan in lower case, as "growth"', KEY)
    read_sample_marks(top)
    name = top.text("name", "say the name that people see")
    currency = top.choice("currency", DISPLAY_DIGITS)
    components = _read_components(top)
    setup = _read_setup(top)
    term = read_term(top, None)
    if not top.problems and not components and not setup:
        top.problem("", "asks for nothing", "write at least one [[components]] or [[setup]]")
    top.close()
    if top.problems:
        raise FeesError(f"fees {plan}", top.problems)
    return Fees(
        plan=plan, name=name, currency=currency, components=components, setup=setup, term=term
    )


def _read_components(top: Table) -> tuple[Component, ...]:
    found: dict[str, Component] = {}
    if not top.has("components"):
        return ()
    for table in top.tables("components", "write [[components]], or leave them out"):
        component = Component(
            key=table.text("component", 'name it in lower case, as "seats"', KEY),
            name=table.text("name", "say the name that people see"),
            unit=table.text("unit", 'name the unit, as "seat"', KEY),
            price=table.amount("price"),
            quantity=table.amount("quantity", default=MICRO),
        )
        table.close()
        total = component.price * component.quantity // MICRO
        if total > TOTAL_MAX:
            table.problem("price", f"comes to {text(total)} a period", "write less")
        if component.key in found:
            table.problem("component", f"{component.key!r} is there before", "write it once")
        elif component.key:
            found[component.key] = component
    return tuple(found.values())


def _read_setup(top: Table) -> tuple[SetupFee, ...]:
    found: dict[str, SetupFee] = {}
    if not top.has("setup"):
        return ()
    for table in top.tables("setup", "write [[setup]], or leave it out"):
        fee = SetupFee(
            key=table.text("fee", 'name it in lower case, as "onboarding"', KEY),
            name=table.text("name", "say the name that people see"),
            price=table.amount("price"),
        )
        table.close()
        if fee.price > TOTAL_MAX:
            table.problem("price", f"is {text(fee.price)}", "write less")
        if fee.key in found:
            table.problem("fee", f"{fee.key!r} is there before", "write it once")
        elif fee.key:
            found[fee.key] = fee
    return tuple(found.values())


def read_term(top: Table, own: Term | None) -> Term:
    """Read how long a subscription is agreed for; where nothing is said its `own`, or monthly."""
    own = own or MONTHLY
    if not top.has("term"):
        return own
    if top.same("term", "monthly"):
        return MONTHLY
    table = top.table("term", 'write { months = 12, renews = true } or "monthly"')
    if not top.has_table("term"):
        return own
    term = Term(months=table.whole("months", 1, TERM_MAX), renews=table.flag("renews"))
    table.close()
    return term
