"""The model against examples that the rule book works out, with the worlds' small numbers."""

from __future__ import annotations

from itertools import count
from typing import Any

from tests.simulation.model import run
from tests.simulation.rulebook import Calendar, Json, instant
from tests.simulation.world import RULEBOOK

WHATSAPP, VOICE = "6280000000001", "6280000000004"
ANA, BEN = "+6281110000010", "+6281110000011"
SETUP = {
    "tenant": "bazaar", "zone": "Asia/Jakarta", "country": "ID", "plan": "small",
    "numbers": [
        {"channel": "whatsapp", "address": WHATSAPP, "zone": "Asia/Jakarta"},
        {"channel": "voice", "address": VOICE, "zone": "Asia/Jakarta"},
    ],
}  # fmt: skip

ids = count(1)


def local(text: str) -> str:
    return f"2026-{text}:00+07:00"


def event(kind: str, when: str, contact: str = ANA, number: str = WHATSAPP, **more: Any) -> Json:
    data = {"number": number, "contact": contact, **more}
    return {"source": "test", "id": str(next(ids)), "type": kind, "time": local(when), "data": data}


def received(when: str, contact: str = ANA) -> Json:
    return event("message.received", when, contact)


def answered(when: str, contact: str = ANA, **more: Any) -> Json:
    return event("message.delivered", when, contact, **more)


def action(kind: str, when: str, **more: Any) -> Json:
    return {"action": kind, "key": str(next(ids)), "time": local(when), **more}


def figures(*inputs: Json) -> Json:
    until = instant(local("11-20 00:00"))
    return run(RULEBOOK, SETUP, inputs, instant(local("10-01 00:00")), until)


def costs(found: Json) -> list[list[tuple[str, int]]]:
    """The charges of each fact, in fact order."""
    return [
        [(part["balance"], part["amount"]) for part in fact["charges"]]
        for fact in found["facts"].values()
    ]


def remaining(found: Json, month: str, balance: str) -> tuple[int, int]:
    """What remains of its allowance, and of all else."""
    line = found["balances"][month][balance]
    return line["allowance"]["remaining"], line["other"]["remaining"]


def test_conversations_open_at_the_answer_and_last_a_day() -> None:
    """CO-1: the rule's own example; WI-1: at exactly a day the window is closed."""
    found = figures(
        received("10-05 10:00"), answered("10-05 10:05"),
        received("10-06 10:00"), received("10-06 10:30"), answered("10-06 10:31"),
    )  # fmt: skip
    flags = [fact["flags"] for fact in found["facts"].values()]
    assert flags == [
        ["service_window", "visitor"], ["conversation", "conversation_paid"],
        ["service_window"], [], ["conversation", "conversation_paid"],
    ]  # fmt: skip


def test_one_unit_left_for_two_contacts() -> None:
    """PR-9: A's three cost 1 unit, 0, 0; B's three are numbers 1 to 3 of the free count."""
    three = [answered(f"10-05 10:0{n}") for n in range(3)]
    others = [answered(f"10-05 11:0{n}", BEN) for n in range(4)]
    less = action("adjustment", "10-05 09:00", balance="conversations", amount="-2")
    unit, free, price = ("conversations", 1_000_000), ("main", 0), ("main", 14_500)
    assert costs(figures(less, *three, *others)) == [
        [unit], [("conversations", 0)], [("conversations", 0)], [free], [free], [free], [price],
    ]  # fmt: skip


def test_an_allowance_pays_off_before_any_fact() -> None:
    """BA-5: of 1.3 owed, an allowance of 0.9 leaves 0.4 owed and nothing to spend."""
    less = action("adjustment", "10-31 12:00", balance="main", amount="-2.2")
    first = answered("11-01 00:00", category="utility", template="hello")
    found = figures(less, first)
    assert remaining(found, "2026-10", "main") == (0, -1_300_000)
    assert costs(found) == [[("main", 14_500)]]
    assert remaining(found, "2026-11", "main") == (0, -414_500)


def test_what_none_held_is_owed_and_paid_off_by_a_top_up() -> None:
    """BA-11: one visitor more than the 4 allowed leaves -1; a top-up of 3 then leaves 2."""
    visits = [received("10-05 10:00", f"+628111000001{n}") for n in range(5)]
    assert remaining(figures(*visits), "2026-10", "visitors")[1] == 0  # overage, at its end
    bought = action("top_up", "10-06 10:00", balance="visitors", amount="3")
    line = figures(*visits, bought)["balances"]["2026-10"]["visitors"]["other"]
    assert (line["granted"], line["used"], line["lapsed"]) == (3_000_000, 1_000_000, 2_000_000)


def test_a_call_splits_between_seconds_and_money() -> None:
    """VO-1: 401 seconds are 402 by 30 and 6; 400 are allowed, 2 cost 0.1201 a minute."""
    call = event("call.ended", "10-05 10:00", number=VOICE, direction="out", seconds=401)
    (cost,) = costs(figures(call))
    assert cost == [("seconds", 400_000_000), ("main", 4_003)]


def test_a_month_that_begins_in_one_zone_and_ends_in_another() -> None:
    """TZ-3: Jakarta to Bogota, November 2026 is [2026-10-31T17:00Z, 2026-12-01T05:00Z)."""
    calendar = Calendar("Asia/Jakarta")
    calendar.change("America/Bogota", instant(local("10-10 00:00")))
    assert calendar.bounds("2026-11") == (
        instant("2026-10-31T17:00:00+00:00"), instant("2026-12-01T05:00:00+00:00"),
    )  # fmt: skip
