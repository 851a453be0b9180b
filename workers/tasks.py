"""The one task. Its message is a nudge: which job runs is decided by the jobs table, never by the message."""

from __future__ import annotations

from celery import Celery

from app.log import get_logger
from app.services.queue import NUDGE
from workers.supervise import Supervisor

log = get_logger(__name__)


def add_tasks(celery: Celery, supervisor: Supervisor) -> None:
    """Have `celery` run queued jobs on a nudge. A second nudge for the same job finds it claimed and does nothing."""

    @celery.task(name=NUDGE, shared=False)  # type: ignore[untyped-decorator]  # Celery has no types
    def run_jobs(job_id: str) -> None:
        log.debug("nudged", job_id=job_id)
        supervisor.run_queued()
