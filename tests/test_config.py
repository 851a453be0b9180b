"""Settings: read from the environment, refused when absurd, handed on to child processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from app.config import BadSetting, Settings, export, get_settings


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INKLING_PORT", "9123")
    monkeypatch.setenv("INKLING_DATA_DIR", "somewhere")
    settings = get_settings()
    assert settings.port == 9123
    assert settings.data_dir == tmp_path / "somewhere"
    assert settings.effective_database_url == f"sqlite:///{tmp_path}/somewhere/inkling.db"


def test_a_chosen_field_stands_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INKLING_PORT", "9123")
    assert get_settings(port=9124).port == 9124


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "99999"), ("PORT", "http"), ("LEASE_S", "0"), ("LOG_FORMAT", "xml"), ("LOG_LEVEL", "loud")],
)
def test_absurd_settings_are_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"INKLING_{name}", value)
    with pytest.raises(BadSetting, match=f"^INKLING_{name} is '{value}': "):
        get_settings()


def test_a_file_of_settings_that_is_no_text_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"INKLING_PORT=\xff")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadSetting, match=r"\.env"):
        get_settings()


@pytest.mark.parametrize(
    ("chosen", "url"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"port": 9126}, "http://127.0.0.1:9126"),
        ({"host": "0.0.0.0", "port": 9126}, "http://127.0.0.1:9126"),
        ({"host": "::1"}, "http://[::1]:8000"),
        ({"host": "box.example"}, "http://box.example:8000"),
        ({"url": "http://elsewhere:1", "port": 9126}, "http://elsewhere:1"),
    ],
)
def test_commands_call_the_server_that_the_settings_start(chosen: dict[str, Any], url: str) -> None:
    assert Settings(_env_file=None, **chosen).effective_url == url


def test_child_processes_get_the_same_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for field in Settings.model_fields:
        monkeypatch.setenv(f"INKLING_{field.upper()}", "")  # restored afterwards
    settings = Settings(_env_file=None, port=9125, data_dir=tmp_path)
    export(settings)
    assert os.environ["INKLING_PORT"] == "9125"
    assert Settings(_env_file=None) == settings
