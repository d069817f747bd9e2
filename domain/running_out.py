"""Running out: when a forecast is told as an alert, and when it is told to be over.

Owns the crossing in days: told once when a balance is forecast to run out sooner than its tenant
wants to know, told to be over a quarter later than that, for a forecast trembles. What is forecast
is `forecast`'s; the mark stands among those of thresholds that are passed.
"""

from __future__ import annotations

from collections.abc import Mapping

from domain.fold import advance
from domain.forecast import Forecast, Outlook
from domain.money import MICRO
from domain.periods import DAY, Period, period
from domain.state import Changes, State
from domain.terms import Terms
from domain.thresholds import RUNNING_OUT_DAYS
from domain.watch import (
    Alert,
    AlertCause,
    AlertKind,
    Mark,
    Measure,
    Threshold,
    fold,
    held,
)


def wanted(terms: Terms, balance_id: int) -> Threshold | None:
    """Below which days a balance is told to run out; None: it is not told.

    One that is refilled by itself is not: it is charged instead, and tells that.
    """
    policy = terms.refills.get(balance_id)
    days = terms.running_out.get(balance_id, RUNNING_OUT_DAYS)
    if not days or (policy is not None and policy.enabled):
        return None
    return Threshold(Measure.DAYS, days * MICRO)


def crossed(
    terms: Terms, below: set[Mark] | None, forecasts: Mapping[int, Forecast]
) -> list[tuple[Mark, AlertKind, int]]:
    """What there is to tell: of which mark, and for how many micros of days the balance lasts.

    A balance that is used up was told so; one that was used for too short says nothing new.
    """
    found: list[tuple[Mark, AlertKind, int]] = []
    for balance_id, forecast in sorted(forecasts.items()) if below is not None else ():
        line, lasts = wanted(terms, balance_id), _lasts(forecast)
        marks = marked(below, balance_id)
        for mark in marks:
            if mark[1] != line or _is_over(forecast, mark[1]):
                found.append((mark, AlertKind.RECOVERED, lasts or 0))
        if line is None or lasts is None or forecast.outlook is not Outlook.RUNS_OUT:
            continue
        if lasts < line.value and (balance_id, line) not in marks:
            found.append(((balance_id, line), AlertKind.RUNNING_OUT, lasts))
    return found


def _is_over(forecast: Forecast, line: Threshold) -> bool:
    """Whether what was told is over: by a quarter, or it lasts until it is granted, even at worst.

    Where only the next grant is close, that is waited for.
    """
    if forecast.outlook is Outlook.LASTS_PERIOD:
        return forecast.earliest is None
    lasts = _lasts(forecast)
    return lasts is not None and 4 * lasts >= 5 * line.value


def marked(below: set[Mark] | None, balance_id: int) -> list[Mark]:
    """The marks that say that a balance was told to run out."""
    return sorted(
        mark for mark in below or () if mark[0] == balance_id and mark[1].measure is Measure.DAYS
    )


def _lasts(forecast: Forecast) -> int | None:
    """Micros of days for which a balance lasts, as far as was looked; None: nothing is known."""
    if forecast.outlook is Outlook.RUNS_OUT:
        return forecast.days_left
    if forecast.until is None:
        return None
    return (forecast.until - forecast.at) * MICRO // DAY


def tell(terms: Terms, state: State, forecasts: Mapping[int, Forecast], now: int) -> Changes:
    """Raise what forecasts bring about on a locked tenant, its lots loaded."""
    changes = advance(terms, state, now)
    span = period(terms.zone, now)
    alerts: list[Alert] = []
    for (balance_id, (measure, value)), kind, lasts in crossed(terms, state.below, forecasts):
        whole = _whole(terms, state, balance_id, span, now)
        credit = terms.at(now).balances[balance_id].credit_limit
        if kind is AlertKind.RUNNING_OUT and whole + credit <= 0:
            continue  # it was used up since, and told so
        alerts.append(
            Alert(
                balance_id, kind, measure, value, whole, lasts, now, AlertCause.FORECAST,
                f"forecast/{now}",
            )
        )  # fmt: skip
    if state.below is not None:
        fold(state.below, alerts)
    changes.alerts += alerts
    return changes


def _whole(terms: Terms, state: State, balance_id: int, span: Period, now: int) -> int:
    """What is left of all lots of a balance."""
    allowance = terms.allowance(balance_id, span)
    if terms.since is not None and now < terms.since:
        allowance = 0
    lots = state.lots.get(balance_id, ())
    return held(terms.at(now).balances[balance_id], lots, allowance, span, now).whole
