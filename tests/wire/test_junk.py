"""Whatever comes in over the socket has a clear answer, and what is refused moves nothing.

Tables of what is wrong, by class, each sent in a list, in lines and alone; EV-1, EV-2, EV-3, EV-6,
PR-6 and PR-10. The words of a reason are those of `running.md`.
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

from tests.conftest import said
from tests.wire.client import JSON, LINES, Json, ask, post, until
from tests.wire.conftest import House
from tests.wire.spelling import CONTACT, GONE, NUMBER, Change, Text, event, in_lines, in_list

#: What is wrong, how an event gets it, and the reason and path of the refusal.
Row = tuple[str, Change, str, str]

DELIVERED = {"type": "message.delivered"}
CALL = {
    "type": "call.ended", "data.channel": "voice", "data.number": "+62211234567",
    "data.direction": "in", "data.seconds": 60,
}  # fmt: skip
MAIL = {
    "type": "email.sent", "data.channel": "email", "data.number": "box@example.com",
    "data.contact": "ana@example.com",
}  # fmt: skip
USAGE = {
    "type": "usage.recorded", "data.channel": "bot", "data.number": "bot-1",
    "data.contact": GONE, "data.meter": "calls", "data.quantity": "1",
}  # fmt: skip
MEGABYTE = "x" * 1_000_000
TEN_KB = "x" * 10_240
DEEP = Text("[" * 10_000 + "]" * 10_000)
ENDLESS = Text("1e9999")

ATTRIBUTES: list[Row] = [
    ("no id", {"id": GONE}, "missing_field", "id"),
    ("no source", {"source": GONE}, "missing_field", "source"),
    ("no type", {"type": GONE}, "missing_field", "type"),
    ("null as id", {"id": None}, "invalid_field", "id"),
    ("empty id", {"id": ""}, "invalid_field", "id"),
    ("empty source", {"source": ""}, "invalid_field", "source"),
    ("number as id", {"id": 7}, "invalid_field", "id"),
    ("list as source", {"source": ["wire"]}, "invalid_field", "source"),
    ("object as type", {"type": {}}, "invalid_field", "type"),
    ("number as time", {"time": 1_793_000_000}, "invalid_field", "time"),
    ("boolean as subject", {"subject": True}, "invalid_field", "subject"),
    ("number as specversion", {"specversion": 1.0}, "invalid_field", "specversion"),
    ("specversion 2.0", {"specversion": "2.0"}, "invalid_field", "specversion"),
    ("specversion 0.3", {"specversion": "0.3"}, "invalid_field", "specversion"),
    ("id of 10 KB", {"id": TEN_KB}, "too_large", "id"),
    ("source of 10 KB", {"source": TEN_KB}, "too_large", "source"),
    ("subject of 10 KB", {"subject": TEN_KB}, "unknown_tenant", "subject"),
    ("NUL in the id", {"id": "a\0b"}, "invalid_field", "id"),
    ("NUL in the source", {"source": "\0"}, "invalid_field", "source"),
    ("NUL in the subject", {"subject": "one\0"}, "unknown_tenant", "subject"),
    ("escape in the id", {"id": "\x1b[2J"}, "invalid_field", "id"),
    ("separator in the id", {"id": "a\x1eb\x1d"}, "invalid_field", "id"),
    ("DEL in the subject", {"subject": "one\x7f"}, "unknown_tenant", "subject"),
    ("id twice", {"*": '"id":"other"'}, "invalid_field", "id"),
    ("time twice", {"*": '"time":"2026-11-06T00:00:00Z"'}, "invalid_field", "time"),
    ("data twice", {"*": '"data":{}'}, "invalid_field", "data"),
    ("unknown type", {"type": "message.sung"}, "unknown_type", "type"),
    ("type of another case", {"type": "Message.Received"}, "unknown_type", "type"),
    ("empty type", {"type": ""}, "unknown_type", "type"),
    ("type of 10 KB", {"type": TEN_KB}, "unknown_type", "type"),
    ("NUL as type", {"type": "\0"}, "unknown_type", "type"),
    ("unknown tenant", {"subject": "nobody"}, "unknown_tenant", "subject"),
    ("tenant in another case", {"subject": "One"}, "unknown_tenant", "subject"),
    ("quoted tenant", {"subject": "one' or '1'='1"}, "unknown_tenant", "subject"),
    ("no tenant for an operator", {"subject": GONE}, "missing_field", "subject"),
    ("empty tenant for an operator", {"subject": ""}, "missing_field", "subject"),
]

DATA: list[Row] = [
    ("no data", {"data": GONE}, "missing_field", "data"),
    ("null as data", {"data": None}, "missing_field", "data"),
    ("data as base64", {"data": GONE, "data_base64": "e30="}, "missing_field", "data"),
    ("list as data", {"data": []}, "invalid_field", "data"),
    ("text as data", {"data": "x"}, "invalid_field", "data"),
    ("number as data", {"data": 7}, "invalid_field", "data"),
    ("boolean as data", {"data": False}, "invalid_field", "data"),
    ("empty data", {"data": {}}, "missing_field", "data.number"),
    ("a field twice", {"data.x": Text('1,"x":2')}, "invalid_field", "data"),
    ("a field twice, deep", {"data.x": Text('[{"y":1,"y":1}]')}, "invalid_field", "data"),
    ("65 levels", {"data.x": Text("[" * 64 + "]" * 64)}, "too_large", "data"),
    ("many digits", {"data.x": Text("9" * 5_000)}, "number_out_of_range", "data"),
    ("many decimals", {"data.x": Text("0." + "9" * 5_000)}, "number_out_of_range", "data"),
    ("endless exponent", {"data.x": Text("1e99999999999999999999")}, "number_out_of_range", "data"),
    ("no number", {"data.number": GONE}, "missing_field", "data.number"),
    ("null as number", {"data.number": None}, "missing_field", "data.number"),
    ("digits as number", {"data.number": 62800000001}, "invalid_field", "data.number"),
    ("unknown number", {"data.number": "+62800000009"}, "unknown_number", "data.number"),
    ("another tenant's", {"data.number": "+62800000002"}, "unknown_number", "data.number"),
    ("no number at all", {"data.number": "x"}, "unknown_number", "data.number"),
    ("empty number", {"data.number": ""}, "unknown_number", "data.number"),
    ("NUL as number", {"data.number": "\0"}, "unknown_number", "data.number"),
    ("number of 10 KB", {"data.number": TEN_KB}, "unknown_number", "data.number"),
    ("unknown channel", {"data.channel": "fax"}, "invalid_field", "data.channel"),
    ("channel in another case", {"data.channel": "WhatsApp"}, "invalid_field", "data.channel"),
    ("list as channel", {"data.channel": ["whatsapp"]}, "invalid_field", "data.channel"),
    ("channel mismatch", {"data.channel": "sms"}, "channel_mismatch", "data.channel"),
    ("mismatch", {"data.number": "12345"}, "channel_mismatch", "data.channel"),
    ("wrong direction", {"data.direction": "out"}, "invalid_field", "data.direction"),
    ("no direction", {**CALL, "data.direction": GONE}, "missing_field", "data.direction"),
    ("up", {**CALL, "data.direction": "up"}, "invalid_field", "data.direction"),
    ("unknown entry", {"data.entry": "door"}, "invalid_field", "data.entry"),
    ("object as category", {**DELIVERED, "data.category": {}}, "invalid_field", "data.category"),
    ("NUL in the category", {"data.category": "\0"}, "invalid_field", "data.category"),
    ("NUL in the user", {"data.user": "a\0"}, "invalid_field", "data.user"),
    ("separator in the broadcast", {"data.broadcast": "\x1e"}, "invalid_field", "data.broadcast"),
    ("message id of 10 KB", {"data.message_id": TEN_KB}, "too_large", "data.message_id"),
    ("number as message id", {"data.message_id": 7}, "invalid_field", "data.message_id"),
    ("text as group", {"data.group": "g"}, "invalid_field", "data.group"),
    ("group without id", {"data.group": {"members": []}}, "invalid_field", "data.group"),
    ("NUL as group", {"data.group": {"id": "\0"}}, "invalid_field", "data.group.id"),
    ("text as members", {"data.group": {"id": "g", "members": "x"}}, "invalid_field",
     "data.group.members"),
    ("a member without code", {"data.group": {"id": "g", "members": [CONTACT, "0811"]}},
     "invalid_contact", "data.group.members[1]"),
    ("template as service", {**DELIVERED, "data.template": "t", "data.category": "service"},
     "invalid_field", "data.category"),
    ("free text as marketing", {**DELIVERED, "data.category": "marketing"}, "invalid_field",
     "data.template"),
    ("text as answered", {**CALL, "data.answered": "yes"}, "invalid_field", "data.answered"),
    ("no meter", {**USAGE, "data.meter": GONE}, "missing_field", "data.meter"),
]  # fmt: skip

CONTACTS: list[Row] = [
    ("none", {"data.contact": GONE}, "missing_field", "data.contact"),
    ("null", {"data.contact": None}, "missing_field", "data.contact"),
    *(
        (str(contact), {"data.contact": contact}, "invalid_contact", "data.contact")
        for contact in (
            6281100010001, ["+6281100010001"], {}, True, "", " ", "+", "abc", "ana@example.com",
            "081100010001", "+081100010001", "006281100010001", "81100010001x",
            "+62 0811 0001 0001", "+62", "+6281", "+628110001000100000", "9" * 40, "+99912345678", "+62811\0001000",
            "+6281\x1e1000", "６２８１１０００１０００１", "+62811-abcd", TEN_KB,
            "+62811,0001,0001", "+62811000100\u200b01", "\u0666\u0662\u0668\u0661\u0661",
        )
    ),
    ("no phone for a call", {**CALL, "data.contact": "ana@example.com"}, "invalid_contact",
     "data.contact"),
    ("no address", {**MAIL, "data.contact": "ana"}, "invalid_contact", "data.contact"),
    ("two addresses", {**MAIL, "data.contact": "a@b.co,c@d.co"}, "invalid_contact", "data.contact"),
    ("address with NUL", {**MAIL, "data.contact": "a\0@b.co"}, "invalid_contact", "data.contact"),
]  # fmt: skip

TIMES: list[Row] = [
    ("missing", {"time": GONE}, "missing_field", "time"),
    ("null", {"time": None}, "missing_field", "time"),
    *(
        (time, {"time": time}, reason, "time")
        for reason, times in {
            "time_without_offset": [
                "2026-11-05T09:00:00", "2026-11-05 09:00:00", "2026-11-05T09:00:00.123456789",
            ],
            "time_ahead": [
                "2026-11-10T01:00:00Z", "2026-11-10T08:00:00+07:00", "2027-01-01T00:00:00Z",
                "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999999-14:00",
            ],
            "time_out_of_range": [
                "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59.999999Z",
                "1970-01-01T00:00:00+07:00",
            ],
            "before_since": ["1999-12-31T23:59:59.999999999Z", "1970-01-01T00:00:00Z"],
            "invalid_field": [
                "", "now", "2026-11-05", "09:00:00Z", "2026-02-30T00:00:00Z", "1793000000",
                "2026-11-05T24:00:00Z", "2026-11-05T09:00:60Z", "2026-13-01T00:00:00Z",
                "2026-11-05T09:00:00+24:00", "0000-01-01T00:00:00Z", "2026-11-05T09:00:00Z\0",
                "05/11/2026 09:00", "2026-W45-4T09:00:00Z", "20261105T090000Z", "1" * 10_240,
                "٢٠٢٦-11-05T09:00:00Z",
            ],
        }.items()
        for time in times
    ),
]  # fmt: skip

NUMBERS: list[Row] = [
    (f"{field} {value}", {**base, f"data.{field}": value}, reason, f"data.{field}")
    for base, field, rows in (
        (CALL, "seconds", {
            "number_out_of_range": [-1, Text("-0.5"), 31_536_001, 10**30, ENDLESS, Text("-1e9999")],
            "invalid_field": ["60", True, [], {}, "NaN", ""],
            "missing_field": [GONE, None],
        }),
        (DELIVERED, "segments", {
            "number_out_of_range": [-1, 1_001, 10**30, ENDLESS],
            "invalid_field": ["2", 1.5, True, []],
        }),
        (MAIL, "quantity", {
            "number_out_of_range": [
                -1, Text("-0.000001"), 10**12, 10**30, ENDLESS, Text("0.0000001"), Text("1e-9999"),
                "-1", "1000000000000", "0.0000001", Text("1e13"),
            ],
            "invalid_field": ["", "NaN", "Infinity", "1e3", "1,5", " 1", "١", True, [], {}, "0x1"],
        }),
        (USAGE, "quantity", {"missing_field": [GONE, None]}),
    )
    for reason, values in rows.items()
    for value in values
]  # fmt: skip

TABLES: dict[str, list[Row]] = {
    "attributes": ATTRIBUTES,
    "data": DATA,
    "contacts": CONTACTS,
    "times": TIMES,
    "numbers": NUMBERS,
}

#: Not JSON by the letter, but their ends can be found: alone in the body they are a fault of it.
NOT_JSON: list[tuple[str, Change]] = [
    ("NaN", {"data.x": Text("NaN")}),
    ("NaN as seconds", {**CALL, "data.seconds": Text("NaN")}),
    ("Infinity", {"data.x": Text("-Infinity")}),
    ("lone surrogate", {"data.x": Text(r'"\ud800"')}),
    ("lone surrogate as id", {"id": Text(r'"\udfff"')}),
    ("lone surrogate as a name", {"data": Text(r'{"\ud800":1}')}),
    ("bare NUL", {"data.x": Text('"\0"')}),
    ("bare line end in a name", {"*": '"\t":1'}),
]


def only(result: Json, reason: str, path: str) -> None:
    """A refusal says which reason, where, and in words what would be right."""
    assert (result["status"], result["reason"], result["path"]) == ("refused", reason, path)
    assert len(result["message"]) > 10
    assert len(result["message"]) < 500
    assert result["charges"] == []


@pytest.mark.parametrize("name", TABLES)
async def test_each_wrong_item_is_refused_with_its_reason_and_moves_nothing(
    house: House, name: str
) -> None:
    table = TABLES[name]
    events = [event(change) for _, change, _, _ in table]
    async with house.unmoved():
        lists = await post(house.client, in_list(events))
        lines = await post(house.client, in_lines(events), LINES)
        for n, (what, _, reason, path) in enumerate(table):
            (alone,) = await post(house.client, events[n])
            for result in (lists[n], lines[n], alone):
                assert (what, result["reason"], result["path"]) == (what, reason, path)
                only(result, reason, path)


HUGE: list[tuple[str, Change]] = [
    ("65 KB of data", {"data.x": "x" * 65_536}),
    ("a megabyte of data", {"data.x": MEGABYTE}),
    ("a megabyte as contact", {"data.contact": MEGABYTE}),
    ("10,000 levels of data", {"data.x": DEEP}),
    ("10,000 levels beside it", {"x": DEEP}),
    ("10,000 levels as data", {"data": DEEP}),
    ("10,000 objects", {"data.x": Text('{"a":' * 10_000 + "0" + "}" * 10_000)}),
]


async def test_what_is_too_large_for_an_event_is_refused_alone(house: House) -> None:
    """EV-2: neither a megabyte nor lists in lists without end reject the others."""
    for what, change in HUGE:
        async with house.unmoved():
            (alone,) = await post(house.client, event(change))
            only(alone, "too_large", alone["path"])
        for shape, kind in ((in_list, JSON), (in_lines, LINES)):
            good = [event(), event()]
            results = await post(house.client, shape([good[0], event(change), good[1]]), kind)
            only(results[1], "too_large", results[1]["path"])
            assert [results[n]["status"] for n in (0, 2)] == ["accepted", "accepted"], what
            assert {alone["path"], results[1]["path"]} <= {"", "data"}


async def test_a_refusal_names_the_item_it_refuses(house: House) -> None:
    events = [event({"id": f"named-{n}", "time": "x"}) for n in range(3)]
    results = await post(house.client, in_list([*events, event({"id": "long" * 80}), b"7"]))
    assert [result["id"] for result in results[:3]] == ["named-0", "named-1", "named-2"]
    assert results[3]["id"] == ("long" * 80)[:256]
    assert results[4]["id"] is None


@pytest.mark.parametrize("shape", ["list", "lines"])
async def test_good_items_among_all_the_junk_are_kept(house: House, shape: str) -> None:
    """EV-2: a bad item never rejects the others."""
    junk = [event(change) for table in TABLES.values() for _, change, _, _ in table]
    junk += [event(change) for _, change in NOT_JSON]
    junk += [b"7", b"null", b'"x"', b"[]", b"{}"]
    if shape == "lines":
        junk += [b"{", b"nonsense", b'{"id":"a"', b"\xff\xfe", b'{"id":"\xff"}', b"}{", b"\0"]
    good = [event({"id": f"good-{shape}-{n}"}) for n in range(len(junk) + 1)]
    mixed = [good[0], *(item for pair in zip(junk, good[1:], strict=True) for item in pair)]
    before = await house.facts()
    body, kind = (in_list(mixed), JSON) if shape == "list" else (in_lines(mixed), LINES)
    results = await post(house.client, body, kind)
    assert [result["id"] for result in results[::2]] == [json.loads(item)["id"] for item in good]
    assert Counter(result["status"] for result in results[::2]) == {"accepted": len(good)}
    assert Counter(result["status"] for result in results[1::2]) == {"refused": len(junk)}
    assert await house.facts() == before + len(good)


@pytest.mark.parametrize(("what", "change"), NOT_JSON, ids=[what for what, _ in NOT_JSON])
async def test_what_only_looks_like_json(house: House, what: str, change: Change) -> None:
    async with house.unmoved():
        for body, kind in ((in_list([event(change)]), JSON), (in_lines([event(change)]), LINES)):
            (result,) = await post(house.client, body, kind)
            only(result, "invalid_json", "")
        await faulty(house, 400, "BAD_REQUEST", "not JSON", content=event(change))


@pytest.mark.parametrize("path", ["source", "type", "data", "data.user"])
async def test_bytes_that_are_no_text(house: House, path: str) -> None:
    bad = event({path: "@" * 8}).replace(b"@" * 8, b"\xed\xa0\x80\xff")
    if path == "data":
        bad = event({"data": Text('{"@@@@":1}')}).replace(b"@@@@", b"\xc0\x80")
    good = event()
    async with house.unmoved():
        (alone,) = await post(house.client, bad)
        assert (alone["status"], alone["reason"]) == ("refused", "invalid_json")
    for body, kind in ((in_list([bad, good]), JSON), (in_lines([bad, good]), LINES)):
        first, second = await post(house.client, body, kind)
        assert (first["status"], first["reason"]) == ("refused", "invalid_json")
        assert second["status"] in ("accepted", "duplicate")


# Faults of a whole request.


async def faulty(
    house: House, status: int, code: str, words: str, /, **request: Any
) -> httpx2.Response:
    """Send a request that is at fault as a whole, and look at the problem (RFC 9457)."""
    request["headers"] = {"content-type": JSON} | request.get("headers", {})
    response = await house.client.post("/v1/events", **request)
    problem(response, status, code, words)
    return response


def problem(response: httpx2.Response, status: int, code: str, words: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert (body["status"], body["code"]) == (status, code)
    assert words in body["detail"]
    assert body["request_id"] == response.headers["x-request-id"]
    assert body["title"]
    assert body["type"]


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
        for content in (b" " * (LIMIT + 1), chunks()):
            await faulty(house, 413, "PAYLOAD_TOO_LARGE", str(LIMIT), content=content)


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


# One identity, many times.


async def test_an_id_twice_in_a_batch_counts_once_and_the_first_stays(house: House) -> None:
    """EV-1: a duplicate has the first outcome, other content is a conflict, also in a batch."""
    first = event({"id": "twice", **DELIVERED, "data.message_id": "twice"})
    other = event({"id": "twice", **DELIVERED, "data.message_id": "other"})
    before = await house.state()
    results = await post(house.client, in_list([first, first, other, first]))
    statuses = [result["status"] for result in results]
    assert statuses == ["accepted", "duplicate", "conflict", "duplicate"]
    assert results[1]["charges"] == results[0]["charges"] == results[3]["charges"]
    assert len(results[0]["charges"]) == 1
    assert (results[2]["reason"], results[2]["path"]) == ("content_differs", "data")
    after = await house.state()
    assert after["rows"]["facts"] == before["rows"]["facts"] + 1
    assert after["rows"]["conflicts"] == before["rows"]["conflicts"] + 1
    again = await post(house.client, in_list([other, first]))
    assert [result["status"] for result in again] == ["conflict", "duplicate"]
    assert again[1]["charges"] == results[0]["charges"]
    assert await house.state() == after


SPELLINGS: list[tuple[str, Change, str]] = [
    ("the offset", {"time": "2026-11-05T02:00:00Z"}, "duplicate"),
    ("the offset without colon", {"time": "2026-11-05T09:00:00.000000+0700"}, "duplicate"),
    ("nanoseconds", {"time": "2026-11-05T09:00:00.000000999+07:00"}, "duplicate"),
    ("a microsecond", {"time": "2026-11-05T09:00:00.000001+07:00"}, "conflict"),
    ("1.0 for 1", {"data.x": Text("1.0")}, "duplicate"),
    ("10e-1 for 1", {"data.x": Text("10e-1")}, "duplicate"),
    ("text for 1", {"data.x": "1"}, "conflict"),
    ("true for 1", {"data.x": True}, "conflict"),
    ("a little more than 1", {"data.x": Text("1.0000000000000000000000000000001")}, "conflict"),
    ("escaped", {"data.y": Text(r'"\u00fc"')}, "duplicate"),
    ("decomposed", {"data.y": "u\u0308"}, "conflict"),
    ("another order", {"data": Text(
        f'{{"y":"ü", "x":1,\n"contact":"{CONTACT}","number":"{NUMBER}","channel":"whatsapp"}}'
    )}, "duplicate"),
    ("an attribute more", {"datacontenttype": "application/json"}, "duplicate"),
    ("a field more", {"data.z": None}, "conflict"),
    ("another type", {"type": "message.sent"}, "conflict"),
]  # fmt: skip


async def test_content_is_compared_by_value(house: House) -> None:
    """EV-1: spelling does not matter, unknown fields do."""
    first = {"id": "by value", "data.x": 1, "data.y": "ü"}
    assert (await post(house.client, event(first)))[0]["status"] == "accepted"
    others = in_list(event({**first, **change}) for _, change, _ in SPELLINGS)
    results = await post(house.client, others)
    found = [(what, r["status"]) for (what, _, _), r in zip(SPELLINGS, results, strict=True)]
    assert found == [(what, status) for what, _, status in SPELLINGS]


async def test_digits_no_float_can_hold_are_kept_apart(house: House) -> None:
    numbers = ["0.1234567890123456789012345678901", "0.1234567890123456789012345678902", "1e-9999"]
    results = await post(
        house.client, in_list(event({"id": "digits", "data.x": Text(x)}) for x in numbers)
    )
    assert [result["status"] for result in results] == ["accepted", "conflict", "conflict"]
    kept = await house.owner.fetchval("select data from facts where id = 'digits'")
    assert json.loads(kept, parse_float=str)["x"] == numbers[0]


async def test_time_is_cut_to_microseconds_never_rounded(house: House) -> None:
    await post(house.client, event({"id": "cut", "time": "2026-10-31T16:59:59.9999999999Z"}))
    at = await house.owner.fetchval("select moment(at)::text from facts where id = 'cut'")
    assert at == "2026-10-31 16:59:59.999999+00"


async def test_five_minutes_ahead_are_taken(house: House) -> None:
    """EV-3: up to 5 minutes ahead; the clock has run on since it was set."""
    (result,) = await post(house.client, event({"time": "2026-11-10T00:05:00Z"}))
    assert result["status"] == "accepted"


async def test_a_refused_item_leaves_no_key(house: House) -> None:
    """EV-1: corrected, it may come again under its id."""
    (refused,) = await post(house.client, event({"id": "again", "data.contact": "0811"}))
    assert refused["status"] == "refused"
    (taken,) = await post(house.client, event({"id": "again"}))
    assert taken["status"] == "accepted"


@pytest.mark.parametrize("same", [True, False])
async def test_one_id_in_many_requests_at_once_is_taken_once(house: House, same: bool) -> None:
    """EV-1: whoever comes first stays."""
    id_ = f"at once {same}"
    before = await house.facts()
    bodies = [event({"id": id_, "data.x": 0 if same else n}) for n in range(12)]
    found = await asyncio.gather(*(post(house.client, body) for body in bodies))
    statuses = Counter(results[0]["status"] for results in found)
    assert statuses == {"accepted": 1, "duplicate" if same else "conflict": 11}
    assert await house.facts() == before + 1


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
        only(there, "unknown_tenant", "subject")
        assert json.dumps(there).replace("one", "nobody") == json.dumps(nowhere)
        response = await house.client.post(
            "/v1/events",
            content=in_list(
                event({"subject": "two", "data.number": number}) for number in (NUMBER, "+62800009")
            ),
            headers={"content-type": JSON, **own},
        )
        for result in response.json()["results"]:
            only(result, "unknown_number", "data.number")
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


async def test_decimals_come_in_by_graphql_as_well(house: House) -> None:
    query = """mutation($events: [CloudEvent!]!) { usageRecord(input: {events: $events}) {
        results { id status reason path } userErrors { code } } }"""
    written = [event({**MAIL, "data.quantity": Text(text)}) for text in ("2.5", "1e9999", '"2.5"')]
    body = f'{{"query":{json.dumps(query)},"variables":{{"events":{in_list(written).decode()}}}}}'
    response = await house.client.post("/graphql", content=body, headers={"content-type": JSON})
    results = response.json()["data"]["usageRecord"]["results"]
    assert [(r["status"], r["reason"]) for r in results][1] == ("REFUSED", "number_out_of_range")
    assert {results[0]["status"], results[2]["status"]} <= {"ACCEPTED", "UNRATED"}


async def test_the_process_was_never_at_a_loss(house: House) -> None:
    """Nothing above was answered 500, and nothing of it stands in the log."""
    page = (await house.client.get("/metrics")).text
    assert 'status="500"' not in page
    assert "kuota_failures_total{" not in page
    assert "Traceback" not in said(house.server.errors)
    assert (await house.client.get("/readyz")).json()["status"] == "ready"
    assert (await ask(house.client, "{ viewer { kind } }"))["viewer"]["kind"] == "OPERATOR"
