"""The `inkling` command in this process, as the shell would call it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.cli import main
from app.config import Settings


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def refusal(self) -> str:
        """The one line of a refusal, without the name before it."""
        assert self.status == 1, self
        assert self.err.startswith("inkling: "), self
        assert self.err.count("\n") == 1, self
        return self.err.removeprefix("inkling: ").strip()


Command = Callable[..., Done]


@pytest.fixture
def inkling(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Runs `inkling ARGUMENTS` in an empty directory, with no setting but those that the test makes."""
    for field in Settings.model_fields:
        monkeypatch.setenv(f"INKLING_{field.upper()}", "")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["inkling", *arguments])
        capsys.readouterr()
        try:
            main()
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        return Done(status, *capsys.readouterr())

    return run
