"""The watching process: many websockets read by one epoll loop, as cheaply as Python can.

A process of its own, with no websocket library and nothing decoded that is not needed, so that the
server is what is measured. Owns frames, times and counts; knows neither servers nor figures.
"""

import gc
import json
import re
import select
import socket
import struct
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

BUFFER_BYTES = 1 << 18
#: Sockets that are opened at once: few enough for any backlog.
WAVE = 50
#: The same of those who come back behind a restart: nearly as many as an address may open before
#: they say who they are.
RUSH = 400
OPEN_SECONDS = 30.0
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
RESTART = 1012
HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a3VvdGEgYmVuY2ggbGl2ZQ==\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)
#: The figure that tells which change a state is of: the visitors its tenant has had.
MARK = re.compile(rb'"key":\s*"visitors",\s*"used":\s*\{"value":\s*"(\d+)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Open `count` sockets, dealt to the topics in turn; each message is answered by a frame."""

    fleet: str
    port: int
    count: int
    messages: list[list[bytes]]  #: of each topic, in order; the last brings the first state


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Keep the instant of each frame of a fleet from now on, or (None) stop and hand them over."""

    fleet: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Say what a fleet has had so far."""

    fleet: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Wait until each socket's last state has its topic's mark, and hand the last states over."""

    fleet: str
    marks: list[int]
    seconds: float  #: after which they are handed over as they are


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """Wait until a restart has closed each socket, and open them again as soon as that goes."""

    fleet: str
    port: int
    messages: list[list[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """When the last socket was told to come back, and the last one was back with a state."""

    told_at: float
    back_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a fleet had had at an instant of the machine's monotonic clock, in seconds."""

    at: float
    cpu_seconds: float  #: of this process
    frames: int
    payload_bytes: int
    open: int  #: sockets


class Fleet:
    """The sockets of one server, by file descriptor."""

    def __init__(self) -> None:
        self.sockets: dict[int, socket.socket] = {}
        self.topics: dict[int, int] = {}
        self.last: dict[int, bytes] = {}
        self.frames = 0
        self.payload_bytes = 0
        self.recorded: list[tuple[int, int, float]] | None = None
        self.told_at: list[float] = []  #: when each was told that the server ends


class Watchers:
    """Reads all fleets until the pipe says None."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._poll = select.epoll()
        self._poll.register(pipe.fileno(), select.EPOLLIN)
        self._fleets: dict[str, Fleet] = {}
        self._of: dict[int, Fleet] = {}
        self._rest: dict[int, bytes] = {}  #: the beginning of a frame whose end has not come
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._settling: tuple[Settle, float] | None = None
        self._returning: Return | None = None

    def run(self) -> None:
        ours = self._pipe.fileno()
        while True:
            wait = -1.0 if self._settling is None else 0.05
            for fd, _ in self._poll.poll(wait):
                if fd != ours:
                    self._read(fd)
                elif not self._obey():
                    return
            if self._settling is not None:
                self._settle(*self._settling)
            if self._returning is not None and not self._fleets[self._returning.fleet].sockets:
                self._return(self._returning)

    def _obey(self) -> bool:
        command = self._pipe.recv()
        match command:
            case None:
                return False
            case Open():
                self._open_all(command, WAVE)
                self._pipe.send("open")
            case Return():
                self._returning = command
            case Record(fleet=None):
                found: list[tuple[int, int, float]] = []
                for fleet in self._fleets.values():
                    found += fleet.recorded or []
                    fleet.recorded = None
                self._pipe.send(found)
            case Record(fleet=str(fleet_name)):
                self._fleets[fleet_name].recorded = []
                self._pipe.send("recording")
            case Count():
                fleet = self._fleets[command.fleet]
                self._pipe.send(
                    Counted(
                        at=time.perf_counter(),
                        cpu_seconds=time.process_time(),
                        frames=fleet.frames,
                        payload_bytes=fleet.payload_bytes,
                        open=len(fleet.sockets),
                    )
                )
            case Settle():
                self._settling = (command, time.perf_counter() + command.seconds)
        return True

    def _settle(self, wanted: Settle, until: float) -> None:
        fleet = self._fleets[wanted.fleet]
        settled = all(
            mark_of(state) == wanted.marks[fleet.topics[fd]] for fd, state in fleet.last.items()
        )
        if settled or time.perf_counter() > until:
            self._settling = None
            self._pipe.send([(fleet.topics[fd], state) for fd, state in fleet.last.items()])

    def _return(self, wanted: Return) -> None:
        """Come back, all at once and as soon as anybody is let in."""
        self._returning = None
        fleet = self._fleets[wanted.fleet]
        told_at, fleet.told_at = fleet.told_at, []
        until = time.perf_counter() + OPEN_SECONDS
        while time.perf_counter() < until:
            try:
                socket.create_connection(("127.0.0.1", wanted.port), OPEN_SECONDS).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.005)
        self._open_all(
            Open(
                fleet=wanted.fleet, port=wanted.port, count=len(told_at), messages=wanted.messages
            ),
            RUSH,
        )
        self._pipe.send(Returned(told_at=max(told_at), back_at=time.perf_counter()))

    def _open_all(self, wanted: Open, wave: int) -> None:
        fleet = self._fleets.setdefault(wanted.fleet, Fleet())
        before = len(fleet.sockets)
        for first in range(before, before + wanted.count, wave):
            size = min(wave, before + wanted.count - first)
            self._open(fleet, wanted, range(first, first + size))
        gc.collect()
        gc.freeze()

    def _open(self, fleet: Fleet, wanted: Open, numbers: range) -> None:
        """Open a wave: each step is sent on all its sockets before any answer is awaited."""
        wave = [socket.create_connection(("127.0.0.1", wanted.port), OPEN_SECONDS) for _ in numbers]
        for one in wave:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.sendall(HANDSHAKE)
        for number, one in zip(numbers, wave, strict=True):
            fd = one.fileno()
            self._of[fd] = fleet
            fleet.sockets[fd] = one
            fleet.topics[fd] = number % len(wanted.messages)
            self._rest[fd] = _upgraded(one)
        for step in range(len(wanted.messages[0])):
            for one in wave:
                one.sendall(frame(TEXT, wanted.messages[fleet.topics[one.fileno()]][step]))
            for one in wave:
                self._answer(one)
        for one in wave:
            fd = one.fileno()
            if mark_of(fleet.last.get(fd, b"")) is None:
                raise RuntimeError(f"no state came first: {fleet.last.get(fd, b'')[:400]!r}")
            one.setblocking(False)
            self._poll.register(fd, select.EPOLLIN)
        fleet.frames = fleet.payload_bytes = 0

    def _answer(self, one: socket.socket) -> None:
        """Wait for the next frame of an opening socket."""
        fd = one.fileno()
        fleet = self._of[fd]
        before = fleet.frames
        self._parse(fd, b"", 0.0)
        while fleet.frames == before:
            size = one.recv_into(self._buffer)
            if size == 0:
                raise RuntimeError(f"the server closed a socket that was opening: {fleet.last}")
            self._parse(fd, bytes(self._view[:size]), 0.0)

    def _read(self, fd: int) -> None:
        buffer = self._buffer
        try:
            size = self._of[fd].sockets[fd].recv_into(buffer)
        except BlockingIOError:
            return
        except ConnectionError:
            size = 0
        if size == 0:
            self._lost(fd)
            return
        now = time.perf_counter()
        # Nearly always: one whole frame of 126 to 65,535 bytes.
        if (
            fd not in self._rest
            and buffer[0] == 0x80 | TEXT
            and buffer[1] == 126
            and size == 4 + (buffer[2] << 8 | buffer[3])
        ):
            self._text(fd, bytes(self._view[4:size]), now)
        else:
            self._parse(fd, bytes(self._view[:size]), now)

    def _parse(self, fd: int, data: bytes, now: float) -> None:
        """Take all whole frames of what has come, and keep the rest for later."""
        data = self._rest.pop(fd, b"") + data
        at, end = 0, len(data)
        while end - at >= 2:
            size, start = data[at + 1], at + 2
            if size == 126 and end - at >= 4:
                (size,), start = struct.unpack_from(">H", data, start), start + 2
            elif size == 127 and end - at >= 10:
                (size,), start = struct.unpack_from(">Q", data, start), start + 8
            elif size >= 126:
                break
            if end < start + size:
                break
            self._frame(fd, data[at], data[start : start + size], now)
            at = start + size
        if at < end:
            self._rest[fd] = data[at:]

    def _frame(self, fd: int, head: int, payload: bytes, now: float) -> None:
        if head == 0x80 | TEXT:
            self._text(fd, payload, now)
        elif head == 0x80 | PING:
            self._of[fd].sockets[fd].sendall(frame(PONG, payload))
        elif head == 0x80 | CLOSE:
            fleet = self._of[fd]
            (code,) = struct.unpack(">H", payload[:2])
            if code == RESTART:
                fleet.told_at.append(now)
                fleet.sockets[fd].sendall(frame(CLOSE, payload[:2]))
                del fleet.last[fd], fleet.topics[fd]
            else:
                fleet.last[fd] = b"closed with %d: " % code + payload[2:]
        else:
            raise RuntimeError(f"a frame that begins with {head}")

    def _text(self, fd: int, payload: bytes, now: float) -> None:
        fleet = self._of[fd]
        if payload.find(b'"next"', 0, 64) < 0 and not self._is_next(fd, payload):
            return
        fleet.frames += 1
        fleet.payload_bytes += len(payload)
        fleet.last[fd] = payload
        if fleet.recorded is not None:
            fleet.recorded.append((fleet.topics[fd], mark_of(payload) or 0, now))

    def _is_next(self, fd: int, payload: bytes) -> bool:
        """Whether it is an event, however it is spelled; what is none is seen to."""
        message = json.loads(payload)
        fleet = self._of[fd]
        if message["type"] == "next":
            return True
        if message["type"] == "ping":
            echo = {"payload": message["payload"]} if "payload" in message else {}
            fleet.sockets[fd].sendall(frame(TEXT, json.dumps({"type": "pong", **echo}).encode()))
        elif message["type"] == "connection_ack":
            fleet.frames += 1
        else:
            raise RuntimeError(f"not an event: {payload[:600]!r}")
        return False

    def _lost(self, fd: int) -> None:
        fleet = self._of.pop(fd)
        self._poll.unregister(fd)
        fleet.sockets.pop(fd).close()


def mark_of(state: bytes) -> int | None:
    """Which change a state is of; None where it is no state."""
    found = MARK.search(state)
    return int(found[1]) if found else None


def frame(kind: int, payload: bytes) -> bytes:
    """A client's frame; its mask is zero, which changes nothing and costs nothing."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else struct.pack(">BH", 0x80 | 126, size)
    return bytes([0x80 | kind]) + length + b"\0\0\0\0" + payload


def _upgraded(one: socket.socket) -> bytes:
    """Read the answer to the handshake; what came behind it."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        more = one.recv(4096)
        answer += more
        if not more:
            break
    if not answer.startswith(b"HTTP/1.1 101 "):
        raise RuntimeError(f"no websocket: {answer[:400]!r}")
    return answer.partition(b"\r\n\r\n")[2]


def work(pipe: Connection) -> None:
    """The process: commands and answers over `pipe`."""
    gc.disable()
    Watchers(pipe).run()
