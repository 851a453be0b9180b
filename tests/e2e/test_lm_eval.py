"""`lm-eval` over HTTP, with no tokenizer of its own, beside its `hf` backend on the same weights."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Service, start_service

MODEL = "smollm2-135m-instruct"
QUESTIONS = (
    ("The capital of France is", ("Paris", "London", "Tokyo"), 0),
    ("Water freezes at zero degrees", ("Kelvin", "Celsius", "Newton"), 1),
    ("The opposite of hot is", ("warm", "cold", "blue"), 1),
    ("Two plus two is", ("five", "four", "nine"), 1),
    ("A dog is an", ("animal", "engine", "island"), 0),
    ("The sun rises in the", ("west", "north", "east"), 2),
)


@pytest.fixture
def task(tmp_path: Path) -> dict[str, Any]:
    """A multiple-choice task on a file of this machine."""
    path = tmp_path / "questions.jsonl"
    rows = ({"question": text, "choices": choices, "answer": answer} for text, choices, answer in QUESTIONS)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "task": "questions",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(path)}, "cache_dir": str(tmp_path / "cache")},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{answer}}",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    }


@pytest.fixture
def service(tmp_path: Path, assets: Path) -> Any:
    started = start_service(tmp_path, dtype="float32")
    yield started
    started.stop()


def exported(service: Service, folder: Path) -> Path:
    """The model as a folder for `transformers`."""
    answer = httpx.get(f"{service.url}/models/{MODEL}/export", timeout=120).raise_for_status()
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        archive.extractall(folder, filter="data")
    return folder / MODEL


@pytest.mark.parity
def test_the_scores_are_those_of_the_hf_backend(
    service: Service, task: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    lm_eval = pytest.importorskip("lm_eval")
    over_http = lm_eval.simple_evaluate(
        model="local-completions",
        model_args={
            "model": MODEL,
            "base_url": f"{service.url}/v1/completions",
            "tokenizer_backend": "remote",
            "num_concurrent": 4,
        },
        tasks=[task],
        log_samples=True,
    )
    beside = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(exported(service, tmp_path)), "dtype": "float32"},
        device="cpu",
        tasks=[task],
        log_samples=True,
    )
    for metric in ("acc,none", "acc_norm,none"):
        ours, theirs = (each["results"]["questions"][metric] for each in (over_http, beside))
        assert ours == theirs
        assert ours > 0.5  # half a guess would be a third
    assert log_likelihoods(over_http) == pytest.approx(log_likelihoods(beside), abs=1e-3)


def log_likelihoods(told: dict[str, Any]) -> list[float]:
    """Of every choice, question by question."""
    samples = sorted(told["samples"]["questions"], key=lambda sample: sample["doc_id"])
    return [float(choice[0]) for sample in samples for choice in sample["filtered_resps"]]
