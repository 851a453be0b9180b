"""`lm-eval` over HTTP with no tokenizer of its own, and in an evaluation, beside its `hf` backend on equal weights."""

from __future__ import annotations

import io
import json
import tarfile
import time
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


FORMS = {
    "plain": {},
    "question": {"doc_to_text": "Question: {{question}}\nAnswer:"},
    "letters": {
        "doc_to_text": "{{question}}\nA. {{choices[0]}}\nB. {{choices[1]}}\nC. {{choices[2]}}\nAnswer:",
        "doc_to_choice": ["A", "B", "C"],
    },
}
"""What a task says in place of `plain`'s text and choices."""
SEED = 11


def rows() -> bytes:
    found = ({"question": text, "choices": choices, "answer": answer} for text, choices, answer in QUESTIONS)
    return "".join(json.dumps(row) + "\n" for row in found).encode()


@pytest.fixture
def task(tmp_path: Path) -> dict[str, Any]:
    """A multiple-choice task on a file of this machine."""
    path = tmp_path / "questions.jsonl"
    path.write_bytes(rows())
    return {
        "task": "questions",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(path)}, "cache_dir": str(tmp_path / "cache")},
        "test_split": "test",
        "fewshot_split": "test",
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


def evaluated(service: Service, asked: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What a model's evaluation comes to, and its figures row by row."""
    with httpx.Client(base_url=service.url, timeout=60) as client:
        dataset = client.post("/datasets", files={"file": ("rows.jsonl", rows())}).raise_for_status().json()["id"]
        body = {"recipe": "evaluate", "model": MODEL, "dataset": dataset, "evaluate": asked, "seed": SEED}
        job = client.post("/jobs", json=body).raise_for_status().json()
        deadline = time.monotonic() + 240
        while (job := client.get(f"/jobs/{job['id']}").json())["status"] in ("queued", "running"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert job["status"] == "succeeded", job
        results = client.get(f"/jobs/{job['id']}/results").json()["data"]
        (report,) = client.get(f"/jobs/{job['id']}/report").json()["models"]
    return report, [row["models"][0]["figures"] for row in results]


@pytest.mark.parity
def test_an_evaluation_of_choices_has_the_scores_of_the_hf_backend(
    service: Service, task: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    lm_eval = pytest.importorskip("lm_eval")
    from lm_eval.models.huggingface import HFLM

    beside = HFLM(pretrained=str(exported(service, tmp_path)), dtype="float32", device="cpu")
    for form, shots in (("plain", 0), ("question", 2), ("letters", 3)):
        report, figures = evaluated(service, {"kind": "choices", "form": form, "num_fewshot": shots})
        theirs = lm_eval.simple_evaluate(
            model=beside,
            tasks=[task | FORMS[form]],
            num_fewshot=shots,
            fewshot_random_seed=SEED,
            log_samples=True,
        )
        for name in ("acc", "acc_norm"):
            told = theirs["results"]["questions"]
            assert report[name] == told[f"{name},none"]
            assert report[f"{name}_stderr"] == pytest.approx(told[f"{name}_stderr,none"], rel=1e-12)
        ours = [choice["log_probability"] for row in figures for choice in row["choices"]]
        assert ours == pytest.approx(log_likelihoods(theirs), abs=1e-3)
        samples = sorted(theirs["samples"]["questions"], key=lambda sample: sample["doc_id"])
        assert [(row["acc"], row["acc_norm"]) for row in figures] == [
            (each["acc"], each["acc_norm"]) for each in samples
        ]
