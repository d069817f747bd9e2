"""What one check found, how bad that is, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

#: Opens a remedy of statements: who may run them.
OWNER = "as the database's owner: "
SUPERUSER = "as a superuser of the database: "


class State(StrEnum):
    """How a check ended; UNKNOWN: it could not be asked, for a reason that another check names."""

    OK = "ok"
    WARNING = "warning"
    BROKEN = "broken"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of a checkup; there is a remedy wherever something is not ok."""

    check: str
    state: State
    found: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is not as it should be."""

    state: State
    found: str
    remedy: str


def warned(found: str, remedy: str) -> Trouble:
    """Something that works and should not stay so."""
    return Trouble(State.WARNING, found, remedy)


def wrong(found: str, remedy: str) -> Trouble:
    """Something that does not work, or breaks a promise."""
    return Trouble(State.BROKEN, found, remedy)


def judged(check: str, fine: str, troubles: Sequence[Trouble]) -> Finding:
    """The finding of a check: its troubles with the worst one's state, or else what is fine."""
    if not troubles:
        return Finding(check=check, state=State.OK, found=fine)
    bad = any(trouble.state is State.BROKEN for trouble in troubles)
    remedies = dict.fromkeys(trouble.remedy for trouble in troubles)
    return Finding(
        check=check,
        state=State.BROKEN if bad else State.WARNING,
        found="; ".join(trouble.found for trouble in troubles),
        remedy="; ".join(remedies),
    )


def unknown(check: str, why: str) -> Finding:
    """A check that was not made."""
    return Finding(
        check=check,
        state=State.UNKNOWN,
        found=f"not looked at: {why}",
        remedy="mend that first, then run doctor again",
    )
