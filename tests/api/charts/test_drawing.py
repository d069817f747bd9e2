"""Pictures as files: of four kinds, the same ones for the same chart, by a process that may die."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress

import pytest

from api.charts import drawing as module
from api.charts.drawing import (
    CHARTS_OF_TENANT_MAX,
    CHARTS_WAITING_MAX,
    Drawing,
    draw,
    drawing,
    specification,
)
from api.charts.look import Theme
from api.charts.worker import Form, picture
from api.faults import Fault
from tests.api.charts.made import made

BEGINS = {Form.PNG: b"\x89PNG", Form.JPEG: b"\xff\xd8\xff", Form.SVG: b"<svg", Form.PDF: b"%PDF-"}
CHART = made([((), [5, 7, 3])])
SPEC = specification(CHART, Theme.LIGHT)


@pytest.fixture(scope="module")
async def pen() -> AsyncIterator[Drawing]:
    """One for all who are content with a process that has drawn before; it takes long to begin."""
    pen = Drawing()
    yield pen
    await asyncio.to_thread(pen.close)


@pytest.fixture
async def own() -> AsyncIterator[Drawing]:
    """One of a test's own, which has not begun its process."""
    pen = Drawing()
    yield pen
    await asyncio.to_thread(pen.close)


@pytest.fixture
def _ends() -> Iterator[None]:
    yield
    drawing().close()


@pytest.mark.usefixtures("_ends")
async def test_each_form_is_a_file_of_its_kind() -> None:
    for form in Form:
        found = await draw(CHART, form, Theme.DARK)
        assert found.startswith(BEGINS[form]), form


async def test_the_same_chart_gives_the_same_bytes(pen: Drawing) -> None:
    """Whichever process draws it."""
    before = {form: await pen.draw(SPEC, form) for form in Form}
    pen.close()
    for form in (Form.PDF, Form.PDF, *Form):
        assert await pen.draw(SPEC, form) == before[form], form


async def test_a_picture_says_in_words_what_it_shows(pen: Drawing) -> None:
    svg = (await pen.draw(SPEC, Form.SVG)).decode()
    assert 'role="img"><title>Messages delivered. Kopi Senja. Nov 1' in svg
    assert "Noto Sans, sans-serif" in svg


async def test_nothing_is_fetched(pen: Drawing) -> None:
    """A specification that names data elsewhere is refused, whoever wrote it."""
    asked = b'{"data": {"url": "http://127.0.0.1:9/a.csv"}, "mark": "point", "encoding": {}}'
    with pytest.raises(RuntimeError, match="not allowed"):
        await pen.draw(asked, Form.PNG)
    assert (await pen.draw(SPEC, Form.SVG)).startswith(b"<svg")


async def test_a_process_that_died_is_begun_anew(pen: Drawing) -> None:
    first = await pen.draw(SPEC, Form.SVG)
    before = pen.process_id
    assert before is not None
    os.kill(before, signal.SIGKILL)

    assert await pen.draw(SPEC, Form.SVG) == first
    assert pen.process_id not in (None, before)


async def test_one_that_cannot_be_begun_is_told_so() -> None:
    """No memory for it, no room for its pipes: nothing that is wrong with the chart."""
    pen = Drawing(("/nowhere/python",))
    for _ in range(2):
        with pytest.raises(Fault, match="could not be drawn") as refused:
            await pen.draw(SPEC, Form.PNG)
        assert refused.value.code == "SERVICE_UNAVAILABLE"


async def test_one_that_hangs_is_killed() -> None:
    """Whoever waits is told to try again, and the next one has a new process."""
    pen = Drawing((sys.executable, "-c", "import time; time.sleep(60)"), seconds=0.3)
    with pytest.raises(Fault, match="could not be drawn"):
        await pen.draw(SPEC, Form.PNG)
    assert pen.process_id is None


async def test_a_process_ends_when_nobody_wants_a_chart(
    pen: Drawing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHART_IDLE_SECONDS", 0.05)
    await pen.draw(SPEC, Form.SVG)
    while pen.process_id is not None:  # noqa: ASYNC110 - what ends it is no task
        await asyncio.sleep(0.01)


async def test_a_process_does_not_draw_for_ever(
    pen: Drawing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHART_DRAWINGS_MAX", 1)
    await pen.draw(SPEC, Form.SVG)
    assert pen.process_id is None


async def test_it_ends_with_the_process_it_is_of(own: Drawing) -> None:
    """Its input ends, and with it everything: nobody has to look for it."""
    await own.draw(SPEC, Form.SVG)
    process = own._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    assert await asyncio.to_thread(process.wait) == 0


async def test_too_many_at_once_are_told_to_come_again(pen: Drawing) -> None:
    """Who looks at a page does not wait long, and one tenant's pages leave room for others'."""
    with ExitStack() as places:
        for _ in range(CHARTS_OF_TENANT_MAX):
            places.enter_context(pen.place(1))
        for tenant_id in range(2, CHARTS_WAITING_MAX - CHARTS_OF_TENANT_MAX + 2):
            with pytest.raises(Fault, match="of this tenant") as refused, pen.place(1):
                pass
            assert refused.value.code == "SERVICE_UNAVAILABLE"
            places.enter_context(pen.place(tenant_id))
        with pytest.raises(Fault, match="many charts"), pen.place(100):
            pass
        assert (await pen.draw(SPEC, Form.SVG)).startswith(b"<svg"), "a report waits"
    with pen.place(1):
        pass
    assert not pen.waiting


async def test_the_process_is_told_no_secrets(
    own: Drawing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUOTA_SECRET", "of nobody else")
    await own.draw(SPEC, Form.SVG)
    with open(f"/proc/{own.process_id}/environ", "rb") as file:  # noqa: ASYNC230 - it is no file
        assert b"KUOTA" not in file.read()


async def test_the_loop_is_free_while_it_draws(own: Drawing) -> None:
    """Neither the specification nor the picture is made in the thread of the loop."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.001)

    counting = asyncio.create_task(count())
    await own.draw(SPEC, Form.PNG)
    counting.cancel()
    with suppress(asyncio.CancelledError):
        await counting
    assert turns > 10


def test_a_picture_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r".+"):
        picture("{}", Form.SVG)
