"""A progress bar on a terminal, and nothing elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr for sending facts; `total` None: nobody knows how much there is.

    What it gives is called with how much of `total` is done and how many facts were answered.
    """
    if not sys.stderr.isatty():
        yield lambda done, facts: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[facts]} facts, {task.fields[rate]} a second"),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task(what, total=total, facts="0", rate="0")

        def show(done: int, facts: int) -> None:
            bar.update(
                task,
                completed=done,
                facts=f"{facts:,}",
                rate=f"{facts / max(bar.tasks[task].elapsed or 0, 0.001):,.0f}",
            )

        yield show
