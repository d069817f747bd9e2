"""Destinations: what somebody else may have us send something to, and that it is where it goes."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from api.reaching.destinations import (
    DestinationError,
    Lookup,
    is_open,
    looked_up,
    read,
    resolve,
)
from api.reaching.posting import Outcome, Poster
from api.settings import Clock
from tests.api.reaching.receiver import CLOSE, HALF, STALL, Answer, busy, receiving, redirect

OPEN = ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]
CLOSED = [
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.9.9.9",
    "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192",
    "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:808:808::", "2001::1",
    "2001:db8::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1",
    "ff02::1", "100::1",
]  # fmt: skip


@pytest.mark.parametrize("address", OPEN)
def test_what_is_everybodys(address: str) -> None:
    assert is_open(ip_address(address))


@pytest.mark.parametrize("address", CLOSED)
def test_what_is_private_or_reserved(address: str) -> None:
    assert not is_open(ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_the_same_in_ipv6(address: IPv4Address) -> None:
    mapped = ip_address(f"::ffff:{address}")
    beyond = ip_address((0x64FF9B << 96) | int(address))
    assert is_open(mapped) == is_open(beyond) == is_open(address)


@given(st.ip_addresses())
def test_nothing_is_taken_that_python_knows_to_be_private(address: IPv4Address) -> None:
    if is_open(address):
        inner = getattr(address, "ipv4_mapped", None) or address
        assert not any((inner.is_private, inner.is_multicast, inner.is_loopback))


WRONG = [
    ("", "1 to 2000 characters"),
    ("https://example.com/" + "a" * 2_000, "1 to 2000 characters"),
    ("http://example.com/", "begins with https://"),
    ("ftp://example.com/", "begins with https:// and a host"),
    ("https:///path", "a host"),
    ("example.com/hooks", "a host"),
    ("https://user:word@example.com/", "no user and no password"),
    ("https://user@example.com/", "no user and no password"),
    ("https://@example.com/", "no user and no password"),
    ("https://127.0.0.1/", "private or reserved"),
    ("https://[::1]/", "private or reserved"),
    ("https://[::ffff:169.254.169.254]/", "private or reserved"),
    ("https://10.0.0.1:8443/", "private or reserved"),
    ("https://exa mple.com/", "no blanks"),
    ("https://example.com\\@10.0.0.1/", "no blanks"),
    ("https://example.com/\n", "no blanks"),
    ("https://exämple.com/", "of ASCII"),
    ("https://example.com:99999/", "a port is"),
    ("https://example.com:0/", "a port is"),
    ("https://[::1/", "no URL"),
]


@pytest.mark.parametrize(("url", "says"), WRONG, ids=[each[0][:40] for each in WRONG])
def test_a_url_that_is_not_taken_says_why(url: str, says: str) -> None:
    with pytest.raises(DestinationError, match=says):
        read(url, loopback=False)


def test_a_url_that_is_taken() -> None:
    found = read("https://Example.com:8443/a/b?c=d#e", loopback=False)
    assert (found.host, found.port, found.named) == ("example.com", 8443, "example.com:8443")
    assert str(found.url) == "https://example.com:8443/a/b?c=d"
    assert read("https://xn--exmple-cua.com", loopback=False).port == 443
    assert read("http://127.0.0.1:9/x", loopback=True).port == 9
    for url in ("http://10.0.0.1/", "http://shop.example/", "http://localhost.example/"):
        with pytest.raises(DestinationError, match="begins with https://"):
            read(url, loopback=True)
    with pytest.raises(DestinationError, match="private or reserved"):
        read("https://10.0.0.1/", loopback=True)


def answering(*answers: list[str]) -> Lookup:
    """A resolver that answers so, one after the other, the last for ever."""
    left = list(answers)

    async def lookup(host: str, port: int) -> list[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return lookup


@pytest.mark.parametrize(
    "found", [["10.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["fe80::1%eth0"], ["::ffff:10.0.0.1"]]
)
async def test_a_name_leads_to_nothing_private(found: list[str]) -> None:
    with pytest.raises(DestinationError, match="private or reserved"):
        await resolve(
            read("https://example.com/", loopback=False), answering(found), loopback=False
        )


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost"])
async def test_names_of_this_machine_are_seen_through(host: str) -> None:
    """Whatever the system's resolver makes of it: what is looked at is the address."""

    async def look() -> None:
        await resolve(read(f"https://{host}/", loopback=False), looked_up, loopback=False)

    with pytest.raises(DestinationError, match=r"private or reserved|no address|no URL"):
        await look()


async def test_an_unknown_name_is_told() -> None:
    found = read("https://no-such-host.invalid/", loopback=False)
    with pytest.raises(DestinationError, match="no such host is known"):
        await resolve(found, answering([]), loopback=False)


# Posting


def poster(lookup: Lookup = looked_up, *, loopback: bool = True, seconds: float = 5.0,
           trusted: ssl.SSLContext | None = None) -> Poster:  # fmt: skip
    return Poster(Clock().now, loopback=loopback, seconds=seconds, lookup=lookup, trusted=trusted)


async def posted(sender: Poster, url: str, body: bytes = b"{}") -> Outcome:
    try:
        return await sender.post(url, {"webhook-id": "alt_1"}, body)
    finally:
        await sender.close()


async def test_it_is_posted_to_the_address_that_was_looked_at() -> None:
    """A name that means another address a moment later leads nowhere else (rebinding)."""
    async with receiving() as receiver:
        lookup = answering(["127.0.0.1"], ["10.0.0.1"])
        found = await posted(poster(lookup), f"http://shop.localhost:{receiver.port}/a?b=c", b"[1]")
        assert (found.status, found.is_taken, found.answer) == (200, True, "ok")
        (request,) = receiver.requests
        assert (request.path, request.body) == ("/a?b=c", b"[1]")
        assert request.headers["host"] == f"shop.localhost:{receiver.port}"
        assert request.headers["webhook-id"] == "alt_1"


async def test_this_machine_is_sent_to_only_where_that_is_allowed() -> None:
    async with receiving() as receiver:
        for url in (receiver.url, f"https://shop.example:{receiver.port}/"):
            found = await posted(poster(answering(["127.0.0.1"]), loopback=False), url)
            assert found.status is None
            assert "https://" in found.why or "private or reserved" in found.why
        assert receiver.requests == []


async def test_without_encryption_this_machine_alone_is_sent_to() -> None:
    found = await posted(poster(answering(["93.184.216.34"])), "http://shop.localhost/")
    assert (found.status, found.why[:27]) == (None, "a URL begins with https://:")


ANSWERS: list[tuple[Answer, int | None, str]] = [
    (Answer(status=204, body=b""), 204, ""),
    (Answer(status=500, body=b"boom"), 500, "it answered 500"),
    (Answer(status=404), 404, "it answered 404"),
    (redirect("https://elsewhere.example/"), 302,
     "it answered 302, and redirects are not followed: name https://elsewhere.example/ instead"),
    (CLOSE, None, "the connection ended before an answer came: "),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "status", "why"), ANSWERS, ids=[str(e[1]) for e in ANSWERS])
async def test_what_is_answered_is_told(answer: Answer, status: int | None, why: str) -> None:
    async with receiving() as receiver:
        receiver.always = answer
        found = await posted(poster(), receiver.url)
        assert found.status == status
        assert found.why.startswith(why)
        assert found.is_taken == (why == "")
        assert len(receiver.requests) == 1  # nothing is followed, nothing sent twice


async def test_nothing_is_waited_for_too_long() -> None:
    async with receiving() as receiver:
        receiver.answers.extend([STALL, HALF])
        sender = poster(seconds=0.3)
        found = await sender.post(receiver.url, {}, b"{}")
        assert (found.status, found.why) == (None, "nothing was answered within 0.3 seconds")
        # The status came: what becomes of the body changes nothing.
        assert (await posted(sender, receiver.url)).is_taken


async def test_of_a_long_answer_the_beginning_is_kept() -> None:
    async with receiving() as receiver:
        receiver.always = Answer(status=500, body=b"\x00\xff" + b"x" * 100_000)
        found = await posted(poster(), receiver.url)
        assert found.answer == "\ufffd\ufffd" + "x" * 298


async def test_how_long_it_wants_to_be_left_alone_is_told() -> None:
    async with receiving() as receiver:
        receiver.answers.extend([busy("120"), busy("Fri, 13 Feb 2009 23:31:30 GMT"), busy("soon")])
        sender = poster()
        waits = [(await sender.post(receiver.url, {}, b"{}")).retry_after for _ in range(3)]
        await sender.close()
        assert waits == [120_000_000, 0, None]


async def test_a_port_where_nobody_is_is_told() -> None:
    async with receiving() as receiver:
        port = receiver.port
    found = await posted(poster(answering(["127.0.0.1"])), f"http://shop.localhost:{port}/")
    assert found.why.startswith("no connection came about")


# Certificates


@pytest.fixture
def certified(tmp_path: Path) -> Callable[[str], tuple[ssl.SSLContext, ssl.SSLContext]]:
    """Contexts of a server that is a host, and of a client that trusts it."""

    def make(host: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(1).not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .sign(key, hashes.SHA256())
        )  # fmt: skip
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        path = tmp_path / "server.pem"
        path.write_bytes(
            pem + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )  # fmt: skip
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(path)
        return server, ssl.create_default_context(cadata=pem.decode())

    return make


async def test_the_certificate_is_of_the_name_and_not_of_the_address(
    certified: Callable[[str], tuple[ssl.SSLContext, ssl.SSLContext]],
) -> None:
    server, trusting = certified("shop.example")
    async with receiving(server) as receiver:
        receiver.keeps = True
        sender = poster(answering(["127.0.0.1"]), trusted=trusting)
        right = await sender.post(f"https://shop.example:{receiver.port}/", {}, b"{}")
        assert right.is_taken
        # The same address under another name: no connection is used again, none is believed.
        wrong = await sender.post(f"https://evil.example:{receiver.port}/", {}, b"{}")
        await sender.close()
        assert wrong.status is None
        assert "certificate" in wrong.why.lower()
        assert len(receiver.requests) == 1
