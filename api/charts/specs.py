"""A chart as a Vega-Lite specification: every figure in it, everything at its pixel.

Owns where things stand. What stands there is the chart's, colours and sizes are `look`'s. Nothing
is fetched, and no text is an expression: names are data.
"""

from __future__ import annotations

from typing import Final

from api.charts import ticks
from api.charts.chart import Chart
from api.charts.look import LOOKS, Theme, cut, line, width
from api.charts.sheet import BODY, SMALL, Json, Sheet, layer
from domain.money import MICRO, text
from domain.periods import iso

SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v6.json"

#: Buckets whose values are written at them, at most.
LABELLED_MAX: Final = 16
#: Bars thinner than these pixels are drawn as one surface.
BAR_MIN: Final = 3.5
#: Points are marked where they are so far apart, in pixels.
POINT_MIN: Final = 9

#: Dashes of what is still under way.
DOTTED: Final = [2, 3]


def spec(chart: Chart, theme: Theme) -> Json:
    """The specification of a chart."""
    return _Picture(chart, LOOKS[theme]).told()


class _Picture(Sheet):
    """One picture with its figures."""

    def told(self) -> Json:
        chart, look = self._chart, self._look
        self._head()
        self._foot()
        if not self._drawn or not any(each.total or any(each.values) for each in self._lines):
            layers = self._nothing()
        elif self._single:
            layers = self._bars()
        else:
            layers = self._over_time()
        return {
            "$schema": SCHEMA,
            "description": self._description(),
            "width": chart.width,
            "height": chart.height,
            "padding": 0,
            "autosize": {"type": "none"},
            "background": look.ground,
            "datasets": {"series": self._rows()},
            "layer": [*self._shapes, *layers, *self._text_layers()],
            "config": {"view": {"stroke": None}, "font": "Noto Sans", "axis": {"disable": True}},
        }

    def _description(self) -> str:
        chart = self._chart
        totals = "; ".join(f"{each.name}: {chart.amount(each.total)}" for each in self._lines)
        return f"{chart.title()}. {chart.tenant}. {chart.range()}. {totals}. {chart.as_of()}"

    # -- figures

    def _rows(self) -> list[Json]:
        """Every figure: exact as text, and as the number that is drawn."""
        chart = self._chart
        below = [0] * len(chart.cuts)
        rows: list[Json] = []
        for number, each in enumerate(self._lines):
            for place, value in enumerate(each.values):
                if value is None:
                    continue
                start, end = chart.cuts[place]
                running = end > chart.now
                followed = place + 1 < len(chart.cuts) and chart.cuts[place + 1][1] > chart.now
                row: Json = {
                    "line": number, "name": each.name, "bucket": place, "start": iso(start),
                    "exact": text(value), "value": _number(value), "running": running,
                    "tail": running or followed,
                }  # fmt: skip
                if self._stacked:
                    row["from"], row["to"] = _number(below[place]), _number(below[place] + value)
                    below[place] += value
                rows.append(row)
        return rows

    # -- what stands around

    def _nothing(self) -> list[Json]:
        chart = self._chart
        word = chart.say("nothing" if self._drawn else "to_come")
        self._rule(self._left, self._bottom, self._right, self._bottom, self._look.axis)
        middle = (self._left + self._right) / 2
        place = (self._top + self._bottom) / 2
        self._write(middle, place, word, BODY + 2, align="center", muted=True)
        return []

    # -- one bucket: a bar for each line

    def _bars(self) -> list[Json]:
        chart = self._chart
        names = [cut(each.name, BODY, chart.width * 0.32) for each in self._lines]
        figures = [line(chart.amount(each.total)) for each in self._lines]
        left = self._left + max(width(name, BODY) for name in names) + 14
        right = self._right - max(width(figure, BODY) for figure in figures) - 14
        values = [each.total for each in self._lines]
        low, high = min(0, *values), max(0, *values)
        row = min(60.0, (self._bottom - self._top) / len(values))
        bars = []
        for number, value in enumerate(values):
            middle = self._top + row * (number + 0.5)
            scale = (right - left) / max(high - low, 1)
            zero = left - low * scale
            ends = sorted((zero, zero + value * scale))
            bars.append({
                "x": ends[0], "x2": max(ends[1], ends[0] + 1), "y": middle - row * 0.34,
                "y2": middle + row * 0.34, "line": number,
            })  # fmt: skip
            self._write(left - 14, middle + 5, names[number], BODY, align="right")
            self._write(ends[1] + 8, middle + 5, figures[number], BODY)
        self._rule(left, self._top, left, self._top + row * len(values), self._look.axis)
        return [layer(bars, {"type": "rect", "cornerRadiusEnd": 2}, self._coloured())]

    # -- buckets over time

    def _over_time(self) -> list[Json]:
        chart = self._chart
        if self._key:
            self._right -= self._column() + 28
        low, high = self._extent()
        bottom, top, marks = ticks.values(chart, low, high)
        self._domain = bottom, top
        texts = ticks.value_texts(chart, marks)
        room = max(width(told, SMALL) for told in texts)
        left, right = self._left + room + 12, self._right
        slot = (right - left) / len(chart.cuts)
        self._scales: Json = {
            "x": {"domain": [0, len(chart.cuts)], "range": [left, right], "nice": False},
            "y": {
                "domain": [_number(bottom), _number(top)],
                "range": [self._bottom, self._top], "nice": False, "zero": False,
            },
        }  # fmt: skip
        for mark, told in zip(marks, texts, strict=True):
            y = self._y(mark)
            colour = self._look.axis if mark == 0 else self._look.grid
            self._rule(left, y, right, y, colour)
            self._write(left - 10, y + 4, told, SMALL, align="right", muted=True)
        for place, told in ticks.buckets(chart, slot, SMALL):
            x = min(left + slot * (place + 0.5), right - width(told, SMALL) / 2)
            self._write(x, self._bottom + 19, told, SMALL, align="center", muted=True)
        self._to_come(left, slot)
        if self._key:
            self._legend()
        self._labels(left, slot)
        return self._stack(slot) if self._stacked else self._curves(slot)

    def _extent(self) -> tuple[int, int]:
        if self._stacked:
            return 0, max(self._tops())
        values = [value for each in self._lines for value in each.values if value is not None]
        return min(values), max(values)

    def _tops(self) -> list[int]:
        """What the buckets that are drawn sum up to."""
        return [sum(each.values[place] or 0 for each in self._lines) for place in self._drawn]

    def _y(self, value: int) -> float:
        bottom, top = self._domain
        part = (value - bottom) / (top - bottom)
        return self._bottom - part * (self._bottom - self._top)

    def _to_come(self, left: float, slot: float) -> None:
        """Shade what has not begun: it is no zero."""
        chart = self._chart
        if len(self._drawn) == len(chart.cuts):
            return
        band = {
            "x": left + slot * len(self._drawn), "x2": left + slot * len(chart.cuts),
            "y": self._top, "y2": self._bottom,
        }  # fmt: skip
        mark = {"type": "rect", "color": self._look.grid, "opacity": 0.45}
        self._shapes.insert(0, layer([band], mark))

    def _labels(self, left: float, slot: float) -> None:
        """Write values at their buckets, where there are few, and one for each bucket."""
        chart = self._chart
        if len(self._drawn) > LABELLED_MAX or (self._key and not self._stacked):
            return
        for place, value in zip(self._drawn, self._tops(), strict=True):
            told = line(chart.short(value))
            if width(told, SMALL) > slot - 4:
                continue
            below = not self._stacked and self._is_low(place)
            y = self._y(value) + (20 if below else -6 if self._stacked else -10)
            self._write(left + slot * (place + 0.5), y, told, SMALL, align="center")

    def _is_low(self, place: int) -> bool:
        """Whether the line goes up on both sides of a bucket, through what stands above it."""
        values = self._lines[0].values
        around = (*values[max(place - 1, 0) : place], *values[place + 1 : place + 2])
        beside = [each for each in around if each is not None]
        return bool(beside) and (values[place] or 0) * len(beside) < sum(beside)

    def _curves(self, slot: float) -> list[Json]:
        x = self._at("datum.bucket + 0.5")
        y = {"field": "value", "type": "quantitative", "scale": self._scales["y"], "axis": None}
        encoding = {"x": x, "y": y, "color": self._coloured()["color"], "detail": {"field": "line"}}
        dashed = {
            "field": "line", "type": "nominal", "legend": None,
            "scale": {"domain": self._numbers(), "range": self._dashes()},
        }  # fmt: skip
        heavy = 2.5 if len(self._lines) <= 7 else 2
        stroke = {"type": "line", "strokeWidth": heavy, "strokeJoin": "round", "aria": False}
        layers = []
        if not self._key and not any(each.total < 0 for each in self._lines):
            area = {"type": "area", "opacity": 0.12, "aria": False, "line": False}
            layers.append(self._of("true", area, encoding))
        layers.append(self._of("!datum.running", stroke, {**encoding, "strokeDash": dashed}))
        layers.append(self._of("datum.tail", {**stroke, "strokeDash": DOTTED}, encoding))
        if slot >= POINT_MIN:
            dot = {"type": "point", "filled": True, "size": 34, "opacity": 1, "aria": False}
            hollow = {
                **dot, "filled": False, "fill": self._look.ground, "strokeWidth": 2, "size": 40,
            }  # fmt: skip
            layers.append(self._of("!datum.running", dot, encoding))
            layers.append(self._of("datum.running", hollow, encoding))
        elif len(self._drawn) == 1:
            dot = {"type": "point", "filled": True, "size": 34, "opacity": 1, "aria": False}
            layers.append(self._of("true", dot, encoding))
        return layers

    def _stack(self, slot: float) -> list[Json]:
        colour = self._coloured()["color"]
        axis: Json = {"type": "quantitative", "scale": self._scales["y"], "axis": None}
        y = {"y": {**axis, "field": "from"}, "y2": {"field": "to"}}
        if slot < BAR_MIN:
            x = self._at("datum.bucket + 0.5")
            area = {"type": "area", "interpolate": "step", "aria": False, "line": False}
            encoding = {"x": x, **y, "color": colour, "detail": {"field": "line"}}
            return [self._of("true", area, encoding)]
        share = 0.5 if slot > 90 else 0.36 if slot < 12 else 0.4
        share = min(share, 34 / slot) if slot > 90 else share
        x = self._at(f"datum.bucket + 0.5 - {share}")
        edges = {"x": x, "x2": {"field": "x2"}}
        bar: Json = {"type": "rect", "aria": False}
        if slot >= 8:
            # A gap between parts: neighbours need not differ by their colours alone.
            bar |= {"stroke": self._look.ground, "strokeWidth": 1}
        encoding = {**edges, **y, "color": colour}
        return [
            self._of("!datum.running", bar, encoding, far=f"datum.bucket + 0.5 + {share}"),
            self._of(
                "datum.running", {**bar, "opacity": 0.55}, encoding,
                far=f"datum.bucket + 0.5 + {share}",
            ),
        ]  # fmt: skip

    def _at(self, place: str) -> Json:
        return {"field": "x", "type": "quantitative", "scale": self._scales["x"], "axis": None,
                "_place": place}  # fmt: skip

    def _of(self, which: str, mark: Json, encoding: Json, far: str = "") -> Json:
        """A layer of the figures of which something holds."""
        x = dict(encoding["x"])
        transform = [{"filter": which}, {"calculate": x.pop("_place"), "as": "x"}]
        if far:
            transform.append({"calculate": far, "as": "x2"})
        return {
            "data": {"name": "series"}, "transform": transform, "mark": mark,
            "encoding": {**encoding, "x": x},
        }  # fmt: skip


def _number(value: int) -> int | float:
    """Millionths as the nearest number JSON readers have; the exact one stands beside it."""
    whole, rest = divmod(value, MICRO)
    return value / MICRO if rest else whole
