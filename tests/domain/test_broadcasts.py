"""What facts say of broadcasts and of users' work, whatever their order."""

from __future__ import annotations

import random

import pytest

from domain.activity import QUARTER, spans_of
from domain.broadcasts import DELIVERED, FAILED, READ, SENT, Recipient, told_by
from domain.facts import Channel, Fact, Type
from domain.periods import HOUR, SECOND, zone
from tests.domain.spine import at

NOON = at("2026-11-10 12:00")


def fact(kind: Type, when: int = NOON, **says: object) -> Fact:
    found = Fact()
    found.type, found.at, found.seconds = kind, when, 0
    found.channel, found.party, found.agent, found.broadcast = Channel.WHATSAPP, "62811", "", "sale"
    for name, value in says.items():
        setattr(found, name, value)
    return found


@pytest.mark.parametrize(
    ("kind", "states"),
    [
        (Type.MESSAGE_SENT, SENT), (Type.MESSAGE_DELIVERED, DELIVERED), (Type.MESSAGE_READ, READ),
        (Type.MESSAGE_PLAYED, READ), (Type.MESSAGE_FAILED, FAILED),
    ],
)  # fmt: skip
def test_each_status_says_one_thing_of_its_recipient(kind: Type, states: int) -> None:
    told = told_by([fact(kind)])

    assert told.recipients == {Recipient("sale", 1, "62811"): states}
    assert told.spans == {"sale": (NOON, NOON)}


def test_answers_calls_and_messages_of_no_broadcast_say_nothing_of_one() -> None:
    others = set(Type) - {Type[f"MESSAGE_{name}"] for name in
                          ("SENT", "DELIVERED", "READ", "PLAYED", "FAILED")}  # fmt: skip
    assert told_by([fact(kind) for kind in others]) == ({}, {})
    assert told_by([fact(kind, broadcast="") for kind in Type]) == ({}, {})


def test_no_order_and_no_repeating_changes_what_is_told() -> None:
    chance = random.Random(4)
    facts = [
        fact(chance.choice(list(Type)), NOON + chance.randrange(HOUR), party=chance.choice("ab"),
             agent=chance.choice(("", "ana", "bo")))
        for _ in range(60)
    ]  # fmt: skip
    told, spans = told_by(facts), spans_of(facts)
    for _ in range(20):
        again = [*facts, *chance.choices(facts, k=20)]
        chance.shuffle(again)
        assert (told_by(again), spans_of(again)) == (told, spans)


def test_a_call_is_work_from_its_beginning() -> None:
    """VO-1: it ended at noon and had begun in the quarter before."""
    call = fact(Type.CALL_ENDED, NOON, agent="ana", seconds=61)

    began = NOON - 61 * SECOND
    assert spans_of([call, fact(Type.EMAIL_SENT)]) == {
        ("ana", NOON - QUARTER): (began, began)
    }  # fmt: skip


@pytest.mark.parametrize("name", ["Asia/Kathmandu", "Australia/Lord_Howe", "Asia/Kolkata"])
def test_local_hours_and_days_begin_with_a_quarter(name: str) -> None:
    """TZ-2: so that none is cut by them."""
    where = zone(name)
    for day in range(0, 365, 7):
        when = NOON + day * 24 * HOUR
        assert where.hour_start(when) % QUARTER == where.day_start(when) % QUARTER == 0
