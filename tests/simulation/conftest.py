"""Which seeds the worlds of a run have."""

from __future__ import annotations

import pytest

#: Seeds that once failed, and what was wrong; they are always run.
NAMED = {
    69: "folded again, what a call paid off was dated on a later day",
    101: "the same",
    107: "the same",
}

#: Of so many worlds one goes through the database too.
STORED = 12


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    alone, last = (metafunc.config.getoption(name) for name in ("--world", "--worlds"))
    if "stored_seed" in metafunc.fixturenames:
        seeds = list(range(1, last // STORED + 1)) if alone is None else [alone]
        metafunc.parametrize("stored_seed", seeds)
    if "seed" in metafunc.fixturenames:
        seeds = [*NAMED, *range(1, last + 1)] if alone is None else [alone]
        metafunc.parametrize("seed", dict.fromkeys(seeds))
