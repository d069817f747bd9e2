"""A small server of Midtrans' API on this machine, as its documentation has it.

It keeps orders, charges saved cards, opens pages and signs notices; it counts what it collected. A
test may have it answer something else: each of `instead` is taken by one request.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.api.events import running

Json: TypeAlias = dict[str, Any]
Instead: TypeAlias = Callable[[Request], Awaitable[Response]]

SERVER_KEY = "SB-Mid-server-of-the-tests"

#: What a saved card does: code, `transaction_status`, `fraud_status`.
CARDS = {
    "card-accepted": ("200", "capture", "accept"),
    "card-denied": ("202", "deny", "accept"),
    "card-reviewed": ("201", "capture", "challenge"),
    "card-suspected": ("202", "capture", "deny"),
    "card-broken": ("200", "failure", "accept"),
}


class MidtransServer:
    """What Midtrans has of one account."""

    def __init__(self) -> None:
        self.url = ""
        self.begin()

    def begin(self) -> None:
        """Know of nothing, as in the beginning."""
        self.orders: dict[str, Json] = {}
        self.pages: dict[str, Json] = {}  #: what opened one, by order; the latest holds
        self.collected: dict[str, int] = {}
        self.asked: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[Json] = []
        self.instead: list[Instead] = []
        self.said: dict[str, Json] = {}  #: by `idempotency-key`
        self.released = asyncio.Event()  #: whoever was kept waiting is answered

    def app(self) -> Starlette:
        routes = [
            Route("/snap/v1/transactions", self._guarded(self.open_page), methods=["POST"]),
            Route("/v2/charge", self._guarded(self.charge), methods=["POST"]),
            Route("/v2/{order}/status", self._guarded(self.status), methods=["GET"]),
            Route("/v2/{order}/cancel", self._guarded(self.cancel), methods=["POST"]),
        ]
        return Starlette(routes=routes)

    def _guarded(self, inner: Instead) -> Instead:
        async def answer(request: Request) -> Response:
            self.asked.append((request.method, request.url.path))
            self.headers.append(dict(request.headers))
            if self.instead:
                return await self.instead.pop(0)(request)
            wanted = base64.b64encode(f"{SERVER_KEY}:".encode()).decode()
            if request.headers.get("authorization") != f"Basic {wanted}":
                return refused("401", "Access denied, please check client or server key", 401)
            return await inner(request)

        return answer

    async def open_page(self, request: Request) -> Response:
        body: Json = await request.json()
        self.bodies.append(body)
        details = body["transaction_details"]
        order = details["order_id"]
        if not isinstance(details["gross_amount"], int) or details["gross_amount"] <= 0:
            told = ["transaction_details.gross_amount must be a whole number above 0"]
            return JSONResponse({"error_messages": told}, 400)
        if order in self.orders:
            told = ["transaction_details.order_id sudah digunakan"]
            return JSONResponse({"error_messages": told}, 400)
        self.pages[order] = body
        token = f"page-{len(self.bodies)}"
        url = f"{self.url}/snap/v4/redirection/{token}"
        return JSONResponse({"token": token, "redirect_url": url}, 201)

    async def charge(self, request: Request) -> Response:
        body: Json = await request.json()
        self.bodies.append(body)
        repeat = request.headers.get("idempotency-key", "")
        if repeat in self.said:
            return JSONResponse(self.said[repeat])
        details, token = body["transaction_details"], body["credit_card"]["token_id"]
        order = details["order_id"]
        active = self.orders.get(order, {}).get("transaction_status")
        if active in ("capture", "settlement", "pending"):
            return refused("406", "order_id has been paid and utilized, please use another")
        if token not in CARDS:
            return refused("411", "Token id is missing, invalid, or timed out")
        code, status, fraud = CARDS[token]
        told = self.keep(
            order, details["gross_amount"], status, code=code, fraud=fraud, way="credit_card"
        )
        self.said[repeat] = told
        return JSONResponse(told)

    async def status(self, request: Request) -> Response:
        told = self.orders.get(request.path_params["order"])
        return refused("404", "Transaction doesn't exist.") if told is None else JSONResponse(told)

    async def cancel(self, request: Request) -> Response:
        order = request.path_params["order"]
        told = self.orders.get(order)
        if told is None:
            return refused("404", "Transaction doesn't exist.")
        if told["transaction_status"] not in ("pending", "authorize"):
            return refused("412", "Merchant cannot modify the status of the transaction")
        amount = int(told["gross_amount"].partition(".")[0])
        return JSONResponse(self.keep(order, amount, "cancel", way=told["payment_type"]))

    def keep(
        self,
        order: str,
        amount: int,
        status: str,
        *,
        code: str = "200",
        fraud: str = "accept",
        way: str = "bank_transfer",
    ) -> Json:
        """What becomes of an order; money that is taken is counted."""
        taken = status == "settlement" or (status == "capture" and fraud == "accept")
        was = self.orders.get(order, {}).get("transaction_status")
        if taken and was not in ("capture", "settlement"):
            self.collected[order] = self.collected.get(order, 0) + 1
        told = self.orders[order] = {
            "status_code": code,
            "status_message": f"midtrans says {status}",
            "transaction_id": f"tx-{order}",
            "order_id": order,
            "gross_amount": f"{amount}.00",
            "currency": "IDR",
            "payment_type": way,
            "transaction_time": "2026-11-22 18:00:00",
            "transaction_status": status,
            "fraud_status": fraud,
        }
        return told

    def choose(self, order: str, status: str = "pending", **more: str) -> Json:
        """What the payer on a page does."""
        amount = self.pages[order]["transaction_details"]["gross_amount"]
        code = {"pending": "201", "deny": "202", "expire": "407"}.get(status, "200")
        return self.keep(order, amount, status, **{"code": code, **more})

    def notice(self, order: str, server_key: str = SERVER_KEY, **changed: str) -> bytes:
        """What it posts of an order."""
        told = self.orders[order] | changed
        signed = told["order_id"] + told["status_code"] + told["gross_amount"] + server_key
        made = hashlib.sha512(signed.encode()).hexdigest()
        return msgspec.json.encode({"signature_key": made} | told)


def refused(code: str, message: str, status: int = 200) -> Response:
    """A refusal, whose code is in the body; HTTP says that all is well."""
    return JSONResponse({"status_code": code, "status_message": message, "id": "x"}, status)


def saying(content: object, status: int = 200) -> Instead:
    """Answer this, whatever was asked."""

    async def answer(request: Request) -> Response:
        if isinstance(content, bytes):
            return Response(content, status, media_type="text/html")
        return JSONResponse(content, status)

    return answer


async def redirecting(request: Request) -> Response:
    return RedirectResponse("/v2/elsewhere/status", 302)


@contextlib.asynccontextmanager
async def midtrans_server() -> AsyncIterator[MidtransServer]:
    """A server on a free port, for as long as a test runs."""
    server = MidtransServer()
    async with running(server.app()) as url:
        server.url = url
        try:
            yield server
        finally:
            server.released.set()
