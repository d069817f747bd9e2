"""Secure by default: what is open to others is not served with what everybody knows."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import pytest

from api.cli import main, safety
from api.secrecy import SECRETS, is_near, weakness
from api.serve import ServeError, check_secrets, listen
from api.settings import READERS, Settings, SettingsError, from_environment
from persistence.checkup.finding import State

STRONG = "c2f9a4be71d08356e9b7431ac05d70aa"
OUTSIDE = "https://kuota.example"

REFUSED = [
    ("0.0.0.0", {}, "--host 0.0.0.0 is open to other machines, and KUOTA_SECRET is not set"),
    ("127.0.0.1", {"public_url": OUTSIDE}, "KUOTA_PUBLIC_URL https://kuota.example is open"),
    ("0.0.0.0", {"secret": "ab" * 20}, "KUOTA_SECRET has fewer than 8 different characters"),
    (
        "0.0.0.0",
        {"secret": STRONG, "operator_key": "an-operator-key-of-your-own"},
        "KUOTA_OPERATOR_KEY stands in the documents",
    ),
    (
        "0.0.0.0",
        {"secret": STRONG, "operator_key": "a" * 40},
        "KUOTA_OPERATOR_KEY has fewer than 8 different characters",
    ),
]


@pytest.mark.parametrize(("host", "given", "says"), REFUSED, ids=[r[2][-30:] for r in REFUSED])
def test_what_others_reach_is_not_served_with_what_they_know(
    host: str, given: dict[str, str], says: str
) -> None:
    with listen(host, 0) as listening, pytest.raises(ServeError) as refused:
        check_secrets(Settings(**given), listening)  # type: ignore[arg-type]
    said = str(refused.value)
    assert says in said
    assert "openssl rand" in said
    assert "\n" not in said


def test_what_is_secret_or_near_is_served() -> None:
    with listen("0.0.0.0", 0) as listening:
        check_secrets(Settings(secret=STRONG, operator_key=STRONG, public_url=OUTSIDE), listening)
        check_secrets(Settings(secret=STRONG), listening)
    with listen("127.0.0.1", 0) as listening:
        check_secrets(Settings(operator_key="an-operator-key-of-your-own"), listening)
        check_secrets(Settings(public_url="https://kuota.localhost"), listening)


def test_serve_says_in_one_line_what_to_do(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("KUOTA_")]:
        monkeypatch.delenv(name)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        assert main(["serve", "--host", "0.0.0.0", "--port", "0", "--data", str(data)]) == 1
    finally:
        signal.signal(signal.SIGTERM, handler)
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert "export KUOTA_SECRET=$(openssl rand -hex 32), or serve on --host 127.0.0.1" in line
    assert not data.exists()


def secret_file(folder: Path, text: str | bytes = STRONG, mode: int = 0o600) -> str:
    path = folder / "secret"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return str(path)


def test_secrets_come_from_files(tmp_path: Path) -> None:
    path = secret_file(tmp_path, f"{STRONG}\n")
    given = from_environment({"KUOTA_SECRET_FILE": path, "KUOTA_OPERATOR_KEY_FILE": path})
    assert given == Settings(secret=STRONG, operator_key=STRONG)
    url = secret_file(tmp_path, "postgresql://app:hush@db/kuota")
    given = from_environment({"KUOTA_DATABASE_URL_FILE": url, "KUOTA_REDIS_URL_FILE": ""})
    assert given == Settings(database_url="postgresql://app:hush@db/kuota")
    assert {name.removeprefix("KUOTA_").lower() for name in SECRETS} <= set(READERS)


@pytest.mark.parametrize(
    ("content", "variables", "says"),
    [
        (STRONG, {"KUOTA_SECRET": STRONG}, "KUOTA_SECRET_FILE and KUOTA_SECRET are both set"),
        ("", {}, "which is empty"),
        (" \n", {}, "which is empty"),
        ("x" * 20_000, {}, "more than 16384 bytes"),
        (b"\xff" * 40, {}, "which is no text"),
        ("hush", {}, "KUOTA_SECRET is shorter than 32 characters"),
        (STRONG, {"KUOTA_SECRT_FILE": "x"}, "the nearest is KUOTA_SECRET_FILE"),
        (STRONG, {"KUOTA_LOG_LEVEL_FILE": "x"}, "KUOTA_LOG_LEVEL_FILE is no setting"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, content: str | bytes, variables: dict[str, str], says: str
) -> None:
    path = secret_file(tmp_path, content)
    with pytest.raises(SettingsError) as caught:
        from_environment({"KUOTA_SECRET_FILE": path} | variables)
    assert says in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot be read .No such file or directory.: correct"):
        from_environment({"KUOTA_SECRET_FILE": str(tmp_path / "gone")})
    with pytest.raises(SettingsError, match=r"cannot be read .Is a directory."):
        from_environment({"KUOTA_SECRET_FILE": str(tmp_path)})


def test_doctor_names_files_that_others_read(tmp_path: Path) -> None:
    for mode, state in ((0o600, State.OK), (0o640, State.OK), (0o644, State.WARNING)):
        environ = {"KUOTA_SECRET_FILE": secret_file(tmp_path, mode=mode)}
        found = safety.secret_files(environ)
        assert found.state is state, oct(mode)
    assert "KUOTA_SECRET_FILE names" in found.found
    assert found.remedy is not None
    assert found.remedy.startswith("chmod 600 ")
    assert stat.S_IMODE(Path(environ["KUOTA_SECRET_FILE"]).stat().st_mode) == 0o644


@pytest.mark.parametrize(
    ("given", "state", "says"),
    [
        ({}, State.WARNING, "KUOTA_SECRET is not set"),
        ({"public_url": OUTSIDE}, State.BROKEN, "KUOTA_SECRET is not set"),
        ({"public_url": OUTSIDE, "secret": "ab" * 20}, State.BROKEN, "fewer than 8"),
        ({"public_url": OUTSIDE, "secret": STRONG}, State.OK, "KUOTA_SECRET is set"),
    ],
)
def test_doctor_names_a_secret_that_is_none(given: dict[str, str], state: State, says: str) -> None:
    found = safety.secret(Settings(**given))  # type: ignore[arg-type]
    assert found.state is state
    assert says in found.found


def test_doctor_names_what_is_open_without_need() -> None:
    quiet = Settings(log_level="info", operator_key=STRONG, rate_limit=1_000)
    assert safety.exposure(quiet, {"FORWARDED_ALLOW_IPS": "10.0.0.1"}).state is State.OK
    for given, environ, says in (
        (Settings(log_level="debug"), {}, "KUOTA_LOG_LEVEL is debug"),
        (Settings(rate_limit=0), {}, "KUOTA_RATE_LIMIT is 0"),
        (Settings(), {"FORWARDED_ALLOW_IPS": "*"}, "FORWARDED_ALLOW_IPS is *"),
        (Settings(operator_key=STRONG, public_url=OUTSIDE), {}, "KUOTA_OPERATOR_KEY is in use"),
    ):
        found = safety.exposure(given, environ)
        assert found.state is State.WARNING, says
        assert says in found.found
        assert found.remedy


def test_what_is_weak_and_what_is_near() -> None:
    assert weakness(STRONG) is None
    assert weakness("operator-key-of-the-tests") is not None
    near = ["", "localhost", "kuota.localhost", "127.0.0.1", "127.9.9.9", "::1"]
    assert all(is_near(host) for host in near)
    assert not any(is_near(host) for host in ["0.0.0.0", "::", "10.0.0.1", "localhost.example"])
