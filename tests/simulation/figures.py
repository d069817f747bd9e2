"""Figures in the form in which worlds are compared, and how two of them differ.

One tenant's figures are a plain dictionary; whoever reads the real system's brings them into it:

  facts     by `source/id`: status, flags (FLAGS' names, sorted), and charges in order, each with
            balance, rule, units, amount and legs ([lot, amount] in drawing order)
  refused   keys of account actions that were refused
  lots      by `balance lot`: amount, used, moved, lapsed, starts, ends. A lot goes by its nature,
            never by a number: `allowance/2026-10`, `overdraft`, `overdraft/2026-10`, `action/KEY`.
            An allowance that nothing was ever taken from is left out: nobody need store it
  days      by `balance lot` and local date: used and moved, where not both are 0
  balances  by month and balance: the sides `allowance` and `other` of BA-9's line
  windows   by `number party`: service, conversation and entry, the latest [opening, end] of each
  visitors  by month
  usage     by `hour | number | direction | country | category | user | broadcast`, what is not 0

Amounts and units are whole millionths, instants microseconds since 1970.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

#: Differences that are told; the first says most.
TOLD_MAX = 12


def differences(expected: Json, found: Json, path: str = "") -> list[str]:
    """Where two figures differ, each as one line; [] if they are the same to the last digit."""
    lines: list[str] = []
    for name in sorted(expected.keys() | found.keys()):
        where = f"{path}/{name}" if path else name
        left, right = expected.get(name), found.get(name)
        if isinstance(left, dict) and isinstance(right, dict):
            lines += differences(left, right, where)
        elif left != right:
            lines.append(f"{where}\n    expected {left}\n    found    {right}")
    return lines


def failure(seed: int, tenant: str, lines: list[str]) -> str:
    """The first differences of a world, and how to run it alone."""
    more = [f"... and {len(lines) - TOLD_MAX} more"] if len(lines) > TOLD_MAX else []
    alone = f"python -m pytest tests/simulation --world {seed}"
    return "\n".join(
        [f"world {seed}, tenant {tenant}; run it alone by", f"  {alone}", *lines[:TOLD_MAX], *more]
    )
