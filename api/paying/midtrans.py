"""Midtrans, a provider of payments of Indonesia, by its plain HTTP API.

Owns what is asked of it, over which of its hosts, and how its notices are signed; what its answers
mean is `api.paying.midtrans_words`'s. Who is present pays on its page (Snap), a saved card is
charged by Core. An order of theirs is one payment of ours, under its key: an order that is waiting
or paid is charged once by their word, and here nothing is charged before looking.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import msgspec
import structlog

from api.limits import PROVIDER_ANSWER_BYTES_MAX, PROVIDER_TIMEOUT_SECONDS
from api.paying.midtrans_words import (
    CURRENCY,
    NOTHING_SAID,
    SettingError,
    Told,
    answer_of,
    charged,
    refusal,
    taken_already,
    words_of,
)
from api.paying.port import Answer, AwayError, Charge, ForgedError, NoticeError, Standing
from domain.money import MICRO, text
from domain.periods import DAY, MINUTE, moment

if TYPE_CHECKING:
    import httpx2

NAME = "midtrans"
#: Their hosts: of Core, and of Snap beside it.
CORE_PREFIX, SNAP_PREFIX = "api.", "app."
#: How long a page of theirs may stay open, at least and at most.
PAGE_MIN, PAGE_MAX = 5 * MINUTE, 7 * DAY
#: What the signature of a notice is of, with the server key behind it.
SIGNED = ("order_id", "status_code", "gross_amount")
JAKARTA = timedelta(hours=7)
#: Characters of an item's name, of a customer's, and of a key that repeats an answer.
ITEM_NAME_MAX, CUSTOMER_NAME_MAX, REPEAT_KEY_MAX = 50, 255, 36

log = structlog.get_logger("kuota.midtrans")


class Midtrans:
    """Midtrans, as the holder of a server key."""

    name = NAME

    def __init__(
        self, server_key: str, url: str, now: Callable[[], int], notice_url: str | None = None
    ) -> None:
        self._server_key = server_key
        self._core = url.rstrip("/")
        self._snap = snap_of(self._core)
        self._now = now
        self._notice_url = notice_url  #: where notices go; None: where their dashboard says
        self._client: httpx2.AsyncClient | None = None

    async def charge(self, charge: Charge) -> Answer:
        """Charge a saved card, or open a page, unless the key is known there."""
        if (wrong := uncollectable(charge)) is not None:
            return Answer(standing=Standing.DECLINED, reason=wrong)
        # An order that was declined there could be charged again, under the same key.
        known = await self.look(charge.key)
        if known.standing is not Standing.ABSENT:
            return known
        if charge.token is None:
            told = await self._ask("POST", self._snap, "/snap/v1/transactions", self._page(charge))
        else:
            told = await self._ask("POST", self._core, "/v2/charge", card(charge))
        if taken_already(told):
            known = await self.look(charge.key)
            if known.standing is Standing.ABSENT:
                return refusal(told)
            return known
        if told.is_refused:
            return refusal(told)
        if charge.token is None:
            return self._opened(charge, told)
        return charged(charge.key, told)

    async def look(self, key: str) -> Answer:
        """Where an order stands; of a page that nobody used yet Midtrans knows nothing."""
        told = await self._ask("GET", self._core, f"/v2/{quote(key, safe='')}/status")
        return answer_of(key, told)

    async def cancel(self, key: str) -> Answer:
        """Give up an order that waits. A page that nobody used yet ends by itself, and not here."""
        known = await self.look(key)
        if known.standing is not Standing.PENDING:
            return known
        path = f"/v2/{quote(key, safe='')}/cancel"
        told = await self._ask("POST", self._core, path)
        if told.code == 200:
            return answer_of(key, told)
        return await self.look(key)  # it was paid meanwhile, or cannot be given up

    def key_of(self, headers: Mapping[str, str], body: bytes) -> str:
        """The key of a notice whose signature is right.

        What is signed is not what became of the payment, so a notice says no more than its key.
        """
        try:
            told = msgspec.json.decode(body, type=dict[str, Any])
            said = [word for name in SIGNED if isinstance(word := told.get(name), str) and word]
            given = told.get("signature_key")
            if len(said) < len(SIGNED) or not isinstance(given, str):
                raise NoticeError(f"a notice of a payment has {', '.join(SIGNED)}, signature_key")
            signed = "".join([*said, self._server_key]).encode()
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise NoticeError("the body is no JSON object") from None
        made = hashlib.sha512(signed).hexdigest()
        if not hmac.compare_digest(made.encode(), given.lower().encode("utf-8", "replace")):
            raise ForgedError("the signature_key is not that of our server key")
        return said[0]

    async def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _page(self, charge: Charge) -> dict[str, Any]:
        """What opens a page."""
        now = self._now()
        open_for = max(charge.expires_at - now, MINUTE)
        body: dict[str, Any] = {
            **order(charge),
            "credit_card": {"secure": True},
            # Both: how long one may choose a way of paying, and how long the chosen one waits.
            "expiry": {
                "start_time": f"{moment(now) + JAKARTA:%Y-%m-%d %H:%M:%S} +0700",
                "unit": "minute",
                "duration": open_for // MINUTE,
            },
            "page_expiry": {
                "unit": "minute",
                "duration": min(max(open_for, PAGE_MIN), PAGE_MAX) // MINUTE,
            },
        }
        if charge.return_url is not None:
            body["callbacks"] = {"finish": charge.return_url}
        return body

    def _opened(self, charge: Charge, told: Told) -> Answer:
        url = told.body.get("redirect_url")
        # People are sent there.
        if not isinstance(url, str) or not url.startswith(("https://", f"{self._scheme}://")):
            raise AwayError(f"Midtrans answers {told.code}, and says no address of a page")
        return Answer(
            standing=Standing.PENDING, pay_url=url, total=charge.total, currency=charge.currency
        )

    @property
    def _scheme(self) -> str:
        return urlsplit(self._core).scheme

    async def _ask(
        self, method: str, host: str, path: str, body: dict[str, Any] | None = None
    ) -> Told:
        """What Midtrans says to a request; AwayError where it says nothing that can be read."""
        import httpx2

        headers = {"accept": "application/json", "accept-encoding": "identity"}
        if body is not None:
            headers["content-type"] = "application/json"
            if self._notice_url is not None:
                headers["x-override-notification"] = self._notice_url
            key = str(body["transaction_details"]["order_id"])
            if len(key) <= REPEAT_KEY_MAX:
                headers["idempotency-key"] = key
        try:
            if self._client is None:
                # Kept: reading what certificates are trusted takes longer than asking.
                self._client = httpx2.AsyncClient(
                    follow_redirects=False, auth=(self._server_key, ""), timeout=None
                )
            async with asyncio.timeout(PROVIDER_TIMEOUT_SECONDS):
                status, content = await answered(self._client, method, host + path, headers, body)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, OSError) as error:
            why = str(error) or type(error).__name__
            raise AwayError(f"Midtrans cannot be reached: {why}") from None
        told = Told.read(status, content)
        if (wrong := told.setting) is not None:
            log.error("Midtrans does not serve this account", why=wrong, says=words_of(told))
            raise SettingError(f"{wrong}; Midtrans says: {words_of(told) or NOTHING_SAID}")
        return told


def snap_of(core: str) -> str:
    """The host of Snap beside one of Core: `app.` for `api.`, and the same where there is none."""
    parts = urlsplit(core)
    if not parts.netloc.startswith(CORE_PREFIX):
        return core
    return parts._replace(netloc=SNAP_PREFIX + parts.netloc.removeprefix(CORE_PREFIX)).geturl()


def uncollectable(charge: Charge) -> str | None:
    """Why Midtrans could not collect a total, if it could not."""
    if charge.currency != CURRENCY:
        return f"Midtrans collects {CURRENCY} alone, and this is in {charge.currency}"
    if charge.total <= 0 or charge.total % MICRO:
        return f"Midtrans collects whole rupiah, and this is {text(charge.total)}"
    return None


def order(charge: Charge) -> dict[str, Any]:
    """What both ways of paying say of an order."""
    rupiah = charge.total // MICRO
    customer = {"first_name": charge.customer[:CUSTOMER_NAME_MAX]}
    if charge.email is not None:
        customer["email"] = charge.email
    return {
        "transaction_details": {"order_id": charge.key, "gross_amount": rupiah},
        "item_details": [
            {
                "id": charge.item,
                "price": rupiah,
                "quantity": 1,
                "name": charge.description[:ITEM_NAME_MAX],
            }
        ],
        "customer_details": customer,
    }


def card(charge: Charge) -> dict[str, Any]:
    """What charges a saved card, with nobody there to be asked anything."""
    return {
        "payment_type": "credit_card",
        **order(charge),
        "credit_card": {"token_id": charge.token, "authentication": False},
    }


async def answered(
    client: httpx2.AsyncClient,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: dict[str, Any] | None,
) -> tuple[int, bytes]:
    """The status and the body of an answer; AwayError for one that is too large."""
    content = bytearray()
    sent = None if body is None else msgspec.json.encode(body)
    async with client.stream(method, url, headers=headers, content=sent) as response:
        # As it came: what an encoded body unfolds to has no announced size.
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > PROVIDER_ANSWER_BYTES_MAX:
                raise AwayError(
                    f"Midtrans answers with more than {PROVIDER_ANSWER_BYTES_MAX} bytes"
                )
    return response.status_code, bytes(content)
