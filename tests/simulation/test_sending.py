"""Seeded senders that ask first: nothing is granted twice, lost, or beyond what there is.

`python -m pytest tests/simulation/test_sending.py --worlds 400` takes seeds 1 to 200,
`--world 17` one alone.
"""

from __future__ import annotations

import ast
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from persistence.servers import Servers
from persistence.valkey import client
from tests.conftest import Database
from tests.scenarios.world import World
from tests.simulation.sending import UNIT, Sender, senders
from tests.wire.proxy import Proxy, before

STEPS = 40


class Wired:
    """A world whose Valkey is behind a wire that can be cut."""

    def __init__(self, sender: Sender, proxy: Proxy) -> None:
        self.sender = sender
        self.proxy = proxy


@pytest.fixture
async def wired(
    database: Database, servers: Servers, redis_url: str, sending_seed: int
) -> AsyncIterator[Wired]:
    assert servers.addresses.redis_url is not None
    number = redis_url.rpartition("=")[2]
    async with AsyncExitStack() as stack:
        place = servers.addresses.redis_url.removeprefix("unix://")
        proxy = await stack.enter_async_context(before(place))
        url = f"redis://127.0.0.1:{proxy.port}/{number}"
        world = await stack.enter_async_context(World.open(database.app_url, url))
        valkey = await stack.enter_async_context(client(url))
        direct = await stack.enter_async_context(client(redis_url))
        sender = await stack.enter_async_context(senders(world, valkey, direct, sending_seed))
        yield Wired(sender, proxy)


async def test_a_sender_never_overspends_without_a_flag(wired: Wired, sending_seed: int) -> None:
    """OC-2 to OC-8, BA-2: whatever is asked, said, given up, expires, comes in and goes out.

    Valkey loses everything twice, and is away twice, with both fail modes.
    """
    sender, proxy = wired.sender, wired.proxy
    await sender.write()
    plan = sender.chance.sample(range(5, STEPS), 5)
    flushes, (shut, opened, month) = plan[:2], plan[2:]
    for step in range(STEPS):
        await sender.step()
        if step in flushes:
            await sender.flush()
            await sender.agree()
        if step in (shut, opened):
            balance = sender.kind.packs[0][0]
            amounts = {balance: 3 * UNIT if sender.kind.allowances else 40_000}
            await sender.fail_mode(amounts if step == opened else {})
            await sender.goes(proxy)
            for _ in range(6):
                await sender.step((Sender.grant, 40))
            await sender.comes_back(proxy)
        if step == month:
            await sender.month_ends()
            await sender.agree()
    await sender.verified()


def test_the_model_of_holds_imports_nothing_of_the_product() -> None:
    """It shares no code with what it is held against."""
    tree = ast.parse(Path(__file__).with_name("holding.py").read_text("utf-8"))
    modules = {
        each
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for each in (
            [node.module or ""] if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }  # fmt: skip
    assert not {each for each in modules if each.split(".")[0] in OURS}


OURS = {"api", "domain", "persistence", "tests"}
