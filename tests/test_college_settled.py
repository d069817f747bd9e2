"""Real traffic of 193 days in any order at all, settled and compared with the same plain loop.

`test_college` keeps each tenant's own facts in the file's order, so that nothing is late. Here they
come shuffled over half a year, and settling has to make of them what the order of their own times
comes to: EV-4, EV-9, EV-10, BA-9.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from tests.conftest import ServedFactory
from tests.oracle import college
from tests.oracle.college import Form
from tests.test_college import (
    ask,
    charge_of,
    check_figures,
    connect,
    each,
    events_of,
    expected,
    open_tenants,
    post_all,
)

pytestmark = [
    pytest.mark.skipif(not college.FILE.exists(), reason=f"{college.FILE} is not here"),
    pytest.mark.slow,
]

#: Longer than a test: what is settled here is settled because it was asked for.
NOT_BY_ITSELF = {"KUOTA_SETTLE_SECONDS": "86400"}

Shown = tuple[str, Decimal, str]  #: of a charge: balance, amount, row


@pytest.mark.parametrize(
    ("form", "first", "batch"),
    [
        pytest.param("plain", 0, 1_000, id="plain-by-1000"),
        pytest.param("mixed", 1, 500, id="mixed-by-500"),
    ],
)
async def test_the_log_in_any_order_and_settled(
    served: ServedFactory, form: Form, first: int, batch: int
) -> None:
    """EV-4, EV-9: after settling the order of arrival is to be seen in no figure.

    Each form has some of the businesses, whole and not the same: that takes long enough.
    """
    server = await served(**NOT_BY_ITSELF)
    keys = sorted(expected(form))[first::20]
    events = [event for event in events_of(form) if event["subject"] in keys]
    random.Random(batch).shuffle(events)
    async with connect(server) as client:
        await open_tenants(client, form, keys)
        answers = await post_all(client, events, batch)
        assert {answer["status"] for answer in answers.values()} == {"accepted"}
        wrong = charged_otherwise(answers, form, keys)
        assert all(wrong[key] for key in keys), wrong

        settled = await settle(client, keys)

        facts = Counter(event["subject"] for event in events)
        assert {key: int(found["facts"]) for key, found in settled.items()} == facts
        for key, found in settled.items():
            assert int(found["corrected"]) >= wrong[key]
            assert found["settlement"]["corrected"] == found["corrected"]
        await check_figures(client, form, keys)
        await check_standing_charges(client, form, keys[::2])
        for key, found in (await settle(client, keys)).items():
            assert int(found["facts"]) < facts[key]  # it begins at a midnight
            assert (found["corrected"], found["settlement"]) == ("0", None)


def charged_otherwise(answers: dict[str, Any], form: Form, keys: list[str]) -> Counter[str]:
    """Of each tenant the facts that were answered with another charge than the loop has."""
    wrong: Counter[str] = Counter()
    for key in keys:
        for id_, leg in expected(form)[key].legs.items():
            found = [
                (charge["balance"], Decimal(charge["amount"]), charge["rule"].rpartition("/")[2])
                for charge in answers[id_]["charges"]
            ]
            wanted = charge_of(leg)
            wrong[key] += found != ([] if wanted is None else [wanted])
    return wrong


SETTLE = """mutation($key: String!) { settle(input: {tenant: $key}) {
    facts corrected settlement { corrected } userErrors { field message code } } }"""


async def settle(client: httpx2.AsyncClient, keys: list[str]) -> dict[str, dict[str, Any]]:
    """Settle tenants: key -> what was found."""
    settled: dict[str, dict[str, Any]] = {}

    async def settle_one(key: str) -> None:
        found = (await ask(client, SETTLE, key=key))["settle"]
        assert found.pop("userErrors") == []
        settled[key] = found

    await each(keys, settle_one)
    return settled


CHARGES = """query($key: String!, $after: String) { tenant(key: $key) {
    charges(first: 100, after: $after) {
        nodes { factId balance units amount { value } rule reversal revision }
        pageInfo { hasNextPage endCursor }
} } }"""


async def check_standing_charges(client: httpx2.AsyncClient, form: Form, keys: list[str]) -> None:
    """EV-10: the list has what was charged and what was taken back; what stands is the loop's."""

    async def check(key: str) -> None:
        made: dict[tuple[str, int], Shown] = {}
        taken_back: dict[tuple[str, int], Shown] = {}
        after = None
        while True:
            page = (await ask(client, CHARGES, key=key, after=after))["tenant"]["charges"]
            for node in page["nodes"]:
                side = taken_back if node["reversal"] else made
                place = node["factId"], node["revision"]
                assert place not in side
                assert node["units"] == "1"
                side[place] = (
                    node["balance"],
                    Decimal(node["amount"]["value"]),
                    node["rule"].rpartition("/")[2],
                )
            if not page["pageInfo"]["hasNextPage"]:
                break
            after = page["pageInfo"]["endCursor"]
        for place, shown in taken_back.items():
            assert made.pop(place) == shown
        standing: dict[str, list[Shown]] = defaultdict(list)
        for (fact_id, _), shown in made.items():
            standing[fact_id].append(shown)
        legs = expected(form)[key].legs
        assert standing == {
            id_: [charge_of(leg)] for id_, leg in legs.items() if leg is not None
        }, key

    await each(keys, check)
