"""The data that ships: as much of it as is promised, read as what it is, and no text twice in other words."""

from __future__ import annotations

import csv
import json
import re
from itertools import combinations
from pathlib import Path

import pytest

from app.db.session import Database
from app.services import datasets
from app.services.storage import Storage

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
MOST_IN_COMMON = 0.6
"""Of two texts' words: those that are in both, as a share of those in either."""


def messages() -> list[tuple[str, str]]:
    with (SAMPLES / "ferry-messages.csv").open(newline="") as file:
        return [(row["label"], row["text"]) for row in csv.DictReader(file)]


def records(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (SAMPLES / name).read_text().splitlines()]


def texts(name: str) -> list[str]:
    if name == "ferry-messages.csv":
        return [text for _, text in messages()]
    return [" ".join(record.values()) for record in records(name)]


def test_four_classes_of_equal_size() -> None:
    labels = [label for label, _ in messages()]
    assert {label: labels.count(label) for label in labels} == dict.fromkeys(
        ("booking", "complaint", "praise", "lost"), 50
    )


def test_instructions_and_preferences() -> None:
    tasks, answers = records("small-tasks.jsonl"), records("better-answers.jsonl")
    assert (len(tasks), len(answers)) == (100, 60)
    assert all(list(task) == ["instruction", "input", "output"] for task in tasks)
    assert all(list(answer) == ["prompt", "chosen", "rejected"] for answer in answers)
    assert all(answer["chosen"] != answer["rejected"] for answer in answers)
    assert all(task["instruction"] and task["output"] for task in tasks)


def test_the_readme_trains_on_every_sample() -> None:
    readme = (SAMPLES.parent / "README.md").read_text()
    assert [path.name for path in sorted(SAMPLES.iterdir()) if f"samples/{path.name}" not in readme] == []


@pytest.mark.parametrize("name", ["ferry-messages.csv", "small-tasks.jsonl", "better-answers.jsonl"])
def test_no_two_texts_are_nearly_the_same(name: str) -> None:
    words = [set(re.findall(r"\w+", text.lower())) for text in texts(name)]
    alike = [
        (one, other)
        for (one, its), (other, others) in combinations(enumerate(words), 2)
        if len(its & others) > MOST_IN_COMMON * len(its | others)
    ]
    shown = texts(name)
    assert [(shown[one], shown[other]) for one, other in alike] == []


def test_each_is_read_as_what_it_is(database: Database, tmp_path: Path) -> None:
    storage = Storage(tmp_path / "files", tmp_path)
    storage.prepare()
    with database.write() as session:
        datasets.register_builtin(session, storage)
    with database.read() as session:
        found = {name: datasets.read(session, name) for name in (file.rpartition(".")[0] for file in datasets.BUILT_IN)}
    assert {name: (row.kind, row.rows) for name, row in found.items()} == {
        "better-answers": ("preferences", 60),
        "ferry-messages": ("labelled", 200),
        "small-tasks": ("instructions", 100),
        "the-tide-clock": ("text", None),
    }
