"""`GET /v1/downloads/...`: what a signed link gives, as a file, in pages as they are read.

Owns the route's HTTP and the list of what there is to download. The link is the credential; who
may have one is for the operation that makes it. What has a tag is not sent to whoever has it: a
tag is of the bytes, so it holds whatever link they were had by.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import TypeAlias
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api import ids, links
from api.auditing import MEDIA_TYPES, Format, chunks
from api.charts.drawing import drawing, specification
from api.charts.worker import Form as Drawn
from api.core import Core
from api.documents import files
from api.documents.files import Form, file_name
from api.documents.press import press
from api.documents.statement import statement_csv
from api.errors import Fault
from api.limits import CHART_COST, DOWNLOAD_COST, DOWNLOAD_KNOWN_COST, LINK_SECONDS
from api.links import Link
from api.receipt_page import page
from api.reports import chart as charts
from api.reports import spec as specs
from domain.periods import SECOND, moment
from persistence import exports, invoices
from persistence.door import Door
from persistence.exports import State
from persistence.tenants import find_by_ids

HTML, ZIP = "text/html", "application/zip"
#: Of a page: it has its looks in it, and loads, runs and sends nothing.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox"
)
HEADERS = {"cache-control": "no-store", "referrer-policy": "no-referrer"}
#: Of what has a tag: a browser may keep it and asks here before it shows it again, which a link
#: that has ended refuses; nobody on the way keeps it.
TAGGED = {"cache-control": "private, no-cache", "accept-ranges": "none"}


@dataclass(frozen=True, slots=True)
class Download:
    """A file on its way."""

    media_type: str
    chunks: AsyncIterator[bytes]
    page: bool = False  #: shown by a browser, where a file is kept
    name: str | None = None  #: None: as the link has it
    tag: str | None = None  #: of its bytes, in its quotes; None: nobody knows them before
    changed_at: int | None = None
    size: int | None = None  #: in bytes, where they are counted
    short: bool = field(default=False, kw_only=True)  #: to be sent at once, and counted then
    cost: int = field(default=DOWNLOAD_COST, kw_only=True)  #: of all of it, before it is begun


Source: TypeAlias = Callable[[Door, Link], Awaitable[Download]]


async def audit(door: Door, link: Link) -> Download:
    """Who changed what."""
    form = Format(link.format)
    rows = chunks(door, link.tenant_id, link.since, link.until, form)
    return Download(MEDIA_TYPES[form], rows)


async def receipt(door: Door, link: Link) -> Download:
    """What was paid, as a page to be printed."""
    assert link.tenant_id is not None
    return Download(HTML, page(door, link.tenant_id, link.of), page=True)


async def invoice(door: Door, link: Link) -> Download:
    """An invoice or a credit note; a draft as it is now."""
    number, form, found = ids.decode("inv", link.of), Form(link.format), None
    if number is not None and link.tenant_id is not None:
        async with door.tenant_tx(link.tenant_id) as connection:
            found = await invoices.find(connection, link.tenant_id, number)
    if found is None or not files.is_there(found.invoice, form):
        raise Fault("GONE", "this document is not here any more: ask for a new link")
    said, invoice_id = found.invoice, found.invoice_id

    async def made() -> AsyncIterator[bytes]:
        yield await press().file(invoice_id, said, form)

    return Download(
        files.MEDIA_TYPES[form], made(), name=file_name(said, link.of, form),
        tag=await press().tag(invoice_id, said, form), changed_at=found.issued_at, short=True,
    )  # fmt: skip


async def statement(door: Door, link: Link) -> Download:
    """What moved an account; it grows, so it has no tag."""
    assert link.tenant_id is not None
    told = statement_csv(door, link.tenant_id, link.since, link.until)
    return Download(MEDIA_TYPES[Format.CSV], told)


async def export(door: Door, link: Link) -> Download:
    """Many documents in one file, or a report, while that is kept."""
    number, found = ids.decode("exp", link.of), None
    if number is not None and link.tenant_id is not None:
        async with door.tenant_tx(link.tenant_id) as connection:
            found = await exports.find(connection, link.tenant_id, number)
    if found is None or found.state is not State.DONE:
        raise Fault("GONE", "this file is not here any more: make a new export")
    media_type = ZIP if found.spec is None else specs.MEDIA_TYPES[specs.read(found.spec).format]
    return Download(
        media_type, exports.parts(door, found.tenant_id, found.export_id),
        tag=f'"{found.progress.digest}-{found.size}"', changed_at=found.finished_at,
        size=found.size,
    )  # fmt: skip


async def chart(door: Door, link: Link) -> Download:
    """Usage as a picture: as it was to be seen when the link was made, with figures of now.

    It has no tag: to know whether it is the same is most of the work there is with it.
    """
    assert link.tenant_id is not None
    spec, form = specs.read(link.of), Drawn(link.format)
    tenant = (await find_by_ids(door, [link.tenant_id])).get(link.tenant_id)
    if tenant is None:
        raise Fault("GONE", "whose usage this shows is not here any more")

    async def made() -> AsyncIterator[bytes]:
        with drawing().place(tenant.tenant_id):
            shown = await charts.chart(door, tenant, spec, link.expires_at - LINK_SECONDS * SECOND)
            told = await asyncio.to_thread(specification, shown, charts.theme(spec))
            drawn = await drawing().draw(told, form)
        yield drawn

    return Download(specs.MEDIA_TYPES[spec.format], made(), short=True, cost=CHART_COST)


#: By the object a link names.
SOURCES: Mapping[str, Source] = {
    "audit": audit,
    "receipt": receipt,
    "invoice": invoice,
    "statement": statement,
    "export": export,
    "chart": chart,
}


async def download(request: Request) -> Response:
    """The file of a link; 403 for one that was altered, 410 for one that has ended."""
    core: Core = request.app.state.core
    address = None if request.client is None else request.client.host
    spending = request.state.spending = core.gate.spending(None, address)
    try:
        link = links.read(core.signing, request.path_params["link"], core.clock.now())
        source = SOURCES.get(link.object)
        if source is None:
            raise Fault("FORBIDDEN", links.ALTERED)  # signed by a release that had it
    except Fault:
        await spending.charge(DOWNLOAD_COST)
        raise
    if link.tenant_id is not None:
        # Many people of a tenant share an address; whoever has a link of it spends what it has.
        spending = request.state.spending = core.gate.spending_of_link(link.tenant_id)
    await spending.charge(DOWNLOAD_KNOWN_COST)
    found = await source(core.door, link)
    headers = headers_of(replace(found, name=found.name or link.name))
    if known(request, found):
        return Response(status_code=304, headers=headers)
    if request.method == "HEAD":
        return _bare(headers, found)
    await spending.charge(found.cost - DOWNLOAD_KNOWN_COST)
    # What stands in the way of the first page is told by a status, while there is none yet.
    first = await anext(found.chunks, b"")
    if found.short:
        return Response(first, headers=headers, media_type=found.media_type)
    if found.size is not None:
        headers["content-length"] = str(found.size)
    return StreamingResponse(
        _all(first, found.chunks), headers=headers, media_type=found.media_type
    )


def headers_of(found: Download) -> dict[str, str]:
    """What an answer with the file says of it, and one without."""
    disposition = "inline" if found.page else "attachment"
    headers = {**HEADERS, "content-disposition": f"{disposition}; {named(found.name or '')}"}
    if found.page:
        headers["content-security-policy"] = POLICY
    if found.tag is not None:
        headers |= TAGGED
        headers["etag"] = found.tag
    if found.changed_at is not None:
        headers["last-modified"] = format_datetime(_second(found.changed_at), usegmt=True)
    return headers


def named(name: str) -> str:
    """A file's name as a header tells it: in ASCII, and beside it as it is (RFC 6266, RFC 8187)."""
    plain = "".join(each if 32 <= ord(each) < 127 and each not in '"\\%' else "_" for each in name)
    told = f'filename="{plain}"'
    if plain == name:
        return told
    return f"{told}; filename*=UTF-8''{quote(name, safe='', errors='replace')}"


def known(request: Request, found: Download) -> bool:
    """Whether whoever asks has these bytes: by their tag or, where none was sent, by its date."""
    tags = ",".join(request.headers.getlist("if-none-match"))
    if tags:
        # Whether a copy is one of ours is asked weakly (RFC 9110, 13.1.2).
        sent = {each.strip().removeprefix("W/") for each in tags.split(",")}
        return found.tag is not None and (found.tag in sent or "*" in sent)
    since = request.headers.get("if-modified-since")
    if since is None or found.tag is None or found.changed_at is None:
        return False
    try:
        given = parsedate_to_datetime(since)
        return given.tzinfo is not None and _second(found.changed_at) <= given
    except (ValueError, OverflowError):
        return False


def _second(at: int) -> datetime:
    return moment(at - at % SECOND).astimezone(UTC)


def _bare(headers: dict[str, str], found: Download) -> Response:
    """An answer to HEAD: of a file that nobody has made, so that its length may not be known."""
    response = Response(headers=headers, media_type=found.media_type)
    if found.size is None:
        del response.headers["content-length"]
    else:
        response.headers["content-length"] = str(found.size)
    return response


async def _all(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk
