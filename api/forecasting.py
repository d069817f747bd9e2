"""Forecasting: what a balance's figures and history say together, and the job that tells of it.

Owns which figures a forecast takes of a balance, and the look at tenants that moved: each hourly at
most, fifty at a time, with rests between. A forecast is made without the tenant's lock; under it is
decided what is told, so it is told once. What a forecast says is `domain.forecast`'s, what is told
`domain.running_out`'s.

Open holds count where a forecast is shown, and not where it is told: holds raise no alerts (AL-4).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import asyncpg
import structlog

from api.lanes import of_the_data
from domain import figures
from domain.figures import Figures, LotUse
from domain.forecast import Forecast, Part, forecast
from domain.periods import HOUR, MINUTE, Zone, period
from domain.plans import BalancePlan
from domain.reading import Pot, Reading
from domain.refill_policy import RefillPolicy
from domain.rhythm import Rhythm
from domain.running_out import crossed, marked, tell, wanted
from domain.state import Changes
from domain.terms import Terms
from domain.watch import Mark
from persistence import alerts, balances, forecasts, load, looks, record, terms
from persistence.catalogue import Catalogue
from persistence.connection import Connection
from persistence.door import CONNECTION_LOST, Door
from persistence.forecasts import Busy, History
from persistence.show import Show

#: Microseconds between two looks at one tenant, and at all of them where none was due.
LOOK_AGAIN = HOUR
REST = MINUTE

#: Microseconds for which a tenant that cannot be looked at is left alone.
SET_ASIDE = HOUR

log = structlog.get_logger("kuota.forecasting")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One balance, as its reading shows it."""

    balance: BalancePlan
    figures: Figures
    lots: Sequence[LotUse]  #: all that the reading has
    zone: Zone
    reading: Reading
    next_allowance: int  #: what the next period grants
    policy: RefillPolicy | None = None


def predict(told: Told, history: History) -> Forecast:
    """When a balance runs out: when a send could no longer be paid (BA-2)."""
    at, shown = told.reading.at, told.figures
    rhythm = Rhythm(
        zone=told.zone,
        at=at,
        days=history.days.get(told.balance.key, {}),
        hours=_busy(told.balance, history.hours),
    )
    later = [lot for lot in told.lots if lot.starts_at > at]
    lots = [lot for lot in (*shown.lots, *later) if not lot.ended(at)]
    owed = sum(max(-lot.left, 0) for lot in lots)
    beyond = told.balance.credit_limit - shown.held
    policy = told.policy
    return forecast(
        rhythm,
        _parts(lots, at),
        spare=beyond - owed,
        resets_at=told.reading.period.end if told.next_allowance else None,
        # A refill looks at what remains, without credit and holds (RF-1).
        level=policy.minimum + beyond if policy is not None and policy.enabled else None,
    )


def _parts(lots: Iterable[LotUse], at: int) -> list[Part]:
    """What is left, by when it may be used: lots that live as long are one, however many."""
    left: dict[tuple[int, int | None], int] = {}
    for lot in lots:
        if lot.left > 0:
            key = (at if lot.starts_at <= at else lot.starts_at, lot.ends_at)
            left[key] = left.get(key, 0) + lot.left
    return [Part(amount, starts_at, ends_at) for (starts_at, ends_at), amount in left.items()]


def _busy(balance: BalancePlan, hours: Mapping[int, Busy]) -> dict[int, int]:
    """How busy hours are, by what the balance pays for."""
    if balance.currency is not None:
        return {at: each.cost for at, each in hours.items()}
    if balance.unit == "visitor":
        return {at: each.visitors for at, each in hours.items()}
    if balance.unit == "conversation":
        return {at: each.conversations for at, each in hours.items()}
    return {at: each.units for at, each in hours.items()}


class Forecasting:
    """The step of the jobs that looks ahead."""

    def __init__(
        self, door: Door, catalogue: Catalogue, now: Callable[[], int], show: Show
    ) -> None:
        self._door = door
        self._catalogue = catalogue
        self._now = now
        self._show = show
        self._rests_until = 0
        self._aside: dict[int, int] = {}  #: tenants that failed, and when they are tried again
        self._busy: set[int] = set()  #: tenants that somebody held

    async def step(self) -> bool:
        """Look at those that are due; gives whether there may be more at this moment."""
        now = self._now()
        if now < self._rests_until:
            return False
        self._aside = {tenant: until for tenant, until in self._aside.items() if now < until}
        passed_over = self._busy | self._aside.keys()
        tenants = await looks.due(self._door, now - LOOK_AGAIN, passed_over)
        await self._apart(tenants)
        more = len(tenants) == looks.LOOKED_MAX
        if not more:
            self._rests_until = now + REST
            self._busy.clear()
        return more

    async def _apart(self, tenants: Sequence[int]) -> None:
        """Look at tenants together; where one of them cannot be, find it and set it aside."""
        if not tenants:
            return
        try:
            await self.look(tenants)
        except CONNECTION_LOST:
            raise
        except Exception as error:
            if isinstance(error, asyncpg.PostgresError) and not of_the_data(error):
                raise  # a full disk or a missing table is no tenant's fault
            if len(tenants) > 1:
                half = len(tenants) // 2
                await self._apart(tenants[:half])
                await self._apart(tenants[half:])
                return
            self._aside[tenants[0]] = self._now() + SET_ASIDE
            expected = isinstance(error, asyncpg.PostgresError)
            why = str(error)
            log.error("no forecast", tenant=tenants[0], why=why, exc_info=not expected)

    async def look(self, tenants: Sequence[int]) -> None:
        """Forecast the balances of tenants, and tell what there is to tell."""
        now = self._now()
        async with self._door.tenant_tx(*tenants) as connection:
            own = {
                each.tenant_id: each
                for each in await terms.by_ids(connection, self._catalogue, tenants)
            }
            heads = await load.heads(connection, tenants)
        marks = {tenant: alerts.marks(head["below"]) for tenant, head in heads.items()}
        found = await self._forecasts(own, marks, now)
        quiet, telling = list[tuple[int, int]](), dict[int, dict[int, Forecast]]()
        for tenant, (version, told) in found.items():
            if crossed(own[tenant], marks[tenant], told):
                telling[tenant] = told
            else:
                quiet.append((tenant, version))
        changed: list[Changes] = []
        async with self._door.tenant_tx(*tenants) as connection:
            if telling:
                changed = await self._tell(connection, telling, now)
            told_now = [(each.terms.tenant_id, each.state.version) for each in changed]
            await looks.looked(connection, [*quiet, *told_now], now)
        self._show.commits([each for each in changed if not each.empty], now)

    async def _forecasts(
        self, own: Mapping[int, Terms], marks: Mapping[int, set[Mark] | None], now: int
    ) -> dict[int, tuple[int, dict[int, Forecast]]]:
        """By tenant, the version that was seen and, by balance, what is forecast of it."""
        asked = [
            balances.Asked(
                tenant_id=tenant, at=now, period=period(each.zone, now), day=None
            )
            for tenant, each in own.items()
        ]  # fmt: skip
        readings = await balances.readings(self._door, asked)
        histories = await forecasts.histories(
            self._door, [forecasts.Asked.of(tenant, each.zone, now) for tenant, each in own.items()]
        )
        found: dict[int, tuple[int, dict[int, Forecast]]] = {}
        for each, reading, history in zip(own.values(), readings, histories, strict=True):
            assert reading is not None, "a tenant has a head"
            below = marks[each.tenant_id]
            told = {each.balance_ids[one.balance.key]: one for one in _told(each, reading)}
            found[each.tenant_id] = (
                reading.version,
                {
                    balance_id: predict(one, history)
                    for balance_id, one in told.items()
                    if wanted(each, balance_id) or marked(below, balance_id)
                },
            )
            await asyncio.sleep(0)  # others are served between tenants
        return found

    async def _tell(
        self, connection: Connection, telling: Mapping[int, dict[int, Forecast]], now: int
    ) -> list[Changes]:
        """Tell what there is to tell of tenants that nobody holds; the others come again."""
        locked = await load.lock(connection, sorted(telling), wait=False)
        self._busy.update(telling.keys() - locked.keys())
        if not locked:
            return []
        found = await terms.by_ids(connection, self._catalogue, locked)
        own = {each.tenant_id: each for each in found}
        states = {tenant: load.state_of(head) for tenant, head in locked.items()}
        await load.lots(connection, states, own, now, now)
        changed = [tell(own[each], states[each], telling[each], now) for each in sorted(locked)]
        kept = [each for each in changed if not each.empty]
        if kept:
            await record.record(connection, kept, now)
        return changed


def _told(own: Terms, reading: Reading) -> Iterable[Told]:
    """The balances of a tenant in a reading, to be looked at."""
    following = period(own.zone, reading.period.end)
    for balance in own.standing.balances(reading.period, reading.at):
        if balance.key not in own.balance_ids:
            continue
        pot = reading.pots.get(balance.key) or Pot()
        shown = figures.figures(
            balance, reading.period, reading.at, pot.lots,
            since=own.since, next_due=reading.next_due,
        )  # fmt: skip
        yield Told(
            balance=balance,
            figures=shown,
            lots=pot.lots,
            zone=own.zone,
            reading=reading,
            next_allowance=own.standing.allowance(balance.key, following),
        )
