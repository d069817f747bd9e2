"""`/sandbox/pay/...`: the page on which somebody pays at the sandbox, where no money moves.

Owns forms, pages and their words. A key is what leads to a page, and is all that is needed: there
is nobody signed in. A page needs no script and no file beside it; looking at one changes nothing.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from api.errors import Fault
from api.events import check_encoding, read_limited
from api.limits import NOTICE_BODY_BYTES_MAX
from api.paying.notices import Paying
from api.paying.port import Answer, Standing
from api.paying.sandbox import NAME, PAGES, Sandbox
from api.signing_in import FORM, HEADERS
from domain import money
from persistence.sandbox import Kept

KEY = re.compile(r"[A-Za-z0-9._~-]{1,100}")
#: By what a button sends, what it decides; None: nothing.
BUTTONS: Mapping[str, Standing | None] = {
    "pay": Standing.PAID,
    "decline": Standing.DECLINED,
    "leave": None,
}

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex">
<title>Sandbox payment</title>
<h1>Sandbox payment</h1>
<p><strong>Sandbox: no money moves.</strong></p>
<dl><dt>For</dt><dd>{description}</dd><dt>Amount</dt><dd>{amount}</dd></dl>
{body}
</html>
"""
CHOICES = """<form method="post">
<p><button name="do" value="pay">Pay</button>
<button name="do" value="decline">Decline</button>
<button name="do" value="leave">Leave it pending</button></p>
</form>"""
RESULTS: Mapping[Standing, str] = {
    Standing.PENDING: "It waits to be paid.",
    Standing.PAID: "It is paid.",
    Standing.DECLINED: "It was declined.",
    Standing.EXPIRED: "It has ended: nothing was paid.",
    Standing.TAKEN_BACK: "It was paid, and taken back.",
}


async def page(request: Request) -> Response:
    """What is to be paid, with the buttons that decide, or how it was decided."""
    box, kept = await _found(request)
    answer = await box.look(kept.payment_key)
    choices = CHOICES if answer.standing is Standing.PENDING else ""
    return _shown(kept, answer, choices)


async def decide(request: Request) -> Response:
    """Do what a button says, have the payment looked at, and show where it stands then."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != FORM:
        raise Fault("UNSUPPORTED_MEDIA_TYPE", f"send {FORM}", {"accept": FORM})
    check_encoding(request)
    body = await read_limited(request, NOTICE_BODY_BYTES_MAX)
    try:
        wanted = parse_qs(body.decode("ascii", "replace"), max_num_fields=10).get("do", [])
    except ValueError:  # more fields than any form of ours has
        wanted = []
    if len(wanted) != 1 or wanted[0] not in BUTTONS:
        raise Fault("BAD_REQUEST", f"send one field `do` with one of {', '.join(BUTTONS)}")
    box, kept = await _found(request)
    standing = BUTTONS[wanted[0]]
    if standing is None:
        answer = await box.look(kept.payment_key)
    else:
        answer = await box.decide(kept.payment_key, standing)
    return _shown(kept, answer, "")


async def _found(request: Request) -> tuple[Sandbox, Kept]:
    paying: Paying = request.app.state.core.engines.paying
    box = paying.providers.get(NAME)
    key = request.path_params["key"]
    kept = None
    if isinstance(box, Sandbox) and KEY.fullmatch(key):
        kept = await box.find(key)
    if not isinstance(box, Sandbox) or kept is None:
        raise Fault("NOT_FOUND", f"there is nothing to pay at {PAGES}/{key[:100]}")
    return box, kept


def _shown(kept: Kept, answer: Answer, choices: str) -> Response:
    body = f"<p>{RESULTS[answer.standing]}</p>\n{choices}{_back(kept.return_url)}"
    shown = PAGE.format(
        description=html.escape(kept.description),
        amount=html.escape(_amount(kept.total, kept.currency)),
        body=body,
    )
    return HTMLResponse(shown, headers=HEADERS)


def _back(url: str | None) -> str:
    # Another scheme would run what it says.
    if url is None or urlsplit(url).scheme not in ("http", "https"):
        return ""
    return f'<p><a href="{html.escape(url)}" rel="noreferrer">Back to where you came from</a></p>'


def _amount(total: int, currency: str) -> str:
    whole, dot, decimals = money.text(total).partition(".")
    return f"{currency} {int(whole):,}{dot}{decimals}"
