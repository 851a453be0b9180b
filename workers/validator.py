"""Reads the texts of one job that is not queued yet: `python -m workers.validator JOB FENCE`, started by the worker."""

from __future__ import annotations

import argparse
import os
import sys
import threading

from app.config import get_settings
from app.log import bind_contextvars, configure_logging

NICE = 10  # as a trainer's


def main() -> int:
    """Read, and say in the job's row what came of it; ends at once when the worker is gone."""
    parser = argparse.ArgumentParser(prog="python -m workers.validator", description="Read the texts of one job.")
    parser.add_argument("job_id")
    parser.add_argument("fence", type=int)
    wanted = parser.parse_args()
    settings = get_settings()
    configure_logging(settings.log_level, settings.log_format)
    bind_contextvars(job_id=wanted.job_id, fence=wanted.fence)
    os.nice(NICE)
    threading.Thread(target=_end_with_input, name="stdin", daemon=True).start()

    from app.services import job_validation
    from app.services.runtime import Runtime

    runtime = Runtime.open(settings)
    try:
        job_validation.validate(runtime, wanted.job_id, wanted.fence)
    finally:
        runtime.close()
    return 0


def _end_with_input() -> None:
    """Standard input is a pipe from the worker; it ends when the worker does, or wants this to end."""
    while os.read(0, 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
