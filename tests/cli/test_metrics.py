"""`inkling metrics` against a running server."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.config import Settings
from app.db.migrate import migrate
from app.db.tables.metric import MetricRow
from app.services.runtime import Runtime
from tests.cli.conftest import Command, Done
from tests.jobs_made import queued
from tests.serving import app_of, served


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    """Of a server with a job of 100 steps."""
    runtime = Runtime.open(settings)
    migrate(runtime.database)
    queued(runtime.database, id="job_1")
    with runtime.database.write() as session:
        session.add_all(MetricRow(job_id="job_1", step=step, loss=5 / step) for step in range(1, 101))
    with served(app_of(runtime)) as port:
        yield f"http://127.0.0.1:{port}"
    runtime.close()


def printed(done: Done) -> list[str]:
    """Lines of the command; the server, in this process, writes its log there, too."""
    assert done.status == 0, done.err
    return [line for line in done.out.splitlines() if "[debug" not in line]


def test_a_table_shows_the_curve(inkling: Command, url: str) -> None:
    lines = printed(inkling("metrics", "job_1", "--url", url))
    assert lines[0].split() == ["step", "loss", "val_loss", "learning_rate", "grad_norm", "tokens_per_s"]
    assert lines[1].split() == ["1", "5"]
    assert 15 <= len(lines) <= 21
    rows = json.loads("".join(printed(inkling("metrics", "job_1", "--points", "10", "--json", "--url", url))))["data"]
    assert len(rows) <= 10


def test_files_are_written_and_not_over_others(inkling: Command, url: str, tmp_path: Path) -> None:
    assert printed(inkling("metrics", "job_1", "--csv", "run.csv", "--url", url)) == ["run.csv"]
    rows = list(csv.DictReader((tmp_path / "run.csv").read_text().splitlines()))
    assert [int(row["step"]) for row in rows] == list(range(1, 101))
    printed(inkling("metrics", "job_1", "--tensorboard", "runs/one", "--url", url))
    (file,) = (tmp_path / "runs/one").iterdir()
    assert file.name == "events.out.tfevents.job_1"
    assert file.read_bytes().count(b"loss") == 100
    assert "is there already" in inkling("metrics", "job_1", "--csv", "run.csv", "--url", url).refusal


def test_a_refusal_is_one_line_and_leaves_no_file(inkling: Command, url: str, tmp_path: Path) -> None:
    assert "(job_not_found)" in inkling("metrics", "job_none", "--csv", "run.csv", "--url", url).refusal
    assert list(tmp_path.glob("*run*")) == []
    assert "one at a time" in inkling("metrics", "job_1", "--csv", "a", "--tensorboard", "b").refusal
