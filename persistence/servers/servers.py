"""The embedded servers as one thing: open the folder, start both, announce, stop both.

Owns the order of that; the parts know how.
"""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from persistence.servers.account import servers_account
from persistence.servers.folder import Addresses, Folder, Owner
from persistence.servers.keeper import Keeper
from persistence.servers.postgres import APP, OWNER, Postgres
from persistence.servers.programs import find_programs
from persistence.servers.valkey import Valkey


class Servers:
    """PostgreSQL and Valkey kept under one data folder, from `start` to `stop`.

    `postgres` or `valkey` false leaves that one out. `options` are added to PostgreSQL's. Every
    call blocks; ServersError says in one line what went wrong. After `start` each server that
    dies is started again at the same address.
    """

    def __init__(
        self,
        data: Path,
        *,
        owner: Owner = Owner.COMMAND,
        postgres: bool = True,
        valkey: bool = True,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self._owner = owner
        self._wants_postgres = postgres
        self._wants_valkey = valkey
        self._options = options
        self._folder = Folder(data, servers_account())
        self._keepers: list[Keeper] = []
        self._addresses: Addresses | None = None

    @property
    def data(self) -> Path:
        """The data folder, absolute."""
        return self._folder.root

    @property
    def pids(self) -> tuple[int | None, ...]:
        """The present processes: PostgreSQL's, then Valkey's, of those that are run."""
        return tuple(keeper.pid for keeper in self._keepers)

    def start(self) -> Addresses:
        """Start both and wait until they take connections; on a fault nothing stays behind."""
        self._folder.open(self._owner)
        try:
            self._addresses = self._start()
            self.announce(None)
        except BaseException:
            self.stop()
            raise
        return self._addresses

    def announce(self, address: str | None) -> None:
        """Tell who looks at the folder where the servers are, and where our API listens."""
        if self._addresses is not None:
            self._folder.announce(self._owner, self._addresses, address)

    def stop(self) -> None:
        """Stop what runs, then give the folder back."""
        for keeper in self._keepers:
            keeper.bid_farewell()
        for keeper in self._keepers:
            keeper.stop()
        self._keepers.clear()
        self._folder.close()

    def __enter__(self) -> "Servers":
        """Start, for the length of a `with`."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    @property
    def addresses(self) -> Addresses:
        """Where the started servers are."""
        if self._addresses is None:
            raise RuntimeError("the servers have not been started")
        return self._addresses

    def _start(self) -> Addresses:
        programs = find_programs(self._folder.account, self._folder.programs)
        valkey = Valkey(self._folder, programs) if self._wants_valkey else None
        if valkey is not None:
            self._keep(Keeper(valkey))
        postgres = Postgres(self._folder, programs, self._options) if self._wants_postgres else None
        if postgres is not None:
            postgres.make()
            self._keep(Keeper(postgres))
        for keeper in self._keepers:
            keeper.wait()
        return Addresses(
            owner_url=postgres.url(OWNER) if postgres else None,
            app_url=postgres.url(APP) if postgres else None,
            redis_url=valkey.url if valkey else None,
        )

    def _keep(self, keeper: Keeper) -> None:
        self._keepers.append(keeper)
        keeper.start()
