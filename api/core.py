"""What a serving process holds, and how it gets hold of it while the database comes and goes.

Owns the opening of the catalogue and the intake: at once where the database is there, and otherwise
as soon as it is. Until then whoever asks for them is told to try again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg
import structlog
from redis.asyncio import Redis

from api.auth import Authenticator, Principal
from api.context import Context
from api.directory import Directory
from api.errors import unavailable
from api.intake import Intake
from api.lanes import Lanes
from api.metrics import Metrics
from api.settings import Clock, Settings
from persistence.catalogue import Catalogue
from persistence.door import CONNECTION_LOST, Door
from persistence.show import Show

#: Seconds between two looks at a database that was away.
OPEN_RETRY_SECONDS = 0.5

log = structlog.get_logger("kuota.core")


class Core:
    """The doors and engines of one process."""

    def __init__(
        self, settings: Settings, clock: Clock, door: Door, valkey: Redis, metrics: Metrics
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.door = door
        self.valkey = valkey
        self.show = Show(valkey)
        self.metrics = metrics
        self.authenticator = Authenticator(door, settings.operator_key, clock)
        self._opened: tuple[Catalogue, Intake] | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, settings: Settings, clock: Clock, metrics: Metrics) -> AsyncIterator[Core]:
        """A core that is ready when the database is; leaving stops what was started."""
        if settings.database_url is None or settings.redis_url is None:
            raise ValueError("an app is given both its servers: a database URL and a redis URL")
        async with (
            Door.open(settings.database_url) as door,
            Redis.from_url(settings.redis_url) as valkey,
        ):
            core = cls(settings, clock, door, valkey, metrics)
            core.show.start()
            opening = None if await core._open() else asyncio.create_task(core._keep_opening())
            try:
                yield core
            finally:
                if opening is not None:
                    opening.cancel()
                    await asyncio.gather(opening, return_exceptions=True)
                if core._opened is not None:
                    await core.intake.stop()
                await core.show.stop()

    @property
    def ready(self) -> bool:
        """Whether the catalogue was read and facts are taken."""
        return self._opened is not None

    @property
    def catalogue(self) -> Catalogue:
        return self._parts()[0]

    @property
    def intake(self) -> Intake:
        return self._parts()[1]

    def context(self, principal: Principal | None, request_id: str) -> Context:
        """What the resolvers of one operation are given; raises 503 while the database is away."""
        return Context(
            principal=principal,
            door=self.door,
            catalogue=self.catalogue,
            intake=self.intake,
            authenticator=self.authenticator,
            now=self.clock.now(),
            request_id=request_id,
        )

    def _parts(self) -> tuple[Catalogue, Intake]:
        if self._opened is None:
            raise unavailable("the database is away or not migrated yet; try again in a moment")
        return self._opened

    async def _open(self) -> bool:
        try:
            async with self.door.system_tx("the catalogue is of no tenant") as conn:
                catalogue = await Catalogue.load(conn)
        except (*CONNECTION_LOST, asyncpg.PostgresError) as error:
            log.warning("database is away or not migrated", why=str(error))
            return False
        directory = Directory(self.door, catalogue)
        lanes = Lanes(self.door, directory, self.clock.now, self.show)
        intake = Intake(directory, catalogue, self.clock.now, lanes, self.metrics)
        await intake.start()
        self._opened = catalogue, intake
        self.metrics.watch(
            "kuota_versions_unshown", "Versions Valkey did not take.", lambda: float(self.show.lost)
        )
        self.metrics.watch(
            "kuota_facts_waiting", "Facts waiting for a commit.", lambda: float(intake.waiting)
        )
        return True

    async def _keep_opening(self) -> None:
        opened = False
        while not opened:
            await asyncio.sleep(OPEN_RETRY_SECONDS)
            opened = await self._open()
