"""Deciding: a round of questions, looked up, priced, and taken in Valkey in one step a tenant.

Owns the order of work on a question. What is decided stands only if the script finds the sums as
they were taken to be; what moved meanwhile is decided anew. What is granted has a row before it is
told, so that nothing that was promised is lost with Valkey.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import structlog

from api.grants import Answer, Reused, granted, granted_of, hold_of, moved
from api.limits import TENANTS_REMEMBERED_MAX
from api.rounds import Done, Overwhelmed, Plan, Tools, Waiting
from api.sends import Granted, Question
from domain.asking import Ask, Cap, decide
from domain.holds import End, Hold, Vector, read, recipient_of
from domain.sums import Bounds, CountKey, Sums, UncountedError, count_field
from domain.terms import Terms
from persistence import asked, held, load
from persistence.asked import Look
from persistence.connection import Connection
from persistence.held import Decided, Ended, Item, Snapshot
from persistence.holds import find, grant, keep_shares, write
from persistence.valkey import AWAY, run

log = structlog.get_logger(__name__)

#: Recipients that one round decides, and how many one send may have to be decided among others.
RECIPIENTS_AT_A_TIME = 400
#: How often a round is decided anew because something moved, before whoever asked is told to wait.
ATTEMPTS = 40
#: Seconds for which a Valkey that did not answer is not asked again: nobody waits for it twice.
REST_SECONDS = 1.0
#: Between two looks for the row of a hold that somebody else was just granted, and how many.
SEEN_SECONDS, SEEN_MAX = 0.02, 25
#: The revision of a hold that nobody was told of and nobody will be: later than all others.
GIVEN_UP = 1 << 30

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Granted).decode


class Round:
    """Questions that are decided together."""

    def __init__(self, tools: Tools, batch: Sequence[Waiting]) -> None:
        self._tools = tools
        self._batch = batch
        self._terms: dict[int, Terms] = {}
        self._keys: dict[int, dict[int, str]] = {}
        self._caps: dict[int, tuple[tuple[Cap, ...], int]] = {}
        self._seeds: dict[int, dict[CountKey, tuple[int, int]]] = {}
        self._told: list[tuple[Waiting, Answer]] = []
        self._seen: dict[int, int] = {}  #: how often another's grant was met, by who waits
        self._planned: dict[int, Snapshot] = {}  #: what the present plans go by
        self._look: Look
        self._connection: Connection

    async def run(self) -> None:
        """Answer every question, or fail it; raises where the database cannot be reached."""
        pending: dict[int, list[Waiting]] = {}
        for waiting in self._batch:
            pending.setdefault(waiting.question.terms.tenant_id, []).append(waiting)
        # Nobody waits for a lock of it: it only saves the ways there and back of a second one.
        async with self._tools.door.tenant_tx(*pending) as connection:
            self._connection = connection
            self._look = await asked.look(
                connection, self._parties(),
                [asked.keyed(each.question.terms.tenant_id, each.question.hold_number)
                 for each in self._batch],
            )  # fmt: skip
            await self._refresh(pending)
            for tenant, own in pending.items():
                pending[tenant] = [each for each in own if not self._ended(tenant, each)]
            left = await self._decide(pending)
        # Kept by now: what Valkey loses from here on is there again.
        for waiting, answer in self._told:
            waiting.tell(answer)
        for tenant, own in left.items():
            self._tools.snapshots.pop(tenant, None)
            await self._without(tenant, own)

    async def _decide(self, pending: dict[int, list[Waiting]]) -> dict[int, list[Waiting]]:
        """Decide until everything stands; gives what has to be decided without Valkey."""
        tools, clock = self._tools, asyncio.get_running_loop().time
        for attempt in range(ATTEMPTS):
            pending = {tenant: own for tenant, own in pending.items() if own}
            if not pending:
                return {}
            tools.again += attempt > 0
            if clock() < tools.rest_until:
                return pending
            try:
                await self._attempt(pending)
                await self._look_again(pending)
            except AWAY as error:
                log.info("authorisations go on without Valkey", why=repr(error))
                tools.rest_until = clock() + REST_SECONDS
                return pending
        for each in [each for own in pending.values() for each in own]:
            each.fail(Overwhelmed("the tenant's figures move too fast just now"))
        return {}

    def _parties(self) -> list[asked.Party]:
        return [
            (fact.tenant_id, fact.channel, fact.party, fact.number_id)
            for each in self._batch
            for fact in each.question.facts
        ]

    async def _refresh(self, pending: dict[int, list[Waiting]]) -> None:
        """The terms as they are by now, and what caps are compared with."""
        tools = self._tools
        stale: list[str] = []
        for tenant, own in pending.items():
            terms = self._terms[tenant] = own[-1].question.terms
            if terms.settings != self._look.settings.get(tenant):
                stale.append(terms.key)
        if stale:
            for terms in (await tools.directory.read(stale)).values():
                self._terms[terms.tenant_id] = terms
        now = tools.now()
        for tenant, terms in self._terms.items():
            view = self._terms[tenant] = terms.at(now)
            self._keys[tenant] = {number: key for key, number in view.balance_ids.items()}
            if view.sending.caps:
                await self._cap(tenant, now)

    async def _cap(self, tenant: int, now: int) -> None:
        """What of each cap is left, as of a version: with a later one it is read again."""
        terms = self._terms[tenant]
        used = await asked.used(self._tools.door, tenant, terms.zone, now)
        caps: list[Cap] = []
        for key, cap in terms.sending.caps.items():
            balance_id = terms.balance_ids.get(key)
            for span, limit, taken in (
                ("day", cap.day, used.day),
                ("month", cap.month, used.month),
            ):
                if balance_id is not None and limit is not None:
                    left = limit - taken.get(balance_id, 0)
                    caps.append(Cap(key, span, limit, left))
        self._caps[tenant] = tuple(caps), used.version

    def _ended(self, tenant: int, waiting: Waiting) -> bool:
        """Answer what was granted before."""
        number = waiting.question.hold_number
        before = self._look.holds.get(asked.keyed(tenant, number))
        if before is None:
            return False
        if before.kept.hold.number != number:
            self._told.append((waiting, Reused()))
        elif before.answer is not None:
            self._told.append((waiting, _unpack(before.answer)))
        else:
            self._told.append((waiting, granted_of(before.kept, self._terms[tenant])))
        return True

    async def _attempt(self, pending: dict[int, list[Waiting]]) -> None:
        """Decide everything that is pending once, and let the scripts take what stands."""
        tools = self._tools
        now, epoch = tools.now(), tools.door.epoch
        tenants = list(pending)
        plans: dict[int, list[tuple[Waiting, Plan]]] = {}
        for tenant in tenants:
            snapshot = tools.snapshots.get(tenant)
            if snapshot is None:
                plans[tenant] = []  # the script tells how things stand, and decides nothing
                continue
            self._planned[tenant] = snapshot
            plans[tenant] = await self._plan(tenant, pending[tenant], snapshot, now)
        answers = await run(
            tools.valkey,
            [
                held.authorize_call(
                    tenant, epoch, now, [planned.item for _, planned in plans[tenant]],
                    [(count_field(*key), version, value)
                     for key, (version, value) in self._seeds.get(tenant, {}).items()],
                )
                for tenant in tenants
            ],
        )  # fmt: skip
        stale: list[int] = []
        done = Done()
        for tenant, answer in zip(tenants, answers, strict=True):
            found = held.decided(answer)
            if found.snapshot is None:
                stale.append(tenant)
                tools.snapshots.pop(tenant, None)
                continue
            tools.snapshots[tenant] = found.snapshot
            while len(tools.snapshots) > TENANTS_REMEMBERED_MAX:
                tools.snapshots.pop(next(iter(tools.snapshots)))
            if plans[tenant]:
                self._settle(tenant, plans[tenant], found, done)
            if found.status == "gone":
                # What it was to take the place of has ended: it is a hold of its own.
                plans[tenant][len(found.results)][0].question.replaces = None
            if found.status == "changed" and tenant in self._caps:
                await self._cap(tenant, now)
        if done.rows:
            await grant(self._connection, done.rows)
            for tenant, hold_id, shares in done.shares:
                await keep_shares(self._connection, tenant, hold_id, shares)
            for tenant, replaced in done.replaced:
                await self._replace(tenant, replaced, now)
            tools.untold.update(row[0] for row in done.rows)
        if done.given_up:
            calls = [held.end_call(tenant, now, [ended]) for tenant, ended in done.given_up]
            await run(tools.valkey, calls)
        self._told += done.told
        told = {id(waiting) for waiting, _ in done.told}
        for tenant, own in pending.items():
            pending[tenant] = [
                each for each in own if id(each) not in told and not each.answer.done()
            ]
        if stale:
            await tools.rebuild.balances(stale)

    def _settle(
        self, tenant: int, plan: Sequence[tuple[Waiting, Plan]], found: Decided, done: Done
    ) -> None:
        """Note what is to be kept and told of what the script decided."""
        assert found.snapshot is not None
        version, low = found.snapshot.version, found.snapshot.low
        drift = self._drift(tenant, plan, found)
        for (waiting, planned), result in zip(plan, found.results, strict=False):
            hold, answer = planned.item.hold, moved(planned.answer, drift, low)
            if isinstance(result, bytes):
                self._seen_before(tenant, waiting, result, version, done)
            elif result == 2:
                done.told.append((waiting, Reused()))
            else:
                if result:
                    done.rows.append((tenant, version, hold, _pack(answer)))
                if result and planned.replaces is not None:
                    done.replaced.append((tenant, planned.replaces))
                if result and hold.varied:
                    done.shares.append((tenant, hold.hold_id, planned.shares))
                done.told.append((waiting, answer))

    def _drift(
        self, tenant: int, plan: Sequence[tuple[Waiting, Plan]], found: Decided
    ) -> dict[str, int]:
        """By field, what had moved before the script took anything; no decision hung on it."""
        assert found.snapshot is not None
        expected = dict(self._planned[tenant].left)
        for (_, planned), result in zip(plan, found.results, strict=False):
            if result == 1:
                for name, amount in planned.item.takes:
                    if name in expected:
                        expected[name] -= amount
                for name, amount in () if planned.replaces is None else planned.replaces.total:
                    if name in expected:
                        expected[name] += amount
        return {
            name: amount - expected.get(name, 0)
            for name, amount in found.snapshot.left.items()
            if amount != expected.get(name, 0)
        }

    def _seen_before(
        self, tenant: int, waiting: Waiting, answer: bytes, version: int, done: Done
    ) -> None:
        """Somebody was granted it a moment ago under the same key: his row says what is told.

        Where it does not come he died, and told nobody.
        """
        tries = self._seen[id(waiting)] = self._seen.get(id(waiting), 0) + 1
        if tries < SEEN_MAX:
            return
        before = _unpack(answer)
        known = read(before.hold, self._terms[tenant].hold_key)
        if known is None:
            waiting.fail(Overwhelmed("what Valkey has of this key is of another database"))
        elif known.varied:
            # Its shares are not known any more: it is given up, and decided anew.
            done.given_up.append((tenant, Ended(known, GIVEN_UP, (), ())))
        else:
            done.rows.append((tenant, version, known, answer))
            done.told.append((waiting, before))

    async def _look_again(self, pending: dict[int, list[Waiting]]) -> None:
        """Answer what somebody else was granted, once its row is there."""
        seen = [
            (tenant, each)
            for tenant, own in pending.items()
            for each in own
            if id(each) in self._seen
        ]
        if not seen:
            return
        await asyncio.sleep(SEEN_SECONDS)
        keys = [asked.keyed(tenant, each.question.hold_number) for tenant, each in seen]
        known = await asked.holds(self._connection, keys)
        self._look = replace(self._look, holds=known)
        for tenant, own in pending.items():
            pending[tenant] = [
                each for each in own
                if id(each) not in self._seen or not self._ended(tenant, each)
            ]  # fmt: skip

    async def _replace(self, tenant: int, replaced: Hold, now: int) -> None:
        """End the hold whose place another one took, under the lock that facts end holds by."""
        heads = await load.lock(self._connection, [tenant], wait=True)
        kept = await find(self._connection, tenant, replaced)
        if kept.release(now, End.REPLACED):
            await write(self._connection, [(tenant, heads[tenant]["version"], [kept])])

    async def _plan(
        self, tenant: int, own: Sequence[Waiting], snapshot: Snapshot, now: int
    ) -> list[tuple[Waiting, Plan]]:
        """Decide a tenant's questions in order, each after what those before it take."""
        seeds = self._seeds.setdefault(tenant, {})
        while True:
            counts = dict(snapshot.counts)
            for key, (_, value) in seeds.items():
                name = count_field(*key)
                counts.setdefault(name, value + snapshot.held.get(name, 0))
            sums = Sums(dict(snapshot.left), counts, dict(snapshot.held))
            try:
                return [
                    (each, await self._one(tenant, each.question, sums, snapshot, now))
                    for each in own
                ]
            except UncountedError as missing:
                for key, version, value in await asked.counts(
                    self._tools.door, tenant, [missing.key]
                ):
                    seeds[key] = version, value

    async def _one(
        self, tenant: int, question: Question, sums: Sums, snapshot: Snapshot, now: int
    ) -> Plan:
        """What is to be taken for a question, and what is told if it can be."""
        terms, replaces = self._terms[tenant], question.replaces
        ask = self._ask(tenant, question)
        if len(question.facts) > RECIPIENTS_AT_A_TIME:
            # A second of arithmetic: others are served beside it.
            decision = await asyncio.to_thread(decide, ask, sums)
        else:
            decision = decide(ask, sums)
        hold = hold_of(question.hold_number, decision, terms, now)
        bounds = decision.bounds
        if tenant in self._caps:
            bounds = (*bounds, Bounds("version", None, self._caps[tenant][1]))
        if decision.refusal is not None:
            return Plan(Item(hold, b"", (), bounds, None, False), decision.refusal)
        answer = granted(hold, decision, terms, sums, snapshot.low)
        before = None if replaces is None else held.key_of(replaces)
        item = Item(hold, _pack(answer), decision.total, bounds, before, True)
        shares: dict[bytes, Vector] = {}
        if hold.varied:
            shares = {
                recipient_of(fact.address): share
                for fact, share in zip(question.facts, decision.shares, strict=False)
                if share != hold.share
            }
        return Plan(item, answer, shares, replaces)

    def _ask(self, tenant: int, question: Question) -> Ask:
        terms, number = self._terms[tenant], question.number
        contacts = self._look.contacts
        number = terms.numbers.get(number.number_id, number)
        facts = question.facts
        known = {
            fact.party: contact
            for fact in facts
            if (contact := contacts.get((tenant, fact.channel, fact.party, fact.number_id)))
            is not None
        }
        return Ask(
            terms=terms, keys=self._keys[tenant], number=number, facts=facts, contacts=known,
            partial=question.partial,
            before=() if question.replaces is None else question.replaces.total,
            caps=self._caps[tenant][0] if tenant in self._caps else (), limit=question.limit,
            refilling=self._look.refilling.get(tenant, frozenset()),
        )  # fmt: skip

    async def _without(self, tenant: int, own: Sequence[Waiting]) -> None:
        """Decide without Valkey, by the tenant's fail mode."""
        for waiting in own:
            question = waiting.question
            ask = self._ask(tenant, question)
            waiting.tell(await self._tools.outage.decide(ask, question.hold_number))
