"""Reports as clients ask for them: what a file lists, its form, its range and its filter.

Owns the words of a report and the list of its columns; how one is made, and where its file is, is
an export's to say.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

import strawberry
from strawberry.types import Info

from api.charts.look import HEIGHT, WIDTH
from api.context import Context
from api.limits import REPORT_RECIPIENTS_MAX
from api.reports.kinds import COLUMNS
from api.reports.spec import ChartSpec, Format, Kind, Spec, read
from api.schema.amount import locale_of
from api.schema.fields import computed
from api.schema.metric import Bucket, Dimension, Metric, UsageFilter
from api.schema.range import RangeInput
from api.schema.scalars import DateTime
from api.schema.usage import only_of
from api.schema.usage_chart import ChartInput, ChartTheme, chart_spec
from persistence.reports import Shape


@strawberry.enum(description="What a report lists.")
class ReportKind(Enum):
    BROADCASTS = strawberry.enum_value(
        Kind.BROADCASTS.value,
        description="The broadcasts that began in the range, a row each, with all they came to.",
    )
    WHATSAPP_USAGE = strawberry.enum_value(
        Kind.WHATSAPP_USAGE.value,
        description="WhatsApp: a row per local day, number, direction, country, category, user "
        "and broadcast.",
    )
    VISITORS = strawberry.enum_value(
        Kind.VISITORS.value,
        description="Visitors: a row per local day, number and country. It has no costs.",
    )
    OTHER_SERVICES = strawberry.enum_value(
        Kind.OTHER_SERVICES.value,
        description="All channels but WhatsApp: a row per local day, number, direction, country, "
        "category, user and broadcast.",
    )
    CHARGES = strawberry.enum_value(
        Kind.CHARGES.value,
        description="What each fact cost, by which rule, and which lots paid, as it stands after "
        "all corrections. Needs `billing:read`.",
    )
    LEDGER = strawberry.enum_value(
        Kind.LEDGER.value,
        description="Every movement of every balance, in double entry. Needs `billing:read`.",
    )
    PURCHASES = strawberry.enum_value(
        Kind.PURCHASES.value,
        description="Top-ups that were bought, and refills. Needs `billing:read`.",
    )
    USAGE_CHART = strawberry.enum_value(
        Kind.USAGE_CHART.value, description="A picture of usage over time."
    )


@strawberry.enum(description="What a report is written as.")
class ReportFormat(Enum):
    CSV = strawberry.enum_value(
        Format.CSV.value,
        description="Text in UTF-8 with a byte order mark, commas between cells, a point in "
        "decimals. A cell of text that a spreadsheet would run begins with an apostrophe.",
    )
    XLSX = strawberry.enum_value(
        Format.XLSX.value,
        description="A workbook: numbers, dates and instants (in UTC) are such; a number of more "
        "than 15 digits, which no spreadsheet keeps, is text. A full sheet has another behind it.",
    )
    PARQUET = strawberry.enum_value(
        Format.PARQUET.value,
        description="Typed columns for programs, decimals exact, text as it was sent; where the "
        "installation has it.",
    )
    PNG = strawberry.enum_value(Format.PNG.value, description="A picture; of `USAGE_CHART`.")
    JPEG = strawberry.enum_value(Format.JPEG.value, description="The same, for what takes no PNG.")
    SVG = strawberry.enum_value(Format.SVG.value, description="Lines and letters, sharp anywhere.")
    PDF = strawberry.enum_value(Format.PDF.value, description="The same, to print.")


@strawberry.enum(description="What the values of a column are.")
class ReportColumnType(Enum):
    TEXT = strawberry.enum_value(Shape.TEXT.value, description="Text.")
    DATE = strawberry.enum_value(Shape.DATE.value, description="A local day, as 2026-11-23.")
    INSTANT = strawberry.enum_value(
        Shape.INSTANT.value, description="An instant in UTC, as 2026-11-23T01:15:53Z."
    )
    INTEGER = strawberry.enum_value(Shape.INTEGER.value, description="A whole number.")
    DECIMAL = strawberry.enum_value(
        Shape.DECIMAL.value, description="An exact number of up to 6 decimals."
    )


@strawberry.type(description="A column of a report.")
class ReportColumn:
    name: str = strawberry.field(description="What it is called in the file; it never changes.")
    type: ReportColumnType = strawberry.field(description="What its values are.")
    unit: str | None = strawberry.field(description="Of its values; null: they have none.")
    description: str = strawberry.field(description="What it says.")
    cost: bool = strawberry.field(description="Whether a report without costs leaves it out.")


@strawberry.type(description="One dimension that a report is narrowed to.")
class ReportFilterValues:
    dimension: Dimension = strawberry.field(description="Which one.")
    values: list[str] = strawberry.field(description="What is in the report; empty: nothing is.")


@strawberry.type(description="What a report's picture shows, as `ChartInput` asked for it.")
class ReportChart:
    metrics: list[Metric] = strawberry.field(description="What it counts.")
    bucket: Bucket = strawberry.field(description="The length of a bucket.")
    group_by: list[Dimension] = strawberry.field(description="What it is split by.")
    theme: ChartTheme = strawberry.field(description="What it stands on.")
    width: int = strawberry.field(description="In pixels.")
    height: int = strawberry.field(description="In pixels.")

    @classmethod
    def of(cls, spec: ChartSpec) -> ReportChart:
        return cls(
            metrics=[Metric[name] for name in spec.metrics],
            bucket=Bucket(spec.bucket),
            group_by=[Dimension[name] for name in spec.group_by],
            theme=ChartTheme(spec.theme),
            width=spec.width or WIDTH,
            height=spec.height or HEIGHT,
        )


@strawberry.type
class Reported:
    """What there is to say of a report, whatever its days are: what `ReportInput` takes."""

    kind: ReportKind = strawberry.field(description="What it lists.")
    format: ReportFormat = strawberry.field(description="What it is written as.")
    filter: list[ReportFilterValues] = strawberry.field(
        description="What it is narrowed to, a dimension each; none: it is of everything."
    )
    costs: bool = strawberry.field(description="Whether its columns of costs are in it.")
    locale: str | None = strawberry.field(
        description="Of pictures and letters; null: the tenant's."
    )
    chart: ReportChart | None = strawberry.field(
        description="What its picture shows; null: it is a table."
    )
    recipients: list[str] = strawberry.field(description="Addresses it is mailed to.")


def reported(spec: Spec) -> dict[str, Any]:
    """The values of `Reported`."""
    return {
        "kind": ReportKind(spec.kind.value),
        "format": ReportFormat(spec.format.value),
        "filter": [
            ReportFilterValues(dimension=Dimension[name], values=list(values))
            for name, values in spec.only
        ],
        "costs": spec.costs,
        "locale": spec.locale or None,
        "chart": None if spec.chart is None else ReportChart.of(spec.chart),
        "recipients": list(spec.recipients),
    }


@strawberry.type(description="What an export that is a report lists.")
class Report(Reported):
    start: DateTime = strawberry.field(description="The first instant of its range.")
    end: DateTime = strawberry.field(description="The first instant after it.")

    @classmethod
    def read(cls, text: str | None) -> Report | None:
        """The report of a stored spec; None: there is none."""
        if text is None:
            return None
        spec = read(text)
        return cls(start=DateTime(spec.start), end=DateTime(spec.end), **reported(spec))


@strawberry.input(description="A report that somebody wants as a file.")
class ReportInput:
    kind: ReportKind = strawberry.field(description="What it lists.")
    format: ReportFormat = strawberry.field(description="What it is written as.")
    range: RangeInput = strawberry.field(
        description="From when to when, however long; of usage by whole hours, a chart's at most "
        "`usageRanges.chartDays` local days."
    )
    filter: UsageFilter | None = strawberry.field(
        default=None,
        description="What to list of: of usage and charges by every field, of broadcasts by "
        "`broadcasts`, of the ledger and purchases by none.",
    )
    costs: bool = strawberry.field(
        default=True,
        description="Whether to show what it cost, which needs `billing:read`. What charges, the "
        "ledger and purchases say is of money anyway.",
    )
    locale: str | None = strawberry.field(
        default=None,
        description="A language tag such as `id` or `es-CO`, of pictures and letters; the figures "
        "of tables are written alike everywhere. Default: the tenant's.",
    )
    chart: ChartInput | None = strawberry.field(
        default=None, description="What the picture shows; of `USAGE_CHART` alone."
    )
    recipients: list[str] | None = strawberry.field(
        default=None,
        description="Addresses it is mailed to when it is done, each in a letter of its own; at "
        f"most {REPORT_RECIPIENTS_MAX}. Needs `billing:write` too.",
    )


def spec_of(
    *,
    kind: ReportKind,
    format: ReportFormat,
    filter: UsageFilter | None = None,
    costs: bool = True,
    locale: str | None = None,
    chart: ChartInput | None = None,
    recipients: list[str] | None = None,
    range: RangeInput | None = None,
) -> Spec:
    """What is asked for, without the instants of its range; checks a filter and a locale."""
    if locale:
        locale_of(locale)
    preset = range.preset if range is not None and range.preset else None
    return Spec(
        kind=Kind[kind.name],
        format=Format[format.name],
        start=0,
        end=0,
        only=tuple((dimension.name, values) for dimension, values in only_of(filter)),
        costs=costs,
        locale=locale or "",
        chart=None if chart is None else chart_spec(chart),
        recipients=tuple(recipients or ()),
        preset="" if preset is None else preset.name,
    )


@strawberry.type
class ReportQueries:
    """The query that says what stands in reports."""

    @computed(
        "The columns of a kind of report, in their order: the same in every form of it. A column "
        "may come behind the others, none is ever renamed, moved or taken away."
    )
    def report_columns(
        self,
        info: Info[Context, None],
        kind: Annotated[ReportKind, strawberry.argument(description="What it lists.")],
    ) -> list[ReportColumn]:
        info.context.caller()
        return [
            ReportColumn(
                name=column.name,
                type=ReportColumnType(column.shape.value),
                unit=column.unit or None,
                description=column.description,
                cost=column.money,
            )
            for column in COLUMNS[Kind[kind.name]]
        ]
