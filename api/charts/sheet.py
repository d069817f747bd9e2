"""The sheet a chart is drawn on: what stands around its figures, and the key of its lines.

Owns the places of texts, rules and colours, in pixels from the upper left, and which lines are told
together. The figures themselves are placed by `specs`.
"""

from __future__ import annotations

from typing import Any, Final

from api.charts.chart import Chart, ChartLine
from api.charts.look import BOLD_STROKE, MARGIN, Look, cut, family, line, width

#: Lines at most; the smallest ones beyond are told together. Parts of a bar have colours alone.
LINES_MAX: Final = 12
PARTS_MAX: Final = 7

#: Sizes of text: the title where it is short and where it is not, what else there is.
TITLE, SUBTITLE, BODY, SMALL, FIGURE = 22, 17, 14, 12, 24

#: Dashes of lines beyond the colours there are.
DASHES: Final[tuple[list[int], ...]] = ([1, 0], [7, 3])

Json = dict[str, Any]


def folded(chart: Chart, most: int) -> list[ChartLine]:
    """The chart's lines, and from the `most`th on one for all others."""
    lines = list(chart.lines)
    if len(lines) <= most:
        return lines
    kept, rest = lines[: most - 1], lines[most - 1 :]
    sums = tuple(
        sum(known) if (known := [value for value in column if value is not None]) else None
        for column in zip(*(each.values for each in rest), strict=True)
    )
    name = chart.say("others", count=str(len(rest)))
    return [*kept, ChartLine(name=name, values=sums)]


class Sheet:
    """One picture while it is laid out."""

    def __init__(self, chart: Chart, look: Look) -> None:
        self._chart = chart
        self._look = look
        self._texts: dict[tuple[Any, ...], list[Json]] = {}
        self._shapes: list[Json] = []
        self._top = 130 + (21 if chart.narrowed() else 0) + (14 if chart.unit() else 0)
        self._stacked = chart.stacked
        begun = [place for place, (start, _) in enumerate(chart.cuts) if start < chart.now]
        # Clocks of senders may be minutes ahead: what was counted is drawn.
        counted = [n for each in chart.lines for n, value in enumerate(each.values) if value]
        self._drawn = list(range(max((*begun, *counted), default=-1) + 1))
        self._single = len(chart.cuts) == 1
        self._foot_lines = self._foot_texts()
        self._bottom = chart.height - 66 - 16 * len(self._foot_lines)
        room = max(2, int((self._bottom - self._top) / 20))
        most = PARTS_MAX if self._stacked else LINES_MAX
        self._folds = len(chart.lines) > min(most, room)
        self._lines = folded(chart, min(most, room))
        self._key = len(self._lines) > 1 and not self._single
        self._left: float = MARGIN
        self._right: float = chart.width - MARGIN

    def _head(self) -> None:
        chart = self._chart
        whole: float = self._right - self._left
        total, taken = self._total(), 0.0
        if total is not None:
            taken = max(width(total, FIGURE) * 1.04, width(chart.say("total"), SMALL)) + 24
        # The title says more than the total: where both have no room, it is alone.
        title, size, room = chart.title(), SUBTITLE, whole
        for size, room in ((TITLE, whole - taken), (SUBTITLE, whole - taken), (SUBTITLE, whole)):
            if width(title, size * 1.03) <= room:
                break
        if total is not None and room < whole:
            self._write(self._right, 44, chart.say("total"), SMALL, align="right", muted=True)
            self._write(self._right, 72, total, FIGURE, align="right", bold=True)
        self._write(self._left, 44, cut(line(chart.tenant), BODY, room), BODY, muted=True)
        self._write(self._left, 72, cut(title, size * 1.03, room), size, bold=True)
        self._write(self._left, 95, cut(line(chart.range()), BODY, whole), BODY, muted=True)
        if chart.narrowed():
            self._write(self._left, 116, cut(chart.narrowed(), BODY, whole), BODY, muted=True)
        if chart.unit():
            self._write(self._left, self._top - 14, chart.unit(), SMALL, muted=True)

    def _total(self) -> str | None:
        chart = self._chart
        if not chart.adds_up or not self._drawn:
            return None
        return line(chart.amount(sum(each.total for each in chart.lines)))

    def _foot(self) -> None:
        told = self._foot_lines
        base = self._chart.height - 22
        for place, each in enumerate(reversed(told)):
            self._write(MARGIN, base - 16 * place, each, SMALL, muted=True)
        above = base - 4 - 16 * len(told)
        self._rule(MARGIN, above, self._chart.width - MARGIN, above, self._look.grid)

    def _foot_texts(self) -> list[str]:
        """Of when the figures are and what the signs mean, in as many lines as it takes."""
        chart = self._chart
        told = [chart.as_of(), chart.status()]
        if self._drawn and not self._single:
            if any(start < chart.now < end for start, end in chart.cuts):
                told.append(chart.say("lighter" if self._stacked else "dotted"))
            if len(self._drawn) < len(chart.cuts):
                told.append(chart.say("shaded"))
        lines = [line(told[0])]
        for each in map(line, told[1:]):
            longer = f"{lines[-1]} · {each}"
            if width(longer, SMALL) <= chart.width - 2 * MARGIN:
                lines[-1] = longer
            else:
                lines.append(each)
        return lines

    # -- the key at the right

    def _column(self) -> float:
        """How wide the key is."""
        chart = self._chart
        need = max(
            24 + max(width(each.name, BODY), width(self._figure(each), BODY))
            if self._tall()
            else 24 + width(each.name, SMALL + 1) + 16 + width(self._figure(each), SMALL + 1)
            for each in self._lines
        )
        return min(max(need, 110.0), chart.width * 0.3)

    def _tall(self) -> bool:
        return len(self._lines) * 46 <= self._bottom - self._top

    def _figure(self, each: ChartLine) -> str:
        chart = self._chart
        whole = line(chart.amount(each.total))
        return whole if self._tall() else line(chart.short(each.total))

    def _legend(self) -> None:
        """Every line with its name and its total, in the order in which they stand."""
        left = self._right + 28
        column = self._chart.width - MARGIN - left
        swatches: list[Json] = []
        for number, each in enumerate(self._lines):
            top = self._top + (46 if self._tall() else 20) * number
            swatches.append({"x": left, "x2": left + 16, "y": top + 5, "line": number})
            if self._tall():
                self._write(left + 24, top + 10, cut(each.name, BODY, column - 24), BODY)
                figure = cut(self._figure(each), BODY, column - 24)
                self._write(left + 24, top + 28, figure, BODY, muted=True)
            else:
                figure = self._figure(each)
                room = column - 40 - width(figure, SMALL + 1)
                self._write(left + 24, top + 9, cut(each.name, SMALL + 1, room), SMALL + 1)
                end = left + column
                self._write(end, top + 9, figure, SMALL + 1, align="right", muted=True)
        colour = self._coloured()
        if self._stacked:
            for each_swatch in swatches:
                each_swatch |= {"x2": each_swatch["x"] + 12, "y2": each_swatch["y"] + 6}
                each_swatch["y"] -= 6
            self._shapes.append(layer(swatches, {"type": "rect"}, colour))
        else:
            dashed = {
                "field": "line", "type": "nominal", "legend": None,
                "scale": {"domain": self._numbers(), "range": self._dashes()},
            }  # fmt: skip
            mark = {"type": "rule", "strokeWidth": 3}
            self._shapes.append(layer(swatches, mark, {**colour, "strokeDash": dashed}))

    # -- colours

    def _numbers(self) -> list[int]:
        return list(range(len(self._lines)))

    def _coloured(self) -> Json:
        colours = self._look.lines
        told = [colours[number % len(colours)] for number in self._numbers()]
        if self._folds:
            told[-1] = self._look.others
        scale = {"domain": self._numbers(), "range": told}
        return {"color": {"field": "line", "type": "nominal", "scale": scale, "legend": None}}

    def _dashes(self) -> list[list[int]]:
        colours = len(self._look.lines)
        told = [DASHES[min(number // colours, 1)] for number in self._numbers()]
        if self._folds:
            told[-1] = DASHES[0]
        return told

    # -- texts and rules

    def _write(
        self, x: float, y: float, told: str, size: int, *, align: str = "left",
        muted: bool = False, bold: bool = False,
    ) -> None:  # fmt: skip
        colour = self._look.muted if muted else self._look.ink
        style = (size, align, colour, bold, family(told))
        self._texts.setdefault(style, []).append({"x": round(x, 1), "y": round(y, 1), "t": told})

    def _text_layers(self) -> list[Json]:
        layers = []
        for (size, align, colour, bold, font), rows in self._texts.items():
            mark: Json = {
                "type": "text", "align": align, "baseline": "alphabetic", "fontSize": size,
                "color": colour, "font": f"{font}, sans-serif", "aria": False, "clip": False,
            }  # fmt: skip
            if bold:
                mark |= {"stroke": colour, "strokeWidth": BOLD_STROKE}
            layers.append(layer(rows, mark, {"text": {"field": "t", "type": "nominal"}}))
        return layers

    def _rule(self, x: float, y: float, x2: float, y2: float, colour: str) -> None:
        row = {"x": round(x, 1), "y": round(y, 1), "x2": round(x2, 1), "y2": round(y2, 1)}
        self._shapes.append(layer([row], {"type": "rule", "color": colour, "strokeWidth": 1}))


def layer(rows: list[Json], mark: Json, encoding: Json | None = None) -> Json:
    """Things at pixels of the picture."""
    told: Json = dict(encoding or {})
    for name in ("x", "y"):
        told[name] = {"field": name, "type": "quantitative", "scale": None, "axis": None}
    for name in ("x2", "y2"):
        if name in rows[0]:
            told[name] = {"field": name}
    return {"data": {"values": rows}, "mark": {"aria": False, **mark}, "encoding": told}
