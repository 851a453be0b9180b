"""`inkling models`: list, pull, import, export, load, unload, evaluations, delete. All of it asks a running server."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx
import typer

from app.cli import show
from app.cli.call import Json, Refused, Url, _ask, _client, _fetch

cli = typer.Typer(help="The models of the server: list, pull, import, export, load, unload, delete.")

NAME_CHARACTERS = 96
Name = Annotated[str | None, typer.Option(help="What to call it; by default the end of the path or repository.")]
TokenizerName = Annotated[str | None, typer.Option(help="A tokenizer of the server; by default the files' own.")]
MOST = 1000  # models that one answer brings
Licence = Annotated[str | None, typer.Option(help="What it may be used for.")]


@cli.callback(invoke_without_command=True)
def models(context: typer.Context, as_json: Json = False, url: Url = None) -> None:
    """List the models; word vectors have no context."""
    if context.invoked_subcommand is None:
        list_models(as_json, url)


@cli.command("list")
def list_models(as_json: Json = False, url: Url = None) -> None:
    """List the models; word vectors have no context."""
    with _client(url) as client:
        answer = _ask(client, "GET", "/models", params={"limit": MOST})
        while answer["has_more"]:
            page = _ask(client, "GET", "/models", params={"limit": MOST, "after": answer["data"][-1]["name"]})
            answer = page | {"data": answer["data"] + page["data"]}
    if as_json:
        return show.as_json(answer)
    columns = ("name", "family", "parameters", "context", "tokenizer", "source", "state")
    rows = [
        m | {"parameters": f"{m['parameters']:,}", "context": m["config"].get("context_length", "")}
        for m in answer["data"]
    ]
    show.rows(columns, ([row[column] for column in columns] for row in rows))


@cli.command("pull")
def pull(
    repository: Annotated[str, typer.Argument(help="gpt2, or owner/name on the hub.")],
    name: Name = None,
    revision: Annotated[str | None, typer.Option(help="A branch, tag or commit.")] = None,
    file: Annotated[str | None, typer.Option(help="The GGUF file to take, where there are several.")] = None,
    tokenizer: TokenizerName = None,
    licence: Licence = None,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Fetch a model from the public hub and import it."""
    source = {"hub": repository} | _given(revision=revision, file=file)
    body: dict[str, Any] = {"name": _name(name, repository.rpartition("/")[2]), "source": source}
    body |= _given(tokenizer=tokenizer, licence=licence)
    show.errors.print(f"pulling {repository}; this may take minutes, and goes on where it ended", markup=False)
    with _patient(url) as client:
        _made(_ask(client, "POST", "/models", json=body), as_json)


@cli.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="A folder, or one GGUF file.", exists=True)],
    name: Name = None,
    tokenizer: TokenizerName = None,
    licence: Licence = None,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Upload a model's files and import it."""
    paths = [path] if path.is_file() else _files(path)
    fields = {"name": _name(name, path.resolve().name.removesuffix(".gguf"))}
    fields |= _given(tokenizer=tokenizer, licence=licence)
    with ExitStack() as stack, _patient(url) as client:
        files = [("files", (one.name, stack.enter_context(one.open("rb")))) for one in paths]
        _made(_ask(client, "POST", "/models/upload", data=fields, files=files), as_json)


@cli.command("export")
def export(
    name: str,
    to: Annotated[
        Literal["huggingface", "gguf"], typer.Option("--format", help="Whose files to write.")
    ] = "huggingface",
    kind: Annotated[Literal["f32", "f16", "q8_0"], typer.Option("--type", help="Of the weights.")] = "f32",
    output: Annotated[
        Path | None, typer.Option(help="The folder or file to write; by default named as the model.")
    ] = None,
    url: Url = None,
) -> None:
    """Write a model for other programs."""
    place = output or Path(name if to == "huggingface" else f"{name}.{kind}.gguf")
    if place.exists():
        raise Refused(f"{place} is there already")
    aside = place.with_name(f".{place.name}.part")
    try:
        with _patient(url) as client:
            _fetch(client, f"/models/{name}/export", aside, {"format": to, "type": kind})
        if to == "gguf":
            aside.rename(place)
        else:
            _unpack(aside, place)
    finally:
        aside.unlink(missing_ok=True)
    show.output.print(f"{place}", markup=False)


@cli.command("load")
def load(name: str, as_json: Json = False, url: Url = None) -> None:
    """Load a model into memory."""
    _state(name, "load", as_json, url)


@cli.command("unload")
def unload(name: str, as_json: Json = False, url: Url = None) -> None:
    """Take an idle model out of memory."""
    _state(name, "unload", as_json, url)


@cli.command("evaluations")
def evaluations(name: str, as_json: Json = False, url: Url = None) -> None:
    """What evaluations measured of a model, newest first."""
    path = f"/models/{name}/evaluations"
    with _client(url) as client:
        answer = _ask(client, "GET", path, params={"limit": MOST})
        while answer["has_more"]:
            page = _ask(client, "GET", path, params={"limit": MOST, "after": answer["data"][-1]["job"]})
            answer = page | {"data": answer["data"] + page["data"]}
    if as_json:
        return show.as_json(answer)
    rows = ((one["job"], one["kind"], one["dataset_name"] or one["dataset"], _told(one)) for one in answer["data"])
    show.rows(("job", "kind", "dataset", "figures"), rows)


def _told(evaluation: dict[str, Any]) -> str:
    known = evaluation["figures"].items()
    return ", ".join(f"{name} {value:.4g}" for name, value in known if isinstance(value, int | float))


@cli.command("delete")
def delete(name: str, as_json: Json = False, url: Url = None) -> None:
    """Delete a model and its files."""
    with _client(url) as client:
        answer = _ask(client, "DELETE", f"/models/{name}")
    show.as_json(answer) if as_json else show.output.print(f"{name} is deleted", markup=False)


def _state(name: str, what: str, as_json: bool, url: str | None) -> None:
    with _patient(url) as client:
        answer = _ask(client, "POST", f"/models/{name}/{what}")
    show.as_json(answer) if as_json else show.output.print(f"{name} is {answer['state']}", markup=False)


def _made(model: dict[str, Any], as_json: bool) -> None:
    if as_json:
        return show.as_json(model)
    told = f"model {model['name']}: {model['parameters']:,} parameters, tokenizer {model['tokenizer']}"
    show.output.print(f"{told}; try: inkling generate --model {model['name']} 'The'", markup=False)


def _files(folder: Path) -> list[Path]:
    """The files of a folder that belong to a model, as the server would take them from its import directory."""
    from app.services.import_files import PICKLED, is_readable

    found = sorted(one for one in folder.iterdir() if one.is_file() and is_readable(one.name))
    if not any(one.name.endswith((".safetensors", ".gguf")) for one in found):
        found += sorted(one for one in folder.iterdir() if one.name.endswith(PICKLED))  # the server says what to do
    if not found:
        raise Refused(f"{folder} holds no file of a model")
    return found


def _unpack(archive: Path, place: Path) -> None:
    """The one folder of a tar, at `place`."""
    place.mkdir(parents=True)
    with tarfile.open(archive) as opened:
        for member in opened.getmembers():
            member.name = member.name.rpartition("/")[2]
            opened.extract(member, place, filter="data")


def _name(given: str | None, found: str) -> str:
    """The name given, or one made of what is there."""
    made = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in found)
    return given or made.lstrip("._-")[:NAME_CHARACTERS]


def _given(**fields: str | None) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value is not None}


@contextmanager
def _patient(url: str | None) -> Iterator[httpx.Client]:
    """A client that waits for as long as the work takes."""
    with _client(url) as client:
        client.timeout = httpx.Timeout(10.0, read=None, write=None)
        yield client
