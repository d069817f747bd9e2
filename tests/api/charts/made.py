"""Charts that tests draw: of figures written here, of a tenant in Jakarta unless said otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api.charts.chart import Chart, chart_of
from api.usage import Answer, Line, Question, question_of, selection_of
from domain.periods import DAY, HOUR, Unit, Zone, month_label, zone
from persistence.tenants import TenantRecord
from persistence.usage import Dimension, Measure

JAKARTA = zone("Asia/Jakarta")
START = JAKARTA.month_bounds(month_label(2026, 11))[0]
NOON = START + 9 * DAY + 12 * HOUR


def tenant(name: str = "Kopi Senja", locale: str = "en", currency: str = "IDR") -> TenantRecord:
    return TenantRecord(
        tenant_id=1, key="kopi", name=name, zones='[[null, "Asia/Jakarta"]]', currency=currency,
        country="ID", locale=locale, plan="p", status="active", since=None, created_at=0,
    )  # fmt: skip


def made(
    lines: Sequence[tuple[tuple[str, ...], Sequence[int]]],
    *,
    measures: Sequence[Measure] = (Measure.MESSAGES_OUT,),
    split: Sequence[Dimension] = (),
    start: int = START,
    now: int = NOON,
    bucket: Unit = "day",
    where: Zone = JAKARTA,
    end: int | None = None,
    narrowed: Any = (),
    of: TenantRecord | None = None,
    final: bool = False,
    **how: Any,
) -> Chart:
    """A chart of lines: a key and its sums each, one line of each measure in turn."""
    count = max(len(sums) for _, sums in lines) if lines else 7
    if end is None:
        end = start + count * (HOUR if bucket == "hour" else DAY)
    question: Question = question_of(
        zone=where, tenant_id=1, now=now, start=start, end=end, bucket=bucket,
        selection=selection_of(measures, split, narrowed),
    )  # fmt: skip
    frame = question.frame()
    answer = Answer(
        frame,
        [
            Line(measures[n % len(measures)] if not split else measures[0], key, list(sums))
            for n, (key, sums) in enumerate(lines)
        ],
    )
    return chart_of(question, answer, of or tenant(), final=final, **how)


def texts(spec: dict[str, Any]) -> list[str]:
    """All that is written on a picture."""
    return [
        row["t"]
        for layer in spec["layer"]
        if layer["mark"]["type"] == "text"
        for row in layer["data"]["values"]
    ]
