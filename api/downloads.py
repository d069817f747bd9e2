"""`GET /v1/downloads/...`: what a signed link gives, as a file, in pages as they are read.

Owns the route's HTTP and the list of what there is to download. The link is the credential; who
may have one is for the operation that makes it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api import links
from api.auditing import MEDIA_TYPES, Format, chunks
from api.core import Core
from api.errors import Fault
from api.limits import DOWNLOAD_COST
from api.links import Link
from api.receipt_page import page
from persistence.door import Door

HTML = "text/html"
#: Of a page: it has its looks in it, and loads, runs and sends nothing.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox"
)
HEADERS = {"cache-control": "no-store", "referrer-policy": "no-referrer"}


@dataclass(frozen=True, slots=True)
class Download:
    """A file on its way."""

    media_type: str
    chunks: AsyncIterator[bytes]
    page: bool = False  #: shown by a browser, where a file is kept


Source: TypeAlias = Callable[[Door, Link], Download]


def audit(door: Door, link: Link) -> Download:
    """Who changed what."""
    form = Format(link.format)
    rows = chunks(door, link.tenant_id, link.since, link.until, form)
    return Download(MEDIA_TYPES[form], rows)


def receipt(door: Door, link: Link) -> Download:
    """What was paid, as a page to be printed."""
    assert link.tenant_id is not None
    return Download(HTML, page(door, link.tenant_id, link.of), page=True)


#: By the object a link names.
SOURCES: Mapping[str, Source] = {"audit": audit, "receipt": receipt}


async def download(request: Request) -> Response:
    """The file of a link; 403 for one that was altered, 410 for one that has ended."""
    core: Core = request.app.state.core
    address = None if request.client is None else request.client.host
    spending = request.state.spending = core.gate.spending(None, address)
    await spending.charge(DOWNLOAD_COST)
    link = links.read(core.signing, request.path_params["link"], core.clock.now())
    source = SOURCES.get(link.object)
    if source is None:
        raise Fault("FORBIDDEN", links.ALTERED)  # signed by a release that had it
    found = source(core.door, link)
    disposition = "inline" if found.page else "attachment"
    headers = {**HEADERS, "content-disposition": f'{disposition}; filename="{link.name}"'}
    if found.page:
        headers["content-security-policy"] = POLICY
    if request.method == "HEAD":
        return Response(headers=headers, media_type=found.media_type)
    # What stands in the way of the first page is told by a status, while there is none yet.
    first = await anext(found.chunks, b"")
    return StreamingResponse(
        _all(first, found.chunks), headers=headers, media_type=found.media_type
    )


async def _all(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk
