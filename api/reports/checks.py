"""What a report may be asked as: which forms, filters and ranges its kind has.

Owns those refusals; who may have it is `spec.scopes`' to say. Whoever asks is told at once, not by
a file that never comes.
"""

from __future__ import annotations

from api.reports import parquet_file
from api.reports.kinds import NARROWED_BY, of_usage
from api.reports.spec import CHART_FORMATS, TABLE_FORMATS, Format, Kind, Spec
from api.usage.filters import FIELDS
from api.usage.question import check_hours
from domain.problems import Problem
from domain.ranges import CHART_DAYS
from persistence.tenants import TenantRecord
from persistence.usage import Dimension


def check(spec: Spec) -> None:
    """Raise a Problem for what a kind cannot be had as, whatever its range."""
    kind, is_chart = spec.kind, spec.kind is Kind.USAGE_CHART
    formats = CHART_FORMATS if is_chart else TABLE_FORMATS
    if spec.format not in formats:
        known = ", ".join(each.name for each in formats)
        message = f"{kind.name} is no {spec.format.name}: write one of {known}"
        raise Problem("INVALID", message, "report.format")
    if spec.format is Format.PARQUET and not parquet_file.is_there():
        raise Problem("UNAVAILABLE", parquet_file.MISSING, "report.format")
    if is_chart and spec.chart is None:
        message = "`chart` is missing: say what the picture is to show"
        raise Problem("INVALID", message, "report.chart")
    if not is_chart and spec.chart is not None:
        message = f"{kind.name} is a table: leave `chart` out, or ask for USAGE_CHART"
        raise Problem("INVALID", message, "report.chart")
    allowed = NARROWED_BY[kind]
    for name, _ in spec.only:
        if Dimension[name] not in allowed:
            by = ", ".join(FIELDS[each] for each in Dimension if each in allowed) or "nothing"
            message = f"{kind.name} is narrowed by {by}: leave the rest out"
            raise Problem("INVALID", message, f"report.filter.{FIELDS[Dimension[name]]}")


def check_range(
    tenant: TenantRecord, spec: Spec, now: int, *, chart_days: int = CHART_DAYS
) -> None:
    """Raise BAD_USER_INPUT for a range, or a chart, that a kind has nothing to say of.

    `chart_days` is the plan's; a month, the longest that schedules have, is in every plan's.
    """
    if spec.chart is not None:
        from api.reports.chart import question  # it draws, which most who ask do not need

        question(tenant, spec, now, days_max=chart_days)
    elif of_usage(spec.kind):
        check_hours(tenant.zone, spec.start, spec.end)
