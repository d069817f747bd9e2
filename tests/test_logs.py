"""The log has who and which request, and never a credential or somebody's phone."""

from __future__ import annotations

import json
import logging
from typing import Any

import httpx2
import pytest

from api import logs
from api.app import create_app
from api.settings import Clock, Settings
from api.signing import Signing
from tests.api.conftest import KEY_CREATE, NUMBER_CREATE, TENANT_CREATE
from tests.conftest import Database, on

SECRET = "a secret of this installation, 32+"
KEY = "the operator's key of this test"
PHONE = "6281155512345"
WRITTEN = "+62 811-5551-2345"
HANDLE = "ada@customers.example"
FORGED = "kuota_abcdefgh_" + "A" * 32
TOKEN = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ."


def event(id: str, contact: str, **more: Any) -> dict[str, Any]:
    data = {"number": "+62800000001", "contact": contact, "category": "service"}
    return {
        "specversion": "1.0", "id": id, "source": "crm", "type": "message.delivered",
        "subject": "shop", "time": "2026-11-01T10:00:00Z", **more,
        "data": {**data, **more.get("data", {})},
    }  # fmt: skip


async def test_what_is_refused_and_what_breaks_says_nothing_of_people(
    database: Database, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Every way a fact or a credential is not taken, and faults nobody expected."""
    caplog.set_level(logging.INFO)
    settings = Settings(
        database_url=database.app_url, redis_url=redis_url, operator_key=KEY, secret=SECRET
    )
    app = create_app(settings, Clock())
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://kuota") as client:
            key = await prepared(client)
            secret = key.split("_", 2)[2]  # it may have others in it
            await facts(client, key)
            await credentials(client, key)
            await on(
                database.owner_url,
                f"alter table contacts add constraint of_test check (party <> '{PHONE}') not valid",
                "drop table actions cascade",
            )
            await faults(client, key, database.owner_url)
    line = logs.Formatter("%(name)s %(message)s").format
    lines = [line(record) for record in caplog.records]
    text = "\n".join(lines)

    digest = logs.veil.contact(WRITTEN)
    assert "a fact cannot be stored" in text, text
    for hidden in (PHONE, PHONE[2:], WRITTEN, HANDLE, FORGED, TOKEN, KEY, SECRET, secret):
        assert hidden not in text, text
    assert digest.startswith("contact:")
    (failed,) = [line for line in lines if "field failed" in line]
    assert "request_id='of-a-field'" in failed
    assert f"actor='key {key.split('_')[1]}'" in failed
    (broke,) = [line for line in lines if "request failed" in line]
    assert "actor='operator'" in broke
    assert "request_id='of-a-route'" in broke


async def prepared(client: httpx2.AsyncClient) -> str:
    """A tenant with a number; the secret of a key of it."""
    headers = {"authorization": f"Bearer {KEY}"}

    async def ask(query: str, **input: Any) -> Any:
        body = {"query": query, "variables": {"input": input}}
        answer = (await client.post("/graphql", json=body, headers=headers)).json()
        assert "errors" not in answer, answer
        return answer["data"]

    await ask(TENANT_CREATE, key="shop", plan="omnichannel-idr")
    await ask(NUMBER_CREATE, tenant="shop", channel="whatsapp", address="+62800000001")
    scopes = ["events:write", "billing:read", "usage:read"]
    made = await ask(KEY_CREATE, tenant="shop", name="k", scopes=scopes)
    return str(made["apiKeyCreate"]["secret"])


async def facts(client: httpx2.AsyncClient, key: str) -> None:
    """Facts that are refused, one for each reason that looks at what they say."""
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    wrong = [
        event("1", WRITTEN, time="2026-11-01T10:00:00"),
        event("2", WRITTEN, time="2999-01-01T00:00:00Z"),
        event("3", f"{WRITTEN}0000000000"),
        event("4", WRITTEN, data={"number": PHONE}),
        event("5", WRITTEN, type="message.unheard"),
        event("6", WRITTEN, subject="nobody"),
        event("7", WRITTEN, data={"group": {"id": HANDLE, "members": [PHONE, HANDLE]}}),
        event("8", HANDLE),
        event("9", WRITTEN, source=PHONE),
        event("9", WRITTEN, source=PHONE, data={"category": "marketing"}),
        event(PHONE, WRITTEN, data={"text": f"\ud800 {PHONE}"}),
    ]
    for body in (
        *(json.dumps([each]) for each in wrong), f'[{{"contact": "{WRITTEN}"', f'"{PHONE}"',
    ):  # fmt: skip
        answer = await client.post("/v1/events", content=body, headers=headers)
        assert answer.status_code in (200, 400), answer.text


async def credentials(client: httpx2.AsyncClient, key: str) -> None:
    """Credentials that are wrong, wherever one is sent."""
    other = key[:-1] + ("x" if key[-1] != "x" else "y")
    for wrong in (f"Bearer {FORGED}", f"Bearer {other}", f"Bearer {TOKEN}", f"Basic {KEY}"):
        for path, body in (("/v1/events", [event("1", WRITTEN)]), ("/graphql", {"query": "{x}"})):
            answer = await client.post(path, json=body, headers={"authorization": wrong})
            assert answer.status_code == 401
    await client.get(f"/v1/downloads/{FORGED}.x")


async def faults(client: httpx2.AsyncClient, key: str, owner_url: str) -> None:
    """What nobody expects: a row that cannot be kept, a table that is not there."""
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    body = json.dumps([event("10", WRITTEN)])
    answer = await client.post("/v1/events", content=body, headers=headers)
    assert answer.json()["results"][0]["status"] == "refused"
    words = '{ tenant(key: "shop") { topUps(first: 1) { nodes { note } } } } # '
    query = {"query": words + PHONE}
    named = {**headers, "x-request-id": "of-a-field"}
    answer = await client.post("/graphql", json=query, headers=named)
    assert answer.json()["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    await on(owner_url, "alter table tenants rename to gone")
    headers = {
        "authorization": f"Bearer {KEY}", "content-type": "application/json",
        "x-request-id": "of-a-route",
    }  # fmt: skip
    body = json.dumps([event("11", WRITTEN, subject="unseen")])
    answer = await client.post("/v1/events", content=body, headers=headers)
    assert answer.status_code == 500


def test_what_others_log_is_hidden_too() -> None:
    """Lines of servers and drivers, whatever they quote; what is no contact stays."""
    logs.configure(Signing(SECRET).key(logs.PURPOSE), secrets=(KEY, SECRET, None))
    contact = logs.veil.contact(PHONE)
    told = {
        f"from {WRITTEN}, to {PHONE}.": f"from {contact}, to {contact}.",
        f"Key (party)=({PHONE})": f"Key (party)=({contact})",
        f"DETAIL:  Key (party)=(ada) exists\nCONTEXT: {PHONE}": (
            f"DETAIL:  (hidden)\nCONTEXT: {contact}"
        ),
        "invalid input for query argument $5: ['ada'] (a list)": (
            "invalid input for query argument $5: (hidden)"
        ),
        f"{HANDLE} wrote": f"{logs.veil.contact(HANDLE)} wrote",
        f"'authorization': 'Bearer {TOKEN}'": "'authorization': 'Bearer (hidden)'",
        f"token {TOKEN}": "token (hidden)",
        f"{FORGED} and {KEY}, {SECRET}": "(hidden) and (hidden), (hidden)",
        "postgresql://kuota:pass@db:5432/x": "postgresql://(hidden)@db:5432/x",
        "GET /v1/downloads/WyJh.c2ln HTTP": "GET /v1/downloads/(hidden) HTTP",
        "GET /sign-in?code=abc_-d&x=1": "GET /sign-in?code=(hidden)&x=1",
        "2026-11-22 08:07:26,123 127.0.0.1:54321 role kuota_system line 1234567": (
            "2026-11-22 08:07:26,123 127.0.0.1:54321 role kuota_system line 1234567"
        ),
    }
    line = logs.Formatter("%(message)s").format
    for text, shown in told.items():
        record = logging.LogRecord("uvicorn.error", logging.INFO, "", 0, text, None, None)
        assert line(record) == shown
    logs.configure(b"another", plain=True)
    assert logs.veil.over(f"{WRITTEN} {FORGED}") == f"{WRITTEN} (hidden)"
    assert logs.veil.contact(PHONE) != contact
    logs.configure()
