"""What is drawn: exact figures, nothing of the future, the tenant's words, all on the sheet."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.charts import ticks
from api.charts.channels import CHANNELS as CALLED
from api.charts.chart import PARTS
from api.charts.look import LOOKS, MARGIN, Theme
from api.charts.sheet import LINES_MAX, PARTS_MAX
from api.charts.specs import spec
from api.errors import Fault
from domain.chart_words import BUCKETS, DIMENSIONS, MEASURES, VALUES, WITHOUT, WORDS
from domain.facts import CHANNELS
from domain.periods import DAY, HOUR, MINUTE, iso, zone
from domain.sentences import OF_NOTICES, needs
from persistence.usage import Dimension, Measure
from tests.api.charts.made import NOON, START, made, tenant, texts

CATEGORY, USER = Dimension.CATEGORY, Dimension.USER


def drawn(chart: Any, theme: Theme = Theme.LIGHT) -> dict[str, Any]:
    return spec(chart, theme)


def rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    return list(found["datasets"]["series"])


def marks(found: dict[str, Any]) -> set[str]:
    """How figures are drawn."""
    return {
        layer["mark"]["type"]
        for layer in found["layer"]
        if layer["data"].get("name") == "series" or layer["mark"].get("cornerRadiusEnd")
    }


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 10**12), min_size=7, max_size=7),
    st.lists(st.integers(-(10**12), 10**12), min_size=7, max_size=7),
)
def test_the_figures_are_the_answer_s_to_the_last_digit(
    first: list[int], second: list[int]
) -> None:
    """FI-2: exact ones as text, beside them the nearest number there is to draw."""
    chart = made([(("u1",), first), (("u2",), second)], measures=[Measure.COST], split=[USER])

    found = rows(drawn(chart))

    exact = {(row["name"], row["start"]): Fraction(row["exact"]) * 10**6 for row in found}
    assert exact == {
        (name, iso(START + place * DAY)): value
        for name, sums in (("u1", first), ("u2", second))
        for place, value in enumerate(sums)
    }
    assert all(row["value"] == float(row["exact"]) for row in found)


def test_the_future_is_no_zero() -> None:
    """FI-3: what has not begun has no figure; what runs is drawn otherwise, and said."""
    chart = made([((), [5] * 10 + [0] * 20)])

    found = drawn(chart)

    assert [row["bucket"] for row in rows(found)] == list(range(10))
    assert [row["bucket"] for row in rows(found) if row["running"]] == [9]
    assert [row["bucket"] for row in rows(found) if row["tail"]] == [8, 9]
    foot = next(told for told in texts(found) if told.startswith("As of"))
    assert foot == (
        "As of Nov 10, 2026, 12:00\u202fPM (Asia/Jakarta) · Estimate until the period is closed · "
        "Dotted: still under way · Shaded: to come"
    )


@pytest.mark.parametrize("split", [USER, CATEGORY])
def test_what_came_before_its_bucket_began_is_drawn(split: Dimension) -> None:
    """FI-2: clocks of senders may be minutes ahead; what was counted is in the chart as in its
    total, also where lines are told together."""
    sums = [0] * 10 + [1] + [0] * 3
    chart = made([((f"name {n}",), sums if n % 3 else [1] * 10 + [0] * 4) for n in range(20)],
                 split=[split])  # fmt: skip

    found = rows(drawn(chart))

    assert {row["bucket"] for row in found} == set(range(11))
    assert {row["bucket"] for row in found if row["running"]} == {9, 10}
    counted = 13 + 7 * 10
    assert sum(int(row["exact"]) for row in found) == counted
    assert sum(each.total for each in chart.lines) == counted * 10**6
    early = drawn(made([((), [0, 2])], start=NOON + HOUR, bucket="hour"))
    assert [(row["bucket"], row["exact"]) for row in rows(early)] == [(1, "2")]


def test_what_is_closed_is_final() -> None:
    found = texts(drawn(made([((), [5] * 7)], final=True)))
    assert any("· Final" in told for told in found)
    assert not any("Estimate" in told for told in found)


def test_parts_by_category_stand_on_one_another() -> None:
    chart = made([(("marketing",), [3, 0]), (("utility",), [1, 2])], split=[CATEGORY])

    found = drawn(chart)

    assert marks(found) == {"rect"}
    spans = {(row["name"], row["bucket"]): (row["from"], row["to"]) for row in rows(found)}
    assert spans == {
        ("Marketing", 0): (0, 3), ("Utility", 0): (3, 4),
        ("Marketing", 1): (0, 0), ("Utility", 1): (0, 2),
    }  # fmt: skip


def test_other_lines_are_lines() -> None:
    assert marks(drawn(made([(("ana",), [3, 4])], split=[USER]))) >= {"line"}
    # Nothing stands on what is below zero.
    cost = {"measures": [Measure.COST], "split": [CATEGORY]}
    assert "line" in marks(drawn(made([(("marketing",), [3, -4])], **cost)))


def test_measures_that_add_up_are_parts_of_their_whole() -> None:
    """FI-4: the five cards are a picture of what was delivered."""
    five = sorted(PARTS[Measure.MESSAGES_OUT], key=lambda each: each.name)
    chart = made([((), [1, 2]) for _ in five], measures=five)
    assert (chart.stacked, chart.title()) == (True, "Messages delivered")
    two = made([((), [1, 2]), ((), [3, 4])], measures=[Measure.VISITORS, Measure.MESSAGES_IN])
    assert (two.stacked, two.adds_up) == (False, False)
    assert "Total" not in texts(drawn(two))


@pytest.mark.parametrize(("split", "most"), [(USER, LINES_MAX), (CATEGORY, PARTS_MAX)])
def test_the_smallest_are_told_together(split: Dimension, most: int) -> None:
    """As many as can be told apart; the rest is there, and how many it is."""
    chart = made([((f"name {n}",), [100 - n, 1]) for n in range(20)], split=[split])

    found = rows(drawn(chart))

    names = list(dict.fromkeys(row["name"] for row in found))
    assert names == [*(f"name {n}" for n in range(most - 1)), f"Others ({20 - most + 1})"]
    assert sum(int(row["exact"]) for row in found) == sum(100 - n + 1 for n in range(20))


def test_no_two_lines_look_the_same() -> None:
    chart = made([((f"n{n}",), [100 - n, 1]) for n in range(20)], split=[USER])
    found = drawn(chart)
    stroke = next(each["encoding"] for each in found["layer"] if "strokeDash" in each["encoding"])
    looks = list(
        zip(
            stroke["color"]["scale"]["range"],
            map(tuple, stroke["strokeDash"]["scale"]["range"]),
            strict=True,
        )
    )
    assert len(set(looks)) == len(looks) == LINES_MAX


@pytest.mark.parametrize(
    ("lines", "now", "told"),
    [
        ([((), [0] * 7)], NOON, "No usage in this range"),
        ([], NOON, "No usage in this range"),
        ([((), [0] * 7)], START - DAY, "This range has not begun yet"),
    ],
)
def test_nothing_is_said_to_be_nothing(lines: Any, now: int, told: str) -> None:
    split = [] if lines else [USER]
    assert told in texts(drawn(made(lines, split=split, now=now)))


def test_words_and_numbers_are_those_of_the_locale() -> None:
    cost = {"measures": [Measure.COST], "split": [CATEGORY]}
    lines = [(("marketing",), [1_250_000_330_000, 10**12]), (("",), [10**9, 0])]

    indonesian = texts(drawn(made(lines, of=tenant(locale="id"), **cost)))
    spanish = texts(drawn(made(lines, of=tenant(locale="es-CO", currency="COP"), **cost)))
    other = texts(drawn(made(lines, locale="pt-BR", **cost)))

    assert {"Biaya per kategori", "1–2 Nov 2026, per hari", "Tanpa kategori", "IDR"} <= {
        *indonesian
    }
    assert any(told.endswith("2.251.000") for told in indonesian)
    assert {"Costo por categoría", "Sin categoría", "COP"} <= {*spanish}
    # In English where we have no words, numbers as well.
    assert "Cost by category" in other
    assert any("2,251,000" in told for told in other)


def test_minutes_are_shown_of_seconds_that_are_drawn() -> None:
    chart = made([((), [60, 90])], measures=[Measure.SECONDS_BILLED])
    found = drawn(chart)
    assert [row["exact"] for row in rows(found)] == ["60", "90"]
    assert {"2.5", "1", "1.5", "Minutes"} <= {*texts(found)}


def test_what_it_is_narrowed_to_is_said() -> None:
    narrowed = (
        (Dimension.CHANNEL, ("whatsapp",)), (Dimension.COUNTRY, ("", "ID", "MY", "SG", "TH")),
        (Dimension.NUMBER, ("+628110001", "628110001")),
    )  # fmt: skip
    found = texts(drawn(made([((), [1, 2])], narrowed=narrowed)))
    assert (
        "Only: WhatsApp · No country, Indonesia, Malaysia and 2 more · +628110001"  # in two forms
    ) in found
    none = made([((), [0, 0])], narrowed=((USER, ()),))
    assert none.narrowed() == "Only: no value of user"


NAMES = [
    'PT "Kopi" <b>Senja</b> & Anak — ' + "Nusantara " * 30,
    "{signal: 'alert(1)'} ${x} datum.value",
    "متجر الأزرق",
    "咖啡店铺有限公司",
    "emoji \U0001f600",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_data_and_stay_on_the_sheet(name: str) -> None:
    chart = made([((name,), [1, 2]), (("b",), [1, 0])], split=[USER], of=tenant(name=name))

    found = drawn(chart)

    told = json.dumps(found)
    assert not any(word in told for word in ('"signal"', '"expr"', '"url"', '"href"', '"image"'))
    assert all(
        set(layer["data"]) <= {"values", "name"} and "\x00" not in str(layer)
        for layer in found["layer"]
    )


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(-(10**7), 10**9), min_size=1, max_size=60), max_size=14),
    st.sampled_from([Measure.MESSAGES_OUT, Measure.COST, Measure.SECONDS_BILLED]),
    st.sampled_from([CATEGORY, USER]),
    st.sampled_from([(480, 320), (960, 540), (1920, 1200), (0, 0)]),
    st.sampled_from(["en", "id", "es"]),
)
def test_whatever_is_drawn_stands_on_the_sheet(
    lines: list[list[int]], measure: Measure, split: Dimension, size: tuple[int, int], tag: str
) -> None:
    count = max(map(len, lines), default=1)
    sums = [((f"value {n}",), each + [0] * (count - len(each))) for n, each in enumerate(lines)]
    width, height = size
    chart = made(
        sums, measures=[measure], split=[split], width=width, height=height, locale=tag,
        now=START + 20 * DAY,
    )  # fmt: skip

    found = drawn(chart)

    for layer in found["layer"]:
        for row in layer["data"].get("values", ()):
            assert 0 <= row["x"] <= chart.width
            assert 0 <= row["y"] <= chart.height
            assert row.get("x2", 0) <= chart.width - MARGIN + 0.1
    assert found["background"] == LOOKS[Theme.LIGHT].ground


@settings(deadline=None)
@given(st.integers(-(10**12), 10**15), st.integers(0, 10**15), st.sampled_from(list(Measure)))
def test_marks_are_round_few_and_told_apart(low: int, high: int, measure: Measure) -> None:
    chart = made([((), [1, 2])], measures=[measure])
    bottom, top, found = ticks.values(chart, min(low, high), high)
    assert 0 in found
    assert 1 <= len(found) <= ticks.MARKS_MAX + 1
    assert bottom <= min(found)
    assert max(found) <= top
    assert bottom <= min(low, high, 0)
    assert top >= max(high, 0)
    told = ticks.value_texts(chart, found)
    assert len(set(told)) == len(found)


def test_buckets_are_named_where_there_is_room() -> None:
    month = made([((), [1] * 30)])
    assert [told for _, told in ticks.buckets(month, 20, 12)] == ["Nov 2", "Nov 9", "Nov 16",
                                                                   "Nov 23", "Nov 30"]  # fmt: skip
    quarter = made([((), [1] * 92)], start=START - 62 * DAY)
    places = [place for place, _ in ticks.buckets(quarter, 7, 12)]
    assert {after - before for before, after in pairwise(places)} == {14}
    hours = made([((), [1] * 24)], bucket="hour", of=tenant(locale="id"))
    assert [told for _, told in ticks.buckets(hours, 20, 12)][:2] == ["00.00", "03.00"]


def test_a_repeated_hour_is_two_of_them() -> None:
    """TZ-2: the day London's clocks go back has 25 hours."""
    london = zone("Europe/London")
    start = london.day_start(START - 6 * DAY)
    start, end = london.day_start(start), london.next_day(start)
    while end - start != 25 * HOUR:
        start, end = london.day_start(start - DAY), london.day_start(start)
    chart = made(
        [((), list(range(1, 26)))], bucket="hour", where=london, start=start, end=end,
        now=end + MINUTE,
    )  # fmt: skip
    assert len(rows(drawn(chart))) == 25


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"measures": [Measure.COST, Measure.VISITORS]}, "mixes money and counts"),
        ({"width": 479}, "`width` is 479: write 480 to 1920"),
        ({"height": 5_000}, "`height` is 5000: write 320 to 1200"),
        ({"locale": "nowhere-there"}, "no locale we know"),
    ],
)
def test_what_cannot_be_drawn_is_refused(how: dict[str, Any], said: str) -> None:
    measures = how.get("measures", [Measure.VISITORS])
    with pytest.raises(Fault, match=said):
        made([((), [1])] * len(measures), **{"measures": measures, **how})


def test_every_word_is_there_in_every_language() -> None:
    tables = [MEASURES, DIMENSIONS, WITHOUT, BUCKETS, WORDS, CALLED, *VALUES.values()]
    for table in tables:
        for name, words in table.items():
            assert set(words) == set(OF_NOTICES), name
            assert len({frozenset(needs(text)) for text in words.values()}) == 1, name
    assert set(MEASURES) == {each.name for each in Measure}
    assert set(DIMENSIONS) == set(WITHOUT) == {each.name for each in Dimension}
    assert set(CALLED) == set(CHANNELS)


def test_a_range_is_told_by_days_or_by_hours() -> None:
    assert made([((), [1] * 2)]).range() == "Nov 1\u2009–\u20092, 2026, by day"
    assert made([((), [1])]).range() == "November 1, 2026, by day"
    cut = made([((), [1, 1, 1])], bucket="hour", start=START + 8 * HOUR)
    assert cut.range() == ("Nov 1, 2026, 8:00\u202fAM – Nov 1, 2026, 11:00\u202fAM, by hour")
