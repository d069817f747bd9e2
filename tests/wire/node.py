"""Programs of Node beside a test: started with the packages somebody installed, read line by line.

Owns where Node and the packages are found, and the words of a skip. Installs nothing: the
environment variable `KUOTA_NODE_MODULES` names a folder `node_modules` in which the packages lie.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "KUOTA_NODE_MODULES"
HERE = Path(__file__).parent
PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.01


def packages(*names: str) -> Path:
    """The folder in which these packages lie; the test is skipped where they or Node do not."""
    found = os.environ.get(VARIABLE)
    if not found:
        pytest.skip(f"{VARIABLE} names no folder with {', '.join(names)}")
    if shutil.which("node") is None:
        pytest.skip("there is no node")
    folder = Path(found).resolve()
    missing = [name for name in names if not (folder / name / "package.json").exists()]
    if missing:
        pytest.skip(f"{VARIABLE} has no {', '.join(missing)}")
    return folder


class Program:
    """A program that runs and tells, a JSON value a line."""

    def __init__(self, process: asyncio.subprocess.Process, errors: Path) -> None:
        self._process = process
        self._errors = errors

    async def line(self) -> str:
        """The next line; a failure says what the program wrote to stderr instead."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE_SECONDS)
        assert line, self._errors.read_text("utf-8")
        return line.decode().rstrip()

    async def tells(self) -> Any:
        """The next value."""
        return json.loads(await self.line())

    async def says(self, words: str) -> None:
        """Wait for a line of these words; others are passed over."""
        while await self.line() != words:
            pass

    async def complains(self, words: str, times: int = 1) -> None:
        """Wait until it has written these words to stderr so often."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self._errors.read_text("utf-8").count(words) < times:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)

    async def ends(self) -> None:
        """Wait until it is over, which it says by 0."""
        code = await asyncio.wait_for(self._process.wait(), PATIENCE_SECONDS)
        assert code == 0, self._errors.read_text("utf-8")


@contextlib.asynccontextmanager
async def program(
    folder: Path, modules: Path, source: str, *arguments: str, name: str = "program.mjs"
) -> AsyncIterator[Program]:
    """A program of this text, in a folder of its own where it finds the packages."""
    (folder / name).write_text(source, "utf-8")
    with contextlib.suppress(FileExistsError):
        (folder / "node_modules").symlink_to(modules)
    errors = folder / f"{name}.log"
    with errors.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *("node", name, *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            cwd=folder,
            limit=1 << 24,
        )
    try:
        yield Program(process, errors)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def script(name: str) -> str:
    """The text of a program that lies beside the tests."""
    return (HERE / name).read_text("utf-8")
