"""The README's year: what it says of invoices is what a served process does, script and queries."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import httpx2
import pytest

from domain.issuers import parse_issuer
from persistence.catalogue import written
from tests.conftest import ServedFactory
from tests.wire.client import ask, connected, open_tenant, operate, until

pytestmark = pytest.mark.slow

README = Path(__file__).parents[2] / "README.md"
LINES_MAX = 20
FIRST = """{ tenant(key: "acme") { invoices(first: 2) { nodes {
    origin buyer { name } lines { kind } } } } }"""
LINES = [{"description": "Advice", "quantity": "2", "unit": "hour", "price": "500000"}]


def blocks(language: str) -> list[str]:
    """The fenced blocks of the README's section on invoices, in order."""
    _, _, section = README.read_text("utf-8").partition("\n## What is invoiced\n")
    section, _, _ = section.partition("\n## ")
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", section)


async def what_is_agreed_is_asked_for(client: httpx2.AsyncClient) -> None:
    """IN-1: the section's mutations, and the first days' invoice that comes of them by itself."""
    (agreed,) = (each for each in blocks("graphql") if each.startswith("mutation"))
    for query in re.split(r"\n(?=mutation)", agreed.strip()):
        (answer,) = (await ask(client, query)).values()
        assert answer["userErrors"] == []
    assert answer["subscription"]["status"] == "ACTIVE"
    assert answer["subscription"]["monthlyTotal"]["formatted"] == "Rp\u00a01.500.000"

    async def issued() -> list[dict[str, Any]]:
        found = await ask(client, FIRST)
        return list(found["tenant"]["invoices"]["nodes"])

    (first,) = await until(issued, bool)
    assert first["buyer"]["name"] == "PT Acme"
    assert {line["kind"] for line in first["lines"]} == {"SETUP", "RECURRING"}


def test_the_readmes_issuer() -> None:
    """IN-3: the document is right, and says what it is without."""
    (document,) = blocks("toml")
    issuer = parse_issuer(written(tomllib.loads(document)))
    assert (issuer.series, issuer.terms_days) == (("INV", "CN"), 14)


async def test_the_readmes_year(served: ServedFactory, tmp_path: Path) -> None:
    """IN-3, IN-4: the year of a tenant comes as one file, asked for by whoever reads its bills."""
    server = await served()
    async with connected(server) as client:
        await open_tenant(client, "acme", [])
        await what_is_agreed_is_asked_for(client)
        await open_tenant(client, "beta", [])
        made = await operate(
            client, "apiKeyCreate", "secret", tenant="beta", name="year", scopes=["billing:read"]
        )
        issued = []
        for place in range(3):
            drafted = await operate(
                client, "invoiceCreate", "invoice { id }", tenant="beta", lines=LINES,
                idempotencyKey=f"draft-{place}",
            )  # fmt: skip
            done = await operate(
                client, "invoiceIssue", "invoice { number issuedOn }", tenant="beta",
                invoice=drafted["invoice"]["id"], idempotencyKey=f"issue-{place}",
            )  # fmt: skip
            issued.append(done["invoice"])
        year = issued[-1]["issuedOn"][:4]

        (program,) = blocks("python")
        # The queries that go through pages by status, and look for a number.
        pages, one = (each for each in blocks("graphql") if each.startswith("query"))
        assert len([line for line in program.splitlines() if line.strip()]) <= LINES_MAX
        told = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", program, server.url, made["secret"], "beta", year],
            capture_output=True, text=True, cwd=tmp_path,
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
        )  # fmt: skip
        assert told.returncode == 0, told.stderr
        *_, progress, name = told.stdout.splitlines()
        assert progress == "DONE 3 of 3"
        with zipfile.ZipFile(tmp_path / name) as archive:
            assert archive.testzip() is None
            files = archive.namelist()
            index = archive.read("index.csv").decode().splitlines()
        numbers = [each["number"] for each in issued]
        assert [name for name in files if name.endswith(".pdf")] == [f"{n}.pdf" for n in numbers]
        assert [line.split(",")[1] for line in index[1:]] == numbers

        found: list[str] = []
        after = None
        while True:
            answer = await ask(client, pages, tenant="beta", after=after)
            page = answer["tenant"]["invoices"]
            found += [each["number"] for each in page["nodes"]]
            if not page["pageInfo"]["hasNextPage"]:
                break
            after = page["pageInfo"]["endCursor"]
        assert sorted(found) == numbers
        answer = await ask(client, one, tenant="beta", number=numbers[1])
        assert answer["tenant"]["invoice"]["total"]["formatted"] == "Rp\u00a01.110.000"
