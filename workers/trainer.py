"""The process that runs one claimed job: `python -m workers.trainer JOB FENCE`, started by the worker.

Where the job asks for several devices, `torchrun` starts one for each: the first holds the job, the others follow it.
Its standard input is a pipe from the worker; it ends when that does.
"""

from __future__ import annotations

import os
import sys

from app.config import Rank, rank_of_torchrun
from app.db.session import Database
from app.log import get_logger
from app.services.tracing import OFF, Tracing, open_tracing
from workers import watch
from workers.attempt import Attempt, begin
from workers.ending import FORCED_EXIT
from workers.watch import Watch

log = get_logger(__name__)


def main() -> int:
    """Hold the job and train, or follow; the exit status is 0 once the job's row says how it ended."""
    attempt = begin("workers.trainer", "Run one claimed job.")
    rank = rank_of_torchrun()
    if rank is not None and rank.number > 0:
        return _follow(attempt, rank)
    return _lead(attempt, rank)


def _lead(attempt: Attempt, rank: Rank | None) -> int:
    """Train under a span of the worker's; what was told of it is sent before the process ends."""
    tracing = open_tracing(attempt.settings, "inkling-trainer") if attempt.traceparent else OFF
    try:
        with tracing.span("trainer", parent=attempt.traceparent, job_id=attempt.job_id, pid=os.getpid()):
            return _train(attempt, rank, tracing)
    finally:
        tracing.end()


def _train(attempt: Attempt, rank: Rank | None, tracing: Tracing) -> int:
    settings, job_id, fence = attempt.settings, attempt.job_id, attempt.fence
    database = Database(settings.effective_database_url)
    held = Watch(database, job_id, fence, settings.lease_s)
    if not held.start():
        log.warning("job_not_held")
        return FORCED_EXIT

    from app.llm.train.ranks import ALONE, Together  # torch: seconds in which the lease is renewed already
    from app.services import memory, training
    from app.services.runtime import Runtime

    memory.keep_freed()
    runtime = Runtime.open(settings, tracing)
    ranks = ALONE if rank is None else Together.joined(f"{job_id}-{fence}", rank.here)
    try:
        training.run(runtime, job_id, fence, should_stop=held.should_stop, ranks=ranks)
        ranks.leave()
    finally:
        held.end()
        runtime.close()
        database.dispose()
    return 0


def _follow(attempt: Attempt, rank: Rank) -> int:
    watch.end_after_the_worker()

    from app.llm.train.ranks import Together
    from app.services import following
    from app.services.runtime import Runtime

    runtime = Runtime.open(attempt.settings)
    try:
        ranks = Together.joined(f"{attempt.job_id}-{attempt.fence}", rank.here)
        following.follow(runtime, attempt.job_id, ranks, rank.on_this_machine)
        ranks.leave()
    finally:
        runtime.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
