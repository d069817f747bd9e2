"""Canonical data: what is hashed is what a number means, however it is written (EV-1)."""

from __future__ import annotations

import pytest

from api.cloudevents import Envelope, Item, read_raw, to_item


def canonical(data: str) -> bytes:
    event = read_raw(
        b'{"id":"1","source":"s","type":"t","time":"2026-11-05T09:00:00Z","data":%b}'
        % data.encode()
    )
    assert isinstance(event, Envelope)
    item = to_item(event)
    assert isinstance(item, Item)
    return item.canonical


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1e25", "1" + "0" * 25),
        ("1.5e30", "15" + "0" * 29),
        ("12.30", "1.23e1"),
        ("-0.0", "0"),
        ("0.10e1", "1"),
    ],
)
def test_numbers_are_compared_by_value(one: str, other: str) -> None:
    assert canonical(f'{{"a":{one}}}') == canonical(f'{{"a":{other}}}')
