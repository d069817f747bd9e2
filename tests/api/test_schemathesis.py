"""What schemathesis writes for each query and each mutation gets a clear answer.

Unlike test_fuzz it takes the schema from `schema.graphql` alone, as a stranger would, and asks for
what that allows as well as for what it does not. `--fuzz 100` is two of each for a field; 100
more are one more.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
from graphql import parse_value
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from persistence.servers import Servers
from tests.api.furnished import World, opened
from tests.conftest import OPERATOR_KEY, ROOT

#: Values as they are written in a document; the first is what the simplest document has.
VALUES = {
    "Int": ["1", "2", "50", "0", "-1", "101", "2147483647"],
    "Decimal": ['"1"', '"0.5"', '"-1"', '"0.0000001"'],
    "BigInt": ['"1"', '"-1"', f'"{2**63 - 1}"'],
    "Date": ['"2026-11-01"', '"0001-01-01"', '"9999-12-31"'],
    "DateTime": ['"2026-11-01T00:00:00Z"', '"0001-01-01T00:00:00Z"', '"2026-10-01T00:00:00+07:00"'],
    "StreamPosition": ['""', '"WyJ4Il0"'],
    "CloudEvent": ['{id: "1", source: "crm", type: "call.ended"}', "{}"],
    "JSON": ["{}", "[1]"],
}
WORDS = ["omnichannel-idr", "conversations", "whatsapp", "2026-10", "Asia/Jakarta", "IDR", "ID"]


@pytest.fixture(scope="module")
async def world(servers: Servers, template: str) -> AsyncIterator[World]:
    async with opened(servers, template, rate_limit=0) as world:
        yield world


def documents(names: list[str], examples: int) -> Iterator[str]:
    """As many documents as `examples` for each root field, and as many that are invalid."""
    # Imported here: it takes a second, which only this test has to wait for.
    import schemathesis
    from schemathesis.graphql import from_file, nodes, scalar

    for name, values in VALUES.items():
        scalar(name, st.sampled_from(values).map(parse_value))
    for name in ("String", "ID"):
        words = st.sampled_from([*names, *WORDS]) | st.text(max_size=30)
        scalar(name, words.map(nodes.String))
    text = (ROOT / "schema.graphql").read_text("utf-8")
    for operation in from_file(text, config=schemathesis.Config()).get_all_operations():
        for mode in schemathesis.GenerationMode:
            cases = operation.ok().as_strategy(generation_mode=mode)
            yield from drawn(cases.map(lambda case: str(case.body)), examples)


def drawn(texts: st.SearchStrategy[str], examples: int) -> list[str]:
    """What a strategy gives, the same each time."""
    found: list[str] = []

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(texts)
    def write(text: str) -> None:
        found.append(text)

    write()
    return found


async def test_what_schemathesis_asks_gets_a_clear_answer(
    world: World,
    pytestconfig: pytest.Config,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    examples = 1 + pytestconfig.getoption("fuzz") // 100
    # In a thread: the application lives on this loop, and takes its silence for a lost connection.
    texts = await asyncio.to_thread(lambda: [*documents([*world.one.values()], examples)])
    codes: Counter[str] = Counter()
    transport = httpx2.ASGITransport(world.app, raise_app_exceptions=True)
    headers = {"content-type": "application/json", "authorization": f"Bearer {OPERATOR_KEY}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://kuota") as client:
        for text in texts:
            sent = json.dumps({"query": text})
            answer = await client.post("/graphql", content=sent, headers=headers)
            assert answer.status_code in (200, 400), (answer.status_code, sent)
            errors = answer.json().get("errors", ())
            found = {error["extensions"]["code"] for error in errors}
            assert "INTERNAL_SERVER_ERROR" not in found, (sent, capfd.readouterr().err)
            codes.update(found or {"answered"})
    assert "Traceback" not in capfd.readouterr().err
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []
    # Half of it is invalid; of the rest most has to get as far as our work.
    assert codes["answered"] > len(texts) / 4, codes
