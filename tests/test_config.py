"""Settings: read from the environment, refused when absurd, handed on to child processes."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from app.config import BadSetting, Rank, Settings, export, get_settings, rank_of_torchrun


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
    [
        ("PORT", "99999"),
        ("PORT", "http"),
        ("LEASE_S", "0"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "loud"),
        ("ALLOWED_HOSTS", "http://box.example"),
        ("ALLOWED_HOSTS", "box.*"),
        ("ALLOWED_ORIGINS", "box.example"),
        ("ALLOWED_ORIGINS", "https://box.example/path"),
        ("TRUSTED_PROXIES", "10.0.0.1, proxy"),
    ],
)
def test_absurd_settings_are_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"INKLING_{name}", value)
    with pytest.raises(BadSetting, match=f"^INKLING_{name} is '{re.escape(value)}': "):
        get_settings()


def test_every_origin_may_call_only_where_keys_are_required() -> None:
    with pytest.raises(ValueError, match="INKLING_ALLOWED_ORIGINS=\\*"):
        Settings(_env_file=None, allowed_origins="*")
    assert Settings(_env_file=None, allowed_origins="*", require_keys="true").origins == ("*",)


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


@pytest.mark.parametrize(
    ("backend", "url"),
    [
        ("local", None),
        ("", None),
        ("http://gpu:8000", "http://gpu:8000/v1"),
        ("http://gpu:8000/", "http://gpu:8000/v1"),
        ("https://gpu/v1/", "https://gpu/v1"),
        ("https://gpu/openai/v2", "https://gpu/openai/v2"),
    ],
)
def test_where_text_is_generated(backend: str, url: str | None) -> None:
    assert Settings(_env_file=None, generation_backend=backend).remote_url == url


@pytest.mark.parametrize("backend", ["gpu:8000", "ftp://gpu", "http://", "http://gpu?x=1", "http://[gpu", "vllm"])
def test_a_backend_that_is_no_address_is_refused(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    monkeypatch.setenv("INKLING_GENERATION_BACKEND", backend)
    with pytest.raises(BadSetting, match=r"^INKLING_GENERATION_BACKEND is "):
        get_settings()


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("", None),
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("https://collector/otlp/", "https://collector/otlp/v1/traces"),
        ("http://collector:4318/v1/traces", "http://collector:4318/v1/traces"),
    ],
)
def test_where_traces_are_sent(endpoint: str, url: str | None) -> None:
    assert Settings(_env_file=None, otlp_endpoint=endpoint).traces_url == url


@pytest.mark.parametrize("endpoint", ["collector:4318", "grpc://collector:4317", "http://", "http://me:hush@collector"])
def test_a_collector_that_is_no_address_is_refused(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("INKLING_OTLP_ENDPOINT", endpoint)
    with pytest.raises(BadSetting, match=r"^INKLING_OTLP_ENDPOINT is ") as refusal:
        get_settings()
    assert "hush" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "value"), [("API_KEY", "hush hush"), ("API_KEY", "hush\n"), ("BACKEND", "http://me:hush@gpu:8000")]
)
def test_no_message_shows_a_secret(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"INKLING_GENERATION_{name}", value)
    with pytest.raises(BadSetting, match=f"^INKLING_GENERATION_{name} is given: ") as refusal:
        get_settings()
    assert "hush" not in str(refusal.value)
    assert "hush" not in repr(Settings(_env_file=None, generation_api_key="hush", generation_backend="local"))


def test_child_processes_get_the_same_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for field in Settings.model_fields:
        monkeypatch.setenv(f"INKLING_{field.upper()}", "")  # restored afterwards
    settings = Settings(_env_file=None, port=9125, data_dir=tmp_path)
    export(settings)
    assert os.environ["INKLING_PORT"] == "9125"
    assert Settings(_env_file=None) == settings


def test_a_process_of_torchrun_knows_its_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "5")  # of some other launcher
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert rank_of_torchrun() is None
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "a-job")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "7")
    monkeypatch.setenv("GROUP_WORLD_SIZE", "2")
    assert rank_of_torchrun() == Rank(number=5, on_this_machine=1, here=4)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"TRAIN_HOSTS": "2"}, "INKLING_TRAIN_HOSTS says several"),
        ({"NODE_RANK": "1"}, "INKLING_NODE_RANK counts from 0"),
        ({"RENDEZVOUS": "10.0.0.5"}, "INKLING_RENDEZVOUS is '10.0.0.5': "),
        ({"RENDEZVOUS": "10.0.0.5:0"}, "INKLING_RENDEZVOUS is '10.0.0.5:0': "),
    ],
    ids=["no rendezvous", "no such machine", "no port", "no such port"],
)
def test_machines_that_cannot_meet_are_refused(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], told: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"INKLING_{name}", value)
    with pytest.raises(BadSetting, match=f"^{told}"):
        get_settings()
