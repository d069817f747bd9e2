"""Documents over HTTP: by a link alone, as what they are, and not again for who has them (IN-4)."""

from __future__ import annotations

import csv
import io
import random
import re
from dataclasses import replace
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import unquote

import httpx2
import pytest
from starlette.applications import Starlette

from api import ids
from api.context import Context
from api.core import Core
from api.documents.files import Form, made
from api.documents.lines import lines_csv
from api.downloads import named
from api.links import path_of
from api.schema.download import FileFormat, invoice_link, statement_of
from domain.periods import SECOND
from domain.statements import EntryKind
from persistence import invoices, journal
from persistence.invoices import InvoiceRecord
from persistence.tenants import find_by_keys
from tests.api.conftest import Ask
from tests.api.documents.invoices import buyer, line, month
from tests.api.filing import JAKARTA, drafted, filed
from tests.domain.spine import UNIT

#: 2026-11-20 12:00:00.5 in Jakarta.
NOON = 1_795_150_800_500_000


@pytest.fixture
def core(app: Starlette) -> Core:
    found: Core = app.state.core
    return found


@pytest.fixture
async def one(tenants: list[str], ask: Ask) -> int:
    answer = await ask('{ one: tenant(key: "one") { id } }')
    found = ids.decode("tnt", answer["data"]["one"]["id"])
    assert found is not None
    return found


async def link(core: Core, record: InvoiceRecord, form: FileFormat) -> str | None:
    """The path of a document's link, as who may see it gets it."""
    context = SimpleNamespace(signing=core.signing, public_url="", now=core.clock.now())
    found = await invoice_link(cast(Context, context), record, form)
    return None if found is None else found.url


async def path(core: Core, record: InvoiceRecord, form: Any = FileFormat.PDF) -> str:
    found = await link(core, record, form)
    assert found is not None
    return found


async def test_a_document_is_what_it_says_it_is(
    core: Core, one: int, client: httpx2.AsyncClient
) -> None:
    record = await filed(core.door, one, NOON)
    pdf = await client.get(await path(core, record))
    lines = await client.get(await path(core, record, FileFormat.CSV))
    assert (pdf.status_code, pdf.content) == (200, made(record.invoice, Form.PDF))
    assert lines.content == lines_csv(record.invoice)
    names = (
        "content-type", "content-disposition", "cache-control", "x-content-type-options",
        "referrer-policy", "last-modified", "accept-ranges", "content-length",
    )  # fmt: skip
    assert {name: pdf.headers[name] for name in names} == {
        "content-type": "application/pdf",
        "content-disposition": 'attachment; filename="INV-2026-000001.pdf"',
        "cache-control": "private, no-cache",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "last-modified": "Fri, 20 Nov 2026 05:00:00 GMT",
        "accept-ranges": "none",
        "content-length": str(len(pdf.content)),
    }
    assert lines.headers["content-type"] == "text/csv; charset=utf-8"
    assert await link(core, record, FileFormat.XML) is None


async def test_a_draft_says_so_and_a_document_that_is_gone_is_gone(
    core: Core, one: int, client: httpx2.AsyncClient
) -> None:
    record = await drafted(core.door, one, NOON)
    named = ids.encode("inv", record.invoice_id)
    given = await path(core, record)
    answer = await client.get(given)
    assert answer.headers["content-disposition"] == f'attachment; filename="draft-{named}.pdf"'
    assert "last-modified" not in answer.headers
    async with core.door.tenant_tx(one) as connection:
        done = await invoices.issue(
            connection, record, record.invoice, series="INV", terms_days=1,
            zone=JAKARTA, at=NOON,
        )  # fmt: skip
    # The same link to the same object, which has a number since.
    issued = await client.get(given, headers={"if-none-match": answer.headers["etag"]})
    assert issued.status_code == 200
    assert f'filename="{done.number}.pdf"' in issued.headers["content-disposition"]
    other = await drafted(core.door, one, NOON)
    given = await path(core, other)
    async with core.door.tenant_tx(one) as connection:
        assert await invoices.discard(connection, one, other.invoice_id)
    gone = await client.get(given)
    assert (gone.status_code, gone.json()["code"]) == (410, "GONE")


async def test_who_has_the_bytes_is_not_sent_them_again(
    core: Core, one: int, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By any link of the same document, and without a print."""
    record = await filed(core.door, one, NOON)
    first = await client.get(await path(core, record))
    tag, changed = first.headers["etag"], first.headers["last-modified"]

    def printed(*of: object) -> bytes:
        raise AssertionError("it was printed")

    core.clock.offset += SECOND
    other = await path(core, record)
    monkeypatch.setattr("api.documents.press.Press.file", printed)
    for sent in (
        {"if-none-match": tag},
        {"if-none-match": f'"x", W/{tag}'},
        {"if-none-match": "*"},
        {"if-modified-since": changed},
        {"if-modified-since": formatdate(4e9, usegmt=True)},
        {"if-none-match": tag, "if-modified-since": formatdate(0, usegmt=True)},
    ):
        same = await client.get(other, headers=sent)
        assert (same.status_code, same.content) == (304, b""), sent
        assert same.headers["etag"] == tag
        assert same.headers["cache-control"] == "private, no-cache"
        assert "content-length" not in same.headers
    monkeypatch.undo()
    for sent in (
        {"if-none-match": '"another"', "if-modified-since": changed},
        {"if-none-match": tag[:-2]},
        {"if-modified-since": formatdate(0, usegmt=True)},
        {"if-modified-since": "yesterday"},
        {"if-modified-since": "Fri, 99 Nov 99999 99:99:99 GMT"},
    ):
        again = await client.get(other, headers=sent)
        assert (again.status_code, again.content) == (200, first.content), sent
    lines = await client.get(
        await path(core, record, FileFormat.CSV), headers={"if-none-match": tag}
    )
    assert lines.status_code == 200


async def test_what_is_not_sent_again_costs_little(
    core: Core, one: int, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a limit that one file spends."""
    monkeypatch.setattr(core.gate, "_limit", 150)
    now = core.gate.rates._now()
    monkeypatch.setattr(core.gate.rates, "_now", lambda: now)
    record = await filed(core.door, one, NOON)
    first = await client.get(await path(core, record))
    assert first.status_code == 200
    known = {"if-none-match": first.headers["etag"]}
    for sent, status in ((known, 304), ({}, 429), (known, 304)):
        assert (await client.get(await path(core, record), headers=sent)).status_code == status


async def test_head_is_asked_without_a_print(
    core: Core, one: int, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = await filed(core.door, one, NOON)
    monkeypatch.setattr("api.documents.press.Press.file", lambda *of: 1 / 0)
    answer = await client.head(await path(core, record, FileFormat.PDF))
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["etag"].startswith('"')
    assert "content-length" not in answer.headers
    same = await client.head(
        await path(core, record), headers={"if-none-match": answer.headers["etag"]}
    )
    assert same.status_code == 304


async def test_a_link_gives_its_document_for_five_minutes_and_no_other(
    core: Core, one: int, client: httpx2.AsyncClient, ask: Ask
) -> None:
    """Nor the same number of another tenant's, whoever signs it."""
    record = await filed(core.door, one, NOON)
    given = await path(core, record)
    body, _, signature = given.rpartition("/")[2].partition(".")
    assert (await client.get(f"/v1/downloads/{body}x.{signature}")).status_code == 403
    two = (await ask('{ tenant(key: "two") { id } }'))["data"]["tenant"]["id"]
    number = ids.decode("tnt", two)
    assert number is not None
    strange = await path(core, replace(record, tenant_id=number))
    answer = await client.get(strange, headers={"if-none-match": "*"})
    assert (answer.status_code, answer.json()["code"]) == (410, "GONE")
    core.clock.offset += 300 * SECOND
    late = await client.get(given, headers={"if-none-match": "*"})
    assert (late.status_code, late.json()["code"]) == (410, "GONE")


SCRIPTS = [
    "Πελάτης", "Заказчик", "مشتري", "ลูกค้า", "顧客", "고객", "ग्राहक", "🧾🇮🇩", "\u202egnp",
    "a\u0301\u0323", 'q"uo\\te', "%0d%0a", "<b>", "#set page()", "\ufeffx", "e" * 300,
]  # fmt: skip


async def test_no_name_is_an_error(core: Core, one: int, client: httpx2.AsyncClient) -> None:
    """Numbers, names and notes in any script: each document comes, and is called as its link is."""
    random_letters = random.Random(7)
    names = SCRIPTS + [
        "".join(chr(random_letters.choice((*range(1, 0xD800), *range(0xE000, 0x11000))))
                for _ in range(20))
        for _ in range(12)
    ]  # fmt: skip
    for place, name in enumerate(names):
        of = replace(
            month(), buyer=replace(buyer(name), lines=(name,), key=name), note=name,
            lines=(line(name, UNIT, unit=name),),
        )  # fmt: skip
        record = await filed(core.door, one, NOON, of, series=f"{name[:40]}{place}")
        for form in (FileFormat.PDF, FileFormat.CSV):
            context = SimpleNamespace(signing=core.signing, public_url="", now=core.clock.now())
            found = await invoice_link(cast(Context, context), record, form)
            assert found is not None
            answer = await client.get(found.url)
            assert answer.status_code == 200, (name, answer.text)
            told = answer.headers["content-disposition"]
            assert re.fullmatch(r"attachment; filename=\"[ -~]*\"(; filename\*=UTF-8''\S+)?", told)
            said = told.partition("filename*=UTF-8''")[2]
            assert (unquote(said) if said else told.split('"')[1]) == found.name


def test_names_in_a_header() -> None:
    """RFC 6266 and RFC 8187: what has no ASCII stands beside an ASCII one."""
    assert named("INV-1.pdf") == 'filename="INV-1.pdf"'
    assert named("名.pdf") == "filename=\"_.pdf\"; filename*=UTF-8''%E5%90%8D.pdf"
    assert named('a"b\r\nx.pdf') == "filename=\"a_b__x.pdf\"; filename*=UTF-8''a%22b%0D%0Ax.pdf"


async def test_a_statement_is_a_table_of_its_days_and_its_tenant(
    core: Core, one: int, client: httpx2.AsyncClient, tenants: list[str]
) -> None:
    """By a link of its own; it grows, so nobody is told that it is the same."""
    found = await find_by_keys(core.door, tenants)
    record = await filed(core.door, one, NOON)
    async with core.door.tenant_tx(one) as connection:
        for at in (NOON - 86_400 * SECOND, NOON, NOON + 86_400 * SECOND):
            await journal.enter(
                connection, one, EntryKind.INVOICE, record.number, journal.of_invoice(
                    record.invoice
                ), at=at,
            )  # fmt: skip
    today = JAKARTA.date(NOON)
    given = statement_of(found["one"], today, today, now=core.clock.now())
    assert given.name == "statement-one-2026-11-20-2026-11-20.csv"
    answer = await client.get(path_of(core.signing, given))
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["kind"], row["balance"]) for row in rows] == [
        ("opening", "5231293"), ("invoice", "10462586"), ("closing", "10462586"),
    ]  # fmt: skip
    other = statement_of(found["two"], today, today, now=core.clock.now())
    strange = await client.get(path_of(core.signing, other))
    assert [row["balance"] for row in csv.DictReader(io.StringIO(strange.text))] == ["0", "0"]
