"""Signing in over HTTP: the page a link leads to, the exchange of its code, our public keys.

Owns forms, pages and their headers. A GET changes nothing, so whoever looks at a link in passing
(mail scanners, previews) uses none up; nothing here runs a script or is kept by a cache.
"""

from __future__ import annotations

import html
from urllib.parse import parse_qs

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from api import ids
from api.core import Core
from api.errors import Fault, unauthenticated, unavailable
from api.events import check_encoding, read_limited
from api.limits import SIGN_IN_BODY_BYTES_MAX
from api.operations import sign_in
from api.operations.sign_in import CODE, SignedIn
from domain.periods import iso
from domain.problems import Problem
from persistence.audit import Actor, ActorKind

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"

#: Beside what all answers have: a page of one form, and nothing that runs.
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
}
#: Seconds for which others may keep our public keys.
KEYS_SECONDS = 60

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Sign in to Kuota</title>
<h1>Sign in to Kuota</h1>
{body}
</html>
"""
ASK = """{words}<form method="post" action="/v1/sign-in">
<p><label>Code <input name="code" value="{code}" required autocomplete="off" size="40"></label>
<button>Sign in</button></p>
</form>"""
SIGNED_IN = """<p>You are signed in until {expires_at}. Send this token as
<code>Authorization: Bearer TOKEN</code>; it is shown this once.</p>
<p><textarea readonly rows="8" cols="80">{token}</textarea></p>"""


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """The body of an exchange in JSON."""

    code: str


async def page(request: Request) -> Response:
    """A form with the link's code in it; signing in is what its button does."""
    code = request.query_params.get("code", "")
    return shown(ASK.format(words="", code=code if CODE.fullmatch(code) else ""))


async def exchange(request: Request) -> Response:
    """A token for a code: JSON for JSON, and a page for a form."""
    core: Core = request.app.state.core
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in (FORM, JSON):
        raise Fault("UNSUPPORTED_MEDIA_TYPE", f"send {JSON} or {FORM}", {"accept": JSON})
    if not core.ready:
        raise unavailable()
    check_encoding(request)
    body = await read_limited(request, SIGN_IN_BODY_BYTES_MAX)
    code = code_of(body, media_type)
    request_id = request.state.request_id
    address = None if request.client is None else request.client.host

    core.gate.check_tries(address)

    def actor(user_id: int) -> Actor:
        name = f"user {ids.encode('usr', user_id)}"
        return Actor(name=name, kind=ActorKind.PERSON, address=address, request_id=request_id)

    try:
        signed_in = await sign_in.run(
            core.door, core.issuer, code, actor=actor, now=core.clock.now()
        )
    except Problem as problem:
        await core.gate.count_wrong(address)
        if media_type == FORM:
            words = f"<p><strong>{html.escape(problem.message)}</strong></p>"
            return shown(ASK.format(words=words, code=""), 401)
        raise unauthenticated(problem.message) from None
    if media_type == FORM:
        return shown(SIGNED_IN.format(**words_of(signed_in)))
    told = words_of(signed_in)
    return JSONResponse({"token": told["token"], "expiresAt": told["expires_at"]}, headers=HEADERS)


async def keys(request: Request) -> Response:
    """The public keys of the built-in issuer, for whoever verifies its tokens too."""
    core: Core = request.app.state.core
    if not core.ready:
        raise unavailable()
    return JSONResponse(
        await core.issuer.published(), headers={"cache-control": f"public, max-age={KEYS_SECONDS}"}
    )


def code_of(body: bytes, media_type: str) -> str:
    """The code that was sent; BAD_REQUEST for a body that has none."""
    if media_type == JSON:
        try:
            return msgspec.json.decode(body, type=Asked).code
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Fault("BAD_REQUEST", 'send {"code": "..."} with the code of the link') from None
    try:
        codes = parse_qs(body.decode("ascii", "replace"), max_num_fields=10).get("code", [])
    except ValueError:  # more fields than any form of ours has
        codes = []
    if len(codes) != 1:
        raise Fault("BAD_REQUEST", "send one field `code` with the code of the link")
    return codes[0].strip()


def shown(body: str, status: int = 200) -> Response:
    return HTMLResponse(PAGE.format(body=body), status, HEADERS)


def words_of(signed_in: SignedIn) -> dict[str, str]:
    return {"token": signed_in.token, "expires_at": iso(signed_in.expires_at)}
