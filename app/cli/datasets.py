"""`inkling datasets`: list the datasets of a running server, upload one, look into one, pull a public one."""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import httpx
import typer

from app.cli import show
from app.cli.call import Json, Refused, Url, _ask, _client, _upload
from app.config import get_settings
from app.services import public_sets
from app.services.outgoing import Way
from app.services.public_sets import PublicSet

cli = typer.Typer(help="The datasets of the server: list, upload, look into, report on, pull a public one.")

MOST = 1000  # datasets that one answer brings


@cli.callback(invoke_without_command=True)
def datasets(
    command: typer.Context,
    upload: Annotated[
        Path | None, typer.Option(help="A text, or rows as .jsonl, .csv, .parquet.", exists=True, dir_okay=False)
    ] = None,
    kind: Annotated[str | None, typer.Option(help="What the rows to --upload are for; else guessed.")] = None,
    look_into: Annotated[
        str | None, typer.Option("--show", help="Print the beginning of the dataset of this id.")
    ] = None,
    report: Annotated[
        str | None, typer.Option(help="Report on the dataset of this id before it is trained on.")
    ] = None,
    tokenizer: Annotated[str | None, typer.Option(help="Counts the tokens of a --report.")] = None,
    context: Annotated[int | None, typer.Option(help="Tokens that the model will take, for a --report.", min=1)] = None,
    validation: Annotated[str | None, typer.Option(help="What of this dataset is in that of a --report?")] = None,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """List the datasets; upload one with --upload, look into one with --show, report on one with --report."""
    if command.invoked_subcommand is not None:
        if any(command.params.values()):
            raise Refused(f"options of `datasets {command.invoked_subcommand}` stand behind its name")
        return None
    asked = {"tokenizer": tokenizer, "context_length": context, "validation": validation}
    asked = {name: value for name, value in asked.items() if value is not None}
    if asked and not report:
        raise Refused("--tokenizer, --context and --validation are of a --report")
    if kind and not upload:
        raise Refused("--kind is of rows to --upload")
    if sum(given is not None for given in (upload, look_into, report)) > 1:
        raise Refused("--upload adds one, --show prints one, --report reports on one: give one of them")
    with _client(url) as client:
        if look_into:
            answer = _ask(client, "GET", f"/datasets/{look_into}/preview")
            return show.as_json(answer) if as_json else _shown(answer)
        if report:
            answer = _ask(client, "GET", f"/datasets/{report}/report", params=asked)
            return show.as_json(answer) if as_json else _reported(answer)
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


@cli.command("pull")
def pull(
    name: Annotated[str, typer.Argument(help=", ".join(one.name for one in public_sets.SETS))],
    output: Annotated[Path | None, typer.Option(help="Write it to this file, and upload nothing.")] = None,
    mirror: Annotated[
        str | None, typer.Option(help="A server that has the files, under the paths that their makers' have.")
    ] = None,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Fetch a public text or set of rows from its maker and upload it: what the documentation trains on."""
    wanted = public_sets.named(name)
    if output is not None:
        if as_json or url:
            raise Refused("--output writes a file and asks no server: leave --json and --url out")
        return _write_rows(wanted, mirror, output)
    with _client(url) as client:
        there = _all(client)  # asked first: without a server nothing is fetched
        rows = public_sets.fetch(wanted, mirror, Way.of(get_settings()))
        digest = hashlib.sha256(rows).hexdigest()
        twin = next((one for one in there if one["sha256"] == digest), None)
        dataset = _upload_rows(client, wanted, rows) if twin is None else twin
    if as_json:
        return show.as_json(dataset)
    _tell_pulled(wanted, f"dataset {dataset['id']}{'' if twin is None else ' (there already)'}", dataset["id"])


def _all(client: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        after = {"after": found[-1]["id"]} if found else {}
        page = _ask(client, "GET", "/datasets", params={"limit": MOST} | after)
        found += page["data"]
        if not page["has_more"]:
            return found


def _upload_rows(client: httpx.Client, wanted: PublicSet, rows: bytes) -> Any:
    with TemporaryDirectory() as folder:
        file = Path(folder) / wanted.file_name
        file.write_bytes(rows)
        return _upload(client, file, kind=wanted.kind)


def _write_rows(wanted: PublicSet, mirror: str | None, place: Path) -> None:
    if place.exists():
        raise Refused(f"{place} is there already")
    rows = public_sets.fetch(wanted, mirror, Way.of(get_settings()))
    aside = place.with_name(f".{place.name}.part")
    try:
        aside.write_bytes(rows)
        aside.rename(place)
    finally:
        aside.unlink(missing_ok=True)
    _tell_pulled(wanted, str(place), str(place))


def _tell_pulled(wanted: PublicSet, made: str, dataset: str) -> None:
    base = get_settings().default_model
    show.errors.print(f"{wanted.name}: {wanted.licence}", markup=False)
    if wanted.left_out:
        show.errors.print(f"left out: {wanted.left_out}", markup=False)
    text = ["inkling", "train", dataset, "--preset", "gpt-tiny"]
    rows = ["inkling", "train", wanted.recipe, "--dataset", dataset, "--base", base]
    hint = shlex.join(text if wanted.kind == "text" else rows)
    show.output.print(f"{made}; try: {hint}", markup=False)


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


def _reported(report: dict[str, Any]) -> None:
    looked_at, lengths, twins = report["looked_at"], report["lengths"], report["duplicates"]
    sample = f", one in {looked_at['one_in']} of all" if looked_at["sampled"] else ""
    lines: list[tuple[str, str]] = [
        ("looked at", f"{looked_at['count']:,} {looked_at['unit']}s{sample}"),
        ("kind", f"{report['kind']}, {report['format']}"),
        ("errors", _with_lines(report["errors"]["count"], report["errors"]["data"])),
        ("empty", f"{report['empty']['count']:,}"),
        ("duplicates", f"{twins['count']:,} ({twins['share']:.1%})"),
    ]
    if report["overlap"]:
        overlap = report["overlap"]
        lines.append(("overlap", f"{overlap['count']:,} of {overlap['dataset']} ({overlap['share']:.1%})"))
    too_long = f"{lengths['too_long']:,} longer than {lengths['context_length']:,} ({lengths['too_long_share']:.1%})"
    lines.append(("tokens", f"{lengths['tokens']:,} ({lengths['tokenizer']}); {too_long}"))
    for bucket in lengths["buckets"]:
        end = f"up to {bucket['up_to']:,}" if bucket["up_to"] is not None else f"over {bucket['over']:,}"
        lines.append((f"  {end}", f"{bucket['count']:,}"))
    for special in report["special_tokens"]:
        lines.append(
            ("special token", f"{special['token']} {special['count']:,} times, first in line {special['line']}")
        )
    if report["classes"]:
        lines.extend((f"class {one['label']}", f"{one['count']:,}") for one in report["classes"]["data"])
    show.rows(("", report["id"]), lines)


def _with_lines(count: int, errors: list[dict[str, Any]]) -> str:
    shown = "; ".join(f"line {error['line']}: {error['field'] or ''} {error['reason']}" for error in errors[:5])
    return f"{count:,}{': ' if shown else ''}{shown}"


def _count(rows: int | None) -> str:
    return "" if rows is None else f"{rows:,}"
