"""The commands that teach answers: the requests that they make, as they print them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command


def printed(inkling: Command, *words: str) -> dict[str, Any]:
    """The body of the request that would be sent."""
    done = inkling("train", *words, "--print-curl", "--url", "http://127.0.0.1:1")
    assert done.status == 0, done.err
    command = shlex.split(done.out.splitlines()[-1])
    assert command[-3:-1] == ["content-type: application/json", "-d"]
    assert "http://127.0.0.1:1/jobs" in command
    body: dict[str, Any] = json.loads(command[-1])
    return body


def test_a_model_is_taught_to_answer(inkling: Command) -> None:
    wanted = ("instruct", "--dataset", "ds_1", "--base", "tide", "--epochs", "2", "--template", "alpaca")
    assert printed(inkling, *wanted) == {
        "recipe": "instruct",
        "dataset": "ds_1",
        "model": "tide",
        "train": {"template": "alpaca", "epochs": 2},
    }
    more = printed(inkling, *wanted, "--learn-prompts", "--validation", "0.2", "--set", "batch_size=4", "--seed", "0")
    assert more["train"] == {"template": "alpaca", "epochs": 2, "mask_prompt": False, "batch_size": 4}
    assert (more["validation"], more["seed"]) == (0.2, 0)


def test_a_model_is_taught_which_answers_are_better(inkling: Command) -> None:
    wanted = ("dpo", "--dataset", "ds_1", "--base", "tide", "--beta", "0.3", "--validation", "ds_2", "--name", "better")
    assert printed(inkling, *wanted) == {
        "recipe": "dpo",
        "dataset": "ds_1",
        "model": "tide",
        "train": {"beta": 0.3},
        "validation": "ds_2",
        "name": "better",
    }


def test_a_file_is_uploaded_first(inkling: Command, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt": "a", "completion": "b"}\n')
    words = ("train", "instruct", "--dataset", str(file), "--base", "tide", "--print-curl")
    first, second = inkling(*words).out.splitlines()
    assert f"file=@{file}" in first
    assert '"dataset": "DATASET_ID"' in second


@pytest.mark.parametrize("recipe", ["instruct", "dpo"])
def test_a_base_is_needed(inkling: Command, recipe: str) -> None:
    done = inkling("train", recipe, "--dataset", "ds_1")
    assert done.status == 2
    assert "--base" in done.err
