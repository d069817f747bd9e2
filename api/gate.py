"""Who is let in, and how much of what he asks: credentials tried, requests charged.

Owns whom a cost is charged to and the words of a refusal. Credentials themselves are `auth`'s, the
buckets are `rates`'.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from functools import lru_cache

from api.auth import Authenticator, Expired, digest_of
from api.faults import Fault
from api.limits import (
    RATE_ADDRESS_COST,
    RATE_COST_A_MINUTE,
    RATE_TENANT_KEYS,
    RATE_TRUSTED_MAX,
    RATE_WRONG_CREDENTIALS,
)
from api.logs import asked_by
from api.metrics import Metrics
from api.rates import UNLIMITED, Rates, Standing
from api.rights import Principal
from persistence.keys import rate
from persistence.rates import Bucket

#: Whose limit was spent, by the name of the policy.
WORDS = {
    "key": "this credential has spent its limit",
    "tenant": "the tenant has spent its limit",
    "address": "your address has spent the limit of those without a credential",
    "wrong-credentials": "too many wrong credentials came from your address",
}


class Spending:
    """What one request, or one operation of a socket, is charged."""

    __slots__ = ("_buckets", "_metrics", "_rates", "standing")

    def __init__(self, rates: Rates, metrics: Metrics, buckets: tuple[Bucket, ...]) -> None:
        self._rates = rates
        self._metrics = metrics
        self._buckets = buckets
        self.standing: Standing | None = None  #: after the last charge

    def check(self) -> None:
        """Raise RATE_LIMITED where it is known already that nothing is left; asks nobody."""
        self._judge(self._rates.refused(self._buckets))

    async def charge(self, cost: int) -> None:
        """Charge a cost, or raise RATE_LIMITED and charge nothing."""
        self._judge(await self._rates.spend(self._buckets, max(1, cost)))

    async def settle(self, cost: int) -> None:
        """Charge what was refused before anybody knew its cost; as `charge`."""
        if self.standing is None:
            await self.charge(cost)

    def headers(self) -> dict[str, str]:
        """What an answer says of the limits; nothing where nothing was charged."""
        return {} if self.standing is None else self.standing.headers()

    def _judge(self, standing: Standing | None) -> None:
        if standing is None:
            return
        self.standing = standing
        if standing.retry_seconds is None:
            return
        bucket = least(standing)
        self._metrics.refused_by_rate.labels(bucket.policy).inc()
        raise limited(bucket, standing)


def least(standing: Standing) -> Bucket:
    """The bucket of which the smallest part is left."""
    parts = zip(standing.buckets, standing.left, strict=True)
    return min(parts, key=lambda part: part[1] / part[0].quota)[0]


def limited(bucket: Bucket, standing: Standing) -> Fault:
    return Fault(
        "RATE_LIMITED",
        f"{WORDS[bucket.policy]}, {bucket.quota:,} a minute:"
        f" try again in {standing.retry_seconds} s",
        {"retry-after": str(standing.retry_seconds), **standing.headers()},
    )


class Gate:
    """Where requests and sockets of a process come in."""

    def __init__(
        self, authenticator: Authenticator, rates: Rates, metrics: Metrics, limit: int | None
    ) -> None:
        self.authenticator = authenticator
        self.rates = rates
        self._metrics = metrics
        #: The cost a minute of a key; 0: unlimited.
        self._limit = RATE_COST_A_MINUTE if limit is None else limit
        #: Digests of credentials that were right lately.
        self._trusted: OrderedDict[bytes, None] = OrderedDict()

    async def admit(self, header: str | None, address: str | None) -> Principal | None:
        """Who sends this header; None without one. Raises UNAUTHENTICATED for a wrong one.

        After too many wrong ones an address is refused whatever it sends, right or wrong, or else
        it could go on trying; only what was right here lately passes, so that nobody locks others
        out who work behind the same address.
        """
        if header is None:
            return None
        digest = digest_of(header.encode("utf-8", "surrogatepass"))
        if digest not in self._trusted:
            self.check_tries(address)
        try:
            principal = await self.authenticator.authenticate(header)
        except Expired:
            raise
        except Fault as fault:
            if fault.code == "UNAUTHENTICATED":
                fault.headers |= await self.count_wrong(address)
            raise
        self._trusted[digest] = None
        self._trusted.move_to_end(digest)
        if len(self._trusted) > RATE_TRUSTED_MAX:
            self._trusted.popitem(last=False)
        if principal is not None:
            asked_by(principal.name)
        return principal

    def check_tries(self, address: str | None) -> None:
        """Raise RATE_LIMITED where too many wrong credentials came from an address."""
        self._tries(address).check()

    async def count_wrong(self, address: str | None) -> dict[str, str]:
        """Count a wrong credential of an address: what its answer says of the limit."""
        tries = self._tries(address)
        await tries.charge(1)
        return tries.headers()

    def _tries(self, address: str | None) -> Spending:
        key = rate(place_of(address), "wrong")
        wrong = Bucket("wrong-credentials", key, RATE_WRONG_CREDENTIALS)
        return Spending(self.rates, self._metrics, (wrong,))

    def spending(self, principal: Principal | None, address: str | None) -> Spending:
        """Whom what is asked now will be charged to."""
        return Spending(self.rates, self._metrics, self._buckets(principal, address))

    def spending_of_link(self, tenant_id: int) -> Spending:
        """As `spending`, of whoever has a link to something of a tenant."""
        buckets = (self._whole(str(tenant_id)),) if self._limit else UNLIMITED.buckets
        return Spending(self.rates, self._metrics, buckets)

    def _whole(self, whose: str) -> Bucket:
        """The bucket of all of a tenant's keys."""
        return Bucket("tenant", rate(whose, "tenant"), self._limit * RATE_TENANT_KEYS)

    def _buckets(self, principal: Principal | None, address: str | None) -> tuple[Bucket, ...]:
        if principal is None:
            key = rate(place_of(address), "address")
            return (Bucket("address", key, RATE_ADDRESS_COST),)
        if self._limit == 0:
            return UNLIMITED.buckets
        if principal.tenant_id is None:
            return (Bucket("key", rate("operator", principal.name), self._limit),)
        whose = str(principal.tenant_id)
        return (
            Bucket("key", rate(whose, principal.name), self._limit),
            self._whole(whose),
        )


@lru_cache(maxsize=4096)
def place_of(address: str | None) -> str:
    """Whom an address stands for: itself, or of the newer kind the network that one house has."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False).network_address)
    return str(found)
