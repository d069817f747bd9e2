"""Whatever is wrong with an event, it is refused alone, in words, and moves nothing.

Each table is sent in a list, in lines and alone. EV-1, EV-2, EV-3, EV-6, PR-6 and PR-10.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest

from tests.wire.client import JSON, LINES, post, problem, refused
from tests.wire.conftest import House
from tests.wire.junk import DELIVERED, HUGE, MAIL, NOT_JSON, TABLES
from tests.wire.spelling import CONTACT, GONE, NUMBER, Change, Text, event, in_lines, in_list


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
                refused(result, reason, path)


async def test_what_is_too_large_for_an_event_is_refused_alone(house: House) -> None:
    """EV-2: neither a megabyte nor lists in lists without end reject the others."""
    for what, change in HUGE:
        async with house.unmoved():
            (alone,) = await post(house.client, event(change))
            refused(alone, "too_large", alone["path"])
        for shape, kind in ((in_list, JSON), (in_lines, LINES)):
            good = [event(), event()]
            results = await post(house.client, shape([good[0], event(change), good[1]]), kind)
            refused(results[1], "too_large", results[1]["path"])
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


async def test_names_of_the_limit_are_kept(house: House) -> None:
    """Characters of four bytes that compress badly, wherever a name may stand in an index."""
    far = "".join(chr(0x20000 + 151 * n % 40_000) for n in range(256))
    names = {f"data.{field}": far[:100] for field in ("user", "broadcast", "category", "meter")}
    longer = {"id": far, "source": far, "data.template": far, "data.message_id": far}
    change = {**DELIVERED, **names, **longer, "data.group": {"id": far}}
    (result,) = await post(house.client, event(change))
    assert result["status"] == "unrated"


async def test_an_attribute_that_stands_twice_is_seen_beside_one_that_is_missing(
    house: House,
) -> None:
    twice = event({"data": {}, "*": '"data":{}'})
    bodies = ((in_list([twice, event({"data": GONE})]), JSON), (twice, JSON), (twice, LINES))
    async with house.unmoved():
        for body, kind in bodies:
            refused((await post(house.client, body, kind))[0], "invalid_field", "data")


@pytest.mark.parametrize(("what", "change"), NOT_JSON, ids=[what for what, _ in NOT_JSON])
async def test_what_only_looks_like_json(house: House, what: str, change: Change) -> None:
    async with house.unmoved():
        for body, kind in ((in_list([event(change)]), JSON), (in_lines([event(change)]), LINES)):
            (result,) = await post(house.client, body, kind)
            refused(result, "invalid_json", "")
        response = await house.client.post(
            "/v1/events", content=event(change), headers={"content-type": JSON}
        )
        problem(response, 400, "BAD_REQUEST", "not JSON")


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


async def test_decimals_come_in_by_graphql_as_well(house: House) -> None:
    query = """mutation($events: [CloudEvent!]!) { usageRecord(input: {events: $events}) {
        results { id status reason path } userErrors { code } } }"""
    written = [event({**MAIL, "data.quantity": Text(text)}) for text in ("2.5", "1e9999", '"2.5"')]
    body = f'{{"query":{json.dumps(query)},"variables":{{"events":{in_list(written).decode()}}}}}'
    response = await house.client.post("/graphql", content=body, headers={"content-type": JSON})
    results = response.json()["data"]["usageRecord"]["results"]
    assert [result["status"] for result in results] == ["UNRATED", "REFUSED", "UNRATED"]
    assert (results[1]["reason"], results[1]["path"]) == ("number_out_of_range", "data.quantity")
