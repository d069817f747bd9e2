"""What Midtrans' answers mean: where a payment stands, from their words and codes.

Owns the tables, pure and without a connection. An answer that cannot be read, that is of another
order or has a word nobody knows says nothing: it is asked for again, and nothing is guessed of
money.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from api.paying.port import Answer, AwayError, Standing
from domain import money

CURRENCY = "IDR"
REASON_MAX = 300
NOTHING_SAID = "nothing else"


class SettingError(AwayError):
    """Midtrans does not serve this account: a person mends that, and the same is asked then."""


#: Where a payment stands, by `transaction_status`.
STANDINGS: Mapping[str, Standing] = {
    "capture": Standing.PAID,  # of a card, where it is no case for review
    "settlement": Standing.PAID,
    "authorize": Standing.PENDING,  # set aside on a card, and not taken
    "pending": Standing.PENDING,
    "deny": Standing.DECLINED,
    "failure": Standing.DECLINED,
    "cancel": Standing.DECLINED,
    "expire": Standing.EXPIRED,
    "refund": Standing.TAKEN_BACK,
    "chargeback": Standing.TAKEN_BACK,
    # A part of the money went back. The payment is not taken back, and whose part it is they
    # do not say.
    "partial_refund": Standing.PAID,
    "partial_chargeback": Standing.PAID,
}
#: Where a captured card stands, by `fraud_status`.
OF_CAPTURED: Mapping[str, Standing] = {
    "accept": Standing.PAID,
    "challenge": Standing.PENDING,  # somebody reviews it
    "deny": Standing.DECLINED,
}
IN_PARTS = frozenset({"partial_refund", "partial_chargeback"})

#: What is wrong with the account, by code.
SETTINGS: Mapping[int, str] = {
    401: "Midtrans refuses our server key: check KUOTA_MIDTRANS_SERVER_KEY, and that it is of the "
    "same environment as KUOTA_MIDTRANS_URL (sandbox or production)",
    402: "the Midtrans account may not use this way of paying: ask Midtrans to activate it",
    403: "Midtrans refuses to serve us: check KUOTA_MIDTRANS_URL, and ask Midtrans",
    410: "the Midtrans account is deactivated: ask Midtrans",
}
ABSENT, DUPLICATE, EXPIRED, TOO_MANY = 404, 406, 407, 429
NO_TOKEN = "the saved card is no longer taken: save it again"
#: What is told of a charge that was refused, by code.
REFUSALS: Mapping[int, str] = {411: NO_TOKEN}


@dataclass(frozen=True, slots=True)
class Told:
    """An answer of Midtrans: its code and its body."""

    code: int
    body: Mapping[str, Any]

    @classmethod
    def read(cls, status: int, content: bytes) -> Told:
        """An answer, or AwayError where it is none; its body's code is finer than HTTP's."""
        if status >= 500 or 300 <= status < 400:
            raise AwayError(f"Midtrans answers {status}")
        try:
            body = msgspec.json.decode(content, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise AwayError(f"Midtrans answers {status} with something that is no JSON") from None
        code = body.get("status_code")
        if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) == 3:
            return cls(int(code), body)
        return cls(status, body)

    @property
    def setting(self) -> str | None:
        """What somebody must mend before anything is collected."""
        return SETTINGS.get(self.code)

    @property
    def is_refused(self) -> bool:
        """Whether what was asked for was refused before anything was charged."""
        of_them = (ABSENT, EXPIRED, TOO_MANY)
        return 400 <= self.code < 500 and self.code not in of_them and not self.status

    @property
    def status(self) -> str:
        """Their word for where a payment stands; empty where there is none.

        Of a fault on their side nothing is taken, whatever stands beside it.
        """
        status = self.body.get("transaction_status")
        return status if isinstance(status, str) and self.code < 500 else ""


def answer_of(key: str, told: Told) -> Answer:
    """Where a payment stands, or AwayError where that is not said."""
    if told.status:
        return _standing(key, told, told.status)
    # By their word alone: at a wrong address HTTP says the same.
    if told.body.get("status_code") == str(ABSENT):
        return Answer(standing=Standing.ABSENT)
    if told.code == EXPIRED:
        return Answer(standing=Standing.EXPIRED, reason=words_of(told))
    raise AwayError(f"Midtrans answers {told.code}: {words_of(told) or NOTHING_SAID}")


def charged(key: str, told: Told) -> Answer:
    """Where a charge stands that was taken; AwayError where that is not said."""
    answer = answer_of(key, told)
    if answer.standing is Standing.ABSENT:
        raise AwayError("Midtrans knows no way to charge a card: check KUOTA_MIDTRANS_URL")
    return answer


def refusal(told: Told) -> Answer:
    """A request that was refused: nothing was charged."""
    reason = REFUSALS.get(told.code) or words_of(told) or f"Midtrans refuses: {told.code}"
    return Answer(standing=Standing.DECLINED, reason=reason)


def taken_already(told: Told) -> bool:
    """Whether an order is refused because there is one of its name."""
    if told.code == DUPLICATE:
        return True
    # Snap says it in words, in one language or another; each names the field.
    return told.code == 400 and "order_id" in words_of(told)


def words_of(told: Told) -> str:
    """What an answer says to people."""
    said: list[str] = []
    for name in ("status_message", "validation_messages", "error_messages"):
        value = told.body.get(name)
        said += [each for each in (value if isinstance(value, list) else [value])
                 if isinstance(each, str) and each not in said]  # fmt: skip
    return "; ".join(said)[:REASON_MAX]


def _standing(key: str, told: Told, status: str) -> Answer:
    body = told.body
    if body.get("order_id") != key:
        raise AwayError("Midtrans answers for another order than was asked for")
    standing = STANDINGS.get(status)
    if standing is None:
        raise AwayError(f"Midtrans says {status[:40]!r}, and nobody here knows what that is")
    reason = "" if standing in (Standing.PAID, Standing.PENDING) else words_of(told)
    if status == "capture":
        fraud = body.get("fraud_status") or "accept"
        standing = OF_CAPTURED.get(fraud) if isinstance(fraud, str) else None
        if standing is None:
            raise AwayError(f"Midtrans says {str(fraud)[:40]!r} of a card, which nobody here knows")
        if standing is Standing.PENDING:
            reason = "Midtrans holds it for review"
        elif standing is Standing.DECLINED:
            reason = words_of(told)
    elif status in IN_PARTS:
        reason = f"a part went back to the payer ({status.replace('_', ' ')})"
    reference = body.get("transaction_id")
    currency = body.get("currency") or CURRENCY
    return Answer(
        standing=standing,
        reason=reason,
        reference=reference if isinstance(reference, str) else None,
        total=_total(body.get("gross_amount")),
        currency=currency if isinstance(currency, str) else None,
    )


def _total(written: object) -> int:
    """An amount in micros; AwayError where it is none, for of money nothing is guessed."""
    try:
        if isinstance(written, str):
            return money.micros(written)
    except ValueError:
        pass
    raise AwayError(f"Midtrans says no amount that can be read: {str(written)[:40]!r}")
