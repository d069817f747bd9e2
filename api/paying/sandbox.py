"""The sandbox: a provider of payments that moves no money, and plays what can happen at one.

Owns the scripts, and how its notices are signed. Who is charged by a token meets the script that
the token names; who pays on its page decides there. It keeps what it was asked in a table of its
own (`persistence.sandbox`), so every process meets the same sandbox; what it says to nobody in
particular goes through the function that takes notices, as a provider's post would.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
import structlog

from api.paying.notices import Post
from api.paying.port import Answer, AwayError, Charge, ForgedError, NoticeError, Standing
from api.signing import Signing
from domain.periods import HOUR
from persistence import sandbox
from persistence.door import Door
from persistence.sandbox import Kept

NAME = "sandbox"
PURPOSE = "sandbox notices"
SIGNATURE = "kuota-sandbox-signature"
PREFIX = "sandbox:"
#: Under the public address: where the payer of a key pays.
PAGES = "/sandbox/pay"


log = structlog.get_logger("kuota.sandbox")


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What happens to a payment when it is asked for."""

    standing: Standing
    notices: tuple[Standing, ...] = ()  #: what is posted, in this order
    told_after: int = 0  #: how long it looks pending, in microseconds
    away: bool = False  #: the first charge is not answered, though it was kept
    reason: str = ""


DECLINES = "the sandbox declines, as its token says"
SCRIPTS: Mapping[str, Script] = {
    "succeeds": Script(standing=Standing.PAID, notices=(Standing.PAID,)),
    "declines": Script(
        standing=Standing.DECLINED, notices=(Standing.DECLINED,), reason=DECLINES
    ),
    "pending": Script(standing=Standing.PENDING),
    "twice": Script(standing=Standing.PAID, notices=(Standing.PAID, Standing.PAID)),
    "late": Script(standing=Standing.PAID, notices=(Standing.PAID,), told_after=HOUR),
    "out_of_order": Script(
        standing=Standing.PAID, notices=(Standing.PAID, Standing.DECLINED)
    ),
    "away": Script(standing=Standing.PAID, away=True),
}  # fmt: skip
#: Of a token that is not the sandbox's.
UNKNOWN = Script(
    standing=Standing.DECLINED,
    reason="the sandbox has tokens of its own: " + ", ".join(PREFIX + name for name in SCRIPTS),
)
#: Of a payment without a token.
PAGE = "page"

#: What somebody may decide, and of what.
DECISIONS: Mapping[Standing, Standing] = {
    Standing.PAID: Standing.PENDING,
    Standing.DECLINED: Standing.PENDING,
    Standing.EXPIRED: Standing.PENDING,
    Standing.TAKEN_BACK: Standing.PAID,
}
WORDS: Mapping[Standing, str] = {
    Standing.PAID: "",
    Standing.DECLINED: "declined at the sandbox",
    Standing.EXPIRED: "given up",
    Standing.TAKEN_BACK: "taken back at the sandbox",
}


class Notice(msgspec.Struct, frozen=True):
    """What the sandbox posts."""

    key: str
    standing: Standing
    sent_at: int


class Sandbox:
    """A provider that plays one."""

    name = NAME

    def __init__(self, door: Door, signing: Signing, now: Callable[[], int], address: str) -> None:
        self._door = door
        self._key = signing.key(PURPOSE)
        self._now = now
        self._address = address  #: of this server, without a slash at its end
        self._posting: set[asyncio.Task[None]] = set()
        self.post: Post | None = None  #: who takes its notices; None: they are lost

    async def charge(self, charge: Charge) -> Answer:
        """Play the token's script, or open a page; a key that it knows stands where it stood."""
        now = self._now()
        name = PAGE if charge.token is None else charge.token.removeprefix(PREFIX)
        script = SCRIPTS["pending"] if charge.token is None else SCRIPTS.get(name, UNKNOWN)
        kept = await sandbox.ask(
            self._door,
            Kept(
                payment_key=charge.key,
                script=name,
                standing=script.standing,
                reason=script.reason,
                total=charge.total,
                currency=charge.currency,
                description=charge.description,
                return_url=charge.return_url,
                asked=1,
                collected=int(script.standing is Standing.PAID),
                asked_at=now,
                expires_at=charge.expires_at if charge.token is None else None,
                told_at=now + script.told_after,
            ),
        )
        if kept.asked == 1:
            self._post_later(charge.key, script.notices)
            if script.away:
                raise AwayError("the sandbox does not answer, as its token says")
        return self._answer(kept)

    async def look(self, key: str) -> Answer:
        """Where a payment stands now."""
        kept = await self.find(key)
        return Answer(standing=Standing.ABSENT) if kept is None else self._answer(kept)

    async def cancel(self, key: str) -> Answer:
        """Give up a payment that waits; one that was decided stays as it is."""
        await self._move(key, Standing.EXPIRED)
        return await self.look(key)

    async def decide(self, key: str, standing: Standing) -> Answer:
        """Pay, decline or take back what somebody decides of, and post a notice of it.

        Where it stands otherwise already nothing is moved, and the notice says where it stands.
        """
        await self._move(key, standing)
        answer = await self.look(key)
        if answer.standing is not Standing.ABSENT:
            await self._post(key, answer.standing)
        return answer

    async def find(self, key: str) -> Kept | None:
        """What it was asked under a key."""
        return await sandbox.find(self._door, key)

    async def collected(self, *keys: str) -> int:
        """How often money would have moved for some keys, or for all."""
        return sum((await sandbox.collected(self._door, keys or None)).values())

    def key_of(self, headers: Mapping[str, str], body: bytes) -> str:
        """The key a notice is of, where its signature is right."""
        given = headers.get(SIGNATURE, "")
        if not hmac.compare_digest(self._sign(body).encode(), given.encode("utf-8", "replace")):
            raise ForgedError(f"the signature in {SIGNATURE} is not the sandbox's")
        try:
            return msgspec.json.decode(body, type=Notice).key
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise NoticeError("the body is no notice of the sandbox") from None

    def notice(self, key: str, standing: Standing) -> tuple[dict[str, str], bytes]:
        """The headers and the body of a notice."""
        body = msgspec.json.encode(Notice(key=key, standing=standing, sent_at=self._now()))
        return {SIGNATURE: self._sign(body), "content-type": "application/json"}, body

    async def posted(self) -> None:
        """Wait until every notice that is on its way was taken, or lost."""
        while self._posting:
            await asyncio.gather(*self._posting, return_exceptions=True)

    async def close(self) -> None:
        """Post no more."""
        for task in self._posting:
            task.cancel()
        await asyncio.gather(*self._posting, return_exceptions=True)

    async def _move(self, key: str, standing: Standing) -> None:
        before = DECISIONS.get(standing)
        if before is None:
            raise ValueError(f"nobody decides that a payment is {standing}")
        await sandbox.decide(
            self._door,
            key,
            before,
            standing,
            reason=WORDS[standing],
            now=self._now(),
            unless_ended=before is Standing.PENDING,
            collected=int(standing is Standing.PAID),
        )

    def _answer(self, kept: Kept) -> Answer:
        now = self._now()
        standing, reason = Standing(kept.standing), kept.reason
        if standing is not Standing.PENDING and now < kept.told_at:
            standing, reason = Standing.PENDING, ""
        elif standing is Standing.PENDING and now >= (kept.expires_at or now + 1):
            standing, reason = Standing.EXPIRED, "nobody paid in time"
        page = kept.script == PAGE and standing is Standing.PENDING
        return Answer(
            standing=standing,
            reason=reason,
            pay_url=f"{self._address}{PAGES}/{kept.payment_key}" if page else None,
            reference=f"{NAME}-{kept.payment_key}",
            total=kept.total,
            currency=kept.currency,
        )

    def _sign(self, body: bytes) -> str:
        return hmac.new(self._key, body, hashlib.sha256).hexdigest()

    def _post_later(self, key: str, standings: tuple[Standing, ...]) -> None:
        """Post one after the other while whoever asked goes on, as a provider would."""

        async def post_all() -> None:
            for standing in standings:
                try:
                    await self._post(key, standing)
                except Exception as error:  # lost: whoever wants to know looks
                    log.warning("a notice of the sandbox was lost", key=key, why=str(error))

        if self.post is not None and standings:
            task = asyncio.create_task(post_all())
            self._posting.add(task)
            task.add_done_callback(self._posting.discard)

    async def _post(self, key: str, standing: Standing) -> None:
        if self.post is not None:
            await self.post(*self.notice(key, standing))
