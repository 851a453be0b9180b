"""Requests as curl commands: the key's place is there where a key is, and the key never."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import Command

ASKING = (
    ("classify", "tides", "it's"),
    ("train", "ds_1"),
    ("train", "instruct", "--dataset", "ds_1", "--base", "m"),
    ("eval", "perplexity", "--model", "m", "--dataset", "ds_1"),
    ("train", "classify", "--dataset", "rows.csv"),
)


@pytest.mark.parametrize("words", ASKING)
def test_the_keys_place_is_there_and_the_key_is_not(
    inkling: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.csv").write_text("text,label\na,b\n")
    without = inkling(*words, "--print-curl", "--url", "http://here").out.splitlines()
    monkeypatch.setenv("INKLING_API_KEY", "inkling_mine")
    with_key = inkling(*words, "--print-curl", "--url", "http://here").out.splitlines()
    assert without
    assert len(without) == len(with_key)
    for bare, shown in zip(without, with_key, strict=True):
        assert "Authorization" not in bare
        assert shown == bare.replace("curl ", 'curl -H "Authorization: Bearer $INKLING_API_KEY" ', 1)
        assert "inkling_mine" not in shown
        assert shlex.split(shown)[:3] == ["curl", "-H", "Authorization: Bearer $INKLING_API_KEY"]
