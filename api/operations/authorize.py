"""Authorize sends: may they be, and what is set aside for them (OC-1).

Owns the order from requests to answers: whose tenant, what is asked, the desk. Each send is
answered for itself; what is wrong with one is its own answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from api.cloudevents import is_plain
from api.desk import Desk
from api.directory import Directory
from api.grants import Answer, Reused
from api.rights import Principal
from api.sends import MEMBERS_MAX, NotAskedError, Question, Send, question
from domain.asking import Limit, Refusal
from domain.facts import Fact
from domain.sending import BOUNDS
from domain.terms import Terms

SCOPE = "send:authorize"

#: Recipients checked before others are served.
RECIPIENTS_AT_A_TIME = 500

#: What is wrong with a number that another process may have registered a moment ago.
MAY_BE_NEW = frozenset({"unknown_number", "channel_mismatch"})

REUSED = NotAskedError(
    "idempotency_key_reused",
    "this key came before with another request; use a new key for a new one",
    "key",
)


@dataclass(frozen=True, slots=True)
class Authorized:
    """What became of one send: granted, refused, or no question at all."""

    answer: Answer | NotAskedError
    terms: Terms | None  #: of its tenant, where there is one


async def run(
    desk: Desk, directory: Directory, principal: Principal, sends: Sequence[Send], *, now: int
) -> list[Authorized]:
    """Authorize sends, each tenant's in their order; raises what the desk raises."""
    principal.require(SCOPE)
    keys = {send.tenant or principal.tenant_key or "" for send in sends}
    known = await directory.find([key for key in keys if is_plain(key) and principal.sees(key)])
    checked: list[Question | NotAskedError] = []
    for send in sends:
        terms = known.get(send.tenant or principal.tenant_key or "")
        found = await _check(principal, send, terms, now)
        if isinstance(found, NotAskedError) and found.reason in MAY_BE_NEW and terms is not None:
            known.update(await directory.read([terms.key]))
            terms = known[terms.key]
            found = await _check(principal, send, terms, now)
        checked.append(found)
    asked = iter(await desk.ask([each for each in checked if isinstance(each, Question)]))
    answers = [
        _placed(next(asked), each) if isinstance(each, Question) else each for each in checked
    ]
    # The desk may have read them again: balances are named by what it decided by.
    known.update(await directory.find(known))
    return [
        Authorized(
            REUSED if isinstance(answer, Reused) else answer,
            known.get(send.tenant or principal.tenant_key or ""),
        )
        for answer, send in zip(answers, sends, strict=True)
    ]


async def _check(
    principal: Principal, send: Send, terms: Terms | None, now: int
) -> Question | NotAskedError:
    if terms is None:
        return _unknown(principal, send)
    try:
        found, facts = question(send, terms.at(now), now)
        checked: list[Fact] = []
        places: list[int] = []
        for place, fact in facts:
            checked.append(fact)
            places.append(place)
            if len(checked) % RECIPIENTS_AT_A_TIME == 0:
                await asyncio.sleep(0)  # others are served between pieces
    except NotAskedError as error:
        return error
    found.facts, found.places = checked, places
    if send.group is not None:
        found.limit = Limit("members", len(checked), MEMBERS_MAX)
    else:
        found.limit = Limit("recipients", len(checked), None)
    if len(checked) > BOUNDS["recipients_max"][1]:
        found.facts = checked[:1]  # nobody may have as many: the first stands for all
    return found


def _placed(answer: Answer, question: Question) -> Answer:
    """An answer about a recipient by its place in the request."""
    if not isinstance(answer, Refusal) or answer.recipient is None:
        return answer
    return replace(answer, recipient=question.places[answer.recipient])


def _unknown(principal: Principal, send: Send) -> NotAskedError:
    if not send.tenant and principal.tenant_key is None:
        return NotAskedError(
            "missing_field",
            "tenant is missing: the tenant's key (an operator's key has no tenant)",
            "tenant",
        )
    return NotAskedError(
        "unknown_tenant",
        f"there is no tenant {(send.tenant or '')[:64]!r} for this key; write the tenant's key",
        "tenant",
    )
