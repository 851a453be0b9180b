"""`inkling train`: upload data, queue a job of a recipe, follow it. A recipe is a command of the group."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from typer.core import TyperGroup

from app.cli import curl, estimates, show
from app.cli.call import Json, Refused, Url, _ask, _client, _options, _upload
from app.cli.following import follow_job

DATASET_ID = "DATASET_ID"
"""In a printed request, what the answer to the upload before it has for an id."""


class Recipes(TyperGroup):
    """Without the name of a recipe, `pretrain` is meant."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "--help"):
            args = ["pretrain", *args]
        return super().parse_args(ctx, args)


cli = typer.Typer(
    cls=Recipes, help="Train a model: upload data, queue a job, follow it.", no_args_is_help=True, add_completion=False
)

Name = Annotated[str | None, typer.Option(help="The name of the model that comes out.")]
Preset = Annotated[str | None, typer.Option(help="Size of a new model.")]
TokenizerName = Annotated[str | None, typer.Option(help="Of a new model.")]
Steps = Annotated[int | None, typer.Option(help="Training steps.", min=1)]
Epochs = Annotated[int | None, typer.Option(help="How often the data is gone through.", min=1)]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Another field of `train`, as name=value; may be repeated.")
]
Seed = Annotated[int | None, typer.Option(help="Of all that is drawn.", min=0)]
Key = Annotated[str | None, typer.Option(help="An idempotency key: the same command again gives the same job.")]
Estimate = Annotated[bool, typer.Option("--estimate", help="Tell what it would take, and start nothing.")]
PrintCurl = Annotated[bool, typer.Option("--print-curl", help="Print the request as a curl command, and send nothing.")]
Follow = Annotated[bool, typer.Option(help="Show the job's events until it ends.")]


@dataclass(frozen=True)
class Asked:
    """How a job is asked for, whatever its recipe."""

    key: str | None = None
    estimate: bool = False
    print_curl: bool = False
    follow: bool = True
    as_json: bool = False
    url: str | None = None


def run(dataset: str, body: dict[str, Any], asked: Asked, hint: str) -> None:
    """Queue the job that `body` describes, of a file or a dataset, and follow it as asked.

    Args:
        dataset: a file, which is uploaded, or the id of a dataset; `DATASET_ID` in the body stands for it.
        hint: a command to try; `MODEL` in it stands for the model that comes out.
    """
    is_file = Path(dataset).is_file()
    with _client(asked.url) as client:
        if asked.print_curl:
            return _print_curl(client, dataset if is_file else None, body if is_file else _named(body, dataset), asked)
        body = _named(body, _upload(client, Path(dataset))["id"] if is_file else dataset)
        if asked.estimate:
            answer = _ask(client, "POST", "/jobs/estimate", json=body)
            return show.as_json(answer) if asked.as_json else estimates.show_estimate(answer)
        headers = {"idempotency-key": asked.key} if asked.key else {}
        job = _ask(client, "POST", "/jobs", json=body, headers=headers)
        if asked.follow:
            job = follow_job(client, job["id"], quiet=asked.as_json)
    if asked.as_json:
        show.as_json(job)
    elif not asked.follow:
        show.output.print(job["id"])
    if not asked.follow:
        return None
    if job["status"] != "succeeded":
        raise Refused(f"{job['id']} {job['status']}: {(job['error'] or {}).get('message', 'no model was made')}")
    if asked.as_json:
        return None
    made = job["result"]["model"]
    return show.output.print(f"model {made}; try: {hint.replace('MODEL', made)}", markup=False)


def base_of(model: str | None, preset: str | None) -> dict[str, Any]:
    """The field `model` of a job; nothing where nothing is said."""
    if model and preset:
        raise Refused("--model goes on from a model, --preset makes a new one: give one of them")
    return {"model": model} if model else {"model": {"preset": preset}} if preset else {}


def said(**fields: Any) -> dict[str, Any]:
    """Those that were given."""
    return {name: value for name, value in fields.items() if value not in (None, "")}


@cli.command("pretrain")
def pretrain(
    dataset: Annotated[str, typer.Argument(help="A file (a text, or rows), or the id of a dataset.")],
    name: Name = None,
    model: Annotated[str | None, typer.Option(help="Go on from this model instead of a new one.")] = None,
    preset: Preset = None,
    column: Annotated[str | None, typer.Option(help="Of rows, the column to learn from.")] = None,
    tokenizer: TokenizerName = None,
    steps: Steps = None,
    option: Settings = None,
    key: Key = None,
    estimate: Estimate = False,
    print_curl: PrintCurl = False,
    devices: Annotated[int, typer.Option(help="Divide each step among so many devices.", min=1)] = 1,
    shard: Annotated[str | None, typer.Option(help="Divide the network, too: auto, always or never.")] = None,
    follow: Follow = True,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Train a model on a text."""
    learnt: object = [{"dataset": DATASET_ID, "column": column}] if column else DATASET_ID
    body: dict[str, Any] = {"recipe": "pretrain", "dataset": learnt}
    body["train"] = _options(option or []) | said(max_steps=steps, shard=shard)
    body |= base_of(model, preset) | said(name=name, tokenizer=tokenizer)
    body |= {"devices": devices} if devices > 1 else {}
    run(dataset, body, Asked(key, estimate, print_curl, follow, as_json, url), "inkling generate --model MODEL 'The'")


@cli.command("classify")
def classify(
    dataset: Annotated[str, typer.Option(help="A file of rows (CSV, JSONL, Parquet), or the id of a dataset.")],
    text_column: Annotated[str | None, typer.Option(help="The column of texts; omitted: by its usual names.")] = None,
    label_column: Annotated[str | None, typer.Option(help="The column of classes.")] = None,
    base: Annotated[str | None, typer.Option(help="The model to make a classifier of; omitted: a new one.")] = None,
    name: Name = None,
    preset: Preset = None,
    tokenizer: TokenizerName = None,
    trainable: Annotated[str | None, typer.Option(help="head, last_block or all.")] = None,
    reads: Annotated[str | None, typer.Option(help="last_token, last_place or first_token.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longer texts are cut.", min=1)] = None,
    balanced: Annotated[bool | None, typer.Option(help="Of each class as many texts as of the smallest.")] = None,
    validation: Annotated[float | None, typer.Option(help="The share of the rows to measure on.")] = None,
    test: Annotated[float | None, typer.Option(help="The share that is held out for the report.")] = None,
    epochs: Epochs = None,
    steps: Steps = None,
    option: Settings = None,
    seed: Seed = None,
    key: Key = None,
    estimate: Estimate = False,
    print_curl: PrintCurl = False,
    follow: Follow = True,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Train a classifier on texts with labels."""
    body: dict[str, Any] = {"recipe": "classify", "dataset": DATASET_ID}
    columns = said(text=text_column, label=label_column)
    body |= {"columns": columns} if columns else {}
    body |= base_of(base, preset) | said(name=name, tokenizer=tokenizer, validation=validation, test=test, seed=seed)
    body["train"] = _options(option or []) | said(
        trainable=trainable,
        reads=reads,
        max_tokens=max_tokens,
        balanced=balanced,
        epochs=epochs,
        max_steps=steps,
    )
    run(dataset, body, Asked(key, estimate, print_curl, follow, as_json, url), "inkling classify MODEL 'a text'")


def _named(body: dict[str, Any], dataset_id: str) -> dict[str, Any]:
    """The body with the dataset's id in its place."""
    learnt = body["dataset"]
    named = dataset_id if learnt == DATASET_ID else [learnt[0] | {"dataset": dataset_id}]
    return body | {"dataset": named}


def _print_curl(client: httpx.Client, file: str | None, body: dict[str, Any], asked: Asked) -> None:
    """The request; before it, where a file is to be uploaded, that one, whose answer has the dataset's id."""
    address = str(client.base_url).rstrip("/")
    if file is not None:
        curl.printed(client, "-F", f"file=@{file}", f"{address}/datasets")
    command = ["-X", "POST", f"{address}/jobs/estimate" if asked.estimate else f"{address}/jobs"]
    command += ["-H", "content-type: application/json"]
    command += ["-H", f"idempotency-key: {asked.key}"] if asked.key else []
    curl.printed(client, *command, "-d", json.dumps(body, ensure_ascii=False))
