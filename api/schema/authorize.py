"""Asking before a send, and giving a hold up, as clients see them. Owns no rule.

Words and figures are those of `POST /v1/authorize`: what it would answer is put as objects here.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Annotated

import strawberry
from strawberry.types import Info

from api.answers import Answer, answer_of, currency_of
from api.context import Context
from api.faults import unavailable
from api.limits import RATE_FACTS
from api.operations import authorize, hold_release
from api.operations.hold_release import HoldRelease
from api.rounds import Overwhelmed
from api.schema.amount import Amount
from api.schema.fields import mutation
from api.schema.hold import HeldAmount
from api.schema.payload import Payload, UserError, attempt
from api.schema.scalars import DateTime, Decimal
from api.sends import Group, Send, recipients_of
from domain.asking import Reason
from domain.money import micros
from domain.periods import instant
from domain.sums import LEFT
from persistence.tenants import find_by_keys

Input = strawberry.argument(description="What to do.")


@strawberry.enum(description="Why a send is refused, in the order in which reasons are looked for.")
class AuthorizeRefusal(Enum):
    TENANT_SUSPENDED = strawberry.enum_value(
        "tenant_suspended", description="The tenant is not served."
    )
    BLOCKED = strawberry.enum_value("blocked", description="Something is unpaid.")
    UNPAID_INVOICE = strawberry.enum_value(
        "unpaid_invoice",
        description="Invoices are overdue, and sends like this wait for them; `message` names what "
        "to pay.",
    )
    WINDOW_CLOSED = strawberry.enum_value(
        "window_closed",
        description="Free text, and the contact has not written for as long as the channel allows.",
    )
    UNRATED = strawberry.enum_value(
        "unrated", description="No rate covers it: it would cost an unknown sum."
    )
    LIMIT_REACHED = strawberry.enum_value(
        "limit_reached",
        description="A cap of the local day or month; too many recipients, or members of a group.",
    )
    INSUFFICIENT_BALANCE = strawberry.enum_value(
        "insufficient_balance", description="The balances that would pay do not suffice."
    )
    UNAVAILABLE = strawberry.enum_value(
        "unavailable",
        description="Nobody can say just now, and the tenant grants no more without knowing.",
    )


@strawberry.input(description="A group and its members: each is charged.")
class AuthorizeGroupInput:
    id: str = strawberry.field(description="The group's id, as facts name it.")
    members: list[str] = strawberry.field(description="The contacts in it, at most 8.")


@strawberry.input(
    description="What is asked before a send: one of `contact`, `recipients` and `group`."
)
class AuthorizeInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    idempotency_key: str = strawberry.field(
        description="The same key with the same content gives the same answer while its hold is "
        "open and once it was charged or given up; with other content the code "
        "`IDEMPOTENCY_KEY_REUSED`. It is the `key` of `POST /v1/authorize`."
    )
    number: str = strawberry.field(description="The address it is sent from.")
    channel: str | None = strawberry.field(
        default=None,
        description="The number's channel, such as `whatsapp`; needed where the number stands on "
        "several.",
    )
    contact: str | None = strawberry.field(default=None, description="Who is to be reached.")
    recipients: list[str] | None = strawberry.field(
        default=None,
        description="All who are to be reached, as one hold; who stands twice counts once. One "
        "request holds some 7,000; `POST /v1/authorize` takes 100,000.",
    )
    group: AuthorizeGroupInput | None = strawberry.field(
        default=None, description="A group whose members are to be reached."
    )
    category: str | None = strawberry.field(
        default=None,
        description="The template's category; free text has none, or `service`.",
    )
    text: str | None = strawberry.field(
        default=None, description="The text, for channels whose messages are cut into segments."
    )
    units: int | None = strawberry.field(
        default=None,
        description="How much: segments of an SMS, mails, seconds of a call in all (default: a "
        "minute, or what the tenant set).",
    )
    allow_partial: bool = strawberry.field(
        default=False,
        description="Grant the longest beginning of `recipients` that can be paid, where not all "
        "can.",
    )
    hold: strawberry.ID | None = strawberry.field(
        default=None,
        description="The hold of a call that goes on: the new one takes its place.",
    )


@strawberry.type(description="What was set aside: name it in the facts of the send.")
class GrantedHold:
    id: strawberry.ID = strawberry.field(description="Goes into `data.hold` of the facts.")
    expires_at: DateTime = strawberry.field(description="When it ends if nothing was sent.")
    recipients: int = strawberry.field(
        description="How many it is for: with `allowPartial` the first so many of the list."
    )


@strawberry.type(description="What of the price one balance would pay by one rule.")
class AuthorizedCharge:
    balance: str = strawberry.field(description="The key of the balance.")
    units: Decimal | None = strawberry.field(
        description="What is counted; null where that is not known any more."
    )
    amount: Amount = strawberry.field(description="What it would pay at most.")
    category: str | None = strawberry.field(description="The message's category.")
    rule: str | None = strawberry.field(
        description="The rule that sets the price, or makes it free: `BOOK@VALID-FROM/ROW`."
    )


@strawberry.type(description="Why a send is refused; amounts where one of a balance is missing.")
class RefusedSend:
    reason: AuthorizeRefusal = strawberry.field(description="The first that was found.")
    message: str = strawberry.field(description="In words.")
    recipient: int | None = strawberry.field(
        description="The recipient it is about: its place in the request, from 0."
    )
    balance: str | None = strawberry.field(description="The last balance that would pay.")
    required: Amount | None = strawberry.field(description="What the send needs of it.")
    available: Amount | None = strawberry.field(description="What there is.")
    shortfall: Amount | None = strawberry.field(description="What is missing.")
    refill_pending: bool | None = strawberry.field(
        description="Whether the balance is being refilled."
    )


@strawberry.type(description="The answer of `authorize`.")
class AuthorizePayload(Payload):
    granted: bool = strawberry.field(description="Whether it may be sent.")
    hold: GrantedHold | None = strawberry.field(description="What was set aside.")
    price: Amount | None = strawberry.field(description="What the send can cost at most.")
    balance: str | None = strawberry.field(description="The key of the balance of `price`.")
    remaining: Amount | None = strawberry.field(
        description="What is available of it behind this hold; null where the key's hold had "
        "ended before."
    )
    low: bool | None = strawberry.field(
        description="Whether that is below the balance's alert; null as `remaining`."
    )
    charges: list[AuthorizedCharge] = strawberry.field(
        description="The price by balance and rule; what is free has one of 0."
    )
    refusal: RefusedSend | None = strawberry.field(
        description="Why it may not be sent; null where it may, or where the question was wrong."
    )


@strawberry.input(description="A hold that is not needed any more.")
class HoldReleaseInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    hold: strawberry.ID = strawberry.field(description="Its id.")


@strawberry.type(description="The answer of `holdRelease`.")
class HoldReleasePayload(Payload):
    released: bool = strawberry.field(description="False: it had ended before, or was none.")
    amounts: list[HeldAmount] = strawberry.field(
        description="What it still set aside, by balance: available again."
    )


@strawberry.type
class AuthorizeMutations:
    """The mutations of senders."""

    @mutation(
        "May this be sent? Granted, and what it can cost at most is set aside, or refused with one "
        "reason. `POST /v1/authorize` is the same for single sends and many at once."
    )
    async def authorize(
        self, info: Info[Context, None], input: Annotated[AuthorizeInput, Input]
    ) -> AuthorizePayload:
        context = info.context
        caller = context.require(authorize.SCOPE)
        send = _send(input)
        if context.spending is not None and (more := recipients_of(send) // RATE_FACTS):
            await context.spending.charge(more)
        try:
            (found,) = await authorize.run(
                context.desk, context.directory, caller, [send], now=context.now
            )
        except Overwhelmed as busy:
            raise unavailable(f"{busy}; ask again in a moment with the same key") from None
        answer = answer_of(found, context.catalogue.rules.get)
        locale = ""
        if answer.balance is not None:
            locale = (await find_by_keys(context.door, [input.tenant]))[input.tenant].locale
        return _payload(answer, locale)

    @mutation(
        "Give a hold up: what it set aside and nobody used is available again at once. With "
        "`released` false it had ended before, which is no error."
    )
    async def hold_release(
        self, info: Info[Context, None], input: Annotated[HoldReleaseInput, Input]
    ) -> HoldReleasePayload:
        context = info.context
        caller = context.require(authorize.SCOPE)
        request = HoldRelease(tenant=input.tenant, hold=str(input.hold))
        done, errors = await attempt(
            hold_release.run(
                context.door, context.catalogue, context.valkey, caller, request, now=context.now
            )
        )
        amounts: list[HeldAmount] = []
        for field, amount in () if done is None else done.back:
            balance = field.removeprefix(LEFT)
            if done is not None and balance != field:
                currency = currency_of(done.terms, balance)
                of_it = Amount.of(amount, currency, done.locale)
                amounts.append(HeldAmount(balance=balance, amount=of_it))
        released = done is not None and done.released
        return HoldReleasePayload(released=released, amounts=amounts, user_errors=errors)


def _send(given: AuthorizeInput) -> Send:
    group = given.group
    return Send(
        key=given.idempotency_key,
        number=given.number,
        tenant=given.tenant,
        channel=given.channel,
        contact=given.contact,
        recipients=given.recipients,
        group=None if group is None else Group(id=group.id, members=group.members),
        category=given.category,
        text=given.text,
        units=given.units,
        allow_partial=given.allow_partial,
        hold=None if given.hold is None else str(given.hold),
    )


#: Reasons of a refusal; any other is about the question.
REASONS: frozenset[str | None] = frozenset(each.value for each in Reason)


def _payload(answer: Answer, locale: str) -> AuthorizePayload:
    def amount(value: str | None) -> Amount | None:
        return (
            None
            if value is None
            else Amount.of(micros(value, signed=True), answer.currency, locale)
        )

    hold: GrantedHold | None = None
    if answer.hold is not None and answer.expires_at is not None:
        hold = GrantedHold(
            id=strawberry.ID(answer.hold),
            expires_at=DateTime(instant(datetime.fromisoformat(answer.expires_at))),
            recipients=answer.recipients or 0,
        )
    refusal: RefusedSend | None = None
    errors: list[UserError] = []
    if answer.reason in REASONS:
        refusal = RefusedSend(
            reason=AuthorizeRefusal(answer.reason),
            message=answer.message or "",
            recipient=answer.recipient,
            balance=answer.balance,
            required=amount(answer.required),
            available=amount(answer.available),
            shortfall=amount(answer.shortfall),
            refill_pending=answer.refill_pending,
        )
    elif answer.reason is not None:
        # The words of REST, as fields and codes are spelt here.
        path = "idempotencyKey" if answer.path == "key" else answer.path or None
        errors = [UserError(field=path, message=answer.message or "", code=answer.reason.upper())]
    return AuthorizePayload(
        granted=answer.granted,
        hold=hold,
        price=amount(answer.price),
        balance=None if refusal is not None else answer.balance,
        remaining=amount(answer.remaining),
        low=answer.low,
        charges=[
            AuthorizedCharge(
                balance=each.balance,
                units=None if each.units is None else Decimal(each.units),
                amount=Amount.of(micros(each.amount, signed=True), each.currency, locale),
                category=each.category,
                rule=each.rule,
            )
            for each in answer.charges or ()
        ],
        refusal=refusal,
        user_errors=errors,
    )
