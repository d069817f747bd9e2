"""Boards under any order of things: reads that overlap commits, messages late, lost or repeated.

Whatever happens in between: nobody is given an older state after a newer one, whoever comes or
joins is given one that was read after that, and at rest everybody has what is true.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from structlog.testing import capture_logs

from domain.periods import zone
from persistence import board as boards
from persistence.board import Board, Part, Wanted, Watcher

JAKARTA = zone("Asia/Jakarta")
TENANTS = (1, 2)
#: States hold until the next multiple of it.
SPAN = 10
#: Turns in which whatever can go on has gone on.
TURNS = 12
#: Rounds of looks and reads behind which everybody is right.
ROUNDS = 6


@dataclass(frozen=True, slots=True)
class Figure:
    """A state, and what a watcher cannot see: where it stands in the order of all commits."""

    version: int
    at: int
    valid_until: int
    epoch: str
    order: int
    held_at: int  #: when what is held last changed; 0: that is not known


#: What is held has an order of its own; here the instant of its change is all there is of it.
HELD: Part[Figure] = Part(
    at=lambda figure: figure.held_at,
    of=lambda figure: figure.held_at,
    put=lambda figure, at: replace(figure, held_at=at),
    until=lambda figure: figure.valid_until,
)


@dataclass(eq=False, slots=True)
class Read:
    """A read that has begun: it sees what is there when it looks, and ends when it may."""

    wanted: Sequence[Wanted]
    ended: asyncio.Future[Sequence[Figure | None]]
    held: dict[int, int]  #: looked at before
    seen: list[Figure | None] | None = None


@dataclass(eq=False, slots=True)
class Member:
    """Somebody behind a watcher: its number, and the newest commit it knew of when it came."""

    number: int
    knows: int
    has_begun: bool = False


@dataclass(eq=False, slots=True)
class Place:
    """A watcher, who stands behind it, and the last it was given."""

    tenant: int
    watcher: Watcher[Figure]
    leave: ExitStack
    members: list[Member]
    eager: bool  #: takes what comes at once
    last: Figure | None = None


class Orders(RuleBasedStateMachine):
    """A board, a database that commits, and all that can happen between the two."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.around = ExitStack()
        self.around.enter_context(patch.object(boards, "RETRY_SECONDS", 0))
        self.around.enter_context(patch.object(boards, "TENANTS_AT_A_TIME", 1))
        self.around.enter_context(capture_logs())
        self.clock, self.epoch, self.order = 100, "a", 0
        self.held = dict.fromkeys(TENANTS, self.clock)
        self.away, self.unheld = False, set[int]()
        self.figures = {tenant: self.figure(0) for tenant in TENANTS}
        self.published: list[tuple[int, Figure]] = []
        self.changes: list[tuple[int, int]] = []
        self.owed: list[tuple[int, int]] = []  #: of them, what is on its way yet
        self.reads: list[Read] = []
        self.places: list[Place] = []
        self.board: Board[Figure] = Board(self.load, lambda: self.epoch, HELD)
        self.running = self.runner.run(self.begin())
        self.go_on()

    async def begin(self) -> asyncio.Task[None]:
        return asyncio.create_task(self.board.run())

    async def load(self, wanted: Sequence[Wanted]) -> Sequence[Figure | None]:
        held = {} if self.away else dict(self.held)
        read = Read(wanted, asyncio.get_running_loop().create_future(), held)
        self.reads.append(read)
        try:
            return await read.ended
        finally:
            self.reads.remove(read)
            self.unheld |= {one.tenant_id for one in wanted} - held.keys()

    def go_on(self) -> None:
        """Let the board do what it can do."""
        self.runner.run(turns())

    def figure(self, version: int, ago: int = 0) -> Figure:
        """The state that the newest commit leaves."""
        at = self.clock - ago
        return Figure(version, at, (at // SPAN + 1) * SPAN, self.epoch, self.order, 0)

    def look_at(self, read: Read) -> list[Figure | None]:
        """What a read that looks now sees."""
        now = self.figure(0)
        return [
            replace(
                self.figures[one.tenant_id],
                at=now.at,
                valid_until=now.valid_until,
                held_at=read.held.get(one.tenant_id, 0),
            )
            for one in read.wanted
        ]

    # What the database does.

    @rule(
        tenant=st.sampled_from(TENANTS), ago=st.integers(0, 3), told=st.booleans(),
        seen=st.booleans(),
    )  # fmt: skip
    def commit(self, tenant: int, ago: int, told: bool, seen: bool) -> None:
        """A commit bears the instant it began at; reads under way have `seen` it, or not."""
        if not seen:
            self.reads_look()
        self.order += 1
        made = self.figure(self.figures[tenant].version + 1, ago)
        # The script that shows it tells what is held in the same message.
        made = replace(made, held_at=self.held[tenant])
        self.figures[tenant] = made
        self.published.append((tenant, made))
        if told:
            self.board.tell(tenant, made)

    @precondition(lambda self: self.published)
    @rule(choice=st.integers(0, 50))
    def tell(self, choice: int) -> None:
        """A message comes late, or once more; the newest is the likeliest."""
        tenant, state = self.published[-1 - choice % len(self.published)]
        self.board.tell(tenant, state)

    @rule(tenant=st.sampled_from(TENANTS), told=st.booleans())
    def hold(self, tenant: int, told: bool) -> None:
        """Something is set aside or given back, without a commit; it is told now, or later."""
        self.held[tenant] = max(self.held[tenant] + 1, self.clock)
        change = tenant, self.held[tenant]
        self.changes.append(change)
        if told:
            self.board.amend(tenant, self.held[tenant], self.held[tenant])
        else:
            self.owed.append(change)

    @precondition(lambda self: self.changes)
    @rule(choice=st.integers(0, 50))
    def tell_held(self, choice: int) -> None:
        """In any order, and more than once."""
        tenant, at = self.changes[-1 - choice % len(self.changes)]
        self.board.amend(tenant, at, at)

    @rule()
    def lose(self) -> None:
        """Who keeps what is held goes away, or comes back; then everything is read again."""
        self.away = not self.away
        if not self.away:
            for tenant in self.board.tenants:
                self.board.want(tenant)

    @precondition(lambda self: self.order > 2)
    @rule(back=st.integers(0, 3), seen=st.booleans())
    def restore(self, back: int, seen: bool) -> None:
        """Another epoch: versions go back, and messages of the one before are not heard."""
        if not seen:
            self.reads_look()
        self.order += 1
        self.epoch += "'"
        self.published.clear()
        for tenant, known in self.figures.items():
            version = max(known.version - back, 0)
            self.figures[tenant] = self.figure(version)

    @rule(by=st.sampled_from((1, 1, 2, SPAN)))
    def wait(self, by: int) -> None:
        self.clock += by

    # What becomes of reads.

    def reads_look(self) -> None:
        for read in self.reads:
            read.seen = read.seen or self.look_at(read)

    @precondition(lambda self: self.reads)
    @rule()
    def a_read_ends(self) -> None:
        for read in list(self.reads):
            read.ended.set_result(read.seen or self.look_at(read))
        self.go_on()

    @precondition(lambda self: self.reads)
    @rule(away=st.booleans())
    def a_read_fails(self, away: bool) -> None:
        """An outage, behind which it is made again; or something that nobody expected."""
        why = ConnectionError("away") if away else ValueError("a mistake of ours")
        for read in list(self.reads):
            read.ended.set_exception(why)
        self.go_on()

    # What the hub does.

    @rule(patient=st.booleans())
    def heads(self, patient: bool) -> None:
        versions = {tenant: figure.version for tenant, figure in self.figures.items()}
        self.board.heads(versions, patient=patient)
        self.go_on()

    @rule()
    def look(self) -> None:
        self.board.look(self.clock)
        if not self.away:
            # Of whom was read without what is held is read again.
            for tenant in self.unheld.intersection(self.board.tenants):
                self.board.want(tenant)
            self.unheld.clear()
        self.go_on()

    # What watchers do.

    @precondition(lambda self: len(self.places) < 5)
    @rule(tenant=st.sampled_from(TENANTS), eager=st.booleans(), goes_on=st.booleans())
    def come(self, tenant: int, eager: bool, goes_on: bool) -> None:
        leave = ExitStack()
        watcher = leave.enter_context(self.board.watch(tenant, JAKARTA))
        member = Member(1, self.order_of(tenant))
        self.places.append(Place(tenant, watcher, leave, [member], eager))
        if goes_on:
            self.go_on()

    @precondition(lambda self: self.places)
    @rule(choice=st.integers(0, 4), goes_on=st.booleans())
    def join(self, choice: int, goes_on: bool) -> None:
        place = self.places[choice % len(self.places)]
        place.members.append(Member(place.watcher.join(), self.order_of(place.tenant)))
        if goes_on:
            self.go_on()

    @precondition(lambda self: self.places)
    @rule(choice=st.integers(0, 4))
    def go(self, choice: int) -> None:
        self.places.pop(choice % len(self.places)).leave.close()

    @precondition(lambda self: self.places)
    @rule(choice=st.integers(0, 4))
    def take(self, choice: int) -> None:
        self.took(self.places[choice % len(self.places)])

    @invariant()
    def the_eager_take(self) -> None:
        for place in self.places:
            if place.eager:
                self.took(place)

    def took(self, place: Place) -> None:
        """Give a watcher what waits for it: all that is promised of that."""
        if not place.watcher._event.is_set():
            return
        seen = self.runner.run(place.watcher.news())
        state, begun = seen.state, place.watcher.begun
        assert seen.epoch == state.epoch, "its position would be of another history"
        assert state.at < state.valid_until
        if place.last is not None and state.held_at:
            assert state.held_at >= place.last.held_at, "what is held never goes back"
        if place.last is not None:
            assert state.at >= place.last.at or state.epoch != place.last.epoch
            before = (place.last.order, place.last.at)
            begins = any(each.number <= begun and not each.has_begun for each in place.members)
            # Just before time changes the lots no instant is left: held goes by its own.
            held_since = place.last is not None and state.held_at > place.last.held_at
            later = before < (state.order, state.at) or (
                held_since and before == (state.order, state.at)
            )
            assert later or (begins and state == place.last)
        place.last = state
        for member in place.members:
            if member.number <= begun and not member.has_begun:
                member.has_begun = True
                assert state.order >= member.knows, f"{member} began with {state}"
        assert place.members[0].has_begun, f"{state} came before the beginning"

    def order_of(self, tenant: int) -> int:
        return self.figures[tenant].order

    @invariant()
    def numbers_are_in_order(self) -> None:
        for place in self.places:
            assert 0 <= place.watcher.begun <= place.watcher.asked == place.members[-1].number

    def teardown(self) -> None:
        try:
            self.come_to_rest()
            for place in self.places:
                place.leave.close()
            assert (self.board.watchers, self.board.tenants) == (0, [])
        finally:
            self.running.cancel()
            self.runner.run(turns())
            self.runner.close()
            self.around.close()

    def come_to_rest(self) -> None:
        """Nothing more happens: within a few looks everybody has the truth."""
        if self.away:
            self.lose()
        for tenant, at in self.owed:
            self.board.amend(tenant, at, at)
        for _ in range(ROUNDS):
            self.look()
            self.heads(patient=True)
            while self.reads:
                self.a_read_ends()
        for place in self.places:
            self.took(place)
            true, last = self.figures[place.tenant], place.last
            assert last is not None, f"nothing came in {ROUNDS} looks"
            assert (last.epoch, last.version) == (true.epoch, true.version)
            assert last.held_at == self.held[place.tenant]
            assert last.valid_until > self.clock, "time has changed it since"
            assert all(member.has_begun for member in place.members)


async def turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


TestOrders = Orders.TestCase
TestOrders.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
