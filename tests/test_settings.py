"""The environment is read once; what is wrong in it is named with what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.settings import Clock, Settings, SettingsError, data_folder, from_environment


def test_nothing_set_is_all_defaults() -> None:
    assert from_environment({"HOME": "/", "PATH": ""}) == Settings()


def test_each_setting_is_read() -> None:
    settings = from_environment(
        {
            "KUOTA_DATABASE_URL": "postgresql://app@/kuota?host=/run",
            "KUOTA_DATABASE_OWNER_URL": "postgres://owner@db/kuota",
            "KUOTA_REDIS_URL": "unix:///run/valkey.sock",
            "KUOTA_OPERATOR_KEY": "0123456789abcdef",
            "KUOTA_DOCUMENTS": "/srv/documents.json",
            "KUOTA_DATA": "/srv/kuota",
            "KUOTA_PUBLIC_URL": "https://kuota.example/",
            "KUOTA_ALLOWED_ORIGINS": "https://a.example, http://localhost:3000/",
            "KUOTA_LOG_LEVEL": "WARNING",
            "KUOTA_DRAIN_SECONDS": "0",
            "KUOTA_SETTLE_SECONDS": "60",
            "KUOTA_CLOCK": "2026-10-31T16:59:50Z",
        }
    )
    assert settings == Settings(
        database_url="postgresql://app@/kuota?host=/run",
        database_owner_url="postgres://owner@db/kuota",
        redis_url="unix:///run/valkey.sock",
        operator_key="0123456789abcdef",
        documents=Path("/srv/documents.json"),
        data=Path("/srv/kuota"),
        public_url="https://kuota.example",
        allowed_origins=("https://a.example", "http://localhost:3000"),
        log_level="warning",
        drain_seconds=0,
        settle_seconds=60,
        clock=1_793_465_990_000_000,
    )


def test_the_owner_is_the_application_unless_it_is_named() -> None:
    assert Settings(database_url="postgresql://one").owner_url == "postgresql://one"
    both = Settings(database_url="postgresql://one", database_owner_url="postgresql://two")
    assert both.owner_url == "postgresql://two"


def test_an_empty_value_is_none() -> None:
    assert from_environment({"KUOTA_OPERATOR_KEY": " ", "KUOTA_CLOCK": ""}) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("KUOTA_DATABSE_URL", "x", "is no setting of kuota; the nearest is KUOTA_DATABASE_URL"),
        ("KUOTA_REDISURL", "x", "the nearest is KUOTA_REDIS_URL"),
        ("KUOTA_", "", "is no setting of kuota"),
        ("KUOTA_DATABASE_URL", "mysql://u:secret@h/d", "is no URL beginning with postgresql://"),
        ("KUOTA_REDIS_URL", "localhost:6379", "is no URL beginning with redis://"),
        ("KUOTA_OPERATOR_KEY", "short-secret", "is shorter than 16 characters"),
        ("KUOTA_PUBLIC_URL", "kuota.example", "it wants the outside address"),
        ("KUOTA_ALLOWED_ORIGINS", "https://a.example/path", "it wants origins like"),
        ("KUOTA_LOG_LEVEL", "loud", "it wants one of debug, info, warning, error"),
        ("KUOTA_SETTLE_SECONDS", "0", "it wants whole seconds, 1 to 86400"),
        ("KUOTA_SETTLE_SECONDS", "1.5", "it wants whole seconds"),
        ("KUOTA_CLOCK", "yesterday", "it wants an instant with its offset"),
        ("KUOTA_CLOCK", "2026-10-31T16:59:50", "without an offset"),
    ],
)
def test_what_cannot_be_used_is_named_and_no_secret_repeated(
    name: str, value: str, complaint: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        from_environment({name: value})
    said = str(caught.value)
    assert said.startswith(name)
    assert complaint in said
    assert "secret" not in said
    assert "\n" not in said


def test_printed_settings_hide_what_is_secret() -> None:
    shown = repr(
        Settings(
            database_url="postgresql://app:hush@db:5432/kuota?sslpassword=hush&host=/run",
            redis_url="redis://:hush@cache:6379/0",
            operator_key="hush-hush-hush-hush",
            secret="hush" * 8,
        )
    )
    assert "hush" not in shown
    assert "postgresql://app:***@db:5432/kuota?sslpassword=***&host=/run" in shown


def test_data_is_where_it_was_said_or_where_such_files_belong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert data_folder(Settings(data=Path("/srv/k")), {}) == Path("/srv/k")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert data_folder(Settings(), {"XDG_DATA_HOME": "/x"}) == Path("/var/lib/kuota")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert data_folder(Settings(), {"XDG_DATA_HOME": "/x"}) == Path("/x/kuota")
    assert data_folder(Settings(), {}) == Path.home() / ".local" / "share" / "kuota"


def test_a_set_clock_runs_on_from_its_instant() -> None:
    clock = Clock.starting(1_000_000)
    first = clock.now()
    assert first >= 1_000_000
    assert clock.now() >= first
    assert Clock.starting(None).offset == 0
