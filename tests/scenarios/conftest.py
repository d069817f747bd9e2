"""One database for all stories: each has a tenant of its own, and tenants are apart.

Beside the samples it has the books and plans of `catalogue/`, for what no sample does.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from persistence.catalogue import SAMPLES, load_samples
from persistence.servers import Servers
from tests.conftest import named, on
from tests.scenarios.world import World

CATALOGUE = Path(__file__).parent / "catalogue"


@pytest.fixture(scope="package")
async def world(
    servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """The way in on a database of the stories' own, as the app's role."""
    addresses = servers.addresses
    assert addresses.owner_url is not None
    assert addresses.redis_url is not None
    await on(addresses.owner_url, f"create database stories template {template} strategy file_copy")
    published = tmp_path_factory.mktemp("catalogue")
    for folder in (SAMPLES, CATALOGUE):
        shutil.copytree(folder, published, dirs_exist_ok=True)
    owner = await asyncpg.connect(named(addresses.owner_url, "stories"))
    try:
        await load_samples(owner, folder=published)
    finally:
        await owner.close()
    async with World.open(named(addresses.app_url, "stories"), addresses.redis_url) as world:
        yield world
    await on(addresses.owner_url, "drop database stories with (force)")
