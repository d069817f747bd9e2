"""Who used what: people of a range, once and under their last role, with exact figures (US-2)."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from domain.periods import DAY, HOUR, MINUTE, iso, zone
from tests.api.conftest import Json
from tests.api.senders import OCTOBER, SECOND, VOICE, WHATSAPP, Shop, contact, shops
from tests.conftest import OPERATOR_KEY, Database

JAKARTA = zone("Asia/Jakarta")
#: The range that these stories are of: a local day.
START = JAKARTA.day_start(OCTOBER)
END = START + DAY

ROWS = """
query (
  $range: RangeInput, $filter: UsageFilter, $first: Int! = 100, $after: String,
  $roles: [UserRole!], $search: String
) {
  tenant(key: "shop") {
    userUsage(
      range: $range, filter: $filter, first: $first, after: $after, roles: $roles, search: $search
    ) {
      start end asOf estimate totalCount byRole { role count }
      unassigned { ...Figures }
      nodes {
        user { id name email externalId channels role active }
        role active firstActivity lastActivity figures { ...Figures }
      }
      pageInfo { hasNextPage endCursor }
    }
  }
}
fragment Figures on UserFigures {
  messagesIn messagesOut conversations seconds minutes cost { value currency }
}
"""
SERIES = """
query ($range: RangeInput!, $filter: UsageFilter) {
  tenant(key: "shop") {
    usageSeries(
      metrics: [MESSAGES_IN, MESSAGES_OUT, CONVERSATIONS, SECONDS_BILLED, COST]
      range: $range, filter: $filter, groupBy: [USER]
    ) { metric key { value } compact { values } }
  }
}
"""
FIELDS = {
    "MESSAGES_IN": "messagesIn", "MESSAGES_OUT": "messagesOut", "CONVERSATIONS": "conversations",
    "SECONDS_BILLED": "seconds", "COST": "cost",
}  # fmt: skip


@pytest.fixture
async def shop(database: Database, redis_url: str) -> AsyncIterator[Shop]:
    async with shops(database, redis_url) as shop:
        await shop.opened(
            "omnichannel-idr", ("whatsapp", WHATSAPP), ("sms", "+6281110000002"),
            ("voice", VOICE),
        )  # fmt: skip
        yield shop


def between(start: int, end: int) -> Json:
    return {"instants": {"start": iso(start), "end": iso(end)}}


async def rows(shop: Shop, **asked: Any) -> Json:
    return dict((await shop.graphql(ROWS, **asked))["tenant"]["userUsage"])


async def refused(shop: Shop, query: str, key: str = OPERATOR_KEY, **variables: Any) -> Json:
    """The first error of an answer."""
    answer = await shop.client.post(
        "/graphql", json={"query": query, "variables": variables},
        headers={"authorization": f"Bearer {key}"},
    )  # fmt: skip
    return dict(answer.json()["errors"][0]["extensions"]) | {
        "message": answer.json()["errors"][0]["message"]
    }


async def added(shop: Shop, name: str, role: str, at: int, **more: Any) -> str:
    shop.clock.at = at
    payload = await shop.mutate(
        "userCreate", "user { id }", tenant="shop", name=name, role=role,
        email=f"{name.replace(',', '').replace(' ', '.')}@shop.example", **more,
    )  # fmt: skip
    assert payload["userErrors"] == [], payload
    return str(payload["user"]["id"])


async def changed(shop: Shop, user: str, at: int, **change: Any) -> None:
    shop.clock.at = at
    await shop.do("userUpdate", id=user, **change)


#: A story: what became of somebody at which instant, the first one the creation; and how the range
#: has the person: role and active, None for not at all.
STORIES: list[tuple[str, list[tuple[int, Json]], tuple[str, bool] | None]] = [
    ("was there before", [(START - DAY, {"role": "ADMIN"})], ("ADMIN", True)),
    ("came in it", [(START + HOUR, {"role": "ADMIN"})], ("ADMIN", True)),
    ("came with its first instant", [(START, {"role": "ADMIN"})], ("ADMIN", True)),
    ("came with its last instant", [(END - 1, {"role": "ADMIN"})], ("ADMIN", True)),
    ("came with its end", [(END, {"role": "ADMIN"})], None),
    ("came after it", [(END + HOUR, {"role": "ADMIN"})], None),
    ("changed before it", [(START - DAY, {"role": "ADMIN"}),
                           (START - 1, {"role": "SUPER_ADMIN"})], ("SUPER_ADMIN", True)),
    ("changed with its first instant", [(START - DAY, {"role": "ADMIN"}),
                                        (START, {"role": "SUPER_ADMIN"})], ("SUPER_ADMIN", True)),
    ("changed in it", [(START - DAY, {"role": "AGENT"}), (START + HOUR, {"role": "SUPERVISOR"})],
     ("SUPERVISOR", True)),
    ("changed in it twice", [(START - DAY, {"role": "AGENT"}), (START + 1, {"role": "ADMIN"}),
                             (END - 1, {"role": "SUPERVISOR"})], ("SUPERVISOR", True)),
    ("changed with its end", [(START, {"role": "ADMIN"}), (END, {"role": "SUPER_ADMIN"})],
     ("ADMIN", True)),
    ("changed after it", [(START, {"role": "ADMIN"}), (END + 1, {"role": "SUPER_ADMIN"})],
     ("ADMIN", True)),
    ("changed twice at one instant", [(START, {"role": "ADMIN"}), (START + 9, {"role": "AGENT"}),
                                      (START + 9, {"role": "SUPERVISOR"})], ("SUPERVISOR", True)),
    ("went before it", [(START - DAY, {"role": "AGENT"}), (START - 1, {"active": False})], None),
    ("went with its first instant", [(START - DAY, {"role": "AGENT"}),
                                     (START, {"active": False})], None),
    ("went after its first instant", [(START - DAY, {"role": "AGENT"}),
                                      (START + 1, {"active": False})], ("AGENT", False)),
    ("went with its end", [(START - DAY, {"role": "AGENT"}), (END, {"active": False})],
     ("AGENT", True)),
    ("went and came back", [(START - DAY, {"role": "AGENT"}), (START + HOUR, {"active": False}),
                            (END - HOUR, {"active": True})], ("AGENT", True)),
    ("came and went and came", [(START, {"role": "AGENT"}), (START + 1, {"active": False}),
                                (START + 2, {"active": True}), (START + 3, {"active": False})],
     ("AGENT", False)),
    ("came back with its end", [(START - DAY, {"role": "AGENT"}),
                                (START - HOUR, {"active": False}), (END, {"active": True})], None),
    ("came back with its last instant", [(START - DAY, {"role": "AGENT"}),
                                         (START - HOUR, {"active": False}),
                                         (END - 1, {"active": True})], ("AGENT", True)),
    ("went, and was made another", [(START - DAY, {"role": "AGENT"}),
                                    (START + 1, {"active": False}),
                                    (START + 2, {"role": "ADMIN"})], ("ADMIN", False)),
    ("was away, and was made another", [(START - DAY, {"role": "AGENT"}),
                                        (START, {"active": False}),
                                        (START + 2, {"role": "ADMIN"})], None),
    ("was there for no time", [(START + 5, {"role": "AGENT"}), (START + 5, {"active": False})],
     None),
]  # fmt: skip


async def test_people_of_a_range_are_there_once_under_their_last_role(shop: Shop) -> None:
    """US-2: active at any instant of it, whose first is in it and whose end is not."""
    # One after the other, so that a plan's ten seats do; what happens to one is in order.
    for story, happened, _ in STORIES:
        (at, first), *rest = happened
        user = await added(shop, story, first["role"], at)
        for at, change in rest:
            await changed(shop, user, at, **change)
        # Nobody keeps a seat that the next one needs; what is after all ranges is in none.
        await changed(shop, user, END + 9 * DAY, active=False)
    shop.clock.at = END + 10 * DAY

    found = await rows(shop, range=between(START, END))

    expected = {story: shown for story, _, shown in STORIES if shown is not None}
    names = [node["user"]["name"] for node in found["nodes"]]
    assert names == list(expected), "each once, in the order they were added"
    assert {n["user"]["name"]: (n["role"], n["active"]) for n in found["nodes"]} == expected
    counted: dict[str, int] = defaultdict(int)
    for role, _ in expected.values():
        counted[role] += 1
    assert {each["role"]: each["count"] for each in found["byRole"]} == counted
    assert found["totalCount"] == len(expected)
    assert {node["user"]["active"] for node in found["nodes"]} == {False}, "as they are now"


async def test_people_of_a_range_are_paged_and_searched(shop: Shop) -> None:
    """US-2: counts by role are of the whole range, whatever page or part of it is asked for."""
    roles = ("AGENT", "SUPERVISOR", "ADMIN", "SUPER_ADMIN")
    for number in range(7):
        await added(
            shop, f"user {number}", roles[number % 4], START + number, externalId=f"A_{number}%",
            channels=["sms"],
        )  # fmt: skip
    by_role = [{"role": role, "count": 1 if role == "SUPER_ADMIN" else 2}
               for role in ("SUPER_ADMIN", "ADMIN", "SUPERVISOR", "AGENT")]  # fmt: skip

    seen: list[str] = []
    after = None
    while True:
        page = await rows(shop, first=3, after=after)  # the default is today
        assert (page["start"], page["end"]) == (iso(START), iso(END))
        assert (page["totalCount"], page["byRole"]) == (7, by_role)
        assert (page["asOf"], page["estimate"]) == (iso(shop.clock.at), True)
        seen += [node["user"]["name"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert seen == [f"user {number}" for number in range(7)]

    narrowed: list[tuple[Json, list[int]]] = [
        ({"roles": ["AGENT"]}, [0, 4]),
        ({"roles": ["AGENT", "ADMIN"]}, [0, 2, 4, 6]),
        ({"roles": []}, []),
        ({"search": "USER 3"}, [3]),
        ({"search": "r.5@shop"}, [5]),
        ({"search": "a_6%"}, [6]),
        ({"search": "%"}, list(range(7))),
        ({"search": "r_1"}, []),
        ({"search": "user", "roles": ["SUPER_ADMIN"]}, [3]),
        ({"filter": {"users": ["A_1%", "nobody"]}}, [1]),
        ({"filter": {"users": []}}, []),
        ({"filter": {"numbers": [WHATSAPP]}}, list(range(7))),
    ]
    for asked, wanted in narrowed:
        found = await rows(shop, **asked)
        assert [n["user"]["name"] for n in found["nodes"]] == [f"user {n}" for n in wanted], asked
        assert found["totalCount"] == len(wanted)
        assert found["byRole"] == by_role
    node = (await rows(shop, first=1))["nodes"][0]
    assert (node["user"]["externalId"], node["user"]["channels"]) == ("A_0%", ["sms"])
    assert (node["firstActivity"], node["lastActivity"]) == (None, None)
    none = await rows(shop, range=between(START - DAY, START))
    assert (none["nodes"], none["totalCount"], none["byRole"]) == ([], 0, [])


REFUSED: list[tuple[Json, str]] = [
    ({"first": 0}, "`first` is 0"),
    ({"after": "x"}, "`after` is not a cursor"),
    ({"search": "a\0b"}, "`search` is no part of a name"),
    ({"search": "x" * 201}, "`search` is no part of a name"),
    ({"filter": {"channels": ["fax"]}}, "`channels` names 'fax'"),
    ({"range": between(START + MINUTE, END)}, "cuts an hour"),
    ({"range": between(END, START)}, "`end` is not after `start`"),
]


async def test_what_cannot_be_answered_is_refused(shop: Shop) -> None:
    for asked, words in REFUSED:
        error = await refused(shop, ROWS, **asked)
        assert error["code"] == "BAD_USER_INPUT", asked
        assert words in error["message"]
    # A summary of people has no longest range.
    assert (await rows(shop, range=between(START - 400 * DAY, END)))["nodes"] == []


#: What facts say who did it: two whose name is another than the address, one by the address, one
#: nobody knows, one who was not active in the range, and nobody.
NAMES = ["ana", "ben", "eve@shop.example", "nobody knows", "gone", None]


async def furnished(shop: Shop, dice: random.Random) -> dict[str, list[int]]:
    """People and facts of three days; when each of them did something."""
    await added(shop, "Ana", "AGENT", START - 3 * DAY, externalId="ana")
    await added(shop, "Ben", "SUPERVISOR", START - 3 * DAY, externalId="ben")
    await added(shop, "eve", "ADMIN", START - 3 * DAY)
    gone = await added(shop, "Gone", "AGENT", START - 3 * DAY, externalId="gone")
    await changed(shop, gone, START - 2 * DAY, active=False)
    done: dict[str, list[int]] = defaultdict(list)
    for at in sorted(START - DAY + dice.randrange(3 * DAY) for _ in range(60)):
        shop.clock.at = at
        user = dice.choice(NAMES)
        named: Json = {} if user is None else {"user": user}
        kind = dice.choice(["received", "delivered", "template", "sms", "call"])
        party = {"contact": contact(dice.randrange(9))} | named
        if kind == "received":
            await shop.record(("message.received", party))
        elif kind == "delivered":
            await shop.record(("message.delivered", party))
        elif kind == "template":
            template = {"category": "marketing", "template": "sale"}
            await shop.record(("message.delivered", party | template))
        elif kind == "sms":
            await shop.record(("message.sent", party | {"number": "+6281110000002", "text": "x"}))
        else:
            seconds = dice.randrange(1, 500)
            call = {"number": VOICE, "seconds": seconds, "direction": "out"}
            await shop.record(("call.ended", party | call))
            at -= seconds * SECOND  # what has a length is where it began
        if user is not None:
            done[user].append(at)
    shop.clock.at = END + 2 * DAY
    return done


FILTERS: list[Json | None] = [
    None,
    {"numbers": [WHATSAPP]},
    {"channels": ["voice", "sms"]},
    {"directions": ["out"]},
    {"categories": ["marketing"]},
    {"users": ["ana", "gone", ""]},
    {"countries": ["ID"], "directions": ["in"]},
]
RANGES = [
    (START, END),
    (START + 5 * HOUR, END + 7 * HOUR),
    (START - DAY, END + DAY),
    (END - HOUR, END),
]


async def series(shop: Shop, start: int, end: int, only: Json | None) -> dict[str, Json]:
    """What `usageSeries` counts, by user and field."""
    answer = await shop.graphql(SERIES, range=between(start, end), filter=only)
    found: dict[str, Json] = defaultdict(lambda: dict.fromkeys(FIELDS.values(), Decimal()))
    for line in answer["tenant"]["usageSeries"]:
        values = [Decimal(value) for value in line["compact"]["values"] if value is not None]
        found[line["key"][0]["value"]][FIELDS[line["metric"]]] = sum(values, Decimal())
    return found


def exact(figures: Json) -> Json:
    """Figures as numbers; minutes are a sixtieth of the seconds."""
    cost = figures["cost"]
    assert cost["currency"] == "IDR"
    minutes = (Decimal(figures["seconds"]) / 60).quantize(Decimal("0.000001"))
    assert Decimal(figures["minutes"]) == minutes
    return {name: Decimal(figures[name]) for name in FIELDS.values() if name != "cost"} | {
        "cost": Decimal(cost["value"])
    }


@pytest.mark.parametrize("seed", range(2))
async def test_figures_of_people_are_those_of_the_series(shop: Shop, seed: int) -> None:
    """US-2, FI-2: to the last digit for the same filter, and nothing is missing from the sum."""
    done = await furnished(shop, random.Random(seed))
    known = {"ana", "ben", "eve@shop.example"}
    counted = Decimal()
    for start, end in RANGES:
        for only in FILTERS:
            expected = await series(shop, start, end, only)
            found = await rows(shop, range=between(start, end), filter=only)
            own = {n["user"]["externalId"]: exact(n["figures"]) for n in found["nodes"]}
            assert set(own) == known & set((only or {}).get("users", known))
            for name, figures in own.items():
                assert figures == expected[name], (name, only)
            rest = [each for name, each in expected.items() if name not in known]
            assert exact(found["unassigned"]) == {
                field: sum((each[field] for each in rest), Decimal()) for field in FIELDS.values()
            }
            counted += sum(each["cost"] for each in expected.values())
        for node in (await rows(shop, range=between(start, end)))["nodes"]:
            within = sorted(at for at in done[node["user"]["externalId"]] if start <= at < end)
            spans = [node["firstActivity"], node["lastActivity"]]
            assert spans == ([iso(within[0]), iso(within[-1])] if within else [None, None])
    assert counted > 0, "something was paid"


async def test_who_may_not_see_costs_sees_the_rest(shop: Shop) -> None:
    """PE-1: asking for a cost is refused, not asking is fine; another tenant's people are none."""
    await added(shop, "Ana", "AGENT", START, externalId="ana")
    shop.clock.at = START + HOUR
    wanted = "secret"
    keys = {}
    for tenant in ("shop", "other"):
        given = {"tenant": tenant, "name": "k", "scopes": ["usage:read"]}
        keys[tenant] = (await shop.mutate("apiKeyCreate", wanted, **given))["secret"]
    fields = "nodes { user { name email } role figures { messagesOut } firstActivity } totalCount"

    async def ask(key: str, below: str) -> Json:
        query = '{ tenant(key: "shop") { userUsage(range: {preset: TODAY}) { %s } } }' % below  # noqa: UP031
        answer = await shop.client.post(
            "/graphql", json={"query": query}, headers={"authorization": f"Bearer {key}"}
        )
        return dict(answer.json())

    plain = await ask(keys["shop"], fields)
    assert plain["data"]["tenant"]["userUsage"]["nodes"][0]["user"]["name"] == "Ana"
    for below in (
        "nodes { figures { cost { value } } }", "unassigned { cost { value } }",
        "nodes { user { billingRights } }",
    ):  # fmt: skip
        (error,) = (await ask(keys["shop"], below))["errors"]
        assert error["extensions"]["code"] == "FORBIDDEN", below
    assert (await ask(keys["other"], fields))["data"] == {"tenant": None}
