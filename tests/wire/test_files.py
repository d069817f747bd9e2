"""Files of invoices over real connections: what is sent, and what is not, down to the last byte."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator
from datetime import datetime
from urllib.parse import urlsplit

import pytest

from api.invoicing.exporting import Exporting
from domain.periods import MINUTE, instant, moment
from persistence import tasks
from persistence.audit import COMMAND, acting_as
from persistence.door import Door
from tests.api.filing import filed
from tests.wire.client import ask, operate
from tests.wire.conftest import House
from tests.wire.traffic import CLOCK

NOW = instant(datetime.fromisoformat(CLOCK))

INVOICES = """{ tenant(key: "one") { invoices(first: 1) { nodes {
    number download(format: PDF) { url name } xml: download(format: XML) { url } } } } }"""


@pytest.fixture
async def door(house: House) -> AsyncIterator[Door]:
    async with Door.open(house.variables["KUOTA_DATABASE_URL"]) as door:
        yield door


async def sent(house: House, method: str, path: str, **headers: str) -> tuple[str, bytes]:
    """The head and the body of an answer, as they came; the connection is closed behind it."""
    parts = urlsplit(str(house.client.base_url))
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    lines = [f"{method} {path} HTTP/1.1", "host: x", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    async with asyncio.timeout(10):
        said = await reader.read()
    writer.close()
    head, _, body = said.partition(b"\r\n\r\n")
    return head.decode().lower(), body


async def test_a_document_and_a_year_as_they_are_sent(house: House, door: Door) -> None:
    """HEAD and 304 have no body; what is sent is as long as it says it is."""
    owner = house.owner
    tenant_id = await owner.fetchval("select tenant_id from tenants where key = 'one'")
    record = await filed(door, tenant_id, NOW)
    answer = await ask(house.client, INVOICES)
    (found,) = answer["tenant"]["invoices"]["nodes"]
    assert (found["number"], found["xml"]) == (record.number, None)
    assert found["download"]["name"] == f"{record.number}.pdf"
    path = urlsplit(found["download"]["url"]).path

    head, body = await sent(house, "GET", path)
    assert head.startswith("http/1.1 200")
    assert f"content-length: {len(body)}\r\n" in head + "\r\n"
    assert body.startswith(b"%PDF-")
    tag = head.partition("etag: ")[2].split("\r\n")[0]
    for method, headers, status in (
        ("HEAD", {}, 200), ("GET", {"if_none_match": tag}, 304),
        ("HEAD", {"if_none_match": tag}, 304), ("GET", {"range": "bytes=0-9"}, 200),
    ):  # fmt: skip
        told, rest = await sent(house, method, path, **headers)
        assert told.startswith(f"http/1.1 {status}"), told
        assert f"etag: {tag}" in told
        assert rest == (body if (method, status) == ("GET", 200) else b"")
        assert "content-length: 0" not in told

    made = await operate(
        house.client, "exportCreate", "export { id state done total }",
        tenant="one", year=moment(NOW).year, idempotencyKey="a year",
    )  # fmt: skip
    with acting_as(COMMAND):
        for task in await tasks.take(door, tasks.EXPORT, NOW + MINUTE, lease=MINUTE, limit=9):
            await Exporting(door, lambda: NOW).handle(task)
    wanted = f"""{{ tenant(key: "one") {{ export(id: "{made["export"]["id"]}") {{
        state done total size download {{ url name }} }} }} }}"""
    done = (await ask(house.client, wanted))["tenant"]["export"]
    while done["state"] != "DONE":  # the process beside this one had it first
        done = (await ask(house.client, wanted))["tenant"]["export"]
    assert (done["done"], done["total"]) == (1, 1)
    assert done["download"]["name"] == f"invoices-one-{moment(NOW).year}.zip"
    path = urlsplit(done["download"]["url"]).path
    bare, none = await sent(house, "HEAD", path)
    head, file = await sent(house, "GET", path)
    assert none == b""
    assert len(file) == int(done["size"])
    assert f"content-length: {len(file)}" in head
    assert f"content-length: {len(file)}" in bare
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        assert archive.testzip() is None
        assert archive.read(f"{record.number}.pdf") == body
    tag = head.partition("etag: ")[2].split("\r\n")[0]
    assert (await sent(house, "GET", path, if_none_match=tag))[0].startswith("http/1.1 304")
