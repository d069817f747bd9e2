"""Importing a tenant's log: facts and actions of another database, taken in as they came (EV-8).

Owns the order of work: the catalogue, the tenant as it began, then line by line what came to it,
each by the code that took it in when it came and with the clock at its instant; at last the books
are settled and held against the figures of the last line. Broken off anywhere, the same log takes
it up again: keys of facts and of actions say what is there already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import asyncpg

from api import log_file
from api.cloudevents import UTC_EPOCH, key_of
from api.directory import Directory
from api.edge import kept
from api.exporting import figures_of
from api.lanes import Lane
from api.limits import LANE_BATCH_MAX
from api.log_file import Figure, LogFile
from api.operations import period_close
from api.operations.acting import Done, Scene, given
from api.operations.period_close import PeriodClose
from api.redoing import REDO, Numbers, Redoing
from api.restoring import Restoring
from api.settling import Cause, Settling
from domain.facts import CHANNELS, TYPES, Status
from domain.facts import Fact as DomainFact
from domain.periods import iso
from domain.sending import OwnSending, SendingError, parse_sending
from domain.terms import Terms
from persistence import actions, conflicts, exporting, importing
from persistence.actions import ActionKind
from persistence.audit import told_as_a_whole, trace
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.importing import NewNumber, NewTenant, Published
from persistence.invoices import NUMBER
from persistence.log import KeptFact
from persistence.show import Show
from persistence.tenants import find_by_keys


class ImportRefusedError(Exception):
    """A log cannot be imported here; says why, and what to do."""


class Unshown(Show):
    """Shows nothing: of a tenant whose past is taken in nobody holds a reading."""

    def __init__(self) -> None:
        """Without a Valkey."""

    def commits(self, changed: Sequence[object], now: int) -> None:
        """Leave it to whoever reads the tenant next."""


@dataclass(slots=True)
class LogClock:
    """The present as the log has it; it never goes back."""

    at: int = 0

    def now(self) -> int:
        return self.at

    def reach(self, at: int) -> None:
        self.at = max(self.at, at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of an import."""

    tenant: str
    facts: int  #: taken in now
    actions: int
    passed_over: int  #: of both, what was there already
    finished_before: bool  #: by an earlier import of the same log, which left nothing to do
    compared: bool = True  #: with the figures of the export, if its books were settled
    differences: dict[str, tuple[Figure | None, Figure | None]] = field(default_factory=dict)
    #: figures that differ: as exported, and as they are here


class Importing:
    """One import."""

    def __init__(
        self,
        door: Door,
        owner_url: str | None,
        file: LogFile,
        now: int,
        told: Callable[[int], None] = lambda lines: None,
    ) -> None:
        """`owner_url` is who may publish books and plans."""
        self._door = door
        self._owner_url = owner_url
        self._file = file
        self._now = now
        self._told = told
        self._clock = LogClock()
        self._show = Unshown()
        self._catalogue: Catalogue
        self._directory: Directory
        self._numbers: Numbers = {}
        self._judged: dict[bytes, int] = {}  #: by fact: the flags of its hold
        self._tenant_id = 0
        self._published: list[str] = []  #: books and plans that came with the log
        self._facts = self._actions = self._passed_over = 0

    async def run(self) -> Imported:
        """Take in the whole log; ImportRefusedError or a Problem says what stands in its way."""
        key = self._file.header.tenant
        if await self._finished():
            return Imported(
                tenant=key, facts=0, actions=0, passed_over=0, finished_before=True
            )  # fmt: skip
        known = {ActionKind.PERIOD_CLOSE, *REDO}
        unknown = self._file.kinds - {kind.name for kind in known}
        if unknown:
            raise ImportRefusedError(
                f"what this release does not know was done: {', '.join(sorted(unknown))};"
                " import it with the release that exported it"
            )
        await self._publish()
        async with self._door.tenant_tx() as connection:
            self._catalogue = await Catalogue.load(connection)
        self._directory = Directory(self._door, self._catalogue)
        await self._begin()
        with told_as_a_whole():
            restoring = Restoring(self._door, self._catalogue, self._tenant_id)
            await self._take_in(restoring)
            differences = await self._settle()
            await restoring.finish()
        if not differences:
            async with self._door.tenant_tx(self._tenant_id) as connection:
                await importing.finish(connection, self._tenant_id, self._now)
        return Imported(
            tenant=key, facts=self._facts, actions=self._actions, passed_over=self._passed_over,
            finished_before=False, compared=self._file.header.settled, differences=differences,
        )  # fmt: skip

    async def _finished(self) -> bool:
        """Whether this log was imported to its end; another tenant of its key is refused."""
        key = self._file.header.tenant
        found = (await find_by_keys(self._door, [key])).get(key)
        if found is None:
            return False
        async with self._door.tenant_tx(found.tenant_id) as connection:
            begun = await importing.find(connection, found.tenant_id)
        if begun is None or begun.log != self._file.name:
            how = "was created here" if begun is None else "came by another log"
            raise ImportRefusedError(
                f"there is a tenant {key} already, which {how}: import it into another database"
            )
        self._tenant_id = found.tenant_id
        return begun.finished_at is not None

    async def _publish(self) -> None:
        """Bring the books and plans of the log, or refuse where others are charged by others."""
        documents: list[Published] = []
        for line in self._file.lines():
            if not isinstance(line, log_file.Catalogue):
                break
            documents.append(
                Published(
                    kind=line.kind, key=line.key, version=line.version,
                    published_at=line.published_at, body=line.body,
                )
            )  # fmt: skip
        wanted = importing.digests(documents)
        missing: set[tuple[str, str]] = set()
        others: list[tuple[str, str]] = []
        async with self._door.tenant_tx() as connection:
            for (kind, key), versions in wanted.items():
                here = await importing.known(connection, kind, key)
                if not here:
                    missing.add((kind, key))
                elif any(here.get(version) != digest for version, digest in versions.items()):
                    others.append((kind, key))
        if not missing and not others:
            return
        if others and await self._anybody():
            names = ", ".join(f"{kind} {key}" for kind, key in others)
            raise ImportRefusedError(
                f"{names}: what is published here is not what the log was charged by, and tenants"
                " here are charged by it; import the log into an empty database"
            )
        if self._owner_url is None:
            raise ImportRefusedError("books and plans are published as the database's owner")
        missing.update(others)
        self._published = sorted(f"{kind} {key}" for kind, key in missing)
        try:
            await importing.publish(self._owner_url, documents, missing, others)
        except ValueError as fault:
            raise ImportRefusedError(f"its books and plans cannot be used here: {fault}") from fault

    async def _anybody(self) -> bool:
        """Whether there is a tenant at all, but the one that is imported."""
        async with self._door.system_tx("whether a database has tenants") as connection:
            found: bool = await connection.fetchval(
                "select exists (select from tenants where key <> $1)", self._file.header.tenant
            )
        return found

    async def _begin(self) -> None:
        """Make the tenant as it began, unless that was done."""
        lines = self._file.lines()
        of_file = next(line for line in lines if isinstance(line, log_file.Tenant))
        numbers: list[log_file.Number] = []
        for line in lines:
            if not isinstance(line, log_file.Number):
                break
            numbers.append(line)
        if not self._tenant_id:
            await self._make(of_file, numbers)
        self._clock.reach(of_file.created_at)
        own = await self._terms()
        self._numbers = {
            (number.channel_name, number.address): number.number_id
            for number in own.numbers.values()
        }

    async def _make(self, of_file: log_file.Tenant, numbers: Sequence[log_file.Number]) -> None:
        tenant = NewTenant(
            key=of_file.key, name=of_file.name, timezone=of_file.zones[0][1],
            currency=of_file.currency, country=of_file.country, locale=of_file.locale,
            plan=of_file.plan, status=of_file.status, since=of_file.since,
            created_at=of_file.created_at, balances=of_file.balances,
            sending=_sending(of_file), hold_key=bytes.fromhex(of_file.hold_key),
            numbers=[
                NewNumber(
                    channel=CHANNELS[number.channel], address=number.address,
                    timezone=number.zones[0][1], created_at=number.created_at,
                )
                for number in numbers
            ],
        )  # fmt: skip
        async with self._door.tenant_tx() as connection:
            tenant_id = await importing.next_tenant(connection)
        async with self._door.tenant_tx(tenant_id) as connection:
            await importing.begin(connection, tenant_id, tenant, self._file.name, now=self._now)
            await trace(
                connection, tenant_id, "logImport", f"tnt/{tenant_id}", at=self._now,
                after={
                    "tenant": of_file.key, "log": self._file.name.hex(),
                    "exportedAt": iso(self._file.header.exported_at),
                    "published": self._published,
                },
            )  # fmt: skip
        self._tenant_id = tenant_id

    async def _terms(self) -> Terms:
        key = self._file.header.tenant
        return (await self._directory.find([key]))[key]

    async def _take_in(self, restoring: Restoring) -> None:
        """Facts in batches, actions one by one, in order of arrival; then what became of others."""
        lane = Lane(self._door, self._directory, self._clock.now, self._show, self._judged)
        lane.start()
        waiting: list[log_file.Fact] = []
        try:
            for place, line in enumerate(self._file.lines(), 2):
                if waiting and (
                    not isinstance(line, log_file.Fact) or len(waiting) == LANE_BATCH_MAX
                ):
                    await self._commit(lane, waiting)
                    waiting = []
                if not waiting:
                    self._told(place)
                if isinstance(line, log_file.Fact):
                    waiting.append(line)
                elif isinstance(line, log_file.Action):
                    await self._redo(line)
                elif isinstance(line, log_file.Alert | log_file.Hold | log_file.Share):
                    await restoring.take(line, self._clock.now())
                elif isinstance(line, log_file.Conflict):
                    await self._conflict(line)
            if waiting:
                await self._commit(lane, waiting)
            await restoring.keep(self._clock.now())
        finally:
            await lane.stop()

    async def _commit(self, lane: Lane, lines: Sequence[log_file.Fact]) -> None:
        own = await self._terms()
        facts = [self._fact(line, own) for line in lines]
        self._clock.reach(max(line.arrived_at for line in lines))
        self._judged.clear()
        for fact, line in zip(facts, lines, strict=True):
            if line.flags:
                self._judged[fact.key] = line.flags
        submission = lane.submit(facts)
        await submission.done
        for fact, verdict in zip(facts, submission.verdicts, strict=True):
            assert verdict is not None
            if verdict.status is Status.DUPLICATE:
                self._passed_over += 1
            elif verdict.status in (Status.CONFLICT, Status.REFUSED):
                why = verdict.refusal or "another fact has its source and id"
                raise ImportRefusedError(f"fact {fact.source} {fact.id}: {why}")
            else:
                self._facts += 1

    def _fact(self, line: log_file.Fact, own: Terms) -> DomainFact:
        event = line.fact
        since_epoch = event.time - UTC_EPOCH
        return kept(
            KeptFact(
                at=(since_epoch.days * 86_400 + since_epoch.seconds) * 1_000_000
                + since_epoch.microseconds,
                rank=0, key=key_of(event.source, event.id), version=0, arrived_at=line.arrived_at,
                number_id=self._numbers[line.channel, line.address], type=TYPES[event.type],
                status=0, flags=0, revision=0, source=event.source, id=event.id, party=line.party,
                country=line.country, category=line.category, data=bytes(event.data).decode(),
            ),
            own,
        )  # fmt: skip

    async def _redo(self, line: log_file.Action) -> None:
        self._clock.reach(line.at)
        if line.kind == ActionKind.PERIOD_CLOSE.name:
            await self._close(line)
            return
        done_now = False

        async def act(scene: Scene) -> Done:
            nonlocal done_now
            done_now = True
            return await Redoing(scene, self._catalogue, line, self._numbers).done()

        try:
            await given(
                self._door, self._catalogue, self._show, ActionKind[line.kind],
                self._file.header.tenant, line.key, bytes.fromhex(line.content), act, now=line.at,
                ours=True,
            )  # fmt: skip
        except asyncpg.UniqueViolationError as taken:
            if taken.constraint_name != NUMBER:
                raise
            raise ImportRefusedError(
                f"{line.key}: its invoice's number is another tenant's here; take another database"
            ) from taken
        if done_now:
            self._actions += 1
        else:
            self._passed_over += 1

    async def _close(self, line: log_file.Action) -> None:
        """Settle and close at the place where it was done: what stands behind it is adjusted."""
        async with self._door.tenant_tx(self._tenant_id) as connection:
            before = await actions.find(connection, self._tenant_id, line.key)
        if before is not None:
            self._passed_over += 1
            return
        request = PeriodClose(
            tenant=self._file.header.tenant, period=line.body["period"], idempotency_key=line.key
        )
        await period_close.run(
            self._door, self._settling(), request, now=line.at, ours=True,
            invoiced=line.body.get("invoiced", False),
        )  # fmt: skip
        self._actions += 1

    def _settling(self) -> Settling:
        return Settling(self._door, self._catalogue, self._clock.now, None)

    async def _conflict(self, line: log_file.Conflict) -> None:
        row = (
            self._tenant_id, key_of(line.source, line.id), bytes.fromhex(line.content),
            line.at, line.arrived_at, line.source, line.id, line.data,
        )  # fmt: skip
        async with self._door.tenant_tx(self._tenant_id) as connection:
            await conflicts.write_conflicts(connection, [row])

    async def _settle(self) -> dict[str, tuple[Figure | None, Figure | None]]:
        """Settle as of the export, and give the figures that are not those of the last line."""
        self._clock.reach(self._file.header.exported_at)
        await self._settling().settle(self._tenant_id, Cause.DEMAND)
        if not self._file.header.settled:
            return {}
        async with self._door.tenant_tx(self._tenant_id) as connection:
            here = figures_of(await exporting.figures(connection, self._tenant_id))
        there = self._file.footer.figures
        return {
            name: (there.get(name), here.get(name))
            for name in sorted(there.keys() | here.keys())
            if there.get(name) != here.get(name)
        }


def _sending(of_file: log_file.Tenant) -> OwnSending:
    try:
        return parse_sending(of_file.sending)
    except SendingError as error:
        raise ImportRefusedError(f"tenant {of_file.key}: {error}") from error
