"""A refusal in words a caller can act on; owns no wording of its own, each rule brings its own."""

from __future__ import annotations


class Problem(Exception):  # noqa: N818 - the field's word: RFC 9457 calls it a problem
    """What was wrong, where, and what would be right.

    `code` is stable and upper snake (`NOT_FOUND`, `KEY_TAKEN`), `field` the path of the input it
    speaks of, None for the whole.
    """

    def __init__(self, code: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
