"""Runs one claimed evaluation to its end, in the process that was started for it.

What is found is written row by row under the job's fence; an attempt that comes later goes on behind it. It makes no
checkpoint and no model: its results are what is left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from app.db.tables import job as job_table
from app.db.tables.job import JobRow
from app.services import evaluate_accuracy, evaluate_answers, evaluate_choices, evaluate_judge, evaluate_perplexity
from app.services.evaluation_work import Work
from app.services.progress import Progress
from app.services.runtime import Runtime


class Kind(Protocol):
    """A module of this form is a kind of evaluation."""

    def run(self, work: Work) -> None:
        """Measure what was not measured yet.

        Raises:
            AppError, LLMError: it cannot be done any more; told to whoever asked for it.
            TrainingStopped: by `work.check()`.
        """

    def report(self, work: Work) -> list[dict[str, Any]]:
        """Of each model, in the job's order, what all rows together say; of what is measured by then."""


KINDS: dict[str, Kind] = {
    "perplexity": evaluate_perplexity,
    "accuracy": evaluate_accuracy,
    "answers": evaluate_answers,
    "judge": evaluate_judge,
    "choices": evaluate_choices,
}


def is_wanted(runtime: Runtime, job_id: str) -> bool:
    """Whether the job is an evaluation."""
    row = _job(runtime, job_id)
    return row is not None and row.evaluate is not None


def run(runtime: Runtime, progress: Progress, should_stop: Callable[[], str | None]) -> None:
    """Measure, or go on measuring; the job succeeds with a report.

    Raises:
        AppError, LLMError: it cannot be done any more.
        TrainingStopped: `should_stop` said why, or the job is lost.
    """
    job = _job(runtime, progress.job_id)
    assert job is not None, "is_wanted() was asked"
    assert job.evaluate is not None, "and said that it is one"
    work = Work(runtime, job, progress, should_stop)
    work.check()
    kind, span = KINDS[job.evaluate["kind"]], runtime.tracing.span
    with span("measure", kind_of_evaluation=job.evaluate["kind"], models=len(work.models)):
        kind.run(work)
    with span("report"):
        report = {"kind": job.evaluate["kind"], "dataset": work.rows.dataset.id, "models": kind.report(work)}
    with progress.writing() as session:
        row = job_table.hold(session, job.id, progress.fence)
        assert row is not None, "writing() holds it"
        row.report = report
        progress.succeed(session, None, None)


def _job(runtime: Runtime, job_id: str) -> JobRow | None:
    with runtime.database.read() as session:
        return job_table.get(session, job_id)
