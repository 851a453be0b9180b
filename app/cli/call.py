"""Commands that call a running server over HTTP; `tokenize` and `generate` run in this process with `--local`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from app.cli import local as in_process
from app.cli import show
from app.config import get_settings
from app.services.server_events import EventReader

Url = Annotated[str | None, typer.Option(help="The server to call (INKLING_URL).")]
Json = Annotated[bool, typer.Option("--json", help="Print the server's answer as JSON.")]
Local = Annotated[bool, typer.Option("--local", help="Run here, without a server.")]


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
    before: Annotated[
        str | None, typer.Option(help='The messages before that one, as JSON: [{"role": …, "content": …}, …].')
    ] = None,
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
    if before is not None and not chat:
        raise Refused("--before is of a conversation: say --chat, too")
    body |= {"messages": [*_messages(before), {"role": "user", "content": prompt}]} if chat else {"prompt": prompt}
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


def _messages(before: str | None) -> list[Any]:
    try:
        messages = json.loads(before or "[]")
    except ValueError as error:
        raise Refused(f"--before is no JSON: {error}") from None
    if not isinstance(messages, list):
        raise Refused("--before wants a list of messages")
    return messages


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
    settings = get_settings()
    headers = {"authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
    return httpx.Client(base_url=url or settings.effective_url, headers=headers, timeout=600)


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
        reader = EventReader()
        try:
            for data in (each for piece in answer.iter_bytes() for each in reader.push(piece)):
                if data == "[DONE]":
                    return
                yield _event(data)
        except (ValueError, RecursionError):
            raise Refused(f"an event from {answer.url} does not look like Inkling's") from None


def _event(data: str) -> dict[str, Any]:
    event = json.loads(data)
    if not isinstance(event, dict):
        raise ValueError("no object")
    if isinstance(error := event.get("error"), dict):
        raise Refused(str(error.get("message")))
    return event


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
