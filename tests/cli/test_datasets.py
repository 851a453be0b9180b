"""`inkling datasets` against an app in this process: lists, uploads, tells of bad rows, shows a beginning, pulls."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli import datasets as datasets_commands
from app.config import Settings
from app.main import create_app
from app.services import public_sets
from tests.cli.conftest import Command, Done
from tests.fake_sets import MADE_UP, FakeSets, filled, made_up_sets
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


@pytest.fixture
def sets(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSets]:
    """A mirror of a few made-up rows."""
    monkeypatch.setattr(public_sets, "SETS", made_up_sets())
    monkeypatch.setenv("INKLING_FETCH_PRIVATE_ADDRESSES", "true")
    server = filled(public_sets.SETS)
    with served(server.app()) as port:
        server.address = f"http://127.0.0.1:{port}/mirror"
        yield server


def test_a_public_set_becomes_a_dataset_once(calling: Command, sets: FakeSets) -> None:
    first = calling("datasets", "pull", "sms-spam", "--mirror", sets.address)
    told = printed(first).split()
    assert told[0] == "dataset"
    dataset = told[1].rstrip(";")
    assert f"inkling train classify --dataset {dataset} --base smollm2-135m-instruct" in printed(first)
    assert first.err.startswith("sms-spam: CC BY 4.0")
    assert '"text": "Wait,\\nham\\tfor me, she said"' in printed(calling("datasets", "--show", dataset))
    again = json.loads(printed(calling("datasets", "pull", "sms-spam", "--mirror", sets.address, "--json")))
    assert (again["id"], again["name"], again["kind"]) == (dataset, "sms-spam.jsonl", "labelled")
    assert "(there already)" in printed(calling("datasets", "pull", "sms-spam", "--mirror", sets.address))
    listed = json.loads(printed(calling("datasets", "--json")))["data"]
    assert [one["id"] for one in listed if one["name"] == "sms-spam.jsonl"] == [dataset]


def test_a_public_text_becomes_a_dataset(calling: Command, sets: FakeSets) -> None:
    done = calling("datasets", "pull", "the-verdict", "--mirror", sets.address)
    dataset = printed(done).split()[1].rstrip(";")
    assert f"inkling train {dataset} --preset gpt-tiny" in printed(done)
    assert printed(calling("datasets", "--show", dataset)) == MADE_UP["the-verdict"].decode()


def test_all_datasets_are_looked_through_for_a_set(
    calling: Command, sets: FakeSets, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = json.loads(printed(calling("datasets", "pull", "instructions", "--mirror", sets.address, "--json")))
    assert first["kind"] == "instructions"
    assert "left out: 6 of its" in calling("datasets", "pull", "preferences", "--mirror", sets.address).err
    other = json.loads(printed(calling("datasets", "pull", "preferences", "--mirror", sets.address, "--json")))
    assert other["kind"] == "preferences"
    monkeypatch.setattr(datasets_commands, "MOST", 1)
    again = json.loads(printed(calling("datasets", "pull", "instructions", "--mirror", sets.address, "--json")))
    assert again["id"] == first["id"]


def test_a_public_set_is_written_to_a_file(inkling: Command, sets: FakeSets, tmp_path: Path) -> None:
    wanted = ("datasets", "pull", "instructions", "--mirror", sets.address, "--output", "my rows.jsonl")
    done = inkling(*wanted)
    assert printed(done) == (
        "my rows.jsonl; try: inkling train instruct --dataset 'my rows.jsonl' --base smollm2-135m-instruct\n"
    )
    lines = (tmp_path / "my rows.jsonl").read_text().splitlines()
    assert [json.loads(line)["output"] for line in lines] == ["è", "è"]
    assert inkling(*wanted).refusal == "my rows.jsonl is there already"
    assert "leave --json and --url out" in inkling(*wanted, "--json").refusal
    assert [path.name for path in tmp_path.iterdir()] == ["my rows.jsonl"]


def test_a_pull_that_fails_leaves_nothing(inkling: Command, sets: FakeSets, tmp_path: Path) -> None:
    wanted = ("datasets", "pull", "instructions", "--mirror", sets.address)
    assert "nobody answers" in inkling(*wanted, "--url", "http://127.0.0.1:1").refusal
    assert sets.asked == []  # without a server nothing is fetched
    sets.files.clear()
    assert "HTTP 404" in inkling(*wanted, "--output", "rows.jsonl").refusal
    sets.put(public_sets.SETS[1], b"[]")
    assert "SHA-256 differs" in inkling(*wanted, "--output", "rows.jsonl").refusal
    sets.put(public_sets.SETS[1], MADE_UP["instructions"])
    assert "No such file" in inkling(*wanted, "--output", "no/rows.jsonl").refusal
    assert list(tmp_path.iterdir()) == []
    assert "there are sms-spam, instructions, preferences" in inkling("datasets", "pull", "spam").refusal


def test_options_of_a_pull_stand_behind_it(inkling: Command) -> None:
    assert "stand behind its name" in inkling("datasets", "--json", "pull", "sms-spam").refusal
