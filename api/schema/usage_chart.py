"""Charts of usage as clients ask for them: a signed link that draws when it is followed.

Owns the words of a chart's request and what stands in its link. What is counted is asked as a
series is; how it is drawn is `api.charts`' to say.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import strawberry
from strawberry.types import Info

from api.charts.chart import check_size
from api.charts.look import HEIGHT, HEIGHTS, WIDTH, WIDTHS, Theme
from api.charts.worker import Form
from api.context import Context
from api.faults import Fault
from api.limits import LINK_LENGTH_MAX
from api.links import ROUTE, Link, expiry, path_of
from api.reports.chart import question
from api.reports.spec import ChartSpec, Format, Kind, Spec, file_name, spelt
from api.schema.download import Download, download_of
from api.schema.fields import computed
from api.schema.metric import Bucket, Dimension, Metric, UsageFilter
from api.schema.owner import Owner
from api.schema.range import RangeInput, interval
from api.schema.usage import chart_days, measures_of, only_of

#: What a link to a chart names.
OBJECT = "chart"


@strawberry.enum(description="What a chart is drawn as.")
class ChartFormat(Enum):
    PNG = strawberry.enum_value(
        Form.PNG.value, description="A picture, two of its pixels for each you ask for."
    )
    JPEG = strawberry.enum_value(Form.JPEG.value, description="The same, for what takes no PNG.")
    SVG = strawberry.enum_value(
        Form.SVG.value, description="Lines and letters, sharp at any size, in the font Noto Sans."
    )
    PDF = strawberry.enum_value(Form.PDF.value, description="The same with its fonts, to print.")


@strawberry.enum(description="What a chart stands on.")
class ChartTheme(Enum):
    LIGHT = strawberry.enum_value(Theme.LIGHT.value, description="White.")
    DARK = strawberry.enum_value(Theme.DARK.value, description="Nearly black.")


@strawberry.input(description="What a chart that is a report shows.")
class ChartInput:
    metrics: list[Metric] = strawberry.field(
        description="What to count: of one unit, counts or money or billed time."
    )
    bucket: Bucket = strawberry.field(default=Bucket.DAY, description="The length of a bucket.")
    group_by: list[Dimension] | None = strawberry.field(
        default=None, description="What to split by: one dimension, or two."
    )
    theme: ChartTheme = strawberry.field(default=ChartTheme.LIGHT, description="What it stands on.")
    width: int = strawberry.field(
        default=WIDTH, description=f"Pixels, {WIDTHS[0]} to {WIDTHS[-1]}."
    )
    height: int = strawberry.field(
        default=HEIGHT, description=f"Pixels, {HEIGHTS[0]} to {HEIGHTS[-1]}."
    )


def chart_spec(given: ChartInput) -> ChartSpec:
    """What is kept of a chart that somebody asks for; BAD_USER_INPUT for a size of none."""
    check_size(given.width, given.height)
    return ChartSpec(
        metrics=tuple(dict.fromkeys(metric.name for metric in given.metrics)),
        bucket=str(given.bucket.value),
        group_by=tuple(dict.fromkeys(each.name for each in given.group_by or ())),
        theme=str(given.theme.value),
        width=given.width,
        height=given.height,
    )


@strawberry.type
class TenantUsageChart(Owner):
    """The field of a tenant that draws its usage."""

    @computed(
        "A link to a chart of usage, drawn when it is followed, of the instant it was made. Its "
        "figures are those of `usageSeries`; it says of what range, zone and instant it is, and "
        "whether it may still change. Parts by category are bars, other lines are lines; beyond "
        "seven parts or twelve lines the smallest are told together. A range has at most "
        "`usageRanges.chartDays` local days. Needs `usage:read`; costs need `billing:read` too."
    )
    async def usage_chart(
        self,
        info: Info[Context, None],
        metrics: Annotated[
            list[Metric],
            strawberry.argument(
                description="What to count: of one unit, counts or money or billed time."
            ),
        ],
        range: Annotated[RangeInput, strawberry.argument(description="From when to when.")],
        bucket: Annotated[
            Bucket, strawberry.argument(description="The length of a bucket.")
        ] = Bucket.DAY,
        filter: Annotated[
            UsageFilter | None, strawberry.argument(description="What to count of.")
        ] = None,
        group_by: Annotated[
            list[Dimension] | None,
            strawberry.argument(description="What to split by: one dimension, or two."),
        ] = None,
        format: Annotated[
            ChartFormat, strawberry.argument(description="What it is drawn as.")
        ] = ChartFormat.PNG,
        theme: Annotated[
            ChartTheme, strawberry.argument(description="What it stands on.")
        ] = ChartTheme.LIGHT,
        locale: Annotated[
            str | None,
            strawberry.argument(
                description="A language tag such as `id` or `es-CO`: of its words, in English "
                "where we have none, and numbers. Default: the tenant's."
            ),
        ] = None,
        width: Annotated[
            int, strawberry.argument(description=f"Pixels, {WIDTHS[0]} to {WIDTHS[-1]}.")
        ] = WIDTH,
        height: Annotated[
            int, strawberry.argument(description=f"Pixels, {HEIGHTS[0]} to {HEIGHTS[-1]}.")
        ] = HEIGHT,
    ) -> Download:
        context = info.context
        measures_of(context, metrics)
        start, end = interval(range, self.record.zone, context.now)
        given = ChartInput(
            metrics=metrics, bucket=bucket, group_by=group_by, theme=theme, width=width,
            height=height,
        )  # fmt: skip
        spec = Spec(
            kind=Kind.USAGE_CHART, format=Format[format.name], start=start, end=end,
            only=tuple((dimension.name, values) for dimension, values in only_of(filter)),
            locale=locale or "", chart=chart_spec(given),
        )  # fmt: skip
        # Whoever asks is told what is wrong, no reader.
        question(self.record, spec, context.now, days_max=chart_days(context, self.record))
        link = Link(
            object=OBJECT, tenant_id=self.record.tenant_id, since=start, until=end,
            format=spec.format.value, name=file_name(spec, self.record.key, self.record.zone),
            expires_at=expiry(context.now), of=spelt(spec),
        )  # fmt: skip
        if len(path_of(context.signing, link)) > len(ROUTE) + 1 + LINK_LENGTH_MAX:
            raise Fault(
                "BAD_USER_INPUT",
                "`filter` is too long for a link: name fewer values, or make a report of it",
            )
        return download_of(context, link)
