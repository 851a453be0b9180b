"""`inkling metrics`: what a job measured, as a table, as CSV, or as a folder for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import httpx
import typer

from app.cli import show
from app.cli.call import Json, Refused, Url, _ask, _client, _fetch

SHOWN = 20
COLUMNS = ("step", "loss", "val_loss", "learning_rate", "grad_norm", "tokens_per_s")


def metrics(
    job_id: str,
    csv: Annotated[Path | None, typer.Option(help="Write all steps to this file.")] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(help="Write an event file into this folder, for `tensorboard --logdir`.")
    ] = None,
    points: Annotated[int, typer.Option(help="How many steps to show.", min=10, max=5000)] = SHOWN,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Show what a job measured, or write it for other programs."""
    if csv is not None and tensorboard is not None:
        raise Refused("--csv and --tensorboard are two things: ask one at a time")
    with _client(url) as client:
        if csv is not None:
            place = csv
            _save(client, f"/jobs/{job_id}/metrics.csv", place)
        elif tensorboard is not None:
            place = tensorboard / f"events.out.tfevents.{job_id}"
            _save(client, f"/jobs/{job_id}/tensorboard", place)
        else:
            answer = _ask(client, "GET", f"/jobs/{job_id}/metrics", params={"points": points})
            if as_json:
                return show.as_json(answer)
            return show.rows(COLUMNS, ([_short(row[name]) for name in COLUMNS] for row in answer["data"]))
    show.output.print(f"{place}", markup=False)


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _save(client: httpx.Client, path: str, place: Path) -> None:
    """Write what the server sends to a new file, whole or not at all."""
    if place.exists():
        raise Refused(f"{place} is there already")
    place.parent.mkdir(parents=True, exist_ok=True)
    aside = place.with_name(f".{place.name}.part")
    try:
        _fetch(client, path, aside)
        aside.rename(place)
    finally:
        aside.unlink(missing_ok=True)
