"""`inkling tokenizers`: list the tokenizers of a running server, make one of your own, delete one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from app.cli import show
from app.cli.call import Json, Refused, Url, _ask, _client, _upload


def tokenizers(
    train: Annotated[str | None, typer.Option(help="Make one from this text file, or dataset's id.")] = None,
    name: Annotated[str | None, typer.Option(help="The name of the one that is made.")] = None,
    kind: Annotated[str, typer.Option(help="`bpe`, or the book's `word`.")] = "bpe",
    vocab_size: Annotated[int | None, typer.Option(help="Ids of a bpe tokenizer; 1000 where nothing is said.")] = None,
    special: Annotated[
        list[str] | None, typer.Option(help="A special token of a bpe tokenizer; may be repeated.")
    ] = None,
    version: Annotated[int | None, typer.Option(help="1 or 2, of a word tokenizer; 2 where nothing is said.")] = None,
    delete: Annotated[str | None, typer.Option(help="Delete the tokenizer of this name.")] = None,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """List the tokenizers; make one with --train, remove one with --delete."""
    if train and delete:
        raise Refused("--train makes one, --delete removes one: give one of them")
    if not train and (name or special or vocab_size or version):
        raise Refused("--name, --vocab-size, --special and --version are of a tokenizer to --train")
    with _client(url) as client:
        if train:
            fields = {"vocab_size": vocab_size, "special_tokens": special or None, "version": version}
            return _told(_train(client, train, name, kind, fields), as_json)
        if delete:
            answer = _ask(client, "DELETE", f"/tokenizers/{delete}")
            return show.as_json(answer) if as_json else show.output.print(f"deleted {delete}", markup=False)
        answer = _ask(client, "GET", "/tokenizers", params={"limit": 1000})
    if as_json:
        return show.as_json(answer)
    show.rows(
        ("name", "kind", "ids", "from"),
        ((t["name"], t["kind"], f"{t['vocab_size']:,}", _source(t)) for t in answer["data"]),
    )


def _train(client: httpx.Client, source: str, name: str | None, kind: str, fields: dict[str, Any]) -> Any:
    if name is None:
        raise Refused("--train wants --name, what the tokenizer is to be called")
    defaults = {"bpe": {"vocab_size": 1000}, "word": {"version": 2}}.get(kind, {})
    dataset = _upload(client, Path(source))["id"] if Path(source).is_file() else source
    given = {field: value for field, value in fields.items() if value is not None}
    return _ask(client, "POST", "/tokenizers", json={"name": name, "kind": kind, "dataset": dataset} | defaults | given)


def _told(made: dict[str, Any], as_json: bool) -> None:
    if as_json:
        return show.as_json(made)
    told = f"{made['name']}: {made['vocab_size']:,} ids from {made['trained_bytes']:,} bytes of text"
    show.output.print(f"{told}; try: inkling tokenize --tokenizer {made['name']} 'The'", markup=False, soft_wrap=True)


def _source(row: dict[str, Any]) -> str:
    if not row["available"]:
        return "not on this machine"
    return f"dataset {row['dataset_name']} ({row['dataset']})" if row["dataset"] else str(row["source"])
