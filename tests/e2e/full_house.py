"""A data directory with something of everything: models, tokenizers, datasets, ended jobs with all they leave behind.

Made in this process, so that a service that is started on it needs no worker, and can start no training.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fastapi import FastAPI, Response

from tests.evaluated import House, house_on, settings_in
from tests.no_assets import no_assets
from tests.weight_files import CONFIGS, a_folder, a_network

CLASSES = ("ham", "spam")
CHAT = "chatty"
"""A model with a chat template and a tokenizer of bytes."""
BRANCH = {"model": CHAT, "prompt": "hello", "sampling": {"seed": 1}, "tokens": [], "finish_reason": "stop"}


def furnish(folder: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Fill `folder / "data"`.

    Returns:
        The settings of a service on it, beside the data directory: small, and away from all networks. And what there
        is, by the names of the fields and the parts of paths that may name it.
    """
    assets = no_assets(folder / "assets")
    with house_on(settings_in(folder)) as house:
        _chat_model(house, folder / "files")
        house.add_classifier("sorter", CLASSES)
        tasks = [{"instruction": f"Say {number}.", "output": f"{number}"} for number in range(12)]
        answers = house.add_rows(tasks)
        labelled = house.add_rows([{"text": f"row {number}", "label": CLASSES[number % 2]} for number in range(24)])
        small = {"max_steps": 4, "batch_size": 2, "eval_every": 2, "checkpoint_every": 2}
        words = small | {"context_length": 16}
        jobs = [
            house.done({"kind": "perplexity"}),
            house.done({"kind": "accuracy"}, model="sorter", dataset=labelled),
            _trained(house, recipe="pretrain", dataset="the-tide-clock", name="small", train=words),
            _trained(house, recipe="classify", dataset=labelled, model="one", name="taught", train=small),
        ]
        branch = str(house.client.post("/branches", json=BRANCH).json()["id"])
    settings = {
        "assets_dir": str(assets),
        "default_model": CHAT,
        "default_tokenizer": CHAT,
        "request_timeout_s": "5",
        "max_text_bytes": str(16 * 1024),
        "max_upload_bytes": str(1024 * 1024),
        "max_model_upload_bytes": str(4 * 1024 * 1024),
        "drain_s": "2",
    }
    return settings, _by_place(["the-tide-clock", answers, labelled], jobs, branch)


def _by_place(datasets: list[str], jobs: list[str], branch: str) -> dict[str, list[str]]:
    models = [CHAT, "one", "two", "sorter", "small", "taught"]
    tokenizers = [CHAT, "tides"]
    return {
        "model": models,
        "models.name": models,
        "tokenizer": tokenizers,
        "tokenizers.name": tokenizers,
        "dataset": datasets,
        "training_file": datasets,
        "datasets.dataset_id": datasets,
        "files.file_id": datasets,
        "jobs.job_id": jobs,
        "fine_tuning.job_id": jobs,
        "branches.branch_id": [branch],
    }


def empty_hub() -> FastAPI:
    """A hub that has no repository, as huggingface.co says it."""
    app = FastAPI()
    headers = {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}
    app.add_api_route("/{path:path}", lambda path: Response(status_code=404, headers=headers))
    return app


def _chat_model(house: House, place: Path) -> None:
    source = a_folder(place, a_network(replace(CONFIGS["llama"], context_length=256)))
    files = [("files", (path.name, path.read_bytes())) for path in sorted(source.iterdir())]
    made = house.client.post("/models/upload", data={"name": CHAT}, files=files)
    assert made.status_code == 201, made.text


def _trained(house: House, **body: object) -> str:
    model = {} if "model" in body else {"model": {"preset": "gpt-tiny"}}
    made = house.client.post("/jobs", json=model | body)
    assert made.status_code == 202, made.text
    row = house.run()
    assert row.status == "succeeded", row.error
    return row.id
