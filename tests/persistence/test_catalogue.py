"""The catalogue: samples are published once, a changed file is the next version."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import asyncpg
import pytest

from domain.documents import DocumentError
from domain.periods import date_number
from persistence.catalogue import SAMPLES, Catalogue, load_samples
from persistence.connection import Connection


@pytest.fixture
async def owner(owner_url: str) -> AsyncIterator[Connection]:
    conn = await asyncpg.connect(owner_url)
    yield conn
    await conn.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the samples that a test may change."""
    return Path(shutil.copytree(SAMPLES, tmp_path / "samples"))


def change(folder: Path, before: str, after: str) -> None:
    """Change the first file that says `before`."""
    path = next(p for p in sorted(folder.glob("*.toml")) if before in p.read_text("utf-8"))
    path.write_text(path.read_text("utf-8").replace(before, after), "utf-8")


async def test_the_samples_are_there_after_migrating(app_url: str) -> None:
    conn = await asyncpg.connect(app_url)
    try:
        catalogue = await Catalogue.load(conn)
    finally:
        await conn.close()
    assert {"omnichannel-idr", "omnichannel-mcc-idr"} <= catalogue.plans.keys()
    for plan in catalogue.plans.values():
        book = catalogue.books[plan.book]
        assert book.currency == plan.currency
        assert {row.rule for row in book.rows} <= catalogue.rule_ids.keys()
    assert {catalogue.rules[n] for n in catalogue.rule_ids.values()} == set(catalogue.rule_ids)


async def test_loading_twice_changes_nothing(owner: Connection) -> None:
    assert await load_samples(owner) == []


async def test_a_changed_book_is_the_next_version(owner: Connection, folder: Path) -> None:
    before = await Catalogue.load(owner)
    change(folder, "586.33", "600.01")
    news = await load_samples(owner, folder=folder, now=1)
    assert [line.rpartition(" ")[2] for line in news] == ["2"]
    book = news[0].split()[1]
    after = await Catalogue.load(owner)
    assert (before.books[book].version, after.books[book].version) == (1, 2)
    assert len(after.books[book].rows) == 2 * len(before.books[book].rows)
    # Rules keep their numbers: charges name them.
    assert after.rule_ids == before.rule_ids
    assert await load_samples(owner, folder=folder, now=2) == []


async def test_a_bad_file_publishes_nothing(owner: Connection, folder: Path) -> None:
    counted = "select (select count(*) from books) + (select count(*) from plans)"
    before = await owner.fetchval(counted)
    change(folder, "586.33", "1")
    change(folder, "[[balances]]", "[[balance]]")
    with pytest.raises(DocumentError):
        await load_samples(owner, folder=folder)
    assert await owner.fetchval(counted) == before


async def test_taxes_are_changed_in_place_and_seen_at_once(owner: Connection, folder: Path) -> None:
    """IN-6: a process that holds the catalogue learns of another rate by its stamp."""
    day = date_number(date(2026, 11, 22))
    catalogue = await Catalogue.load(owner)
    assert [tax.percent for tax in catalogue.taxes.of("ID", day)] == ["12"]
    before = catalogue.stamp
    change(folder, 'rate = "12"', 'rate = "13"')
    assert await load_samples(owner, folder=folder) == ["taxes value-added"]
    assert await load_samples(owner, folder=folder) == []
    await catalogue.refresh(owner)
    assert catalogue.stamp != before
    assert [tax.percent for tax in catalogue.taxes.of("ID", day)] == ["13"]


async def test_two_tables_do_not_tax_one_country(owner: Connection, folder: Path) -> None:
    text = (folder / "taxes.toml").read_text("utf-8")
    (folder / "more-taxes.toml").write_text(text.replace("value-added", "more"), "utf-8")
    with pytest.raises(DocumentError, match="ID: stands in more too"):
        await load_samples(owner, folder=folder)
