"""The demo's life: what it prints can be pasted, its figures move, and nothing of it stays."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from persistence.servers import running
from persistence.servers.process import alive
from tests.conftest import ROOT, START_SECONDS, STOP_SECONDS, environment, said

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc"),
]

#: Servers somebody might have set, which the demo must not touch: nothing listens there.
SET = {"KUOTA_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x", "KUOTA_REDIS_URL": "redis://x:1"}


@dataclass(slots=True, kw_only=True)
class Shown:
    """A demo that has said it is ready."""

    process: asyncio.subprocess.Process
    ready: dict[str, Any]
    family: list[int]  #: every process behind it
    errors: Path

    @property
    def folder(self) -> Path:
        return Path(self.ready["data"]).parent

    async def figures(self) -> dict[str, Any] | None:
        """The next line; None at the end."""
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), STOP_SECONDS)
        return json.loads(line) if line else None

    async def ended(self) -> int:
        """Its exit code, read to the end."""
        while await self.figures() is not None:
            pass
        return await asyncio.wait_for(self.process.wait(), STOP_SECONDS)

    async def gone(self) -> None:
        """Wait until no process and no folder is left; times out where one stays."""
        await gone(self.family, self.folder)

    def said(self) -> str:
        return said(self.errors)


@contextlib.asynccontextmanager
async def shown(errors: Path, *arguments: str, **variables: str) -> AsyncIterator[Shown]:
    """A demo that is ready; killed at the end of the block, if it still runs."""
    with errors.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "api", "demo", "--json", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            env=environment(**variables),
            cwd=ROOT,
        )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        assert line, said(errors)
        family = descendants(process.pid)
        assert len(family) >= 3
        yield Shown(process=process, ready=json.loads(line), family=family, errors=errors)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def gone(family: list[int], folder: Path) -> None:
    """Wait until no process of them and no folder is left; times out where one stays."""
    async with asyncio.timeout(STOP_SECONDS):
        # Other processes end, and no event of ours tells of it.
        while any(alive(pid) for pid in family) or folder.exists():  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.05)


def descendants(pid: int) -> list[int]:
    """The processes a process has started, with theirs."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        # A thread may end while we look.
        with contextlib.suppress(OSError):
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *descendants(child)]
    return found


def balances(figures: dict[str, Any]) -> dict[tuple[str, str], dict[str, str]]:
    return {
        (tenant["key"], balance["key"]): balance
        for tenant in figures["tenants"]
        for balance in tenant["balances"]
    }


async def what_is_printed_works(ready: dict[str, Any]) -> None:
    """Paste the query, the command that watches, and the subscription."""
    tenant = (await asked(ready["query"]))["data"]["tenant"]
    assert tenant["live"]["openConversations"] >= 0
    assert [balance["key"] for balance in tenant["balances"]] == [
        "conversations",
        "visitors",
        "whatsapp",
    ]
    lines = (await pasted(f"{ready['watch']} --json --count 3")).splitlines()
    assert {name for line in lines for name in json.loads(line)} == {
        "balanceChanged",
        "usageChanged",
    }
    url = ready["address"].replace("http", "ws", 1) + "/graphql"
    async with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")]) as client:
        credential = {"authorization": f"Bearer {ready['tenantKey']}"}
        await client.send(json.dumps({"type": "connection_init", "payload": credential}))
        assert json.loads(await client.recv())["type"] == "connection_ack"
        payload = {"query": ready["subscription"]}
        await client.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
        causes: list[str] = []
        while len(causes) < 3:
            message = json.loads(await client.recv())
            if message["type"] == "next":
                causes.append(message["payload"]["data"]["balanceChanged"]["cause"])
    assert causes[0] == "SNAPSHOT"
    assert "FACTS" in causes


async def pasted(line: str) -> str:
    """What a printed command line gives, in a shell."""
    process = await asyncio.create_subprocess_shell(
        line,
        stdout=asyncio.subprocess.PIPE,
        env=environment(),
        cwd=ROOT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def asked(curl: str) -> Any:
    """The answer to the printed query; by hand where there is no curl."""
    if shutil.which("curl"):
        return json.loads(await pasted(curl))
    _, _, url, _, header, _, data = shlex.split(curl)
    name, _, value = header.partition(": ")
    async with httpx2.AsyncClient(
        headers={name: value}, timeout=START_SECONDS, trust_env=False
    ) as client:
        response = await client.get(url, params={"query": data.removeprefix("query=")})
    return response.json()


async def what_is_invoiced_is_told(demo: Shown) -> None:
    """IN-3, IN-7, IN-8: months are closed by themselves, one after the other, once each.

    Meanwhile the morning is told, FI-2: its links give a picture and a spreadsheet.
    """
    told: list[dict[str, Any]] = []
    links: dict[str, str] = {}
    while not (told and told[-1]["event"] == "credit" and len(links) == 2):
        line = await demo.figures()
        assert line is not None, demo.said()
        if line["event"] in ("invoice", "payment", "credit"):
            told.append(line)
        elif line["event"] in ("chart", "file"):
            links[line["event"]] = line["url"]
    async with httpx2.AsyncClient(timeout=START_SECONDS, trust_env=False) as client:
        # A process is started for the first picture, which takes long where others are busy.
        assert (await client.get(links["chart"])).content.startswith(b"\x89PNG")
        assert (await client.get(links["file"])).content.startswith(b"PK")
    *invoices, payment, credit = told
    begun, first, second = invoices
    assert [each["month"] is None for each in invoices] == [True, False, False]
    assert first["month"] < second["month"]
    numbers = [each["number"] for each in invoices]
    assert numbers == sorted(set(numbers))
    assert {line["kind"] for line in begun["lines"]} == {"SETUP", "RECURRING"}
    assert {line["kind"] for line in first["lines"]} >= {"COVERED", "RECURRING"}
    assert [each["number"] for each in payment["invoices"]] == numbers[:1]
    assert credit["of"] == first["number"]
    assert credit["total"]["value"] == "166500"  # 150,000, and 12 % of 11/12 of it

    while (line := await demo.figures()) is not None and line["event"] != "figures":
        pass
    assert line is not None, demo.said()
    stand = {each["number"]: each for each in line["invoices"]}
    assert list(stand) == numbers[::-1]
    assert [stand[number]["status"] for number in numbers] == ["PAID", "POSTED", "POSTED"]
    assert Decimal(stand[numbers[0]]["balance"]) == 0
    for number, given_back in ((numbers[1], 166_500), (numbers[2], 0)):
        total, balance = Decimal(stand[number]["total"]), Decimal(stand[number]["balance"])
        assert total - balance == given_back


async def test_the_demo_shows_what_it_says_and_ends_by_itself(tmp_path: Path) -> None:
    arguments = ("--port", "0", "--seconds", "6", "--rate", "60", "--months", "2")
    async with shown(tmp_path / "demo.log", *arguments, **SET) as demo:
        ready = demo.ready
        assert ready["event"] == "ready"
        assert set(ready["statuses"]) <= {"accepted", "unrated"}
        assert ready["facts"] == sum(ready["statuses"].values())
        told = running(Path(ready["data"]))
        assert told is not None
        assert told.address == ready["address"]
        all_figures: list[dict[str, Any]] = []
        news: list[dict[str, Any]] = []
        while (line := await demo.figures()) is not None:
            (all_figures if line["event"] == "figures" else news).append(line)
        assert await demo.process.wait() == 0, demo.said()
        await demo.gone()
    assert "KUOTA_DATABASE_URL, KUOTA_REDIS_URL: ignored" in demo.said()
    assert "Traceback" not in demo.said()

    assert len(all_figures) > 2
    first, last = balances(all_figures[0]), balances(all_figures[-1])
    assert {tenant["key"] for tenant in all_figures[0]["tenants"]} == {
        "demo-omnichannel",
        "demo-contact-center",
        "demo-service",
        "demo-postpaid",
    }
    after_the_month = last.pop(("demo-postpaid", "whatsapp"))
    assert Decimal(after_the_month["remaining"]) < 0
    assert all(Decimal(balance["remaining"]) > 0 for balance in last.values())
    moved = {key for key, balance in last.items() if balance["used"] != first[key]["used"]}
    assert ("demo-omnichannel", "conversations") in moved
    live = {tenant["key"]: tenant["live"] for tenant in all_figures[-1]["tenants"]}
    assert live["demo-omnichannel"]["openConversations"] > 0
    assert live["demo-omnichannel"]["openWindows"] > 0
    assert live["demo-omnichannel"]["visitors"] > 0

    # A balance runs low, is refilled, and is above its threshold again (RF-1, RF-3).
    kinds = [line["kind"] for line in news if line["event"] == "alert"]
    assert kinds[:4] == ["THRESHOLD", "REFILL_STARTED", "REFILL_SUCCEEDED", "RECOVERED"]
    (receipt,) = (line for line in news if line["event"] == "receipt")
    assert receipt["status"] == "PAID"
    assert receipt["total"] == {"value": "555000"}  # 500,000, and 12 % of 11/12 of it
    assert receipt["receipt"]["number"].endswith("-000001")

    # What the week was, who did it, and what became of broadcasts (FI-2, US-2).
    (week,) = (line for line in news if line["event"] == "week")
    assert all(int(each["value"]) > 0 for each in week["metrics"])
    at_work = [line for line in news if line["event"] == "user"]
    assert {line["user"]["name"] for line in at_work} == {"Dewi", "Budi", "Sari", "Agus"}
    for line in (line for line in news if line["event"] == "broadcast"):
        assert line["recipients"] == 90
        assert line["delivered"] + line["failed"] == 90


async def test_demos_stand_side_by_side_and_nothing_stays_however_they_end(tmp_path: Path) -> None:
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:

        async def start(name: str) -> Shown:
            log = tmp_path / f"{name}.log"
            arguments = ("--port", str(port), "--rate", "5", "--months", "2")
            return await stack.enter_async_context(shown(log, *arguments))

        first = await start("first")
        second, third = await asyncio.gather(start("second"), start("third"))
        addresses = {demo.ready["address"] for demo in (first, second, third)}
        assert len(addresses) == 3
        assert first.ready["address"] == f"http://127.0.0.1:{port}"
        assert f"port {port} is taken; the demo listens on" in second.said()
        assert second.ready["tenantKey"] != third.ready["tenantKey"]

        await what_is_printed_works(first.ready)
        await what_is_invoiced_is_told(first)
        # As Ctrl-C does.
        first.process.send_signal(signal.SIGINT)
        second.process.kill()
        os.kill(third.family[0], signal.SIGKILL)
        assert await first.ended() == 0
        assert await third.ended() == 1
        assert "Traceback" not in first.said()
        assert third.said().splitlines()[-1].startswith("kuota: the demo's server ended: ")
        for demo in (first, second, third):
            await demo.gone()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def folder_of(pid: int) -> Path | None:
    """The folder a demo's child was given; None before the child is one."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return Path(os.fsdecode(words[words.index(b"--folder") + 1])) if b"--folder" in words else None


async def test_a_signal_while_it_starts_leaves_nothing_either(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api", "demo", "--port", "0"),
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
        cwd=ROOT,
    )
    assert process.stderr is not None
    assert b"starting" in await process.stderr.readline()
    while not (family := descendants(process.pid)):  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.01)
    while (folder := folder_of(family[0])) is None:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert folder.exists()
    process.terminate()
    _, err = await process.communicate()
    assert process.returncode == 0, err
    assert b"Traceback" not in err
    # A child that was just begun may not be known yet: it ends when its standard input does.
    await gone(family, folder)
