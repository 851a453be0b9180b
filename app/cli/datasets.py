"""`inkling datasets`: list the datasets of a running server, upload one, look into one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli import show
from app.cli.call import Json, Refused, Url, _ask, _client, _upload


def datasets(
    upload: Annotated[
        Path | None, typer.Option(help="A text, or rows as .jsonl, .csv, .parquet.", exists=True, dir_okay=False)
    ] = None,
    kind: Annotated[str | None, typer.Option(help="What the rows to --upload are for; else guessed.")] = None,
    look_into: Annotated[
        str | None, typer.Option("--show", help="Print the beginning of the dataset of this id.")
    ] = None,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """List the datasets; upload one with --upload, look into one with --show."""
    if kind and not upload:
        raise Refused("--kind is of rows to --upload")
    if upload and look_into:
        raise Refused("--upload adds one, --show prints one: give one of them")
    with _client(url) as client:
        if look_into:
            answer = _ask(client, "GET", f"/datasets/{look_into}/preview")
            return show.as_json(answer) if as_json else _shown(answer)
        if upload:
            _tell_bad_rows(_upload(client, upload, **({"kind": kind} if kind else {})))
        answer = _ask(client, "GET", "/datasets")
    if as_json:
        return show.as_json(answer)
    show.rows(
        ("id", "name", "kind", "format", "bytes", "characters", "rows"),
        (
            (d["id"], d["name"], d["kind"], d["format"], f"{d['bytes']:,}", f"{d['characters']:,}", _count(d["rows"]))
            for d in answer["data"]
        ),
    )


def _tell_bad_rows(dataset: dict[str, Any]) -> None:
    report = dataset["report"]
    if report["bad_rows"]:
        show.errors.print(f"{report['bad_rows']:,} rows cannot be read and are left out:", markup=False)
    for error in report["errors"]:
        field = f", {error['field']}" if error["field"] else ""
        show.errors.print(f"line {error['line']}{field}: {error['reason']}", markup=False)


def _shown(answer: dict[str, Any]) -> None:
    if answer["rows"] is None:
        return show.text(answer["text"] + ("" if answer["text"].endswith("\n") else "\n"))
    for row in answer["rows"]:
        show.text(f"{row['line']}\t{json.dumps(row['values'], ensure_ascii=False)}\n")


def _count(rows: int | None) -> str:
    return "" if rows is None else f"{rows:,}"
