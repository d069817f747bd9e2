"""One database for all tests of accounts: each has a tenant of its own, and tenants are apart."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from persistence.servers import Servers
from tests.api.account.books import NOON, Books
from tests.conftest import named, on
from tests.scenarios.world import World


@pytest.fixture(scope="package")
async def books(servers: Servers, template: str) -> AsyncIterator[Books]:
    """Accounts on a database of their own, as the app's role."""
    addresses = servers.addresses
    assert addresses.owner_url is not None
    assert addresses.redis_url is not None
    await on(addresses.owner_url, f"create database accounts template {template}")
    async with World.open(named(addresses.app_url, "accounts"), addresses.redis_url) as world:
        world.clock.at = NOON
        yield Books(world)
    await on(addresses.owner_url, "drop database accounts with (force)")
