"""Intake: a request's events in, an answer for each out; one door behind HTTP and GraphQL.

Owns who may send facts of which tenant, the terms the edge checks against, and the shape of an
answer. Decides nothing about a fact: `edge` checks it, a lane commits it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import msgspec

from api.auth import Principal
from api.cloudevents import Envelope, Refusal, is_plain, read_body, read_object, to_item
from api.edge import to_fact
from api.lanes import Lanes
from api.submissions import Verdict
from domain.facts import Fact, Status
from domain.money import text
from domain.state import Part
from domain.terms import Terms
from persistence import terms as stored_terms
from persistence.catalogue import Catalogue
from persistence.door import Door

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
        self, door: Door, catalogue: Catalogue, now: Callable[[], int], lanes: Lanes
    ) -> None:
        self._door = door
        self._catalogue = catalogue
        self._now = now
        self._lanes = lanes
        self._terms: dict[str, Terms] = {}

    async def start(self) -> None:
        await self._lanes.start()

    async def stop(self) -> None:
        await self._lanes.stop()

    @property
    def waiting(self) -> int:
        """Facts that wait for a lane."""
        return self._lanes.waiting

    async def record(self, principal: Principal, body: bytes, content_type: str) -> bytes:
        """Take a request's body and give its answer as JSON; raises Fault for the whole."""
        return _encode(Answer(await self._record(principal, read_body(body, content_type))))

    async def record_events(self, principal: Principal, events: Sequence[object]) -> list[Result]:
        """Take events that were decoded elsewhere; as `record` in everything else."""
        return await self._record(principal, [read_object(event) for event in events])

    async def _record(
        self, principal: Principal, events: Sequence[Envelope | Refusal]
    ) -> list[Result]:
        principal.require(SCOPE)
        checked = await self._check(principal, events, self._now())
        facts = [entry for entry in checked if isinstance(entry, Fact)]
        verdicts = iter(await self._lanes.commit(facts) if facts else ())
        results = []
        for entry in checked:
            if isinstance(entry, Fact):
                results.append(self._result(entry, next(verdicts)))
            else:
                results.append(Result(entry.id, "refused", entry.reason, entry.message, entry.path))
        return results

    async def _check(
        self, principal: Principal, events: Sequence[Envelope | Refusal], now: int
    ) -> list[Fact | Refusal]:
        """Facts and refusals in the order of the events; terms are read once for all of them."""
        subjects = {
            event.subject or principal.tenant_key for event in events if isinstance(event, Envelope)
        }
        own = {key for key in subjects if is_plain(key) and principal.sees(key)}
        await self._read_terms(own - self._terms.keys())
        checked: list[Fact | Refusal] = []
        unknown: set[str] = set()
        for place, event in enumerate(events):
            entry = self._one(principal, event, now)
            if (
                isinstance(event, Envelope)
                and isinstance(entry, Refusal)
                and entry.reason in MAY_BE_NEW
            ):
                unknown.add(event.subject or principal.tenant_key or "")
            checked.append(entry)
            if place % EVENTS_AT_A_TIME == EVENTS_AT_A_TIME - 1:
                await asyncio.sleep(0)  # others are served between pieces
        if unknown & own:
            # The number may be a moment old, registered by another process.
            await self._read_terms(unknown & own)
            for place, event in enumerate(events):
                entry = checked[place]
                if isinstance(entry, Refusal) and entry.reason in MAY_BE_NEW:
                    checked[place] = self._one(principal, event, now)
        return checked

    def _one(self, principal: Principal, event: Envelope | Refusal, now: int) -> Fact | Refusal:
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
        terms = self._terms.get(subject) if principal.sees(subject) else None
        if terms is None:
            return Refusal(
                "unknown_tenant",
                f"there is no tenant {subject[:64]!r} for this key; write the tenant's key",
                "subject",
                item.id,
            )
        return to_fact(item, terms, now)

    async def _read_terms(self, keys: Iterable[str]) -> None:
        wanted = list(keys)
        if not wanted:
            return
        for terms in await stored_terms.by_keys(self._door, self._catalogue, wanted):
            self._terms[terms.key] = terms
            self._lanes.directory[terms.tenant_id] = terms

    def _result(self, fact: Fact, verdict: Verdict) -> Result:
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
        terms = self._lanes.directory[fact.tenant_id]
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
