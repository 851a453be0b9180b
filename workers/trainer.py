"""The process that runs one claimed job: `python -m workers.trainer JOB FENCE`, started by the worker.

Where the job asks for several devices, `torchrun` starts one for each: the first holds the job, the others follow it.
Its standard input is a pipe from the worker; it ends when that does.
"""

from __future__ import annotations

import argparse
import os
import sys

from app.config import Rank, get_settings, rank_of_torchrun
from app.db.session import Database
from app.log import bind_contextvars, configure_logging, get_logger
from workers import watch
from workers.ending import FORCED_EXIT
from workers.watch import Watch

NICE = 10  # answers to people go before training

log = get_logger(__name__)


def main() -> int:
    """Hold the job and train, or follow; the exit status is 0 once the job's row says how it ended."""
    parser = argparse.ArgumentParser(prog="python -m workers.trainer", description="Run one claimed job.")
    parser.add_argument("job_id")
    parser.add_argument("fence", type=int)
    wanted = parser.parse_args()
    settings = get_settings()
    configure_logging(settings.log_level, settings.log_format)
    bind_contextvars(job_id=wanted.job_id, fence=wanted.fence)
    os.nice(NICE)
    rank = rank_of_torchrun()
    if rank is not None and rank.number > 0:
        return _follow(wanted.job_id, wanted.fence, rank)
    return _lead(wanted.job_id, wanted.fence, rank)


def _lead(job_id: str, fence: int, rank: Rank | None) -> int:
    settings = get_settings()
    database = Database(settings.effective_database_url)
    held = Watch(database, job_id, fence, settings.lease_s)
    if not held.start():
        log.warning("job_not_held")
        return FORCED_EXIT

    from app.llm.train.ranks import ALONE, Together  # torch: seconds in which the lease is renewed already
    from app.services import memory, training
    from app.services.runtime import Runtime

    memory.keep_freed()
    runtime = Runtime.open(settings)
    ranks = ALONE if rank is None else Together.joined(f"{job_id}-{fence}", rank.here)
    try:
        training.run(runtime, job_id, fence, should_stop=held.should_stop, ranks=ranks)
        ranks.leave()
    finally:
        held.end()
        runtime.close()
        database.dispose()
    return 0


def _follow(job_id: str, fence: int, rank: Rank) -> int:
    watch.end_after_the_worker()

    from app.llm.train.ranks import Together
    from app.services import following
    from app.services.runtime import Runtime

    runtime = Runtime.open(get_settings())
    try:
        ranks = Together.joined(f"{job_id}-{fence}", rank.here)
        following.follow(runtime, job_id, ranks, rank.on_this_machine)
        ranks.leave()
    finally:
        runtime.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
