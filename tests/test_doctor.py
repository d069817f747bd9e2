"""`doctor`: green where all is well; broken on purpose it says what, and its remedy mends it.

Each breakage below changes the finding of one check and of no other; the remedy is taken from the
answer and applied as it stands, and the findings are then those of before.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
import redis

from api.cli import main, surroundings
from domain.periods import iso
from persistence.checkup.finding import State
from persistence.checkup.valkey import near
from persistence.servers import Servers
from tests.breakages import BREAKAGES, FACT, NOW, Breakage, dynamic, healed, migrated, month, sql
from tests.commands import command, started
from tests.conftest import ROOT, Database, named, on, run_served

STRONG_KEY = "c2f9a4be71d08356e9b7431ac05d"
#: Nothing the session's servers write outlives the machine, which `doctor` does not like.
SESSION = {"durability"}
TABLES = (
    "row-level security", "partitions", "due tenants", "unrated facts", "tasks",
    "default partitions", "transactions",
)  # fmt: skip


class Findings(dict[str, dict[str, str]]):
    """The findings of one run by their checks, and how the run ended."""

    code: int

    def states(self) -> dict[str, str]:
        return {check: finding["state"] for check, finding in self.items()}


Examine = Callable[..., Findings]


@pytest.fixture(scope="module")
async def database(servers: Servers, template: str) -> AsyncIterator[Database]:
    """One database for all that is broken here: each test mends what it broke."""
    owner_url, app_url = servers.addresses.owner_url, servers.addresses.app_url
    assert owner_url is not None
    await on(owner_url, f"create database doctored template {template}")
    yield Database(
        name="doctored",
        owner_url=named(owner_url, "doctored"),
        app_url=named(app_url, "doctored"),
    )
    await on(owner_url, "drop database doctored with (force)")


@pytest.fixture
def examine(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    database: Database,
    redis_url: str,
) -> Iterator[Examine]:
    """Run `doctor --json` in this process, on the test's servers unless told otherwise."""
    handler = signal.getsignal(signal.SIGTERM)

    def run(*arguments: str, **variables: str) -> Findings:
        given = {
            "KUOTA_DATABASE_URL": database.app_url,
            "KUOTA_DATABASE_OWNER_URL": database.owner_url,
            "KUOTA_REDIS_URL": redis_url,
            "KUOTA_OPERATOR_KEY": STRONG_KEY,
            "KUOTA_SECRET": STRONG_KEY * 2,
        }
        for name in [name for name in os.environ if name.startswith("KUOTA_")]:
            monkeypatch.delenv(name)
        for name, value in (given | variables).items():
            monkeypatch.setenv(name, value)
        code = main(["doctor", "--json", *arguments])
        out, err = capsys.readouterr()
        assert err == ""
        found = Findings({finding["check"]: finding for finding in json.loads(out)})
        found.code = code
        return found

    yield run
    signal.signal(signal.SIGTERM, handler)


def changed(before: Findings, after: Findings) -> dict[str, dict[str, str]]:
    """What another run found otherwise, leaving out figures of the moment."""
    assert before.keys() == after.keys()
    return {
        check: finding
        for check, finding in after.items()
        if any(finding[part] != before[check][part] for part in ("state", "remedy"))
    }


def test_a_migrated_database_and_its_valkey_are_in_order(examine: Examine) -> None:
    found = examine()
    assert {check for check, state in found.states().items() if state != "ok"} == SESSION
    assert "fsync is off" in found["durability"]["found"]
    assert all(finding["remedy"] is None for finding in found.values() if finding["state"] == "ok")
    assert set(TABLES) < found.keys()
    assert {"environment", "packages", "login role", "valkey memory"} < found.keys()


ROLES_AS_MADE = (
    "alter role kuota_app nobypassrls nocreatedb",
    "grant kuota_system to kuota_app with inherit false, set true",
    "revoke pg_read_all_data from kuota_app",
)


@pytest.mark.parametrize("breakage", BREAKAGES.values(), ids=BREAKAGES)
def test_what_was_broken_is_named_and_its_remedy_mends_it(
    examine: Examine, database: Database, redis_url: str, breakage: Breakage
) -> None:
    before = examine()
    try:
        if breakage.by.startswith("valkey-cli"):
            healed(breakage.by, database, redis_url)
        else:
            sql(database.owner_url, breakage.by)
        after = examine()
        assert changed(before, after).keys() == {breakage.check}
        finding = after[breakage.check]
        assert finding["state"] == breakage.state
        assert breakage.says in finding["found"]
        known = before[breakage.check]["remedy"]
        healed(finding["remedy"].removeprefix(f"{known}; "), database, redis_url)
        assert changed(before, examine()) == {}
    finally:
        sql(database.owner_url, *ROLES_AS_MADE)
        with redis.Redis.from_url(redis_url) as client:
            client.config_set("maxmemory-policy", "noeviction")


def test_a_month_that_fell_into_the_default_partition_is_moved_out(
    examine: Examine, database: Database, redis_url: str
) -> None:
    before = examine()
    drop = dynamic("drop table %I", f"'facts_' || {month(0)}")
    sql(database.owner_url, drop, FACT.format(at=NOW))
    after = examine()
    assert changed(before, after).keys() == {"partitions", "default partitions"}
    assert "facts_default holds 1 rows from" in after["default partitions"]["found"]
    # The month cannot be made while its rows lie elsewhere: what mends that mends both.
    asyncio.run(migrated(database))
    assert changed(after, examine()) == {}
    healed(after["default partitions"]["remedy"], database, redis_url)
    assert changed(before, examine()) == {}


def test_history_of_earlier_months_lies_where_it_belongs(
    examine: Examine, database: Database
) -> None:
    sql(database.owner_url, FACT.format(at=1))
    found = examine()["default partitions"]
    assert (found["state"], found["found"]) == ("ok", "only earlier months in facts_default")
    sql(database.owner_url, "delete from facts_default")


def test_open_migrations_are_named_and_hide_nothing_else(
    examine: Examine, database: Database, empty_database: Database, redis_url: str
) -> None:
    urls = {
        "KUOTA_DATABASE_URL": empty_database.app_url,
        "KUOTA_DATABASE_OWNER_URL": empty_database.owner_url,
    }
    before = examine()
    found = examine(**urls)
    assert found.code == 1
    assert changed(before, found).keys() == {"migrations", *TABLES}
    assert "open: 0001_spine" in found["migrations"]["found"]
    assert {found[check]["state"] for check in TABLES} == {"unknown"}
    assert found["migrations"]["remedy"] == "python -m api migrate"
    healed(found["migrations"]["remedy"], empty_database, redis_url)
    assert changed(before, examine(**urls)) == {}


def test_a_database_that_is_newer_than_the_code_is_named(
    examine: Examine, database: Database
) -> None:
    sql(database.owner_url, "insert into schema_migrations values ('9999')")
    found = examine()["migrations"]
    assert found["state"] == "broken"
    assert "the database has seen 9999, which this code does not have" in found["found"]
    sql(database.owner_url, "delete from schema_migrations where version = '9999'")


def test_a_role_that_may_do_too_much_is_a_warning(examine: Examine, database: Database) -> None:
    before = examine()
    found = examine(KUOTA_DATABASE_URL=database.owner_url)
    warning = found["login role"]
    assert changed(before, found).keys() - SESSION == {
        "login role", "default partitions", "transactions",
    }  # fmt: skip
    assert warning["state"] == "warning"
    name, instead = re.search(r"write (\w+) in place of (\w+)", warning["remedy"]).group(2, 1)  # type: ignore[union-attr]
    healing = database.owner_url.replace(f"{name}@", f"{instead}@")
    assert changed(before, examine(KUOTA_DATABASE_URL=healing)) == {}


def test_tenants_that_nobody_advances_are_noticed(examine: Examine, database: Database) -> None:
    before = examine()
    at = f"{NOW} - 7200000000"
    sql(database.owner_url, f"insert into tenant_head (tenant_id, next_due) values (1, {at})")
    found = changed(before, examine())
    sql(database.owner_url, "delete from tenant_head")
    assert found.keys() == {"due tenants"}
    assert "1 tenants are overdue" in found["due tenants"]["found"]
    assert found["due tenants"]["remedy"] == "start one: python -m api serve"


def test_facts_without_a_rate_are_noticed(examine: Examine, database: Database) -> None:
    """EV-7: kept and never free by omission, so somebody must hear of it."""
    before = examine()
    sql(database.owner_url, f"insert into unrated (tenant_id, since) values (1, {NOW})")
    found = changed(before, examine())
    sql(database.owner_url, "delete from unrated")
    assert found.keys() == {"unrated facts"}
    assert "1 tenants have facts that no rate covers" in found["unrated facts"]["found"]
    assert "python -m api book publish" in found["unrated facts"]["remedy"]


def test_tasks_that_nobody_does_are_noticed(examine: Examine, database: Database) -> None:
    before = examine()
    sql(
        database.owner_url,
        "insert into tasks (tenant_id, kind, key, due_at) values"
        f" (1, 'payment', 'k', {NOW} - 7200000000), (1, 'mail', 'k', {NOW} - 60000000)",
    )
    sql(
        database.owner_url,
        "insert into payments (tenant_id, payment_key, purchase_id, try, provider, state, due_at,"
        f" asked_at) values (1, 'k', 1, 1, 'midtrans', 2, 0, {NOW} - 172800000000)",
        "insert into tasks (tenant_id, kind, key, due_at, tries) values"
        f" (1, 'invoice', '2026-10', {NOW} + 7200000000, 6)",
    )
    found = changed(before, examine())
    sql(database.owner_url, "delete from tasks", "delete from payments")
    assert found.keys() == {"tasks"}
    assert "1 payments wait to be asked for, the first since" in found["tasks"]["found"]
    assert "1 payments have had no outcome for a day" in found["tasks"]["found"]
    (since,) = re.findall(
        r"1 invoices wait to be issued, the first since (\S+?)[;,]?(?:\s|$)",
        found["tasks"]["found"],
    )
    assert since <= iso(time.time_ns() // 1000)  # not when it is tried again
    assert "the provider is away" in found["tasks"]["remedy"]


def test_a_transaction_that_was_left_open_is_noticed_by_its_process(
    examine: Examine, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persistence.checkup.server.TRANSACTION_SECONDS_MAX", 0)
    with asyncio.Runner() as runner:
        idle = runner.run(asyncpg.connect(database.owner_url))
        runner.run(idle.execute("begin; select 1"))
        found = examine()["transactions"]
        assert found["state"] == "warning"
        assert f"select pg_terminate_backend({idle.get_server_pid()})" in found["remedy"]
        runner.run(idle.close())


@pytest.mark.parametrize(
    ("variables", "check", "state", "says", "remedy"),
    [
        (
            {"KUOTA_DATABSE_URL": "x"},
            *("environment", "broken", "KUOTA_DATABSE_URL is no setting"),
            "KUOTA_DATABSE_URL: rename it to KUOTA_DATABASE_URL, or unset it",
        ),
        (
            {"KUOTA_OPERATOR_KEY": "short"},
            *("environment", "broken", "KUOTA_OPERATOR_KEY is shorter than 16"),
            "KUOTA_OPERATOR_KEY: correct it",
        ),
        (
            {"KUOTA_CLOCK": "2026-10-31T16:59:50Z"},
            *("set clock", "warning", "2026-10-31T16:59:50Z"),
            "unset KUOTA_CLOCK",
        ),
        (
            {"KUOTA_OPERATOR_KEY": "an-operator-key-of-your-own"},
            *("operator key", "warning", "stands in the documents"),
            "export KUOTA_OPERATOR_KEY=",
        ),
        (
            {"KUOTA_OPERATOR_KEY": "seventeen-letters"},
            *("operator key", "warning", "shorter than 24 characters"),
            "export KUOTA_OPERATOR_KEY=",
        ),
        (
            {"KUOTA_OPERATOR_KEY": "a" * 40, "KUOTA_PUBLIC_URL": "https://kuota.example"},
            *("operator key", "broken", "fewer than 8 different characters"),
            "export KUOTA_OPERATOR_KEY=",
        ),
        (
            {"KUOTA_OPERATOR_KEY": ""},
            *("operator key", "warning", "no operator's key is stored"),
            "python -m api key create --operator",
        ),
        (
            {"KUOTA_PUBLIC_URL": "http://kuota.example"},
            *("outside", "warning", "can be read and changed on its way"),
            "write https:// in KUOTA_PUBLIC_URL",
        ),
        (
            {"KUOTA_ALLOWED_ORIGINS": "https://*.example"},
            *("outside", "broken", "no browser's origin is called that"),
            "write each origin in KUOTA_ALLOWED_ORIGINS in full",
        ),
        (
            {"KUOTA_SMTP_URL": "smtp://ana:hidden@127.0.0.1:1"},
            *("payments and mail", "warning", "the server of mail does not let us in"),
            "correct KUOTA_SMTP_URL",
        ),
        (
            {"KUOTA_PAYMENTS": "midtrans", "KUOTA_MIDTRANS_SERVER_KEY": "k"},
            *("payments and mail", "warning", "midtrans' own sandbox: no money moves"),
            "KUOTA_MIDTRANS_URL=https://api.midtrans.com",
        ),
        (
            {"KUOTA_PAYMENTS": "midtrans"},
            *("environment", "broken", "wants KUOTA_MIDTRANS_SERVER_KEY beside it"),
            "KUOTA_PAYMENTS: correct it",
        ),
        (
            {"KUOTA_ALLOWED_ORIGINS": "*"},
            *("environment", "broken", "it wants origins like"),
            "KUOTA_ALLOWED_ORIGINS: correct it",
        ),
    ],
)
def test_settings_that_are_wrong_or_insecure_are_named(
    examine: Examine,
    variables: dict[str, str],
    check: str,
    state: str,
    says: str,
    remedy: str,
) -> None:
    found = examine(**variables)
    assert found[check]["state"] == state
    assert says in found[check]["found"]
    assert remedy in found[check]["remedy"]


def test_every_wrong_variable_is_named_at_once_and_no_other_server_looked_at(
    examine: Examine, tmp_path: Path
) -> None:
    found = examine(
        KUOTA_DATABASE_URL="mysql://u:hush@h/d",
        KUOTA_WORKERS="4",
        KUOTA_DATA=str(tmp_path / "untouched"),
    )
    said = found["environment"]["found"]
    assert "KUOTA_DATABASE_URL is no URL" in said
    assert "KUOTA_WORKERS is no setting" in said
    assert "hush" not in json.dumps(found)
    assert found["servers"]["state"] == "unknown"
    assert not (tmp_path / "untouched").exists()
    assert found.code == 1


AWAY = {
    "no such place": ("host=/nowhere/at/all", "start PostgreSQL"),
    "no such database": ("/gone?", "correct the database's name"),
    "no such role": ("nobody_of_ours@", "python -m api migrate"),
}


@pytest.mark.parametrize(("part", "remedy"), AWAY.values(), ids=AWAY)
def test_a_database_that_is_away_is_one_broken_line(
    examine: Examine, database: Database, part: str, remedy: str
) -> None:
    url = database.app_url.replace("kuota_app@", part if part.endswith("@") else "kuota_app@")
    url = url.replace(f"/{database.name}?", part) if part.endswith("?") else url
    url = re.sub("host=.*", part, url) if part.startswith("host=") else url
    found = examine(KUOTA_DATABASE_URL=url)
    assert [check for check, state in found.states().items() if state == "broken"] == ["database"]
    assert remedy in found["database"]["remedy"]
    assert {found[check]["state"] for check in ("login role", *TABLES)} == {"unknown"}
    # What does not depend on it is still looked at.
    assert {found[check]["state"] for check in ("owner", "migrations", "valkey")} == {"ok"}
    assert found.code == 1


def test_a_valkey_that_is_away_is_one_broken_line(examine: Examine, tmp_path: Path) -> None:
    before = examine()
    found = examine(KUOTA_REDIS_URL=f"unix://{tmp_path}/none.sock")
    assert changed(before, found).keys() == {"valkey", "valkey memory", "valkey writes"}
    assert found["valkey"]["state"] == "broken"
    assert "start Valkey, or correct KUOTA_REDIS_URL" in found["valkey"]["remedy"]
    assert found["valkey writes"]["state"] == "unknown"


def test_a_valkey_that_refuses_writes_says_why(examine: Examine, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        try:
            client.replicaof("127.0.0.1", "1")
            found = examine()["valkey writes"]
        finally:
            client.replicaof("NO", "ONE")
    assert found["state"] == "broken"
    assert "it is a replica: point KUOTA_REDIS_URL at the primary" in found["remedy"]


async def test_a_running_serve_is_green_and_people_can_read_it(data: Path, tmp_path: Path) -> None:
    """The data folder is found, its serve asked, and nothing is said that was not looked at."""
    server = await run_served(
        *("--data", str(data)),
        variables={"KUOTA_OPERATOR_KEY": STRONG_KEY, "KUOTA_SECRET": STRONG_KEY * 2},
        errors=tmp_path / "errors",
    )
    arguments = ("doctor", "--data", str(data))
    given = {"KUOTA_OPERATOR_KEY": STRONG_KEY, "KUOTA_SECRET": STRONG_KEY * 2}
    code, out, err = await started(*arguments, **given)
    assert (code, err) == (0, ""), out
    lines = [line for line in out.splitlines() if "GiB" not in line]
    assert [line for line in lines[:-1] if not line.startswith("ok ")] == []
    assert f"is ready on {server.url}, which serves edge, feed, jobs" in out

    owner_url = f"postgresql://kuota_owner@/kuota?host={data}/run"
    await on(owner_url, "alter table facts disable row level security", "drop table facts_default")
    os.chmod(data, 0o755)
    code, out, _ = await command(*arguments, **given)
    assert code == 1
    assert f"-> chmod 700 {data}" in out
    assert "alter table facts enable row level security" in out
    assert f"psql '{owner_url}'" in out
    assert re.match(r"3 broken, ", out.splitlines()[-1])
    os.chmod(data, 0o700)
    await server.stop()


def test_a_lock_file_is_held_against_what_is_installed(tmp_path: Path) -> None:
    assert surroundings.packages().state is State.OK
    lock = tmp_path / "requirements.lock"
    text = (ROOT / "requirements.lock").read_text("utf-8")
    lock.write_text(text.replace("graphql-core==3.3.2", "graphql-core==3.3.1"), "utf-8")
    found = surroundings.packages(lock)
    assert (found.state, found.found) == (State.BROKEN, "graphql-core is 3.3.2, locked at 3.3.1")
    lock.write_text(re.sub("(?m)^redis==.* ", "redis==0.1 ", text), "utf-8")
    assert surroundings.packages(lock).state is State.WARNING
    lock.write_text(text + "no-such-package==1.0 \\\n    --hash=sha256:00\n", "utf-8")
    assert surroundings.packages(lock).found == "no-such-package is not installed"


@pytest.mark.parametrize(
    ("host", "is_near"),
    [("localhost", True), ("127.1.2.3", True), ("::1", True), ("10.0.0.1", False), ("db", False)],
)
def test_what_is_on_this_machine(host: str, is_near: bool) -> None:
    assert near(host) is is_near
