"""A chart as a file: from what is kept of it to the picture, for reports and for signed links.

Owns how a kept specification of a report is asked and drawn. The figures are those a series of the
same question has; what a chart looks like is `api.charts`' to say.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

from api.charts.chart import Chart, chart_of, check_scale, check_size
from api.charts.drawing import draw
from api.charts.look import HEIGHT, WIDTH, Theme
from api.charts.worker import Form
from api.faults import Fault
from api.reports.spec import Spec
from api.schema.amount import locale_of
from api.usage import Question, ask, question_of, selection_of
from domain.periods import Unit
from persistence import settlements
from persistence.door import Door
from persistence.tenants import TenantRecord
from persistence.usage import Dimension, Measure

#: Metrics and dimensions of one chart: what can still be told apart.
METRICS_MAX = 8


def question(
    tenant: TenantRecord, spec: Spec, now: int, *, days_max: int | None = None
) -> Question:
    """What a chart asks; BAD_USER_INPUT where it is no chart that can be drawn.

    `days_max` is of the plan at the time it is asked for; what was begun is drawn.
    """
    chart = spec.chart
    if chart is None:
        raise Fault("BAD_USER_INPUT", "`chart` is missing: say what the picture is to show")
    if len(set(chart.metrics)) > METRICS_MAX:
        raise Fault("BAD_USER_INPUT", f"`metrics` has more than {METRICS_MAX}: draw them apart")
    check_size(chart.width or WIDTH, chart.height or HEIGHT)
    if spec.locale:
        locale_of(spec.locale)
    selection = selection_of(
        [Measure[name] for name in chart.metrics],
        [Dimension[name] for name in chart.group_by],
        tuple((Dimension[name], values) for name, values in spec.only),
    )
    check_scale(selection.measures)
    return question_of(
        zone=tenant.zone, tenant_id=tenant.tenant_id, now=now, start=spec.start, end=spec.end,
        bucket=cast(Unit, chart.bucket), selection=selection, days_max=days_max,
    )  # fmt: skip


def theme(spec: Spec) -> Theme:
    """What a chart stands on."""
    assert spec.chart is not None
    return Theme(spec.chart.theme)


async def chart(door: Door, tenant: TenantRecord, spec: Spec, now: int) -> Chart:
    """The chart as it is at an instant, with figures of now."""
    asked = question(tenant, spec, now)
    assert spec.chart is not None
    # Closed first: what is counted then is final, if that is said.
    (closed,) = await settlements.closed_until(door, [tenant.tenant_id])
    (answer,) = await ask(door, [asked])
    return await asyncio.to_thread(
        chart_of, asked, answer, tenant, final=closed is not None and closed >= spec.end,
        locale=spec.locale, width=spec.chart.width, height=spec.chart.height,
    )  # fmt: skip


async def chart_file(door: Door, tenant: TenantRecord, spec: Spec, path: Path, now: int) -> bool:
    """Draw a chart into a file; whether its figures are final."""
    found = await chart(door, tenant, spec, now)
    drawn = await draw(found, Form(spec.format.value), theme(spec))
    await asyncio.to_thread(path.write_bytes, drawn)
    return found.final
