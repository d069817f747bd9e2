"""Deeds of a tenant as its actions have them, in the order they are folded again.

Owns how the body of an action becomes a deed. What moved no balance by itself (a zone, a rate that
will hold) is none: it stands in the tenant's terms.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from domain.deeds import (
    Adjustment,
    Charge,
    ChargeRefund,
    Deed,
    TakeBack,
    TopUp,
    TopUpRefund,
    Upgrade,
)
from domain.lots import LotSource
from domain.refold import place
from persistence.actions import ActionKind
from persistence.checkpoints import Checkpoint
from persistence.connection import Connection

ACTIONS = """
select action_id, idempotency_key, kind, at, version, subject, body::text as body from actions
where tenant_id = $1 and version <= $2 and kind = any ($3::smallint[])
order by action_id"""

KINDS = (
    ActionKind.TOP_UP, ActionKind.ADJUSTMENT, ActionKind.REFUND, ActionKind.PLAN_CHANGE,
    ActionKind.ALLOWANCE_SET,
)  # fmt: skip


async def deeds(
    connection: Connection,
    tenant_id: int,
    balance_ids: Mapping[str, int],
    upto: int,
    checkpoint: Checkpoint | None = None,
) -> tuple[list[Deed], list[Deed]]:
    """What was done to a tenant's balances up to a version, in fact order.

    The second are those that a checkpoint has in its figures already. What was dated back into a
    closed period takes place at its end.
    """
    found: list[Deed] = []
    past: list[Deed] = []
    keys: dict[int, str] = {}
    for row in await connection.fetch(ACTIONS, tenant_id, upto, list(KINDS)):
        keys[row["action_id"]] = row["idempotency_key"]
        deed = _deed(
            ActionKind(row["kind"]), row["idempotency_key"], row["at"], row["subject"],
            msgspec.json.decode(row["body"]), balance_ids, keys,
        )  # fmt: skip
        if deed is None:
            continue
        if checkpoint is None or deed.at >= checkpoint.at:
            found.append(deed)
        elif row["version"] > checkpoint.version:
            found.append(replace(deed, at=checkpoint.at))
        else:
            past.append(deed)
    return sorted(found, key=place), past


def refunded(deeds: Collection[Deed]) -> set[Charge]:
    """The charges that some deed gives back."""
    return {deed.charge for deed in deeds if isinstance(deed, ChargeRefund)}


def _deed(
    kind: ActionKind,
    key: str,
    at: int,
    subject: str | None,
    body: dict[str, Any],
    balance_ids: Mapping[str, int],
    keys: Mapping[int, str],
) -> Deed | None:
    match kind:
        case ActionKind.TOP_UP:
            return TopUp(
                at=min(at, body["starts_at"]), key=key, accepted_at=at,
                balance_id=balance_ids[body["balance"]], amount=body["amount"],
                source=LotSource[body["source"]], starts_at=body["starts_at"],
                ends_at=body["expires_at"],
            )  # fmt: skip
        case ActionKind.ADJUSTMENT:
            balance_id = balance_ids[body["balance"]]
            return Adjustment(
                at=at, key=key, accepted_at=at, balance_id=balance_id, amount=body["amount"],
                ends_at=body.get("expires_at"),
            )  # fmt: skip
        case ActionKind.REFUND:
            return _refund(key, at, subject or "", body, balance_ids, keys)
        case _:
            targets: dict[str, int] = body.get("targets") or {}
            return Upgrade(at=at, key=key, accepted_at=at, targets=targets) if targets else None


def _refund(
    key: str,
    at: int,
    subject: str,
    body: dict[str, Any],
    balance_ids: Mapping[str, int],
    keys: Mapping[int, str],
) -> Deed:
    of, *where = subject.split("/")
    if of == "charge":
        _, fact, part = where
        return ChargeRefund(
            at=at, key=key, accepted_at=at, balance_id=balance_ids[body["balance"]],
            charge=(bytes.fromhex(fact), int(part)), amount=body["amount"],
        )  # fmt: skip
    top_up = keys[int(where[0])]
    if body["taken_back"]:
        return TakeBack(at=at, key=key, accepted_at=at, top_up=top_up)
    return TopUpRefund(at=at, key=key, accepted_at=at, top_up=top_up, amount=body["amount"])
