"""What the demo's tenants have before anything happens: numbers, money and a key.

Owns the mutations that make them. Who they are is `businesses`'.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import httpx2
import msgspec

from api.cli.businesses import BUSINESSES, CAFE, SHOP
from api.cli.terminal import Failure
from api.cli.traffic import Business, month_start
from domain.periods import iso


async def found(client: httpx2.AsyncClient, now: int, scopes: Iterable[str]) -> tuple[str, str]:
    """Make the tenants with what they have; gives a key of the shop, with these scopes, and one
    that reads the cafe's invoices.
    """
    for business in BUSINESSES:
        await ask(client, _founding(business))
        if funding := _funding(business, now):
            await ask(client, funding)
    await ask(client, _agents(SHOP))
    keys = {SHOP.key: list(scopes), CAFE.key: ["billing:read"]}
    made = await ask(
        client,
        [
            mutation("apiKeyCreate", "secret", tenant=tenant, name="demo", scopes=may)
            for tenant, may in keys.items()
        ],
    )
    return str(made["m0"]["secret"]), str(made["m1"]["secret"])


def _founding(business: Business) -> list[str]:
    """The tenant itself, then its numbers; zone, currency and the rest are its plan's."""
    tenant = mutation("tenantCreate", key=business.key, name=business.name, plan=business.plan)
    return [
        tenant,
        *(
            mutation("numberCreate", tenant=business.key, channel=channel, address=address)
            for channel, address in business.numbers
        ),
    ]


def _agents(business: Business) -> list[str]:
    """The people who answer, called as facts call them."""
    return [
        mutation(
            "userCreate", tenant=business.key, name=agent.capitalize(), role=Word("AGENT"),
            email=f"{agent}@toko.example", externalId=agent, channels=["whatsapp"],
        )
        for agent in business.agents
    ]  # fmt: skip


def _funding(business: Business, now: int) -> list[str]:
    """Top-ups from the month's first instant on, so that they pay for all of it."""
    return [
        mutation(
            "topUpCreate",
            tenant=business.key,
            balance=balance,
            amount=amount,
            startsAt=iso(month_start(business, now)),
            note="the demo's",
            idempotencyKey=f"demo-{balance}",
        )
        for balance, amount in business.top_ups
    ]


def mutation(field: str, *asked: str, **inputs: object) -> str:
    """One mutation with its input."""
    return f"{field}(input: {_written(inputs)}) {{ {' '.join(asked)} userErrors {{ message }} }}"


class Word(str):
    """A value of an enum, which is written without quotes."""

    __slots__ = ()


def _written(value: object) -> str:
    """A value as GraphQL writes it: as JSON does, but for names and words."""
    match value:
        case Word():
            return value
        case Mapping():
            return f"{{{', '.join(f'{name}: {_written(each)}' for name, each in value.items())}}}"
        case list():
            return f"[{', '.join(map(_written, value))}]"
    return msgspec.json.encode(value).decode()


async def ask(client: httpx2.AsyncClient, mutations: Iterable[str]) -> dict[str, Any]:
    """The payloads of some mutations by their place, m0 and so on; Failure where one refuses."""
    fields = " ".join(f"m{place}: {mutation}" for place, mutation in enumerate(mutations))
    response = await client.post("/graphql", json={"query": f"mutation {{ {fields} }}"})
    answer = response.json()
    data: dict[str, Any] = answer.get("data") or {}
    wrong = answer.get("errors") or [
        error for payload in data.values() for error in payload["userErrors"]
    ]
    if response.status_code != 200 or wrong:
        raise Failure(f"the demo could not be prepared: {wrong or response.text}")
    return data
