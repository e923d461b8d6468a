"""What the environment says, and what it must not say."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from taskq.errors import SettingsError
from taskq.settings import Settings, child_environment, duration, redacted

PASSWORD = "s3cr/e@t"
URL = f"postgresql://ann:{PASSWORD}@db.example/work"


def test_an_empty_environment_means_the_embedded_server_and_the_documented_defaults() -> None:
    settings = Settings.read({})
    assert settings.database_url is None
    assert settings.listen_url is None
    assert settings.home == Path(".taskq")
    assert settings.lease == timedelta(seconds=60)
    assert settings.heartbeat == timedelta(seconds=15)
    assert settings.grace == timedelta(seconds=30)
    assert settings.sweep == timedelta(seconds=30)
    assert settings.anthropic_api_key is None
    assert settings == Settings()


def test_our_own_url_comes_before_the_common_one() -> None:
    both = {"TASKQ_DATABASE_URL": "postgres://a/b", "DATABASE_URL": "postgres://c/d"}
    assert Settings.read(both).database_url == "postgres://a/b"
    assert Settings.read({"DATABASE_URL": "postgres://c/d"}).database_url == "postgres://c/d"


def test_a_variable_set_to_nothing_is_not_set() -> None:
    settings = Settings.read({"TASKQ_DATABASE_URL": "", "DATABASE_URL": "postgres://c/d", "TASKQ_LEASE": ""})
    assert settings.database_url == "postgres://c/d"
    assert settings.lease == timedelta(seconds=60)


def test_every_variable_is_read() -> None:
    settings = Settings.read(
        {
            "TASKQ_LISTEN_URL": "postgres://direct/db",
            "TASKQ_HOME": "/var/somewhere",
            "TASKQ_LEASE": "2min",
            "TASKQ_HEARTBEAT": "500ms",
            "TASKQ_GRACE": "1h",
            "TASKQ_SWEEP": "5",
            "TASKQ_PRICES": "/etc/prices.toml",
            "ANTHROPIC_API_KEY": "key",
            "ANTHROPIC_BASE_URL": "http://127.0.0.1:1",
        }
    )
    assert settings == Settings(
        listen_url="postgres://direct/db",
        home=Path("/var/somewhere"),
        lease=timedelta(minutes=2),
        heartbeat=timedelta(milliseconds=500),
        grace=timedelta(hours=1),
        sweep=timedelta(seconds=5),
        prices=Path("/etc/prices.toml"),
        anthropic_api_key="key",
        anthropic_base_url="http://127.0.0.1:1",
    )


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKQ_SWEEP", "7s")
    assert Settings.read().sweep == timedelta(seconds=7)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60", 60), ("60s", 60), (" 2 MIN ", 120), ("1.5h", 5400), ("500ms", 0.5), ("1d", 86400)],
)
def test_durations_are_seconds_or_carry_a_unit(text: str, seconds: float) -> None:
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "soon", "-5", "5 parsecs", "1m", "1e3", "9" * 30])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        duration(text)


@pytest.mark.parametrize("name", ["TASKQ_LEASE", "TASKQ_HEARTBEAT", "TASKQ_GRACE", "TASKQ_SWEEP"])
@pytest.mark.parametrize("text", ["soon", "0"])
def test_a_bad_duration_is_refused_by_the_name_of_its_variable(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.read({name: text})


def test_a_heartbeat_that_could_lose_the_lease_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"TASKQ_HEARTBEAT.*TASKQ_LEASE"):
        Settings.read({"TASKQ_LEASE": "20s", "TASKQ_HEARTBEAT": "15s"})


@pytest.mark.parametrize("name", ["TASKQ_DATABASE_URL", "DATABASE_URL", "TASKQ_LISTEN_URL"])
def test_a_url_of_another_kind_of_database_is_refused_without_repeating_it(name: str) -> None:
    with pytest.raises(SettingsError, match=name) as refused:
        Settings.read({name: f"mysql://ann:{PASSWORD}@host/db"})
    assert PASSWORD not in str(refused.value)


def test_neither_passwords_nor_the_key_are_ever_shown() -> None:
    settings = Settings(database_url=URL, listen_url=f"{URL}?password={PASSWORD}", anthropic_api_key="sk-key")
    for text in (repr(settings), str(settings), f"{settings}"):
        assert "postgresql://ann:***@" in text
        assert "s3cr" not in text
        assert "e@t" not in text
        assert "sk-key" not in text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:hush@h:5432/db", "postgresql://ann:***@h:5432/db"),
        ("postgresql://h:5432/db", "postgresql://h:5432/db"),
        (
            "postgresql://ann@/db?host=/run&password=hush&port=1",
            "postgresql://ann@/db?host=/run&password=***&port=1",
        ),
        ("host=h password='it\\'s hush' user=ann", "host=h password=*** user=ann"),
    ],
)
def test_a_redacted_url_keeps_all_but_the_password(url: str, shown: str) -> None:
    assert redacted(url) == shown


def test_a_child_is_given_neither_the_servers_variables_nor_our_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (
        "PGHOST",
        "PGDATA",
        "TASKQ_DATABASE_URL",
        "DATABASE_URL",
        "ANTHROPIC_API_KEY",
        "LC_MESSAGES",
    ):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("PLAIN", "kept")
    child = child_environment()
    assert child["PLAIN"] == "kept"
    assert not {
        "PGHOST",
        "PGDATA",
        "TASKQ_DATABASE_URL",
        "DATABASE_URL",
        "ANTHROPIC_API_KEY",
        "LC_MESSAGES",
    } & set(child)
