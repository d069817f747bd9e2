"""`rights`: who may do what, and what one request may ask for, as the code has it.

Owns the tables' looks. What is in them are `api.rights` and `api.limits`; the reason of a limit is
the comment it stands under.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator

from api import limits
from api.cli.options import AsJson
from api.cli.terminal import result
from api.rights import BILLING, OF_OPERATORS, OF_ROLE, SCOPES, Role

COLUMNS = 108
ASSIGNED = re.compile(r"([A-Z][A-Z0-9_]*) = ")


def rights(*, as_json: AsJson = False) -> None:
    """Print the scopes of keys, what each role has of them, and all limits with their reasons."""
    shown = {
        "scopes": [
            {"scope": scope, "allows": what, **{role: of_role(role, scope) for role in Role}}
            for scope, what in SCOPES.items()
        ],
        "limits": [
            {"limit": name, "value": value, "reason": reason} for name, value, reason in limited()
        ],
    }
    result("\n".join([*scopes_table(), "", *limits_table()]), shown, as_json=as_json)


def of_role(role: Role, scope: str) -> str:
    """`yes` without a grant, `grant` with one, `no` never."""
    if scope in OF_ROLE[role]:
        return "yes"
    if scope not in BILLING or (scope in OF_OPERATORS and role is not Role.OPERATOR):
        return "no"
    return "grant"


def limited() -> Iterator[tuple[str, int | float, str]]:
    """Every limit: its name, its value, and the reason."""
    reason: list[str] = []
    ended = True
    for line in inspect.getsource(limits).splitlines():
        if line.startswith("#:"):
            reason = [*([] if ended else reason), line.removeprefix("#:").strip()]
            ended = False
        elif found := ASSIGNED.match(line):
            ended = True
            yield found[1], getattr(limits, found[1]), " ".join(reason)


def scopes_table() -> Iterator[str]:
    """Scopes by roles; a key has the scopes it was given."""
    width = max(map(len, SCOPES))
    yield f"{'scope':<{width}}  {'  '.join(Role)}  allows to"
    for scope, what in SCOPES.items():
        cells = "  ".join(f"{of_role(role, scope):<{len(role)}}" for role in Role)
        before = f"{scope:<{width}}  {cells}  "
        lines = textwrap.wrap(what, COLUMNS - len(before))
        yield before + lines[0]
        yield from (" " * len(before) + line for line in lines[1:])


def limits_table() -> Iterator[str]:
    """Limits with their values and reasons; those of one reason stand together."""
    names = max(len(name) for name, _, _ in limited())
    before = None
    for name, value, reason in limited():
        lines = textwrap.wrap(reason, COLUMNS - names - 15) if reason != before else [""]
        before = reason
        yield f"{name:<{names}}  {value:>11,}  {lines[0]}".rstrip()
        yield from (f"{'':<{names + 15}}{line}" for line in lines[1:])
