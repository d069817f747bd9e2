"""Faults of a whole request: problems that say what would be right, and nothing is read.

Shapes, content types, encodings, sizes, clients that go away, and who may send.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.wire.client import JSON, LINES, post, problem, refused, until
from tests.wire.conftest import House
from tests.wire.spelling import GONE, NUMBER, event, in_lines, in_list


async def faulty(
    house: House, status: int, code: str, words: str, /, **request: Any
) -> httpx2.Response:
    """Send a request that is at fault as a whole, and look at the problem (RFC 9457)."""
    request["headers"] = {"content-type": JSON} | request.get("headers", {})
    response = await house.client.post(request.pop("path", "/v1/events"), **request)
    problem(response, status, code, words)
    return response


SINGLE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
BODIES: list[tuple[str, bytes, str]] = [
    ("empty", b"", JSON),
    ("blank", b" \n", JSON),
    ("words", b"nonsense", JSON),
    ("cut off object", b'{"id":"a"', JSON),
    ("cut off list", b'[{"id":"a"}', JSON),
    ("cut off in a text", b'[{"id":"a', JSON),
    ("list with a comma too many", b"[1,]", JSON),
    ("list of nothing", b"[,]", JSON),
    ("list of words", b"[nonsense]", JSON),
    ("two lists", b"[][]", JSON),
    ("two objects", b"{}{}", JSON),
    ("list and more", b"[] x", JSON),
    ("object with a comma too many", b'{"id":"a",}', JSON),
    ("single quotes", b"{'id':'a'}", JSON),
    ("closed by another", b'[{"id":"a"]', JSON),
    ("10,000 levels, never closed", b"[" * 10_000, JSON),
    ("10,000 objects, never closed", b'{"a":' * 10_000, JSON),
    ("a number", b"7", JSON),
    ("null", b"null", JSON),
    ("a text", b'"x"', JSON),
    ("UTF-16", '[{"id":"a"}]'.encode("utf-16"), JSON),
    ("byte order mark", b"\xef\xbb\xbf[]", JSON),
    ("gzip, unannounced", gzip.compress(b"[]"), JSON),
    ("form", b"id=a&source=b", JSON),
    ("a list as one event", b"[]", SINGLE),
    ("an event as a list", event(), BATCH),
    ("a number as a list", b"7", BATCH),
]


@pytest.mark.parametrize(("what", "body", "kind"), BODIES, ids=[row[0] for row in BODIES])
async def test_a_body_of_another_shape_is_a_problem(
    house: House, what: str, body: bytes, kind: str
) -> None:
    async with house.unmoved():
        await faulty(
            house, 400, "BAD_REQUEST", "the body is not ",
            content=body, headers={"content-type": kind},
        )  # fmt: skip
        if kind == JSON:
            await faulty(
                house, 400, "BAD_REQUEST", "the body is not ", content=body, path="/v1/authorize"
            )


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain", "text/json", "application/xml", "multipart/form-data; boundary=x", "",
        "application/x-www-form-urlencoded", "application/jsonp", "*/*", "nonsense", "\xff",
    ],
)  # fmt: skip
async def test_another_content_type_is_a_problem_that_names_the_right_ones(
    house: House, kind: str
) -> None:
    async with house.unmoved():
        response = await faulty(
            house, 415, "UNSUPPORTED_MEDIA_TYPE", "application/x-ndjson",
            content=in_list([event()]), headers={"content-type": kind.encode("latin-1")},
        )  # fmt: skip
        for right in (SINGLE, BATCH, JSON):
            assert right in response.json()["detail"]


@pytest.mark.parametrize(
    "kind",
    ["application/json; charset=utf-8", "Application/JSON", "application/json ;x=y", BATCH],
)
async def test_content_types_are_read_as_http_means_them(house: House, kind: str) -> None:
    (result,) = await post(house.client, in_list([event()]), kind)
    assert result["status"] == "accepted"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "x", "identity, gzip"])
async def test_an_encoded_body_is_a_problem(house: House, coding: str) -> None:
    body = gzip.compress(in_list([event()])) if coding == "gzip" else in_list([event()])
    async with house.unmoved():
        response = await faulty(
            house, 415, "UNSUPPORTED_MEDIA_TYPE", "identity",
            content=body, headers={"content-encoding": coding},
        )  # fmt: skip
        assert response.headers["accept-encoding"] == "identity"


async def test_identity_is_no_encoding(house: House) -> None:
    headers = {"content-type": JSON, "content-encoding": "Identity"}
    response = await house.client.post("/v1/events", content=event(), headers=headers)
    assert response.json()["results"][0]["status"] == "accepted"


async def test_an_empty_list_is_answered_with_one(house: House) -> None:
    async with house.unmoved():
        for body, kind in ((b"[]", JSON), (b" [ ] ", BATCH), (b"", LINES), (b"\n \r\n", LINES)):
            assert await post(house.client, body, kind) == []


@pytest.mark.parametrize("kind", [JSON, LINES])
async def test_more_than_ten_thousand_items_are_too_many(house: House, kind: str) -> None:
    events = [b"{}"] * 10_001
    body = in_list(events) if kind == JSON else in_lines(events)
    async with house.unmoved():
        await faulty(
            house, 413, "PAYLOAD_TOO_LARGE", "10000",
            content=body, headers={"content-type": kind},
        )  # fmt: skip
        results = await post(house.client, body[:-4] + b"]" if kind == JSON else body[:-3], kind)
        assert Counter(result["reason"] for result in results) == {"missing_field": 10_000}


LIMIT = 8 * 1024 * 1024


async def test_a_body_of_the_limit_is_read(house: House) -> None:
    async with house.unmoved():
        for body in (b"[" + b" " * (LIMIT - 2) + b"]", b"[" + b"{" * (LIMIT - 1)):
            response = await house.client.post(
                "/v1/events", content=body, headers={"content-type": JSON}
            )
            assert response.status_code == (200 if body.endswith(b"]") else 400)


async def test_a_body_too_large_is_refused_whether_announced_or_streamed(house: House) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield b" " * (1024 * 1024)

    async with house.unmoved():
        for path in ("/v1/events", "/v1/authorize"):
            for content in (b" " * (LIMIT + 1), chunks()):
                await faulty(
                    house, 413, "PAYLOAD_TOO_LARGE", str(LIMIT), content=content, path=path
                )


@pytest.mark.parametrize("length", [LIMIT + 1, 10**15, 10**40])
async def test_what_is_announced_too_large_is_refused_before_it_is_sent(
    house: House, length: int
) -> None:
    async with house.unmoved():
        reader, writer = await dial(house)
        writer.write(head(house, f"Content-Length: {length}"))
        first = await reader.readline()
        assert first.split()[1] in (b"413", b"400")
        writer.close()


# A client that goes away.


async def dial(house: House) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = house.server.url.removeprefix("http://").partition(":")
    return await asyncio.open_connection(host, int(port))


def head(house: House, *lines: str, path: str = "/v1/events") -> bytes:
    sent = [
        f"POST {path} HTTP/1.1", "Host: test", f"Content-Type: {JSON}",
        f"Authorization: Bearer {house.server.operator_key}", *lines,
    ]  # fmt: skip
    return ("\r\n".join(sent) + "\r\n\r\n").encode()


async def answered(house: House, status: int) -> int:
    """How many requests for events have ended with `status`, by the process's own count."""
    page = (await house.client.get("/metrics")).text
    wanted = f'kuota_http_requests_total{{route="/v1/events",status="{status}"}} '
    found = [line for line in page.splitlines() if line.startswith(wanted)]
    return int(float(found[0].rpartition(" ")[2])) if found else 0


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_half_a_body_is_no_body(house: House, framing: str) -> None:
    body = in_list([event() for _ in range(10)])
    async with house.unmoved():
        before = await answered(house, 499)
        _, writer = await dial(house)
        if framing == "length":
            writer.write(head(house, f"Content-Length: {len(body) + 1}") + body)
        else:
            sent = b"%x\r\n%b\r\n" % (len(body), body)
            writer.write(head(house, "Transfer-Encoding: chunked") + sent)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        await until(lambda: answered(house, 499), lambda count: count > before)
    assert (await house.client.get("/healthz")).status_code == 200


async def test_a_client_that_does_not_wait_for_the_answer_loses_nothing(house: House) -> None:
    events = [event() for _ in range(10)]
    body = in_list(events)
    before = await house.facts()
    _, writer = await dial(house)
    writer.write(head(house, f"Content-Length: {len(body)}") + body)
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await until(house.facts, lambda count: count > before)
    results = await post(house.client, body)
    assert Counter(result["status"] for result in results) == {"duplicate": 10}
    assert await house.facts() == before + 10


# Who may send.


@pytest.mark.parametrize(
    ("what", "authorization"),
    [
        ("none", None),
        ("wrong", "Bearer kuota_aaaaaaaa_" + "x" * 32),
        ("no key of ours", "Bearer hunter2"),
        ("empty", "Bearer"),
        ("another scheme", "Basic b3BlcmF0b3I6eA=="),
        ("nothing but bytes", b"Bearer \xff\xfe"),
        ("endless", "Bearer " + "x" * 10_000),
    ],
)
async def test_without_a_right_key_nothing_is_read(
    house: House, what: str, authorization: str | bytes | None
) -> None:
    headers = {"content-type": JSON}
    if authorization is not None:
        headers["authorization"] = authorization  # type: ignore[assignment]
    async with house.unmoved(), httpx2.AsyncClient(trust_env=False) as client:
        response = await client.post(
            f"{house.server.url}/v1/events", content=event(), headers=headers
        )
        problem(response, 401, "UNAUTHENTICATED", "")
        assert response.headers["www-authenticate"].startswith("Bearer")
        assert "hunter2" not in response.text


async def test_a_key_without_the_scope_may_not_send(house: House) -> None:
    reading = await house.key("one", "usage:read", "billing:read")
    async with house.unmoved():
        response = await faulty(
            house, 403, "FORBIDDEN", "events:write", content=event(), headers=reading
        )
        assert "www-authenticate" not in response.headers


async def test_another_tenant_is_as_good_as_none(house: House) -> None:
    """EV-6: a tenant's key cannot tell whether another tenant exists."""
    own = await house.key("two", "events:write")
    number = {"data.number": "+62800000002"}
    subjects = ("one", "nobody")
    async with house.unmoved():
        response = await house.client.post(
            "/v1/events",
            content=in_list(event({"id": "x", "subject": subject}) for subject in subjects),
            headers={"content-type": JSON, **own},
        )
        there, nowhere = response.json()["results"]
        refused(there, "unknown_tenant", "subject")
        assert json.dumps(there).replace("one", "nobody") == json.dumps(nowhere)
        response = await house.client.post(
            "/v1/events",
            content=in_list(
                event({"subject": "two", "data.number": number}) for number in (NUMBER, "+62800009")
            ),
            headers={"content-type": JSON, **own},
        )
        for result in response.json()["results"]:
            refused(result, "unknown_number", "data.number")
    response = await house.client.post(
        "/v1/events",
        content=in_list([event({"subject": GONE, **number}), event({"subject": "two", **number})]),
        headers={"content-type": JSON, **own},
    )
    assert [result["status"] for result in response.json()["results"]] == ["accepted", "accepted"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_events_are_posted_and_nothing_else(house: House, method: str) -> None:
    response = await house.client.request(method, "/v1/events", content=event())
    problem(response, 405, "METHOD_NOT_ALLOWED", method)
    assert response.headers["allow"] == "POST"
