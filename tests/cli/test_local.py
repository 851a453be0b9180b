"""`--local`: the answers of the service without one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command

PROMPT = "The capital of France is"


def test_tokens_are_shown_without_a_server(inkling: Command, assets: Path) -> None:
    done = inkling("tokenize", "Hello, world", "--local")
    assert done.status == 0, done.err
    rows = [line.split() for line in done.out.splitlines()]
    assert rows[0] == ["id", "text", "span", "bytes"]
    assert [row[0] for row in rows[1:4]] == ["15496", "11", "995"]
    assert rows[1][1:] == ["'Hello'", "0–5", "48", "65", "6c", "6c", "6f"]
    assert rows[4] == ["3", "tokens,", "gpt2"]


def test_special_tokens_are_read_only_where_asked(inkling: Command, assets: Path) -> None:
    text = "a<|endoftext|>"
    plain = json.loads(inkling("tokenize", text, "--local", "--json").out)
    parsed = json.loads(inkling("tokenize", text, "--local", "--json", "--parse").out)
    assert parsed["tokens"][-1]["id"] == 50256
    assert 50256 not in [token["id"] for token in plain["tokens"]]
    assert "".join(token["text"] for token in plain["tokens"]) == text


def test_text_is_written_without_a_server(inkling: Command, assets: Path) -> None:
    """The model is loaded once for the text and once for the answer: both say the same."""
    wanted = ("generate", PROMPT, "--local", "--max-new-tokens", "3", "--temperature", "0")
    done = inkling(*wanted)
    assert done.status == 0, done.err
    assert done.out.startswith(f"{PROMPT} Paris")
    answer = json.loads(inkling(*wanted, "--json").out)
    assert PROMPT + answer["choices"][0]["text"] + "\n" == done.out
    assert answer["usage"]["completion_tokens"] == len(answer["choices"][0]["tokens"]) == 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("tokenize", "hi", "--tokenizer", "no-such"), "no-such"),
        (("generate", "hi", "--max-new-tokens", "0"), "max_new_tokens"),
        (("generate", "hi", "--set", "no_such_field=1"), "no_such_field"),
        (("generate", "hi", "--model", "no-such"), "no-such"),
        (("generate", ""), "prompt"),
    ],
)
def test_a_refusal_is_one_line(inkling: Command, assets: Path, arguments: tuple[str, ...], told: str) -> None:
    done = inkling(*arguments, "--local")
    assert told in done.refusal
    assert done.out == ""


def test_a_database_that_is_away_is_one_line(inkling: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INKLING_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert inkling("tokenize", "hi", "--local").refusal.startswith("the database does not answer")


def test_a_data_directory_that_cannot_be_is_one_line(
    inkling: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("INKLING_DATA_DIR", str(tmp_path / "file" / "data"))
    assert str(tmp_path / "file") in inkling("tokenize", "hi", "--local").refusal
