"""Sending a file: a tenant's order, one batch in flight, what is tried again and what is not.

The other end is a script that remembers what it was sent; the real one is met in `test_cli`.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from api.cli import sender
from api.cli.lines import LINE_BYTES_MAX, Lines
from api.cli.sender import Sender, retry_after
from api.cli.terminal import Failure

Answer = Callable[[int], httpx2.Response | httpx2.TransportError | None]


class Peer:
    """Accepts every line, unless `answer` says something else of the request of a number."""

    def __init__(self, answer: Answer = lambda number: None) -> None:
        self.requests = 0
        self.answer = answer
        self.arrived: dict[str, list[int]] = {}
        self.sizes: list[int] = []
        self.in_flight: set[str] = set()
        self.most_in_flight = 0

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests += 1
        said = self.answer(self.requests)
        if isinstance(said, httpx2.TransportError):
            raise said
        if said is not None:
            return said
        facts = [json.loads(line) for line in request.content.split(b"\n")]
        self.sizes.append(len(facts))
        tenants = {fact["subject"] for fact in facts}
        assert not tenants & self.in_flight, "two batches of one tenant at once"
        self.in_flight |= tenants
        self.most_in_flight = max(self.most_in_flight, len(self.in_flight))
        # Everybody who can send a request does, before one is answered.
        for _ in range(10):
            await asyncio.sleep(0)
        for fact in facts:
            self.arrived.setdefault(fact["subject"], []).append(fact["id"])
        self.in_flight -= tenants
        results = [{"id": str(fact["id"]), "status": "accepted"} for fact in facts]
        return httpx2.Response(200, json={"results": results})


def written(path: Path, tenants: int, facts: int) -> Lines:
    """A file where each of `tenants` has facts 0, 1, 2, ... interleaved with the others'."""
    lines = (
        json.dumps({"subject": f"t{number % tenants}", "id": number // tenants})
        for number in range(tenants * facts)
    )
    path.write_text("\n".join(lines), "utf-8")
    return Lines(str(path))


async def sent(lines: Lines, peer: Peer, batch: int = 10) -> Sender:
    transport = httpx2.MockTransport(peer)
    async with httpx2.AsyncClient(base_url="http://peer", transport=transport) as client:
        sending = Sender(client, lines, batch, lambda: None)
        try:
            await sending.run()
        finally:
            lines.close()
    return sending


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "PAUSES_SECONDS", (0.0, 0.001))


async def test_a_tenant_keeps_its_order_and_many_go_at_once(tmp_path: Path) -> None:
    peer = Peer()
    sending = await sent(written(tmp_path / "f", tenants=40, facts=50), peer)
    assert peer.arrived == {f"t{number}": list(range(50)) for number in range(40)}
    assert max(peer.sizes) == 10
    assert peer.most_in_flight > 1
    assert sending.tally.statuses == {"accepted": 2000}
    assert len(sending.tally.tenants) == 40


async def test_one_tenant_alone_has_one_batch_in_flight(tmp_path: Path) -> None:
    peer = Peer()
    await sent(written(tmp_path / "f", tenants=1, facts=95), peer)
    assert peer.arrived == {"t0": list(range(95))}
    assert peer.sizes == [10] * 9 + [5]


async def test_what_is_lost_or_told_to_wait_is_sent_again_in_its_order(tmp_path: Path) -> None:
    answers: dict[int, httpx2.Response | httpx2.TransportError] = {
        1: httpx2.ConnectError("refused"),
        2: httpx2.Response(503, headers={"retry-after": "0"}),
        4: httpx2.ReadError("reset"),
        5: httpx2.Response(429),
    }
    peer = Peer(answers.get)
    sending = await sent(written(tmp_path / "f", tenants=2, facts=100), peer)
    assert peer.arrived == {"t0": list(range(100)), "t1": list(range(100))}
    assert sending.tally.retries == 4


async def test_the_servers_wish_to_wait_is_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    sleep = asyncio.sleep

    async def remembered(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    monkeypatch.setattr(sender.asyncio, "sleep", remembered)
    answers = {1: httpx2.Response(503, headers={"retry-after": "7"})}
    await sent(written(tmp_path / "f", tenants=1, facts=1), Peer(answers.get))
    assert any(7.0 <= seconds < 10.0 for seconds in waits)
    assert retry_after(httpx2.Response(503, headers={"retry-after": "soon"})) is None


async def test_a_server_that_stays_away_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "PATIENCE_SECONDS", 0.05)
    with pytest.raises(Failure, match=r"gave up after .* ConnectError away"):
        await sent(
            written(tmp_path / "f", tenants=1, facts=1),
            Peer(lambda number: httpx2.ConnectError("away")),
        )


async def test_a_refused_request_is_not_tried_again(tmp_path: Path) -> None:
    problem = {"code": "FORBIDDEN", "detail": "this needs a key with the scope events:write"}
    peer = Peer(lambda number: httpx2.Response(403, json=problem))
    with pytest.raises(Failure, match=r"403 FORBIDDEN: this needs a key"):
        await sent(written(tmp_path / "f", tenants=1, facts=30), peer)
    assert peer.requests == 1


async def test_batches_are_bounded_in_bytes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "BATCH_BYTES", 100)
    peer = Peer()
    await sent(written(tmp_path / "f", tenants=1, facts=30), peer, batch=1000)
    assert peer.arrived == {"t0": list(range(30))}
    assert max(peer.sizes) <= 4


async def test_a_line_too_long_for_memory_is_counted_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / "f"
    long = b'{"subject": "t0", "id": "' + b"x" * (LINE_BYTES_MAX * 2) + b'"}\n'
    path.write_bytes(b'{"subject": "t0", "id": 0}\n' + long + b'\n\n{"subject": "t0", "id": 1}')
    peer = Peer()
    sending = await sent(Lines(str(path)), peer)
    assert peer.arrived == {"t0": [0, 1]}
    assert sending.tally.statuses == {"accepted": 2, "refused": 1}
    assert sending.tally.reasons == {"too_large": 1}


def test_lines_are_the_same_from_a_plain_and_a_gzipped_file(tmp_path: Path) -> None:
    content = b"one\r\n\n  two  \nthree"
    plain, zipped = tmp_path / "plain", tmp_path / "zipped"
    plain.write_bytes(content)
    zipped.write_bytes(gzip.compress(content))
    for path in (plain, zipped):
        lines = Lines(str(path))
        assert lines.take(2) == [b"one", b"two"]
        assert lines.take(2) == [b"three"]
        assert lines.take(2) == []
        assert lines.number == 4
        assert lines.position == lines.size == path.stat().st_size
        lines.close()


def test_a_gzipped_file_that_is_cut_off_says_after_which_line(tmp_path: Path) -> None:
    path = tmp_path / "cut"
    path.write_bytes(gzip.compress(b"".join(b"%d\n" % n for n in range(100_000)))[:50_000])
    lines = Lines(str(path))
    with pytest.raises(Failure, match=r"cut cannot be read after line \d+: "):
        lines.take(100_000)
    lines.close()
