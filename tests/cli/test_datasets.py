"""`inkling datasets` against an app in this process: lists, uploads, tells of bad rows, shows a beginning."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.config import Settings
from app.main import create_app
from tests.cli.conftest import Command, Done
from tests.serving import served


@pytest.fixture
def calling(inkling: Command, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    chosen = settings.model_copy(update={"assets_dir": settings.data_dir / "no-assets"})
    with served(create_app(chosen)) as port:
        monkeypatch.setenv("INKLING_URL", f"http://127.0.0.1:{port}")
        yield inkling


def printed(done: Done) -> str:
    """What the command wrote, without what the server, in the same process, logs."""
    assert done.status == 0, done.err
    return "".join(line for line in done.out.splitlines(keepends=True) if not re.match(r"\d{4}-\d\d-\d\d ", line))


def test_rows_are_uploaded_listed_and_shown(calling: Command, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,label\nhello,a\nno label\nbye,b\n")
    done = calling("datasets", "--upload", "rows.csv")
    assert done.err.splitlines() == [
        "1 rows cannot be read and are left out:",
        "line 3: 1 fields; the head has 2",
    ]
    line = next(line.split() for line in printed(done).splitlines() if "rows.csv" in line)
    assert line[1:] == ["rows.csv", "labelled", "csv", "34", "10", "2"]
    shown = calling("datasets", "--show", line[0])
    assert printed(shown) == '2\t{"text": "hello", "label": "a"}\n4\t{"text": "bye", "label": "b"}\n'
    assert json.loads(printed(calling("datasets", "--show", line[0], "--json")))["truncated"] is False
    assert "(invalid_value)" in calling("datasets", "--upload", "rows.csv", "--kind", "chat").refusal


def test_a_text_is_shown_as_it_is(calling: Command) -> None:
    assert printed(calling("datasets", "--show", "the-tide-clock")).lstrip().startswith("The Tide Clock")


def test_a_report_is_a_table_and_json(calling: Command) -> None:
    made = calling("tokenizers", "--train", "the-tide-clock", "--name", "words", "--kind", "word")
    assert made.status == 0, made.err
    wanted = ("datasets", "--report", "the-tide-clock", "--tokenizer", "words", "--context", "64")
    table = printed(calling(*wanted))
    assert "paragraphs" in table
    assert "longer than 64" in table
    assert json.loads(printed(calling(*wanted, "--json")))["lengths"]["tokenizer"] == "words"


def test_options_that_do_not_go_together(inkling: Command, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    assert inkling("datasets", "--kind", "chat").refusal == "--kind is of rows to --upload"
    assert inkling("datasets", "--context", "8").refusal.endswith("are of a --report")
    assert "give one of them" in inkling("datasets", "--upload", "a.txt", "--show", "ds_1").refusal
