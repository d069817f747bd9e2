"""Posting: one request to a destination that somebody else named, and what came of it.

Owns the bounds of one try: how long, to which addresses, how much of the answer. Nothing is
followed anywhere, and no connection is used twice: the certificate that one name showed says
nothing of another at the same address.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.limits import (
    WEBHOOK_ANSWER_BYTES_MAX,
    WEBHOOK_CONNECT_SECONDS,
    WEBHOOK_TIMEOUT_SECONDS,
)
from api.reaching.destinations import (
    Address,
    Destination,
    DestinationError,
    Lookup,
    looked_up,
    read,
    resolve,
)
from api.reaching.schedule import retry_after

if TYPE_CHECKING:
    import httpx2

AGENT = "kuota-webhooks/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one try."""

    ms: int
    status: int | None = None  #: what was answered; None: nothing was
    why: str = ""  #: why it failed, for people; empty: it was taken
    answer: str = ""  #: the beginning of the answer's body
    retry_after: int | None = None  #: microseconds for which it asks to be left alone

    @property
    def is_taken(self) -> bool:
        return not self.why


class Poster:
    """What posts, with the connections of one process."""

    def __init__(
        self,
        now: Callable[[], int],
        *,
        loopback: bool,
        seconds: float = WEBHOOK_TIMEOUT_SECONDS,
        lookup: Lookup = looked_up,
        trusted: ssl.SSLContext | None = None,
    ) -> None:
        """`loopback`: this machine may be sent to; `trusted`: whose certificates are, if not all.

        `seconds` are for a whole try.
        """
        self._now = now
        self._loopback = loopback
        self._seconds = seconds
        self._lookup = lookup
        self._trusted = trusted
        self._client: httpx2.AsyncClient | None = None

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """Post a body of JSON; whatever happens is told."""
        import httpx2

        began, told = time.monotonic(), _Told()
        try:
            async with asyncio.timeout(self._seconds):
                destination = read(url, loopback=self._loopback)
                addresses = await resolve(destination, self._lookup, loopback=self._loopback)
                await self._to_one_of(destination, addresses, headers, body, told)
        except DestinationError as error:
            told.why = str(error)
        except TimeoutError:
            told.why = f"nothing was answered within {self._seconds:g} seconds"
        except httpx2.ConnectTimeout:
            told.why = "no connection came about in time"
        except httpx2.ConnectError as error:
            told.why = f"no connection came about: {_words(error)}"
        except (httpx2.HTTPError, ssl.SSLError, OSError, ValueError) as error:
            told.why = f"the connection ended before an answer came: {_words(error)}"
        return self._outcome(told, round((time.monotonic() - began) * 1_000))

    async def _to_one_of(
        self,
        destination: Destination,
        addresses: list[Address],
        headers: Mapping[str, str],
        body: bytes,
        told: _Told,
    ) -> None:
        """Post to the first address that takes a connection: behind that nothing is sent twice."""
        import httpx2

        for address in addresses[:-1]:
            try:
                return await self._to(destination, address, headers, body, told)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue
        return await self._to(destination, addresses[-1], headers, body, told)

    async def _to(
        self,
        destination: Destination,
        address: Address,
        headers: Mapping[str, str],
        body: bytes,
        told: _Told,
    ) -> None:
        client = self._opened()
        request = client.build_request(
            "POST",
            # The address that was looked at: the name is not resolved again.
            destination.url.copy_with(host=str(address)),
            content=body,
            headers={
                "host": destination.named,
                "content-type": "application/json",
                "user-agent": AGENT,
                "accept-encoding": "identity",
                **headers,
            },
            extensions={"sni_hostname": destination.host.strip("[]")},
        )
        response = await client.send(request, stream=True)
        try:
            told.status = response.status_code
            told.retry_after = response.headers.get("retry-after")
            told.location = response.headers.get("location")
            async for chunk in response.aiter_raw():
                told.answer += chunk
                if len(told.answer) >= WEBHOOK_ANSWER_BYTES_MAX:
                    break
        finally:
            await response.aclose()

    def _opened(self) -> httpx2.AsyncClient:
        import httpx2

        if self._client is None:
            seconds = min(WEBHOOK_CONNECT_SECONDS, self._seconds)
            # A proxy of the environment would connect for us, to whatever it finds.
            self._client = httpx2.AsyncClient(
                follow_redirects=False,
                trust_env=False,
                verify=self._trusted or httpx2.create_ssl_context(),
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
                timeout=httpx2.Timeout(self._seconds, connect=seconds),
            )
        return self._client

    def _outcome(self, told: _Told, ms: int) -> Outcome:
        """A status that came counts, whatever became of the body behind it."""
        why, status = told.why, told.status
        if status is not None:
            why = "" if 200 <= status < 300 else f"it answered {status}"
            if 300 <= status < 400:
                why = f"it answered {status}, and redirects are not followed"
                if told.location:
                    why += f": name {told.location[:200]} instead"
        answer = bytes(told.answer[:WEBHOOK_ANSWER_BYTES_MAX]).decode("utf-8", "replace")
        return Outcome(
            # Nothing that is spelt with six bytes where it was sent with one.
            ms=ms, status=status, why=why.replace("\0", ""),
            answer=UNPRINTABLE.sub("\ufffd", answer),
            retry_after=retry_after(told.retry_after, self._now()),
        )  # fmt: skip


#: Of an answer's beginning, what is not shown as it came.
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


class _Told:
    """What is known of a try so far."""

    __slots__ = ("answer", "location", "retry_after", "status", "why")

    def __init__(self) -> None:
        self.status: int | None = None
        self.why = ""
        self.answer = bytearray()
        self.location: str | None = None
        self.retry_after: str | None = None


def _words(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:200]
