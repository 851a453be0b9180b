"""What commands print: results on standard output, the rest on standard error; nothing read as markup or folded."""

from __future__ import annotations

import json

import pytest

from app.cli import show


def test_a_complaint_is_one_line_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    show.complain("no [b]such[/b] :smile: model\n" + "long " * 60)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("inkling: no [b]such[/b] :smile: model long long")
    assert err.count("\n") == 1


def test_text_is_passed_on_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    show.text("[red] :smile: ")
    show.text("\n\té")
    assert capsys.readouterr() == ("[red] :smile: \n\té", "")


def test_json_is_one_line_with_its_characters(capsys: pytest.CaptureFixture[str]) -> None:
    show.as_json({"text": "日本\n"})
    out, _ = capsys.readouterr()
    assert json.loads(out) == {"text": "日本\n"}
    assert "日本" in out
    assert out.count("\n") == 1


def test_a_row_is_one_line_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    show.rows(("name", "what"), [("[bold]", "wide " * 50), (r"\[x]", ":smile:"), (3, None)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[0].split() == ["name", "what"]
    assert lines[1].split() == ["[bold]", *["wide"] * 50]
    assert lines[2].split() == [r"\[x]", ":smile:"]
    assert lines[3].split() == ["3"]
