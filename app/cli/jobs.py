"""`inkling jobs`: list the jobs of a running server, look at one, follow it, ask something of it."""

from __future__ import annotations

from typing import Annotated, Any

import httpx
import typer

from app.cli import show
from app.cli.call import Json, Refused, Url, _ask, _client, _follow


def jobs(
    job_id: Annotated[str | None, typer.Argument(help="One job; without it, all.")] = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel the job.")] = False,
    pause: Annotated[bool, typer.Option("--pause", help="Pause it, with a checkpoint.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Have a paused one go on.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Show its events until it ends or is paused.")] = False,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """List jobs, show or follow one, or have it cancelled, paused or resumed."""
    asked = [name for name, is_asked in (("cancel", cancel), ("pause", pause), ("resume", resume)) if is_asked]
    if len(asked) > 1:
        raise Refused(f"--{asked[0]} and --{asked[1]} are two things: ask one at a time")
    if job_id is None and (asked or follow):
        raise Refused(f"--{[*asked, 'follow'][0]} wants a job's id")
    with _client(url) as client:
        if job_id is None:
            answer = _ask(client, "GET", "/jobs")
        else:
            answer = _one(client, job_id, asked)
            if follow:
                answer = _follow(client, job_id, quiet=as_json)
    if as_json:
        return show.as_json(answer)
    found = answer["data"] if job_id is None else [answer]
    show.rows(
        ("id", "name", "status", "step"),
        ((j["id"], j["name"], j["status"], f"{j['step']}/{j['total_steps'] or '?'}") for j in found),
    )


def _one(client: httpx.Client, job_id: str, asked: list[str]) -> Any:
    if asked:
        return _ask(client, "POST", f"/jobs/{job_id}/{asked[0]}")
    return _ask(client, "GET", f"/jobs/{job_id}")
