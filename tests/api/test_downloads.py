"""Signed downloads: the link alone lets in, to what it names, for five minutes."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import asyncpg
import httpx2
import msgspec
import pytest
from starlette.applications import Starlette

from api.auditing import COLUMNS
from api.core import Core
from api.links import Link, path_of
from api.signing import Signing
from domain.periods import SECOND
from persistence import audit
from tests.api.conftest import KEY_CREATE, Ask, Json
from tests.conftest import Database

KeyOf = Callable[..., Awaitable[str]]

EXPORT = """
mutation ($input: AuditExportCreateInput!) {
  auditExportCreate(input: $input) { url expiresAt userErrors { field code } }
}
"""
EVER = {"instants": {"start": "2020-01-01T00:00:00Z", "end": "2999-01-01T00:00:00Z"}}


@pytest.fixture
def core(app: Starlette) -> Core:
    found: Core = app.state.core
    return found


async def link(ask: Ask, tenant: str | None = "one", key: str | None = None, **more: object) -> str:
    given = {"tenant": tenant, "range": EVER, **more}
    answer = await ask(EXPORT, input=given, **({} if key is None else {"key": key}))
    found = answer["data"]["auditExportCreate"]
    assert found["userErrors"] == []
    url: str = found["url"]
    return url


def table(text: str) -> list[Json]:
    return list(csv.DictReader(io.StringIO(text)))


async def test_a_link_gives_the_audit_as_a_table_and_as_lines(
    ask: Ask, tenants: list[str], client: httpx2.AsyncClient, key_of: KeyOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """All of it, oldest first, however many pages it takes; nobody else's."""
    monkeypatch.setattr(audit, "PAGE_ROWS", 2)
    key = await key_of("one", "audit:read")

    lines = await client.get(await link(ask, key=key, format="JSONL"))
    cells = await client.get(await link(ask, key=key))

    assert cells.status_code == 200
    assert {
        name: cells.headers[name]
        for name in ("content-type", "content-disposition", "cache-control",
                     "x-content-type-options", "referrer-policy")
    } == {
        "content-type": "text/csv; charset=utf-8",
        "content-disposition": 'attachment; filename="audit-one.csv"',
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }  # fmt: skip
    rows = table(cells.text)
    whats = ["tenantCreate", "apiKeyCreate", "auditExportCreate", "auditExportCreate"]
    assert [row["what"] for row in rows] == whats
    assert tuple(rows[0]) == COLUMNS
    assert rows[0]["tenant"] == "one"
    assert json.loads(rows[0]["after"])["key"] == "one"
    told = [json.loads(line) for line in lines.text.splitlines()]
    assert [each["what"] for each in told] == whats[:-1]
    assert [each["id"] for each in told] == [row["id"] for row in rows[:-1]]
    assert (told[0]["before"], told[0]["after"]["plan"]) == (None, "omnichannel-idr")
    everybodys = table((await client.get(await link(ask, None))).text)
    assert [row["tenant"] for row in everybodys if row["what"] == "tenantCreate"] == ["one", "two"]
    head = await client.head(await link(ask))
    assert (head.status_code, head.content) == (200, b"")


async def test_a_link_is_taken_as_it_was_made_and_while_it_lasts(
    ask: Ask, tenants: list[str], client: httpx2.AsyncClient, core: Core
) -> None:
    url = await link(ask)
    body, _, signature = url.rpartition("/")[2].partition(".")
    says = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = base64.urlsafe_b64encode(json.dumps([*says[:1], None, *says[2:]]).encode())
    elsewhere = Signing("x" * 32)
    whole = Link(
        object="audit", tenant_id=None, since=0, until=1 << 60, format="csv", name="a",
        expires_at=1 << 60,
    )  # fmt: skip
    assert (await client.get(url)).status_code == 200

    wrong = [
        f"{body}x.{signature}",
        f"{body}.{signature[:-1]}",
        f"{body}.{signature[::-1]}",
        f"{body}.",
        f"{body}",
        f".{signature}",
        "x" * 5_000,
        "é.é",
        f"{forged.decode().rstrip('=')}.{signature}",
        path_of(elsewhere, whole).rpartition("/")[2],
    ]
    answers = [await client.get(f"/v1/downloads/{each}") for each in wrong]
    core.clock.offset += 300 * SECOND
    late = await client.get(url)

    problems = [answer.json() for answer in answers]
    assert [each["code"] for each in problems] == ["FORBIDDEN"] * len(wrong)
    assert {each["detail"] for each in problems} == {
        "this link is not one of ours: ask for a new one"
    }
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}
    assert (late.status_code, late.json()["code"]) == (410, "GONE")
    assert late.json()["detail"] == "this link has ended: ask for a new one"
    assert (await client.get(f"/v1/downloads/{wrong[0]}")).status_code == 403


async def test_what_is_signed_and_unknown_is_no_link(
    client: httpx2.AsyncClient, core: Core
) -> None:
    """A link of another release, whatever it names."""
    now = core.clock.now()
    other = Link(
        object="later", tenant_id=7, since=0, until=1, format="pdf", name="x",
        expires_at=now + SECOND,
    )  # fmt: skip
    body = base64.urlsafe_b64encode(msgspec.json.encode(["audit"])).decode()
    signed = f"/v1/downloads/{body}.{core.signing.sign('downloads', body)}"
    for path in (path_of(core.signing, other), signed):
        assert (await client.get(path)).status_code == 403


async def test_who_gets_a_link(
    ask: Ask, tenants: list[str], key_of: KeyOf, client: httpx2.AsyncClient
) -> None:
    """Who may read it: its tenant's with the scope, operators; nobody hears of another tenant."""
    own = await key_of("one", "audit:read")
    for given, key, code in (
        ({"tenant": "one", "range": EVER}, await key_of("one", "billing:read"), "FORBIDDEN"),
        ({"tenant": None, "range": EVER}, own, "FORBIDDEN"),
        ({"tenant": "one", "range": {"instants": {
            "start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}}}, own,
         "BAD_USER_INPUT"),
    ):  # fmt: skip
        (error,) = (await ask(EXPORT, key=key, input=given))["errors"]
        assert error["extensions"]["code"] == code
    answer = await ask(EXPORT, key=own, input={"tenant": "two", "range": EVER})
    unknown = await ask(EXPORT, key=own, input={"tenant": "three", "range": EVER})
    assert answer["data"] == unknown["data"]
    assert answer["data"]["auditExportCreate"]["userErrors"] == [
        {"field": "tenant", "code": "NOT_FOUND"}
    ]
    assert urlsplit(await link(ask, key=own)).path.startswith("/v1/downloads/")


async def test_no_cell_is_run_by_a_spreadsheet(
    ask: Ask, tenants: list[str], client: httpx2.AsyncClient, database: Database
) -> None:
    """Whatever a cell begins with; the lines of JSON have it as it is."""
    written = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "x=1"]
    owner = await asyncpg.connect(database.owner_url)
    for text in written:
        await owner.execute(
            "insert into audit (tenant_id, at, actor, actor_kind, what, subject, after)"
            " select tenant_id, 1700000000000000, $1, 'key', $1, array[$1], to_jsonb($1)"
            " from tenants where key = 'one'",
            text,
        )
    await owner.close()

    rows = table((await client.get(await link(ask))).text)[: len(written)]
    lines = (await client.get(await link(ask, format="JSONL"))).text.splitlines()

    for column in ("actor", "what", "subject"):
        assert [row[column] for row in rows] == [f"'{text}" for text in written[:-1]] + ["x=1"]
    assert [json.loads(line)["what"] for line in lines[: len(written)]] == written


async def test_a_key_is_made_known_by_the_answer_alone(
    ask: Ask, tenants: list[str], client: httpx2.AsyncClient
) -> None:
    """No export has a secret."""
    wanted = {"tenant": "one", "name": "k", "scopes": ["usage:read"]}
    secret = (await ask(KEY_CREATE, input=wanted))["data"]["apiKeyCreate"]["secret"]
    text = (await client.get(await link(ask, None, format="JSONL"))).text
    assert secret.split("_")[1] in text
    assert secret.split("_", 2)[2] not in text


async def test_whoever_has_a_link_spends_its_tenants_limit(
    ask: Ask, tenants: list[str], client: httpx2.AsyncClient, core: Core,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A wrong link spends the address's, and ends there while right ones go on.

    The limits' clock stands still: on a slow machine they would fill up again meanwhile.
    """
    now = core.gate.rates._now()
    monkeypatch.setattr(core.gate.rates, "_now", lambda: now)
    url = await link(ask, tenant="one")
    right = await client.get(url)
    assert right.status_code == 200
    assert re.findall('"([a-z]+)";', right.headers["ratelimit"]) == ["tenant"]
    wrong = [await client.get(f"/v1/downloads/x.{number}") for number in range(62)]
    assert [each.status_code for each in wrong] == [403] * 60 + [429] * 2
    assert (await client.get(url)).status_code == 200
