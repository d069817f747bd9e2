"""Acting on a balance: under the tenant's lock, in one commit, once per idempotency key (BA-7).

Owns what all such operations share: the look-up of the key, the lock, the record, the showing, and
the checks of what they all take. What an action does to lots is its operation's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from api.operations.checks import check_storable
from domain.figures import left
from domain.lots import Lot
from domain.money import text
from domain.problems import Problem
from domain.reading import reading_of
from domain.state import Changes, State
from domain.terms import Terms
from persistence import actions, load, record, terms
from persistence.actions import Action, ActionKind
from persistence.audit import Words, trace
from persistence.catalogue import Catalogue
from persistence.connection import Connection
from persistence.door import Door
from persistence.show import Show
from persistence.tenants import find_by_keys

KEY_LENGTH_MAX = 255
#: How keys begin under which we act ourselves, such as payments that credit: nobody else has those.
OURS = ("payment/", "taken_back/", "close/", "invoice/", "dunning/", "ending/")
TEXT_LENGTH_MAX = 1_000
#: What the audit calls what was done: the mutation's name.
NAMES: Mapping[ActionKind, str] = {
    ActionKind.TOP_UP: "topUpCreate",
    ActionKind.ADJUSTMENT: "adjustmentCreate",
    ActionKind.REFUND: "refundCreate",
    ActionKind.PLAN_CHANGE: "planChange",
    ActionKind.ALLOWANCE_SET: "allowanceSet",
    ActionKind.INTERNATIONAL_RATE_SET: "internationalRateSet",
    ActionKind.TIMEZONE_CHANGE: "timezoneChange",
    ActionKind.NUMBER_TIMEZONE_CHANGE: "numberTimezoneChange",
    ActionKind.SETTLE: "settle",
    ActionKind.THRESHOLD_SET: "thresholdSet",
    ActionKind.PURCHASE: "purchaseCreate",
    ActionKind.REFILL_POLICY_SET: "refillPolicySet",
    ActionKind.PAYMENT_METHOD_SET: "paymentMethodSet",
    ActionKind.BILLING_SET: "billingSet",
    ActionKind.SUBSCRIPTION_CREATE: "subscriptionCreate",
    ActionKind.SUBSCRIPTION_CHANGE: "subscriptionChange",
    ActionKind.INVOICE_CREATE: "invoiceCreate",
    ActionKind.INVOICE_ISSUE: "invoiceIssue",
    ActionKind.INVOICE_DISCARD: "invoiceDiscard",
    ActionKind.INVOICE_VOID: "invoiceVoid",
    ActionKind.CREDIT_NOTE: "creditNoteCreate",
    ActionKind.PAYMENT_RECORD: "paymentRecord",
    ActionKind.PAYMENT_REFUND: "paymentRefund",
    ActionKind.PAYMENT_TAKE_BACK: "paymentTakeBack",
    ActionKind.INVOICE_OVERDUE: "invoiceOverdue",
    ActionKind.DUNNING_SET: "dunningSet",
    ActionKind.INVOICE_PAY: "invoicePay",
}

#: Actions that have ids of their own, and how those begin.
IDS: Mapping[ActionKind, str] = {
    ActionKind.TOP_UP: "top",
    ActionKind.ADJUSTMENT: "adj",
    ActionKind.REFUND: "ref",
}

AMOUNT_MAX = 10**17  # a hundred billion units: far from what a bigint holds


class Request(Protocol):
    """What every action is asked with; a dataclass."""

    @property
    def tenant(self) -> str: ...
    @property
    def idempotency_key(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A locked tenant, in front of the action."""

    connection: Connection
    terms: Terms
    state: State
    now: int

    async def lots(self, since: int) -> None:
        """Load the lots that were there from `since` on, or are."""
        own = self.terms
        await load.lots(
            self.connection, {own.tenant_id: self.state}, {own.tenant_id: own},
            min(since, self.now), self.now,
        )  # fmt: skip

    def balance(self, key: str) -> int:
        """The number of the balance of a key."""
        balance_id = self.terms.balance_ids.get(key)
        if balance_id is None:
            known = ", ".join(self.terms.balance_ids)
            raise Problem("NOT_FOUND", f"the tenant has no such balance; it has {known}", "balance")
        return balance_id

    def left(self, balance_id: int) -> str:
        """What a balance has left just now, as people write it; its lots are loaded."""
        own = self.terms
        reading = reading_of(Changes(own, self.state, 0), self.now)
        key = next(key for key, number in own.balance_ids.items() if number == balance_id)
        lots = reading.pots[key].lots
        return text(left(own.balances[balance_id], reading.period, self.now, lots, own.since))


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What an action changed, and what is kept of it."""

    changes: Changes
    body: dict[str, Any]
    subject: str | None = None  #: what it speaks of
    about: tuple[str, ...] = ()  #: rows beside the tenant's that the audit names
    what: str | None = None  #: the audit's name of it, where its kind has several; None: NAMES'
    before: Words | None = None  #: what changed, as the audit tells it
    after: Words | None = None


async def once(
    door: Door,
    catalogue: Catalogue,
    show: Show,
    kind: ActionKind,
    request: Request,
    act: Callable[[Scene], Awaitable[Done]],
    *,
    now: int | Callable[[], int],
    ours: bool = False,
) -> Action:
    """Do what is asked, or give what the same key did before; `request` is a dataclass.

    The body of the action has the tenant's number and version beside what `act` kept. A `now` that
    is called is the instant at which the tenant is locked; a key that is `ours` nobody else has.
    """
    if not ours:
        check_storable(request)
    asked: dict[str, Any] = asdict(request)  # type: ignore[call-overload]
    content = actions.content_of(kind, {k: v for k, v in asked.items() if k != "idempotency_key"})
    return await given(
        door, catalogue, show, kind, request.tenant, request.idempotency_key, content, act,
        now=now, ours=ours,
    )  # fmt: skip


async def given(
    door: Door,
    catalogue: Catalogue,
    show: Show,
    kind: ActionKind,
    tenant_key: str,
    idempotency_key: str,
    content: bytes,
    act: Callable[[Scene], Awaitable[Done]],
    *,
    now: int | Callable[[], int],
    ours: bool = False,
) -> Action:
    """As `once`, of a request whose digest is known."""
    if not ours:
        check_key(idempotency_key)
    tenant = (await find_by_keys(door, [tenant_key])).get(tenant_key)
    if tenant is None:
        raise Problem("NOT_FOUND", f"there is no tenant {tenant_key[:64]!r}", "tenant")
    async with door.tenant_tx(tenant.tenant_id) as connection:
        heads = await load.lock(connection, [tenant.tenant_id], wait=True)
        now = now if isinstance(now, int) else now()
        before = await actions.find(connection, tenant.tenant_id, idempotency_key)
        if before is not None:
            return earlier(before, content)
        (own,) = await terms.by_ids(connection, catalogue, [tenant.tenant_id])
        state = load.state_of(heads[tenant.tenant_id])
        state.action = idempotency_key
        done = await act(Scene(connection=connection, terms=own.at(now), state=state, now=now))
        await record.record(connection, [done.changes], now)
        body = {"tenant_id": own.tenant_id, "version": state.version, **done.body}
        action = await actions.keep(
            connection, own.tenant_id, idempotency_key, kind, content,
            at=now, version=state.version, body=body, subject=done.subject,
        )  # fmt: skip
        about = done.about if kind not in IDS else (f"{IDS[kind]}/{action.action_id}", *done.about)
        await trace(
            connection, own.tenant_id, done.what or NAMES[kind], f"tnt/{own.tenant_id}", *about,
            at=now, before=done.before, after=done.after,
        )  # fmt: skip
    show.commits([done.changes], now)
    return action


def earlier(before: Action, content: bytes) -> Action:
    """What a key did before, if the same was asked."""
    if before.content != content:
        raise Problem(
            "IDEMPOTENCY_KEY_REUSED",
            "this key came before with another request; use a new key for a new one",
            "idempotencyKey",
        )
    return before


def check_key(key: str) -> None:
    """An idempotency key is something people can read and store."""
    if not 0 < len(key) <= KEY_LENGTH_MAX:
        raise Problem(
            "INVALID", f"idempotencyKey has 1 to {KEY_LENGTH_MAX} characters", "idempotencyKey"
        )
    if key.startswith(OURS):
        words = " or ".join(OURS)
        message = f"idempotencyKey does not begin with {words}: what we do by ourselves does"
        raise Problem("INVALID", message, "idempotencyKey")
    if not key.isprintable():
        raise Problem("INVALID", "idempotencyKey has printable characters", "idempotencyKey")


def kept(moves: Iterable[tuple[Lot, int]]) -> list[list[int | None]]:
    """What lots received or gave, as a body has it: lot, source, month, amount."""
    return [[lot.lot_id, lot.source, lot.month, amount] for lot, amount in moves]


def check_reason(reason: str) -> None:
    """What is corrected or given back has a reason that people can read."""
    if not reason.strip() or len(reason) > TEXT_LENGTH_MAX or "\0" in reason:
        raise Problem("INVALID", f"reason has 1 to {TEXT_LENGTH_MAX} characters", "reason")
