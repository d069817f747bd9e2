"""A file of facts, read a line at a time in bounded memory: plain, gzipped, or standard input.

Owns reading; what a line means is the server's to say, but for the tenant it is sorted by.
"""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from typing import BinaryIO

from api.cli.terminal import Failure

#: A longer line is not kept in memory: the server would refuse it (a fact has 64 KB at most).
LINE_BYTES_MAX = 1 << 20
STDIN = 0
GZIP_MAGIC = b"\x1f\x8b"


class Lines:
    """The lines of a file; `position` of `size` bytes have been read (size None: not known)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.number = 0  #: of the line last read, from 1
        self.size: int | None = None
        self._ahead: list[bytes] = []
        try:
            self._raw = open(STDIN if name == "-" else name, "rb", closefd=name != "-")  # noqa: SIM115
            status = os.fstat(self._raw.fileno())
            zipped = self._raw.peek(2)[:2] == GZIP_MAGIC
        except OSError as fault:
            raise Failure(f"{name} cannot be read: {fault.strerror}") from fault
        if stat.S_ISREG(status.st_mode):
            self.size = status.st_size
        self._file: BinaryIO | gzip.GzipFile = (
            gzip.GzipFile(fileobj=self._raw) if zipped else self._raw
        )

    @property
    def position(self) -> int:
        """Bytes of the file itself that have been read."""
        return self._raw.tell() if self.size is not None else 0

    def take(self, count: int) -> list[bytes]:
        """Up to `count` next lines without their ends, blank ones left out; none at the end.

        A line that is too long is cut at `LINE_BYTES_MAX + 1` bytes.
        """
        lines, self._ahead = self._ahead, []
        try:
            while len(lines) < count and (line := self._file.readline(LINE_BYTES_MAX + 1)):
                self.number += 1
                if len(line) > LINE_BYTES_MAX and not line.endswith(b"\n"):
                    self._skip()
                if line := line.strip():
                    lines.append(line)
        except (EOFError, OSError, zlib.error) as fault:
            raise Failure(
                f"{self.name} cannot be read after line {self.number}: {fault}"
            ) from fault
        return lines

    def first(self) -> bytes:
        """The line that is taken next, which stays to be taken; b"" at the end."""
        self._ahead = self.take(1)
        return self._ahead[0] if self._ahead else b""

    def close(self) -> None:
        """Close the file; standard input itself stays open."""
        self._file.close()
        self._raw.close()

    def _skip(self) -> None:
        while (rest := self._file.readline(LINE_BYTES_MAX)) and not rest.endswith(b"\n"):
            pass
