"""The command line: what people type and what they get; a serve's life is in `test_serve`."""

from __future__ import annotations

import gzip
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from api.cli import main
from persistence.servers import running
from tests.commands import CLOCK, TENANT, command, fact, lines_of, prepared, started, told
from tests.conftest import OPERATOR_KEY, Database, ServedFactory

ANA = ("--name", "Ana", "--email", "ana@example.com")
SUSPENDED = ("--status", "suspended", "--reason", "asked to")

Typed: TypeAlias = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Typed]:
    """The same inside this process, for what starts no servers: no time is lost on imports."""
    handler = signal.getsignal(signal.SIGTERM)

    def run(*arguments: str, **variables: str) -> tuple[int, str, str]:
        for name in [name for name in os.environ if name.startswith("KUOTA_")]:
            monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        code = main(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    yield run
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def urls(database: Database, redis_url: str) -> dict[str, str]:
    """The environment of a command that works on the test's database."""
    return {
        "KUOTA_DATABASE_URL": database.app_url,
        "KUOTA_DATABASE_OWNER_URL": database.owner_url,
        "KUOTA_REDIS_URL": redis_url,
    }


def test_no_command_is_help(typed: Typed) -> None:
    code, out, _ = typed()
    assert code == 0
    for name in ("serve", "migrate", "tenant", "number", "key", "replay"):
        assert name in out


async def test_what_others_fork_imports_what_it_needs() -> None:
    """Of commands that no other test has an interpreter started for."""
    code, out, err = await started("settle", "--help")
    assert (code, err) == (0, "")
    assert "Put late facts into their order" in out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("sell",), 2, "sell"),
        (("serve", "--port", "many"), 2, "--port"),
        (("serve", "--only", " , "), 2, "the parts are edge, feed, jobs"),
        (("serve", "--only", "jobs", "--workers", "2"), 2, "leave --workers out"),
        (("serve", "--only", "kitchen"), 2, "the parts are edge, feed, jobs"),
        (("tenant", "create", "acme"), 2, "--plan"),
        (("key", "create", "--scope", "usage:read"), 2, "either --operator or --tenant"),
        (("user", "create", *ANA), 2, "either --operator or --tenant"),
        (("user", "create", "--operator", *ANA, "--role", "boss"), 2, "operator, super_admin"),
        (("user", "create", "--tenant", "acme", *ANA), 2, "--role is missing"),
        (("replay", "nowhere.ndjson", "--key", "k"), 1, "nowhere.ndjson cannot be read"),
        (("replay", "-"), 1, "give --key, or set KUOTA_OPERATOR_KEY"),
        (("serve", "--host", "no.such.host.invalid"), 1, "is no address of this machine"),
    ],
)
def test_what_cannot_be_done_has_its_exit_code_and_its_words(
    typed: Typed, arguments: tuple[str, ...], code: int, words: str
) -> None:
    result, out, err = typed(*arguments)
    assert (result, out) == (code, "")
    assert words in err
    assert code == 2 or err.count("\n") == 1


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"KUOTA_DATABASEURL": "x"}, "the nearest is KUOTA_DATABASE_URL"),
        ({"KUOTA_OPERATOR_KEY": "short"}, "is shorter than 16 characters"),
    ],
)
def test_a_wrong_setting_stops_the_start_in_one_line(
    typed: Typed, variables: dict[str, str], words: str
) -> None:
    code, out, err = typed("serve", **variables)
    assert (code, out) == (1, "")
    assert words in err
    assert err.count("\n") == 1


def test_a_clock_that_was_set_is_shown_to_this_machine_alone(typed: Typed) -> None:
    code, _, err = typed(
        *("serve", "--host", "0.0.0.0", "--port", "0"), KUOTA_CLOCK="2026-10-31T16:59:50Z"
    )
    assert code == 1
    assert "KUOTA_CLOCK is for tests on this machine" in err


def test_a_taken_port_is_said_before_anything_is_started(typed: Typed, data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = typed("serve", "--port", str(port), "--data", str(data))
    assert code == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in err
    assert "--port" in err
    assert running(data) is None
    assert not data.exists()


def test_a_database_that_is_away_is_one_line(typed: Typed, database: Database) -> None:
    url = database.app_url.replace(database.name, "nothing_here")
    code, _, err = typed("migrate", KUOTA_DATABASE_URL=url)
    assert code == 1
    assert 'database "nothing_here" does not exist' in err
    assert err.count("\n") == 1


async def test_commands_make_a_tenant_its_number_and_keys(urls: dict[str, str]) -> None:
    tenant = await told(
        *("tenant", "create", "acme", *TENANT, "--name", "Acme", "--since", "2026-11-01"), **urls
    )
    assert tenant == {
        "key": "acme",
        "name": "Acme",
        "timezone": "Asia/Jakarta",
        "currency": "IDR",
        "country": "ID",
        "locale": tenant["locale"],
        "plan": "omnichannel-idr",
        "since": "2026-10-31T17:00:00Z",
    }
    number = await told("number", "create", "acme", "whatsapp", "+62 800 123 4567", **urls)
    assert number == {
        "tenant": "acme",
        "channel": "whatsapp",
        "address": "628001234567",
        "timezone": "Asia/Jakarta",
    }
    assert await told("tenant", "status", "acme", *SUSPENDED, **urls) == {
        "key": "acme",
        "status": "suspended",
    }
    code, out, err = await command(
        *("key", "create", "--tenant", "acme", "--scope", "events:write,usage:read"), **urls
    )
    assert code == 0, err
    assert out.startswith("kuota_")
    assert len(out.split()) == 1
    assert err == ""


def test_a_person_is_made_and_let_in_from_the_machine_itself(
    typed: Typed, urls: dict[str, str]
) -> None:
    code, user, err = typed("user", "create", "--operator", *ANA, **urls)
    assert (code, err) == (0, "")
    assert user.startswith("usr_")
    code, url, err = typed(
        *("user", "link", user.strip()), KUOTA_PUBLIC_URL="https://kuota.example", **urls
    )
    assert (code, err) == (0, "")
    assert url.startswith("https://kuota.example/sign-in?code=")
    assert len(url.split()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tenant", "create", "Acme!", *TENANT), "key: "),
        (("tenant", "create", "acme", "--plan", "none"), "there is no plan 'none'"),
        (("tenant", "create", "acme", *TENANT, "--since", "soon"), "since: "),
        (("tenant", "status", "acme", *SUSPENDED), "there is no tenant 'acme'"),
        (("tenant", "status", "acme", "--status", "gone", "--reason", "x"), "status is one of "),
        (("tenant", "status", "acme", "--status", "blocked", "--reason", ""), "reason: "),
        (("number", "create", "acme", "whatsapp", "+628001234567"), "there is no tenant 'acme'"),
        (("key", "create", "--operator", "--scope", "usage:red"), "did you mean usage:read?"),
        (("user", "create", "--tenant", "acme", *ANA, "--role", "agent"), "no tenant 'acme'"),
        (("user", "create", "--operator", *ANA, "--role", "agent"), "role: "),
        (("user", "link", "usr_1"), "there is nobody with this id"),
    ],
)
def test_a_refusal_is_one_line_that_names_the_field(
    typed: Typed, urls: dict[str, str], arguments: tuple[str, ...], words: str
) -> None:
    code, out, err = typed(*arguments, **urls)
    assert (code, out) == (1, "")
    assert words in err
    assert err.count("\n") == 1


async def test_a_file_of_facts_is_sent_once_however_often_it_is_replayed(
    served: ServedFactory, tmp_path: Path
) -> None:
    server = await served(**CLOCK)
    await prepared(server, "acme", "zeta")
    facts = [fact(tenant, number) for number in range(300) for tenant in ("acme", "zeta")]
    content = lines_of(*facts) + b"\n  \nnot json\n" + lines_of(fact("nobody", 1))
    plain, zipped = tmp_path / "facts.ndjson", tmp_path / "facts.ndjson.gz"
    plain.write_bytes(content)
    zipped.write_bytes(gzip.compress(content))
    common = ("--url", server.url, "--key", OPERATOR_KEY)

    first = await told("replay", str(plain), "--batch", "7", *common)
    assert first["complete"] is True
    assert first["statuses"] == {"accepted": 600, "refused": 2}
    assert first["reasons"] == {"invalid_json": 1, "unknown_tenant": 1}
    assert [tenant["key"] for tenant in first["tenants"]] == ["acme", "zeta"]
    conversations = {
        balance["key"]: balance["used"] for balance in first["tenants"][0]["balances"]
    }["conversations"]
    assert conversations == "300"

    second = await told("replay", str(zipped), *common)
    assert second["statuses"] == {"duplicate": 600, "refused": 2}
    assert second["tenants"] == first["tenants"]

    code, out, err = await command("replay", "-", *common, stdin=gzip.compress(content))
    assert code == 0, err
    assert "602 facts in" in out
    assert "duplicate 600, refused 2" in out
    assert "conversations" in out

    code, out, err = await command("replay", str(plain), "--url", server.url, "--key", "wrong")
    assert code == 1
    assert "401 UNAUTHENTICATED" in err
    assert "0 facts" in out
