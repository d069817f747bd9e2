"""Streams: what is followed by many is executed and written once a change, not once a watcher.

Owns who follows which stream: a stream is one subscription (its document, operation and variables)
as one kind of caller may see it, and everybody who asks for the same is sent the same bytes. The
source in `api.schema` says what an event is and whom it is for; sockets and responses say how it
travels. Credentials are judged again as events pass.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections import Counter
from collections.abc import AsyncIterable, Callable, Sequence
from contextlib import aclosing
from inspect import isawaitable
from typing import Any, Protocol

import msgspec
import structlog
from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    create_source_event_stream,
)
from graphql.execution import execute_subscription_event
from strawberry.schema import BaseSchema

from api.audience import Audience, Feed
from api.context import Context
from api.core import Core
from api.errors import Fault, fault_of
from api.limits import STREAM_DELIVERIES_A_TURN, STREAM_JUDGE_SECONDS
from api.rights import Principal
from api.transport.body import Params
from api.transport.completion import completion
from api.transport.executor import Executor
from api.transport.outcome import Teller, formatted
from api.transport.protocol import Close, written
from api.transport.subscribing import (
    Place,
    executor_of,
    feed_of,
    place_of,
    prepare,
    resumes,
    rights_of,
)
from api.transport.vigil import judge

log = structlog.get_logger("kuota.feed")

RIGHTS_CHANGED = "what you may see has changed: subscribe again"


class Event:
    """What is sent to all who follow: one line of JSON, the same object for each of them."""

    __slots__ = ("payload", "state")

    def __init__(self, payload: bytes, *, state: bool) -> None:
        self.payload = payload
        self.state = state  #: whether a newer one says all that it says


class Follower(Protocol):
    """Somebody who follows a stream, over whichever transport."""

    @property
    def authorization(self) -> str | None: ...

    def deliver(self, event: Event) -> None:
        """Send it on, or keep it; never wait."""

    def finish(self, errors: Sequence[GraphQLError] | None) -> None:
        """The stream is over: None where it came to its end."""

    def close(self, close: Close) -> None:
        """The credential was taken back, or has ended."""


class Streams:
    """The subscriptions that run in a process."""

    def __init__(self, schema: BaseSchema, core: Core, teller: Teller) -> None:
        self.schema: GraphQLSchema = schema._schema  # type: ignore[attr-defined]
        self.core = core
        self.teller = teller
        self._shared: dict[Place, Stream] = {}
        self.running: set[Stream] = set()
        self.events = 0
        self.deliveries = 0
        self.plain = 0  #: events of the quick way
        self.resumed = 0  #: followers that went on from a position
        #: By credential: until when its last judgement holds, and of which state of the world.
        self._judged: dict[str, tuple[float, int, int | None]] = {}

    async def stop(self) -> None:
        """End every stream; nobody is told."""
        tasks = [stream.cancel() for stream in list(self.running)]
        await asyncio.gather(*tasks, return_exceptions=True)

    async def follow(
        self, params: Params, context: Context, follower: Follower
    ) -> Callable[[], None]:
        """Let somebody follow what it asks for; gives what leaves the stream again.

        Raises Refused, a GraphQLError or a Fault where it is refused before it runs; what its
        source says against it comes by `finish`.
        """
        prepared = prepare(self.schema, params)
        if context.spending is not None:
            await context.spending.charge(prepared.cost)
        executor = executor_of(self.schema, prepared, params, context)
        feed = feed_of(self.schema, prepared)
        if feed is None:
            stream = Stream(self, executor, context, prepared.cost, state=False)
        else:
            place = place_of(params, prepared, context.principal, feed)
            comes_back = resumes(prepared.operation, params.variables or {})
            self.resumed += comes_back
            known = self._shared.get(place)
            # What others have had since the position, one who comes back now has yet to get.
            if known is None or (comes_back and feed is Feed.ALERTS and known.has_begun):
                states = feed is Feed.STATES
                known = Stream(self, executor, context, prepared.cost, state=states, place=place)
                self._shared[place] = known
            stream = known
        stream.join(follower)
        return lambda: stream.leave(follower)

    def over(self, stream: Stream) -> None:
        """Nobody joins a stream any more."""
        self.running.discard(stream)
        if stream.place is not None and self._shared.get(stream.place) is stream:
            del self._shared[stream.place]

    async def judged(self, authorization: str) -> Principal | None:
        """Who a credential is by now; None where it was judged a moment ago, or cannot be.

        Close where it was taken back or has ended.
        """
        core, now = self.core, time.monotonic()
        known = self._judged.get(authorization)
        if known is not None:
            until, forgotten, ends_at = known
            ended = ends_at is not None and ends_at <= core.clock.now()
            if now < until and forgotten == core.authenticator.forgotten and not ended:
                return None
        try:
            principal = await judge(core.authenticator, authorization)
        except Close:
            self._judged.pop(authorization, None)
            raise
        except Exception as error:
            # Who was let in stays in: while the database is away, nobody is revoked in it.
            if fault_of(error) is None:
                raise
            return None
        ends_at = None if principal is None else principal.expires_at
        until = now + STREAM_JUDGE_SECONDS
        self._judged[authorization] = (until, core.authenticator.forgotten, ends_at)
        return principal

    def forget(self, authorization: str) -> None:
        """Nobody follows anything with a credential any more."""
        self._judged.pop(authorization, None)


class Stream:
    """One subscription, executed for all who follow it."""

    def __init__(
        self,
        streams: Streams,
        executor: Executor,
        context: Context,
        cost: int,
        *,
        state: bool,
        place: Place | None = None,
    ) -> None:
        self.place = place  #: None: it is not shared
        self._streams = streams
        self._executor = executor
        self._context = context
        self._rights = rights_of(context.principal)
        self._state = state
        self._extensions = {"cost": cost}
        self._followers: dict[Follower, int] = {}
        self._credentials: Counter[str] = Counter()
        self._complete: Callable[[Any], Any] | None = completion(executor)
        context.audience = Audience()
        # Of no request: what the first who follows brought with it is not everybody's.
        nobodys = contextvars.Context()
        self._task = asyncio.create_task(self._run(), name="stream", context=nobodys)
        streams.running.add(self)

    @property
    def has_begun(self) -> bool:
        """Whether the source watches: what it gave is not given again."""
        return self._context.audience.join is not None

    def join(self, follower: Follower) -> None:
        """Let somebody follow from now on: its first event is made of what is true after it came.

        Who comes before the source has begun to watch begins with it.
        """
        join = self._context.audience.join
        self._followers[follower] = 1 if join is None else join()
        if follower.authorization is not None:
            self._credentials[follower.authorization] += 1

    def leave(self, follower: Follower) -> None:
        """Somebody follows no more; with the last one the stream ends."""
        if self._followers.pop(follower, None) is None:
            return
        authorization = follower.authorization
        if authorization is not None:
            self._credentials[authorization] -= 1
            if not self._credentials[authorization]:
                del self._credentials[authorization]
                self._streams.forget(authorization)
        if not self._followers:
            self.cancel()

    def cancel(self) -> asyncio.Task[None]:
        """End it; nobody joins it any more."""
        self._streams.over(self)
        self._task.cancel()
        return self._task

    async def _run(self) -> None:
        errors: Sequence[GraphQLError] | None
        try:
            errors = await self._follow()
        except GraphQLError as error:
            errors = [error]
        except Exception as error:
            errors = [GraphQLError(str(error), original_error=error)]
        self._streams.over(self)
        self._streams.teller.tell(errors, self._context.request_id)
        followers = list(self._followers)
        for follower in followers:
            self.leave(follower)
            follower.finish(errors)

    async def _follow(self) -> Sequence[GraphQLError] | None:
        """Send on what the source gives; why it could not begin, or None at its end."""
        executor = self._executor
        source = create_source_event_stream(executor)
        if executor.is_awaitable(source):
            source = await source
        if isinstance(source, ExecutionResult):
            return source.errors or ()
        assert isinstance(source, AsyncIterable)
        async with aclosing(source) as values:  # type: ignore[type-var]
            async for value in values:
                event = Event(await self._written(value), state=self._state)
                await self._judge()
                await self._deliver(event)
                # Others have their turn, whatever the source does.
                await asyncio.sleep(0)
        return None

    async def _written(self, value: Any) -> bytes:
        """An event of the source as it is sent."""
        streams = self._streams
        # For the event, and for what its source looks up behind it.
        self._context.renew()
        if self._complete is not None:
            try:
                data = self._complete(value)
            except Exception:
                # Whatever it was, the executor says it as the specification wants it.
                log.debug("the quick way failed", exc_info=True)
            else:
                streams.plain += 1
                return encoded({"data": data, "extensions": self._extensions})
        executor = self._executor.build_per_event_executor(value)
        executed = execute_subscription_event(executor)
        result = await executed if isawaitable(executed) else executed
        payload: dict[str, Any] = {"data": result.data}
        if result.errors:
            request_id = self._context.request_id
            streams.teller.tell(result.errors, request_id)
            payload["errors"] = [formatted(error, request_id) for error in result.errors]
        return encoded(payload | {"extensions": self._extensions})

    async def _judge(self) -> None:
        """Let those go whose credential is no longer what it was."""
        gone: dict[str, Close | None] = {}
        for authorization in list(self._credentials):
            try:
                principal = await self._streams.judged(authorization)
            except Close as end:
                gone[authorization] = end
            else:
                if principal is not None and rights_of(principal) != self._rights:
                    gone[authorization] = None
        if not gone:
            return
        changed = Fault("FORBIDDEN", RIGHTS_CHANGED, reason="RIGHTS_CHANGED")
        for follower in list(self._followers):
            if follower.authorization not in gone:
                continue
            close = gone[follower.authorization]
            self.leave(follower)
            if close is None:
                follower.finish([GraphQLError(changed.message, original_error=changed)])
            else:
                follower.close(close)

    async def _deliver(self, event: Event) -> None:
        """Send an event to those it is for, some at a time."""
        audience, followers = self._context.audience, list(self._followers.items())
        after, upto, streams = audience.after, audience.upto, self._streams
        streams.events += 1
        for start in range(0, len(followers), STREAM_DELIVERIES_A_TURN):
            for follower, number in followers[start : start + STREAM_DELIVERIES_A_TURN]:
                if after < number <= upto and follower in self._followers:
                    follower.deliver(event)
                    streams.deliveries += 1
            if start + STREAM_DELIVERIES_A_TURN < len(followers):
                await asyncio.sleep(0)
        if audience.at is not None:
            streams.core.metrics.feed_lag.observe(
                max(self._context.clock.now() - audience.at, 0) / 1e6
            )


def encoded(payload: dict[str, Any]) -> bytes:
    """A payload in JSON."""
    try:
        return msgspec.json.encode(payload)
    except Exception:
        # Lone surrogates, and numbers that only the library's writer knows.
        return written(payload).encode()
