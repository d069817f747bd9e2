"""Real traffic of 193 days, replayed and compared to the last digit with a plain loop.

The loop (`tests.oracle`) imports nothing of the product and reads the rules a second time: TZ-1,
EV-2, WI-1, CO-1, CO-5, VI-1, PR-3, PR-4, PR-9, BA-3, BA-4, BA-9 and BA-11.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import cache
from typing import Any

import httpx2
import pytest

from tests.conftest import Served, ServedFactory
from tests.oracle import college
from tests.oracle.college import Event, Form
from tests.oracle.counting import MIXED, PLAIN, Account, Leg, count, in_fact_order

pytestmark = [
    pytest.mark.skipif(not college.FILE.exists(), reason=f"{college.FILE} is not here"),
    pytest.mark.slow,
]

MONTHS = [(2026, month) for month in range(4, 11)]
#: A chart has at most 92 local days (TZ-6), so seven months are three of them.
QUARTERS = [
    ("2026-04-01", "2026-06-30"),
    ("2026-07-01", "2026-09-30"),
    ("2026-10-01", "2026-10-31"),
]
#: The last microsecond of each month in Jakarta.
LAST_INSTANTS = [
    f"2026-{month:02d}-{days}T16:59:59.999999Z"
    for month, days in zip(range(4, 11), (30, 31, 30, 31, 31, 30, 31), strict=True)
]
TERMS = {"plain": PLAIN, "mixed": MIXED}
PLANS = {"plain": "omnichannel-idr", "mixed": "college-small"}
CLIENTS = 8
READERS = 8
#: The row of the price book that a leg names.
ROWS = {"visitor": "visitor", "conversation": "conversation", "covered": "conversation"}


@cache
def events_of(form: Form) -> list[Event]:
    return college.convert(college.read_lines(), form)


@cache
def expected(form: Form) -> dict[str, Account]:
    return count(events_of(form), TERMS[form], MONTHS)


def test_the_file_gives_the_facts_it_is_said_to_give() -> None:
    lines = college.read_lines()
    assert len(lines) == college.LINES
    for form in ("plain", "mixed"):
        events = events_of(form)
        assert len(events) == college.FACTS
        assert len({event["subject"] for event in events}) == college.BUSINESSES
        assert events[0]["time"].startswith("2026-04-15")


def test_both_forms_have_the_same_conversations_and_visitors() -> None:
    plain, mixed = expected("plain"), expected("mixed")
    for key, account in plain.items():
        for label, month in account.months.items():
            other = mixed[key].months[label]
            assert (month.conversations, month.visitors) == (other.conversations, other.visitors)


@pytest.mark.parametrize("form", ["plain", "mixed"])
def test_the_files_order_gives_the_figures_of_fact_order(form: Form) -> None:
    """EV-4: messages of one second come in another order, and nothing depends on it here."""
    sorted_ = count(in_fact_order(events_of(form)), TERMS[form], MONTHS)
    for key, account in expected(form).items():
        assert account.months == sorted_[key].months
        assert account.legs == sorted_[key].legs


@pytest.mark.parametrize(("form", "first"), [("plain", 3), ("mixed", 11)])
async def test_in_the_files_order_by_thousands(
    served: ServedFactory, form: Form, first: int
) -> None:
    """Of each form some businesses, whole and not the same, with all that all of them have."""
    server = await served()
    keys = sorted(expected(form))[first::12]
    assert kinds(form, keys) == kinds(form, expected(form))
    events = [event for event in events_of(form) if event["subject"] in keys]
    async with connect(server) as client:
        await open_tenants(client, form, keys)
        answers = await post_all(client, events, 1_000)
        check_answers(answers, form, len(events))
        await check_figures(client, form, keys)
        # The answers have shown every charge; a quarter of the tenants' lists are read as well.
        await check_charges(client, form, keys[::4])


def kinds(form: Form, keys: Iterable[str]) -> set[tuple[str, ...]]:
    """The ways that facts of businesses are charged in, and how their balances end months."""
    found: set[tuple[str, ...]] = set()
    for account in (expected(form)[key] for key in keys):
        for leg in account.legs.values():
            found.add(() if leg is None else (leg.why, str(leg.balance), str(leg.category)))
        for month in account.months.values():
            found |= {
                (key, str(remaining.compare(Decimal(0))))
                for key, remaining in month.remaining.items()
            }
    return found


@pytest.mark.parametrize(
    ("batch", "tenants"),
    [
        pytest.param(1_000, 16, id="batches-of-1000-16-tenants"),
        pytest.param(7, 8, id="batches-of-7-8-tenants"),
        pytest.param(1, 1, id="single-facts-1-tenant"),
    ],
)
async def test_shuffled_across_tenants_from_several_clients(
    served: ServedFactory, batch: int, tenants: int
) -> None:
    """EV-2, EV-4: what others do, and how facts are cut into requests, changes no figure."""
    server = await served()
    order = random.Random(batch)
    keys = quietest(tenants)
    async with connect(server) as client:
        await open_tenants(client, "mixed", keys)
        sent = [shuffle(keys[n::CLIENTS], order) for n in range(CLIENTS)]
        found = await asyncio.gather(*(post_all(client, part, batch) for part in sent))
        answers = {id_: answer for part in found for id_, answer in part.items()}
        check_answers(answers, "mixed", sum(map(len, sent)))
        await check_figures(client, "mixed", keys)


def quietest(tenants: int) -> list[str]:
    """Those with the fewest facts of all who used up their conversations: short and telling."""
    accounts = {
        key: account
        for key, account in expected("mixed").items()
        if any(month.whys["conversation_price"] for month in account.months.values())
    }
    return sorted(accounts, key=lambda key: (len(accounts[key].legs), key))[:tenants]


def shuffle(keys: Sequence[str], order: random.Random) -> list[Event]:
    """The facts of some tenants in random order, but each tenant's own in the file's."""
    queues: dict[str, list[Event]] = defaultdict(list)
    for event in events_of("mixed"):
        if event["subject"] in keys:
            queues[event["subject"]].append(event)
    turns = [key for key, queue in queues.items() for _ in queue]
    order.shuffle(turns)
    rest = {key: iter(queue) for key, queue in queues.items()}
    return [next(rest[key]) for key in turns]


# What is sent.


@asynccontextmanager
async def connect(server: Served) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(
        base_url=server.url, headers=server.headers, timeout=60
    ) as client:
        yield client


async def post_all(
    client: httpx2.AsyncClient, events: Sequence[Event], batch: int
) -> dict[str, Any]:
    """Send events in order, one request after the other: event id -> its result."""
    answers: dict[str, Any] = {}
    for start in range(0, len(events), batch):
        part = events[start : start + batch]
        body = part[0] if batch == 1 else part
        response = await client.post("/v1/events", json=body)
        assert response.status_code == 200, response.text
        results = response.json()["results"]
        assert [result["id"] for result in results] == [event["id"] for event in part]
        answers |= {result["id"]: result for result in results}
    return answers


async def open_tenants(client: httpx2.AsyncClient, form: Form, keys: Sequence[str]) -> None:
    """The businesses with their numbers, and in the mixed form their money."""

    async def open_one(key: str) -> None:
        await operate(
            client, "tenantCreate", "tenant { key timezone }",
            key=key, name=key, timezone=college.ZONE, currency="IDR", country="ID",
            locale="id", plan=PLANS[form],
        )  # fmt: skip
        address = college.number_address(int(key.removeprefix("college-")))
        await operate(
            client, "numberCreate", "number { address }",
            tenant=key, channel="whatsapp", address=address,
        )  # fmt: skip
        if form == "mixed":
            await operate(
                client, "topUpCreate", "topUp { id }",
                tenant=key, balance="whatsapp", amount=str(MIXED.topped_up),
                startsAt="2026-04-01T00:00:00+07:00", idempotencyKey="college",
            )  # fmt: skip

    await each(keys, open_one)


async def operate(client: httpx2.AsyncClient, name: str, payload: str, /, **given: Any) -> None:
    """One mutation; its payload, and no errors of any kind."""
    query = f"""mutation($input: {name[0].upper()}{name[1:]}Input!) {{
        {name}(input: $input) {{ {payload} userErrors {{ field message code }} }} }}"""
    found = (await ask(client, query, input=given))[name]
    assert found["userErrors"] == []


async def ask(client: httpx2.AsyncClient, query: str, /, **variables: Any) -> Any:
    response = await client.post("/graphql", json={"query": query, "variables": variables})
    answer = response.json()
    assert "errors" not in answer, answer["errors"]
    return answer["data"]


async def each(keys: Sequence[str], work: Any) -> None:
    """Do something for every key, READERS at a time."""
    waiting = iter(keys)

    async def reader() -> None:
        for key in waiting:
            await work(key)

    async with asyncio.TaskGroup() as group:
        for _ in range(READERS):
            group.create_task(reader())


# What is compared.


def charge_of(leg: Leg | None) -> tuple[str, Decimal, str] | None:
    """What a leg looks like from outside: balance, amount, row. None: nothing is charged.

    A free message stands in the books of the balance that would have paid it.
    """
    if leg is None:
        return None
    if leg.why == "covered":
        return "conversations", Decimal(0), "conversation"
    row = "conversation" if leg.why == "conversation_price" else leg.category
    return leg.balance or "whatsapp", leg.taken, ROWS.get(leg.why, row)


def check_answers(answers: dict[str, Any], form: Form, facts: int) -> None:
    """Every fact was taken, and charged as the loop says, in the answer to it."""
    assert len(answers) == facts
    assert Counter(answer["status"] for answer in answers.values()) == {"accepted": facts}
    legs = {id_: leg for account in expected(form).values() for id_, leg in account.legs.items()}
    for id_, answer in answers.items():
        found = [
            (charge["balance"], Decimal(charge["amount"]), charge["rule"].rpartition("/")[2])
            for charge in answer["charges"]
        ]
        wanted = charge_of(legs[id_])
        assert found == ([] if wanted is None else [wanted]), id_


FIGURES = """
query($key: String!, {instants}, {quarters}) {{ tenant(key: $key) {{ {balances} {series} }} }}
""".format(
    instants=", ".join(f"$at{n}: DateTime!" for n in range(len(MONTHS))),
    quarters=", ".join(f"$range{n}: RangeInput!" for n in range(len(QUARTERS))),
    balances=" ".join(
        f"balances{n}: balances(at: $at{n})"
        " { key opening { value } granted { value } toppedUp { value } used { value }"
        " remaining { value } }"
        for n in range(len(MONTHS))
    ),
    series=" ".join(
        f"series{n}: usageSeries(metrics: [CONVERSATIONS, VISITORS, MESSAGES_IN, MESSAGES_OUT,"
        f" COST], range: $range{n}, bucket: MONTH) {{ metric points {{ value }} }}"
        for n in range(len(QUARTERS))
    ),
)


async def check_figures(client: httpx2.AsyncClient, form: Form, keys: Sequence[str]) -> None:
    """Series and balances of every tenant and month, read back through GraphQL."""
    given = {f"at{n}": at for n, at in enumerate(LAST_INSTANTS)} | {
        f"range{n}": {"dates": {"from": first, "until": last}}
        for n, (first, last) in enumerate(QUARTERS)
    }

    async def check(key: str) -> None:
        tenant = (await ask(client, FIGURES, key=key, **given))["tenant"]
        account = expected(form)[key]
        assert series_of(tenant) == wanted_series(account), key
        for n, balances in enumerate(wanted_balances(account)):
            found = {
                balance.pop("key"): {
                    name: Decimal(amount["value"]) for name, amount in balance.items()
                }
                for balance in tenant[f"balances{n}"]
            }
            assert found == balances, (key, MONTHS[n])

    await each(keys, check)


def series_of(tenant: dict[str, Any]) -> dict[str, list[Decimal]]:
    found: dict[str, list[Decimal]] = defaultdict(list)
    for n in range(len(QUARTERS)):
        for series in tenant[f"series{n}"]:
            found[series["metric"]] += [Decimal(point["value"]) for point in series["points"]]
    return dict(found)


def wanted_series(account: Account) -> dict[str, list[Decimal]]:
    months = [account.months[label] for label in MONTHS]
    return {
        "CONVERSATIONS": [Decimal(month.conversations) for month in months],
        "VISITORS": [Decimal(month.visitors) for month in months],
        "MESSAGES_IN": [Decimal(month.messages_in) for month in months],
        "MESSAGES_OUT": [Decimal(month.messages_out) for month in months],
        "COST": [month.cost for month in months],
    }


def wanted_balances(account: Account) -> list[dict[str, dict[str, Decimal]]]:
    """BA-9 for each balance and month: opening + granted + topped up - used = remaining."""
    wanted = []
    opening = Decimal(0)
    for label in MONTHS:
        month = account.months[label]
        topped_up = account.terms.topped_up if label == MONTHS[0] else Decimal(0)
        wanted.append(
            {
                key: {
                    "opening": Decimal(0),
                    "granted": Decimal(granted),
                    "toppedUp": Decimal(0),
                    "used": Decimal(month.units[key]),
                    "remaining": month.remaining[key],
                }
                for key, granted in (
                    ("conversations", account.terms.conversations),
                    ("visitors", account.terms.visitors),
                )
            }
            | {
                "whatsapp": {
                    "opening": opening,
                    "granted": Decimal(0),
                    "toppedUp": topped_up,
                    "used": month.cost,
                    "remaining": month.remaining["whatsapp"],
                }
            }
        )
        opening = month.remaining["whatsapp"]
    return wanted


CHARGES = """query($key: String!, $after: String) { tenant(key: $key) {
    charges(first: 100, after: $after) {
        nodes { at factId balance units amount { value } rule reversal }
        pageInfo { hasNextPage endCursor }
} } }"""


async def check_charges(client: httpx2.AsyncClient, form: Form, keys: Sequence[str]) -> None:
    """The list of charges has each charge once, newest first, with its amount and its row."""

    async def check(key: str) -> None:
        found: dict[str, tuple[str, Decimal, str]] = {}
        instants: list[str] = []
        after = None
        while True:
            page = (await ask(client, CHARGES, key=key, after=after))["tenant"]["charges"]
            for node in page["nodes"]:
                assert node["factId"] not in found
                assert not node["reversal"]
                assert node["units"] == "1"
                found[node["factId"]] = (
                    node["balance"],
                    Decimal(node["amount"]["value"]),
                    node["rule"].rpartition("/")[2],
                )
                instants.append(node["at"])
            if not page["pageInfo"]["hasNextPage"]:
                break
            after = page["pageInfo"]["endCursor"]
        legs = expected(form)[key].legs
        wanted = {id_: charge_of(leg) for id_, leg in legs.items() if leg is not None}
        assert found == wanted, key
        assert instants == sorted(instants, reverse=True)

    await each(keys, check)
