"""Every page of the playground as a person sees it, its data there: what an address waits for and needs.

The test of accessibility goes through this list.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from playwright.sync_api import Page

PATIENCE_MS = 120_000  # a busy machine is slow, not wrong
JOB_S = 600  # for the longest of the jobs
PROMPT = "The tide clock on the wall"
FLAWED = "\n".join(
    json.dumps(row)
    for row in (
        {"instruction": "Name a sea.", "input": "", "output": "The North Sea."},
        {"instruction": "Name a sea.", "input": "", "output": "The North Sea."},
        {"instruction": "Say where the clock hangs.", "input": "", "output": ""},
        {"instruction": "Say it again.", "input": "The tide turns.", "output": "The tide turns."},
    )
)
"""Instructions with a line that is there twice, one without an answer, and one that is cut off."""


@dataclass(frozen=True)
class Seen:
    """A page at one address: where it is, and how one knows that all of it has come."""

    name: str
    route: str
    address: str
    shows: str
    """What is there once the page's data is, as a selector."""
    presses: str = ""
    """Buttons that are pressed one after another, each until it can be pressed again."""
    then: str = ""
    """What is there once they have been."""


def lesson(number: int) -> Seen:
    asks = ".lesson-step form[data-ask] [type=submit]:enabled"
    return Seen(f"lesson-{number}", "/ui/learn/{chapter}", f"/ui/learn/{number}", "#progress:not(:empty)", asks)


CHAT = "/ui/generate?mode=chat&prompt=What+is+a+tide?"
VECTORS = "/ui/embeddings?model={pretrained}&text=The sea was calm"
TAUGHT = "#preview-rows > *"
REPORT = "#dataset-report-text > *"
PAGES = (
    Seen("home", "/", "/", "#model option", "#go", "#output .out"),
    Seen("tokens", "/ui/tokens", f"/ui/tokens?text={PROMPT} 👩‍🚀", "#merge-player:not([hidden])"),
    Seen("generate", "/ui/generate", "/ui/generate?branch={branch}&seed=7", "#ways-tree [aria-current]"),
    Seen("chat", "/ui/generate", CHAT, "#shot-rows .shots__row", "#go", "#output .out"),
    Seen("embeddings", "/ui/embeddings", VECTORS, "#map-chart .scatterlayer"),
    Seen("analogy", "/ui/embeddings", "/ui/embeddings?model={pretrained}&show=analogy", "#near-list .near__line"),
    Seen("attention", "/ui/attention", f"/ui/attention?text={PROMPT}&model={{model}}", "#next-tokens .word"),
    Seen("datasets", "/ui/datasets", "/ui/datasets", "#list-title"),
    Seen("dataset", "/ui/datasets/{dataset_id}", "/ui/datasets/small-tasks", REPORT, "#preview", TAUGHT),
    Seen("dataset-flawed", "/ui/datasets/{dataset_id}", "/ui/datasets/{flawed}", REPORT),
    Seen("models", "/ui/models", "/ui/models", "#list .model"),
    Seen("model", "/ui/models/{name}", "/ui/models/{classifier}?is=0&told=0", ".confusion__rows li"),
    Seen("compare", "/ui/compare", "/ui/compare?a={model}&b={pretrained}", ".sizes"),
    Seen("train", "/ui/train", "/ui/train", REPORT),
    Seen("train-instruct", "/ui/train", "/ui/train?recipe=instruct&model={pretrained}", REPORT),
    Seen("train-evaluate", "/ui/train", "/ui/train?recipe=evaluate&kind=judge&model={pretrained}", REPORT),
    Seen("jobs", "/ui/jobs", "/ui/jobs", "#list tr"),
    Seen("job", "/ui/jobs/{job_id}", f"/ui/jobs/{{job}}?step={{step}}&prompt={PROMPT}", "#next-tokens .word"),
    Seen("job-classifier", "/ui/jobs/{job_id}", "/ui/jobs/{classifying}", "#confusion .confusion__cell"),
    Seen("evaluation", "/ui/jobs/{job_id}", "/ui/jobs/{answering}", "#results > li"),
    Seen("learn", "/ui/learn", "/ui/learn", "#progress:not(:empty)"),
    *(lesson(number) for number in range(1, 8)),
    Seen("missing", "/ui/jobs/{job_id}", "/ui/jobs/job_0", ".button"),
    Seen("api", "/docs", "/docs", ".opblock-summary-path", ".opblock-summary-control >> nth=0", ".opblock-body"),
)  # fmt: skip


def open_page(page: Page, seen: Seen, made: dict[str, str]) -> None:
    """Go there, wait for what it shows, and press what is to be pressed."""
    page.goto(seen.address.format(**made))
    page.locator(seen.shows).first.wait_for(state="attached", timeout=PATIENCE_MS)
    buttons = page.locator(seen.presses).all() if seen.presses else []
    for button in buttons:
        button.click()
        page.wait_for_function("(button) => !button.disabled", arg=button.element_handle(), timeout=PATIENCE_MS)
    if seen.then:
        page.locator(seen.then).first.wait_for(state="attached", timeout=PATIENCE_MS)
    page.wait_for_load_state("networkidle")


@contextmanager
def all_made(client: httpx.Client, model: str, steps: int) -> Iterator[dict[str, str]]:
    """What the addresses name: jobs of so many steps and what came of them, a text of `model`, a dataset with flaws.

    All of it is gone afterwards.
    """
    removing: list[str] = []
    often = {"checkpoint_every": steps // 6, "keep_checkpoints": 6, "sample_every": steps // 3}
    often |= {"sample_prompt": PROMPT, "sample_tokens": 24}
    learning = {"max_steps": steps, "batch_size": 8, "learning_rate": 0.003}
    new = {"model": {"preset": "gpt-tiny"}, "seed": 1}
    pretrain = new | {"recipe": "pretrain", "dataset": "the-tide-clock", "name": "tide", "train": learning | often}
    classify = new | {"recipe": "classify", "dataset": "ferry-messages", "name": "ferry", "train": learning}
    answers = {"kind": "answers", "max_new_tokens": 16, "max_rows": 4}
    try:
        flawed = _flawed(client, removing)
        branch = _written(client, model, removing)
        jobs = [
            _done(client, job, removing)
            for job in (
                pretrain,
                classify,
                _evaluation("ferry", "ferry-messages", {"kind": "accuracy"}),
                _evaluation(model, "small-tasks", answers),
            )
        ]
        yield {
            "model": model,
            "flawed": flawed,
            "branch": branch,
            "step": str(2 * (steps // 3)),
            "pretrained": "tide",
            "classifier": "ferry",
            "job": jobs[0],
            "classifying": jobs[1],
            "answering": jobs[3],
        }
    finally:
        for address in reversed(removing):
            client.delete(address).raise_for_status()


def _evaluation(model: str, dataset: str, evaluate: dict[str, Any]) -> dict[str, Any]:
    return {"recipe": "evaluate", "model": model, "dataset": dataset, "evaluate": evaluate}


def _answer(response: httpx.Response) -> Any:
    assert response.is_success, response.text
    return response.json()


def _flawed(client: httpx.Client, removing: list[str]) -> str:
    files = {"file": ("with-flaws.jsonl", FLAWED + '\n{"instruction": "Cut')}
    dataset = str(_answer(client.post("/datasets", files=files))["id"])
    removing.append(f"/datasets/{dataset}")
    return dataset


def _written(client: httpx.Client, model: str, removing: list[str]) -> str:
    """The id of a text that was generated and kept, with a way that leaves it."""
    sampling = {"temperature": 0.8, "seed": 7}
    asked = {"model": model, "prompt": "The sea was", "max_new_tokens": 24, "top_logprobs": 5} | sampling
    (choice,) = _answer(client.post("/generate", json=asked))["choices"]
    fields = ("id", "text", "bytes", "logprob", "sampled_logprob")
    tokens = [
        {name: token[name] for name in fields} | {"top": [{name: one[name] for name in fields} for one in token["top"]]}
        for token in choice["tokens"]
    ]
    kept = {"model": model, "sampling": sampling, "finish_reason": choice["finish_reason"]}
    tree = str(_answer(client.post("/branches", json=kept | {"prompt": asked["prompt"], "tokens": tokens}))["id"])
    removing.append(f"/branches/{tree}")
    another = tokens[3]["top"][1] | {"top": tokens[3]["top"], "chosen": True}
    leaving = kept | {"parent": tree, "at": 3, "tokens": [another, *tokens[4:12]]}
    return str(_answer(client.post("/branches", json=leaving))["id"])


def _done(client: httpx.Client, job: dict[str, Any], removing: list[str]) -> str:
    """The id of a job that has succeeded."""
    asked = _answer(client.post("/jobs", json=job))
    address = f"/jobs/{asked['id']}"
    removing.append(address)
    until = time.monotonic() + JOB_S
    while asked["status"] in ("validating_files", "queued", "running"):
        assert time.monotonic() < until, asked
        time.sleep(0.2)
        asked = _answer(client.get(address))
    assert asked["status"] == "succeeded", asked
    if job["recipe"] != "evaluate":
        removing.append(f"/models/{job['name']}")
    return str(asked["id"])
