"""The press: files of documents made off the loop, some at a time, the latest of them kept.

Owns how many are made at once in a process, and which are not made again. What a file is, and its
tag, is `files`' to say.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial

from api.documents.files import Form, made, tag
from api.faults import unavailable
from api.limits import (
    FILE_KEPT_BYTES_MAX,
    FILES_KEPT_BYTES_MAX,
    PRINTS_MAX,
    PRINTS_WAITING_MAX,
)
from domain.invoices import Invoice


class Press:
    """What makes files of documents in one process."""

    def __init__(self) -> None:
        # Threads for as long as the process lives: each has its printer.
        self._threads = ThreadPoolExecutor(PRINTS_MAX, thread_name_prefix="press")
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        #: By tag, what is being made: whoever asks for it meanwhile has it, too.
        self._running: dict[str, asyncio.Task[bytes]] = {}

    async def file(
        self, invoice_id: int, invoice: Invoice, form: Form, *, patient: bool = False
    ) -> bytes:
        """The file of an invoice, as `made` makes it.

        SERVICE_UNAVAILABLE where too many wait for theirs, for whoever is not patient.
        """
        name = await self.tag(invoice_id, invoice, form)
        found = self._kept.get(name)
        if found is not None:
            self._kept.move_to_end(name)
            return found
        running = self._running.get(name)
        if running is None:
            if len(self._running) >= PRINTS_WAITING_MAX and not patient:
                raise unavailable("many documents are being made; try again in a moment")
            running = asyncio.create_task(self._made(name, invoice, form))
            self._running[name] = running
            running.add_done_callback(partial(self._ended, name))
        # Who goes away does not end it for the others.
        return await asyncio.shield(running)

    async def _made(self, name: str, invoice: Invoice, form: Form) -> bytes:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, made, invoice, form)
        self._keep(name, found)
        return found

    def _ended(self, name: str, running: asyncio.Task[bytes]) -> None:
        del self._running[name]
        # Whoever waits is told; where nobody does any more, nobody is.
        if not running.cancelled():
            running.exception()

    async def tag(self, invoice_id: int, invoice: Invoice, form: Form) -> str:
        """The tag of a file, which need not be made for it."""
        return await asyncio.to_thread(tag, invoice_id, invoice, form)

    def _keep(self, name: str, file: bytes) -> None:
        if len(file) > FILE_KEPT_BYTES_MAX or name in self._kept:
            return
        self._kept[name] = file
        self._bytes += len(file)
        while self._bytes > FILES_KEPT_BYTES_MAX:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= len(oldest)


@lru_cache(maxsize=1)
def press() -> Press:
    """The press of this process."""
    return Press()
