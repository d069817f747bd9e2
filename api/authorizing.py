"""`POST /v1/authorize`: may this be sent? One send, or a list of them, each answered for itself.

Owns the route's HTTP. 200 whenever the body has the announced shape, even if every send is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.answers import Answer, answer_of, refused
from api.core import Core
from api.errors import Fault, unavailable
from api.events import admitted
from api.limits import RATE_FACTS
from api.operations import authorize
from api.operations.authorize import SCOPE
from api.rounds import Overwhelmed
from api.sends import NotAskedError, Send, read_send, recipients_of

#: Sends that one request may ask for.
SENDS_MAX = 1_000

_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class Answers(msgspec.Struct):
    results: list[Answer]


async def authorizing(request: Request) -> Response:
    """Decide sends."""
    core: Core = request.app.state.core
    principal, spending, body = await admitted(request, SCOPE)
    sends, many = read_body(body, request.headers.get("content-type", ""))
    asked = [each for each in sends if isinstance(each, Send)]
    reached = sum(map(recipients_of, asked))
    await spending.charge(1 + reached // RATE_FACTS)
    engines = core.engines
    try:
        found = iter(
            await authorize.run(
                engines.desk, engines.directory, principal, asked, now=core.clock.now()
            )
        )
    except Overwhelmed as busy:
        raise unavailable(f"{busy}; ask again in a moment with the same keys") from None
    rules = core.catalogue.rules
    answers = [
        answer_of(next(found), rules.get) if isinstance(each, Send) else refused(each)
        for each in sends
    ]
    content = _encode(Answers(answers) if many else answers[0])
    return Response(content, media_type="application/json")


def read_body(body: bytes, content_type: str) -> tuple[Sequence[Send | NotAskedError], bool]:
    """The sends of a body and whether it is a list of them; a Fault where it is neither."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Fault(
            "UNSUPPORTED_MEDIA_TYPE",
            f"content type {kind or '(none)'!r} is not taken here; send application/json",
        )
    start = body.lstrip()[:1]
    if start == b"{":
        send = read_send(body)
        if isinstance(send, NotAskedError) and send.reason == "invalid_json":
            raise Fault("BAD_REQUEST", f"the body is not JSON: {send.message}")
        return [send], False
    if start != b"[":
        raise Fault("BAD_REQUEST", "the body is not a JSON object, nor a list of them")
    try:
        raws = _decode_list(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Fault("BAD_REQUEST", f"the body is not JSON: {error}") from None
    if not 0 < len(raws) <= SENDS_MAX:
        raise Fault("BAD_REQUEST", f"a list has 1 to {SENDS_MAX:,} sends; this one {len(raws):,}")
    return [read_send(bytes(raw)) for raw in raws], True
