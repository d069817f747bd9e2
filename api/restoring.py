"""Alerts and holds of an exported log, kept again as they were raised and ended (EV-8).

Owns their place: behind everything else that is taken in, alerts in commits of their own, for the
commits that moved the balances are other ones here. Nothing is raised and no hold judged anew by a
log; once it is taken in, its tenant is watched from where its alerts left off.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import asdict

from api import log_file
from domain.billing_alerts import NO_BALANCE
from domain.fold import RESTORED
from domain.state import Changes
from domain.watch import Alert, AlertCause, AlertKind, Mark, Measure, fold
from persistence import alerts, holds, load, record, terms
from persistence.catalogue import Catalogue
from persistence.door import Door

#: Lines that are kept together.
LINES_MAX = 500


class Restoring:
    """The alerts and holds of one log on their way into a tenant's books."""

    def __init__(self, door: Door, catalogue: Catalogue, tenant_id: int) -> None:
        self._door = door
        self._catalogue = catalogue
        self._tenant_id = tenant_id
        self._waiting: list[log_file.Alert] = []
        self._holds: list[log_file.Hold | log_file.Share] = []
        self._below: set[Mark] = set()
        self._known: int | None = None  #: that were kept by an earlier import of the same log
        self._met = 0

    async def take(self, line: log_file.Alert | log_file.Hold | log_file.Share, now: int) -> None:
        """Keep the next one, soon."""
        if isinstance(line, log_file.Alert):
            self._waiting.append(line)
        else:
            self._holds.append(line)
        if LINES_MAX in (len(self._waiting), len(self._holds)):
            await self.keep(now)

    async def keep(self, now: int) -> None:
        """Keep those that wait, unless they are there."""
        await self._keep_holds()
        await self._keep_alerts(now)

    async def _keep_holds(self) -> None:
        lines, self._holds = self._holds, []
        if not lines:
            return
        async with self._door.tenant_tx(self._tenant_id) as connection:
            head = (await load.lock(connection, [self._tenant_id], wait=True))[self._tenant_id]
            kept = [asdict(line) for line in lines if isinstance(line, log_file.Hold)]
            shares = [asdict(line) for line in lines if isinstance(line, log_file.Share)]
            await holds.restore(connection, self._tenant_id, head["version"], kept, shares)

    async def _keep_alerts(self, now: int) -> None:
        lines, self._waiting = self._waiting, []
        if not lines:
            return
        async with self._door.tenant_tx(self._tenant_id) as connection:
            heads = await load.lock(connection, [self._tenant_id], wait=True)
            if self._known is None:
                self._known = await alerts.count(connection, self._tenant_id)
            (own,) = await terms.by_ids(connection, self._catalogue, [self._tenant_id])
            made = [_alert(line, own.balance_ids) for line in lines]
            fold(self._below, made)
            there = max(self._known - self._met, 0)
            self._met += len(lines)
            if there >= len(lines):
                return
            state = load.state_of(heads[self._tenant_id])
            changes = Changes(own, state, RESTORED, alerts=made[there:])
            await record.record(connection, [changes], now)
            seen = {
                place: line.acknowledged_at
                for place, line in enumerate(lines[there:])
                if line.acknowledged_at is not None
            }
            await alerts.acknowledge(connection, self._tenant_id, state.version, seen)

    async def finish(self) -> None:
        """Watch the tenant from here on."""
        async with self._door.tenant_tx(self._tenant_id) as connection:
            await alerts.watch(connection, self._tenant_id, self._below)


def _alert(line: log_file.Alert, balances: Mapping[str, int]) -> Alert:
    balance_id = NO_BALANCE if line.balance is None else balances[line.balance]
    return Alert(
        balance_id, AlertKind[line.kind], Measure[line.measure], line.threshold, line.remaining,
        line.base, line.at, AlertCause[line.cause], line.cause_id,
    )  # fmt: skip
