"""Charts drawn off the loop, by a process of their own that is there while it is needed.

Owns that process: it begins with the first chart, ends when none was asked for in a while, and is
begun anew when it died or did not answer. The renderer has 130 MB and takes the processor for a
tenth of a second and more: in a process that serves, everybody would wait for it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import msgspec
import structlog

from api.charts.chart import Chart
from api.charts.look import Theme
from api.charts.specs import spec
from api.charts.worker import DRAWN, SECONDS_MAX, Form, read, write
from api.faults import unavailable

#: Charts that people wait for, of all tenants and of one: two seconds of work, mostly, of which
#: whoever opens many leaves most to others.
CHARTS_WAITING_MAX = 16
CHARTS_OF_TENANT_MAX = 6

#: Seconds without a chart after which the process ends, and charts after which another one takes
#: its place: it has 130 MB and more, and seldom gives some back.
CHART_IDLE_SECONDS = 60.0
CHART_DRAWINGS_MAX = 500

#: What the process is told of ours: where Python is and what it may load, no settings and no
#: secrets.
_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "PYTHONHASHSEED")

log = structlog.get_logger("kuota.charts")


class Drawing:
    """The drawing process of this process, and who waits for it."""

    def __init__(self, command: tuple[str, ...] = (), seconds: float = SECONDS_MAX) -> None:
        self._command = command or (sys.executable, "-m", "api.charts.worker")
        self._seconds = seconds
        # One chart at a time: a second one would take the processor from the first.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="charts")
        self.waiting: Counter[int] = Counter()  #: places that are taken, by the tenant
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._drawn = 0
        self._idle: threading.Timer | None = None
        atexit.register(self.close)

    @contextmanager
    def place(self, tenant_id: int) -> Iterator[None]:
        """A place for who waits for a chart, to be taken before its figures are asked.

        SERVICE_UNAVAILABLE where too many wait. Reports need none: they come a few at a time.
        """
        if self.waiting.total() >= CHARTS_WAITING_MAX:
            raise unavailable("many charts are being drawn; try again in a moment")
        if self.waiting[tenant_id] >= CHARTS_OF_TENANT_MAX:
            raise unavailable("other charts of this tenant are being drawn; try again in a moment")
        self.waiting[tenant_id] += 1
        try:
            yield
        finally:
            self.waiting[tenant_id] -= 1
            if not self.waiting[tenant_id]:
                del self.waiting[tenant_id]

    async def draw(self, specification: bytes, form: Form) -> bytes:
        """The picture of a specification; SERVICE_UNAVAILABLE where it cannot be drawn now."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._draw, specification, form)

    @property
    def process_id(self) -> int | None:
        """The drawing process, while there is one."""
        return None if self._process is None else self._process.pid

    def close(self) -> None:
        """End the process; the next chart begins another one."""
        with self._lock:
            self._end()

    def _draw(self, specification: bytes, form: Form) -> bytes:
        with self._lock:
            if self._idle is not None:
                self._idle.cancel()
            # What has died between two charts is told by the first that wants it.
            for _ in range(2):
                begun = self._process is None
                answer = self._answer(specification, form)
                if answer is not None or begun:
                    break
            self._idle = threading.Timer(CHART_IDLE_SECONDS, self.close)
            self._idle.daemon = True
            self._idle.start()
        if answer is None:
            raise unavailable("this chart could not be drawn; try again in a moment")
        kind, body = answer
        if kind != DRAWN:
            raise RuntimeError(f"the renderer refused a chart: {body[:500].decode()}")
        return body

    def _answer(self, specification: bytes, form: Form) -> tuple[bytes, bytes] | None:
        """What the process answers; None where it could not begin, died, or took too long."""
        try:
            process = self._process or self._begin()
        except OSError:
            log.warning("the drawing process cannot be begun", exc_info=True)
            return None
        watch = threading.Timer(self._seconds, process.kill)
        watch.daemon = True
        watch.start()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            write(process.stdin, form.value.encode().ljust(4), specification)
            answer = read(process.stdout)
        except OSError:
            answer = None
        finally:
            watch.cancel()
        self._drawn += 1
        if answer is None:
            log.warning("the drawing process died", status=process.poll())
        if answer is None or self._drawn >= CHART_DRAWINGS_MAX:
            self._end()
        return answer

    def _begin(self) -> subprocess.Popen[bytes]:
        root = Path(__file__).parents[2]
        told = {name: os.environ[name] for name in _PASSED if name in os.environ}
        self._drawn = 0
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, cwd=root, env=told,
        )  # fmt: skip
        return self._process

    def _end(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            # What was not sent is of a chart that nobody gets.
            with contextlib.suppress(OSError):
                assert pipe is not None
                pipe.close()
        process.wait()


@lru_cache(maxsize=1)
def drawing() -> Drawing:
    """The drawing of this process."""
    return Drawing()


async def draw(chart: Chart, form: Form, theme: Theme) -> bytes:
    """A chart as a picture: the same bytes for the same chart."""
    told = await asyncio.to_thread(specification, chart, theme)
    return await drawing().draw(told, form)


def specification(chart: Chart, theme: Theme) -> bytes:
    """What a chart is drawn from; takes some milliseconds: call it off the loop."""
    return msgspec.json.encode(spec(chart, theme))
