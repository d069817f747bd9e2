"""Set the day from which a tenant pays a market's international rate, once per key (PR-5)."""

from __future__ import annotations

from dataclasses import dataclass

from api.operations.acting import Done, Scene, once
from domain.changing import book
from domain.eligibility import charged_otherwise, check_market
from domain.periods import date_of
from domain.problems import Problem
from persistence import standing as stored
from persistence import terms
from persistence.actions import Action, ActionKind
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.show import Show

YEARS = range(1970, 2200)


@dataclass(frozen=True, slots=True, kw_only=True)
class InternationalRateSet:
    tenant: str  #: its key
    market: str
    since: int | None  #: a local date at the number; None: the local rate
    idempotency_key: str


async def run(
    door: Door, catalogue: Catalogue, show: Show, request: InternationalRateSet, *, now: int
) -> Action:
    """Set the day, or give what the same key set before."""
    if request.since is not None and date_of(request.since).year not in YEARS:
        raise Problem("INVALID", "from is from 1970 to 2199", "from")

    async def act(scene: Scene) -> Done:
        return await _set(scene, catalogue, request)

    return await once(
        door, catalogue, show, ActionKind.INTERNATIONAL_RATE_SET, request, act, now=now
    )


async def _set(scene: Scene, catalogue: Catalogue, request: InternationalRateSet) -> Done:
    own, market, since = scene.terms, request.market, request.since
    books = [view.book for _, view in own.views]
    check_market(market, own.country, books)
    await _check_facts(scene, own.international.get(market), since)
    change = stored.international_from(market, since)
    await stored.agree(scene.connection, own.tenant_id, change)
    (after,) = await terms.by_ids(scene.connection, catalogue, [own.tenant_id])
    await scene.lots(scene.now)
    return Done(
        changes=book(own, after, scene.state, {}, scene.now),
        body=change,
        before={"market": market, "from": _day(own.international.get(market))},
        after={"market": market, "from": _day(since)},
    )


def _day(number: int | None) -> str | None:
    return None if number is None else date_of(number).isoformat()


async def _check_facts(scene: Scene, before: int | None, since: int | None) -> None:
    """Refuse a day that would charge otherwise what was taken in; a day that came stays."""
    span = charged_otherwise(scene.terms, before, since)
    if span is None or not await stored.has_facts(scene.connection, scene.terms.tenant_id, *span):
        return
    if before is not None and (since is None or before < since):
        message = (
            f"facts of {date_of(before)} or later were taken in, and by then the international "
            "rate held: the day has come and stays"
        )
    else:
        assert since is not None, "only another day charges facts by the international rate"
        message = (
            f"facts of {date_of(since)} or later were taken in and charged without it: choose a "
            "day after the last of them"
        )
    raise Problem("ALREADY_CHARGED", message, "from")
