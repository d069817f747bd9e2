"""Destinations: where somebody else may have us send something, and where not.

Owns which URLs and which addresses of the network are taken. An address is looked at after the name
was resolved, and whoever sends connects to the very address that was looked at: a name that means
another one a moment later leads nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, TypeAlias

from api.limits import WEBHOOK_URL_CHARACTERS_MAX

if TYPE_CHECKING:
    import httpx2

Address: TypeAlias = IPv4Address | IPv6Address

#: The addresses of a name, as the system knows them.
Lookup: TypeAlias = Callable[[str, int], Awaitable[list[str]]]

#: What is nobody's on the open network, as the IANA's registries of special addresses have it;
#: listed here, for what Python takes as global has changed. The last is Azure's own service, which
#: answers each machine there.
CLOSED_4 = tuple(map(ip_network, (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
    "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32",
)))  # fmt: skip
#: What is given out of IPv6, and what of that is special: protocols (Teredo among them), examples,
#: and 6to4, which is an IPv4 address in other words.
OPEN_6 = ip_network("2000::/3")
CLOSED_6 = tuple(map(ip_network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
#: Where networks without IPv4 reach an IPv4 address, which stands in the last 32 bits.
NAT64 = ip_network("64:ff9b::/96")


class DestinationError(Exception):
    """Nothing is sent there; says why, to whoever named it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A URL that was read."""

    url: httpx2.URL
    host: str  #: as certificates and the header `host` have it
    port: int
    is_secure: bool

    @property
    def named(self) -> str:
        """What the header `host` says."""
        return self.url.netloc.decode("ascii")


def read(text: str, *, loopback: bool) -> Destination:
    """The destination of a URL; DestinationError says what is wrong with it.

    `loopback`: this machine may be sent to, and then without encryption.
    """
    import httpx2

    if not 0 < len(text) <= WEBHOOK_URL_CHARACTERS_MAX:
        raise DestinationError(f"a URL has 1 to {WEBHOOK_URL_CHARACTERS_MAX} characters")
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise DestinationError("a URL has letters, digits and signs of ASCII, and no blanks")
    try:
        url = httpx2.URL(text)
        host, port = url.raw_host.decode("ascii"), url.port
    except (httpx2.InvalidURL, UnicodeError, ValueError):
        raise DestinationError("this is no URL: write one like https://example.com/kuota") from None
    if port is not None and not 0 < port < 1 << 16:
        raise DestinationError("a port is a number from 1 to 65535")
    if url.scheme not in ("https", "http") or not host:
        raise DestinationError("a URL begins with https:// and a host")
    if url.userinfo or "@" in text.partition("://")[2].partition("/")[0]:
        raise DestinationError("a URL has no user and no password: what is sent is signed")
    is_secure = url.scheme == "https"
    found = Destination(
        url=url.copy_with(fragment=None),
        host=host,
        port=port or (443 if is_secure else 80),
        is_secure=is_secure,
    )
    literal = _literal(host)
    if not is_secure and not (loopback and _is_named_loopback(host, literal)):
        raise DestinationError("a URL begins with https://: others would read what is sent")
    if literal is not None:
        check([literal], found, loopback=loopback)
    return found


def check(addresses: Iterable[Address], of: Destination, *, loopback: bool) -> None:
    """DestinationError unless each address is open to everybody, or this machine's where allowed.

    One that is not spoils all: whoever answers with both wants to be taken for the other.
    """
    for address in addresses:
        near = is_loopback(address)
        if near and loopback:
            continue
        if near or not is_open(address):
            raise DestinationError(
                f"{of.host[:100]} is a private or reserved address: nothing is sent there"
            )
        if not of.is_secure:
            raise DestinationError("a URL begins with https://: others would read what is sent")


async def resolve(of: Destination, lookup: Lookup, *, loopback: bool) -> list[Address]:
    """The addresses of a destination, all of which may be sent to."""
    literal = _literal(of.host)
    if literal is not None:
        found = [literal]
    else:
        try:
            found = [_plain(each) for each in await lookup(of.host, of.port)]
        except OSError:
            found = []
        if not found:
            raise DestinationError(f"{of.host[:100]} has no address: no such host is known")
    check(found, of, loopback=loopback)
    return list(dict.fromkeys(found))


async def looked_up(host: str, port: int) -> list[str]:
    """The addresses of a host, as this machine finds them.

    In a thread of its own, which nobody waits for: whoever names a host may let the question wait
    for half a minute, and the threads of the event loop are few.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def ask() -> None:
        found, wrong = list[str](), None
        try:
            known = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = [str(each[4][0]) for each in known]
        except (OSError, UnicodeError, ValueError) as error:
            wrong = error if isinstance(error, OSError) else OSError(str(error))
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, found, wrong)

    def tell(found: list[str], wrong: OSError | None) -> None:
        if answer.done():
            return
        if wrong is not None:
            answer.set_exception(wrong)
        else:
            answer.set_result(found)

    threading.Thread(target=ask, name="lookup", daemon=True).start()
    return await answer


def is_loopback(address: Address) -> bool:
    """Whether an address is this machine's, in whichever form."""
    return _inner(address).is_loopback


def is_open(address: Address) -> bool:
    """Whether an address is one of the open network: not private, reserved, or of one link."""
    inner = _inner(address)
    if isinstance(inner, IPv4Address):
        return not any(inner in network for network in CLOSED_4)
    return inner in OPEN_6 and not any(inner in network for network in CLOSED_6)


def _inner(address: Address) -> Address:
    """The IPv4 address that stands in an IPv6 one."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _literal(host: str) -> Address | None:
    try:
        return _plain(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def _is_named_loopback(host: str, literal: Address | None) -> bool:
    """Whether a host says of itself that it is this machine."""
    if literal is not None:
        return is_loopback(literal)
    return host == "localhost" or host.endswith(".localhost")


def _plain(text: str) -> Address:
    """An address without the link it is of."""
    return ip_address(text.partition("%")[0])
