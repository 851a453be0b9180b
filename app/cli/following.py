"""A job's events on standard error until it rests: as lines, and on a terminal with a bar below them."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Any

import httpx
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.cli import show
from app.cli.call import _ask

RESTING = ("succeeded", "failed", "cancelled", "paused")
"""States of a job in which nothing more happens by itself."""
ASK_AGAIN_S = 0.5


def follow_job(client: httpx.Client, job_id: str, quiet: bool) -> Any:
    """Print a job's events until it ends or is paused; a connection that breaks is taken up where it was."""
    bar = None if quiet or not show.errors.is_terminal else _bar()
    with bar or nullcontext():
        return _until_it_rests(client, job_id, quiet, bar)


def _until_it_rests(client: httpx.Client, job_id: str, quiet: bool, bar: Progress | None) -> Any:
    last = 0
    steps = None if bar is None else bar.add_task("waiting", total=None)
    while True:
        page = _ask(client, "GET", f"/jobs/{job_id}/events", params={"after": last, "limit": 100})
        for event in page["data"]:
            last = event["id"]
            if bar is not None and steps is not None and event["type"] == "metrics":
                bar.update(steps, completed=event["data"]["step"], description=_figures(event["data"]))
            elif not quiet:
                show.errors.print(event["message"], markup=False)
        if page["data"]:
            continue
        job = _ask(client, "GET", f"/jobs/{job_id}")
        if bar is not None and steps is not None:
            bar.update(steps, total=job["total_steps"])
        if job["status"] in RESTING:
            return job
        time.sleep(ASK_AGAIN_S)


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=show.errors, transient=True)


def _figures(measured: dict[str, Any]) -> str:
    """The losses and the recipe's own figures of a step, in short."""
    named = {"loss": measured["loss"], "val": measured["val_loss"]} | (measured.get("figures") or {})
    return " ".join(f"{name} {value:.4g}" for name, value in named.items() if value is not None) or "training"
