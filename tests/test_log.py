"""`log export` and `log import` as they are typed."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from tests.commands import CLOCK, TENANT, command, started
from tests.conftest import Database


@pytest.fixture
def urls(database: Database) -> dict[str, str]:
    return CLOCK | {
        "KUOTA_DATABASE_URL": database.app_url,
        "KUOTA_DATABASE_OWNER_URL": database.owner_url,
    }


async def test_a_log_goes_to_a_file_and_comes_from_one(
    urls: dict[str, str], tmp_path: Path
) -> None:
    """EV-8: the commands, their words and their exit codes."""
    code, _, err = await command("log", "export", "acme", **urls)
    assert (code, err) == (1, "kuota: tenant: there is no tenant 'acme'\n")
    assert (await command("tenant", "create", "acme", *TENANT, **urls))[0] == 0

    code, out, err = await command("log", "export", "acme", "-", **urls)
    assert (code, err[:33]) == (0, "log of acme: 0 facts, 0 actions i"), err
    file = tmp_path / "acme.log.gz"
    code, told, err = await started("log", "export", "acme", str(file), **urls)
    assert (code, err) == (0, "")
    assert told.endswith(f", {file}\n")
    assert os.listdir(tmp_path) == [file.name]
    # But for the instant of its export, and so for the checksum, one is the other.
    written = gzip.decompress(file.read_bytes()).decode().splitlines()
    assert written[1:-1] == out.splitlines()[1:-1]

    code, out, err = await command("log", "import", str(file), **urls)
    assert (code, out) == (1, "")
    assert err == (
        "kuota: there is a tenant acme already, which was created here: import it into another"
        " database\n"
    )
    code, _, err = await command("log", "import", str(tmp_path / "none.log"), **urls)
    assert code == 1
    assert err.endswith("none.log cannot be read: No such file or directory\n")
    code, _, err = await command(
        "replay", str(file), "--url", "http://127.0.0.1:9", "--key", "k" * 16, **urls
    )
    assert code == 1
    assert "python -m api log import" in err


async def test_a_log_is_imported_by_a_command(
    urls: dict[str, str], database: Database, empty_database: Database, tmp_path: Path
) -> None:
    """EV-8: once; a second time there is nothing left to do."""
    there = CLOCK | {
        "KUOTA_DATABASE_URL": empty_database.app_url,
        "KUOTA_DATABASE_OWNER_URL": empty_database.owner_url,
    }
    file = tmp_path / "acme.log"
    assert (await command("tenant", "create", "acme", *TENANT, **urls))[0] == 0
    assert (await command("log", "export", "acme", str(file), **urls))[0] == 0
    code, _, err = await command("log", "import", str(file), **there)
    assert (code, "python -m api migrate" in err) == (1, True), err
    assert (await command("migrate", **there))[0] == 0

    code, out, err = await started("log", "import", str(file), **there)

    assert (code, err) == (0, "")
    assert out.startswith("acme: 0 facts, 0 actions in ")
    assert "figures are those of the export" in out
    code, out, _ = await command("log", "import", str(file), **there)
    assert (code, out) == (0, "acme: this log was imported before; nothing was done\n")
