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

from api.auth import Authenticator
from api.context import Context
from api.engines import Engines
from api.errors import unavailable
from api.gate import Gate
from api.intake import Intake
from api.issuer import Issuer
from api.jwks import Jwks
from api.metrics import Metrics
from api.parts import Role
from api.rates import Rates
from api.rights import Principal
from api.settings import Clock, Settings
from api.signing import Signing
from api.stored import Stored
from api.tokens import Tokens
from persistence.catalogue import Catalogue
from persistence.door import CONNECTION_LOST, Door
from persistence.valkey import client

#: Seconds between two looks at a database that was away.
OPEN_RETRY_SECONDS = 0.5

log = structlog.get_logger("kuota.core")


class Core:
    """The doors and engines of one process."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        door: Door,
        valkey: Redis,
        metrics: Metrics,
        stored: Stored,
        role: Role,
    ) -> None:
        self.settings = settings
        self.role = role
        self.draining = False  #: the process ends: whoever can go elsewhere shall
        self.stored = stored
        self.clock = clock
        self.door = door
        self.valkey = valkey
        self.metrics = metrics
        self.signing = Signing(settings.secret)
        self.issuer = Issuer(door, self.signing, clock, settings.public_url)
        self.tokens = Tokens(door, clock, self.issuer, configured(settings))
        self.authenticator = Authenticator(door, settings.operator_key, clock, self.tokens)
        rates = Rates(valkey, metrics)
        self.gate = Gate(self.authenticator, rates, metrics, settings.rate_limit)
        self._engines: Engines | None = None
        metrics.serve(role)
        metrics.watch("kuota_draining", "1 while the process ends.", lambda: self.draining)

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        settings: Settings,
        clock: Clock,
        metrics: Metrics,
        stored: Stored | None = None,
        role: Role | None = None,
    ) -> AsyncIterator[Core]:
        """A core that is ready when the database is; leaving stops what was started."""
        if settings.database_url is None or settings.redis_url is None:
            raise ValueError("an app is given both its servers: a database URL and a redis URL")
        async with (
            Door.open(settings.database_url) as door,
            client(settings.redis_url) as valkey,
        ):
            core = cls(settings, clock, door, valkey, metrics, stored or Stored(), role or Role())
            opening = None if await core._open() else asyncio.create_task(core._keep_opening())
            try:
                yield core
            finally:
                if opening is not None:
                    opening.cancel()
                    await asyncio.gather(opening, return_exceptions=True)
                if core._engines is not None:
                    await core._engines.stop()
                await core.tokens.close()

    @property
    def ready(self) -> bool:
        """Whether the catalogue was read and facts are taken."""
        return self._engines is not None

    @property
    def engines(self) -> Engines:
        """What works in this process; raises 503 while the database is away."""
        if self._engines is None:
            raise unavailable("the database is away or not migrated yet; try again in a moment")
        return self._engines

    @property
    def catalogue(self) -> Catalogue:
        return self.engines.catalogue

    @property
    def intake(self) -> Intake:
        return self.engines.intake

    def context(
        self, principal: Principal | None, request_id: str, address: str | None = None
    ) -> Context:
        """What the resolvers of one operation are given; raises 503 while the database is away."""
        engines = self.engines
        return Context(
            principal=principal,
            door=self.door,
            catalogue=engines.catalogue,
            intake=engines.intake,
            authenticator=self.authenticator,
            now=self.clock.now(),
            request_id=request_id,
            address=address,
            stored=self.stored,
            clock=self.clock,
            show=engines.show,
            live=engines.live,
            hub=engines.hub,
            settling=engines.settling,
            signing=self.signing,
            desk=engines.desk,
            directory=engines.directory,
            paying=engines.paying,
            valkey=self.valkey,
            public_url=self.settings.public_url or "",
            allowed_origins=self.settings.allowed_origins,
            mails=self.settings.smtp_url is not None,
        )

    async def _open(self) -> bool:
        try:
            async with self.door.system_tx("the catalogue is of no tenant") as conn:
                catalogue = await Catalogue.load(conn)
        except (*CONNECTION_LOST, asyncpg.PostgresError) as error:
            log.warning("database is away or not migrated", why=str(error))
            return False
        engines = Engines(self, catalogue)
        await engines.start()
        engines.measure(self.metrics)
        self._engines = engines
        return True

    async def _keep_opening(self) -> None:
        opened = False
        while not opened:
            await asyncio.sleep(OPEN_RETRY_SECONDS)
            opened = await self._open()


def configured(settings: Settings) -> Jwks | None:
    """The keys of the issuer that the settings name."""
    if settings.jwt_issuer is None or settings.jwt_audience is None:
        return None
    return Jwks(settings.jwt_issuer, settings.jwt_audience, settings.jwks_url)
