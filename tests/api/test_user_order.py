"""Who used what, in the order of a table's column: pages that meet, whatever they are sorted by."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import pytest

from api.schema.user_order import SortDirection, UserUsageSort
from domain.periods import DAY, HOUR
from tests.api.conftest import Json
from tests.api.senders import VOICE, WHATSAPP, Shop, contact, shops
from tests.api.test_user_usage import END, START, added, between, changed, refused
from tests.conftest import Database

PEOPLE = """
query (
  $sort: UserUsageSortInput, $range: RangeInput, $filter: UsageFilter, $first: Int! = 100,
  $after: String, $roles: [UserRole!], $search: String
) {
  tenant(key: "shop") {
    userUsage(
      sort: $sort, range: $range, filter: $filter, first: $first, after: $after, roles: $roles,
      search: $search
    ) {
      totalCount edges { cursor node {
        user { id name }
        figures { messagesIn messagesOut conversations minutes cost { value } }
      } }
      pageInfo { hasNextPage endCursor }
    }
  }
}
"""

#: What people are called, in the order they are added, and as a table has them.
NAMES = ["Zoë", "Ben", "ágnes", "Émile", "agata", "Яна", "ben", "Łukasz", "Zoe"]
SORTED = ["agata", "ágnes", "Ben", "ben", "Émile", "Zoë", "Zoe", "Łukasz", "Яна"]
#: The same from the other end: who is called alike is still as they were added.
REVERSED = ["Яна", "Łukasz", "Zoë", "Zoe", "Émile", "Ben", "ben", "ágnes", "agata"]

COLUMNS: dict[str, Callable[[Json], Decimal]] = {
    "MESSAGES_IN": lambda figures: Decimal(figures["messagesIn"]),
    "MESSAGES_OUT": lambda figures: Decimal(figures["messagesOut"]),
    "CONVERSATIONS": lambda figures: Decimal(figures["conversations"]),
    "MINUTES": lambda figures: Decimal(figures["minutes"]),
    "COST": lambda figures: Decimal(figures["cost"]["value"]),
}


@pytest.fixture
async def shop(database: Database, redis_url: str) -> AsyncIterator[Shop]:
    async with shops(database, redis_url) as shop:
        await shop.opened("omnichannel-idr", ("whatsapp", WHATSAPP), ("voice", VOICE))
        yield shop


async def page(shop: Shop, **asked: Any) -> Json:
    found = (await shop.graphql(PEOPLE, **asked))["tenant"]["userUsage"]
    return dict(found) | {"nodes": [edge["node"] for edge in found["edges"]]}


async def walked(shop: Shop, first: int, **asked: Any) -> list[Json]:
    """Everybody, page by page; who is asked for behind each place of a page follows it."""
    seen: list[Json] = []
    after = None
    while True:
        found = await page(shop, first=first, after=after, **asked)
        assert len(found["nodes"]) == first or not found["pageInfo"]["hasNextPage"]
        seen += found["nodes"]
        after = found["pageInfo"]["endCursor"]
        if not found["pageInfo"]["hasNextPage"]:
            assert len(seen) == found["totalCount"]
            return seen


def called(nodes: list[Json]) -> list[str]:
    return [node["user"]["name"] for node in nodes]


async def peopled(shop: Shop, dice: random.Random) -> None:
    """Some people who did much, little or nothing, and some who did alike; what nobody did, too."""
    for number in range(len(NAMES)):
        await added(shop, f"x{number}", "AGENT", START - DAY, externalId=f"u{number}")
    found = (await page(shop, range=between(START - DAY, START)))["nodes"]
    for node, name in zip(found, NAMES, strict=True):
        await changed(shop, node["user"]["id"], START - HOUR, name=name)
    for at in sorted(START + dice.randrange(DAY) for _ in range(40)):
        shop.clock.at = at
        user = dice.choice(["u0", "u1", "u2", "u2", "u6", "u7", "nobody knows"])
        party: Json = {"contact": contact(dice.randrange(9)), "user": user}
        template = {"category": "marketing", "template": "sale"}
        call = {"number": VOICE, "seconds": dice.randrange(1, 500), "direction": "out"}
        happened: list[tuple[str, Json]] = [
            ("message.received", party), ("message.delivered", party),
            ("message.delivered", party | template), ("call.ended", party | call),
        ]  # fmt: skip
        await shop.record(dice.choice(happened))
    shop.clock.at = END + DAY


@pytest.mark.parametrize("seed", range(2))
async def test_people_are_sorted_by_each_column_of_their_table(shop: Shop, seed: int) -> None:
    """US-2, FI-2: by the figures that are shown, of equals who was added first, in any pages."""
    assert [sort.name for sort in UserUsageSort] == ["NAME", *COLUMNS]
    await peopled(shop, random.Random(seed))
    told = 0
    for start, end in ((START, END), (START + 5 * HOUR, END - 7 * HOUR), (END, END + DAY)):
        for only in (None, {"directions": ["out"]}, {"users": ["u0", "u1", "u6", "u8", "u9"]}):
            asked = {"range": between(start, end), "filter": only}
            as_added = (await page(shop, **asked))["nodes"]
            for by, figure in COLUMNS.items():
                for direction, sign in (("ASCENDING", 1), ("DESCENDING", -1)):
                    sort = {"by": by, "direction": direction}
                    expected = sorted(
                        as_added, key=lambda node: sign * figure(node["figures"])
                    )  # fmt: skip
                    assert await walked(shop, 100, sort=sort, **asked) == expected
                    assert await walked(shop, 2, sort=sort, **asked) == expected
                    told += expected != as_added
    assert told > 20, "the order is another than that of adding"


async def test_names_are_sorted_whatever_case_and_accents_they_have(shop: Shop) -> None:
    await peopled(shop, random.Random(0))
    asked = {"range": between(START, END)}
    for direction, names in (("ASCENDING", SORTED), ("DESCENDING", REVERSED)):
        sort = {"by": "NAME", "direction": direction}
        for first in (1, 4, 100):
            assert called(await walked(shop, first, sort=sort, **asked)) == names
    assert called((await page(shop, sort={"by": "NAME"}, **asked))["nodes"]) == SORTED
    assert called((await page(shop, **asked))["nodes"]) == NAMES
    # What narrows the list narrows it in this order as in that one.
    for narrowed, wanted in (
        ({"search": "ben"}, ["Ben", "ben"]),
        ({"roles": ["ADMIN"]}, []),
        ({"filter": {"users": ["u8", "u4", "u2"]}}, ["agata", "ágnes", "Zoe"]),
    ):
        found = await page(shop, sort={"by": "NAME"}, **asked, **narrowed)
        assert called(found["nodes"]) == wanted
        assert found["totalCount"] == len(wanted)


async def test_a_page_goes_on_where_the_one_before_ended_whatever_came_meanwhile(
    shop: Shop,
) -> None:
    """Nobody whose own figure stays comes twice or is missed; the last one's may have moved."""
    for number in range(6):
        await added(shop, f"user {number}", "AGENT", START, externalId=f"u{number}")
    shop.clock.at = START + HOUR

    async def wrote(user: int, times: int) -> None:
        await shop.record(
            *[("message.received", {"contact": contact(1), "user": f"u{user}"})] * times
        )

    for number in range(6):
        await wrote(number, 6 - number)
    sort = {"by": "MESSAGES_IN", "direction": "DESCENDING"}
    first = await page(shop, sort=sort, first=3)
    assert called(first["nodes"]) == ["user 0", "user 1", "user 2"]
    await wrote(2, 9)  # the last one of the page is the first by now
    await wrote(0, 1)
    after = first["pageInfo"]["endCursor"]
    rest = await page(shop, sort=sort, first=3, after=after)
    assert called(rest["nodes"]) == ["user 3", "user 4", "user 5"]
    assert rest["pageInfo"]["hasNextPage"] is False
    # Who comes meanwhile has his place; each cursor of a page is one.
    await added(shop, "user 6", "ADMIN", START + HOUR, externalId="u6")
    assert called((await page(shop, sort=sort, after=after))["nodes"])[-1] == "user 6"
    for place, edge in enumerate(rest["edges"], 1):
        behind = (await page(shop, sort=sort, after=edge["cursor"]))["nodes"]
        assert called(behind) == [*called(rest["nodes"])[place:], "user 6"]


async def test_a_cursor_is_of_its_order_alone(shop: Shop) -> None:
    await added(shop, "Ana", "AGENT", START, externalId="ana")
    shop.clock.at = START + HOUR
    cursors: dict[int | None, str] = {None: (await page(shop))["pageInfo"]["endCursor"]}
    sorts = [
        {"by": by.name, "direction": direction.name}
        for by in UserUsageSort for direction in SortDirection
    ]  # fmt: skip
    for number, sort in enumerate(sorts):
        cursors[number] = (await page(shop, sort=sort))["pageInfo"]["endCursor"]
    assert len(set(cursors.values())) == len(cursors)
    for number, sort in enumerate(sorts):
        for of, cursor in cursors.items():
            if of == number:
                assert (await page(shop, sort=sort, after=cursor))["nodes"] == []
                continue
            error = await refused(shop, PEOPLE, sort=sort, after=cursor)
            assert error["code"] == "BAD_USER_INPUT"
            assert "`after` is no cursor of this order" in error["message"]
        error = await refused(shop, PEOPLE, after=cursors[number])
        assert "`after` is not a cursor" in error["message"]


async def test_who_may_not_see_costs_does_not_sort_by_them(shop: Shop) -> None:
    """PE-1: an order by cost tells who cost more; the others are everybody's who sees usage."""
    await added(shop, "Ana", "AGENT", START, externalId="ana")
    shop.clock.at = START + HOUR
    given = {"tenant": "shop", "name": "k", "scopes": ["usage:read"]}
    key = (await shop.mutate("apiKeyCreate", "secret", **given))["secret"]
    query = """query ($sort: UserUsageSortInput) {
      tenant(key: "shop") { userUsage(sort: $sort) { nodes { user { name } } } } }"""
    for by in UserUsageSort:
        answer = await shop.client.post(
            "/graphql", json={"query": query, "variables": {"sort": {"by": by.name}}},
            headers={"authorization": f"Bearer {key}"},
        )  # fmt: skip
        if by is UserUsageSort.COST:
            (error,) = answer.json()["errors"]
            assert error["extensions"]["code"] == "FORBIDDEN"
            assert "billing:read" in error["message"]
        else:
            assert called(answer.json()["data"]["tenant"]["userUsage"]["nodes"]) == ["Ana"]


async def test_several_tenants_are_sorted_by_one_statement_each_for_itself(shop: Shop) -> None:
    """People of two tenants are called alike in their facts; nobody has the other's figures."""
    for tenant, address in (("shop", WHATSAPP), ("other", "+6281110000077")):
        if tenant == "other":
            await shop.do("numberCreate", tenant=tenant, channel="whatsapp", address=address)
        for name in ("ana", "ben"):
            await shop.do(
                "userCreate", tenant=tenant, name=f"{name} of {tenant}", role="AGENT",
                email=f"{name}@{tenant}.example", externalId=name,
            )  # fmt: skip
    events = [
        {"id": f"{tenant}{n}", "source": "s", "type": "message.received", "subject": tenant,
         "time": "2026-10-10T03:00:00Z",
         "data": {"number": address, "contact": contact(1), "user": user}}
        for tenant, address, users in (
            ("shop", WHATSAPP, ["ana", "ben", "ben"]),
            ("other", "+6281110000077", ["ana", "ana", "ana", "ben"]),
        )
        for n, user in enumerate(users)
    ]  # fmt: skip
    answer = await shop.client.post("/v1/events", json=events)
    assert {each["status"] for each in answer.json()["results"]} == {"accepted"}
    found = await shop.graphql("""{ tenants { nodes { key userUsage(
      first: 1, sort: {by: MESSAGES_IN, direction: DESCENDING}, range: {preset: TODAY}
    ) { nodes { user { name } figures { messagesIn } } } } } }""")
    assert {each["key"]: each["userUsage"]["nodes"] for each in found["tenants"]["nodes"]} == {
        "shop": [{"user": {"name": "ben of shop"}, "figures": {"messagesIn": "2"}}],
        "other": [{"user": {"name": "ana of other"}, "figures": {"messagesIn": "3"}}],
    }
