"""The process that runs one claimed job: `python -m workers.trainer JOB FENCE`, started by the worker.

Its standard input is a pipe from the worker; it ends when that does.
"""

from __future__ import annotations

import argparse
import os
import sys

from app.config import get_settings
from app.db.session import Database
from app.log import bind_contextvars, configure_logging, get_logger
from workers.ending import FORCED_EXIT
from workers.watch import Watch

NICE = 10  # answers to people go before training

log = get_logger(__name__)


def main() -> int:
    """Hold the job and train; the exit status is 0 once its row says how it ended."""
    parser = argparse.ArgumentParser(prog="python -m workers.trainer", description="Run one claimed job.")
    parser.add_argument("job_id")
    parser.add_argument("fence", type=int)
    wanted = parser.parse_args()
    settings = get_settings()
    configure_logging(settings.log_level, settings.log_format)
    bind_contextvars(job_id=wanted.job_id, fence=wanted.fence)
    os.nice(NICE)
    database = Database(settings.effective_database_url)
    watch = Watch(database, wanted.job_id, wanted.fence, settings.lease_s)
    if not watch.start():
        log.warning("job_not_held")
        return FORCED_EXIT

    from app.services import memory, training  # torch: seconds in which the lease is renewed already
    from app.services.runtime import Runtime

    memory.keep_freed()
    runtime = Runtime.open(settings)
    try:
        training.run(runtime, wanted.job_id, wanted.fence, should_stop=watch.should_stop)
    finally:
        watch.end()
        runtime.close()
        database.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main())
