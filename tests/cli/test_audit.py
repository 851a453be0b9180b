"""`inkling audit` against a real server: what was done, by what is wanted, page after page."""

from __future__ import annotations

import json
import re

import pytest
from structlog.testing import capture_logs

from app.config import Settings
from app.main import create_app
from tests.cli.conftest import Command
from tests.locked import locked
from tests.serving import served


def test_an_admin_reads_what_was_done(
    inkling: Command, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with capture_logs(), served(create_app(locked(settings.data_dir))) as port:
        url = ("--url", f"http://127.0.0.1:{port}")
        secret = re.findall(r"The first key, .*: (\S+)\n", capsys.readouterr().out)[0]
        assert "no key was sent" in inkling("audit", *url).refusal
        monkeypatch.setenv("INKLING_API_KEY", secret)
        for name in ("one", "two"):
            assert inkling("models", "delete", name, *url).status == 1
        (row,) = json.loads(inkling("audit", "--resource", "one", "--json", *url).out)["data"]
        assert (row["action"], row["outcome"], row["code"], row["key_name"]) == (
            "model.delete", "refused", "model_not_found", "first-admin",
        )  # fmt: skip
        table = inkling("audit", "--action", "audit.read", "--outcome", "refused", *url).out
        assert "invalid_api_key" in table
        assert "127.0.0.1" in table
        page = inkling("audit", "--limit", "1", *url)
        after = re.findall(r"--after (\d+)", page.err)[0]
        assert after in page.out
        assert f"\n{after} " not in inkling("audit", "--after", after, *url).out
        assert "outcome" in inkling("audit", "--outcome", "maybe", *url).refusal
        assert secret not in inkling("audit", "--json", *url).out
