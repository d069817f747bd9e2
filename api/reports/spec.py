"""What a report is of: its kind, form, range and filter, as it is asked for and kept.

Owns the stored shape of that, which outlives releases: a field may come, none changes its meaning.
Which columns a kind has is `kinds`' to say.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec

from domain.periods import Zone, date_of, iso

USAGE_SCOPE: Final = "usage:read"
BILLING_SCOPE: Final = "billing:read"


class Kind(StrEnum):
    """What a report lists; stored."""

    BROADCASTS = "broadcasts"
    WHATSAPP_USAGE = "whatsapp_usage"
    VISITORS = "visitors"
    OTHER_SERVICES = "other_services"
    CHARGES = "charges"
    LEDGER = "ledger"
    PURCHASES = "purchases"
    USAGE_CHART = "usage_chart"


class Format(StrEnum):
    """What a report is written as; stored, and the ending of its file's name."""

    CSV = "csv"
    XLSX = "xlsx"
    PARQUET = "parquet"
    PNG = "png"
    JPEG = "jpeg"
    SVG = "svg"
    PDF = "pdf"


#: What tables can be had as, and what a picture can.
TABLE_FORMATS: Final = (Format.CSV, Format.XLSX, Format.PARQUET)
CHART_FORMATS: Final = (Format.PNG, Format.JPEG, Format.SVG, Format.PDF)

MEDIA_TYPES: Final = {
    Format.CSV: "text/csv; charset=utf-8",
    Format.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    Format.PARQUET: "application/vnd.apache.parquet",
    Format.PNG: "image/png",
    Format.JPEG: "image/jpeg",
    Format.SVG: "image/svg+xml",
    Format.PDF: "application/pdf",
}

#: Kinds that say what was paid and by what: money through and through.
_OF_BILLING: Final = frozenset((Kind.CHARGES, Kind.LEDGER, Kind.PURCHASES))
#: What measures that are money begin with, as `persistence.usage.Measure` names them.
_MONEY: Final = "COST"


class ChartSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a report's picture shows; names of members, upper case."""

    metrics: tuple[str, ...]  #: of `persistence.usage.Measure`
    bucket: str  #: a `domain.periods.Unit`
    group_by: tuple[str, ...] = ()  #: of `persistence.usage.Dimension`
    theme: str = "light"
    width: int = 0  #: in pixels; 0: as charts are
    height: int = 0


class Spec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One report."""

    kind: Kind
    format: Format
    start: int  #: instants `[start, end)`; of reports by days both are local midnights
    end: int
    only: tuple[tuple[str, tuple[str, ...]], ...] = ()  #: by names of `usage.Dimension`, its values
    costs: bool = True  #: whether the columns of money are in it
    locale: str = ""  #: of pictures and letters; "": the tenant's
    chart: ChartSpec | None = None  #: of a USAGE_CHART
    recipients: tuple[str, ...] = ()  #: addresses it is mailed to when it is done
    preset: str = ""  #: the range's name where it has one; `start` and `end` are what it meant


def moved(one: Spec, other: Spec) -> bool:
    """Whether two differ in what the name of their range meant when they were asked for alone."""
    there = msgspec.structs.replace(one, start=other.start, end=other.end)
    return bool(one.preset) and one != other and there == other


def spelt(spec: Spec) -> str:
    """A spec as it is stored: the same one gives the same text."""
    return msgspec.json.encode(spec).decode()


def read(text: str) -> Spec:
    """A spec as it was stored."""
    return msgspec.json.decode(text, type=Spec)


def scopes(spec: Spec) -> tuple[str, ...]:
    """What somebody has to be allowed to have this report (PE-1)."""
    if spec.kind in _OF_BILLING:
        return (BILLING_SCOPE,)
    if spec.chart is not None:
        money = any(metric.startswith(_MONEY) for metric in spec.chart.metrics)
    else:
        money = spec.costs and spec.kind is not Kind.VISITORS
    return (USAGE_SCOPE, BILLING_SCOPE) if money else (USAGE_SCOPE,)


def words(spec: Spec) -> dict[str, Any]:
    """A spec as the audit tells it."""
    told: dict[str, Any] = {
        "kind": spec.kind.name,
        "format": spec.format.name,
        "start": iso(spec.start),
        "end": iso(spec.end),
        "costs": spec.costs,
    }
    if spec.only:
        told["filter"] = {name: list(values) for name, values in spec.only}
    if spec.recipients:
        told["recipients"] = list(spec.recipients)
    return told


def file_name(spec: Spec, tenant_key: str, zone: Zone) -> str:
    """What its file is called: kind, tenant and local days."""
    from api.documents.files import safe  # it brings all that prints, which asking does not need

    first, last = (date_of(zone.date(at)).isoformat() for at in (spec.start, spec.end - 1))
    days = first if first == last else f"{first}-{last}"
    stem = f"{spec.kind.value.replace('_', '-')}-{tenant_key}-{days}"
    return f"{safe(stem)}.{spec.format.value}"
