"""Files that commands write: whole or not at all, gzipped by their names, or standard output."""

from __future__ import annotations

import contextlib
import gzip
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from api.cli.terminal import Failure

STDOUT = "-"


@contextlib.contextmanager
def written_to(name: str) -> Iterator[BinaryIO | gzip.GzipFile]:
    """A file that has its name once it is whole."""
    if name == STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(name)
    try:
        number, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    except OSError as fault:
        raise Failure(f"{name} cannot be written: {fault.strerror}") from fault
    try:
        with os.fdopen(number, "wb") as file:
            if path.suffix == ".gz":
                with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as zipped:
                    yield zipped
            else:
                yield file
        os.replace(beside, path)
    except (ConnectionError, TimeoutError):
        raise  # of the database, and no file's fault
    except OSError as fault:
        raise Failure(f"{name} cannot be written: {fault.strerror}") from fault
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
