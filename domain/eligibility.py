"""The day from which a tenant pays the international rate of a market (PR-5).

Owns which markets have such a day, and which facts a change of it would charge otherwise. Storage
and the look at what was taken in are its caller's.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from domain.books import Book
from domain.periods import Interval
from domain.problems import Problem
from domain.terms import Terms

#: After every instant there is.
NEVER = 2**63 - 1


def check_market(market: str, country: str, books: Iterable[Book]) -> None:
    """Refuse a market that no book has, and the tenant's own country's."""
    known = sorted({code for book in books for code in book.markets.codes})
    if market not in known:
        spelt = {code.lower(): code for code in known}
        near = get_close_matches(market[:64].lower(), spelt, 1)
        hint = f"did you mean {spelt[near[0]]}?" if near else f"known are {', '.join(known)}"
        raise Problem("UNKNOWN_MARKET", f"there is no market {market[:64]!r}: {hint}", "market")
    if market == country:
        raise Problem(
            "OWN_COUNTRY",
            f"the tenant is of {country} itself, and pays the local rate there: name another "
            "market",
            "market",
        )


def charged_otherwise(terms: Terms, before: int | None, after: int | None) -> Interval | None:
    """The instants of the facts that another first day concerns; None: of none.

    Days are local dates at the number, None is no day; the bounds hold for all numbers.
    """
    if before == after:
        return None
    days = sorted(day for day in (before, after) if day is not None)
    zones = {number.zone for number in terms.numbers.values()} or {terms.zone}
    start = min(zone.day_bounds(days[0])[0] for zone in zones)
    if len(days) == 1:
        return start, NEVER
    return start, max(zone.day_bounds(days[1])[0] for zone in zones)
