"""Which seeds the worlds of a run have."""

from __future__ import annotations

import pytest

#: Seeds that once failed, and what was wrong; they are always run.
NAMED = {
    69: "folded again, what a call paid off was dated on a later day",
    101: "the same",
    107: "the same",
}

#: And of those that go through the database.
NAMED_STORED = {
    3: "settling made a lot that time alone had just made",
    10: "an overdraft that was wholly paid off counted as never touched",
    5: "a call that ended after its period, and was there when it was closed, was adjusted",
    48: "a lane that remembered a tenant took off the mark that a publish had made",
    18: "a visit in a group came behind a later one in person, and was not marked",
}

#: Of those that go through the database, seeds that with the named ones have whatever the first
#: fifty have: each row, kind of lot, action, closing, version of a book, and what comes too late.
COVERING_STORED = (4, 8, 11, 13, 15, 16, 23, 26, 28, 38, 41, 43, 44, 45, 46, 49)
#: So many worlds nobody asked for.
DEFAULT = 12

#: And of senders that ask before they send.
NAMED_SENDING: dict[int, str] = {}

#: And of tenants that are invoiced.
NAMED_INVOICING = {
    10: "a call left for later was written off by the next closing",
    67: "a settling moved a lot that nobody had made",
    5: "calls end behind the month's end, and were there when it was closed",
    8: "the book changes, and what was refunded had been used",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    alone, last = (metafunc.config.getoption(name) for name in ("--world", "--worlds"))
    if "stored_seed" in metafunc.fixturenames:
        more = range(1, last + 1) if last > DEFAULT else ()
        seeds = [*NAMED_STORED, *COVERING_STORED, *more] if alone is None else [alone]
        metafunc.parametrize("stored_seed", dict.fromkeys(seeds))
    if "seed" in metafunc.fixturenames:
        seeds = [*NAMED, *range(1, last + 1)] if alone is None else [alone]
        metafunc.parametrize("seed", dict.fromkeys(seeds))
    if "sending_seed" in metafunc.fixturenames:
        seeds = [*NAMED_SENDING, *range(1, last // 2 + 1)] if alone is None else [alone]
        metafunc.parametrize("sending_seed", dict.fromkeys(seeds))
    if "invoicing_seed" in metafunc.fixturenames:
        seeds = [*NAMED_INVOICING, *range(1, last // 12 + 1)] if alone is None else [alone]
        metafunc.parametrize("invoicing_seed", dict.fromkeys(seeds))
