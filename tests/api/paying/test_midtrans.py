"""Midtrans by its HTTP API: what each of its words means, and that nothing is charged twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from api.paying import midtrans
from api.paying.midtrans import Midtrans, snap_of
from api.paying.midtrans_words import SettingError
from api.paying.port import Answer, AwayError, Charge, ForgedError, NoticeError, Standing
from domain.periods import DAY, HOUR, MINUTE
from tests.api.paying.midtrans_server import (
    SERVER_KEY,
    Instead,
    MidtransServer,
    midtrans_server,
    redirecting,
    saying,
)

NOW = 1_795_363_200_000_000  # 2026-11-22T16:00:00Z
RUPIAH = 1_000_000
ORDER = "kuota-0123456789abcdef01234567"
CARD = Charge(
    key=ORDER,
    total=1_110_000 * RUPIAH,
    currency="IDR",
    description="conversations 2000",
    item="top-up",
    customer="Toko Sepatu",
    email="ani@toko.example",
    token="card-accepted",
    return_url=None,
    expires_at=NOW + DAY,
)
PAGE = replace(CARD, token=None, return_url="https://toko.example/billing")

S = Standing


@pytest.fixture(scope="module")
async def started() -> AsyncIterator[MidtransServer]:
    """One server for all of these, for it is dear to start; each finds it empty."""
    async with midtrans_server() as server:
        yield server


@pytest.fixture
def server(started: MidtransServer) -> Iterator[MidtransServer]:
    started.begin()
    yield started
    started.released.set()


@pytest.fixture
async def provider(server: MidtransServer) -> AsyncIterator[Midtrans]:
    provider = Midtrans(SERVER_KEY, server.url, lambda: NOW, "https://kuota.example/notices")
    yield provider
    await provider.close()


async def test_a_saved_card_is_charged_once_whatever_is_asked_again(
    server: MidtransServer, provider: Midtrans
) -> None:
    """RF-2: the same key while the outcome is unknown; it is never charged twice."""
    first = await provider.charge(CARD)
    assert first == Answer(
        standing=S.PAID, reference=f"tx-{ORDER}", total=CARD.total, currency="IDR"
    )
    assert server.bodies == [
        {
            "payment_type": "credit_card",
            "transaction_details": {"order_id": ORDER, "gross_amount": 1_110_000},
            "item_details": [
                {"id": "top-up", "price": 1_110_000, "quantity": 1, "name": "conversations 2000"}
            ],
            "customer_details": {"first_name": "Toko Sepatu", "email": "ani@toko.example"},
            "credit_card": {"token_id": "card-accepted", "authentication": False},
        }
    ]
    assert server.headers[-1]["idempotency-key"] == ORDER
    assert server.headers[-1]["x-override-notification"] == "https://kuota.example/notices"
    again = await asyncio.gather(*(provider.charge(CARD) for _ in range(5)))
    assert again == [first] * 5
    assert await provider.look(ORDER) == first
    assert server.collected == {ORDER: 1}
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("token", "standing", "words"),
    [
        ("card-accepted", S.PAID, ""),
        ("card-denied", S.DECLINED, "midtrans says deny"),
        ("card-reviewed", S.PENDING, "review"),
        ("card-suspected", S.DECLINED, "midtrans says capture"),
        ("card-broken", S.DECLINED, "midtrans says failure"),
        ("card-nobody-has", S.DECLINED, "save it again"),
    ],
)
async def test_what_becomes_of_a_card(
    server: MidtransServer, provider: Midtrans, token: str, standing: Standing, words: str
) -> None:
    answer = await provider.charge(replace(CARD, token=token))
    assert answer.standing is standing
    assert words in answer.reason
    assert sum(server.collected.values()) == (standing is S.PAID)


async def test_a_card_that_was_declined_is_not_charged_again_under_its_key(
    server: MidtransServer, provider: Midtrans
) -> None:
    """RF-2: a new key after a decline. Midtrans itself would charge the old one again."""
    denied = await provider.charge(replace(CARD, token="card-denied"))
    assert await provider.charge(CARD) == denied
    assert server.collected == {}
    other = await provider.charge(replace(CARD, key=f"{ORDER}-2"))
    assert other.standing is S.PAID


async def test_an_order_that_was_charged_meanwhile_is_looked_at(
    server: MidtransServer, provider: Midtrans
) -> None:
    """RF-2: between looking and charging somebody else charged; 406 leads to another look."""

    async def nothing_yet(request: Request) -> Response:
        answer = await saying({"status_code": "404", "status_message": "none"})(request)
        server.keep(ORDER, 1_110_000, "capture", way="credit_card")
        return answer

    server.instead = [nothing_yet]
    assert (await provider.charge(CARD)).standing is S.PAID
    assert [path for _, path in server.asked] == [
        f"/v2/{ORDER}/status", "/v2/charge", f"/v2/{ORDER}/status",
    ]  # fmt: skip
    assert server.collected == {ORDER: 1}


async def test_a_charge_whose_answer_was_lost_is_found_by_looking(
    server: MidtransServer, provider: Midtrans
) -> None:
    """RF-2: it was kept, though nobody was told."""

    async def kept_and_lost(request: Request) -> Response:
        await server.charge(request)
        return Response(b"bad gateway", 502)

    server.instead = [server.status, kept_and_lost]
    with pytest.raises(AwayError, match="502"):
        await provider.charge(CARD)
    assert (await provider.charge(CARD)).standing is S.PAID
    assert server.collected == {ORDER: 1}


@pytest.mark.parametrize(
    ("status", "fraud", "standing"),
    [
        ("capture", "accept", S.PAID),
        ("capture", "", S.PAID),
        ("capture", "challenge", S.PENDING),
        ("capture", "deny", S.DECLINED),
        ("settlement", "accept", S.PAID),
        ("authorize", "accept", S.PENDING),
        ("pending", "accept", S.PENDING),
        ("deny", "accept", S.DECLINED),
        ("failure", "accept", S.DECLINED),
        ("cancel", "accept", S.DECLINED),
        ("expire", "accept", S.EXPIRED),
        ("refund", "accept", S.TAKEN_BACK),
        ("chargeback", "accept", S.TAKEN_BACK),
        ("partial_refund", "accept", S.PAID),
        ("partial_chargeback", "accept", S.PAID),
    ],
)
async def test_every_word_of_midtrans(
    server: MidtransServer, provider: Midtrans, status: str, fraud: str, standing: Standing
) -> None:
    """BA-8: what was given back in part is still paid; what was given back is taken back."""
    code = {"pending": "201", "deny": "202", "expire": "407"}.get(status, "200")
    server.keep(ORDER, 1_110_000, status, code=code, fraud=fraud)
    answer = await provider.look(ORDER)
    assert answer.standing is standing
    assert (answer.total, answer.currency) == (CARD.total, "IDR")
    assert answer.reference == f"tx-{ORDER}"
    assert ("a part" in answer.reason) == status.startswith("partial")


KEPT = {"status_code": "200", "order_id": ORDER, "gross_amount": "1110000.00"}


@pytest.mark.parametrize(
    ("instead", "words"),
    [
        (saying({"status_code": "500", "status_message": "recovering"}), "recovering"),
        (saying({"status_code": "505", "transaction_status": "settlement"}), "505"),
        (saying({**KEPT, "transaction_status": "settlement"}, 503), "503"),
        (saying({"status_code": "429", "status_message": "slower"}), "slower"),
        (saying({"status_code": "400", "status_message": "what?"}), "what?"),
        (saying(b"<html>not found</html>", 404), "no JSON"),
        (saying({"error": "no such path"}, 404), "404"),
        (saying(b"<html>come in</html>"), "no JSON"),
        (saying(b"[" * 60_000), "no JSON"),
        (saying(b" " * 70_000), "more than 65536"),
        (saying([1, 2]), "no JSON"),
        (saying({}), "200"),
        (redirecting, "302"),
        (saying({**KEPT, "order_id": "another", "transaction_status": "settlement"}), "another"),
        (saying({**KEPT, "transaction_status": "levitating"}), "levitating"),
        (saying({**KEPT, "transaction_status": "capture", "fraud_status": "odd"}), "odd"),
        (saying({**KEPT, "transaction_status": "settlement", "gross_amount": "many"}), "many"),
    ],
)
async def test_an_answer_that_says_nothing_is_asked_for_again(
    server: MidtransServer, provider: Midtrans, instead: Instead, words: str
) -> None:
    """RF-2: the outcome is unknown then, and nothing is guessed."""
    server.instead = [instead]
    with pytest.raises(AwayError, match=words):
        await provider.look(ORDER)


@pytest.mark.parametrize("code", ["404", "500", "429"])
async def test_a_charge_of_which_nothing_is_known_is_no_decline(
    server: MidtransServer, provider: Midtrans, code: str
) -> None:
    server.instead = [server.status, saying({"status_code": code, "status_message": "no"})]
    with pytest.raises(AwayError):
        await provider.charge(CARD)


async def test_a_server_that_does_not_answer_is_away(
    server: MidtransServer, provider: Midtrans, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def waits(request: Request) -> Response:
        await server.released.wait()
        return Response()

    monkeypatch.setattr(midtrans, "PROVIDER_TIMEOUT_SECONDS", 0.05)
    server.instead = [waits]
    with pytest.raises(AwayError, match="cannot be reached"):
        await provider.look(ORDER)


async def test_a_server_that_is_not_there_is_away() -> None:
    provider = Midtrans(SERVER_KEY, "http://127.0.0.1:1", lambda: NOW)
    with pytest.raises(AwayError, match="cannot be reached"):
        await provider.look(ORDER)
    await provider.close()


@pytest.mark.parametrize(
    ("instead", "words"),
    [
        (saying({"status_code": "401", "status_message": "denied"}, 401), "SERVER_KEY"),
        (saying({"error_messages": ["Access denied"]}, 401), "Access denied"),
        (saying({"status_code": "402", "status_message": "no"}), "activate"),
        (saying({"status_code": "403", "status_message": "no"}), "KUOTA_MIDTRANS_URL"),
        (saying({"status_code": "410", "status_message": "no"}), "deactivated"),
    ],
)
async def test_what_somebody_must_mend_uses_no_try_up(
    server: MidtransServer, provider: Midtrans, instead: Instead, words: str
) -> None:
    """RF-2: a key that is wrong is no decline; it is said, and asked again with the same key."""
    server.instead = [instead]
    with pytest.raises(SettingError, match=words) as caught:
        await provider.charge(CARD)
    assert SERVER_KEY not in str(caught.value)


async def test_a_wrong_server_key_is_told(server: MidtransServer) -> None:
    provider = Midtrans("SB-Mid-server-another", server.url, lambda: NOW)
    with pytest.raises(SettingError, match="KUOTA_MIDTRANS_SERVER_KEY"):
        await provider.charge(CARD)
    await provider.close()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"currency": "USD"}, "USD"),
        ({"total": 1_110_000 * RUPIAH + 1}, "whole rupiah"),
        ({"total": 0}, "whole rupiah"),
    ],
)
async def test_what_it_cannot_collect_is_refused_unasked(
    server: MidtransServer, provider: Midtrans, change: dict[str, Any], words: str
) -> None:
    """IN-5: totals in rupiah are whole before they come here."""
    answer = await provider.charge(replace(CARD, **change))
    assert (answer.standing, words in answer.reason) == (S.DECLINED, True)
    assert server.asked == []


async def test_who_is_present_pays_on_a_page(server: MidtransServer, provider: Midtrans) -> None:
    answer = await provider.charge(PAGE)
    assert answer.standing is S.PENDING
    assert answer.pay_url == f"{server.url}/snap/v4/redirection/page-1"
    (body,) = server.bodies
    assert body["callbacks"] == {"finish": "https://toko.example/billing"}
    assert body["expiry"] == {
        "start_time": "2026-11-22 23:00:00 +0700", "unit": "minute", "duration": 1_440,
    }  # fmt: skip
    assert body["page_expiry"] == {"unit": "minute", "duration": 1_440}
    assert body["credit_card"] == {"secure": True}
    # Nobody chose how to pay: they know nothing of it, and it can be opened again.
    assert (await provider.look(ORDER)).standing is S.ABSENT
    again = await provider.charge(PAGE)
    assert again.pay_url == f"{server.url}/snap/v4/redirection/page-2"
    # Somebody did: it stands where it stands, and no other page is opened.
    server.choose(ORDER)
    assert (await provider.charge(PAGE)).standing is S.PENDING
    server.choose(ORDER, "settlement")
    assert (await provider.charge(PAGE)).standing is S.PAID
    assert len(server.bodies) == 2
    assert server.collected == {ORDER: 1}


@pytest.mark.parametrize(
    ("left", "waits", "stays_open"),
    [(DAY, 1_440, 1_440), (MINUTE, 1, 5), (-HOUR, 1, 5), (30 * DAY, 43_200, 10_080)],
)
async def test_a_page_ends_within_what_midtrans_takes(
    server: MidtransServer, provider: Midtrans, left: int, waits: int, stays_open: int
) -> None:
    await provider.charge(replace(PAGE, expires_at=NOW + left))
    (body,) = server.bodies
    assert (body["expiry"]["duration"], body["page_expiry"]["duration"]) == (waits, stays_open)


async def test_a_page_that_is_opened_while_somebody_pays_is_looked_at(
    server: MidtransServer, provider: Midtrans
) -> None:
    """Snap says in words, and in Indonesian, that an order is there already."""
    await provider.charge(PAGE)

    async def paid_meanwhile(request: Request) -> Response:
        server.choose(ORDER, "settlement")
        return await saying({"status_code": "404"})(request)

    server.instead = [paid_meanwhile]
    assert (await provider.charge(PAGE)).standing is S.PAID


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"error_messages": ["customer_details.email format is invalid"]}, "email"),
        ({"error_messages": ["transaction_details.order_id too long"]}, "too long"),
    ],
)
async def test_a_page_that_is_refused_says_why(
    server: MidtransServer, provider: Midtrans, told: dict[str, Any], words: str
) -> None:
    server.instead = [server.status, saying(told, 400)]
    answer = await provider.charge(PAGE)
    assert (answer.standing, words in answer.reason) == (S.DECLINED, True)


@pytest.mark.parametrize("url", [None, 7, "javascript:alert(1)", "//elsewhere.example"])
async def test_nobody_is_sent_to_what_is_no_address(
    server: MidtransServer, provider: Midtrans, url: object
) -> None:
    server.instead = [server.status, saying({"token": "x", "redirect_url": url}, 201)]
    with pytest.raises(AwayError, match="no address"):
        await provider.charge(PAGE)


async def test_what_waits_is_given_up(server: MidtransServer, provider: Midtrans) -> None:
    assert (await provider.cancel(ORDER)).standing is S.ABSENT
    await provider.charge(PAGE)
    server.choose(ORDER)
    assert (await provider.cancel(ORDER)).standing is S.DECLINED
    assert (await provider.look(ORDER)).standing is S.DECLINED


async def test_what_was_paid_is_not_given_up(server: MidtransServer, provider: Midtrans) -> None:
    """To cancel a captured card at Midtrans would give the money back."""
    await provider.charge(CARD)
    assert (await provider.cancel(ORDER)).standing is S.PAID
    assert all(method == "GET" or path == "/v2/charge" for method, path in server.asked)

    async def paid_meanwhile(request: Request) -> Response:
        answer = await server.status(request)
        server.choose("other", "settlement")
        return answer

    await provider.charge(replace(PAGE, key="other"))
    server.choose("other")
    server.instead = [paid_meanwhile]
    assert (await provider.cancel("other")).standing is S.PAID


async def test_a_notice_is_read_where_its_signature_is_right(
    server: MidtransServer, provider: Midtrans
) -> None:
    """BA-7: whatever else it says, it names a key."""
    server.keep(ORDER, 1_110_000, "settlement")
    assert provider.key_of({}, server.notice(ORDER)) == ORDER
    # What became of it is not signed: nothing but the key is read.
    assert provider.key_of({}, server.notice(ORDER, transaction_status="deny")) == ORDER
    shouting = server.notice(ORDER)
    made = shouting.split(b'"')[3]
    assert provider.key_of({}, shouting.replace(made, made.upper())) == ORDER


async def test_a_notice_of_another_is_refused(server: MidtransServer, provider: Midtrans) -> None:
    server.keep(ORDER, 1_110_000, "settlement")
    good = server.notice(ORDER)
    for forged in (
        server.notice(ORDER, server_key="SB-Mid-server-another"),
        server.notice(ORDER, signature_key=""),
        server.notice(ORDER, signature_key="ä" * 64),
        good.replace(b"1110000.00", b"1110000.01"),
        good.replace(b'"200"', b'"201"'),
        good.replace(ORDER.encode(), b"kuota-another"),
    ):
        with pytest.raises(ForgedError):
            provider.key_of({}, forged)
    for unread in (
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"\xff",
        b"[" * 60_000,
        b"{}",
        b'{"order_id":"a","status_code":200,"gross_amount":"1","signature_key":"x"}',
        b'{"account_id":"a","account_status":"ENABLED","status_code":"200","signature_key":"x"}',
        good.replace(b'"signature_key"', b'"signature"'),
    ):
        with pytest.raises(NoticeError) as caught:
            provider.key_of({}, unread)
        assert not isinstance(caught.value, ForgedError), unread


@pytest.mark.parametrize(
    ("core", "snap"),
    [
        ("https://api.midtrans.com", "https://app.midtrans.com"),
        ("https://api.sandbox.midtrans.com", "https://app.sandbox.midtrans.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    ],
)
def test_the_host_of_pages_stands_beside_that_of_cards(core: str, snap: str) -> None:
    assert snap_of(core) == snap
