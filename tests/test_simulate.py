"""The command `simulate`: what people type, and what they and programs are told."""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial
from pathlib import Path

from persistence.catalogue import SAMPLES
from tests.commands import SERVED, command, fact, lines_of, prepared
from tests.conftest import OPERATOR_KEY, ROOT, Database, ServedFactory, environment
from tests.test_house import blocks, section

FEE = """
book = "dearer"
derived_from = "omnichannel-idr"
factor = "2"
decimals = 2
"""


async def test_what_traffic_would_cost_by_a_file_and_by_a_published_book(
    served: ServedFactory, database: Database, tmp_path: Path
) -> None:
    server = await served(**SERVED)
    await prepared(server, "acme")
    facts = [fact("acme", number) for number in range(5)]
    for one in facts[1:]:
        one["data"] = {**dict(one["data"]), "category": "marketing", "template": "x"}  # type: ignore[call-overload]
    code, _, err = await command(
        "replay", "-", "--url", server.url, "--key", OPERATOR_KEY, stdin=lines_of(*facts)
    )
    assert code == 0, err
    run = partial(
        command, KUOTA_DATABASE_URL=database.app_url, KUOTA_DATABASE_OWNER_URL=database.owner_url,
        KUOTA_CLOCK=SERVED["KUOTA_CLOCK"],
    )  # fmt: skip
    october = ("simulate", "acme", "--from", "2026-10-01", "--to", "2026-10-31")
    dearer = tmp_path / "dearer.toml"
    dearer.write_text(FEE, "utf-8")

    code, out, err = await run(*october, "--book", str(dearer), "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["books"], found["facts"], found["settled"]) == (["dearer"], 5, True)
    assert (found["charged"], found["simulated"]) == ("2345.32", "4690.64")
    assert found["difference"] == "2345.32"
    code, out, err = await run(*october, "--book", str(dearer))
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "2026-10 628001234567 ID marketing 4 2,345.32 0 4,690.64 0 2,345.32" in lines
    assert "conversations conversation 1 0 1 0" in lines

    _, out, _ = await run(*october, "--plan", "omnichannel-mcc-idr", "--json")
    mcc = json.loads(out)
    (conversations,) = mcc["balances"][:1]
    assert conversations["simulated"] == {
        "total": "5", "allowance": "5", "bought": "0", "beyond": "0",
    }  # fmt: skip
    assert (mcc["charged"], mcc["simulated"]) == ("2345.32", "0")

    for days in (("--from", "2026-10-01"), ("--to", "2026-10-31")):
        _, out, _ = await run("simulate", "acme", *days, "--json")
        assert (json.loads(out)["from"], json.loads(out)["to"]) == ("2026-10-01", "2026-10-31")
    for wrong, words, wanted in (
        (("--from", "1.10.2026"), "is no day; write it as 2026-09-01", 2),
        (("--from", "2026-10-02", "--to", "2026-10-01"), "the last day is before the first", 1),
        (("--book", "nothing"), "known are college-small", 1),
        (("--book", str(SAMPLES / "book-service-usd.toml")), "the tenant pays in IDR", 1),
    ):
        code, _, err = await run("simulate", "acme", *wrong)
        assert code == wanted, err
        assert words in err


async def test_the_readmes_september_costs_what_the_readme_says(
    served: ServedFactory, database: Database, tmp_path: Path
) -> None:
    """Its commands, as they stand there, print what stands there."""
    story = section("What October would cost")
    server = await served(**SERVED)
    commands = "".join(blocks(story, "sh")).replace(".venv/bin/python", sys.executable)
    commands = commands.replace("replay ", f"replay --url {server.url} ")
    process = await asyncio.create_subprocess_exec(
        "bash", "-e", "-c", commands,
        stdout=asyncio.subprocess.PIPE,
        env=environment(
            KUOTA_DATABASE_URL=database.app_url, KUOTA_DATABASE_OWNER_URL=database.owner_url,
            KUOTA_OPERATOR_KEY=OPERATOR_KEY, KUOTA_CLOCK=SERVED["KUOTA_CLOCK"],
            PYTHONPATH=str(ROOT),
        ),
        cwd=tmp_path,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert output.decode().split() == "".join(blocks(story, "text")).split()
