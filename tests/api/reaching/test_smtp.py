"""The server of mail: how it is named, when it has to hide what is said, and what is for good."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from api.reaching.smtp import LaterError, RefusedError, Server, greet, send
from tests.api.reaching.office import Office

LETTER = b"Subject: x\r\n\r\nx\r\n"
TABLE = [
    ("smtp://mail.example", ("mail.example", 587, None, None, False, False)),
    ("smtps://mail.example", ("mail.example", 465, None, None, True, False)),
    ("smtp://ann%40x:p%3Aw@mail.example:2525",
     ("mail.example", 2525, "ann@x", "p:w", False, False)),
    ("smtp://mail.example/?insecure", ("mail.example", 587, None, None, False, True)),
    ("smtp://localhost", ("localhost", 587, None, None, False, True)),
    ("smtp://127.0.0.3:25", ("127.0.0.3", 25, None, None, False, True)),
    ("smtp://[::1]:25", ("::1", 25, None, None, False, True)),
    ("smtp://10.0.0.1:25", ("10.0.0.1", 25, None, None, False, False)),
]  # fmt: skip
WRONG = [
    "http://mail.example", "smtp://", "smtp://mail.example/path", "smtp://mail.example:port",
    "smtp://ann:hunter2@mail.example?tls=no", "smtp://ann@mail.example", "smtp://[::1",
    "smtp://ann:hunter2@mail.example:99999",
]  # fmt: skip


@pytest.mark.parametrize(("url", "server"), TABLE, ids=[url for url, _ in TABLE])
def test_how_it_is_named(url: str, server: tuple[object, ...]) -> None:
    found = Server.of(url)
    assert (
        found.host, found.port, found.user, found.password, found.tls, found.insecure
    ) == server  # fmt: skip


@pytest.mark.parametrize("url", WRONG)
def test_what_names_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|wants|knows) ") as refused:
        Server.of(url)
    assert "hunter2" not in str(refused.value)


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with Office.open() as office:
        yield office


async def hand(server: Server, to: str = "ana@shop.example") -> None:
    await send(server, "kuota.example", "billing@kuota.example", to, LETTER)


async def test_beyond_this_machine_nothing_is_said_in_clear(office: Office) -> None:
    """One without STARTTLS gets no letter, and above all no password."""
    office.users[b"kuota"] = b"hunter2"
    near = Server.of(f"smtp://kuota:hunter2@127.0.0.1:{office.port}")
    with pytest.raises(LaterError, match="STARTTLS") as refused:
        await hand(replace(near, insecure=False))
    assert "127.0.0.1" not in refused.value.told
    assert (office.seen, office.letters) == ([], [])
    await hand(near)
    assert office.secured == [False]


def certified(folder: Path) -> ssl.SSLContext:
    """What shows a certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "office")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    file = folder / "office.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def test_what_is_offered_is_taken_and_what_is_shown_is_looked_at(tmp_path: Path) -> None:
    """On this machine anybody may be the server; elsewhere somebody has to vouch for it."""
    async with Office.open(certified(tmp_path)) as office:
        near = Server.of(office.url)
        await hand(near)
        assert office.secured == [True]
        with pytest.raises(LaterError, match="certificate"):
            await hand(replace(near, insecure=False))
        assert len(office.letters) == 1


async def test_what_is_for_good_and_what_is_not(office: Office) -> None:
    server = Server.of(office.url)
    for answer, expected in (("450 busy", LaterError), ("550 nobody", RefusedError)):
        office.refuses["ana@shop.example"] = answer
        with pytest.raises(expected, match=answer):
            await hand(server)
    office.refuses.clear()
    for answer, expected in (("451 greylisted", LaterError), ("554 spam", RefusedError)):
        office.answers.append(answer)
        with pytest.raises(expected, match=answer):
            await hand(server)
    assert office.letters == []
    await hand(server)
    assert office.to == [["ana@shop.example"]]


async def test_a_server_is_greeted_without_a_letter(office: Office) -> None:
    """As `doctor` does."""
    await greet(Server.of(office.url), "kuota.example")
    assert office.seen == []
    wrong = Server.of(f"smtp://kuota:hunter2@127.0.0.1:{office.port}")
    with pytest.raises(LaterError, match="535"):
        await greet(wrong, "kuota.example")
