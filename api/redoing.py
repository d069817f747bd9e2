"""Actions of an exported log done once more, on the books as they stand at their place in it.

Owns what becomes of an action's line. What was given stays as it was given (amounts, starts, the
instants from which something holds) and nothing is refused, for it was done; which lots it moved
follows from the books here. Names of the log become numbers of this database.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from api import (
    ids,
    redoing_account,
    redoing_billing,
    redoing_dunning,
    redoing_invoices,
    redoing_subscriptions,
)
from api.invoicing import top_ups
from api.log_file import Action as Line
from api.operations.acting import Done, Scene, kept
from domain.adjustments import adjust
from domain.changing import book
from domain.lots import Lot, LotSource
from domain.periods import Zone, zones
from domain.refill_policy import RefillPolicy
from domain.refunds import refund_charge, refund_top_up, take_back
from domain.state import Changes
from domain.thresholds import edit, parsed
from domain.top_ups import top_up
from persistence import actions, charges, refills, settling, terms, thresholds
from persistence import standing as stored
from persistence.actions import ActionKind
from persistence.catalogue import Catalogue
from persistence.charges import Cursor
from persistence.refills import IMPORTED, OwnPolicy
from persistence.zones import read_zone, rezone_number, rezone_tenant

#: By channel and address, the numbers of senders here.
Numbers = Mapping[tuple[str, str], int]

NO_TARGETS: dict[str, int] = {}


class Redone(NamedTuple):
    """What an action changed here, and what its body and subject say in this database."""

    changes: Changes
    body: dict[str, Any]
    subject: str | None = None
    moves: Sequence[tuple[Lot, int]] = ()


Redo = Callable[["Redoing"], Awaitable[Redone]]


class Redoing:
    """One action's line in front of a locked tenant."""

    def __init__(self, scene: Scene, catalogue: Catalogue, line: Line, numbers: Numbers) -> None:
        self.scene = scene
        self.catalogue = catalogue
        self.line = line
        self.body = line.body
        self.numbers = numbers

    async def done(self) -> Done:
        """Do it."""
        redone = await REDO[ActionKind[self.line.kind]](self)
        redone.changes.alerts.clear()  # what was raised are lines of the log
        body = {**self.line.body, **redone.body}
        if "number_id" in body:
            del body["number"]  # its name in the log
        if "moves" in body:
            body["moves"] = await self._moves(redone)
        return Done(changes=redone.changes, body=body, subject=redone.subject)

    async def _moves(self, redone: Redone) -> list[list[int | None]]:
        """What lots received or gave when it was first done, if all of them are here; else now."""
        connection, tenant_id = self.scene.connection, self.scene.terms.tenant_id
        balance_id = self.scene.balance(self.body["balance"])
        known = await settling.lot_ids(connection, tenant_id)
        here = {origin: lot_id for (of, origin), lot_id in known.items() if of == balance_id}
        for lot in redone.changes.lots.values():
            if lot.balance_id == balance_id:
                here[lot.origin] = lot.lot_id
        moves: list[list[Any]] = self.body["moves"]
        if all(origin in here for origin, *_ in moves):
            return [[here[origin], *rest] for origin, *rest in moves]
        return kept(redone.moves)

    async def agreed(self, change: dict[str, Any]) -> Redone:
        """Something holds from an instant on; what it adds at once was decided."""
        scene = self.scene
        await stored.agree(scene.connection, scene.terms.tenant_id, change)
        return await self.dated()

    async def dated(self) -> Redone:
        """The terms changed: bring the books to the instant under those before and after."""
        scene = self.scene
        (after,) = await terms.by_ids(scene.connection, self.catalogue, [scene.terms.tenant_id])
        await scene.lots(scene.now)
        targets = self.body.get("targets") or NO_TARGETS
        return Redone(book(scene.terms, after, scene.state, dict(targets), scene.now), {})

    def zone(self) -> Zone:
        """The zone that was decided: the one before, and another from an instant on."""
        since, name = self.body["since"], self.body["timezone"]
        before = read_zone(self.body["before"]).changes
        until = [each for each in before if each[0] is None or since is None or each[0] < since]
        return zones(tuple(until) if since is None else (*until, (since, name)))


async def _top_up(redoing: Redoing) -> Redone:
    scene, body = redoing.scene, redoing.body
    starts_at, source = body["starts_at"], LotSource[body["source"]]
    await scene.lots(starts_at)
    lot, changes = top_up(
        scene.terms, scene.state, scene.balance(body["balance"]), body["amount"], source,
        starts_at, body["expires_at"], scene.now,
    )  # fmt: skip
    issued = {}
    if "issued" in body:
        issued = await top_ups.issued_again(scene.connection, changes, body, redoing.line.at)
    return Redone(changes, {"lot_id": lot.lot_id, **issued})


async def _adjust(redoing: Redoing) -> Redone:
    scene, body = redoing.scene, redoing.body
    await scene.lots(scene.now)
    moves, changes = adjust(
        scene.terms, scene.state, scene.balance(body["balance"]), body["amount"],
        body.get("expires_at"), scene.now,
    )  # fmt: skip
    return Redone(changes, {}, moves=moves)


async def _refund(redoing: Redoing) -> Redone:
    of, _, name = (redoing.line.subject or "").partition("/")
    return await (_refund_charge if of == "charge" else _refund_top_up)(redoing, name)


async def _refund_charge(redoing: Redoing, name: str) -> Redone:
    """A charge may be revised here where it was not there, and the other way round."""
    scene, body = redoing.scene, redoing.body
    connection, tenant_id = scene.connection, scene.terms.tenant_id
    at, key, part = name.split("/")
    place = int(at), bytes.fromhex(key), int(part)
    subject = actions.of_charge(*place)
    revision = await charges.latest_revision(connection, tenant_id, *place[:2])
    found = await charges.find(connection, tenant_id, Cursor(*place, revision, False))
    before = await actions.about(connection, tenant_id, subject)
    await scene.lots(place[0])
    balance_id = scene.balance(body["balance"])
    legs = () if found is None else found.legs
    overdrafts = {
        lot.lot_id
        for lot in scene.state.lots.get(balance_id, [])
        if lot.source is LotSource.OVERDRAFT
    }
    refunded = refund_charge(
        scene.terms, scene.state, balance_id, legs,
        before=sum(action.body["amount"] for action in before), amount=body["amount"],
        paid_off=await actions.paid_off(
            connection, tenant_id, balance_id, overdrafts & {lot_id for lot_id, _ in legs}
        ),
        now=scene.now, again=True,
    )  # fmt: skip
    charge = ids.encode_charge(*place, revision, False)
    return Redone(refunded.changes, {"charge": charge, "top_up": None}, subject, refunded.moves)


async def _refund_top_up(redoing: Redoing, name: str) -> Redone:
    scene, body = redoing.scene, redoing.body
    connection, tenant_id = scene.connection, scene.terms.tenant_id
    found = await actions.find(connection, tenant_id, name)
    if found is None:
        raise LookupError(f"{redoing.line.key}: there is no top-up {name}")
    subject = actions.of_top_up(found.action_id)
    before = await actions.about(connection, tenant_id, subject)
    expires_at = found.body["expires_at"]
    # A lot that has ended is there when what happened before its end is asked for.
    await scene.lots(scene.now if expires_at is None else expires_at - 1)
    lot = _lot(scene, body["balance"], found.body["lot_id"])
    if body["taken_back"]:
        returned = sum(action.body["amount"] for action in before)
        refunded = take_back(scene.terms, scene.state, lot, returned, scene.now)
    else:
        refunded = refund_top_up(
            scene.terms, scene.state, lot, body["amount"], scene.now, again=True
        )
    again = {"charge": None, "top_up": ids.encode("top", found.action_id)}
    if "credit_note" in body:
        again |= await top_ups.taken_back_again(connection, refunded.changes, body, redoing.line.at)
    return Redone(refunded.changes, again, subject, refunded.moves)


def _lot(scene: Scene, balance: str, lot_id: int) -> Lot:
    lots = scene.state.lots[scene.balance(balance)]
    return next(lot for lot in lots if lot.lot_id == lot_id)


async def _plan(redoing: Redoing) -> Redone:
    scene, body = redoing.scene, redoing.body
    first = stored.plan_from(body["since"], body["plan"], grants=body["grants"])
    for each in (first, *body.get("plans", ())):
        await stored.agree(scene.connection, scene.terms.tenant_id, each)
    return await redoing.dated()


async def _allowance(redoing: Redoing) -> Redone:
    body = redoing.body
    return await redoing.agreed(
        stored.allowance_from(body["month"], body["balance"], body["amount"])
    )


async def _international(redoing: Redoing) -> Redone:
    body = redoing.body
    return await redoing.agreed(stored.international_from(body["international"], body["from"]))


async def _zone(redoing: Redoing) -> Redone:
    scene = redoing.scene
    await rezone_tenant(scene.connection, scene.terms.tenant_id, redoing.zone())
    for each in redoing.body.get("plans", ()):
        await stored.agree(scene.connection, scene.terms.tenant_id, each)
    return await redoing.dated()


async def _settle(redoing: Redoing) -> Redone:
    """What it found stays the answer to its key; what it posted follows from the log itself."""
    return (await redoing.dated())._replace(body={"settlement_id": None})


async def _thresholds(redoing: Redoing) -> Redone:
    scene, balance = redoing.scene, redoing.body["balance"]
    connection, tenant_id = scene.connection, scene.terms.tenant_id
    kept_of_it = redoing.body["thresholds"]
    own = None if kept_of_it is None else parsed(kept_of_it)
    await thresholds.set_own(connection, tenant_id, balance, own)
    (after,) = await terms.by_ids(connection, redoing.catalogue, [tenant_id])
    await scene.lots(scene.now)
    changes = edit(scene.terms, after, scene.state, scene.balance(balance), scene.now)
    return Redone(changes, {})


async def _purchase(redoing: Redoing) -> Redone:
    """It moved nothing, and is collected where it was made; what it brought is a top-up."""
    return (await redoing.dated())._replace(body={"purchase_id": None})


async def _refill_policy(redoing: Redoing) -> Redone:
    """Refills that were charged come back as the top-ups they became: here it charges nobody."""
    scene, body = redoing.scene, redoing.body
    policy = RefillPolicy(*body["policy"])._replace(enabled=False)
    own = OwnPolicy(policy, scene.now, IMPORTED)
    await refills.set_own(scene.connection, scene.terms.tenant_id, body["balance"], own)
    return await redoing.dated()


async def _payment_method(redoing: Redoing) -> Redone:
    """What is charged stands in no log: whoever goes on here names it."""
    return await redoing.dated()


async def _number_zone(redoing: Redoing) -> Redone:
    scene = redoing.scene
    channel, address = redoing.body["number"]
    number_id = redoing.numbers[channel, address]
    await rezone_number(scene.connection, scene.terms.tenant_id, number_id, redoing.zone())
    redone = await redoing.dated()
    return redone._replace(body={"number_id": number_id})


REDO: Mapping[ActionKind, Redo] = {
    ActionKind.TOP_UP: _top_up,
    ActionKind.ADJUSTMENT: _adjust,
    ActionKind.REFUND: _refund,
    ActionKind.PLAN_CHANGE: _plan,
    ActionKind.ALLOWANCE_SET: _allowance,
    ActionKind.INTERNATIONAL_RATE_SET: _international,
    ActionKind.TIMEZONE_CHANGE: _zone,
    ActionKind.NUMBER_TIMEZONE_CHANGE: _number_zone,
    ActionKind.SETTLE: _settle,
    ActionKind.THRESHOLD_SET: _thresholds,
    ActionKind.PURCHASE: _purchase,
    ActionKind.INVOICE_PAY: _purchase,
    ActionKind.INVOICE_CREATE: redoing_invoices.drafted,
    ActionKind.INVOICE_DISCARD: redoing_invoices.drafted,
    ActionKind.INVOICE_ISSUE: redoing_invoices.issue,
    ActionKind.INVOICE_VOID: redoing_account.invoice_void,
    ActionKind.CREDIT_NOTE: redoing_account.credit_note,
    ActionKind.PAYMENT_RECORD: redoing_account.payment_record,
    ActionKind.PAYMENT_REFUND: redoing_account.payment_refund,
    ActionKind.PAYMENT_TAKE_BACK: redoing_account.payment_take_back,
    ActionKind.BILLING_SET: redoing_billing.billing_set,
    ActionKind.SUBSCRIPTION_CREATE: redoing_subscriptions.subscription_create,
    ActionKind.SUBSCRIPTION_CHANGE: redoing_subscriptions.subscription_change,
    ActionKind.DUNNING_SET: redoing_dunning.set_policy,
    ActionKind.INVOICE_OVERDUE: redoing_dunning.step,
    ActionKind.REFILL_POLICY_SET: _refill_policy,
    ActionKind.PAYMENT_METHOD_SET: _payment_method,
}
