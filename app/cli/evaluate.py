"""`inkling eval`: measure models on a dataset, follow it, show what came of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from app.cli import curl, show
from app.cli.call import Json, Refused, Url, _ask, _client, _options, _upload
from app.cli.following import follow_job
from app.cli.train import DATASET_ID, Follow, Key, PrintCurl, Seed, said

SHOWN = {
    "perplexity": ("rows", "tokens", "nats_per_token", "perplexity", "bits_per_byte"),
    "accuracy": ("rows", "accuracy", "macro_f1", "calibration_error"),
    "answers": ("rows", "failed", "exact_match", "token_f1", "answer_tokens"),
    "judge": ("rows", "failed", "exact_match", "token_f1", "score", "scored", "unparsable", "judge_failed"),
    "choices": ("rows", "failed", "cut", "acc", "acc_stderr", "acc_norm", "acc_norm_stderr", "chance"),
}
VERDICTS = ("win", "loss", "tie", "disagreed", "unparsable", "failed")


def evaluate(
    kind: Annotated[str, typer.Argument(help="perplexity, accuracy, answers, judge or choices.")],
    dataset: Annotated[str, typer.Option(help="A file, or the id of a dataset.")],
    model: Annotated[str, typer.Option(help="The model to measure.")],
    against: Annotated[list[str] | None, typer.Option(help="Another model, on the same rows; may be repeated.")] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="What a column of rows is, as role=name; may be repeated.")
    ] = None,
    max_rows: Annotated[int | None, typer.Option(help="Of the rows so many, by chance.", min=1)] = None,
    judge: Annotated[str | None, typer.Option(help="judge: the model that marks.")] = None,
    judge_url: Annotated[str | None, typer.Option(help="judge: the server that has it, up to /v1.")] = None,
    judge_key_file: Annotated[Path | None, typer.Option(help="judge: a file with the server's API key.")] = None,
    pairwise: Annotated[bool, typer.Option("--pairwise", help="judge: compare with the one of --against.")] = False,
    option: Annotated[
        list[str] | None, typer.Option("--set", help="Another field of `evaluate`, as name=value; may be repeated.")
    ] = None,
    seed: Seed = None,
    key: Key = None,
    print_curl: PrintCurl = False,
    follow: Follow = True,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Measure models on a dataset: perplexity, accuracy, answers, a judge's marks, multiple choice."""
    measured = {"kind": kind} | _options(option or []) | said(max_rows=max_rows, against=against or None)
    measured |= {"pairwise": True} if pairwise else {}
    if judge_key_file is not None and print_curl:
        raise Refused("--print-curl would print the key: leave --judge-key-file out, and add `api_key` yourself")
    if judge is not None:
        secret = None if judge_key_file is None else judge_key_file.read_text().strip()
        measured["judge"] = said(model=judge, url=judge_url, api_key=secret)
    elif judge_url or judge_key_file:
        raise Refused("--judge-url and --judge-key-file go with --judge, the model's name there")
    columns = _options(column or [])
    body: dict[str, Any] = {"recipe": "evaluate", "model": model, "dataset": dataset, "evaluate": measured}
    body |= said(seed=seed) | ({"columns": columns} if columns else {})
    is_file = Path(dataset).is_file()
    with _client(url) as client:
        if print_curl:
            return _print_curl(client, body, dataset if is_file else None, key)
        if is_file:
            body["dataset"] = _upload(client, Path(dataset))["id"]
        job = _ask(client, "POST", "/jobs", json=body, headers={"idempotency-key": key} if key else {})
        if not follow:
            return show.as_json(job) if as_json else show.output.print(job["id"])
        job = follow_job(client, job["id"], quiet=as_json)
        if job["status"] != "succeeded":
            raise Refused(f"{job['id']} {job['status']}: {(job['error'] or {}).get('message', 'it has no report')}")
        report = _ask(client, "GET", f"/jobs/{job['id']}/report")
    return show.as_json(report | {"job": job["id"]}) if as_json else _show(job["id"], report)


def _show(job_id: str, report: dict[str, Any]) -> None:
    names = SHOWN[report["kind"]]
    models = report["models"]
    if "verdicts" in models[0]:
        names = (*names[:4], *VERDICTS)
        models = [model | model["verdicts"] | {"failed": model["failed"]} for model in models]
    show.rows(("model", *names), ([model["model"], *(_figure(model[name]) for name in names)] for model in models))
    show.output.print(f"row by row: GET /jobs/{job_id}/results", markup=False, style="dim")


def _figure(value: Any) -> Any:
    return f"{value:.4f}" if isinstance(value, float) else value


def _print_curl(client: httpx.Client, body: dict[str, Any], file: str | None, key: str | None) -> None:
    """The request; before it, where a file is to be uploaded, that one, whose answer has the dataset's id."""
    address = str(client.base_url).rstrip("/")
    if file is not None:
        curl.printed(client, "-F", f"file=@{file}", f"{address}/datasets")
        body = body | {"dataset": DATASET_ID}
    command = ["-X", "POST", f"{address}/jobs", "-H", "content-type: application/json"]
    command += ["-H", f"idempotency-key: {key}"] if key else []
    curl.printed(client, *command, "-d", json.dumps(body, ensure_ascii=False))
