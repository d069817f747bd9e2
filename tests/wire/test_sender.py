"""The README's sender, as it stands there: it asks before it sends, and tells what became of it."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.conftest import ServedFactory
from tests.wire.client import ask, connected, open_tenant, operate

pytestmark = pytest.mark.slow

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
NUMBER = "+628001234567"
BALANCE = """{ tenant(key: "acme") { balance(key: "whatsapp") {
    held { value } remaining { value } available { value } } } }"""


def block(language: str, part: str) -> str:
    """The one fenced block of the README in which something stands."""
    (found,) = (
        each
        for each in re.findall(rf"(?ms)^```{language}\n(.*?)^```$", README)
        if part in each
    )  # fmt: skip
    return str(found)


async def out(*command: str) -> str:
    """What a program prints; it ends well."""
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def figures(client: httpx2.AsyncClient) -> list[str]:
    found = (await ask(client, BALANCE))["tenant"]["balance"]
    return [found[name]["value"] for name in ("remaining", "held", "available")]


async def test_the_readmes_sender(served: ServedFactory, tmp_path: Path) -> None:
    """OC-1, OC-2, OC-3: with Rp 1,000 one is granted; what was not sent stays set aside."""
    server = await served()
    async with connected(server) as client:
        await open_tenant(client, "acme", [("whatsapp", NUMBER)])
        scopes = ["send:authorize", "events:write", "billing:read"]
        made = await operate(
            client, "apiKeyCreate", "secret", tenant="acme", name="sender", scopes=scopes
        )
        await operate(
            client, "topUpCreate", "topUp { id }", tenant="acme", balance="whatsapp",
            amount="1000", source="TOP_UP", idempotencyKey="t1",
        )  # fmt: skip
        curl = block("sh", "localhost:8000/v1/authorize").partition("curl ")[2]
        body = shlex.split(curl)[-1]
        headers = {"authorization": f"Bearer {made['secret']}", "content-type": "application/json"}
        answer = (await client.post("/v1/authorize", content=body, headers=headers)).json()
        first, second, third = answer["results"]
        assert (first["price"], first["remaining"]) == ("586.33", "413.67")
        assert (second["reason"], second["shortfall"]) == ("insufficient_balance", "172.66")
        assert third["reason"] == "window_closed"
        assert await figures(client) == ["1000", "586.33", "413.67"]

        program = tmp_path / "sender.py"
        program.write_text(block("python", "/v1/authorize"), "utf-8")
        lines = [line for line in program.read_text().splitlines() if line.strip()]
        assert len(lines) <= 15
        told = await out(sys.executable, str(program), server.url, made["secret"], NUMBER)
        granted, charged, refused = told.splitlines()
        assert granted == "msg-4 True 356.65 57.02"
        assert "'amount': '356.65'" in charged
        assert refused == "msg-5 False insufficient_balance None"
        assert await figures(client) == ["643.35", "586.33", "57.02"]
        again = (await client.post("/v1/authorize", content=body, headers=headers)).json()
        assert again["results"][0] == first
