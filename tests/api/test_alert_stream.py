"""`alertRaised`: each alert once, in order, whoever comes back from wherever.

A tenant with 20 visitors a month, of whom 12 have come, is low with the next one, has none left
with the eighth from now, and owes with the ninth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count
from typing import Any

import httpx2
import pytest
from graphql import GraphQLError
from starlette.applications import Starlette

from api.errors import Fault
from api.schema.position import place_of, position_of
from api.transport.subscribing import Refused
from domain.periods import iso
from persistence import alerts, following
from tests.api.conftest import NUMBER_CREATE, TENANT_CREATE, Ask
from tests.api.test_streams import (
    NUMBER,
    OPERATOR,
    PATIENCE_SECONDS,
    Feed,
    KeyOf,
    Somebody,
    shown,
)

FIELDS = "position recovered id kind balance threshold value causeId"
ALERTS = f"""subscription($after: StreamPosition, $kinds: [AlertKind!]) {{
  alertRaised(tenant: "low", after: $after, kinds: $kinds) {{ {FIELDS} }} }}"""
LIST = '{ tenant(key: "low") { alerts { position nodes { id kind } } } }'
TOP_UP = """mutation ($input: TopUpCreateInput!) { topUpCreate(input: $input) {
  userErrors { message } } }"""

#: So many visitors from the beginning on bring it there.
TO_LOW, TO_NONE, TO_OWING = 1, 8, 9

LOW, NONE, OWES, BACK = "THRESHOLD", "EXHAUSTED", "OVERDRAWN", "RECOVERED"

numbers = count(1)


class Low(Feed):
    """The streams of an application, and a tenant that is nearly low."""

    def __init__(self, app: Starlette, client: httpx2.AsyncClient, ask: Ask) -> None:
        super().__init__(app, client)
        self._ask = ask

    async def alerts(
        self, query: str = ALERTS, authorization: str = OPERATOR, **variables: Any
    ) -> Somebody:
        """Somebody who watches from now on: what is raised behind this is told."""
        somebody, _ = await self.follow(query, authorization, **variables)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self._watch():  # noqa: ASYNC110 - readings come from a server
                await asyncio.sleep(0.001)
        return somebody

    def _watch(self) -> bool:
        """Whether every stream that runs has had its first reading."""
        watched = self.core.engines.hub.balances._watched.values()
        watchers = [watcher for each in watched for watcher in each.watchers]
        return len(watchers) == len(self.streams.running) and all(
            watcher.begun == watcher.asked and not watcher._event.is_set() for watcher in watchers
        )

    async def visitors(self, many: int) -> None:
        """So many visitors at once: one commit."""
        events = [
            {
                "id": f"low-{next(numbers)}", "source": "test", "type": "message.received",
                "time": iso(self.core.clock.now()), "subject": "low",
                "data": {"number": NUMBER, "contact": f"+62813{next(numbers):07}", "text": "hello"},
            }
            for _ in range(many)
        ]  # fmt: skip
        answer = await self._client.post(
            "/v1/events", json=events, headers={"authorization": OPERATOR}
        )
        statuses = [result["status"] for result in answer.json()["results"]]
        assert statuses == ["accepted"] * many, answer.text

    async def top_up(self) -> None:
        key = f"top-up-{next(numbers)}"
        given = {"tenant": "low", "balance": "visitors", "amount": "500", "idempotencyKey": key}
        assert (await self._ask(TOP_UP, input=given))["data"]["topUpCreate"]["userErrors"] == []

    async def listed(self) -> Any:
        return (await self._ask(LIST))["data"]["tenant"]["alerts"]


@pytest.fixture
async def feed(app: Starlette, client: httpx2.AsyncClient, ask: Ask, tenants: list[str]) -> Low:
    await ask(TENANT_CREATE, input={"key": "low", "plan": "college-small"})
    wanted = {"tenant": "low", "channel": "WHATSAPP", "address": NUMBER}
    made = await ask(NUMBER_CREATE, input=wanted)
    assert made["data"]["numberCreate"]["userErrors"] == []
    feed = Low(app, client, ask)
    await feed.visitors(12)
    return feed


async def told(somebody: Somebody, many: int) -> list[dict[str, Any]]:
    """The next alerts it is told, and no more than those."""
    found = [shown(await somebody.next()) for _ in range(many)]
    assert somebody.events.empty(), shown(somebody.events.get_nowait())
    return found


def kinds(alerts: Sequence[dict[str, Any]]) -> list[str]:
    return [alert["kind"] for alert in alerts]


async def refusal(somebody: Somebody) -> Fault:
    (error,) = await somebody.end() or ()  # type: ignore[misc]
    assert isinstance(error, GraphQLError)
    assert isinstance(error.original_error, Fault)
    return error.original_error


async def test_alerts_come_once_in_order_to_all_who_follow(feed: Low) -> None:
    """AL-4, AL-7: as they are raised, one after the other, the same bytes to everybody."""
    first, second = await feed.alerts(), await feed.alerts()
    for _ in range(TO_NONE):
        await feed.visitors(1)
    alerts = await told(first, 2)
    assert kinds(alerts) == [LOW, NONE]
    assert alerts == await told(second, 2)
    assert len(feed.streams.running) == 1
    third = await feed.alerts()
    await feed.visitors(1)
    (owes,) = await told(third, 1)
    assert [owes] == await told(first, 1) == await told(second, 1)
    assert owes["kind"] == OWES
    everything = [*alerts, owes]
    assert {alert["recovered"] for alert in everything} == {True}
    listed = [each["id"] for each in (await feed.listed())["nodes"]]
    assert [each["id"] for each in everything] == listed[::-1]


async def test_alerts_of_one_commit_come_in_the_order_they_were_raised(feed: Low) -> None:
    somebody = await feed.alerts()
    await feed.visitors(TO_OWING)
    await feed.top_up()
    alerts = await told(somebody, 4)
    assert kinds(alerts) == [LOW, NONE, OWES, BACK]
    assert len({alert["position"] for alert in alerts}) == 4
    versions = [place_of(alert["position"]).version for alert in alerts]  # type: ignore[union-attr]
    assert versions[0] == versions[1] == versions[2] < versions[3]


async def test_kinds_are_chosen(feed: Low) -> None:
    """Whoever wants other kinds has a stream of its own, and what it leaves out costs it none."""
    some = await feed.alerts(kinds=[OWES, BACK])
    every = await feed.alerts()
    await feed.visitors(TO_OWING)
    await feed.top_up()
    alerts = await told(every, 4)
    assert kinds(alerts) == [LOW, NONE, OWES, BACK]
    assert await told(some, 2) == alerts[2:]
    late = await feed.alerts(kinds=[OWES], after=alerts[0]["position"])
    assert await told(late, 1) == alerts[2:3]


async def test_no_kinds_are_a_mistake(feed: Low) -> None:
    somebody, _ = await feed.follow(ALERTS, kinds=[])
    assert (await refusal(somebody)).code == "BAD_USER_INPUT"


async def test_whoever_comes_back_goes_on_behind_any_alert(feed: Low) -> None:
    """Also between two that one commit raised, and also behind the last one."""
    somebody = await feed.alerts()
    await feed.visitors(TO_NONE)
    await feed.visitors(1)
    alerts = await told(somebody, 3)
    assert kinds(alerts) == [LOW, NONE, OWES]
    back = [await feed.alerts(after=alert["position"]) for alert in alerts]
    for number, each in enumerate(back, 1):
        assert await told(each, 3 - number) == alerts[number:]
    assert len(feed.streams.running) == 4
    assert feed.streams.resumed == 3
    await feed.top_up()
    (recovered,) = await told(somebody, 1)
    assert recovered["kind"] == BACK
    assert [await told(each, 1) for each in back] == [[recovered]] * 3


async def test_the_position_of_the_list_misses_nothing(feed: Low) -> None:
    """Read the list, then watch behind it: what is raised in between comes."""
    empty = (await feed.listed())["position"]
    await feed.visitors(TO_LOW)
    one = await feed.listed()
    await feed.visitors(TO_OWING - TO_LOW)
    from_empty = await feed.alerts(after=empty)
    from_one = await feed.alerts(after=one["position"])
    alerts = await told(from_empty, 3)
    assert kinds(alerts) == [LOW, NONE, OWES]
    assert await told(from_one, 2) == alerts[1:]
    assert [each["id"] for each in one["nodes"]] == [alerts[0]["id"]]
    from_all = await feed.alerts(after=(await feed.listed())["position"])
    assert await told(from_all, 0) == []
    await feed.top_up()
    assert kinds(await told(from_all, 1)) == [BACK]


@pytest.mark.parametrize("elsewhere", ["another epoch", "the future"])
async def test_what_cannot_be_gone_on_from_is_said_at_once(feed: Low, elsewhere: str) -> None:
    """A restored database: the newest alert comes with `recovered: false`, and then what follows.

    The list says the rest.
    """
    await feed.visitors(TO_NONE)
    epoch = feed.core.door.epoch
    after = position_of("another", 1) if elsewhere == "another epoch" else position_of(epoch, 999)
    somebody = await feed.alerts(after=after)
    (newest,) = await told(somebody, 1)
    assert (newest["kind"], newest["recovered"]) == (NONE, False)
    await feed.visitors(1)
    (owes,) = await told(somebody, 1)
    assert (owes["kind"], owes["recovered"]) == (OWES, True)
    back = await feed.alerts(after=newest["position"])
    assert await told(back, 1) == [owes]
    low = await feed.alerts(after=after, kinds=[LOW])
    (only,) = await told(low, 1)
    assert (only["kind"], only["recovered"]) == (LOW, False)


async def test_after_too_many_the_newest_comes_and_the_list_has_the_rest(
    feed: Low, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "CATCH_UP_MAX", 3)
    empty = (await feed.listed())["position"]
    await feed.visitors(TO_NONE)
    near = await feed.alerts(after=empty)
    assert kinds(await told(near, 2)) == [LOW, NONE]
    await feed.visitors(1)
    assert kinds(await told(near, 1)) == [OWES]
    far = await feed.alerts(after=empty)
    (newest,) = await told(far, 1)
    assert (newest["kind"], newest["recovered"]) == (OWES, False)
    await feed.top_up()
    assert kinds(await told(far, 1)) == kinds(await told(near, 1)) == [BACK]


async def test_who_stayed_is_told_however_many_there_are(
    feed: Low, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are read some at a time, and a version whole."""
    monkeypatch.setattr(following, "CATCH_UP_MAX", 1)
    somebody = await feed.alerts()
    await feed.visitors(TO_NONE)
    await feed.visitors(1)
    await feed.top_up()
    assert kinds(await told(somebody, 4)) == [LOW, NONE, OWES, BACK]


WRITTEN = ALERTS.replace("($after: StreamPosition, $kinds: [AlertKind!])", "").replace(
    "kinds: $kinds", ""
)


@pytest.mark.parametrize("how", ["as a variable", "in the document", "as a default"])
async def test_two_come_back_from_the_same_place_one_after_the_other(feed: Low, how: str) -> None:
    """What the first was told before the second came, the second is told too."""
    somebody = await feed.alerts()
    await feed.visitors(TO_OWING)
    alerts = await told(somebody, 3)
    place = alerts[0]["position"]
    query, variables = ALERTS, dict[str, Any]()
    if how == "as a variable":
        variables = {"after": place}
    elif how == "in the document":
        query = WRITTEN.replace("$after", f'"{place}"')
    else:
        query = ALERTS.replace("$after: StreamPosition,", f'$after: StreamPosition = "{place}",')
    first = await feed.alerts(query, **variables)
    assert await told(first, 2) == alerts[1:]
    second = await feed.alerts(query, **variables)
    assert await told(second, 2) == alerts[1:]
    assert feed.streams.resumed == 2
    await feed.top_up()
    later = await told(somebody, 1)
    assert await told(first, 1) == await told(second, 1) == later


async def test_who_starts_from_nowhere_shares(feed: Low) -> None:
    """`after: null` is as good as none."""
    first = await feed.alerts(after=None)
    others = [await feed.alerts(WRITTEN.replace("$after", "null")) for _ in range(2)]
    assert len(feed.streams.running) == 2
    assert feed.streams.resumed == 0
    await feed.visitors(TO_LOW)
    low = await told(first, 1)
    assert [await told(each, 1) for each in others] == [low, low]


async def test_a_fragment_that_is_named_as_a_field_is_no_field(feed: Low) -> None:
    """Alerts behind a fragment are as whole as any: none gives way to a newer one."""
    query = f"""subscription {{ ...balanceChanged }} fragment balanceChanged on Subscription {{
      alertRaised(tenant: "low") {{ {FIELDS} }} }}"""
    somebody = await feed.alerts(query)
    await feed.visitors(TO_OWING)
    events = [await somebody.next() for _ in range(3)]
    assert kinds([shown(event) for event in events]) == [LOW, NONE, OWES]
    assert not any(event.state for event in events)


NO_POSITIONS = ["", "junk", "x" * 500, "MQ", 7]


async def test_a_position_that_is_none_is_refused(feed: Low, subtests: pytest.Subtests) -> None:
    for junk in NO_POSITIONS:
        with subtests.test(junk=junk):
            with pytest.raises((Refused, GraphQLError)) as refused:
                await feed.follow(ALERTS, after=junk)
            assert "this is no StreamPosition" in str(refused.value)
            assert feed.streams.running == set()


async def test_alerts_are_for_those_who_may_see_them(feed: Low, key_of: KeyOf) -> None:
    """Without the right it is forbidden; a tenant that is another's is not there."""
    usage = f"Bearer {await key_of('low', 'usage:read')}"
    other = f"Bearer {await key_of('one', 'billing:read')}"
    for authorization, code in ((usage, "FORBIDDEN"), (other, "NOT_FOUND")):
        somebody, _ = await feed.follow(ALERTS, authorization)
        assert (await refusal(somebody)).code == code
    mine = await feed.alerts(authorization=f"Bearer {await key_of('low', 'billing:read')}")
    await feed.visitors(TO_LOW)
    assert kinds(await told(mine, 1)) == [LOW]


async def test_what_raises_nothing_is_not_looked_for(
    feed: Low, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readings say when there is something to read: other commits cost none."""
    somebody = await feed.alerts()
    await feed.visitors(TO_LOW)
    (low,) = await told(somebody, 1)
    back = await feed.alerts(after=low["position"])
    states, _ = await feed.follow(
        'subscription { balanceChanged(tenant: "low") { position balances { version } } }'
    )
    looks, since = 0, alerts.since

    async def counted(*what: Any, **more: Any) -> Any:
        nonlocal looks
        looks += 1
        return await since(*what, **more)

    monkeypatch.setattr(alerts, "since", counted)
    for version in range(2, 6):
        seen = await states.next()
        while int(shown(seen)["balances"][0]["version"]) < version:
            seen = await states.next()
        await feed.visitors(1)
    assert looks == 0
    await feed.visitors(TO_NONE - TO_LOW - 4)
    assert kinds(await told(somebody, 1)) == kinds(await told(back, 1)) == [NONE]
    assert looks == 2
