"""Subscriptions as rows: what is read is what was agreed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.subscriptions import Change, Subscription
from persistence import subscriptions
from persistence.door import Door
from tests.conftest import Database
from tests.domain.test_recurring import lives

TENANT = 7


@pytest.fixture
async def door(database: Database) -> AsyncIterator[Door]:
    async with Door.open(database.app_url) as door:
        yield door


@given(lives(), st.none() | st.sampled_from(["small", "large"]), st.integers(1, 10**15))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_what_is_read_is_what_was_agreed(
    door: Door, of: Subscription, plan: str | None, at: int
) -> None:
    async with door.tenant_tx(TENANT) as connection:
        before = len(await subscriptions.of_tenant(connection, TENANT))
        of = replace(of, key=f"of-{before}")
        first = replace(of, changes=())
        kept = await subscriptions.insert(connection, TENANT, first, plan=plan, at=at)
        assert kept == await subscriptions.find(connection, TENANT, of.key)
        for change in of.changes:
            kept = await subscriptions.add_change(connection, kept, change)
        read = await subscriptions.find(connection, TENANT, of.key)
        assert read is not None
        assert sorted(read.subscription.changes, key=key_of) == sorted(of.changes, key=key_of)
        assert replace(read, subscription=of) == replace(kept, subscription=of)
        assert (await subscriptions.of_tenant(connection, TENANT))[-1] == read
        await subscriptions.said(connection, read, 20_000)
        assert (await subscriptions.find(connection, TENANT, of.key)) == replace(
            read, said_for=20_000
        )
    assert (await subscriptions.of_tenants(door, [8, TENANT]))[0] == []
    found = await subscriptions.by_ids(door, [TENANT], [read.subscription_id])
    assert found[read.subscription_id].subscription == read.subscription
    assert await subscriptions.by_ids(door, [8], [read.subscription_id]) == {}


def key_of(change: Change) -> str:
    return change.key


@given(lives(), st.none() | st.just("small"))
@settings(max_examples=30, deadline=None)
def test_what_the_log_has_is_what_was_agreed(of: Subscription, plan: str | None) -> None:
    written = subscriptions.written_first(of, plan)
    assert subscriptions.read_first(written) == (replace(of, changes=()), plan)
    for change in of.changes:
        assert subscriptions.read_change(subscriptions.written_change(change, plan)) == (
            change, plan,
        )  # fmt: skip
