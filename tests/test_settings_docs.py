"""Every setting is told where people look for it, with the default it really has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.config import Settings

ROOT = Path(__file__).resolve().parents[1]
NAMES = {f"INKLING_{field.upper()}" for field in Settings.model_fields}
EXAMPLE = dict(re.findall(r"^#(INKLING_\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
PAGE_ROW = r"^\| `(INKLING_\w+)` \| (?:`(.*?)`|empty) \| \S"
PAGE = dict(re.findall(PAGE_ROW, (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE))
PLACED_AT_INSTALL = "INKLING_ASSETS_DIR"  # its default depends on where Python lives


@pytest.mark.parametrize("told", [EXAMPLE, PAGE], ids=[".env.example", "docs/settings.md"])
def test_every_setting_is_told_and_none_that_is_gone(told: dict[str, str]) -> None:
    assert set(told) == NAMES


@pytest.mark.parametrize("told", [EXAMPLE, PAGE], ids=[".env.example", "docs/settings.md"])
def test_the_told_defaults_are_the_real_ones(
    told: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "told.env"
    file.write_text("".join(f"{name}={value}\n" for name, value in told.items() if name != PLACED_AT_INSTALL))
    assert Settings(_env_file=file) == Settings(_env_file=None)


def test_each_line_of_the_example_has_its_sentence() -> None:
    previous = ""
    for line in (ROOT / ".env.example").read_text().splitlines():
        if line.startswith("#INKLING_"):
            assert previous.startswith("#"), f"no sentence above {line}"
        previous = line
