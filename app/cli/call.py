"""Commands that call a running server over HTTP; `tokenize` and `generate` run in this process with `--local`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from app.cli import estimates, show
from app.cli import local as in_process
from app.config import get_settings

Url = Annotated[str | None, typer.Option(help="The server to call (INKLING_URL).")]
Json = Annotated[bool, typer.Option("--json", help="Print the server's answer as JSON.")]
Local = Annotated[bool, typer.Option("--local", help="Run here, without a server.")]
RESTING = ("succeeded", "failed", "cancelled", "paused")
"""States of a job in which nothing more happens by itself."""


class Refused(Exception):
    """The server refused; the message is its own."""


def tokenize(
    text: str,
    tokenizer: str | None = None,
    parse: bool = False,
    local: Local = False,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Show the tokens of a text: id, characters covered, bytes."""
    body = {"text": text, "specials": "parse" if parse else "text"} | ({"tokenizer": tokenizer} if tokenizer else {})
    if local:
        answer = in_process.tokenize(body)
    else:
        with _client(url) as client:
            answer = _ask(client, "POST", "/tokenize", json=body)
    if as_json:
        return show.as_json(answer)
    tokens = answer["tokens"]
    show.rows(
        ("id", "text", "span", "bytes"),
        ((t["id"], repr(t["text"]), f"{t['start']}–{t['end']}", bytes(t["bytes"]).hex(" ")) for t in tokens),
    )
    show.output.print(f"{answer['count']} tokens, {answer['tokenizer']}", style="dim")


def generate(
    prompt: str,
    model: str | None = None,
    chat: Annotated[bool, typer.Option(help="Send the prompt as a chat message.")] = False,
    option: Annotated[
        list[str] | None, typer.Option("--set", help="Another field of POST /generate, as name=value; may be repeated.")
    ] = None,
    max_new_tokens: int | None = None,
    temperature: float | None = None,
    seed: int | None = None,
    local: Local = False,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Continue a prompt, as it is written."""
    fields: dict[str, Any] = {
        "model": model,
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "seed": seed,
    }
    body = {name: value for name, value in fields.items() if value is not None} | _options(option or [])
    body |= {"messages": [{"role": "user", "content": prompt}]} if chat else {"prompt": prompt}
    if "stream" in body:
        raise Refused("stream is not for --set: text is printed as it comes, and with --json as one answer")
    if local and as_json:
        return show.as_json(in_process.answer(body))
    if local:
        return _write(in_process.generate(body), "" if chat else prompt)
    with _client(url) as client:
        if as_json:
            return show.as_json(_ask(client, "POST", "/generate", json=body))
        events = _events(client, "POST", "/generate", json=body | {"stream": True})
        return _write(events, "" if chat else prompt)


def train(
    dataset: Annotated[str, typer.Argument(help="A file (a text, or rows), or the id of a dataset.")],
    name: Annotated[str | None, typer.Option(help="The name of the model that comes out.")] = None,
    model: Annotated[str | None, typer.Option(help="Go on from this model instead of a new one.")] = None,
    preset: Annotated[str | None, typer.Option(help="Size of a new model.")] = None,
    column: Annotated[str | None, typer.Option(help="Of rows, the column to learn from.")] = None,
    tokenizer: str | None = None,
    steps: Annotated[int | None, typer.Option(help="Training steps.", min=1)] = None,
    option: Annotated[
        list[str] | None, typer.Option("--set", help="Another field of `train`, as name=value; may be repeated.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="An idempotency key: the same command again gives the same job.")
    ] = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="Tell what it would take, and start nothing.")] = False,
    devices: Annotated[int, typer.Option(help="Divide each step among so many devices.", min=1)] = 1,
    follow: Annotated[bool, typer.Option(help="Show the job's events until it ends.")] = True,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Train a model on a text: upload it, queue a job, follow it."""
    if model and preset:
        raise Refused("--model goes on from a model, --preset makes a new one: give one of them")
    with _client(url) as client:
        dataset_id = _upload(client, Path(dataset))["id"] if Path(dataset).is_file() else dataset
        training = _options(option or []) | ({"max_steps": steps} if steps else {})
        learnt: object = [{"dataset": dataset_id, "column": column}] if column else dataset_id
        body: dict[str, Any] = {"recipe": "pretrain", "dataset": learnt, "train": training}
        body |= {"model": model} if model else {"model": {"preset": preset}} if preset else {}
        body |= {key: value for key, value in (("name", name), ("tokenizer", tokenizer)) if value}
        body |= {"devices": devices} if devices > 1 else {}
        if estimate:
            answer = _ask(client, "POST", "/jobs/estimate", json=body)
            return show.as_json(answer) if as_json else estimates.show_estimate(answer)
        job = _ask(client, "POST", "/jobs", json=body, headers={"idempotency-key": key} if key else {})
        if follow:
            job = _follow(client, job["id"], quiet=as_json)
    if as_json:
        return show.as_json(job)
    if not follow:
        return show.output.print(job["id"])
    if job["status"] != "succeeded":
        raise Refused(f"{job['id']} {job['status']}: {(job['error'] or {}).get('message', 'no model was made')}")
    show.output.print(f"model {job['result']['model']}; try: inkling generate --model {job['result']['model']} 'The'")


def _write(events: Iterator[dict[str, Any]], opening: str) -> None:
    """The opening and what is written after it, as it comes. Further continuations follow, each under a line."""
    others: dict[int, str] = {}
    begun = False  # a refusal comes before the first event
    try:
        for event in events:
            if not begun:
                show.text(opening)
                begun = True
            piece = event.get("token", {}).get("text", "")
            if event["index"] == 0:
                show.text(piece)
            else:
                others[event["index"]] = others.get(event["index"], "") + piece
    finally:
        show.text("\n" if begun else "")
    for index, text in sorted(others.items()):
        show.text(f"--- {index + 1}\n{opening}{text}\n")


def _client(url: str | None) -> httpx.Client:
    return httpx.Client(base_url=url or get_settings().effective_url, timeout=600)


def _ask(client: httpx.Client, method: str, path: str, **request: Any) -> Any:
    answer = client.request(method, path, **request)
    if answer.is_error:
        raise Refused(_refusal(answer))
    try:
        return answer.json()
    except ValueError:
        raise Refused(_refusal(answer)) from None


def _refusal(answer: httpx.Response) -> str:
    try:
        error = answer.json()["error"]
        return f"{error['message']} ({error['code']})"
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code} from {answer.url}, which does not look like Inkling"


def _events(client: httpx.Client, method: str, path: str, **request: Any) -> Iterator[dict[str, Any]]:
    """Server-sent events of one answer, each one's data read as JSON, up to [DONE] or the end."""
    with client.stream(method, path, **request) as answer:
        if answer.is_error:
            answer.read()
            raise Refused(_refusal(answer))
        for line in answer.iter_lines():
            if not line.startswith("data:"):
                continue
            data = line.removeprefix("data:").strip()
            if data == "[DONE]":
                return
            event = json.loads(data)
            if "error" in event and isinstance(event["error"], dict):
                raise Refused(event["error"]["message"])
            yield event


def _fetch(client: httpx.Client, path: str, place: Path, query: dict[str, str] | None = None) -> None:
    """Write what the server sends to a file."""
    with client.stream("GET", path, params=query) as answer:
        if answer.is_error:
            answer.read()
            raise Refused(_refusal(answer))
        with place.open("wb") as file:
            for piece in answer.iter_bytes():
                file.write(piece)


def _upload(client: httpx.Client, path: Path, **said: str) -> Any:
    with path.open("rb") as file:
        return _ask(client, "POST", "/datasets", files={"file": (path.name, file)}, data=said)


def _follow(client: httpx.Client, job_id: str, quiet: bool) -> Any:
    """Print a job's events until it ends or is paused; a connection that breaks is taken up where it was."""
    last = 0
    while True:
        page = _ask(client, "GET", f"/jobs/{job_id}/events", params={"after": last, "limit": 100})
        for event in page["data"]:
            last = event["id"]
            if not quiet:
                show.errors.print(event["message"], markup=False)
        if page["data"]:
            continue
        job = _ask(client, "GET", f"/jobs/{job_id}")
        if job["status"] in RESTING:
            return job
        time.sleep(0.5)


def _options(pairs: list[str]) -> dict[str, Any]:
    """`name=value` pairs; a value is read as JSON where it is JSON, else as text."""
    options: dict[str, Any] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator:
            raise Refused(f"--set wants name=value, not {pair!r}")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options
