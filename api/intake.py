"""Intake: a request's events in, an answer for each out; one door behind HTTP and GraphQL.

Owns who may send facts of which tenant, the terms the edge checks against, and the shape of an
answer. Decides nothing about a fact: `edge` checks it, a lane commits it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache

import msgspec

from api.cloudevents import Envelope, Refusal, is_plain, read_body, read_object, to_item
from api.directory import Directory
from api.edge import to_fact
from api.lanes import Lanes
from api.metrics import Metrics
from api.rights import Principal
from api.submissions import Verdict
from domain.facts import Fact, Status
from domain.money import text
from domain.state import Part
from domain.terms import Terms
from persistence.catalogue import Catalogue

SCOPE = "events:write"

#: Events checked before others are served: some two milliseconds.
EVENTS_AT_A_TIME = 250

#: Refusals that a number registered a moment ago would undo.
MAY_BE_NEW = frozenset({"unknown_number", "channel_mismatch"})

_text = lru_cache(maxsize=8192)(text)
_STATUS = {status: status.name.lower() for status in Status}


class Charge(msgspec.Struct):
    """One leg of a fact's charge. `amount` is in the balance's own unit: money or product units."""

    balance: str | None
    units: str
    amount: str
    currency: str | None
    category: str | None
    rule: str | None


class Result(msgspec.Struct):
    """What became of one event."""

    id: str | None
    status: str
    reason: str | None = None
    message: str | None = None
    path: str | None = None
    charges: list[Charge] = []


class Answer(msgspec.Struct):
    results: list[Result]


_encode = msgspec.json.Encoder().encode


class Intake:
    """The way in of one process."""

    def __init__(
        self,
        directory: Directory,
        catalogue: Catalogue,
        now: Callable[[], int],
        lanes: Lanes,
        metrics: Metrics,
    ) -> None:
        self._directory = directory
        self._catalogue = catalogue
        self._now = now
        self._lanes = lanes
        self._metrics = metrics

    async def start(self) -> None:
        await self._lanes.start()

    async def stop(self) -> None:
        await self._lanes.stop()

    @property
    def waiting(self) -> int:
        """Facts that wait for a lane."""
        return self._lanes.waiting

    async def record(
        self,
        principal: Principal,
        body: bytes,
        content_type: str,
        charge: Callable[[int], Awaitable[None]] | None = None,
    ) -> bytes:
        """Take a request's body and give its answer as JSON; raises Fault for the whole.

        `charge` is told how many events there are, and may refuse them all.
        """
        events = read_body(body, content_type)
        if charge is not None:
            await charge(len(events))
        return _encode(Answer(await self._record(principal, events)))

    async def record_events(self, principal: Principal, events: Sequence[object]) -> list[Result]:
        """Take events that were decoded elsewhere; as `record` in everything else."""
        return await self._record(principal, [read_object(event) for event in events])

    async def _record(
        self, principal: Principal, events: Sequence[Envelope | Refusal]
    ) -> list[Result]:
        principal.require(SCOPE)
        subjects = {
            event.subject or principal.tenant_key for event in events if isinstance(event, Envelope)
        }
        own = {key for key in subjects if key is not None and is_plain(key) and principal.sees(key)}
        known = await self._directory.find(own)
        checked = await self._check(principal, events, known, self._now())
        facts = [entry for entry in checked if isinstance(entry, Fact)]
        verdicts = iter(await self._lanes.commit(facts) if facts else ())
        terms = {own.tenant_id: own for own in known.values()}
        results = []
        for entry in checked:
            if isinstance(entry, Fact):
                results.append(self._result(terms[entry.tenant_id], entry, next(verdicts)))
            else:
                results.append(Result(entry.id, "refused", entry.reason, entry.message, entry.path))
        for status, count in Counter(result.status for result in results).items():
            self._metrics.facts.labels(status).inc(count)
        return results

    async def _check(
        self,
        principal: Principal,
        events: Sequence[Envelope | Refusal],
        known: dict[str, Terms],
        now: int,
    ) -> list[Fact | Refusal]:
        """Facts and refusals in the order of the events; `known` is brought up to date."""
        checked: list[Fact | Refusal] = []
        stale: set[str] = set()
        for place, event in enumerate(events):
            entry = self._one(principal, event, known, now)
            if isinstance(entry, Refusal) and entry.reason in MAY_BE_NEW:
                assert isinstance(event, Envelope)
                stale.add(event.subject or principal.tenant_key or "")
            checked.append(entry)
            if place % EVENTS_AT_A_TIME == EVENTS_AT_A_TIME - 1:
                await asyncio.sleep(0)  # others are served between pieces
        if stale:
            # The number may be a moment old, registered by another process.
            known.update(await self._directory.read(stale))
            for place, event in enumerate(events):
                entry = checked[place]
                if isinstance(entry, Refusal) and entry.reason in MAY_BE_NEW:
                    checked[place] = self._one(principal, event, known, now)
        return checked

    def _one(
        self, principal: Principal, event: Envelope | Refusal, known: dict[str, Terms], now: int
    ) -> Fact | Refusal:
        if isinstance(event, Refusal):
            return event
        item = to_item(event)
        if isinstance(item, Refusal):
            return item
        subject = item.subject or principal.tenant_key
        if not subject:
            return Refusal(
                "missing_field",
                "subject is missing: the tenant's key (an operator's key has no tenant)",
                "subject",
                item.id,
            )
        terms = known.get(subject)
        if terms is None:
            return Refusal(
                "unknown_tenant",
                f"there is no tenant {subject[:64]!r} for this key; write the tenant's key",
                "subject",
                item.id,
            )
        return to_fact(item, terms, now)

    def _result(self, terms: Terms, fact: Fact, verdict: Verdict) -> Result:
        status = _STATUS[verdict.status]
        if verdict.status is Status.CONFLICT:
            return Result(
                fact.id,
                status,
                "content_differs",
                "this source and id came before with other content; the first stays",
                "data",
            )
        if verdict.status is Status.REFUSED:
            return Result(fact.id, status, "invalid_field", verdict.refusal, "data")
        charges = [
            self._charge(terms, fact, part, amount)
            for part in verdict.parts
            for amount in ([leg.taken for leg in part.legs] or [part.amount])
        ]
        if verdict.status is Status.UNRATED:
            return Result(
                fact.id,
                status,
                "no_rate",
                "kept and counted, but no rate of the price book covers it yet",
                None,
                charges,
            )
        return Result(fact.id, status, charges=charges)

    def _charge(self, terms: Terms, fact: Fact, part: Part, amount: int) -> Charge:
        balance = terms.balances.get(part.balance_id)
        return Charge(
            None if balance is None else balance.key,
            _text(part.units),
            _text(amount),
            None if balance is None else balance.currency,
            fact.category or None,
            self._catalogue.rules.get(part.rule_id),
        )
