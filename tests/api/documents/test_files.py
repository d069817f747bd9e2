"""Files of documents: what they are called on any system, and what tells one from another."""

from __future__ import annotations

import asyncio
import re
import threading
from dataclasses import replace

import pytest

from api.documents import files
from api.documents.files import Form, file_name, made, safe, tag
from api.documents.press import Press
from api.faults import Fault
from domain.invoices import Invoice
from domain.problems import Problem
from tests.api.documents.invoices import month

STRANGE = [
    "..", "", ".", "a/b", "a\\b", "INV:2026", "x" * 400, "名" * 200, "\u202egnp.exe", "a\r\nb: c",
    'a"b', "\ud800", "🧾" * 80, "CON/..", " x ", "%00", "a\0b", "\u200f\u2066", "ñ;filename=x",
]  # fmt: skip


@pytest.mark.parametrize("text", STRANGE)
def test_a_name_is_one_that_every_system_takes(text: str) -> None:
    name = safe(text)
    assert len(name.encode()) <= 160
    assert not re.search(r'[\x00-\x1f\x7f"*/:<>?\\|\u200f\u202e\u2066\ud800]', name)
    assert name == name.strip(" .") or text == ""


def test_different_numbers_have_different_names() -> None:
    assert len({safe(text) for text in STRANGE}) == len(STRANGE)
    invoice = month()
    assert file_name(invoice, "x", Form.PDF) == "INV-2026-000001.pdf"
    assert file_name(replace(invoice, number=None), "inv_0", Form.CSV) == "draft-inv_0.csv"


def test_a_tag_is_of_all_that_the_bytes_are_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    invoice = month()
    other = replace(invoice, note="Another account.")
    tags = [tag(*of) for of in ((1, invoice, Form.PDF), (1, invoice, Form.CSV),
                                (2, invoice, Form.PDF), (1, other, Form.PDF))]  # fmt: skip
    monkeypatch.setattr(files, "_printer", lambda: "another release")
    tags.append(tag(1, invoice, Form.PDF))
    assert len(set(tags)) == len(tags)
    assert all(re.fullmatch('"[0-9a-f]{32}"', each) for each in tags)


def test_what_there_is_not_is_not_made() -> None:
    assert not files.is_there(month(), Form.XML)
    with pytest.raises(Problem):
        made(month(), Form.XML)


async def test_the_press_keeps_the_latest_within_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes of one kept file are those of one made anew; a large one is never kept."""
    size = len(made(month(), Form.CSV))
    monkeypatch.setattr("api.documents.press.FILES_KEPT_BYTES_MAX", 2 * size)
    press = Press()
    for number in (1, 2, 1, 3, 1):
        assert await press.file(number, month(), Form.CSV) == made(month(), Form.CSV)
    assert len(press._kept) == 2
    assert list(press._kept)[-1] == tag(1, month(), Form.CSV)
    monkeypatch.setattr("api.documents.press.FILE_KEPT_BYTES_MAX", size - 1)
    await press.file(4, month(), Form.CSV)
    assert tag(4, month(), Form.CSV) not in press._kept


async def test_who_asks_at_the_same_time_shares_a_print(monkeypatch: pytest.MonkeyPatch) -> None:
    """And whoever goes away does not end it; a failure is everybody's, and not kept."""
    goes, both, prints = threading.Event(), asyncio.Event(), []
    loop = asyncio.get_running_loop()

    def slow(invoice: Invoice, form: Form) -> bytes:
        prints.append(form)
        if len(prints) == 2:
            loop.call_soon_threadsafe(both.set)
        goes.wait()
        return made(invoice, form)

    monkeypatch.setattr("api.documents.press.made", slow)
    monkeypatch.setattr("api.documents.press.PRINTS_WAITING_MAX", 2)
    press = Press()
    asked = [asyncio.create_task(press.file(1, month(), Form.CSV)) for _ in range(4)]
    other = asyncio.create_task(press.file(2, month(), Form.XML))
    await both.wait()
    with pytest.raises(Fault) as refused:
        await press.file(3, month(), Form.CSV)
    assert (refused.value.status, "retry-after" in refused.value.headers) == (503, True)
    patient = asyncio.create_task(press.file(3, month(), Form.CSV, patient=True))
    asked[0].cancel()
    goes.set()
    assert {await each for each in asked[1:]} == {made(month(), Form.CSV)}
    assert await patient == made(month(), Form.CSV)
    with pytest.raises(Problem):
        await other
    assert sorted(prints) == [Form.CSV, Form.CSV, Form.XML]
    assert press._running == {}


def test_a_printer_that_gives_up_is_an_error_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not written in Python ends with what is no `Exception`."""

    class Panic(BaseException):
        pass

    def panics(invoice: Invoice) -> bytes:
        raise Panic("index out of bounds")

    monkeypatch.setattr(files, "pdf", panics)
    with pytest.raises(RuntimeError, match="index out of bounds"):
        made(month(), Form.PDF)
