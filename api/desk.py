"""The desk: sends that ask at the same time are decided together.

Owns who goes in which round, and the telling of what is held. Of one tenant one round is under way
at a time, so a process hardly competes with itself; however many processes ask, what is granted was
there (`deciding`).
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Sequence

import structlog

from api.deciding import RECIPIENTS_AT_A_TIME, Round
from api.grants import Answer
from api.rounds import Overwhelmed, Tools, Waiting
from api.sends import Granted, Question
from domain.asking import Refusal
from persistence import held
from persistence.door import CONNECTION_LOST
from persistence.valkey import AWAY, run

log = structlog.get_logger(__name__)

#: Rounds that are under way side by side; while one waits for a server the other decides.
QUEUES = 2
#: Questions that may wait before more are refused.
WAITING_MAX = 20_000
#: Seconds between two tellings of what is held to those who watch it.
TELL_SECONDS = 0.1


class Queue:
    """What waits for the next round."""

    def __init__(self) -> None:
        self.waiting: deque[Waiting] = deque()
        self._wake = asyncio.Event()

    def put(self, waiting: Waiting) -> None:
        self.waiting.append(waiting)
        self._wake.set()

    async def take(self) -> list[Waiting]:
        """What goes together: one send at least, and more up to some recipients."""
        if not self.waiting:
            self._wake.clear()
            await self._wake.wait()
        batch: list[Waiting] = []
        room = RECIPIENTS_AT_A_TIME
        while self.waiting and room > 0:
            waiting = self.waiting.popleft()
            room -= max(len(waiting.question.facts), 1)
            batch.append(waiting)
        return batch


class Desk:
    """The authorisations of one process."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        #: Of one tenant all stand in one queue; the last is for what would keep the others.
        self._queues = [Queue() for _ in range(QUEUES + 1)]
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = False
        self.answers: Counter[str] = Counter()

    def start(self) -> None:
        work = [self._work(queue) for queue in self._queues]
        self._tasks = [asyncio.create_task(each, name="desk") for each in (*work, self._tell())]

    async def stop(self) -> None:
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for queue in self._queues:
            _fail(list(queue.waiting), Overwhelmed("the process is stopping"))

    @property
    def again(self) -> int:
        """Rounds that were decided anew because figures had moved."""
        return self._tools.again

    @property
    def waiting(self) -> int:
        return sum(len(queue.waiting) for queue in self._queues)

    async def ask(self, questions: Sequence[Question]) -> list[Answer]:
        """Decide questions, each tenant's in their order."""
        if self._stopped:
            raise Overwhelmed("the process is stopping")
        if self.waiting + len(questions) > WAITING_MAX:
            raise Overwhelmed(f"{self.waiting} authorisations are waiting")
        loop = asyncio.get_running_loop()
        own = [Waiting(question, loop.create_future()) for question in questions]
        for waiting in own:
            broad = len(waiting.question.facts) > RECIPIENTS_AT_A_TIME
            place = QUEUES if broad else waiting.question.terms.tenant_id % QUEUES
            self._queues[place].put(waiting)
        answers = [await asyncio.shield(waiting.answer) for waiting in own]
        for answer in answers:
            self.answers[_name(answer)] += 1
        return answers

    async def _work(self, queue: Queue) -> None:
        while True:
            batch = await queue.take()
            try:
                await Round(self._tools, batch).run()
            except asyncio.CancelledError:
                _fail(batch, Overwhelmed("the process is stopping"))
                raise
            except CONNECTION_LOST as error:
                log.warning("authorisations could not be looked up", why=repr(error))
                _fail(batch, Overwhelmed("the database does not answer"))
            except Exception as error:
                log.exception("authorisations could not be decided")
                _fail(batch, error)

    async def _tell(self) -> None:
        """Tell who watches what is held by now, a few times a second however much is asked."""
        while True:
            await asyncio.sleep(TELL_SECONDS)
            tools = self._tools
            tenants, tools.untold = tools.untold, set()
            if tenants:
                now = tools.now()
                try:
                    await run(tools.valkey, [held.tell_call(each, now) for each in tenants])
                except AWAY:
                    continue  # holds are read again by who watches, once Valkey is back


def _name(answer: Answer) -> str:
    if isinstance(answer, Granted):
        return "granted"
    return answer.reason.value if isinstance(answer, Refusal) else "reused"


def _fail(batch: Sequence[Waiting], error: Exception) -> None:
    for waiting in batch:
        waiting.fail(error)
