"""`inkling jobs`: list the jobs of a running server, look at one, follow it, ask something of it."""

from __future__ import annotations

from typing import Annotated, Any

import httpx
import typer

from app.cli import show
from app.cli.call import Json, Refused, Url, _ask, _client, _options
from app.cli.following import follow_job

Id = Annotated[str | None, typer.Argument(help="One job; without it, all.")]


def jobs(
    job_id: Id = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel the job.")] = False,
    keep_model: Annotated[bool, typer.Option("--keep-model", help="With --cancel: keep a model of it.")] = False,
    pause: Annotated[bool, typer.Option("--pause", help="Pause it, with a checkpoint.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Have a paused one go on.")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Try a failed or cancelled one again.")] = False,
    duplicate: Annotated[bool, typer.Option("--duplicate", help="Queue another like it.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete it; the model that it made stays.")] = False,
    priority: Annotated[int | None, typer.Option(help="Let one that waits go before others, or after.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="With --duplicate: a field of `train` that is otherwise, as name=value; repeatable."
        ),
    ] = None,
    status: Annotated[list[str] | None, typer.Option(help="List those in this state; repeatable.")] = None,
    recipe: Annotated[str | None, typer.Option(help="List those of this recipe.")] = None,
    model: Annotated[str | None, typer.Option(help="List those that make this model or go on from it.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Show its events until it ends or is paused.")] = False,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """List jobs, show or follow one, or ask something of it."""
    flags = {"cancel": cancel, "pause": pause, "resume": resume, "retry": retry}
    flags |= {"duplicate": duplicate, "delete": delete, "priority": priority is not None}
    asked = [name for name, is_asked in flags.items() if is_asked]
    _check(job_id, asked, follow, option, keep_model)
    if job_id is not None and (status or recipe or model):
        raise Refused("--status, --recipe and --model choose from the list: leave the id out")
    with _client(url) as client:
        if job_id is None:
            wanted = {"status": status or [], "recipe": recipe, "model": model}
            named = {name: value for name, value in wanted.items() if value}
            answer = _ask(client, "GET", "/jobs", params=named)
        else:
            bodies = {"cancel": {"keep_model": keep_model}, "priority": {"priority": priority}}
            bodies["duplicate"] = {"train": _options(option or [])}
            answer = _one(client, job_id, asked, bodies)
            if follow:
                answer = follow_job(client, answer["id"], quiet=as_json)
    if as_json:
        return show.as_json(answer)
    if delete:
        return show.output.print(f"deleted {job_id}", markup=False)
    _show(answer["data"] if job_id is None else [answer])


def _show(found: list[dict[str, Any]]) -> None:
    for job in found:
        if job["waiting_for"]:
            show.errors.print(f"{job['id']} waits: {job['waiting_for']}", markup=False)
    show.rows(
        ("id", "name", "status", "step"),
        ((j["id"], j["name"], j["status"], f"{j['step']}/{j['total_steps'] or '?'}") for j in found),
    )


def _check(job_id: str | None, asked: list[str], follow: bool, option: list[str] | None, keep_model: bool) -> None:
    if len(asked) > 1:
        raise Refused(f"--{asked[0]} and --{asked[1]} are two things: ask one at a time")
    if job_id is None and (asked or follow):
        raise Refused(f"--{[*asked, 'follow'][0]} wants a job's id")
    if option and asked != ["duplicate"]:
        raise Refused("--set goes with --duplicate")
    if keep_model and asked != ["cancel"]:
        raise Refused("--keep-model goes with --cancel")
    if follow and asked == ["delete"]:
        raise Refused("a deleted job cannot be followed")


def _one(client: httpx.Client, job_id: str, asked: list[str], bodies: dict[str, Any]) -> Any:
    path = f"/jobs/{job_id}"
    match asked:
        case []:
            return _ask(client, "GET", path)
        case ["delete"]:
            return _ask(client, "DELETE", path)
        case ["priority"]:
            return _ask(client, "PATCH", path, json=bodies["priority"])
        case _:
            return _ask(client, "POST", f"{path}/{asked[0]}", json=bodies.get(asked[0]))
