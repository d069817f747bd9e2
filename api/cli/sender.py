"""Sending facts: batches in the file's order per tenant, many tenants at once, in bounded memory.

Lines are dealt to a few lanes by their tenant, and each lane has one batch in flight: so a tenant
has too, and its facts arrive in the file's order. Sending again is safe: the server knows a fact by
its key. Owns retries and counting, not the file and not what people see.
"""

from __future__ import annotations

import asyncio
import random
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import httpx2
import msgspec

from api.cli.lines import LINE_BYTES_MAX
from api.cli.terminal import Failure

LANES = 16
#: Half of what the server takes in one body.
BATCH_BYTES = 4 << 20
#: How long a server may be away (killed, and started again) before sending is given up.
PATIENCE_SECONDS = 60.0
PAUSES_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
TIMEOUT_SECONDS = 60.0
HEADERS = {"content-type": "application/x-ndjson"}
TRY_AGAIN = frozenset({429, 502, 503, 504})
TENANTS_LISTED_MAX = 10_000  #: tenants remembered for the summary
READ_LINES = 500  #: lines read at a time, off the loop


class Subject(msgspec.Struct):
    """The part of a line that says whose fact it is."""

    subject: str | None = None


class Result(msgspec.Struct):
    """What the server says of one fact."""

    status: str
    id: str | None = None
    reason: str | None = None
    message: str | None = None


class Answer(msgspec.Struct):
    """What the server says of a batch."""

    results: list[Result]


class Source(Protocol):
    """Where lines come from, a file or whatever else has some."""

    def take(self, count: int) -> list[bytes]:
        """Up to `count` next lines without their ends; none at the end."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What has become of the lines sent so far."""

    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)  #: a message for each reason
    tenants: set[str] = field(default_factory=set)
    retries: int = 0
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    @property
    def facts(self) -> int:
        """Facts that were answered."""
        return sum(self.statuses.values())

    @property
    def facts_per_second(self) -> float:
        """Facts answered in a second, on average."""
        return self.facts / self.seconds if self.seconds > 0 else 0.0

    def count(self, result: Result) -> None:
        """Add one answer."""
        self.statuses[result.status] += 1
        if result.reason is not None:
            self.reasons[result.reason] += 1
            self.examples.setdefault(result.reason, f"{result.id}: {result.message}")


class Sender:
    """Sends lines to `/v1/events` and counts the answers in `tally`."""

    def __init__(
        self, client: httpx2.AsyncClient, lines: Source, batch: int, moved: Callable[[], None]
    ) -> None:
        self.tally = Tally()
        self._client = client
        self._lines = lines
        self._batch = batch
        self._moved = moved  #: called after each answer
        self._subject = msgspec.json.Decoder(Subject)
        self._answer = msgspec.json.Decoder(Answer)

    async def run(self) -> None:
        """Send everything; Failure when something could not be, with the tally as it stands."""
        queues: list[asyncio.Queue[list[bytes] | None]] = [asyncio.Queue(1) for _ in range(LANES)]
        lanes = [asyncio.create_task(self._lane(queue)) for queue in queues]
        dealing = asyncio.create_task(self._deal(queues))
        try:
            await asyncio.gather(dealing, *lanes)
        finally:
            for task in (dealing, *lanes):
                task.cancel()
            await asyncio.gather(dealing, *lanes, return_exceptions=True)
            self.tally.seconds = time.monotonic() - self.tally.started

    async def _deal(self, queues: list[asyncio.Queue[list[bytes] | None]]) -> None:
        """Read the file, deal its lines to the lanes, and a None to each at the end."""
        waiting: list[list[bytes]] = [[] for _ in queues]
        sizes = [0] * len(queues)
        while lines := await asyncio.to_thread(self._lines.take, READ_LINES):
            for line in lines:
                if len(line) > LINE_BYTES_MAX:
                    self.tally.count(
                        Result("refused", None, "too_large", f"longer than {LINE_BYTES_MAX} bytes")
                    )
                    continue
                lane = self._lane_of(line)
                if sizes[lane] + len(line) > BATCH_BYTES:
                    await queues[lane].put(waiting[lane])
                    waiting[lane], sizes[lane] = [], 0
                waiting[lane].append(line)
                sizes[lane] += len(line) + 1
                if len(waiting[lane]) >= self._batch:
                    await queues[lane].put(waiting[lane])
                    waiting[lane], sizes[lane] = [], 0
        for queue, rest in zip(queues, waiting, strict=True):
            if rest:
                await queue.put(rest)
            await queue.put(None)

    def _lane_of(self, line: bytes) -> int:
        """A line's lane: the same for all facts of a tenant, the first for what names none."""
        try:
            subject = self._subject.decode(line).subject
        except (msgspec.DecodeError, RecursionError):
            return 0
        if subject is None:
            return 0
        if len(self.tally.tenants) < TENANTS_LISTED_MAX:
            self.tally.tenants.add(subject)
        return zlib.crc32(subject.encode("utf-8", "surrogatepass")) % LANES

    async def _lane(self, queue: asyncio.Queue[list[bytes] | None]) -> None:
        while (batch := await queue.get()) is not None:
            for result in await self._send(b"\n".join(batch)):
                self.tally.count(result)
            self._moved()

    async def _send(self, body: bytes) -> list[Result]:
        """Send one batch until it is answered."""
        failures = 0
        deadline: float | None = None
        while True:
            pause, why = PAUSES_SECONDS[min(failures, len(PAUSES_SECONDS) - 1)], ""
            try:
                response = await self._client.post("/v1/events", content=body, headers=HEADERS)
            except httpx2.TransportError as fault:
                why = f"{type(fault).__name__} {fault}".strip()
            else:
                if response.status_code == 200:
                    return self._answer.decode(response.content).results
                why = problem_of(response)
                if response.status_code not in TRY_AGAIN:
                    raise Failure(f"the server refused a batch: {why}")
                pause = retry_after(response) or pause
            now = time.monotonic()
            if deadline is None:
                deadline = now + PATIENCE_SECONDS
            if now > deadline:
                raise Failure(f"gave up after {PATIENCE_SECONDS:.0f} s of trying: {why}")
            failures += 1
            self.tally.retries += 1
            # Lanes that lost the same server do not all come back in the same moment.
            await asyncio.sleep(pause * random.uniform(1.0, 1.25))


def retry_after(response: httpx2.Response) -> float | None:
    """The seconds a server asks to wait; None when it does not say."""
    text = response.headers.get("retry-after", "")
    return min(float(text), PATIENCE_SECONDS) if text.isdecimal() else None


def problem_of(response: httpx2.Response) -> str:
    """What a problem document says, on one line."""

    class Problem(msgspec.Struct):
        code: str = ""
        title: str = ""
        detail: str = ""

    try:
        told = msgspec.json.decode(response.content, type=Problem)
    except msgspec.DecodeError:
        return f"status {response.status_code}"
    return f"{response.status_code} {told.code or told.title}: {told.detail}".rstrip(": ")
