"""What works in a process beside answering requests: the way in, the showing, the feed, the jobs.

Owns how they are put together, which of them a part needs, and the order in which they start and
end: what others hand their work to starts first and ends last.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from api.behind import Behind
from api.desk import Desk
from api.directory import Directory
from api.intake import Intake
from api.jobs import Jobs
from api.lanes import Lanes
from api.metrics import Metrics
from api.outage import Outage
from api.parts import Part
from api.reload import Reload
from api.rounds import Tools
from api.settle_job import SettleJob
from api.settling import Settling
from persistence.catalogue import Catalogue
from persistence.hub import Hub
from persistence.live import Live
from persistence.rebuild import Rebuild
from persistence.show import Show
from persistence.sweep import Sweep

if TYPE_CHECKING:
    from api.core import Core


class Engines:
    """The engines of one process, all on the same doors and clock."""

    def __init__(self, core: Core, catalogue: Catalogue) -> None:
        door, valkey, now = core.door, core.valkey, core.clock.now
        assert core.settings.redis_url is not None
        self._parts = core.role.parts
        self.catalogue = catalogue
        self.uses = core.authenticator.uses
        self.rebuild = Rebuild(valkey, door, catalogue, now)
        self.show = Show(valkey, door, self.rebuild)
        self.sweep = Sweep(valkey, door, self.rebuild, now)
        self.live = Live(valkey, door, self.rebuild)
        self.hub = Hub(core.settings.redis_url, door, self.live, now)
        self.directory = Directory(door, catalogue)
        self.desk = Desk(
            Tools(
                valkey=valkey, door=door, directory=self.directory, rebuild=self.rebuild,
                outage=Outage(door, now), now=now,
            )
        )  # fmt: skip
        lanes = Lanes(door, self.directory, now, self.show)
        self.intake = Intake(self.directory, catalogue, now, lanes, core.metrics)
        owner_url = core.settings.database_owner_url
        # Between two pages it rests as long as it worked: what sockets and lanes do goes on.
        self.settling = Settling(door, catalogue, now, self.show, rest=asyncio.sleep)
        within = core.settings.settle_seconds
        self.behind = Behind(core, catalogue, self.show, self.settling)
        self.paying, self.tasks = self.behind.paying, self.behind.tasks
        self.jobs: Jobs | None = None
        if Part.JOBS in self._parts:
            step = SettleJob(door, self.settling, now, core.metrics, within).step
            self.jobs = Jobs(
                door, catalogue, now, self.show, owner_url, core.metrics, settle=step,
                more=self.behind.steps,
            )  # fmt: skip
        self.reload = Reload(door, catalogue)

    async def start(self) -> None:
        """Begin what the process's parts need.

        Each of them commits, and so each shows, sweeps and rebuilds.
        """
        self.rebuild.start()
        self.show.start()
        self.sweep.start()
        if Part.FEED in self._parts:
            self.hub.start()
        if self._parts & {Part.EDGE, Part.FEED}:
            # Facts may come as a mutation over a websocket, too. A lane opens its connection with
            # its first fact, so where none comes lanes cost nothing.
            await self.intake.start()
            self.desk.start()
        if self.jobs is not None:
            await self.jobs.start()
        self.reload.start()
        self.uses.start()

    async def stop(self) -> None:
        await self.uses.stop()
        await self.reload.stop()
        if self.jobs is not None:
            await self.jobs.stop()
        await self.behind.stop()
        await self.desk.stop()
        await self.intake.stop()
        await self.hub.stop()
        await self.sweep.stop()
        await self.show.stop()
        await self.rebuild.stop()

    def measure(self, metrics: Metrics) -> None:
        """Let Prometheus see how they fare."""
        hub = self.hub
        if Part.FEED in self._parts:
            metrics.watch(
                "kuota_feed_canary_seconds",
                "How long the last canary of /readyz took through Valkey and back.",
                lambda: hub.canary.seconds,
            )
        for name, description, read in (
            ("kuota_facts_waiting", "Facts waiting for a commit.", lambda: self.intake.waiting),
            (
                "kuota_authorizations_waiting",
                "Sends that wait to be decided.",
                lambda: self.desk.waiting,
            ),
            (
                "kuota_authorizations_granted",
                "Sends that were granted.",
                lambda: self.desk.answers["granted"],
            ),
            (
                "kuota_authorizations_refused",
                "Sends that were refused, for whatever reason.",
                lambda: self.desk.answers.total() - self.desk.answers["granted"],
            ),
            (
                "kuota_authorizations_again",
                "Rounds of decisions that were made anew because figures had moved.",
                lambda: self.desk.again,
            ),
            (
                "kuota_versions_unshown",
                "Versions that Valkey did not take at once, and that were read again.",
                lambda: self.show.lost,
            ),
            (
                "kuota_tenants_rebuilt",
                "Tenants whose windows and visitors were brought to Valkey again.",
                lambda: self.rebuild.rebuilt,
            ),
            (
                "kuota_tenants_swept",
                "Tenants whose latest commits the sweep found unshown.",
                lambda: self.sweep.found,
            ),
            (
                "kuota_live_counted_in_postgres",
                "Live counters that Valkey could not answer.",
                lambda: self.live.counted_in_postgres,
            ),
            (
                "kuota_watchers",
                "Watchers of balances and live counters.",
                lambda: hub.balances.watchers + hub.usage.watchers,
            ),
            ("kuota_feed_heard", "Readings of watched tenants heard.", lambda: hub.heard),
            (
                "kuota_feed_healed",
                "States of watched tenants that were missed, and read again.",
                lambda: hub.balances.healed + hub.usage.healed,
            ),
            ("kuota_feed_gaps", "Times the subscription to Valkey was lost.", lambda: hub.gaps),
        ):
            metrics.watch(name, description, read)
