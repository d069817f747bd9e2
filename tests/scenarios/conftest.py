"""One database for all stories: each has a tenant of its own, and tenants are apart."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from persistence.servers import Servers
from tests.conftest import named, on
from tests.scenarios.world import World


@pytest.fixture(scope="package")
async def world(servers: Servers, template: str) -> AsyncIterator[World]:
    """The way in on a database of the stories' own, as the app's role."""
    addresses = servers.addresses
    assert addresses.owner_url is not None
    assert addresses.redis_url is not None
    await on(addresses.owner_url, f"create database stories template {template}")
    async with World.open(named(addresses.app_url, "stories"), addresses.redis_url) as world:
        yield world
    await on(addresses.owner_url, "drop database stories with (force)")
