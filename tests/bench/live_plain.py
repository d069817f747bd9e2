"""The reference: a plain broadcast over websockets, on uvicorn with the settings of `api.serve`.

No GraphQL, no database, no Valkey: `POST /change`, a topic a line, is answered; then each topic's
watchers are sent its next state, which is one of ours with another number in it. Run as
`python -m tests.bench.live_plain PORT`, with a state of ours on standard input.
"""

import asyncio
import json
import sys
from collections import defaultdict
from typing import Any

import uvicorn
import uvloop

from api import serve
from tests.bench.live_watchers import MARK


class Broadcast:
    """An ASGI application."""

    def __init__(self, state: bytes) -> None:
        found = MARK.search(state)
        assert found is not None
        self._before, self._behind = (
            state[: found.start(1)].decode(),
            state[found.end(1) :].decode(),
        )
        self._watchers: dict[str, list[Any]] = defaultdict(list)
        self._numbers: dict[str, int] = defaultdict(int)
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await self._watch(receive, send)
        else:
            await self._change(receive, send)

    async def _watch(self, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "graphql-transport-ws"})
        await receive()
        await send({"type": "websocket.send", "text": '{"type":"connection_ack"}'})
        topic = json.loads((await receive())["text"])["payload"]["variables"]["tenant"]
        await send({"type": "websocket.send", "text": self._state(topic)})
        self._watchers[topic].append(send)
        while (await receive())["type"] != "websocket.disconnect":
            pass
        self._watchers[topic].remove(send)

    async def _change(self, receive: Any, send: Any) -> None:
        body = (await receive())["body"].decode()
        async with self._one_at_a_time:
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [(b"content-length", b"2")],
                }
            )
            await send({"type": "http.response.body", "body": b"ok"})
            for topic in body.split():
                self._numbers[topic] += 1
                message = {"type": "websocket.send", "text": self._state(topic)}
                for watcher in self._watchers[topic]:
                    await watcher(message)

    def _state(self, topic: str) -> str:
        return f"{self._before}{self._numbers[topic]}{self._behind}"


async def drain() -> None:
    """Nobody is told to come back."""


def main() -> None:
    listening = serve.listen("127.0.0.1", int(sys.argv[1]))
    app = Broadcast(sys.stdin.buffer.read())
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        lifespan="off",
        access_log=False,
        server_header=False,
        log_config=None,
        backlog=serve.BACKLOG,
        timeout_keep_alive=serve.KEEP_ALIVE_SECONDS,
    )
    server = serve.Server(config, lambda: None, drain)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.serve(sockets=[listening]))


if __name__ == "__main__":
    main()
