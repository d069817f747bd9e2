"""What commands say: results on stdout, the rest on stderr, one line for a failure.

Owns the wording of no command. Nothing here imports rich: most commands print a line or two.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

import msgspec

from api.settings import Settings, SettingsError, from_environment


class Failure(Exception):  # noqa: N818 - it ends a command, it is not always a fault
    """Ends a command with one line on stderr; `code` 1: could not, 2: wrong usage."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def complain(failure: Exception) -> None:
    """Write why, on one line of stderr."""
    print("kuota:", " ".join(str(failure).split()), file=sys.stderr, flush=True)


def note(text: str) -> None:
    """Write something that is not the result, on stderr."""
    print(text, file=sys.stderr, flush=True)


def result(text: str, shown: Mapping[str, object], *, as_json: bool) -> None:
    """Write the result on stdout: `text` for people, `shown` for programs."""
    if as_json:
        text = msgspec.json.encode(shown).decode()
    if text:
        print(text, flush=True)


def settings() -> Settings:
    """The environment's settings; what is wrong with them ends the command."""
    try:
        return from_environment()
    except SettingsError as fault:
        raise Failure(str(fault)) from fault
