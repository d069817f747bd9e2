"""Authorising while Valkey is away: refused, or granted up to what the tenant set for an outage.

Owns the fail mode. Every open hold has a row, but what was just released or sent is told to Valkey
first: what is granted without it is bounded by what the tenant set, counted in PostgreSQL over all
processes. When Valkey is back, those holds are brought to it like all others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec

from api.grants import Answer, Reused, granted, granted_of, hold_of
from api.sends import Granted
from domain.asking import Ask, Reason, Refusal, decide
from domain.figures import left
from domain.holds import recipient_of
from domain.money import text
from domain.periods import period
from domain.sums import LEFT, Sums, UncountedError, count_field
from domain.terms import Terms
from persistence import asked, load, outages
from persistence.balances import Asked, readings
from persistence.door import Door
from persistence.holds import grant, keep_shares, open_holds

CLOSED = "what is held cannot be seen just now, and nothing is granted without it; try again soon"


class Outage:
    """The fail modes of tenants."""

    def __init__(self, door: Door, now: Callable[[], int]) -> None:
        self._door = door
        self._now = now

    async def decide(self, ask: Ask, number: bytes) -> Answer:
        """Decide one send by PostgreSQL alone, one at a time per tenant."""
        terms = ask.terms
        if not terms.sending.fail_open:
            return Refusal(reason=Reason.UNAVAILABLE, message=CLOSED)
        # What a hold before it had is in the same balance: it is not counted on here.
        ask, now, tenant_id = replace(ask, before=()), self._now(), terms.tenant_id
        async with self._door.tenant_tx(tenant_id) as connection:
            heads = await load.lock(connection, [tenant_id], wait=True)
            key = asked.keyed(tenant_id, number)
            before = (await asked.holds(connection, [key])).get(key)
            if before is not None:
                if before.kept.hold.number != number:
                    return Reused()
                if before.answer is not None:
                    return msgspec.msgpack.decode(before.answer, type=Granted)
                return granted_of(before.kept, terms)
            # Behind the lock: what a capture took is missing in both, or in neither.
            sums = Sums(await self._left(terms, now), {})
            async for kept, _ in open_holds(connection, tenant_id, now):
                parts, sent = kept.open_()
                sums.shift(parts if now < kept.hold.expires_at else sent)
            while True:
                try:
                    decision = decide(ask, sums)
                    break
                except UncountedError as missing:
                    for count, _, value in await asked.read_counts(
                        connection, tenant_id, [missing.key]
                    ):
                        name = count_field(*count)
                        sums.counts[name] = value + sums.held.get(name, 0)
            if decision.refusal is not None:
                return decision.refusal
            spent = dict(await outages.granted(connection, tenant_id))
            for field, amount in decision.total:
                if not field.startswith(LEFT):
                    continue
                spent[field] = spent.get(field, 0) + amount
                balance_key = field.removeprefix(LEFT)
                limit = terms.sending.fail_open.get(balance_key, 0)
                if spent[field] > limit:
                    return Refusal(
                        reason=Reason.UNAVAILABLE,
                        message=f"without what is held, at most {text(limit)} of balance"
                        f" {balance_key} is granted, and that is reached; try again soon",
                        balance=balance_key,
                        required=amount,
                        available=max(limit - spent[field] + amount, 0),
                    )
            hold = hold_of(number, decision, terms, now)
            answer = granted(hold, decision, terms, sums, {})
            version = heads[tenant_id]["version"]
            await outages.note(connection, tenant_id, now, spent)
            await grant(connection, [(tenant_id, version, hold, msgspec.msgpack.encode(answer))])
            if hold.varied:
                own = {
                    recipient_of(fact.address): share
                    for fact, share in zip(ask.facts, decision.shares, strict=False)
                    if share != hold.share
                }
                await keep_shares(connection, tenant_id, hold.hold_id, own)
            return answer

    async def _left(self, terms: Terms, now: int) -> dict[str, int]:
        """What a tenant's balances have left, before anything is held."""
        span = period(terms.zone, now)
        (reading,) = await readings(
            self._door, [Asked(tenant_id=terms.tenant_id, at=now, period=span, day=None)]
        )
        assert reading is not None, "a tenant has a head"
        found: dict[str, int] = {}
        for balance in terms.standing.balances(reading.period, now):
            pot = reading.pots.get(balance.key)
            lots = () if pot is None else pot.lots
            found[LEFT + balance.key] = left(balance, reading.period, now, lots, terms.since)
        return found
