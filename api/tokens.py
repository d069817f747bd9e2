"""Tokens of people: verified, and turned into principals.

Owns what a token must say and what is believed of it. A person we have a row of goes by the row;
of anybody else the token itself says the tenant and the role. Keys are the issuers': `jwks` has
those of the configured one, `issuer` our own.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import asyncpg
import msgspec

from api import ids
from api.auth import Expired, digest_of
from api.faults import Fault, unauthenticated, unavailable
from api.issuer import Issuer
from api.jwks import ALGORITHMS, Jwks, Source, is_signed
from api.limits import (
    KEY_CACHE_ENTRIES_MAX,
    KEY_CACHE_SECONDS,
    SUBJECT_LENGTH_MAX,
    TOKEN_AHEAD_SECONDS_MAX,
    TOKEN_BYTES_MAX,
    TOKEN_CACHE_SECONDS,
)
from api.recent import Recent
from api.rights import OF_OPERATORS, OF_ROLE, Principal, Role
from api.settings import Clock
from persistence.door import Door
from persistence.people import UserRecord, find_by_tokens
from persistence.tenants import TenantRecord, find_by_keys

FORM = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
SECOND = 1_000_000
#: How a token names a person: our own number of a user, or an issuer and its subject.
Whom: TypeAlias = "tuple[str | None, str | int]"
#: Seconds since 1970 that a token may name: beyond, an instant is none of the calendar's.
SECONDS_MAX = 10**11


class Header(msgspec.Struct, frozen=True):
    """What a token says of its signature."""

    alg: str
    kid: str | None = None
    crit: Any = None


class Claims(msgspec.Struct, frozen=True):
    """What a token says, as far as it is read."""

    iss: str | None = None
    aud: str | list[str] | None = None
    sub: str | None = None
    exp: int | float | None = None
    nbf: int | float | None = None
    iat: int | float | None = None
    tenant: str | None = None
    role: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """Claims whose signature was right, of an issuer that is taken."""

    source: Source
    claims: Claims


class Tokens:
    """Turns a token into a principal; remembers for 5 seconds whom it found."""

    def __init__(self, door: Door, clock: Clock, issuer: Issuer, jwks: Jwks | None) -> None:
        self.issuer = issuer
        self.elsewhere = jwks.name if jwks is not None else None  #: the configured issuer
        self._jwks = jwks
        self._door = door
        self._clock = clock
        self._sources: dict[str | None, Source] = {} if jwks is None else {jwks.name: jwks}
        self._sources[issuer.name] = issuer
        self._verified: Recent[bytes, Verified] = Recent(TOKEN_CACHE_SECONDS, KEY_CACHE_ENTRIES_MAX)
        self.forgotten = 0  #: times somebody was changed here
        self._people: Recent[Whom, UserRecord | None] = Recent(
            KEY_CACHE_SECONDS, KEY_CACHE_ENTRIES_MAX
        )
        self._tenants: Recent[str, TenantRecord | None] = Recent(
            KEY_CACHE_SECONDS, KEY_CACHE_ENTRIES_MAX
        )

    async def principal(self, token: bytes) -> Principal:
        """Whose token it is; UNAUTHENTICATED says what is wrong, an `Expired` that it has ended."""
        if len(token) > TOKEN_BYTES_MAX:
            raise refused(f"it has more than {TOKEN_BYTES_MAX} bytes")
        digest = digest_of(token)
        verified = self._verified.peek(digest)
        if verified is None:
            verified = await self._verify(token)
            self._verified.put(digest, verified)
        expires_at = self._check(verified)
        try:
            return await self._whose(verified, expires_at)
        except asyncpg.PostgresError as error:
            # Nothing of the request is in the statements but checked text: the database is away,
            # not made yet or not migrated.
            raise unavailable() from error

    def forget(self, user: UserRecord) -> None:
        """Look somebody up again at the next use: something just changed here."""
        self._people.forget(whom_of(user))
        self.forgotten += 1

    async def refresh(self, tokens: Iterable[bytes]) -> None:
        """Look up again, in one statement, whom these tokens name and was not looked up of late."""
        wanted = {whom for token in tokens if (whom := self._named(token)) is not None}
        late = [whom for whom in wanted if not self._people.has(whom)]
        if late:
            found = await self._find(late)
            for whom in late:
                self._people.put(whom, found.get(whom))

    async def close(self) -> None:
        if self._jwks is not None:
            await self._jwks.close()

    async def _verify(self, token: bytes) -> Verified:
        if not FORM.fullmatch(token):
            raise refused("it is not three parts of base64url")
        text, _, last = token.rpartition(b".")
        first, _, middle = text.partition(b".")
        try:
            header = msgspec.json.decode(unfolded(first), type=Header)
            claims = msgspec.json.decode(unfolded(middle), type=Claims)
            signature = unfolded(last)
        except (ValueError, RecursionError) as error:
            raise refused(f"it cannot be read: {str(error)[:100]}") from None
        if header.alg not in ALGORITHMS:
            raise refused(f"it is signed with {header.alg[:20]!r}; {', '.join(ALGORITHMS)} will do")
        if header.crit is not None:
            raise refused("it has `crit`, and nothing beyond the standard is known here")
        source = self._sources.get(claims.iss)
        if source is None:
            raise refused("its `iss` is no issuer that is taken here")
        if not header.kid:
            raise refused("it names no key: `kid`")
        try:
            key = await source.find(header.kid)
        except asyncpg.PostgresError as error:
            raise unavailable() from error
        if key is None:
            raise refused("its `kid` is no key of its issuer")
        if not is_signed(header.alg, key, text, signature):
            raise refused("its signature is wrong")
        return Verified(source, claims)

    def _check(self, verified: Verified) -> int:
        """When a token ends, in microseconds; refused where it is not for us, or not valid now."""
        claims, now = verified.claims, self._clock.now()
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud or []
        if verified.source.audience not in audiences:
            raise refused(f"its `aud` is not {verified.source.audience}")
        if claims.exp is None:
            raise refused("it has no end: `exp`")
        ends = instant_of(claims.exp)
        if ends <= now:
            wrong = refused("it is past its end: sign in again")
            raise Expired(wrong.code, wrong.message, wrong.headers)
        ahead = now + TOKEN_AHEAD_SECONDS_MAX * SECOND
        for name, seconds in (("nbf", claims.nbf), ("iat", claims.iat)):
            if seconds is not None and instant_of(seconds) > ahead:
                raise refused(f"its `{name}` has not come yet")
        return ends

    async def _whose(self, verified: Verified, expires_at: int) -> Principal:
        sub = verified.claims.sub
        if not sub or len(sub) > SUBJECT_LENGTH_MAX or not sub.isprintable():
            raise refused(f"its `sub` is not 1 to {SUBJECT_LENGTH_MAX} printable characters")
        whom = self._whom(verified.source, sub)
        user = None
        if whom is not None:
            user = await self._people.get(whom, lambda: self._one(whom))
        if user is not None:
            return principal_of(user, expires_at)
        if verified.source is self.issuer:
            raise refused("it is of nobody who is known here")
        return await self._by_claims(verified.claims, expires_at)

    async def _by_claims(self, claims: Claims, expires_at: int) -> Principal:
        """A person without a row, as the issuer says."""
        roles = ", ".join(Role)
        if claims.role is None:
            raise refused(f"it is of nobody who is known here, and names no `role` of {roles}")
        if claims.role not in list(Role):
            raise refused(f"its `role` {claims.role[:40]!r} is none of {roles}")
        role, key = Role(claims.role), claims.tenant
        # Told apart in traces from those we have a row of, whatever the issuer calls somebody.
        name, full_name = f"user {claims.sub} of {claims.iss}", claims.name
        if role is Role.OPERATOR:
            if key is not None:
                raise refused("an operator is of no tenant: leave `tenant` out, or name its role")
            return Principal(
                "operator", None, None, OF_ROLE[role], None,
                name=name, role=role, expires_at=expires_at, full_name=full_name,
            )  # fmt: skip
        tenant = None
        if key is not None:
            tenant = await self._tenants.get(key, lambda: self._tenant(key))
        if tenant is None:
            raise refused("its `tenant` is no tenant's key here")
        return Principal(
            "tenant", tenant.tenant_id, tenant.key, OF_ROLE[role], None,
            name=name, role=role, expires_at=expires_at, full_name=full_name,
        )  # fmt: skip

    def _named(self, token: bytes) -> Whom | None:
        """Whom a token names, whoever signed it."""
        try:
            claims = msgspec.json.decode(unfolded(token.split(b".")[1]), type=Claims)
        except (ValueError, RecursionError):
            return None
        source = self._sources.get(claims.iss)
        return None if source is None or not claims.sub else self._whom(source, claims.sub)

    def _whom(self, source: Source, sub: str) -> Whom | None:
        """The key a person is looked up by; None for a subject that is none of ours."""
        if source is not self.issuer:
            return source.name, sub
        user_id = ids.decode("usr", sub)
        return None if user_id is None else (None, user_id)

    async def _one(self, whom: Whom) -> UserRecord | None:
        return (await self._find([whom])).get(whom)

    async def _find(self, people: Sequence[Whom]) -> dict[Whom, UserRecord]:
        """The rows that there are of people."""
        user_ids = [name for _, name in people if isinstance(name, int)]
        # What Postgres could not take is nobody's subject.
        subjects = [name for _, name in people if isinstance(name, str) and name.isprintable()]
        found = await find_by_tokens(self._door, user_ids, self.elsewhere, subjects)
        return {whom_of(user): user for user in found}

    async def _tenant(self, key: str) -> TenantRecord | None:
        return (await find_by_keys(self._door, [key])).get(key)


def principal_of(user: UserRecord, expires_at: int) -> Principal:
    """Somebody we have a row of."""
    if not user.active:
        raise refused("its person is not active any more: ask whoever looks after users")
    role = Role(user.role)
    return Principal(
        "operator" if user.tenant_id is None else "tenant",
        user.tenant_id,
        user.tenant_key,
        scopes_of(user),
        None,
        name=f"user {ids.encode('usr', user.user_id)}",
        role=role,
        expires_at=expires_at,
        full_name=user.name,
    )


def whom_of(user: UserRecord) -> Whom:
    """The key somebody is looked up by."""
    return (None, user.user_id) if user.subject is None else (user.issuer, user.subject)


def scopes_of(user: UserRecord) -> frozenset[str]:
    """What somebody may: by role, and by grants, those for operators only to operators."""
    role = Role(user.role)
    granted = frozenset(user.granted)
    return OF_ROLE[role] | (granted if role is Role.OPERATOR else granted - OF_OPERATORS)


def refused(why: str) -> Fault:
    return unauthenticated(f"the token is not valid: {why}")


def unfolded(part: bytes) -> bytes:
    return base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))


def instant_of(seconds: float) -> int:
    """An instant of a claim in microseconds."""
    if not abs(seconds) <= SECONDS_MAX:
        raise refused("one of its instants is none of the calendar's")
    return int(seconds * SECOND)
